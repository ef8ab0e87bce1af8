"""The verified view is the only door to a vault's documents: the modules that read past it are listed here.

Two calls give facts past the view. `Store.list` makes a name count as an existing object, and `envelope.read` turns
bytes into a document. Each module that calls one stands in the table, with the reason why nobody is deceived.
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
    "formats.rules.custody": (KEY,),
    "formats.rules.acceptance": (DISK,),
    "formats.documents.credential_file": (KEY,),
    "formats.rules.replacements": (CONTENT, KEY),
    "formats.rules.completeness": (
        CONTENT,
        DISK,
        "a register of the authority names the inventory by its digest",
    ),
    "importer.vault.abandoned": (IDS,),
    "importer.cli.machines": (
        "a request is verified by its own proof, and the operator compares the fingerprint",
    ),
    "importer.intake.custody_log": (IDS,),
    "importer.intake.intake": (DISK,),
    "importer.vault.machines": ("a request is verified by its credential and its own keys", DELETES),
    "importer.vault.reachability": (OBSTACLES,),
    "formats.rules.disk_inventory": (DISK,),
    "importer.outbound.shipment_disk": (DISK,),
    "importer.reports.overview": ("the bytes that are stored are told, whoever put them there",),
    "importer.vault.points": (CONTENT,),
    "importer.upkeep.prune": (CONTENT, DELETES),
    "importer.vault.receipts": ("a receipt of the authority names the inventory by its digest",),
    "importer.vault.sweeps": ("only whether anything changed is taken from it",),
    "importer.upkeep.validate": (ALL,),
    "importer.vault.redundancy": ("a request is verified by its credential and its own keys",),
    "importer.vault.vault": (IDS, "the description says by whom it is signed, where no home knows better"),
    "importer.vault.want_lists": (CONTENT, NUMBER),
    "seed.disks.abandonment": (IDS,),
    "seed.backup.announce": (
        HOME,
        "what is there need not be put again: a stranger's object has another name",
    ),
    "seed.session.commit": (DISK, HOME),
    "seed.targets.disk_writer": (DISK,),
    "seed.home.disk_sets": (HOME,),
    "seed.disks.drives.attached": (DISK,),
    "seed.points.slot_search": (
        "only the order of guesses is taken from it; the passphrase opens a slot, or none",
    ),
    "seed.session.further_archives": (CONTENT,),
    "seed.home.home": (HOME,),
    "seed.identity.passphrases": (HOME,),
    "seed.points.machine_keys": (ROOT,),
    "seed.targets.disk_pool": (DISK,),
    "seed.points.point_reader": (CONTENT,),
    "seed.verify.readback": (DISK,),
    "seed.points.layered_store": (
        CONTENT,
        "a replacement counts by the key of its signer, or is a hint to the owner alone",
    ),
    "seed.points.points": (ROOT, CONTENT),
    "seed.identity.registration": (
        IDS,
        "a name that somebody claims is not taken twice: a user chooses another",
    ),
    "seed.repair.repair": (NUMBER,),
    "seed.identity.replacement": (IDS, KEY),
    "seed.repair.resend": (CONTENT,),
    "seed.identity.retention_policy": (HOME,),
    "seed.points.completeness": (KEY, HOME),
    "seed.targets.cache_trim": (HOME,),
    "seed.repair.want_list": (KEY,),
    "seed.session.session": (HOME, CONTENT),
}


def calls(module: str) -> set[str]:
    """Return the calls of a module that list a store or read an envelope."""
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
        if not module.startswith("formats.store") and not module.startswith("formats.view.")
        if (found := calls(module))
    }
    assert {module: found for module, found in past.items() if module not in REASONS} == {}
    assert sorted(REASONS.keys() - past.keys()) == [], "a reason that nobody needs"


def test_the_view_believes_nobody_but_its_key() -> None:
    """Take a document from `verify`, and never from `peek`."""
    names = {
        node.func.attr
        for module in MODULES
        if module.startswith("formats.view.")
        for node in ast.walk(ast.parse(MODULES[module].read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert "verify" in names
    assert "peek" not in names
