"""The trees that are backed up. Each is a copy in the scratch folder, so that nothing changes it meanwhile."""

import os
import random
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.measure import Totals, totals

PACKAGE = "linux-source-6.1"
READ_SIZE = 1 << 20
MEDIA_FILES, MEDIA_SIZE = 86, 50_000_000  # bytes
IMAGE_CONTENT, IMAGE_SIZE = 1_300_000_000, "1500M"  # bytes, mke2fs's size
TINY_FILES = 1_000_000


@dataclass(frozen=True)
class Corpus:
    """A tree to back up: `name` for the tables, `path` in the scratch folder."""

    name: str
    path: Path
    totals: Totals


def prepare(name: str, scratch: Path, deb: Path | None) -> Corpus:
    """Make corpus `name` in the scratch folder, and read all of it once.

    The names are `linux`, `usr`, `image`, `media` and `tiny`. `image` is an ext4 file system in a file, with programs
    and libraries in it. In `media` nothing compresses; `tiny` has a million files. Another name is a path to copy.

    Raises OSError, subprocess.CalledProcessError.
    """
    folder = scratch / "corpus"
    folder.mkdir()
    if name == "linux":
        _unpack_linux(folder, scratch, deb)
    elif name == "image":
        _image(folder)
    elif name == "media":
        for number in range(MEDIA_FILES):
            (folder / f"{number}.mkv").write_bytes(random.Random(number).randbytes(MEDIA_SIZE))
    elif name == "tiny":
        _tiny(folder)
    else:
        source = Path("/usr") if name == "usr" else Path(name).absolute()
        subprocess.run(["cp", "-a", "--", str(source), str(folder / (source.name or "root"))], check=True)
    read_all(folder)
    return Corpus(name, folder, totals(folder))


def read_all(folder: Path) -> None:
    """Read every file once, so that the first program measured finds no colder tree than the last."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place) / name
            if path.is_file() and not path.is_symlink():
                with path.open("rb", buffering=0) as file:
                    while file.read(READ_SIZE):
                        pass


def _image(folder: Path) -> None:
    """Make a disk image that holds the larger libraries of this machine."""
    content = folder.with_name("content")
    content.mkdir()
    total = 0
    for path in sorted(p for p in Path("/usr/lib").rglob("*.so*") if p.is_file() and not p.is_symlink()):
        total += path.stat().st_size
        if total > IMAGE_CONTENT:
            break
        shutil.copyfile(path, content / f"{total}-{path.name}")
    image = folder / "disk.img"
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", str(content), str(image), IMAGE_SIZE], check=True)
    shutil.rmtree(content)


def _tiny(folder: Path) -> None:
    """Make files of 0 to 2,000 bytes of words, a thousand in a folder."""
    words = random.Random(1).randbytes(4000).hex().encode()
    for number in range(TINY_FILES):
        if not number % 1000:
            below = folder / f"{number // 1000}"
            below.mkdir()
        size = number * 7919 % 2000
        (below / f"{number}.txt").write_bytes(b"%d " % number + words[size : 2 * size])


def _unpack_linux(folder: Path, scratch: Path, deb: Path | None) -> None:
    """Unpack the Linux source tree from its Debian package."""
    package = scratch / "package"
    package.mkdir()
    if deb is None:
        subprocess.run(["apt-get", "download", "-q", PACKAGE], cwd=package, check=True)
        deb = next(package.glob("*.deb"))
    subprocess.run(["dpkg-deb", "-x", str(deb.absolute()), str(package / "content")], check=True)
    archive = next((package / "content/usr/src").glob("linux-source-*.tar.*"))
    subprocess.run(["tar", "-xf", str(archive), "-C", str(folder)], check=True)
    shutil.rmtree(package)
