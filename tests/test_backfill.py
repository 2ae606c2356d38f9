"""`bursa backfill metric`: what is filled is to the bit what live wrote and what a replay derives.

One folder is fed two days with late trades under gates that change between them; each test works on
a copy of it.
"""

import io
import json
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from os import getpid
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest
from rich.console import Console

from bursa import config
from bursa.app import shop
from bursa.config import Config
from bursa.jobs import backfill as computing
from bursa.jobs import backfill_metric, job
from bursa.jobs.makers import LANES, MAKERS
from bursa.model.errors import Refuse
from bursa.model.venue import IDX
from bursa.ops import logs
from bursa.pipeline import control
from bursa.state.sqlite import STATE_FILE
from bursa.store import compare, rings, sql
from bursa.store.duckdb import DuckStore
from bursa.store.folder import STORE_FILE, DataFolder
from bursa.verbs.backfill import Asked, run_metric
from bursa.verbs.replay import run_replay
from tests.pipeline import market, running

SCRIPT = market.channels(minutes=9, share=0.1)
DAY = market.DAYS[-1]
FIRST, LAST = (IDX.calendar.midnight_ns(day) for day in market.DAYS)
ALL = ("2025-11-01", "2025-12-01")
NAMED = {"venue": "idx", "name": "backfill_metric"}
# UTC, of both days.
PARTS = (
    ("2025-11-21T02:03", "2025-11-21T02:06"),
    ("2025-11-01T00:00", "2025-11-21T00:00"),
    ("2025-11-21T02:06", "2025-12-01"),
    ("2025-11-21T00:00", "2025-11-21T02:03"),
)


@pytest.fixture(autouse=True, scope="module")
def logs_go_where_they_should() -> None:
    """A venue that runs beside must not write where the answer is read."""
    logs.setup(Config().log.level, Config().log.format)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("made") / "data"
    running.warm()
    for feed in (None, running.Script(SCRIPT, Random(1), 20)):
        store = running.open_store(data)
        venue = running.runtime(data, store, running.knobs())
        venue.start([feed] if feed else [])
        if feed is None:
            assert control.set_gates(venue, {"open_s": 9 * 3600 + 120}, LAST)
        else:
            running.until(feed.told.is_set, "the feed's end")
        assert venue.stop(running.RUN_S)
        store.close()
    return data


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def few_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (computing, backfill_metric):
        monkeypatch.setattr(module, "ROWS", 30)


def configured(data: Path, **flags: Any) -> Config:
    given = {name.replace("__", "."): value for name, value in flags.items()}
    return config.load({"data": str(data)} | given, {}).config


def asked(begin: str = ALL[0], end: str = ALL[1], **other: Any) -> Asked:
    said: dict[str, Any] = {
        "engine": "all", "tickers": (), "venue": "idx", "zone": "UTC", "dry_run": False,
        "replace": False,
    }  # fmt: skip
    return Asked(begin=begin, end=end, **said | other)


def backfill(data: Path, *bounds: str, **other: Any) -> dict[str, Any]:
    """What it reports; its exit code is `code`."""
    flags = other.pop("flags", {})
    quiet, out = Console(file=io.StringIO()), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out)
        code = run_metric(
            configured(data, **flags), asked(*bounds, **other), as_json=True, say=quiet, warn=quiet
        )
    return {"code": code, **json.loads(out.getvalue())}


def told(data: Path, *bounds: str, **other: Any) -> str:
    """The same as a person sees it."""
    out, quiet = Console(file=io.StringIO(), width=400), Console(file=io.StringIO())
    run_metric(configured(data), asked(*bounds, **other), as_json=False, say=out, warn=quiet)
    assert isinstance(out.file, io.StringIO) and isinstance(quiet.file, io.StringIO)
    assert not quiet.file.getvalue()  # progress is for a terminal
    return out.file.getvalue()


def by_hand(data: Path, *statements: str) -> None:
    with duckdb.connect(str(data / STORE_FILE)) as connection:
        for statement in statements:
            connection.execute(statement)


