"""Recordings of any size: idx-1 messages without end, as blocks or as lines, in constant memory.

    python -m benchmarks.load.recording 10000000 > day          blocks
    python -m benchmarks.load.recording 100000 --text --seed 3 --out day.txt

Numbers from 1 on, times 83 microseconds apart: four fifths 10-level books, the rest trades with a
few snapshots, indexes and heartbeats. On two channels trades are numbered by themselves, as a venue
sends them and `bursa replay` sorts them; on one, as the decoder is measured, all together. A
pattern of PATTERN messages is laid out once from the seed; before each turn its numbers, times,
prices and volumes are written anew, by offsets that were found once. Shares no table with the
decoder.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

PATTERN = 16_384
TICKERS = 700
FIRST_TS = 1_775_527_200_000_000_000
STEP_NS = 83_333
LEVELS = 10

_HEAD = [("size", ">u2"), ("type", "S1"), ("seq", ">u8"), ("ts", ">u8")]
_WHO = [("ticker", "S12"), ("board", "S2")]
_LEVEL = np.dtype([("price", ">i8"), ("volume", ">u8"), ("orders", ">u4")])
_PRICES = [(name, ">i8") for name in ("prev", "open", "high", "low", "last")]
_TYPES: dict[bytes, list[Any]] = {
    b"1": [*_WHO, ("no", ">u8"), ("price", ">i8"), ("volume", ">u8"), ("side", "S1")],
    b"2": [
        *(*_WHO, *_PRICES, ("volume", ">u8"), ("value", ">u8"), ("trades", ">u4")),
        *(("bid", ">i8"), ("bid_volume", ">u8"), ("ask", ">i8"), ("ask_volume", ">u8")),
    ],
    b"3": [*_WHO, ("n", "u1"), ("levels", _LEVEL, (LEVELS,))],
    b"4": [*_WHO, ("n", "u1"), ("levels", _LEVEL, (LEVELS,))],
    b"5": [("ticker", "S12"), ("value", ">i8"), ("prev", ">i8"), ("traded", ">u8")],
    b"9": [("state", "S1"), ("next_seq", ">u8")],
}
MESSAGES = {kind: np.dtype([*_HEAD, *fields]) for kind, fields in _TYPES.items()}
_SHARES = {b"1": 0.18, b"2": 0.018, b"3": 0.4, b"4": 0.4, b"5": 0.001, b"9": 0.001}


class Recording:
    """Messages of a seed, numbered as those of one channel or of two. The same seed gives the same
    bytes, however they are asked for."""

    def __init__(self, seed: int = 1, channels: int = 1) -> None:
        self._channels = channels
        self._dice = np.random.default_rng(seed)
        kinds = np.array(list(_SHARES))
        self._kinds = self._dice.choice(kinds, PATTERN, p=list(_SHARES.values()))
        sizes = np.array([MESSAGES[bytes(kind)].itemsize for kind in self._kinds])
        self._ends = np.cumsum(sizes)
        self._starts = self._ends - sizes
        self._pattern = np.zeros(int(self._ends[-1]), np.uint8)
        self._eight = np.arange(8)
        for kind, dtype in MESSAGES.items():
            rows = np.flatnonzero(self._kinds == kind)
            raw = self._laid_out(kind, dtype, len(rows)).view(np.uint8)
            at = self._starts[rows][:, None] + np.arange(dtype.itemsize)
            self._pattern[at] = raw.reshape(len(rows), dtype.itemsize)
        self._seq_at = self._starts[:, None] + 3 + self._eight
        self._moving = self._places()

    def _laid_out(self, kind: bytes, dtype: np.dtype[np.void], count: int) -> NDArray[np.void]:
        """Messages of one type with all that does not change."""
        out, dice = np.zeros(count, dtype), self._dice
        out["size"], out["type"] = dtype.itemsize - 2, kind
        names = dtype.names or ()
        if "ticker" in names:
            who = dice.integers(0, TICKERS, count)
            codes = [_code(number) for number in who]
            out["ticker"] = b"COMPOSITE   " if kind == b"5" else np.array(codes, "S12")
        if "board" in names:
            out["board"] = dice.choice(np.array([b"RG", b"NG"]), count, p=[0.97, 0.03])
        for name in names:
            if dtype[name] == np.dtype(">i8"):
                out[name] = dice.integers(50, 9_000, count) * 10_000
            elif dtype[name] == np.dtype(">u8") or name == "trades":
                out[name] = dice.integers(1, 10**6, count)
        if "levels" in names:
            step = np.arange(LEVELS) * (-250_000 if kind == b"3" else 250_000)
            out["n"] = LEVELS
            out["levels"]["price"] = dice.integers(300, 9_000, (count, 1)) * 10_000 + step
            out["levels"]["volume"] = dice.integers(1, 9_000_000, (count, LEVELS))
            out["levels"]["orders"] = dice.integers(1, 400, (count, LEVELS))
        if kind == b"1":
            out["side"] = dice.choice(np.array([b"B", b"S", b" "]), count)
        if kind == b"9":
            out["state"] = b"H"
        return out

    def _places(self) -> NDArray[np.int64]:
        """Where the prices of trades and of best levels lie, each eight bytes; then volumes."""
        rows = [self._starts[self._kinds == kind] for kind in (b"1", b"3", b"4")]
        offsets = [MESSAGES[b"1"].fields["price"][1], *[MESSAGES[b"3"].fields["levels"][1]] * 2]  # type: ignore[index]
        at = np.concatenate([row + offset for row, offset in zip(rows, offsets, strict=True)])
        return at[:, None] + np.concatenate([self._eight, self._eight + 8])

    def blocks(self, messages: int) -> Iterator[bytearray]:
        """Parts of at most PATTERN whole blocks, `messages` in all."""
        for done in range(0, messages, PATTERN):
            count = min(PATTERN, messages - done)
            nth, seq = np.arange(done + 1, done + PATTERN + 1), self._numbers(done // PATTERN)
            head = np.stack([seq, FIRST_TS + nth * STEP_NS], axis=1).astype(">i8").view(np.uint8)
            self._pattern[np.hstack([self._seq_at, self._seq_at + 8])] = head
            ends = self._ends[self._kinds == b"9"]
            next_seq = (seq[self._kinds == b"9"] + 1).astype(">i8").view(np.uint8).reshape(-1, 8)
            self._pattern[ends[:, None] - 8 + self._eight] = next_seq
            prices = self._dice.integers(500, 9_000, len(self._moving)) * 10_000
            volumes = self._dice.integers(1, 10**6, len(self._moving))
            both = np.stack([prices, volumes], axis=1).astype(">i8").view(np.uint8)
            self._pattern[self._moving] = both
            yield bytearray(self._pattern[: int(self._ends[count - 1])].data)

    def _numbers(self, turn: int) -> NDArray[np.int64]:
        """The sequence numbers of a turn of the pattern."""
        seq = np.zeros(PATTERN, np.int64)
        is_trade = (self._kinds == b"1") & (self._channels == 2)
        for mine in (is_trade, ~is_trade):
            count = np.count_nonzero(mine)
            seq[mine] = turn * count + np.arange(1, count + 1)
        return seq

    def lines(self, messages: int) -> Iterator[bytes]:
        """The same as text, in the same parts."""
        for part in self.blocks(messages):
            out, at = [], 0
            while at < len(part):
                size = part[at] << 8 | part[at + 1]
                out.append(_line(bytes(part[at : at + 2 + size])))
                at += 2 + size
            yield b"".join(out)


def _code(number: int) -> bytes:
    letters = (number // 676 % 26, number // 26 % 26, number % 26)
    return bytes([65 + letter for letter in letters]) + b"A" + b" " * 8


def _line(block: bytes) -> bytes:
    """One block as a line."""
    kind = block[2:3]
    values = dict(
        zip(MESSAGES[kind].names or (), np.frombuffer(block, MESSAGES[kind])[0], strict=True)
    )
    parts = [kind.decode(), values["seq"], values["ts"]]
    for name in (MESSAGES[kind].names or ())[4:]:
        value = values[name]
        if name == "levels":
            parts.append(",".join(f"{_money(p)}:{v}:{o}" for p, v, o in value.tolist()))
        elif isinstance(value, bytes):
            parts.append(value.decode().strip())
        else:
            is_price = MESSAGES[kind][name] == np.dtype(">i8")
            parts.append(_money(int(value)) if is_price else value)
    return "|".join(map(str, parts)).encode() + b"\n"


def _money(value: int) -> str:
    whole, part = divmod(value, 10_000)
    return f"{whole}.{part:04}" if part else str(whole)


def main() -> None:
    """Write a recording."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("messages", type=int)
    parser.add_argument("--text", action="store_true", help="lines, not blocks")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--channels", type=int, choices=(1, 2), default=2)
    parser.add_argument("--out", type=Path, help="a file; else standard output")
    given = parser.parse_args()
    recording = Recording(given.seed, given.channels)
    parts = recording.lines if given.text else recording.blocks
    out: BinaryIO = sys.stdout.buffer if given.out is None else given.out.open("wb")
    with out:
        for part in parts(given.messages):
            out.write(part)


if __name__ == "__main__":
    main()
