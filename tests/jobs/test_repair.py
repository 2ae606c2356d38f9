"""History that is put right: absent bars of trades, lost rows of the journal, bad days repaired."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from bursa.bars.again import bars_again
from bursa.jobs import backfill_journal, backfill_ohlcv, entry, onward, repair
from bursa.jobs.backfill_metric import ground_of
from bursa.jobs.by_time import metrics_by_time
from bursa.jobs.job import Job
from bursa.jobs.late import LastBars
from bursa.model.batch import Batch
from bursa.model.errors import Refuse
from bursa.model.venue import IDX
from tests.jobs.test_by_time import told
from tests.pipeline import market, rows, running
from tests.store import tiers

DAY, NEXT = market.DAYS
START, END = (IDX.calendar.midnight_ns(day) for day in market.DAYS)
KINDS = ("ticks", "ohlcv", "metrics", "snapshot", "orderbook", "index", "status")
ALWAYS = 2**62
MINUTE = 60 * 10**9


class Venue:
    """A venue over a folder and both tiers, without feeds or fed from a script."""

    def __init__(self, data: Path, *feeds: Any) -> None:
        self.data = data
        data.mkdir(exist_ok=True)
        self.store = tiers.opened(data, [IDX])
        self.runtime = running.runtime(data, self.store, running.knobs())
        self.runtime.start(feeds)
        for feed in feeds:
            running.until(feed.told.is_set, "the script is told")
        self.settle()

    def settle(self) -> None:
        running.until(
            lambda: self.runtime.committed >= self.runtime.journal.position, "it is committed"
        )

    def __enter__(self) -> "Venue":
        return self

    def __exit__(self, *_: object) -> None:
        assert self.runtime.stop()
        self.store.close()

    def all(self, kind: str) -> Batch:
        return self.store.rows("idx", kind, 0, ALWAYS)

    def hashes(self, without: frozenset[str] = frozenset()) -> dict[str, str]:
        """Of every kind, in any order."""
        found = {kind: rows.of_batch(self.all(kind), without) for kind in KINDS}
        return rows.hashes(found, ordered=False)

    def bars(self) -> Batch:
        """The newest of the day."""
        return entry.newest(self.store.revisions("idx", "ohlcv", START, END))

    def of_trades(self) -> Batch:
        """The same, of all stored trades."""
        return bars_again(self.store.rows("idx", "ticks", START, END), IDX)

    def do(self, job: Job, steps: int | None = None) -> dict[str, Any]:
        """Some steps of a job, or all; its report."""
        for at, _ in enumerate(job.run(), 1):
            if at == steps:
                break
        job.close()
        self.settle()
        return job.report()

    def repair(self, **order: Any) -> dict[str, Any]:
        return self.do(repair.RepairJob(self.runtime, repair.Order(DAY.isoformat(), **order)))

    def lose(self, kind: str, where: str) -> None:
        """As if the store's file had lost rows."""
        with self.store.hot._engine.transaction() as writer:
            writer.execute(f"delete from idx_{kind} where {where}")


