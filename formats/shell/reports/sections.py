"""The sections about points, disks and jobs, the same on either side."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from html import escape

from formats.shell.reports import charts
from formats.shell.reports.facts import STATES, DiskFact, JobFact, PointFact, ReportPage, worst
from formats.shell.reports.page import as_html, section, table
from formats.words import counted, lasting, moment, size

ROWS_MAX = 60  # the most rows of a table: the newest
CELLS_MAX = 600  # the most cells of a disk's map
CLASSES = {state: state.replace("not ", "un") for state in STATES}


def everything(told: ReportPage, throughput_of: str, *further: str) -> list[str]:
    """Return all sections of a report; the `further` ones, HTML already, follow the section on waiting."""
    return [
        waiting(told.points, told.waiting),
        *further,
        points_over_time(told.points),
        bytes_by_day(told.points),
        thrift(told.points),
        throughput(told.disks, throughput_of),
        disks_map(told.disks),
        work(told.jobs),
    ]


def points_over_time(points: Sequence[PointFact]) -> str:
    """Return the section on the size of the backups and of their storage, with the list of points."""
    if not points:
        return section("Recovery points", "<p>There are none yet.</p>")
    by_machine: dict[str, list[PointFact]] = defaultdict(list)
    for point in points:
        by_machine[point.machine].append(point)
    drawn = "".join(
        f"{f'<h3>{escape(name)}</h3>' * (len(by_machine) > 1)}"
        + charts.lines(
            [_day(p.created) for p in own],
            {"files": [p.file_bytes for p in own], "stored": [p.needed_bytes for p in own]},
            size,
        )
        for name, own in by_machine.items()
    )
    rows = [
        (
            moment(p.created)[:16],
            p.machine,
            p.point[:8],
            p.kind,
            f"{p.files:,}",
            size(p.file_bytes),
            size(p.new_bytes),
            p.standing,
        )
        for p in sorted(points, key=lambda p: -p.created)[:ROWS_MAX]
    ]
    listed = table(("when", "@machine", "point", "kind", "#files", "#size", "#new", "~standing"), rows)
    return section("Recovery points over time", drawn, listed, note=_left_out(len(points), ROWS_MAX, "point"))


def bytes_by_day(points: Sequence[PointFact]) -> str:
    """Return the section on the bytes that each day added."""
    days: Counter[str] = Counter()
    for point in points:
        days[_day(point.created)] += point.new_bytes
    if not days:
        return ""
    ordered = sorted(days)[-ROWS_MAX:]
    drawn = charts.bars(ordered, {"new": [days[day] for day in ordered]}, size)
    return section(
        "Bytes stored by day",
        drawn,
        note="archives that a point was the first to need, compressed and sealed",
    )


def thrift(points: Sequence[PointFact]) -> str:
    """Return the section on the savings by deduplication and compression, over all points that are there."""
    alone, newest = sum(p.file_bytes for p in points), {p.machine: p for p in points}
    stored = sum(p.new_bytes for p in points)
    if not stored or not alone:
        return ""
    latest = sum(p.file_bytes for p in newest.values())
    drawn = charts.rows(
        ["all points, each by itself", "the newest alone", "stored for all of them"],
        [alone, latest, stored],
        size,
    )
    said = f"<p>All {len(points):,} points together are stored in 1/{alone / stored:.1f} of what they would take each by itself.</p>"
    return section("Deduplication and compression", said, drawn)


def throughput(disks: Sequence[DiskFact], what: str) -> str:
    """Return the section on the speed of each disk."""
    known = [(disk, disk.speed) for disk in disks if disk.speed]
    if not known:
        return ""
    shown = known[:ROWS_MAX]
    names = [disk.name for disk, _ in shown]
    return section(
        f"Throughput of each disk, {what}",
        charts.rows(names, [speed for _, speed in shown], lambda v: f"{size(v)}/s"),
    )


def disks_map(disks: Sequence[DiskFact]) -> str:
    """Return the section on the disks: each with its history, and a cell for each archive on it."""
    if not disks:
        return section("Disks", "<p>No disk was written so far.</p>")
    keys = "".join(f'<span class="key"><i class="{CLASSES[state]}"></i>{state}</span>' for state in STATES)
    parts = [f"<p>{keys}</p>"]
    for disk in disks:
        counts = Counter(disk.archives)
        told = ", ".join(f"{counts[state]:,} {state}" for state in STATES if counts[state])
        bad = ' class="bad"' if counts["damaged"] + counts["missing"] else ""
        parts.append(
            f"<p><b>{escape(disk.name)}</b> of {escape(disk.machine)}, {size(disk.bytes)}: {as_html(disk.state)}; "
            f"<span{bad}>{told or 'nothing is known of its archives'}</span></p>"
            f'<div class="map">{_cells(disk.archives)}</div>'
        )
        if disk.history:
            parts.append(f'<p class="note">{"<br>".join(map(as_html, disk.history))}</p>')
    return section("Disks, archive by archive", *parts)


def _cells(archives: Sequence[str]) -> str:
    """Return a cell for each archive, or for each few archives; it looks like the worst one."""
    step = -(-len(archives) // CELLS_MAX) or 1
    cells = []
    for at in range(0, len(archives), step):
        some = archives[at : at + step]
        told = ", ".join(f"{n:,} {state}" for state, n in Counter(some).items())
        cells.append(
            f'<i class="{CLASSES[worst(some)]}" title="archive {at + 1}{f" to {at + len(some)}" * (len(some) > 1)}: {told}"></i>'
        )
    return "".join(cells)


def waiting(points: Sequence[PointFact], further: Sequence[str]) -> str:
    """Return the section on the awaited disks, the number of waiting points, and other open tasks."""
    lines = [*waits(points), *further]
    told = "".join(f"<li>{as_html(line)}</li>" for line in lines)
    return section("What is waited for", f"<ul>{told}</ul>" if lines else "<p>Nothing.</p>")


def waits(points: Sequence[PointFact]) -> list[str]:
    """Return in words the disks that points wait for.

    One more line counts the points that lack archives which no known disk brings.
    """
    by_disk: dict[str, list[PointFact]] = defaultdict(list)
    for point in points:
        for disk in point.awaits:
            by_disk[f"{disk} of {point.machine}"].append(point)
    found = [
        f"{disk}: {counted(len(waiting), 'point')} {'wait' if len(waiting) > 1 else 'waits'} for it, "
        f"the first of {moment(min(p.created for p in waiting))[:16]}"
        for disk, waiting in sorted(by_disk.items())
    ]
    lacking = [p for p in points if p.missing and not p.awaits]
    if lacking:
        verb = "lacks" if len(lacking) == 1 else "lack"
        found.append(
            f"{counted(len(lacking), 'point')} {verb} archives, and no disk is known that brings them"
        )
    return found


def work(jobs: Sequence[JobFact]) -> str:
    """Return the section on the jobs, the newest first."""
    if not jobs:
        return ""
    rows = [
        (
            moment(job.began)[:16],
            job.kind,
            job.state,
            lasting(job.seconds) if job.seconds is not None else "",
            size(job.bytes) if job.bytes else "",
            f"{job.findings:,}" if job.findings else "",
            job.detail,
        )
        for job in sorted(jobs, key=lambda j: -j.began)[:ROWS_MAX]
    ]
    heads = ("when", "job", "state", "#took", "#bytes", "#findings", "~")
    return section("Jobs", table(heads, rows), note=_left_out(len(jobs), ROWS_MAX, "job"))


def _left_out(count: int, shown: int, noun: str) -> str:
    return f"the newest {shown} of {counted(count, noun)} are listed" if count > shown else ""


def _day(seconds: int) -> str:
    return moment(seconds)[:10]
