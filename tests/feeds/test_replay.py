"""A recording read from a file: cut, sorted to channels, and never anything left out."""

import asyncio
import gzip
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from bursa.feeds import cut as cutting
from bursa.feeds import replay
from bursa.feeds.cut import Blocks, Lines, TextLines
from bursa.feeds.replay import ReplayFeed
from bursa.model.batch import BLOCKS, LINES
from bursa.model.errors import Refuse
from bursa.model.venue import BINANCE, IDX
from bursa.ports import Frames
from bursa.wire.idx.layout import IDX1

TRADES, DATA = 0, 1  # the channels of IDX
Message = tuple[int, int, str, int]  # channel, seq, type, padding
NIGHT = 17 * 3600 * 1_000_000_000


class Taken:
    """An intake that remembers."""

    def __init__(self) -> None:
        self.got: list[Frames] = []
        self.ended: list[int] = []
        self.asked = 0
        self.taking = asyncio.Event()
        self.taking.set()

    def frames(self, frames: Frames) -> None:
        assert not self.ended
        self.got.append(frames)

    def up(self, channel: int) -> None:
        raise AssertionError("a file is not away and back")

    def down(self, channel: int, why: str) -> None:
        raise AssertionError("a file is not away and back")

    def end_of_session(self, channel: int) -> None:
        raise AssertionError("a file tells of no session's end")

    def lost(self, channel: int, first: int, last: int, asked: bool) -> None:
        raise AssertionError("a file has all that it has")

    def count(self, channel: int, line: str, word: str, count: int) -> None:
        raise AssertionError("a file is no line")

    def end_of_file(self, channel: int) -> None:
        self.ended.append(channel)

    def resume_point(self, channel: int) -> tuple[str, int]:
        return "", 1

    async def synced(self) -> None:
        return None

    @property
    def refusing(self) -> bool:
        return not self.taking.is_set()

    async def room(self) -> None:
        self.asked += 1
        await self.taking.wait()

    def payload(self, channel: int) -> bytes:
        return b"".join(bytes(f.payload) for f in self.got if f.channel == channel)


def run(feed: ReplayFeed) -> Taken:
    taken = Taken()
    asyncio.run(feed.run(taken))
    return taken


def block(seq: int, kind: str, padding: int = 0, ts: int = 1_000) -> bytes:
    body = kind.encode() + struct.pack(">QQ", seq, ts) + b"." * padding
    return struct.pack(">H", len(body)) + body


def blocks(messages: Iterable[Message]) -> list[tuple[int, bytes]]:
    """(channel, block) of each; a new day where a channel's numbers return to 1."""
    nights: dict[int, int] = {}
    found = []
    for channel, seq, kind, padding in messages:
        nights[channel] = nights.get(channel, -1) + (seq == 1)
        found.append((channel, block(seq, kind, padding, 1_000 + NIGHT * nights[channel])))
    return found


def joined(parts: Iterable[tuple[int, bytes]], channel: int | None = None) -> bytes:
    return b"".join(data for at, data in parts if channel in (None, at))


def cut(cutter: Lines | Blocks | TextLines, data: bytes, size: int) -> list[Frames]:
    found = [f for at in range(0, len(data), size) for f in cutter.push(data[at : at + size])]
    return found + list(cutter.rest())


TEXT = b'5 {"a":1}\n5 {"b":2}\n7 {"c":3}\n{"d":4}\ntorn 9 {"e":5}\n0 {"f":6}\n\n8 {"g":7}'
LINES_OF_TEXT = [
    (5, b'{"a":1}'),
    (5, b'{"b":2}'),
    (7, b'{"c":3}'),
    (-1, b'{"d":4}'),
    (7, b'torn 9 {"e":5}'),
    (7, b'0 {"f":6}'),
    (8, b'{"g":7}'),
]


@pytest.mark.parametrize("size", [1, 2, 3, 11, 1_000])
def test_lines_are_the_same_at_any_cut(size: int) -> None:
    found = cut(Lines(0), TEXT, size)
    lines = [(f.ts_recv, line) for f in found for line in bytes(f.payload).split(b"\n")]
    assert lines == LINES_OF_TEXT
    assert sum(f.count for f in found) == len(lines)
    assert {(f.channel, f.form, f.session, f.first_seq) for f in found} == {(0, LINES, "", 0)}