def rows(data: Path, query: str) -> list[Any]:
    with duckdb.connect(str(data / STORE_FILE), read_only=True) as connection:
        return connection.execute(query).fetchall()


def digest(data: Path, **flags: Any) -> compare.Digest:
    """The hash over all columns of the table of metrics."""
    settings = configured(data, **flags)
    with DataFolder(data) as folder, shop(settings, folder, [IDX]) as shared:
        of = compare.Slice("idx", shared.catalogue.kind, 0, 2**62, compare.ANY_POSITION)
        return compare.digest(lambda text: shared.store.select(text, sql.Limits()), of)


def replayed(data: Path, into: Path, **flags: Any) -> Path:
    """A folder whose store is derived from the journal of another."""
    shutil.copytree(data, into)
    for file in into.glob(f"{STORE_FILE}*"):
        file.unlink()
    shutil.rmtree(into / "checkpoints")
    quiet, settings = Console(file=io.StringIO()), configured(into, **flags)
    assert run_replay(settings, into / "journal" / "idx", "idx", say=quiet, warn=quiet) == 0
    return into


def test_live_replay_and_backfill_have_the_same_hash(data: Path, tmp_path: Path) -> None:
    revisions = rows(data, "select count(*) from idx_metrics where rev > 0")
    assert revisions[0][0] > 5
    live = digest(data)
    assert live.rows > 100
    assert digest(replayed(data, tmp_path / "again")) == live
    by_hand(data, "delete from idx_metrics")
    report = backfill(data)
    assert (report["code"], report["absent"], report["written"]) == (0, live.rows, live.rows)
    assert digest(data) == live
    report = backfill(data)
    assert (report["written"], report["equal"]) == (0, live.rows)
    assert "nothing was written" in told(data)


def test_parts_of_the_range_in_any_order_and_ticker_by_ticker(data: Path) -> None:
    live = digest(data)
    by_hand(data, "delete from idx_metrics")
    tickers = [name for (name,) in rows(data, "select distinct ticker from idx_ohlcv order by 1")]
    assert len(tickers) > 2
    written = 0
    for begin, end in PARTS:
        for some in (tickers[:1], tickers[1:]):
            written += backfill(data, begin, end, tickers=some)["written"]
    assert written == live.rows and digest(data) == live


def test_it_begins_at_a_checkpoint_where_one_is_before_the_range(data: Path) -> None:
    live, begin = digest(data), (PARTS[0][0], ALL[1])
    by_hand(data, f"delete from idx_metrics where ts >= {LAST}")
    before = backfill(data, *begin, dry_run=True)
    assert before["from"] > 0
    shutil.rmtree(data / "checkpoints")
    cold = backfill(data, *begin, dry_run=True)
    assert cold["from"] == 0 and cold["bars"] > before["bars"]
    assert cold["absent"] == before["absent"] > 0
    assert backfill(data, "2025-11-20T17:00", ALL[1])["code"] == 0
    assert digest(data) == live


def test_rows_and_values_taken_away_by_hand_are_found_and_come_back(data: Path) -> None:
    live = digest(data)
    some = f"ts >= {LAST} and hash(ticker, ts) % 3 = 0"
    by_hand(
        data,
        f"delete from idx_metrics where ts < {LAST} and hash(ticker, ts, rev) % 2 = 0",
        f"update idx_metrics set hd = null, hd_mapo = null where {some} and hd is not null",
        f"update idx_metrics set vwap = null where {some}",
    )
    dry = backfill(data, dry_run=True)
    assert dry["absent"] > 10 and dry["filled"] > 10 and dry["code"] == 0
    assert "nothing was" in told(data, dry_run=True)
    assert digest(data) != live
    # Of HD alone: rows that lack only the other value stay.
    report = backfill(data, engine="hd")
    assert report["absent"] == dry["absent"] and 0 < report["filled"] <= dry["filled"]
    assert rows(data, f"select count(*) from idx_metrics where {some} and vwap is null")[0][0]
    assert not backfill(data, engine="hd", dry_run=True)["written"]
    backfill(data, engine="vwap")
    assert digest(data) == live


