"""One message of the idx family -> one row: the seven types, read by the compiled layout.

Kernel code, called by walk.py for a message whose length fits its type and whose number
is due. Each function writes its row behind those that its block holds and answers with a reason
code; only for 0, a sound message, the row is counted. `state` is the decoder's block: its first
row says where we are, the others are channels (wire/transport/sequence.py).

A price of 0 is NaN where its column may be null; a trade without a price is refused. Floats are
the integer divided by the layout's scale, correctly rounded.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.model.batch import TAPE_CHANNEL, TAPE_ROLE, TRADE, Block
from bursa.model.schema import INDEX, ORDERBOOK, SNAPSHOT, TICKS, Kind
from bursa.wire.idx.layout import (
    AGGRESSOR_OF,
    AT,
    BOARDS,
    BOARDS_COUNT,
    CELL,
    LAST,
    LENGTHS,
    LEVEL_BYTES,
    LEVELS_PACKED,
    MASK,
    NO_CODE,
    SCALE,
    SIGN,
)
from bursa.wire.idx.layout import BOOK_BID as BOOK
from bursa.wire.loads import INLINE, KERNEL, be64, bits, opaque, unbits
from bursa.wire.symbols import is_ticker, slot_of
from bursa.wire.transport.sequence import FREE

# Row HERE of the state: where we are, how many rows each block holds, what was counted.
HERE = 0
RECORD, OFFSET, ROW, TS_RECV, POSITION, SEQ, TS, SYMBOLS_COUNT = 0, 1, 2, 3, 4, 5, 6, 7
TAPE_COUNT, SNAPSHOT_COUNT, BOOK_COUNT, LEVEL_COUNT = 8, 9, 10, 11
INDEX_COUNT, STATUS_COUNT, NOTE_COUNT, TS_LIMIT = 12, 13, 14, 15
MESSAGES, HEARTBEATS, SKIPPED, ROLES = 16, 17, 18, 19
HERE_COUNTED = ("messages", "heartbeats", "packets_skipped", "roles")
# Columns of a channel's row past those of the sequence: ts from which on a whole second is new,
# whether it carries trades, session state (-1 none), link (a state, -1 unknown), and what was so at
# the last end of a file.
MARK_AT, IS_TICKS, SESSION, LINK, FILE_NEXT, FILE_WATERMARK, FILE_CHANGED = range(FREE, FREE + 7)
STATE_COLUMNS = FREE + 8

# Notes: what Python must hear of, in stream order. NOTE_WHAT is a reason, or one of the first two.
NEW_SYMBOL, NEW_CONTRACT = 100, 101
NOTE_WHAT, NOTE_RECORD, NOTE_AT, NOTE_SIZE, NOTE_SYMBOL, NOTE_BOARD, NOTE_TS = range(7)
NOTE_ROWS = 8

REASONS = (
    "",
    "unknown_type",
    "bad_length",
    "too_deep",
    "bad_ticker",
    "bad_board",
    "bad_price",
    "bad_volume",
    "bad_number",
    "bad_aggressor",
    "bad_state",
    "bad_seq",
    "bad_ts",
    "stale_session",
    "framing_lost",
    "truncated",
    "bad_form",
    "bad_line",
    "bad_field",
)
"""Why a message is refused, by code."""
UNKNOWN_TYPE, BAD_LENGTH, TOO_DEEP, BAD_TICKER, BAD_BOARD = 1, 2, 3, 4, 5
BAD_PRICE, BAD_VOLUME, BAD_NUMBER, BAD_AGGRESSOR, BAD_STATE = 6, 7, 8, 9, 10
BAD_SEQ, BAD_TS, STALE_SESSION, FRAMING_LOST, TRUNCATED, BAD_FORM = 11, 12, 13, 14, 15, 16
BAD_LINE, BAD_FIELD = 17, 18


def rows_of(kind: Kind, *names: str) -> tuple[int, ...]:
    """Rows of a kind's block by column name."""
    return tuple(kind.index[name] for name in names)


