"""The cookie of a session: its name, how it is set, and how it is found in a request.

Where a server is reached over TLS the cookie is Secure and its name has the prefix `__Host-`, which
browsers take from this very host alone, for all of its paths. Knows no session (accounts/).
"""

NAME = "bursa_session"
SECURE_NAME = "__Host-" + NAME
# What a browser sends is looked at up to here; a session's is 64 characters.
_VALUE_MAX = 256

Header = tuple[bytes, bytes]


class SessionCookie:
    """The cookie of a server's sessions. `secure`: for TLS only."""

    def __init__(self, secure: bool) -> None:
        self.name = SECURE_NAME if secure else NAME
        self._start = self.name.encode() + b"="
        self._marks = "; Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")

    def read(self, header: bytes) -> str:
        """Its value in a Cookie header; "" where it is not there. Of two, none: who set the other
        is not known."""
        if self._start not in header:
            return ""
        found = [
            part[len(self._start) :]
            for part in header.replace(b" ", b"").split(b";")
            if part.startswith(self._start)
        ]
        if len(found) != 1 or len(found[0]) > _VALUE_MAX:
            return ""
        return found[0].decode("latin-1")

    def set(self, value: str, lasts_s: int) -> Header:
        """The header that sets it, for so many seconds."""
        return b"set-cookie", f"{self.name}={value}; Max-Age={lasts_s}{self._marks}".encode()

    def clear(self) -> Header:
        """The header that takes it away."""
        return self.set("", 0)