def recorded(data: Path, share: float) -> Path:
    script = market.channels(share=share)
    with Venue(data, running.Script(script, Random(3), 60)):
        pass
    return data


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a market with late trades, gaps and all."""
    return recorded(tmp_path_factory.mktemp("spoiled") / "data", 0.03)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(tmp_path_factory.mktemp("clean") / "data", 0.0)


@pytest.fixture
def venue(spoiled: Path, tmp_path: Path) -> Iterator[Venue]:
    shutil.copytree(spoiled, tmp_path / "data")
    with Venue(tmp_path / "data") as made:
        yield made


def same(one: Batch, other: Batch, columns: tuple[str, ...] = entry.COMPARED) -> bool:
    """Two lots of bars, unique by (ticker, ts)."""
    at = entry.match(one, other)
    if len(one) != len(other) or (at < 0).any():
        return False
    return all(
        np.array_equal(one.column(name), other.column(name)[at], equal_nan=True) for name in columns
    )


def rebuilt_alike(data: Path) -> bool:
    """Does the journal alone give the tables?"""
    return rows.hashes(running.stored(data / "hot.duckdb")) == rows.hashes(
        running.rebuilt(data / "journal" / "idx")
    )


class TestRepair:
    def test_without_cause_it_changes_nothing(self, clean: Path, tmp_path: Path) -> None:
        shutil.copytree(clean, tmp_path / "data")
        with Venue(tmp_path / "data") as venue:
            before, position = venue.hashes(), venue.runtime.journal.position
            report = venue.repair()
            assert report["of"] == "journal"
            assert report["kinds"]["ohlcv"]["derived"] > 10
            assert (report["written"], report["metrics"], report["late"]) == (0, 0, 0)
            assert not any(one["absent"] or one["surplus"] for one in report["kinds"].values())
            assert venue.hashes() == before
            assert venue.runtime.journal.position == position

    def test_late_trades_come_into_their_bars_as_revisions(self, venue: Venue) -> None:
        assert not same(venue.bars(), venue.of_trades()), "some came too late"
        dry = venue.repair(dry_run=True)
        position = venue.runtime.journal.position
        ring = venue.runtime.parts.rings
        report = venue.repair()
        assert report["late"] > 0
        for word in ("absent", "differing"):
            assert dry[word] == report[word] > 0
        assert report["written"] == report["absent"] + report["differing"]
        assert report["metrics"] > 0
        assert venue.runtime.journal.position > position
        assert same(venue.bars(), venue.of_trades())
        repaired = [text == "repair" for text in venue.bars().text("source")]
        assert sum(repaired) == report["written"]
        assert (venue.bars().column("rev")[repaired] > 0).sum() == report["differing"]
        for ticker in venue.store.span("idx"):
            held = ring.bars(ticker, 1000)
            assert held is not None
            stored = venue.store.bars("idx", ticker, int(held.column("ts")[0]), ALWAYS)
            assert held.column("close").tolist() == stored.column("close").tolist()
            assert held.column("rev").tolist() == stored.column("rev").tolist()

    def test_metrics_follow_by_time(self, venue: Venue) -> None:
        venue.repair()
        stored = entry.newest(venue.store.revisions("idx", "metrics", START, END))
        both = zip(stored.text("ticker"), stored.text("source"), strict=True)
        ours = [str(ticker) for ticker in dict(filter(itemgetter(1), both))]
        assert ours
        made = [
            part
            for part, _ in metrics_by_time(ground_of(venue.runtime), ours, START, END)
            if len(part)
        ]
        of = np.array([ticker in ours for ticker in stored.text("ticker")])
        kept = replace(stored, block=np.ascontiguousarray(stored.block[:, of]))
        assert np.array_equal(told(*made), told(kept))

    def test_metrics_of_later_days_follow_too(self, venue: Venue) -> None:
        before = entry.newest(venue.store.revisions("idx", "metrics", END, ALWAYS))
        reached = entry.reached(venue.runtime, ALWAYS)
        report = venue.repair(onward=0)
        assert report["later"] == 0 and report["metrics"] > 0 and report["cut"]
        assert report["onward_ns"] == END
        after = entry.newest(venue.store.revisions("idx", "metrics", END, ALWAYS))
        assert np.array_equal(told(after), told(before))
        # Told to go further it does what is left.
        report = venue.repair()
        assert report["written"] == 0 and report["later"] == report["metrics"] > 0
        assert report["onward_ns"] == reached > END and not report["cut"]
        stored = entry.newest(venue.store.revisions("idx", "metrics", START, reached))
        both = zip(stored.text("ticker"), stored.text("source"), strict=True)
        ours = [str(ticker) for ticker in dict(filter(itemgetter(1), both))]
        made = metrics_by_time(ground_of(venue.runtime), ours, START, reached)
        of = np.array([ticker in ours for ticker in stored.text("ticker")])
        kept = replace(stored, block=np.ascontiguousarray(stored.block[:, of]))
        assert np.array_equal(told(*(part for part, _ in made)), told(kept))
        # The days before count for a later one that is repaired itself.
        after = entry.newest(venue.store.revisions("idx", "metrics", END, reached))
        venue.lose("metrics", f"ts >= {END} and ts < {reached} and source is not null")
        from_next = metrics_by_time(ground_of(venue.runtime), None, END, reached, START)
        assert np.array_equal(told(*(part for part, _ in from_next)), told(after))
        alone = metrics_by_time(ground_of(venue.runtime), None, END, reached)
        assert not np.array_equal(told(*(part for part, _ in alone)), told(after))

    def test_done_again_it_finds_nothing_and_the_journal_gives_it(
        self, spoiled: Path, tmp_path: Path
    ) -> None:
        data = tmp_path / "data"
        shutil.copytree(spoiled, data)
        with Venue(data) as venue:
            venue.repair()
            before, position = venue.hashes(), venue.runtime.journal.position
            report = venue.repair()
            assert (report["written"], report["metrics"]) == (0, 0)
            assert venue.hashes() == before
            assert venue.runtime.journal.position == position
        assert rebuilt_alike(data)

    def test_given_up_anywhere_and_done_again_it_ends_alike(
        self, spoiled: Path, tmp_path: Path
    ) -> None:
        # When and in how many records it was entered is another thing each time.
        beside = rows.ARRIVAL
        whole: dict[str, str] | None = None
        for steps in (0, 2, 8):
            data = tmp_path / f"data{steps}"
            shutil.copytree(spoiled, data)
            with Venue(data) as venue:
                order = repair.Order(DAY.isoformat())
                if steps:
                    venue.do(repair.RepairJob(venue.runtime, order), steps)
                venue.repair()
                whole = whole or venue.hashes(beside)
                assert venue.hashes(beside) == whole

    def test_a_day_that_went_cold(self, venue: Venue) -> None:
        for kind in ("ticks", "ohlcv", "metrics"):
            tiers.drain(venue.store, "idx", kind, [DAY])
        assert len(venue.store.hot.rows("idx", "ohlcv", START, END)) == 0
        before = venue.hashes()
        report = venue.repair()
        assert report["written"] > 0
        assert same(venue.bars(), venue.of_trades())
        assert venue.store.hot.stray_days("idx", "ohlcv") == [DAY]
        after = venue.hashes()
        assert after != before
        for kind in ("ohlcv", "metrics"):
            tiers.drain(venue.store, "idx", kind, [DAY])
        assert venue.hashes() == after
        assert venue.repair()["written"] == 0

    def test_a_cold_file_that_rotted(self, venue: Venue) -> None:
        venue.repair()
        before = venue.hashes()
        for kind in ("ticks", "ohlcv", "metrics"):
            tiers.drain(venue.store, "idx", kind, [DAY])
        for kind in ("ticks", "ohlcv"):
            path = venue.store.cold.sealed("idx", kind, DAY).path
            rotten = bytearray(path.read_bytes())
            rotten[len(rotten) // 2] ^= 0xFF
            path.chmod(0o600)
            path.write_bytes(rotten)
        with pytest.raises(Refuse, match="is damaged"):
            venue.repair(dry_run=True)
        report = venue.repair()
        assert len(report["set_apart"]) == 2
        assert report["kinds"]["ticks"]["written"] == report["kinds"]["ticks"]["derived"] > 0
        assert venue.hashes() == before

    def test_of_trades_where_the_journal_is_gone(
        self, venue: Venue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def retired(*_: Any) -> Any:
            raise Refuse("the journal begins later", "journal_retired", 410)

        monkeypatch.setattr(repair, "Derivation", retired)
        bars = venue.bars()
        most = int(np.argmax(bars.column("trades")))
        ts, ticker = int(bars.column("ts")[most]), bars.text("ticker")[most]
        half = f"ticker = '{ticker}' and seq % 2 = 0"
        venue.lose("ticks", f"ts >= {ts} and ts < {ts + MINUTE} and {half}")
        report = venue.repair()
        assert report["of"] == "ticks"
        assert report["written"] > 0
        assert report["fewer"] > 0, "fewer trades are no better"
        trades, bars = venue.of_trades(), venue.bars()
        at = entry.match(trades, bars)
        assert (bars.column("trades")[at] >= trades.column("trades")).all()
        assert venue.repair()["written"] == 0
        monkeypatch.setattr(venue.runtime, "venue", replace(IDX, takes_back=True))
        with pytest.raises(Refuse, match="taken back"):
            venue.repair()

    def test_a_day_that_is_under_way_is_refused(self, venue: Venue) -> None:
        with pytest.raises(Refuse, match="feed's still") as refused:
            repair.RepairJob(venue.runtime, repair.Order("2025-11-24"))
        assert refused.value.code == "too_new"

    def test_an_altered_bar_gets_what_the_journal_says(self, venue: Venue) -> None:
        venue.repair()
        with venue.store.hot._engine.transaction() as writer:
            text = f"update idx_ohlcv set close = 1.0 where ts >= {START} and ts < {END}"
            writer.execute(f"{text} and rev = 0 and ticker = 'BBCA'")
        report = venue.repair()
        assert report["kinds"]["ohlcv"]["differing"] > 0
        assert same(venue.bars(), venue.of_trades())
        assert report["written"] > 0
        assert venue.repair()["written"] == 0

    def test_late_bars_that_do_not_fit_wait_for_another_turn(
        self, venue: Venue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bursa.jobs.late.TRADES_MAX", 20)
        turns = []
        made = LastBars.bars

        def counted(self: LastBars) -> Batch:
            turns.append(len(self.left))
            return made(self)

        monkeypatch.setattr(LastBars, "bars", counted)
        venue.repair()
        assert len(turns) > 1
        assert turns[-1] == 0
        assert same(venue.bars(), venue.of_trades())


class TestJournal:
    def test_what_the_store_lost_is_put_back_as_it_was(self, venue: Venue) -> None:
        before, position = venue.hashes(), venue.runtime.journal.position
        inside = f"ts >= {START} and ts < {END}"
        venue.lose("ticks", f"{inside} and ticker = 'BBCA'")
        venue.lose("ohlcv", f"{inside} and rev = 0")
        venue.lose("metrics", inside)
        venue.lose("orderbook", f"{inside} and side = 'bid'")
        venue.lose("status", inside)
        order = backfill_journal.Order(START, END)
        dry = venue.do(backfill_journal.JournalJob(venue.runtime, replace(order, dry_run=True)))
        assert dry["kinds"]["ticks"]["absent"] > 0
        assert dry["kinds"]["ticks"]["written"] == 0
        job = backfill_journal.JournalJob(venue.runtime, order)
        assert venue.do(job, 2)["dry_run"] is False
        report = venue.do(backfill_journal.JournalJob(venue.runtime, order))
        for kind in ("ticks", "ohlcv", "metrics", "orderbook", "status"):
            assert dry["kinds"][kind]["absent"] > 0
        assert venue.hashes() == before
        assert venue.runtime.journal.position == position
        again = venue.do(backfill_journal.JournalJob(venue.runtime, order))
        assert not any(one["absent"] for one in again["kinds"].values())
        assert report["lacking"] == []

    def test_what_was_lost_and_made_of_trades_is_not_there_twice_after_a_rebuild(
        self, spoiled: Path, tmp_path: Path
    ) -> None:
        """The journal then has the bar's trades and, behind them, the bar that was entered."""
        data = tmp_path / "data"
        shutil.copytree(spoiled, data)
        with Venue(data) as venue:
            found = venue.store.revisions("idx", "ohlcv", START, END)
            ticker, ts = str(found.text("ticker")[0]), int(found.column("ts")[0])
            for kind in ("ohlcv", "metrics"):
                venue.lose(kind, f"ticker = '{ticker}' and ts = {ts}")
            order = backfill_ohlcv.Order(START, END, (ticker,))
            assert venue.do(backfill_ohlcv.OhlcvJob(venue.runtime, order))["written"] > 0
        for part in ("journal", "checkpoints"):
            shutil.copytree(data / part, tmp_path / "anew" / part)
        with Venue(tmp_path / "anew") as anew:
            for kind in ("ohlcv", "metrics"):
                rows_ = anew.store.revisions("idx", kind, START, END)
                numbers = rows_.column("ts").tolist(), rows_.column("rev").tolist()
                keys = list(zip(rows_.text("ticker"), *numbers, strict=True))
                assert len(set(keys)) == len(keys), kind
                assert (ticker, ts, 0) in keys
            first = anew.store.revisions("idx", "ohlcv", ts, ts + 1, tickers=[ticker])
            assert first.text("source")[first.column("rev").tolist().index(0)] is None

    def test_some_kinds_alone(self, venue: Venue) -> None:
        venue.lose("ticks", f"ts < {END}")
        venue.lose("index", f"ts < {END}")
        order = backfill_journal.Order(START, END, ("index",))
        venue.do(backfill_journal.JournalJob(venue.runtime, order))
        assert len(venue.store.rows("idx", "index", START, END)) > 0
        assert len(venue.store.rows("idx", "ticks", START, END)) == 0
        with pytest.raises(Refuse, match="--kind: books; allowed: ticks"):
            backfill_journal.JournalJob(venue.runtime, replace(order, kinds=("books",)))

    def test_the_venues_clock(self, venue: Venue) -> None:
        first = int(venue.store.rows("idx", "ticks", START, END).column("ts").min())
        minute = first + 7 * 3600 * 10**9, first + 7 * 3600 * 10**9 + MINUTE
        job = backfill_journal.JournalJob(venue.runtime, backfill_journal.Order(*minute))
        assert venue.do(job)["venue_clock"] is True
        bars = backfill_ohlcv.OhlcvJob(venue.runtime, backfill_ohlcv.Order(*minute))
        assert venue.do(bars)["venue_clock"] is True