_T_TICKER, _T_TS, _T_TRADE_NO, _T_BOARD, _T_PRICE, _T_VOLUME = rows_of(
    TICKS, "ticker", "ts", "trade_no", "board", "price", "volume"
)
_T_AGGRESSOR, _T_SEQ, _T_RECV, _T_POSITION = rows_of(
    TICKS, "aggressor", "seq", "ts_recv", "position"
)
_S_TICKER, _S_BOARD, _S_TS, _S_PREV, _S_OPEN, _S_HIGH, _S_LOW, _S_LAST = rows_of(
    SNAPSHOT, "ticker", "board", "ts", "prev", "open", "high", "low", "last"
)
_S_VOLUME, _S_VALUE, _S_TRADES, _S_BID, _S_BID_VOLUME, _S_ASK, _S_ASK_VOLUME = rows_of(
    SNAPSHOT, "volume", "value", "trades", "bid", "bid_volume", "ask", "ask_volume"
)
_S_RECV, _S_POSITION = rows_of(SNAPSHOT, "ts_recv", "position")
_B_TICKER, _B_BOARD, _B_TS, _B_SIDE, _B_DEPTH, _B_SEQ, _B_RECV, _B_POSITION = rows_of(
    ORDERBOOK, "ticker", "board", "ts", "side", "depth", "seq", "ts_recv", "position"
)
_I_CODE, _I_TS, _I_VALUE, _I_PREV, _I_VALUE_TRADED, _I_RECV, _I_POSITION = rows_of(
    INDEX, "index_code", "ts", "value", "prev", "value_traded", "ts_recv", "position"
)

_TRADE_TICKER, _TRADE_BOARD = CELL["trade", "ticker"], CELL["trade", "board"]
_TRADE_NO, _TRADE_PRICE = CELL["trade", "trade_no"], CELL["trade", "price"]
_TRADE_VOLUME, _TRADE_AGGRESSOR = CELL["trade", "volume"], CELL["trade", "aggressor"]
_SNAP_TICKER, _SNAP_BOARD = CELL["snapshot", "ticker"], CELL["snapshot", "board"]
_SNAP_PREV, _SNAP_OPEN = CELL["snapshot", "prev"], CELL["snapshot", "open"]
_SNAP_HIGH, _SNAP_LOW = CELL["snapshot", "high"], CELL["snapshot", "low"]
_SNAP_LAST, _SNAP_VOLUME = CELL["snapshot", "last"], CELL["snapshot", "volume"]
_SNAP_VALUE, _SNAP_TRADES = CELL["snapshot", "value"], CELL["snapshot", "trades"]
_SNAP_BID, _SNAP_BID_VOLUME = CELL["snapshot", "bid"], CELL["snapshot", "bid_volume"]
_SNAP_ASK, _SNAP_ASK_VOLUME = CELL["snapshot", "ask"], CELL["snapshot", "ask_volume"]
_BOOK_TICKER, _BOOK_BOARD = CELL["book", "ticker"], CELL["book", "board"]
BOOK_DEPTH = CELL["book", "depth"]
_LEVEL_PRICE, _LEVEL_VOLUME = CELL["level", "price"], CELL["level", "volume"]
_LEVEL_ORDERS = CELL["level", "orders"]
_INDEX_TICKER, _INDEX_VALUE = CELL["index", "ticker"], CELL["index", "value"]
_INDEX_PREV, _INDEX_VALUE_TRADED = CELL["index", "prev"], CELL["index", "value_traded"]
_CONTRACT_TICKER, _CONTRACT_BOARD = CELL["contract", "ticker"], CELL["contract", "board"]
_CONTRACT_CLOSE = CELL["contract", "prev_close"]


@njit(**INLINE)
def number(frames: NDArray[np.uint8], body: int, table: Block, cell: int) -> int:
    """An unsigned field of the message at `body`; below zero where it is 2**63 or more."""
    return be64(frames, body + table[cell + AT]) & table[cell + MASK]


@njit(**INLINE)
def signed(frames: NDArray[np.uint8], body: int, table: Block, cell: int) -> int:
    """A field that may have a sign."""
    sign = table[cell + SIGN]
    return (number(frames, body, table, cell) ^ sign) - sign


@njit(**INLINE, error_model="numpy")
def price(raw: int, table: Block, cell: int) -> int:
    """Float bits of a price; NaN for 0."""
    return bits(np.nan if raw == 0 else raw / unbits(table[cell + SCALE]))


@njit(**INLINE, error_model="numpy")
def amount(raw: int, table: Block, cell: int) -> int:
    """Float bits of a volume or value."""
    scale = unbits(table[cell + SCALE])
    return bits(np.float64(raw) if scale == 1.0 else raw / scale)


@njit(**INLINE)
def received(state: Block) -> int:
    """When the record came; a source without receive times has the message's own ts."""
    recv = state[HERE, TS_RECV]
    return state[HERE, TS] if recv < 0 else recv


@njit(**KERNEL)
def note(state: Block, notes: Block, what: int, at: int, size: int) -> int:
    """Tell Python of bytes [at, at + size) of the record we are in; returns the note's place."""
    n = state[HERE, NOTE_COUNT]
    notes[NOTE_WHAT, n] = what
    notes[NOTE_RECORD, n] = state[HERE, RECORD]
    notes[NOTE_AT, n] = at
    notes[NOTE_SIZE, n] = size
    state[HERE, NOTE_COUNT] = n + 1
    return n


