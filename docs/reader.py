"""Restore a backup of offseed when nothing else is left: this one file, written from formats/SPEC.md alone.

    pip install cryptography blake3 backports.zstd
    python reader.py STORE... --passphrase-file FILE --target FOLDER [POINT]

A STORE is a mounted disk, a vault's folder, or a copy of one; give all that there are. FILE has the
passphrase in its first line. FOLDER is new or empty. POINT begins the id of a point; without it the newest is
restored. The exit code is 0 only if everything was restored whole. Nothing is believed that does not prove
itself under the passphrase. A number behind § is a section of SPEC.md.
"""

import argparse
import base64
import json
import os
import struct
import sys
import unicodedata
from collections import defaultdict
from pathlib import Path

from blake3 import blake3
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FILE, FOLDER, SYMLINK = 1, 2, 3
SPECIAL = {4: 0o010600, 5: 0o140600, 6: 0o020600, 7: 0o060600}  # FIFO, socket, character and block device
CONTENT, CATALOG = 1, 2  # kinds of chunks
FLAWS = (LookupError, OSError, RuntimeError, struct.error, TypeError, ValueError)
DAMAGE = (*FLAWS, InvalidSignature, InvalidTag, zstd.ZstdError)


def digest(data):
    return blake3(data).digest()


def copies(roots, name, start=0, length=None):
    """Yield an object, or a part of it, from each store that has it."""
    for root in roots:
        try:
            with open(root / name, "rb") as file:
                file.seek(start)
                yield file.read(length)
        except OSError:
            continue


def addressed(roots, prefix, wanted):
    """Return the object of that digest (§3)."""
    for data in copies(roots, f"{prefix}/{wanted.hex()[:2]}/{wanted.hex()}"):
        if digest(data) == wanted:
            return data
    raise ValueError(f"{prefix}/{wanted.hex()} is missing or damaged")


def documents(roots, prefix, kind):
    """Yield envelopes and payloads, those of second copies too (§13). They prove nothing yet."""
    folders = [root / top for root in roots for top in (prefix, f"copies/{prefix}")]
    for path in sorted(path for folder in folders for path in folder.rglob("*") if path.is_file()):
        try:
            envelope = json.loads(path.read_bytes())
            if envelope["payloadType"] == f"application/vnd.offseed.{kind}.v1+json":
                yield envelope, json.loads(base64.b64decode(envelope["payload"]))
        except DAMAGE:
            continue


def encoded_without(value, name):
    """Return a JSON object without one member, in the one encoding (§12)."""
    rest = {key: member for key, member in value.items() if key != name}
    return json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def opened(key, sealed, associated):
    """Open a seal of XAES-256-GCM (§4)."""
    encrypt = Cipher(algorithms.AES256(key), modes.ECB()).encryptor().update  # noqa: S305  single blocks
    low = int.from_bytes(encrypt(bytes(16)), "big")
    k1 = (low << 1) & ((1 << 128) - 1) ^ (0x87 if low >> 127 else 0)
    blocks = (int.from_bytes(b"\0%cX\0%b" % (number, sealed[:12]), "big") ^ k1 for number in (1, 2))
    derived = b"".join(encrypt(block.to_bytes(16, "big")) for block in blocks)
    return AESGCM(derived).decrypt(sealed[12:24], sealed[24:], associated)


