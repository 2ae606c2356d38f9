"""Stored metric rows beside computed ones: each kind of difference is found, told and put right."""

from collections.abc import Collection
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursa.jobs.fill import Amendment, amendment
from bursa.metrics.catalog import STANDARD
from bursa.model.batch import Batch, Words
from bursa.model.venue import IDX
from tests.fakes.store import FakeStore, Row, batch_of, rows_of
from tests.store.contract import KINDS, OPEN, VENUES, batch, metric, put

METRICS = STANDARD.kind
COLUMNS = tuple(column.name for column in METRICS.columns if column.dtype == "float")
RSI = ("rsi_14",)


def some(rows: list[Row], words: Words | None = None) -> Batch:
    """Rows with a dictionary of their own, in which the tickers have other numbers."""
    words = words or IDX.words()
    words.symbol_id("another")
    if rows:
        return batch(METRICS, rows, words)
    return batch_of(METRICS, rows, words, batch(METRICS, [metric("BBCA", 0)]).span)


def compared(
    computed: list[Row],
    stored: list[Row],
    columns: Collection[str] = COLUMNS,
    replace: bool = False,
) -> Amendment:
    return amendment(some(computed), some(stored[::-1]), columns, replace_differing=replace)


def key(row: Row) -> tuple[str, int, int]:
    return row["ticker"], row["ts"], row["rev"]


def after(stored: list[Row], found: Amendment) -> list[Row]:
    """What a store has that took the amendment."""
    store = FakeStore(VENUES, KINDS)
    if stored:
        put(store, some(stored))
    store.amend(found.gone, found.filled, found.fresh, found.columns)
    return sorted(rows_of(store.revisions("idx", "metrics", 0, 2**62)), key=key)


def counts(found: Amendment) -> dict[str, int]:
    tally = vars(found.tally).copy()
    del tally["columns"], tally["examples"], tally["computed"], tally["stored"]
    return {name: count for name, count in tally.items() if count}


def rows(count: int = 4, **values: Any) -> list[Row]:
    made = [
        metric(t, m, rsi_14=50.0 + m, ema_20=9.5, **values)
        for m in range(count)
        for t in ("BBCA", "TLKM")
    ]
    return sorted(made, key=key)


def test_what_is_the_same_is_left() -> None:
    found = compared(rows(), rows())
    assert counts(found) == {"equal": 8} and found.rows == 0
    assert found.tally.computed == found.tally.stored == 8


def test_absent_rows_are_written_whole_whatever_is_looked_at() -> None:
    found = compared(rows(), [], RSI)
    assert counts(found) == {"absent": 8} and found.tickers == {"BBCA", "TLKM"}
    assert after([], found) == rows()
    some_are = rows()[::2]
    found = compared(rows(), some_are, RSI)
    assert counts(found) == {"absent": 4, "equal": 4}
    assert after(some_are, found) == rows()


@pytest.mark.parametrize("replace", [False, True])
def test_nulls_are_filled_in_the_columns_that_are_looked_at(replace: bool) -> None:
    stored = [row | {"rsi_14": None, "ema_20": None} for row in rows()]
    found = compared(rows(), stored, RSI, replace)
    assert counts(found) == {"filled": 8} and found.columns == RSI
    assert not len(found.gone) and not len(found.fresh)
    assert after(stored, found) == [row | {"ema_20": None} for row in rows()]
    assert after(stored, compared(rows(), stored)) == rows()


def test_what_differs_is_told_and_left_unless_it_is_to_be_replaced() -> None:
    stored = rows()
    stored[1] = stored[1] | {"rsi_14": 99.0, "ema_20": None}
    stored[2] = stored[2] | {"known_at": 1}
    found = compared(rows(), stored)
    assert counts(found) == {"equal": 6, "filled": 1, "differing": 2}
    assert found.tally.columns == {"known_at": 1, "rsi_14": 1}
    by_column = {one.column: one for one in found.tally.examples}
    told = by_column["rsi_14"]
    assert (told.ticker, told.ts, told.rev) == key(stored[1])
    assert (told.stored, told.computed) == (99.0, 51.0)
    assert by_column["known_at"].stored == 1
    left = after(stored, found)
    assert left == [*stored[:1], stored[1] | {"ema_20": 9.5}, *stored[2:]]
    assert counts(compared(rows(), left)) == {"equal": 6, "differing": 2}
    put_right = compared(rows(), stored, replace=True)
    assert counts(put_right) == counts(found) | {"filled": 1}
    assert after(stored, put_right) == rows()
    # What is not looked at is no difference, but receive times and positions always are.
    assert counts(compared(rows(), stored, ("hd",))) == {"equal": 7, "differing": 1}


