"""A refused message as a person reads it: its bytes in hexadecimal, and what each field says.

Reads by the same tables as the decoders, and judges nothing: a field that lies past the end is told
as missing, a number as it stands. Text lines and JSON need no table.
"""

import json
from collections.abc import Iterator

from bursa.model.batch import LINES
from bursa.model.errors import Reject
from bursa.wire.idx.layout import HEADER, IDX1, LEVEL, Field, Layout
from bursa.wire.itch50 import layout as itch50_layout

LEVELS_MAX = 100
# (field, value) of one message.
Told = tuple[str, str]


def dump(data: bytes, bytes_max: int = 4096) -> Iterator[str]:
    """Sixteen bytes a line: offset, hexadecimal, ASCII."""
    for at in range(0, min(len(data), bytes_max), 16):
        part = data[at : min(at + 16, bytes_max)]
        pairs = " ".join(f"{byte:02x}" for byte in part)
        letters = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        yield f"{at:06x}  {pairs:<47}  {letters}"
    if len(data) > bytes_max:
        yield f"... {len(data) - bytes_max:,} bytes more"


def fields(venue: str, form: int, data: bytes, layout: Layout = IDX1) -> list[Told]:
    """What each field says; [] where nothing can be told. form: BLOCKS, SOUPBIN or LINES."""
    if form == LINES:
        return _line(data)
    if venue == "xnas":
        return _itch(data)
    return _idx(data, layout)


def _line(data: bytes) -> list[Told]:
    """A line of text, its fields by number, or a JSON object by its keys."""
    text = data.decode("utf-8", "backslashreplace")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return [(str(at), part) for at, part in enumerate(text.split("|"))]
    if isinstance(found, dict):
        return [(str(key), json.dumps(value)[:200]) for key, value in found.items()]
    return [("value", json.dumps(found)[:200])]


def _itch(data: bytes) -> list[Told]:
    try:
        return [(name, str(value)) for name, value in itch50_layout.fields(data).items()]
    except Reject as reject:
        return [("", str(reject))]


def _idx(data: bytes, layout: Layout) -> list[Told]:
    kind = layout.types.get(chr(data[0]), "") if data else ""
    if not kind:
        return [("type", f"{data[:1]!r}: none of {' '.join(sorted(layout.types))}")]
    message = "book" if kind.startswith("book_") else kind
    wanted = layout.lengths[message]
    told = [("type", f"{chr(data[0])} {kind}")]
    told += [_told(f, data, 0) for f in layout.fields if f.message in (HEADER, message)]
    if message == "book" and len(data) >= wanted:
        depth = layout["book", "depth"]
        levels = int.from_bytes(data[depth.offset : depth.offset + depth.width], "big")
        for level in range(min(levels, LEVELS_MAX)):
            start = wanted + level * layout.level_bytes
            one = [_told(f, data, start)[1] for f in layout.fields if f.message == LEVEL]
            told.append((f"level {level}", " ".join(one)))
        wanted += levels * layout.level_bytes
    if len(data) != wanted:
        told.append(("length", f"{len(data)} bytes, a {kind} has {wanted}"))
    return told


def _told(f: Field, data: bytes, start: int) -> Told:
    raw = data[start + f.offset : start + f.offset + f.width]
    if len(raw) < f.width:
        return f.name, "missing"
    if f.kind in ("alpha", "text"):
        return f.name, repr(raw.decode("utf-8", "backslashreplace").rstrip(" "))
    value = int.from_bytes(raw, "big", signed=f.kind == "i")
    return f.name, f"{value / 10**f.scale:.{f.scale}f}" if f.scale else str(value)
