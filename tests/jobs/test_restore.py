"""`bursa backfill restore`: bars of a file enter where they lack, and nothing else changes."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from bursa import config
from bursa.jobs import entry, job, restore
from bursa.jobs.backfill_metric import ground_of
from bursa.jobs.by_time import metrics_by_time
from bursa.jobs.entry import newest, wait_committed
from bursa.jobs.makers import LANES, MAKERS
from bursa.jobs.restore import Order, Restore
from bursa.model.errors import Refuse
from bursa.model.venue import IDX
from bursa.store.folder import DataFolder
from bursa.verbs.restore import Asked, run_restore
from tests.jobs.test_by_time import told
from tests.jobs.test_entry import Venue
from tests.pipeline import market, rows, running

MINUTE = 60 * 10**9
DAY = "2025-11-17"  # a Monday, days before the market's
OPENS = 9 * 60
HEAD = ["ticker", "time", "open", "high", "low", "close", "volume"]
SILENT = Console(quiet=True)


def bars(tickers: tuple[str, ...] = ("BBCA", "TLKM"), minutes: int = 30) -> list[list[Any]]:
    """Rows of a file: tickers over the first minutes of a day, by Jakarta's clock."""
    rng, found = Random(7), []
    for ticker in tickers:
        price = 9_000
        for minute in range(OPENS, OPENS + minutes):
            low, high = price - rng.randrange(50), price + rng.randrange(50)
            close = rng.randrange(low, high + 1)
            at = f"{DAY} {minute // 60:02d}:{minute % 60:02d}"
            found.append([ticker, at, price, high, low, close, rng.randrange(1, 500) * 100])
            price = close
    return found


def write(path: Path, lines: list[list[Any]], head: list[str] | None = None) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([head or HEAD, *lines])
    return path


def order(file: Path, **said: Any) -> Order:
    return Order(**{"file": str(file), "columns": {}, "zone": "Asia/Jakarta"} | said)


def done(venue: Venue, of: Order, steps: int = 1 << 30) -> dict[str, Any]:
    """Do an order, or its first steps; the report."""
    job = restore.make(venue.runtime, vars(of))
    run = job.run()
    for _, _ in zip(range(steps), run, strict=False):
        done_part, total = job.progress
        assert 0 <= done_part <= total
    job.close()
    json.dumps(job.report())
    return job.report()


def stored(data: Path) -> tuple[dict[Any, Any], int]:
    """(ticker, ts) -> what a file says of the stored bars of a source, and how many metric rows
    have one."""
    found = running.open_store(data)
    try:
        got = found.revisions("idx", "ohlcv", 0, 2**62)
        names, sources = got.text("ticker"), got.text("source")
        values = {
            (names[n], int(got.column("ts")[n]), int(got.column("rev")[n])): tuple(
                got.column(name)[n] for name in ("open", "high", "low", "close", "volume", "value")
            )
            for n in range(len(got))
            if sources[n] == "file"
        }
        made = found.revisions("idx", "metrics", 0, 2**62).text("source")
        return values, sum(source == "file" for source in made)
    finally:
        found.close()


def test_absent_bars_enter_with_their_metrics_and_a_rebuild_gives_them_again(
    tmp_path: Path,
) -> None:
    data, file = tmp_path / "data", write(tmp_path / "bars.csv", bars())
    script = running.Script(market.channels(minutes=4), Random(3), 60)
    with Venue(data, script) as venue:
        report = done(venue, order(file))
        assert (report["rows"], report["absent"], report["written"]) == (60, 60, 60)
        assert report["metric_rows"] == 60
        assert (report["bad"], report["tickers"]) == (0, 2)
        assert report["columns"]["ts"] == "time"
        assert report["value_estimated"]
        # The rings and every reader have them.
        found = venue.store.bars("idx", "BBCA", report["first"], report["last"] + 1)
        assert found.column("close").tolist() == [row[5] for row in bars()[:30]]
        position = venue.runtime.journal.position
        again = done(venue, order(file))
        assert (again["absent"], again["equal"], again["written"]) == (0, 60, 0)
        assert (again["metric_rows"], again["differing"]) == (0, 0)
        assert venue.runtime.journal.position == position
    again_rows = running.rebuilt(data / "journal" / "idx")
    assert rows.hashes(running.stored(data / "hot.duckdb")) == rows.hashes(again_rows)
    values, metrics = stored(data)
    assert (len(values), metrics) == (60, 60)


