"""Where each field lies in a message: the wire's layout as data, and the form the kernel reads.

`IDX1` is the profile idx-1: a big-endian ITCH-like protocol of seven messages. Each begins with
type (1 byte), seq (u64: counted per channel and trading day, from 1) and ts (u64: ns since 1970
UTC). Text is ASCII, left-justified, padded with blanks. Prices are integers in 1/10,000 of the
currency, 0 is none. A vendor who packs the same messages otherwise gets another table, not another
decoder: offsets, widths (to 8 bytes), scales, type codes, lengths and the codes of states, sides
and boards are all read from here.

A book message is its fields and then `depth` levels; a level's offsets count from its beginning.
Does not decode (decoder.py does).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bursa.model.errors import Refuse
from bursa.model.schema import AGGRESSORS, STATES

# What the kernel calls a message; the numbers are kinds in the compiled table.
TRADE, SNAPSHOT, BOOK_BID, BOOK_ASK, INDEX, CONTRACT, STATUS = 1, 2, 3, 4, 5, 6, 7
KINDS = ("trade", "snapshot", "book_bid", "book_ask", "index", "contract", "status")

HEADER, LEVEL = "header", "level"
"""Messages of a `Field` that is in every message, and in every level of a book."""

# Fields the kernel reads, by message, in the order in which their rows stand in the table.
_NUMBERS: dict[str, tuple[str, ...]] = {
    HEADER: ("seq", "ts"),
    "trade": ("ticker", "board", "trade_no", "price", "volume", "aggressor"),
    "snapshot": (
        *("ticker", "board", "prev", "open", "high", "low", "last", "volume", "value", "trades"),
        *("bid", "bid_volume", "ask", "ask_volume"),
    ),
    "book": ("ticker", "board", "depth"),
    LEVEL: ("price", "volume", "orders"),
    "index": ("ticker", "value", "prev", "value_traded"),
    "contract": ("ticker", "board", "prev_close"),
    "status": ("state", "next_seq"),
}
_TEXTS = {"contract": ("name", "isin", "lot", "currency")}
# What may be below zero on the wire, to be refused: prices. What is counted, and has no scale.
_PRICES = frozenset("price prev open high low last bid ask prev_close".split())
_COUNTS = frozenset("seq ts trade_no trades depth orders lot next_seq".split())
_SESSIONS = tuple(state for state in STATES if len(state) == 1)

# The compiled table, int64: what a type byte is, lengths, limits, codes, then four cells a field.
LENGTHS = 256
BLOCK_BYTES_MAX, LEVEL_BYTES, DEPTH_MAX, BOARDS_COUNT, LEVELS_PACKED = 264, 265, 266, 267, 268
BOARDS, BOARDS_MAX = 272, 16
STATE_OF, AGGRESSOR_OF = 512, 768
FIELDS = 1024
# The cells of a number: where its last eight bytes begin, which of their bits count, its sign bit
# (0: unsigned), the bits of the float to divide by. Those of a ticker: first and last eight bytes.
AT, MASK, SIGN, SCALE = 0, 1, 2, 3
LAST = 1
NO_CODE = -2
BLOCK_BYTES_MOST = 0x2FFF
"""A block's length begins below `0`, the first byte that a line of text may have."""


# The level of eight, eight and four bytes one after another: the kernel knows it by heart.
_PACKED_LEVEL = {("price", 0, 8), ("volume", 8, 8), ("orders", 16, 4)}


def _cells() -> dict[tuple[str, str], int]:
    pairs = [(message, name) for message, names in _NUMBERS.items() for name in names]
    return {pair: FIELDS + 4 * at for at, pair in enumerate(pairs)}


CELL = _cells()
"""(message, field) -> its first cell in the compiled table."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `kind`: alpha (ASCII), text (UTF-8), u or i (big-endian integer, to 8 bytes);
    `scale`: the integer is the value times 10**scale."""

    message: str
    name: str
    offset: int
    width: int
    kind: str
    scale: int = 0


