"""Lines of text -> blocks of a layout: what makes the text form the binary one. Kernel code.

`transcode` writes every line as the block that a vendor would have sent, so that walk.py,
which knows no text, gives the same rows for both. No meaning is read here: a word that the layout
has no code for is written as bytes that are none, a number below zero as one below zero, and the
decoder refuses them as it always does. What cannot be written at all is refused with a reason of
this file, and stands in the blocks as one byte that is no type, so that it is refused in its turn:

    bad_line     no digit and `|` in front; a field too many or too few
    bad_field    no number, or none that fits its field; more decimals than the layout's scale; a
                 text that is too long; a backslash before another letter than `p`, `n` or itself
    bad_length   a book that says another number of levels than it has
    too_deep     more levels than the layout allows

A price may be empty, which is 0: none. A book's number of levels may be left out. Empty lines are
passed over. Numbers are exact: decimals never pass through a float.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.model.batch import (
    BLOCKS,
    FRAMES,
    LINES,
    SPAN_END,
    SPAN_FORM,
    SPAN_KIND,
    SPAN_START,
    Block,
    Chunk,
)
from bursa.wire.idx.layout import BOOK_ASK, BOOK_BID
from bursa.wire.idx.rows import BAD_FIELD, BAD_LENGTH, BAD_LINE, TOO_DEEP
from bursa.wire.idx.text_table import (
    AGGRESSOR,
    AGGRESSOR_CODES,
    BOARD,
    BOARD_CODES,
    BOARD_NAME_BYTES,
    BOARD_NAMES,
    BOARDS_COUNT,
    CODE,
    COUNT,
    DEPTH,
    DEPTH_MAX,
    FIELD_CELLS,
    FIRST,
    KIND,
    LENGTH,
    LEVEL_BYTES,
    LONGEST,
    MAY_BE_EMPTY,
    NO_CODE,
    NO_TYPE,
    OFFSET,
    OP,
    SCALE,
    SIGNED,
    STATE,
    STATE_CODES,
    TEXT,
    TICKER,
    TYPE_CELLS,
    TYPES_AT,
    UNSIGNED,
    WIDTH,
)
from bursa.wire.loads import INLINE, KERNEL, byte

# Rows of `lines`, a column a block that was a line: where its message stands among the blocks,
# where the line stood, its bytes, why it is refused (0: the decoder says).
LINE_BODY, LINE_START, LINE_SIZE, LINE_REASON = range(4)
LINE_ROWS = 4
# Where `transcode` stopped: record, bytes of it read, bytes written, lines told.
_RECORD, _READ, _WRITTEN, _TOLD = range(4)

_BAR, _LF, _BACKSLASH, _COMMA, _COLON = (ord(c) for c in "|\n\\,:")
_DOT, _MINUS, _ZERO, _NINE, _BLANK, _P, _N = (ord(c) for c in ".-09 pn")
_U64_TENTH = np.uint64((2**64 - 1) // 10)
_U64_LAST = np.uint64(2**64 - 1 - (2**64 - 1) // 10 * 10)
_TEN = np.uint64(10)


class Transcript:
    """A chunk whose lines became blocks, and what each was.

    chunk    to be decoded in the place of the other one
    """

    def __init__(self, chunk: Chunk, table: Block) -> None:
        self._source = chunk
        spans = chunk.spans.copy()
        longest = int(table[LONGEST]) + 2
        out = np.empty(2 * len(chunk.frames) + longest, np.uint8)
        lines = np.empty((LINE_ROWS, max(len(chunk.frames) // 32, 16)), np.int64)
        at = np.zeros(4, np.int64)
        while not transcode(chunk.frames, chunk.spans, table, out, spans, lines, at):
            out = np.concatenate([out, np.empty_like(out)])
            lines = np.concatenate([lines, np.empty_like(lines)], axis=1)
        self._lines = lines[:, : at[_TOLD]]
        self.chunk = Chunk(out, spans, chunk.span)

    def line(self, record: int, at: int) -> tuple[int, int, int] | None:
        """Start, size and reason of the line whose message stands `at` among the blocks; None
        where the record was none of lines."""
        if self._source.spans[SPAN_FORM, record] != LINES:
            return None
        column = int(np.searchsorted(self._lines[LINE_BODY], at, "right")) - 1
        _, start, size, reason = self._lines[:, column].tolist()
        return start, size, reason


@njit(**KERNEL)
def transcode(
    frames: NDArray[np.uint8],
    spans: Block,
    table: Block,
    out: NDArray[np.uint8],
    out_spans: Block,
    lines: Block,
    at: Block,
) -> bool:
    """Write the records' bytes to `out`, lines as blocks; go on from where `at` says.

    out_spans   a copy of spans; starts, ends and forms are set
    lines       int64 (LINE_ROWS, capacity)
    at          int64 (4,), zeros at first
    returns     False where `out` or `lines` is full: call again with larger ones, their first
                parts unchanged
    """
    while at[_RECORD] < spans.shape[1]:
        record = at[_RECORD]
        start, end = spans[SPAN_START, record], spans[SPAN_END, record]
        if at[_READ] == 0:
            out_spans[SPAN_START, record] = at[_WRITTEN]
        if spans[SPAN_KIND, record] == FRAMES and spans[SPAN_FORM, record] == LINES:
            if not _record(frames, start, end, table, out, lines, at):
                return False
            out_spans[SPAN_FORM, record] = BLOCKS
        else:
            if out.shape[0] - at[_WRITTEN] < end - start:
                return False
            for i in range(start, end):
                out[at[_WRITTEN] + i - start] = frames[i]
            at[_WRITTEN] += end - start
        out_spans[SPAN_END, record] = at[_WRITTEN]
        at[_RECORD] = record + 1
        at[_READ] = 0
    return True


@njit(**KERNEL)
def _record(
    frames: NDArray[np.uint8],
    start: int,
    end: int,
    table: Block,
    out: NDArray[np.uint8],
    lines: Block,
    at: Block,
) -> bool:
    """The lines of one record; False where there is no room for the next."""
    here = start + at[_READ]
    while here < end:
        stop = _find(frames, here, end, _LF)
        if stop > here:
            if out.shape[0] - at[_WRITTEN] < table[LONGEST] + 2 or at[_TOLD] == lines.shape[1]:
                return False
            block = at[_WRITTEN]
            size, reason = _line(frames, here, stop, table, out, block + 2)
            if reason != 0:
                size = 1
                out[block + 2] = table[NO_TYPE]
            out[block], out[block + 1] = size >> 8, size & 255
            n = at[_TOLD]
            lines[LINE_BODY, n] = block + 2
            lines[LINE_START, n] = here
            lines[LINE_SIZE, n] = stop - here
            lines[LINE_REASON, n] = reason
            at[_TOLD] = n + 1
            at[_WRITTEN] = block + 2 + size
        here = stop + 1
        at[_READ] = here - start
    return True


@njit(**INLINE)
def _find(frames: NDArray[np.uint8], start: int, end: int, what: int) -> int:
    """Where a byte stands first in [start, end); `end` where it does not."""
    at = start
    while at < end and frames[at] != what:
        at += 1
    return at


@njit(**KERNEL)
def _line(
    frames: NDArray[np.uint8],
    start: int,
    end: int,
    table: Block,
    out: NDArray[np.uint8],
    body: int,
) -> tuple[int, int]:
    """Write the message of the line in [start, end) at `body`: (its length, why it cannot be)."""
    if end - start < 2 or frames[start + 1] != _BAR:
        return 0, BAD_LINE
    digit = byte(frames, start) - _ZERO
    if digit < 0 or digit > 9:
        return 0, BAD_LINE
    kind = TYPES_AT + TYPE_CELLS * digit
    if table[kind + KIND] == 0:  # the decoder knows it as an unknown type
        out[body] = table[NO_TYPE]
        return 1, 0
    length = table[kind + LENGTH]
    for i in range(body, body + length):
        out[i] = 0
    out[body] = table[kind + CODE]
    at, fields_end = start + 2, table[kind + FIRST] + FIELD_CELLS * table[kind + COUNT]
    for op in range(table[kind + FIRST], fields_end, FIELD_CELLS):
        if at > end:
            return 0, BAD_LINE
        stop = _find(frames, at, end, _BAR)
        reason = _field(frames, at, stop, table, op, out, body)
        if reason != 0:
            return 0, reason
        at = stop + 1
    if table[kind + KIND] == BOOK_BID or table[kind + KIND] == BOOK_ASK:
        return _levels(frames, at, end, table, out, body, length)
    return (length, 0) if at == end + 1 else (0, BAD_LINE)


@njit(**KERNEL)
def _levels(
    frames: NDArray[np.uint8],
    start: int,
    end: int,
    table: Block,
    out: NDArray[np.uint8],
    body: int,
    length: int,
) -> tuple[int, int]:
    """The end of a book's line, `number|levels` or levels alone, as `_line`; `length` is the
    message's without levels."""
    stop = _find(frames, start, end, _BAR)
    if start > end or _find(frames, stop + 1, end, _BAR) < end:
        return 0, BAD_LINE
    first = stop + 1 if stop < end else start
    depth, reason = _each_level(frames, first, end, table, out, body + length)
    said = np.uint64(depth)
    if reason == 0 and stop < end:
        ok, said = _decimal(frames, start, stop, 0)
        reason = 0 if ok else BAD_FIELD
    if reason == 0 and said != np.uint64(depth):
        reason = BAD_LENGTH
    _store(out, body, table, table[DEPTH], np.uint64(depth))
    return length + depth * table[LEVEL_BYTES], reason


