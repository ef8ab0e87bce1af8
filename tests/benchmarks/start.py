"""The cost of starting the commands, as a share of a common start: `python -m tests.benchmarks.start`.

The reference is a start that many programs make. The benchmark measures the processor's time of whole processes,
each beside the reference, and takes the least of several rounds: other work on the machine only ever adds to it.
Exit code 1 tells that a command takes more than its share.
"""

import argparse
import os
import sys
from pathlib import Path

from tests.benchmarks.measure import SHARED_MEMORY, run, scratch_folder
from tests.commands import FOLDER
from tests.journeys.stage import Stage, backup

REFERENCE = "import asyncio, ssl, json, email.parser"
SHARES = {"importer points": 2.0, "seed points": 2.8, "seed --help": 1.2}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--scratch", type=Path, default=SHARED_MEMORY)
    given = parser.parse_args()
    with scratch_folder(given.scratch, "start-") as folder:
        least = measured(set_up(folder), given.rounds)
    reference = least.pop(REFERENCE)
    print(f"{REFERENCE:40} {1000 * reference:6.1f} ms")
    exceeded = False
    for line, seconds in least.items():
        share = seconds / reference
        exceeded |= share > SHARES[line]
        print(f"{line:40} {1000 * seconds:6.1f} ms, {share:.2f} times that; at most {SHARES[line]}")
    return int(exceeded)


def set_up(folder: Path) -> Stage:
    """Return a stage with two points of a machine in its vault, one of them from a disk."""
    stage = Stage(folder / "stage")
    files = folder / "files"
    files.mkdir()
    (files / "film").write_bytes(os.urandom(300_000))
    stage.open()
    stage.export(files)
    stage.import_()
    (files / "new").write_text("new")
    backup(stage)
    return stage


def measured(stage: Stage, rounds: int) -> dict[str, float]:
    """Return the least seconds of the reference and of each command, all of them measured in each round."""
    commands = {REFERENCE: [sys.executable, "-c", REFERENCE]}
    for line in SHARES:
        program, word = line.split()
        commands[line] = [str(FOLDER / program), word]
    environment = stage.environment({"IMPORTER_VAULT": stage.at})
    found: dict[str, list[float]] = {line: [] for line in commands}
    for _ in range(rounds):
        for line, command in commands.items():
            usage = run(command, environment, stage.folder, stage.folder / "log")
            found[line].append(usage.cpu_seconds)
    return {line: min(seconds) for line, seconds in found.items()}


if __name__ == "__main__":
    sys.exit(main())
