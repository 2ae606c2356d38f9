"""How often one may try to sign in, or have a letter sent: by address, and by the account tried.

Every try counts, good or bad. It counts for its account at its address, so that a stranger who
guesses, or has letters sent, shuts out nobody but himself; all addresses together have a much
higher limit for one account, towards which no refused one counts. Letters count by the hour and the
day too, those of all acts together. A good sign-in forgets those of its account and address, a good
reset all that was tried for the account. Where the shared limits are away nobody is let through by
guess. Does not answer.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Literal

from bursa.accounts.change import Changes
from bursa.accounts.counters import WINDOW_S
from bursa.accounts.event import event
from bursa.accounts.limits import ADDRESSES_MAX, DAY_S, HOUR_S, Limiter, Taken, network
from bursa.accounts.who import Actor
from bursa.model.errors import Refuse

Act = Literal["sign_in", "sign_up", "forgot", "verify", "reset"]


@dataclass(frozen=True, slots=True)
class Tries:
    """How many tries a window has: of one address, for one account from one address, and for one
    account from anywhere. 0: not counted so."""

    address: int
    both: int = 0
    account: int = 0


# Tries a minute. Of letters no account's are counted from all addresses: what the hour or the day
# refuses would go on counting here, and two addresses would keep an owner from his own for ever.
TRIES: Mapping[Act, Tries] = {
    "sign_in": Tries(20, 10, 60),
    "sign_up": Tries(10, 3),
    "forgot": Tries(10, 2),
    "verify": Tries(20),
    "reset": Tries(20),
}
# What has a letter sent, and how many of all of it a longer window has.
LETTERS: frozenset[Act] = frozenset({"sign_up", "forgot"})
LETTERS_SENT: Mapping[int, Tries] = {HOUR_S: Tries(30, 4, 10), DAY_S: Tries(100, 6, 20)}

_MINUTE_NS = 60 * 10**9


class Throttle:
    """The tries of one process, or of all that share its limiter."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter

    async def attempt(self, act: Act, address: str, email: str = "") -> Taken:
        """Count a try; not allowed: the answer is 429 with its headers. Says the same whether or
        not there is such an account. Refuse `limits_away` (503) where the shared limits are
        away."""
        first = await self._take(act, TRIES[act], WINDOW_S, address, email)
        if not first.allowed or act not in LETTERS:
            return first
        for window_s, tries in LETTERS_SENT.items():
            taken = await self._take(f"letters/{window_s}", tries, window_s, address, email)
            if not taken.allowed:
                return taken
        return first

    async def succeeded(self, act: Act, address: str, email: str) -> None:
        """The account's tries were its owner's: forget those from his address, after a reset those
        of all acts. Raises Retry where the shared limits went away."""
        if act == "reset":
            await self._limiter.clear(self._account(email))
        else:
            await self._limiter.forget(self._both(act, address, email))

    async def _take(self, act: str, tries: Tries, window_s: int, address: str, email: str) -> Taken:
        """Count in every bucket of a window until one is full; that one, else what is nearest to
        who asks: his address."""
        buckets = [(f"{act}/{self._limiter.of_address(address)}", tries.address)]
        if email:
            buckets.append((self._both(act, address, email), tries.both))
            buckets.append((f"{self._account(email)}/{act}", tries.account))
        first: Taken | None = None
        for bucket, limit in buckets:
            if not limit:
                continue
            taken = await self._limiter.take_of(bucket, limit, window_s)
            if taken.local:
                raise away()
            if not taken.allowed:
                return taken
            first = first or taken
        assert first is not None, "an address is counted always"
        return first

    def _account(self, email: str) -> str:
        return self._limiter.of_name("account", email.strip().lower())

    def _both(self, act: str, address: str, email: str) -> str:
        return f"{self._account(email)}/{act}/{self._limiter.of_address(address)}"


@dataclass(slots=True)
class _Turned:
    """Tries of one address that the audit has not heard of yet: the last one's, and how many."""

    by: Actor
    act: str
    target: str
    told_ns: int
    count: int = 0


class TurnedAway:
    """Tries that were too many, for the audit: it hears of an address once a minute at most, and
    how many there were. For any thread."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._lock = Lock()
        self._held: OrderedDict[tuple[str, str], _Turned] = OrderedDict()
        self._over: list[_Turned] = []

    def count(self, by: Actor, act: str, target: str) -> bool:
        """Count one, of what it was tried at; the audit is to hear of it now, by `flush`? Returns
        at once."""
        now_ns = self._changes.clock.now_ns()
        with self._lock:
            key = act, network(by.address)
            held = self._held.get(key)
            if held is None:
                held = self._held[key] = _Turned(by, act, target, now_ns - _MINUTE_NS)
                if len(self._held) > ADDRESSES_MAX:
                    self._over.append(self._held.popitem(last=False)[1])
            held.by, held.target = by, target
            held.count += 1
            return now_ns - held.told_ns >= _MINUTE_NS

    def flush(self, *, last: bool = False) -> int:
        """Tell the audit of those that are due, at the end of all; returns of how many addresses.
        Blocks."""
        now_ns = self._changes.clock.now_ns()
        with self._lock:
            due = [k for k, h in self._held.items() if last or now_ns - h.told_ns >= _MINUTE_NS]
            found = [self._held.pop(key) for key in due] + self._over
            self._over = []
            told = [turned for turned in found if turned.count]
            # Those are held on, so that the next one of theirs waits its minute.
            again = {(turned.act, network(turned.by.address)): turned for turned in told}
            for key, turned in again.items():
                self._held.setdefault(key, _Turned(turned.by, turned.act, turned.target, now_ns))
        self._tell(told, now_ns)
        return len(told)

    def _tell(self, told: Iterable[_Turned], now_ns: int) -> None:
        for one in told:
            after = {"code": "too_many_tries", "count": one.count}
            self._changes.audit.tell(
                event(one.by, now_ns, one.act, one.target, after=after, ok=False)
            )


def away() -> Refuse:
    """What is said where a guess will not do."""
    text = "the server that counts requests is away: this is not done by guess, try again soon"
    return Refuse(text, "limits_away", 503)
