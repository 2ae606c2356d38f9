"""Upkeep: the journal's limits, closed days put in order, and the folder's cap in its order."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from bursa.journal import checkpoint
from bursa.journal.read import JournalReader
from bursa.journal.write import JournalWriter
from bursa.model.batch import LINES, Span, Words
from bursa.model.calendar import DAY_NS, MINUTE_NS
from bursa.model.schema import OHLCV, TICKS
from bursa.model.venue import IDX, Venue
from bursa.ops.telemetry import Telemetry
from bursa.pipeline.line import kinds
from bursa.pipeline.upkeep import JournalLimits, Upkeep, folder_bytes
from bursa.ports import Committed, Frames
from bursa.store.duckdb import DuckStore
from bursa.store.sql import Limits
from tests.fakes.store import batch_of
from tests.pipeline import tiered
from tests.pipeline.tiered import Bench

DAYS = [date(2025, 11, 17), date(2025, 11, 18), date(2025, 11, 19)]
OPENS = [IDX.calendar.day_open_ns(day) for day in DAYS]


class Ticking:
    """A clock that goes on by a minute whenever it is asked."""

    def __init__(self) -> None:
        self.now = 0

    def now_ns(self) -> int:
        self.now += 60_000_000_000
        return self.now


def stored(path: Path) -> DuckStore:
    """A store with a tick and bars of two tickers, minute by minute, on each of three days."""
    store = DuckStore(path, [IDX], kinds())
    words, span = Words(IDX.boards, ("idxdata", "itchdata")), Span("idx", 1, 0, 100)
    base = {"freq": "1m", "rev": 0, "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0}
    base |= {"volume": 1.0, "value": 1.0, "trades": 1, "final": 1, "known_at": 1, "ts_recv": 1}
    bars = [
        base | {"ticker": ticker, "ts": at + minute * MINUTE_NS, "position": 10}
        for at in OPENS
        for minute in range(3)
        for ticker in ("BBRI", "BBCA")
    ]
    tick = {"ticker": "BBCA", "trade_no": 1, "board": "RG", "price": 1.0, "volume": 1.0, "seq": 1}
    ticks = [tick | {"ts": at, "ts_recv": 1, "position": 10} for at in OPENS]
    batches = [batch_of(OHLCV, bars, words, span), batch_of(TICKS, ticks, words, span)]
    at = Committed(100, 1)
    store.write(batches, {"idx.ohlcv": at, "idx.ticks": at})
    return store


@dataclass
class Subject:
    """A venue whose folder is looked after."""

    data: Path
    hot: DuckStore
    folder: Path
    checkpoints_folder: Path
    store_file: Path
    clock: Ticking = field(default_factory=Ticking)
    telemetry: Telemetry = field(default_factory=Telemetry)
    venue: Venue = IDX
    committed: int = 0
    newest_ns: int = OPENS[-1]
    idle: bool = True
    tiers: Any = None


@pytest.fixture
def subject(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """The store lies beside the folder that is measured, so that figures are the journal's."""
    file = tmp_path_factory.mktemp("store") / "hot.duckdb"
    return Subject(tmp_path, stored(file), tmp_path / "journal", tmp_path / "checkpoints", file)


def fill(subject: Subject) -> None:
    """A journal of several segments and two checkpoints near its end."""
    writer = JournalWriter(subject.folder, "idx", now_ns=lambda: 1, segment_bytes=1 << 20)
    for _ in range(16):
        writer.append([Frames(0, LINES, "", 0, 1, 0, b"x" * 400_000)])
    writer.sync()
    subject.committed = writer.position
    at = Committed(writer.position, 1)
    subject.hot.write([], {"idx.ohlcv": at, "idx.ticks": at})
    subject.hot.close()  # folds its log
    subject.hot = DuckStore(subject.store_file, [IDX], kinds())
    for position in (writer.position - 10, writer.position):
        checkpoint.save(
            subject.checkpoints_folder,
            position=position,
            epoch=1,
            day=DAYS[0],
            signature="s",
            state={},
        )
    writer.close()


