"""The rings give what the store would give, or say that they cannot."""

import random
import threading
from typing import Any

import pytest

from bursa.metrics.catalog import STANDARD
from bursa.model.batch import Batch, Span, Words
from bursa.model.schema import OHLCV
from bursa.model.venue import IDX
from bursa.store.rings import ALWAYS_NS, Rings
from tests.fakes.store import FakeStore, Row, batch_of, rows_of
from tests.store.contract import ALL, KINDS, MINUTE, OPEN, VENUES, bar, batch, metric, minutes, put

COLUMNS = len(OHLCV.scalars) + len(STANDARD.kind.scalars)


class Line:
    """Stands for the line whose dictionary and rows a venue's rings follow."""

    def __init__(self, depth: int = 8, slots: int = 4) -> None:
        self.words = Words(IDX.boards, [channel.name for channel in IDX.channels])
        self.rings = Rings(IDX, self.words, depth, slots * depth * COLUMNS * 8)

    def bars(self, *rows: Row) -> None:
        self.rings.feed_bars(batch(OHLCV, list(rows), self.words))

    def metrics(self, *rows: Row) -> None:
        self.rings.feed_metrics(batch(STANDARD.kind, list(rows), self.words))

    def held(self, ticker: str = "BBCA", n: int = 100, **asked: Any) -> list[Row] | None:
        found = self.rings.bars(ticker, n, **asked)
        return None if found is None else rows_of(found)

    def minutes(self, ticker: str = "BBCA", n: int = 100, **asked: Any) -> list[int]:
        found = self.held(ticker, n, **asked)
        assert found is not None
        return minutes(found)


@pytest.fixture
def line() -> Line:
    return Line()


def test_rows_come_back_as_they_were_fed(line: Line) -> None:
    row = bar("BBCA", 0, vwap=None, volume=2.0**53, final=False)
    line.bars(row)
    assert line.held() == [row]
    found = line.rings.bars("BBCA", 1)
    assert found is not None and found.words is line.words
    assert line.held("TLKM") is None


def test_the_newest_stay(line: Line) -> None:
    for minute in range(20):
        line.bars(bar("BBCA", minute), bar("TLKM", minute))
    assert line.minutes() == list(range(12, 20))
    assert line.minutes(n=3) == [17, 18, 19]
    assert line.minutes(n=0) == []
    assert line.minutes(n=3, before_ns=OPEN + 15 * MINUTE) == [12, 13, 14]
    assert line.minutes(n=3, before_ns=OPEN + 15 * MINUTE + 1) == [13, 14, 15]
    assert line.minutes(before_ns=OPEN) == []


def test_a_revision_replaces_its_row(line: Line) -> None:
    line.bars(*(bar("BBCA", m) for m in range(4)))
    line.bars(bar("BBCA", 2, rev=2, close=7.0), bar("BBCA", 2, rev=1, close=6.0))
    found = line.held()
    assert found is not None
    assert [(row["rev"], row["close"]) for row in found[2:]] == [(2, 7.0), (0, 103.0)]
    line.bars(bar("BBCA", 2, rev=0))
    assert line.held() == found


def test_a_late_bar_enters_in_order(line: Line) -> None:
    line.bars(bar("BBCA", 0), bar("BBCA", 5), bar("BBCA", 3))
    assert line.minutes() == [0, 3, 5]
    for minute in range(6, 12):
        line.bars(bar("BBCA", minute))
    line.bars(bar("BBCA", 4))
    assert line.minutes() == [4, 5, 6, 7, 8, 9, 10, 11]
    line.bars(bar("BBCA", 2))  # older than what a full ring vouches for: the store has it
    assert line.minutes() == [4, 5, 6, 7, 8, 9, 10, 11]


def test_metrics_are_apart_from_bars(line: Line) -> None:
    line.bars(bar("BBCA", 0))
    found = line.rings.metrics("BBCA", 5)
    assert found is not None and len(found) == 0
    row = metric("BBCA", 0, rsi_14=55.5)
    line.metrics(row)
    found = line.rings.metrics("BBCA", 5)
    assert found is not None and rows_of(found) == [row]


def test_it_covers_what_it_was_fed_from_the_start_on(line: Line) -> None:
    assert not line.rings.covers("BBCA", OPEN)
    for minute in range(8):
        line.bars(bar("BBCA", minute))
    assert line.rings.covers("BBCA", 0)  # no bar was before
    line.bars(bar("BBCA", 8))
    assert not line.rings.covers("BBCA", OPEN)
    assert line.rings.covers("BBCA", OPEN + 1)


