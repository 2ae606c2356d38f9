"""Metrics added and removed on a folder that holds data, and a start from stored bars alone: a real
venue over a real journal and store, held against lines that always had those metrics."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest

from bursa.bus.memory import MemoryBus
from bursa.journal.closed import retire
from bursa.journal.read import JournalReader
from bursa.journal.segment import listing
from bursa.metrics.catalog import STANDARD, Catalogue, catalogue
from bursa.model.batch import Batch
from bursa.model.errors import Retry
from bursa.model.venue import IDX
from bursa.ops.telemetry import Telemetry
from bursa.pipeline import waiting as waiting_module
from bursa.pipeline.line import Line, kinds
from bursa.pipeline.runtime import Parts, VenueRuntime
from bursa.store.duckdb import DuckStore
from bursa.store.rings import Rings
from bursa.wire.idx.decoder import IdxDecoder
from tests.pipeline import market, running
from tests.pipeline.running import until
from tests.pipeline.test_waiting import Away

Row = dict[str, Any]
DAY_MINUTES = 24 * 60


@pytest.fixture(scope="module")
def script() -> Any:
    return market.channels(minutes=12, share=0.0, books=False)


def made(data: Path, of: Catalogue, store: Any, **knobs: Any) -> VenueRuntime:
    running.warm()
    own = running.words()
    rings = Rings(IDX, own, 60, 1 << 20, of)
    clock, telemetry = running.WallClock(), Telemetry()
    parts = Parts(store, rings, MemoryBus(), clock, telemetry, IdxDecoder, of)
    return VenueRuntime(IDX, own, data, parts, running.knobs(**knobs))


def until_minute(script: Any, minute: int) -> Any:
    """What the channels bring before a minute, counted from the first trade's."""
    trades = [market.ts_of(s.body) for s in script[0] if _is_trade(s)]
    end_ns = (trades[0] // market.MINUTE_NS + minute) * market.MINUTE_NS
    found = []
    for steps in script:
        late = [isinstance(s, market.Message) and market.ts_of(s.body) >= end_ns for s in steps]
        found.append(steps[: late.index(True)] if True in late else steps)
    return tuple(found)


def _is_trade(step: Any) -> bool:
    return isinstance(step, market.Message) and step.body[0] == market.TRADE


def lived(data: Path, of: Catalogue, script: Any, **knobs: Any) -> tuple[int, int]:
    """One life with a catalogue, until all of a script is told. Where the journal ended at its
    start and at its end."""
    data.mkdir(exist_ok=True)
    store = DuckStore(data / "hot.duckdb", [IDX], kinds(of))
    venue = made(data, of, store, **knobs)
    feed = running.Script(script, Random(1), 20)
    venue.start([feed])
    begun = venue.recovered.end if venue.recovered is not None else 0
    until(feed.told.is_set, "the feed's end")
    assert venue.stop(running.RUN_S)
    store.close()
    return begun, venue.journal.position


def table(data: Path, of: Catalogue, after: int) -> list[Row]:
    """Stored metric rows past a position, with a catalogue's columns."""
    names = [column.name for column in of.kind.columns]
    text = f"select {', '.join(names)} from idx_metrics where position > {after} order by position"
    with duckdb.connect(str(data / "hot.duckdb"), read_only=True) as connection:
        found = connection.execute(text + ", ticker, ts, rev").fetchall()
    return [dict(zip(names, row, strict=True)) for row in found]


def derived(journal: Path, of: Catalogue) -> list[Row]:
    """All metric rows of a line that always had the catalogue."""
    own = running.words()
    line = Line(IDX, own, IdxDecoder(IDX, own), running.KEEP, of)
    found: list[Row] = []
    for chunk in JournalReader(journal).chunks(0):
        found += dicts(line.push(chunk).metrics)
    found.sort(key=lambda row: (row["position"], row["ticker"], row["ts"], row["rev"]))
    return found


def dicts(batch: Batch) -> Iterator[Row]:
    columns = []
    for column in batch.kind.columns:
        if column.dtype == "text":
            columns.append(batch.text(column.name))
        else:
            values = batch.column(column.name)
            columns.append([None if v != v else v for v in values.tolist()])
    names = [column.name for column in batch.kind.columns]
    return (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))


