"""Validate: the objects of a vault are read and checked against their names, without keys.

An object is read twice before it counts as damaged. The whole records of a damaged archive are saved first
(DMG-4). Then the archive is deleted, so that it can be sent again, or found on a disk. Other objects that can
be sent again are deleted, too. An object that cannot be read at all is left alone: the cable may be the
cause. A store that does not answer ends the validation. Foreign things are counted on the way, and set aside
if asked for.
"""

import math
import random
import threading
from collections import defaultdict
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from functools import cached_property

from formats import layout
from formats.documents.job import Validation
from formats.errors import (
    FormatError,
    IntegrityError,
    MediaError,
    NotFoundError,
    ObstructedError,
    StoreError,
    VaultError,
    is_damage,
)
from formats.ids import ArchiveName, KeyId, hex_digest
from formats.monitor import Finding, Monitor, Tally
from formats.records import write_private
from formats.store.contract import Guarded
from formats.store.foreign import Strangers
from formats.tables.holdings import Holding
from formats.tables.needs import all_of
from formats.tables.sections import Section
from importer.intake.archive_copy import PUTS_MAX, ReadBuffer, side_by_side
from importer.upkeep.foreign_entries import Cleaner
from importer.vault.archives import own_index
from importer.vault.machines import REQUEST_MAX, read_request
from importer.vault.points import History, by_name, received_archives, stocks
from importer.vault.registers import register
from importer.vault.salvage import SalvageState, salvage
from importer.vault.vault import Vault, members
from importer.vault.want_lists import copied_on, put_saved, sections_in, sign_replacements

SENT_AGAIN = ("indexes/", "needs/", "holdings/", "manifests/", "sets/", "copies/")
# Nobody but their machine has them, and it may be gone: their bytes are kept in the home.
SET_ASIDE = ("slots/", "policies/")
UNNAMED = ("label", "custody/")  # their names say nothing of their bytes


@dataclass
class ValidationResult:
    """The result of a validation.

    `after` is the name after which the next run goes on, or None if this run came to the end.
    """

    objects: int = 0
    bytes: int = 0
    damaged: list[str] = field(default_factory=list)
    records_saved: int = 0
    foreign: Strangers = field(default_factory=Strangers)
    set_aside: int = 0
    after: str | None = None


@dataclass(frozen=True)
class ValidationScope:
    """The part of a vault that is read: a `sample` of its objects, as a share of 1, until `deadline`.

    The deadline is an elapsed time of the vault's clock. With `aside`, foreign things are moved away, and objects
    that this user may not read.
    """

    sample: float = 1.0
    deadline: float | None = None
    aside: bool = False


def validate(vault: Vault, extent: ValidationScope, monitor: Monitor) -> ValidationResult:
    """Read the vault's objects by their names, from the end of the run before. Raises StoreError."""
    started = vault.now()
    look = vault.view.look("validations", Validation, vault.key, monitor)
    after = look.newest.document.after if look.newest is not None else None
    cleaner = Cleaner(vault.store, vault.clock, monitor, aside=extent.aside)
    listed = [(name, size) for name, size in vault.store.list("", cleaner) if after is None or name > after]
    cleaner.end()
    sampled = extent.sample < 1
    if sampled:
        listed = sorted(random.sample(listed, math.ceil(len(listed) * extent.sample)))
    monitor.expect(total=sum(size for _, size in listed), files=0, final=True)
    run = _Run(vault, monitor, aside=extent.aside)
    run.done.foreign, run.done.set_aside = cleaner.found, cleaner.moved
    threads = PUTS_MAX if isinstance(vault.store, Guarded) else 1

    def check(item: tuple[str, int]) -> None:
        late = extent.deadline is not None and vault.clock.elapsed() > extent.deadline
        if not late and not monitor.stopping():
            run.check(*item)

    side_by_side(threads, check, listed)
    done = run.done
    rest = sorted({name for name, _ in listed} - run.read)
    if rest and not sampled:
        earlier = [name for name in run.read if name < rest[0]]
        done.after = max(earlier, default=after)
    number = look.next_number
    document = Validation(
        number=number,
        vault=vault.id,
        role="authority",
        started=started,
        finished=vault.now(),
        objects=done.objects,
        bytes=done.bytes,
        damaged=len(done.damaged),
        sampled=sampled,
        after=after if sampled else done.after,
    )
    register(vault, monitor)
    vault.sign("validations", number, document)
    return done


