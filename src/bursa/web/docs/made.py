"""The parts of the docs that are made, as Markdown: nothing here repeats what the program knows.

Settings and command-line verbs come as plain data from above (`Told`), columns from
model/schema.py, metrics from their catalogue, telemetry from its registry; routes and streams are
api.py's. A page says `{{settings}}` on a line of its own where a part belongs.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bursa.metrics.catalog import STANDARD
from bursa.metrics.metric import Metric, terms_of
from bursa.model.schema import MARKET_KINDS, Column, Kind, table
from bursa.model.venue import Venue
from bursa.ops.telemetry import Telemetry
from bursa.store.tables import TYPES, VIEWS

KIND_TEXTS = {
    "ticks": "Every trade, in the order of the exchange.",
    "quotes": "The best bid and offer, whenever one changed.",
    "ohlcv": "1-minute bars, one row a revision: the highest `rev` of a key is the newest.",
    "snapshot": "The day's figures of an instrument, as the venue sends them.",
    "orderbook": "Order books, one row a side.",
    "index": "The venue's indices.",
    "contracts": "What is listed; only the newest row of each key is kept.",
    "status": "Session states, and what the feed lost: one row for each change of a channel.",
    "quarantine": "Messages that were refused, with their bytes.",
    "metrics": "The metrics of each 1-minute bar, one row a revision.",
}


_NO_WARMUP = "none: a first bar can have a value"


@dataclass(frozen=True, slots=True)
class Knob:
    """An option or argument of a verb: `names` as it is written, `shown` its default."""

    names: str
    meaning: str
    shown: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True)
class Verb:
    """A verb of the command line: `bursa config show`, what it does, what it takes."""

    name: str
    help: str
    knobs: tuple[Knob, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """What the docs are told of by the parts above them.

    settings  one mapping each: path, variable, type, default, allowed, meaning
    streams   the AsyncAPI document
    """

    settings: Sequence[Mapping[str, str]] = ()
    verbs: Sequence[Verb] = ()
    streams: Mapping[str, Any] | None = None
    telemetry: Telemetry | None = None
    venues: Sequence[Venue] = ()


def cell(text: object) -> str:
    """A text inside a table."""
    return " ".join(str(text).split()).replace("|", "\\|").replace("*", "\\*")


def code(text: object) -> str:
    """A piece of code inside a table; "" stays empty."""
    shown = " ".join(str(text).split()).replace("|", "\\|")
    return f"`{shown}`" if shown else ""


def rows(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    """A table; columns that are empty throughout are left out, but for the first and `meaning`."""
    lines = [tuple(line) for line in body]
    kept = [
        at
        for at, title in enumerate(head)
        if not at or title == "meaning" or any(line[at] for line in lines)
    ]

    def row(values: Sequence[str]) -> str:
        return "| " + " | ".join(values[at] for at in kept) + " |"

    return "\n".join([row(head), row(["---"] * len(head)), *map(row, lines)])


def settings(told: Told) -> str:
    """Every setting, a section for each table of the file."""
    groups: dict[str, list[Mapping[str, str]]] = {}
    for setting in told.settings:
        above = setting["path"].rpartition(".")[0]
        groups.setdefault(above.partition(".")[0] if "NAME" not in above else above, []).append(
            setting
        )
    parts = []
    for group, of_it in groups.items():
        name = f"[{group}]" if group else "At the top"
        head = ("setting", "meaning", "default", "allowed", "type", "variable")
        body = [
            (
                code(s["path"]),
                cell(s["meaning"]),
                code(s["default"]) or "none",
                _allowed(s["allowed"]),
                s["type"],
                code(s["variable"]),
            )
            for s in of_it
        ]
        parts.append(f"### {name}\n\n{rows(head, body)}")
    return "\n\n".join(parts)


def _allowed(text: str) -> str:
    return f"form {code(text.removeprefix('form '))}" if text.startswith("form ") else cell(text)


def verbs(told: Told) -> str:
    """Every verb of the command line with what it takes."""
    parts = []
    for verb in told.verbs:
        body = [
            (
                code(knob.names),
                cell(knob.meaning),
                "required" if knob.required else code(knob.shown),
            )
            for knob in verb.knobs
        ]
        taken = rows(("takes", "meaning", "default"), body) if body else "It takes nothing else."
        parts.append(f"### {verb.name}\n\n{verb.help}\n\n{taken}")
    return "\n\n".join(parts)


def telemetry(told: Told) -> str:
    """Every name that is counted under."""
    names = told.telemetry.names() if told.telemetry is not None else []
    head = ("name", "meaning", "type", "labels")
    body = [
        (code(name.name), cell(name.meaning), name.type, ", ".join(map(code, name.labels)))
        for name in names
    ]
    return rows(head, body)


def tables(told: Told) -> str:
    """Every kind of row: its columns, and what its table is called on each venue."""
    return "\n\n".join(_kind(kind, told.venues) for kind in (*MARKET_KINDS, STANDARD.kind))


def _kind(kind: Kind, venues: Sequence[Venue]) -> str:
    names = ", ".join(code(table(venue.name, kind)) for venue in venues)
    key = ", ".join(map(code, kind.key))
    body = [
        (
            code(column.name),
            code(TYPES[column.dtype]),
            cell(column.unit),
            "may be null" if column.nullable else "",
            _words(column),
        )
        for column in kind.columns
    ]
    about = f"{KIND_TEXTS.get(kind.name, '')} In SQL {names}; a row is known by {key}."
    found = rows(("column", "type", "meaning", "null", "words"), body)
    return f"### {kind.name}\n\n{about.strip()}\n\n{found}"


def _words(column: Column) -> str:
    return " ".join(map(code, column.words)) if isinstance(column.words, tuple) else ""


def views(told: Told) -> str:
    """The views beside the tables."""
    body = [
        (
            code(f"{venue.name}_{name}"),
            " ".join(map(code, ("ts", "symbol", "freq", *shown))),
            "the newest revision of " + ", ".join(code(m) for m in shown.values() if m),
        )
        for name, shown in VIEWS.items()
        for venue in told.venues
    ]
    return rows(("view", "columns", "meaning"), body)


def metrics(told: Told) -> str:
    """Every metric: what it is, how it is computed, what it gives."""
    return "\n\n".join(_metric(metric, told.venues) for metric in STANDARD.metrics.values())


def _metric(metric: Metric, venues: Sequence[Venue]) -> str:
    about = [
        ("in short", cell(metric.description)),
        ("parameters", ", ".join(f"{name} {value}" for name, value in metric.parameters) or "none"),
        ("reads", ", ".join(metric.inputs)),
        ("warm-up", f"null on the first {metric.warmup} bars" if metric.warmup else _NO_WARMUP),
        ("timeframes", " ".join(metric.timeframes)),
        ("venues", ", ".join(v.title for v in venues if metric.arguments(terms_of(v)) is not None)),
    ]
    outputs = [
        (code(output.name), code(column.name), cell(output.unit))
        for output, column in zip(metric.outputs, metric.columns, strict=True)
    ]
    return "\n\n".join(
        (
            f"### {metric.name}",
            metric.definition.strip(),
            rows(("about", "what"), about),
            rows(("output", "column", "meaning"), outputs),
        )
    )


PARTS: dict[str, Callable[[Told], str]] = {
    "settings": settings,
    "verbs": verbs,
    "telemetry": telemetry,
    "tables": tables,
    "views": views,
    "metrics": metrics,
}
