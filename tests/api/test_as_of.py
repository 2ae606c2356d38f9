"""`as_of` end to end, over both tiers: the same answers whichever side of the split rows lie on."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from bursa.model.calendar import MINUTE_NS
from bursa.model.venue import BINANCE, IDX
from bursa.pipeline.line import kinds
from bursa.store.tiered import Tiered
from tests.api.floor import DAYS, Floor, Served, at, serve
from tests.store.tiers import drain, opened

SECOND_NS = 1_000_000_000
KINDS = ("ohlcv", "metrics", "ticks")
# Before anything, in each of the days, between two revisions of a minute, and after all.
INSTANTS = (
    "2026-11-17T12:00:00+07:00",
    "2026-11-18T09:05:00.5+07:00",
    "2026-11-18T23:00:00+07:00",
    "2026-11-19T12:00:30+07:00",
    "2026-11-20T09:04:30+07:00",
    "2026-11-21T00:00:00+07:00",
)
QUESTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/v1/ohlcv/BBCA", {"limit": 10_000, "from": "2026-11-18"}),
    ("/v1/ohlcv/BBCA", {"limit": 400}),
    ("/v1/ohlcv/BBCA", {"limit": 7, "to": "2026-11-19"}),
    ("/v1/ohlcv/GOTO", {"limit": 300}),
    ("/v1/ohlcv/TLKM", {"limit": 3}),
    ("/v1/ohlcv/BBCA", {"limit": 50, "tf": "1h"}),
    ("/v1/ohlcv/BBCA", {"limit": 5, "tf": "1d"}),
    ("/v1/metrics/history", {"metric": "hd,rsi_14", "ticker": "BBCA", "limit": 500}),
    ("/v1/metrics/history", {"metric": "sma_20", "ticker": "GOTO", "tf": "5m", "limit": 60}),
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder: Path = tmp_path_factory.mktemp("as_of")
    # Memory holds little, so that the stored rows answer.
    floor = Floor(folder, depth=60)
    floor.store.close()
    floor.store = opened(folder / "both", [IDX, BINANCE], kinds())
    for day in DAYS:
        floor.day(day, minutes=None if day != DAYS[2] else 4)
        if day != DAYS[2]:
            continue
        # A trade of the second minute comes in the fourth: a revision.
        floor.trade(at(day, 9, 1, 40), 9_999.0, 700)
        floor.heartbeat(at(day, 9, 5, 30))
    floor.commit()
    with serve(floor) as running:
        yield running
    floor.close()


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=90) as client:
        yield client


def both(served: Served) -> Tiered:
    store: Any = served.floor.store
    assert isinstance(store, Tiered)
    return store


def answers(client: httpx.Client) -> dict[str, Any]:
    found = {}
    for path, query in QUESTIONS:
        for instant in (None, *INSTANTS):
            asked = query if instant is None else query | {"as_of": instant}
            got = client.get(path, params=asked)
            assert got.status_code == 200, got.text
            found[f"{path} {asked}"] = got.json()["data"]
    return found


def test_as_of_is_the_same_over_the_split(served: Served, client: httpx.Client) -> None:
    store = both(served)
    before = answers(client)
    every = {instant: before[f"/v1/ohlcv/BBCA {QUESTIONS[0][1] | {'as_of': instant}}"]
             for instant in INSTANTS}  # fmt: skip
    counts = [len(every[instant]) for instant in INSTANTS]
    assert counts == sorted(counts) and counts[0] == 0 and len(set(counts)) == len(INSTANTS)
    for days in (DAYS[:2], DAYS[2:]):
        for kind in KINDS:
            drain(store, "idx", kind, days)
        after = IDX.calendar.midnight_ns(days[-1] + timedelta(1))
        assert store.hot.floor("idx", "ohlcv") == after
        assert answers(client) == before, days


def test_a_revision_that_came_later_is_not_known_before(
    served: Served, client: httpx.Client
) -> None:
    """Of a day that is cold by now; the revision lies hot until its day is drained again."""
    floor, store = served.floor, both(served)
    minute = at(DAYS[2], 9, 1)
    query = {"from": "2026-11-20T09:01:00+07:00", "to": "2026-11-20T09:02:00+07:00"}

    def shown(ns: int | None) -> list[tuple[int, float]]:
        asked = query if ns is None else query | {"as_of": instant(ns)}
        rows = client.get("/v1/ohlcv/BBCA", params=asked).json()["data"]
        return [(row["rev"], row["high"]) for row in rows]

    for more in range(3):
        rows = store.revisions("idx", "ohlcv", minute, minute + MINUTE_NS, tickers=["BBCA"])
        columns = [rows.column(name).tolist() for name in ("known_at", "rev", "high")]
        known = sorted(zip(*columns, strict=True))
        assert [rev for _, rev, _ in known] == list(range(more + 2))
        for nth, (at_ns, rev, high) in enumerate(known):
            assert shown(at_ns) == [(rev, high)]
            assert shown(at_ns - 1_000) == [row[1:] for row in known[:nth][-1:]]
        assert shown(None) == [known[-1][1:]]
        if more == 1:
            drain(store, "idx", "ohlcv", [DAYS[2]])
            assert not store.hot.stray_days("idx", "ohlcv")
        floor.trade(at(DAYS[2], 9, 1, 50), 10_000.0 + 500 * more, 300)
        floor.heartbeat(floor.clock.ns + SECOND_NS)
        floor.commit()
        assert store.hot.stray_days("idx", "ohlcv") == [DAYS[2]]


def instant(ns: int) -> str:
    """ISO to the microsecond, UTC."""
    return (datetime(1970, 1, 1) + timedelta(microseconds=ns // 1_000)).isoformat() + "Z"


LONG = ("5m", "1h", "4h", "1d")


def test_a_closed_range_is_as_whole_as_of_later_as_it_is_now(client: httpx.Client) -> None:
    """The range's own minutes alone do not tell that its last bar is over."""
    for tf in LONG:
        for day, after in (("2026-11-18", "2026-11-19"), ("2026-11-19", "2026-11-20")):
            query = {"tf": tf, "from": day, "to": after, "limit": "1000"}
            now = client.get("/v1/ohlcv/BBCA", params=query).json()["data"]
            for instant in ("2026-11-20T06:00:00+07:00", "2026-11-21T00:00:00+07:00"):
                told = client.get("/v1/ohlcv/BBCA", params=query | {"as_of": instant}).json()[
                    "data"
                ]
                assert now and told == now, (tf, day, instant)
    # At noon its last hours are open, and so is the day.
    query = {"tf": "1d", "from": "2026-11-19", "to": "2026-11-20"}
    noon = client.get("/v1/ohlcv/BBCA", params=query | {"as_of": INSTANTS[3]}).json()["data"]
    assert noon == []


