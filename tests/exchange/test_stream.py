"""A session is one sequence of bytes, whoever asks, from wherever, in whatever pieces."""

import hashlib
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursa.exchange import stream
from bursa.exchange.market import FULL, HISTORY, NEVER, NO_BOOKS, Day, Detail
from bursa.model.venue import IDX

DAY = date(2025, 11, 20)
TICKERS = 12

pytestmark = pytest.mark.xdist_group("exchange")  # its days are made once


def a_day(detail: Detail = FULL) -> Day:
    return Day(IDX.calendar, DAY, 7, TICKERS, detail)


def rest(session: stream.Session) -> bytes:
    parts = []
    while not session.done:
        parts.append(bytes(session.advance(NEVER)))
    return b"".join(parts)


def ends(raw: bytes) -> list[int]:
    """Offset of the n-th message, and the end."""
    found = [0]
    while found[-1] < len(raw):
        at = found[-1]
        found.append(at + 2 + int.from_bytes(raw[at : at + 2], "big"))
    return found


@pytest.fixture(scope="module")
def offsets(day: Any) -> tuple[list[int], list[int]]:
    return ends(day.raw[0]), ends(day.raw[1])


def test_other_processes_make_the_same_bytes(day: Any, tmp_path: Path, soak: bool) -> None:
    """Freshly compiled, then from the compiler's cache."""
    if not soak:
        pytest.skip("it compiles the exchange anew: --soak")
    code = (
        "import hashlib, datetime; from bursa.exchange import stream\n"
        f"raw = stream.generate(datetime.date({DAY:%Y, %-m, %-d}), 7, tickers={TICKERS})\n"
        "print(*(hashlib.sha256(r).hexdigest() for r in raw))"
    )
    expected = [hashlib.sha256(raw).hexdigest() for raw in day.raw]
    fresh = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    for _ in range(2):
        told = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=fresh
        )
        assert told.stdout.split() == expected


def test_seed_day_and_listing_all_matter(day: Any) -> None:
    for on, seed, tickers in ((DAY, 8, 12), (date(2025, 11, 21), 7, 12), (DAY, 7, 13)):
        other = stream.generate(on, seed, tickers=tickers, books=False)
        assert other[0] != day.raw[0]


@pytest.mark.parametrize("detail", [HISTORY, NO_BOOKS])
def test_trades_are_the_same_with_and_without_books(day: Any, detail: Detail) -> None:
    assert rest(stream.Session(a_day(detail), 0)) == day.raw[0]
    kinds = {raw[3:4] for raw in _packets(rest(stream.Session(a_day(detail), 1)))}
    assert kinds == {b"2", b"5", b"6", b"9"}


def _packets(raw: bytes) -> list[bytes]:
    at = ends(raw)
    return [raw[a:b] for a, b in zip(at, at[1:], strict=False)]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1), st.lists(st.integers(0, 27_100_000), max_size=20))
def test_cuts_in_time_change_nothing(day: Any, channel: int, cuts_ms: list[int]) -> None:
    session = stream.Session(a_day(), channel)
    start_ns, parts = session.start_ns, []
    for cut_ms in sorted(cuts_ms):
        until_ns = start_ns + cut_ms * 1_000_000
        while session.position_ns < until_ns and not session.done:
            parts.append(bytes(session.advance(until_ns)))
    parts.append(rest(session))
    assert b"".join(parts) == day.raw[channel]


def test_nothing_later_than_asked_for_is_told(reader: Any) -> None:
    session = stream.Session(a_day(), 1)
    until_ns = session.start_ns + 15 * 60 * 10**9
    told = reader(bytes(session.advance(until_ns)))
    assert told[-1].ts <= until_ns == session.position_ns
    assert bytes(session.advance(until_ns)) == b""


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_any_number_is_a_place_to_go_on_from(
    day: Any, offsets: tuple[list[int], list[int]], data: st.DataObject
) -> None:
    channel = data.draw(st.integers(0, 1))
    at = offsets[channel]
    seq = data.draw(st.integers(1, len(at)))
    session = stream.Sessions().open(a_day(), channel, seq)
    assert session is not None and session.next_seq == seq
    assert rest(session) == day.raw[channel][at[seq - 1] :]


def test_the_end_is_a_place_and_past_it_is_none(offsets: tuple[list[int], list[int]]) -> None:
    for channel, at in enumerate(offsets):
        sessions = stream.Sessions()
        ended = sessions.open(a_day(), channel, len(at))
        assert ended is not None and ended.done and ended.next_seq == len(at)
        assert sessions.open(a_day(), channel, len(at) + 1) is None


def test_remembered_states_lead_to_the_same_bytes(
    day: Any, offsets: tuple[list[int], list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_MARK_MESSAGES", 10_000)
    sessions = stream.Sessions()
    at = offsets[1]
    for seq in (len(at) - 5, 95_000, 10_001, 20_000, 1, 54_321):
        session = sessions.open(a_day(), 1, seq)
        assert session is not None
        assert rest(session) == day.raw[1][at[seq - 1] :], seq


def test_blocks_are_the_day_in_steps(day: Any) -> None:
    parts: tuple[list[bytes], list[bytes]] = ([], [])
    next_seq = [1, 1]
    last_ns = 0
    for block in stream.blocks(DAY, 7, tickers=TICKERS, step_ns=30 * 10**9):
        assert block.first_seq == next_seq[block.channel] and block.ts_ns >= last_ns
        next_seq[block.channel] += block.count
        last_ns = block.ts_ns
        parts[block.channel].append(block.payload)
    assert (b"".join(parts[0]), b"".join(parts[1])) == day.raw


def test_the_tally_counts_both_channels(day: Any) -> None:
    tally = stream.tally(a_day())
    assert tally[-1] == len(day.trades) + len(day.market)
    at_s = 3_600
    until_ns = day.trades[0].ts + at_s * 10**9
    told = sum(m.ts <= until_ns for m in (*day.trades, *day.market))
    assert tally[at_s] == told
