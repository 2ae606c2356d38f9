"""Sort the blocks or lines of a recording to the channels they were sent on.

A file of the idx family may hold one channel or several, and its blocks do not say which: trades
came on the channel that carries ticks, the other data on the first that does not. A status message
is sent on every channel; it belongs where its sequence number is the one that is due. A number of 1
opens a day, so it belongs to a channel that was silent for a night, or else to one that the file
has not shown yet. Where that is true of several channels, the next block that is data on one of
them tells: it goes on with the run of numbers that the status began, or with the one that another
block of the same number began, and that is the other channel's. That can err where a run breaks
off; it shows then as a gap on one and a duplicate on the other. A file of one channel is always
sorted rightly.

Looks at lengths, types and numbers only; what is wrong with a message its decoder says
(decoder.py).
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bursa.model.calendar import MINUTE_NS, SECOND_NS
from bursa.model.venue import Venue
from bursa.wire.idx.layout import HEADER, Layout
from bursa.wire.loads import be64

# Why `sort` ended.
MORE, LOST = 0, 1
# Columns of `state`, a row a channel: the number due, the newest ts; in the first row also where
# the last block went (-1: none yet).
DUE, TS, LAST = 0, 1, 2
NIGHT_NS = 6 * 3600 * SECOND_NS
# How far a status whose channel is not sure waits for the block that tells.
AHEAD_BYTES = 65_536

# What is sorted in one go spans less than this, so that no channel runs far ahead of another: of
# books a few minutes ahead of trades those of each minute's end are still known (bars/closing.py).
SPAN_NS = 5 * MINUTE_NS

# Rows of `counts`, a column a channel.
BYTES, MESSAGES, FIRST_SEQ = 0, 1, 2

_ANY, _UNKNOWN = -1, -2
_WAIT = -1
# The table: a channel by type byte, then these.
_SEQ_AT, _TS_AT, _BLOCK_BYTES_MAX, _SEQ_MASK, _TS_MASK = range(256, 261)
# A line of text has the head of an idx-1 block made of it: length 17, type, seq, ts.
HEAD_BYTES, _HEAD_SIZE = 19, 17
_LF, _BAR = ord("\n"), ord("|")


def table(venue: Venue, layout: Layout) -> NDArray[np.int64]:
    """What `sort` must know of a venue and its layout: int64 (261,)."""
    ticks = next(at for at, channel in enumerate(venue.channels) if channel.ticks)
    data = next((at for at, channel in enumerate(venue.channels) if not channel.ticks), ticks)
    out = np.full(261, _UNKNOWN, np.int64)
    for code, message in layout.types.items():
        out[ord(code)] = {"trade": ticks, "status": _ANY}.get(message, data)
    for at, name in ((_SEQ_AT, "seq"), (_TS_AT, "ts")):
        field = layout[HEADER, name]
        out[at] = field.offset + field.width - 8
        out[at + _SEQ_MASK - _SEQ_AT] = -1 if field.width == 8 else (1 << 8 * field.width) - 1
    out[_BLOCK_BYTES_MAX] = layout.block_bytes_max
    return out


def begin(venue: Venue) -> NDArray[np.int64]:
    """The state before the first block."""
    state = np.zeros((len(venue.channels), 3), np.int64)
    state[0, LAST] = -1
    return state


@njit(nogil=True, cache=True)
def sort(
    data: NDArray[np.uint8],
    table: NDArray[np.int64],
    state: NDArray[np.int64],
    out: NDArray[np.uint8],
    counts: NDArray[np.int64],
    final: bool,
) -> tuple[int, int]:
    """Copy the whole blocks of data, uint8 (n,), lengths and all, into their channels' rows of
    out, uint8 (channels, n or more); counts, int64 (3, channels), begins at 0. Returns bytes used
    and LOST where a length stands that none may have, else MORE: the rest is to come again, at
    once where bytes were used, then with what follows it. final: nothing does."""
    at = since = 0
    while at + 2 <= data.shape[0]:
        size = _size(data, at)
        if size == 0 or size > table[_BLOCK_BYTES_MAX]:
            return at, LOST
        if at + 2 + size > data.shape[0]:
            break
        ts = _ts(data, at, table)
        since = since or ts
        if ts - since >= SPAN_NS:
            break
        channel, seq = _place(data, at, table, state, final)
        if channel == _WAIT:
            break
        _put(data, at, at + 2 + size, out, counts, channel, seq)
        at += 2 + size
    return at, MORE


@njit(nogil=True, cache=True)
def whole(data: NDArray[np.uint8], bytes_max: int) -> tuple[int, int, int]:
    """Walk the blocks of data, uint8 (n,): (bytes of whole blocks, how many, MORE or LOST)."""
    at = count = 0
    while at + 2 <= data.shape[0]:
        size = _size(data, at)
        if size == 0 or size > bytes_max:
            return at, count, LOST
        if at + 2 + size > data.shape[0]:
            break
        at += 2 + size
        count += 1
    return at, count, MORE


@njit(nogil=True, cache=True)
def sort_lines(
    text: NDArray[np.uint8],
    heads: NDArray[np.uint8],
    table: NDArray[np.int64],
    state: NDArray[np.int64],
    out: NDArray[np.uint8],
    counts: NDArray[np.int64],
    final: bool,
) -> int:
    """Copy whole lines of text, uint8 (n,), with their line feeds, as `sort` does; returns bytes
    used. Empty ones are passed over. heads, uint8 (HEAD_BYTES * line feeds in text,), takes what
    is told of each line; table: of idx-1, whose types are those of lines."""
    lines = end = 0
    for at in range(text.shape[0]):
        if text[at] == _LF:
            _head(text, end, at, heads, HEAD_BYTES * lines)
            lines += 1
            end = at + 1
    at = since = 0
    for n in range(lines):
        stop = at
        while text[stop] != _LF:
            stop += 1
        if stop > at:
            ts = _ts(heads, HEAD_BYTES * n, table)
            since = since or ts
            if ts - since >= SPAN_NS:
                break
            channel, seq = _place(heads, HEAD_BYTES * n, table, state, final)
            if channel == _WAIT:
                break
            _put(text, at, stop + 1, out, counts, channel, seq)
        at = stop + 1
    return at


@njit(nogil=True, cache=True)
def _head(
    text: NDArray[np.uint8], start: int, end: int, heads: NDArray[np.uint8], into: int
) -> None:
    """Type, seq and ts of a line; zeros where it has none."""
    heads[into : into + HEAD_BYTES] = 0
    heads[into + 1] = _HEAD_SIZE
    if end - start < 2 or text[start + 1] != _BAR:
        return
    heads[into + 2] = text[start]
    at = start + 2
    for field in range(2):
        value = np.uint64(0)
        while at < end and 48 <= text[at] <= 57:
            value = value * np.uint64(10) + np.uint64(text[at] - 48)
            at += 1
        for i in range(8):
            shift = np.uint64(56 - 8 * i)
            heads[into + 3 + 8 * field + i] = (value >> shift) & np.uint64(255)
        at += 1


@njit(nogil=True, cache=True)
def _put(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    out: NDArray[np.uint8],
    counts: NDArray[np.int64],
    channel: int,
    seq: int,
) -> None:
    """Append bytes [start, end) to a channel's row."""
    if counts[MESSAGES, channel] == 0:
        counts[FIRST_SEQ, channel] = seq
    at = counts[BYTES, channel]
    out[channel, at : at + end - start] = data[start:end]
    counts[BYTES, channel] = at + end - start
    counts[MESSAGES, channel] += 1


