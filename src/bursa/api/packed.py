"""Bodies made smaller on their way out: zstd or gzip, whichever `Accept-Encoding` likes better.

At a level that takes less time than the bytes it saves would; what takes longer than the loop may
be held up is done on a thread. A body whose beginning is kept is packed without its end: that goes
behind it as it is, in the same stream. Does not know what is in a body.
"""

import asyncio
import gzip
import struct
import zlib
from functools import lru_cache
from typing import NamedTuple

import zstandard

# Below it an answer fits in two packets, and nothing is won.
LEAST_BYTES = 2_048
# Either takes about 0.2 ms up to here.
_AT_ONCE_BYTES = {b"zstd": 256 << 10, b"gzip": 64 << 10}
_PARTS_MAX = 16


@lru_cache(256)
def chosen(accepted: bytes) -> bytes | None:
    """The coding for a body, by what a client takes: zstd, gzip, or None for none."""
    told: dict[str, float] = {}
    for part in accepted.decode("latin-1").lower().split(",", _PARTS_MAX)[:_PARTS_MAX]:
        coding, _, weight = (word.strip() for word in part.partition(";"))
        told[coding] = weight_of(weight)
    rest = told.get("*", 0.0)
    zstd, gz = told.get("zstd", rest), told.get("gzip", rest)
    best, name = (zstd, b"zstd") if zstd >= gz else (gz, b"gzip")
    return name if best > 0 and best >= told.get("identity", 0.0) else None


def weight_of(text: str) -> float:
    """The weight that a parameter `q=0.5` of a list in a header gives, 0 to 1; 1 without one, 0
    where it is malformed."""
    if not text:
        return 1.0
    try:
        return min(max(float(text.removeprefix("q=")), 0.0), 1.0)
    except ValueError:
        return 0.0


async def packed(body: bytes, coding: bytes) -> bytes:
    """The body in a coding that `chosen` gave."""
    if len(body) <= _AT_ONCE_BYTES[coding]:
        return _pack(body, coding)
    return await asyncio.to_thread(_pack, body, coding)


def _pack(body: bytes, coding: bytes) -> bytes:
    if coding == b"zstd":
        return zstandard.ZstdCompressor(level=1).compress(body)
    return gzip.compress(body, 1, mtime=0)


class Begun(NamedTuple):
    """The beginning of a body in a coding, to which any end of at most 65,535 bytes can be put.

    coding  zstd or gzip
    start   the stream so far, whole blocks
    size    bytes that are packed in it
    crc     CRC-32 of those
    """

    coding: bytes
    start: bytes
    size: int
    crc: int

    def ended(self, end: bytes) -> bytes:
        """What follows `start`: the body's end unpacked, in a last block of its own."""
        count = len(end)
        if self.coding == b"zstd":  # RFC 8878: a last raw block
            return (count << 3 | 1).to_bytes(3, "little") + end
        # RFC 1951: a last stored block; RFC 1952: the trailer of the one member.
        trailer = struct.pack("<II", zlib.crc32(end, self.crc), self.size + count & 0xFFFFFFFF)
        return b"\x01" + struct.pack("<HH", count, count ^ 0xFFFF) + end + trailer


async def begun(start: bytes, coding: bytes) -> Begun:
    """The beginning of a body, not empty, in a coding that `chosen` gave."""
    if len(start) <= _AT_ONCE_BYTES[coding]:
        return begin(start, coding)
    return await asyncio.to_thread(begin, start, coding)


# No flags, no time, packed for speed, by an unknown system (RFC 1952).
_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"


def begin(start: bytes, coding: bytes) -> Begun:
    """The same, on the caller's thread."""
    if coding == b"zstd":
        zstd = zstandard.ZstdCompressor(level=1, write_content_size=False).compressobj()
        packed = zstd.compress(start) + zstd.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        return Begun(coding, packed, len(start), 0)
    raw = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = _GZIP_HEAD + raw.compress(start) + raw.flush(zlib.Z_SYNC_FLUSH)
    return Begun(coding, packed, len(start), zlib.crc32(start))
