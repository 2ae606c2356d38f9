"""Settings as people are told of them: what there is, what it means, what is in force.

For `bursa config show`, the docs and refusals. Sources stand once, as `feeds.NAME.*`: a key that
several types of source have is told once.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple, get_args

import msgspec
from msgspec import Meta, Struct

from bursa.config.form import meaning, words
from bursa.config.sources import DEFAULT, TYPES
from bursa.config.tree import Config, Loaded

PREFIX = "BURSA_"
SECRETS = ("password", "secret", "token")
MASK = "********"
# The password of a URL: of its user, or a parameter.
_IN_URL = re.compile(r"(://[^/@:\s]*:)[^/@\s]+(?=@)|([?&]password=)[^&\s]+")
FEEDS = "feeds.NAME."


class Setting(Struct, frozen=True):
    """One setting as people are told of it.

    allowed  words, bounds or form of the value; empty: whatever is of the type
    """

    path: str
    variable: str
    type: str
    default: str
    allowed: str
    meaning: str


def variable(path: str) -> str:
    """The environment variable of a dotted path."""
    return PREFIX + path.upper().replace(".", "_")


def leaves(table: type[Struct] = Config, above: str = "") -> Iterator[tuple[str, Any, str]]:
    """(dotted path, default, meaning) of every value; sources stand once, as `feeds.NAME.*`."""
    for path, field in _fields(table, above):
        default = None if field.default is msgspec.NODEFAULT else field.default
        yield path, default, meaning(field.type)


def settings(table: type[Struct] = Config) -> Iterator[Setting]:
    """Every value as people are told of it, in the order of `leaves`."""
    in_force = dict(flatten(msgspec.to_builtins(table())))
    for path, field in _fields(table):
        default = in_force.get(path, field.default)
        kind, notes = field.type, []
        while hasattr(kind, "__metadata__"):
            notes += [note for note in kind.__metadata__ if isinstance(note, Meta)]
            kind = get_args(kind)[0]
        bounds = (
            f"{word} {value}"
            for note in notes
            for limit, word in _LIMITS.items()
            if (value := getattr(note, limit)) is not None
        )
        yield Setting(
            path,
            variable(path),
            _TYPES.get(kind, "string"),
            "" if default is msgspec.NODEFAULT else json.dumps(default),
            ", ".join(words(field.type)) or "; ".join(bounds),
            meaning(field.type),
        )


_TYPES = {
    int: "integer",
    float: "number",
    bool: "true or false",
    tuple[str, ...]: "list of strings",
}
_LIMITS = {
    "ge": "at least",
    "gt": "more than",
    "le": "at most",
    "max_length": "longest",
    "pattern": "form",
}


class _Field(NamedTuple):
    """A key of a table, as msgspec tells of one."""

    type: Any
    default: Any


def _fields(table: type[Struct], above: str = "") -> Iterator[tuple[str, _Field]]:
    """(dotted path, field) of every value."""
    for field in msgspec.structs.fields(table):
        path = f"{above}{field.name}"
        if isinstance(field.type, type) and issubclass(field.type, Struct):
            yield from _fields(field.type, f"{path}.")
        elif path == "feeds":
            yield from _source_fields()
        else:
            yield path, _Field(field.type, field.default)


def _source_fields() -> Iterator[tuple[str, _Field]]:
    """The keys of all types of source, `type` first; a key that several have is told once, with
    what it means to each."""
    note = Meta(description="what kind of line it is")
    yield f"{FEEDS}type", _Field(Annotated[Literal[tuple(TYPES)], note], DEFAULT)
    seen: dict[str, tuple[_Field, dict[str, list[str]]]] = {}
    for name, table in TYPES.items():
        for field in msgspec.structs.fields(table):
            first = _Field(field.type, field.default)
            found, said = seen.setdefault(field.name, (first, {}))
            if _limits(found.type) != _limits(field.type):  # what does not hold of all is not told
                seen[field.name] = (_Field(_bare(field.type), found.default), said)
            said.setdefault(meaning(field.type), []).append(name)
    for key, (found, said) in seen.items():
        everywhere = len(said) == 1 and sum(map(len, said.values())) == len(TYPES)
        told = "; ".join(
            text if everywhere else f"{', '.join(names)}: {text}" for text, names in said.items()
        )
        yield f"{FEEDS}{key}", _Field(Annotated[found.type, Meta(description=told)], found.default)


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if hasattr(kind, "__metadata__") else kind


def _limits(kind: Any) -> list[Any]:
    notes = (note for note in getattr(kind, "__metadata__", ()) if isinstance(note, Meta))
    return [[getattr(note, limit) for limit in _LIMITS] for note in notes]


def rows(loaded: Loaded) -> list[tuple[str, Any, str]]:
    """(dotted path, value, origin) of every value in force, secrets masked, for `config show`."""
    out: list[tuple[str, Any, str]] = []
    for path, value in flatten(msgspec.to_builtins(loaded.config)):
        if path.endswith(SECRETS) and value:
            value = MASK
        elif isinstance(value, str):
            value = _IN_URL.sub(rf"\1\2{MASK}", value)
        out.append((path, value, loaded.origins.get(path, "default")))
    return out


def flatten(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of every leaf of a tree of tables."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def choices(path: str, table: type[Struct] = Config) -> tuple[str, ...]:
    """The words a value may be, where it is one of a few."""
    return next((words(field.type) for found, field in _fields(table) if found == path), ())
