"""Commands that die at their n-th write: the same command goes on, and nothing is lost or wrong.

The night tries every n. The fast part tries the first, the last and some between.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from tests.effort import NIGHTLY
from tests.journeys import trees
from tests.journeys.stage import Copy, Stage, a_day_later, backup, below, flip, keep_firsts, kept, prepared

assert sys.platform == "linux"

DIED = 9
SAMPLE = 4
UNREACHED = 1_000_000
COUNT = """
import atexit
atexit.register(lambda: open({path!r}, "w").write(str({n} - left)))
"""
PRELUDE = """
import os
from formats.store.local import LocalStore as S
import threading
left, lock, put, delete = {n}, threading.Lock(), S.put_new, S.delete
def count():
    global left
    with lock:
        left -= 1
        if left <= 0: os._exit(9)
def put_new(self, name, data):
    count()
    return put(self, name, data)
def delete_one(self, name):
    count()
    return delete(self, name)
S.put_new, S.delete = put_new, delete_one
"""


IN_THE_HOME = """
replace = os.replace
def replace_one(*words):
    count()
    return replace(*words)
os.replace = replace_one
"""


def sweep(
    made: Stage,
    room: Path,
    words: tuple[object, ...],
    check: Callable[[Stage, Path], None],
    *,
    prelude: str = PRELUDE,
) -> int:
    """Let the command die before its writes in turn, and run it again; return the number of writes.

    Each second run is checked. The night tries every write, the fast part some of them. `VAULT` and `DISK`
    among the words are replaced by those of the copy.
    """

    def attempt(folder: Path, prelude: str) -> tuple[Stage, tuple[object, ...], int]:
        folder.mkdir()
        stage = made.copy(folder / "stage")
        words_here = tuple({"VAULT": stage.at, "DISK": stage.disk}.get(str(w), w) for w in words)
        usual = stage.command
        stage.command = prepared(prelude)
        ended = stage.run(*map(str, words_here), code=None)
        stage.command = usual
        return stage, words_here, ended.code

    counted = room / "counted"
    _, _, code = attempt(
        room / "whole", prelude.format(n=UNREACHED) + COUNT.format(n=UNREACHED, path=str(counted))
    )
    assert code in (0, 3)
    writes = int(counted.read_text())
    tried = range(1, writes + 1) if NIGHTLY else spread(writes)
    for number in tried:
        folder = room / f"died at {number}"
        stage, words_here, code = attempt(folder, prelude.format(n=number))
        assert code in (DIED, 0, 3), f"it has more or fewer writes than {writes}"
        stage.run(*map(str, words_here), code=None)
        check(stage, folder)
        shutil.rmtree(folder)
    print(f"{' '.join(map(str, words[:2]))} died at {len(tried)} of its {writes} writes")
    return writes


def spread(writes: int) -> list[int]:
    """Return the first, the last and some numbers between, `SAMPLE` of them at most."""
    return sorted({1 + (writes - 1) * number // (SAMPLE - 1) for number in range(SAMPLE)})


def test_an_export_that_dies_at_any_write_completes(
    copy_of: Copy, opened: Stage, small_tree: Path, room: Path
) -> None:
    def check(stage: Stage, folder: Path) -> None:
        stage.import_()
        restored_equal(stage, folder, small_tree, small_tree)

    made = copy_of(opened)
    assert sweep(made, room, ("seed", "export", small_tree, "--to", "DISK"), check) > 8


def test_an_import_that_dies_at_any_write_completes(
    copy_of: Copy, exported: Stage, small_tree: Path, room: Path
) -> None:
    def check(stage: Stage, folder: Path) -> None:
        (disk,) = stage.import_()["disks"]
        assert disk["may_be_erased"]
        restored_equal(stage, folder, small_tree, small_tree)

    made = copy_of(exported)
    assert sweep(made, room, ("importer", "import", "DISK", "--vault", "VAULT"), check) > 8


def test_a_backup_that_dies_at_any_write_completes(copy_of: Copy, opened: Stage, room: Path) -> None:
    made = copy_of(opened)
    source = trees.varied_tree(room / "source")
    backup(made, source)
    trees.change(source)

    def check(stage: Stage, folder: Path) -> None:
        restored_equal(stage, folder, source, source)

    assert sweep(made, room, ("seed", "backup"), check) > 5


def test_a_repair_that_dies_at_any_write_completes(copy_of: Copy, opened: Stage, room: Path) -> None:
    """Complete the repair of a part that can be made again and of a part that cannot."""
    made = copy_of(opened)
    source = trees.varied_tree(room / "source")
    made.export(source)
    before = kept(source, room, "before")
    for archive in made.objects("archives"):
        for at in range(0, archive.stat().st_size, 64 << 10):
            flip(archive, at)
    (source / "many/1/1.txt").write_bytes(b"changed")
    made.import_(3)

    def check(stage: Stage, folder: Path) -> None:
        (point,) = stage.run("importer", "points", "--vault", stage.at, "--json").json
        assert point["complete"]
        stage.run("seed", "restore", "latest", "--target", folder / "back", "--vault", stage.at, code=3)
        found = trees.differences(before, below(folder / "back", source))
        assert sorted(found) == ["missing: b'many/1/1.txt'", "missing: b'many/2/linked'"]

    assert sweep(made, room, ("seed", "repair"), check) > 5


def test_a_validation_that_dies_at_any_write_loses_nothing(copy_of: Copy, opened: Stage, room: Path) -> None:
    made = copy_of(opened)
    source = trees.varied_tree(room / "source")
    made.export(source)
    made.import_()
    archives = [p for p in (made.vault / "archives").rglob("*") if p.is_file()]
    for archive in archives:
        flip(archive, archive.stat().st_size // 2)

    def check(stage: Stage, folder: Path) -> None:
        stage.run("seed", "repair", code=None)
        restored_equal(stage, folder, source, source)

    words = ("importer", "validate", "--vault", "VAULT")
    assert sweep(made, room, words, check) > 5


def test_a_shipment_that_dies_at_any_write_completes(copy_of: Copy, opened: Stage, room: Path) -> None:
    made = copy_of(opened)
    source = trees.varied_tree(room / "source")
    backup(made, source)
    made.run("importer", "points", "--vault", made.at)  # this accepts the machine

    def check(stage: Stage, folder: Path) -> None:
        (disk,) = stage.run("importer", "inspect", stage.disk, "--read", "--json").json["disks"]
        assert (disk["finished"], disk["closed"], disk["read"]["damaged"]) == (True, True, 0)
        stage.vault.rename(stage.folder / "gone")
        words = ("--target", folder / "back", "--from", stage.disk, "--passphrase-file", stage.secret)
        stage.run("seed", "restore", "latest", *words, SEED_HOME=folder / "none")
        assert trees.differences(source, below(folder / "back", source)) == []

    words = ("importer", "export", "latest", "--to", "DISK", "--vault", "VAULT")
    assert sweep(made, room, words, check) > 10


def test_a_prune_that_dies_at_any_write_loses_nothing_that_is_needed(
    copy_of: Copy, opened: Stage, room: Path
) -> None:
    """Lose nothing if a prune dies that lets points expire, deletes, rewrites and condemns."""
    made = copy_of(opened)
    source = trees.varied_tree(room / "source")
    keep_firsts(made, days=5)
    first = str(backup(made, source)["point"])
    states = {first: kept(source, room, "first")}
    for number in range(3):
        for name in ("gone", f"stays {number}"):
            (source / name).write_bytes(trees.incompressible(3 << 20, 10 * number + len(name)))
        last = str(backup(made)["point"])
        if number == 1:  # leaves a later run something to delete, rewrite and condemn
            made.run("importer", "prune", "--vault", made.at)
            a_day_later(made)
    (source / "gone").unlink()
    last = str(backup(made)["point"])
    states[last] = source

    def check(stage: Stage, folder: Path) -> None:
        for _ in range(2):
            a_day_later(stage)
            stage.run("importer", "prune", "--vault", stage.at)
        points = stage.run("importer", "points", "--vault", stage.at, "--json").json
        assert [(p["point"], p["complete"]) for p in points] == [(point, True) for point in states]
        assert stage.run("importer", "validate", "--vault", stage.at, "--json").json["damaged"] == []
        for point, state in states.items():
            stage.run("seed", "restore", point, "--target", folder / point, "--vault", stage.at)
            assert trees.differences(state, below(folder / point, source)) == []

    assert sweep(made, room, ("importer", "prune", "--vault", "VAULT"), check) > 8


def test_a_change_of_the_passphrase_that_dies_at_any_write_locks_nobody_out(
    copy_of: Copy, opened: Stage, small_tree: Path, room: Path
) -> None:
    made = copy_of(opened)
    backup(made, small_tree)
    (made.folder / "new").write_text("seven new words nobody says together\n")

    def opens(stage: Stage, folder: Path, secret: Path) -> bool:
        words = ("--vault", stage.at, "--passphrase-file", secret)
        return stage.run("seed", "points", *words, code=None, SEED_HOME=folder / "none").code == 0

    def check(stage: Stage, folder: Path) -> None:
        stage.run("seed", "key", "show")
        new = stage.folder / "new"
        assert opens(stage, folder, new)
        assert opens(stage, folder, stage.secret), "until the operator removes it"
        (machine,) = stage.run("importer", "machines", "list", "--vault", stage.at, "--json").json
        stage.run("importer", "machines", "drop-keys", machine["machine"], "--vault", stage.at)
        assert opens(stage, folder, new)
        assert not opens(stage, folder, stage.secret)

    words = (
        "seed",
        "key",
        "change",
        "--passphrase-file",
        made.secret,
        "--new-passphrase-file",
        made.folder / "new",
    )
    assert sweep(made, room, words, check, prelude=PRELUDE + IN_THE_HOME) == 3


def test_a_removal_of_keys_that_dies_at_any_write_locks_nobody_out(
    copy_of: Copy, opened: Stage, small_tree: Path, room: Path
) -> None:
    made = copy_of(opened)
    backup(made, small_tree)
    (made.folder / "new").write_text("seven new words nobody says together\n")
    made.run(
        "seed",
        "key",
        "change",
        "--passphrase-file",
        made.secret,
        "--new-passphrase-file",
        made.folder / "new",
    )
    (machine,) = made.run("importer", "machines", "list", "--vault", made.at, "--json").json

    def check(stage: Stage, folder: Path) -> None:
        assert len(list((stage.vault / "slots").rglob("*-*"))) == 1
        words = ("--vault", stage.at, "--target", folder / "back", "--passphrase-file", stage.folder / "new")
        stage.run("seed", "restore", "latest", *words, SEED_HOME=folder / "none")
        assert trees.differences(small_tree, below(folder / "back", small_tree)) == []

    words = ("importer", "machines", "drop-keys", machine["machine"], "--vault", "VAULT")
    assert sweep(made, room, words, check) == 6


def restored_equal(stage: Stage, folder: Path, source: Path, state: Path) -> None:
    points = stage.run("importer", "points", "--vault", stage.at, "--json").json
    assert all(point["complete"] for point in points)
    stage.run("seed", "restore", "latest", "--target", folder / "back", "--vault", stage.at)
    assert trees.differences(state, below(folder / "back", source)) == []
