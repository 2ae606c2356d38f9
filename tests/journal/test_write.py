"""Appending: what goes in comes out, live and from disk, over any openings, rolls and failures."""

import errno
import os
import resource
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursa.journal.read import JournalReader
from bursa.journal.record import HEADER, PAYLOAD_MAX, Control, clock, down
from bursa.journal.segment import HEADER as SEGMENT_HEADER
from bursa.journal.segment import listing
from bursa.journal.write import JournalWriter
from bursa.model.batch import (
    DOWN,
    END_OF_FILE,
    FRAMES,
    SOUPBIN,
    SPAN_END,
    SPAN_FIRST_SEQ,
    SPAN_KIND,
    SPAN_POSITION,
    SPAN_START,
    SPAN_TS_RECV,
    UP,
    Chunk,
)
from bursa.model.errors import Refuse
from bursa.ports import Frames

DAY_NS = 86_400 * 10**9


def ticking(start: int = 1000) -> Callable[[], int]:
    """A clock that says one more each time."""
    now = [start]

    def now_ns() -> int:
        now[0] += 1
        return now[0]

    return now_ns


def frames(payload: bytes, channel: int = 0, seq: int = 1, ts_recv: int = 0) -> Frames:
    return Frames(channel, SOUPBIN, "S1", seq, 1, ts_recv, payload)


def contents(chunk: Chunk) -> list[tuple[int, ...] | bytes]:
    """Everything of a chunk but where its payloads lie in the buffer."""
    out: list[tuple[int, ...] | bytes] = []
    for span in chunk.spans.T.tolist():
        out.append(chunk.frames[span[SPAN_START] : span[SPAN_END]].tobytes())
        out.append((*span[:SPAN_START], *span[SPAN_TS_RECV:]))
    return out


def everything(folder: Path, start: int = 0) -> list[tuple[int, ...] | bytes]:
    reader = JournalReader(folder)
    out = [piece for chunk in reader.chunks(start) for piece in contents(chunk)]
    assert not reader.damaged
    return out


def test_a_chunk_is_what_a_decoder_wants_and_what_the_disk_has(tmp_path: Path) -> None:
    items: list[Frames | Control] = [
        frames(b"one", seq=7),
        Control(UP, 1),
        frames(b"", 1),
        clock(0, 99),
    ]
    writer = JournalWriter(tmp_path, "idx", now_ns=ticking())
    chunk = writer.append(items)
    assert chunk.frames.flags.c_contiguous and chunk.frames.flags.writeable
    assert chunk.frames.dtype == np.uint8 and chunk.spans.dtype == np.int64
    assert (chunk.span.source, chunk.span.epoch, chunk.span.first) == ("idx", 1, 0)
    assert chunk.span.last == writer.position == chunk.spans[SPAN_POSITION, -1]
    assert chunk.spans[SPAN_KIND].tolist() == [FRAMES, UP, FRAMES, 1]
    assert chunk.spans[SPAN_FIRST_SEQ].tolist() == [7, 0, 1, 0]
    [read] = JournalReader(tmp_path).chunks(0)
    assert read.span == chunk.span
    assert read.frames.flags.c_contiguous and read.frames.flags.writeable
    assert contents(read) == contents(chunk)
    np.testing.assert_array_equal(read.frames, chunk.frames)
    writer.close()


