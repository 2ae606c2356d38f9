"""The token that pages bear and every change over a session must show. Pure.

It derives from the session, so nothing is kept, and another session's is worth nothing.
"""

import hashlib
import hmac


def token(key: bytes, session: str) -> str:
    """The token of a session by its id; `key`: Secrets.pages. 64 hexadecimal digits."""
    return hmac.new(key, b"csrf " + session.encode(), hashlib.sha256).hexdigest()


def matches(key: bytes, session: str, given: str) -> bool:
    """Is `given` the token of this session? Takes as long for any wrong one."""
    return hmac.compare_digest(token(key, session).encode(), given.encode("utf-8", "replace"))
