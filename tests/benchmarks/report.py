"""What was measured, for people: medians over the rounds, and how they compare."""

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from tests.benchmarks.measure import Usage
from tests.benchmarks.programs import BACKUP, STEPS

MIB = 1 << 20
HEAD = (
    "step", "program", "wall s", "best s", "CPU s", "peak MiB", "MiB",
    "restic ÷", "borg ÷", "cp ÷", "÷ floor", "size ÷ restic", "size ÷ borg",
)  # fmt: skip


@dataclass(frozen=True)
class Measurement:
    """One step of one program in one round."""

    corpus: str
    round: int
    program: str
    variant: str
    step: str
    usage: Usage
    stored_bytes: int

    @property
    def who(self) -> str:
        return f"{self.program} {self.variant}".strip()


@dataclass(frozen=True)
class _Row:
    """The medians of one step of one program."""

    program: str
    variant: str
    seconds: float
    best: float
    cpu_seconds: float
    peak: float
    stored: float


ABSENT = _Row("", "", 0, 0, 0, 0, 0)


def machine() -> dict[str, str | int]:
    """What the figures were taken on."""
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
    """How many processes wanted a core over the last minute; 0 where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def table(measurements: Sequence[Measurement]) -> str:
    """A Markdown table of one corpus. `restic ÷ 3.1` says that restic takes 3.1 times as long as this row."""
    lines = [HEAD, tuple("---" for _ in HEAD)]
    for step in STEPS:
        rows = _rows(m for m in measurements if m.step == step)
        lines += [(step, *_cells(step, row, rows)) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines
    )


def _rows(measurements: Iterable[Measurement]) -> list[_Row]:
    groups: dict[tuple[str, str], list[Measurement]] = {}
    for one in measurements:
        groups.setdefault((one.program, one.variant), []).append(one)
    return [_row(program, variant, some) for (program, variant), some in groups.items()]


def _row(program: str, variant: str, some: Sequence[Measurement]) -> _Row:
    seconds = [m.usage.seconds for m in some]
    return _Row(
        program,
        variant,
        median(seconds),
        min(seconds),
        median(m.usage.cpu_seconds for m in some),
        median(m.usage.peak_bytes for m in some),
        median(m.stored_bytes for m in some),
    )


def _cells(step: str, row: _Row, rows: Sequence[_Row]) -> tuple[str, ...]:
    """The yardstick itself is compared with nothing."""
    restic, borg = (ABSENT if row.program == "cp" else _find(rows, name) for name in ("restic", "borg"))
    yardstick = _find(rows, "cp", row.variant)
    first = step == BACKUP
    floor = _find(rows, "floor", row.variant)
    return (
        f"{row.program} {row.variant}".strip(),
        f"{row.seconds:.2f}",
        f"{row.best:.2f}",
        f"{row.cpu_seconds:.2f}",
        f"{row.peak / MIB:.0f}",
        f"{row.stored / MIB:.1f}",
        _ratio(restic.seconds, row.seconds),
        _ratio(borg.seconds, row.seconds),
        _ratio(yardstick.seconds, row.seconds),
        _ratio(row.seconds, floor.seconds),
        _ratio(row.stored, restic.stored, 3) if first else "",
        _ratio(row.stored, borg.stored, 3) if first else "",
    )


def _find(rows: Sequence[_Row], program: str, variant: str | None = None) -> _Row:
    return next((r for r in rows if r.program == program and variant in (None, r.variant)), ABSENT)


def _ratio(above: float, below: float, digits: int = 2) -> str:
    """Nothing where there is nothing to compare with."""
    return f"{above / below:.{digits}f}" if above and below else ""