@njit(**INLINE)
def symbol_of(
    frames: NDArray[np.uint8],
    body: int,
    table: Block,
    cell: int,
    state: Block,
    symbols: Block,
    notes: Block,
) -> int:
    """Id of the ticker field, a new one where it is unseen, -1 where it is no ticker."""
    head = be64(frames, body + table[cell + AT])
    tail = be64(frames, body + table[cell + LAST])
    slot = slot_of(symbols, head, tail)
    known = symbols[slot, 2]
    if known >= 0:
        return known
    return _new_symbol(frames, body, table, cell, state, symbols, notes)


@njit(**KERNEL)
def _new_symbol(
    frames: NDArray[np.uint8],
    body: int,
    table: Block,
    cell: int,
    state: Block,
    symbols: Block,
    notes: Block,
) -> int:
    at, width = body + table[cell + AT], table[cell + LAST] - table[cell + AT] + 8
    if not is_ticker(frames, at, width):
        return -1
    head, tail = be64(frames, at), be64(frames, body + table[cell + LAST])
    slot = slot_of(symbols, head, tail)
    known = state[HERE, SYMBOLS_COUNT]
    symbols[slot, 0] = head
    symbols[slot, 1] = tail
    symbols[slot, 2] = known
    state[HERE, SYMBOLS_COUNT] = known + 1
    notes[NOTE_SYMBOL, note(state, notes, NEW_SYMBOL, at, width)] = known
    return known


@njit(**INLINE)
def board_of(frames: NDArray[np.uint8], body: int, table: Block, cell: int) -> int:
    """Index of the board field among the venue's boards, -1 where it is none of them."""
    code = number(frames, body, table, cell)
    for at in range(table[BOARDS_COUNT]):
        if table[BOARDS + at] == code:
            return at
    return -1


@njit(**KERNEL)
def fault(symbol: int, board: int, prices: int, volumes: int) -> int:
    """The first reason to refuse, of fields of which one is below zero; 0 if none is."""
    if symbol < 0:
        return BAD_TICKER
    if board < 0:
        return BAD_BOARD
    if prices < 0:
        return BAD_PRICE
    return BAD_VOLUME if volumes < 0 else 0


@njit(**INLINE)
def trade(
    frames: NDArray[np.uint8],
    body: int,
    table: Block,
    state: Block,
    symbols: Block,
    notes: Block,
    tape: Block,
) -> int:
    """A trade, onto the tape."""
    n = np.uint64(state[HERE, TAPE_COUNT])
    symbol = symbol_of(frames, body, table, _TRADE_TICKER, state, symbols, notes)
    board = board_of(frames, body, table, _TRADE_BOARD)
    trade_no = number(frames, body, table, _TRADE_NO)
    paid = signed(frames, body, table, _TRADE_PRICE)
    volume = number(frames, body, table, _TRADE_VOLUME)
    aggressor = table[AGGRESSOR_OF + number(frames, body, table, _TRADE_AGGRESSOR)]
    priced = paid | (paid - 1)  # below zero for 0 too
    if (symbol | board | priced | volume | trade_no) < 0 or aggressor == NO_CODE:
        reason = fault(symbol, board, priced, volume)
        if reason != 0:
            return reason
        return BAD_NUMBER if trade_no < 0 else BAD_AGGRESSOR
    tape[_T_TICKER, n] = symbol
    tape[_T_TS, n] = state[HERE, TS]
    tape[_T_TRADE_NO, n] = trade_no
    tape[_T_BOARD, n] = board
    tape[_T_PRICE, n] = price(paid, table, _TRADE_PRICE)
    tape[_T_VOLUME, n] = amount(volume, table, _TRADE_VOLUME)
    tape[_T_AGGRESSOR, n] = aggressor
    tape[_T_SEQ, n] = state[HERE, SEQ]
    tape[_T_RECV, n] = received(state)
    tape[_T_POSITION, n] = state[HERE, POSITION]
    tape[TAPE_ROLE, n] = TRADE
    tape[TAPE_CHANNEL, n] = state[HERE, ROW] - 1
    state[HERE, TAPE_COUNT] += 1
    return 0


