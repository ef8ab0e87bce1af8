"""The command `python -m tests.benchmarks`: ours, restic, kopia and borg over the same trees; see README.md.

The programs take turns in rounds.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks.corpora import Corpus, prepare
from tests.benchmarks.measure import (
    SHARED_MEMORY,
    StepFailedError,
    pinned,
    run,
    scratch_folder,
    totals,
    words,
)
from tests.benchmarks.programs import RESTORE, STEPS, Program, environment, programs
from tests.benchmarks.report import Measurement, load, machine, serial, table

CHOICES = ("offseed", "restic", "kopia", "borg", "tar, zstd, age", "floor")
ROOM = 2.25  # times the corpus: two repositories, or one and its restored copy


class Bench:
    """One run of the benchmarks: its folder, its measurements, and the file of its results."""

    def __init__(self, scratch: Path, out: Path | None) -> None:
        self.scratch = scratch
        self.measurements: list[Measurement] = []
        self.failures = 0
        self._out = out

    def warm(self, compared: Sequence[Program]) -> None:
        """Run every command once over a tree of one file: none is measured while it is first read from a disk."""
        with scratch_folder(self.scratch, "warm-") as folder:
            (folder / "file").write_text("warm")
            for program in compared:
                for _ in self._steps(program, Corpus("warm", folder, totals(folder)), 0, 0):
                    pass

    def compare(self, corpus: Corpus, compared: Sequence[Program], rounds: int, cores: Sequence[int]) -> None:
        """Run all rounds over one corpus, each program pinned to each number of `cores`.

        Programs take turns, and another one begins each round. So a slow minute of the machine hurts all alike.
        """
        turns = [(program, count) for program in compared for count in cores]
        for number in range(rounds):
            first = number * len(cores) % len(turns)
            for program, count in (*turns[first:], *turns[:first]):
                try:
                    with pinned(count):
                        for measurement in self._steps(program, corpus, number + 1, count):
                            self._keep(measurement)
                except StepFailedError as error:
                    self.failures += 1
                    say(f"FAILED, its other steps are left out of this round: {error}")

    def _steps(self, program: Program, corpus: Corpus, number: int, cores: int) -> Iterator[Measurement]:
        """Prepare `program` in a folder of its own, and measure its steps. Raises StepFailedError."""
        with scratch_folder(self.scratch, "run-") as here:
            variables, log = environment(program, here), here / "log"
            for command in program.preparation(here):
                run(words(command), variables, here, log)
            for step in program.steps(here, corpus.path):
                usage = run(words(step.command), variables, step.folder or here, log, codes=step.codes)
                stored = totals(step.writes)
                if step.name == RESTORE and stored != corpus.totals:
                    raise StepFailedError(f"{program.name} restored {stored}, not {corpus.totals}")
                name = step.program or program.name
                yield Measurement(
                    corpus.name, number, name, program.variant, step.name, cores, usage, stored.file_bytes
                )
                for folder in step.frees:
                    shutil.rmtree(folder)

    def _keep(self, made: Measurement) -> None:
        self.measurements.append(made)
        usage, stored = made.usage, made.stored_bytes / (1 << 20)
        on = f" on {made.cores}" if made.cores else ""
        say(
            f"{made.corpus} {made.round}{on}: {made.who:18} {made.step:13} {usage.seconds:7.2f} s {stored:9.1f} MiB"
        )
        values = asdict(made)
        took = values.pop("usage")
        self.write("measurement", {**values, **took, "load": load()})

    def write(self, kind: str, values: Mapping[str, object]) -> None:
        """Write one line of the file of results, if there is one."""
        if self._out is not None:
            with self._out.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"kind": kind, "time": int(time.time()), **values}) + "\n")


def main() -> int:
    """Return 0, or 1 if a step failed."""
    wanted = arguments()
    compared = [p for p in programs(wanted.level or [1, 3]) if p.name in (wanted.program or CHOICES)]
    with scratch_folder(wanted.scratch, "offseed-benchmarks-") as scratch:
        bench = Bench(scratch, wanted.out)
        versions = [p.version() for p in {p.name: p for p in compared}.values()]
        here = machine()
        bench.write("machine", {**here, "versions": versions, "rounds": wanted.rounds})
        print(
            f"{here['cores']} cores ({here['processor']}), {int(here['memory_bytes']) >> 30} GiB, {here['kernel']}"
        )
        print("\n".join(versions))
        bench.warm(compared)
        for name in wanted.corpus or ["linux", "usr"]:
            corpus = prepare(name, scratch, wanted.deb)
            count, size = corpus.totals.files, corpus.totals.file_bytes
            bench.write("corpus", {"corpus": name, "files": count, "file_bytes": size})
            check_room(scratch, size)
            bench.compare(corpus, compared, wanted.rounds, (1, 2) if wanted.serial else (0,))
            shutil.rmtree(corpus.path)
            found = [m for m in bench.measurements if m.corpus == name]
            print(f"\n{name}: {count:,} files, {size / 1e9:.2f} GB; minimum of {wanted.rounds} rounds\n")
            print(table([m for m in found if m.cores != 1]), flush=True)
            if wanted.serial:
                print(f"\n{serial(found)}", flush=True)
    print("", *(f"{step}: {text}" for step, text in STEPS.items()), sep="\n")
    return 1 if bench.failures else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    add = parser.add_argument
    add(
        "--corpus",
        action="append",
        metavar="NAME",
        help="linux, usr, image, media, tiny, or a path; may be repeated; default: linux and usr",
    )
    add("--deb", type=Path, metavar="FILE", help="the linux-source package, instead of downloading it")
    add("--level", action="append", type=int, metavar="N", help="our zstd level; default: 1 and 3")
    add(
        "--program",
        action="append",
        choices=CHOICES,
        help="only these; may be repeated",
    )
    add("--serial", action="store_true", help="pin to one core and to two; print serial fractions")
    add("--rounds", type=int, default=3, metavar="N", help="default: 3")
    add("--scratch", type=Path, default=SHARED_MEMORY, metavar="DIR", help="work below it; default: /dev/shm")
    add("--out", type=Path, metavar="FILE", help="append one JSON line per measurement")
    wanted = parser.parse_args()
    if wanted.rounds < 1:
        parser.error("one round at least")
    return wanted


def check_room(scratch: Path, size: int) -> None:
    """Stop here if the disk lacks room, rather than in the middle of a round."""
    room = shutil.disk_usage(scratch).free
    if room < ROOM * size:
        raise SystemExit(f"{scratch} has {room >> 20} MiB of room; {int(ROOM * size) >> 20} MiB are needed")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


try:
    code = main()
except (OSError, subprocess.CalledProcessError, StepFailedError) as error:
    raise SystemExit(f"benchmarks: {error}") from error
sys.exit(code)
