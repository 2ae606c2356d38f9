"""What a person may order of a running venue: its switches turned, HD's gates set, both shown.

Served by the process that holds the folder, over its control socket (store/folder.py); where nobody
holds it, `bursa kinds` and `bursa hd` run the venue without feeds and order the same. An order
becomes a record of the journal between two pushes of the line, and is answered once that record is
on disk. Whoever takes orders may have them kept: who changed what, and what was before.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bursa.journal import checkpoint
from bursa.journal.read import JournalReader
from bursa.journal.record import Control, setting
from bursa.model.errors import Refuse, Retry
from bursa.model.venue import Venue
from bursa.pipeline import gates_file
from bursa.pipeline.gates import GateSchedule, clock_text
from bursa.pipeline.line import SIGNATURE
from bursa.pipeline.runtime import VenueRuntime
from bursa.pipeline.switches import BY_PERSON, UNSAID, WORD, Setting, Switches, settings_of
from bursa.ports import Frames
from bursa.store.folder import Handler

KINDS, HD = "kinds", "hd"
COLUMNS = ("switch", "value", "from")
GATE_COLUMNS = ("venue", "effective", "gate_open", "gate_close", "freeze", "holds", "from")
# How long an order waits for the disk.
SYNC_S = 30.0
# What an order changed, as it was and as it is since.
Both = tuple[Mapping[str, Any], Mapping[str, Any]]
# Carries an order out: its name, its venue, what does it (None: nothing changed).
Keep = Callable[[str, str, Callable[[], Both | None]], Both | None]
TURN, GATES = "kinds.set", "hd.set"


def unkept(act: str, venue: str, do: Callable[[], Both | None]) -> Both | None:
    """Carry an order out, and keep nothing of it."""
    return do()


def handlers(
    runtimes: Mapping[str, VenueRuntime],
    defaults: Mapping[str, Mapping[str, str]],
    keep: Keep = unkept,
) -> dict[str, Handler]:
    """What the holder of a folder answers about switches and gates. `defaults`: venue -> its
    switches as they are where nothing is configured; `keep` carries orders out."""

    def named(payload: dict[str, Any]) -> Mapping[str, VenueRuntime]:
        name = str(payload["venue"])
        if name and name not in runtimes:
            known = ", ".join(runtimes)
            raise Refuse(f"{name} does not run here; there is {known}", "unknown_venue", 404)
        return {name: runtimes[name]} if name else runtimes

    def kinds(payload: dict[str, Any]) -> dict[str, Any]:
        chosen = named(payload)
        turned: list[str] = []
        for runtime in chosen.values() if payload["set"] else ():
            turned += turn(runtime, payload["set"], keep)
        rows: list[list[str]] = []
        for venue, runtime in chosen.items():
            switches = runtime.line.switches
            rows += told(venue, switches, runtime.configured, defaults.get(venue, {}))
        return {"rows": rows, "turned": turned}

    def gates(payload: dict[str, Any]) -> dict[str, Any]:
        chosen, changed = named(payload), False
        for runtime in chosen.values() if payload["set"] else ():
            changed = set_gates(runtime, payload["set"], int(payload["effective"]), keep)
        rows: list[list[str]] = []
        for venue, runtime in chosen.items():
            if runtime.ingest is None:
                raise Retry(f"{venue} is not ready yet: it recovers")
            rows += gates_told(runtime.line.gates, runtime.line.watermark_ns)
        return {"rows": rows, "changed": changed}

    return {KINDS: kinds, HD: gates}


def turn(runtime: VenueRuntime, wanted: Mapping[str, str], keep: Keep = unkept) -> list[str]:
    """Turn switches of a venue that runs; returns the names of those that stood otherwise. Refuse
    for what is not allowed, Retry where nothing can be journalled now."""

    def items() -> list[Frames | Control]:
        held = runtime.line.switches.held
        before.update({key: held[key].value for key in wanted if key in held})
        order.update(runtime.line.switches.order(wanted, runtime.configured))
        return [setting(order)] if order else []

    def do() -> Both | None:
        journal(runtime, items)
        turned = list(order.get(WORD, {}))
        if not turned:
            return None
        return {key: before.get(key) for key in turned}, {key: wanted[key] for key in turned}

    order: dict[str, Any] = {}
    before: dict[str, str] = {}
    keep(TURN, runtime.venue.name, do)
    return [f"{runtime.venue.name}.{key}" for key in order.get(WORD, {})]


def set_gates(
    runtime: VenueRuntime, wanted: Mapping[str, int], from_ns: int, keep: Keep = unkept
) -> bool:
    """Set HD's gates of a venue that runs, for bars from a time on (GateSchedule.order); returns
    whether they were others. Refuse and Retry as `turn`."""

    def items() -> list[Frames | Control]:
        line = runtime.line
        before.update(_gates_at(line.gates, from_ns))
        order.update(line.gates.order(wanted, from_ns, line.watermark_ns))
        return [setting(order)] if order else []

    def do() -> Both | None:
        journal(runtime, items)
        if not order:
            return None
        effective = {"effective": runtime.venue.calendar.text(from_ns)}
        return before, {**_gates_at(runtime.line.gates, from_ns), **effective}

    order: dict[str, Any] = {}
    before: dict[str, str] = {}
    keep(GATES, runtime.venue.name, do)
    return bool(order)


def _gates_at(gates: GateSchedule, ts_ns: int) -> dict[str, str]:
    """The gates of a bar that opens then, as they are told."""
    held = gates.at(ts_ns)
    names = dict(zip(("open_s", "close_s", "freeze_s"), GATE_COLUMNS[2:5], strict=True))
    return {name: clock_text(getattr(held, field)) for field, name in names.items()}


def journal(runtime: VenueRuntime, items: Any) -> None:
    """Journal and derive what `items` returns, called between two pushes of the line; wait until it
    is on disk."""
    ingest = runtime.ingest
    if ingest is None:
        raise Retry(f"{runtime.venue.name} is not ready yet: it recovers")

    def act() -> int:
        found = items()
        return ingest.take(found).span.last if found else 0

    position = ingest.between(act)
    try:
        if not runtime.sync.wait(position, SYNC_S):
            raise Retry(f"not on disk within {SYNC_S:g} s; ask again what holds")
    except OSError as error:
        raise Retry(f"the journal cannot be synced: {error}") from error


def told(
    venue: str, switches: Switches, configured: Mapping[str, str], defaults: Mapping[str, str]
) -> list[list[str]]:
    """The switches of a venue as rows of COLUMNS, those that its configuration has."""
    rows = []
    for key in configured:
        held = switches.held[key]
        origin = "default" if held.value == defaults.get(key) else "config"
        if held.by == BY_PERSON:
            origin = f"set at {instant(held.ts)}"
        rows.append([f"{venue}.{key}", held.value, origin])
    return rows


def standing(venue: Venue, data: Path, configured: Mapping[str, str]) -> Switches:
    """How the switches of a folder that nobody holds will stand when it is started: read off the
    newest checkpoint and the journal behind it. Changes nothing."""
    switches = Switches(UNSAID.get(venue.name, {}))
    state, settings = _read_off(venue, data)
    if state is not None:
        switches.restore(state["switches"])
    switches.see(settings)
    switches.see([Setting(0, 0, switches.due(configured))])
    return switches


def gates_told(gates: GateSchedule, watermark_ns: int) -> list[list[str]]:
    """A venue's schedule as rows of GATE_COLUMNS; none where it has no gates. `holds` is as of the
    first minute of which no bar can have been made."""
    rows: list[list[str]] = []
    free, calendar = gates.free_ns(watermark_ns), gates.venue.calendar
    holding = [change for change in gates.changes if change.gates.from_ns <= free][-1:]
    for change in gates.changes:
        held = change.gates
        clocks = [clock_text(s) for s in (held.open_s, held.close_s, held.freeze_s)]
        holds = "now" if change in holding else "later" if held.from_ns > free else "over"
        begins = calendar.text(held.from_ns) if held.from_ns else "always"
        origin = f"set at {instant(change.set_ns)}" if held.from_ns else "venue"
        rows.append([gates.venue.name, begins, *clocks, holds, origin])
    return rows


def gates_standing(venue: Venue, data: Path) -> GateSchedule:
    """The schedule of a folder that nobody holds, as `standing` does it."""
    gates = GateSchedule(venue)
    state, settings = _read_off(venue, data)
    if state is not None:
        gates.restore(state["gates"])
    elif JournalReader(folder := data / "journal" / venue.name).first > 0:
        gates_file.take(folder, gates)
    gates.see(settings)
    return gates


def _read_off(venue: Venue, data: Path) -> tuple[Mapping[str, Any] | None, Iterator[Setting]]:
    """The line's state in the newest checkpoint, and the settings of the journal behind it."""
    reader = JournalReader(data / "journal" / venue.name)
    start, state = reader.first, None
    found = checkpoint.load_newest(data / "checkpoints" / venue.name, reader.end, SIGNATURE)
    if found is not None and found[0] >= start:
        start, state = found[0], found[1]["line"]
    return state, (one for chunk in reader.chunks(start) for one in settings_of(chunk))


def instant(ts_ns: int) -> str:
    """Whole seconds as ISO text with Z."""
    return f"{np.datetime64(ts_ns // 1_000_000_000, 's')}Z"
