"""What every store owes its callers; run on each adapter and on the fake by test_contract.py."""

import threading
from typing import Any

import pytest

from bursa.metrics.catalog import STANDARD
from bursa.model.batch import Batch, Span, Words, empty
from bursa.model.schema import (
    CONTRACTS,
    INDEX,
    INT_NULL,
    MARKET_KINDS,
    OHLCV,
    ORDERBOOK,
    QUARANTINE,
    QUOTES,
    SNAPSHOT,
    STATUS,
    TICKS,
    Kind,
    topic,
)
from bursa.model.venue import BINANCE, IDX
from bursa.ports import Committed
from tests.fakes.store import Row, batch_of, rows_of

METRICS = STANDARD.kind

VENUES = (IDX, BINANCE)
KINDS = (*MARKET_KINDS, METRICS)
MINUTE = 60_000_000_000
OPEN = 1_700_000_040_123_456_789 // MINUTE * MINUTE
ALL = (0, 2**62)


def bar(ticker: str, minute: int, rev: int = 0, **other: Any) -> Row:
    ts = OPEN + minute * MINUTE
    row = {
        "ticker": ticker, "freq": "1m", "ts": ts, "rev": rev,
        "open": 100.0, "high": 105.0, "low": 95.0, "close": 100.0 + minute,
        "volume": 500.0, "value": 50_000.0, "trades": 3, "vwap": 100.0,
        "delta": -100.0, "ruled": 200.0, "bid_volume": 1_500.0, "ask_volume": None, "final": True,
        "known_at": ts + 62_000_000_000 + rev, "ts_recv": ts + 59_999_999_999,
        "position": 1 + minute * 100 + rev, "nth": 2, "source": None,
    }  # fmt: skip
    return row | other


def metric(ticker: str, minute: int, rev: int = 0, **other: Any) -> Row:
    row = bar(ticker, minute, rev)
    kept = {name: value for name, value in row.items() if name in METRICS.index}
    return (
        kept | {column.name: None for column in METRICS.scalars if column.name not in kept} | other
    )


def tick(ticker: str, nth: int, **other: Any) -> Row:
    row = {
        "ticker": ticker, "ts": OPEN + nth, "trade_no": nth, "board": "RG", "price": 50.0,
        "volume": 100.0, "aggressor": "B", "seq": nth, "ts_recv": OPEN + nth + 7, "position": nth,
    }  # fmt: skip
    return row | other


def batch(kind: Kind, rows: list[Row], words: Words | None = None, venue: str = "idx") -> Batch:
    of = {v.name: v for v in VENUES}[venue]
    words = words or Words(of.boards, [channel.name for channel in of.channels])
    positions = [row["position"] for row in rows]
    return batch_of(kind, rows, words, Span(venue, 1, min(positions) - 1, max(positions)))


def put(store: Any, *batches: Batch, epoch: int = 1) -> None:
    """Write batches, each with its own end as its topic's position."""
    at: dict[str, Committed] = {}
    for one in batches:
        name = topic(one.span.source, one.kind)
        at[name] = Committed(max(one.span.last, at.get(name, Committed(0, 0)).position), epoch)
    store.write(batches, at)


def bars(store: Any, ticker: str = "BBCA", **asked: Any) -> list[Row]:
    return rows_of(store.bars("idx", ticker, *asked.pop("within", ALL), **asked))


