"""Passwords: which are taken, how they are kept (argon2id), and how they are compared.

Where there is nothing to compare with, as long is computed: how long an answer takes does not tell
whether an address has an account. A flood of sign-ins does not take the machine: so many are
computed at once, others wait.
"""

import unicodedata
from threading import Semaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from bursa.model.errors import Refuse

# Memory is in KiB: 19 MiB for each hash under way.
MEMORY_KB, PASSES, LANES = 19_456, 2, 1
AT_ONCE = 4
CHARS_MIN, CHARS_MAX = 10, 256


class Passwords:
    """Computes and compares; any thread may use it. Takes some 20 ms of a core each time."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(
            time_cost=PASSES, memory_cost=MEMORY_KB, parallelism=LANES, hash_len=32, salt_len=16
        )
        self._turns = Semaphore(AT_ONCE)
        self._dummy = self.hash("nobody has this password")

    def hash(self, password: str) -> str:
        """What is kept of a password: argon2id with its parameters and a salt of its own."""
        with self._turns:
            return self._hasher.hash(_bytes(password))

    def verify(self, kept: str, password: str) -> bool:
        """Is it the password? Of "" (no password kept) it is not, which takes as long."""
        # What could not be set is not compared: else a megabyte would be hashed for anybody.
        usable = bool(kept) and len(password) <= CHARS_MAX
        with self._turns:
            try:
                same = self._hasher.verify(
                    kept if usable else self._dummy, _bytes(password if usable else "")
                )
            except (VerificationError, InvalidHashError):
                return False
        return usable and same

    def outdated(self, kept: str) -> bool:
        """Was it computed with other parameters than today's?"""
        return self._hasher.check_needs_rehash(kept)


def judged(password: str, email: str = "", name: str = "password") -> str:
    """The password where it may be taken. Refuse `weak_password`, of the parameter `name`."""
    folded = _folded(password)
    if not CHARS_MIN <= len(folded) <= CHARS_MAX or len(password) > CHARS_MAX:
        what = f"{len(folded)} characters, allowed: {CHARS_MIN} to {CHARS_MAX}"
    elif len(set(folded)) < 4:
        what = "fewer than four different characters"
    elif email and folded.casefold().strip() in (email.casefold(), email.partition("@")[0]):
        what = "the e-mail address is no password"
    else:
        return password
    raise Refuse(f"{name}: {what}", "weak_password", 400, name)


def _bytes(password: str) -> bytes:
    return _folded(password).encode("utf-8", "replace")


def _folded(password: str) -> str:
    """The same text, however a keyboard composes its letters."""
    return unicodedata.normalize("NFKC", password)
