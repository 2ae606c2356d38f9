"""A small market for the pages' tests: idx-1 messages through the real line, store, rings and API.

What an exchange would send is packed here by hand; everything behind it is the program's own.
"""

import itertools
import struct
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bursa.accounts.parts import Accounts
from bursa.api.app import Extra, build_api, server
from bursa.api.front import Front
from bursa.api.services import ChannelState, Services, VenueParts, VenueService
from bursa.api.stream.hub import Hub, StreamLimits
from bursa.history.offload import Offload
from bursa.history.present import Recent
from bursa.model.batch import (
    BLOCKS,
    FRAMES,
    SPAN_CHANNEL,
    SPAN_COUNT,
    SPAN_END,
    SPAN_FORM,
    SPAN_KIND,
    SPAN_POSITION,
    SPAN_ROWS,
    SPAN_TS_RECV,
    Block,
    Chunk,
    Span,
    Words,
)
from bursa.model.schema import OHLCV, topic
from bursa.model.venue import IDX
from bursa.ops.telemetry import Telemetry
from bursa.pipeline.facts import Facts
from bursa.pipeline.line import Line, kinds
from bursa.ports import Clock, Committed
from bursa.store.duckdb import DuckStore
from bursa.store.rings import Rings
from bursa.web.facts import Heard, Hole, Instrument, Tape
from bursa.web.facts import Market as Figures
from bursa.web.market import market
from bursa.web.pages import Pages
from bursa.web.reader import asked_of
from bursa.web.tradingview import Library
from bursa.wire.idx.decoder import IdxDecoder
from tests.fakes.store import batch_of

THURSDAY, FRIDAY = date(2025, 11, 13), date(2025, 11, 14)
MONDAY, TUESDAY = date(2025, 11, 17), date(2025, 11, 18)
NAMES = {"BBCA": "Bank Central Asia", "BMRI": "Bank Mandiri", "TLKM": "Telkom Indonesia"}
TRADES, REST = 0, 1  # channels
SECOND_NS = 1_000_000_000


class OurClock:
    """ports.Clock."""

    def now_ns(self) -> int:
        return time.time_ns()


def alpha(text: str, width: int) -> bytes:
    return text.encode().ljust(width)


