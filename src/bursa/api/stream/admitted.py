"""Who listens, and for how long: clients of the streams are let in, and asked again.

A WebSocket that showed nothing at its handshake has 10 s to say `auth` with a token. Whenever
something changes of users, keys, sessions or tiers, and now and then for what ends by itself, each
client's credentials are looked up once more: who is refused now is told why and closed with 4401,
whose rights are others keeps what he may have. Does not know what is in a frame.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import msgspec

from bursa.accounts.limits import network
from bursa.accounts.who import Principal
from bursa.api.admission import Admission
from bursa.api.errors import failure_of
from bursa.api.front import is_loopback
from bursa.api.services import Services
from bursa.api.stream.frames import said
from bursa.api.stream.hub import Hub
from bursa.api.stream.orders import NOT_LET_IN, Orders, error_frame
from bursa.api.stream.outbox import Client, Wire
from bursa.model.errors import BursaError, Refuse
from bursa.ops.telemetry import Telemetry

TRY_AGAIN = 1013
AUTH_S = 10.0
# Connections at once that have not said who they are: in all, and from one address, which keeps no
# other from saying it.
WAITING_MAX, WAITING_OF_ONE_MAX = 500, 50
# How often those are looked at whose sessions and keys end by themselves.
LOOK_S = 30.0

# The next message's text, None where it is none; ConnectionError where the socket is gone.
Listen = Callable[[], Awaitable[str | None]]


class Auth(msgspec.Struct, forbid_unknown_fields=True):
    """What a client says that has not said who it is."""

    action: Literal["auth"]
    token: str


_decode = msgspec.json.Decoder(Auth).decode


class Admitted:
    """The listeners of a hub. `start`, and all else, belongs to the server's loop."""

    def __init__(self, services: Services, hub: Hub, admission: Admission) -> None:
        self._services, self._hub, self._admission = services, hub, admission
        self._orders = Orders(services, hub)
        self._waiting: Counter[str] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._looking: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to hear of changes."""
        if self._services.accounts is not None:
            self._loop = asyncio.get_running_loop()
            self._services.accounts.standing.listeners.append(self._changed)
            self._looking = self._loop.call_later(LOOK_S, self._look)

    def stop(self) -> None:
        """Hear no more."""
        if self._services.accounts is not None and self._looking is not None:
            self._services.accounts.standing.listeners.remove(self._changed)
            self._looking.cancel()
            self._loop = None

    async def introduced(self, listen: Listen, wire: Wire, address: str) -> Principal:
        """Who is behind a socket, by its first messages. Refuse `auth_timeout`, and 401 for a
        token that is refused; the socket is then to be closed (`turn_away`)."""
        whose = self._admission.bucket(address)
        if self._waiting.total() >= WAITING_MAX or self._waiting[whose] >= WAITING_OF_ONE_MAX:
            raise Refuse("too many have not said who they are; try again", "too_many_clients", 503)
        self._waiting[whose] += 1
        try:
            async with asyncio.timeout(AUTH_S):
                while True:
                    who = await self._heard(await listen(), wire, address)
                    if who is not None:
                        return who
        except TimeoutError:
            message = f'say who you are within {AUTH_S:g} s: {{"action":"auth","token":"..."}}'
            raise Refuse(message, "auth_timeout", 401) from None
        finally:
            self._waiting[whose] -= 1
            if not self._waiting[whose]:
                del self._waiting[whose]

    async def _heard(self, text: str | None, wire: Wire, address: str) -> Principal | None:
        try:
            ask = _decode(text or "")
        except msgspec.MsgspecError:
            message = 'say who you are first: {"action":"auth","token":"..."}'
            self._services.telemetry.refused.labels("auth_required").inc()
            wire.write(error_frame(Refuse(message, "auth_required", 401)))
            await asyncio.sleep(0.1)
            return None
        who = await self._admission.by_token(ask.token, address)
        wire.write(_told(who))
        return who

    def let_in(self, client: Client, who: Principal, state: Mapping[str, Any]) -> None:
        """A client listens as somebody from now on; `state` is its scope's. Refuse 401 where that
        ended since it came."""
        client.address = state["address"]
        client.who, client.again = who, self._admission.again(who, state.get("cookie", ""))
        if client.again is not None:
            client.who = client.again(self._services.clock.now_ns())

    async def renewed(self, client: Client, token: str | None) -> None:
        """A client that is let in shows another token, of its own user: it goes on by that."""
        if not token:
            raise Refuse("token is required", "missing_parameter", parameter="token")
        who = await self._admission.by_token(token, client.address)
        if client.who.via != "demo" and who.user != client.who.user:
            message = "the token is another user's; open a connection for him"
            raise Refuse(message, "other_user", 403, "token")
        before = client.who
        self.let_in(client, who, {"address": client.address})
        self._orders.tell(client, _told(client.who))
        self._fit(client, before)

    # -- what changes ------------------------------------------------------------------------------

    def _changed(self) -> None:
        """Called on the thread that read the change."""
        if (loop := self._loop) is not None:
            try:
                loop.call_soon_threadsafe(self.review)
            except RuntimeError:
                self._loop = None  # closed: there is nobody left to ask

    def _look(self) -> None:
        if self._loop is not None:
            self.review()
            self._looking = self._loop.call_later(LOOK_S, self._look)

    def review(self) -> None:
        """Ask for each client who it is by now."""
        now_ns = self._services.clock.now_ns()
        for client in list(self._hub.post.clients):
            if client.again is None:
                continue
            before = client.who
            try:
                client.who = client.again(now_ns)
            except Refuse as refusal:
                self.expel(client, refusal)
            else:
                self._fit(client, before)

    def _fit(self, client: Client, before: Principal) -> None:
        """Have a client keep what it may have."""
        now = client.who
        if now is not before and (now.rights, now.factor) != (before.rights, before.factor):
            self._orders.trim(client)

    def expel(self, client: Client, refusal: Refuse) -> None:
        """Tell a client why, and close it."""
        self._orders.refuse(client, refusal)
        self._hub.post.close(client, NOT_LET_IN, refusal.code)


def holder(who: Principal, address: str) -> str:
    """By what the place of a listener is counted: his user, or his address; "" where it is not
    counted, as on this machine itself."""
    if who.user or is_loopback(address):
        return "" if who.via == "demo" else who.user
    return network(address)


def turn_away(telemetry: Telemetry, wire: Wire, refusal: BursaError) -> None:
    """Tell a socket that it is not let in, and close it."""
    failure = failure_of(refusal)
    telemetry.refused.labels(failure.code).inc()
    wire.write(error_frame(refusal))
    wire.close(TRY_AGAIN if failure.status == 503 else NOT_LET_IN, failure.code)


def _told(who: Principal) -> bytes:
    fields = {"type": "authenticated", "tier": who.rights.tier}
    return said(fields | {"stream_symbols": who.rights.stream_symbols})
