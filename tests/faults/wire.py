"""The journal and its messages read by hand, from their description alone: no code of bursa's.

What the fault tests compare bursa's own tables with.
"""

import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import zstandard

SEGMENT_HEADER = 2048
RECORD = struct.Struct("<QIBBHIIqqqII16s")
TRADE = struct.Struct(">cQQ12s2sQqQc")
FRAMES = 0
CHANNELS = ("idxdata", "itchdata")


@dataclass(frozen=True, slots=True)
class Record:
    """One FRAMES record."""

    position: int
    channel: int
    session: str
    first_seq: int
    count: int
    ts_recv: int
    payload: bytes


def packets(stream: bytes) -> Iterator[bytes]:
    """The messages of SoupBinTCP's sequenced packets."""
    at = 0
    while at < len(stream):
        size = int.from_bytes(stream[at : at + 2], "big")
        assert stream[at + 2 : at + 3] == b"S"
        yield stream[at + 3 : at + 2 + size]
        at += 2 + size


def records(journal: Path) -> Iterator[Record]:
    """All FRAMES records of a sound journal, by the addresses that its files are named by. Raises
    struct.error behind those before a record that is torn, or is being written."""
    files: dict[int, bytes] = {}
    for path in sorted(journal.glob("*.log*")):
        base = int(path.name.partition(".")[0])
        if path.name.endswith(".log"):
            files[base] = path.read_bytes()
        elif path.name.endswith(".log.zst") and base not in files:
            with open(path, "rb") as file:
                reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
                files[base] = reader.read()
    for base, data in files.items():
        at = SEGMENT_HEADER
        while at < len(data):
            fields = RECORD.unpack_from(data, at)
            _, _, kind, _, channel, length, _, ts_recv, first_seq, _, count, _, session = fields
            start = at + RECORD.size
            at += (RECORD.size + length + 7) & ~7
            if kind == FRAMES:
                name = session.rstrip(b"\0").decode()
                payload = data[start : start + length]
                if len(payload) < length:
                    raise struct.error("it ends within a record")
                yield Record(base + at, channel, name, first_seq, count, ts_recv, payload)


def messages(journal: Path) -> dict[tuple[int, str], list[bytes]]:
    """(channel, session) -> its messages, in the journal's order; numbers are checked."""
    found: dict[tuple[int, str], list[bytes]] = defaultdict(list)
    for record in records(journal):
        several = found[record.channel, record.session]
        assert record.first_seq == len(several) + 1, f"{record.session}: twice, or missing"
        several.extend(packets(record.payload))
        assert record.first_seq + record.count == len(several) + 1
    return found


Tick = tuple[str, int, int, str, float, float, str | None, int]


def ticks(journal: Path) -> list[Tick]:
    """(ticker, ts, trade_no, board, price, volume, aggressor, seq) of every trade, sorted."""
    out = []
    for several in messages(journal).values():
        for body in several:
            if body[:1] == b"1":
                _, seq, ts, ticker, board, trade_no, price, volume, side = TRADE.unpack(body)
                aggressor = side.decode().strip() or None
                name = ticker.decode().rstrip()
                row = (name, ts, trade_no, board.decode(), price / 10_000, float(volume))
                out.append((*row, aggressor, seq))
    return sorted(out, key=lambda row: (row[1], row[7]))
