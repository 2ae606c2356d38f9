"""A layout written as TOML -> a `Layout`, with errors that say where and what is allowed.

    name = "idx-2"
    level_bytes, depth_max, block_bytes_max     integers
    [types] [states] [aggressors] [boards]      code on the wire = "what it means"
    [trade] [snapshot] [book] [index] [contract] [status]
        length = bytes of the message (of a book: without levels), and its fields:
        price = { offset = 23, width = 4, kind = "i", scale = 2 }
    [header] [level]                            fields alone

A field's kind is the one that idx-1 has for it unless it says otherwise, its scale 0. Offsets and
what must hold between them: layout.py. Reads text only; feeds/layouts.py has the files.
"""

import tomllib
from collections.abc import Mapping
from typing import Any

from bursa.model.errors import Refuse
from bursa.wire.idx.layout import HEADER, IDX1, LEVEL, Field, Layout

_CODES = ("types", "states", "aggressors", "boards")
_NUMBERS = ("level_bytes", "depth_max", "block_bytes_max")
_MESSAGES = tuple(IDX1.lengths)
_FIELD_KEYS = ("offset", "width", "kind", "scale")
_KINDS = ("alpha", "text", "u", "i")
_NUMBER_MAX, _SCALE_MAX = 1 << 20, 18


def parse(text: str, where: str) -> Layout:
    """The layout of a TOML text; `where` names it in errors. Raises Refuse `bad_layout`."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Refuse(f"{where}: no TOML: {error}", "bad_layout", parameter=where) from None
    return _Reader(where).layout(tree)


class _Reader:
    """Reads one tree; every error names the file and the key."""

    def __init__(self, where: str) -> None:
        self._where = where

    def layout(self, tree: Mapping[str, Any]) -> Layout:
        known = ("name", *_NUMBERS, *_CODES, HEADER, LEVEL, *_MESSAGES)
        self._only(tree, "", known)
        name = tree.get("name")
        if not isinstance(name, str) or not name:
            raise self._wrong("name", "is missing: a text")
        level_bytes, depth_max, block_bytes_max = (
            self._number(tree, "", key, _NUMBER_MAX) for key in _NUMBERS
        )
        fields: list[Field] = []
        for message in (HEADER, *_MESSAGES, LEVEL):
            fields += self._fields(message, self._table(tree, message))
        lengths = {m: self._number(tree[m], m, "length", _NUMBER_MAX) for m in _MESSAGES}
        types, states, aggressors = (self._codes(k, self._table(tree, k)) for k in _CODES[:3])
        boards = self._codes("boards", tree["boards"]) if "boards" in tree else {}
        try:
            return Layout(
                name,
                tuple(fields),
                types,
                lengths,
                level_bytes,
                depth_max,
                block_bytes_max,
                states,
                aggressors,
                boards,
            )
        except Refuse as refused:
            what = f"{self._where}: {refused}"
            raise Refuse(what, "bad_layout", parameter=self._where) from None

    def _wrong(self, key: str, what: str) -> Refuse:
        return Refuse(f"{self._where}: {key} {what}", "bad_layout", parameter=key)

    def _only(self, table: Mapping[str, Any], path: str, known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                raise self._wrong(f"{path}{key}", f"is no key; allowed: {', '.join(known)}")

    def _table(self, tree: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        table = tree.get(key)
        if not isinstance(table, dict):
            raise self._wrong(key, "is missing: a table")
        return table

    def _number(self, table: Mapping[str, Any], path: str, key: str, most: int) -> int:
        value = table.get(key)
        if type(value) is not int or not 0 <= value <= most:
            at = f"{path}.{key}" if path else key
            said = "is missing" if value is None else f"is {value!r}"
            raise self._wrong(at, f"{said}: an integer from 0 to {most}")
        return value

    def _codes(self, key: str, table: Any) -> dict[str, str]:
        if not isinstance(table, dict):
            raise self._wrong(key, f"is {table!r}: a table of code = meaning")
        for code, meaning in table.items():
            if not isinstance(meaning, str):
                raise self._wrong(f"{key}.{code}", f"is {meaning!r}: a text")
            if not code.isascii():
                raise self._wrong(f"{key}.{code}", "is no ASCII")
        return dict(table)

    def _fields(self, message: str, table: Mapping[str, Any]) -> list[Field]:
        ours = {f.name: f for f in IDX1.fields if f.message == message}
        own = () if message in (HEADER, LEVEL) else ("length",)
        self._only(table, f"{message}.", (*own, *ours))
        return [self._field(f, table[name]) for name, f in ours.items() if name in table]

    def _field(self, ours: Field, table: Any) -> Field:
        path = f"{ours.message}.{ours.name}"
        if not isinstance(table, dict):
            raise self._wrong(path, f"is {table!r}: a table of {', '.join(_FIELD_KEYS)}")
        self._only(table, f"{path}.", _FIELD_KEYS)
        kind = table.get("kind", ours.kind)
        if kind not in _KINDS:
            raise self._wrong(f"{path}.kind", f"is {kind!r}; allowed: {', '.join(_KINDS)}")
        if (kind in "ui") != (ours.kind in "ui"):
            raise self._wrong(f"{path}.kind", f"is {kind!r}, but the field is of {ours.kind!r}")
        scale = self._number(table, path, "scale", _SCALE_MAX) if "scale" in table else 0
        if scale and kind not in "ui":
            raise self._wrong(f"{path}.scale", "is for numbers")
        offset = self._number(table, path, "offset", _NUMBER_MAX)
        return Field(
            ours.message,
            ours.name,
            offset,
            self._number(table, path, "width", _NUMBER_MAX),
            kind,
            scale,
        )