@dataclass(frozen=True)
class Layout:
    """One vendor's table.

    types            type code -> message (a name of KINDS)
    lengths          message -> bytes; of the books: without levels
    level_bytes, depth_max   a level's length; more levels than this are refused
    block_bytes_max  a length past this means that framing is lost
    states, aggressors   code on the wire -> code of model/schema.py ("" is none)
    boards           code on the wire -> the venue's board; those not named stand for themselves

    Refuses a table that contradicts itself.
    """

    name: str
    fields: tuple[Field, ...]
    types: Mapping[str, str]
    lengths: Mapping[str, int]
    level_bytes: int
    depth_max: int
    block_bytes_max: int
    states: Mapping[str, str]
    aggressors: Mapping[str, str]
    boards: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_messages()
        for message in (*self._messages(), LEVEL):
            self._check_room(message)
        for message, names in (*_NUMBERS.items(), *_TEXTS.items()):
            for name in names:
                if (message, name) not in self._by_name:
                    raise self.wrong(f"{message}.{name} is missing")
        self._check_alike()

    def __getitem__(self, key: tuple[str, str]) -> Field:
        """The field of a message, by (message, name)."""
        return self._by_name[key]

    @cached_property
    def _by_name(self) -> dict[tuple[str, str], Field]:
        return {(f.message, f.name): f for f in self.fields}

    def _messages(self) -> list[str]:
        return list(dict.fromkeys(_base(kind) for kind in KINDS))

    def wrong(self, what: str) -> Refuse:
        """The error that says what is wrong with this table."""
        return Refuse(f"layout {self.name}: {what}", code="bad_layout", parameter=self.name)

    def _check_messages(self) -> None:
        if sorted(self.types.values()) != sorted(KINDS):
            raise self.wrong(f"types must name each of {', '.join(KINDS)} once")
        if any(not _is_code(code) for code in (*self.types, *self.states, *self.aggressors)):
            raise self.wrong("codes of types, states and sides are one ASCII character")
        if any(self.lengths.get(message, 0) <= 0 for message in self._messages()):
            raise self.wrong("every message needs its length")
        if not set(self.states.values()) <= set(_SESSIONS):
            raise self.wrong(f"states are of {', '.join(_SESSIONS)}")
        if not set(self.aggressors.values()) <= {*AGGRESSORS, ""}:
            raise self.wrong(f"aggressors are of {', '.join(AGGRESSORS)}")
        if self.level_bytes < 1 or self.depth_max < 0:
            raise self.wrong("level_bytes is 1 or more, depth_max 0 or more")
        if len(set(self.boards.values())) < len(self.boards):
            raise self.wrong("boards: each board has one code")
        if self.longest > self.block_bytes_max:
            raise self.wrong(f"a message of {self.longest} bytes is past the limit of a block")
        if self.block_bytes_max > BLOCK_BYTES_MOST:
            raise self.wrong(f"block_bytes_max is {BLOCK_BYTES_MOST:,} at most")

    @property
    def longest(self) -> int:
        """Bytes of the longest message."""
        return max(*self.lengths.values(), self.lengths["book"] + self.level_bytes * self.depth_max)

    def board_codes(self, boards: tuple[str, ...]) -> list[bytes]:
        """The bytes that stand for a venue's boards on the wire."""
        if others := sorted({*self.boards.values()} - {*boards}):
            raise self.wrong(f"boards: {', '.join(others)} is none of {', '.join(boards)}")
        width = self._by_name["trade", "board"].width
        on_wire = {board: code for code, board in self.boards.items()}
        codes = [on_wire.get(board, board).encode("ascii").ljust(width) for board in boards]
        for board, code in zip(boards, codes, strict=True):
            if len(code) != width:
                raise self.wrong(f"board {board} is longer than {width} bytes")
        if len(set(codes)) != len(codes):
            raise self.wrong(f"two of the boards {', '.join(boards)} have one code")
        return codes

    def _check_alike(self) -> None:
        """What the kernel takes to be so in all messages."""
        for name in ("ticker", "board"):
            if len({f.width for f in self.fields if f.name == name}) > 1:
                raise self.wrong(f"the width of {name} is the same in every message")
        depth = self._by_name["book", "depth"]
        if self.depth_max >> 8 * depth.width:
            raise self.wrong(f"depth_max {self.depth_max} does not fit book.depth")

    def _check_room(self, message: str) -> None:
        """Fields lie inside their message and do not overlap; widths fit what they hold."""
        room = self.level_bytes if message == LEVEL else self.lengths[message]
        taken = [] if message == LEVEL else [(0, 1, "type")]
        for f in self.fields:
            if f.message == message or (f.message == HEADER and message != LEVEL):
                taken.append((f.offset, f.width, f.name))
                self._check_width(f)
        taken.sort()
        for (offset, width, name), after in zip(taken, [*taken[1:], (room, 0, "")], strict=True):
            if offset < 0 or width < 1 or offset + width > after[0]:
                raise self.wrong(f"{message}.{name} runs past {after[2] or 'the end'}")

    def _check_width(self, f: Field) -> None:
        if f.scale and f.name in _COUNTS:
            raise self.wrong(f"{f.message}.{f.name} is counted, it has no scale")
        is_price = f.name in _PRICES or (f.message, f.name) == ("index", "value")
        if f.kind == "i" and not is_price:
            raise self.wrong(f"{f.message}.{f.name} has no sign, its kind is u")
        if f.name == "ticker":
            if f.kind != "alpha" or not 8 <= f.width <= 16:
                raise self.wrong(f"{f.message}.ticker is alpha of 8 to 16 bytes")
        elif f.name in ("state", "aggressor") and f.width != 1:
            raise self.wrong(f"{f.message}.{f.name} is one character")
        elif f.name in _NUMBERS.get(f.message, ()):
            before = self.lengths["book"] if f.message == LEVEL else 0
            if not 1 <= f.width <= 8 or before + f.offset + f.width < 8:
                what = "is a number of 1 to 8 bytes that ends 8 bytes or more into its message"
                raise self.wrong(f"{f.message}.{f.name} {what}")

    def compiled(self, boards: tuple[str, ...]) -> NDArray[np.int64]:
        """The table of the kernel for a venue's boards: int64 (n,)."""
        table = np.zeros(FIELDS + 4 * len(CELL), np.int64)
        for code, message in self.types.items():
            table[ord(code)] = KINDS.index(message) + 1
        for at, kind in enumerate(KINDS):
            table[LENGTHS + at + 1] = self.lengths[_base(kind)]
        table[BLOCK_BYTES_MAX] = self.block_bytes_max
        table[LEVEL_BYTES], table[DEPTH_MAX] = self.level_bytes, self.depth_max
        table[LEVELS_PACKED] = self.level_bytes == 20 and self._level() == _PACKED_LEVEL
        self._compile_codes(table, boards)
        for (message, name), cell in CELL.items():
            table[cell : cell + 4] = _field_cells(self._by_name[message, name])
        return table

    def _level(self) -> set[tuple[str, int, int]]:
        return {(f.name, f.offset, f.width) for f in self.fields if f.message == LEVEL}

    def _compile_codes(self, table: NDArray[np.int64], boards: tuple[str, ...]) -> None:
        if len(boards) > BOARDS_MAX:
            raise self.wrong(f"a venue has {BOARDS_MAX} boards at most")
        table[BOARDS_COUNT] = len(boards)
        for at, code in enumerate(self.board_codes(boards)):
            table[BOARDS + at] = int.from_bytes(code, "big")
        table[STATE_OF : STATE_OF + 256] = NO_CODE
        table[AGGRESSOR_OF : AGGRESSOR_OF + 256] = NO_CODE
        for code_text, state in self.states.items():
            table[STATE_OF + ord(code_text)] = STATES.index(state)
        for code_text, side in self.aggressors.items():
            table[AGGRESSOR_OF + ord(code_text)] = AGGRESSORS.index(side) if side else -1


