"""The measurements, for people: the minimum of the rounds, how programs compare, and their serial fractions.

The minimum counts, because other work on the machine only ever adds to the time of a program.
"""

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.benchmarks.measure import Usage
from tests.benchmarks.programs import BACKUP, STEPS

MIB = 1 << 20
HEAD = (
    "step", "program", "wall s", "CPU s", "peak MiB", "MiB",
    "restic ÷", "kopia ÷", "borg ÷", "cp ÷", "÷ floor", "size ÷ restic", "size ÷ kopia", "size ÷ borg",
)  # fmt: skip
SERIAL_HEAD = ("step", "program", "T1: CPU s on one core", "T2: wall s on two", "serial fraction")


@dataclass(frozen=True)
class Measurement:
    """One step of one program in one round, pinned to so many `cores` (0: to none)."""

    corpus: str
    round: int
    program: str
    variant: str
    step: str
    cores: int
    usage: Usage
    stored_bytes: int

    @property
    def who(self) -> str:
        return f"{self.program} {self.variant}".strip()


@dataclass(frozen=True)
class _Row:
    """The least wall and CPU seconds of one step of one program, and the most memory and bytes stored."""

    program: str
    variant: str
    seconds: float
    cpu_seconds: float
    peak: float
    stored: float


ABSENT = _Row("", "", 0, 0, 0, 0)


def machine() -> dict[str, str | int]:
    """Return the facts of the machine under the figures."""
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text("utf-8").splitlines() if cpus.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "cores": psutil.cpu_count() or 0,
        "processor": model or platform.machine(),
        "memory_bytes": psutil.virtual_memory().total,
        "kernel": f"{platform.system()} {platform.release()}",
    }


def load() -> float:
    """Return how many processes wanted a core over the last minute, or 0 if the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def table(measurements: Sequence[Measurement]) -> str:
    """Return a Markdown table of one corpus. `restic ÷ 3.1` says that restic takes 3.1 times as long as this row."""
    lines = []
    for step in STEPS:
        rows = _rows(m for m in measurements if m.step == step)
        lines += [(step, *_cells(step, row, rows)) for row in rows]
    return _markdown([HEAD, *lines])


def serial(measurements: Sequence[Measurement]) -> str:
    """Return a Markdown table of the part of each step that runs on one core alone, however many there are.

    A step that takes T1 on one core takes T1 · (serial + (1 - serial) ÷ 2) on two. So serial is 2 · T2 ÷ T1 - 1.
    """
    lines = []
    for step in STEPS:
        on_one, on_two = (
            _rows(m for m in measurements if m.step == step and m.cores == cores) for cores in (1, 2)
        )
        for one in on_one:
            two = _find(on_two, one.program, one.variant)
            if one.cpu_seconds and two.seconds:
                fraction = f"{2 * two.seconds / one.cpu_seconds - 1:.2f}"
                lines.append((step, _who(one), f"{one.cpu_seconds:.2f}", f"{two.seconds:.2f}", fraction))
    return _markdown([SERIAL_HEAD, *lines])


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    """Return a table; the first line is its head."""
    lines = [lines[0], tuple("---" for _ in lines[0]), *lines[1:]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines
    )


def _rows(measurements: Iterable[Measurement]) -> list[_Row]:
    groups: dict[tuple[str, str], list[Measurement]] = {}
    for one in measurements:
        groups.setdefault((one.program, one.variant), []).append(one)
    return [_row(program, variant, some) for (program, variant), some in groups.items()]


def _row(program: str, variant: str, some: Sequence[Measurement]) -> _Row:
    return _Row(
        program,
        variant,
        min(m.usage.seconds for m in some),
        min(m.usage.cpu_seconds for m in some),
        max(m.usage.peak_bytes for m in some),
        max(m.stored_bytes for m in some),
    )


def _cells(step: str, row: _Row, rows: Sequence[_Row]) -> tuple[str, ...]:
    """Return a row's cells. The yardstick `cp` is compared with nothing."""
    peers = [ABSENT if row.program == "cp" else _find(rows, name) for name in ("restic", "kopia", "borg")]
    yardstick = _find(rows, "cp", row.variant)
    floor = _find(rows, "floor", row.variant)
    return (
        _who(row),
        f"{row.seconds:.2f}",
        f"{row.cpu_seconds:.2f}",
        f"{row.peak / MIB:.0f}",
        f"{row.stored / MIB:.1f}",
        *(_ratio(peer.seconds, row.seconds) for peer in (*peers, yardstick)),
        _ratio(row.seconds, floor.seconds),
        *(_ratio(row.stored, peer.stored, 3) if step == BACKUP else "" for peer in peers),
    )


def _who(row: _Row) -> str:
    return f"{row.program} {row.variant}".strip()


def _find(rows: Sequence[_Row], program: str, variant: str | None = None) -> _Row:
    return next((r for r in rows if r.program == program and variant in (None, r.variant)), ABSENT)


def _ratio(above: float, below: float, digits: int = 2) -> str:
    """Return the ratio, or nothing if there is nothing to compare with."""
    return f"{above / below:.{digits}f}" if above and below else ""
