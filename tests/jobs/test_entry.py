"""Rows of the past, entered: the journal has them, and so everything that is derived from it."""

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from bursa.jobs.entry import absent, enter, wait_committed
from bursa.journal.read import JournalReader
from bursa.journal.record import rows as rows_record
from bursa.journal.write import JournalWriter
from bursa.metrics.catalog import STANDARD
from bursa.model.batch import Batch, Chunk, Span
from bursa.model.errors import Refuse, Reject
from bursa.model.schema import OHLCV, SOURCES, TICKS, Kind
from bursa.model.venue import IDX
from bursa.pipeline.entered import UNREAD
from bursa.pipeline.line import kinds
from bursa.wire.ipc import LEFT, pack, unpack
from tests.pipeline import market, rows, running

MINUTE = 60 * 10**9
BEFORE = 1_763_432_100_000_000_000 // MINUTE * MINUTE  # 2025-11-18, days before the market's
KINDS = {kind.name: kind for kind in kinds()}
FILE = SOURCES.index("file")


def bars_of(
    names: list[str], minutes: int, rev: int = 0, start: int = BEFORE, source: int = FILE
) -> Batch:
    """Bars of some tickers, a minute after the other."""
    words = IDX.words()
    n = len(names) * minutes
    block = np.zeros((len(OHLCV.columns), n), np.int64)
    found = Batch(OHLCV, block, words, Span("idx", 0, 0, 0))
    ids = [words.symbol_id(name) for name in names]
    found.column("ticker")[:] = np.repeat(ids, minutes)
    found.column("ts")[:] = start + np.tile(np.arange(minutes), len(names)) * MINUTE
    found.column("rev")[:] = rev
    for at, name in enumerate(("open", "high", "low", "close", "volume", "value", "vwap")):
        found.column(name)[:] = 100.0 + at + np.arange(n) + rev
    for name in ("delta", "ruled", "bid_volume", "ask_volume"):
        found.column(name)[:] = np.nan
    found.column("trades")[:] = 3
    found.column("final")[:] = 1
    found.column("source")[:] = source
    return found


def metrics_of(bars: Batch) -> Batch:
    """A metric row of each bar, with one output."""
    kind = STANDARD.kind
    made = replace(bars, kind=kind, block=np.zeros((len(kind.columns), len(bars)), np.int64))
    for column in kind.columns:
        if column.name in OHLCV.index:
            made.column(column.name)[:] = bars.column(column.name)
        elif column.dtype == "float":
            made.column(column.name)[:] = np.nan
    made.column("rsi_14")[:] = np.arange(len(bars)) * 1.5
    return made


class TestBytes:
    @pytest.mark.parametrize("kind", [OHLCV, STANDARD.kind, TICKS], ids=lambda kind: kind.name)
    def test_rows_come_back_as_they_went_in(self, kind: Kind) -> None:
        rng, words = np.random.default_rng(3), IDX.words()
        names = [words.symbol_id(name) for name in ("BBCA", "TLKM", "GOTO")]
        block = np.zeros((len(kind.scalars), 50), np.int64)
        for at, column in enumerate(kind.scalars):
            if column.dtype == "float":
                values = rng.choice([0.1, 2.0**53, -0.0, np.nan if column.nullable else 7.0], 50)
                block[at] = values.view(np.int64)
            elif column.dtype == "text":
                known = names if column.words == "symbols" else range(len(words.of(column)))
                block[at] = rng.choice([*known, -1] if column.nullable else list(known), 50)
            elif column.dtype == "flag":
                block[at] = rng.integers(0, 2, 50)
            else:
                block[at] = rng.choice([0, -1, 2**62], 50)
            if column.name in LEFT:
                block[at] = 0
        given = Batch(kind, block, words, Span("idx", 0, 0, 0))
        found = unpack(pack(given), KINDS, IDX.words(), given.span)
        assert np.array_equal(rows.of_batch(found), rows.of_batch(given))

    def test_what_is_no_rows_is_rejected(self) -> None:
        bars = bars_of(["BBCA"], 2)
        for payload in (b"", b"rows", pack(bars)[:-60]):
            with pytest.raises(Reject, match="bad_rows"):
                unpack(payload, KINDS, IDX.words(), bars.span)
        with pytest.raises(Reject, match="rows of ohlcv"):
            unpack(pack(bars), {}, IDX.words(), bars.span)

    def test_columns_of_another_schema_are_null_or_left_out(self) -> None:
        narrow = replace(OHLCV, columns=tuple(c for c in OHLCV.columns if c.name != "vwap"))
        bars = bars_of(["BBCA"], 2)
        found = unpack(pack(bars), {"ohlcv": narrow}, IDX.words(), bars.span)
        assert found.column("close").tolist() == bars.column("close").tolist()
        wide = unpack(pack(found), KINDS, IDX.words(), bars.span)
        assert np.isnan(wide.column("vwap")).all()