def test_over_its_cap_a_folder_gives_up_journal_segments_first(subject: Subject) -> None:
    fill(subject)
    cap = 4 << 20
    assert folder_bytes(subject.data) > cap
    Upkeep(subject, ["ticks"], cap, settled_to=date.max).pump()
    assert folder_bytes(subject.data) <= cap
    assert subject.hot.days("idx") == DAYS
    assert subject.telemetry.journal_retired.labels("idx")._value.get() > 0


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        (JournalLimits(bytes=3 << 20), 3 << 20),
        (JournalLimits(days=2), 1 << 20),
        (JournalLimits(), None),
    ],
)
def test_a_journal_keeps_its_own_limits_but_what_recovery_needs(
    subject: Subject, limits: JournalLimits, left: int | None
) -> None:
    fill(subject)
    before = folder_bytes(subject.folder)
    subject.clock.now = 3 * DAY_NS
    upkeep = Upkeep(subject, (), 0, settled_to=date.max, journal=limits)
    upkeep.pump()
    after = folder_bytes(subject.folder)
    assert subject.telemetry.journal_disk.labels("idx")._value.get() == after
    gone = subject.telemetry.journal_retired.labels("idx")._value.get()
    assert (gone > 0, before - after >= gone) == (left is not None, True)
    assert after <= (before if left is None else left + (1 << 20))
    needed = checkpoint.listing(subject.checkpoints_folder)[0].position
    assert JournalReader(subject.folder).first <= needed
    assert subject.hot.days("idx") == DAYS


def test_a_journal_whose_checkpoints_are_few_stays_whole(subject: Subject) -> None:
    fill(subject)
    checkpoint.listing(subject.checkpoints_folder)[0].path.unlink()
    before = folder_bytes(subject.folder)
    subject.clock.now = 3 * DAY_NS
    limits = JournalLimits(days=1, bytes=1)
    Upkeep(subject, (), 0, settled_to=date.max, journal=limits).pump()
    assert folder_bytes(subject.folder) == before


def test_what_recovery_needs_stays_and_the_oldest_day_goes(subject: Subject) -> None:
    fill(subject)
    for found in checkpoint.listing(subject.checkpoints_folder)[:1]:
        found.path.unlink()  # only one is left: the journal may not shrink
    kept = folder_bytes(subject.folder)
    Upkeep(subject, ["ticks"], 1 << 20, settled_to=date.max).pump()
    assert folder_bytes(subject.folder) == kept
    assert subject.hot.days("idx") == DAYS[1:]


def test_days_that_closed_in_this_run_are_settled_one_a_turn(subject: Subject) -> None:
    def in_order(day: int) -> bool:
        start, end = OPENS[day], OPENS[day] + 10 * MINUTE_NS
        rows = subject.hot.since("idx", "ohlcv", 0)
        assert len(rows) == 18
        found = subject.hot.select(
            f"select ticker from idx_ohlcv where ts >= {start} and ts < {end}", Limits()
        )
        tickers = [row[0] for row in found.rows]
        return tickers == sorted(tickers)

    upkeep = Upkeep(subject, (), 0, settled_to=DAYS[0])
    assert [in_order(day) for day in range(3)] == [False, False, False]
    upkeep.pump()
    assert [in_order(day) for day in range(3)] == [True, False, False]
    subject.idle = False
    upkeep.pump()
    assert [in_order(day) for day in range(3)] == [True, False, False]
    subject.idle = True
    upkeep.pump()
    upkeep.pump()
    assert [in_order(day) for day in range(3)] == [True, True, False]