def test_versions_change_with_the_rows(line: Line) -> None:
    assert line.rings.version("BBCA") == 0
    seen = []
    for row in (bar("BBCA", 0), bar("BBCA", 1), bar("BBCA", 0, rev=1)):
        line.bars(row)
        seen.append(line.rings.version("BBCA"))
    assert seen == sorted(set(seen))
    line.bars(bar("BBCA", 0, rev=1), bar("TLKM", 5))
    assert line.rings.version("BBCA") == seen[-1]
    metrics_version = line.rings.version("BBCA", "metrics")
    line.metrics(metric("BBCA", 0))
    assert line.rings.version("BBCA") == seen[-1]
    assert line.rings.version("BBCA", "metrics") != metrics_version


def stored(*rows: Row, committed: int, words: Words | None = None) -> Batch:
    """What a store gave: with a dictionary of its own, and what was committed before the read."""
    own = words or Words(IDX.boards, [])
    own.symbol_id("SOMETHING ELSE")
    kind = STANDARD.kind if rows and "rsi_14" in rows[0] else OHLCV
    return batch_of(kind, rows, own, Span("idx", 1, 0, committed))


def test_the_least_read_gives_way_to_who_is_put() -> None:
    line = Line(slots=2)
    line.bars(bar("BBCA", 0), bar("TLKM", 0), bar("ASII", 0))
    assert line.held("ASII") is None  # no room, and a feed drives nobody out
    line.held("BBCA")
    before = line.rings.version("TLKM")
    assert line.rings.put_bars("ASII", stored(bar("ASII", 0), committed=1), ALWAYS_NS)
    assert (line.held("TLKM"), line.rings.evicted, line.rings.tickers) == (None, 1, 2)
    assert line.minutes("ASII") == [0]
    assert line.rings.metrics("ASII", 5) is None  # put on its own
    line.bars(bar("BBCA", 1), bar("TLKM", 1), bar("ASII", 1))
    assert line.minutes("ASII") == [0, 1]
    assert line.rings.put_bars(
        "TLKM", stored(bar("TLKM", 0), bar("TLKM", 1), committed=101), ALWAYS_NS
    )
    assert line.minutes("TLKM") == [0, 1]
    assert line.held("BBCA") is None
    assert line.rings.version("TLKM") > before
    assert line.rings.bytes == 2 * 8 * COLUMNS * 8


def test_a_store_that_lags_is_not_taken() -> None:
    """The bar at minute 1 was fed while the ticker had no ring, and is not committed yet."""
    line = Line(slots=1)
    line.bars(bar("BBCA", 0), bar("TLKM", 0))
    line.bars(bar("TLKM", 1))
    assert not line.rings.put_bars("TLKM", stored(bar("TLKM", 0), committed=100), ALWAYS_NS)
    assert line.held("TLKM") is None
    both = stored(bar("TLKM", 0), bar("TLKM", 1), committed=101)
    assert line.rings.put_bars("TLKM", both, ALWAYS_NS)
    assert line.minutes("TLKM") == [0, 1]


def test_a_ring_does_not_vouch_for_rows_of_the_past_that_came_before_it(line: Line) -> None:
    """They were entered while the ticker had no ring: they lie in the store alone."""
    line.rings.enter(stored(bar("BBCA", 0), bar("BBCA", 2), committed=5))
    line.bars(bar("BBCA", 4))
    assert line.minutes() == [4]
    assert not line.rings.covers("BBCA", OPEN + 2 * MINUTE)
    assert line.rings.covers("BBCA", OPEN + 3 * MINUTE)
    line.rings.enter(stored(bar("BBCA", 3), committed=6))
    assert line.minutes() == [3, 4]
    assert line.rings.covers("BBCA", OPEN, "metrics"), "none of these were entered"


def test_put_reaches_further_back(line: Line) -> None:
    line.rings.rehydrate(FakeStore(VENUES, KINDS))
    line.bars(bar("BBCA", 6, rev=1, close=1.0), bar("BBCA", 7))
    older = stored(*(bar("BBCA", m) for m in range(3, 7)), committed=701)
    assert line.rings.put_bars("BBCA", older, OPEN + 3 * MINUTE)
    assert line.minutes() == [3, 4, 5, 6, 7]
    found = line.held()
    assert found is not None and found[3]["close"] == 1.0
    many = stored(*(bar("BBCA", m) for m in range(-9, 7)), committed=701)
    assert line.rings.put_bars("BBCA", many, ALWAYS_NS)
    assert line.minutes() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert not line.rings.covers("BBCA", OPEN - MINUTE)
    assert line.rings.covers("BBCA", OPEN)


