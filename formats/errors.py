"""The error tree: every failure that a user can meet is one of these errors, and says how to continue.

The second level names the owner of the problem. Each error carries a stable code, the object at fault and a hint.
A `FormatError`'s code is the anchor of the rule in SPEC.md that the bytes break. All other codes are in
`CODES`. A problem that does not stop the work is a finding. Its code is the code of the matching error, or
one of `FINDINGS`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar, TypeVar

T = TypeVar("T")
R = TypeVar("R")

CODES = {
    # usage
    "platform": "not supported on this system",
    "usage": "the command line cannot be understood",
    "path-not-found": "a path that was named does not exist",
    "nothing-to-back-up": "no path was named and none is remembered",
    "export-unfinished": "a first export is not finished, and a backup would send everything over the network",
    "items-differ": "other paths were named than those this machine backs up",
    "passphrase-mismatch": "the two passphrases typed differ",
    "passphrase-missing": "a passphrase is needed and none was given",
    "passphrase-short": "the passphrase has fewer than 16 characters",
    "passphrase-weak": "the passphrase is easily guessed",
    "name-invalid": "a vault or machine name breaks the rules for names",
    "rate-unreadable": "a rate, an hour or a day of the throttle cannot be understood",
    "schedule-unreadable": "a time or day of the schedule cannot be understood",
    "schedule-missing": "no schedule is set",
    "retention-unreadable": "a rule of the retention policy cannot be understood",
    "point-unknown": "no recovery point goes by that name",
    "job-unknown": "no job of this home goes by that name",
    "code-unreadable": "what was given is no code of a disk's label",
    "date-unreadable": "a date cannot be understood",
    "disk-unknown": "no disk of a set goes by that number, or no set by that name",
    "set-unknown": "no disk set of this home goes by that name",
    "no-vault": "no vault was named and none is known",
    "target-inside-source": "what is written would lie inside what is read",
    "file-exists": "a file that would be written exists already",
    "disk-booked-in": "a disk that would be given up is at the datacenter",
    # the state of this machine
    "home-missing": "this machine is not registered",
    "home-registered": "this machine is registered already",
    "home-damaged": "the state in the home cannot be read",
    "home-foreign": "the home belongs to another user, or another user could change it",
    "home-busy": "another command works on this home",
    "home-room": "the home's file system has too little room",
    "hook-failed": "a command before or after a backup failed",
    "timer-refused": "the system does not take the timer of the schedule",
    "handles-short": "the system lets a process open too few files at once",
    "worker-ended": "a process that works for this one was ended from outside",
    "authority-missing": "the home of the importer holds no authority for the vault",
    # keys
    "passphrase-wrong": "the passphrase opens none of the key slots",
    "slot-missing": "no key slot is there to be opened",
    "slot-last": "the only key slot is not taken away",
    "slots-full": "the key has as many passphrases as can be",
    "seal-broken": "sealed bytes do not open under this key",
    "root-differs": "the sealed root of a recovery point contradicts its manifest",
    # vault and registration
    "vault-missing": "there is no vault at that store",
    "vault-exists": "there is a vault at that store, or one of that name, already",
    "vault-ambiguous": "descriptions of several vaults lie in one store",
    "vault-damaged": "the vault's description is damaged",
    "vault-foreign": "the object belongs to another vault",
    "redundancy-locked": "redundancy is fixed once a machine is registered, or asks to be",
    "redundancy-differs": "the storage account has another redundancy than the vault is to have",
    "rights-missing": "the access to the storage account gives too few rights",
    "credential-unreadable": "the credential file cannot be read",
    "credential-damaged": "the credential file is damaged or was edited",
    "credential-expired": "the credential is past its 48 hours",
    "credential-not-yet-valid": "the credential is not valid yet by this clock",
    "credential-replaced": "a newer credential has replaced this one",
    "machine-name-taken": "another machine of the vault has that name",
    "key-taken": "another machine of the vault has that master key",
    "machine-unknown": "the machine is not registered with the vault",
    "machine-revoked": "the machine was revoked",
    "machine-replaced": "the machine was replaced: another has taken its place",
    "manifests-too-many": "a machine has more manifests than the end of its membership can name",
    "replacement-refused": "a machine may not take the place of the one that it names",
    "signature-wrong": "a signature does not verify",
    "vault-changed": "the vault condemned what a run builds upon",
    "wants-damaged": "what the vault says that it lacks is damaged",
    "replacement-untrue": "an archive does not hold what a replacement says",
    # disks
    "archive-foreign": "an archive was sealed by another machine than the one that wrote the disk",
    "disk-missing": "there is no disk at that path",
    "disk-crowded": "the disk holds more than any exporter writes",
    "disk-empty": "no seed lies on the disk",
    "disk-unfinished": "the disk was not closed by a valid inventory",
    "disk-forked": "two inventories of one generation differ",
    "disk-foreign": "the disk's folder belongs to another disk",
    "disk-outbound": "a vault wrote the disk, for a machine",
    "disk-full": "the disk is full",
    "disk-needed": "a disk of the set must be attached once more",
    "disk-small": "the disk is too small to begin with",
    "custody-broken": "what was told of a disk's custody is no whole chain",
    "read-only": "the medium cannot be written",
    "io-error": "the medium reports an error",
    # stores
    "store-missing": "there is no store at that address",
    "store-unknown": "the address of the store is not understood",
    "not-found": "the store holds no such object",
    "name-held": "another object holds the name",
    "obstructed": "something that is no object stands in the place of an object, or of a folder of objects",
    "denied": "the store denies access",
    "store-unreachable": "the storage service cannot be reached, or the connection broke",
    "store-busy": "the storage service was asked again and again, and did not do it",
    "access-missing": "a storage account asks who comes, and no access was given",
    "access-unreadable": "what was given is no access to a storage account",
    "access-expired": "the access to the storage account is past its time",
    "access-refused": "the storage account does not accept the access",
    "proxy-refused": "the proxy wants another user or password",
    "proxy-unreadable": "what was given is no proxy",
    # data
    "object-damaged": "an object's bytes do not have the digest they should have",
    "chunk-missing": "a chunk is in none of the archives at hand",
    "content-lost": "the content of a file was lost, and can be had nowhere any more",
    "point-incomplete": "the recovery point waits for objects that have not arrived",
    "restore-escape": "a name in the catalog leads outside the target",
    # endings
    "interrupted": "stopped on request; where it is a job, the same command goes on",
    "internal": "a fault in the program itself",
}

FINDINGS = {
    # the source
    "source-unreadable": "an entry could not be read and was left out",
    "source-changed": "a file changed while it was read, and was kept as it was read",
    "source-xattrs": "an entry's extended attributes could not be read",
    "item-doubted": "an item is empty, gone or mostly gone, or its file system is not mounted",
    # disks
    "vault-lost": "the vault no longer holds what it had taken",
    "object-missing": "an object that the inventory lists is not there",
    "object-unlisted": "an object is there that the inventory does not list",
    "object-lost": "a document that the vault had is gone or damaged",
    "cloned-home": "two recovery points of a machine have one sequence number: its home was copied",
    "disk-older": "the vault has seen a later inventory of this disk",
    "prune-doubt": "what may have been a manifest is damaged, and everything that came with it is kept",
    "prune-blind": "what a machine needs cannot be read, so nothing of it is deleted",
    # the target of a restore
    "target-exists": "something else stands at the place, and was left alone",
    "target-differs": "what lies at the target is not what the recovery point holds",
    "target-failed": "an entry could not be written",
    "target-xattr": "an extended attribute could not be set",
}


GOES_ON = "; the same command goes on"


class OffseedError(Exception):
    """One failure: a stable `code`, the event, its `subject`, and a `hint` at the next step."""

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, what: str, *, subject: str = "", hint: str = "") -> None:
        super().__init__(code, what, subject, hint)
        self.code = code
        self.what = what
        self.subject = subject
        self.hint = hint
        self.others: tuple[OffseedError, ...] = ()  # errors beside it that must be reported too

    def __str__(self) -> str:
        return f"{self.what}: {self.subject}" if self.subject else self.what


class UsageError(OffseedError):
    """A wrong command or wrong arguments; nothing was done."""

    exit_code = 2


class HomeError(OffseedError):
    """A state on this machine that does not allow the request."""


class PassphraseError(OffseedError):
    """A passphrase or key that does not open its target."""


class FormatError(OffseedError):
    """Bytes that break a rule of SPEC.md; `code` is the rule's anchor, `subject` the object and place."""