def test_neighbours_with_one_receive_time_share_a_frame() -> None:
    assert [(f.ts_recv, f.count) for f in cut(Lines(0), TEXT, 1_000)] == [
        (5, 2),
        (7, 1),
        (-1, 1),
        (7, 2),
        (8, 1),
    ]


def test_a_line_without_end_is_delivered_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "LINE_BYTES_MAX", 10)
    found = cut(Lines(0), b"7 " + b"x" * 50 + b"\n8 y\n", 16)
    assert max(len(f.payload) for f in found) <= 26
    assert b"".join(bytes(f.payload) for f in found).count(b"x") == 50
    assert bytes(found[-1].payload).endswith(b"y")


MIXED: Sequence[Message] = [
    (TRADES, 1, "9", 9),  # status first: it goes with the first that is data
    (TRADES, 2, "1", 39),
    (DATA, 1, "9", 9),
    (DATA, 2, "6", 101),
    (DATA, 3, "3", 15),
    (TRADES, 3, "9", 9),
    (TRADES, 4, "1", 39),
    (DATA, 4, "9", 9),
    (DATA, 5, "5", 36),
    (DATA, 6, "?", 3),  # unknown: with the one before
    (TRADES, 5, "1", 39),
    (TRADES, 6, "9", 9),
    (DATA, 7, "9", 9),  # 7 is due on both
    (DATA, 8, "2", 106),
    (TRADES, 7, "9", 9),
    (TRADES, 8, "1", 39),
    (TRADES, 9, "9", 9),  # 9 is due on both
    (DATA, 9, "2", 106),
    (DATA, 1, "9", 9),  # the next day: the first data there bears 3
    (TRADES, 1, "9", 9),
    (DATA, 2, "9", 9),  # 2 is due on both
    (DATA, 3, "4", 15),
    (TRADES, 2, "1", 39),
]

STATUSES: Sequence[Message] = [  # channels that begin a day with several statuses in a row
    *[(TRADES, seq, "9", 9) for seq in (1, 2, 3)],
    *[(DATA, 1, "9", 9), (DATA, 2, "6", 101), (TRADES, 4, "1", 39)],
    (DATA, 1, "9", 9),  # the next day
    *[(TRADES, seq, "9", 9) for seq in (1, 2, 3, 4)],
    *[(TRADES, 5, "1", 39), (DATA, 2, "6", 101)],
    *[(TRADES, seq, "9", 9) for seq in (1, 2)],  # the third
    *[(DATA, seq, "9", 9) for seq in (1, 2, 3, 4)],
    *[(DATA, 5, "2", 106), (TRADES, 3, "1", 39)],
]


@pytest.mark.parametrize("messages", [MIXED, STATUSES])
@pytest.mark.parametrize("size", [1, 5, 64, 10_000])
def test_blocks_are_sorted_to_their_channels(size: int, messages: Sequence[Message]) -> None:
    sent = blocks(messages)
    cutter = Blocks(IDX, IDX1, "x")
    found = cut(cutter, joined(sent), size)
    for channel in (TRADES, DATA):
        mine = [f for f in found if f.channel == channel]
        assert b"".join(bytes(f.payload) for f in mine) == joined(sent, channel)
        assert sum(f.count for f in mine) == sum(at == channel for at, _ in sent)
    assert {(f.form, f.session, f.ts_recv) for f in found} == {(BLOCKS, "", -1)}
    assert found[0].first_seq == 1
    assert cutter.channels == {TRADES, DATA}