ITEMS = st.lists(
    st.lists(
        st.one_of(
            st.builds(
                Frames,
                channel=st.integers(0, 3),
                form=st.integers(0, 2),
                session=st.text("AB1", max_size=16),
                first_seq=st.integers(0, 2**62),
                count=st.integers(0, 2**32 - 1),
                ts_recv=st.sampled_from([-1, 0, 5, 2000, DAY_NS, 2 * DAY_NS]),
                payload=st.binary(max_size=200),
            ),
            st.builds(Control, st.integers(1, 6), st.integers(0, 3), st.binary(max_size=40)),
        ),
        min_size=1,
        max_size=4,
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(ITEMS, st.sets(st.integers(0, 12)), st.integers(2500, 6000), st.data())
def test_any_appends_over_any_openings_read_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    appends: list[list[Frames | Control]],
    openings: set[int],
    segment_bytes: int,
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    now_ns = ticking()

    def open_writer(position: int) -> JournalWriter:
        return JournalWriter(
            folder, "idx", now_ns=now_ns, floor=position, segment_bytes=segment_bytes
        )

    writer = open_writer(0)
    chunks = []
    for at, items in enumerate(appends):
        if at in openings:
            writer.close()
            before = writer
            writer = open_writer(before.position)
            assert writer.epoch == before.epoch + 1
            assert (writer.position, writer.ts_recv) == (before.position, before.ts_recv)
            assert [writer.session(c) for c in range(4)] == [before.session(c) for c in range(4)]
        chunks.append(writer.append(items))
    writer.close()
    assert writer.synced == writer.position

    expected = [piece for chunk in chunks for piece in contents(chunk)]
    bytes_max = data.draw(st.integers(8, 5000))
    read = list(JournalReader(folder).chunks(0, bytes_max=bytes_max))
    assert [piece for chunk in read for piece in contents(chunk)] == expected
    for left, right in pairwise(chunks):
        assert left.span.last == right.span.first
    for chunk_left, chunk_right in pairwise(read):
        assert chunk_left.span.last == chunk_right.span.first
    received = [t for c in chunks for t in c.spans[SPAN_TS_RECV].tolist() if t != -1]
    assert received == sorted(received)
    positions = [0, *(int(p) for c in chunks for p in c.spans[SPAN_POSITION])]
    start = data.draw(st.sampled_from(positions))
    assert everything(folder, start) == expected[2 * positions.index(start) :]
    end = data.draw(st.sampled_from(positions))
    cut = [piece for c in JournalReader(folder).chunks(0, end) for piece in contents(c)]
    assert cut == expected[: 2 * positions.index(end)]
    assert JournalReader(folder).end == positions[-1]


def test_headers_carry_what_only_people_read(tmp_path: Path) -> None:
    items: list[Frames | Control] = [frames(b"abcde"), frames(b"xyz", 1), Control(END_OF_FILE, 0)]
    writer = JournalWriter(tmp_path, "idx", now_ns=ticking())
    writer.append(items)
    writer.close()
    writer = JournalWriter(tmp_path, "idx", now_ns=ticking())
    writer.append([down(0, "ended"), frames(b"12")])
    writer.close()
    records = list(JournalReader(tmp_path).records())
    assert [r.base for r in records] == [0, 0, 5, 5, 5]
    assert [r.epoch for r in records] == [1, 1, 1, 2, 2]
    assert [r.session for r in records] == ["S1", "S1", "", "", "S1"]
    assert records[3].kind == DOWN and records[3].payload == b"ended"
    assert records[1].start == records[0].position
    assert records[0].start == SEGMENT_HEADER
    assert records[0].position - records[0].start == HEADER + 8


def test_receive_times_never_decrease_even_when_the_clock_does(tmp_path: Path) -> None:
    times = iter([0, 5_000, 4_000, 0, 3_000])
    writer = JournalWriter(tmp_path, "idx", now_ns=lambda: next(times))
    assert writer.append([frames(b"")]).spans[SPAN_TS_RECV].tolist() == [5_000]
    chunk = writer.append([frames(b""), frames(b"", ts_recv=-1), frames(b"", ts_recv=7_000)])
    assert chunk.spans[SPAN_TS_RECV].tolist() == [5_000, -1, 7_000]
    writer.close()
    writer = JournalWriter(tmp_path, "idx", now_ns=lambda: next(times))
    assert writer.append([frames(b"")]).spans[SPAN_TS_RECV].tolist() == [7_000]
    writer.close()


def test_segments_end_by_size_by_day_and_when_told(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "idx", now_ns=lambda: DAY_NS - 1, segment_bytes=4096)
    for _ in range(3):
        writer.append([frames(bytes(1500 - HEADER))])
    assert [s.size for s in listing(tmp_path)] == [SEGMENT_HEADER + 1504, SEGMENT_HEADER + 1504] + [
        SEGMENT_HEADER + 1504
    ]
    writer.append([frames(b"", ts_recv=DAY_NS)])
    assert len(listing(tmp_path)) == 4
    writer.append([frames(bytes(10_000))])
    writer.roll()
    writer.append([frames(b"")])
    segments = listing(tmp_path)
    assert len(segments) == 6
    assert writer.base == segments[-1].base
    for left, right in pairwise(segments):
        assert left.end == right.base
    writer.close()
    assert len(everything(tmp_path)) == 12


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "idx", now_ns=ticking())
    with pytest.raises(Refuse, match="another process writes") as refusal:
        JournalWriter(tmp_path, "idx", now_ns=ticking())
    assert refusal.value.code == "journal_held"
    writer.close()
    JournalWriter(tmp_path, "idx", now_ns=ticking()).close()


def test_a_closed_journal_takes_nothing(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "idx", now_ns=ticking())
    writer.close()
    writer.close()
    with pytest.raises(OSError, match="closed"):
        writer.append([frames(b"")])


def test_limits_are_the_feeds_to_keep(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, "idx", now_ns=ticking())
    with pytest.raises(AssertionError):
        writer.append([frames(bytes(PAYLOAD_MAX + 1))])
    with pytest.raises(AssertionError):
        writer.append([Control(UP, 64)])
    writer.append([frames(b"fine")])
    writer.close()
    assert len(everything(tmp_path)) == 2


@pytest.fixture
def file_limit() -> Iterator[Callable[[int], None]]:
    """Sets the largest size that this process may give a file: a write past it fails half done."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_fails_half_done_leaves_nothing(
    tmp_path: Path, file_limit: Callable[[int], None]
) -> None:
    writer = JournalWriter(tmp_path, "idx", now_ns=ticking())
    writer.append([frames(b"before")])
    position, totals = writer.position, [r.base for r in JournalReader(tmp_path).records()]
    file_limit(position + 100)
    for _ in range(3):
        with pytest.raises(OSError) as full:
            writer.append([frames(bytes(1000), seq=2)])
        assert full.value.errno == errno.EFBIG
        assert writer.position == position
        assert os.stat(listing(tmp_path)[-1].path).st_size == position
    file_limit(resource.RLIM_INFINITY)
    writer.append([frames(b"after", seq=3)])
    writer.close()
    records = list(JournalReader(tmp_path).records())
    assert [r.payload for r in records] == [b"before", b"after"]
    assert [r.base for r in records] == [*totals, 6]


def test_a_full_disk_pushes_back_until_there_is_room(full_disk: Path) -> None:
    writer = JournalWriter(full_disk / "j", "idx", now_ns=ticking(), segment_bytes=100_000)
    payload = os.urandom(30_000)
    done = 0
    with pytest.raises(OSError) as full:
        while True:
            writer.append([frames(payload, seq=done + 1)])
            done += 1
    assert full.value.errno == errno.ENOSPC
    with pytest.raises(OSError):
        writer.append([frames(payload)])
    first = listing(full_disk / "j")[0]
    first.path.unlink()
    writer.append([frames(payload, seq=done + 1)])
    writer.sync()
    writer.close()
    reader = JournalReader(full_disk / "j")
    seqs = [r.first_seq for r in reader.records()]
    assert seqs == list(range(seqs[0], done + 2))
    assert not reader.damaged
