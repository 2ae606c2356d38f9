"""HD's schedule of gates beside the journal, for the day when the records that made it are gone.

A journal's oldest segments go in time, checkpoints carry on what they said, and checkpoints are a
cache. So `gates.json` in the journal's folder is written whenever the schedule changes. It is read
only where a line begins at a journal whose beginning is gone, without a checkpoint (recover.py);
anywhere else the journal is the schedule's one source.
"""

from pathlib import Path

import msgspec

from bursa.journal.segment import write_whole
from bursa.ops.logs import logger
from bursa.pipeline.gates import GateSchedule

NAME = "gates.json"

_log = logger("gates")


def keep(folder: Path, gates: GateSchedule) -> None:
    """Write the schedule, where the file says another one; none while nothing was ever changed. A
    disk that does not take it is logged: the next start tries again."""
    path, said = (
        folder / NAME,
        msgspec.json.format(msgspec.json.encode(gates.snapshot()["changes"])),
    )
    try:
        held = path.read_bytes() if path.exists() else None
        if held != said and (held is not None or len(gates.changes) > 1):
            write_whole(path, [said])
    except OSError as error:
        _log.error("HD's gates are not kept beside the journal", why=str(error))


def take(folder: Path, gates: GateSchedule) -> None:
    """Take the schedule of the file, of which nothing is taken unless it can be read."""
    path = folder / NAME
    try:
        if path.exists():
            gates.begin(msgspec.json.decode(path.read_bytes()))
            _log.info("HD's gates are taken from beside the journal", changes=len(gates.changes))
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        _log.error("HD's gates beside the journal cannot be read: the venue's own", why=str(error))
