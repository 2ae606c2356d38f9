"""What clients of the streams ask for, judged and carried out on the hub.

The WebSocket (ws.py) and the event stream (sse.py) take the same orders and give the same
acknowledgements: all that the client is subscribed to, a cursor, and where it resumed whether all
that it missed is coming. Who may stream what is asked of access.py, for all connections of a user
together; where his rights change, what they do not cover any more is dropped. Does not read from
clients and knows no wire.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from bursa.api.access import Access
from bursa.api.errors import failure_of
from bursa.api.services import Services, VenueService
from bursa.api.stream.frames import said
from bursa.api.stream.hub import Hub
from bursa.api.stream.outbox import Client, Key
from bursa.api.stream.subscriptions import BARS, CHANNELS, METRICS
from bursa.model.errors import BursaError, Refuse
from bursa.model.timeframe import TIMEFRAMES, parse

TICKERS_MAX = 1_000
SUBSCRIPTIONS_MAX = 5_000
THROTTLE_MS_MAX = 60_000
# A client is closed with it that may not listen any more.
NOT_LET_IN = 4401

# (venue, ticker)
Instrument = tuple[str, str]


class Ask(msgspec.Struct, forbid_unknown_fields=True):
    """What a client may say."""

    action: Literal["subscribe", "unsubscribe", "ping", "auth"]
    tickers: tuple[str, ...] | None = None
    freq: str = "1m"
    channels: tuple[str, ...] = (BARS,)
    venue: str | None = None
    resume: str | None = None
    throttle_ms: int | None = None
    token: str | None = None


class Missed(NamedTuple):
    """What a client that resumed is still owed: `await hub.resume(client, *missed)`."""

    keys: list[Key]
    offset: int


class Orders:
    """Carries out orders on a hub."""

    def __init__(self, services: Services, hub: Hub) -> None:
        self._services, self._hub = services, hub
        self._access = Access(services)

    def obey(self, client: Client, ask: Ask) -> Missed | None:
        """Do as a client asks, and tell it so. What it is still owed is the caller's to send.
        Refuses before anything is changed."""
        if ask.action == "ping":
            self.tell(client, said({"type": "pong", "cursor": self._hub.cursor()}))
            return None
        service = self._services.venue(ask.venue)
        if ask.action == "unsubscribe":
            self._unsubscribe(client, service, ask)
            return None
        return self._subscribe(client, service, ask)

    def refuse(self, client: Client, refusal: BursaError) -> None:
        """Tell a client that it may not, and count it."""
        self._services.telemetry.refused.labels(failure_of(refusal).code).inc()
        self.tell(client, error_frame(refusal))

    def trim(self, client: Client) -> None:
        """The rights of a client are others now: drop what they do not cover, and say so. One that
        has nothing left, or still takes up what it missed, is closed and may begin again."""
        if client.owed:
            changed = Refuse("your rights have changed; reconnect", "rights_changed", 403)
            self._expel(client, changed)
            return
        refusals = self._drop_timeframes(client) + self._drop_surplus(client)
        for refusal in refusals:
            self.refuse(client, refusal)
        if refusals and not (client.keys or client.later):
            self._hub.post.close(client, NOT_LET_IN, refusals[-1].code)
        elif refusals:
            self.tell(client, said(self._state(client, "unsubscribed", (), None)))

    def _expel(self, client: Client, refusal: Refuse) -> None:
        self.refuse(client, refusal)
        self._hub.post.close(client, NOT_LET_IN, refusal.code)

    def _drop_timeframes(self, client: Client) -> list[Refuse]:
        """Drop what is of a timeframe that a client has not; why, for each."""
        refusals = []
        for freq in sorted({key[2] for key in client.keys | client.later}):
            try:
                self._access.timeframe(client.who, freq, "freq")
            except Refuse as refusal:
                refusals.append(refusal)
                self._drop(client, self._instruments(client), freq)
        return refusals

    def _drop_surplus(self, client: Client) -> list[Refuse]:
        """Drop the instruments that are too many for a user, the last by code, whichever of his
        clients is looked at first; why."""
        every = self._streamed(client.who.user)
        try:
            self._access.streaming(client.who, len(every))
        except Refuse as refusal:
            gone = {*sorted(every)[client.who.rights.stream_symbols or 0 :]}
            gone &= self._instruments(client)
            self._drop(client, gone)
            return [refusal] if gone else []
        return []

    def _drop(self, client: Client, gone: set[Instrument], freq: str | None = None) -> None:
        """Have a client listen to these no more, to bars of one timeframe or to anything."""
        freqs = (freq,) if freq is not None else TIMEFRAMES
        keys = [key for key in client.keys if key[2] in freqs and self._instrument(key) in gone]
        self._hub.unsubscribe(client, keys)
        later = {one for one in client.later if one[2] in freqs and (one[0], one[3]) in gone}
        client.later -= later

    def _instrument(self, key: Key) -> Instrument:
        return key[0], self._services.venues[key[0]].words.symbols[key[3]]

    def _instruments(self, client: Client) -> set[Instrument]:
        """What a client streams, or will."""
        found = {self._instrument(key) for key in (*client.keys, *client.owed)}
        return found | {(one[0], one[3]) for one in client.later}

    def _streamed(self, user: str) -> set[Instrument]:
        """What all clients of a user stream."""
        found = set[Instrument]()
        for client in self._hub.post.clients:
            if client.who.user == user:
                found |= self._instruments(client)
        return found

    def tell(self, client: Client, frame: bytes) -> None:
        """Send a frame to one client at once."""
        self._hub.post.send((client,), frame)
        self._hub.post.flush()

    def _subscribe(self, client: Client, service: VenueService, ask: Ask) -> Missed | None:
        _check(ask)
        tickers = list(dict.fromkeys(ask.tickers or ()))
        known, coming = _sorted_out(service, tickers)
        self._in_rights(client, service, ask.freq, tickers)
        channels = list(dict.fromkeys(ask.channels))
        keys = [
            (service.venue.name, channel, ask.freq, service.words.find_symbol(ticker))
            for channel in channels
            for ticker in known
        ]
        later = [(channel, ask.freq, ticker) for channel in channels for ticker in coming]
        check_count(len(client.keys | set(keys)) + len(later) + len(client.later), "tickers")
        fresh = [key for key in keys if key not in client.keys]
        offset = None if ask.resume is None else self._hub.resumable(ask.resume, fresh)
        if ask.throttle_ms is not None:
            self._hub.throttle(client, ask.throttle_ms)
        self._hub.subscribe_later(client, service.venue.name, later)
        told = self._state(client, "subscribed", fresh, offset)
        if ask.resume is not None:
            told["recovered"] = offset is not None
            if offset is None:
                told["fetch"] = _fetch(ask, service.venue.name)
        if offset is None:
            self._hub.subscribe(client, fresh, lambda: self.tell(client, said(told)))
            return None
        self.tell(client, said(told))
        client.owed = fresh
        return Missed(fresh, offset)

    def _in_rights(
        self, client: Client, service: VenueService, freq: str, tickers: Sequence[str]
    ) -> None:
        """Refuse what a client's tier does not have: `tier_streaming`, `tier_timeframe`,
        `tier_symbols`."""
        who = client.who
        if who.rights.stream_symbols is not None:
            wanted = {(service.venue.name, ticker) for ticker in tickers}
            self._access.streaming(who, len(self._streamed(who.user) | wanted))
        self._access.timeframe(who, freq, "freq")

    def _unsubscribe(self, client: Client, service: VenueService, ask: Ask) -> None:
        venue = service.venue.name
        tickers = None if ask.tickers is None else set(ask.tickers)
        symbols = service.words.symbols

        def meant(channel: str, freq: str, ticker: str) -> bool:
            of_ticker = tickers is None or ticker in tickers
            return of_ticker and freq == ask.freq and channel in ask.channels

        gone = [k for k in client.keys if k[0] == venue and meant(k[1], k[2], symbols[k[3]])]
        self._hub.unsubscribe(client, gone)
        client.later -= {later for later in client.later if later[0] == venue and meant(*later[1:])}
        self.tell(client, said(self._state(client, "unsubscribed", (), None)))

    def _state(
        self, client: Client, kind: str, fresh: Sequence[Key], offset: int | None
    ) -> dict[str, Any]:
        """The whole subscription state, as an acknowledgement bears it."""
        found: dict[tuple[str, str, str], list[str]] = {}
        for venue, channel, freq, symbol in {*client.keys, *fresh}:
            ticker = self._services.venues[venue].words.symbols[symbol]
            found.setdefault((venue, freq, channel), []).append(ticker)
        for venue, channel, freq, ticker in client.later:
            found.setdefault((venue, freq, channel), []).append(ticker)
        rows = [
            {"venue": venue, "freq": freq, "channel": channel, "tickers": sorted(tickers)}
            for (venue, freq, channel), tickers in sorted(found.items())
        ]
        return {
            "type": kind,
            "subscriptions": rows,
            "throttle_ms": client.throttle_ms,
            "cursor": self._hub.cursor(offset),
        }


def error_frame(error: BursaError) -> bytes:
    """A refusal as a frame."""
    failure = failure_of(error)
    fields = {"type": "error", "code": failure.code, "error": failure.message}
    return said(fields | ({"parameter": failure.parameter} if failure.parameter else {}))


def check_count(count: int, parameter: str) -> None:
    """Refuse `too_many_subscriptions`, naming the parameter that asked for them."""
    if count > SUBSCRIPTIONS_MAX:
        message = f"a client has at most {SUBSCRIPTIONS_MAX} subscriptions"
        raise Refuse(message, "too_many_subscriptions", parameter=parameter)


def _check(ask: Ask) -> None:
    parse(ask.freq, "freq")
    if not ask.tickers:
        raise Refuse("tickers is required", "missing_parameter", parameter="tickers")
    if len(ask.tickers) > TICKERS_MAX:
        message = f"at most {TICKERS_MAX} tickers a message"
        raise Refuse(message, "too_many_tickers", parameter="tickers")
    for channel in ask.channels:
        if channel not in CHANNELS:
            message = f"channel {channel[:64]!r} is none of {', '.join(CHANNELS)}"
            raise Refuse(message, "unknown_channel", parameter="channels")
    if not ask.channels:
        raise Refuse("channels is empty", "missing_parameter", parameter="channels")
    if METRICS in ask.channels and ask.freq != "1m":
        message = "metrics are streamed at 1m; those of longer bars are /v1/metrics/history's"
        raise Refuse(message, "timeframe_not_allowed", parameter="freq")
    if ask.throttle_ms is not None and not 0 <= ask.throttle_ms <= THROTTLE_MS_MAX:
        message = f"throttle_ms lies between 0 and {THROTTLE_MS_MAX}"
        raise Refuse(message, "bad_number", parameter="throttle_ms")


def _sorted_out(service: VenueService, tickers: list[str]) -> tuple[list[str], list[str]]:
    """Tickers that the venue has, and ones to come. While a venue knows no instrument at all yet,
    a well-formed code cannot be judged: it is taken, and begins with its first message."""
    known, coming = [], []
    for ticker in tickers:
        if service.words.find_symbol(ticker) >= 0 and service.directory.knows(ticker):
            known.append(ticker)
        elif service.directory.knows(ticker):
            coming.append(ticker)  # stored, and not in the line's dictionary until it is heard of
        elif not service.directory.count() and service.is_ticker(ticker):
            coming.append(ticker)
        else:
            message = f"{service.venue.name} has no ticker {ticker[:64]!r}"
            raise Refuse(message, "unknown_ticker", 404, "tickers")
    return known, coming


def _fetch(ask: Ask, venue: str) -> list[str]:
    """Where what was missed is to be had, one path a channel."""
    paths = {
        BARS: f"/v1/ohlcv/{{ticker}}?venue={venue}&tf={ask.freq}&from=",
        METRICS: f"/v1/metrics/history?ticker={{ticker}}&venue={venue}&tf={ask.freq}&from=",
    }
    return [paths[channel] for channel in ask.channels]
