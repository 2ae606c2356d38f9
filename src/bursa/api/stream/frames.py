"""Stream frames as ready WebSocket bytes: header and JSON payload, the same for every client.

What a server sends is not masked, so one frame made once is written to all who asked for it. Knows
the fields of each type; does not know who gets what (hub.py).
"""

from functools import cached_property
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from bursa.api import text
from bursa.api.text import number
from bursa.model.batch import Batch
from bursa.model.venue import Venue

# Openings whose text is remembered; a minute has one for all tickers.
_TIMES_MAX = 4_096

_encode = msgspec.json.Encoder().encode


def frame(payload: bytes) -> bytes:
    """One unfragmented text frame."""
    size = len(payload)
    if size < 126:
        return b"\x81" + size.to_bytes(1, "big") + payload
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def payload(made: bytes) -> bytes:
    """The JSON of a frame that `frame` made.

    >>> payload(frame(b'{"type":"pong"}'))
    b'{"type":"pong"}'
    """
    size = made[1]
    return made[2 if size < 126 else 4 if size == 126 else 10 :]


def said(fields: dict[str, Any]) -> bytes:
    """A frame of any fields; `type` comes first."""
    return frame(_encode(fields))


class BarRow(NamedTuple):
    """One bar as a frame shows it. `symbol` is its id; volume as shown; hd NaN: null; void: its
    trades were all taken back."""

    symbol: int
    ts: int
    rev: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    final: bool
    hd: float
    void: bool = False


def bar_rows(bars: Batch, at: NDArray[np.int64], hd: NDArray[np.float64]) -> list[BarRow]:
    """Rows `at` of a batch; `hd` float64 (n,), in step with `at`."""
    index, block = bars.kind.index, bars.block[:, at]
    names = ("open", "high", "low", "close", "volume")
    floats = [block[index[name]].view(np.float64).tolist() for name in names]
    ints = (block[index[name]].tolist() for name in ("ticker", "ts", "rev"))
    final = (block[index["final"]] != 0).tolist()
    volume = block[index["volume"]].view(np.float64)
    void = ((block[index["trades"]] == 0) & (volume == 0)).tolist()
    return [BarRow(*row) for row in zip(*ints, *floats, final, hd.tolist(), void, strict=True)]


class Joined:
    """Closed bars and the HD of each, from the metric rows that came with them, if any did."""

    def __init__(self, closed: Batch, metrics: Batch | None) -> None:
        self.closed, self._metrics = closed, metrics

    @cached_property
    def hd(self) -> NDArray[np.float64]:
        """float64 (n,), in step with the bars; NaN is null."""
        closed, metrics = self.closed, self._metrics
        if metrics is None:
            return np.full(len(closed), np.nan)
        ts, symbols = closed.column("ts"), closed.block[0]
        values = metrics.column("hd")
        if np.array_equal(symbols, metrics.block[0]) and np.array_equal(ts, metrics.column("ts")):
            return values
        keys = zip(metrics.block[0].tolist(), metrics.column("ts").tolist(), strict=True)
        known = dict(zip(keys, values.tolist(), strict=True))
        found = zip(symbols.tolist(), ts.tolist(), strict=True)
        return np.array([known.get(key, np.nan) for key in found], np.float64)


class Frames:
    """Makes the frames of one venue. `symbols` is the venue's list of codes by id."""

    def __init__(self, venue: Venue, symbols: list[str]) -> None:
        self._venue = venue
        self._symbols = symbols
        self._times: dict[int, str] = {}

    def time(self, ts_ns: int) -> str:
        """An opening by the venue's clock."""
        found = self._times.get(ts_ns)
        if found is None:
            if len(self._times) >= _TIMES_MAX:
                self._times.clear()
            found = self._times[ts_ns] = text.venue_instant(ts_ns, self._venue.calendar)
        return found

    def bar(self, row: BarRow, freq: str, cursor: str | None) -> bytes:
        """A bar; partial ones bear no cursor."""
        final = "true" if row.final else "false"
        tail = "}" if cursor is None else f',"cursor":"{cursor}"}}'
        return frame(
            f'{{"type":"bar","venue":"{self._venue.name}","ticker":"{self._symbols[row.symbol]}",'
            f'"freq":"{freq}","bar_time":"{self.time(row.ts)}","open":{number(row.open)},'
            f'"high":{number(row.high)},"low":{number(row.low)},"close":{number(row.close)},'
            f'"volume":{number(row.volume)},"hd":{number(row.hd)},"final":{final},'
            f'"rev":{row.rev}{tail}'.encode()
        )

    def metrics(self, rows: Batch, at: int, cursor: str) -> bytes:
        """One row of metrics, all outputs."""
        index, column = rows.kind.index, rows.block[:, at]
        floats = column.view(np.float64).tolist()
        values = ",".join(
            f'"{c.name}":{number(floats[index[c.name]])}'
            for c in rows.kind.columns
            if c.dtype == "float"
        )
        ticker = self._symbols[int(column[index["ticker"]])]
        return frame(
            f'{{"type":"metrics","venue":"{self._venue.name}","ticker":"{ticker}","freq":"1m",'
            f'"bar_time":"{self.time(int(column[index["ts"]]))}","values":{{{values}}},'
            f'"rev":{int(column[index["rev"]])},"cursor":"{cursor}"}}'.encode()
        )

    def minute(self, ts_ns: int, cursor: str) -> bytes:
        """The end of a minute: all its bars and metrics were sent."""
        return frame(
            f'{{"type":"end_of_interval","venue":"{self._venue.name}","freq":"1m",'
            f'"bar_time":"{self.time(ts_ns)}","cursor":"{cursor}"}}'.encode()
        )

    def gap(self, status: Batch, at: int, cursor: str) -> bytes:
        """Messages that the feed lost."""
        index, column = status.kind.index, status.block[:, at].tolist()
        start, end = column[index["ts_from"]], column[index["ts"]]
        fields = {
            "type": "gap",
            "reason": "feed",
            "venue": self._venue.name,
            "channel": status.words.channels[column[index["channel"]]],
            "from": text.instant(start) if start > 0 else None,
            "to": text.instant(end),
            "seq_from": column[index["seq_from"]],
            "seq_to": column[index["seq_to"]],
            "cursor": cursor,
        }
        return said(fields)