@njit(**KERNEL)
def _each_level(
    frames: NDArray[np.uint8],
    start: int,
    end: int,
    table: Block,
    out: NDArray[np.uint8],
    body: int,
) -> tuple[int, int]:
    """Levels, `price:volume:orders` joined by commas, written from `body` on: (how many, why they
    cannot be)."""
    depth, at = 0, start
    while start < end and at <= end:
        stop = _find(frames, at, end, _COMMA)
        if depth == table[DEPTH_MAX]:
            return depth, TOO_DEEP
        for i in range(body, body + table[LEVEL_BYTES]):
            out[i] = 0
        op = table[DEPTH]
        for which in range(3):
            op += FIELD_CELLS
            colon = _find(frames, at, stop, _COLON)
            if (which == 2) != (colon == stop):
                return depth, BAD_FIELD
            reason = _number(frames, at, colon, table, op, out, body)
            if reason != 0:
                return depth, reason
            at = colon + 1
        body += table[LEVEL_BYTES]
        depth += 1
    return depth, 0


@njit(**KERNEL)
def _field(
    frames: NDArray[np.uint8],
    start: int,
    end: int,
    table: Block,
    op: int,
    out: NDArray[np.uint8],
    body: int,
) -> int:
    """Write one field; 0, or BAD_FIELD."""
    what = table[op + OP]
    if what == UNSIGNED or what == SIGNED:
        return _number(frames, start, end, table, op, out, body)
    if what == TEXT or what == TICKER:
        return _text(frames, start, end, table, op, out, body)
    if what == BOARD:
        _board(frames, start, end, table, op, out, body)
    elif what == STATE or what == AGGRESSOR:
        codes_at = STATE_CODES if what == STATE else AGGRESSOR_CODES
        code = np.int64(NO_CODE)
        if end - start == 1:
            code = table[codes_at + byte(frames, start)]
        elif end == start and what == AGGRESSOR:
            code = table[codes_at + _BLANK]
        out[body + table[op + OFFSET]] = code
    return 0


