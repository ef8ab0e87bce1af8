"""All commands of both programs that touch a vault, in an order that lets each of them work in the scene.

If a new command is missing here and in `UNTOUCHED`, a test names it. Commands are compared by the facts that
they print. Times, sizes of their own documents, and ids that are new in each run are left out. Facts about
the captured machine are left out as well.
"""

import json
import os
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from formats.documents import envelope
from formats.documents.manifest import Manifest
from formats.ids import fingerprint
from tests.journeys import trees
from tests.journeys.stage import PASSPHRASE, Result, Stage, a_day_later, below

if sys.platform == "linux":
    from tests.hostile.neighbour.scene import CAPTURED, HEALTHY, Scene, disk, objects, set_of, source

assert sys.platform == "linux"

UNTOUCHED = frozenset({
    "importer completion", "importer inspect", "importer notify set", "importer notify show", "importer notify test",
    "importer vault create", "importer vault recreate",
    "seed access set", "seed access show", "seed completion", "seed demo", "seed disks", "seed items set", "seed items show",
    "seed jobs", "seed notify set", "seed notify show", "seed notify test", "seed plan", "seed proxy off", "seed proxy set",
    "seed proxy show", "seed schedule install", "seed schedule remove", "seed schedule set", "seed schedule show",
    "seed set labels", "seed throttle off", "seed throttle set", "seed throttle show",
})  # fmt: skip

DAY_LATER = "a day later"
_VOLATILE = frozenset({
    "seconds", "findings", "objects", "bytes", "foreign", "digest", "created", "waiting", "ripe", "deleted", "deleted_bytes",
    "condemned", "condemned_bytes", "acquitted", "archive_bytes", "written_bytes", "copied_bytes", "fingerprint", "set_aside",
    "rewritten", "rewritten_bytes", "saved_records",
})  # fmt: skip
_HEX = re.compile(r"\b[0-9a-f]{8,64}\b")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?")
_FINDING = re.compile(r"^([A-Z]+-\d+|[a-z]+(?:-[a-z]+)*): (.*)$", re.MULTILINE)
_EPOCH = 1_500_000_000


@dataclass(frozen=True)
class Step:
    """A command of one machine, with its title and its words.

    With `no_home` the machine has nothing but the passphrase.
    """

    who: str
    title: str
    words: tuple[object, ...]
    no_home: bool = False


@dataclass(frozen=True)
class Said:
    """The result of a step: its exit code, facts, findings by code and subject, and all printed text."""

    step: Step
    code: int
    facts: Any
    findings: Counter[tuple[str, str]]
    result: Result | None


@dataclass
class Outcome:
    """The results of all steps, and the objects of the vault at the end.

    `restored` holds the differences between each machine's source and its last restore.
    """

    said: list[Said] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    restored: dict[str, list[str]] = field(default_factory=dict)


def leaves() -> dict[str, set[str]]:
    """Return every command of both programs with the names of its parameters."""
    found: dict[str, set[str]] = {}

    def descend(command: Any, title: str) -> None:
        if below := getattr(command, "commands", None):
            for name, each in below.items():
                descend(each, f"{title} {name}")
        else:
            found[title] = {parameter.name for parameter in command.params}

    for program, verbs in (("seed", "SeedVerbs"), ("importer", "ImporterVerbs")):
        root = getattr(import_module(f"{program}.cli.app"), verbs)()
        for row in root.listed:
            descend(root.load(row), f"{program} {row.name}")
    return found


def steps(scene: Scene) -> Iterator[Step]:
    """Yield all commands, first those that only read."""
    known = leaves()
    at = ("--vault", scene.stages["web1"].at)

    def step(who: str, title: str, *words: object, no_home: bool = False) -> Step:
        parameters = known[title]
        added: list[object] = ["--json"] if "as_json" in parameters else []
        if "verbose" in parameters:
            added.append("--verbose")
        if "vault" in parameters:
            added += at
        return Step(who, title, (*title.split(), *words, *added), no_home)

    yield from _readings(scene, step)
    yield from _writings(scene, step)
    yield from _deletions(scene, step)


