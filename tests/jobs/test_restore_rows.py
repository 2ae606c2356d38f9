"""Rows of a file of bars: read, judged, and one a minute, wherever the file is cut."""

from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursa.feeds import bar_file
from bursa.jobs.restore_rows import REASONS, Bad, RowReader
from bursa.model import validate
from bursa.model.calendar import MINUTE_NS
from bursa.model.schema import INT_NULL, OHLCV
from bursa.model.venue import BINANCE, IDX, Venue
from bursa.wire.bar_file import headers as bar_headers
from bursa.wire.bar_file.values import Clock

JAKARTA = ZoneInfo("Asia/Jakarta")
NOW = IDX.calendar.midnight_ns(date(2025, 6, 2))
HEAD = "ticker,ts,open,high,low,close,volume"
GOOD_LINE = "BBCA,2025-01-15 09:30,9000,9100,8950,9050,500"


def read(path: Path, venue: Venue = IDX, **options: Any) -> tuple[RowReader, list[Any], list[Bad]]:
    """The reader, (ticker, minute from the first, close, rev) of the good rows, and the bad."""
    file = bar_file.opened(path)
    ticker = options.get("ticker", "")
    taken = bar_headers.match(file.headers, {}, has_ticker=bool(ticker)).taken
    life = validate.life(venue, NOW)
    reader = RowReader(venue, taken, Clock(JAKARTA), life, **options)
    rows, bad = [], []
    for one in reader.read(file):
        bars = one.bars
        assert (bars.column("source") == 2).all()
        names = bars.text("ticker")
        keys = list(zip(names, bars.column("ts").tolist(), strict=True))
        assert keys == sorted(set(keys), key=lambda key: (names.index(key[0]), key[1]))
        rows += [(*key, close) for key, close in zip(keys, bars.column("close"), strict=True)]
        bad += one.bad
    return reader, rows, bad


def write(tmp_path: Path, *lines: str, head: str = HEAD) -> Path:
    path = tmp_path / "bars.csv"
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


def test_a_good_row_is_whole(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD_LINE)
    file = bar_file.opened(path)
    taken = bar_headers.match(file.headers, {}, has_ticker=False).taken
    reader = RowReader(IDX, taken, Clock(JAKARTA), validate.life(IDX, NOW))
    [one] = reader.read(file)
    row = {column.name: one.bars.column(column.name)[0] for column in OHLCV.scalars}
    assert one.bad == []
    assert one.bars.text("ticker") == ["BBCA"]
    assert IDX.calendar.text(int(row["ts"])) == "2025-01-15T09:30:00+07:00"
    prices = [row[name] for name in ("open", "high", "low", "close", "volume")]
    assert prices == [9000, 9100, 8950, 9050, 500]
    # What the file does not say: the typical price, and no count.
    assert row["value"] == round((9100 + 8950 + 9050) / 3 * 500)
    assert row["vwap"] == row["value"] / 500
    assert (row["trades"], row["final"], row["rev"], row["nth"]) == (0, 1, 0, INT_NULL)
    assert all(np.isnan(row[name]) for name in ("delta", "ruled", "bid_volume", "ask_volume"))
    assert reader.estimated
    assert reader.compared == ("open", "high", "low", "close", "volume")


def test_what_the_file_says_of_a_bar_is_taken(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        f"{GOOD_LINE},4525000,7,9049.5",
        "BBCA,2025-01-15 09:31,9000,9100,8950,9050,0,0,0,",
        head=f"{HEAD},value,trades,vwap",
    )
    file = bar_file.opened(path)
    taken = bar_headers.match(file.headers, {}, has_ticker=False).taken
    reader = RowReader(IDX, taken, Clock(JAKARTA), validate.life(IDX, NOW))
    [one] = reader.read(file)
    assert one.bars.column("value").tolist() == [4525000, 0]
    assert one.bars.column("trades").tolist() == [7, 0]
    assert one.bars.column("vwap")[0] == 9049.5
    assert np.isnan(one.bars.column("vwap")[1])
    assert not reader.estimated
    assert reader.compared == ("open", "high", "low", "close", "volume", "value", "trades")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("bbca,2025-01-15 09:30,9000,9100,8950,9050,500", "ticker"),
        (",2025-01-15 09:30,9000,9100,8950,9050,500", "null"),
        ("BBCA,15/01/2025 09:30,9000,9100,8950,9050,500", "unread_time"),
        ("BBCA,,9000,9100,8950,9050,500", "null"),
        ("BBCA,2025-01-15 09:30:30,9000,9100,8950,9050,500", "off_minute"),
        ("BBCA,1970-01-15 09:30,9000,9100,8950,9050,500", "time"),
        ("BBCA,2025-06-03 09:30,9000,9100,8950,9050,500", "time"),
        ("BBCA,2025-01-15 09:30,nine,9100,8950,9050,500", "number"),
        ("BBCA,2025-01-15 09:30,,9100,8950,9050,500", "null"),
        ("BBCA,2025-01-15 09:30,NaN,9100,8950,9050,500", "null"),
        ("BBCA,2025-01-15 09:30,9000,inf,8950,9050,500", "infinite"),
        ("BBCA,2025-01-15 09:30,9000,9040,8950,9050,500", "high"),
        ("BBCA,2025-01-15 09:30,9000,9100,9010,9050,500", "low"),
        ("BBCA,2025-01-15 09:30,9000,9100,0,9050,500", "price"),
        ("BBCA,2025-01-15 09:30,9000,9100,8950,9050,-1", "negative"),
        ("BBCA,2025-01-15 09:30,9000,9100,8950,9050", "fields"),
    ],
)
def test_a_bad_row_is_told_by_its_line(tmp_path: Path, line: str, reason: str) -> None:
    other = GOOD_LINE.replace("09:30", "09:29")
    path = write(tmp_path, other, line, GOOD_LINE.replace("09:30", "09:31"))
    reader, rows, bad = read(path)
    assert [(one.line, one.reason) for one in bad] == [(3, reason)]
    assert len(rows) == 2
    assert reader.counts.rows == 3
    assert +reader.counts.reasons == {reason: 1}
    assert reason in REASONS
    assert line.startswith(",".join(bad[0].values.values())[:4])