# -- the line --------------------------------------------------------------------------------------


def journalled(folder: Path) -> None:
    """A market's records, with rows entered among them."""
    ticks = iter(range(1, 1 << 40))
    writer = JournalWriter(folder, "idx", now_ns=lambda: 10**18 + next(ticks) * 1000)
    one, other = bars_of(["ZZZZ", "BBCA"], 4), bars_of(["AAAA"], 3, rev=1)
    entered = [rows_record(pack(b)) for b in (one, metrics_of(one), other, metrics_of(other))]
    entered.append(rows_record(b"of another program"))
    rng = Random(5)
    for at, item in enumerate(market.cut(market.channels(), rng, 40)):
        writer.append([item])
        if at % 30 == 3 and entered:
            writer.append([entered.pop(0)])
    assert not entered
    writer.sync()
    writer.close()


def derived(folder: Path, cut: int) -> tuple[dict[str, str], dict[str, int], list[str]]:
    line, batches, counts = running.line(), list[Batch](), dict[str, int]()
    for chunk in JournalReader(folder).chunks(0, bytes_max=cut):
        made = line.push(chunk)
        assert all(b.kind.name in KINDS for b in made.entered)
        assert len({b.kind.name for b in made.batches}) == len(made.batches)
        batches += made.batches
        for word, count in made.counts.items():
            counts[word] = counts.get(word, 0) + count
    return rows.hashes(rows.tables(batches)), counts, list(line.words.symbols)


def test_any_cut_of_the_journal_gives_the_same_rows_in_their_order(tmp_path: Path) -> None:
    journalled(tmp_path / "idx")
    whole, counts, symbols = derived(tmp_path / "idx", 1 << 30)
    assert counts["entered_ohlcv"] == counts["entered_metrics"] == 11
    assert counts[UNREAD] == 1
    assert "ZZZZ" not in symbols, "history leaves the line's dictionary alone"
    for cut in (1, 3_000, 100_000):
        assert derived(tmp_path / "idx", cut) == (whole, counts, symbols)


def test_an_entered_row_bears_what_its_record_tells(tmp_path: Path) -> None:
    bars = bars_of(["BBCA"], 3)
    chunk = _chunk(tmp_path, pack(bars))
    made = running.line().push(chunk)
    [found] = made.batches
    assert found.column("nth").tolist() == [0, 1, 2]
    assert set(found.column("known_at").tolist()) == {10**18}
    assert set(found.column("ts_recv").tolist()) == {10**18}
    assert set(found.column("position").tolist()) == {chunk.span.last}
    assert found.text("source") == ["file"] * 3
    assert not len(made.closed)
    assert not len(made.metrics), "the engine passes over them"
    assert not made.live


def _chunk(folder: Path, payload: bytes) -> Chunk:
    writer = JournalWriter(folder / "idx", "idx", now_ns=lambda: 10**18)
    try:
        return writer.append([rows_record(payload)])
    finally:
        writer.close()


# -- a venue ---------------------------------------------------------------------------------------


class Venue:
    """A venue over a folder, without feeds or fed from a script."""

    def __init__(self, data: Path, *feeds: Any) -> None:
        self.data = data
        self.store = running.open_store(data)
        self.runtime = running.runtime(data, self.store, running.knobs())
        self.runtime.start(feeds)
        for feed in feeds:
            running.until(feed.told.is_set, "the script is told")

    def __enter__(self) -> "Venue":
        return self

    def __exit__(self, *_: object) -> None:
        assert self.runtime.stop()
        self.store.close()

    def put(self, batch: Batch) -> None:
        wait_committed(self.runtime, enter(self.runtime, batch))


