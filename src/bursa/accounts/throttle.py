"""How often one may try to sign in, or have a letter sent: by address, and by the account tried.

Every try counts, good or bad. A sign-in counts for its account at its address, so that a stranger
who guesses shuts out nobody but himself; all addresses together have a much higher limit for one
account. Letters count by the hour and the day too, those of all acts together. A good sign-in
forgets those of its account and address, a good reset all that was tried for the account. Where the
shared limits are away nobody is let through by guess. Does not answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bursa.accounts.counters import WINDOW_S
from bursa.accounts.limits import DAY_S, HOUR_S, Limiter, Taken
from bursa.model.errors import Refuse

Act = Literal["sign_in", "sign_up", "forgot", "verify", "reset"]


@dataclass(frozen=True, slots=True)
class Tries:
    """How many tries a window has: of one address, for one account from one address, and for one
    account from anywhere. 0: not counted so."""

    address: int
    both: int = 0
    account: int = 0


# Tries a minute.
TRIES: Mapping[Act, Tries] = {
    "sign_in": Tries(20, 10, 60),
    "sign_up": Tries(10, 0, 3),
    "forgot": Tries(10, 0, 2),
    "verify": Tries(20),
    "reset": Tries(20),
}
# What has a letter sent, and how many of all of it a longer window has.
LETTERS: frozenset[Act] = frozenset({"sign_up", "forgot"})
LETTERS_SENT: Mapping[int, Tries] = {HOUR_S: Tries(30, 0, 5), DAY_S: Tries(100, 0, 10)}


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


def away() -> Refuse:
    """What is said where a guess will not do."""
    text = "the server that counts requests is away: this is not done by guess, try again soon"
    return Refuse(text, "limits_away", 503)
