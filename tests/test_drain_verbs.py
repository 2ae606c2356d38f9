"""`bursa drain` and `bursa retention`, whether or not bursa runs on the folder."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import pytest
from rich.console import Console

from bursa import app, config
from bursa.config import Config
from bursa.jobs import job
from bursa.jobs.makers import LANES, MAKERS
from bursa.model.errors import Refuse
from bursa.model.venue import IDX
from bursa.ops import logs
from bursa.pipeline.runtime import VenueRuntime
from bursa.store import compare, sql
from bursa.store.folder import DataFolder
from bursa.verbs import driving
from bursa.verbs.drain import run_drain, run_retention
from tests.pipeline import market, running

SCRIPT = market.channels(minutes=6, share=0.1)
FIRST, LAST = market.DAYS


@pytest.fixture(autouse=True, scope="module")
def logs_go_where_they_should() -> None:
    logs.setup(Config().log.level, Config().log.format)


def configured(data: Path, **flags: Any) -> Config:
    given = {name.replace("__", "."): value for name, value in flags.items()}
    return config.load({"data": str(data)} | given, {}).config


@contextmanager
def venue(data: Path, feeds: list[Any], **flags: Any) -> Iterator[VenueRuntime]:
    """A venue of the program that runs on the folder and answers."""
    settings = configured(data, **flags)
    running.warm()
    with DataFolder(data) as folder, app.shop(settings, folder, [IDX]) as shared:
        runtime = shared.runtime(IDX)
        folder.serve(job.handlers(job.Jobs({"idx": runtime}, MAKERS, LANES)))
        runtime.start(feeds)
        try:
            yield runtime
        finally:
            assert runtime.stop(running.RUN_S)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of a market; the second one's time has not come to 16:30."""
    data = tmp_path_factory.mktemp("made") / "data"
    feed = running.Script(SCRIPT, Random(1), 50)
    with venue(data, [feed]) as runtime:
        running.until(feed.told.is_set, "the feed's end")
        running.until(lambda: runtime.committed >= runtime.journal.position, "commits")
    return data


def asked(run: Any, data: Path, *given: Any, **options: Any) -> dict[str, Any]:
    """What a verb tells as JSON of idx; its exit code is `code`."""
    quiet, out = Console(file=io.StringIO()), io.StringIO()
    flags = options.pop("flags", {})
    options = {"dry_run": False} | options
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out)
        settings = configured(data, **flags)
        code = run(settings, *given, **options, as_json=True, say=quiet, warn=quiet)
    return {"code": code, **json.loads(out.getvalue())["venues"]["idx"]}


def shown(run: Any, data: Path, *given: Any, **options: Any) -> str:
    """The same as a person sees it."""
    out = Console(file=io.StringIO(), width=80)
    settings = configured(data, **options.pop("flags", {}))
    options = {"dry_run": False} | options
    run(settings, *given, **options, as_json=False, say=out, warn=out)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def digests(data: Path) -> dict[str, compare.Digest]:
    """Of every kind that goes cold, as the program sees it."""
    with DataFolder(data) as folder, app.shop(configured(data), folder, [IDX]) as shared:
        store = shared.store
        return {
            kind.name: compare.digest(
                lambda text: store.select(text, sql.Limits()),
                compare.Slice("idx", kind, 0, 2**62, compare.ANY_POSITION),
            )
            for kind in store.hot.kinds
            if kind.name in ("ticks", "ohlcv", "metrics", "orderbook")
        }


def test_days_go_cold_and_leave_whether_bursa_runs_or_not(data: Path) -> None:
    before = digests(data)
    text = shown(run_drain, data, "", [], dry_run=True)
    assert "dry run:" in text and "idx_ohlcv" in text
    assert not list(data.glob("cold/*/*/*.parquet"))
    report = asked(run_drain, data, "idx", [FIRST.isoformat()])
    assert report["code"] == 0 and report["kinds"]["ticks"]["sealed"] == 1
    with venue(data, []):
        report = asked(run_drain, data, "", [], dry_run=True)
        assert report["code"] == 0 and report["kinds"]["ohlcv"]["sealed"] == 1
        assert "stays from 20" not in shown(run_retention, data, "", 1, dry_run=True)
        report = asked(run_drain, data, "", [])
        assert report["kinds"]["ticks"]["sealed"] == report["kinds"]["ticks"]["unchanged"] == 1
        assert report["kinds"]["ticks"]["ratio"] > 1
        assert "unchanged" in shown(run_drain, data, "", [])
        for file in data.glob(f"cold/idx_ticks/date={FIRST}/*"):
            file.write_bytes(file.read_bytes()[:-100])
        report = asked(run_retention, data, "idx", 1)
        assert report["code"] == 1 and report["kinds"]["ticks"]["kept"] == 1
        assert f"idx_ticks stays from {FIRST}" in shown(run_retention, data, "", 1)
        assert asked(run_drain, data, "", [])["kinds"]["ticks"]["sealed"] == 1
        report = asked(run_retention, data, "", 1)
        assert (report["code"], report["kept"]) == (0, 0)
        assert "idx_ohlcv" in shown(run_retention, data, "", None)
    assert digests(data) == before


@pytest.mark.parametrize(
    ("run", "given", "why"),
    [
        (run_drain, ("", ["yesterday"]), "DATE: yesterday; allowed: a date such as"),
        (run_drain, ("xnas", []), "has no journal of xnas"),
        (run_drain, ("nyse", []), "--venue: nyse; allowed: idx"),
        (run_drain, ("", ["2199-11-20"]), "2199-11-20 is not over yet on idx"),
        (run_retention, ("", 0), "--days: 0; allowed: 1 or more"),
    ],
)
def test_what_makes_no_sense_is_refused(data: Path, run: Any, given: Any, why: str) -> None:
    with pytest.raises(Refuse, match=why):
        asked(run, data, *given)


def test_a_folder_without_anything_is_told(tmp_path: Path) -> None:
    with pytest.raises(Refuse, match="has no journal"):
        asked(run_drain, tmp_path / "data", "", [])
    assert not (tmp_path / "data").exists()


def test_knobs_are_those_of_the_configuration(tmp_path: Path) -> None:
    settings = configured(tmp_path, drain__idx_at="17:05", retention__ohlcv_days=5)
    knobs = app.knobs(settings, IDX)
    assert knobs.drain_s == 17 * 3600 + 300 and knobs.retain_days["ohlcv"] == 5
    assert app.knobs(configured(tmp_path), IDX).drain_s == 16 * 3600 + 1800
    with pytest.raises(Refuse, match="drain.idx_at"):
        configured(tmp_path, drain__idx_at="4 pm")
    assert LAST - FIRST >= date.resolution


def test_on_a_pipe_it_is_said_how_far_it_is_and_what_it_waits_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = Console(file=io.StringIO(), width=80)
    with driving.progress(out, "idx drain") as told:
        told(0, 8)  # no word within the first seconds
    monkeypatch.setattr(driving, "FIRST_S", 0.0)
    with driving.progress(out, "idx drain") as told:
        monkeypatch.setattr(driving, "AGAIN_S", 0.0)
        for at in (0, 2, 2):
            told(at, 8)
        monkeypatch.setattr(driving, "AGAIN_S", 600.0)
        for at in (4, 6):
            told(at, 8)
    assert isinstance(out.file, io.StringIO)
    assert out.file.getvalue().splitlines() == [
        "idx drain: 0 % after 0 s; live rows that come go first",
        "idx drain: 25 % after 0 s",
        "idx drain: 25 % after 0 s; live rows that come go first",
        "idx drain: 50 % after 0 s",
    ]
