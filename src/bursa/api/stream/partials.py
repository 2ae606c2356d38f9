"""Bars under way for the stream: the throttled partial bars, and longer bars rolled from minutes.

Which symbols changed is noted as batches pass; their open bars are read only when a lane is told:
a symbol that trades a thousand times between costs one frame. Longer bars begin with the minutes
that lie behind, read off the loop, and go on by what closes.
"""

import asyncio
from collections.abc import Iterable

import numpy as np

from bursa.api.stream.frames import BarRow, bar_rows
from bursa.api.stream.outbox import Client, Key
from bursa.api.stream.post import Post
from bursa.api.stream.rolling import Rolling
from bursa.api.stream.subscriptions import BARS, Lane, VenueStream
from bursa.history.candles import Ask, Candles
from bursa.model.errors import BursaError, Refuse
from bursa.model.timeframe import minutes_of
from bursa.ops.logs import logger

ROLLINGS_MAX = 20_000
# Longer bars that begin at once. A client may ask for thousands, and the loop is everybody's.
_BEGINNINGS = 4
_RETRY_S = 5.0
_ALL = 10**9

_log = logger("stream")


class Partials:
    """The bars under way of one venue."""

    def __init__(self, stream: VenueStream, post: Post) -> None:
        self._stream, self._post = stream, post
        self._tasks: set[asyncio.Task[None]] = set()
        self._beginning = asyncio.Semaphore(_BEGINNINGS)

    def stop(self) -> None:
        """Give up what is being read."""
        for task in self._tasks:
            task.cancel()

    # -- who is told when --------------------------------------------------------------------------

    def tell(self) -> None:
        """Tell every lane whose symbols changed, now or as soon as its throttle allows."""
        loop = asyncio.get_running_loop()
        for lane in list(self._stream.lanes.values()):
            if not lane.dirty or lane.scheduled:
                continue
            wait_s = lane.told_s + lane.throttle_ms / 1000 - loop.time()
            if wait_s <= 0:
                self._tell(lane)
            else:
                lane.scheduled = True
                loop.call_later(wait_s, self._tell_later, lane)

    def _tell_later(self, lane: Lane) -> None:
        lane.scheduled = False
        self._tell(lane)
        self._post.flush()

    def _tell(self, lane: Lane) -> None:
        lane.told_s = asyncio.get_running_loop().time()
        symbols, lane.dirty = lane.dirty, set()
        opened = self._opened(symbols)
        for symbol in symbols:
            for freq, clients in lane.listeners.get(symbol, {}).items():
                key = (self._stream.name, BARS, freq, symbol)
                for frame in self._frames(freq, symbol, opened):
                    self._post.send_partial(clients, frame, key)

    def newest(self, client: Client, keys: Iterable[Key]) -> None:
        """Give one client the bars under way of some of its keys."""
        wanted = [k for k in keys if k[1] == BARS and k in client.keys and k not in client.quiet]
        opened = self._opened({key[3] for key in wanted})
        for key in wanted:
            for frame in self._frames(key[2], key[3], opened):
                self._post.send_partial((client,), frame, key)

    def _opened(self, symbols: set[int]) -> dict[int, list[BarRow]]:
        """Open minutes by symbol, each ascending."""
        found: dict[int, list[BarRow]] = {}
        if symbols:
            ids = np.fromiter(symbols, np.int64, len(symbols))
            bars = self._stream.service.open_bars(ids)
            for row in bar_rows(bars, np.arange(len(bars)), np.full(len(bars), np.nan)):
                found.setdefault(row.symbol, []).append(row)
        return found

    def _frames(self, freq: str, symbol: int, opened: dict[int, list[BarRow]]) -> list[bytes]:
        rows = opened.get(symbol, [])
        if freq != "1m":
            rolling = self._stream.rollings.get(symbol, {}).get(freq)
            if rolling is None or not rolling.ready:
                return []
            rows = rolling.under_way(rows)
        return [self._stream.frames.bar(row, freq, None) for row in rows]

    # -- longer bars -------------------------------------------------------------------------------

    def follow(self, symbol: int, freq: str, head: int) -> None:
        """Keep a longer bar up from now on; `head` is the stream's offset. Refuse
        `too_many_subscriptions`."""
        of_symbol = self._stream.rollings.setdefault(symbol, {})
        known = of_symbol.get(freq)
        if known is not None:
            known.released = None
            return
        if sum(map(len, self._stream.rollings.values())) >= ROLLINGS_MAX:
            message = "the stream keeps up no more bars longer than 1m"
            raise Refuse(message, "too_many_subscriptions", 503, "freq")
        rolling = of_symbol[freq] = Rolling(symbol, self._stream.grid(freq), head)
        self._stream.settle_mask(BARS, symbol)
        self._read(rolling)

    def release(self, symbol: int, freq: str, head: int) -> None:
        """Nobody listens; it is kept up until the stream has forgotten today, for who resumes."""
        rolling = self._stream.rollings.get(symbol, {}).get(freq)
        if rolling is not None and not self._stream.of(BARS, freq, symbol):
            rolling.released = head

    def roll(self, row: BarRow) -> list[tuple[Rolling, BarRow]]:
        """Take a closed minute. Returns the longer bars that were closed already and changed."""
        revised = []
        for rolling in self._stream.rollings.get(row.symbol, {}).values():
            bar = rolling.take(row)
            if bar is None:
                if rolling.needs_reload(row):
                    rolling.forget()
                    self._read(rolling)
                continue
            if bar.final:
                revised.append((rolling, rolling.closed(bar)))
            elif rolling.ready:
                self._stream.await_end(rolling, bar)
                self._touch(rolling)
        return revised

    def reload(self, symbols: Iterable[int]) -> None:
        """Read the minutes of longer bars under way anew: some that lay behind were entered."""
        for symbol in symbols:
            for rolling in self._stream.rollings.get(symbol, {}).values():
                rolling.forget()
                self._read(rolling)

    def _touch(self, rolling: Rolling) -> None:
        for lane in self._stream.lanes.values():
            if rolling.grid.freq in lane.listeners.get(rolling.symbol, ()):
                lane.dirty.add(rolling.symbol)

    def _read(self, rolling: Rolling) -> None:
        task = asyncio.get_running_loop().create_task(self._load(rolling))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _load(self, rolling: Rolling) -> None:
        service, freq = self._stream.service, rolling.grid.freq
        ticker = service.words.symbols[rolling.symbol]
        opening, _ = rolling.grid.bar_of(service.now_ns() // 60_000_000_000 * 60_000_000_000)
        start, _ = minutes_of(opening, freq, service.venue.calendar)
        ask = Ask(ticker, "1m", _ALL, start, newest=False, void=True)
        while self._stream.rollings.get(rolling.symbol, {}).get(freq) is rolling:
            try:
                async with self._beginning:
                    await asyncio.sleep(0)  # what lies in memory is read without a pause
                    self._begin(rolling, opening, await service.reader.candles(ask))
                return
            except BursaError as away:
                _log.warning("longer bar not read", ticker=ticker, freq=freq, why=str(away))
            await asyncio.sleep(_RETRY_S)

    def _begin(self, rolling: Rolling, opening: int, found: Candles) -> None:
        rolling.loaded_from = opening
        bars = found.bars
        others = np.arange(rolling.begin(bars, found.hd), len(bars))
        for row in bar_rows(bars, others, found.hd[others]):
            # The store's dictionary is not the line's.
            rolling.take(row._replace(symbol=rolling.symbol))
        rolling.ready = True
        rolling.drop_before(opening)
        for bar in rolling.bars():
            self._stream.await_end(rolling, bar)
        self._touch(rolling)
        self.tell()
        self._post.flush()
