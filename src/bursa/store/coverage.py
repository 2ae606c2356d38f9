# ruff: noqa: S608 -- names come from the schema and the venues' tables, values are parameters
"""Which minutes have bars, kept as bits beside the hot tables, so that ten years are one query.

`{venue}_coverage` has a row for each ticker, day and word (model/covered.py) with a bar; rows
without a ticker tell when the feed spoke at all: the minutes with a bar of anybody that came live.
`bursa_covered` has a row for each day that was entered, and what of it was. A day is entered when
it is drained (`cover`), and again when it is drained anew. What lies in the hot tables is looked at
as well, so that nothing waits for the drain; cold days that nobody entered, too.

A bar counts where its newest revision breaks no rule (model/validate.py) and has a trade; one that
breaks a rule is faulty, which is not the same as none. What lies hot of a minute is newer than what
was entered or is cold of it.
"""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np

from bursa.model.calendar import MINUTE_NS
from bursa.model.covered import WORDS, Coverage, Covered, Days, none
from bursa.model.schema import OHLCV
from bursa.model.validate import Life, conditions
from bursa.model.venue import Venue
from bursa.store.engine import POINT, RANGE, WHOLE

# One row a day that was entered; rows and position: how many there were, and of the newest.
COVERED_TABLE = "bursa_covered"
ANYBODY = ""

_OHLCV = OHLCV.name
_EPOCH = date(1970, 1, 1)
_MUST = ("open", "high", "low", "close", "volume")
_FOREVER_NS = 1 << 62

T = TypeVar("T")


class Readable(Protocol):
    """Stored bars, of whichever tier."""

    def steady(
        self,
        venue: str,
        kind: str,
        within: tuple[int, int],
        limit: str,
        read: Callable[[Any, str], T],
    ) -> T:
        """What `read` of a cursor and of what stands behind FROM gives."""


class Sealed(Protocol):
    """A cold day."""

    @property
    def day(self) -> date:
        """Which."""


class Cold(Readable, Protocol):
    """The cold days."""

    def all(self, venue: str, kind: str) -> Sequence[Sealed]:
        """Those of a kind, by day."""


class Hot(Readable, Protocol):
    """The store that keeps the coverage."""

    def floor(self, venue: str, kind: str) -> int:
        """All rows with ts >= this are here, ns UTC."""

    def beside(self, work: Callable[[Any], T]) -> T:
        """`work` of the writer's connection, in a transaction of its own."""


def table(venue: str) -> str:
    """The table of a venue: `idx_coverage`."""
    return f"{venue}_coverage"


def statements(venues: Sequence[str]) -> list[str]:
    """What makes the tables where they are absent."""
    return [
        f"create table if not exists {COVERED_TABLE}"
        " (venue VARCHAR, day DATE, rows BIGINT, position BIGINT)",
        *(
            f"create table if not exists {table(venue)} (ticker VARCHAR, day DATE,"
            " word UTINYINT, received UBIGINT, backfilled UBIGINT, faulty UBIGINT)"
            for venue in venues
        ),
    ]


# -- entering --------------------------------------------------------------------------------------


def cover(hot: Hot, venue: Venue, day: date, source: Readable | None = None) -> int:
    """Enter a day as its bars are now, in the place of what was entered of it before; how many
    tickers have some. The bars are read off `source`, by default the hot store: the one that has
    all of the day."""
    start, end = _bounds(venue, day)
    found, rows, position = (source or hot).steady(
        venue.name, _OHLCV, (start, end), RANGE, lambda cursor, at: _bits(cursor, at, venue, day)
    )

    def enter(writer: Any) -> None:
        _forget(writer, venue.name, day)
        writer.register("incoming", found)
        writer.execute(
            f"insert into {table(venue.name)} select ticker, ?::date, {_COLUMNS} from incoming"
            " where received > 0 or faulty > 0",
            [day],
        )
        writer.unregister("incoming")
        writer.execute(
            f"insert into {COVERED_TABLE} values (?, ?, ?, ?)", [venue.name, day, rows, position]
        )

    hot.beside(enter)
    named = found.select(["ticker", "received", "faulty"]).to_pylist()
    some = {row["ticker"] for row in named if row["received"] or row["faulty"]}
    return len(some - {ANYBODY})


