"""`bursa verify DATE`: is what the store holds of a day what the journal gives?

The day is derived anew from the journal into a store of its own, beside the folder's, up to what
the folder's has committed; then both are compared (store/compare.py). Works whether or not a bursa
runs on the folder: it answers over its control socket. Changes nothing.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from bursa.app import fresh_line, scratch
from bursa.config import Config
from bursa.jobs import recompute
from bursa.journal.read import JournalReader
from bursa.metrics.catalog import catalogue
from bursa.model.batch import Batch
from bursa.model.errors import Refuse
from bursa.model.schema import Kind, topic
from bursa.ops import logs
from bursa.pipeline.line import Line, kinds
from bursa.ports import Committed, Store
from bursa.store import compare, question, sql
from bursa.store.compare import Digest, Slice
from bursa.store.floors import COLD_KINDS
from bursa.store.folder import STORE_FILE
from bursa.verbs.journal_part import Journal, a_day, find, shown

# Kinds whose rows belong to a day: of contracts only the newest stays, refused bytes have no time.
COMPARED = ("ticks", "quotes", "ohlcv", "metrics", "snapshot", "orderbook", "index", "status")
# A digest reads a whole day.
QUERY_S = 600.0
# Rows that wait in memory before they are written beside.
ROWS_MAX = 200_000
# Of each kind that differs: tickers and rows that are told.
TICKERS_SHOWN, ROWS_SHOWN = 3, 5
EQUAL, DIFFERENT, DROPPED = "yes", "NO", "dropped"


@dataclass(frozen=True)
class Day:
    """What is verified: the day of a journal's venue, up to what is committed."""

    journal: Journal
    day: date
    committed: int

    def slice(self, kind: Kind) -> Slice:
        """The rows of a kind."""
        return Slice(self.journal.venue.name, kind, *self.bounds, self.committed)

    @property
    def bounds(self) -> tuple[int, int]:
        """Event times, ns UTC, half-open."""
        calendar = self.journal.venue.calendar
        after = self.day + timedelta(days=1)
        return calendar.midnight_ns(self.day), calendar.midnight_ns(after)


@dataclass(frozen=True)
class Verdict:
    """Of one kind: of the rows of `part`, which begins later than the day where the folder's
    cap has deleted what came before."""

    kind: Kind
    recomputed: Digest
    stored: Digest
    equal: str
    part: Slice
    since_ns: int = 0

    @property
    def told(self) -> str:
        """For people."""
        return f"{self.equal}, from {shown(self.since_ns)}" if self.since_ns else self.equal


def run_verify(
    config: Config,
    text: str,
    venue: str,
    only: Sequence[str],
    *,
    as_json: bool,
    say: Console,
    warn: Console,
) -> int:
    """Compare a day. Returns 0 when all that is stored was compared and is equal: a kind that
    the folder's cap has deleted is told so, and of one that it deleted in part the rest is
    compared."""
    chosen: Sequence[Kind] = _kinds(only, config)
    day = a_day(text, "DATE")
    logs.setup(config.log.level, config.log.format)
    journal, data = find(config, venue), Path(config.data)
    limits = sql.Limits(config.sql.rows_max, max(QUERY_S, config.sql.time_s))

    def stored(query: str) -> sql.Answer:
        return question.query(data, data / STORE_FILE, query, limits)

    what = Day(journal, day, _committed(stored, journal, chosen))
    with tempfile.TemporaryDirectory(prefix="bursa-verify-") as folder:
        with scratch(config, journal.venue, Path(folder) / STORE_FILE) as beside:
            reader, chosen = _recompute(what, config, chosen, beside, warn)

            def recomputed(query: str) -> sql.Answer:
                return beside.select(query, limits)

            verdicts = [_judge(config, what, kind, stored, recomputed) for kind in chosen]
            if not any(v.recomputed.rows or v.stored.rows for v in verdicts):
                told = f"neither journal nor store has anything of {journal.venue.name} on {day}"
                raise Refuse(told, "no_data", 404)
            differing = {
                verdict.kind.name: _differing(verdict.part, stored, recomputed)
                for verdict in verdicts
                if verdict.equal == DIFFERENT
            }
    damaged = [damage._asdict() for damage in reader.damaged]
    if as_json:
        _tell_json(what, verdicts, differing, damaged)
    else:
        _tell(what, verdicts, differing, damaged, say)
    return 1 if any(verdict.equal == DIFFERENT for verdict in verdicts) else 0


