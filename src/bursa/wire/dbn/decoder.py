"""Databento's files, DBN versions 1 to 3: bytes in, metadata and market-by-order records out.

Source: Databento's description of the encoding ("Databento Binary Encoding"). All is little-endian.
A file is, plain or as one or more zstd frames,

    "DBN", version (1), length of what follows of the metadata (4)
    dataset 16, schema 2, start 8, end 8, limit 8, [version 1: record count 8], stype_in 1,
    stype_out 1, ts_out 1, [from 2: length of a symbol 2], reserved up to 100 bytes
    length of a schema definition 4 (0), then lists: symbols, partial, not found (count 4, texts),
    and mappings: count 4, each a symbol, a count 4 of intervals, each two days (YYYYMMDD, 4) and
    the symbol then. A text has 22 bytes in version 1, else as many as said (71), zero-filled.
    records: length in words of 4 bytes (1), type (1), publisher 2, instrument 4, ts_event 8, rest

An MBO record (type 0xA0; the same in all versions) goes on: order_id 8, price 8, size 4, flags 1,
channel 1, action 1, side 1, ts_recv 8, ts_in_delta 4, sequence 4; with ts_out 8 more. Prices are in
1e-9, `PRICE_NULL` is none. Flags are those of FLAGS and stay on the record.

Records of other types are counted and left out. Refused (`Reject`): `no_dbn`, `bad_version`,
`bad_metadata`, `bad_record` (a length that no record has), `truncated`, `bad_zstd`.
"""

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import zstandard
from numba import njit
from numpy.typing import NDArray

from bursa.model.errors import Reject
from bursa.wire.loads import KERNEL

MAGIC, ZSTD_MAGIC = b"DBN", b"\x28\xb5\x2f\xfd"
VERSIONS = (1, 2, 3)
PRICE_NULL, TIME_NULL, WORD_NULL, BYTE_NULL = 2**63 - 1, 2**64 - 1, 2**16 - 1, 2**8 - 1
MBO_TYPE = 0xA0
FLAGS = {
    128: "LAST", 64: "TOB", 32: "SNAPSHOT", 16: "MBP", 8: "BAD_TS_RECV", 4: "MAYBE_BAD_BOOK",
}  # fmt: skip
_TEXT_BYTES_V1 = 22
_FIXED_BYTES, _HEAD_BYTES, _RECORD_HEAD, _MBO_BYTES = 100, 8, 16, 56
# A file's metadata: a few MB where it names ten thousand symbols day by day.
METADATA_BYTES_MAX = 256 << 20

