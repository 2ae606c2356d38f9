"""A decoder of idx-1 in plain Python, message by message, from the profile's text alone.

Slow and obvious: struct, dicts and sets. It answers in words and numbers, not in blocks: what the
kernel must say, row by row.
"""

import re
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bursa.model.batch import (
    BLOCKS,
    CLOCK,
    DOWN,
    END_OF_FILE,
    END_OF_SESSION,
    FRAMES,
    SOUPBIN,
    UP,
)
from bursa.wire.decoded import Rejected
from tests.wire.idx.encoder import Record

CHANNELS = ("idxdata", "itchdata")
SECOND = 1_000_000_000
Row = dict[str, Any]


class Refused(Exception):
    """The message is refused."""


@dataclass
class Channel:
    """What is remembered of one channel."""

    name: str
    trades: bool
    next: int = 0
    seen: set[int] = field(default_factory=set)
    newest: int = -1
    before: int = -1
    firsts: list[int] = field(default_factory=list)
    was_down: bool = False
    refused: int = 0
    session: str = ""
    link: str = ""
    told: tuple[int, int] = (0, -1)
    news: bool = False


class Oracle:
    """`push` records one after another; read `rows`, `tape`, `rejects`, `counts`."""

    def __init__(self) -> None:
        self.channels = [Channel("idxdata", True), Channel("itchdata", False)]
        self.rows: dict[str, list[Row]] = {}
        self.tape: list[Row] = []
        self.rejects: list[Rejected] = []
        self.counts: Counter[str] = Counter()

    def push(self, records: Sequence[Record], ends: Sequence[int]) -> None:
        for record, end in zip(records, ends, strict=True):
            self.record, self.position = record, end
            self.channel = self.channels[record.channel]
            if record.kind == FRAMES:
                self._frames(record.payload)
            else:
                self._control(record)

    # -- records ------------------------------------------------------------------------------

    def _frames(self, payload: bytes) -> None:
        if self.record.form not in (BLOCKS, SOUPBIN):
            return self._refuse("bad_form", payload)
        soup = self.record.form != BLOCKS
        limit = 1024 + soup
        while payload:
            size = int.from_bytes(payload[:2], "big")
            if len(payload) < 2:
                return self._refuse("truncated", payload)
            if size == 0 or size > limit:
                return self._refuse("framing_lost", payload)
            if len(payload) < 2 + size:
                return self._refuse("truncated", payload)
            block, payload = payload[2 : 2 + size], payload[2 + size :]
            if not soup:
                self._message(block)
            elif block[:1] == b"S":
                self._message(block[1:])
            else:
                self.counts["packets_skipped"] += 1
        return None

    def _control(self, record: Record) -> None:
        channel = self.channel
        self.seq, self.ts = 0, max(channel.newest, 0)
        if record.kind in (UP, DOWN):
            word = "up" if record.kind == UP else "down"
            channel.was_down = True
            if channel.link != word and channel.newest >= 0:
                self._status(word)
            channel.link = word
            self._role(word)
        elif record.kind == END_OF_SESSION:
            self._role("session_end")
            self._end_session()
        elif record.kind == END_OF_FILE:
            self._role("file_end")
            now = (channel.next, channel.newest)
            if (channel.news or now != channel.told) and channel.newest >= 0:
                self._status("end_of_file")
            channel.news, channel.told = False, now
        elif record.kind == CLOCK and len(record.payload) != 8:
            self._refuse("bad_length", record.payload)
        elif record.kind == CLOCK:
            self.ts = int.from_bytes(record.payload, "little")
            channel.newest = max(channel.newest, self.ts)
            self._role("mark")

    def _refuse(self, reason: str, payload: bytes) -> None:
        self.channel.refused += 1
        self.counts[f"rejected_{reason}"] += 1
        kept = payload[:65_536]
        self.rejects.append(Rejected(reason, self.position, self.record.channel, kept))

    # -- messages -----------------------------------------------------------------------------

    def _message(self, message: bytes) -> None:
        self.counts["messages"] += 1
        try:
            self._fits(message)
            self.seq, self.ts = struct.unpack(">QQ", message[1:17])
            verdict = self._due(self.seq, self.ts)
            if not verdict:
                return
            row = self._read(message)
        except Refused as refused:
            self._refuse(str(refused), message)
            return
        self._take(verdict, message, row)

    def _fits(self, message: bytes) -> None:
        if not message:
            raise Refused("bad_length")
        kind = message[:1]
        whole = {b"1": 56, b"2": 123, b"5": 53, b"6": 118, b"9": 26}.get(kind)
        if kind in (b"3", b"4"):
            if len(message) < 32:
                raise Refused("bad_length")
            if message[31] > 10:
                raise Refused("too_deep")
            whole = 32 + 20 * message[31]
        if whole is None:
            raise Refused("unknown_type")
        if len(message) != whole:
            raise Refused("bad_length")

    def _due(self, seq: int, ts: int) -> str:
        """`new`, `next`, `late`, or "" for one that is dropped."""
        channel = self.channel
        if not 1 <= seq < 2**63 - 1:
            raise Refused("bad_seq")
        recv = self.record.ts_recv
        if ts > (recv + 86_400 * SECOND if recv > 0 else 4_102_444_800 * SECOND):
            raise Refused("bad_ts")
        if channel.next == 0 and ts > channel.before:
            return "new"
        if seq == 1 and ts > channel.newest:
            return "new"
        old = ts <= channel.before
        if not old and seq >= channel.next:
            return "next"
        if not old and seq not in channel.seen:
            return "late"
        if seq == 1 and ts not in channel.firsts:
            raise Refused("stale_session")
        self.counts["stale" if old else "duplicates"] += 1
        return ""

    def _take(self, verdict: str, message: bytes, row: Row) -> None:
        channel = self.channel
        before = channel.newest
        channel.newest = max(channel.newest, self.ts)
        if verdict == "late":
            self.counts["late"] += 1
            channel.seen.add(self.seq)
            channel.news = True
        else:
            self._go_on(verdict, before)
        crossed = self.ts // SECOND > before // SECOND
        if message[:1] == b"1":
            self.tape.append({"role": "trade", "channel": self.record.channel, **row})
        elif crossed:
            self._role("mark")
        kind = {b"1": "ticks", b"2": "snapshot", b"5": "index", b"6": "contracts"}.get(
            message[:1], "orderbook"
        )
        if message[:1] == b"9":
            self._session(verdict, row["state"], row["next_seq"])
        else:
            self.rows.setdefault(kind, []).append(row)

    def _go_on(self, verdict: str, before: int) -> None:
        channel = self.channel
        if verdict == "new":
            if channel.next:
                channel.before, channel.seen = before, set()
            self.counts["sessions"] += 1
            channel.link, channel.next = "up", 1
            if self.seq == 1:
                channel.firsts.append(self.ts)
        first, channel.next = channel.next, self.seq + 1
        channel.seen.add(self.seq)
        if verdict == "new":
            self._status("up")
        if self.seq > first:
            self._gap(first, self.seq - 1, before)
        channel.was_down, channel.refused = False, 0

    def _gap(self, first: int, last: int, before: int) -> None:
        channel = self.channel
        cause = "jump"
        if last - first + 1 <= channel.refused:
            cause = "refused"
        elif channel.was_down:
            cause = "down"
        self.counts["gaps"] += 1
        self.counts["missing"] += last - first + 1
        ts_from = before if before >= 0 else None
        self._status("gap", seq_from=first, seq_to=last, ts_from=ts_from, cause=cause)

    def _session(self, verdict: str, state: str, next_seq: int) -> None:
        channel = self.channel
        if verdict == "late":
            return
        if next_seq > channel.next:
            first, channel.next = channel.next, next_seq
            self._gap(first, next_seq - 1, channel.newest)
        if state == "H":
            self.counts["heartbeats"] += 1
        elif state != channel.session:
            channel.session = state
            self._status(state)
            if state in "BXE":
                self._role("session_end")

    def _end_session(self) -> None:
        channel = self.channel
        channel.before, channel.next, channel.seen = channel.newest, 0, set()

    # -- fields -------------------------------------------------------------------------------

    def _read(self, message: bytes) -> Row:
        kind = message[:1].decode()
        if kind in "12346":
            ticker, board = self._ticker(message[17:29]), message[29:31].decode("latin-1")
            if board not in ("RG", "NG", "TN"):
                raise Refused("bad_board")
        if kind == "1":
            return self._trade(message, ticker, board)
        if kind == "2":
            return self._snapshot(message, ticker, board)
        if kind in "34":
            return self._book(message, ticker, board)
        if kind == "5":
            return self._index(message)
        if kind == "6":
            return self._contract(message, ticker, board)
        state = message[17:18].decode("latin-1")
        if state not in "P1B2CXEH":
            raise Refused("bad_state")
        (next_seq,) = struct.unpack(">Q", message[18:26])
        if next_seq >= 2**63:
            raise Refused("bad_number")
        return {"state": state, "next_seq": next_seq}

    def _ticker(self, raw: bytes) -> str:
        text = raw.decode("latin-1").rstrip(" ")
        if not re.fullmatch(r"[A-Z0-9][A-Z0-9.\-]{0,11}", text):
            raise Refused("bad_ticker")
        return text

    def _checked(self, prices: Sequence[int], volumes: Sequence[int]) -> None:
        if min(prices, default=0) < 0:
            raise Refused("bad_price")
        if max(volumes, default=0) >= 2**63:
            raise Refused("bad_volume")

    def _when(self) -> Row:
        recv = self.record.ts_recv
        return {"ts_recv": self.ts if recv == -1 else recv, "position": self.position}

    def _trade(self, message: bytes, ticker: str, board: str) -> Row:
        trade_no, price, volume = struct.unpack(">QqQ", message[31:55])
        aggressor = message[55:].decode("latin-1")
        self._checked([price - 1], [volume])
        if trade_no >= 2**63:
            raise Refused("bad_number")
        if aggressor not in "BS ":
            raise Refused("bad_aggressor")
        return {
            "ticker": ticker,
            "ts": self.ts,
            "trade_no": trade_no,
            "board": board,
            "price": float(price) / 10_000,
            "volume": float(volume),
            "aggressor": aggressor.strip() or None,
            "seq": self.seq,
            **self._when(),
        }

    def _snapshot(self, message: bytes, ticker: str, board: str) -> Row:
        names = "prev open high low last volume value trades bid bid_volume ask ask_volume"
        row: Row = dict(zip(names.split(), struct.unpack(">5q2QIqQqQ", message[31:]), strict=True))
        priced = ("prev", "open", "high", "low", "last", "bid", "ask")
        counted = ("volume", "value", "bid_volume", "ask_volume")
        self._checked([row[name] for name in priced], [row[name] for name in counted])
        row |= {name: float(row[name]) / 10_000 if row[name] else None for name in priced}
        row |= {name: float(row[name]) for name in counted}
        return {"ticker": ticker, "board": board, "ts": self.ts, **row, **self._when()}

    def _book(self, message: bytes, ticker: str, board: str) -> Row:
        levels = list(struct.iter_unpack(">qQI", message[32:]))
        self._checked([level[0] for level in levels], [level[1] for level in levels])
        return {
            "ticker": ticker,
            "board": board,
            "ts": self.ts,
            "side": {b"3": "bid", b"4": "ask"}[message[:1]],
            "depth": len(levels),
            "seq": self.seq,
            **self._when(),
            "prices": [float(level[0]) / 10_000 if level[0] else None for level in levels],
            "volumes": [float(level[1]) for level in levels],
            "orders": [level[2] for level in levels],
        }

    def _index(self, message: bytes) -> Row:
        code = self._ticker(message[17:29])
        value, prev, traded = struct.unpack(">qqQ", message[29:])
        self._checked([value, prev], [traded])
        return {
            "index_code": code,
            "ts": self.ts,
            "value": float(value) / 10_000,
            "prev": float(prev) / 10_000 if prev else None,
            "value_traded": float(traded),
            **self._when(),
        }

    def _contract(self, message: bytes, ticker: str, board: str) -> Row:
        (close,) = struct.unpack(">q", message[110:])
        self._checked([close], [])

        def text(start: int, end: int) -> str | None:
            return message[start:end].decode("utf-8", "replace").strip(" ") or None

        return {
            "ticker": ticker,
            "board": board,
            "ts": self.ts,
            "name": text(31, 91),
            "isin": text(91, 103),
            "lot": int.from_bytes(message[103:107], "big"),
            "currency": text(107, 110),
            "prev_close": float(close) / 10_000 if close else None,
            "price_decimals": 0,
            "volume_decimals": 0,
            **self._when(),
        }

    # -- rows that are no messages ------------------------------------------------------------

    def _status(self, state: str, **gap: Any) -> None:
        none: Row = {"seq_from": None, "seq_to": None, "ts_from": None, "cause": None}
        row = {
            "channel": self.channel.name,
            "ts": self.channel.newest,
            "state": state,
            **(none | gap),
            "next_seq": self.channel.next,
            **self._when(),
        }
        self.channel.news = True
        self.rows.setdefault("status", []).append(row)

    def _role(self, role: str) -> None:
        if self.channel.trades:
            row = {"role": role, "channel": self.record.channel, "ts": self.ts, "seq": self.seq}
            self.tape.append(row | self._when())
