"""How often one address may ask the viewer API, and what an answer says of it.

Counting is limits.py's of the accounts; an address is kept as a keyed digest. Does not answer
(door.py).
"""

import secrets
from hashlib import blake2b

from bursa.accounts.counters import Counters
from bursa.accounts.limits import FREE, Taken, told
from bursa.ports import Clock


class Rates:
    """The limit of every address; `per_minute` 0: none."""

    def __init__(self, per_minute: int, clock: Clock) -> None:
        self.per_minute = per_minute
        self._counters = Counters(clock)
        self._secret = secrets.token_bytes(16)

    def take(self, address: str) -> Taken:
        """Count one request of an address, if it may be made."""
        if not self.per_minute:
            return FREE
        digest = blake2b(address.encode(), digest_size=8, key=self._secret).hexdigest()
        return told(self.per_minute, self._counters.take(digest, self.per_minute))