# -- a cap over both tiers -------------------------------------------------------------------------


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Three days that lie cold, and hot as tiered.KEEP says; and a fourth."""
    found = Bench(tmp_path / "data")
    found.fill()
    found.drain()
    found.retention()
    runtime = found.runtime
    runtime.data, runtime.hot, runtime.committed = found.data, found.store, 0
    runtime.folder, runtime.checkpoints_folder = found.data / "journal", found.data / "checkpoints"
    yield found
    found.close()


def capped(bench: Bench, over: int) -> list[tuple[str, date]]:
    """The cold days that one look deletes where the folder is so many bytes over its cap."""
    before = set(bench.hashes())
    size = folder_bytes(bench.data, bench.cold.folder) + bench.cold.bytes()
    size -= bench.store.bytes().free
    Upkeep(bench.runtime, ("ticks", "quotes"), size - over, settled_to=date.max).pump()
    return sorted(before - set(bench.hashes()), key=lambda key: (key[1], key[0]))


def test_over_its_cap_a_folder_gives_up_its_oldest_cold_days_of_ticks_and_books_first(
    bench: Bench,
) -> None:
    raw = ("orderbook", "quotes", "snapshot", "ticks")
    rows = bench.held()
    assert capped(bench, 1) == [("orderbook", tiered.DAYS[0])]
    gone = capped(bench, 9_000)
    assert gone and {kind for kind, _ in gone} <= set(raw)
    assert [day for _, day in gone] == sorted(day for _, day in gone)
    bytes_gone = sum(bench.telemetry.cold_dropped.labels("idx", kind)._value.get() for kind in raw)
    assert bytes_gone >= 9_000
    # Bars and metrics are what is kept longest.
    assert bench.held()["ohlcv"] == rows["ohlcv"] and bench.held()["ticks"] != rows["ticks"]
    gone = capped(bench, 1 << 30)
    assert [key for key in gone if key[0] in raw]
    assert capped(bench, 1 << 30) == []  # nothing lies cold any more
    assert not [kind for kind, _ in bench.hashes() if kind in raw]
    left = {kind.name: bench.hot_days(kind.name) for kind in tiered.COLD}
    assert left["ticks"] == [tiered.NEXT] and left["ohlcv"] == [tiered.DAYS[2], tiered.NEXT]


def test_a_capped_folder_lets_hot_days_go_that_lie_cold_without_losing_them(bench: Bench) -> None:
    for kind in (TICKS, tiered.KINDS["quotes"]):
        bench.put_late(kind, tiered.rows_of_day(kind, tiered.NEXT, seed=1))
    following = IDX.calendar.next_day(tiered.NEXT)
    bench.put_late(TICKS, tiered.rows_of_day(TICKS, following))
    bench.runtime.newest_ns = IDX.calendar.day_open_ns(following)
    bench.runtime.clock.now = bench.runtime.heard_ns = bench.runtime.newest_ns
    bench.drain()
    rows = bench.held()
    for sealed in list(bench.cold.all("idx", "ticks")):
        if sealed.day < tiered.NEXT:
            bench.cold.drop("idx", "ticks", sealed.day)
    rows = bench.held()
    assert bench.hot_days("ticks") == [tiered.NEXT, following]
    size = folder_bytes(bench.data)
    for name in ("quotes", "snapshot", "orderbook"):
        for sealed in list(bench.cold.all("idx", name)):
            if sealed.day < tiered.NEXT:
                bench.cold.drop("idx", name, sealed.day)
    rows = bench.held()
    Upkeep(bench.runtime, ("ticks",), size // 2, settled_to=date.max).pump()
    assert bench.hot_days("ticks") == [following] and bench.held()["ticks"] == rows["ticks"]
    assert bench.hot.floor("idx", "ticks") == tiered.following(tiered.NEXT)
    assert bench.telemetry.store_dropped.labels("idx", "ticks")._value.get() == 36 + 24


def test_a_day_that_a_capped_folder_lets_go_is_seen_as_it_was_drained(bench: Bench) -> None:
    following = IDX.calendar.next_day(tiered.NEXT)
    bench.put_late(TICKS, tiered.rows_of_day(TICKS, following))
    bench.runtime.newest_ns = IDX.calendar.day_open_ns(following)
    bench.runtime.clock.now = bench.runtime.heard_ns = bench.runtime.newest_ns
    bench.drain()
    rows = bench.held()
    # Late rows: of a day that lies cold, and of the one that is to go.
    bench.put_late(TICKS, tiered.rows_of_day(TICKS, tiered.DAYS[0], 1, seed=3))
    with_late = bench.held()["ticks"].rows
    bench.put_late(TICKS, tiered.rows_of_day(TICKS, tiered.NEXT, 1, seed=3))
    upkeep = Upkeep(bench.runtime, ("ticks",), 1, settled_to=date.max)
    upkeep._drop_cold = lambda over, kinds: 0  # type: ignore[method-assign]
    upkeep.pump()
    assert bench.hot_days("ticks") == [tiered.DAYS[0], following]
    assert bench.held()["ticks"].rows == with_late
    assert bench.hot.floor("idx", "ticks") == tiered.following(tiered.NEXT)
    assert outcomes_of(bench.drain()) == (0, 1)
    assert bench.held()["ticks"].rows == with_late > rows["ticks"].rows


def outcomes_of(report: Any) -> tuple[int, int]:
    return report["kinds"]["ticks"]["failed"], report["kinds"]["ticks"]["merged"]