def minutes(rows: list[Row]) -> list[int]:
    return [(row["ts"] - OPEN) // MINUTE for row in rows]


class StoreContract:
    """Inherit and give a fixture `store`: a new, empty one of VENUES and KINDS.

    commits   how many are made while others read
    prompt    what is committed is read at once
    """

    commits = 40
    prompt = True

    def test_a_new_store_is_empty(self, store: Any) -> None:
        assert store.positions() == {}
        assert bars(store) == []
        assert store.span("idx") == {}
        assert len(store.status("idx", *ALL)) == 0
        for kind in ("contracts", "snapshot", "index"):
            assert len(store.latest("idx", kind)) == 0
        assert store.minute_back("idx", 1) == INT_NULL

    def test_rows_come_back_as_they_went_in(self, store: Any) -> None:
        row = bar("BBCA", 0, volume=2.0**53, value=1e300, trades=2**62, vwap=None, final=False)
        put(store, batch(OHLCV, [row]))
        assert bars(store) == [row]

    def test_numbers_stay_exact(self, store: Any) -> None:
        rows = [
            tick("BBCA", 1, price=18.42, volume=9007199254740993.0, ts=1_700_000_000_123_456_789),
            tick("BBCA", 2, price=0.1 + 0.2, volume=5e-324, ts=1_700_000_000_123_456_790),
            tick("BBCA", 3, trade_no=2**63 - 1, seq=-1, ts=1_700_000_000_123_456_791),
        ]
        put(store, batch(TICKS, rows))
        assert rows_of(store.ticks("idx", "BBCA", *ALL)) == rows

    def test_nulls_stay_null(self, store: Any) -> None:
        row = metric("BBCA", 0, hd=None)
        put(store, batch(OHLCV, [bar("BBCA", 0)]), batch(METRICS, [row]))
        (found,) = rows_of(store.metrics("idx", "BBCA", *ALL))
        assert found == row
        assert found["hd"] is None and found["rsi_14"] is None

    def test_bars_ascend_and_are_half_open(self, store: Any) -> None:
        put(store, batch(OHLCV, [bar("BBCA", m) for m in (0, 1, 2, 3)]))
        put(store, batch(OHLCV, [bar("BBCA", -5, position=400), bar("BBCA", 4)]))
        assert minutes(bars(store)) == [-5, 0, 1, 2, 3, 4]
        within = (OPEN + MINUTE, OPEN + 3 * MINUTE)
        assert minutes(bars(store, within=within)) == [1, 2]
        assert minutes(bars(store, within=(OPEN + 1, OPEN + 3 * MINUTE + 1))) == [1, 2, 3]
        assert bars(store, within=(OPEN, OPEN)) == []
        assert bars(store, within=(OPEN + MINUTE, OPEN)) == []
        assert bars(store, within=(OPEN + 9 * MINUTE, 2**62)) == []

    def test_an_unknown_ticker_has_none(self, store: Any) -> None:
        put(store, batch(OHLCV, [bar("BBCA", 0)]))
        assert bars(store, "ZZZZ") == []
        assert len(store.metrics("idx", "ZZZZ", *ALL)) == 0
        assert len(store.ticks("idx", "ZZZZ", *ALL)) == 0

    def test_newest_and_oldest(self, store: Any) -> None:
        put(store, batch(OHLCV, [bar("BBCA", m) for m in range(10)]))
        assert minutes(bars(store, newest=3)) == [7, 8, 9]
        assert minutes(bars(store, oldest=3)) == [0, 1, 2]
        assert minutes(bars(store, newest=99)) == list(range(10))
        assert bars(store, newest=0) == []
        assert bars(store, oldest=0) == []
        within = (OPEN, OPEN + 5 * MINUTE)
        assert minutes(bars(store, newest=2, within=within)) == [3, 4]
        assert minutes(bars(store, oldest=2, within=(OPEN + MINUTE, 2**62))) == [1, 2]

    def test_newest_and_oldest_of_a_seldom_traded_ticker(self, store: Any) -> None:
        """Far fewer rows than minutes, days without any, and some outside the hours of trading."""
        traded = [0, 1, 3, 400, 1_441, 1_500, 9_000, 9_001, 43_200, 43_201, 300_000, 600_000]
        put(store, batch(OHLCV, [bar("BBCA", m, position=n + 1) for n, m in enumerate(traded)]))
        put(store, batch(OHLCV, [bar("TLKM", m, position=m + 99) for m in range(30)]))
        for count in range(1, len(traded) + 2):
            assert minutes(bars(store, newest=count)) == traded[-count:]
            assert minutes(bars(store, oldest=count)) == traded[:count]
            within = (OPEN + 2 * MINUTE, OPEN + 43_201 * MINUTE)
            assert minutes(bars(store, newest=count, within=within)) == traded[2:9][-count:]
            assert minutes(bars(store, oldest=count, within=within)) == traded[2:9][:count]

    def test_columns_that_are_not_wanted_are_null(self, store: Any) -> None:
        rows = [bar("BBCA", m, rev=r, position=m * 10 + r) for m in range(4) for r in range(2)]
        put(
            store,
            batch(OHLCV, rows),
            batch(METRICS, [metric("BBCA", m, hd=2.5) for m in range(4)]),
        )
        whole, cut = bars(store, newest=3), bars(store, newest=3, columns=("close", "final"))
        kept = ("ticker", "freq", "ts", "rev", "close", "final")
        assert [{name: row[name] for name in kept} for row in cut] == [
            {name: row[name] for name in kept} for row in whole
        ]
        assert all(row[name] is None for row in cut for name in ("open", "trades", "known_at"))
        known = bars(store, as_of_ns=rows[1]["known_at"] - 1, columns=("close",))
        assert [row["rev"] for row in known] == [0]
        hd = rows_of(store.metrics("idx", "BBCA", *ALL, columns=("hd",)))
        assert [(row["hd"], row["rsi_14"], row["position"]) for row in hd] == [
            (2.5, None, None)
        ] * 4

    def test_the_newest_revision_is_read(self, store: Any) -> None:
        first = [bar("BBCA", m) for m in range(3)]
        put(store, batch(OHLCV, first))
        second = [bar("BBCA", 1, rev=1, close=7.0, position=300), bar("BBCA", 3, position=301)]
        put(store, batch(OHLCV, second))
        assert bars(store) == [first[0], second[0], first[2], second[1]]

    def test_as_of_reads_what_was_known_then(self, store: Any) -> None:
        revisions = [bar("BBCA", 0, rev=r, close=float(r), known_at=1000 * r) for r in range(4)]
        put(store, batch(OHLCV, revisions))
        assert [row["rev"] for row in bars(store, as_of_ns=2000)] == [2]
        assert [row["rev"] for row in bars(store, as_of_ns=2999)] == [2]
        assert [row["rev"] for row in bars(store, as_of_ns=0)] == [0]
        assert bars(store, as_of_ns=-1) == []
        assert [row["rev"] for row in bars(store)] == [3]
        assert [row["rev"] for row in bars(store, as_of_ns=1000, newest=1)] == [1]

    def test_many_revisions_do_not_shorten_the_newest(self, store: Any) -> None:
        rows = [bar("BBCA", m, rev=r, position=m * 100 + r) for m in range(6) for r in range(60)]
        put(store, batch(OHLCV, rows))
        newest, oldest = bars(store, newest=4), bars(store, oldest=4)
        assert [row["rev"] for row in newest + oldest] == [59] * 8
        assert minutes(newest) == [2, 3, 4, 5]
        assert minutes(oldest) == [0, 1, 2, 3]

    def test_metrics_are_read_as_bars_are(self, store: Any) -> None:
        put(
            store,
            batch(OHLCV, [bar("BBCA", m) for m in range(4)]),
            batch(METRICS, [metric("BBCA", m, rsi_14=float(m)) for m in range(4)]),
        )
        late = metric("BBCA", 2, rev=1, rsi_14=77.0, position=900, known_at=2**61)
        put(store, batch(METRICS, [late]))
        found = rows_of(store.metrics("idx", "BBCA", *ALL))
        assert [row["rsi_14"] for row in found] == [0.0, 1.0, 77.0, 3.0]
        assert minutes(rows_of(store.metrics("idx", "BBCA", *ALL, newest=2))) == [2, 3]
        before = rows_of(store.metrics("idx", "BBCA", *ALL, as_of_ns=late["known_at"] - 1))
        assert [row["rsi_14"] for row in before] == [0.0, 1.0, 2.0, 3.0]

    def test_since_gives_all_tickers(self, store: Any) -> None:
        rows = [bar(t, m, position=m + 1) for m in range(4) for t in ("TLKM", "BBCA")]
        put(store, batch(OHLCV, [*rows, bar("BBCA", 2, rev=1, position=9)]))
        found = rows_of(store.since("idx", "ohlcv", OPEN + 2 * MINUTE))
        keys = [(row["ticker"], row["ts"], row["rev"]) for row in found]
        assert len(keys) == 4 and len({row["ticker"] for row in found[:2]}) == 1
        assert sorted(keys) == [
            ("BBCA", OPEN + 2 * MINUTE, 1),
            ("BBCA", OPEN + 3 * MINUTE, 0),
            ("TLKM", OPEN + 2 * MINUTE, 0),
            ("TLKM", OPEN + 3 * MINUTE, 0),
        ]
        assert [ts for _, ts, _ in keys[:2]] == sorted(ts for _, ts, _ in keys[:2])
        assert store.minute_back("idx", 1) == OPEN + 3 * MINUTE
        assert store.minute_back("idx", 3) == OPEN + MINUTE
        assert store.minute_back("idx", 5) == INT_NULL

    def test_spans(self, store: Any) -> None:
        put(store, batch(OHLCV, [bar("BBCA", 3), bar("TLKM", 4)]))
        put(store, batch(OHLCV, [bar("BBCA", 1, position=500), bar("BBCA", 8)]))
        assert store.span("idx") == {
            "BBCA": (OPEN + MINUTE, OPEN + 8 * MINUTE),
            "TLKM": (OPEN + 4 * MINUTE, OPEN + 4 * MINUTE),
        }
        assert store.span("binance") == {}

    def test_ticks_ascend_by_ts_and_seq(self, store: Any) -> None:
        rows = [tick("BBCA", n, ts=OPEN + n // 2, position=n + 1) for n in range(6)]
        put(store, batch(TICKS, [rows[3], rows[0], rows[5], rows[1], rows[4], rows[2]]))
        assert rows_of(store.ticks("idx", "BBCA", *ALL)) == rows
        assert rows_of(store.ticks("idx", "BBCA", *ALL, newest=2)) == rows[-2:]
        assert rows_of(store.ticks("idx", "BBCA", *ALL, oldest=2)) == rows[:2]
        assert rows_of(store.ticks("idx", "BBCA", OPEN + 1, OPEN + 2)) == rows[2:4]

    def test_rows_of_a_range_of_positions(self, store: Any) -> None:
        put(store, batch(TICKS, [tick(t, n) for t in ("BBCA", "TLKM") for n in range(1, 9)]))

        def asked(**limits: Any) -> list[tuple[str, int]]:
            found = rows_of(store.rows("idx", "ticks", OPEN + 3, OPEN + 8, **limits))
            return sorted((row["ticker"], row["position"]) for row in found)

        assert asked() == [(t, n) for t in ("BBCA", "TLKM") for n in range(3, 8)]
        assert asked(after=3, upto=5) == [(t, n) for t in ("BBCA", "TLKM") for n in (4, 5)]
        assert asked(after=6, tickers=["TLKM", "GOTO"]) == [("TLKM", 7)]

    def test_rows_are_counted_by_the_minute(self, store: Any) -> None:
        times = (0, 1, MINUTE - 1, MINUTE, 5 * MINUTE + 7)
        ticks = [tick(t, n, ts=OPEN + at) for t in ("BBCA", "TLKM") for n, at in enumerate(times)]
        put(store, batch(TICKS, [row | {"position": row["position"] + 1} for row in ticks]))
        late = bar("TLKM", 3, source="ticks")
        put(store, batch(OHLCV, [bar("BBCA", 0), bar("BBCA", 0, rev=1), late]))

        def asked(kind: str, *within: int, **only: Any) -> list[tuple[int, int]]:
            found = store.minutes("idx", kind, *(within or ALL), **only)
            return [((at - OPEN) // MINUTE, rows) for at, rows in found]

        assert asked("ticks") == [(0, 6), (1, 2), (5, 2)]
        assert asked("ticks", OPEN + 1, OPEN + 5 * MINUTE + 7) == [(0, 4), (1, 2)]
        assert asked("ticks", tickers=["TLKM", "GOTO"]) == [(0, 3), (1, 1), (5, 1)]
        assert asked("ohlcv") == [(0, 2), (3, 1)]
        assert asked("ohlcv", entered=True) == [(3, 1)]
        assert asked("ohlcv", entered=True, tickers=["BBCA"]) == []
        assert asked("ohlcv", tickers=["GOTO"]) == asked("metrics") == []

    def test_lists(self, store: Any) -> None:
        def side(nth: int, depth: int, **other: Any) -> Row:
            row = {
                "ticker": "BBCA", "board": "RG", "ts": OPEN + nth, "side": "bid", "depth": depth,
                "seq": nth, "ts_recv": OPEN, "position": nth,
                "prices": [100.0 - k for k in range(depth)],
                "volumes": [2.0**53 + k for k in range(depth)],
                "orders": [-1] * depth,
            }  # fmt: skip
            return row | other

        rows = [side(1, 10), side(2, 0), side(3, 1), side(4, 3, side="ask", board="NG")]
        words = Words(IDX.boards, [channel.name for channel in IDX.channels])
        put(store, batch(ORDERBOOK, rows[:2], words), batch(ORDERBOOK, rows[2:], words))
        assert rows_of(store.latest("idx", "orderbook")) == [rows[3], rows[2]]
        put(store, batch(ORDERBOOK, [*rows, side(5, 2)], words))
        assert rows_of(store.latest("idx", "orderbook")) == [rows[3], side(5, 2)]

    def test_every_kind_is_kept(self, store: Any) -> None:
        base = {"ts": OPEN, "ts_recv": OPEN + 1, "position": 5}
        rows: dict[Kind, Row] = {
            QUOTES: base | {"ticker": "BBCA", "seq": 3, "bid": 1.0, "ask": None},
            SNAPSHOT: base | {"ticker": "BBCA", "board": "NG", "volume": 2.0, "trades": 1},
            INDEX: base | {"index_code": "COMPOSITE", "value": 7000.5, "value_traded": 1.0},
            STATUS: base | {"channel": "idxdata", "state": "gap", "seq_from": 4, "next_seq": 9},
            QUARANTINE: {"channel": "itchdata", "reason": "length", "length": 3, "payload": "00ff",
                         "nth": 0, "ts_recv": OPEN, "position": 5},
        }  # fmt: skip
        put(store, *(batch(kind, [row]) for kind, row in rows.items()))
        assert {name.partition(".")[2] for name in store.positions()} == {k.name for k in rows}
        for kind in (SNAPSHOT, INDEX):
            (found,) = rows_of(store.latest("idx", kind.name))
            assert {name: found[name] for name in rows[kind]} == rows[kind]
        (found,) = rows_of(store.status("idx", *ALL))
        assert found["seq_from"] == 4 and found["seq_to"] is None and found["cause"] is None

    def test_an_index_is_read_by_range(self, store: Any) -> None:
        def value(nth: int, ts: int, code: str = "COMPOSITE") -> Row:
            return {
                "index_code": code, "ts": OPEN + ts, "value": 7000.0 + nth, "prev": None,
                "value_traded": 1.5e13 + nth, "ts_recv": OPEN, "position": nth,
            }  # fmt: skip

        rows = [value(1, 1), value(2, 2), value(3, 2), value(4, 3), value(5, 4)]
        other = value(6, 2, "LQ45")
        put(store, batch(INDEX, [rows[4], rows[1], rows[0], other, rows[2], rows[3]]))
        assert rows_of(store.index("idx", "COMPOSITE", *ALL)) == rows
        assert rows_of(store.index("idx", "LQ45", *ALL)) == [other]
        assert rows_of(store.index("idx", "COMPOSITE", OPEN + 2, OPEN + 4)) == rows[1:4]
        assert rows_of(store.index("idx", "COMPOSITE", *ALL, newest=3)) == rows[2:]
        assert rows_of(store.index("idx", "COMPOSITE", *ALL, oldest=2)) == rows[:2]
        assert rows_of(store.index("idx", "COMPOSITE", *ALL, newest=99)) == rows
        assert len(store.index("idx", "COMPOSITE", *ALL, newest=0)) == 0
        assert len(store.index("idx", "COMPOSITE", OPEN + 2, OPEN + 2)) == 0
        assert len(store.index("idx", "ZZZZ", *ALL)) == 0
        assert len(store.index("binance", "COMPOSITE", *ALL)) == 0

    def test_status_ascends(self, store: Any) -> None:
        def status(nth: int, ts: int) -> Row:
            return {
                "channel": "idxdata", "ts": OPEN + ts, "state": "up", "next_seq": nth,
                "ts_recv": OPEN, "position": nth,
            }  # fmt: skip

        put(store, batch(STATUS, [status(1, 5), status(2, 3), status(3, 5), status(4, 9)]))
        found = rows_of(store.status("idx", OPEN + 3, OPEN + 9))
        assert [row["next_seq"] for row in found] == [2, 1, 3]

    def test_latest_is_the_newest_of_each_key(self, store: Any) -> None:
        def snap(ticker: str, ts: int, position: int, board: str = "RG") -> Row:
            return {
                "ticker": ticker, "board": board, "ts": OPEN + ts, "last": float(position),
                "volume": 0.0, "value": 0.0, "trades": 0, "ts_recv": OPEN, "position": position,
            }  # fmt: skip

        rows = [snap("TLKM", 1, 1), snap("BBCA", 5, 2), snap("BBCA", 5, 3), snap("BBCA", 2, 4)]
        put(store, batch(SNAPSHOT, [*rows, snap("BBCA", 1, 5, "NG")]))
        found = rows_of(store.latest("idx", "snapshot"))
        assert [(r["ticker"], r["board"], r["last"]) for r in found] == [
            ("BBCA", "NG", 5.0),
            ("BBCA", "RG", 3.0),
            ("TLKM", "RG", 1.0),
        ]

    def test_contracts_are_one_row_a_key(self, store: Any) -> None:
        def contract(ticker: str, position: int, **other: Any) -> Row:
            row = {
                "ticker": ticker, "board": "RG", "ts": OPEN, "name": "Bank Central Asia",
                "isin": None, "lot": 100, "currency": "IDR", "prev_close": 9000.0,
                "price_decimals": 0, "volume_decimals": 0, "ts_recv": OPEN, "position": position,
            }  # fmt: skip
            return row | other

        put(
            store, batch(CONTRACTS, [contract("TLKM", 1), contract("BBCA", 2), contract("BBCA", 3)])
        )
        again = contract("BBCA", 4, prev_close=9100.0, name="PT Bank Central Asia Tbk")
        put(store, batch(CONTRACTS, [again]))
        put(store, batch(CONTRACTS, [again]))
        assert rows_of(store.latest("idx", "contracts")) == [again, contract("TLKM", 1)]

    def test_venues_are_apart(self, store: Any) -> None:
        btc = bar("BBCA", 0, close=1.5)
        put(store, batch(OHLCV, [bar("BBCA", 0)]), batch(OHLCV, [btc], venue="binance"))
        assert rows_of(store.bars("binance", "BBCA", *ALL)) == [btc]
        assert bars(store) == [bar("BBCA", 0)]
        assert set(store.positions()) == {"idx.ohlcv", "binance.ohlcv"}

    def test_positions_come_with_their_rows(self, store: Any) -> None:
        put(store, batch(OHLCV, [bar("BBCA", 0)]), epoch=3)
        assert store.positions() == {"idx.ohlcv": Committed(1, 3)}
        store.write([], {"idx.ohlcv": Committed(50, 3), "idx.ticks": Committed(60, 3)})
        assert store.positions() == {"idx.ohlcv": Committed(50, 3), "idx.ticks": Committed(60, 3)}
        none = empty(OHLCV, Words(IDX.boards, []), Span("idx", 4, 50, 70))
        store.write([none], {"idx.ohlcv": Committed(70, 4)})
        assert store.positions()["idx.ohlcv"] == Committed(70, 4)
        assert bars(store) == [bar("BBCA", 0)]

    def test_positions_never_go_back(self, store: Any) -> None:
        store.write([], {"idx.ohlcv": Committed(50, 3)})
        store.write([], {"idx.ohlcv": Committed(40, 4), "idx.ticks": Committed(1, 4)})
        assert store.positions() == {"idx.ohlcv": Committed(50, 3), "idx.ticks": Committed(1, 4)}

    def test_writing_again_changes_nothing(self, store: Any) -> None:
        batches = (
            batch(OHLCV, [bar("BBCA", m) for m in range(3)]),
            batch(TICKS, [tick("BBCA", n) for n in range(1, 9)]),
        )
        put(store, *batches)
        held = bars(store), rows_of(store.ticks("idx", "BBCA", *ALL)), store.positions()
        for _ in range(2):
            put(store, *batches)
        assert (bars(store), rows_of(store.ticks("idx", "BBCA", *ALL)), store.positions()) == held

    def test_a_batch_across_the_position_is_cut(self, store: Any) -> None:
        put(store, batch(TICKS, [tick("BBCA", n) for n in range(1, 5)]))
        put(store, batch(TICKS, [tick("BBCA", n) for n in range(3, 8)]))
        found = rows_of(store.ticks("idx", "BBCA", *ALL))
        assert [row["trade_no"] for row in found] == list(range(1, 8))

    def test_several_batches_of_a_kind_stay_in_order(self, store: Any) -> None:
        words = Words(IDX.boards, [channel.name for channel in IDX.channels])
        parts = [batch(TICKS, [tick("BBCA", n, ts=OPEN, seq=0)], words) for n in range(1, 30)]
        put(store, *parts)
        found = rows_of(store.ticks("idx", "BBCA", *ALL))
        assert [row["trade_no"] for row in found] == list(range(1, 30))

    def test_rows_past_their_position_are_a_bug(self, store: Any) -> None:
        with pytest.raises((AssertionError, KeyError)):
            store.write([batch(TICKS, [tick("BBCA", 9)])], {"idx.ticks": Committed(8, 1)})
        with pytest.raises((AssertionError, KeyError)):
            store.write([batch(TICKS, [tick("BBCA", 9)])], {"idx.ohlcv": Committed(9, 1)})
        assert store.positions() == {}
        assert len(store.ticks("idx", "BBCA", *ALL)) == 0

    def test_metrics_as_of(self, store: Any) -> None:
        rows = [metric("BBCA", 0, rev=r, hd=float(r), known_at=1000 * r) for r in range(3)]
        put(store, batch(OHLCV, [bar("BBCA", 0)]), batch(METRICS, rows))
        for as_of, revs in ((-1, []), (0, [0]), (1999, [1]), (2000, [2]), (None, [2])):
            found = rows_of(store.metrics("idx", "BBCA", *ALL, as_of_ns=as_of))
            assert [row["rev"] for row in found] == revs
            assert [row["hd"] for row in found] == [float(rev) for rev in revs]

    def test_as_of_over_days(self, store: Any) -> None:
        """A late revision is not known before it came, whichever day it is of."""
        days = [0, 1_440, 2_880, 4_320]
        put(store, batch(OHLCV, [bar("BBCA", m, position=n + 1) for n, m in enumerate(days)]))
        late = [bar("BBCA", m, rev=1, close=1.0, position=90 + n) for n, m in enumerate(days[:3])]
        then = OPEN + 5_000 * MINUTE
        put(store, batch(OHLCV, [row | {"known_at": then} for row in late]))
        assert [row["rev"] for row in bars(store)] == [1, 1, 1, 0]
        assert [row["rev"] for row in bars(store, as_of_ns=then - 1)] == [0, 0, 0, 0]
        assert [row["rev"] for row in bars(store, as_of_ns=then, newest=2)] == [1, 0]
        known = OPEN + 2_000 * MINUTE
        assert minutes(bars(store, as_of_ns=known)) == days[:2]
        assert minutes(bars(store, as_of_ns=known, newest=1)) == days[1:2]

    def test_ranges_are_half_open_to_the_nanosecond(self, store: Any) -> None:
        midnight = IDX.calendar.midnight_ns(IDX.calendar.day_of(OPEN)) + 86_400_000_000_000
        rows = [tick("BBCA", n + 3, ts=midnight + n) for n in range(-2, 3)]
        put(store, batch(TICKS, rows))
        for low in range(-3, 4):
            for high in range(-3, 4):
                found = store.ticks("idx", "BBCA", midnight + low, midnight + high)
                wanted = [r for r in rows if midnight + low <= r["ts"] < midnight + high]
                assert rows_of(found) == wanted, (low, high)

    def test_a_range_over_many_days_has_each_row_once(self, store: Any) -> None:
        words = Words(IDX.boards, [channel.name for channel in IDX.channels])
        day = 86_400_000_000_000
        rows = [tick("BBCA", n, ts=OPEN + n * day // 4, seq=n % 3) for n in range(1, 33)]
        for at in range(0, 32, 8):
            put(store, batch(TICKS, rows[at : at + 8], words))
        assert rows_of(store.ticks("idx", "BBCA", *ALL)) == rows
        assert rows_of(store.ticks("idx", "BBCA", *ALL, newest=9)) == rows[-9:]
        assert rows_of(store.ticks("idx", "BBCA", *ALL, oldest=9)) == rows[:9]
        within = (OPEN + 3 * day, OPEN + 5 * day)
        wanted = [row for row in rows if within[0] <= row["ts"] < within[1]]
        assert rows_of(store.ticks("idx", "BBCA", *within)) == wanted
        assert len(store.days("idx")) == len({IDX.calendar.day_of(row["ts"]) for row in rows})

    def test_rows_of_one_instant_are_all_there(self, store: Any) -> None:
        """They share a key: two books of one nanosecond, two values of an index."""
        rows = [
            {
                "index_code": "COMPOSITE", "ts": OPEN, "value": 7000.0 + n, "prev": None,
                "value_traded": 0.0, "ts_recv": OPEN, "position": n,
            }
            for n in range(1, 5)
        ]  # fmt: skip
        put(store, batch(INDEX, rows[:2]))
        put(store, batch(INDEX, rows[2:]))
        assert rows_of(store.index("idx", "COMPOSITE", *ALL)) == rows
        assert rows_of(store.latest("idx", "index")) == rows[-1:]

    def test_the_newest_of_a_key_may_be_old(self, store: Any) -> None:
        day = 86_400_000_000_000
        for n, (code, ts) in enumerate((("A", 0), ("B", 3 * day), ("A", day), ("C", 9 * day)), 1):
            row = {
                "index_code": code, "ts": OPEN + ts, "value": float(n), "prev": None,
                "value_traded": 0.0, "ts_recv": OPEN, "position": n,
            }  # fmt: skip
            put(store, batch(INDEX, [row]))
        found = rows_of(store.latest("idx", "index"))
        assert [(row["index_code"], row["value"]) for row in found] == [
            ("A", 3.0),
            ("B", 2.0),
            ("C", 4.0),
        ]

    def test_old_rows_are_dropped(self, store: Any) -> None:
        put(store, batch(TICKS, [tick("BBCA", n) for n in range(1, 9)]))
        assert store.drop_before("idx", "ticks", OPEN + 4) == 3
        assert store.drop_before("idx", "ticks", OPEN + 4) == 0
        found = rows_of(store.ticks("idx", "BBCA", *ALL))
        assert [row["trade_no"] for row in found] == list(range(4, 9))
        assert store.positions() == {"idx.ticks": Committed(8, 1)}

    def test_days_are_of_the_venues_clock(self, store: Any) -> None:
        late = IDX.calendar.midnight_ns(IDX.calendar.day_of(OPEN)) + 86_400_000_000_000
        put(
            store,
            batch(TICKS, [tick("BBCA", 1), tick("BBCA", 2, ts=late - 1), tick("X", 3, ts=late)]),
        )
        today, tomorrow = IDX.calendar.day_of(OPEN), IDX.calendar.day_of(late)
        assert store.days("idx") == [today, tomorrow]
        put(store, batch(OHLCV, [bar("BBCA", -3000, position=1)]))
        assert store.days("idx") == [today, tomorrow]
        assert store.days("idx", ["ohlcv"]) == [IDX.calendar.day_of(OPEN - 3000 * MINUTE)]

    def test_readers_see_whole_commits_while_one_writes(self, store: Any) -> None:
        wrong: list[Any] = []
        done = threading.Event()

        def read() -> None:
            while not done.is_set():
                committed = store.positions().get("idx.ticks", Committed(0, 0)).position
                found = [r["trade_no"] for r in rows_of(store.ticks("idx", "BBCA", *ALL))]
                behind = self.prompt and len(found) < committed
                if len(found) % 10 or behind or found != list(range(1, len(found) + 1)):
                    wrong.append((committed, found))

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for step in range(self.commits):
            rows = [tick("BBCA", n) for n in range(step * 10 + 1, step * 10 + 11)]
            put(store, batch(TICKS, rows))
        done.set()
        for reader in readers:
            reader.join()
        assert wrong == []
        assert len(store.ticks("idx", "BBCA", *ALL)) == 10 * self.commits
