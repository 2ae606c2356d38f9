"""`bursa gaps`: what is missing is listed, filled from trades, journal or a file, and proved."""

import csv
import io
import json
import shutil
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from bursa import config
from bursa.app import JOBS, offline
from bursa.config import Config
from bursa.jobs import entry
from bursa.jobs.job import Jobs
from bursa.jobs.makers import LANES
from bursa.model.batch import Batch, Span
from bursa.model.errors import Refuse, Retry
from bursa.model.schema import TICKS
from bursa.model.venue import IDX
from bursa.ops import logs
from bursa.verbs import gap_filling, gaps
from bursa.verbs.gap_filling import JOURNAL, OHLCV, Filling, Wanted
from bursa.verbs.gaps import Asked
from tests.pipeline import running
from tests.pipeline.market import Message
from tests.wire.idx import encoder as idx

DAY = date(2025, 11, 20)
OPENS_NS = IDX.calendar.day_open_ns(DAY)
MINUTE_NS, SECOND_NS = 60 * 10**9, 10**9
LOST = range(20, 30)
SILENT = Console(quiet=True)


def minute(number: int) -> int:
    return OPENS_NS + number * MINUTE_NS


def said() -> Iterator[tuple[int, str, int, int]]:
    """(event time, ticker or "", price, trade number): an hour of two tickers, then half an hour
    of signs of life."""
    number = 0
    for at in range(90):
        if at < 60:
            for name, second in (("BBCA", 5), ("BBCA", 35), ("TLKM", 40)):
                if name == "BBCA" or at % 3 == 0:
                    number += 1
                    yield minute(at) + second * SECOND_NS, name, 9_000 + number, number
        yield minute(at) + 50 * SECOND_NS, "", 0, 0


def messages() -> list[Message]:
    """What comes of it: ten minutes are lost."""
    found = [idx.status(1, OPENS_NS, "1")]
    for seq, (ts, name, price, number) in enumerate(said(), start=2):
        if (ts - OPENS_NS) // MINUTE_NS in LOST:
            continue
        if name:
            found.append(idx.trade(seq, ts, name, trade_no=number, price=price * 10_000))
        else:
            found.append(idx.status(seq, ts))
    return [Message("S1", place, body) for place, body in enumerate(found, start=1)]


@pytest.fixture(scope="module", autouse=True)
def logs_go_where_they_should() -> None:
    logs.setup(Config().log.level, Config().log.format)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("made") / "data"
    running.warm()
    store = running.open_store(data)
    venue = running.runtime(data, store, running.knobs())
    feed = running.Script([messages(), []], Random(1), 20)
    venue.start([feed])
    running.until(feed.told.is_set, "the feed's end")
    assert venue.stop(running.RUN_S)
    store.close()
    return data


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "data")
    return tmp_path / "data"


def loaded(data: Path) -> Config:
    return config.load({"data": str(data)}, {}).config


def asked(**said: Any) -> Asked:
    nothing = {"begin": "", "end": "", "days": 0, "tickers": (), "tf": "1m", "venue": "idx"}
    return Asked(**{**nothing, "zone": "venue", **said})


def listed(data: Path, **said: Any) -> tuple[int, dict[str, Any]]:
    say = Console(file=io.StringIO(), width=200)
    code = gaps.run_ls(loaded(data), asked(**said), as_json=True, say=say, warn=SILENT)
    return code, json.loads(say.file.getvalue())  # type: ignore[attr-defined]


def filled(
    data: Path, file: Path | None = None, dry_run: bool = False, **said: Any
) -> tuple[int, dict[str, Any]]:
    say = Console(file=io.StringIO(), width=200)
    of = asked(**said)
    code = gaps.run_fill(loaded(data), of, file, dry_run, as_json=True, say=say, warn=SILENT)
    return code, json.loads(say.file.getvalue())  # type: ignore[attr-defined]


def verified(data: Path) -> tuple[int, dict[str, Any]]:
    say = Console(file=io.StringIO(), width=200)
    code = gaps.run_verify(loaded(data), asked(), as_json=True, say=say, warn=SILENT)
    return code, json.loads(say.file.getvalue())  # type: ignore[attr-defined]


def bars_of_the_lost(path: Path) -> Path:
    """A file of the bars that the lost trades make."""
    rows: dict[tuple[str, int], list[int]] = {}
    for ts, name, price, _ in said():
        at = (ts - OPENS_NS) // MINUTE_NS
        if name and at in LOST:
            rows.setdefault((name, at), []).append(price)
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["ticker", "time", "open", "high", "low", "close", "volume"])
        for (name, at), prices in rows.items():
            clock = f"2025-11-20 09:{at:02d}"
            out.writerow(
                [name, clock, prices[0], max(prices), min(prices), prices[-1], 100 * len(prices)]
            )
    return path