class Key:
    """A master key, and the sub-keys that a reader needs (§4)."""

    def __init__(self, master):
        proof = Ed25519PrivateKey.from_private_bytes(self.derived(master, "proof")).public_key()
        self.id = digest(proof.public_bytes_raw())[:16]
        self.seal = self.derived(master, "seal")
        self.names = {CONTENT: self.derived(master, "chunk-id/content")}
        self.names[CATALOG] = self.derived(master, "chunk-id/catalog")

    def derived(self, master, purpose):
        return HKDF(SHA256(), 32, salt=None, info=f"offseed/v1/{purpose}".encode()).derive(master)

    def chunk(self, kind, chunk, record):
        """Return the raw bytes in a record (§5)."""
        inner = opened(self.seal, record, b"offseed record v1%c%b%b" % (kind, self.id, chunk))
        codec, length = struct.unpack_from("<BI", inner)
        raw = zstd.ZstdDecompressor().decompress(inner[5:], min(length, 1 << 24) + 1) if codec else inner[5:]
        if len(raw) != length or blake3(raw, key=self.names[kind]).digest() != chunk:
            raise ValueError("a record holds another chunk than it names")
        return raw


def keys_of(roots, passphrase):
    """Return the master keys that a passphrase opens, by their ids (§16)."""
    found = {}
    for slot in (slot for _, document in documents(roots, "slots", "slots") for slot in document["slots"]):
        try:
            memory, passes, lanes = slot["memory_kib"], slot["time"], slot["lanes"]
            if memory * passes > 1 << 20 or memory > 256 << 10 or lanes > 16:
                continue  # a forgery that would take all memory
            cost = {"iterations": passes, "lanes": lanes, "memory_cost": memory}
            wrapping = Argon2id(salt=bytes.fromhex(slot["salt"]), length=32, **cost).derive(passphrase)
            associated = b"offseed slot v1" + encoded_without(slot, "sealed")
            key = Key(opened(wrapping, bytes.fromhex(slot["sealed"]), associated))
            found |= {slot["key_id"]: key} if key.id.hex() == slot["key_id"] else {}
        except DAMAGE:
            continue
    return found


def points_of(roots, keys):
    """Yield manifest, opened root and key of all points under these keys (§14)."""
    for envelope, manifest in documents(roots, "manifests", "manifest"):
        try:
            key = keys[manifest["key_id"]]
            sealed = base64.b64decode(manifest["root"])
            root = json.loads(opened(key.seal, sealed, b"offseed root v1" + key.id))
            public = bytes.fromhex(root["public_key"])
            bound = digest(encoded_without(manifest, "root")).hex(), digest(public)[:16].hex()
            kind, payload = envelope["payloadType"].encode(), base64.b64decode(envelope["payload"])
            message = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
            signature = base64.b64decode(envelope["signatures"][0]["sig"])
            Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
            if bound == (root["clear"], manifest["machine"]):
                yield manifest, root, key
        except DAMAGE:
            continue


def archives_of(roots, manifest):
    """Return index digest, size and records of each archive that a point needs, or that replaces one."""
    found, replacing = {}, defaultdict(list)
    table = addressed(roots, "needs", bytes.fromhex(manifest["needs"]))  # §10
    for bucket in (table[at : at + 32] for at in range(16, len(table), 32)):
        rows = addressed(roots, "needs", bucket) if any(bucket) else bytes(16)
        for at in range(16, 16 + 76 * int.from_bytes(rows[8:12], "little"), 76):
            name, *found[name] = struct.unpack_from("<32s32sII", rows, at)
    for _, document in documents(roots, "replacements", "replacement"):  # §12.4
        for entry in document["replaced"] if document["key_id"] == manifest["key_id"] else ():
            replacing[bytes.fromhex(entry["archive"]["name"])].append(entry["by"])
    todo = [*found]
    while todo:
        for row in replacing[todo.pop()]:
            if (name := bytes.fromhex(row["name"])) not in found:
                found[name] = [bytes.fromhex(row["index"]), row["size"], row["records"]]
                todo.append(name)
    return found