def test_a_stored_value_where_none_is_computed_differs() -> None:
    stored = [row | {"hd": 0.0} for row in rows()]
    assert counts(compared(rows(), stored)) == {"differing": 8}
    assert after(stored, compared(rows(), stored, replace=True)) == rows()


def test_rows_that_no_bar_gives_and_keys_that_are_there_twice_are_surplus() -> None:
    strange = [metric("ZZZZ", 1), metric("BBCA", 2, ts=OPEN + 1), metric("BBCA", 3, 7)]
    stored = [*rows(), *strange, rows()[3], rows()[3]]
    found = compared(rows(), stored)
    assert counts(found) == {"equal": 8, "surplus": 5} and found.rows == 0
    assert {key(row) for row in strange} <= {
        (one.ticker, one.ts, one.rev) for one in found.tally.examples
    }
    right = compared(rows(), stored, replace=True)
    assert after(stored, right) == rows()
    assert counts(compared(rows(), rows())) == {"equal": 8}


def revised() -> list[Row]:
    """One bar: rev 1 changes the one metric alone, rev 2 both, rev 3 the other alone."""
    values = [(50.0, 1.0), (50.0, 2.0), (51.0, 3.0), (52.0, 3.0)]
    return [
        metric("BBCA", 5, rev, rsi_14=rsi, ema_20=ema, position=700 + rev)
        for rev, (rsi, ema) in enumerate(values)
    ]


def without(made: list[Row], column: str) -> list[Row]:
    """What live would have written of these without a metric."""
    kept: list[Row] = []
    for row in made:
        now = row | {column: None, "rev": len(kept)}
        if not kept or any(now[name] != kept[-1][name] for name in COLUMNS):
            kept.append(now)
    return kept


@pytest.mark.parametrize("replace", [False, True])
def test_revisions_of_a_metric_that_was_added_later_move_those_behind_them(replace: bool) -> None:
    stored = without(revised(), "ema_20")
    assert [row["rev"] for row in stored] == [0, 1, 2]
    assert [row["position"] for row in stored] == [700, 702, 703]
    found = compared(rows() + revised(), rows() + stored, replace=replace)
    assert counts(found) == {"equal": 8, "filled": 3, "absent": 1}
    assert after(rows() + stored, found) == sorted(rows() + revised(), key=key)
    # Only hd is looked at: nothing is to be done.
    assert counts(compared(revised(), stored, ("hd",), replace)) == {"equal": 3}


@pytest.mark.parametrize("replace", [False, True])
def test_revisions_of_a_metric_that_is_no_more_are_good(replace: bool) -> None:
    computed = without(revised(), "ema_20")
    stored = [row | {"ema_20": None} for row in revised()]
    found = compared(computed, stored, replace=replace)
    assert counts(found) == {"equal": 4} and found.rows == 0


def test_a_row_copied_by_hand_as_a_later_revision_is_surplus() -> None:
    stored = [*rows(), rows()[0] | {"rev": 1, "position": 0}]
    assert counts(compared(rows(), stored)) == {"equal": 8, "surplus": 1}


def test_times_that_are_no_minutes_and_revisions_of_any_size_are_told_apart() -> None:
    strange = [metric("BBCA", 1, rev) for rev in (-5, 2**40, 2**62)]
    strange += [metric("BBCA", 1, ts=OPEN + step) for step in (1, 2, 2**40)]
    strange += [metric("BBCA", 1, ts=-(2**60))]
    found = compared(rows(), rows() + strange)
    assert counts(found) == {"equal": 8, "surplus": len(strange)}
    assert after(rows() + strange, compared(rows(), rows() + strange, replace=True)) == rows()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_any_damage_is_put_right_and_found_no_more(seed: int, twice: bool) -> None:
    chance = Random(seed)
    computed = sorted(
        (
            metric(
                t,
                m,
                rev,
                **{name: chance.choice((None, 1.5, -0.0, 2e9)) for name in COLUMNS},
                position=1000 * m + rev,
            )
            for t in ("BBCA", "TLKM")
            for m in range(5)
            for rev in range(chance.choice((1, 1, 2)))
        ),
        key=key,
    )
    stored = []
    for row in computed:
        what = chance.randrange(5)
        if what == 0:
            continue
        if what == 1:
            row = row | {chance.choice(COLUMNS): chance.choice((None, 3.25))}
        if what == 2:
            row = row | {"known_at": 5}
        stored += [row, row] if twice and chance.random() < 0.2 else [row]
    found = compared(computed, stored, replace=True)
    now = after(stored, found)
    again = compared(computed, now, replace=True)
    assert again.rows == 0 and counts(again) == {"equal": len(now)}
    kept = compared(computed, stored)
    assert counts(compared(computed, after(stored, kept))).keys() <= {
        "equal", "differing", "surplus",
    }  # fmt: skip
