"""`bursa dlq`: rows that a healthy store refused, listed, shown, tried again, dropped.

The process that holds the folder is asked; where nobody holds it, state database and store are
opened here. What each does is pipeline/dlq.py's.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from bursa.app import shop, state_of, venues_of
from bursa.config import Config
from bursa.metrics.catalog import catalogue
from bursa.model.errors import Refuse
from bursa.model.schema import MARKET_KINDS
from bursa.model.venue import VENUES
from bursa.ops import logs
from bursa.pipeline.control import instant
from bursa.pipeline.dlq import AHEAD, AT_ONCE, DLQ, DROP, LS, REFUSED, REPLAY, SHOW, Desk
from bursa.pipeline.line import kinds
from bursa.ports import Store
from bursa.store import sql
from bursa.store.folder import DataFolder, ask

COLUMNS = ("number", "venue", "kind", "symbol", "time", "position", "refused", "tries", "why")
COUNTS = ("venue", "kind", "letters")
NONE = "there are no dead letters: the store refused nothing\n"
# A retry of many rows writes to the store.
ANSWER_S = 600.0
LIMIT_MAX = 1_000_000


@dataclass(frozen=True)
class Meant:
    """The letters meant: these numbers, or `every` one of a venue and kind ("" is any)."""

    numbers: Sequence[int] = ()
    venue: str = ""
    kind: str = ""
    every: bool = False

    def parts(self) -> Iterator["Meant"]:
        """As many of them at a time as one question may name."""
        numbers = list(dict.fromkeys(self.numbers))
        for at in range(0, max(1, len(numbers)), AT_ONCE):
            yield replace(self, numbers=numbers[at : at + AT_ONCE])

    def payload(self, do: str, **other: Any) -> dict[str, Any]:
        """A question about them."""
        named = {"numbers": list(self.numbers), "venue": self.venue, "kind": self.kind}
        return {"do": do, **named, **other}

    def check(self) -> None:
        """Refuse what is not there or not said."""
        if self.venue and self.venue not in VENUES:
            known = ", ".join(VENUES)
            raise Refuse(f"--venue: {self.venue}; allowed: {known}", parameter="venue")
        allowed = [kind.name for kind in MARKET_KINDS] + ["metrics"]
        if self.kind and self.kind not in allowed:
            raise Refuse(f"--kind: {self.kind}; allowed: {', '.join(allowed)}", parameter="kind")

    def check_which(self) -> None:
        """Refuse where neither numbers nor all are named, or both."""
        if bool(self.numbers) == self.every:
            raise Refuse("which? NUMBER as `ls` lists it, or --all", parameter="number")
        if self.numbers and (self.venue or self.kind):
            raise Refuse("--venue and --kind go with --all, not with a NUMBER", parameter="venue")


def run_list(config: Config, meant: Meant, limit: int, form: str) -> str:
    """How many there are of each kind, and the oldest; as JSON and CSV the letters alone."""
    if form not in sql.FORMATS:
        raise Refuse(f"--format: {form}; allowed: {', '.join(sql.FORMATS)}", parameter="format")
    if not 1 <= limit <= LIMIT_MAX:
        raise Refuse(f"--limit: {limit}; allowed: 1 to {LIMIT_MAX:,}", parameter="limit")
    meant.check()
    logs.setup(config.log.level, config.log.format)
    rows: list[list[Any]] = []
    counts: list[list[Any]] = []
    left = True
    while left and len(rows) < limit:
        after = rows[-1][0] if rows else 0
        wanted = min(AT_ONCE, limit - len(rows))
        found = _ask(config, meant.payload(LS, after=after, limit=wanted))
        counts, left = found["counts"], found["left"]
        rows += found["rows"]
    for row in rows:
        row[4], row[6] = instant(row[4]), instant(row[6])
    listed = sql.render(sql.Answer(COLUMNS, rows), form)
    if form != "table":
        return listed
    if not counts:
        return "there are no such dead letters\n" if meant.venue or meant.kind else NONE
    return sql.render(sql.Answer(COUNTS, counts), form) + "\n" + listed


def run_show(config: Config, number: int, *, say: Console) -> int:
    """One letter: why, when, and each value of its row."""
    logs.setup(config.log.level, config.log.format)
    found = _ask(config, {"do": SHOW, "number": number})
    letter, row = found["letter"], found["row"]
    at, tries = instant(letter["at_ns"]), letter["tries"]
    times = "once" if tries == 1 else f"{tries} times"
    say.print(f"{number}  {letter['venue']} {letter['kind']}  refused {times}, first {at}")
    say.print(f"store said: {letter['why']}", markup=False)
    for name, value in row.items():
        say.print(f"  {name:<16} {'null' if value is None else value}", markup=False)
    return 0


def run_replay(config: Config, meant: Meant, *, dry_run: bool, say: Console) -> int:
    """Try rows again; 1 where one is refused again."""
    meant.check()
    meant.check_which()
    logs.setup(config.log.level, config.log.format)
    outcomes: Counter[str] = Counter()
    try:
        for some in meant.parts():
            after, left = 0, True
            while left:
                found = _ask(config, some.payload(REPLAY, after=after, dry_run=dry_run))
                outcomes.update(_tell(found["rows"], dry_run=dry_run, say=say))
                after, left = found["after"], found["left"]
    finally:  # what was done is told, where a later question is refused too
        counts = ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.items())
        dry = "; dry run, nothing was changed" * dry_run
        if counts or sys.exception() is None:
            say.print(f"{counts or 'nothing to replay'}{dry}")
    return 1 if outcomes[REFUSED] or outcomes[AHEAD] else 0


def _tell(rows: Iterable[Sequence[Any]], *, dry_run: bool, say: Console) -> Iterator[str]:
    """Print what became of each letter; the outcomes."""
    for number, venue, kind, symbol, outcome, why in rows:
        what = f"{number}  {venue} {kind} {symbol}  {'would be ' * dry_run}{outcome}"
        say.print(f"{what}{f': {why}' if why else ''}", markup=False)
        yield outcome


def run_drop(config: Config, meant: Meant, *, say: Console) -> int:
    """Forget letters: the store goes without their rows."""
    meant.check()
    meant.check_which()
    logs.setup(config.log.level, config.log.format)
    gone = 0
    try:
        for some in meant.parts():
            left = True
            while left:
                found = _ask(config, some.payload(DROP, after=0))
                gone, left = gone + found["dropped"], found["left"]
    finally:
        if gone or sys.exception() is None:
            say.print(f"{gone:,} dropped: the store goes without these rows")
    return 0


def _ask(config: Config, payload: dict[str, Any]) -> dict[str, Any]:
    data = Path(config.data)
    try:
        return ask(data, DLQ, payload, ANSWER_S)
    except Refuse as refused:
        if refused.code != "not_held":
            raise
    if not data.is_dir():
        raise Refuse(f"there is no data folder {data}", "no_data", 404)
    with ExitStack() as stack:
        folder = stack.enter_context(DataFolder(data))
        state = stack.enter_context(state_of(folder))
        venues = {venue.name: venue for venue in venues_of(config, data, demo=False)}

        def store() -> Store:
            return stack.enter_context(shop(config, folder, list(venues.values()))).store

        known = kinds(catalogue(config.metrics.extra))
        return Desk(lambda: state.letters, store, venues, known).answer(payload)