@njit(**INLINE)
def _levels(
    frames: NDArray[np.uint8], at: int, table: Block, levels: Block, m: int, depth: int
) -> tuple[int, int]:
    """Levels as integers behind the first `m`; all prices, and all volumes, or-ed into one."""
    prices = volumes = 0
    step = table[LEVEL_BYTES]
    if table[LEVELS_PACKED] != 0:
        for i in range(np.uint64(m), np.uint64(m + depth)):
            paid, volume = be64(frames, at), be64(frames, at + 8)
            levels[0, i] = paid
            levels[1, i] = volume
            levels[2, i] = be64(frames, at + 12) & 0xFFFFFFFF
            prices |= paid
            volumes |= volume
            at = opaque(at + step)
        return prices, volumes
    price_at, price_mask = table[_LEVEL_PRICE + AT], table[_LEVEL_PRICE + MASK]
    volume_at, volume_mask = table[_LEVEL_VOLUME + AT], table[_LEVEL_VOLUME + MASK]
    orders_at, orders_mask = table[_LEVEL_ORDERS + AT], table[_LEVEL_ORDERS + MASK]
    sign = table[_LEVEL_PRICE + SIGN]
    for i in range(np.uint64(m), np.uint64(m + depth)):
        paid = ((be64(frames, at + price_at) & price_mask) ^ sign) - sign
        volume = be64(frames, at + volume_at) & volume_mask
        levels[0, i] = paid
        levels[1, i] = volume
        levels[2, i] = be64(frames, at + orders_at) & orders_mask
        prices |= paid
        volumes |= volume
        at += step
    return prices, volumes


@njit(**KERNEL, error_model="numpy")
def levels_to_floats(levels: Block, start: int, end: int, table: Block) -> None:
    """Prices and volumes of levels [start, end), integers until now, as float bits. Apart from the
    walk, so that the divisions go eight at a time."""
    price_scale = unbits(table[_LEVEL_PRICE + SCALE])
    volume_scale = unbits(table[_LEVEL_VOLUME + SCALE])
    prices, volumes = levels[0, start:end], levels[1, start:end]
    for i in range(len(prices)):
        raw = prices[i]
        prices[i] = bits(np.nan if raw == 0 else raw / price_scale)
    if volume_scale == 1.0:
        for i in range(len(volumes)):
            volumes[i] = bits(np.float64(volumes[i]))
    else:
        for i in range(len(volumes)):
            volumes[i] = bits(volumes[i] / volume_scale)


@njit(**INLINE)
def book(
    frames: NDArray[np.uint8],
    body: int,
    table: Block,
    state: Block,
    symbols: Block,
    notes: Block,
    block: Block,
    levels: Block,
) -> int:
    """One side of a book, its levels best first behind those of the sides before."""
    n, m = np.uint64(state[HERE, BOOK_COUNT]), state[HERE, LEVEL_COUNT]
    symbol = symbol_of(frames, body, table, _BOOK_TICKER, state, symbols, notes)
    board = board_of(frames, body, table, _BOOK_BOARD)
    depth = number(frames, body, table, BOOK_DEPTH)
    prices, volumes = _levels(frames, body + table[LENGTHS + BOOK], table, levels, m, depth)
    if (symbol | board | prices | volumes) < 0:
        return fault(symbol, board, prices, volumes)
    block[_B_TICKER, n] = symbol
    block[_B_BOARD, n] = board
    block[_B_TS, n] = state[HERE, TS]
    block[_B_SIDE, n] = table[frames[body]] - BOOK
    block[_B_DEPTH, n] = depth
    block[_B_SEQ, n] = state[HERE, SEQ]
    block[_B_RECV, n] = received(state)
    block[_B_POSITION, n] = state[HERE, POSITION]
    state[HERE, BOOK_COUNT] += 1
    state[HERE, LEVEL_COUNT] = m + depth
    return 0


@njit(**INLINE)
def _priced(
    frames: NDArray[np.uint8], body: int, table: Block, cell: int, block: Block, row: int, n: int
) -> int:
    """A price field into its column; returns the integer."""
    raw = signed(frames, body, table, cell)
    block[row, n] = price(raw, table, cell)
    return raw


@njit(**INLINE)
def _counted(
    frames: NDArray[np.uint8], body: int, table: Block, cell: int, block: Block, row: int, n: int
) -> int:
    """A volume or value field into its column; returns the integer."""
    raw = number(frames, body, table, cell)
    block[row, n] = amount(raw, table, cell)
    return raw