def moments(floor: Floor, day: date) -> Iterator[None]:
    """A day on the floor, with a pause now and then: BBCA trades in every minute but the last of a
    session, TLKM in few."""
    calendar = IDX.calendar
    minutes = calendar.expected_minutes(day).tolist()
    floor.list_all(calendar.day_open_ns(day) - 600 * SECOND_NS)
    floor.state(calendar.day_open_ns(day), "1")
    for nth, minute in enumerate(minutes):
        if minute == at(day, 13, 30):
            floor.state(at(day, 12, 0), "B")
            for _ in range(2):  # at the break, and a while into it
                yield
                floor.heartbeat(floor.clock.ns + 10 * SECOND_NS)
            floor.state(minute, "2")
        if minute in (minutes[-1], at(day, 11, 59)):
            floor.heartbeat(minute + 5 * SECOND_NS)
            continue
        floor.trade(minute + 5 * SECOND_NS, 9_000.0 + nth)
        if nth % 45 == 0:
            floor.trade(minute + 6 * SECOND_NS, 3_000.0, ticker="TLKM")
        if nth % 75 in (0, 1):
            yield
    for ns, state in ((calendar.day_close_ns(day), "X"), (calendar.day_end_ns(day), "E")):
        floor.state(ns, state)
        yield


def long_bars(client: httpx.Client, as_of: str | None) -> dict[str, Any]:
    found = {}
    for ticker in ("BBCA", "TLKM"):
        for tf in LONG:
            query = {"tf": tf, "limit": "1000", "from": "2026-11-16", "to": "2026-11-20"}
            query |= {"as_of": as_of} if as_of else {}
            got = client.get(f"/v1/ohlcv/{ticker}", params=query)
            assert got.status_code == 200, got.text
            found[f"{ticker} {tf}"] = got.json()["data"]
    return found


def test_as_of_a_moment_is_what_was_answered_then(tmp_path: Path) -> None:
    """Asked while the day goes on, and again as of those moments when it is over."""
    floor, told = Floor(tmp_path, depth=60), []
    with serve(floor) as served, httpx.Client(base_url=served.url, timeout=90) as client:
        for _ in moments(floor, DAYS[1]):
            floor.commit()
            told.append((instant(floor.clock.ns), long_bars(client, None)))
        assert len(told) > 10 and told[-1][1]["TLKM 1d"]
        for moment, found in told:
            assert long_bars(client, moment) == found, moment
    floor.close()