@njit(**INLINE)
def _store(out: NDArray[np.uint8], body: int, table: Block, op: int, value: np.uint64) -> None:
    """An integer into its field, big-endian."""
    at = body + table[op + OFFSET] + table[op + WIDTH] - 1
    for _ in range(table[op + WIDTH]):
        out[at] = value & np.uint64(255)
        value >>= np.uint64(8)
        at -= 1


@njit(**KERNEL)
def _number(
    frames: NDArray[np.uint8],
    start: int,
    end: int,
    table: Block,
    op: int,
    out: NDArray[np.uint8],
    body: int,
) -> int:
    """A number times 10**scale into its field: a minus in front only where the field has a sign."""
    if start == end:
        return 0 if table[op + MAY_BE_EMPTY] != 0 else BAD_FIELD
    negative = frames[start] == _MINUS
    ok, value = _decimal(frames, start + 1 if negative else start, end, table[op + SCALE])
    if not ok or (negative and table[op + OP] != SIGNED):
        return BAD_FIELD
    bits = np.uint64(8 * table[op + WIDTH])
    if table[op + OP] == SIGNED:
        half = np.uint64(1) << (bits - np.uint64(1))
        if value > half or (value == half and not negative):
            return BAD_FIELD
        if negative:
            value = ~value + np.uint64(1)
    elif bits < np.uint64(64) and (value >> bits) != np.uint64(0):
        return BAD_FIELD
    _store(out, body, table, op, value)
    return 0