class Chunks:
    """The chunks of a point, by the indexes at the ends of its archives (§6, §7)."""

    def __init__(self, roots, manifest, key):
        self.roots, self.key = roots, key
        self.places = defaultdict(list)  # of each chunk: archive, offset, length
        for name, (wanted, size, records) in archives_of(roots, manifest).items():
            archive, length = f"archives/{name.hex()[:2]}/{name.hex()}", 60 * records
            found = copies(roots, archive, size - 48 - length, length)
            index = next((index for index in found if digest(index) == wanted), b"")
            for chunk, _, offset, stored, _ in struct.iter_unpack("<32s16sIIB3x", index):
                self.places[chunk].append((archive, offset, stored))

    def get(self, kind, chunk):
        """Return a chunk from the first place that has it whole."""
        for place in self.places[chunk]:
            for record in copies(self.roots, *place):
                try:
                    return self.key.chunk(kind, chunk, record)
                except DAMAGE:
                    continue
        raise ValueError(f"chunk {chunk.hex()[:16]} was lost, or no store has it whole")


class Table:
    """The columns of a table in turn: numbers of so many bytes, ids of 32, strings of 0 (§11)."""

    def __init__(self, raw, magic, counts):
        self.raw, self.at, self.counts = raw, 8 + 4 * counts, struct.unpack_from(f"<{counts}I", raw, 8)
        self.take(0 if raw[:8] == magic else len(raw))

    def take(self, size):
        self.at += size
        if self.at > len(self.raw):
            raise ValueError("no table of a catalog, or one that is cut")
        return self.raw[self.at - size : self.at]

    def column(self, width, rows):
        if width == 0:
            return [self.take(length) for length in self.column(4, rows)]
        data = self.take(abs(width) * rows)
        if width == 32:
            return [data[start : start + 32] for start in range(0, len(data), 32)]
        return [int.from_bytes(data[row::rows], "little", signed=width < 0) for row in range(rows)]


NAMES = "path type mode uid gid user group size mtime mtime_ns ctime ctime_ns device inode links target rdev"
NAMES = (*NAMES.split(), "xattrs", "extents", "part", "pieces", "content")
WIDTHS = (0, 1, 2, 4, 4, 0, 0, 8, -8, 4, -8, 4, 8, 8, 4, 0, 8, 0, 4, 4, 4, 0)


def entries_of(raw):
    """Yield the entries of a segment, each with its own extents and pieces."""
    table = Table(raw, b"offsCAT1", 4)
    rows, extents, pieces, chunks = table.counts
    values = [table.column(width, rows) for width in WIDTHS]
    regions = zip(*(table.column(8, extents) for _ in range(2)), strict=True)
    parts = zip(*(table.column(4, pieces) for _ in range(3)), strict=True)
    ids = table.column(32, chunks)
    for row in zip(*values, strict=True):
        entry = dict(zip(NAMES, row, strict=True))
        entry["extents"] = [next(regions) for _ in range(entry["extents"])]
        mine = [next(parts) for _ in range(entry["pieces"])]
        yield entry | {"pieces": [(ids[chunk], offset, length) for chunk, offset, length in mine]}


def catalog(chunks, root):
    """Yield the entries of a point in their order; the parts of a long file are one."""
    entry = None
    for page in root["pages"]:
        table = Table(chunks.get(CATALOG, bytes.fromhex(page)), b"offsPGE1", 1)
        for segment in table.column(32, *table.counts):
            for row in entries_of(chunks.get(CATALOG, segment)):
                if row["part"]:
                    entry["pieces"] += row["pieces"]
                    continue
                if entry:
                    yield entry
                entry = row
    if entry:
        yield entry


def write(path, entry, chunks):
    """Write a file: its pieces end to end are the data in its extents."""
    extents = entry["extents"] or ([(0, entry["size"])] if entry["pieces"] else [])
    if sum(length for _, length in extents) != sum(length for _, _, length in entry["pieces"]):
        raise ValueError("its pieces are not its data")
    with open(path, "xb") as file:
        file.truncate(entry["size"])
        regions, left = iter(extents), 0
        for chunk, offset, length in entry["pieces"]:
            data = chunks.get(CONTENT, chunk)[offset : offset + length]
            while data:
                if not left:
                    at, left = next(regions)
                    file.seek(at)
                written = file.write(data[:left])
                data, left = data[written:], left - written


