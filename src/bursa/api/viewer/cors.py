"""Which other sites' pages may read the viewer API, and how their browsers are told.

Origins are listed in the configuration; an answer to one of them bears its name, an answer to any
other bears nothing, so its browser keeps it from the page. Only the viewer's paths are ever open.
"""

from collections.abc import Sequence

from bursa.api.errors import routed

Header = tuple[bytes, bytes]

METHODS = b"GET, HEAD, OPTIONS"
REQUEST_HEADERS = b"Accept, Content-Type, X-Request-Id"
EXPOSED = b"RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"
MAX_AGE_S = 600

_PATHS = frozenset({"/healthz", "/version", "/ws"})
_DEFAULT_PORTS = ((b"http://", b":80"), (b"https://", b":443"))


def is_open(path: str) -> bool:
    """Is a path one that listed origins may read?"""
    path = routed(path)
    return path.startswith("/api/v1/") or path in _PATHS


class Origins:
    """The listed origins: blanks between them, `*` for any, "" for none."""

    def __init__(self, listed: str) -> None:
        self._any = listed.strip() == "*"
        self._listed = frozenset(_plain(word.encode()) for word in listed.split())

    def allow(self, origin: bytes) -> bool:
        """May pages of that origin read? `origin` is the header's value, b"" where none was."""
        return bool(origin) and (self._any or _plain(origin) in self._listed)

    def headers(self, origin: bytes) -> Sequence[Header]:
        """What an answer to a request from `origin` bears."""
        if self._any:
            return (
                (b"access-control-allow-origin", b"*"),
                (b"access-control-expose-headers", EXPOSED),
                (b"cross-origin-resource-policy", b"cross-origin"),
            )
        if not self._listed:
            return ()
        vary = (b"vary", b"Origin")
        if not self.allow(origin):
            return (vary,)
        return (
            vary,
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", EXPOSED),
            (b"cross-origin-resource-policy", b"cross-origin"),
        )


PREFLIGHT: Sequence[Header] = (
    (b"access-control-allow-methods", METHODS),
    (b"access-control-allow-headers", REQUEST_HEADERS),
    (b"access-control-max-age", str(MAX_AGE_S).encode()),
    (b"vary", b"Access-Control-Request-Method, Access-Control-Request-Headers"),
)


def _plain(origin: bytes) -> bytes:
    """Lower case, and without the port that its scheme has anyway."""
    plain = origin.lower()
    for scheme, port in _DEFAULT_PORTS:
        if plain.startswith(scheme):
            plain = plain.removesuffix(port)
    return plain
