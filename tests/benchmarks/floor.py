"""The least cost of any such program, over the same bytes: `python -m tests.benchmarks.floor TREE FILE`.

It reads every file of a tree, 1 MiB at a time. It compresses by zstd and seals by AES-GCM on all processors, writes
the result to one file and syncs it. It finds nothing again, names nothing, keeps no catalog: nobody could restore
from it.
"""

import argparse
import os
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PIECE = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.floor", description=__doc__)
    parser.add_argument("tree", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--level", type=int, default=1)
    wanted = parser.parse_args()
    sys.setswitchinterval(0.0001)
    key = AESGCM(bytes(32))

    def seal(piece: bytes) -> bytes:
        codec = pa.Codec("zstd", compression_level=wanted.level)
        return key.encrypt(os.urandom(12), codec.compress(piece, asbytes=True), None)

    with ThreadPoolExecutor(os.cpu_count()) as pool, wanted.file.open("wb") as file:
        queue: deque[Future[bytes]] = deque()
        for piece in pieces(wanted.tree):
            queue.append(pool.submit(seal, piece))
            while len(queue) > 12:
                file.write(queue.popleft().result())
        for sealed in queue:
            file.write(sealed.result())
        file.flush()
        os.fsync(file.fileno())


def pieces(tree: Path) -> Iterator[bytes]:
    """Yield all bytes of all files, end to end, in pieces."""
    held: list[bytes] = []
    size = 0
    for data in contents(os.fspath(tree)):
        held.append(data)
        size += len(data)
        if size >= PIECE:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)


def contents(folder: str) -> Iterator[bytes]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from contents(entry.path)
            elif entry.is_file(follow_symlinks=False):
                handle = os.open(entry.path, os.O_RDONLY)
                while data := os.read(handle, PIECE):
                    yield data
                os.close(handle)


if __name__ == "__main__":
    main()
