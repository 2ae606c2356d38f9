"""Which rows cannot be, whoever brought them: one table of rules for every kind.

A rule is a stable word and the comparisons of which none may hold. From the same comparisons
derive a mask over columns (what a file brings is judged before it enters) and a condition in SQL
(reports judge what is stored), so both always agree. A value is judged once: what is null breaks
only the rule about nulls. Does not know which minutes a calendar expects (calendar.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bursa.model.batch import Batch, Block
from bursa.model.calendar import MINUTE_NS
from bursa.model.schema import INT_NULL, Column, Kind
from bursa.model.venue import Venue

# In the order in which they are asked: the first that a row breaks is its reason.
REASONS: dict[str, str] = {
    "null": "a column that must have a value has none (nothing, or NaN)",
    "infinite": "a number is infinite",
    "time": "the time lies before the venue's first day, or in the future",
    "off_minute": "a bar does not open on a whole minute",
    "price": "a price is not above 0",
    "high": "the high is below the open, the low, the close or the last price",
    "low": "the low is above the open, the close or the last price",
    "negative": "a volume, a value or a count is below 0",
}

GOOD = -1

_PRICES: dict[str, tuple[str, ...]] = {
    "ticks": ("price",),
    "quotes": ("bid", "ask"),
    "ohlcv": ("open", "high", "low", "close", "vwap"),
    "snapshot": ("prev", "open", "high", "low", "last", "bid", "ask"),
    "orderbook": ("prices",),
    "contracts": ("prev_close",),
}
_AMOUNTS: dict[str, tuple[str, ...]] = {
    "ticks": ("volume",),
    "quotes": ("bid_volume", "ask_volume"),
    "ohlcv": ("volume", "value", "trades", "bid_volume", "ask_volume", "rev"),
    "metrics": ("rev",),
    "snapshot": ("volume", "value", "trades", "bid_volume", "ask_volume"),
    "orderbook": ("volumes", "depth"),
    "index": ("value_traded",),
}
# What lies between low and high, where a kind has both.
_BETWEEN = {"ohlcv": ("open", "close"), "snapshot": ("open", "last")}
_BARS = ("ohlcv", "metrics")


@dataclass(frozen=True)
class Life:
    """The times that a venue's rows can bear: start <= ts < end, ns UTC.

    takes_back   a trade with a volume below 0 is good: it takes another one back
    """

    start_ns: int
    end_ns: int
    takes_back: bool = False


@dataclass(frozen=True)
class Comparison:
    """One thing that may not be. `left` is a column; `right` a column of the same dtype, or a
    number.

    test   `null`, `infinite`: of left alone; `<`, `<=`, `>=`: left to right, false where either is
           null; `%`: left is no multiple of right. Of a list column it is said of each element
    """

    left: str
    test: str
    right: str | int = 0


@dataclass(frozen=True)
class Rule:
    """Broken by a row of which any of the comparisons holds; `reason` is a key of REASONS."""

    reason: str
    comparisons: tuple[Comparison, ...]


def life(venue: Venue, now_ns: int) -> Life:
    """What rows of a venue can bear at an instant."""
    return Life(venue.calendar.midnight_ns(venue.since), now_ns + 1, venue.takes_back)


@lru_cache
def rules(kind: Kind, of: Life) -> tuple[Rule, ...]:
    """The rules for rows of a kind, in the order of REASONS; those that have nothing to say of it
    are left out."""
    name, columns = kind.name, kind.columns
    between = _BETWEEN.get(name, ())
    made = {
        "null": [Comparison(c.name, "null") for c in columns if not c.nullable],
        "infinite": [
            Comparison(c.name, "infinite") for c in columns if c.dtype in ("float", "floats")
        ],
        "time": [Comparison("ts", "<", of.start_ns), Comparison("ts", ">=", of.end_ns)],
        "off_minute": [Comparison("ts", "%", MINUTE_NS)] if name in _BARS else [],
        "price": [Comparison(price, "<=", 0) for price in _PRICES.get(name, ())],
        "high": [Comparison("high", "<", other) for other in (*between, "low") if between],
        "low": [Comparison(other, "<", "low") for other in between],
        "negative": [Comparison(amount, "<", 0) for amount in _AMOUNTS.get(name, ())],
    }
    if name == "ticks" and of.takes_back:
        made["negative"] = []
    if "ts" not in kind.index:
        made["time"] = []
    return tuple(Rule(reason, tuple(found)) for reason in REASONS if (found := made[reason]))


# Over columns


def judge(batch: Batch, of: Life) -> NDArray[np.int8]:
    """The place in REASONS of the first rule that each row breaks, GOOD where it breaks none.
    int8 (n,)."""
    columns = {column.name: batch.column(column.name) for column in batch.kind.scalars}
    return judge_columns(batch.kind, columns, of, batch.levels)


def judge_columns(
    kind: Kind, columns: Mapping[str, NDArray[Any]], of: Life, levels: Block | None = None
) -> NDArray[np.int8]:
    """As `judge`. `columns`: float64 for float columns, else int64 (schema.py), all of the same
    length; rules about columns that are not there are not asked. `levels` as in Batch."""
    rows = len(next(iter(columns.values()), ()))
    broken = np.full(rows, GOOD, np.int8)
    lists = {column.name for column in kind.lists}
    there = set(columns) | (lists if levels is not None else set())
    for reason in reversed(rules(kind, of)):
        mask = np.zeros(rows, bool)
        for one in reason.comparisons:
            if {one.left, one.right if isinstance(one.right, str) else one.left} <= there:
                if one.left in lists:
                    assert levels is not None, "list columns were counted as there"
                    mask |= _of_lists(kind, one, columns["depth"], levels)
                else:
                    mask |= _mask(_column(kind, one.left), one, columns)
        broken[mask] = _PLACES[reason.reason]
    return broken


def counts(broken: NDArray[np.int8]) -> dict[str, int]:
    """Reason -> how many rows `judge` gave it, in the order of REASONS; those of none left out."""
    return {word: count for word, at in _PLACES.items() if (count := int((broken == at).sum()))}


_PLACES = {reason: at for at, reason in enumerate(REASONS)}


def _column(kind: Kind, name: str) -> Column:
    return kind.columns[kind.index[name]]


def _mask(
    column: Column, one: Comparison, columns: Mapping[str, NDArray[Any]]
) -> NDArray[np.bool_]:
    """Of which rows a comparison holds."""
    left = columns[one.left]
    absent = _absent(column, left)
    if one.test == "null":
        return absent
    if one.test == "infinite":
        return np.isinf(left)
    if isinstance(one.right, str):
        right = columns[one.right]
        return _compare(left, one.test, right) & ~absent & ~_absent(column, right)
    return _compare(left, one.test, one.right) & ~absent


def _absent(column: Column, values: NDArray[Any]) -> NDArray[np.bool_]:
    if column.dtype in ("float", "floats"):
        return np.isnan(values)
    if column.dtype == "text":
        return np.asarray(values < 0)
    return np.asarray(values == INT_NULL)


def _compare(left: NDArray[Any], test: str, right: Any) -> NDArray[np.bool_]:
    if test == "<":
        return np.asarray(left < right)
    if test == "<=":
        return np.asarray(left <= right)
    if test == ">=":
        return np.asarray(left >= right)
    return np.asarray(left % right != 0)


def _of_lists(kind: Kind, one: Comparison, depth: NDArray[Any], levels: Block) -> NDArray[np.bool_]:
    """Of which rows a comparison holds for any level. depth (n,), levels (3, its sum)."""
    column = _column(kind, one.left)
    row = levels[kind.lists.index(column)]
    values = row.view(np.float64) if column.dtype == "floats" else row
    held = np.flatnonzero(_mask(column, one, {one.left: values}))
    whose = np.repeat(np.arange(len(depth)), np.maximum(depth, 0))
    mask = np.zeros(len(depth), bool)
    mask[whose[held]] = True
    return mask


# In SQL


def conditions(kind: Kind, of: Life) -> dict[str, str]:
    """Reason -> the condition, in the stores' SQL over a kind's columns, that holds for rows that
    break its rule; never null. A row can break several."""
    return {
        rule.reason: " or ".join(_sql(_column(kind, one.left), one) for one in rule.comparisons)
        for rule in rules(kind, of)
    }


def reason_sql(kind: Kind, of: Life) -> str:
    """An expression in SQL: the first rule that a row breaks (its word), null for a good row: what
    `judge` finds."""
    whens = " ".join(f"when {text} then '{word}'" for word, text in conditions(kind, of).items())
    return f"case {whens} end"


def _sql(column: Column, one: Comparison) -> str:
    """A comparison as a condition that is never null."""
    if column.dtype in ("floats", "ints"):
        element = _said("x", column.dtype.removesuffix("s"), one)
        some = f'len(list_filter("{column.name}", lambda x: {element})) > 0'
        absent = f'"{column.name}" is null or ' if one.test == "null" else ""
        return f"({absent}coalesce({some}, false))"
    return _said(f'"{column.name}"', column.dtype, one)


def _said(left: str, dtype: str, one: Comparison) -> str:
    if one.test == "null":
        return f"({left} is null{_NULLS.get(dtype, '').format(left)})"
    if one.test == "infinite":
        return f"coalesce(isinf({left}), false)"
    right = f'"{one.right}"' if isinstance(one.right, str) else str(one.right)
    said = f"{left} % {right} <> 0" if one.test == "%" else f"{left} {one.test} {right}"
    # The engine takes NaN for the greatest number, and -2**63 for a number.
    values = [left, right] if isinstance(one.right, str) else [left]
    guards = "".join(_THERE.get(dtype, "").format(value) for value in values)
    return f"coalesce({said}{guards}, false)"


_NULLS = {
    "float": " or isnan({})",
    "int": f" or {{}} = {INT_NULL}",
    "time": f" or {{}} = {INT_NULL}",
}
_THERE = {
    "float": " and not isnan({})",
    "int": f" and {{}} <> {INT_NULL}",
    "time": f" and {{}} <> {INT_NULL}",
}