def _readings(scene: Scene, step: Any) -> Iterator[Step]:
    first, second = scene.stages["web1"], scene.stages["web2"]
    for who in ("web1", "web2"):
        yield step(who, "seed status")
        yield step(who, "seed points")
    yield step("web1", "seed ls", "latest")
    yield step("web1", "seed find", "passing")
    yield step("web2", "seed diff", _point(scene, "web2"))
    yield step("web1", "seed set show")
    yield step("web1", "seed key show", "--passphrase-file", first.secret)
    yield step("web1", "seed retention show")
    yield step("web1", "seed notify check")
    yield step("web1", "seed report", "--out", first.folder / "seed.html")
    yield step("web2", "seed verify")
    for stage in (first, second):
        name = stage.folder.name
        words = (
            "latest",
            "--target",
            stage.folder / "back",
            "--passphrase-file",
            stage.secret,
            "--machine",
            name,
        )
        yield step(name, "seed restore", *words, no_home=True)
    for title in ("points", "jobs", "status", "machines list", "vault show"):
        yield step("web1", f"importer {title}")
    yield step("web1", "importer notify check")
    yield step("web1", "importer report", "--out", first.folder / "importer.html")
    yield step("web1", "importer prune", "--dry-run")


def _point(scene: Scene, who: str) -> str:
    """Return the first point of a machine, by its manifest in the vault."""
    prefix = f"manifests/{scene.identities[who].machine}/"
    name = min(name for name in scene.beginning if name.startswith(prefix))
    return envelope.read(scene.beginning[name], name).peek(Manifest).point


def _writings(scene: Scene, step: Any) -> Iterator[Step]:
    first, second = scene.stages["web1"], scene.stages["web2"]
    marks = {name: fingerprint(identity.machine) for name, identity in scene.identities.items()}
    posted, lost = set_of(first, 1), set_of(first, 2)
    yield step("web1", "seed backup")
    yield step("web2", "seed repair")
    yield step("web1", "seed set ship", f"{lost[:8]}/1")
    yield step("web1", "importer receive", f"{posted[:8]}/1")
    yield step("web1", "importer import", disk(first, 1))
    yield step("web1", "seed resend", f"{lost[:8]}/1")
    yield step("web2", "seed set abandon")
    yield step("web2", "seed set resume")
    yield step("web2", "seed export", "--to", disk(second, 2))
    yield step("web1", "seed key add", "--new-passphrase-file", _secret(first, "added"))
    yield step("web1", "seed key change", "--passphrase-file", first.secret, "--new-passphrase-file", _secret(first, "new"))  # fmt: skip
    yield step("web1", "seed key remove", _slot)
    yield step("web1", "importer machines drop-keys", marks["web1"])
    yield step("web1", "seed retention set", "--daily", "2")
    yield step("web1", "seed items confirm")
    yield step("web1", "importer validate")
    yield step("web1", "importer export", "latest", "--machine", "web2", "--to", disk(first, 8))
    yield step("web1", "importer credentials issue", "--out", first.folder / "new.credential")
    yield step("web4", "seed register", "--credential", first.folder / "new.credential", "--name", "web4", "--passphrase-file", _secret(first, "web4"))  # fmt: skip
    yield step("web1", "importer machines accept", marks["web2"])
    yield step("web1", "importer machines accept-loss", marks["web2"])
    yield step("web1", "importer vault set-redundancy", "local")
    yield step("web1", "importer access issue", "--out", first.folder / "access")
    yield step("web1", "importer access revoke")


def _deletions(scene: Scene, step: Any) -> Iterator[Step]:
    first, second = scene.stages["web1"], scene.stages["web2"]
    for _ in range(2):
        yield Step("web1", DAY_LATER, ())
        yield step("web1", "importer prune")
    yield step("web1", "importer import", disk(second, 2))
    yield step("web1", "importer points")
    yield step("web1", "importer machines revoke", fingerprint(scene.identities[CAPTURED].machine))
    yield step("web1", "importer validate", "--set-aside")
    yield step("web2", "seed backup")
    for stage, secret in ((first, _secret(first, "new")), (second, second.secret)):
        name = stage.folder.name
        words = ("latest", "--target", stage.folder / "again", "--passphrase-file", secret, "--machine", name)
        yield step(name, "seed restore", *words, no_home=True)


