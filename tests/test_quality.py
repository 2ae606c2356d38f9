"""`bursa quality`, whether or not bursa runs on the folder."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from shutil import copytree
from typing import Any

import pytest
from rich.console import Console

from bursa import app, config
from bursa.config import Config
from bursa.jobs import job
from bursa.jobs.makers import LANES
from bursa.model.errors import Refuse
from bursa.model.venue import IDX
from bursa.ops import logs
from bursa.pipeline.runtime import VenueRuntime
from bursa.store.folder import DataFolder
from bursa.verbs.quality import run_quality
from tests.pipeline import market, running

MINUTES = 6
SCRIPT = market.channels(minutes=MINUTES, share=0.1)
FIRST, LAST = market.DAYS


@pytest.fixture(autouse=True, scope="module")
def logs_go_where_they_should() -> None:
    logs.setup(Config().log.level, Config().log.format)


def configured(data: Path) -> Config:
    return config.load({"data": str(data)}, {}).config


@contextmanager
def venue(data: Path, feeds: list[Any]) -> Iterator[VenueRuntime]:
    """A venue of the program that runs on the folder and answers."""
    running.warm()
    with DataFolder(data) as folder, app.shop(configured(data), folder, [IDX]) as shared:
        runtime = shared.runtime(IDX)
        folder.serve(job.handlers(job.Jobs({"idx": runtime}, app.JOBS, LANES)))
        runtime.start(feeds)
        try:
            yield runtime
        finally:
            assert runtime.stop(running.RUN_S)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("made") / "data"
    feed = running.Script(SCRIPT, Random(1), 50)
    with venue(data, [feed]) as runtime:
        running.until(feed.told.is_set, "the feed's end")
        running.until(lambda: runtime.committed >= runtime.journal.position, "commits")
    return data


@pytest.fixture
def data(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that nobody asked for a report: each is kept."""
    return copytree(made, tmp_path_factory.mktemp("asked") / "data")


def asked(data: Path, name: str = "", week: bool = False) -> tuple[int, dict[str, Any]]:
    """Exit code and report of idx."""
    quiet, out = Console(file=io.StringIO()), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out)
        code = run_quality(configured(data), name, week, as_json=True, say=quiet, warn=quiet)
    return code, json.loads(out.getvalue())["venues"]["idx"]


def shown(data: Path) -> str:
    out = Console(file=io.StringIO(), width=80)
    run_quality(configured(data), "idx", False, as_json=False, say=out, warn=out)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_it_reports_whether_bursa_runs_or_not(data: Path) -> None:
    code, report = asked(data)
    tables = {(line["table"], line["timeframe"]): line for line in report["tables"]}
    bars, metrics = tables["idx_ohlcv", "1m"], tables["idx_metrics", "1m"]
    assert report["days"] == [LAST.isoformat()]
    assert bars["rows"] == metrics["rows"] > 0
    assert (bars["nulls"], bars["impossible"], metrics["gaps"]) == (0, 0, 0)
    assert code == (0 if report["complete"] else 1)
    assert report["before"] is None
    with venue(data, []):
        again = asked(data, "idx")[1]
        week = asked(data, "", True)[1]
    assert again["before"]["made"] == report["made"]
    same = [line | {"change": None} for line in again["tables"]]
    assert same == report["tables"]
    assert week["days"] == [day.isoformat() for day in IDX.calendar.days(FIRST, LAST)] + [str(LAST)]
    assert week["before"] is None


def test_people_see_a_table(data: Path) -> None:
    asked(data)
    text = shown(data)
    assert f"idx: {LAST}; " in text
    lines = {
        line.split()[0] + line.split()[1]: line for line in text.splitlines() if "idx_" in line
    }
    assert {"idx_ohlcv1m", "idx_ohlcv1d", "idx_metrics1m"} <= lines.keys()
    assert "nothing changed since the report of" in text
    assert max(map(len, text.splitlines())) <= 80


def test_what_cannot_be_asked_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(Refuse, match="--venue: nyse; allowed: idx"):
        asked(data, "nyse")
    with pytest.raises(Refuse, match="has no journal of binance"):
        asked(data, "binance")
    with pytest.raises(Refuse, match="has no journal: nothing was stored yet"):
        asked(tmp_path)
    assert not (data / "journal" / "binance").exists(), "to ask makes none"
    assert not list(tmp_path.iterdir())
