"""Quality reports: what is counted, what is missing, and that a part is never told as the whole."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from bursa.history import quality_sql
from bursa.history.quality import QualityJob, Subject
from bursa.model.calendar import MINUTE_NS, SECOND_NS
from bursa.model.errors import Refuse
from bursa.model.schema import OHLCV, STATUS, TICKS, Kind
from bursa.model.timeframe import TIMEFRAMES
from bursa.model.venue import IDX
from bursa.store.tiered import Tiered
from bursa.verbs.quality import share
from tests.fakes.state import FakeReports
from tests.fakes.store import Row
from tests.store.contract import METRICS, batch, metric, put
from tests.store.tiers import drain, opened

# 27 May (Idul Adha) and 28 May (joint leave) are holidays, the 29th is a Friday.
TUESDAY, FRIDAY = date(2026, 5, 26), date(2026, 5, 29)
THURSDAY = date(2026, 11, 19)
TICKERS = ("BBCA", "BBRI")
LONGER = [tf for tf in TIMEFRAMES if tf != "1m"]
DAYS_LATER = 40 * 86_400 * SECOND_NS


@dataclass
class Market:
    """A store of both tiers, told of days; reports over it."""

    store: Tiered
    reports: FakeReports = field(default_factory=FakeReports)
    position: int = 0
    heard: int = 0

    def tell(self, kind: Kind, rows: list[Row]) -> None:
        for row in rows:
            self.position += 1
            row["position"] = self.position
        if rows:
            put(self.store, batch(kind, rows))

    def status(self, *rows: tuple[int, str]) -> None:
        """(time, state) of the channel with trades."""
        self.heard = max(self.heard, *(ts for ts, _ in rows))
        common = {"channel": "idxdata", "seq_from": None, "seq_to": None, "ts_from": None}
        self.tell(
            STATUS,
            [
                common | {"ts": ts, "state": state, "cause": None, "next_seq": 1, "ts_recv": ts}
                for ts, state in rows
            ],
        )

    def gap(self, start: int, end: int) -> None:
        """Messages that are lost between two times."""
        row = {"channel": "idxdata", "ts": end, "state": "gap", "seq_from": 5, "seq_to": 9}
        row |= {"ts_from": start, "cause": "jump", "next_seq": 10, "ts_recv": end}
        self.tell(STATUS, [row])

    def day(
        self,
        day: date,
        without: set[tuple[str, int]] = frozenset(),  # type: ignore[assignment]
        until: int = 10**9,
        signs: bool = True,
    ) -> None:
        """Trades, bars and metric rows of every expected minute: but of some (ticker, number of the
        minute in its day), and none from a number on."""
        minutes = IDX.calendar.expected_minutes(day)[:until].tolist()
        made = [
            (ticker, ts, 100.0 + nth % 7)
            for nth, ts in enumerate(minutes)
            for ticker in TICKERS
            if (ticker, nth) not in without
        ]
        self.tell(TICKS, [trade(ticker, ts, price) for ticker, ts, price in made])
        self.tell(OHLCV, [bar(ticker, ts, price) for ticker, ts, price in made])
        self.tell(METRICS, [metric(ticker, 0, ts=ts) for ticker, ts, _ in made])
        if signs:
            first, last = IDX.calendar.sessions(day)[0], IDX.calendar.day_end_ns(day)
            self.status((first.open_ns, "P"), (minutes[-1] + MINUTE_NS, "H"))
            if until > len(minutes):
                self.status((last, "E"))

    def report(self, day: date, span: str = "day", closed: int | None = None) -> dict[str, Any]:
        end = IDX.calendar.day_end_ns(day)
        closed = end if closed is None else closed
        live = min(self.heard, closed)
        subject = Subject(
            IDX, self.store, METRICS, self.reports, closed, (live, live), end + DAYS_LATER
        )
        job = QualityJob(subject, {"span": span})
        assert job.report() == {}
        for _ in job.run():
            pass
        done, total = job.progress
        assert done == total
        return job.report()


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Market]:
    store = opened(tmp_path)
    yield Market(store)
    store.close()


def minute(day: date, number: int) -> int:
    return int(IDX.calendar.expected_minutes(day)[number])


def trade(ticker: str, ts: int, price: float, **other: Any) -> Row:
    row = {"ticker": ticker, "ts": ts + SECOND_NS, "trade_no": 1, "board": "RG", "price": price}
    row |= {"volume": 100.0, "aggressor": "B", "seq": 1, "ts_recv": ts}
    return row | other


def bar(ticker: str, ts: int, price: float, **other: Any) -> Row:
    row = {
        "ticker": ticker, "freq": "1m", "ts": ts, "rev": 0, "open": price, "high": price,
        "low": price, "close": price, "volume": 100.0, "value": 100 * price, "trades": 1,
        "vwap": price, "delta": 100.0, "ruled": 0.0, "bid_volume": None, "ask_volume": None,
        "final": True, "known_at": ts + 62 * SECOND_NS, "ts_recv": ts, "nth": 1, "source": None,
    }  # fmt: skip
    return row | other


def line(report: dict[str, Any], tf: str = "1m", table: str = "idx_ohlcv") -> dict[str, Any]:
    (found,) = [x for x in report["tables"] if (x["table"], x["timeframe"]) == (table, tf)]
    return found


def figures(report: dict[str, Any], tf: str = "1m", table: str = "idx_ohlcv") -> tuple[int, ...]:
    found = line(report, tf, table)
    names = ("rows", "nulls", "impossible", "expected", "gaps", "mismatches")
    return tuple(found[name] for name in names)


def test_a_whole_day(market: Market) -> None:
    market.day(THURSDAY)
    report = market.report(THURSDAY)
    assert report["complete"] and report["holidays_known"]
    assert (report["venue"], report["days"], report["tickers"]) == ("idx", ["2026-11-19"], 2)
    assert figures(report) == (660, 0, 0, 660, 0, 0)
    # Three hours and two and a half; each session begins its own grid.
    bars = {"5m": 66, "15m": 22, "30m": 11, "1h": 6, "4h": 2, "1d": 1, "1w": 1, "1M": 1}
    for tf in LONGER:
        assert figures(report, tf) == (2 * bars[tf], 0, 0, 2 * bars[tf], 0, 0), tf
    assert figures(report, table="idx_metrics") == (660, 0, 0, 660, 0, 0)
    assert line(report, "", "idx_ticks")["rows"] == 660
    assert line(report, "", "idx_quotes")["rows"] == 0
    assert report["before"] is None
    assert line(report)["change"] is None


def test_80_percent_is_not_complete(market: Market) -> None:
    """A feed that was cut: what came is not taken for all there was."""
    market.day(THURSDAY, until=264)
    market.status((minute(THURSDAY, 263) + MINUTE_NS, "down"))
    report = market.report(THURSDAY)
    assert not report["complete"]
    assert figures(report) == (528, 0, 0, 660, 132, 0)
    assert share(660, 132) == "80.00 %"
    for tf in ("1d", "1w", "1M"):
        assert figures(report, tf) == (2, 0, 0, 2, 2, 0), "there, and not whole"


@pytest.mark.parametrize(
    ("expected", "gaps", "told"),
    [(100, 0, "100 %"), (100_000, 1, "99.99 %"), (3, 1, "66.66 %"), (7, 7, "0.00 %")],
)
def test_a_share_is_never_rounded_up(expected: int, gaps: int, told: str) -> None:
    assert share(expected, gaps) == told


def test_minutes_without_trades_are_confirmed_empty_or_missing(market: Market) -> None:
    market.day(THURSDAY, without={("BBCA", 10), ("BBCA", 200), ("BBRI", 200)})
    report = market.report(THURSDAY)
    assert report["complete"], "the channel was contiguous: nobody traded"
    assert figures(report) == (657, 0, 0, 657, 0, 0)
    market.gap(minute(THURSDAY, 199) + 50 * SECOND_NS, minute(THURSDAY, 201))
    report = market.report(THURSDAY)
    assert not report["complete"]
    assert figures(report) == (657, 0, 0, 659, 2, 0)
    assert line(report)["change"]["gaps"] == 2


def test_rows_with_nulls_and_impossible_ones_count_as_missing(market: Market) -> None:
    """Though the channel was contiguous, and though they are there."""
    bad = [("BBCA", 3), ("BBCA", 4), ("BBRI", 100), ("BBRI", 299)]
    market.day(THURSDAY, without=set(bad))
    null, impossible, negative, infinite = (minute(THURSDAY, number) for _, number in bad)
    market.tell(
        OHLCV,
        [
            bar("BBCA", null, 100.0, close=None),
            bar("BBCA", impossible, 100.0, high=99.0),
            bar("BBRI", negative, 100.0, volume=-1.0),
            bar("BBRI", infinite, 100.0, value=float("inf")),
        ],
    )
    market.tell(METRICS, [metric(ticker, 0, ts=minute(THURSDAY, nth)) for ticker, nth in bad])
    report = market.report(THURSDAY)
    assert not report["complete"]
    assert figures(report) == (660, 1, 3, 660, 4, 0)
    assert line(report)["reasons"] == {"high": 1, "negative": 1, "infinite": 1}
    assert figures(report, "5m") == (2 * 66, 1, 3, 2 * 66, 3, 0)
    assert figures(report, "1d") == (2, 1, 2, 2, 2, 0)


def test_a_revision_that_puts_it_right_is_what_counts(market: Market) -> None:
    market.day(THURSDAY, without={("BBCA", 3)})
    ts = minute(THURSDAY, 3)
    market.tell(TICKS, [trade("BBCA", ts, 100.0)])
    market.tell(OHLCV, [bar("BBCA", ts, 100.0, close=None)])
    market.tell(METRICS, [metric("BBCA", 0, ts=ts)])
    first = market.report(THURSDAY)
    assert figures(first) == (660, 1, 0, 660, 1, 0), "that it differs from its trades is no news"
    market.tell(OHLCV, [bar("BBCA", ts, 100.0, rev=1)])
    second = market.report(THURSDAY)
    assert second["complete"]
    assert figures(second) == (660, 0, 0, 660, 0, 0)
    assert second["before"] == {"made": first["made"], "days": first["days"]}
    assert line(second)["change"] == {
        "rows": 0, "nulls": -1, "impossible": 0, "gaps": -1, "mismatches": 0
    }  # fmt: skip
    third = market.report(THURSDAY)
    assert not any(any((x["change"] or {}).values()) for x in third["tables"])
    assert market.report(THURSDAY, "week")["before"] is None, "weeks are compared with weeks"


def test_a_bar_that_is_not_what_its_trades_make_is_a_mismatch(market: Market) -> None:
    market.day(THURSDAY)
    one, two = minute(THURSDAY, 7), minute(THURSDAY, 8)
    late = [
        trade("BBCA", one, 150.0, trade_no=2, seq=2),
        trade("BBRI", two, 101.0, trade_no=2, seq=2, board="NG"),
    ]
    market.tell(TICKS, late)
    report = market.report(THURSDAY)
    assert report["complete"], "it differs; it is not missing"
    assert figures(report) == (660, 0, 0, 660, 0, 1)
    assert figures(report, "1h") == (12, 0, 0, 12, 0, 1)
    volumes = [bar("BBCA", one, 100.0, rev=1, high=150.0, close=150.0, trades=2, volume=200.0)]
    market.tell(OHLCV, volumes)
    assert figures(market.report(THURSDAY)) == (660, 0, 0, 660, 0, 0)


def test_a_bar_from_a_file_may_not_say_how_many_trades_it_has(market: Market) -> None:
    market.day(THURSDAY, without={("BBCA", 7), ("BBRI", 7)})
    ts = minute(THURSDAY, 7)
    market.tell(TICKS, [trade(ticker, ts, 100.0) for ticker in TICKERS])
    restored = {"trades": 0, "source": "file"}
    market.tell(
        OHLCV, [bar("BBCA", ts, 100.0, **restored), bar("BBRI", ts, 100.0, **restored, volume=7.0)]
    )
    assert figures(market.report(THURSDAY)) == (660, 0, 0, 660, 0, 1)


def test_trades_without_a_bar_make_a_missing_minute(market: Market) -> None:
    market.day(THURSDAY, without={("BBCA", 7)})
    market.tell(TICKS, [trade("BBCA", minute(THURSDAY, 7), 100.0)])
    report = market.report(THURSDAY)
    assert not report["complete"]
    assert figures(report) == (659, 0, 0, 660, 1, 0)


def test_metric_rows_and_bars_belong_together(market: Market) -> None:
    market.day(THURSDAY, without={("BBCA", 7)})
    ts = minute(THURSDAY, 7)
    market.tell(TICKS, [trade("BBCA", ts, 100.0)])
    market.tell(OHLCV, [bar("BBCA", ts, 100.0)])
    market.tell(METRICS, [metric("BBRI", 0, ts=ts - 3_600 * SECOND_NS)])
    report = market.report(THURSDAY)
    assert figures(report, table="idx_metrics") == (660, 0, 0, 660, 1, 1)
    assert figures(report) == (660, 0, 0, 660, 0, 0)
    assert not report["complete"]


def test_a_day_of_which_nothing_came_is_missing(market: Market) -> None:
    market.day(TUESDAY)
    report = market.report(FRIDAY)
    assert report["days"] == ["2026-05-29"]
    assert figures(report) == (0, 0, 0, 540, 540, 0)
    assert figures(report, "1d") == (0, 0, 0, 2, 2, 0)
    assert not report["complete"]


def test_a_week_leaves_holidays_out(market: Market) -> None:
    market.day(TUESDAY)
    market.day(FRIDAY)
    report = market.report(FRIDAY, "week")
    assert report["days"] == ["2026-05-26", "2026-05-29"], "none before the first stored bar"
    assert report["complete"]
    assert figures(report) == (2 * (330 + 270), 0, 0, 2 * (330 + 270), 0, 0)
    assert figures(report, "1d")[0] == 4
    assert figures(report, "1w")[0] == 2
    assert figures(report, "1M")[0] == 2
    sunday = market.report(FRIDAY, closed=IDX.calendar.midnight_ns(FRIDAY + timedelta(days=2)))
    assert sunday["days"] == ["2026-05-29"], "the newest trading day"


def test_a_day_under_way_is_judged_so_far(market: Market) -> None:
    market.day(THURSDAY, until=100)
    report = market.report(THURSDAY, closed=minute(THURSDAY, 100))
    assert report["complete"]
    assert figures(report) == (200, 0, 0, 200, 0, 0)
    unheard = market.report(THURSDAY, closed=minute(THURSDAY, 102))
    assert figures(unheard) == (200, 0, 0, 204, 4, 0)
    market.status((minute(THURSDAY, 102), "H"))
    quiet = market.report(THURSDAY, closed=minute(THURSDAY, 102))
    assert figures(quiet) == (200, 0, 0, 200, 0, 0), "it was heard: nobody traded"


def test_cold_days_are_as_good_as_hot_ones(market: Market) -> None:
    market.day(TUESDAY, without={("BBCA", 3)})
    market.day(FRIDAY)
    market.tell(OHLCV, [bar("BBCA", minute(TUESDAY, 3), 100.0, low=0.0)])
    hot = market.report(FRIDAY, "week")
    for kind in ("ticks", "ohlcv", "metrics"):
        drain(market.store, "idx", kind, [TUESDAY])
    cold = market.report(FRIDAY, "week")
    assert [x | {"change": None} for x in cold["tables"]] == hot["tables"]
    assert not any(any(x["change"].values()) for x in cold["tables"])


def test_what_cannot_be_reported_is_refused(market: Market, monkeypatch: Any) -> None:
    with pytest.raises(Refuse, match="no bar is stored yet") as refused:
        market.report(THURSDAY)
    assert refused.value.code == "no_data"
    with pytest.raises(Refuse, match="month"):
        market.report(THURSDAY, "month")
    market.day(THURSDAY)
    market.tell(TICKS, [trade("BBCA", minute(THURSDAY, n), 500.0, seq=2) for n in range(3)])
    monkeypatch.setattr(quality_sql, "LISTED_MAX", 2)
    with pytest.raises(Refuse, match="repair that day first") as refused:
        market.report(THURSDAY)
    assert refused.value.code == "too_many"
