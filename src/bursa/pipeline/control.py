"""What a person may order of a running venue: its switches shown and turned.

Served by the process that holds the folder, over its control socket (store/folder.py); where nobody
holds it, `bursa kinds` runs the venue without feeds and orders the same. An order becomes a record
of the journal between two pushes of the line, and is answered once that record is on disk.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bursa.journal import checkpoint
from bursa.journal.read import JournalReader
from bursa.journal.record import Control, setting
from bursa.model.errors import Refuse, Retry
from bursa.model.venue import Venue
from bursa.pipeline.line import SIGNATURE
from bursa.pipeline.runtime import VenueRuntime
from bursa.pipeline.switches import BY_PERSON, UNSAID, WORD, Setting, Switches, settings_of
from bursa.ports import Frames
from bursa.store.folder import Handler

KINDS = "kinds"
COLUMNS = ("switch", "value", "from")
# How long an order waits for the disk.
SYNC_S = 30.0


def handlers(
    runtimes: Mapping[str, VenueRuntime], defaults: Mapping[str, Mapping[str, str]]
) -> dict[str, Handler]:
    """What the holder of a folder answers about switches. `defaults`: venue -> its switches as they
    are where nothing is configured."""

    def kinds(payload: dict[str, Any]) -> dict[str, Any]:
        name = str(payload["venue"])
        if name and name not in runtimes:
            known = ", ".join(runtimes)
            raise Refuse(f"{name} does not run here; there is {known}", "unknown_venue", 404)
        chosen = {name: runtimes[name]} if name else runtimes
        turned: list[str] = []
        for runtime in chosen.values() if payload["set"] else ():
            turned += turn(runtime, payload["set"])
        rows: list[list[str]] = []
        for venue, runtime in chosen.items():
            switches = runtime.line.switches
            rows += told(venue, switches, runtime.configured, defaults.get(venue, {}))
        return {"rows": rows, "turned": turned}

    return {KINDS: kinds}


def turn(runtime: VenueRuntime, wanted: Mapping[str, str]) -> list[str]:
    """Turn switches of a venue that runs; returns the names of those that stood otherwise. Refuse
    for what is not allowed, Retry where nothing can be journalled now."""

    def items() -> list[Frames | Control]:
        order.update(runtime.line.switches.order(wanted, runtime.configured))
        return [setting(order)] if order else []

    order: dict[str, Any] = {}
    journal(runtime, items)
    return [f"{runtime.venue.name}.{key}" for key in order.get(WORD, {})]


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
    switches, reader = (
        Switches(UNSAID.get(venue.name, {})),
        JournalReader(data / "journal" / venue.name),
    )
    start = reader.first
    found = checkpoint.load_newest(data / "checkpoints" / venue.name, reader.end, SIGNATURE)
    if found is not None and found[0] >= start:
        start = found[0]
        switches.restore(found[1]["line"]["switches"])
    for chunk in reader.chunks(start):
        switches.see(settings_of(chunk))
    switches.see([Setting(0, 0, switches.due(configured))])
    return switches


def instant(ts_ns: int) -> str:
    """Whole seconds as ISO text with Z."""
    return f"{np.datetime64(ts_ns // 1_000_000_000, 's')}Z"
