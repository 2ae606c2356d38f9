"""What else looks at history agrees with entered rows: verify, backfill metric, a start, both ways
of asking a person has."""

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from bursa import config
from bursa.jobs.backfill import Backfill, Order
from bursa.jobs.backfill_metric import ground_of
from bursa.metrics.engine import MetricEngine
from bursa.model.errors import Refuse
from bursa.pipeline import warmup
from bursa.verbs.backfill_bars import Asked, run_journal, run_ohlcv, run_repair
from tests.jobs.test_repair import ALWAYS, DAY, END, START, Venue, recorded
from tests.pipeline import running
from tests.test_verify import verify

Told = tuple[int, dict[str, Any]]


@pytest.fixture(scope="module")
def repaired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of which a day was repaired, and a ticker's lost bars were made of trades."""
    data = recorded(tmp_path_factory.mktemp("repaired") / "data", 0.03)
    with Venue(data) as venue:
        assert venue.repair()["metrics"] > 0
    return data


@pytest.fixture
def data(repaired: Path, tmp_path: Path) -> Path:
    shutil.copytree(repaired, tmp_path / "data")
    return tmp_path / "data"


def test_verify_knows_them(data: Path) -> None:
    code, found = verify(data, DAY)
    assert code == 0
    kinds = {one["kind"]: one for one in found["kinds"]}
    assert kinds["ohlcv"]["equal"] and kinds["metrics"]["equal"]
    with Venue(data) as venue:
        venue.lose("ohlcv", f"ts >= {START} and ts < {END} and source is not null")
    assert verify(data, DAY)[0] == 1


def test_backfill_metric_passes_over_them(data: Path) -> None:
    with Venue(data) as venue:
        order = Order(START, END, "all", (), dry_run=False, replace=True)
        job = Backfill(ground_of(venue.runtime), order)
        for _ in job.run():
            pass
        report = job.report()
        assert report["written"] == report["differing"] == report["surplus"] == 0
        stored = venue.store.revisions("idx", "metrics", START, END)
        assert report["equal"] == sum(text is None for text in stored.text("source"))
        assert report["equal"] < len(stored)


def test_a_start_from_stored_bars_passes_over_them(data: Path) -> None:
    with Venue(data) as venue:
        line = running.line()
        bars = venue.store.emitted("idx", 0, ALWAYS, start_ns=0, end_ns=ALWAYS)
        count = warmup.begin(line, lambda upto: bars, ALWAYS)
        stored = venue.store.revisions("idx", "ohlcv", 0, ALWAYS)
        live = [text is None for text in stored.text("source")]
        assert count == sum(live) < len(stored)
        own = running.words()
        engine = MetricEngine(line.venue, own, line.catalogue)
        engine.set_gates(line.gates.schedule)
        kept = replace(stored, block=np.ascontiguousarray(stored.block[:, live]))
        order = np.lexsort((kept.column("nth"), kept.column("position")))
        ordered = replace(kept, block=np.ascontiguousarray(kept.block[:, order]))
        warmup.take(engine, own, [ordered])
        one, other = line.engine.snapshot(), engine.snapshot()
        assert np.array_equal(one["entries"], other["entries"])


def test_rings_have_them_after_a_start(data: Path) -> None:
    with Venue(data) as venue:
        found = venue.bars()
        ours = [text is not None for text in found.text("source")]
        ticker = str(found.text("ticker")[ours.index(True)])
        held = venue.runtime.parts.rings.bars(ticker, 1000)
        assert held is not None
        assert "repair" in held.text("source")


class TestVerbs:
    """On a folder that nobody holds."""

    def ask(self, run: Any, data: Path, *asked: Any, **flags: Any) -> Told:
        quiet, out = Console(file=io.StringIO()), io.StringIO()
        conf = config.load({"data": str(data)}, {}).config
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdout", out)
            code = run(conf, *asked, as_json=True, say=quiet, warn=quiet, **flags)
        return code, json.loads(out.getvalue())

    def told(self, run: Any, data: Path, *asked: Any, **flags: Any) -> str:
        out = Console(file=io.StringIO(), width=400)
        conf = config.load({"data": str(data)}, {}).config
        run(conf, *asked, as_json=False, say=out, warn=out, **flags)
        assert isinstance(out.file, io.StringIO)
        return out.file.getvalue()

    def asked(self, *only: str, **other: Any) -> Asked:
        made = Asked(DAY.isoformat(), "2025-11-21", only, "idx", "venue", dry_run=False)
        return replace(made, **other)

    def test_what_they_do_and_say(self, data: Path) -> None:
        with Venue(data) as venue:
            for kind in ("ohlcv", "metrics"):
                venue.lose(kind, f"ts >= {START} and ts < {END} and ticker = 'BBCA'")
            venue.lose("index", f"ts >= {START} and ts < {END}")
        code, report = self.ask(run_ohlcv, data, self.asked("BBCA", dry_run=True))
        assert (code, report["written"], report["absent"] > 3) == (0, 0, True)
        told = self.told(run_ohlcv, data, self.asked("BBCA"))
        assert f"{report['absent']:,} bars and {report['absent']:,} rows of metrics" in told
        told = self.told(run_ohlcv, data, self.asked("BBCA", onward=0))
        assert f"{report['absent']:,} are stored so" in told
        assert "nothing was written" in told
        again = "bursa backfill ohlcv --from 2025-11-20 --to 2025-11-21 --tz venue --ticker BBCA"
        assert f"not looked at: {again} --venue idx --onward 31 goes on" in told
        # What was made of trades meanwhile is not put beside itself.
        code, report = self.ask(run_journal, data, self.asked())
        assert code == 1
        assert report["kinds"]["index"]["written"] > 0
        for kind in ("ohlcv", "metrics"):
            found = report["kinds"][kind]
            assert found["differing"] > 3
        with Venue(data) as venue:
            bars = venue.all("ohlcv")
            named = (bars.column(name).tolist() for name in ("ticker", "ts", "rev"))
            assert len(set(zip(*named, strict=True))) == len(bars)
        told = self.told(run_journal, data, self.asked("index"))
        assert "rows of the journal" in told and "nothing is absent" in told
        with pytest.raises(Refuse, match="has anything of idx on 2019-01-02"):
            self.told(run_repair, data, "2019-01-02", "idx", dry_run=False)
        told = self.told(run_repair, data, DAY.isoformat(), "idx", dry_run=False, onward=0)
        assert "rebuilt from the journal" in told
        assert f"were not looked at: bursa repair {DAY} --venue idx --onward 31 goes on" in told
        told = self.told(run_repair, data, DAY.isoformat(), "idx", dry_run=False)
        assert "not looked at" not in told

    def test_an_empty_range_in_utc_says_whose_clock_may_be_meant(self, data: Path) -> None:
        begin, end = "2025-11-20T09:01", "2025-11-20T09:05"
        asked = self.asked(begin=begin, end=end, zone="UTC")
        hint = "by the clock of idx (Asia/Jakarta) it does: --tz venue"
        assert hint in self.told(run_ohlcv, data, asked)
        assert hint in self.told(run_journal, data, replace(asked, only=("ticks",)))
        assert hint not in self.told(run_ohlcv, data, replace(asked, zone="venue"))