@njit(**KERNEL)
def snapshot(
    frames: NDArray[np.uint8],
    body: int,
    table: Block,
    state: Block,
    symbols: Block,
    notes: Block,
    block: Block,
) -> int:
    """A ticker's day so far on one board."""
    n = np.uint64(state[HERE, SNAPSHOT_COUNT])
    symbol = symbol_of(frames, body, table, _SNAP_TICKER, state, symbols, notes)
    board = board_of(frames, body, table, _SNAP_BOARD)
    prices = _priced(frames, body, table, _SNAP_PREV, block, _S_PREV, n)
    prices |= _priced(frames, body, table, _SNAP_OPEN, block, _S_OPEN, n)
    prices |= _priced(frames, body, table, _SNAP_HIGH, block, _S_HIGH, n)
    prices |= _priced(frames, body, table, _SNAP_LOW, block, _S_LOW, n)
    prices |= _priced(frames, body, table, _SNAP_LAST, block, _S_LAST, n)
    prices |= _priced(frames, body, table, _SNAP_BID, block, _S_BID, n)
    prices |= _priced(frames, body, table, _SNAP_ASK, block, _S_ASK, n)
    volumes = _counted(frames, body, table, _SNAP_VOLUME, block, _S_VOLUME, n)
    volumes |= _counted(frames, body, table, _SNAP_VALUE, block, _S_VALUE, n)
    volumes |= _counted(frames, body, table, _SNAP_BID_VOLUME, block, _S_BID_VOLUME, n)
    volumes |= _counted(frames, body, table, _SNAP_ASK_VOLUME, block, _S_ASK_VOLUME, n)
    trades = number(frames, body, table, _SNAP_TRADES)
    if (symbol | board | prices | volumes | trades) < 0:
        reason = fault(symbol, board, prices, volumes)
        return BAD_NUMBER if reason == 0 else reason
    block[_S_TICKER, n] = symbol
    block[_S_BOARD, n] = board
    block[_S_TS, n] = state[HERE, TS]
    block[_S_TRADES, n] = trades
    block[_S_RECV, n] = received(state)
    block[_S_POSITION, n] = state[HERE, POSITION]
    state[HERE, SNAPSHOT_COUNT] += 1
    return 0


@njit(**KERNEL)
def index(
    frames: NDArray[np.uint8],
    body: int,
    table: Block,
    state: Block,
    symbols: Block,
    notes: Block,
    block: Block,
) -> int:
    """An index; its value stands as it is, without a previous value that is null."""
    n = np.uint64(state[HERE, INDEX_COUNT])
    symbol = symbol_of(frames, body, table, _INDEX_TICKER, state, symbols, notes)
    value = signed(frames, body, table, _INDEX_VALUE)
    block[_I_VALUE, n] = amount(value, table, _INDEX_VALUE)
    prices = value | _priced(frames, body, table, _INDEX_PREV, block, _I_PREV, n)
    volumes = _counted(frames, body, table, _INDEX_VALUE_TRADED, block, _I_VALUE_TRADED, n)
    if (symbol | prices | volumes) < 0:
        return fault(symbol, 0, prices, volumes)
    block[_I_CODE, n] = symbol
    block[_I_TS, n] = state[HERE, TS]
    block[_I_RECV, n] = received(state)
    block[_I_POSITION, n] = state[HERE, POSITION]
    state[HERE, INDEX_COUNT] += 1
    return 0


@njit(**KERNEL)
def contract(
    frames: NDArray[np.uint8],
    body: int,
    table: Block,
    state: Block,
    symbols: Block,
    notes: Block,
) -> int:
    """A contract: checked here, its texts are left to Python by a note."""
    symbol = symbol_of(frames, body, table, _CONTRACT_TICKER, state, symbols, notes)
    board = board_of(frames, body, table, _CONTRACT_BOARD)
    close = signed(frames, body, table, _CONTRACT_CLOSE)
    if (symbol | board | close) < 0:
        return fault(symbol, board, close, 0)
    n = note(state, notes, NEW_CONTRACT, body, 0)
    notes[NOTE_SYMBOL, n] = symbol
    notes[NOTE_BOARD, n] = board
    notes[NOTE_TS, n] = state[HERE, TS]
    return 0


@njit(**KERNEL)
def blank_tick(state: Block, tape: Block, n: int) -> None:
    """The tick columns of a tape row that is no trade: its ts, the record, nothing else."""
    tape[_T_TICKER, n] = tape[_T_BOARD, n] = tape[_T_AGGRESSOR, n] = -1
    tape[_T_TS, n] = state[HERE, TS]
    tape[_T_TRADE_NO, n] = tape[_T_VOLUME, n] = 0
    tape[_T_PRICE, n] = bits(np.nan)
    tape[_T_SEQ, n] = state[HERE, SEQ]
    tape[_T_RECV, n] = received(state)
    tape[_T_POSITION, n] = state[HERE, POSITION]