def _is_code(code: str) -> bool:
    return len(code) == 1 and code.isascii()


def _base(kind: str) -> str:
    """Both sides of the book share one table."""
    return "book" if kind.startswith("book_") else kind


def _field_cells(f: Field) -> tuple[int, int, int, int]:
    if f.name == "ticker":
        return f.offset, f.offset + f.width - 8, 0, 0
    mask = -1 if f.width == 8 else (1 << 8 * f.width) - 1
    sign = 1 << (8 * f.width - 1) if f.kind == "i" and f.width < 8 else 0
    return f.offset + f.width - 8, mask, sign, int(np.float64(10**f.scale).view(np.int64))


IDX1 = Layout(
    name="idx-1",
    types={
        "1": "trade",
        "2": "snapshot",
        "3": "book_bid",
        "4": "book_ask",
        "5": "index",
        "6": "contract",
        "9": "status",
    },
    lengths={
        "trade": 56,
        "snapshot": 123,
        "book": 32,
        "index": 53,
        "contract": 118,
        "status": 26,
    },
    level_bytes=20,
    depth_max=10,
    block_bytes_max=1024,
    states={state: state for state in "P1B2CXEH"},
    aggressors={"B": "B", "S": "S", " ": ""},
    fields=(
        Field(HEADER, "seq", 1, 8, "u"),
        Field(HEADER, "ts", 9, 8, "u"),
        Field("trade", "ticker", 17, 12, "alpha"),
        Field("trade", "board", 29, 2, "alpha"),
        Field("trade", "trade_no", 31, 8, "u"),
        Field("trade", "price", 39, 8, "i", 4),
        Field("trade", "volume", 47, 8, "u"),
        Field("trade", "aggressor", 55, 1, "alpha"),
        Field("snapshot", "ticker", 17, 12, "alpha"),
        Field("snapshot", "board", 29, 2, "alpha"),
        Field("snapshot", "prev", 31, 8, "i", 4),
        Field("snapshot", "open", 39, 8, "i", 4),
        Field("snapshot", "high", 47, 8, "i", 4),
        Field("snapshot", "low", 55, 8, "i", 4),
        Field("snapshot", "last", 63, 8, "i", 4),
        Field("snapshot", "volume", 71, 8, "u"),
        Field("snapshot", "value", 79, 8, "u"),
        Field("snapshot", "trades", 87, 4, "u"),
        Field("snapshot", "bid", 91, 8, "i", 4),
        Field("snapshot", "bid_volume", 99, 8, "u"),
        Field("snapshot", "ask", 107, 8, "i", 4),
        Field("snapshot", "ask_volume", 115, 8, "u"),
        Field("book", "ticker", 17, 12, "alpha"),
        Field("book", "board", 29, 2, "alpha"),
        Field("book", "depth", 31, 1, "u"),
        Field(LEVEL, "price", 0, 8, "i", 4),
        Field(LEVEL, "volume", 8, 8, "u"),
        Field(LEVEL, "orders", 16, 4, "u"),
        Field("index", "ticker", 17, 12, "alpha"),
        Field("index", "value", 29, 8, "i", 4),
        Field("index", "prev", 37, 8, "i", 4),
        Field("index", "value_traded", 45, 8, "u"),
        Field("contract", "ticker", 17, 12, "alpha"),
        Field("contract", "board", 29, 2, "alpha"),
        Field("contract", "name", 31, 60, "text"),
        Field("contract", "isin", 91, 12, "alpha"),
        Field("contract", "lot", 103, 4, "u"),
        Field("contract", "currency", 107, 3, "alpha"),
        Field("contract", "prev_close", 110, 8, "i", 4),
        Field("status", "state", 17, 1, "alpha"),
        Field("status", "next_seq", 18, 8, "u"),
    ),
)
"""The profile idx-1 of the Indonesia Stock Exchange's feed."""
