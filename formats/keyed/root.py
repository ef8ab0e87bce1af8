"""The sealed root of a recovery point: the owner's part, bound to all clear parts of the manifest.

Only the owner may know its content. A reader with the key opens the root first and refuses any difference
(ROOT-1 to ROOT-4). So restore trusts the master key alone; signatures serve the side without keys.
"""

from formats.documents.codec import Record, blob, choice, hexed, integer, many, member, nested, optional
from formats.documents.manifest import Manifest
from formats.errors import IntegrityError
from formats.ids import HexDigest, PointId, hex_digest, machine_id
from formats.keyed.aead import Xaes256Gcm
from formats.keyed.chunking import ChunkingParameters
from formats.keyed.keys import MasterKey
from formats.untrusted import Json, decode_json, encode_json

AAD = b"offseed root v1"
DOUBTS_MAX = 8  # so many fit beside the pages
DOUBT_REASONS = ("gone", "empty", "unmounted", "shrank")


class Doubt(Record):
    """An item of which the machine doubts that the point holds everything that it should, and the reason.

    The point `than` held `before` entries and `bytes_before` of it; this one holds `entries` and `bytes`. The
    machine has seen this state in so many `runs`, for the first time at `since`.
    """

    item: bytes = member(blob(1024))
    why: str = member(choice(*DOUBT_REASONS))
    than: PointId = member(hexed(16))
    before: int = member(integer())
    bytes_before: int = member(integer())
    entries: int = member(integer())
    bytes: int = member(integer())
    since: int = member(integer())
    runs: int = member(integer(1))


class PointRoot(Record):
    """The content of a sealed root.

    `clear` binds all other members of the manifest, and `public_key` makes its machine's id. `authority` is
    the public key of the vault's authority, which alone may end the machine. `pages` are the ids of the
    catalog's pages in order. `doubts` are the reasons if the point is doubted.
    """

    public_key: str = member(hexed(32))
    authority: str = member(hexed(32))
    clear: HexDigest = member(hexed(32))
    chunking: ChunkingParameters = member(nested(ChunkingParameters))
    pages: tuple[str, ...] = member(many(hexed(32), 600))
    doubts: tuple[Doubt, ...] | None = member(optional(many(nested(Doubt), DOUBTS_MAX)), default=None)


def clear_digest(manifest: Manifest) -> HexDigest:
    """Return the digest of the manifest's JSON without its `root`, in our one encoding."""
    clear: Json = {name: value for name, value in manifest.to_json().items() if name != "root"}
    return hex_digest(encode_json(clear))


def seal_root(master: MasterKey, root: PointRoot, *, nonce: bytes | None = None) -> bytes:
    return Xaes256Gcm(master.seal).seal(encode_json(root.to_json()), AAD + master.key_id, nonce=nonce)


def open_root(master: MasterKey, manifest: Manifest, where: str) -> PointRoot:
    """Open the root, and refuse every difference from the clear part.

    Raises IntegrityError seal-broken (ROOT-1), root-differs (ROOT-2); FormatError. The caller has the
    envelope, and must check that the root's key signed the manifest (ROOT-3).
    """
    data = Xaes256Gcm(master.seal).open(manifest.root, AAD + master.key_id, where)
    root = PointRoot.from_json(decode_json(data, where), where)
    root.chunking.check(f"{where}: chunking")
    machine = machine_id(bytes.fromhex(root.public_key))
    if root.clear != clear_digest(manifest) or machine != manifest.machine:
        raise IntegrityError(
            "root-differs",
            "the manifest differs from the values that the owner sealed",
            subject=where,
            hint="the manifest was altered after it was written; take it from another disk or the vault",
        )
    return root
