"""Sealed chunks: compress, seal, name; and back, with every check that a reader must make (REC-1 to REC-5).

A record is nonce 24, ciphertext, tag 16. Inside the seal: codec u8 (0 raw, 1 zstd), raw length u32, data.
The additional data is `offseed record v1`, kind u8, key id, ChunkId, so no record can replace another.
After opening, the ChunkId is computed again (REC-5): it is also the commitment to the key.
"""

import hmac
import mmap
import struct
import sys
import threading
from contextlib import suppress

from blake3 import blake3

from formats.errors import IntegrityError
from formats.ids import ChunkId
from formats.keyed.aead import OVERHEAD, Xaes256Gcm
from formats.keyed.keys import MasterKey
from formats.tables.index import CATALOG, CONTENT
from formats.untrusted import refuse

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

RAW_SIZE_MAX = 16 << 20
RAW = 0
ZSTD = 1
INNER = struct.Struct("<BI")
AAD_PREFIX = b"offseed record v1"
RECORD_OVERHEAD = OVERHEAD + INNER.size
LEVEL = 3

_PROBE_SIZE = 64 << 10
_PROBE_GAIN = 0.97


class ChunkSealer:
    """The tool that names, seals and opens chunks under one master key. Many threads may use it."""

    def __init__(self, master: MasterKey, level: int = LEVEL) -> None:
        self.level = level
        self.key_id = master.key_id
        self._aead = Xaes256Gcm(master.seal)
        self.content_key = master.content_id
        self._id_keys = {CONTENT: master.chunk_id_content, CATALOG: master.chunk_id_catalog}
        self._local = threading.local()

    def chunk_id(self, kind: int, raw: bytes | memoryview) -> ChunkId:
        return ChunkId(blake3(raw, key=self._id_keys[kind]).digest())

    def seal(
        self, kind: int, chunk: ChunkId, raw: bytes | memoryview, *, nonce: bytes | None = None
    ) -> bytes:
        """Return the record for `raw`; its id is `chunk`. Incompressible data is stored as it is."""
        space = memoryview(bytearray(len(raw) + RECORD_OVERHEAD))
        return bytes(space[: self.seal_into(kind, chunk, raw, space, probe=True, nonce=nonce)])

    def seal_into(
        self,
        kind: int,
        chunk: ChunkId,
        raw: bytes | memoryview,
        space: memoryview,
        *,
        probe: bool,
        nonce: bytes | None = None,
    ) -> int:
        """Do `seal` to the front of `space`; return the record's length.

        It is at most `RECORD_OVERHEAD` more than the length of `raw`. Data that is known to compress mostly
        needs no `probe`.
        """
        assert len(raw) <= RAW_SIZE_MAX
        codec, data = self._compress(raw, probe=probe)
        length = INNER.size + len(data)
        plain = self._plain(length)
        INNER.pack_into(plain, 0, codec, len(raw))
        plain[INNER.size :] = memoryview(data).cast("B")
        self._aead.seal_into(plain, self._aad(kind, chunk), space[: length + OVERHEAD], nonce)
        return length + OVERHEAD

    def open(self, kind: int, chunk: ChunkId, record: bytes | memoryview, where: str) -> bytes:
        """Return the raw bytes.

        Raises IntegrityError seal-broken (REC-1, REC-5), FormatError REC-2 to REC-4.
        """
        inner = self._aead.open(record, self._aad(kind, chunk), where)
        if len(inner) < INNER.size:
            refuse("REC-2", "a record without its inner head", where)
        codec, length = INNER.unpack_from(inner)
        if length > RAW_SIZE_MAX:
            refuse("REC-3", f"a chunk that claims {length} bytes", where)
        raw = self._decompress(codec, memoryview(inner)[INNER.size :], length, where)
        if len(raw) != length:
            refuse("REC-3", "a chunk has not the length it claims", where)
        if not hmac.compare_digest(self.chunk_id(kind, raw), chunk):
            raise IntegrityError("seal-broken", "a chunk is not the one of its id", subject=where)
        return raw

    def _aad(self, kind: int, chunk: ChunkId) -> bytes:
        return b"%b%c%b%b" % (AAD_PREFIX, kind, self.key_id, chunk)

    def _compress(self, raw: bytes | memoryview, *, probe: bool = True) -> tuple[int, bytes | memoryview]:
        if probe and len(raw) > 2 * _PROBE_SIZE:
            middle = len(raw) // 2
            part = memoryview(raw)[middle : middle + _PROBE_SIZE]
            if len(self._frame(part)) > _PROBE_GAIN * _PROBE_SIZE:
                return RAW, raw
        packed = self._frame(raw)
        return (ZSTD, packed) if len(packed) < len(raw) else (RAW, raw)

    def _frame(self, raw: bytes | memoryview) -> bytes:
        """Return one zstd frame. Each thread keeps its compressor: a new one takes time and memory."""
        compressor: zstd.ZstdCompressor | None = getattr(self._local, "compressor", None)
        if compressor is None:
            compressor = self._local.compressor = zstd.ZstdCompressor(self.level)
        compressor.set_pledged_input_size(len(raw))
        return compressor.compress(raw, zstd.ZstdCompressor.FLUSH_FRAME)

    def _decompress(self, codec: int, data: memoryview, length: int, where: str) -> bytes:
        if codec == RAW:
            return bytes(data)
        if codec != ZSTD:
            refuse("REC-4", f"codec {codec} is not known", where)
        frame, raw = zstd.ZstdDecompressor(), b""
        with suppress(zstd.ZstdError):
            raw = frame.decompress(data, length + 1)  # a byte more than claimed would tell of a larger frame
        if not frame.eof or frame.unused_data or len(raw) != length:
            refuse("REC-4", "compressed data does not decompress to its length", where)
        return raw

    def _plain(self, length: int) -> memoryview:
        """Return room that this thread uses again and again: a new megabyte costs more than its encryption."""
        room: mmap.mmap | None = getattr(self._local, "room", None)
        if room is None:
            room = self._local.room = mmap.mmap(-1, INNER.size + RAW_SIZE_MAX)
        return memoryview(room)[:length]