def test_only_minutes_are_taken(tmp_path: Path) -> None:
    lines = [f"{GOOD_LINE},1m", GOOD_LINE.replace("09:30", "09:31") + ",5m"]
    _, rows, bad = read(write(tmp_path, *lines, head=f"{HEAD},interval"))
    assert (len(rows), [one.reason for one in bad]) == (1, ["timeframe"])


def test_a_clock_change_needs_an_offset(tmp_path: Path) -> None:
    lines = [
        "A,2025-11-02 01:30,9,9,9,9,1",
        "A,2025-11-02 01:30-05:00,9,9,9,9,1",
    ]
    file = bar_file.opened(write(tmp_path, *lines))
    taken = bar_headers.match(file.headers, {}, has_ticker=False).taken
    zone = Clock(ZoneInfo("America/New_York"))
    reader = RowReader(IDX, taken, zone, validate.life(IDX, 2**61))
    [one] = reader.read(file)
    assert [bad.reason for bad in one.bad] == ["clock_change"]
    assert len(one.bars) == 1


def test_minutes_that_are_the_feeds_are_too_new(tmp_path: Path) -> None:
    _, [row], _ = read(write(tmp_path, GOOD_LINE))
    path = write(tmp_path, GOOD_LINE, GOOD_LINE.replace("09:30", "09:31"))
    _, rows, bad = read(path, newest_ns=row[1])
    assert rows == [row]
    assert [(one.line, one.reason) for one in bad] == [(3, "too_new")]


def test_rows_that_repeat(tmp_path: Path) -> None:
    same, other = GOOD_LINE.replace("9050", "9050.0"), GOOD_LINE.replace("9050", "9060")
    reader, rows, bad = read(write(tmp_path, GOOD_LINE, same, other, GOOD_LINE))
    assert [close for *_, close in rows] == [9050]
    assert [(one.line, one.reason) for one in bad] == [(4, "repeated")]
    assert (reader.counts.again, reader.counts.older) == (2, 0)


def test_a_given_ticker_counts_for_all(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD_LINE.partition(",")[2], head=HEAD.partition(",")[2])
    assert [name for name, *_ in read(path, ticker="TLKM")[1]] == ["TLKM"]


def test_volumes_with_decimals_and_the_value_they_make(tmp_path: Path) -> None:
    line = "BTCUSDT,2025-01-15 09:30,99000.1,99100,98950,99050.55,18.42"
    file = bar_file.opened(write(tmp_path, line))
    taken = bar_headers.match(file.headers, {}, has_ticker=False).taken
    life = validate.life(BINANCE, NOW)
    [one] = RowReader(BINANCE, taken, Clock(JAKARTA), life).read(file)
    assert one.bars.column("volume")[0] == 18.42
    value = one.bars.column("value")[0]
    assert value == round(value, BINANCE.value_decimals)


ROW = st.tuples(
    st.sampled_from(["BBCA", "TLKM", "nope"]),
    st.integers(0, 5),
    st.integers(0, 2),
    st.sampled_from([9000, 9050]),
)


@given(st.lists(ROW, max_size=40), st.booleans())
@settings(max_examples=60, deadline=None)
def test_cuts_of_the_file_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], revised: bool
) -> None:
    """Sorted as an export is, where it tells revisions; in any order, where it does not."""
    path = tmp_path_factory.getbasetemp() / "cut.csv"
    rows = sorted(rows, key=lambda row: row[:3]) if revised else rows
    lines = [
        f"{name},2025-01-15 09:{30 + minute},9000,9100,8950,{close},500,{rev}"
        for name, minute, rev, close in rows
    ]
    path.write_text("\n".join([HEAD + (",rev" if revised else ",other"), *lines]))
    whole = read(path)
    before, bar_file.PIECE_BYTES = bar_file.PIECE_BYTES, 120
    try:
        cut = read(path)
    finally:
        bar_file.PIECE_BYTES = before
    best: dict[Any, Any] = {}
    for name, minute, rev, close in rows:
        if name != "nope":
            kept = best.setdefault((name, minute), (rev, close))
            if revised and rev > kept[0]:
                best[name, minute] = rev, close
    found = {(name, (ts // MINUTE_NS) % 60 - 30): close for name, ts, close in whole[1]}
    assert found == {key: close for key, (_, close) in best.items()}
    first_of = {(name, ts): close for name, ts, close in reversed(cut[1])}
    assert first_of == {(name, ts): close for name, ts, close in whole[1]}
    if revised:
        assert sorted(cut[1]) == sorted(whole[1])
        assert cut[0].counts.reasons["ticker"] == whole[0].counts.reasons["ticker"]
