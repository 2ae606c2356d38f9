"""A restart at any point, through a checkpoint's file, with metrics added and removed meanwhile,
gives the rows that an engine gives which always had those metrics."""

from collections.abc import Sequence
from datetime import date
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursa.journal import checkpoint, parts
from bursa.metrics import engine as engine_
from bursa.metrics import state
from bursa.metrics.catalog import STANDARD, Catalogue, catalogue
from bursa.metrics.engine import MetricEngine
from bursa.model import venue
from bursa.model.batch import Batch, Words
from bursa.model.lasting import Lasting
from bursa.model.venue import IDX
from bursa.ops.room import FileRoom, SparseRoom
from bursa.pipeline import warmup
from tests.metrics.bars import DAY, MINUTE, OPENING, Bar, batch, words
from tests.metrics.test_engine import streams

EXTRAS: tuple[list[str], ...] = (
    [],
    ["ema_3"],
    ["rsi_2", "ema_3"],
    ["sma_300", "macd_2_4_3", "rsi_2"],
)
Row = dict[str, Any]


def saved(engine: MetricEngine, vocabulary: Words, folder: Path, position: int) -> Path:
    found = {"engine": engine.snapshot(), "words": vocabulary.snapshot()}
    day = date(2026, 11, 20)
    return checkpoint.save(folder, position=position, epoch=1, day=day, signature="s", state=found)


def restarted(
    folder: Path, vocabulary: Words, of: Catalogue, before: Sequence[Bar]
) -> tuple[MetricEngine, tuple[str, ...]]:
    """An engine that goes on from the newest checkpoint; what that lacks comes from the bars."""
    found = checkpoint.load_newest(folder, 2**62, "s")
    assert found is not None
    engine = MetricEngine(IDX, vocabulary, of)
    lacking = engine.restore(found[1]["engine"])
    if lacking:
        # Stored bars have a dictionary of their own.
        theirs = Words(vocabulary.boards, vocabulary.channels)
        symbols = range(len(vocabulary.symbols))
        own = {n: theirs.symbol_id(vocabulary.symbols[n]) for n in reversed(symbols)}
        stored = [bar._replace(symbol=own[bar.symbol]) for bar in before]
        beside = engine.beside(lacking)
        assert warmup.take(beside, vocabulary, [batch(stored, theirs)])[0] == len(before)
        assert engine.join(beside, lacking)
    return engine, lacking


def rows(found: Batch) -> list[Row]:
    """Rows of metrics, whatever the catalogue; null is None."""
    names = [column.name for column in found.kind.columns]
    columns = [found.column(name).tolist() for name in names]
    return [
        {k: None if v != v else v for k, v in zip(names, row, strict=True)}
        for row in zip(*columns, strict=True)
    ]


def newest(found: Sequence[Row]) -> dict[tuple[int, int], Row]:
    return {(row["ticker"], row["ts"]): row for row in found}


def values(row: Row, of: Catalogue) -> list[Any]:
    return [row[name] for name in of.owner]


@settings(max_examples=20, deadline=None)
@given(streams(), st.lists(st.tuples(st.integers(0, 25), st.sampled_from(EXTRAS)), max_size=4))
def test_any_restart_with_any_change_of_the_catalogue(
    tmp_path_factory: pytest.TempPathFactory, bars: list[Bar], restarts: Any
) -> None:
    folder, vocabulary = tmp_path_factory.mktemp("checkpoints"), words(3)
    of, at = STANDARD, 0
    engine = MetricEngine(IDX, vocabulary, of)
    for number, (size, extra) in enumerate([*restarts, (len(bars), [])]):
        section = bars[at : at + size]
        found = rows(engine.push(batch(section, vocabulary)))
        always = MetricEngine(IDX, vocabulary, of)
        earlier = newest(rows(always.push(batch(bars[:at], vocabulary))))
        expected = rows(always.push(batch(section, vocabulary)))
        # Rows of bars that are new since the restart are the same in all; of older ones revs may
        # differ, since a metric that was not there then could not make one.
        fresh = [
            [r for r in each if (r["ticker"], r["ts"]) not in earlier] for each in (found, expected)
        ]
        assert fresh[0] == fresh[1]
        ours, theirs = newest(found), {**earlier, **newest(expected)}
        for key, row in ours.items():
            assert values(row, of) == values(theirs[key], of)
        at += size
        saved(engine, vocabulary, folder, number)
        of = catalogue(extra)
        engine, _ = restarted(folder, vocabulary, of, bars[:at])


def walk(days: int, symbols: int, bars_a_day: int) -> list[Bar]:
    random = np.random.default_rng(11)
    found: list[Bar] = []
    for day in range(days):
        for n in range(bars_a_day):
            for symbol in range(symbols):
                if random.random() < 0.7:
                    close = float(random.integers(90, 110))
                    volume = 100.0 * int(random.integers(1, 50))
                    ts = OPENING + day * DAY + n * MINUTE
                    found.append(Bar(ts, close, volume, symbol, position=len(found)))
    return found