@njit(**KERNEL)
def _decimal(frames: NDArray[np.uint8], start: int, end: int, scale: int) -> tuple[bool, np.uint64]:
    """(is it one, digits times 10**scale): digits, and behind a point at least one and at most
    `scale` of them, 2**64 - 1 at most."""
    value, decimals, digits = np.uint64(0), 0, 0
    has_point = False
    for i in range(start, end):
        c = byte(frames, i)
        if c == _DOT and digits > 0 and not has_point:
            has_point = True
            continue
        if c < _ZERO or c > _NINE:
            return False, value
        digit = np.uint64(c - _ZERO)
        if value > _U64_TENTH or (value == _U64_TENTH and digit > _U64_LAST):
            return False, value
        value = value * _TEN + digit
        digits += 1
        decimals += has_point
    if digits == 0 or decimals > scale or (has_point and decimals == 0):
        return False, value
    for _ in range(scale - decimals):
        if value > _U64_TENTH:
            return False, value
        value *= _TEN
    return True, value


@njit(**KERNEL)
def _text(
    frames: NDArray[np.uint8],
    start: int,
    end: int,
    table: Block,
    op: int,
    out: NDArray[np.uint8],
    body: int,
) -> int:
    """A text into its field, padded with blanks. A ticker too long is written as none."""
    at, last = body + table[op + OFFSET], body + table[op + OFFSET] + table[op + WIDTH]
    i = start
    while i < end:
        c = byte(frames, i)
        if c == _BACKSLASH:
            i += 1
            c = byte(frames, i) if i < end else _ZERO
            if c == _P:
                c = _BAR
            elif c == _N:
                c = _LF
            elif c != _BACKSLASH:
                return BAD_FIELD
        if at == last:
            if table[op + OP] != TICKER:
                return BAD_FIELD
            for j in range(body + table[op + OFFSET], last):
                out[j] = NO_CODE
            return 0
        out[at] = c
        at += 1
        i += 1
    for j in range(at, last):
        out[j] = _BLANK
    return 0


@njit(**KERNEL)
def _board(
    frames: NDArray[np.uint8],
    start: int,
    end: int,
    table: Block,
    op: int,
    out: NDArray[np.uint8],
    body: int,
) -> None:
    """The layout's code of a board; bytes that are none where the venue has no such board."""
    if end - start <= BOARD_NAME_BYTES:
        name = np.int64(0)
        for i in range(BOARD_NAME_BYTES):
            name = (name << 8) | (byte(frames, start + i) if start + i < end else _BLANK)
        for i in range(table[BOARDS_COUNT]):
            if table[BOARD_NAMES + i] == name:
                _store(out, body, table, op, np.uint64(table[BOARD_CODES + i]))
                return
    for i in range(body + table[op + OFFSET], body + table[op + OFFSET] + table[op + WIDTH]):
        out[i] = NO_CODE