def text_of(sent: Sequence[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """The same messages as lines: type, seq, ts and something."""
    found = []
    for channel, raw in sent:
        seq, ts = struct.unpack(">QQ", raw[3:19])
        found.append((channel, b"%c|%d|%d|%d\n" % (raw[2], seq, ts, len(raw))))
    return found


@pytest.mark.parametrize("messages", [MIXED, STATUSES])
@pytest.mark.parametrize("size", [1, 5, 64, 10_000])
def test_lines_of_text_are_sorted_as_blocks_are(size: int, messages: Sequence[Message]) -> None:
    sent = text_of(blocks(messages))
    cutter = TextLines(IDX)
    whole = joined(sent)
    found = cut(cutter, whole.replace(b"\n9|9", b"\n\n9|9")[:-1], size)
    for channel in (TRADES, DATA):
        mine = [f for f in found if f.channel == channel]
        assert b"".join(bytes(f.payload) + b"\n" for f in mine) == joined(sent, channel)
        assert sum(f.count for f in mine) == sum(at == channel for at, _ in sent)
    assert {(f.form, f.session, f.ts_recv) for f in found} == {(LINES, "", -1)}
    assert found[0].first_seq == 1 and cutter.channels == {TRADES, DATA}


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("size", [40, 10_000])
def test_few_minutes_come_at_once_and_books_before_trades(size: int, lines: bool) -> None:
    """However few messages a recording has: bars are to find the books of their minutes' ends."""
    minute = 60 * 10**9
    sent = []
    for n in range(60):
        start = 1_775_440_800 * 10**9 + n * minute
        sent += [(TRADES, block(n + 1, "1", 39, start)), (DATA, block(n + 1, "3", 15, start + 1))]
    file = joined(text_of(sent) if lines else sent)
    cutter: TextLines | Blocks = TextLines(IDX) if lines else Blocks(IDX, IDX1, "x")
    found, known = cut(cutter, file, size), 0
    assert sum(f.count for f in found) == 120
    for frames in found:
        assert frames.count <= 5
        if size == 10_000 and frames.channel == TRADES:
            assert frames.first_seq + frames.count - 1 == known
        elif frames.channel == DATA:
            known = frames.first_seq + frames.count - 1


def test_a_line_of_text_without_end_is_delivered_in_pieces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cutting, "TEXT_BYTES_MAX", 10)
    found = cut(TextLines(IDX), b"1|7|" + b"x" * 50 + b"\n1|8|5|y", 16)
    assert max(len(line) for f in found for line in bytes(f.payload).split(b"\n")) <= 26
    assert b"".join(bytes(f.payload) for f in found).count(b"x") == 50
    assert bytes(found[-1].payload).endswith(b"1|8|5|y") and {f.channel for f in found} == {TRADES}


@pytest.mark.parametrize("packed", [False, True])
def test_a_recording_of_text_is_told_by_its_first_byte(packed: bool, tmp_path: Path) -> None:
    sent = text_of(blocks(MIXED))
    file = tmp_path / "day.txt"
    file.write_bytes(gzip.compress(joined(sent)) if packed else joined(sent))
    taken = run(ReplayFeed(file, IDX))
    assert {f.form for f in taken.got} == {LINES} and taken.ended == [TRADES, DATA]
    for channel in (TRADES, DATA):
        mine = b"".join(bytes(f.payload) + b"\n" for f in taken.got if f.channel == channel)
        assert mine == joined(sent, channel)


def test_a_file_of_one_channel_stays_on_it(tmp_path: Path) -> None:
    for channel, kind in ((TRADES, "1"), (DATA, "3")):
        messages = [
            (channel, day_seq, "9" if day_seq % 3 == 1 else kind, 30)
            for _ in range(3)
            for day_seq in range(1, 8)
        ]
        file = tmp_path / f"{channel}.bin"
        file.write_bytes(joined(blocks(messages)))
        taken = run(ReplayFeed(file, IDX))
        assert {f.channel for f in taken.got} == {channel}
        assert taken.payload(channel) == file.read_bytes()
        assert taken.ended == [channel]


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_is_read_whole_with_progress(
    packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "READ_BYTES", 4_096)
    text = b"".join(b'%d {"n":%d}\n' % (10**18 + n // 3, n) for n in range(5_000))
    file = tmp_path / "recording"
    half = len(text) // 2
    file.write_bytes(gzip.compress(text[:half]) + gzip.compress(text[half:]) if packed else text)
    told: list[tuple[int, int]] = []
    taken = run(ReplayFeed(file, BINANCE, lambda done, total: told.append((done, total))))
    lines = [line for f in taken.got for line in bytes(f.payload).split(b"\n")]
    assert lines == [b'{"n":%d}' % n for n in range(5_000)]
    assert taken.ended == [0]
    size = file.stat().st_size
    assert told == sorted(told)
    assert told[-1] == (size, size)
    assert len(told) > 5


def test_the_loop_runs_between_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "READ_BYTES", 100)
    file = tmp_path / "recording"
    file.write_bytes(b'1 {"a":1}\n' * 1_000)

    async def main() -> tuple[int, Taken]:
        taken = Taken()
        task = asyncio.create_task(ReplayFeed(file, BINANCE).run(taken))
        turns = 0
        while not task.done():
            await asyncio.sleep(0)
            turns += 1
        await task
        return turns, taken

    turns, taken = asyncio.run(main())
    assert turns >= 100
    assert sum(f.count for f in taken.got) == 1_000


def test_while_the_journal_refuses_no_piece_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "READ_BYTES", 100)
    file = tmp_path / "recording"
    file.write_bytes(b'1 {"a":1}\n' * 1_000)

    async def main() -> Taken:
        taken = Taken()
        taken.taking.clear()
        task = asyncio.create_task(ReplayFeed(file, BINANCE).run(taken))
        for _ in range(50):
            await asyncio.sleep(0)
        assert (sum(f.count for f in taken.got), taken.asked) == (10, 1)
        taken.taking.set()
        await task
        return taken

    taken = asyncio.run(main())
    assert sum(f.count for f in taken.got) == 1_000


def test_an_empty_file_ends_at_once(tmp_path: Path) -> None:
    file = tmp_path / "recording"
    file.touch()
    taken = run(ReplayFeed(file, BINANCE))
    assert (taken.got, taken.ended) == ([], [])


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refuse) as refused:
        ReplayFeed(tmp_path / "none", BINANCE)
    assert refused.value.code == "no_such_file"


