"""The table of contents beside each closed segment: right, made anew where it is not, never trusted
over the records."""

from pathlib import Path

import pytest

from bursa.journal import index
from bursa.journal.closed import Compressor, retire
from bursa.journal.index import Held
from bursa.journal.read import JournalReader
from bursa.journal.record import Control
from bursa.journal.segment import listing
from bursa.journal.write import JournalWriter
from bursa.model.batch import LINES, UP
from bursa.ports import Frames

DAY_NS = 86_400 * 10**9


class Clock:
    def __init__(self) -> None:
        self.now = DAY_NS

    def now_ns(self) -> int:
        self.now += 1_000
        return self.now


def fill(folder: Path, clock: Clock, records: int = 9) -> JournalWriter:
    """A control record, then messages of two channels; every third has no receive time."""
    writer = JournalWriter(folder, "idx", now_ns=clock.now_ns, segment_bytes=12_000)
    for n in range(records):
        items: list[Frames | Control] = [
            Control(UP, 0),
            Frames(0, LINES, "", 0, 2, 0, b"a" * 1_000),
            Frames(1, LINES, "", 0, 1, -1 if n % 3 == 0 else 0, b"b" * 2_000),
        ]
        writer.append(items)
    return writer


def by_records(folder: Path, base: int, end: int) -> list[object]:
    """The same figures, counted one record after another."""
    found = [r for r in JournalReader(folder).records() if base <= r.start < end]
    channels: dict[int, Held] = {}
    for record in found:
        if record.count:
            h = channels.get(record.channel, Held())
            size = h.bytes + len(record.payload)
            channels[record.channel] = Held(h.records + 1, h.messages + record.count, size)
    times = [r.ts_recv for r in found if r.count and r.ts_recv > 0]
    undated = sum(r.count > 0 and r.ts_recv < 0 for r in found)
    return [found[-1].position, len(found), times[0], times[-1], undated, channels]


def test_it_says_what_the_segment_holds(tmp_path: Path) -> None:
    writer = fill(tmp_path, Clock())
    found = list(index.summaries(tmp_path))
    assert len(found) > 2
    for segment, s in found:
        assert (s.base, s.end, s.epoch, s.damaged) == (segment.base, segment.end, 1, ())
        told = [s.last, s.records, s.ts_first, s.ts_last, s.undated, s.channels]
        assert told == by_records(tmp_path, s.base, s.end)
    assert [s.first for _, s in found[1:]] == [s.last for _, s in found[:-1]]
    writer.close()


def test_the_running_process_keeps_one_for_each_closed_segment(tmp_path: Path) -> None:
    writer = fill(tmp_path, Clock())
    keeper = Compressor(tmp_path, lambda: writer.base)
    wanted = dict(index.summaries(tmp_path))
    closed = [s for s in listing(tmp_path) if s.base < writer.base]
    assert [keeper.index() for _ in closed] == [s.base for s in closed]
    assert keeper.index() is None
    while keeper.pump() is not None:
        pass
    for segment in listing(tmp_path)[: len(closed)]:
        kept = index.load(segment)
        assert kept == next(s for of, s in wanted.items() if of.base == segment.base)
    assert len(list(tmp_path.glob("*.index"))) == len(closed)
    writer.close()


@pytest.mark.parametrize("how", ["flipped", "cut", "empty", "another's", "gone"])
def test_a_bad_one_is_not_believed_and_made_anew(tmp_path: Path, how: str) -> None:
    writer = fill(tmp_path, Clock())
    keeper = Compressor(tmp_path, lambda: writer.base)
    while keeper.index() is not None:
        pass
    segment, other = listing(tmp_path)[:2]
    wanted, file = index.load(segment), index.path_of(segment.path)
    data = bytearray(file.read_bytes())
    for at in range(len(data)) if how == "flipped" else (0,):
        spoiled = bytearray(data)
        spoiled[at] ^= 4
        bad = {
            "flipped": bytes(spoiled),
            "cut": bytes(data[:-1]),
            "empty": b"",
            "another's": index.path_of(other.path).read_bytes(),
            "gone": None,
        }[how]
        file.unlink()
        if bad is not None:
            file.write_bytes(bad)
        assert index.load(segment) is None
    assert next(s for of, s in index.summaries(tmp_path) if of == segment) == wanted
    again = Compressor(tmp_path, lambda: writer.base)
    assert again.index() == segment.base
    assert index.load(segment) == wanted
    writer.close()


def test_a_time_is_found_in_its_segment(tmp_path: Path) -> None:
    writer = fill(tmp_path, Clock(), 20)
    records = [r for r in JournalReader(tmp_path).records() if r.count and r.ts_recv > 0]
    for record in records:
        start = index.since(tmp_path, record.ts_recv)
        assert start < record.position
        later = [r for r in JournalReader(tmp_path).records(start) if r.ts_recv >= record.ts_recv]
        assert later[0].ts_recv == record.ts_recv
    assert index.since(tmp_path, records[-1].ts_recv + 1) == writer.position
    writer.close()


def test_age_retires_what_was_closed_long_ago_with_its_index(tmp_path: Path) -> None:
    clock = Clock()
    writer = fill(tmp_path, clock, 20)
    keeper = Compressor(tmp_path, lambda: writer.base)
    while keeper.index() is not None:
        pass
    clock.now += 3 * DAY_NS
    fill_more = Frames(0, LINES, "", 0, 1, 0, b"c" * 11_000)
    old = len(listing(tmp_path))
    for _ in range(3):
        writer.append([fill_more])
    bases = [s.base for s in listing(tmp_path)]
    limit = clock.now - DAY_NS
    assert retire(tmp_path, 1 << 62, 0, limit) == []
    gone = retire(tmp_path, 1 << 62, writer.position, limit)
    assert [s.base for s in gone] == bases[: old - 1]
    assert sorted(int(p.stem) for p in tmp_path.glob("*.index")) == []
    assert retire(tmp_path, 1 << 62, writer.position, limit) == []
    writer.close()
