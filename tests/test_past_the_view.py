"""The verified view is the only door to the documents of a vault: whoever lists a store or reads an envelope past it is named here.

Two calls give facts past the view: `Store.list`, by which a name is taken for something that is there, and `envelope.read`, by which
bytes become a document. Each module that calls one stands in the table, with the reason for which nobody is deceived.
"""

import ast

from tests.test_import_graph import MODULES

CONTENT = "objects that are named by their content, and are compared with it where they count"
DISK = "a disk, by the rules of acceptance, or one that this program writes itself"
HOME = "the home, which is this side's own"
KEY = "it is verified here, by a key that is held independently of the store"
ROOT = "the sealed root counts, which only the master key opens"
IDS = "only ids are taken from the names; each is then looked at by the view"
DELETES = "what lies there is superseded, whoever put it there, and is deleted"
OBSTACLES = "only what may not be looked into counts"
NUMBER = "only a free number is taken from it"
ALL = "every object is read, and compared with its name"

REASONS: dict[str, tuple[str, ...]] = {
    "formats.custody": (KEY,),
    "formats.documents.acceptance": (DISK,),
    "formats.documents.credential_file": (KEY,),
    "formats.replaced": (CONTENT, KEY),
    "formats.standing": (CONTENT, DISK, "a register of the authority names the inventory by its digest"),
    "importer.abandoned": (IDS,),
    "importer.cli.machines": (
        "a request is verified by its own proof, and the operator compares the fingerprint",
    ),
    "importer.custody": (IDS,),
    "importer.intake": (DISK,),
    "importer.machines": ("a request is verified by the authority's certificate", DELETES),
    "importer.needed": (OBSTACLES,),
    "importer.outbound": (DISK, NUMBER),
    "importer.outgoing": (KEY, NUMBER),
    "importer.overview": ("the bytes that are stored are told, whoever put them there",),
    "importer.points": (CONTENT,),
    "importer.prune": (CONTENT, DELETES),
    "importer.receipts": ("a receipt of the authority names the inventory by its digest",),
    "importer.sweeps": ("only whether anything changed is taken from it",),
    "importer.validate": (ALL,),
    "importer.vault": (IDS, "the description says by whom it is signed, where no home knows better"),
    "importer.wants": (CONTENT, NUMBER),
    "seed.abandoning": (IDS,),
    "seed.announce": (HOME, "what is there need not be put again: a stranger's object has another name"),
    "seed.commit": (DISK, HOME),
    "seed.disk": (DISK,),
    "seed.disk_sets": (HOME,),
    "seed.drives.attached": (DISK,),
    "seed.found_slots": ("only the order of guesses is taken from it; the passphrase opens a slot, or none",),
    "seed.further": (CONTENT,),
    "seed.home": (HOME,),
    "seed.keys": (HOME,),
    "seed.machines": (ROOT,),
    "seed.placing": (DISK,),
    "seed.point_reader": (CONTENT,),
    "seed.readback": (DISK,),
    "seed.reading": (ROOT, CONTENT),
    "seed.register": (IDS, "a name that somebody claims is not taken twice: a user chooses another"),
    "seed.repair": (NUMBER,),
    "seed.replace": (IDS, KEY),
    "seed.resend": (CONTENT,),
    "seed.retention": (HOME,),
    "seed.standing": (KEY, HOME),
    "seed.trimming": (HOME,),
    "seed.wanted": (KEY,),
    "seed.work": (HOME, CONTENT),
}


def calls(module: str) -> set[str]:
    """The calls of a module that list a store or read an envelope."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr == "list" and node.args:
                found.add(f"{ast.unparse(node)}, line {node.lineno}")
            if ast.unparse(node.func) == "envelope.read":
                found.add(f"{ast.unparse(node)}, line {node.lineno}")
    return found


def test_nobody_lists_or_reads_past_the_view_without_a_reason() -> None:
    past = {
        module: found
        for module in MODULES
        if not module.startswith("formats.store") and module != "formats.documents.view"
        if (found := calls(module))
    }
    assert {module: found for module, found in past.items() if module not in REASONS} == {}
    assert sorted(REASONS.keys() - past.keys()) == [], "a reason that nobody needs"


def test_the_view_believes_nobody_but_its_key() -> None:
    """It takes a document from `verify`, and never from `peek`."""
    names = {
        node.func.attr
        for node in ast.walk(ast.parse(MODULES["formats.documents.view"].read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert "verify" in names
    assert "peek" not in names