def test_metrics_of_later_bars_follow(tmp_path: Path) -> None:
    data, file = tmp_path / "data", write(tmp_path / "bars.csv", bars(("BBCA", "BMRI")))
    with Venue(data, running.Script(market.channels(minutes=20), Random(3), 60)) as venue:
        wait_committed(venue.runtime, venue.runtime.journal.position)
        reached = entry.reached(venue.runtime, 2**62)
        live = venue.store.revisions("idx", "metrics", 0, 2**62)
        assert {"BBCA", "BMRI"} <= set(live.text("ticker"))
        report = done(venue, order(file))
        assert (report["metric_rows"], report["later"], report["cut"]) == (60, 0, True)
        assert report["onward_ns"] == report["last"] + 1
        report = done(venue, order(file, onward=31))
        assert report["written"] == 0 and report["metric_rows"] == report["later"] > 0
        assert (report["onward_ns"], report["cut"]) == (reached, False)
        # They are what the whole of history says, and the journal has them.
        wait_committed(venue.runtime, venue.runtime.entered_to)
        stored_ = newest(venue.store.revisions("idx", "metrics", 0, reached))
        ours = np.isin(np.array(stored_.text("ticker")), ["BBCA", "BMRI"])
        kept = replace(stored_, block=np.ascontiguousarray(stored_.block[:, ours]))
        made = metrics_by_time(ground_of(venue.runtime), ["BBCA", "BMRI"], 0, reached)
        assert np.array_equal(told(*(part for part, _ in made)), told(kept))
        assert done(venue, order(file, onward=31))["metric_rows"] == 0
    again_rows = running.rebuilt(data / "journal" / "idx")
    assert rows.hashes(running.stored(data / "hot.duckdb")) == rows.hashes(again_rows)


def test_a_stored_bar_stays_and_is_told(tmp_path: Path) -> None:
    lines = bars(("BBCA",), 5)
    with Venue(tmp_path / "data") as venue:
        done(venue, order(write(tmp_path / "a.csv", lines[1:4])))
        lines[2][5] = lines[2][3]
        lines[2][3] += 1
        report = done(venue, order(write(tmp_path / "b.csv", lines)))
        assert (report["absent"], report["equal"], report["differing"]) == (2, 2, 1)
        [one] = report["mismatches"]
        assert (one["ticker"], one["column"], one["given"]) == ("BBCA", "high", lines[2][3])
        assert one["stored"] == lines[2][3] - 1
        assert report["written"] == 2
        found = venue.store.revisions("idx", "ohlcv", 0, 2**62)
        assert set(found.column("rev").tolist()) == {0}


@pytest.mark.parametrize("steps", [2, 7])
def test_broken_off_and_begun_anew_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr(restore, "ROWS", 7)
    file = write(tmp_path / "bars.csv", bars(minutes=10))
    with Venue(tmp_path / "whole") as venue:
        whole = done(venue, order(file))
    with Venue(tmp_path / "broken") as venue:
        first = done(venue, order(file), steps)
    with Venue(tmp_path / "broken") as venue:
        rest = done(venue, order(file))
    assert first["written"] + rest["written"] == whole["written"] == 20
    assert first["metric_rows"] + rest["metric_rows"] == whole["metric_rows"] == 20
    assert stored(tmp_path / "broken") == stored(tmp_path / "whole")


def test_a_dry_run_says_and_changes_nothing(tmp_path: Path) -> None:
    file = write(tmp_path / "bars.csv", bars())
    with Venue(tmp_path / "data") as venue:
        position = venue.runtime.journal.position
        report = done(venue, order(file, dry_run=True))
        assert (report["absent"], report["written"], report["metric_rows"]) == (60, 0, 0)
        assert venue.runtime.journal.position == position


def test_parquet_with_times_of_a_zone(tmp_path: Path) -> None:
    lines = bars()
    columns = dict(zip(HEAD, map(list, zip(*lines, strict=True)), strict=True))
    columns["time"] = [np.datetime64(at, "ms") for at in columns["time"]]
    table = pa.table(columns)
    pq.write_table(table, tmp_path / "bars.parquet")
    with Venue(tmp_path / "parquet") as venue:
        report = done(venue, order(tmp_path / "bars.parquet"))
        assert (report["counts"], report["written"], report["times"]) == ("row", 60, "typed")
    with Venue(tmp_path / "csv") as venue:
        done(venue, order(write(tmp_path / "bars.csv", lines)))
    assert stored(tmp_path / "parquet") == stored(tmp_path / "csv")