def test_rehydrated_from_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bursa.store.rings.REHYDRATE_MINUTES", 4)
    store = FakeStore(VENUES, KINDS)
    rows = [bar("BBCA", m, position=m + 1) for m in range(6)]
    rows += [bar("TLKM", 0, position=7), bar("TLKM", 5, position=8), bar("ASII", 4, position=9)]
    rows += [bar("GOTO", 1, position=10), bar("BBCA", 4, rev=1, close=9.0, position=11)]
    put(store, batch(OHLCV, rows), batch(STANDARD.kind, [metric("BBCA", m) for m in range(6)]))
    line = Line(slots=5)
    line.rings.rehydrate(store)  # before the line's own dictionary is restored
    for ticker in ("TLKM", "ASII", "GOTO", "BBCA"):
        line.words.symbol_id(ticker)
    assert line.minutes("BBCA") == [2, 3, 4, 5]
    assert line.minutes("TLKM") == [5]
    assert line.held("GOTO") is None
    found = line.held("BBCA")
    assert found is not None and found[2]["close"] == 9.0
    assert found == rows_of(store.bars("idx", "BBCA", OPEN + 2 * MINUTE, 2**62))
    assert line.rings.covers("BBCA", OPEN + 2 * MINUTE)
    assert not line.rings.covers("BBCA", OPEN + 2 * MINUTE - 1)
    assert not line.rings.covers("TLKM", OPEN)
    assert line.rings.covers("ASII", 0)  # its first bar is later than the rest that was not read
    assert len(line.rings.metrics("BBCA", 9) or ()) == 4
    line.bars(bar("GOTO", 6), bar("BBRI", 6), bar("BBCA", 6))
    assert line.minutes("BBCA") == [2, 3, 4, 5, 6]
    assert line.rings.covers("BBRI", 0)
    assert line.rings.covers("GOTO", OPEN + 2 * MINUTE)
    assert not line.rings.covers("GOTO", OPEN)


def test_a_restored_dictionary_is_followed() -> None:
    line = Line()
    line.bars(bar("BBCA", 0), bar("TLKM", 0))
    line.words.restore({"symbols": ["TLKM", "ASII", "BBCA"], "texts": []})
    line.bars(bar("BBCA", 1, close=5.0), bar("TLKM", 1, close=6.0))
    found, other = line.held("BBCA"), line.held("TLKM")
    assert found is not None and other is not None
    assert [row["ticker"] for row in found] == ["BBCA", "BBCA"]
    assert (found[-1]["close"], other[-1]["close"]) == (5.0, 6.0)


def test_it_is_as_the_store_whatever_comes() -> None:
    """Random bars, late ones, revisions and puts: what a ring holds from its first row on is what a
    store holds there, and `covers` never promises more."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    line, store = Line(depth=12, slots=3), FakeStore(VENUES, KINDS)
    revisions: dict[tuple[str, int], int] = {}
    position = 0
    for step in range(150):
        rows = []
        for _ in range(chance.randrange(1, 6)):
            ticker = chance.choice(("BBCA", "TLKM", "ASII", "GOTO", "BBRI"))
            minute = step - chance.choice((0, 0, 0, 1, 3, 9, 30))
            rev = revisions[ticker, minute] = revisions.get((ticker, minute), -1) + 1
            position += 1
            rows.append(bar(ticker, minute, rev=rev, close=float(position), position=position))
        line.bars(*rows)
        put(store, batch(OHLCV, rows))
        for ticker in ("BBCA", "TLKM", "ASII", "GOTO", "BBRI"):
            every = rows_of(store.bars("idx", ticker, *ALL))
            held = line.held(ticker)
            if held is None:
                if every and chance.random() < 0.1:
                    newest = store.bars("idx", ticker, *ALL, newest=12)
                    start = ALWAYS_NS if len(newest) < 12 else int(newest.column("ts")[0])
                    assert line.rings.put_bars(ticker, newest, start)
                continue
            first = held[0]["ts"] if held else 2**62
            assert held == [row for row in every if row["ts"] >= first]
            for row in every:
                if line.rings.covers(ticker, row["ts"]):
                    assert row["ts"] >= first


def test_readers_see_whole_rows_while_it_is_fed() -> None:
    line = Line(depth=64)
    line.bars(bar("BBCA", 0))
    wrong: list[Any] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            found = line.rings.bars("BBCA", 50)
            assert found is not None
            ts, closes = found.column("ts"), found.column("close")
            if ((ts - OPEN) / MINUTE + 100.0 != closes).any() or (ts[1:] <= ts[:-1]).any():
                wrong.append(found)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for minute in range(1, 400):
        line.bars(bar("BBCA", minute))
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []


def test_warming_leaves_no_trace(line: Line) -> None:
    line.rings.warm()
    assert line.rings.tickers == 0 and line.rings.bytes == 0