@njit(nogil=True, cache=True)
def _place(
    data: NDArray[np.uint8],
    at: int,
    table: NDArray[np.int64],
    state: NDArray[np.int64],
    final: bool,
) -> tuple[int, int]:
    """(channel of the block at `at`, its seq); _WAIT where what follows must be seen first."""
    seq, ts = 0, _ts(data, at, table)
    if _has_head(data, at, table):
        seq = be64(data, at + 2 + table[_SEQ_AT]) & table[_SEQ_MASK]
    channel = table[data[at + 2]]
    if channel == _ANY:
        wait = not final and data.shape[0] - at < AHEAD_BYTES
        channel = _status(data, at, table, state, (seq, ts, wait))
        if channel == _WAIT:
            return _WAIT, seq
    elif channel == _UNKNOWN:
        channel = max(state[0, LAST], 0)
    state[0, LAST] = channel
    if seq > 0:
        state[channel, DUE], state[channel, TS] = seq + 1, ts
    return int(channel), seq


@njit(nogil=True, cache=True)
def _has_head(data: NDArray[np.uint8], at: int, table: NDArray[np.int64]) -> bool:
    return bool(_size(data, at) >= max(table[_SEQ_AT], table[_TS_AT]) + 8)


@njit(nogil=True, cache=True)
def _ts(data: NDArray[np.uint8], at: int, table: NDArray[np.int64]) -> int:
    """The ts of the block at `at`; 0: it is too short to have one."""
    if not _has_head(data, at, table):
        return 0
    return int(be64(data, at + 2 + table[_TS_AT]) & table[_TS_MASK])


