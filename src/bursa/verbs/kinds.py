"""`bursa kinds`: what is published and stored of each kind, shown and changed while bursa runs.

The process that holds the folder is asked; where nobody holds it, `ls` reads checkpoint and journal
and `set` runs the venue without feeds. What a switch does is pipeline/switches.py's.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from bursa.app import offline, switches
from bursa.config import Config
from bursa.model.errors import Refuse
from bursa.model.venue import VENUES, Venue
from bursa.ops import logs
from bursa.pipeline import control
from bursa.pipeline.switches import PUBLISH, STORE, checked
from bursa.store.folder import DataFolder, ask
from bursa.verbs.acting import acts_of
from bursa.verbs.shown import ANSWER_S, Rows, Told, has_journal, run_shown


def run_list(config: Config, venue: str, form: str) -> str:
    """The switches and where each value comes from, as `bursa sql` shows rows."""
    if venue:
        _venue(venue)
    otherwise = "what holds is what the configuration says"
    told = Told(control.KINDS, control.COLUMNS, tuple(VENUES), otherwise)
    return run_shown(config, told, venue, form, partial(_offline, config))


def _offline(config: Config, kept: Sequence[Venue]) -> Rows:
    data, rows = Path(config.data), Rows()
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
        if not has_journal(Path(config.data), name):
            what = f"{config.data} has no journal of {name} yet: configure {name}.{of} instead"
            raise Refuse(what, "no_data", 404) from None
        with offline(config, venue) as (runtime, _), acts_of(config) as acts:
            turned = control.turn(runtime, wanted, acts.orders.keeper())
    for key, value in wanted.items():
        so = "is" if f"{name}.{key}" in turned else "was and stays"
        say.print(f"{name}.{key} {so} {value}", markup=False)
    return 0


def _venue(name: str) -> Venue:
    if name not in VENUES:
        raise Refuse(f"{name}: no such venue; allowed: {', '.join(VENUES)}", parameter="venue")
    return VENUES[name]
