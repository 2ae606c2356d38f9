"""Who somebody is, by what he shows: a token, an API key, or the cookie of a session.

All is looked up in memory (accounts/standing.py) at each request, so what was revoked is refused by
the next one. What is not known there may be newer than what this process has heard of: then, and
only then, the database is asked. Decides nothing about paths (admission.py does).
"""

from collections.abc import Awaitable, Callable
from hashlib import sha256

from bursa.accounts.parts import Accounts
from bursa.accounts.standing import UNHEARD
from bursa.accounts.who import Principal
from bursa.model.errors import Refuse

KEY_START = "idx_live_"
# Of what is shown, so many characters are looked at.
_SHOWN_MAX = 8_192
# A machine that was activated in another process a moment ago is not known to hold a slot.
UNHEARD_HERE = UNHEARD | {"machine_released"}

# Who shows it, at a time (ns since 1970). Refuse 401 where it does not hold.
Judge = Callable[[str, int], Principal]


class Credentials:
    """Judges credentials by the accounts of this process.

    run  calls something that blocks, on a thread
    """

    def __init__(
        self, accounts: Accounts, run: Callable[[Callable[[], None]], Awaitable[None]]
    ) -> None:
        self._standing, self._read = accounts.standing, accounts.tokens.read
        self._run = run

    def of_token(self, token: str, now_ns: int) -> Principal:
        """Who an API key was exchanged for this token by."""
        claims = self._read(token, now_ns)
        return self._standing.principal_of_key(claims.key, now_ns, "token", claims.machine)

    def of_key(self, key: str, now_ns: int) -> Principal:
        """Whose API key this is."""
        found = self._standing.key_by_hash(_digest(key))
        if found is None:
            raise Refuse("the API key is unknown", "unknown_key", 401)
        return self._standing.principal_of_key(found, now_ns, "key")

    def of_cookie(self, cookie: str, now_ns: int) -> Principal:
        """Whose session this is the cookie of."""
        return self._standing.principal_of_session(_digest(cookie), now_ns)

    def again(self, who: Principal, cookie: str = "") -> Callable[[int], Principal]:
        """Asks later who somebody is who was let in, by the same credentials. What is open goes on
        when its token is over, as long as key and user are in order."""
        if who.via == "session":
            return lambda now_ns: self.of_cookie(cookie, now_ns)
        of_key = self._standing.principal_of_key
        return lambda now_ns: of_key(who.key, now_ns, who.via, who.machine)

    async def renew(self) -> None:
        """Read what changed since. Raises Retry while the database is away."""
        await self._run(self._standing.refresh)


def bearer(header: bytes, keys: bool) -> str:
    """What an Authorization header shows: a token, or where `keys` may be shown an API key. Refuse
    401 `token_invalid` for anything else."""
    if header[:7] == b"Bearer " and len(header) <= _SHOWN_MAX:
        shown = header[7:].decode("latin-1")
    else:
        scheme, _, rest = header[:_SHOWN_MAX].decode("latin-1").partition(" ")
        shown = rest.strip() if scheme.lower() == "bearer" else ""
    if not shown:
        message = "Authorization is `Bearer` and a token; an API key is exchanged for one"
        raise Refuse(message, "token_invalid", 401)
    if shown.startswith(KEY_START) and not keys:
        message = "that is an API key; exchange it for a token: POST /v1/auth/token"
        raise Refuse(message, "token_invalid", 401)
    return shown


def _digest(shown: str) -> str:
    return sha256(shown.encode()).hexdigest()
