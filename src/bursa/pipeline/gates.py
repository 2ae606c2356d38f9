"""HD's gates of one venue: a schedule that the journal adds to.

The venue's own hold from the beginning. A person's change is a SETTING record that says the gates
and the bar time from which they hold; each bar goes by the newest gates that hold at its opening.
A change concerns later bars alone: of a record whose time is not past every bar made before it
nothing is taken (counted `gates_ignored`), and nothing of one that cannot be read. So what was
computed never changes, the schedule of today is right for any old day, and where in a chunk the
record lies does not matter. Pure: no clock, no I/O.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from bursa.model.batch import Batch
from bursa.model.calendar import DAY_NS, MINUTE_NS, SECOND_NS
from bursa.model.errors import Refuse
from bursa.model.venue import Gates, Venue
from bursa.pipeline.switches import Setting

# The word of a SETTING record under which gates stand.
WORD = "hd"
CHANGES_MAX = 1000
"""Changes that a schedule may have: one more is refused, and passed over in a journal."""
TOOK, IGNORED = "gates_changed", "gates_ignored"
_DAY_S = DAY_NS // SECOND_NS
# A bar time that a record can tell is before that.
END_NS = 2**63
_FIELDS = ("open_s", "close_s", "freeze_s")
_CLOCK = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d))?", re.ASCII)
_NAMES = dict(zip(_FIELDS, ("gate_open", "gate_close", "freeze"), strict=True))


class Change(NamedTuple):
    """Gates, and when they were ordered (ns UTC, our clock; 0: the venue's own)."""

    gates: Gates
    set_ns: int = 0


class GateSchedule:
    """The stage. Holds the changes by the bar time from which each holds, ascending."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.changes: tuple[Change, ...] = () if venue.gates is None else (Change(venue.gates),)
        self._newest = 0  # opening of the newest bar that was made, ns UTC

    @property
    def schedule(self) -> tuple[Gates, ...]:
        """As metrics take it; () where the venue has none."""
        return tuple(change.gates for change in self.changes)

    def push(self, closed: Batch, settings: Sequence[Setting]) -> Mapping[str, int]:
        """The bars of one chunk and the settings among its records: takes what the latter say.
        Returns how many changes were taken, and how many were not, by word."""
        counts: dict[str, int] = {}
        ours = [setting for setting in settings if WORD in setting.values]
        positions, opened = closed.column("position"), closed.column("ts")
        for setting in ours:
            before = opened[positions <= setting.position]
            self._newest = max(self._newest, int(before.max(initial=0)))
            for word in self._take(setting):
                counts[word] = counts.get(word, 0) + 1
        if len(opened):
            self._newest = max(self._newest, int(opened.max()))
        return counts

    def see(self, settings: Iterable[Setting]) -> None:
        """Take settings where no bars pass: to know the schedule at a place of the journal."""
        for setting in settings:
            if WORD in setting.values:
                self._take(setting)

    def _take(self, setting: Setting) -> list[str]:
        """What became of each change that a record tells of."""
        said = setting.values.get(WORD)
        told = said.get("gates") if isinstance(said, dict) else None
        if not isinstance(told, list):
            return [IGNORED]
        words = []
        for one in told:
            gates = _told(one)
            if gates is None or not self._may(gates):
                words.append(IGNORED)
                continue
            kept = [c for c in self.changes if c.gates.from_ns != gates.from_ns]
            kept.append(Change(gates, setting.ts_recv))
            self.changes = tuple(sorted(kept, key=lambda change: change.gates.from_ns))
            words.append(TOOK)
        return words

    def _may(self, gates: Gates) -> bool:
        has_room = len(self.changes) <= CHANGES_MAX or any(
            change.gates.from_ns == gates.from_ns for change in self.changes
        )
        return bool(self.changes) and gates.from_ns > self._newest and has_room

    def at(self, ts_ns: int) -> Gates:
        """The gates of a bar that opens then. Refuse where the venue has none."""
        if not self.changes:
            raise Refuse(f"{self.venue.name} has no HD, and so no gates", "no_gates", 404, "venue")
        return [c.gates for c in self.changes if c.gates.from_ns <= max(ts_ns, 0)][-1]

    def free_ns(self, watermark_ns: int) -> int:
        """The first minute, ns UTC, of which no bar can have been made yet."""
        newest = max(self._newest, watermark_ns)
        return (newest // MINUTE_NS + 1) * MINUTE_NS

    def order(self, wanted: Mapping[str, int], from_ns: int, watermark_ns: int) -> dict[str, Any]:
        """What is to be journalled (WORD -> gates) where a person sets gates from a bar time on;
        {} where they are so already. Those not wanted stay as they are at that time.

        wanted   seconds of the venue's day by `open_s`, `close_s`, `freeze_s`
        Refuse   where a bar of that time may have been made, and for an order of gates that may
                 not be
        """
        held, calendar = self.at(from_ns), self.venue.calendar
        free = self.free_ns(watermark_ns)
        if not 0 <= from_ns < END_NS:
            what = f"{from_ns:,} ns from 1970 on; allowed: a minute from {calendar.text(free)} on"
            raise Refuse(f"{what}, before {calendar.text(END_NS)}", parameter="effective")
        if from_ns < free or from_ns % MINUTE_NS:
            why = (
                "that is no whole minute"
                if from_ns >= free
                else ("bars of that time may have been made already, and what was computed stays")
            )
            what = f"{calendar.text(from_ns)}: {why}; allowed: a minute from"
            raise Refuse(f"{what} {calendar.text(free)} on", parameter="effective")
        gates = replace(held, **wanted, from_ns=from_ns)
        if (wrong := _wrong(gates)) is not None:
            raise Refuse(wrong, parameter="gate_open")
        if replace(gates, from_ns=held.from_ns) == held:
            return {}
        if not self._may(gates):
            raise Refuse(f"the schedule is full: it has {CHANGES_MAX} changes")
        said = {name: getattr(gates, name) for name in _FIELDS}
        return {WORD: {"gates": [{**said, "from": from_ns}]}}

    def snapshot(self) -> dict[str, Any]:
        """State for a checkpoint."""
        rows = [
            [*(getattr(c.gates, name) for name in _FIELDS), c.gates.from_ns, c.set_ns]
            for c in self.changes
        ]
        return {"newest": self._newest, "changes": rows}

    def begin(self, changes: Any) -> None:
        """Begin with changes as a snapshot has them, where the journal that told of them is gone
        (gates_file.py). ValueError, and nothing is taken, where they are none."""
        found = [Change(self.venue.gates)] if self.venue.gates is not None else []
        for row in changes if isinstance(changes, list) else (None,):
            if not isinstance(row, list) or len(row) != 5 or type(row[4]) is not int:
                raise ValueError("no list of changes")
            if row[3] == 0:
                continue  # the venue's own are this program's
            if (gates := _told(dict(zip((*_FIELDS, "from"), row[:4], strict=True)))) is None:
                raise ValueError(f"no gates: {row}")
            found.append(Change(gates, row[4]))
        times = [change.gates.from_ns for change in found]
        if times != sorted(set(times)) or len(found) > 1 + CHANGES_MAX:
            raise ValueError("not in order, or too many")
        if self.changes:
            self.changes = tuple(found)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take a checkpoint's state."""
        self._newest = int(state["newest"])
        self.changes = tuple(Change(Gates(*row[:4]), row[4]) for row in state["changes"])


def _told(told: Any) -> Gates | None:
    """The gates of one entry of a record; None where it is not one that may be."""
    if not isinstance(told, dict):
        return None
    numbers: list[Any] = [told.get(name) for name in (*_FIELDS, "from")]
    if not all(type(number) is int and 0 <= number < END_NS for number in numbers):
        return None
    gates = Gates(*numbers)
    return None if _wrong(gates) is not None or gates.from_ns % MINUTE_NS else gates


def _wrong(gates: Gates) -> str | None:
    """What is wrong with the order of gates; None where nothing is."""
    if 0 <= gates.open_s <= gates.close_s <= gates.freeze_s <= _DAY_S:
        return None
    told = ", ".join(f"{_NAMES[name]} {clock_text(getattr(gates, name))}" for name in _FIELDS)
    return f"{told}; allowed: gate_open <= gate_close <= freeze, from 00:00 to 24:00"


def seconds_of(text: str) -> int | None:
    """Seconds of a day of `09:05` or `14:50:00`; None where it is none.

    >>> seconds_of("09:05"), seconds_of("24:00"), seconds_of("25:00")
    (32700, 86400, None)
    """
    found = _CLOCK.fullmatch(text)
    if found is None:
        return None
    parts = zip(found.groups(), (3600, 60, 1), strict=True)
    seconds = sum(int(part or 0) * unit for part, unit in parts)
    return seconds if seconds <= _DAY_S else None


def clock_text(seconds: int) -> str:
    """Seconds of a day as `09:05`, or `09:05:30` where they are no whole minute."""
    minutes, rest = divmod(seconds, 60)
    text = f"{minutes // 60:02d}:{minutes % 60:02d}"
    return f"{text}:{rest:02d}" if rest else text
