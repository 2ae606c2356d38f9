"""The parts of the docs that are made, as Markdown: nothing here repeats what the program knows.

Settings and command-line verbs come as plain data from above (`Told`), columns from
model/schema.py, metrics from their catalogue, telemetry from its registry; routes and streams are
api.py's. A page says `{{settings}}` on a line of its own where a part belongs.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bursa.metrics.catalog import FAMILIES, STANDARD, Catalogue
from bursa.metrics.describe import GROUP_TITLES
from bursa.metrics.metric import ALL_TIMEFRAMES, Metric, terms_of
from bursa.model.schema import MARKET_KINDS, Column, Kind, table
from bursa.model.venue import Venue
from bursa.ops.telemetry import Telemetry
from bursa.store.tables import TYPES, VIEWS
from bursa.web.docs.text import anchor_of

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
_DRAWN = {
    "line": "a line",
    "histogram": "a histogram",
    "direction": "a line coloured by its direction",
    "none": "in words only",
}


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

    settings   one mapping each: path, variable, type, default, allowed, meaning
    streams    the AsyncAPI document
    catalogue  the metrics in force
    """

    settings: Sequence[Mapping[str, str]] = ()
    verbs: Sequence[Verb] = ()
    streams: Mapping[str, Any] | None = None
    telemetry: Telemetry | None = None
    venues: Sequence[Venue] = ()
    catalogue: Catalogue = STANDARD


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
    return "\n\n".join(_kind(kind, told.venues) for kind in (*MARKET_KINDS, told.catalogue.kind))


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
    """Every metric by group: what it is, how it is computed, what it gives."""
    every = list(told.catalogue.metrics.values())
    parts = []
    for group, title in GROUP_TITLES.items():
        found = [metric for metric in every if metric.group == group]
        if found:
            parts.append(f"### {title}")
            parts += [_metric(metric, every, told.venues) for metric in found]
    return "\n\n".join(parts)


def _metric(metric: Metric, every: Sequence[Metric], venues: Sequence[Venue]) -> str:
    about = [
        ("in short", cell(metric.description)),
        ("parameters", ", ".join(f"{name} {value}" for name, value in metric.parameters) or "none"),
        ("reads", ", ".join(map(code, metric.inputs))),
        ("warm-up", f"null on the first {metric.warmup} bars" if metric.warmup else _NO_WARMUP),
        ("timeframes", _timeframes(metric)),
        ("on the chart", "over the prices" if metric.overlay else "in a pane of its own"),
        ("guides", ", ".join(f"{level:g}" for level in metric.guides) or "none"),
        ("venues", ", ".join(v.title for v in venues if metric.arguments(terms_of(v)) is not None)),
    ]
    outputs = [
        (code(output.name), code(column.name), cell(output.unit), _DRAWN[output.draw])
        for output, column in zip(metric.outputs, metric.columns, strict=True)
    ]
    return "\n\n".join(
        (
            f"#### {metric.name}",
            _definition(metric, every),
            rows(("about", "what"), about),
            rows(("output", "column", "meaning", "drawn as"), outputs),
        )
    )


def _definition(metric: Metric, every: Sequence[Metric]) -> str:
    """How it is computed; of those that differ in their parameters alone the first one says it."""
    first = next(one for one in every if one.definition == metric.definition)
    if first is metric:
        return metric.definition.strip()
    return f"{metric.description}. Defined as [{first.name}](#{anchor_of(first.name)})."


def _timeframes(metric: Metric) -> str:
    listed = " ".join(metric.timeframes)
    rest = len(metric.timeframes) < len(ALL_TIMEFRAMES)
    return f"{listed}; on others the value of the last minute" if rest else listed


def families(told: Told) -> str:
    """The families that `metrics.extra` can take members of."""
    body = [
        (
            code("_".join((family.name, *(p.name.upper() for p in family.parameters)))),
            ", ".join(f"{p.name} {p.least} to {p.most}" for p in family.parameters),
            ", ".join(code(m.name) for m in family.metrics),
        )
        for family in FAMILIES
        if family.make is not None
    ]
    return rows(("name", "meaning", "in every catalogue"), body)


PARTS: dict[str, Callable[[Told], str]] = {
    "settings": settings,
    "verbs": verbs,
    "telemetry": telemetry,
    "tables": tables,
    "views": views,
    "metrics": metrics,
    "families": families,
}
