"""The engine: revisions equal a run from scratch, and no cut or restart changes a bit."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursa.bars import build
from bursa.metrics import engine, kernel
from bursa.metrics.catalog import STANDARD
from bursa.metrics.engine import MetricEngine
from bursa.model.errors import Refuse
from bursa.model.venue import IDX
from tests.metrics.bars import MINUTE, OPENING, Bar, at, batch, rows, words
from tests.metrics.plain import OUTPUTS, from_scratch


def test_bars_and_metrics_agree_on_how_long_a_bar_can_be_revised() -> None:
    assert engine.REVISABLE_S == build.REVISABLE_S


def test_a_row_bears_what_its_bar_bears() -> None:
    vocabulary = words()
    bar = Bar(at("09:05"), 10, symbol=2, known_at=77, position=88)
    (row,) = rows(MetricEngine(IDX, vocabulary).push(batch([bar], vocabulary)))
    assert [row[k] for k in ("ticker", "freq", "ts", "rev")] == [2, 0, bar.ts, 0]
    assert [row[k] for k in ("known_at", "ts_recv", "position")] == [77, bar.ts + 5, 88]
    assert [row[name] for name in OUTPUTS] == [None, None, 0.0, 100.0, 100.0, 0.0]


def brief(found: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(r["ts"], r["rev"], r["hd_mapo"]) for r in found]


def test_a_revised_bar_runs_its_symbol_again_from_there() -> None:
    vocabulary = words()
    found = MetricEngine(IDX, vocabulary)
    minutes = [at("09:05") + n * MINUTE for n in range(3)]
    found.push(batch([Bar(m, 10, 100) for m in minutes], vocabulary))
    found.push(batch([Bar(minutes[0], 99, 5, symbol=1)], vocabulary))
    revised = batch([Bar(minutes[1], 9, 100, rev=1, known_at=7, position=8)], vocabulary)
    again = rows(found.push(revised))
    expected = from_scratch([Bar(minutes[0], 10), Bar(minutes[1], 9), Bar(minutes[2], 10)])
    assert brief(again) == [(minutes[n], 1, expected[n]["hd_mapo"]) for n in (1, 2)]
    assert {(r["known_at"], r["position"]) for r in again} == {(7, 8)}
    assert [r["ts_recv"] for r in again] == [m + 5 for m in minutes[1:]]
    revised = batch([Bar(minutes[1], 9, 100, rev=2, final=1)], vocabulary)
    assert rows(found.push(revised)) == []  # the same content gives no row


@pytest.mark.parametrize("count", [40, 200])
def test_a_bar_too_old_to_be_revised_is_refused_with_its_name(count: int) -> None:
    """However far back: bars that were altered by hand in the store."""
    vocabulary = words()
    found = MetricEngine(IDX, vocabulary)
    minutes = [at("09:05") + n * MINUTE for n in range(count)]
    found.push(batch([Bar(m, 10, 100, final=1) for m in minutes], vocabulary))
    for ts in (minutes[0], minutes[0] - MINUTE, minutes[3]):
        old = batch([Bar(ts, 9, 100, rev=1, position=88)], vocabulary)
        name = vocabulary.symbols[0]
        with pytest.raises(Refuse, match=f"bar of {name} that opens at 20.* position 88") as no:
            found.push(old)
        assert no.value.code == "bad_bars"


def test_a_late_bar_is_put_where_it_belongs() -> None:
    vocabulary = words()
    found = MetricEngine(IDX, vocabulary)
    minutes = [at("09:05") + n * MINUTE for n in range(3)]
    found.push(batch([Bar(minutes[0], 10), Bar(minutes[2], 11)], vocabulary))
    late = rows(found.push(batch([Bar(minutes[1], 12)], vocabulary)))
    expected = from_scratch([Bar(minutes[0], 10), Bar(minutes[1], 12), Bar(minutes[2], 11)])
    assert brief(late) == [
        (minutes[1], 0, expected[1]["hd_mapo"]),
        (minutes[2], 1, expected[2]["hd_mapo"]),
    ]
    first = rows(found.push(batch([Bar(minutes[0] - MINUTE, 20)], vocabulary)))
    assert [(r["ts"], r["rev"]) for r in first[:2]] == [(minutes[0] - MINUTE, 0), (minutes[0], 1)]


@pytest.mark.parametrize("count", [15, 16, 17, 32, 100])
def test_bars_not_final_are_kept_however_many_they_are(count: int) -> None:
    """At a file's end a lagging channel can leave many open bars; each is revised later."""
    vocabulary = words()
    found = MetricEngine(IDX, vocabulary)
    minutes = [at("09:05") + n * MINUTE for n in range(count)]
    found.push(batch([Bar(m, 10 + n % 3, final=0) for n, m in enumerate(minutes)], vocabulary))
    again = rows(found.push(batch([Bar(minutes[0], 10, 900, rev=1)], vocabulary)))
    assert [r["ts"] for r in again] == minutes
    expected = from_scratch(
        [Bar(m, 10 + n % 3, 900 if n == 0 else 100) for n, m in enumerate(minutes)]
    )
    assert [r["hd_mapo"] for r in again] == [row["hd_mapo"] for row in expected]


