"""Who listens to what of one venue: sets of clients by channel, timeframe and symbol.

Masks over symbol ids answer "does anybody care?" for a whole batch at once, so that rows nobody
wants cost nothing. A `Lane` gathers the clients that share a throttle. Sends nothing (hub.py).
"""

from __future__ import annotations

import heapq
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bursa.api.services import VenueService
from bursa.api.stream.frames import Frames
from bursa.api.stream.outbox import Client, Key
from bursa.api.stream.rolling import Bar, Grid, Rolling
from bursa.model.timeframe import bucket_end, buckets

BARS, METRICS = "bars", "metrics"
CHANNELS = (BARS, METRICS)


class Mask:
    """A set of symbol ids that a whole column can be asked about."""

    def __init__(self) -> None:
        self._held = np.zeros(1024, bool)

    def put(self, symbol: int, held: bool) -> None:
        """Enter or remove an id."""
        if symbol >= len(self._held):
            self._held = np.concatenate((self._held, np.zeros(symbol + 1024, bool)))
        self._held[symbol] = held

    def places(self, symbols: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where in a column the ids of the set stand."""
        if len(symbols) and int(symbols.max()) >= len(self._held):
            self.put(int(symbols.max()), False)
        return np.flatnonzero(self._held[symbols])


@dataclass
class Lane:
    """Clients of one venue that share a throttle: who gets partial bars of which symbol and
    timeframe, and which symbols changed since they were last told."""

    throttle_ms: int
    listeners: dict[int, dict[str, set[Client]]] = field(default_factory=dict)
    mask: Mask = field(default_factory=Mask)
    dirty: set[int] = field(default_factory=set)
    told_s: float = 0.0
    scheduled: bool = False

    def put(self, symbol: int, freq: str, client: Client) -> None:
        """A client listens."""
        self.listeners.setdefault(symbol, {}).setdefault(freq, set()).add(client)
        self.mask.put(symbol, True)

    def remove(self, symbol: int, freq: str, client: Client) -> None:
        """A client does not listen any more."""
        of_symbol = self.listeners.get(symbol, {})
        of_symbol.get(freq, set()).discard(client)
        if freq in of_symbol and not of_symbol[freq]:
            del of_symbol[freq]
        if not of_symbol:
            self.listeners.pop(symbol, None)
            self.mask.put(symbol, False)
            self.dirty.discard(symbol)

    def touch(self, symbols: NDArray[np.int64]) -> None:
        """Open bars of these changed."""
        self.dirty.update(symbols[self.mask.places(symbols)].tolist())


class VenueStream:
    """The subscriptions of one venue."""

    def __init__(self, service: VenueService) -> None:
        self.service = service
        self.name = service.venue.name
        self.frames = Frames(service.venue, service.words.symbols)
        self.listeners: dict[tuple[str, str, int], set[Client]] = {}
        self.clients: dict[Client, int] = {}
        self.lanes: dict[int, Lane] = {}
        self.rollings: dict[int, dict[str, Rolling]] = {}
        self.masks = {BARS: Mask(), METRICS: Mask()}
        self.ends: list[tuple[int, int, str, int]] = []
        self.over_day: date | None = None
        # Clients with tickers still to come, and how many symbols were known at the last look.
        self.waiting: set[Client] = set()
        self.symbols = 0
        self._grids: dict[str, Grid] = {}

    def lane(self, throttle_ms: int) -> Lane:
        """The lane of a throttle."""
        return self.lanes.setdefault(throttle_ms, Lane(throttle_ms))

    def grid(self, freq: str) -> Grid:
        """Where the bars of a timeframe lie; a minute's place is worked out once."""
        if freq not in self._grids:
            calendar = self.service.venue.calendar

            @lru_cache(4096)
            def bar_of(ts_ns: int) -> tuple[int, int]:
                opens = int(buckets(np.array([ts_ns], np.int64), freq, calendar)[0])
                return opens, bucket_end(opens, freq, calendar)

            self._grids[freq] = Grid(freq, 10**self.service.venue.volume_decimals, bar_of)
        return self._grids[freq]

    def put(self, client: Client, key: Key) -> None:
        """A client listens to a key of this venue."""
        _, channel, freq, symbol = key
        client.keys.add(key)
        self.listeners.setdefault((channel, freq, symbol), set()).add(client)
        self.clients[client] = self.clients.get(client, 0) + 1
        self.masks[channel].put(symbol, True)
        if channel == BARS and key not in client.quiet:
            self.lane(client.throttle_ms).put(symbol, freq, client)

    def remove(self, client: Client, key: Key) -> None:
        """A client does not listen to a key any more."""
        _, channel, freq, symbol = key
        client.keys.discard(key)
        of_key = self.listeners.get((channel, freq, symbol), set())
        of_key.discard(client)
        if not of_key:
            self.listeners.pop((channel, freq, symbol), None)
        self.clients[client] -= 1
        if not self.clients[client]:
            del self.clients[client]
        if channel == BARS and (lane := self.lanes.get(client.throttle_ms)) is not None:
            lane.remove(symbol, freq, client)
            if not lane.listeners:
                del self.lanes[client.throttle_ms]
        self.settle_mask(channel, symbol)

    def settle_mask(self, channel: str, symbol: int) -> None:
        """Set whether anybody cares about a symbol."""
        freqs = ("1m",) if channel == METRICS else ("1m", *self.rollings.get(symbol, ()))
        held = any((channel, freq, symbol) in self.listeners for freq in freqs)
        self.masks[channel].put(symbol, held or (channel == BARS and symbol in self.rollings))

    def of(self, channel: str, freq: str, symbol: int) -> Collection[Client]:
        """The clients that listen to a key."""
        return self.listeners.get((channel, freq, symbol), ())

    def await_end(self, rolling: Rolling, bar: Bar) -> None:
        """Note when a longer bar is over."""
        if not bar.queued:
            bar.queued = True
            heapq.heappush(self.ends, (bar.end, rolling.symbol, rolling.grid.freq, bar.ts))

    def ended(self, closed_until_ns: int) -> list[tuple[Rolling, Bar]]:
        """The longer bars that are over by now, each once, by end and symbol."""
        found = []
        while self.ends and self.ends[0][0] <= closed_until_ns:
            _, symbol, freq, ts = heapq.heappop(self.ends)
            rolling = self.rollings.get(symbol, {}).get(freq)
            bar = None if rolling is None else rolling.held(ts)
            if rolling is not None and bar is not None and not bar.final:
                bar.final = True
                found.append((rolling, bar))
        return found

    def forget_idle(self, tail: int) -> None:
        """Drop the longer bars that nobody has listened to since before what is retained."""
        for symbol in list(self.rollings):
            of_symbol = self.rollings[symbol]
            for freq in list(of_symbol):
                released = of_symbol[freq].released
                if released is not None and released < tail:
                    del of_symbol[freq]
            if not of_symbol:
                del self.rollings[symbol]
                self.settle_mask(BARS, symbol)