def put_trades(data: Path) -> None:
    """Have the lost trades stored, as those that came too late for their bars."""
    words = IDX.words()
    lost = [one for one in said() if one[1] and (one[0] - OPENS_NS) // MINUTE_NS in LOST]
    block = np.zeros((len(TICKS.columns), len(lost)), np.int64)
    trades = Batch(TICKS, block, words, Span("idx", 0, 0, 0))
    trades.column("ticker")[:] = [words.symbol_id(name) for _, name, _, _ in lost]
    for column, at in (("ts", 0), ("trade_no", 3), ("price", 2)):
        trades.column(column)[:] = [one[at] for one in lost]
    trades.column("volume")[:] = 100.0
    trades.column("board")[:] = list(IDX.boards).index("RG")
    with offline(loaded(data), IDX) as (runtime, _):
        entry.wait_committed(runtime, entry.enter(runtime, trades))


# -- listing ---------------------------------------------------------------------------------------


def test_what_is_missing_is_listed_with_whom_and_why(data: Path) -> None:
    code, found = listed(data)
    assert code == 1 and found["tickers"] == 2
    # A sign of life ends the minute before the gap and begins with the first after it.
    assert [(g["count"], g["tickers"], g["channel"], g["cause"]) for g in found["gaps"]] == [
        (1, ["TLKM"], "idxdata", "jump"), (1, ["BBCA"], "idxdata", "jump"),
    ]  # fmt: skip
    bounds = [((g["start_ns"] - OPENS_NS) // MINUTE_NS, g["minutes"]) for g in found["gaps"]]
    assert bounds == [(19, 11), (20, 10)]
    assert found["totals"]["missing"] == 21
    assert found["totals"]["backfilled"] == 0
    code, one = listed(data, tickers=["BBCA"])
    assert one["totals"]["missing"] == 10


def test_a_table_tells_it_to_people(data: Path) -> None:
    say = Console(file=io.StringIO(), width=200)
    code = gaps.run_ls(loaded(data), asked(), as_json=False, say=say, warn=SILENT)
    text = say.file.getvalue()  # type: ignore[attr-defined]
    assert code == 1
    assert "2025-11-20 09:20" in text and "10 min" in text and "1: BBCA" in text
    assert "its numbers went on without it" in text and "21 missing" in text


def test_bars_of_any_timeframe_are_listed(data: Path) -> None:
    _, found = listed(data, tf="5m", tickers=["BBCA"])
    assert (found["totals"]["missing"], found["totals"]["received"]) == (2, 10)
    assert [(g["bars"], g["minutes"]) for g in found["gaps"]] == [(2, 10)]


def test_days_that_are_not_kept_are_refused_not_listed(data: Path) -> None:
    for said in (
        {"days": 30},
        {"begin": "2025-11-19"},
        {"begin": "2015-01-01", "end": "2026-01-01"},
    ):
        with pytest.raises(Refuse, match="kept from 2025-11-20"):
            listed(data, **said)
    with pytest.raises(Refuse, match="no bar of it"):
        listed(data, tickers=["NIX"])
    with pytest.raises(Refuse, match="is not before"):
        listed(data, begin="2025-11-20T10:00", end="2025-11-20T10:00")
    with pytest.raises(Refuse, match="exclude each other"):
        listed(data, begin="2025-11-20", days=1)


def test_a_folder_without_a_store_has_nothing_to_list(tmp_path: Path) -> None:
    with pytest.raises(Refuse):
        listed(tmp_path / "none")


# -- filling ---------------------------------------------------------------------------------------


def test_a_file_fills_what_lacks_and_is_read_back(data: Path, tmp_path: Path) -> None:
    file = bars_of_the_lost(tmp_path / "bars.csv")
    code, found = filled(data, file)
    assert (found["written"], found["before"]["missing"]) == (13, 21)
    # Nobody knows what else was said then: minutes without a bar stay missing.
    assert code == 1 and found["after"]["missing"] == 8
    assert found["after"]["backfilled"] == 13
    assert [fill["rows"] for fill in found["fills"]] == [13]
    assert {one["why"] for one in found["open"]} == {gaps._NOTHING}
    code, again = filled(data, file)
    assert again["written"] == 0 and again["fills"] == found["fills"]
    assert verified(data)[0] == 0


def test_stored_trades_fill_what_lacks(data: Path) -> None:
    put_trades(data)
    dry = filled(data, dry_run=True)[1]
    assert dry["written"] == 0 and dry["after"] == dry["before"] and dry["dry_run"]
    code, found = filled(data, tickers=["BBCA"])
    assert code == 0 and found["written"] == 10
    assert found["after"] | {"expected": 0} == {
        "received": 50, "backfilled": 10, "confirmed_empty": 29, "missing": 0, "expected": 0,
    }  # fmt: skip
    assert found["open"] == [] and listed(data, tickers=["BBCA"])[0] == 0
    again = filled(data, tickers=["BBCA"])[1]
    assert again["written"] == 0
    code, seen = verified(data)
    assert code == 0 and [(one["rows"], one["same"]) for one in seen["fills"]] == [(10, True)]


def test_what_nobody_has_is_left_open_with_the_reason(data: Path) -> None:
    code, found = filled(data)
    assert code == 1 and found["written"] == 0 and found["after"] == found["before"]
    assert {one["why"] for one in found["open"]} == {gaps._NOTHING}
    assert listed(data)[1]["kept"]["open"] == found["open"]
    say = Console(file=io.StringIO(), width=200)
    gaps.run_ls(loaded(data), asked(), as_json=False, say=say, warn=SILENT)
    assert "open: 2025-11-20T09:20:00+07:00" in say.file.getvalue()  # type: ignore[attr-defined]


def test_a_fill_that_is_not_as_it_was_is_told(data: Path, tmp_path: Path) -> None:
    filled(data, bars_of_the_lost(tmp_path / "bars.csv"))
    store = running.open_store(data)
    try:
        store.beside(
            lambda writer: writer.execute(
                "update idx_ohlcv set volume = volume + 1 where source = 'file' and ts = ?",
                [minute(21)],
            )
        )
    finally:
        store.close()
    code, found = verified(data)
    assert code == 1 and [one["same"] for one in found["fills"]] == [False]
    assert "13 bars now" in found["fills"][0]["why"]


def test_a_running_holder_is_asked(data: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """Over the control socket every job is asked for; here the holder is in this process."""
    asked_for: list[str] = []
    with offline(loaded(data), IDX) as (runtime, _):
        jobs = Jobs({"idx": runtime}, JOBS, LANES)

        def running_(of: Any, venue: Any, name: str, order: dict[str, Any], told: Any) -> Any:
            asked_for.append(name)
            return jobs.run(venue.name, name, json.loads(json.dumps(order)), told)

        monkeypatch.setattr(gaps, "running", running_)
        code, found = filled(data, bars_of_the_lost(tmp_path / "bars.csv"))
    assert found["written"] == 13
    assert asked_for == ["gaps", "restore", "restore", "gaps", "gaps"]


# -- trying again ----------------------------------------------------------------------------------


class Asking:
    """Answers as it is told to, in order; keeps what was asked and how long was waited."""

    def __init__(self, *answers: Any) -> None:
        self._answers = iter(answers)
        self.asked: list[tuple[str, bool]] = []
        self.waited: list[float] = []
        self.told: list[str] = []

    def __call__(self, name: str, order: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.append((name, bool(order["dry_run"])))
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        found: dict[str, Any] = answer
        return found

    def filling(self, **wanted: Any) -> Filling:
        return Filling(self, Wanted(**wanted), self.waited.append, self.told.append)


def journal(absent: int = 0, written: int = 0) -> dict[str, Any]:
    return {"kinds": {"ohlcv": {"absent": absent, "written": written, "differing": 0}}}


def trades(absent: int = 0, written: int = 0) -> dict[str, Any]:
    return {"absent": absent, "written": written, "differing": 0}


def test_what_is_entered_must_be_found_again() -> None:
    asking = Asking(journal(), journal(), trades(5, 5), trades())
    found = asking.filling().fill(0, 1)
    assert (found.written, found.why, asking.waited) == (5, [], [])
    assert asking.asked == [(JOURNAL, False), (JOURNAL, True), (OHLCV, False), (OHLCV, True)]


def test_what_is_not_found_again_is_tried_three_times_and_left_open() -> None:
    lost = [trades(5, 5), trades(5)] * 4
    asking = Asking(journal(), journal(), *lost)
    found = asking.filling().fill(0, 1)
    assert asking.waited == list(gap_filling.WAITS_S) == [30, 60, 120]
    assert found.why == ["stored trades: 5 rows that were entered are not there"]
    assert "tried again in 30 s" in asking.told[0]


def test_a_store_that_is_away_is_waited_for() -> None:
    away = Retry("the store is away")
    asking = Asking(away, journal(2, 2), away, journal(), journal(), trades(), trades())
    found = asking.filling().fill(0, 1)
    assert (found.why, asking.waited, found.written) == ([], [30, 60], 2)
    asking = Asking(*[away] * 4, trades(), trades())
    assert asking.filling().fill(0, 1).why == ["journal: the store is away"]


def test_what_is_refused_is_not_tried_again() -> None:
    gone = Refuse("the journal begins later", "journal_retired")
    asking = Asking(gone, trades(), trades())
    found = asking.filling().fill(0, 1)
    assert found.why == ["journal: the journal begins later"] and asking.waited == []


def test_a_dry_run_reads_nothing_back() -> None:
    asking = Asking(journal(2), trades(3))
    found = asking.filling(dry_run=True).fill(0, 1)
    assert found.why == [] and asking.asked == [(JOURNAL, True), (OHLCV, True)]