def test_what_a_checkpoint_keeps_is_enough_to_go_on_with_all_of_it(tmp_path: Path) -> None:
    """Weeks of bars, so that windows by days and long averages are full; all that a checkpoint does
    not keep comes again to the bit."""
    bars, vocabulary = walk(32, 3, 20), words(3)
    engine = MetricEngine(IDX, vocabulary)
    cut = len(bars) - 200
    engine.push(batch(bars[:cut], vocabulary))
    saved(engine, vocabulary, tmp_path, 1)
    again, lacking = restarted(tmp_path, vocabulary, STANDARD, [])
    assert lacking == ()
    one, two = (e.push(batch(bars[cut:], vocabulary)) for e in (engine, again))
    np.testing.assert_array_equal(one.block, two.block)
    assert not np.isnan(one.column("relative_volume_tod")).all()
    states = [{k: v for k, v in e.snapshot().items() if k != "memory"} for e in (engine, again)]
    for name, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][name], err_msg=name)


def test_an_engine_that_rests_goes_on_as_if_it_had_not(tmp_path: Path) -> None:
    bars, vocabulary = walk(24, 3, 20), words(3)
    one, two = MetricEngine(IDX, vocabulary), MetricEngine(IDX, vocabulary)
    back = partial(parts.gather, tmp_path)
    cuts = [0, len(bars) - 90, len(bars) - 60, len(bars) - 30, len(bars)]
    for number, (start, end) in enumerate(pairwise(cuts)):
        rows_ = [e.push(batch(bars[start:end], vocabulary)) for e in (one, two)]
        np.testing.assert_array_equal(rows_[0].block, rows_[1].block)
        two.rest(partial(parts.lay, tmp_path), back)
        two.rest(partial(parts.lay, tmp_path), back)  # it does already
        two.set_gates(two.gates)
        vocabulary.symbol_id(f"NEW{number}")
        two.push(batch([], vocabulary))
        assert isinstance(two.snapshot()["memory"], parts.Laid)
        saved(two, vocabulary, tmp_path, number)
        again, lacking = restarted(tmp_path, vocabulary, STANDARD, [])
        assert lacking == ()
        if number == 1:
            two = again
    lost = sorted((tmp_path / "parts").iterdir())
    for path in lost:
        path.unlink()
    with pytest.raises(OSError, match="lost from the disk"):
        two.push(batch(bars[-1:], vocabulary))


@pytest.mark.parametrize("sparse", [True, False])
def test_an_engine_whose_memory_lies_elsewhere_gives_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sparse: bool
) -> None:
    """Also where it grows, and where it goes on from a checkpoint."""
    monkeypatch.setattr(engine_, "_SPARED", 40)
    monkeypatch.setattr(parts, "_SPARED", 3)
    bars, vocabulary = walk(24, 3, 20), words(3)
    room = SparseRoom() if sparse else FileRoom(tmp_path)
    one, two = MetricEngine(IDX, vocabulary), MetricEngine(IDX, vocabulary, room=room)
    for number, (start, end) in enumerate(pairwise([0, 40, len(bars) - 60, len(bars)])):
        rows_ = [e.push(batch(bars[start:end], vocabulary)) for e in (one, two)]
        np.testing.assert_array_equal(rows_[0].block, rows_[1].block)
        for n in range(300):
            vocabulary.symbol_id(f"NEW{number}-{n}")
    assert not np.isnan(rows_[0].column("relative_volume_tod")).all()
    saved(two, vocabulary, tmp_path, 1)
    found = checkpoint.load_newest(tmp_path, 1, "s", gathers=False)
    assert found is not None
    part = found[1]["engine"]
    again = MetricEngine(IDX, vocabulary, room=room)
    part["memory"] = parts.gather(tmp_path, part["memory"], room=room)
    assert again.restore(part) == ()
    vocabulary.symbol_id("ONE_MORE")
    later = [bar._replace(ts=bar.ts + DAY) for bar in bars[-60:]]
    rows_ = [e.push(batch(later, vocabulary)) for e in (one, again)]
    np.testing.assert_array_equal(rows_[0].block, rows_[1].block)


def test_an_engine_without_room_to_rest_stays_as_it_is() -> None:
    bars, vocabulary = walk(2, 3, 10), words(3)
    engine, other = MetricEngine(IDX, vocabulary), MetricEngine(IDX, vocabulary)
    engine.push(batch(bars[:-9], vocabulary))

    def full(array: Lasting) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        engine.rest(full, lambda held: None)
    other.push(batch(bars[:-9], vocabulary))
    one, two = (e.push(batch(bars[-9:], vocabulary)) for e in (engine, other))
    np.testing.assert_array_equal(one.block, two.block)


