"""Trees to back up, built by code, and the question whether two trees are the same.

`odd_tree` holds everything that a file system may hold and a backup may lose.
`differences` compares all that a restored tree must have in common with its source.
These are names, types, content, modes, owners, times to the nanosecond and targets of links.
Hard links among each other, extended attributes, device numbers and holes of sparse files count too.
"""

import os
import random
import shutil
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

assert sys.platform == "linux"
from tests.journeys.seen import Room, Seen, seen  # noqa: E402

KIB, MIB = 1 << 10, 1 << 20
SECOND = 10**9
BLOCK = 4096
SLACK = 260 * KIB  # a small sparse file may come back without its holes
SPARSE_KEPT = 256 * KIB  # a larger one has exactly the same holes


def compressible(size: int, seed: int = 0) -> bytes:
    """Return text of `size` bytes that zstd makes much smaller, different for each seed."""
    words = [f"word{seed}", "seed", "disk", "vault", "courier", "archive", "import", "restore"]
    rng = random.Random(seed)
    line = " ".join(rng.choice(words) + str(rng.randrange(1000)) for _ in range(400)).encode() + b"\n"
    return (line * (size // len(line) + 1))[:size]


def incompressible(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


def small_tree(root: Path) -> Path:
    """Make a few dozen everyday files, two of them large enough for chunks of their own."""
    for number in range(40):
        small_file(root / f"docs/{number % 5}/letter {number}.txt", compressible(300 + 37 * number, number))
    small_file(root / "media/photo.raw", incompressible(700 * KIB, 1))
    small_file(root / "media/scan.tiff", compressible(900 * KIB, 2))
    small_file(root / "run.sh", b"#!/bin/sh\necho hello\n", mode=0o755)
    (root / "latest").symlink_to("docs/4")
    os.link(root / "run.sh", root / "docs/run-too.sh")
    return root


def long_tree(root: Path, files: int = 17, size: int = 8 * MIB) -> Path:
    """Make incompressible files that fill three archives, and small files on both sides of them."""
    for number in range(60):
        small_file(root / f"a/{number}", compressible(2000, number))
        small_file(root / f"z/{number}", compressible(2000, 1000 + number))
    for number in range(files):
        small_file(root / f"m/{number:02}.bin", incompressible(size, number))
    return root


def varied_tree(root: Path) -> Path:
    """Make small files in bundles, a hard link, a sparse file, and 24 MiB in chunks of their own."""
    small_tree(root)
    for number in range(300):
        small_file(root / f"many/{number % 7}/{number}.txt", compressible(3000, number))
    for number in range(3):
        small_file(root / f"large/{number}.bin", incompressible(8 * MIB, 50 + number))
    os.link(root / "many/1/1.txt", root / "many/2/linked")
    with open(root / "sparse", "wb") as file:
        file.seek(5 * MIB)
        file.write(b"end")
    return root


def change(source: Path) -> None:
    """Edit, append, move, change attributes, delete, add, and replace within the same second: each once."""
    with open(source / "large/1.bin", "r+b") as file:
        file.seek(4 * MIB)
        file.write(b"x")
    with open(source / "many/0/0.txt", "ab") as file:
        file.write(b"more")
    (source / "many/3").rename(source / "a moved folder")
    (source / "many/4/4.txt").chmod(0o600)
    (source / "many/5/5.txt").unlink()
    small_file(source / "added/new.txt", b"new\n")
    before = (source / "many/6/6.txt").stat()
    (source / "many/6/6.txt").write_bytes(bytes(before.st_size))
    os.utime(source / "many/6/6.txt", ns=(before.st_atime_ns, before.st_mtime_ns))


def odd_tree(root: Path) -> Path:
    """Make everything odd that this user may make here; root may make more."""
    _names(root / "names")
    _sizes(root / "sizes")
    _sparse(root / "sparse")
    _links(root / "links")
    _modes(root / "modes")
    _many(root / "many")
    _deep(root / "deep")
    _attributes(root / "attributes")
    _special(root / "special")
    _times(root / "times")
    return root


def deep_folder(root: Path, names: Sequence[bytes]) -> int:
    """Make `names` one below the other; return a handle on the last, which may be too deep for a path."""
    root.mkdir(parents=True, exist_ok=True)
    handle = os.open(root, os.O_RDONLY)
    for name in names:
        os.mkdir(name, dir_fd=handle)
        deeper = os.open(name, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = deeper
    return handle


def small_file(path: Path, data: bytes, mode: int = 0o644) -> Path:
    """Write the file, and make the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    return path


def _names(root: Path) -> None:
    small_file(root / "empty", b"")
    (root / "empty folder").mkdir()
    names = [
        b"two\nlines",
        b"tab\tand\rreturn",
        b"not utf-8 \xff\xfe\x80",
        b"n" * 255,
        b"\xc3\xa9" * 127 + b"e",
        b"-rf",
        b"--help",
        b" spaces  all over ",
        b"quote\"'`$(touch x)\\",
        b"*?[a-z]{a,b}",
        b"...",
        b".hidden",
        b"\x1b[31mred\x07",
        "e\u0301 and \u00e9".encode(),
        "\u202egnp.exe \U0001f600".encode(),
        b"a",
        b"a.b",
        b"a!b",
        b"A",
    ]
    for number, name in enumerate(names):
        (Path(os.fsdecode(os.fsencode(root) + b"/" + name))).write_bytes(b"name %d" % number)
    for number, name in enumerate(names[:3]):
        folder = Path(os.fsdecode(os.fsencode(root) + b"/folder " + name))
        folder.mkdir()
        (folder / "inside").write_bytes(b"inside %d" % number)


def _sizes(root: Path) -> None:
    edges = (256 * KIB, MIB)
    sizes = [0, 1, 2, 9 * MIB, 600 * KIB, *(edge + by for edge in edges for by in (-1, 0, 1))]
    for size in sizes:
        small_file(root / f"{size} text", compressible(size, size))
        small_file(root / f"{size} noise", incompressible(size, size))
    for number in range(3):
        small_file(root / f"equal small {number}", compressible(5000, 7))
        small_file(root / f"equal large {number}", incompressible(2 * MIB, 8))
    small_file(root / "zeros", bytes(3 * MIB))


def _sparse(root: Path) -> None:
    root.mkdir(parents=True)
    for title, size in (("small", 200 * KIB), ("large", 40 * MIB)):
        places = {
            "start": [0],
            "middle": [size // 2],
            "end": [size - BLOCK],
            "none": [],
            "ends": [0, size - 100],
        }
        for place, offsets in places.items():
            with (root / f"{title} {place}").open("wb") as file:
                file.truncate(size)
                for offset in offsets:
                    file.seek(offset)
                    file.write(b"data" * 25)
    with (root / "comb").open("wb") as file:
        file.truncate(8 * MIB)
        for offset in range(0, 8 * MIB, 64 * KIB):
            file.seek(offset)
            file.write(offset.to_bytes(8, "big") * 512)


def _links(root: Path) -> None:
    first = small_file(root / "one/first", b"linked content\n")
    (root / "two/three").mkdir(parents=True)
    os.link(first, root / "one/second")
    os.link(first, root / "two/three/third")
    large = small_file(root / "two/large", incompressible(MIB, 9))
    os.link(large, root / "large too")
    empty = small_file(root / "two/empty", b"")
    os.link(empty, root / "empty too")
    for name, target in {
        "dangling": "nowhere/at/all",
        "loop": "loop",
        "ping": "pong",
        "pong": "ping",
        "absolute": "/etc/passwd",
        "upwards": "../../../../..",
        "folder": "one",
        "odd": "not utf-8 \udcff\nand a newline",
        "long": "x/" * 2000,
    }.items():
        (root / name).symlink_to(target)


def _modes(root: Path) -> None:
    for mode in (0o000, 0o111, 0o400, 0o444, 0o666, 0o777, 0o4755, 0o2755, 0o1644, 0o6711):
        if os.geteuid() == 0 or not mode & 0o6000:  # only root can restore these modes
            small_file(root / f"{mode:04o}", b"%o" % mode, mode)
    for mode in (0o1777, 0o2775, 0o555, 0o700, 0o000):
        folder = root / f"folder {mode:04o}"
        small_file(folder / "inside", b"x")
        folder.chmod(mode)
    if os.geteuid() == 0:
        for number, (uid, gid) in enumerate(((1, 2), (65534, 65534), (4_000_000_000, 3_999_999_999))):
            path = small_file(root / f"owner {number}", b"x")
            os.chown(path, uid, gid)
            path.chmod(0o4750)


def _many(root: Path) -> None:
    for number in range(2000):
        small_file(root / f"{number // 250}/{number}", compressible(number % 700, number))


def _deep(root: Path) -> None:
    path = root
    for level in range(60):
        path /= f"level {level} of a long way down"
    small_file(path / "bottom", b"here\n")


def _attributes(root: Path) -> None:
    file = small_file(root / "file", b"attributed")
    folder = root / "folder"
    folder.mkdir()
    pairs = {
        "user.plain": b"value",
        "user.nul": b"a\0b\0",
        "user.empty": b"",
        "user.noise": bytes(range(256)),
    }
    for path in (file, folder):
        for name, value in pairs.items():
            os.setxattr(path, name, value)
    os.setxattr(small_file(root / "read-only", b"x", 0o444), "user.plain", b"kept")
    if os.geteuid() == 0:
        os.setxattr(file, "trusted.secret", b"only root\0")
        (root / "link").symlink_to("file")
        os.setxattr(root / "link", "trusted.link", b"on the link", follow_symlinks=False)
        capability = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)  # cap_net_bind_service, effective
        try:
            os.setxattr(small_file(root / "capable", b"x", 0o755), "security.capability", capability)
        except OSError:
            pass  # not permitted in every container
    if shutil.which("setfacl"):
        shared = root / "shared"
        small_file(shared / "before", b"x")
        for rule in ("u:1:rwx,g:2:r-x", "d:u:1:rwx,d:g:3:---"):
            subprocess.run(["setfacl", "-m", rule, str(shared)], check=True)
        small_file(shared / "inherits", b"x", 0o640)
        subprocess.run(["setfacl", "-m", "u:3:r--", str(shared / "before")], check=True)


def _special(root: Path) -> None:
    root.mkdir(parents=True)
    os.mkfifo(root / "fifo", 0o640)
    listener = socket.socket(socket.AF_UNIX)
    with listener:
        here = os.getcwd()
        os.chdir(root)  # names of sockets must be short
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
    if os.geteuid() == 0:
        try:
            os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
            os.mknod(root / "block", stat.S_IFBLK | 0o660, os.makedev(259, 1000))
        except PermissionError:
            pass  # not permitted in every container


def _times(root: Path) -> None:
    times = {
        "epoch": 0,
        "before 1970": -(20 * 365 * 86400 * SECOND) - 1,
        "just before": -1,
        "1902": -(68 * 365 * 86400 * SECOND) + 999_999_999,
        "2040": 70 * 365 * 86400 * SECOND + 123_456_789,
        "2200": 230 * 365 * 86400 * SECOND + 1,
        "2500, or the last that the file system has": 530 * 365 * 86400 * SECOND + 1,
        "now": 1_763_000_000 * SECOND + 987_654_321,
    }
    for name, moment in times.items():
        os.utime(small_file(root / name, name.encode()), ns=(moment, moment))
    folder = root / "folder of its own time"
    small_file(folder / "younger", b"x")
    (root / "link of its own time").symlink_to("now")
    os.utime(root / "link of its own time", ns=(77 * SECOND + 7, 77 * SECOND + 7), follow_symlinks=False)
    os.utime(folder, ns=(5 * SECOND + 5, 5 * SECOND + 5))


def differences(source: Path, restored: Path, *, owner: bool = True) -> list[str]:
    """Return the differences between two trees, one a line.

    Without `owner`, properties that only root can restore are not compared.
    """
    one, other = seen(os.fsencode(source)), seen(os.fsencode(restored))
    found = [f"missing: {name!r}" for name in sorted(one.keys() - other.keys())]
    found += [f"added: {name!r}" for name in sorted(other.keys() - one.keys())]
    for name in sorted(one.keys() & other.keys()):
        (a, a_room), (b, b_room) = one[name], other[name]
        for field in Seen.__dataclass_fields__:
            if (field not in ("owner", "attributes") or owner) and getattr(a, field) != getattr(b, field):
                found.append(f"{name!r}: {field}: {getattr(a, field)!r} became {getattr(b, field)!r}")
        found += [f"{name!r}: {what}" for what in _holes(a_room, b_room)]
    return found


def _holes(a: Room, b: Room) -> Iterator[str]:
    """Yield a difference if a sparse file takes more room, or if the data of a large one lie elsewhere."""
    if not a.size or a.size != b.size:
        return
    if b.blocks > a.blocks + SLACK + a.blocks // 16:
        yield f"takes {b.blocks} bytes, not {a.blocks}"
    if a.size > SPARSE_KEPT and a.blocks < a.size and a.regions != b.regions:
        yield "its holes lie elsewhere"


def remove(tree: Path) -> None:
    """Remove a tree, even one too deep for `shutil.rmtree` or with flags that only `chattr` can clear."""
    if shutil.which("chattr"):
        subprocess.run(["chattr", "-R", "-f", "-i", "-a", str(tree)], capture_output=True, check=False)
    subprocess.run(["rm", "-rf", "--", str(tree)], check=True)


def rsync(source: Path, restored: Path) -> str:
    """Return the changes by which rsync would make `restored` equal: nothing, if it is equal."""
    done = subprocess.run(
        ["rsync", "-aHAXn", "--delete", "--checksum", "--itemize-changes", f"{source}/", f"{restored}/"],
        capture_output=True,
        text=True,
        errors="backslashreplace",
        check=False,
        timeout=600,
    )
    return done.stdout + done.stderr