def _bits(cursor: Any, source: str, venue: Venue, day: date) -> tuple[Any, int, int]:
    """The rows of a day's coverage, and of how many bars up to which position. `known`: minutes
    with a row of any sort."""
    start, end = _bounds(venue, day)
    within = f"from {source} where freq = '1m' and ts >= {start} and ts < {end}"
    text = f"""
        with bars as (
            select ticker, (ts - {start}) // {MINUTE_NS} as m,
                arg_max({_sort(venue)}, rev) as sort, bool_or({_LIVE}) as live
            {within} group by ticker, m)
        select ticker, {_WORD} as word, {_or(f"(sort = {_GOOD})")} as received,
            {_or(f"(sort = {_GOOD} and not live)")} as backfilled,
            {_or(f"(sort = {_FAULTY})")} as faulty, {_or("true")} as known
        from bars group by ticker, word
        union all
        select '{ANYBODY}', {_WORD} as word, {_or("true")}, 0::ubigint, 0::ubigint, 0::ubigint
        from bars where live group by word
        order by ticker, word"""
    found = cursor.sql(text).to_arrow_table()
    [(rows, position)] = cursor.execute(f"select count(*), max(position) {within}").fetchall()
    return found, int(rows), int(position or 0)


def forget(hot: Hot, venue: Venue, day: date) -> None:
    """Take a day out: its bars are gone for good."""
    hot.beside(lambda writer: _forget(writer, venue.name, day))


def _forget(writer: Any, venue: str, day: date) -> None:
    writer.execute(f"delete from {table(venue)} where day = ?", [day])
    writer.execute(f"delete from {COVERED_TABLE} where venue = ? and day = ?", [venue, day])


def uncovered(hot: Hot, cold: Cold, venue: Venue) -> list[date]:
    """Cold days that were never entered (a store that was lost, and made anew), ascending."""
    known = _entered(hot, venue.name)
    return [sealed.day for sealed in cold.all(venue.name, _OHLCV) if sealed.day not in known]


def lost(hot: Hot, cold: Cold, venue: Venue) -> list[date]:
    """Days that were entered and went cold, and have no file now: theirs is damaged and set aside.
    What was entered of them is of no bar any more, ascending."""
    files = {sealed.day for sealed in cold.all(venue.name, _OHLCV)}
    floor_ns = hot.floor(venue.name, _OHLCV)
    gone = _entered(hot, venue.name) - files
    return sorted(day for day in gone if venue.calendar.midnight_ns(day) < floor_ns)


def _entered(hot: Hot, venue: str) -> set[date]:
    text = f"select day from {COVERED_TABLE} where venue = ?"
    found = hot.steady(
        venue, _OHLCV, (0, 0), POINT, lambda cursor, _: cursor.execute(text, [venue]).fetchall()
    )
    return {day for (day,) in found}


# -- reading one ticker ----------------------------------------------------------------------------


def covered(
    hot: Hot, cold: Cold | None, venue: Venue, ticker: str, first: date, until: date
) -> Covered:
    """The minutes of a ticker in the days first <= day < until: one statement, and one more where
    cold days were never entered."""
    days = Days.of(venue.calendar, first, until)
    if not len(days):
        return none(0)
    within = int(days.midnights[0]), int(days.midnights[-1])

    def kept(cursor: Any, source: str) -> Any:
        text = f"{_kept(venue.name)} union all {_minutes(venue, source)}"
        values = [ticker, first, until, *_values(ticker, within)]
        return cursor.execute(text, values).fetchnumpy()

    parts = [hot.steady(venue.name, _OHLCV, within, RANGE, kept)]
    if cold is not None:
        kinds = np.isin(np.asarray(parts[0]["what"]), (_MINE, _HEARD))
        parts[0] = _without(parts[0], lost(hot, cold, venue), kinds)
    absent = [] if cold is None else _absent(hot, cold, venue, first, until)
    if cold is not None and absent:
        within = _bounds(venue, absent[0])[0], _bounds(venue, absent[-1])[1]
        parts.append(
            cold.steady(
                venue.name,
                _OHLCV,
                within,
                RANGE,
                lambda cursor, source: cursor.execute(
                    _minutes(venue, source), _values(ticker, within)
                ).fetchnumpy(),
            )
        )
    return _laid_together(days, parts)


def _without(kept: Any, days: Sequence[date], of: Any = True) -> Any:
    """What was entered, without these days."""
    if not days:
        return kept
    gone = np.isin(np.asarray(kept["at"], np.int64), [(day - _EPOCH).days for day in days]) & of
    return {name: np.asarray(values)[~gone] for name, values in kept.items()}