def set_attributes(path, entry):
    """Set owner, extended attributes, mode and times, in this order (§1.2)."""
    mode, packed = entry["mode"] & (0o7777 if os.geteuid() == 0 else 0o1777), entry["xattrs"]
    if os.geteuid() == 0:
        os.chown(path, entry["uid"], entry["gid"], follow_symlinks=False)
    while packed:
        name, packed = packed[2 : 2 + (size := packed[0] | packed[1] << 8)], packed[2 + size :]
        value, packed = packed[4 : 4 + (size := int.from_bytes(packed[:4], "little"))], packed[4 + size :]
        os.setxattr(path, name, value, follow_symlinks=False)
    if entry["type"] != SYMLINK:
        os.chmod(path, mode)
    time = entry["mtime"] * 10**9 + entry["mtime_ns"]
    os.utime(path, ns=(time, time), follow_symlinks=False)


def restore(path, entry, chunks, folders, names):
    """Restore one entry. `folders` and `names` are those restored before it."""
    same = [entry[n] for n in ("type", "device", "inode", "size", "mtime", "mtime_ns", "content", "target")]
    same = (*same, *entry["pieces"][:1])
    if {b"", b".", b".."} & {*entry["path"].split(b"/")} or os.path.dirname(path) not in folders:
        raise ValueError("its folder was not restored")
    if entry["type"] == FOLDER:
        os.mkdir(path, 0o700)
        folders[path] = entry
    elif entry["links"] > 1 and same in names:
        os.link(names[same], path, follow_symlinks=False)
    else:
        if entry["type"] == FILE:
            write(path, entry, chunks)
        elif entry["type"] == SYMLINK:
            os.symlink(entry["target"], path)
        else:
            os.mknod(path, SPECIAL[entry["type"]], entry["rdev"])
        set_attributes(path, entry)
        names[same] = path


def main():
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("stores", nargs="+", metavar="STORE or POINT")
    parser.add_argument("--passphrase-file", required=True)
    parser.add_argument("--target", required=True)
    given = parser.parse_intermixed_args()
    with open(given.passphrase_file, encoding="utf-8") as file:
        passphrase = unicodedata.normalize("NFC", file.readline().rstrip("\r\n")).encode()
    stores = [Path(store) for store in given.stores if os.path.isdir(store)]
    point = "".join(word for word in given.stores if not os.path.isdir(word))
    roots = [root for store in stores for root in sorted(store.glob("offseed/*-*")) or [store]]
    keys, top = keys_of(roots, passphrase), os.path.abspath(os.fsencode(given.target))
    found = [one for one in points_of(roots, keys) if one[0]["point"].startswith(point)]
    if not found:
        sys.exit("no such point lies there" if keys else "the passphrase opens no key slot there")
    manifest, root, key = max(found, key=lambda one: (one[0]["sequence"], one[0]["revision"]))
    os.makedirs(top, exist_ok=True)
    if os.listdir(top):
        sys.exit(f"{given.target} is not empty")
    chunks, folders, names, failed = Chunks(roots, manifest, key), {top: None}, {}, 0

    def actions():
        for entry in catalog(chunks, root):
            path = os.path.join(top, entry["path"])
            yield path, restore, (entry, chunks, folders, names)
        yield from ((path, set_attributes, (folders[path],)) for path in reversed([*folders][1:]))

    steps = actions()
    while True:
        path = b"the catalog"
        try:
            path, action, arguments = next(steps)
            action(path, *arguments)
        except StopIteration:
            break
        except DAMAGE as error:
            failed += 1
            print(f"{os.fsdecode(path)}: {error}", file=sys.stderr)
    print(f"point {manifest['point'][:8]} of {manifest['machine_name']}: {failed} entries are not whole")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
