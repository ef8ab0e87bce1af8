"""The memory of the real commands per further chunk, file and archive: `python -m tests.benchmarks.scale --processes`.

There are three pairs of trees. The two trees of a pair differ in one number alone: in chunks, in files or in archives.
Each command runs over both. Its peaks differ by the memory of the further chunks, files or archives. (More chunks of
the same size fill some more archives of the usual size: these are too few to weigh.)

The trees stay small, because content is cut very small: the benchmark registers with other parameters than
`seed register` does. For small archives it sets a constant of the product before the command begins.
"""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from formats.documents.credential_file import CredentialFile
from formats.keyed.chunking import USUAL, ChunkingParameters
from formats.keyed.keys import MasterKey
from formats.keyed.slots import make_slot, slot_to_json
from formats.store.access import Address
from formats.store.address import open_store
from seed.home.home import HomeState, NewHome
from seed.identity.join_request import put_request
from seed.identity.registration import NewKeys, make_identity
from tests.benchmarks.measure import StepFailedError, run, scratch_folder
from tests.benchmarks.memory import Memory, Watch
from tests.journeys.stage import PASSPHRASE, Stage, prepared

CUT_SMALL = replace(USUAL, min_size=4 << 10, mean_size=4 << 10, max_size=8 << 10, small_file_max=0)
CHUNK = 5853  # average bytes of a chunk with these parameters
CUT_FILES = 2_000  # so many that forks restore them
SMALL_FILE = 64  # bytes: thousands of files share a bundle, so that they add almost no chunks
FOLDER = 200  # files of one folder
COMMANDS = ("export", "verify", "import", "backup", "restore", "validate", "prune")
CHUNKS, FILES, ARCHIVES = (46_000, 549_000), (20_000, 120_000), (2_000, 12_000)
ARCHIVES_OF = """import seed.pipeline.packing, seed.targets.vault_upload
seed.pipeline.packing.ARCHIVE_SIZES = ({size},)
seed.targets.vault_upload.ARCHIVE_SIZE = {size}"""
MIB = 1 << 20


@dataclass(frozen=True)
class Tree:
    """A tree to back up: `files` of `size` bytes, cut by `cut` into archives of `archive` bytes (0: the usual size)."""

    files: int
    size: int
    cut: ChunkingParameters
    archive: int = 0


@dataclass(frozen=True)
class Seen:
    """A tree as the commands saw it, and the peak of each command."""

    count: Mapping[str, int]
    peaks: Mapping[str, Memory]


