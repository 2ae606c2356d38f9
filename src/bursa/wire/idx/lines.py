"""Messages of a layout -> lines of text, what a text recording is made of. Pure, in plain Python.

The other direction is text.py; what this writes becomes the very message again. A message
that the text form has no words for (an unknown type, a length that does not fit, a code of no
board, state or side) has no line.
"""

from collections.abc import Callable, Mapping

from bursa.model.schema import AGGRESSORS
from bursa.wire.idx.layout import Field, Layout
from bursa.wire.idx.text_table import (
    AGGRESSOR,
    BOARD,
    STATE,
    TEXT,
    TICKER,
    TYPES,
    fields_of,
    level_of,
)

_Reader = Callable[[bytes], bytes | None]
_BOOKS = ("book_bid", "book_ask")
_ESCAPES = ((b"\\", b"\\\\"), (b"|", b"\\p"), (b"\n", b"\\n"))


class LineWriter:
    """Writes lines for one layout and the boards of a venue."""

    def __init__(self, layout: Layout, boards: tuple[str, ...]) -> None:
        sides = {
            code: side if side in AGGRESSORS else " " for code, side in layout.aggressors.items()
        }
        words = {
            BOARD: dict(zip(layout.board_codes(boards), map(str.encode, boards), strict=True)),
            STATE: {code.encode(): state.encode() for code, state in layout.states.items()},
            AGGRESSOR: {code.encode(): side.encode() for code, side in sides.items()},
        }
        self._kinds = {}
        for code, kind in layout.types.items():
            fields = [(f, _reader(what, f, words)) for what, f in fields_of(layout, kind)]
            length = layout.lengths["book" if kind in _BOOKS else kind]
            self._kinds[ord(code)] = str(TYPES[kind]).encode(), fields, length, kind in _BOOKS
        self._depth = layout["book", "depth"]
        self._level = [(field, _decimal(field)) for field in level_of(layout)]
        self._level_bytes = layout.level_bytes

    def line(self, message: bytes) -> bytes | None:
        """The line of a message, without a line feed; None where it has none."""
        if not message or message[0] not in self._kinds:
            return None
        digit, fields, length, is_book = self._kinds[message[0]]
        if len(message) != length and not (is_book and len(message) > length):
            return None
        parts = [digit]
        for field, read in fields:
            part = read(_raw(message, 0, field))
            if part is None:
                return None
            parts.append(part)
        if is_book:
            levels = self._levels(message, length)
            if levels is None:
                return None
            parts += levels
        return b"|".join(parts)

    def _levels(self, message: bytes, start: int) -> list[bytes] | None:
        """How many, and all of them."""
        depth = int.from_bytes(_raw(message, 0, self._depth), "big")
        end = start + depth * self._level_bytes
        if len(message) != end:
            return None
        starts = range(start, end, self._level_bytes)
        levels = (
            b":".join([read(_raw(message, at, field)) for field, read in self._level])
            for at in starts
        )
        return [b"%d" % depth, b",".join(levels)]


def _raw(message: bytes, at: int, field: Field) -> bytes:
    return message[at + field.offset : at + field.offset + field.width]


def _reader(what: int, field: Field, words: Mapping[int, Mapping[bytes, bytes]]) -> _Reader:
    if what in words:
        return words[what].get
    return _text if what in (TEXT, TICKER) else _decimal(field)


def _text(raw: bytes) -> bytes:
    raw = raw.rstrip(b" ")
    for letter, written in _ESCAPES:
        raw = raw.replace(letter, written)
    return raw


def _decimal(field: Field) -> Callable[[bytes], bytes]:
    """Of a number: without a point where it is whole, without zeros at its end."""
    signed, one = field.kind == "i", 10**field.scale

    def written(raw: bytes) -> bytes:
        value = int.from_bytes(raw, "big", signed=signed)
        if not value % one:
            return b"%d" % (value // one)
        whole, part = divmod(abs(value), one)
        digits = (b"%0*d" % (field.scale, part)).rstrip(b"0")
        return b"%s%d.%s" % (b"-" if value < 0 else b"", whole, digits)

    return written
