"""What `bursa smoke` asks of a server that others reach: TLS, who is let in, what answers bear.

Each question is an item of the checklist in docs/deploy.md, by the same name. Asks from outside, as
nobody, but for what a key must not open; signs nobody in.
"""

import re
import secrets
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from urllib.parse import urlsplit

from bursa.api.front import is_loopback
from bursa.verbs.asking import Reply, Server, Wrong
from bursa.verbs.finding import Finding, bad, ok, warn

Question = tuple[str, Callable[[], Finding]]

CERTIFICATE_DAYS_LEAST, CERTIFICATE_DAYS_FEW = 3, 14
HSTS_DAYS_LEAST = 180
# What lies behind the proxy: bursa itself, its telemetry, PostgreSQL, Redis.
PORTS_WITHIN = (18090, 2112, 5432, 6379)
_PORT_WAIT_S = 1.5
_DAY_S = 86_400
_PAGE = {"Accept": "text/html"}
_TO_SIGN_IN = "/sign-in?next="
# Of every surface one: each must ask who is there.
DATA = (
    "/v1/symbols?limit=1",
    "/v1/ohlcv/BBCA?tf=1d&limit=1",
    "/v1/snapshot/BBCA",
    "/v1/metrics",
    "/v1/ranking?by=value",
    "/v1/continuity/BBCA",
    "/v1/live?tickers=BBCA&channels=bars",
    "/udf/config",
    "/schema",
    "/llms.txt",
    "/portal/api/me",
)
# Nobody gets these, and no key opens them: they are for sessions of admins.
CLOSED = ("/metrics", "/ops", "/ops/metrics", "/stats", "/admin/api/users")
# Who could sign in by them would be the one whom a start made of a password out of some example.
GUESSES = (("superadmin@localhost", "password123"), ("superadmin@localhost", "changeme123"))
_RATE = re.compile(r'"[a-z]+";q=(\d+);w=\d+')
_LEFT = re.compile(r'"[a-z]+";r=(\d+);t=\d+')
_PROXY = "see the proxy's configuration"


