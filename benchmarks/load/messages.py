"""idx-1 messages in bulk: structured arrays whose bytes are SoupBinTCP packets, refilled in place.

One second of market is laid out once; before a slice is sent only its sequence numbers and times
are written anew. Four fifths of all messages are order books of 10 levels.
"""

import numpy as np
from numpy.typing import NDArray

TICKERS = 700
LEVELS = 10
VOLUME = 100
HEAD = [("size", ">u2"), ("packet", "S1"), ("type", "S1"), ("seq", ">u8"), ("ts", ">u8")]
TRADE = np.dtype(
    [
        *HEAD,
        ("ticker", "S12"),
        ("board", "S2"),
        ("trade_no", ">u8"),
        ("price", ">i8"),
        ("volume", ">u8"),
        ("aggressor", "S1"),
    ]
)
LEVEL = np.dtype([("price", ">i8"), ("volume", ">u8"), ("orders", ">u4")])
BOOK = np.dtype(
    [*HEAD, ("ticker", "S12"), ("board", "S2"), ("n", "u1"), ("levels", LEVEL, (LEVELS,))]
)
STATUS = np.dtype([*HEAD, ("state", "S1"), ("next_seq", ">u8")])


def names() -> NDArray[np.bytes_]:
    """700 codes of four letters, padded with spaces to twelve."""
    codes = [
        chr(65 + i // 676 % 26) + chr(65 + i // 26 % 26) + chr(65 + i % 26) + "A"
        for i in range(TICKERS)
    ]
    return np.array([code.ljust(12).encode() for code in codes], "S12")


def trades(count: int, seed: int = 7) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """Packets of trades, and the ticker number of each. Busy tickers trade more often."""
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(8, TICKERS + 8)
    who = rng.choice(TICKERS, count, p=weights / weights.sum())
    out = np.zeros(count, TRADE)
    out["size"], out["packet"], out["type"] = TRADE.itemsize - 2, b"S", b"1"
    out["ticker"], out["board"], out["aggressor"] = names()[who], b"RG", b"B"
    steps = rng.integers(-8, 9, count)
    out["price"] = (1000 + 5 * (who % 100) + 5 * steps) * 10_000
    out["volume"] = VOLUME
    return out, who.astype(np.int64)


def books(count: int, seed: int = 8) -> NDArray[np.void]:
    """Packets of full book sides, bid and ask by turns."""
    rng = np.random.default_rng(seed)
    who = rng.integers(0, TICKERS, count)
    out = np.zeros(count, BOOK)
    out["size"], out["packet"], out["n"] = BOOK.itemsize - 2, b"S", LEVELS
    side = np.arange(count) % 2
    out["type"] = np.where(side, b"4", b"3")
    out["ticker"], out["board"] = names()[who], b"RG"
    depth = np.arange(LEVELS)[None, :]
    direction = np.where(side, 1, -1)[:, None]
    out["levels"]["price"] = (
        1000 + 5 * (who[:, None] % 100) + direction * 5 * (depth + 1)
    ) * 10_000
    out["levels"]["volume"] = rng.integers(1, 500, (count, LEVELS)) * 100
    out["levels"]["orders"] = rng.integers(1, 60, (count, LEVELS))
    return out


def status(state: bytes, seq: int, ts: int) -> bytes:
    """One status packet; `H` is a heartbeat."""
    out = np.zeros(1, STATUS)
    out["size"], out["packet"], out["type"] = STATUS.itemsize - 2, b"S", b"9"
    out["seq"], out["ts"], out["state"], out["next_seq"] = seq, ts, state, seq + 1
    return out.tobytes()