def _kinds(only: Sequence[str], config: Config) -> list[Kind]:
    unknown = [name for name in only if name not in COMPARED]
    if unknown:
        what = f"--kind: {unknown[0]}; allowed: {', '.join(COMPARED)}"
        raise Refuse(what, parameter="kind")
    every = kinds(catalogue(config.metrics.extra))
    return [kind for kind in every if kind.name in (only or COMPARED)]


def _committed(stored: compare.Ask, journal: Journal, chosen: Sequence[Kind]) -> int:
    """The position up to which the store holds all rows of these kinds."""
    held = dict(stored("select topic, position from bursa_positions").rows)
    found = [held.get(topic(journal.venue.name, kind)) for kind in chosen]
    missing = [kind.name for kind, at in zip(chosen, found, strict=True) if at is None]
    if missing:
        what = f"the store has committed nothing of {journal.venue.name} yet: {', '.join(missing)}"
        raise Refuse(what, "no_data", 404)
    return min(int(at) for at in found if at is not None)


def _recompute(
    what: Day, config: Config, asked: Sequence[Kind], beside: Store, warn: Console
) -> tuple[JournalReader, Sequence[Kind]]:
    """Derive the day into the store beside. Returns the kinds as they can be compared: metrics that
    were added since the checkpoint before that day are not in it."""
    venue, folder = what.journal.venue, Path(config.data) / "checkpoints"
    reader = JournalReader(what.journal.folder)
    line, start = recompute.line_before(
        partial(fresh_line, venue, config), reader, folder / venue.name, what.bounds[0]
    )
    chosen = _told_lacking(asked, line, warn)
    names, waiting, rows = {kind.name for kind in chosen}, list[Batch](), 0
    with Progress(console=warn, transient=True, disable=not warn.is_terminal) as bar:
        task = bar.add_task(f"{venue.name} {what.day}", total=max(what.committed - start, 1))
        for derived in recompute.derive(line, reader, start, what.committed):
            ours = [b for b in derived.batches if b.kind.name in names]
            waiting += [b for b in (recompute.inside(b, *what.bounds) for b in ours) if len(b)]
            rows = sum(map(len, waiting))
            if rows >= ROWS_MAX:
                at = Committed(derived.span.last, derived.span.epoch)
                beside.write(waiting, {topic(venue.name, kind): at for kind in chosen})
                waiting = []
            bar.update(task, completed=derived.span.last - start)
    if waiting:
        at = Committed(waiting[-1].span.last, waiting[-1].span.epoch)
        beside.write(waiting, {topic(venue.name, kind): at for kind in chosen})
    return reader, chosen


def _told_lacking(asked: Sequence[Kind], line: Line, warn: Console) -> list[Kind]:
    """The kinds as a line has them; what it lacks of them is said."""
    has = {kind.name: kind for kind in kinds(line.catalogue)}
    for kind in asked:
        lacking = [c.name for c in kind.columns if c.name not in has[kind.name].index]
        if lacking:
            told = f"{kind.name} are compared without {', '.join(lacking)}: the newest checkpoint"
            warn.print(f"{told} before that day is older than these", markup=False)
    return [has[kind.name] for kind in asked]


def _judge(
    config: Config, what: Day, kind: Kind, stored: compare.Ask, recomputed: compare.Ask
) -> Verdict:
    of = what.slice(kind)
    if compare.uncommitted(stored, of):
        of = replace(of, upto=compare.ANY_POSITION)
    here, there = compare.digest(recomputed, of), compare.digest(stored, of)
    if here == there:
        return Verdict(kind, here, there, EQUAL, of)
    if not there.rows:
        gone = _is_past(config, what, kind, stored, of.end_ns)
        return Verdict(kind, here, there, DROPPED if gone else DIFFERENT, of)
    [[since]] = stored(f"select min(ts) {of.clause}").rows
    kept = replace(of, start_ns=since)
    before = compare.digest(recomputed, replace(of, end_ns=since))
    if not before.rows or not _is_past(config, what, kind, stored, since):
        return Verdict(kind, here, there, DIFFERENT, of)
    here = compare.digest(recomputed, kept)
    return Verdict(kind, here, there, EQUAL if here == there else DIFFERENT, kept, since)


