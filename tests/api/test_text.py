"""Numbers and times as clients read them; the caches of rows and answers; cursors."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursa.accounts.hd import NONE, RAW, View
from bursa.api import text
from bursa.api.candle_rows import CandleRows, SeenRows, seen, serialise
from bursa.api.paging import NEWER, OLDER, PLACE, Page, page_of, token
from bursa.api.params import instant
from bursa.api.stream.frames import frame
from bursa.api.stream.retained import Retained
from bursa.history.candles import Candles
from bursa.model.batch import Batch
from bursa.model.errors import Refuse
from bursa.model.venue import BINANCE, IDX
from tests.api.test_rolling import minutes


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_number_comes_back_as_it_was(value: float) -> None:
    found = json.loads(text.number(value))
    if np.isfinite(value):
        assert float(found) == value
        assert text.json_value(value) == value
    else:
        assert found is None and text.json_value(value) is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [(8900.0, "8900"), (18.42, "18.42"), (0.1 + 0.2, "0.30000000000000004"), (-0.0, "0")],
)
def test_numbers_read_well(value: float, shown: str) -> None:
    assert text.number(value) == shown


FLOATS = st.one_of(st.floats(), st.integers(-(2**54), 2**54).map(float), st.just(-0.0))


@given(st.lists(FLOATS, max_size=5))
def test_a_column_is_written_as_its_numbers(values: list[float]) -> None:
    assert text.numbers(np.array(values, np.float64)) == [text.number(value) for value in values]


@given(st.integers(0, 4 * 10**9))
def test_times_are_iso_in_both_clocks(seconds: int) -> None:
    ns = np.array([seconds * 10**9], np.int64)
    wanted = datetime.fromtimestamp(seconds, UTC)
    assert datetime.fromisoformat(text.utc(ns)[0]) == wanted
    local = text.local(ns, IDX.calendar)[0]
    assert datetime.fromisoformat(local) == wanted and local.endswith("+07:00")
    assert text.local(ns, BINANCE.calendar)[0].endswith("+00:00")


@given(st.integers(0, 4 * 10**18))
def test_an_instant_keeps_its_nanoseconds(ns: int) -> None:
    shown = text.instant(ns)
    whole, _, fraction = shown.rstrip("Z").partition(".")
    assert int(datetime.fromisoformat(whole + "+00:00").timestamp()) == ns // 10**9
    assert int(fraction.ljust(9, "0") or 0) == ns % 10**9


@given(st.integers(0, 4 * 10**9))
def test_what_is_written_is_read(seconds: int) -> None:
    shown = text.venue_instant(seconds * 10**9, IDX.calendar)
    assert instant("from", shown, IDX.calendar) == seconds * 10**9
    assert instant("from", shown.replace("+", " "), IDX.calendar) == seconds * 10**9


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536])
def test_a_frame_has_the_header_of_its_length(size: int) -> None:
    made = frame(b"x" * size)
    head = made[: len(made) - size]
    assert head[0] == 0x81
    if size < 126:
        assert head[1:] == bytes([size])
    elif size < 65_536:
        assert head[1:] == b"\x7e" + size.to_bytes(2, "big")
    else:
        assert head[1:] == b"\x7f" + size.to_bytes(8, "big")


def candles(count: int, skip: int = 0) -> Candles:
    bars = minutes(IDX, 300, 7)
    part = Batch(bars.kind, bars.block[:, skip : skip + count].copy(), bars.words, bars.span)
    return Candles(part, np.arange(skip, skip + len(part), dtype=np.float64), False)


def test_rows_are_reused_until_they_change() -> None:
    rows = CandleRows(IDX.calendar)
    first = rows.rows("A", "1m", candles(100))
    assert first == serialise("A", "1m", candles(100), IDX.calendar)
    again = rows.rows("A", "1m", candles(50, 50))
    assert all(a is b for a, b in zip(again, first[50:], strict=True))
    grown = rows.rows("A", "1m", candles(110))
    assert all(a is b for a, b in zip(grown, first, strict=False)) and len(grown) == 110
    revised = candles(110)
    revised.bars.column("rev")[3] += 1
    revised.hd[5] = 99.5
    changed = rows.rows("A", "1m", revised)
    assert [n for n in range(110) if changed[n] is not grown[n]] == [3, 5]
    assert changed == serialise("A", "1m", revised, IDX.calendar)


@given(st.lists(FLOATS, max_size=40))
def test_packed_numbers_are_the_same_numbers(values: list[float]) -> None:
    found = [json.loads(one) for one in text.packed(np.array(values, np.float64))]
    wanted = [text.json_value(value) for value in values]
    assert found == wanted and [*map(type, found)] == [*map(type, wanted)]


@pytest.mark.parametrize("view", [RAW, NONE, ("scaled", 1.37)])
@pytest.mark.parametrize("tf", ["1m", "5m"])
def test_rows_of_every_view_are_those_that_are_made_at_once(view: View, tf: str) -> None:
    rows = SeenRows(IDX.calendar)
    for count, skip in ((40, 0), (60, 10), (0, 0), (50, 30)):
        asked = candles(count, skip)
        asked.hd[3::7] = np.nan
        wanted = serialise("BBCA", tf, seen(asked, view), IDX.calendar)
        array = json.loads(rows.array("BBCA", tf, asked, view))
        assert array == [json.loads(row) for row in wanted]


def test_open_bars_are_made_anew() -> None:
    rows = CandleRows(IDX.calendar)
    rows.rows("A", "1m", candles(9))
    opened = candles(10)
    opened.bars.column("final")[-1] = 0
    one = rows.rows("A", "1m", opened)
    opened.bars.column("close")[-1] = 77.5
    two = rows.rows("A", "1m", opened)
    assert one[:9] == two[:9] and one[9] != two[9] and b'"close":77.5' in two[9]


def test_the_row_cache_is_bounded() -> None:
    rows = CandleRows(IDX.calendar, rows_max=250)
    for ticker in ("A", "B", "C"):
        rows.rows(ticker, "1m", candles(100))
        assert len(rows) <= 250
    kept = rows.rows("C", "1m", candles(100))
    assert rows.rows("C", "1m", candles(100))[0] is kept[0]


@pytest.mark.parametrize("direction", [OLDER, NEWER, PLACE])
@given(at=st.integers(-(2**63), 2**63 - 1))
def test_a_page_token_comes_back_and_only_for_its_question(direction: int, at: int) -> None:
    page = Page(direction, at)
    assert page_of(token(page, ("q", 1)), ("q", 1)) == page
    with pytest.raises(Refuse):
        page_of(token(page, ("q", 1)), ("q", 2))


@given(st.text(max_size=40))
def test_any_other_text_is_no_page_token(given_text: str) -> None:
    with pytest.raises(Refuse) as refusal:
        page_of(given_text, ("q",))
    assert refusal.value.code == "bad_page"


def test_the_log_keeps_the_newest_and_finds_places_by_cursor() -> None:
    log = Retained("00000000deadbeef", 100)
    for n in range(30):
        ids = np.full(10, n)
        log.append("idx", "bars", (ids, ids), lambda place, cursor: f"{place} {cursor}".encode())
    assert log.head == 300 and 100 <= log.head - log.tail <= 110
    offset = log.head - 25
    found = [(s.first + place) for s, place in log.since(offset)]
    assert found == [offset, 280, 290]
    segment, place = next(iter(log.since(offset)))
    assert log.frame(segment, place) == f"{place} {log.epoch}-{offset + 1}".encode()
    assert log.offset_of(log.cursor(offset)) == offset
    assert log.offset_of(log.cursor(log.head)) == log.head
    assert list(log.since(log.head)) == []
    for foreign in (log.cursor(log.head + 1), log.cursor(0), "00000000deadbee0-290"):
        assert log.offset_of(foreign) is None
    for garbage in ("", "x", "00000000deadbeef", "00000000deadbeef--1", "00000000deadbeef-1\n"):
        with pytest.raises(Refuse):
            log.offset_of(garbage)