def test_more_symbols_than_there_was_room_for() -> None:
    vocabulary = words(1)
    found = MetricEngine(IDX, vocabulary)
    found.push(batch([Bar(at("09:05"), 10)], vocabulary))
    for number in range(5000):
        vocabulary.symbol_id(f"X{number}")
    bars = [Bar(at("09:06"), 11, symbol=s) for s in range(5001)]
    mapo = [r["hd_mapo"] for r in rows(found.push(batch(bars, vocabulary)))]
    assert mapo == [100 + (200 - 100) * 2 / 21] + [100.0] * 5000


def test_nothing_is_compiled_after_warming_up() -> None:
    vocabulary = words()
    found = MetricEngine(IDX, vocabulary)
    found.warm()
    found.push(batch([Bar(at("09:05"), 10)], vocabulary))
    found.restore(found.snapshot())
    found.push(batch([Bar(at("09:06"), 10)], vocabulary))
    assert len(kernel.run.signatures) == 1


@st.composite
def streams(draw: st.DrawFn) -> list[Bar]:
    """Bars in order of emission, as the builder sends them: new ones in order of time, and in
    between revised and late ones of the last eight minutes."""
    now = at("09:00") + draw(st.integers(0, 390)) * MINUTE
    known: dict[tuple[int, int], int] = {}
    found: list[Bar] = []
    for number in range(draw(st.integers(1, 60))):
        now += draw(st.sampled_from([0, 1, 1, 1, 1, 2, 5, 40, 1440])) * MINUTE
        back = draw(st.sampled_from([0, 0, 0, 0, 0, 0, 1, 2, 3, 5, 7])) * MINUTE
        ts, symbol = now - back, draw(st.integers(0, 2))
        rev = known[symbol, ts] = known.get((symbol, ts), -1) + 1
        close, volume = draw(st.integers(8, 12)), 100.0 * draw(st.integers(0, 5))
        final = draw(st.sampled_from([1, 1, 1, 0]))
        found.append(Bar(ts, close, volume, symbol, rev, final, number, 10 * number))
    return found


def pushed(bars: list[Bar], sizes: list[int], restarts: bool) -> list[dict[str, Any]]:
    vocabulary = words(3)
    found = MetricEngine(IDX, vocabulary)
    out: list[dict[str, Any]] = []
    start = 0
    for size in [*sizes, len(bars)]:
        out += rows(found.push(batch(bars[start : start + size], vocabulary)))
        start += size
        if restarts:
            state = found.snapshot()
            # What the old one goes on with must not reach `state`: a revision, a late bar.
            known = bars[:start][-1:]
            other = [bar._replace(close=77.0, volume=7.0) for bar in known]
            other += [bar._replace(ts=bar.ts + MINUTE // 2) for bar in known]
            found.push(batch(other, vocabulary))
            found = MetricEngine(IDX, vocabulary)
            found.restore(state)
    return out


@settings(max_examples=150, deadline=None)
@given(streams(), st.lists(st.integers(0, 20), max_size=6), st.booleans())
def test_any_stream_cut_and_restart_ends_where_a_run_from_scratch_does(
    bars: list[Bar], sizes: list[int], restarts: bool
) -> None:
    whole = pushed(bars, [], restarts=False)
    assert pushed(bars, sizes, restarts) == whole
    newest: dict[tuple[int, int], dict[str, Any]] = {}
    for row in whole:
        key = row["ticker"], row["ts"]
        rev = newest[key]["rev"] + 1 if key in newest else 0
        assert row["rev"] == rev
        if rev:
            every = STANDARD.owner
            assert [row[k] for k in every] != [newest[key][k] for k in every]
        newest[key] = row
    for symbol in range(3):
        content = {bar.ts: bar for bar in bars if bar.symbol == symbol}
        ordered = [content[ts] for ts in sorted(content)]
        for bar, expected in zip(ordered, from_scratch(ordered), strict=True):
            row = newest[symbol, bar.ts]
            for name in OUTPUTS:
                theirs = expected[name]
                if theirs is None:
                    assert row[name] is None
                else:
                    assert abs(row[name] - theirs) <= 1e-9 * max(abs(theirs), 1e-9)


def test_a_batch_longer_than_the_kernels_list_of_steps() -> None:
    vocabulary = words(3)
    random = np.random.default_rng(5)
    bars = [
        Bar(OPENING + n // 3 * MINUTE, float(random.integers(90, 99)), 100.0, n % 3)
        for n in range(20_000)
    ]
    whole = MetricEngine(IDX, vocabulary).push(batch(bars, vocabulary))
    pieces = MetricEngine(IDX, vocabulary)
    found = [
        pieces.push(batch(bars[n : n + 97], vocabulary)).block for n in range(0, len(bars), 97)
    ]
    np.testing.assert_array_equal(np.concatenate(found, axis=1), whole.block)
