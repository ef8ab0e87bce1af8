"""Resend: disks that will never come are given up, and their contents are sent again.

The run sends the data that the source still has, over the network or on the disks of a further set. The order
of writes:

    the disks are given up, in the home     from here on nothing counts on them.
    a new recovery point                    with it goes everything that the source still has.
    a revision of each older point          that needs the archives of the disks. It takes the point's place,
                                            and names the lost files.
    a further revision of each point        that lost files before, if these are back.
    the set, revised                        without the disks that were given up.

The same command goes on after a crash at any place in it.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass, replace

from formats import layout
from formats.disks import check_disk
from formats.documents import envelope
from formats.documents.manifest import Manifest
from formats.errors import HomeError, UsageError
from formats.ids import ArchiveName, hex_digest
from formats.monitor import Finding, Monitor
from formats.records import write_private
from formats.rules.completeness import awaited
from formats.rules.custody import newest
from formats.store.checked import is_whole
from formats.store.contract import Store
from formats.store.local import LocalStore
from formats.words import instant
from formats.words import listed as numbers_listed
from seed.backup import export
from seed.backup.announce import announce_to
from seed.backup.backup import BackupOptions, back_up
from seed.backup.disk_station import DiskSupply
from seed.disks.custody import steps_of
from seed.home.disk_sets import KeptSet
from seed.home.home import Home, LeftOut
from seed.home.items import Scope, check_targets, out_of_reach
from seed.points.machine_keys import check_active
from seed.points.points import needed_of
from seed.revision.point_revisions import Revision, unmet
from seed.revision.recovered_files import TakenBack, take_back
from seed.session.awaited_archives import given_up
from seed.session.previous_points import PreviousPoints
from seed.session.session import Session


@dataclass(frozen=True)
class SentAgain:
    """The point with the data sent again, the archives sent, and the set and disks that took them, if any."""

    manifest: Manifest
    archives: int
    archive_bytes: int
    disk_set: str | None = None
    disks: tuple[int, ...] = ()


@dataclass(frozen=True)
class ResendResult:
    """The result of a resend.

    `sent` is None if the data was sent before, or if nothing of the source is there any more. `revised` are
    the points that were revised. `lost` are the files that lost a version. `taken_back` are earlier losses
    that are losses no longer.
    """

    sent: SentAgain | None
    revised: tuple[Manifest, ...]
    lost: frozenset[bytes]
    taken_back: tuple[TakenBack, ...] = ()


@dataclass(frozen=True)
class LostDisks:
    """Disks of a finished set that will never come. With `booked_in`, they may be at the datacenter."""

    kept: KeptSet
    numbers: Collection[int]
    booked_in: bool = False

    @property
    def names(self) -> str:
        """The disks in the words of the command."""
        return " ".join(f"{self.kept.state.set[:8]}/{number}" for number in sorted(self.numbers))

    def give_up(self) -> None:
        """Note in the home that nothing counts on these disks."""
        for number in self.numbers:
            if not (disk := self.kept.state.disks_by_number[number]).dropped:
                self.kept.know(replace(disk, dropped=True))
                self.kept.change(resent=None)


def resend(
    home: Home, disks: LostDisks, supply: DiskSupply, vault: Store, options: BackupOptions, monitor: Monitor
) -> ResendResult:
    """Give up disks, and send their contents again: to the disks of `supply`, or over the network without any.

    The caller has locked the home, and has seen that no other machine took its place.

    Raises UsageError, HomeError, VaultError, StoreError, MediaError, Interrupted; the same call goes on where
    it ended.
    """
    kept = disks.kept
    _check(home, disks, vault)
    if not disks.booked_in:
        _check_custody(home, disks, vault, monitor)
    for target in supply.at:
        check_disk(target)
    scope = _scope(home, kept, monitor)
    check_targets(supply.at, scope.items)
    disks.give_up()
    sent, checked = None, dict[ArchiveName, bool]()
    if scope.items and kept.state.resent is None and _is_needed(home, vault, checked, monitor):
        if supply.at:
            wanted = export.ExportOptions(again=True, resends=disks.names, level=options.level)
            sent = _to_disks(home, scope, supply, vault, wanted, monitor)
        else:
            sent = _over_the_network(home, scope, vault, options, monitor)
        kept.change(resent=sent.manifest.point)
    with Session.open(home, vault, monitor) as session:
        revised, lost = Revision(session, _gone(session, checked), options.level).publish()
        taken_back = take_back(session, session.points(), options.level)
        _revise_set(session, kept)
    return ResendResult(sent, tuple(revised), frozenset(lost), taken_back)


def _check(home: Home, disks: LostDisks, vault: Store) -> None:
    """Raise UsageError if these disks must not be given up."""
    kept, numbers, state = disks.kept, disks.numbers, disks.kept.state
    if state.status != "finished":
        again = " ".join(f"--without {n}" for n in sorted(numbers))
        raise UsageError(
            "usage", "the export of this set is not finished", subject=state.set[:8],
            hint=f"run it again, with {again}: it reads the data again that only that disk held",
        )  # fmt: skip
    waiting = awaited(kept.document(), home.identity.came_to(vault))
    for number in sorted(numbers):
        disk = state.disks_by_number.get(number)
        if disk is None:
            raise UsageError(
                "usage", f"the set has no disk {number}", subject=f"{state.set[:8]}/{number}",
                hint=f"its disks are {numbers_listed([d.number for d in state.disks])}",
            )  # fmt: skip
        if not disk.dropped and number not in waiting:
            raise UsageError(
                "usage", f"disk {number} has arrived in the vault", subject=f"{state.set[:8]}/{number}",
                hint="there is nothing to send again",
            )  # fmt: skip


def _check_custody(home: Home, disks: LostDisks, vault: Store, monitor: Monitor) -> None:
    """Raise UsageError if one of the disks is at the datacenter, and can still be imported."""
    kept = disks.kept
    for number in sorted(disks.numbers):
        came = newest(steps_of(home, kept, number, vault, monitor), "received")
        if came is not None and not kept.state.disks_by_number[number].dropped:
            raise UsageError(
                "disk-booked-in", f"disk {number} has come to the datacenter, {instant(came.at)}, and is to be imported there",
                subject=f"{kept.state.set[:8]}/{number}",
                hint="ask the datacenter to import it: `seed repair` then replaces its damaged data. If it cannot be read there at "
                "all, give it up by --booked-in",
            )  # fmt: skip


def _scope(home: Home, kept: KeptSet, monitor: Monitor) -> Scope:
    """Return the paths of the set and the usual ones, as far as they are there.

    Files may have moved from the ones to the others. An exclusion applies only if both have it.
    """
    usual, then = home.state, kept.state
    missing = out_of_reach([*usual.items, *then.items])
    for item in then.items:
        if item in missing:
            detail = missing[item].strerror or "it is no longer there"
            monitor.finding(Finding(code="source-unreadable", subject=os.fsdecode(item), detail=detail))
    items = tuple(i for i in sorted({*usual.items, *then.items}) if i not in missing)
    left_out = LeftOut(
        excludes=tuple(e for e in usual.left_out.excludes if e in then.left_out.excludes),
        one_file_system=usual.left_out.one_file_system and then.left_out.one_file_system,
        exclude_caches=usual.left_out.exclude_caches and then.left_out.exclude_caches,
    )
    return Scope(items, left_out, once=(items, left_out) != (usual.items, usual.left_out))


def _is_needed(home: Home, vault: Store, checked: dict[ArchiveName, bool], monitor: Monitor) -> bool:
    """Return whether a point of this machine needs the archives that are gone."""
    with Session.open(home, vault, monitor) as session:
        return bool(unmet(session, session.points(), _gone(session, checked)))


def _over_the_network(
    home: Home, scope: Scope, vault: Store, options: BackupOptions, monitor: Monitor
) -> SentAgain:
    with Session.open(home, vault, monitor) as session:
        backed = back_up(session, scope, options)
    return SentAgain(backed.manifest, backed.archives, backed.archive_bytes)


def _to_disks(
    home: Home,
    scope: Scope,
    supply: DiskSupply,
    vault: Store,
    options: export.ExportOptions,
    monitor: Monitor,
) -> SentAgain:
    """Export onto further disks, beside the archives that earlier points need and the vault has or awaits.

    The export is a set of its own, and is announced at once.
    """
    with Session.open(home, vault, monitor) as session:
        session.settle()
        # Disks may travel for weeks before the vault hears of them. So they build only on the last points.
        over = PreviousPoints.of(session, further=False)
        exported = export.export(home, scope, supply, options, monitor, over)
    announce_to(home, vault, monitor)
    manifest, state = exported.committed.manifest, exported.state
    reused = {need.archive.name for need in over.reuse.needs}
    with Session.open(home, vault, monitor) as session:
        (point,) = [p for p in session.points() if p.manifest.point == manifest.point]
        new = [n.archive for n in needed_of(session.own, point) if n.archive.name not in reused]
    disks = tuple(disk.number for disk in state.disks if not disk.dropped)
    return SentAgain(manifest, len(new), sum(a.size for a in new), state.set, disks)


def _gone(session: Session, checked: dict[ArchiveName, bool]) -> set[ArchiveName]:
    """Return the archives of the disks that were given up, without those that have come.

    If the vault lists such an archive all the same, it is read once: the disk did not bring it, so it may be
    somebody's junk. `checked` remembers the results.
    """
    there = dict(session.vault.list("archives"))
    for name in given_up(session.home, session.monitor):
        if name not in checked:
            place = layout.archive_name(name)
            checked[name] = place in there and is_whole(session.vault, place)
    return {name for name, whole in checked.items() if not whole}


def _revise_set(session: Session, kept: KeptSet) -> None:
    """Put the set document without the disks that were given up, in the home and in the vault."""
    identity, before = session.home.identity, kept.document()
    brought = next((p for p in session.points() if p.manifest.point == before.point), None)
    if brought is None:
        raise HomeError(
            "home-damaged", "the point that the set brings cannot be read", subject=before.point[:8],
            hint="the vault may hold it: run the same command again where it can be reached",
        )  # fmt: skip
    dropped = {disk.number for disk in kept.state.disks if disk.dropped}
    stay = tuple(disk for disk in before.disks if disk.number not in dropped)
    document = replace(before, disks=stay, manifest=brought.digest)
    path = kept.folder / "set"
    if document != before:
        revised = replace(document, revision=before.revision + 1, created=int(session.home.clock.now()))
        write_private(path, envelope.sign(revised, identity.signing_key))
    data = path.read_bytes()
    sequence = brought.manifest.sequence
    name = layout.numbered(layout.set_prefix(identity.machine), sequence, hex_digest(data))
    with LocalStore.open(str(kept.cache), create=True) as cache:
        cache.put_new(name, data)
    check_active(identity, session.vault, session.monitor)
    session.vault.put_new(name, data)
