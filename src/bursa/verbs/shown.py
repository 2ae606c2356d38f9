"""What verbs show of venues whether or not bursa runs: rows of the holder, or of what lies there.

The process that holds the folder is asked for them; where nobody does, `offline` reads checkpoint
and journal, with the folder held meanwhile. The verbs: kinds.py, hd.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bursa.config import Config
from bursa.model.errors import Refuse
from bursa.model.venue import VENUES, Venue
from bursa.ops import logs
from bursa.pipeline import control
from bursa.store import sql
from bursa.store.folder import ask

# A set waits for the disk.
ANSWER_S = control.SYNC_S + 10

Rows = list[list[str]]


def has_journal(data: Path, venue: str) -> bool:
    """Was the venue ever begun on the folder?"""
    return (data / "journal" / venue).is_dir()


@dataclass(frozen=True)
class Told:
    """What is asked of the holder and how it is shown. every: the venues that have any of it;
    otherwise: what holds where none has a journal."""

    verb: str
    columns: tuple[str, ...]
    every: Sequence[str]
    otherwise: str


def run_shown(
    config: Config, told: Told, venue: str, form: str, offline: Callable[[Sequence[Venue]], Rows]
) -> str:
    """What the holder answers of a venue ("": all), as `bursa sql` shows rows; where nobody holds
    the folder, `offline` of those that have a journal. Refuse `no_data` where none has."""
    if form not in sql.FORMATS:
        raise Refuse(f"--format: {form}; allowed: {', '.join(sql.FORMATS)}", parameter="format")
    logs.setup(config.log.level, config.log.format)
    data = Path(config.data)
    try:
        rows = ask(data, told.verb, {"venue": venue, "set": {}}, ANSWER_S)["rows"]
    except Refuse as refused:
        if refused.code != "not_held":
            raise
        names = [venue] if venue else told.every
        kept = [VENUES[name] for name in names if has_journal(data, name)]
        if not kept:
            what = f"{data} has no journal{f' of {venue}' if venue else ''} yet"
            raise Refuse(f"{what}: {told.otherwise}", "no_data", 404) from None
        rows = offline(kept)
    return sql.render(sql.Answer(told.columns, rows), form)