def test_minutes_of_the_feed_are_left_to_it(tmp_path: Path) -> None:
    script = running.Script(market.channels(minutes=4), Random(3), 60)
    with Venue(tmp_path / "data", script) as venue:
        newest = venue.runtime.line.forgotten_ns // MINUTE * MINUTE
        lines = [
            ["ZZZZ", (newest + minute * MINUTE) // 10**9, 9, 9, 9, 9, 1] for minute in range(-2, 3)
        ]
        report = done(venue, order(write(tmp_path / "bars.csv", lines)))
        assert report["written"] == 3
        assert report["reasons"] == {"too_new": 2}
        assert report["new_tickers"] == ["ZZZZ"]


def test_rows_that_are_kept_out_can_be_put_right_and_restored(tmp_path: Path) -> None:
    lines = bars(("BBCA",), 6)
    lines[1][5] = "nine"
    lines[3][4] = lines[3][3] + 1
    lines.append(["BBCA", "a line that was cut"])
    file, rejects = write(tmp_path / "bars.csv", lines), tmp_path / "rejects.csv"
    with Venue(tmp_path / "data") as venue:
        report = done(venue, order(file, rejects=str(rejects)))
        assert report["reasons"] == {"fields": 1, "number": 1, "high": 1}
        assert report["rejects"] == 3
        assert [one["line"] for one in report["examples"]] == [3, 5, 8]
        kept = list(csv.DictReader(rejects.read_text().splitlines()))
        assert [(row["line"], row["close"]) for row in kept][0] == ("3", "nine")
        with pytest.raises(Refuse, match="is there already"):
            done(venue, order(file, rejects=str(rejects)))
        assert kept.pop()["text"] == "BBCA,a line that was cut"
        kept[0]["close"] = kept[0]["open"]
        kept[1]["low"] = str(min(int(kept[1][name]) for name in ("open", "close")))
        right = tmp_path / "right.csv"
        with right.open("w", newline="") as to:
            writer = csv.DictWriter(to, list(kept[0]))
            writer.writeheader()
            writer.writerows(kept)
        assert done(venue, order(right))["written"] == 2


def _iso(line: list[Any], at: str) -> list[Any]:
    return [line[0], at, *line[2:]]


@pytest.mark.parametrize(
    ("lines", "said", "code"),
    [
        (bars(), {"zone": ""}, "zone_unclear"),
        ([_iso(line, DAY) for line in bars()], {}, "not_minutes"),
        ([_iso(bars()[0], "17/11/2025 09:00")], {}, "unread_times"),
        (
            [[*line[:1], f"2025-11-{n + 3} 00:00", *line[2:]] for n, line in enumerate(bars()[:5])],
            {},
            "unread_times",
        ),
        (
            [_iso(line, f"2025-11-{n + 10} 00:00") for n, line in enumerate(bars()[:5])],
            {},
            "not_minutes",
        ),
        # 9.025 would be nine.
        ([*bars()[:3], [*bars()[3][:2], *["9.025"] * 4, "1.234.500"]], {}, "grouped_numbers"),
        (bars(), {"columns": {"close": "last"}}, "bad_columns"),
        (bars(), {"ticker": "bbca!"}, "bad_request"),
        (bars(), {"rejects": "/nowhere/rejects.csv"}, "bad_request"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(
    tmp_path: Path, lines: list[list[Any]], said: dict[str, Any], code: str
) -> None:
    file = write(tmp_path / "bars.csv", lines)
    with Venue(tmp_path / "data") as venue:
        position = venue.runtime.journal.position
        with pytest.raises(Refuse) as refused:
            Restore(venue.runtime, order(file, **said))
        assert refused.value.code == code
        assert venue.runtime.journal.position == position


def test_a_zone_that_is_said_is_taken(tmp_path: Path) -> None:
    file = write(tmp_path / "bars.csv", bars())
    with Venue(tmp_path / "data") as venue:
        report = done(venue, order(file, zone="UTC", dry_run=True))
        assert IDX.calendar.text(report["first"]).startswith(f"{DAY}T16:00")
        offset = write(tmp_path / "offset.csv", [_iso(line, f"{line[1]}+07:00") for line in bars()])
        report = done(venue, order(offset, zone="", dry_run=True))
        assert IDX.calendar.text(report["first"]).startswith(f"{DAY}T09:00")


def test_the_verb_tells_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = bars()
    lines[4][5] = ""
    file, data = write(tmp_path / "bars.csv", lines), tmp_path / "data"
    loaded = config.load({"data": str(data)})

    def run(as_json: bool, say: Console, **said: Any) -> int:
        given: dict[str, Any] = {
            "file": file,
            "columns": ("time=ts",),
            "ticker": "",
            "zone": "venue",
            "form": "",
            "venue": "idx",
            "rejects": None,
            "dry_run": False,
        }
        return run_restore(
            loaded.config, Asked(**given | said), as_json=as_json, say=say, warn=SILENT
        )

    with Venue(data) as venue, DataFolder(data) as folder:
        folder.serve(job.handlers(job.Jobs({"idx": venue.runtime}, MAKERS, LANES)))
        text = tmp_path / "said.txt"
        with text.open("w") as to:
            assert run(False, Console(file=to, width=200)) == 1
        said = text.read_text()
        assert "60 lines; ts from 'time', ticker, open" in said
        assert "1 null: a column that must have a value has none" in said
        assert "line 6: null: time=2025-11-17 09:04" in said.replace("ticker=BBCA ", "")
        assert "59 bars written, 59 rows of metrics" in said
        assert run(True, SILENT) == 1
        report = json.loads(capsys.readouterr().out)
        assert (report["venue"], report["equal"], report["bad"]) == ("idx", 59, 1)
        with pytest.raises(Refuse, match="--map time: allowed: THEIRS=OURS"):
            run(False, SILENT, columns=("time",))
        with pytest.raises(Refuse, match="--tz: Mars"):
            run(False, SILENT, zone="Mars")