class TestBars:
    def order(self, *tickers: str, **other: Any) -> backfill_ohlcv.Order:
        return backfill_ohlcv.Order(START, END, tickers, **other)

    def test_absent_bars_are_made_of_trades(self, venue: Venue) -> None:
        bars = venue.bars()
        venue.lose("ohlcv", f"ts >= {START} and ts < {END} and ticker = 'BBCA'")
        venue.lose("metrics", f"ts >= {START} and ts < {END} and ticker = 'BBCA'")
        lost = len(bars) - len(venue.bars())
        assert lost > 3
        dry = venue.do(backfill_ohlcv.OhlcvJob(venue.runtime, self.order(dry_run=True)))
        report = venue.do(backfill_ohlcv.OhlcvJob(venue.runtime, self.order()))
        assert dry["absent"] == report["absent"] == report["written"] == report["metrics"]
        assert report["written"] >= lost
        assert report["differing"] > 0, "trades that came too late for their bars"
        assert report["examples"]
        made, whole = venue.bars(), venue.of_trades()
        ours = np.array([text == "ticks" for text in made.text("source")])
        made = replace(made, block=np.ascontiguousarray(made.block[:, ours]))
        of = np.array([ticker == "BBCA" for ticker in whole.text("ticker")])
        assert same(made, replace(whole, block=np.ascontiguousarray(whole.block[:, of])))
        again = venue.do(backfill_ohlcv.OhlcvJob(venue.runtime, self.order()))
        assert (again["written"], again["metrics"]) == (0, 0)

    def test_metrics_of_later_bars_follow(self, venue: Venue) -> None:
        bars = venue.bars()
        half = int(np.sort(bars.column("ts"))[len(bars) // 2])
        for kind in ("ohlcv", "metrics"):
            venue.lose(kind, f"ts >= {START} and ts < {half}")
        within = backfill_ohlcv.Order(START, half)
        dry = venue.do(backfill_ohlcv.OhlcvJob(venue.runtime, replace(within, dry_run=True)))
        assert (dry["metrics"], dry["cut"]) == (0, False)
        report = venue.do(backfill_ohlcv.OhlcvJob(venue.runtime, within))
        assert report["metrics"] >= report["written"] > 0
        assert (report["later"], report["onward_ns"], report["cut"]) == (0, half, True)
        # Told to go further it does what is left, once.
        reached = entry.reached(venue.runtime, ALWAYS)
        further = replace(within, onward=onward.ONWARD)
        report = venue.do(backfill_ohlcv.OhlcvJob(venue.runtime, further))
        assert report["written"] == 0 and report["later"] == report["metrics"] > 0
        assert (report["onward_ns"], report["cut"]) == (reached, False)
        stored = entry.newest(venue.store.revisions("idx", "metrics", START, reached))
        assert set(stored.text("source")) == {"ticks", None}
        both = zip(stored.text("ticker"), stored.text("source"), strict=True)
        ours = [str(ticker) for ticker in dict(filter(itemgetter(1), both))]
        made = metrics_by_time(ground_of(venue.runtime), ours, START, reached)
        of = np.array([ticker in ours for ticker in stored.text("ticker")])
        kept = replace(stored, block=np.ascontiguousarray(stored.block[:, of]))
        assert np.array_equal(told(*(part for part, _ in made)), told(kept))
        position = venue.runtime.journal.position
        again = venue.do(backfill_ohlcv.OhlcvJob(venue.runtime, further))
        assert (again["written"], again["metrics"]) == (0, 0)
        assert venue.runtime.journal.position == position

    def test_one_ticker_and_one_minute(self, venue: Venue) -> None:
        whole = venue.of_trades()
        venue.lose("ohlcv", f"ts >= {START} and ts < {END}")
        ts = int(whole.column("ts")[1])
        ticker = whole.text("ticker")[1]
        order = backfill_ohlcv.Order(ts, ts + 1, (str(ticker),))
        assert venue.do(backfill_ohlcv.OhlcvJob(venue.runtime, order))["written"] == 1
        [bar] = venue.bars().column("close").tolist()
        assert bar == whole.column("close")[1]

    def test_metrics_of_an_order_that_was_given_up_come_with_the_next(self, venue: Venue) -> None:
        venue.lose("ohlcv", f"ts >= {START} and ts < {END} and ticker = 'BBCA'")
        venue.lose("metrics", f"ts >= {START} and ts < {END} and ticker = 'BBCA'")
        job = backfill_ohlcv.OhlcvJob(venue.runtime, self.order())
        for _ in job.run():
            if job.report()["written"]:
                break
        assert job.report()["metrics"] == 0
        assert venue.do(backfill_ohlcv.OhlcvJob(venue.runtime, self.order()))["metrics"] > 0

    def test_the_feeds_minutes_are_left_to_it(self, venue: Venue) -> None:
        order = backfill_ohlcv.Order(START, ALWAYS)
        report = venue.do(backfill_ohlcv.OhlcvJob(venue.runtime, order))
        assert report["left"]
        assert (
            report["end_ns"]
            == venue.runtime.line.forgotten_ns // 60_000_000_000 * (60_000_000_000) + 60_000_000_000
        )
        with pytest.raises(Refuse, match="the feed's still"):
            backfill_ohlcv.OhlcvJob(venue.runtime, backfill_ohlcv.Order(report["end_ns"], ALWAYS))