@pytest.mark.parametrize("size", [1, 2, 3, 18, 25])
def test_a_last_block_cut_short_is_delivered(size: int, tmp_path: Path) -> None:
    file = tmp_path / "recording"
    tail = block(3, "1", 39)[:size]
    file.write_bytes(block(2, "1", 39) + tail)
    taken = run(ReplayFeed(file, IDX))
    assert taken.payload(TRADES) == file.read_bytes()
    assert bytes(taken.got[-1].payload) == tail
    assert taken.ended == [TRADES]


@pytest.mark.parametrize("length", [b"\x00\x00", b"\xff\xff"])
def test_lost_framing_is_delivered_and_ends_the_run(length: bytes, tmp_path: Path) -> None:
    file = tmp_path / "recording"
    file.write_bytes(block(2, "1", 39) + length + b"garbage")
    taken = Taken()
    with pytest.raises(Refuse, match=f"byte {len(block(2, '1', 39))}") as refused:
        asyncio.run(ReplayFeed(file, IDX).run(taken))
    assert refused.value.code == "bad_recording"
    assert taken.payload(TRADES) == file.read_bytes()
    assert not taken.ended


def test_a_torn_gzip_gives_all_before_the_tear(tmp_path: Path) -> None:
    file = tmp_path / "recording.gz"
    text = b"".join(b'%d {"n":%d}\n' % (n, n * 7919) for n in range(1, 3_000))
    whole = gzip.compress(text)
    for kept in (whole[: len(whole) // 2], whole[:-4], whole[:-8] + b"\0" * 8):
        file.write_bytes(kept)
        taken = Taken()
        with pytest.raises(Refuse) as refused:
            asyncio.run(ReplayFeed(file, BINANCE).run(taken))
        assert refused.value.code == "bad_recording"
        assert not taken.ended
        lines = sum(f.count for f in taken.got)
        assert lines > 1_000
        assert lines == 2_999 or len(kept) == len(whole) // 2


def test_zeros_behind_a_gzip_are_padding_however_many(tmp_path: Path) -> None:
    file = tmp_path / "recording.gz"
    packed = gzip.compress(b'1 {"n":1}\n')
    file.write_bytes(packed + bytes(100) + packed + bytes(100))
    for size in (1, 64, 1 << 20):
        taken = run(ReplayFeed(file, BINANCE, read_bytes=size))
        assert sum(frames.count for frames in taken.got) == 2 and taken.ended == [0]


def test_a_recording_made_by_others(shared_data: Path) -> None:
    taken = run(ReplayFeed(shared_data / "binance-spot-btcusdt-20240808.gz", BINANCE))
    assert sum(f.count for f in taken.got) == 41_249
    assert taken.got[0].ts_recv == 1_723_161_253_937_085_768
    assert all(a.ts_recv < b.ts_recv for a, b in zip(taken.got, taken.got[1:], strict=False))
    assert taken.ended == [0]