class TestVenue:
    def test_the_journal_alone_gives_what_was_entered(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        script = running.Script(market.channels(), Random(3), 60)
        bars = bars_of(["BBCA", "ZZZZ"], 5)
        with Venue(data, script) as venue:
            venue.put(bars)
            venue.put(metrics_of(bars))
            venue.put(bars_of(["BBCA"], 2, rev=1))
            assert venue.store.span("idx")["ZZZZ"] == (BEFORE, BEFORE + 4 * MINUTE)
        stored = running.stored(data / "hot.duckdb")
        again = running.rebuilt(data / "journal" / "idx")
        assert rows.hashes(stored) == rows.hashes(again)
        with Venue(data) as venue:
            found = venue.store.bars("idx", "BBCA", BEFORE, BEFORE + 5 * MINUTE)
            assert found.column("rev").tolist() == [1, 1, 0, 0, 0]
            assert found.text("source") == ["file"] * 5

    def test_entering_again_adds_nothing(self, tmp_path: Path) -> None:
        data, bars = tmp_path / "data", bars_of(["BBCA", "ZZZZ"], 5)
        with Venue(data) as venue:
            venue.put(bars)
            position = venue.runtime.journal.position
            venue.put(bars)
            assert venue.runtime.journal.position == position
            fresh, found = absent(venue.store, IDX, bars)
            assert (len(fresh), found.equal, found.differing) == (0, 10, 0)
            other = bars_of(["BBCA", "AAAA"], 6)
            fresh, found = absent(venue.store, IDX, other)
            assert (found.absent, found.equal, found.differing) == (7, 5, 0)
            assert len(fresh) == 7
            other.column("close")[2] += 1
            other.column("high")[2] += 1
            fresh, found = absent(venue.store, IDX, other)
            [one] = found.examples
            assert (found.equal, found.differing) == (4, 1)
            assert (one.ticker, one.ts, one.column) == ("BBCA", BEFORE + 2 * MINUTE, "high")

    def test_minutes_that_are_the_feeds_are_refused(self, tmp_path: Path) -> None:
        script = running.Script(market.channels(), Random(3), 60)
        with Venue(tmp_path / "data", script) as venue:
            running.until(lambda: venue.runtime.line.watermark_ns > BEFORE, "a watermark")
            reached = venue.runtime.line.forgotten_ns // MINUTE * MINUTE
            position = venue.runtime.journal.position
            with pytest.raises(Refuse, match="is the feed's to make") as refused:
                enter(venue.runtime, bars_of(["BBCA"], 2, start=reached))
            assert refused.value.code == "too_new"
            assert venue.runtime.journal.position == position

    def test_before_a_feed_came_today_is_its_own(self, tmp_path: Path) -> None:
        """It brings the day from its beginning, and each of its bars as a first revision."""
        with Venue(tmp_path / "data") as venue:
            now = venue.runtime.clock.now_ns()
            today = IDX.calendar.midnight_ns(IDX.calendar.day_of(now))
            with pytest.raises(Refuse, match="is the feed's to make") as refused:
                enter(venue.runtime, bars_of(["BBCA"], 1, start=today))
            assert refused.value.code == "too_new"
            venue.put(bars_of(["BBCA"], 1, start=today - MINUTE))
            assert venue.store.span("idx") == {"BBCA": (today - MINUTE, today - MINUTE)}

    def test_a_ring_has_it_in_its_place(self, tmp_path: Path) -> None:
        data = tmp_path / "data"
        with Venue(data, running.Script(market.channels(), Random(3), 60)) as venue:
            rings = venue.runtime.parts.rings
            [ticker, *_] = venue.store.span("idx")
            running.until(lambda: rings.bars(ticker, 9) is not None, "a ring")
            before = rings.version(ticker)
            bars = bars_of([ticker], 3)
            venue.put(bars)
            found = rings.bars(ticker, 10_000)
            assert found is not None
            assert found.column("ts")[:3].tolist() == bars.column("ts").tolist()
            assert np.all(np.diff(found.column("ts")) > 0)
            assert rings.version(ticker) > before
            venue.put(bars_of([ticker], 1, rev=1))
            found = rings.bars(ticker, 10_000)
            assert found is not None and found.column("rev")[0] == 1
