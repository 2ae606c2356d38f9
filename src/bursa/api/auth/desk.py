"""What the routes of accounts share: who acts, the accounts of the process, how often one may try.

Calls of accounts block, so they run on threads of their own (Services.desk). Knows no route.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from litestar.types import Scope

from bursa.accounts.ids import digest
from bursa.accounts.limits import Taken
from bursa.accounts.messages import Message
from bursa.accounts.parts import Accounts
from bursa.accounts.texts import tried
from bursa.accounts.throttle import Act, Throttle, away
from bursa.accounts.tokens import Claims
from bursa.accounts.who import Actor, Principal
from bursa.api import access
from bursa.api.credentials import UNHEARD_HERE
from bursa.api.errors import TooMany
from bursa.api.services import Services
from bursa.model.errors import BursaError, Refuse, Retry
from bursa.ops.logs import logger

T = TypeVar("T")

_log = logger("accounts")
# The exchange of a key, as it is counted, and as the audit calls it.
EXCHANGE, _EXCHANGED = "exchange", "key.exchange"


class Desk:
    """The accounts of some services, for routes."""

    def __init__(self, services: Services, accounts: Accounts) -> None:
        self.accounts, self.front = accounts, services.front
        self._services = services
        self._throttle = Throttle(accounts.limiter)

    def now_ns(self) -> int:
        """Our clock, ns since 1970 UTC."""
        return self._services.clock.now_ns()

    async def run(self, call: Callable[..., T], *args: Any) -> T:
        """What a call that blocks returns or raises."""
        return await self._services.desk.run(call, *args)

    async def computed(self, call: Callable[..., T], *args: Any) -> T:
        """The same of a call that computes a password: those wait for each other, nobody else for
        them."""
        return await self._services.passwords.run(call, *args)

    async def tries(self, act: Act, scope: Scope, email: str = "") -> None:
        """Count one try, of the address that it came from and of the account it is for; the answer
        tells of this limit. Refuse 429 `too_many_tries` where there were too many of late, and 503
        `limits_away` where what counts for all processes is away."""
        taken = await self._throttle.attempt(act, access.address(scope), email)
        scope["state"]["marks"] = taken.headers[:2]
        if act == "sign_in" and not taken.allowed:
            await self._turned_away(scope, act, tried(email))
        _judge(taken)

    async def good(self, act: Act, scope: Scope, email: str) -> None:
        """The tries for this account, from this address, were its owner's."""
        with suppress(Retry):  # they are over in a minute anyway
            await self._throttle.succeeded(act, access.address(scope), email)

    async def exchange(self, scope: Scope, kind: str, name: str, per_minute: int) -> None:
        """Count one exchange of a credential, `kind` of it, by `name`. Refuse as `tries`."""
        limiter = self.accounts.limiter
        taken = await limiter.take(limiter.of_name(kind, name), per_minute)
        scope["state"]["marks"] = taken.headers[:2]
        if taken.local:
            raise away()
        if kind == EXCHANGE and not taken.allowed:
            await self._turned_away(scope, _EXCHANGED, "")
        _judge(taken)

    async def _turned_away(self, scope: Scope, act: str, target: str) -> None:
        """Have the audit hear of a try that was one too many, not of each."""
        turned = self.accounts.turned_away
        if turned.count(actor(scope), act, target):
            await self.run(turned.flush)

    async def by_key(self, api_key: str, by: Actor) -> Principal:
        """Whose API key it is, that somebody exchanges. Refuse 401 `unknown_key`, `key_revoked`,
        `key_expired`, `user_disabled`; all of them are audited, with the key's id if it has one."""
        standing, hashed = self.accounts.standing, digest(api_key)

        def shown(now_ns: int) -> Principal:
            found = standing.key_by_hash(hashed)
            if found is None:
                raise Refuse("the API key is unknown", "unknown_key", 401)
            return standing.principal_of_key(found, now_ns)

        try:
            return await self._shown(shown)
        except Refuse as why:
            target = standing.key_by_hash(hashed) or ""
            await self.run(self.accounts.changes.refused, by, _EXCHANGED, target, why)
            raise

    async def by_claims(self, claims: Claims) -> Principal:
        """Whose token it is, by what it says. Refuse 401 as `by_key`, and `machine_released`."""
        of_key = self.accounts.standing.principal_of_key
        return await self._shown(lambda at_ns: of_key(claims.key, at_ns, "token", claims.machine))

    async def _shown(self, judge: Callable[[int], Principal]) -> Principal:
        """Who shows it; what nobody here has heard of may be newer than what was read."""
        now_ns = self.now_ns()
        try:
            found = judge(now_ns)
        except Refuse as why:
            if why.code not in UNHEARD_HERE:
                raise
            await self.run(self.accounts.standing.refresh)
            found = judge(now_ns)
        self.accounts.keys.used(found.key, now_ns)
        return found

    def url(self, scope: Scope) -> str:
        """What links in letters begin with."""
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        _, port = scope["server"] or ("", None)
        return self.front.link(scope["scheme"], host, port or 0)

    def write(self, to: str, message: Message) -> None:
        """Send a letter, if the post takes it. Whether it does, nobody who asks is told: that would
        tell who has an account. Mail counts what it does not take."""
        try:
            self.accounts.mail.send(to, message.subject, message.text)
        except BursaError as error:
            _log.error("a letter was not sent", subject=message.subject, why=str(error))


def _judge(taken: Taken) -> None:
    if not taken.allowed:
        text = f"that was tried too often; wait {taken.wait_s} s"
        raise TooMany(text, taken.wait_s, "too_many_tries")


def actor(scope: Scope, via: str = "web") -> Actor:
    """Who acts in a request, for the audit."""
    asks = access.who(scope)
    request_id = str(scope["state"]["request_id"])
    return Actor(asks.user, asks.role, access.address(scope), via, request_id)