@njit(nogil=True, cache=True)
def _size(data: NDArray[np.uint8], at: int) -> int:
    return int((np.int64(data[at]) << 8) | np.int64(data[at + 1]))


@njit(nogil=True, cache=True)
def _rank(state: NDArray[np.int64], channel: int, seq: int, ts: int) -> int:
    """How well a status message with this number and time fits a channel; 0 is not at all."""
    if seq != 1:
        return 1 if state[channel, DUE] == seq else 0
    if state[channel, DUE] == 0:
        return 2
    return 3 if ts - state[channel, TS] > NIGHT_NS else 1


@njit(nogil=True, cache=True)
def _status(
    data: NDArray[np.uint8],
    at: int,
    table: NDArray[np.int64],
    state: NDArray[np.int64],
    message: tuple[int, int, bool],
) -> int:
    """The channel of the status in the block at `at`; message: its seq, its ts, whether it may
    wait for the block that tells (then _WAIT, where that is not in sight)."""
    seq, ts, wait = message
    best, found, count = -1, -1, 0
    for channel in range(state.shape[0]):
        rank = _rank(state, channel, seq, ts)
        if rank > best:
            best, found, count = rank, channel, 0
        count += rank == best
    last = state[0, LAST]
    if best == 0 and last >= 0:
        return last
    if count == 1:
        return found
    owner = _owner(data, at, table, state, (seq, ts, best))
    if owner >= 0:
        return owner
    if wait:
        return _WAIT
    return last if last >= 0 and _rank(state, last, seq, ts) == best else found


@njit(nogil=True, cache=True)
def _owner(
    data: NDArray[np.uint8],
    at: int,
    table: NDArray[np.int64],
    state: NDArray[np.int64],
    fit: tuple[int, int, int],
) -> int:
    """Whose the status in the block at `at` is, by what follows: numbers go on in the run that it
    begins, or in one that another block of its number begins; the first block that is data on a
    channel in question says whose run it goes on with. -1 where none is in sight."""
    seq, ts, best = fit
    mine, theirs, on_mine = seq + 1, -1, True
    end = min(at + AHEAD_BYTES, data.shape[0])  # not by how much is at hand: any cut is the same
    at += 2 + _size(data, at)
    while at + 2 + table[_SEQ_AT] + 8 <= end:
        channel = table[data[at + 2]]
        number = be64(data, at + 2 + table[_SEQ_AT]) & table[_SEQ_MASK]
        at += 2 + _size(data, at)
        data_of_one = channel >= 0 and _rank(state, channel, seq, ts) == best
        if not data_of_one and channel != _ANY:
            continue
        if number == (theirs if on_mine else mine) and number != (mine if on_mine else theirs):
            on_mine = not on_mine
        elif number == seq and theirs < 0:
            theirs, on_mine = seq, False
        if data_of_one:
            return channel if on_mine else _other(state, channel, fit)
        if on_mine and number == mine:
            mine += 1
        elif not on_mine and number == theirs:
            theirs += 1
    return -1


@njit(nogil=True, cache=True)
def _other(state: NDArray[np.int64], channel: int, fit: tuple[int, int, int]) -> int:
    """A channel beside this one that fits as well."""
    seq, ts, best = fit
    for other in range(state.shape[0]):
        if other != channel and _rank(state, other, seq, ts) == best:
            return other
    return channel