class Deployed:
    """The questions, in their order.

    key         an API key, or ""
    plain_port  port at which plain HTTP must lead to HTTPS; 0: it is not asked
    now_s       s since 1970
    broken      does its TLS not hold, so that nothing else is worth asking?
    """

    def __init__(self, server: Server, key: str, plain_port: int, now_s: float) -> None:
        self._server, self._key = server, key
        self._plain_port, self._now_s = plain_port, now_s
        self.broken = False

    def reached(self) -> Iterator[Question]:
        """What is asked before anything else: whether it is reached as it should be."""
        yield "tls", self._lock
        yield "plain http", self._plain
        yield "ports", self._ports

    def guarded(self) -> Iterator[Question]:
        """What is asked of a server that answers."""
        yield "hsts", self._hsts
        yield "cookies", self._cookies
        yield "nobody", self._nobody
        yield "sign-in", self._sign_in
        yield "operators", self._operators
        yield "passwords", self._passwords
        yield "jwks", self._jwks
        yield "wrong key", self._wrong_key
        yield "rates", self._rates

    # -- how it is reached -------------------------------------------------------------------------

    def _lock(self) -> Finding:
        if not self._server.secure:
            return bad("tls", "passwords and tokens go in the clear", "put a proxy with TLS before")
        try:
            lock = self._server.lock()
        except ssl.SSLCertVerificationError as error:
            self.broken = True
            remedy = "renew it; of an authority of your own: --ca-file FILE"
            return bad("tls", f"its certificate does not hold: {error.verify_message}", remedy)
        except ssl.SSLError as error:
            self.broken = True
            return bad("tls", f"no TLS there: {error.reason or error}", _PROXY)
        days = int((lock.ends_s - self._now_s) // _DAY_S)
        fact = f"{lock.version}, the certificate of {lock.issuer} is good for {days} days"
        if days < CERTIFICATE_DAYS_LEAST:
            return bad("tls", fact, "renew it now")
        if days < CERTIFICATE_DAYS_FEW:
            return warn("tls", fact, "see whether it is renewed by itself")
        return ok("tls", fact)

    def _plain(self) -> Finding:
        """Who types the name without `https://` must come to HTTPS, and nothing be answered."""
        port = self._plain_port
        if not port:
            return ok("plain http", "not asked; --plain-port N asks at port N")
        try:
            reply = self._server.plainly(port, "/chart?symbol=BBCA")
        except OSError:
            return ok("plain http", f"nobody listens at port {port}")
        where = urlsplit(reply.headers.get("location", ""))
        if reply.status not in (301, 302, 307, 308) or where.scheme != "https":
            what = f"port {port} answers {reply.status} without TLS, and does not lead to it"
            return bad("plain http", what, _PROXY)
        if where.hostname != self._server.host or (where.port or 443) != self._server.port:
            return bad("plain http", f"port {port} leads to another place: {where.netloc}", _PROXY)
        return ok("plain http", f"port {port} leads to https with {reply.status}")

    def _ports(self) -> Finding:
        """Whoever reaches bursa beside the proxy comes without TLS, from whatever address he
        says."""
        if is_loopback(self._server.host):
            return ok("ports", "not asked: on this machine all are open")
        within = [port for port in PORTS_WITHIN if port != self._server.port]
        found = list(open_ports(self._server.host, within, min(_PORT_WAIT_S, self._timeout_s)))
        if found:
            what = f"reached from here: {', '.join(map(str, found))}"
            return bad("ports", what, "let them listen on loopback, or shut them by a firewall")
        return ok("ports", f"none of {', '.join(map(str, within))} is reached from here")

    @property
    def _timeout_s(self) -> float:
        return self._server.timeout_s

    # -- what answers bear -------------------------------------------------------------------------

    def _hsts(self) -> Finding:
        for path in ("/sign-in", "/v1/symbols?limit=1", "/no_such_path"):
            told = self._server.get_as_nobody(path).headers.get("strict-transport-security", "")
            found = re.search(r"max-age=(\d+)", told)
            if found is None or int(found[1]) < HSTS_DAYS_LEAST * _DAY_S:
                remedy = "set http.public_url to https://..., and http.proxies"
                what = f"{path} comes without Strict-Transport-Security of {HSTS_DAYS_LEAST} days"
                return bad("hsts", what, remedy)
        return ok("hsts", told)

    def _cookies(self) -> Finding:
        """A sign-out of nobody takes the cookie away by the same marks as a sign-in sets it by."""
        reply = self._server.post_as_nobody("/auth/logout", {}).at(200)
        name, *marks = (part.strip() for part in reply.headers.get("set-cookie", "").split(";"))
        wanted = {"secure", "httponly", "samesite=lax", "path=/"}
        lacks = wanted - {mark.lower() for mark in marks}
        if lacks or not name.startswith("__Host-bursa_session="):
            what = f"the session's cookie is {name.partition('=')[0] or 'not there'}"
            remedy = "set http.public_url to https://..."
            lacking = ", ".join(sorted(lacks)) or "the prefix __Host-"
            return bad("cookies", f"{what}, without {lacking}", remedy)
        return ok("cookies", f"{name.partition('=')[0]}: {', '.join(marks)}")

    # -- who is let in -----------------------------------------------------------------------------

    def _nobody(self) -> Finding:
        for path in DATA:
            reply = self._server.get_as_nobody(path)
            if reply.status != 401:
                remedy = "run no --demo here" if reply.status == 200 else _PROXY
                return bad("nobody", f"{path} answers nobody with {reply.status}, not 401", remedy)
            if reply.headers.get("www-authenticate") != "Bearer":
                what = f"{path} does not say how to sign in (WWW-Authenticate)"
                return bad("nobody", what, "does something between take headers away?")
        return ok("nobody", f"{len(DATA)} routes of data answer 401")

    def _sign_in(self) -> Finding:
        for path in ("/", "/chart?symbol=BBCA", "/docs", "/portal", "/admin"):
            reply = self._server.get_as_nobody(path, _PAGE)
            where = urlsplit(reply.headers.get("location", ""))
            leads = f"{where.path}?{where.query}".startswith(_TO_SIGN_IN)
            if reply.status != 303 or not leads:
                what = f"{path} answers a browser of nobody with {reply.status}"
                return bad("sign-in", what, "run no --demo here; " + _PROXY)
            if where.netloc and where.hostname != self._server.host:
                return bad("sign-in", f"{path} leads to another host: {where.netloc}", _PROXY)
        page = self._server.get_as_nobody("/sign-in", _PAGE).at(200)
        if "text/html" not in page.headers.get("content-type", ""):
            raise Wrong("/sign-in is no page")
        return ok("sign-in", f"pages lead to /sign-in, {page.ms:.1f} ms")

    def _operators(self) -> Finding:
        for path in CLOSED:
            for whose, ask in (("nobody", self._server.get_as_nobody), ("a key", self._server.get)):
                status = ask(path).status
                if status not in (401, 403, 404):
                    remedy = "is X-Forwarded-For set by the proxy, and http.proxies here?"
                    return bad("operators", f"{path} answers {whose} with {status}", remedy)
        return ok("operators", f"{', '.join(CLOSED)} are shut")

    def _passwords(self) -> Finding:
        for email, password in GUESSES:
            said = {"email": email, "password": password}
            reply = self._server.post_as_nobody("/auth/login", said)
            if reply.status in (429, 503):
                return warn("passwords", f"not told: {reply.status}", "ask again in a minute")
            if reply.status != 401:
                what = f"{email} with the password of some example is answered {reply.status}"
                return bad("passwords", what, "choose another at once: bursa user password")
        return ok("passwords", f"{len(GUESSES)} passwords of examples let nobody in")

    def _jwks(self) -> Finding:
        keys = self._server.get_as_nobody("/.well-known/jwks.json").at(200).json()["keys"]
        if not keys:
            raise Wrong("/.well-known/jwks.json has no key")
        for key in keys:
            if (key["kty"], key["alg"], key["use"]) != ("RSA", "RS256", "sig") or not key["kid"]:
                raise Wrong(f"/.well-known/jwks.json: {key.get('kid')} is no RS256 key")
            if set(key) & {"d", "p", "q", "dp", "dq", "qi"}:
                raise Wrong(
                    "/.well-known/jwks.json tells a secret key", "bursa key rotate, at once"
                )
        return ok("jwks", "1 key" if len(keys) == 1 else f"{len(keys)} keys")

    def _wrong_key(self) -> Finding:
        """What looks like a key or a token and is none."""
        made_up = f"idx_live_{secrets.token_hex(32)}"
        server, bearer = self._server, {"Authorization": f"Bearer {made_up[9:]}"}
        asked: tuple[tuple[str, Reply], ...] = (
            ("a key", server.post_as_nobody("/v1/auth/token", {"api_key": made_up})),
            ("a token", server.get_as_nobody("/v1/symbols?limit=1", bearer)),
            ("a key under /udf", server.get_as_nobody("/udf/config", {"X-Api-Key": made_up})),
        )
        for what, reply in asked:
            if reply.status != 401:
                fact = f"{what} that is made up is answered {reply.status}, not 401"
                return bad("wrong key", fact, "does something between answer for bursa?")
        return ok("wrong key", "made-up keys and tokens are refused with 401")

    def _rates(self) -> Finding:
        """Every answer tells the limit; whose request it is, nobody decides by a header."""
        before = None
        for path in ("/health", "/sign-in", "/v1/symbols?limit=1", "/health", "/health"):
            before = _rate(self._server.get_as_nobody(path))
            if before is None:
                remedy = "set http.rate_per_minute; does something between take headers away?"
                return bad("rates", f"{path} comes without RateLimit and RateLimit-Policy", remedy)
        stranger = {"X-Forwarded-For": f"198.18.{secrets.randbelow(256)}.{secrets.randbelow(256)}"}
        other = _rate(self._server.get_as_nobody("/health", stranger))
        after = _rate(self._server.get_as_nobody("/health"))
        assert before is not None
        fresh = before[0] - 1  # what is left after the first request of an address
        if other and after and other[1] == fresh and max(before[1], after[1]) < fresh:
            what = "an X-Forwarded-For that is made up is believed"
            return bad("rates", what, "let the proxy add the address at its end, or set it anew")
        if not self._key:
            return ok("rates", f"{before[0]:,} requests a minute of an address")
        mine = _rate(self._server.get("/v1/symbols?limit=1"))
        of_key = f"{mine[0]:,} of the key's user" if mine else "the key's user has no limit"
        return ok("rates", f"{before[0]:,} requests a minute of an address, {of_key}")


def open_ports(host: str, ports: Iterable[int], wait_s: float) -> Iterator[int]:
    """Those at which somebody takes connections, within so many seconds each."""
    for port in ports:
        with suppress(OSError), socket.create_connection((host, port), wait_s):
            yield port


def _rate(reply: Reply) -> tuple[int, int] | None:
    """Requests a minute, and how many of them are left."""
    policy = _RATE.search(reply.headers.get("ratelimit-policy", ""))
    left = _LEFT.search(reply.headers.get("ratelimit", ""))
    return None if policy is None or left is None else (int(policy[1]), int(left[1]))
