"""How often one may try to sign in, or have a letter sent: by address, and by the account tried.

Every try counts, good or bad; a good sign-in forgets those of its account, a good reset all that
was tried for it. Where the shared limits are away nobody is let through by guess. Does not answer.
"""

from collections.abc import Mapping
from typing import Literal

from bursa.accounts.limits import Limiter, Taken
from bursa.model.errors import Refuse

Act = Literal["sign_in", "sign_up", "forgot", "verify", "reset"]

# Tries a minute: of one address, and for one account; 0: by the address alone.
TRIES: Mapping[Act, tuple[int, int]] = {
    "sign_in": (20, 10),
    "sign_up": (10, 3),
    "forgot": (10, 2),
    "verify": (20, 0),
    "reset": (20, 0),
}


class Throttle:
    """The tries of one process, or of all that share its limiter."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter

    async def attempt(self, act: Act, address: str, email: str = "") -> Taken:
        """Count a try; not allowed: the answer is 429 with its headers. Refuse `limits_away` (503)
        where the shared limits are away."""
        of_address, of_account = TRIES[act]
        start = self._limiter.of_address(address)
        taken = await self._take(f"{act}/{start}", of_address)
        if taken.allowed and of_account and email:
            of_all = await self._take(f"{self._account(email)}/{act}", of_account)
            return taken if of_all.allowed else of_all
        return taken

    async def succeeded(self, act: Act, email: str) -> None:
        """The account's tries were its owner's: forget them, after a reset those of all acts.
        Raises Retry where the shared limits went away."""
        if act == "reset":
            await self._limiter.clear(self._account(email))
        else:
            await self._limiter.forget(f"{self._account(email)}/{act}")

    def _account(self, email: str) -> str:
        return self._limiter.of_name("account", email.strip().lower())

    async def _take(self, bucket: str, per_minute: int) -> Taken:
        taken = await self._limiter.take(bucket, per_minute)
        if taken.local:
            raise away()
        return taken


def away() -> Refuse:
    """What is said where a guess will not do."""
    text = "the server that counts requests is away: this is not done by guess, try again soon"
    return Refuse(text, "limits_away", 503)