_MINE, _HEARD, _MINUTE, _SPOKEN = range(4)


def _kept(venue: str) -> str:
    """What was entered, as rows (what, at: the day's number, and _COLUMNS)."""
    return (
        f"select case when ticker = '{ANYBODY}' then {_HEARD} else {_MINE} end as what,"
        f" day - date '1970-01-01' as at, {_COLUMNS} from {table(venue)}"
        f" where ticker in (?, '{ANYBODY}') and day >= ? and day < ?"
    )


def _minutes(venue: Venue, source: str) -> str:
    """The minutes that stored bars have, in the same form (at: their opening; word 0); one whose
    trades were all taken back is neither received nor faulty."""
    return f"""
        select {_MINUTE} as what, ts as at, 0 as word, (sort = {_GOOD})::ubigint as received,
            (not live)::ubigint as backfilled, (sort = {_FAULTY})::ubigint as faulty
        from (select ts, arg_max({_sort(venue)}, rev) as sort, bool_or({_LIVE}) as live
            from {source} where ticker = ? and freq = '1m' and ts >= ? and ts < ? group by ts)
        union all
        select distinct {_SPOKEN}, ts, 0, 0::ubigint, 0::ubigint, 0::ubigint
        from {source} where freq = '1m' and ts >= ? and ts < ? and {_LIVE}"""


def _values(ticker: str, within: tuple[int, int]) -> list[Any]:
    return [ticker, *within, *within]


def _absent(hot: Hot, cold: Cold, venue: Venue, first: date, until: date) -> list[date]:
    return [day for day in uncovered(hot, cold, venue) if first <= day < until]


def _laid_together(days: Days, parts: Sequence[Any]) -> Covered:
    received, live, faulty, heard = (np.zeros((len(days), WORDS), np.uint64) for _ in range(4))
    zero = (days.first - _EPOCH).days
    for part in parts:
        what, at = np.asarray(part["what"]), np.asarray(part["at"], np.int64)
        every, late, bad = (
            np.asarray(part[name], np.uint64) for name in ("received", "backfilled", "faulty")
        )
        place = at - zero, np.asarray(part["word"], np.int64)
        for chosen, into, bits in (
            (what == _MINE, received, every),
            # What is entered from elsewhere is judged before: a faulty one came live.
            (what == _MINE, live, every & ~late | bad),
            (what == _MINE, faulty, bad),
            (what == _HEARD, heard, every),
        ):
            np.bitwise_or.at(into, (place[0][chosen], place[1][chosen]), bits[chosen])
        heard |= days.pack(at[what == _SPOKEN])
    # What is hot, in the first part, is newer than all else.
    for part in reversed(parts):
        minute = np.asarray(part["what"]) == _MINUTE
        at = np.asarray(part["at"], np.int64)[minute]
        every, late, bad = (
            np.asarray(part[name])[minute] > 0 for name in ("received", "backfilled", "faulty")
        )
        known = days.pack(at)
        received = received & ~known | days.pack(at[every])
        faulty = faulty & ~known | days.pack(at[bad])
        live |= days.pack(at[~late])
    # A bar that came live is not backfilled, wherever its revisions lie.
    return Covered(received, received & ~live, faulty & ~received, heard)


# -- reading all of a venue ------------------------------------------------------------------------


def coverage(hot: Hot, cold: Cold | None, venue: Venue, first: date, until: date) -> Coverage:
    """The minutes of every ticker that has a bar in the days first <= day < until."""
    days = Days.of(venue.calendar, first, until)
    if not len(days):
        return Coverage((), *(np.zeros((0, 0, WORDS), np.uint64),) * 3, none(0).heard)
    within = int(days.midnights[0]), int(days.midnights[-1])

    def look(cursor: Any, source: str) -> tuple[list[Any], list[date]]:
        kept = f"from {table(venue.name)} where day >= ? and day < ?"
        text = f"select ticker, day - date '1970-01-01' as at, {_COLUMNS} {kept}"
        parts = [cursor.execute(text, [first, until]).fetchnumpy()]
        fresh = _changed(cursor, source, venue, days)
        return [*parts, *(_of_day(cursor, source, venue, day) for day in fresh)], fresh

    (kept, *fresh), _ = hot.steady(venue.name, _OHLCV, within, WHOLE, look)
    if cold is not None:
        kept = _without(kept, lost(hot, cold, venue))
    parts = [kept]
    for day in [] if cold is None else _absent(hot, cold, venue, first, until):
        assert cold is not None, "there are none without cold days"
        parts.append(
            cold.steady(
                venue.name,
                _OHLCV,
                _bounds(venue, day),
                RANGE,
                partial(_of_day, venue=venue, day=day),
            )
        )
    return _all_together(days, parts, fresh)


