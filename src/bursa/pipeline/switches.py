"""What live readers get and what the store takes of each kind: switches that the journal turns.

Two a kind, named `orderbook.publish` and `orderbook.store`:

    publish   on | off        what readers of the present get: every row, or none
    store     all | off | Ns  rows that the store takes: every one, none, or the last of each key in
                              every N seconds (bars/sample.py)

The one does not touch the other, and neither touches bars and metrics: those are made of the tape,
which no switch thins. Bars, metrics, status and quarantine have no switches: they are what the rest
is judged by. Ticks and contracts are not sampled: the last trade of a second says nothing of it.

A switch turns at a SETTING record of the journal, between the rows before it and the rows after it,
so that a rebuild turns it at the same row. What the configuration says is such a record too, where
it differs from what the journal knows (`due`). Pure: no clock, no I/O.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from bursa.bars.sample import Sampler
from bursa.model.batch import (
    SETTING,
    SPAN_END,
    SPAN_KIND,
    SPAN_POSITION,
    SPAN_START,
    SPAN_TS_RECV,
    Batch,
    Chunk,
    Span,
    Words,
    concat,
    keep_levels,
)
from bursa.model.errors import Refuse
from bursa.model.schema import CONTRACTS, INDEX, ORDERBOOK, QUOTES, SNAPSHOT, TICKS, Kind

SWITCHED: Mapping[str, Kind] = {
    kind.name: kind for kind in (TICKS, QUOTES, SNAPSHOT, ORDERBOOK, INDEX, CONTRACTS)
}
WHOLE = frozenset({TICKS.name, CONTRACTS.name})
"""Kinds of which every row is stored, or none."""
PUBLISH, STORE = "publish", "store"
ON, OFF, ALL = "on", "off", "all"
SECONDS_MAX = 9999
# The word of a SETTING record under which switches stand, and who turned them.
WORD = "kinds"
BY_START, BY_PERSON = "start", "set"
UNSAID: Mapping[str, Mapping[str, str]] = {"idx": {"orderbook.store": "1s"}}
"""What holds before the journal says anything, where it is not `on` and `all`: venue -> switch ->
value. Journals were written by it: never to be changed, whatever the configuration's defaults."""


class Setting(NamedTuple):
    """One SETTING record: its position, when it was written, what it says."""

    position: int
    ts_recv: int
    values: Mapping[str, Any]


class Held(NamedTuple):
    """How a switch stands.

    configured  what the configuration said when it was turned
    by          BY_START, BY_PERSON, or "" where the journal never said anything
    ts          when, ns UTC, our clock
    """

    value: str
    configured: str
    by: str = ""
    ts: int = 0


class Kept(NamedTuple):
    """What came of the batches of one chunk: for live readers, for the store, and how many rows
    were kept from either, by word."""

    live: tuple[Batch, ...]
    stored: tuple[Batch, ...]
    counts: Mapping[str, int]