class _Run:
    """The checks of objects, for several threads."""

    def __init__(self, vault: Vault, monitor: Monitor, *, aside: bool) -> None:
        self.done = ValidationResult()
        self._aside = aside
        self.read: set[str] = set()
        self._vault = vault
        self._monitor = monitor
        self._lock = threading.Lock()
        self._mending = threading.Lock()  # damage is rare
        self._space = ReadBuffer()
        self._known: dict[ArchiveName, set[tuple[str, Holding]]] | None = None

    def check(self, name: str, size: int) -> None:
        """Read an object, and handle it if it is damaged."""
        why, readable = self._flaw(name, size)
        if why:
            why, readable = self._flaw(name, size)
        with self._lock:
            self.done.objects += 1
            self.done.bytes += size
            self.read.add(name)
        self._monitor.progress(done=size, files=1)
        if not why:
            return
        detail = why
        with self._mending:
            if not readable and self._aside and self._is_obstructed(name):
                detail += self._move_away(name)
            elif name.startswith("archives/"):
                detail += self._save(name, readable)
            elif name.startswith(SET_ASIDE) and readable:
                detail += self._set_aside(name)
            elif name.startswith(SENT_AGAIN) and readable:
                self._vault.store.delete(name)
                detail += "; it was deleted, so that it can be sent again"
            elif readable and self._aside and not self._is_vouched_for(name):
                detail += self._move_away(name)
            self.done.damaged.append(name)
        self._monitor.finding(Finding(code="object-damaged", subject=name, detail=detail))

    def _flaw(self, name: str, size: int) -> tuple[str, bool]:
        """Return the flaw of an object, or an empty text, and whether the medium gave the object.

        Raises StoreError, MediaError if the error says nothing of the object.
        """
        try:
            data: bytes | memoryview
            if name.startswith("archives/"):
                space = self._space.view
                data = space[: self._vault.store.get_into(name, space)]
            else:
                data = self._vault.store.get(name)
        except NotFoundError:
            return "", True  # deleted meanwhile
        except (IntegrityError, StoreError, MediaError) as error:
            if not is_damage(error):
                raise
            return error.what, isinstance(error, IntegrityError) and not isinstance(error, ObstructedError)
        if name.startswith(UNNAMED) or layout.is_name_of(name, hex_digest(data)):
            return self._no_request(name, bytes(data)) if name.startswith("requests/") else "", True
        return "its bytes are not those of its name" if len(data) == size else "its size has changed", True

    def _no_request(self, name: str, data: bytes) -> str:
        """Return the reason why these bytes are no machine's request, though they are those of their name; nothing if they are one."""
        if hex_digest(data) in self._answered:
            return ""
        try:
            if len(data) > REQUEST_MAX:
                return "it is larger than any request"
            read_request(self._vault, data, name)
        except (FormatError, IntegrityError, VaultError) as error:
            return f"it is no request: {error.what}"
        return ""

    @cached_property
    def _answered(self) -> Set[str]:
        """The digests of the requests that were verified when their machines were admitted."""
        return {member.request for member in members(self._vault, Tally()).values()}

    def _is_vouched_for(self, name: str) -> bool:
        """Tell whether a register lists a document, or may: else anybody may have put it there, and it would be told of for ever."""
        if (subject := layout.subject_of(name)) is not None:
            registered = self._vault.view.registered(subject, Tally())
            return not registered.whole or name in registered.entries
        head, _, rest = name.partition("/")
        return (
            head == layout.REGISTERS
            and not self._vault.view.registered(rest.partition("/")[0], Tally()).whole
        )

    def _is_obstructed(self, name: str) -> bool:
        """Return whether this user may not read an object; False if its medium fails."""
        try:
            self._vault.store.get(name, length=1)
        except ObstructedError as error:
            return not error.closed
        except (IntegrityError, StoreError, MediaError):
            return False
        return False

    def _save(self, name: str, readable: bool) -> str:
        """Save the whole records of a damaged archive, and delete it. Return the result in words."""
        claims = self._expected().get(ArchiveName(bytes.fromhex(name.rpartition("/")[2])))
        if claims is None:
            return "; nothing that this vault knows needs it, and it was left alone"
        told = "; no index of it is to be had, so none of its records can be believed"
        for key_id, holding in sorted(claims, key=lambda claim: claim[0]):
            if (saved := self._saved(key_id, holding)) is not None:
                told = f"; {saved.words()}"
                readable = readable or bool(saved.whole)
        if not readable:
            return f"{told}; it was left alone"
        self._vault.store.delete(name)
        return told

    def _move_away(self, name: str) -> str:
        """Set an object aside within the vault. Return the result in words; a folder may be closed to this user."""
        try:
            place = self._vault.store.set_aside(name)
        except NotFoundError:
            return "; it is gone since"
        except StoreError as error:
            return f"; it cannot be moved away: {error.what}"
        self.done.set_aside += 1
        return f"; it was set aside: {place}"

    def _set_aside(self, name: str) -> str:
        """Move a damaged object from the vault into this home. Return the result in words."""
        assert self._vault.authority is not None
        folder = self._vault.authority.home / "set-aside" / self._vault.id
        data = self._vault.store.get(name, length=layout.size_max(name) + 1)
        path = folder / f"{name.replace('/', '-')}-{hex_digest(data)[:16]}"
        write_private(path, data)
        self._vault.store.delete(name)
        return f"; it was set aside, {path}, so that its machine puts it there again, or an import from a disk of it"

    def _saved(self, key_id: str, archive: Holding) -> SalvageState | None:
        """Save the whole records of an archive for the machines of a key. Return None if it has no index."""
        vault = self._vault
        section = sections_in(vault, [archive]).get(archive.name) or own_index(vault.store, archive)
        if section is None:
            return None
        try:
            saved = salvage(vault.store, archive, section, KeyId(bytes.fromhex(key_id)), lambda _: True)
        except FormatError:  # the writer of the archive claims something that no index can say
            return None
        if saved.archive is not None:
            put_saved(vault, saved.archive)
            stock, made = stocks(vault, Tally())[key_id], Section.of(saved.archive)
            for entries, copied in copied_on(vault, stock, [(all_of(archive), section)], made):
                sign_replacements(vault, key_id, entries, copied=copied)
            self.done.records_saved += saved.archive.records
        return saved

    def _expected(self) -> Mapping[ArchiveName, set[tuple[str, Holding]]]:
        """Return the archives that the vault knows, each with its keys and descriptions.

        Points need them, inventories list them, or they replace others. A machine that claims the archive of
        another harms nobody else.
        """
        if self._known is None:
            vault, found = self._vault, defaultdict[ArchiveName, set[tuple[str, Holding]]](set)
            known = members(vault, Tally())
            for holding, machine in received_archives(vault):
                if machine in known:
                    found[holding.name].add((known[machine].key_id, holding))
            for member in by_name(known):
                history = History(vault, member, known, Tally())
                for _, signed in history.found:
                    for need in history.needed(signed) or ():
                        found[need.archive.name].add((member.key_id, need.archive))
            for key_id, stock in stocks(vault, Tally()).items():
                for by in {by for held in stock.replaced.values() for by in held}:
                    found[by.name].add((key_id, by))
            self._known = dict(found)
        return self._known