def _is_past(config: Config, what: Day, kind: Kind, stored: compare.Ask, before_ns: int) -> bool:
    """May the folder's cap have taken what the day had before a time: is there one, and nothing
    older is left? Days past their time only go cold."""
    if not (config.retention.disk_gb and kind.name in COLD_KINDS):
        return False
    table = f"{what.journal.venue.name}_{kind.name}"
    [[older]] = stored(f"select count(*) from {table} where ts < {before_ns}").rows  # noqa: S608 -- our own table's name
    return not older


def _differing(of: Slice, stored: compare.Ask, recomputed: compare.Ask) -> dict[str, Any]:
    """How many tickers differ, and the first rows that do."""
    tickers = compare.differing_tickers(stored, recomputed, of)
    found = []
    for ticker in tickers[:TICKERS_SHOWN]:
        found += compare.differences(stored, recomputed, replace(of, ticker=ticker), ROWS_SHOWN)
    rows = [{"stored": d.stored, "recomputed": d.recomputed} for d in found]
    return {"by": of.by, "differ": len(tickers), "rows": rows}


def _tell(
    what: Day,
    verdicts: Sequence[Verdict],
    differing: dict[str, Any],
    damaged: Sequence[dict[str, Any]],
    say: Console,
) -> None:
    columns = ("kind", "recomputed", "stored", "hash_recomputed", "hash_stored", "equal")
    rows = [
        [v.kind.name, v.recomputed.rows, v.stored.rows, v.recomputed.hash, v.stored.hash, v.told]
        for v in verdicts
    ]
    table = sql.render(sql.Answer(columns, rows), "table")
    say.file.write(table[: table.rindex("(")])
    for name, of in differing.items():
        say.print(f"{name}: rows of {of['differ']:,} {of['by']}s differ, the first:", markup=False)
        for row in of["rows"]:
            say.print(
                f"  {_row(next(v.kind for v in verdicts if v.kind.name == name), row)}",
                markup=False,
            )
    for damage in damaged:
        say.print(
            "the journal is damaged: {bytes:,} bytes at {position}".format(**damage), markup=False
        )
    count = {word: sum(v.equal == word for v in verdicts) for word in (EQUAL, DIFFERENT, DROPPED)}
    tale = f"{what.journal.venue.name} {what.day}, up to position {what.committed}:"
    tale += f" {count[EQUAL]} equal, {count[DIFFERENT]} different"
    say.print(tale + (f", {count[DROPPED]} dropped" if count[DROPPED] else ""), markup=False)


def _row(kind: Kind, row: dict[str, Any]) -> str:
    """One difference in a line: whose, and what is not the same."""
    stored, recomputed = row["stored"], row["recomputed"]
    of = stored or recomputed
    key = ", ".join(f"{name} {of[name]}" for name in kind.key)
    if stored is None:
        return f"not in the store: {key}, position {of['position']}"
    if recomputed is None:
        return f"only in the store: {key}, position {of['position']}"
    changed = [name for name in of if stored[name] != recomputed[name]]
    what = ", ".join(f"{n} {stored[n]} is stored, {recomputed[n]} recomputed" for n in changed)
    return f"{key}: {what}"


def _tell_json(
    what: Day,
    verdicts: Sequence[Verdict],
    differing: dict[str, Any],
    damaged: Sequence[dict[str, Any]],
) -> None:
    body = {
        "ok": not any(verdict.equal == DIFFERENT for verdict in verdicts),
        "venue": what.journal.venue.name,
        "day": what.day.isoformat(),
        "position": what.committed,
        "kinds": [
            {
                "kind": v.kind.name,
                "recomputed": {"rows": v.recomputed.rows, "hash": v.recomputed.hash},
                "stored": {"rows": v.stored.rows, "hash": v.stored.hash},
                "equal": v.equal == EQUAL,
                "dropped": v.equal == DROPPED,
                "since": v.since_ns or None,
            }
            for v in verdicts
        ],
        "differences": differing,
        "damaged": list(damaged),
    }
    sys.stdout.write(json.dumps(body, indent=1, ensure_ascii=False) + "\n")