def check(data: Path, of: Catalogue, after: int, upto: int) -> None:
    """What was stored past a position, where a life with this catalogue began, is what a line gives
    that always had it; for bars that are older than that, in all but the number of the revision."""
    always = derived(data / "journal" / "idx", of)
    before = {(row["ticker"], row["ts"]) for row in always if row["position"] <= after}
    theirs = [row for row in always if after < row["position"] <= upto]
    ours = [row for row in table(data, of, after) if row["position"] <= upto]
    fresh = [[r for r in rows if (r["ticker"], r["ts"]) not in before] for rows in (ours, theirs)]
    assert len(fresh[0]) > 20
    assert fresh[0] == fresh[1]
    older = [[r for r in rows if (r["ticker"], r["ts"]) in before] for rows in (ours, theirs)]
    for mine, yours in zip(*older, strict=True):
        assert {**mine, "rev": 0} == {**yours, "rev": 0}


def test_metrics_are_added_and_removed_twice_on_a_folder_that_holds_data(
    tmp_path: Path, script: Any
) -> None:
    data = tmp_path / "data"
    several = [catalogue(extra) for extra in ([], ["ema_3", "rsi_2"], ["rsi_2", "sma_4"])]
    scripts = (until_minute(script, 9), until_minute(script, DAY_MINUTES + 6), script)
    lives = [lived(data, of, told) for of, told in zip(several, scripts, strict=True)]
    for of, (after, upto) in zip(several, lives, strict=True):
        check(data, of, after, upto)
    columns = {
        name: [row[name] is not None for row in found]
        for name, found in (
            (name, table(data, catalogue([name]), 0)) for name in ("ema_3", "rsi_2", "sma_4")
        )
    }
    found = table(data, STANDARD, 0)
    second, third = (
        next(n for n, row in enumerate(found) if row["position"] > after) for after, _ in lives[1:]
    )
    assert not any(columns["ema_3"][:second]) and any(columns["ema_3"][second:third])
    assert not any(columns["ema_3"][third:]), "a column that was removed stays, and is null"
    assert all(columns["rsi_2"][second:]) and not any(columns["sma_4"][:third])
    # A store that began with it has the same columns, and reads what is null as null.
    assert any(columns["sma_4"][third:])


def test_without_checkpoint_and_beginning_metrics_come_from_the_stored_bars(
    tmp_path: Path, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits in silence either: the store is away at first."""
    monkeypatch.setattr(waiting_module, "BACK_OFF_S", (0.005,))
    data = tmp_path / "data"
    small = {"segment_bytes": 20_000, "compress": False}
    _, end = lived(data, STANDARD, until_minute(script, DAY_MINUTES + 6), **small)
    journal, whole = data / "journal" / "idx", tmp_path / "whole"
    shutil.rmtree(data / "checkpoints")
    segments = listing(journal)
    assert len(segments) > 4
    shutil.copytree(journal, whole)
    # The last three segments are minutes: the bars that are open at the end began in them.
    retire(journal, 0, segments[-4].end)
    first = JournalReader(journal).first
    assert 0 < first < end
    store = DuckStore(data / "hot.duckdb", [IDX], kinds())
    away = Away(store)
    away.shut = False
    monkeypatch.setattr(away, "emitted", once_away(store), raising=False)
    venue = made(data, STANDARD, away, **small)
    feed = running.Script(script, Random(1), 20)
    venue.start([feed])
    assert venue.recovered is not None and venue.recovered.checkpoint == first
    until(feed.told.is_set, "the feed's end")
    assert venue.stop(running.RUN_S)
    store.close()
    # The rest of the journal behind the whole of what was there, for who derives it anew.
    for path in journal.glob("*.log*"):
        shutil.copy(path, whole / path.name)
    always = [row for row in derived(whole, STANDARD) if row["position"] > end]
    ours = table(data, STANDARD, end)
    assert len(ours) > 20 and ours == always


def once_away(store: Any) -> Any:
    """`emitted` of a store that is away when it is asked first."""
    asked: list[Sequence[Any]] = []

    def emitted(*given: Any, **named: Any) -> Any:
        asked.append(given)
        if len(asked) == 1:
            raise Retry("nobody answers")
        return store.emitted(*given, **named)

    return emitted
