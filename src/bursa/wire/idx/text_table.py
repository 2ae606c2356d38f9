"""The text form's table: which field of a line goes where in a layout's message, as data.

A line is a message's fields in the profile's order, whatever the layout; types, states, sides and
boards are written as the profile and the venue have them, and become the layout's codes here. Both
directions read this: text.py (lines to blocks, compiled) and lines.py (messages
to lines).
"""

import numpy as np
from numpy.typing import NDArray

from bursa.model.schema import AGGRESSORS, STATES
from bursa.wire.idx.layout import HEADER, KINDS, LEVEL, Field, Layout

# What a field is.
UNSIGNED, SIGNED, TEXT, TICKER, BOARD, STATE, AGGRESSOR = range(7)
# The table, int64: the layout's code of a state's and of a side's character, then single cells.
STATE_CODES, AGGRESSOR_CODES = 0, 256
# DEPTH is the cell of a book's number of levels; behind it stand those of a level.
NO_TYPE, DEPTH_MAX, LEVEL_BYTES, DEPTH, LONGEST, BOARDS_COUNT = range(512, 518)
BOARD_NAMES, BOARD_CODES = 520, 536
# Five cells a digit: kind of message (0: none), its first field, how many, its code, its length.
TYPES_AT, TYPE_CELLS = 552, 5
KIND, FIRST, COUNT, CODE, LENGTH = range(5)
# Five cells a field, in a line's order.
FIELDS_AT, FIELD_CELLS = 608, 5
OP, OFFSET, WIDTH, SCALE, MAY_BE_EMPTY = range(5)

BOARD_NAME_BYTES = 8
NO_CODE = 0xFF
"""A byte that no code, no ticker and no board has: what a word becomes that the layout lacks."""

_TYPES = {"trade": 1, "snapshot": 2, "book_bid": 3, "book_ask": 4, "index": 5, "contract": 6}
TYPES = _TYPES | {"status": 9}
"""Message -> its type in a line, a digit."""

_BODIES: dict[str, tuple[str, ...]] = {
    "trade": ("ticker", "board", "trade_no", "price", "volume", "aggressor"),
    "snapshot": (
        *("ticker", "board", "prev", "open", "high", "low", "last", "volume", "value", "trades"),
        *("bid", "bid_volume", "ask", "ask_volume"),
    ),
    "book": ("ticker", "board"),
    "index": ("ticker", "value", "prev", "value_traded"),
    "contract": ("ticker", "board", "name", "isin", "lot", "currency", "prev_close"),
    "status": ("state", "next_seq"),
}
_LEVEL = ("price", "volume", "orders")
_PRICES = frozenset("price prev open high low last bid ask prev_close".split())
_WORDS = {
    "ticker": TICKER,
    "board": BOARD,
    "state": STATE,
    "aggressor": AGGRESSOR,
    "name": TEXT,
    "isin": TEXT,
    "currency": TEXT,
}


def text_table(layout: Layout, boards: tuple[str, ...]) -> NDArray[np.int64]:
    """The table of the kernel for a layout and a venue's boards: int64 (n,). Refuses (`bad_layout`)
    boards whose names are longer than BOARD_NAME_BYTES."""
    ops: list[tuple[int, ...]] = []
    table = np.zeros(FIELDS_AT, np.int64)
    type_codes = {message: code for code, message in layout.types.items()}
    for number, kind in enumerate(KINDS, 1):
        base = "book" if kind.startswith("book_") else kind
        first = len(ops)
        ops += [_op(field) for _, field in fields_of(layout, kind)]
        what = number, _cell(first), len(ops) - first, ord(type_codes[kind]), layout.lengths[base]
        at = TYPES_AT + TYPE_CELLS * TYPES[kind]
        table[at : at + TYPE_CELLS] = what
    table[DEPTH] = _cell(len(ops))
    ops += [_op(field) for field in (layout["book", "depth"], *level_of(layout))]
    table[NO_TYPE] = next(byte for byte in range(256) if chr(byte) not in layout.types)
    table[DEPTH_MAX], table[LEVEL_BYTES] = layout.depth_max, layout.level_bytes
    table[LONGEST] = layout.longest
    _put_codes(table, layout, boards)
    return np.concatenate([table, np.array(ops, np.int64).ravel()])


def _cell(op: int) -> int:
    return FIELDS_AT + FIELD_CELLS * op


def fields_of(layout: Layout, kind: str) -> list[tuple[int, Field]]:
    """What a message's line has behind its type, but for levels: (what it is, the field)."""
    base = "book" if kind.startswith("book_") else kind
    pairs = [*((HEADER, name) for name in ("seq", "ts")), *((base, n) for n in _BODIES[base])]
    fields = [layout[pair] for pair in pairs]
    return [(_op_of(field), field) for field in fields]


def level_of(layout: Layout) -> list[Field]:
    """A level's fields in a line's order."""
    return [layout[LEVEL, name] for name in _LEVEL]


def _op_of(field: Field) -> int:
    return _WORDS.get(field.name, SIGNED if field.kind == "i" else UNSIGNED)


def _op(field: Field) -> tuple[int, ...]:
    return _op_of(field), field.offset, field.width, field.scale, int(field.name in _PRICES)


def _put_codes(table: NDArray[np.int64], layout: Layout, boards: tuple[str, ...]) -> None:
    table[STATE_CODES : STATE_CODES + 512] = NO_CODE
    for code, state in layout.states.items():
        if state in STATES and len(state) == 1:
            table[STATE_CODES + ord(state)] = ord(code)
    for code, side in layout.aggressors.items():
        if side in AGGRESSORS:
            table[AGGRESSOR_CODES + ord(side)] = ord(code)
        elif not side:
            table[AGGRESSOR_CODES + ord(" ")] = ord(code)
    table[BOARDS_COUNT] = len(boards)
    for at, (board, wire) in enumerate(zip(boards, layout.board_codes(boards), strict=True)):
        name = board.encode("ascii").ljust(BOARD_NAME_BYTES)
        if len(name) > BOARD_NAME_BYTES:
            raise layout.wrong(f"the text form takes boards of {BOARD_NAME_BYTES} letters at most")
        table[BOARD_NAMES + at] = int.from_bytes(name, "big")
        table[BOARD_CODES + at] = int.from_bytes(wire, "big")