def _changed(cursor: Any, source: str, venue: Venue, days: Days) -> list[date]:
    """The days that have rows in the hot table other than those that were entered."""
    known = {
        day: (rows, position)
        for day, rows, position in cursor.execute(
            f"select day, rows, position from {COVERED_TABLE} where venue = ?", [venue.name]
        ).fetchall()
    }
    out = []
    text = f"select count(*), max(position) from {source} where freq = '1m' and ts >= ? and ts < ?"
    for row in range(len(days)):
        day, (start, end) = days.day(row), days.midnights[row : row + 2].tolist()
        [(rows, position)] = cursor.execute(text, [start, end]).fetchall()
        if rows and known.get(day) != (rows, position):
            out.append(day)
    return out


def _of_day(cursor: Any, source: str, venue: Venue, day: date) -> Any:
    found, _, _ = _bits(cursor, source, venue, day)
    out = {name: found.column(name).to_numpy() for name in found.column_names}
    return out | {"at": np.full(len(found), (day - _EPOCH).days)}


def _all_together(days: Days, parts: Sequence[Any], fresh: Sequence[Any]) -> Coverage:
    """`fresh`: what is hot, and newer than all else."""
    names = np.concatenate([np.asarray(part["ticker"]) for part in (*parts, *fresh)]).astype(str)
    tickers = np.unique(names[names != ANYBODY])
    zero = (days.first - _EPOCH).days
    shape = (len(tickers), len(days), WORDS)
    received, live, faulty = (np.zeros(shape, np.uint64) for _ in range(3))
    heard = np.zeros(shape[1:], np.uint64)
    for part in (*parts, *fresh):
        every, late, bad = (
            np.asarray(part[name]).astype(np.uint64)
            for name in ("received", "backfilled", "faulty")
        )
        names = np.asarray(part["ticker"]).astype(str)
        row, word = np.asarray(part["at"]).astype(np.int64) - zero, np.asarray(part["word"])
        mine = names != ANYBODY
        np.bitwise_or.at(heard, (row[~mine], word[~mine]), every[~mine])
        at = np.searchsorted(tickers, names[mine]), row[mine], word[mine]
        if "known" in part:
            known = ~np.asarray(part["known"]).astype(np.uint64)[mine]
            received[at] &= known
            faulty[at] &= known
        np.bitwise_or.at(received, at, every[mine])
        np.bitwise_or.at(faulty, at, bad[mine])
        # What is entered from elsewhere is judged before: a faulty one came live.
        np.bitwise_or.at(live, at, (every & ~late | bad)[mine])
    some = received.any(axis=(1, 2)) | faulty.any(axis=(1, 2))
    received, live, faulty = received[some], live[some], faulty[some]
    every_ticker = tuple(tickers[some].tolist())
    return Coverage(every_ticker, received, received & ~live, faulty & ~received, heard)


# -- what a row is ---------------------------------------------------------------------------------

_COLUMNS = "word, received, backfilled, faulty"
_LIVE = "source is null"
_WORD = "(m >> 6)::utinyint"
# What the newest revision of a bar is.
_GOOD, _VOID, _FAULTY = range(3)


def _or(flag: str) -> str:
    return f"bit_or({flag}::ubigint << (m & 63)::ubigint)"


def _sort(venue: Venue) -> str:
    """An expression: good, without a trade (all were taken back), or faulty: it breaks a rule. What
    files may lack can be null."""
    said = conditions(OHLCV, Life(venue.calendar.midnight_ns(venue.since), _FOREVER_NS))
    null = " or ".join(f'"{name}" is null or isnan("{name}")' for name in _MUST)
    bad = " or ".join([null, *(text for word, text in said.items() if word != "null")])
    void = "coalesce(trades = 0 and volume = 0, false)"
    return f"(case when {bad} then {_FAULTY} when {void} then {_VOID} else {_GOOD} end)"


def _bounds(venue: Venue, day: date) -> tuple[int, int]:
    calendar = venue.calendar
    return calendar.midnight_ns(day), calendar.midnight_ns(day + timedelta(days=1))
