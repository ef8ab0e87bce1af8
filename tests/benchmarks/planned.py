"""The plan of `seed plan` for a tree, beside the export of it: `python -m tests.benchmarks.planned`.

It shows the error of the size, in per cent and in the standard errors that the plan gave. It also shows the planned
time, if the disk is memory and the processors alone count.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.corpora import prepare
from tests.benchmarks.measure import SHARED_MEMORY, scratch_folder

COMMANDS = Path(sys.executable).parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "corpora", nargs="*", default=["linux", "usr", "image", "media"], help="as for tests.benchmarks"
    )
    parser.add_argument("--deb", type=Path, help="the package of the Linux source")
    parser.add_argument("--scratch", type=Path, default=SHARED_MEMORY)
    parser.add_argument("--times", type=int, default=3, help="how often each tree is planned: samples differ")
    given = parser.parse_args()
    print(
        f"{'corpus':8} {'said MiB':>16} {'true MiB':>9} {'off':>7} {'errors':>7} {'said s':>7} {'took s':>7} {'planning':>8}"
    )
    for name in given.corpora:
        with scratch_folder(given.scratch, "planned-") as folder:
            corpus = prepare(name, folder, given.deb)
            compare(name, corpus.path, folder, given.times)
    return 0


def compare(name: str, tree: Path, folder: Path, times: int) -> None:
    environment = {**os.environ, "SEED_HOME": str(folder / "home"), "IMPORTER_HOME": str(folder / "importer")}

    def run(program: str, *words: object) -> Any:
        command = [str(COMMANDS / program), *map(str, words), "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, check=True)
        return json.loads(done.stdout)

    run("importer", "vault", "create", "Backups", "--at", folder / "vault", "--region", "here")
    run("importer", "credentials", "issue", "--out", folder / "credential")
    run(
        "seed",
        "register",
        "--credential",
        folder / "credential",
        "--generate-passphrase",
        folder / "passphrase",
    )
    plans, planning = [], []
    for _ in range(times):
        began = time.monotonic()
        plans.append(run("seed", "plan", tree))
        planning.append(time.monotonic() - began)
    (disk := folder / "disk").mkdir()
    exported = run("seed", "export", tree, "--to", disk, "--offline")
    true = sum(path.stat().st_size for path in disk.rglob("*") if path.is_file())
    for plan, seconds in zip(plans, planning, strict=True):
        seed = plan["seed_bytes"]
        off, error = true - seed["estimate"], (seed["high"] - seed["estimate"]) / 2
        said = f"{seed['estimate'] / 2**20:.1f} ± {2 * error / 2**20:.1f}"
        errors = off / error if error else 0.0
        prepare = plan["prepare_seconds"]
        print(
            f"{name:8} {said:>16} {true / 2**20:9.1f} {off / true:7.1%} {errors:7.1f} "
            f"{prepare['estimate']:3} ± {prepare['high'] - prepare['estimate']:2} {exported['seconds']:7} {seconds:8.1f}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