def report(
    chunks: Sequence[int] | None,
    files: Sequence[int] | None,
    archives: Sequence[int] | None,
    scratch: Path,
) -> None:
    """Run all commands over three pairs of trees, and print the peaks and their slopes. Raises StepFailedError.

    Each number is a pair: few, many.
    """
    check(scratch)
    chunks = chunks or CHUNKS
    pairs: dict[str, list[Tree]] = {
        "chunk": [_cut(count) for count in chunks],
        "file": [Tree(count, SMALL_FILE, USUAL) for count in files or FILES],
        "archive": [_cut(chunks[0], chunks[0] * CHUNK // count) for count in archives or ARCHIVES],
    }
    print("| pair | chunks | files | archives | " + " | ".join(f"{c} MiB" for c in COMMANDS) + " |")
    print("|---|--:|--:|--:|" + "--:|" * len(COMMANDS), flush=True)
    slopes = []
    for name, (few, many) in pairs.items():
        first, second = _seen(few, scratch), _seen(many, scratch)
        print(_row(name, first), _row(name, second), sep="\n", flush=True)
        slopes.append(_slopes(name, first, second))
    print(
        "\n| bytes for each further | " + " | ".join([*pairs, *(f"{name}, mapped" for name in pairs)]) + " |"
    )
    print("|---|" + "--:|" * 2 * len(pairs))
    for number, command in enumerate(COMMANDS):
        held, mapped = zip(*(slope[number] for slope in slopes), strict=True)
        print(f"| {command} | " + " | ".join(f"{slope:,.0f}" for slope in (*held, *mapped)) + " |")


def _row(name: str, seen: Seen) -> str:
    """Return the sizes of a tree, and each command's peak: memory held + mapped files."""
    counted = " | ".join(f"{count:,}" for count in seen.count.values())
    peaks = (seen.peaks[command] for command in COMMANDS)
    cells = " | ".join(f"{peak.held / MIB:.1f} + {peak.mapped / MIB:.0f}" for peak in peaks)
    return f"| {name} | {counted} | {cells} |"


def _slopes(name: str, few: Seen, many: Seen) -> list[tuple[float, float]]:
    """Return for each command the bytes that each further `name` took: held, and in mapped files."""
    further = many.count[name] - few.count[name]
    pairs = [(few.peaks[command], many.peaks[command]) for command in COMMANDS]
    return [((b.held - a.held) / further, (b.mapped - a.mapped) / further) for a, b in pairs]


def check(scratch: Path) -> None:
    """Raise StepFailedError if files below `scratch` would count as shared memory."""
    scratch.mkdir(parents=True, exist_ok=True)
    kind = subprocess.run(["stat", "-f", "-c", "%T", scratch], capture_output=True, text=True, check=True)
    if kind.stdout.strip() in ("tmpfs", "ramfs"):
        raise StepFailedError(
            f"cannot measure mapped files on {scratch}: files on tmpfs count as shared memory\n"
            "name a folder on a disk by --scratch"
        )


def _cut(chunks: int, archive: int = 0) -> Tree:
    """Return files that are cut into about so many chunks."""
    return Tree(CUT_FILES, chunks * CHUNK // CUT_FILES, CUT_SMALL, archive)


def _commands(stage: Stage, source: Path) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Yield each command in turn. Files that no later command needs are removed in between, for room."""
    seed, importer = stage.command("seed"), stage.command("importer")
    yield "export", (*seed, "export", source, "--to", stage.disk, "--level", 1)
    yield "verify", (*seed, "verify", stage.disk, "--json")
    yield "import", (*importer, "import", stage.disk, "--vault", stage.vault)
    shutil.rmtree(stage.disk)
    yield "backup", (*seed, "backup", source, "--level", 1)
    shutil.rmtree(source)
    yield "restore", (*seed, "restore", "latest", "--target", stage.folder / "restored")
    shutil.rmtree(stage.folder / "restored")
    yield "validate", (*importer, "validate", "--vault", stage.vault)
    yield "prune", (*importer, "prune", "--vault", stage.vault)


def _seen(tree: Tree, scratch: Path) -> Seen:
    """Run all commands over a tree, in a scene of its own. Raises StepFailedError."""
    print(f"{tree.files:,} files of {tree.size:,} bytes …", file=sys.stderr, flush=True)
    with scratch_folder(scratch, "offseed-scale-") as folder:
        _write(tree, source := folder / "source")
        stage = Stage(folder / "stage")
        _register(stage, tree.cut)
        if tree.archive:
            stage.command = prepared(ARCHIVES_OF.format(size=tree.archive))
        peaks, count = {}, {}
        log = folder / "log"
        for name, command in _commands(stage, source):
            watch, variables = Watch(), stage.environment({"TMPDIR": folder})
            run([str(word) for word in command], variables, folder, log, follow=watch.follow)
            peaks[name] = watch.peak
            if name == "verify":
                count = _counted(log, stage, tree)
        return Seen(count, peaks)


def _counted(log: Path, stage: Stage, tree: Tree) -> dict[str, int]:
    """Return the counts of the disk's contents. `seed verify --json` tells how many chunks it opened."""
    (disk,) = json.loads(log.read_bytes())["disks"]
    archives = sum(1 for _ in (stage.seeded / "archives").glob("*/*"))
    return {"chunk": disk["records"], "file": tree.files, "archive": archives}


def _register(stage: Stage, cut: ChunkingParameters) -> None:
    """Register as `seed register` does, but with chunking parameters of the benchmark's choice."""
    stage.create_vault()
    stage.issue()
    file = CredentialFile.read(stage.credential.read_bytes(), str(stage.credential))
    master, address = MasterKey.generate(), Address(stage.at)
    keys = NewKeys(master, (slot_to_json(make_slot(PASSPHRASE, master)),))
    identity = make_identity(file, "benchmark", keys, address)
    NewHome(stage.home).create(identity, HomeState(chunking=cut))
    put_request(open_store(address), identity)


def _write(tree: Tree, folder: Path) -> None:
    """Write files that do not compress, so that archives fill as they would with usual content."""
    for number in range(tree.files):
        below = folder / f"{number // FOLDER}"
        if not number % FOLDER:
            below.mkdir(parents=True)
        (below / f"{number}.bin").write_bytes(random.Random(number).randbytes(tree.size))
