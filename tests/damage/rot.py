"""A disk set that rots: its files are damaged at random, imported without keys, and repaired.

    python -m tests.damage.rot [--mib M] [--runs N] [--flips N] [--cuts N] [--losses N] [--seed S]

Each run damages a fresh copy of a two-disk set. It flips bytes, cuts files short and deletes files, by its
share of all flips, cuts and losses. It then checks three things. The import names every damaged object. A
restore from the vault is right, or lists the missing files. After `seed repair` everything comes back.

A last run changes one file in a hundred first. Its missing files must be those that the revision names, and
all of them must be changed files. Prints the figures. The exit code is 0 if all checks held.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from formats.tables.archive import parse
from tests.journeys import trees
from tests.journeys.stage import Result, Stage, below, disks, kept, to

assert sys.platform == "linux"


@dataclass
class Damage:
    """The numbers of flips, cuts and losses of one set."""

    flips: int = 0
    cuts: int = 0
    losses: int = 0


def tree(root: Path, mib: int) -> Path:
    """Write large files that do not compress, and about as many bytes of small files that do."""
    for number in range(mib // 16):
        trees.small_file(root / f"media/{number:04}.bin", trees.incompressible(8 << 20, number))
    for number in range(mib * 8):
        size = 20_000 + number * 7919 % 90_000
        trees.small_file(root / f"text/{number % 97}/{number}.txt", trees.compressible(size, number))
    return root


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=2048)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--cuts", type=int, default=50)
    parser.add_argument("--losses", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--scratch", type=Path, default=None)
    chosen = parser.parse_args()
    print("random seed", chosen.seed, flush=True)
    chance = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory(dir=chosen.scratch) as scratch:
        room = Path(scratch)
        source = tree(room / "source", chosen.mib)
        stage = Stage(room / "stage")
        stage.open()
        paths = disks(stage, 2)
        done = stage.run("seed", "export", source, *to(*paths), "--json").json
        print(
            f"{done['files']:,} files, {done['archive_bytes'] >> 20} MiB of archives on two disks", flush=True
        )
        share = Damage(chosen.flips // chosen.runs, chosen.cuts // chosen.runs, chosen.losses // chosen.runs)
        for number in range(chosen.runs):
            one_run(stage, room / f"run {number}", source, share, chance)
        changed_source(stage, room / "changed", source, share, chance)
    return 0


def objects(stage: Stage) -> list[Path]:
    """Return the objects that may rot, without those that decide whether the importer believes the disk."""
    names = ("archives", "indexes", "needs", "holdings", "slots")
    found = [
        p
        for disk in stage.folder.glob("disk */offseed/*")
        for name in names
        for p in (disk / name).rglob("*")
        if p.is_file()
    ]
    return sorted(found)


def spoil(stage: Stage, share: Damage, chance: random.Random) -> dict[str, Path]:
    """Damage a set, and return the damaged files by the names that the import gives them."""
    there = objects(stage)
    archives = [p for p in there if "archives" in p.parts]
    sizes = [p.stat().st_size for p in there]
    hit: set[Path] = set()
    small = min(1, share.losses)  # of the lost objects, the number that are no archives
    hit.update(chance.sample(archives, share.cuts + share.losses - small))
    whole = [*hit, *chance.sample([p for p in there if p not in archives], small)]
    hit.update(whole)
    for number, path in enumerate(whole):
        if number < share.cuts:
            with open(path, "r+b") as file:
                file.truncate(chance.randrange(1, path.stat().st_size))
        else:
            path.unlink()
    for path in chance.choices(there, sizes, k=share.flips):
        if path.exists():
            with open(path, "r+b") as file:
                at = chance.randrange(path.stat().st_size)
                file.seek(at)
                byte = file.read(1)[0] ^ (1 << chance.randrange(8))
                file.seek(at)
                file.write(bytes([byte]))
            hit.add(path)
    return {f"{named(p)}": p for p in hit}


def named(path: Path) -> str:
    """Return the name of an object on a disk, as findings write it."""
    at = path.parts.index("offseed")
    folder = path.parts[at + 1]
    return f"{folder[:8]}-{folder.rpartition('-')[2]}/{'/'.join(path.parts[at + 2 :])}"


def named_by(imported: Result, hit: dict[str, Path], made: Stage) -> set[str]:
    """Return the names of the damaged objects that the findings name.

    If a disk has lost its table, no reader can tell that it held an archive that is gone as well. The
    findings then name that archive as one that is on no disk. If the other disk of the set, as it was `made`,
    has a copy, nothing is missing, and the findings need not name it.
    """
    subjects = {f["subject"] for f in imported.json["findings"]}
    found = {name for name in hit if any(subject.endswith(name) for subject in subjects)}
    blind = {name.partition("/")[0] for name in hit if "/holdings/" in name}
    for name, path in hit.items():
        disk, _, inside = name.partition("/")
        copies = len(list(made.folder.glob(f"disk */offseed/*/{inside}")))
        if disk in blind and not path.exists() and (inside in subjects or copies > 1):
            found.add(name)
    return found


def damaged_bytes(made: Stage, stage: Stage, hit: dict[str, Path]) -> int:
    """Return the size of all records that differ from those in the archive as it was `made`."""
    total = 0
    for name, path in hit.items():
        if "/archives/" in name:
            before = (made.folder / path.relative_to(stage.folder)).read_bytes()
            now = path.read_bytes() if path.exists() else b""
            spans = ((row.offset, row.offset + row.length) for row in parse(before, name).rows)
            total += sum(end - start for start, end in spans if before[start:end] != now[start:end])
    return total


def told_of(unnoticed: set[str], hit: dict[str, Path], made: Stage, imported: Result) -> str:
    """Describe the damage to objects that no finding names, and the places of their copies."""
    told = []
    for name in sorted(unnoticed):
        path = hit[name]
        size = path.stat().st_size if path.exists() else None
        copies = [
            (p.parts[-5][-2:], p.stat().st_size)
            for p in made.folder.glob(f"disk */offseed/*/archives/*/{path.name}")
        ]
        told.append(f"{name}: {size} bytes now; as written {copies}")
    others = sorted(name for name in hit if "/archives/" not in name)
    found = [
        f for f in imported.json["findings"] if any(n.rpartition("/")[2] in f["subject"] for n in unnoticed)
    ]
    return f"{told}; hit beside archives: {others}; findings: {found}"


def import_all(stage: Stage) -> Result:
    found = sorted(p for p in stage.folder.glob("disk *") if (p / "offseed").exists())
    return stage.run("importer", "import", *found, "--vault", stage.at, "--json", code=None)


def one_run(made: Stage, folder: Path, source: Path, share: Damage, chance: random.Random) -> None:
    folder.mkdir()
    stage = made.copy(folder / "stage")
    hit = spoil(stage, share, chance)
    imported = import_all(stage)
    assert imported.code == 3, imported
    gone = damaged_bytes(made, stage, hit)
    unnoticed = set(hit) - named_by(imported, hit, made)
    assert unnoticed == set(), told_of(unnoticed, hit, made, imported)
    (lack,) = imported.json["wants"]
    stage.run("seed", "restore", "latest", "--target", folder / "early", "--vault", stage.at, code=None)
    if (folder / "early").exists():
        found = trees.differences(source, below(folder / "early", source))
        assert [d for d in found if not d.startswith("missing: ")] == []
        shutil.rmtree(folder / "early")
    done = stage.run("seed", "repair", "--json").json
    (point,) = stage.run("importer", "points", "--vault", stage.at, "--json").json
    assert point["complete"], point
    stage.run("seed", "restore", "latest", "--target", folder / "back", "--vault", stage.at)
    assert trees.differences(source, below(folder / "back", source)) == []
    print(
        f"  {len(hit)} objects hit, all named; wanted {lack['records']} records of {lack['archives']} archives; "
        f"sent {done['archive_bytes'] / (1 << 20):.1f} MiB for {gone / (1 << 20):.1f} damaged; all restored",
        flush=True,
    )
    shutil.rmtree(folder)


def changed_source(made: Stage, folder: Path, source: Path, share: Damage, chance: random.Random) -> None:
    folder.mkdir()
    stage = made.copy(folder / "stage")
    before = kept(source, folder, "before")
    files = sorted(p for p in source.rglob("*") if p.is_file())
    changed = chance.sample(files, max(1, len(files) // 100))
    for path in changed:
        with open(path, "ab") as file:
            file.write(b"changed")
        with open(path, "r+b") as file:
            file.write(b"changed")
    spoil(stage, share, chance)
    import_all(stage)
    done = stage.run("seed", "repair", "--json", code=None)
    lost = {f["subject"] for f in done.json["findings"] if f["code"] == "content-lost"}
    assert lost <= {str(p) for p in changed}, "only what was changed can be lost"
    (point,) = stage.run("importer", "points", "--vault", stage.at, "--json").json
    assert point["complete"], point
    target = folder / "back"
    stage.run("seed", "restore", "latest", "--target", target, "--vault", stage.at, code=3 if lost else 0)
    found = trees.differences(before, below(target, source))
    assert [d for d in found if not d.startswith("missing: ")] == []
    missing = {str(source / eval(d.removeprefix("missing: ")).decode()) for d in found}
    assert missing == lost
    print(
        f"  {len(changed)} files changed before the repair: wanted {done.json['wanted']}, made again "
        f"{done.json['made']}; {len(lost)} files lost, all named, and no other",
        flush=True,
    )
    subprocess.run(["cp", "-a", f"{before}/.", source], check=True)
    shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
