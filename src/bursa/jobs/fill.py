"""Stored metric rows beside those that the bars give: what is missing, null, or not the same.

Rows are told apart by (ticker, ts, rev). What the bars give and the store lacks is *absent*; a null
where a value is computed is to be *filled*; any other difference is *differing*; a stored row that
the bars do not give, or a key that is there twice, is *surplus*.

A metric that was added later may have revised a bar of which no other metric had anything to say:
then all later revisions of that bar bear another rev now. So where the numbers of revisions differ,
both sides are looked at without the columns that are null in the store, revisions that say the same
made one: if that leaves the same rows, the stored ones are to be filled, or, where no column is
null, are good as they are (they tell of a metric that is no more). Pure; reads and writes nothing
(backfill.py does).
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bursa.model.batch import Batch, Block, Words
from bursa.model.calendar import MINUTE_NS
from bursa.model.schema import Kind

EXAMPLES_MAX = 5
_BESIDE = ("known_at", "ts_recv", "position")
# Bits of a packed key: ticker, ts (in minutes, or by rank), rev.
_TICKER_BITS, _TS_BITS, _REV_BITS = 20, 28, 15
_NAN = int(np.array([np.nan]).view(np.int64)[0])

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Difference:
    """One value that is not the same; of a row that is surplus there is no column."""

    ticker: str
    ts: int
    rev: int
    column: str = ""
    stored: float | None = None
    computed: float | None = None


@dataclass
class Tally:
    """Rows: `computed` and `stored` ones, those equal, absent, filled (in part), differing,
    surplus. A row may be filled and differ."""

    computed: int = 0
    stored: int = 0
    equal: int = 0
    absent: int = 0
    filled: int = 0
    differing: int = 0
    surplus: int = 0
    columns: dict[str, int] = field(default_factory=dict)
    """Column -> values that differ in it."""
    examples: list[Difference] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Count what another one has."""
        for name in ("computed", "stored", "equal", "absent", "filled", "differing", "surplus"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name, count in other.columns.items():
            self.columns[name] = self.columns.get(name, 0) + count
        self.examples = (self.examples + other.examples)[:EXAMPLES_MAX]


@dataclass(frozen=True)
class Amendment:
    """What ports.Store.amend takes to put the stored rows right, and what was found. All batches
    have the words of the computed rows."""

    gone: Batch
    filled: Batch
    fresh: Batch
    columns: tuple[str, ...]
    tally: Tally

    @property
    def rows(self) -> int:
        """Rows that change."""
        return max(len(self.gone), len(self.fresh)) + len(self.filled)

    @property
    def tickers(self) -> set[str]:
        """Whose rows change."""
        batches = (self.gone, self.filled, self.fresh)
        ids = np.concatenate([b.block[b.kind.index["ticker"]] for b in batches])
        return {self.fresh.words.symbols[i] for i in np.unique(ids).tolist()}


def amendment(
    computed: Batch, stored: Batch, columns: Collection[str], *, replace_differing: bool
) -> Amendment:
    """Compare rows of one stretch of time, all revisions of both sides.

    columns            outputs that are looked at; a row that is absent is written with all
    replace_differing  what differs is put right too, and what is surplus taken away
    """
    symbols = _symbols(stored, computed.words)
    sides = _Sides(computed.kind, computed.block, stored.block, symbols)
    whole, good = _shifted(sides, columns)
    moved_c, moved_s = (np.isin(group, whole) for group in (sides.c_group, sides.s_group))
    fine_c, fine_s = (np.isin(group, good) for group in (sides.c_group, sides.s_group))
    pairs = _Pairs(sides, ~(moved_c | fine_c), ~(moved_s | fine_s), columns)
    tally = _tally(sides, pairs, computed.words)
    tally.filled += int(moved_s.sum())
    tally.absent += int(moved_c.sum()) - int(moved_s.sum())
    tally.equal += int(fine_s.sum())

    fill, gone_s, fresh_c = pairs.fill, moved_s, moved_c | pairs.absent
    if replace_differing:
        # A key that is there twice goes with all its rows, and comes again.
        again = pairs.bad | np.isin(sides.c_key[pairs.c], sides.s_key[pairs.surplus])
        gone_s = gone_s | pairs.surplus
        gone_s[pairs.s[again]] = True
        fresh_c[pairs.c[again]] = True
        fill = fill & ~again
    taken = [column for column in pairs.looked if (pairs.nulls[column] & fill).any()]
    fresh = np.flatnonzero(fresh_c)
    fresh = fresh[np.argsort(sides.c_key[fresh])]  # as closed days lie
    gone_at = np.flatnonzero(gone_s)
    blocks = sides.stored(gone_at), pairs.filled(sides, fill, taken), sides.c[:, fresh]
    gone, filled, new = (replace(computed, block=np.ascontiguousarray(b)) for b in blocks)
    return Amendment(gone, filled, new, tuple(computed.kind.columns[c].name for c in taken), tally)


class _Sides:
    """Two blocks of metric rows, computed and stored, and their packed keys. `symbols` are the
    tickers of the stored rows in the dictionary of the computed ones."""

    def __init__(self, kind: Kind, c: Block, s: Block, symbols: Block) -> None:
        self.kind, self.c, self.s, self.symbols = kind, c, s, symbols
        self.outputs = [kind.index[one.name] for one in kind.columns if one.dtype == "float"]
        self.beside = [kind.index[name] for name in _BESIDE]
        ticker = np.concatenate((c[kind.index["ticker"]], symbols))
        ts, rev = (np.concatenate((c[kind.index[n]], s[kind.index[n]])) for n in ("ts", "rev"))
        assert ticker.max(initial=0) < 1 << _TICKER_BITS, "symbols fit into a key"
        group = (ticker << _TS_BITS) | _small(ts, MINUTE_NS, _TS_BITS)
        key = (group << _REV_BITS) | _small(rev, 1, _REV_BITS)
        n = c.shape[1]
        self.c_group, self.s_group = group[:n], group[n:]
        self.c_key, self.s_key = key[:n], key[n:]

    def stored(self, at: Block) -> Block:
        """Some stored rows, copied, with the tickers of the dictionary of the computed ones."""
        block = self.s[:, at]
        block[self.kind.index["ticker"]] = self.symbols[at]
        return block


def _small(values: Block, unit: int, bits: int) -> Block:
    """Numbers of so few bits that sort as the values do: whole units from the smallest, else
    ranks."""
    if not len(values):
        return values
    least = int(values.min())
    if (int(values.max()) - least) // unit < 1 << bits:
        steps, rest = np.divmod(values - least, unit)
        if not rest.any():
            return steps
    ranks = np.unique(values, return_inverse=True)[1]
    assert ranks.max() < 1 << bits, "one stretch has so few of them"
    return ranks.astype(np.int64)


class _Pairs:
    """Which computed row is which stored one, and how they differ; rows not in `rest` are left
    out.

    c, s              indexes of the rows of each pair
    absent, surplus   masks over the computed and over the stored rows
    fill, bad         masks over the pairs: a null that is looked at, another difference
    nulls, others     column -> mask over the pairs
    """

    def __init__(self, sides: _Sides, rest_c: Mask, rest_s: Mask, columns: Collection[str]) -> None:
        order = np.argsort(sides.s_key, kind="stable")
        order = order[rest_s[order]]
        keys = sides.s_key[order]
        place = np.searchsorted(keys, sides.c_key)
        found = np.zeros(len(place), np.bool_)
        inside = place < len(keys)
        found[inside] = keys[place[inside]] == sides.c_key[inside]
        found &= rest_c
        self.c, self.s = np.flatnonzero(found), order[place[found]]
        self.absent, self.surplus = rest_c & ~found, rest_s.copy()
        self.surplus[self.s] = False
        self.looked = [at for at in sides.outputs if sides.kind.columns[at].name in columns]
        self.nulls: dict[int, Mask] = {}
        self.others: dict[int, Mask] = {}
        for column in (*sides.beside, *self.looked):
            self._judge(sides, column)
        self.fill, self.bad = (_any(of, len(self.c)) for of in (self.nulls, self.others))

    def _judge(self, sides: _Sides, column: int) -> None:
        here, there = sides.c[column][self.c], sides.s[column][self.s]
        differs, none = here != there, np.zeros(len(here), np.bool_)
        self.nulls[column], self.others[column] = none, differs
        if differs.any() and column not in sides.beside:
            null = np.isnan(there.view(np.float64))
            self.nulls[column] = null & ~np.isnan(here.view(np.float64))
            self.others[column] = differs & ~null

    def filled(self, sides: _Sides, fill: Mask, columns: Collection[int]) -> Block:
        """The stored rows of some pairs, with what they lack of these columns."""
        block = sides.stored(self.s[fill])
        for column in columns:
            lacks = self.nulls[column][fill]
            block[column][lacks] = sides.c[column][self.c[fill]][lacks]
        return block


def _any(masks: Mapping[int, Mask], size: int) -> Mask:
    found = np.zeros(size, np.bool_)
    for mask in masks.values():
        found |= mask
    return found


def _tally(sides: _Sides, pairs: _Pairs, words: Words) -> Tally:
    found = Tally(
        computed=sides.c.shape[1],
        stored=sides.s.shape[1],
        equal=len(pairs.c) - int((pairs.fill | pairs.bad).sum()),
        absent=int(pairs.absent.sum()),
        filled=int(pairs.fill.sum()),
        differing=int(pairs.bad.sum()),
        surplus=int(pairs.surplus.sum()),
    )

    def example(row: int, column: int | None, computed: int) -> Difference:
        ts, rev = (int(sides.s[sides.kind.index[name], row]) for name in ("ts", "rev"))
        ticker = words.symbols[sides.symbols[row]]
        if column is None:
            return Difference(ticker, ts, rev)
        name = sides.kind.columns[column].name
        sort = np.float64 if column in sides.outputs else np.int64
        values = sides.s[column].view(sort)[row], sides.c[column].view(sort)[computed]
        stored, other = (None if value != value else value.item() for value in values)
        return Difference(ticker, ts, rev, name, stored, other)

    for column, mask in pairs.others.items():
        at = np.flatnonzero(mask)
        if len(at):
            found.columns[sides.kind.columns[column].name] = len(at)
        for pair in at[: EXAMPLES_MAX - len(found.examples)].tolist():
            found.examples.append(example(pairs.s[pair], column, pairs.c[pair]))
    for row in np.flatnonzero(pairs.surplus)[: EXAMPLES_MAX - len(found.examples)].tolist():
        found.examples.append(example(row, None, 0))
    return found


def _shifted(sides: _Sides, columns: Collection[str]) -> tuple[Block, Block]:
    """Groups whose revisions are others than the stored ones only because of metrics that one side
    does not know: those to be written anew as a whole, and those good as they are."""
    c_groups, c_counts = np.unique(sides.c_group, return_counts=True)
    s_groups, s_counts = np.unique(sides.s_group, return_counts=True)
    both, c_at, s_at = np.intersect1d(c_groups, s_groups, True, return_indices=True)
    both = both[c_counts[c_at] != s_counts[s_at]]
    found: dict[bool, list[int]] = {True: [], False: []}
    if not len(both):
        return both, both
    rows_c, rows_s = _rows_of(sides.c_group, sides.c_key), _rows_of(sides.s_group, sides.s_key)
    for group in both.tolist():
        c, s = sides.c[:, rows_c(group)], sides.s[:, rows_s(group)]
        lacking = _explained(sides, c, s)
        if lacking is not None:
            looked = any(sides.kind.columns[column].name in columns for column in lacking)
            found[looked].append(group)
    return np.array(found[True], np.int64), np.array(found[False], np.int64)


def _rows_of(groups: Block, keys: Block) -> Callable[[int], Block]:
    """What gives the indexes of a group's rows, by rev."""
    order = np.argsort(keys, kind="stable")
    ordered = groups[order]

    def rows(group: int) -> Block:
        low, high = np.searchsorted(ordered, [group, group + 1])
        return order[low:high]

    return rows


def _explained(sides: _Sides, c: Block, s: Block) -> list[int] | None:
    """The columns that the stored rows of one group lack, where that explains why their revisions
    are others; [] where they have revisions of a metric that is no more; None where nothing
    explains it."""
    rev, position = (s[sides.kind.index[name]] for name in ("rev", "position"))
    if (np.diff(rev) <= 0).any() or (np.diff(position) < 0).any():
        return None
    nan_c, nan_s = (np.isnan(rows[sides.outputs].view(np.float64)) for rows in (c, s))
    lacks = nan_s.all(axis=1) & ~nan_c.all(axis=1)
    lacking = [sides.outputs[at] for at in np.flatnonzero(lacks).tolist()]
    known = [column for column in sides.outputs if column not in lacking]
    here, there = (_less_said_twice(rows, known, sides.beside) for rows in (c, s))
    return lacking if np.array_equal(here, there) else None


def _less_said_twice(rows: Block, known: Collection[int], beside: Collection[int]) -> Block:
    """Some columns of one bar's revisions, without those that say the same as the one before."""
    values = rows[list(known)]
    values[np.isnan(values.view(np.float64))] = _NAN
    more = np.append(True, (values[:, 1:] != values[:, :-1]).any(axis=0))
    return np.concatenate((values, rows[list(beside)]))[:, more]


def _symbols(stored: Batch, words: Words) -> Block:
    """The tickers of rows in another dictionary, which learns those it lacks."""
    ids, place = np.unique(stored.block[stored.kind.index["ticker"]], return_inverse=True)
    known = [words.symbol_id(stored.words.symbols[one] if one >= 0 else "") for one in ids.tolist()]
    return np.array(known, np.int64)[place]
