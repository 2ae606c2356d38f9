"""A calendar's changes written as TOML -> an `Amendment`, with errors that say where and what is
allowed. Of this form are the lists that come with bursa (calendars/) and an operator's own file.

    known_from, known_until = 2027-12-31        days from which, and up to which, the lists hold
    [[closed]]                                  days without trading
        source = "who says so"
        sure = false                            announced only; true where it is not said
        days = { 2027-01-01 = "New Year" }      day = what it is
    [[open]]                                    days that trade after all, of the same form
    [[special]]                                 days with hours of their own; besides:
        expected_until = "11:00"                from here on a minute may lie empty
        phases = [{ name = "morning", state = "1", from = "09:00", to = "11:00",
                    trading = true, grid = true }]
    [[hours]]                                   hours of weekdays from a day on, instead of days:
        since = 2027-04-01, weekdays = ["mon", "tue", "wed", "thu", "fri"]

Of rows of hours the newest `since` counts alone, so that a change names every weekday that trades.
Reads text only; who has the files: holidays.py, and app.py for the operator's.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from bursa.model.errors import Refuse
from bursa.model.hours import Dates, Holiday, Hours, Phase
from bursa.model.schema import STATES

_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = re.compile(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
_CLOCK = re.compile(r"^([01][0-9]|2[0-4]):([0-5][0-9])$")
_PHASE_KEYS = ("name", "state", "from", "to", "trading", "grid")
_HOURS_KEYS = ("source", "expected_until", "phases")
_KEYS = {
    "closed": ("source", "sure", "days"),
    "open": ("source", "days"),
    "special": (*_HOURS_KEYS, "days"),
    "hours": (*_HOURS_KEYS, "since", "weekdays"),
}
_SESSION_STATES = STATES[: STATES.index("X") + 1]


@dataclass(frozen=True)
class Amendment:
    """What a file says. `opened` are days that trade whatever lists said before."""

    where: str
    hours: tuple[Hours, ...]
    closed: Mapping[date, Holiday]
    opened: Mapping[date, str]
    special: Mapping[date, Hours]
    known_from: date | None
    known_until: date | None

    def onto(self, dates: Dates) -> Dates:
        """The days as they are with this."""
        gone = self.opened.keys() | self.special.keys()
        holidays = {day: why for day, why in dates.holidays.items() if day not in gone}
        special = {
            day: row
            for day, row in dates.special.items()
            if day not in self.opened and day not in self.closed
        }
        found = Dates(
            holidays | dict(self.closed),
            special | dict(self.special),
            self.known_from or dates.known_from,
            self.known_until or dates.known_until,
        )
        if found.known_until < found.known_from:
            what = f"known_until {found.known_until} lies before known_from {found.known_from}"
            raise _refusal(self.where, what, "known_until")
        return found

    def hours_onto(self, hours: Sequence[Hours]) -> tuple[Hours, ...]:
        """The rows of hours as they are with this: those of a `since` replace all of the same.
        Raises Refuse where a day is to trade that has no hours then."""
        ours = {row.since for row in self.hours}
        found = (*(row for row in hours if row.since not in ours), *self.hours)
        for day in self.opened:
            since = max((row.since for row in found if row.since <= day), default=None)
            if not any(row.since == since and day.weekday() in row.weekdays for row in found):
                what = f"{day} is a {day:%A}, which has no hours: give them in [[special]]"
                raise _refusal(self.where, f"open.days.{what}", "open.days")
        return found


def parse(text: str, where: str) -> Amendment:
    """What a TOML text says; `where` names it in errors. Raises Refuse `bad_calendar`."""
    try:
        tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _refusal(where, f"is no TOML: {error}", where) from None
    return _Reader(where).amendment(tree)


def _refusal(where: str, what: str, key: str) -> Refuse:
    return Refuse(f"{where}: {what}", "bad_calendar", parameter=key)


class _Reader:
    """Reads one tree; every error names the file and the key."""

    def __init__(self, where: str) -> None:
        self._where = where

    def amendment(self, tree: Mapping[str, Any]) -> Amendment:
        self._only(tree, "", ("known_from", "known_until", *_KEYS))
        closed: dict[date, Holiday] = {}
        opened: dict[date, str] = {}
        special: dict[date, Hours] = {}
        for path, row in self._rows(tree, "closed"):
            sure = self._bool(row, path, "sure", True)
            source = self._text(row, path, "source")
            self._days(row, path, lambda _, n: Holiday(n, source, sure), closed)  # noqa: B023 -- called at once
        for path, row in self._rows(tree, "open"):
            source = self._text(row, path, "source")
            self._days(row, path, lambda _, n: f"{n}: {source}", opened)  # noqa: B023 -- called at once
        for path, row in self._rows(tree, "special"):
            made = self._hours(row, path, date.min, ())
            self._days(
                row,
                path,
                lambda day, _: replace(made, since=day, weekdays=(day.weekday(),)),  # noqa: B023 -- called at once
                special,
            )
        for day in sorted(closed):
            if day in opened or day in special:
                raise self._wrong(f"closed.days.{day}", "is in [[open]] or [[special]] too")
        for day in sorted(opened.keys() & special.keys()):
            raise self._wrong(f"open.days.{day}", "is in [[special]] too, which is enough")
        since, until = (self._date(tree, "", key) for key in ("known_from", "known_until"))
        return Amendment(self._where, self._weekly(tree), closed, opened, special, since, until)

    def _weekly(self, tree: Mapping[str, Any]) -> tuple[Hours, ...]:
        found: list[Hours] = []
        for path, row in self._rows(tree, "hours"):
            since = self._date(row, path, "since")
            if since is None:
                raise self._wrong(f"{path}.since", "is missing: a day, e.g. 2027-04-01")
            words = row.get("weekdays")
            known = isinstance(words, list) and all(word in _WEEKDAYS for word in words)
            if not known or not words or len(set(words)) < len(words):
                allowed = f"some of {', '.join(_WEEKDAYS)}, each once"
                raise self._wrong(f"{path}.weekdays", f"is {words!r}: {allowed}")
            weekdays = tuple(sorted(_WEEKDAYS.index(word) for word in words))
            twice = [w for r in found if r.since == since for w in r.weekdays if w in weekdays]
            if twice:
                what = f"{_WEEKDAYS[twice[0]]} has hours since {since} already"
                raise self._wrong(f"{path}.weekdays", what)
            found.append(self._hours(row, path, since, weekdays))
        return tuple(found)

    def _hours(
        self, row: Mapping[str, Any], path: str, since: date, weekdays: tuple[int, ...]
    ) -> Hours:
        given = row.get("phases")
        if not isinstance(given, list) or not given:
            raise self._wrong(f"{path}.phases", "is missing: a list of phases")
        phases = tuple(self._phase(one, f"{path}.phases[{n}]") for n, one in enumerate(given))
        for before, after in zip(phases, phases[1:], strict=False):
            if after.start_min < before.end_min:
                what = f"{after.name} begins before {before.name} ends"
                raise self._wrong(f"{path}.phases", f"overlap: {what}")
        trading = [phase for phase in phases if phase.trading]
        if not trading or not any(phase.grid for phase in phases):
            raise self._wrong(f"{path}.phases", "need one with trading and one with grid = true")
        until = self._clock(row, path, "expected_until")
        first, last = trading[0].start_min, trading[-1].end_min
        if not first < until <= last:
            allowed = f"a time after {_told(first)}, up to {_told(last)}, while there is trading"
            raise self._wrong(f"{path}.expected_until", f"is {_told(until)}: {allowed}")
        return Hours(since, weekdays, phases, until, self._text(row, path, "source"))

    def _phase(self, table: Any, path: str) -> Phase:
        if not isinstance(table, dict):
            raise self._wrong(path, f"is {table!r}: a table of {', '.join(_PHASE_KEYS)}")
        self._only(table, f"{path}.", _PHASE_KEYS)
        state = table.get("state")
        if state not in _SESSION_STATES:
            allowed = ", ".join(_SESSION_STATES)
            raise self._wrong(f"{path}.state", f"is {state!r}; allowed: {allowed}")
        start, end = (self._clock(table, path, key) for key in ("from", "to"))
        if end <= start:
            raise self._wrong(f"{path}.to", f"is {_told(end)}: a time after {_told(start)}")
        trading, grid = (self._bool(table, path, key, False) for key in ("trading", "grid"))
        return Phase(self._text(table, path, "name"), str(state), start, end, trading, grid)

    # -- values ------------------------------------------------------------------------------------

    def _rows(self, tree: Mapping[str, Any], key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        rows = tree.get(key, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self._wrong(key, f"is no list of tables: write [[{key}]]")
        for number, row in enumerate(rows):
            path = f"{key}[{number}]"
            self._only(row, f"{path}.", _KEYS[key])
            yield path, row

    def _days(
        self,
        row: Mapping[str, Any],
        path: str,
        make: Callable[[date, str], Any],
        into: dict[date, Any],
    ) -> None:
        days = row.get("days")
        if not isinstance(days, dict) or not days:
            raise self._wrong(f"{path}.days", 'is missing: a table of 2027-01-01 = "what it is"')
        for text, name in days.items():
            try:
                day = date.fromisoformat(text if _DAY.match(text) else "")
            except ValueError:
                raise self._wrong(f"{path}.days.{text}", "is no day: 2027-01-01") from None
            if not isinstance(name, str) or not name:
                raise self._wrong(f"{path}.days.{text}", f"is {name!r}: a text, what the day is")
            if day in into:
                raise self._wrong(f"{path}.days.{text}", "is named twice")
            into[day] = make(day, name)

    def _date(self, table: Mapping[str, Any], path: str, key: str) -> date | None:
        value = table.get(key)
        if value is not None and type(value) is not date:
            at = f"{path}.{key}" if path else key
            raise self._wrong(at, f"is {value!r}: a day without quotes, e.g. 2027-12-31")
        return value

    def _clock(self, table: Mapping[str, Any], path: str, key: str) -> int:
        """Minutes after midnight."""
        value = table.get(key)
        found = _CLOCK.match(value) if isinstance(value, str) else None
        if found is None or found[0] > "24:00":
            said = "is missing" if value is None else f"is {value!r}"
            raise self._wrong(f"{path}.{key}", f'{said}: a time from "00:00" to "24:00"')
        return int(found[1]) * 60 + int(found[2])

    def _text(self, table: Mapping[str, Any], path: str, key: str) -> str:
        value = table.get(key)
        if not isinstance(value, str) or not value.strip():
            said = "is missing" if value is None else f"is {value!r}"
            raise self._wrong(f"{path}.{key}", f"{said}: a text")
        return value

    def _bool(self, table: Mapping[str, Any], path: str, key: str, default: bool) -> bool:
        value = table.get(key, default)
        if not isinstance(value, bool):
            raise self._wrong(f"{path}.{key}", f"is {value!r}: true or false")
        return value

    def _only(self, table: Mapping[str, Any], path: str, known: Sequence[str]) -> None:
        for key in table:
            if key not in known:
                raise self._wrong(f"{path}{key}", f"is no key; allowed: {', '.join(known)}")

    def _wrong(self, key: str, what: str) -> Refuse:
        return _refusal(self._where, f"{key} {what}", key)


def _told(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
