"""Ids, and secrets that are shown once: random texts, and what is kept of them.

An id names a row and is no secret. A secret is kept as its SHA-256 alone, which for 256 random bits
needs neither salt nor slowness.
"""

import hashlib
import secrets

KEY_PREFIX = "idx_live_"
KEY_CHARS = len(KEY_PREFIX) + 64
_HEX = frozenset("0123456789abcdef")


def new_id(prefix: str) -> str:
    """An id of 128 random bits: `usr_` and 32 hexadecimal digits."""
    return f"{prefix}_{secrets.token_hex(16)}"


def new_key() -> str:
    """A new API key: `idx_live_` and 64 hexadecimal digits, 256 random bits."""
    return KEY_PREFIX + secrets.token_hex(32)


def is_key(text: str) -> bool:
    """Has it the form of an API key?"""
    return (
        len(text) == KEY_CHARS
        and text.startswith(KEY_PREFIX)
        and _HEX.issuperset(text[len(KEY_PREFIX) :])
    )


def new_secret() -> str:
    """A secret for a cookie or a link: 256 random bits, of letters that need no quoting."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """What is kept of a secret: its SHA-256, 64 hexadecimal digits."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