class Market:
    """Says messages, and serves what becomes of them."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        clock = clock or OurClock()
        self.words = Words(IDX.boards, [channel.name for channel in IDX.channels])
        self.line = Line(IDX, self.words, IdxDecoder(IDX, self.words), {})
        self.store = DuckStore(folder / "hot.duckdb", [IDX], kinds())
        self.rings = Rings(IDX, self.words, 4000, 64 << 20)
        self.facts = Facts(IDX, self.words)
        self.recent = Recent()
        self.lock = threading.Lock()
        self.shown: dict[str, Any] = {}
        parts = VenueParts(
            IDX,
            self.words,
            self.store,
            self.rings,
            self.facts,
            self.recent,
            self._open_bars,
            lambda: self.line.watermark_ns,
            self._channels,
        )
        offload = Offload()
        service = VenueService(parts, clock, offload)
        self.services = Services({"idx": service}, clock, offload, Telemetry(), "test")
        self.accounts: Accounts | None = None
        self.hub = self._made_hub()
        self._seq = [1, 1]
        self._ts = [0, 0]
        self._heard = 0
        self._position = 0
        self._trade_no = 0
        self._pending: list[tuple[int, bytes]] = []
        self._server: Any = None
        self._thread: threading.Thread | None = None

    def admit(self, accounts: Accounts) -> None:
        """Serve from now on whoever these accounts let in."""
        self.accounts = accounts
        self.services = replace(self.services, accounts=accounts, front=Front())
        self.hub = self._made_hub()

    def _made_hub(self) -> Hub:
        return Hub(self.services, StreamLimits(throttle_ms=0), "0123456789abcdef")

    # -- what the exchange says --------------------------------------------------------------------

    def say(self, channel: int, kind: bytes, ts: int, body: bytes) -> None:
        message = kind + struct.pack(">QQ", self._seq[channel], ts) + body
        self._seq[channel] += 1
        self._ts[channel] = ts
        self._pending.append((channel, struct.pack(">H", len(message)) + message))

    def trade(self, ticker: str, ts: int, price: int, volume: int = 1000) -> None:
        self._trade_no += 1
        body = alpha(ticker, 12) + b"RG" + struct.pack(">Q", self._trade_no)
        self.say(TRADES, b"1", ts, body + struct.pack(">qQ", price * 10_000, volume) + b"B")

    def contract(self, ticker: str, name: str, ts: int, prev: int) -> None:
        body = alpha(ticker, 12) + b"RG" + alpha(name, 60) + alpha("ID1000000000", 12)
        self.say(REST, b"6", ts, body + struct.pack(">I", 100) + b"IDR" + struct.pack(">q", prev))

    def snapshot(self, ticker: str, ts: int, prev: int, last: int, lots: int = 10_000) -> None:
        """Day figures: opened at the previous close, and now at the day's high or low."""
        prices = (prev, prev, max(prev, last), min(prev, last), last)
        day = struct.pack(">5q", *(price * 10_000 for price in prices))
        totals = struct.pack(">2QI", lots * 100, lots * 100 * last, lots // 10)
        quote = struct.pack(">qQqQ", (last - 5) * 10_000, 500, (last + 5) * 10_000, 700)
        self.say(REST, b"2", ts, alpha(ticker, 12) + b"RG" + day + totals + quote)

    def index(self, code: str, ts: int, value: float, prev: float, traded: float) -> None:
        points = (round(value * 10_000), round(prev * 10_000), round(traded))
        self.say(REST, b"5", ts, alpha(code, 12) + struct.pack(">qqQ", *points))

    def status(self, state: bytes, ts: int, channel: int = TRADES) -> None:
        self.say(channel, b"9", ts, state + struct.pack(">Q", self._seq[channel] + 1))

    def lose(self, count: int) -> None:
        """Messages of the trades' channel that never arrive."""
        self._seq[TRADES] += count

    def push(self) -> None:
        """All that was said, through the line and to everyone behind it."""
        for channel, said in itertools.groupby(self._pending, key=lambda one: one[0]):
            payloads = [payload for _, payload in said]
            self._push(channel, b"".join(payloads), len(payloads))
        self._pending.clear()

    def _push(self, channel: int, payload: bytes, count: int) -> None:
        first, self._position = self._position, self._position + len(payload)
        spans: Block = np.zeros((SPAN_ROWS, 1), np.int64)
        spans[SPAN_KIND], spans[SPAN_FORM], spans[SPAN_CHANNEL] = FRAMES, BLOCKS, channel
        spans[SPAN_END], spans[SPAN_POSITION], spans[SPAN_COUNT] = (
            len(payload),
            self._position,
            count,
        )
        spans[SPAN_TS_RECV] = self._heard = time.time_ns()
        frames = np.frombuffer(bytearray(payload), np.uint8)
        with self.lock:
            derived = self.line.push(Chunk(frames, spans, Span("idx", 1, first, self._position)))
        self.recent.feed(derived.batches)
        self.rings.feed_bars(derived.closed)
        self.rings.feed_metrics(derived.metrics)
        self.facts.take(derived, self.line.watermarks(), self._heard)
        if derived.batches:
            end = Committed(self._position, 1)
            self.store.write(derived.batches, {topic("idx", b.kind): end for b in derived.batches})
        self.hub.offer("idx", derived, self.line.watermark_ns)

    def backfill(self, ticker: str, minutes: Iterable[int], price: float) -> None:
        """Bars that did not come live, put into the store and the ring as an entry of rows does."""
        kind, rows = OHLCV, []
        for ts in minutes:
            bar = dict.fromkeys(("open", "high", "low", "close", "vwap"), price)
            whole = {"volume": 900.0, "value": 900 * price, "trades": 2, "final": True, "rev": 0}
            head = {"ticker": ticker, "freq": "1m", "ts": ts, "source": "ticks"}
            times = {"known_at": time.time_ns(), "ts_recv": ts, "position": self._position + 1}
            rows.append(head | bar | whole | times)
        first, self._position = self._position, self._position + 1
        batch = batch_of(kind, rows, self.words, Span("idx", 1, first, self._position))
        self.store.write([batch], {topic("idx", kind): Committed(self._position, 1)})
        self.rings.enter(batch)

    # -- the services behind it --------------------------------------------------------------------

    def _open_bars(self, ids: Block) -> Any:
        with self.lock:
            return self.line.open_bars(ids)

    def _channels(self) -> list[ChannelState]:
        marks = self.line.watermarks()
        return [
            ChannelState(channel.name, True, self._heard, mark)
            for channel, mark in zip(IDX.channels, marks, strict=True)
        ]

    # -- web.facts.PageSource ----------------------------------------------------------------------

    def venues(self) -> list[Any]:
        return [IDX]

    def instruments(self, venue: str) -> int:
        return self.services.default.directory.count()

    def instrument(self, venue: str, ticker: str) -> Instrument | None:
        found = self.services.default.directory.find(ticker)
        if found is None:
            return None
        return Instrument(ticker, found.name, found.price_decimals, 0, found.lot)

    def first_ticker(self, venue: str) -> str | None:
        return "BBCA" if self.facts.contracts else None

    def tape(self, venue: str) -> Tape:
        now = self.line.watermark_ns or IDX.calendar.sessions(TUESDAY)[0].open_ns
        day = IDX.calendar.day_of(now)
        start, counts = self.facts.pulse()
        holes = [
            Hole(h.channel, h.start_ns, h.end_ns, h.seq_from, h.seq_to) for h in self.facts.holes
        ]
        sessions = IDX.calendar.sessions(day)
        heard = 40 if self._heard else None
        up = bool(self.shown.get("connected", True))
        channels = [
            Heard(channel.name, mark, up, channel.ticks)
            for channel, mark in zip(IDX.channels, self.line.watermarks(), strict=True)
        ]
        tape = Tape(day, now, sessions, start, counts, 812.0, True, True, heard, holes)
        return replace(tape, heard=channels, **self.shown)

    def market(self, venue: str) -> Figures:
        first, find = self.first_ticker(venue), partial(self.instrument, venue)
        return market(IDX, self.services.default.day, find, self.tape(venue), first)

    # -- serving -----------------------------------------------------------------------------------

    def serve(self, library: Library | None = None) -> str:
        """Serve API and pages on a free port; its address."""
        asked = None if self.accounts is None else asked_of(self.accounts)
        pages = Pages(self, library, accounts=asked)
        api = build_api(self.services, self.hub, Extra(pages.routes(), pages.error))
        self._server = server(api, "127.0.0.1", 0, self.services.telemetry)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        until = time.monotonic() + 60
        while not self._server.started:
            assert self._thread.is_alive() and time.monotonic() < until, "it did not start"
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(60)
            self._server = None

    def close(self) -> None:
        self.stop()
        self.store.close()


def at(day: date, hour: int, minute: int, second: int = 0) -> int:
    """ns UTC of a time of the venue's day."""
    return IDX.calendar.midnight_ns(day) + (hour * 3600 + minute * 60 + second) * SECOND_NS


def some_days(market: Market) -> None:
    """Thursday to Monday whole, Tuesday up to 14:00 with 10:15 to 10:50 lost. BBCA ends at 8,850,
    up 125 on Monday's close; a few of its minutes have no trade."""
    for ticker, name in NAMES.items():
        market.contract(ticker, name, at(THURSDAY, 8, 45), 8_600 * 10_000)
    for day, until, close in (
        (THURSDAY, at(THURSDAY, 16, 0), 8_650),
        (FRIDAY, at(FRIDAY, 16, 0), 8_600),
        (MONDAY, at(MONDAY, 16, 0), 8_725),
        (TUESDAY, at(TUESDAY, 14, 0), 8_850),
    ):
        trading_day(market, day, until, close)
    market.push()


# ticker: previous close, last on Tuesday, lots
FIGURES = {
    "BBCA": (8_725, 8_850, 742_318), "BMRI": (5_000, 5_085, 401_200),
    "TLKM": (3_350, 3_310, 586_000), "ASII": (5_300, 5_350, 288_000),
    "GOTO": (66, 66, 9_142_000), "AMMN": (7_125, 7_325, 123_400),
    "ADRO": (1_780, 1_795, 310_500), "ANTM": (3_220, 3_180, 240_100),
    "UNTR": (27_825, 27_500, 21_400), "ICBP": (9_000, 8_925, 66_300),
    "BREN": (9_175, 9_475, 174_100), "RAJA": (4_680, 4_550, 54_200),
    "MEDC": (1_430, 1_395, 88_800), "SMGR": (2_690, 2_640, 47_100),
    "KLBF": (1_260, 1_250, 91_000), "INCO": (4_250, 4_310, 38_700),
}  # fmt: skip
INDEX_PREV = 7_365.02


def whole_market(market: Market) -> None:
    """`some_days`, and on Tuesday day figures of FIGURES and two indices: COMPOSITE at 7,412.08
    with 10:15 to 10:50 lost, LQ45 at 812.36. On Monday, 9.2 trillion were traded by 14:00."""
    some_days(market)
    for ticker in FIGURES:
        market.contract(ticker, NAMES.get(ticker, f"{ticker} Tbk"), at(TUESDAY, 8, 45), 0)
    for minute in range(0, 310, 10):
        ts = at(MONDAY, 9, 0) + minute * 60 * SECOND_NS
        market.index("COMPOSITE", ts, 7_300.0, 7_310.0, 9.2e12 * minute / 300)
    for number, minute in enumerate(IDX.calendar.expected_minutes(TUESDAY).tolist()):
        if minute >= at(TUESDAY, 14, 0):
            break
        if not at(TUESDAY, 10, 15) <= minute < at(TUESDAY, 10, 50):
            value = 7_412.08 - (209 - number) * 0.31 + (number * 37 % 11 - 5) * 1.7
            traded = 9.84e12 * (minute - at(TUESDAY, 9, 0)) / (5 * 3600 * SECOND_NS)
            market.index("COMPOSITE", minute + 30 * SECOND_NS, value, INDEX_PREV, traded)
    now = at(TUESDAY, 14, 0, 1)
    market.index("COMPOSITE", now, 7_412.08, INDEX_PREV, 9.84e12)
    market.index("LQ45", now, 812.36, 805.27, 5e12)
    for ticker, (prev, last, lots) in FIGURES.items():
        market.snapshot(ticker, now, prev, last, lots)
    market.push()


def trading_day(market: Market, day: date, until: int, close: int) -> None:
    """A day up to `until`, its last trade at `close`; a whole one is ended."""
    market.status(b"1", at(day, 9, 0))
    minutes = [int(m) for m in IDX.calendar.expected_minutes(day) if m < until]
    for number, minute in enumerate(minutes):
        if day == TUESDAY and at(day, 10, 15) <= minute < at(day, 10, 50):
            market.lose(1)
        elif number % 40 == 7:
            market.status(b"H", minute + 30 * SECOND_NS)
        else:
            price = close + (number * 37 % 11 - 5) * 25 - (len(minutes) - number) // 4
            market.trade("BBCA", minute + 5 * SECOND_NS, price)
            market.trade("BBCA", minute + 40 * SECOND_NS, price + (number * 53 % 7 - 3) * 25)
            if number % 3 == 0:
                market.trade("BMRI", minute + 50 * SECOND_NS, 5_075 + number % 4 * 5)
    market.trade("BBCA", minutes[-1] + 50 * SECOND_NS, close)
    if until == at(day, 16, 0):
        market.status(b"E", at(day, 16, 20))
    else:
        market.status(b"H", until + 5 * SECOND_NS)
