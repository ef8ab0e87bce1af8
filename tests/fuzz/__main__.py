"""The command `python -m tests.fuzz`: every parser of both sides under libFuzzer, by atheris (the extra `fuzz`).

It takes `--minutes N [--only NAME] [--out DIR]`. It runs as many parsers at once as there are cores, each for its
share of the time, and prints how often each was run. It fails if a parser ended in anything but a value or an error
of ours. It also fails if one took longer than a second, or asked for more than 64 MiB
beyond its input.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.parsers import PARSERS, TYPED

ROOT = Path(__file__).parent.parent.parent
DONE = re.compile(r"stat::number_of_executed_units: (\d+)")
PEAK = re.compile(r"stat::peak_rss_mb: +(\d+)")


def fuzz(name: str, seconds: int, out: Path) -> tuple[str, int, int, str]:
    """Run one parser; return its name, its number of runs, its peak memory in MiB, and its failure, if any."""
    folder = out / re.sub(r"\W+", "-", name)
    folder.mkdir(parents=True, exist_ok=True)
    words = (sys.executable, "-m", "tests.fuzz.target", name, str(seconds), str(folder))
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
    said = done.stdout + done.stderr
    (folder / "log").write_text(said)
    runs, peak = DONE.search(said), PEAK.search(said)
    failure = "" if done.returncode == 0 else f"exit {done.returncode}, see {folder}"
    return name, int(runs[1]) if runs else 0, int(peak[1]) if peak else 0, failure


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--only", action="append", choices=sorted((*PARSERS, *TYPED)))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    out = given.out or Path(tempfile.mkdtemp(prefix="offseed-fuzz-"))
    names = given.only or [*PARSERS, *TYPED]
    cores = os.cpu_count() or 1
    seconds = max(1, int(given.minutes * 60 * cores / len(names)))
    print(f"{len(names)} parsers, {seconds} s each, {cores} at once; inputs and logs in {out}", flush=True)
    began, total, failures = time.monotonic(), 0, []
    with ThreadPoolExecutor(cores) as pool:
        for name, runs, peak, failure in pool.map(lambda name: fuzz(name, seconds, out), names):
            total += runs
            failures += [failure] if failure else []
            print(f"{name:40} {runs:>12,} runs, peak {peak} MiB {failure or 'ok'}", flush=True)
    print(f"{total:,} runs in {(time.monotonic() - began) / 60:.1f} minutes; {len(failures)} failed")
    return 1 if failures or not total else 0


if __name__ == "__main__":
    sys.exit(main())