class IntegrityError(OffseedError):
    """Well-formed bytes that differ from the promise of a digest, seal or signature."""


class MediaError(OffseedError):
    """A disk that is missing, full, read-only or reports errors."""


class StoreError(OffseedError):
    """A store that does not hold, or does not give, the requested object."""


class NotFoundError(StoreError):
    """A name under which the store holds no object."""

    def __init__(self, name: str, where: str = "") -> None:
        super().__init__("not-found", "no such object", subject=f"{where}/{name}" if where else name)
        self.name = name


class NameHeldByOtherError(StoreError):
    """A write-once name that holds other bytes."""

    def __init__(self, name: str, where: str = "") -> None:
        super().__init__(
            "name-held",
            "another object holds this name",
            subject=f"{where}/{name}" if where else name,
            hint="run `importer validate` at the datacenter: it removes damaged objects that can be sent again. Then run this "
            "again. The object was left untouched: objects are written once",
        )
        self.name = name


class ObstructedError(IntegrityError, StoreError):
    """A thing at `path` in a store that is no object, or that nobody may read.

    `kind` is its kind if the store tells. For a reader this is damage of the object. `closed` marks a folder
    that this user may not look into: objects may lie there.
    """

    def __init__(
        self, what: str, *, subject: str, path: str = "", kind: str = "", closed: bool = False
    ) -> None:
        super().__init__(
            "obstructed",
            what,
            subject=subject,
            hint="give it to the user of this command (chown, chmod) if it is yours; else have it moved away by hand"
            if closed
            else "have it moved away: in a vault the operator does that by `importer validate --set-aside`; then run this again",
        )
        self.path = path
        self.kind = kind
        self.closed = closed