def test_rows_altered_by_hand_are_told_and_left_unless_replaced(data: Path) -> None:
    live = digest(data)
    one = "rowid = (select max(rowid) from idx_metrics where rev = 0 and hd is not null)"
    by_hand(
        data,
        f"update idx_metrics set hd = hd + 1 where {one}",
        "insert into idx_metrics select * replace (ts + 1 as ts) from idx_metrics where rowid = 0",
        "insert into idx_metrics select * from idx_metrics where rowid = 1",
        "update idx_metrics set position = position + 1000000000000 where rowid = 2",
    )
    changed = digest(data)
    report = backfill(data)
    assert (report["code"], report["written"]) == (1, 0)
    assert (report["differing"], report["surplus"]) == (2, 2)
    assert report["columns"] == {"hd": 1, "position": 1}
    assert digest(data) == changed
    text = told(data)
    assert "is stored" in text and "no bar gives this row" in text and "--replace" in text
    assert backfill(data, engine="rsi")["columns"] == {"position": 1}
    assert backfill(data, replace=True)["code"] == 0
    assert digest(data) == live


def test_a_metric_that_is_added_is_filled_as_if_it_had_always_been_there(
    data: Path, tmp_path: Path
) -> None:
    flags = {"metrics__extra": ("ema_9", "rsi_7")}
    wanted = digest(replayed(data, tmp_path / "again", **flags), **flags)
    report = backfill(data, flags=flags, engine="ema_9")
    assert report["filled"] > 100 and report["code"] == 0
    report = backfill(data, flags=flags, engine="rsi")
    assert report["filled"] > 50 and not report["absent"]
    assert digest(data, **flags) == wanted
    assert not backfill(data, flags=flags)["written"]


def copied(data: Path, folder: Path) -> Path:
    """A copy of a folder in which a segment may become another file, compressed, while it is made:
    then it is made anew."""
    unfinished = shutil.ignore_patterns("*.tmp")
    for _ in range(100):
        try:
            return shutil.copytree(data, folder, ignore=unfinished)
        except shutil.Error:
            shutil.rmtree(folder)
    raise AssertionError("files keep changing their names")