MBO = np.dtype(
    [
        ("length", "u1"), ("rtype", "u1"), ("publisher_id", "<u2"), ("instrument_id", "<u4"),
        ("ts_event", "<u8"), ("order_id", "<u8"), ("price", "<i8"), ("size", "<u4"),
        ("flags", "u1"), ("channel_id", "u1"), ("action", "S1"), ("side", "S1"),
        ("ts_recv", "<u8"), ("ts_in_delta", "<i4"), ("sequence", "<u4"),
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Interval:
    """What a symbol stood for: days YYYYMMDD, the second excluded."""

    start: int
    end: int
    symbol: str


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a file says of itself; None where it leaves that open. start, end: ns UTC."""

    version: int
    dataset: str
    schema: int | None
    start: int
    end: int | None
    limit: int | None
    stype_in: int | None
    stype_out: int
    ts_out: bool
    symbols: Sequence[str]
    partial: Sequence[str]
    not_found: Sequence[str]
    mappings: dict[str, Sequence[Interval]]


class DbnDecoder:
    """One file in pieces of any size; the same records whatever the pieces.

    metadata  None until all of it came
    others    records of other types so far, by type
    """

    def __init__(self) -> None:
        self.metadata: Metadata | None = None
        self.others: Counter[int] = Counter()
        self._inflate: zstandard.ZstdDecompressionObj | None = None
        self._begun = False
        self._tail = b""

    def push(self, data: bytes) -> NDArray[np.void]:
        """The MBO records that are complete by now, an array of MBO (n,). Raises Reject."""
        if not self._begun:
            data = self._tail + data
            if len(data) < len(ZSTD_MAGIC):
                self._tail = data
                return np.empty(0, MBO)
            self._tail, self._begun = b"", True
            if data.startswith(ZSTD_MAGIC):
                self._inflate = zstandard.ZstdDecompressor().decompressobj()
        data = self._tail + (data if self._inflate is None else self._inflated(data))
        if self.metadata is None:
            self.metadata, used = metadata_of(data)
            data = data[used:]
        if self.metadata is None:
            self._tail = data
            return np.empty(0, MBO)
        return self._records(data)

    def finish(self) -> None:
        """The file is over. Reject `truncated` where it ends inside of something."""
        if self.metadata is None or self._tail:
            raise Reject("truncated", f"{len(self._tail)} bytes of something unfinished at the end")
        if self._inflate is not None and not self._inflate.eof:
            raise Reject("truncated", "a zstd frame is cut short")

    def _inflated(self, data: bytes) -> bytes:
        """What a piece of zstd holds, one frame after another."""
        found = []
        while data:
            assert self._inflate is not None, "only what is packed comes here"
            if self._inflate.eof:
                self._inflate = zstandard.ZstdDecompressor().decompressobj()
            try:
                found.append(self._inflate.decompress(data))
            except zstandard.ZstdError as error:
                raise Reject("bad_zstd", f"{error}") from None
            data = self._inflate.unused_data
        return b"".join(found)

    def _records(self, data: bytes) -> NDArray[np.void]:
        raw = np.frombuffer(bytearray(data), np.uint8)
        places = np.empty(len(raw) // MBO.itemsize + 1, np.int64)
        types = np.zeros(256, np.int64)
        used, count, is_bad = walk(raw, places, types)
        self._tail = data[used:]
        self.others.update({kind: n for kind, n in enumerate(types.tolist()) if n})
        if is_bad:
            raise Reject("bad_record", f"a length of {4 * int(raw[used])} bytes")
        at = places[:count, None] + np.arange(MBO.itemsize)
        return raw[at].view(MBO).reshape(count)


@njit(**KERNEL)
def walk(
    raw: NDArray[np.uint8], places: NDArray[np.int64], types: NDArray[np.int64]
) -> tuple[int, int, bool]:
    """Walk the whole records of raw, uint8 (n,): where each MBO record begins goes to places, how
    many others there are to types (256,). (bytes used, MBO records, whether a length is bad)."""
    at = count = 0
    while at < raw.shape[0]:
        size = int(4 * np.int64(raw[at]))
        if size < _RECORD_HEAD:
            return at, count, True
        if at + size > raw.shape[0]:
            break
        kind = int(raw[at + 1])
        if kind == MBO_TYPE:
            if size < _MBO_BYTES:
                return at, count, True
            places[count] = at
            count += 1
        else:
            types[kind] += 1
        at += size
    return at, count, False


def metadata_of(data: bytes) -> tuple[Metadata | None, int]:
    """A file's metadata and where its records begin; None and 0 until all of it is there."""
    if data[:3] != MAGIC[: len(data)]:
        raise Reject("no_dbn", "it does not begin with DBN")
    if len(data) < _HEAD_BYTES:
        return None, 0
    version, size = data[3], int.from_bytes(data[4:8], "little")
    if version not in VERSIONS:
        raise Reject("bad_version", f"{version}; known: 1, 2, 3")
    if not _FIXED_BYTES + 20 <= size <= METADATA_BYTES_MAX:
        raise Reject("bad_metadata", f"a length of {size} bytes")
    if len(data) < _HEAD_BYTES + size:
        return None, 0
    try:
        return _parsed(version, data[_HEAD_BYTES : _HEAD_BYTES + size]), _HEAD_BYTES + size
    except (struct.error, UnicodeDecodeError) as error:
        raise Reject("bad_metadata", f"{error}") from None


def _parsed(version: int, raw: bytes) -> Metadata:
    dataset, schema, start, end, limit = struct.unpack_from("<16sHQQQ", raw)
    at = 50 if version == 1 else 42
    stype_in, stype_out, ts_out = raw[at : at + 3]
    width = _TEXT_BYTES_V1 if version == 1 else struct.unpack_from("<H", raw, at + 3)[0]
    if width == 0:  # counts of texts that take no room would be believed, whatever they say
        raise Reject("bad_metadata", "texts of 0 bytes")
    texts = _Texts(raw, _FIXED_BYTES, width)
    texts.at += 4 + texts.word(texts.at)  # a schema definition, which none has
    symbols, partial, not_found = (texts.several(texts.count()) for _ in range(3))
    mappings: dict[str, Sequence[Interval]] = {}
    for _ in range(texts.count()):
        symbol = texts.one()
        mappings[symbol] = [
            Interval(texts.count(), texts.count(), texts.one()) for _ in range(texts.count())
        ]
    return Metadata(
        version,
        _text(dataset),
        None if schema == WORD_NULL else schema,
        start,
        None if end in (0, TIME_NULL) else end,
        limit or None,
        None if stype_in == BYTE_NULL else stype_in,
        stype_out,
        bool(ts_out),
        symbols,
        partial,
        not_found,
        mappings,
    )


class _Texts:
    """Reads counts and texts of one width, one after another."""

    def __init__(self, raw: bytes, at: int, width: int) -> None:
        self._raw, self.at, self._width = raw, at, width

    def word(self, at: int) -> int:
        return int(struct.unpack_from("<I", self._raw, at)[0])

    def count(self) -> int:
        found = self.word(self.at)
        self.at += 4
        return found

    def one(self) -> str:
        found = struct.unpack_from(f"{self._width}s", self._raw, self.at)[0]
        self.at += self._width
        return _text(found)

    def several(self, count: int) -> list[str]:
        return [self.one() for _ in range(count)]


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8")
