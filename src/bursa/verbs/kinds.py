"""`bursa kinds`: what is published and stored of each kind, shown and changed while bursa runs.

The process that holds the folder is asked; where nobody holds it, `ls` reads checkpoint and journal
and `set` runs the venue without feeds. What a switch does is pipeline/switches.py's.
"""

from pathlib import Path

from rich.console import Console

from bursa.app import offline, switches
from bursa.config import Config
from bursa.model.errors import Refuse
from bursa.model.venue import VENUES, Venue
from bursa.ops import logs
from bursa.pipeline import control
from bursa.pipeline.switches import PUBLISH, STORE, checked
from bursa.store import sql
from bursa.store.folder import DataFolder, ask
from bursa.verbs.acting import acts_of

# A set waits for the disk.
ANSWER_S = control.SYNC_S + 10


def run_list(config: Config, venue: str, form: str) -> str:
    """The switches and where each value comes from, as `bursa sql` shows rows."""
    if form not in sql.FORMATS:
        raise Refuse(f"--format: {form}; allowed: {', '.join(sql.FORMATS)}", parameter="format")
    logs.setup(config.log.level, config.log.format)
    if venue:
        _venue(venue)
    try:
        payload = {"venue": venue, "set": {}}
        rows = ask(Path(config.data), control.KINDS, payload, ANSWER_S)["rows"]
    except Refuse as refused:
        if refused.code != "not_held":
            raise
        rows = _offline(config, venue)
    return sql.render(sql.Answer(control.COLUMNS, rows), form)


def _offline(config: Config, venue: str) -> list[list[str]]:
    data = Path(config.data)
    kept = [VENUES[name] for name in ([venue] if venue else VENUES) if _journal(data, name)]
    if not kept:
        what = f"{data} has no journal{f' of {venue}' if venue else ''} yet"
        raise Refuse(f"{what}: what holds is what the configuration says", "no_data", 404)
    rows = []
    with DataFolder(data):
        for one in kept:
            configured = switches(config, one.name)
            stands = control.standing(one, data, configured)
            rows += control.told(one.name, stands, configured, switches(Config(), one.name))
    return rows


def run_set(
    config: Config, kind: str, store: str | None, publish: str | None, *, say: Console
) -> int:
    """Turn the switches of a kind, `VENUE.KIND`. Returns 0; Refuse where that may not be."""
    logs.setup(config.log.level, config.log.format)
    name, _, of = kind.partition(".")
    venue = _venue(name)
    given = {f"{of}.{STORE}": store, f"{of}.{PUBLISH}": publish}
    wanted = {key: checked(key, value) for key, value in given.items() if value is not None}
    if not wanted:
        checked(f"{of}.{PUBLISH}", "on")
        raise Refuse("nothing to set: --store, --publish or both", parameter="store")
    try:
        payload = {"venue": name, "set": wanted}
        turned = ask(Path(config.data), control.KINDS, payload, ANSWER_S)["turned"]
    except Refuse as refused:
        if refused.code != "not_held":
            raise
        if not _journal(Path(config.data), name):
            what = f"{config.data} has no journal of {name} yet: configure {name}.{of} instead"
            raise Refuse(what, "no_data", 404) from None
        with offline(config, venue) as (runtime, _), acts_of(config) as acts:
            turned = control.turn(runtime, wanted, acts.orders.keeper())
    for key, value in wanted.items():
        so = "is" if f"{name}.{key}" in turned else "was and stays"
        say.print(f"{name}.{key} {so} {value}", markup=False)
    return 0


def _journal(data: Path, venue: str) -> bool:
    return (data / "journal" / venue).is_dir()


def _venue(name: str) -> Venue:
    if name not in VENUES:
        raise Refuse(f"{name}: no such venue; allowed: {', '.join(VENUES)}", parameter="venue")
    return VENUES[name]