def settings_of(chunk: Chunk) -> list[Setting]:
    """The SETTING records of a chunk, in stream order; what is none of ours is left out."""
    found: list[Setting] = []
    kinds = chunk.spans[SPAN_KIND].tolist()
    if SETTING not in kinds:
        return found
    for at in (at for at, kind in enumerate(kinds) if kind == SETTING):
        start, end = int(chunk.spans[SPAN_START, at]), int(chunk.spans[SPAN_END, at])
        try:
            values = msgspec.json.decode(chunk.frames[start:end].tobytes(), type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        position, recv = chunk.spans[SPAN_POSITION, at], chunk.spans[SPAN_TS_RECV, at]
        found.append(Setting(int(position), int(recv), values))
    return found


def checked(key: str, value: str) -> str:
    """The value, where the switch may have it. Refuse says what is allowed."""
    kind, _, what = key.partition(".")
    if kind not in SWITCHED or what not in (PUBLISH, STORE):
        raise Refuse(f"{key}: no such switch; kinds: {', '.join(SWITCHED)}", "unknown_kind", 404)
    if not _allowed(kind, what, value):
        words = "on, off" if what == PUBLISH else "all, off" if kind in WHOLE else "all, off, Ns"
        raise Refuse(f"{key}: {value}; allowed: {words}", parameter=what)
    return value


def _allowed(kind: str, what: str, value: str) -> bool:
    if what == PUBLISH:
        return value in (ON, OFF)
    if value in (ALL, OFF):
        return True
    seconds = value[:-1]
    if kind in WHOLE or value[-1:] != "s" or not (seconds.isascii() and seconds.isdigit()):
        return False
    return seconds[0] != "0" and int(seconds) <= SECONDS_MAX


class Switches:
    """The stage of one venue. `unsaid`: how switches stand before the journal says anything."""

    def __init__(self, unsaid: Mapping[str, str]) -> None:
        self.held: dict[str, Held] = {}
        self._samplers: dict[str, Sampler] = {}
        for kind in SWITCHED:
            for what, value in ((PUBLISH, ON), (STORE, ALL)):
                first = checked(f"{kind}.{what}", unsaid.get(f"{kind}.{what}", value))
                self.held[f"{kind}.{what}"] = Held(first, first)
        self._make_samplers()
        self._look()

    def _make_samplers(self) -> None:
        self._samplers = {
            kind: Sampler(SWITCHED[kind], int(value[:-1]))
            for kind in SWITCHED
            if (value := self.held[f"{kind}.{STORE}"].value) not in (ALL, OFF)
        }

    def _look(self) -> None:
        """What `push` asks of every batch."""
        self.hidden = frozenset(k for k in SWITCHED if self.held[f"{k}.{PUBLISH}"].value == OFF)
        self._off = frozenset(k for k in SWITCHED if self.held[f"{k}.{STORE}"].value == OFF)

    def push(
        self, batches: Collection[Batch], settings: Sequence[Setting], words: Words, span: Span
    ) -> Kept:
        """The batches of one chunk, and the settings among its records. A sampler that ends gives
        the rows it holds to the store: they came while it was in force."""
        out = _Out()
        if not settings:
            for batch in batches:
                self._take(batch, out)
            return out.kept()
        low = -1
        for setting in settings:
            for batch in batches:
                self._take(_between(batch, low, setting.position), out)
            for ended in self._turn(setting):
                released = ended.release(words, span, setting.position)
                if len(released):
                    out.stored.append(released)
            low = setting.position
        for batch in batches:
            self._take(_between(batch, low, None), out)
        return out.joined()

    def _take(self, batch: Batch, out: "_Out") -> None:
        name, rows = batch.kind.name, len(batch)
        if not rows:
            return
        if name in self.hidden:
            out.count(f"unpublished_{name}", rows)
        else:
            out.live.append(batch)
        if name in self._off:
            out.count(f"unstored_{name}", rows)
            return
        sampler = self._samplers.get(name)
        if sampler is None:
            out.stored.append(batch)
            return
        before, due = sampler.thinned, sampler.push(batch)
        if len(due):
            out.stored.append(due)
        out.count(f"unstored_{name}", sampler.thinned - before)

    def see(self, settings: Iterable[Setting]) -> None:
        """Turn switches where no rows pass: to know how they stand at a place of the journal."""
        for setting in settings:
            self._turn(setting)

    def _turn(self, setting: Setting) -> list[Sampler]:
        """Do as a setting says; returns the samplers that are in force no longer."""
        said = setting.values.get(WORD)
        ended = []
        for key, told in said.items() if isinstance(said, dict) else ():
            new, old = _told(key, told, setting.ts_recv), self.held.get(key)
            if new is None or old is None:
                continue
            self.held[key] = new
            kind, _, what = key.partition(".")
            if what == STORE and new.value != old.value:
                sampler = self._samplers.pop(kind, None)
                if sampler is not None:
                    ended.append(sampler)
                if new.value not in (ALL, OFF):
                    self._samplers[kind] = Sampler(SWITCHED[kind], int(new.value[:-1]))
        self._look()
        return ended

    def due(self, configured: Mapping[str, str]) -> dict[str, Any]:
        """What a start is to journal (WORD -> switches), {} for nothing: switches of which the
        configuration says other than when they were turned last."""
        turned = {
            key: {"value": checked(key, value), "configured": value, "by": BY_START}
            for key, value in configured.items()
            if self.held[key].configured != value
        }
        return {WORD: turned} if turned else {}

    def order(self, wanted: Mapping[str, str], configured: Mapping[str, str]) -> dict[str, Any]:
        """What is to be journalled where a person turns switches; {} where all stand so already.
        Refuse for one that is not configured here, and for a value that it may not have."""
        turned = {}
        for key, value in wanted.items():
            checked(key, value)
            if key not in configured:
                kinds = dict.fromkeys(known.partition(".")[0] for known in configured)
                raise Refuse(
                    f"{key.partition('.')[0]}: no such kind here; it has {', '.join(kinds)}",
                    "unknown_kind",
                    404,
                )
            if self.held[key].value != value:
                told = {"value": value, "configured": configured[key], "by": BY_PERSON}
                turned[key] = told
        return {WORD: turned} if turned else {}

    def warm(self) -> None:
        """Compile what a switch turned later on will need."""
        Sampler(ORDERBOOK, 1).warm()

    def snapshot(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {
            "held": {key: list(held) for key, held in self.held.items()},
            "samplers": {kind: s.snapshot() for kind, s in self._samplers.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take a checkpoint's state."""
        for key in self.held:
            self.held[key] = Held(*state["held"][key])
        self._make_samplers()
        for kind, sampler in self._samplers.items():
            sampler.restore(state["samplers"][kind])
        self._look()


class _Out:
    """What comes of one chunk, gathered: rows for live readers and for the store, and how many were
    kept from either, by word."""

    def __init__(self) -> None:
        self.live: list[Batch] = []
        self.stored: list[Batch] = []
        self._counts: dict[str, int] = {}

    def count(self, word: str, rows: int) -> None:
        """Rows that were kept from one of them."""
        if rows:
            self._counts[word] = self._counts.get(word, 0) + rows

    def kept(self) -> Kept:
        """Where each kind came once."""
        return Kept(tuple(self.live), tuple(self.stored), self._counts)

    def joined(self) -> Kept:
        """Where kinds came in parts: each once."""
        return Kept(_joined(self.live), _joined(self.stored), self._counts)


def _joined(parts: Iterable[Batch]) -> tuple[Batch, ...]:
    of: dict[str, list[Batch]] = {}
    for batch in parts:
        of.setdefault(batch.kind.name, []).append(batch)
    return tuple(concat(several) for several in of.values())


def _between(batch: Batch, low: int, high: int | None) -> Batch:
    """The rows that records after `low` and up to `high` caused."""
    position = batch.block[batch.kind.index["position"]]
    rows = position > low
    if high is not None:
        rows &= position <= high
    block, levels = np.ascontiguousarray(batch.block[:, rows]), keep_levels(batch, rows)
    return Batch(batch.kind, block, batch.words, batch.span, levels)


def _told(key: str, told: Any, ts: int) -> Held | None:
    """How a switch stands by a record; None where that is not understood (a newer version's)."""
    try:
        held = Held(told["value"], told["configured"], told["by"], ts)
        return held._replace(value=checked(key, held.value))
    except (TypeError, KeyError, AttributeError, Refuse):
        return None