@pytest.mark.parametrize("kept", [[0], [1, 2], []])
def test_a_state_of_some_symbols_alone(tmp_path: Path, kept: list[int]) -> None:
    bars, vocabulary = walk(24, 3, 20), words(3)
    engine = MetricEngine(IDX, vocabulary)
    cut = len(bars) - 100
    engine.push(batch(bars[:cut], vocabulary))
    saved(engine, vocabulary, tmp_path, 1)
    found = checkpoint.load_newest(tmp_path, 1, "s", gathers=False)
    assert found is not None
    part = state.only(found[1]["engine"], np.array(kept, np.int64))
    part["memory"] = parts.gather(tmp_path, part["memory"], rows=np.array(kept, np.int64))
    again = MetricEngine(IDX, vocabulary)
    assert again.restore(part) == ()
    assert np.flatnonzero(again.snapshot()["bars"]).tolist() == kept
    ours = [bar for bar in bars[cut:] if bar.symbol in kept]
    whole = engine.push(batch(bars[cut:], vocabulary))
    expected = whole.block[:, np.isin(whole.column("ticker"), kept)]
    np.testing.assert_array_equal(again.push(batch(ours, vocabulary)).block, expected)


def test_lost_parts_make_their_metrics_lacking_and_no_others(tmp_path: Path) -> None:
    bars, vocabulary = walk(24, 3, 20), words(3)
    engine = MetricEngine(IDX, vocabulary)
    cut = len(bars) - 100
    engine.push(batch(bars[:cut], vocabulary))
    saved(engine, vocabulary, tmp_path, 1)
    sorted((tmp_path / "parts").iterdir())[0].unlink()
    again, lacking = restarted(tmp_path, vocabulary, STANDARD, bars[:cut])
    assert lacking == ("relative_volume_tod",)
    one, two = (e.push(batch(bars[cut:], vocabulary)) for e in (engine, again))
    np.testing.assert_array_equal(one.block, two.block)


def test_what_is_read_of_the_memory_after_the_rest_may_be_a_day_newer() -> None:
    """A checkpoint is read while the engine goes on; but not for longer than a day of bars."""
    bars, vocabulary = walk(26, 3, 20), words(3)
    engine = MetricEngine(IDX, vocabulary)
    cut = next(n for n, bar in enumerate(bars) if bar.ts >= OPENING + 24 * DAY + 7 * MINUTE)
    engine.push(batch(bars[:cut], vocabulary))
    taken = engine.snapshot()
    day = next(n for n, bar in enumerate(bars) if bar.ts > bars[cut].ts + DAY - MINUTE)
    expected = engine.push(batch(bars[cut:day], vocabulary))
    assert taken["memory"].holds()
    again = MetricEngine(IDX, vocabulary)
    assert again.restore(taken) == ()
    found = again.push(batch(bars[cut:day], vocabulary))
    np.testing.assert_array_equal(found.block, expected.block)
    engine.push(batch([bars[-1]._replace(ts=bars[-1].ts + DAY)], vocabulary))
    assert not taken["memory"].holds()


def test_bars_that_are_not_those_of_the_checkpoint_are_not_joined() -> None:
    bars, vocabulary = walk(2, 3, 10), words(3)
    engine = MetricEngine(IDX, vocabulary)
    engine.push(batch(bars, vocabulary))
    wider = MetricEngine(IDX, vocabulary, catalogue(["ema_3"]))
    assert wider.restore(engine.snapshot()) == ("ema_3",)
    beside = wider.beside(["ema_3"])
    beside.push(batch(bars[1:], vocabulary))
    assert not wider.join(beside, ["ema_3"])


def test_a_metric_of_another_version_and_those_that_read_it_are_lacking() -> None:
    bars, vocabulary = walk(2, 3, 10), words(3)
    engine = MetricEngine(IDX, vocabulary)
    engine.push(batch(bars, vocabulary))
    older = dict(engine.snapshot())
    read = STANDARD.metrics["vwap"].signature
    older["metrics"] = ["older" if name == read else name for name in older["metrics"]]
    _, lacking = state.arranged(older, STANDARD.ordered(), IDX)
    assert set(lacking) == {"vwap", "vwap_distance"}


def test_a_checkpoint_of_other_hours_lacks_what_was_laid_out_by_them(tmp_path: Path) -> None:
    """An operator's calendar with a longer day: rows of minutes would lie elsewhere, or too far."""
    bars, vocabulary = walk(3, 3, 10), words(3)
    engine = MetricEngine(IDX, vocabulary)
    engine.push(batch(bars, vocabulary))
    saved(engine, vocabulary, tmp_path, 1)
    longer = """
    [[hours]]
    since = 2027-01-04
    weekdays = ["mon", "tue", "wed", "thu", "fri"]
    source = "a test"
    expected_until = "20:00"
    phases = [{ name = "1", state = "1", from = "06:00", to = "21:00", trading = true, grid = true }]
    """  # noqa: E501
    venue.amend("idx", longer, "own.toml")
    try:
        again, lacking = restarted(tmp_path, vocabulary, STANDARD, bars)
        assert "relative_volume_tod" in lacking
        memory = {name for name, m in STANDARD.metrics.items() if m.memory is not None}
        assert memory <= set(lacking)
        fresh = MetricEngine(IDX, vocabulary)
        fresh.push(batch(bars, vocabulary))
        more = [bar._replace(ts=bar.ts + 30 * DAY) for bar in bars]
        found, expected = (rows(each.push(batch(more, vocabulary))) for each in (again, fresh))
        assert [values(row, STANDARD) for row in found] == [
            values(row, STANDARD) for row in expected
        ]
    finally:
        venue.amend("idx", "", "")