def test_ended_anywhere_it_goes_on_where_it_was(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy of the folder while it writes is what a process that is killed leaves."""
    live = digest(data)
    by_hand(data, "delete from idx_metrics where hash(ticker, ts) % 3 > 0")
    left, amend = Random(5).sample(range(2, 12), 3), DuckStore.amend
    killed, count = [], 0

    def amended(self: DuckStore, *batches: Any) -> None:
        nonlocal count
        amend(self, *batches)
        count += 1
        if count in left:
            killed.append(copied(data, tmp_path / f"killed {count}"))

    monkeypatch.setattr(DuckStore, "amend", amended)
    backfill(data)
    assert len(killed) == 3
    for copy in killed:
        with closing(sqlite3.connect(copy / STATE_FILE)) as state, state:
            # This process lives on, the one that a kill ends does not.
            state.execute("update leases set holder = replace(holder, ?, '/0/')", [f"/{getpid()}/"])
        half = digest(copy)
        assert 0 < half.rows < live.rows
        assert backfill(copy)["absent"] == live.rows - half.rows
        assert digest(copy) == live


# -- while a bursa runs --------------------------------------------------------------------------


@contextmanager
def held(data: Path, feeds: Sequence[Any]) -> Iterator[Any]:
    """A venue that runs on the folder and answers."""
    running.warm()
    with DataFolder(data) as folder:
        store = running.open_store(data)
        venue = running.runtime(data, store, running.knobs())
        folder.serve(job.handlers(job.Jobs({"idx": venue}, MAKERS, LANES)))
        venue.start(feeds)
        try:
            yield venue
        finally:
            assert venue.stop(running.RUN_S)
            store.close()


def test_a_running_bursa_does_it_and_readers_see_it(data: Path) -> None:
    live = digest(data)
    by_hand(
        data,
        "delete from idx_metrics where hash(ticker, ts) % 2 = 0",
        "update idx_metrics set hd = null where hash(ticker, ts) % 3 = 0",
        "insert into idx_metrics select * replace (rev + 1 as rev, 7 as hd) from idx_metrics"
        " where rowid = (select max(rowid) from idx_metrics)",
    )
    with held(data, []) as venue:
        ticker = sorted(venue.hot.span("idx"))[0]
        rings = venue.parts.rings
        before = rings.version(ticker, "metrics"), rings.metrics(ticker, 60)
        report = backfill(data, replace=True)
        assert report["absent"] > 0 and report["filled"] > 0 and report["surplus"] == 1
        for name in venue.hot.span("idx"):
            kept, stored = rings.metrics(name, 60), venue.hot.metrics("idx", name, 0, 2**62)
            assert (kept.block[1:] == stored.block[1:, -60:]).all()
        assert rings.version(ticker, "metrics") > before[0]
        assert not backfill(data)["written"]
    assert digest(data) == live


def test_it_is_done_while_the_feed_goes_on(tmp_path: Path, soak: bool) -> None:
    for seed in range(25 if soak else 1):
        data = tmp_path / f"data {seed}"
        feed, reports = running.Script(SCRIPT, Random(seed), 30), []
        with held(data, [feed]) as venue:
            running.until(lambda: len(venue.hot.span("idx")) > 2, "bars")
            while not feed.told.is_set():
                gone = half_taken_away(venue)
                reports.append(backfill(data))
                assert reports[-1]["code"] == 0, reports[-1]
                assert reports[-1]["absent"] == reports[-1]["written"] == gone, reports[-1]
            running.until(lambda: venue.committed >= venue.journal.position, "commits")
            assert backfill(data)["computed"] > 100
        live = digest(data)
        by_hand(data, "delete from idx_metrics")
        assert backfill(data)["code"] == 0
        assert digest(data) == live
        assert digest(replayed(data, tmp_path / f"again {seed}")) == live


def half_taken_away(venue: Any) -> int:
    """Every second row of metrics that is there; how many they were."""
    stored = venue.hot.revisions("idx", "metrics", 0, 2**62)
    gone, none = stored.block[:, ::2], stored.block[:, :0]
    venue.hot.amend(*(replace(stored, block=block) for block in (gone, none, none)), ())
    return int(gone.shape[1])


def test_one_at_a_time_and_none_for_who_went_away(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand(data, "delete from idx_metrics")
    monkeypatch.setattr(job, "STEP_S", 0.0)
    with held(data, []) as venue:
        orders = job.Jobs({"idx": venue}, MAKERS, LANES)
        order = {
            "start_ns": FIRST, "end_ns": LAST * 2, "engine": "all", "tickers": [],
            "dry_run": False, "replace": False,
        }  # fmt: skip
        begin = {"do": job.BEGIN, **NAMED, "order": order}
        first = orders.answer(begin)["job"]
        with pytest.raises(Refuse, match=r"idx: a job is under way \(backfill metric\)"):
            orders.answer(begin)
        monkeypatch.setattr(job, "FORGOTTEN_S", 0.0)
        second = orders.answer(begin)["job"]
        go = {"do": job.GO_ON, **NAMED}
        with pytest.raises(Refuse, match="not under way any more"):
            orders.answer(go | {"job": first})
        monkeypatch.setattr(job, "STEP_S", 0.001)
        assert orders.answer(go | {"job": second})["report"] is None
        answer = orders.answer({"do": job.END, **NAMED, "job": second})
        assert answer["report"]["computed"] < answer["report"]["bars"] or answer["at"]
        with pytest.raises(Refuse, match="binance does not run here; there is idx"):
            orders.answer(begin | {"venue": "binance"})


def test_readers_are_shown_the_rows_ticker_by_ticker(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer does not wait for all of them; what rings do not reach back to is not read."""
    by_hand(data, "delete from idx_metrics")
    monkeypatch.setattr(job, "STEP_S", 0.001)
    monkeypatch.setattr(rings, "REHYDRATE_MINUTES", 3)
    shown: list[str] = []
    real = rings.Rings.renew_metrics

    def renewed(self: rings.Rings, ticker: str, read: Any) -> None:
        shown.append(ticker)
        real(self, ticker, read)
        time.sleep(0.002)  # a moment's work

    monkeypatch.setattr(rings.Rings, "renew_metrics", renewed)
    with held(data, []) as venue:
        orders = job.Jobs({"idx": venue}, MAKERS, LANES)
        for start, end, tickers in ((FIRST, LAST, []), (LAST, LAST * 2, venue.hot.span("idx"))):
            order = {
                "start_ns": start, "end_ns": end, "engine": "all", "tickers": [],
                "dry_run": False, "replace": False,
            }  # fmt: skip
            begin = {"do": job.BEGIN, **NAMED, "order": order}
            go = {"do": job.GO_ON, **NAMED, "job": orders.answer(begin)["job"]}
            shown.clear()
            report = None
            for _ in range(10_000):
                before = len(shown)
                report = orders.answer(go)["report"]
                assert len(shown) <= before + 1
                if report is not None:
                    break
            assert report and report["written"] and shown == sorted(tickers)


# -- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"engine": "rsi_15"}, r"--engine: rsi_15; allowed: all, a family \(.*hd.*rsi.*\), or one"),
        ({"begin": "2025-11-21", "end": "2025-11-21"}, "--from 2025-11-21 is not before --to"),
        (
            {"begin": "2030-01-01", "end": "2030-01-02"},
            "--from: 2030-.* the last one at 2025-11-21",
        ),
        ({"begin": "1999-01-01", "end": "1999-01-02"}, "--to: 1999-.* first stored bar .* 2025-11"),
        ({"begin": "yesterday"}, "--from: yesterday; allowed: a date or a time such as 2025"),
        ({"end": "2025-11-31"}, "--to: 2025-11-31; allowed: a date"),
        ({"begin": "0001-01-01", "zone": "Asia/Jakarta"}, "--from: 0001-01-01; allowed: a date"),
        ({"end": "9999-01-01"}, "--to: 9999-01-01; allowed: a date .* from 1970 to 2116"),
        (
            {"begin": "2025-11-02T01:30", "zone": "America/New_York"},
            "--from: 2025-11-02T01:30: clocks change then.*allowed: a time with its offset",
        ),
        (
            {"begin": "2025-03-09", "end": "2025-03-09T02:00", "zone": "America/New_York"},
            "--to: 2025-03-09T02:00: clocks change then",
        ),
        ({"tickers": ("XXXX",)}, "--ticker: XXXX; idx has bars of . tickers: "),
        ({"zone": "Mars/Olympus"}, "--tz: Mars/Olympus; allowed: UTC, venue, or a zone such as"),
        ({"zone": "../etc/passwd"}, "--tz: "),
        ({"venue": "nyse"}, "--venue: nyse; allowed: idx"),
        ({"venue": "binance"}, "no journal of binance"),
    ],
)
def test_wrong_values_are_refused_with_what_is_allowed(
    data: Path, said: dict[str, Any], why: str
) -> None:
    given = {"begin": ALL[0], "end": ALL[1]} | said
    bounds = given.pop("begin"), given.pop("end")
    with pytest.raises(Refuse, match=why):
        backfill(data, *bounds, **given)


def test_times_are_utc_unless_a_zone_is_named(data: Path) -> None:
    opened = IDX.calendar.day_open_ns(DAY)
    minute = f"{opened} and ts < {opened} + 180000000000"
    [[held]] = rows(data, f"select count(*) from idx_metrics where ts >= {minute}")
    assert held > 0
    for begin, end, zone in (
        ("2025-11-21T02:00", "2025-11-21T02:03", "UTC"),
        ("2025-11-21T09:00", "2025-11-21T09:03", "venue"),
        ("2025-11-21T11:00", "2025-11-21T11:03", "Asia/Tokyo"),
        ("2025-11-21T09:00+07:00", "2025-11-21T02:03Z", "America/New_York"),
    ):
        assert backfill(data, begin, end, zone=zone)["computed"] == held


def test_a_folder_without_bars_has_nothing_to_fill(tmp_path: Path) -> None:
    with pytest.raises(Refuse, match="no journal"):
        backfill(tmp_path / "none")