class VaultError(OffseedError):
    """A request that the vault's rules refuse; the code names the reason."""


def is_damage(error: OffseedError) -> bool:
    """Return whether a failed read tells of the object: it is missing, damaged or unreadable.

    Any other error tells of the store. A caller that took a broken connection for damage might give up an
    intact object.
    """
    return isinstance(error, FormatError | IntegrityError | NotFoundError) or error.code == "io-error"


@contextmanager
def damage_aside() -> Iterator[None]:
    """Ignore damage inside; raise all other errors."""
    try:
        yield
    except OffseedError as error:
        if not is_damage(error):
            raise


def together(errors: Sequence[OffseedError]) -> OffseedError:
    """Return the first of some errors, with the others attached to it."""
    first, *rest = errors
    first.others = (*first.others, *(other for error in rest for other in (error, *error.others)))
    return first


def each(attempt: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return the result of `attempt` for each item.

    Tries all items, then raises the errors of all that failed.
    """
    done: list[R] = []
    errors: list[OffseedError] = []
    for item in items:
        try:
            done.append(attempt(item))
        except Interrupted:
            raise
        except OffseedError as error:
            errors.append(error)
    if errors:
        raise together(errors)
    return done


def fault(error: Exception) -> OffseedError:
    """Return the error that reports a fault of the program itself."""
    return OffseedError("internal", "a fault in the program itself", subject=type(error).__name__)


class Interrupted(OffseedError):  # noqa: N818  an ending, not an error
    """A stop by the user or the system; `signal_number` is the signal."""

    def __init__(self, signal_number: int) -> None:
        super().__init__("interrupted", "stopped" + GOES_ON)
        self.signal_number = signal_number