def _slot(scene: Scene) -> str:
    """Return the newest passphrase's slot of `web1`."""
    shown = scene.stages["web1"].run("seed", "key", "show", "--json", code=None).json
    assert "slots" in shown, shown
    return str(shown["slots"][-1]["id"])


def _secret(stage: Stage, name: str) -> Path:
    path = stage.folder / f"{name}.passphrase"
    if not path.exists():
        path.write_text(f"{PASSPHRASE} {name}\n")
        path.chmod(0o600)
        owner = stage.folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
    return path


def play(scene: Scene, planted: Collection[str] = ()) -> Outcome:
    """Run all steps in the scene as it stands, with objects of these names planted."""
    outcome = Outcome()
    for step in steps(scene):
        outcome.said.append(_take(scene, step, planted))
    outcome.objects = objects(scene.vault)
    outcome.restored = {who: _restored(scene, who) for who in HEALTHY}
    return outcome


def _take(scene: Scene, step: Step, planted: Collection[str]) -> Said:
    if step.title == DAY_LATER:
        a_day_later(scene.stages["web1"])
        return Said(step, 0, None, Counter(), None)
    stage = scene.stages.get(step.who, scene.stages["web1"])
    home = stage.folder / "none" if step.no_home else stage.folder.parent / step.who / "seed-home"
    words = [str(word(scene) if callable(word) else word) for word in step.words]
    result = stage.run(*words, code=None, SEED_HOME=home, IMPORTER_VAULT=stage.at)
    findings = Counter(
        (code, subject if "/" in subject else _same(scene, subject))
        for code, subject in (
            (code, rest.partition(": ")[0])
            for code, rest in _FINDING.findall(result.stderr)
            if code not in ("note", "seed", "importer")
        )
    )
    return Said(step, result.code, _facts(scene, step, result, planted), findings, result)


def _facts(scene: Scene, step: Step, result: Result, planted: Collection[str]) -> Any:
    lines = (
        result.stdout.splitlines() if step.title != "importer report" else []
    )  # the report counts points of all machines
    facts = _same(scene, [json.loads(line) for line in lines] if "--json" in step.words else lines, planted)
    if step.title in (
        "seed backup",
        "seed resend",
    ):  # their archives depend on the times of the folders above the source
        facts = [{**fact, "archives": 0} for fact in facts]
    return facts


def _same(scene: Scene, value: Any, planted: Collection[str] = ()) -> Any:
    """Return the value without the parts that differ in each run.

    Times become equal, and so do new ids. Parts about the captured machine and planted names are left out.
    """
    if isinstance(value, dict):
        return {key: _same(scene, each, planted) for key, each in value.items() if key not in _VOLATILE}
    if isinstance(value, list):
        return [_same(scene, each, planted) for each in value if not _is_captured(scene, each, planted)]
    if isinstance(value, str):
        return _TIME.sub(
            "<time>", _HEX.sub(lambda found: found[0] if found[0] in scene.ids else "<new>", value)
        )
    return "<time>" if isinstance(value, int) and value > _EPOCH else value


def _is_captured(scene: Scene, value: Any, planted: Collection[str]) -> bool:
    if not isinstance(value, dict):
        return isinstance(value, str) and (value == CAPTURED or value in planted)
    captured = scene.identities[CAPTURED]
    said = {value.get(key) for key in ("machine", "name", "machine_name", "key_id")}
    return bool(said & {CAPTURED, captured.machine, captured.master.key_id.hex()})


def _restored(scene: Scene, who: str) -> list[str]:
    """Return the differences between the last restore and the machine's source."""
    stage = scene.stages[who]
    place = below(stage.folder / "again", source(stage))
    return trees.differences(source(stage), place) if place.exists() else ["nothing was restored"]
