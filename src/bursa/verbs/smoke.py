"""`bursa smoke URL`: the questions a deployer would ask of a running server, one finding each.

What is reached over TLS, or from another machine, is asked the questions of deployed.py too. While
the venue trades, candles must go on and the stream must deliver; outside its hours they need only
be there. Asks as any client does (asking.py) and changes nothing.
"""

import http.client
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from urllib.parse import quote

from rich.console import Console

from bursa.api.front import is_loopback
from bursa.app import SystemClock
from bursa.verbs.asking import Denied, Server, Wrong
from bursa.verbs.deployed import Deployed, Question
from bursa.verbs.finding import Finding, bad, ok, tell, warn

LOOK_S = 0.25
HISTORY_BARS = 300
TICKERS_MAX = 10
PAGES = ("/", "/chart", "/docs")
# What keeps a browser from doing with an answer what it should not.
HEADERS = {
    "content-security-policy": "default-src 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}
_FEED = "see the feed: `bursa doctor`, and /ready"
# Where these come to nothing the others would, too.
_FIRST = ("tls", "health")
_NOT_BURSA = "is it bursa, of this version, that answers there?"


@dataclass(frozen=True)
class With:
    """What a run asks with.

    key         an API key; "": as nobody
    ca_file     PEM file of certificates to trust; "": those that the system trusts
    plain_port  port at which plain HTTP must lead to HTTPS; None: 80, where the URL has no port
    """

    key: str = ""
    ca_file: str = ""
    plain_port: int | None = None


def run_smoke(
    url: str, timeout_s: float, *, as_json: bool, say: Console, given: With | None = None
) -> int:
    """Ask and tell. Returns 1 if any answer is bad. Refuse where the URL is none, or the file has
    no certificates."""
    given = given or With()
    server = Server(url, timeout_s, given.ca_file)
    return tell(_Smoke(server, given).findings(), say, as_json)


class _Smoke:
    """One run; what an answer tells, later questions use.

    deployed  the questions beside; None on loopback without TLS
    shut      is nobody answered, and is there no key?
    silent    did nobody answer the first question?
    tickers   instruments to ask for, the one traded most often first
    advances  must bars go on now?
    """

    def __init__(self, server: Server, given: With) -> None:
        self._server, self._key = server, given.key
        self._deployed: Deployed | None = None
        if server.secure or not is_loopback(server.host):
            port = given.plain_port
            if port is None:
                port = 80 if server.secure and server.port == 443 else 0
            now_s = SystemClock().now_ns() / 1e9
            self._deployed = Deployed(server, given.key, port, now_s)
        self._shut = self._silent = False
        self._tickers: list[str] = []
        self._advances = False

    def findings(self) -> Iterator[Finding]:
        """Every question in turn; only the first where nobody answers, and only those that nobody
        may ask where there is no key."""
        for name, question in self._questions():
            found = self._asked(name, question)
            yield found
            if self._silent or (self._deployed is not None and self._deployed.broken):
                return

    def _questions(self) -> Iterator[Question]:
        beside = self._deployed
        if beside is not None:
            yield from beside.reached()
        yield "health", self._health
        yield "ready", self._ready
        yield "version", self._version
        yield "key", self._enter
        yield "headers", self._headers
        yield "guard", self._guard
        if beside is not None:
            yield from beside.guarded()
        if not self._shut:
            yield from self._of_market()

    def _of_market(self) -> tuple[Question, ...]:
        return (
            ("symbols", self._symbols),
            ("feed", self._feed),
            ("ranking", self._ranking),
            ("candles", self._candles),
            ("stream", self._stream),
            ("live events", self._live),
            ("udf config", self._udf_config),
            ("udf symbols", self._udf_symbols),
            ("udf search", self._udf_search),
            ("udf history", self._udf_history),
            ("udf errors", self._udf_errors),
            ("viewer", self._viewer),
            ("pages", self._pages),
            ("schema", self._schema),
        )

    def _asked(self, name: str, question: Callable[[], Finding]) -> Finding:
        try:
            return question()
        except Denied as denied:
            return warn(name, denied.fact, denied.remedy)
        except Wrong as wrong:
            return bad(name, wrong.fact, wrong.remedy)
        except (OSError, http.client.HTTPException) as error:
            why = f"no answer within {self._server.timeout_s:g} s"
            if not isinstance(error, TimeoutError):
                why = getattr(error, "strerror", None) or str(error) or repr(error)
            self._silent = name in _FIRST
            return bad(name, f"{self._server.url}: {why}", "does it run? see address and port")
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            return bad(name, f"an answer of another form ({error!r})", _NOT_BURSA)

    # -- the process -------------------------------------------------------------------------------

    def _health(self) -> Finding:
        reply = self._server.get("/health").at(200)
        if reply.json() != {"ok": True}:
            raise Wrong(f"/health answers {reply.body[:80]!r}", _NOT_BURSA)
        return ok("health", f"alive, {reply.ms:.1f} ms")

    def _ready(self) -> Finding:
        body = self._server.get("/ready").at(200, 503).json()
        rows = {name: row["latency_ms"] for name, row in body["dependencies"].items()}
        shown = ", ".join(f"{name} {latency_ms:.1f} ms" for name, latency_ms in rows.items())
        if body["waiting_for"]:
            return bad("ready", f"it starts: waits for {body['waiting_for']}", "ask again later")
        if not body["ok"]:
            return bad("ready", f"cannot serve: {', '.join(body['degraded'])}", "see /ready")
        if body["degraded"]:
            return warn("ready", f"degraded: {', '.join(body['degraded'])}", "see /ready")
        return ok("ready", shown)

    def _version(self) -> Finding:
        body = self._server.json("/version")
        return ok("version", f"bursa {body['version']}, Python {body['python']}")

    def _enter(self) -> Finding:
        """Without credentials only a demo answers; with a key there is a token for it."""
        nobody = self._server.get_as_nobody("/v1/symbols?limit=1").at(200, 401)
        refused = nobody.status == 401
        if not refused:
            _ = [row["ticker"] for row in nobody.json()["data"]]
        if not self._key:
            self._shut = refused
            if refused:
                raise Wrong("who has no key is not answered", "give one: --key-file FILE")
            return ok("key", "none is needed: this is a demo")
        if not refused:
            return warn("key", "who has none is answered too: this is a demo", "run no demo here")
        found = self._server.enter(self._key)
        fact = f"a token of tier {found['tier']} for {found['expires_in']} s"
        return ok("key", f"{fact}; without one the answer is {nobody.status}")

    # -- the market --------------------------------------------------------------------------------

    def _symbols(self) -> Finding:
        try:
            rows = self._server.data("/v1/symbols?limit=10000")
        except Denied:
            rows = self._server.data("/v1/symbols")  # as many as the tier may have
        if not rows:
            raise Wrong("there is no instrument", _FEED)
        named = sum(row["name"] != row["ticker"] for row in rows)
        self._tickers = [row["ticker"] for row in rows][:TICKERS_MAX]
        return ok("symbols", f"{len(rows):,}, {named:,} of them with a name")

    def _feed(self) -> Finding:
        """Also settles whether bars must go on."""
        tape = self._server.json("/web/tape")
        fresh, session, progress = tape["fresh"], tape["session"], tape["progress"]
        trading = any(s["trading"] for s in tape["sessions"] if s["name"] == session)
        self._advances = fresh == "wait" and bool(progress) or (fresh == "live" and trading)
        fact = f"{tape['exchange']}: {session}, {tape['rate']:,.0f} messages a second"
        if progress:
            days = f"past day {progress['day']} of {progress['days']} comes in"
            return warn("feed", f"{fact}; {days}", "ask again when it is live")
        if fresh == "cut":
            return bad("feed", f"{fact}; a channel is away", _FEED)
        if fresh == "stale":
            age_s = (tape["age_ms"] or 0) / 1000
            return bad("feed", f"{fact}; silent for {age_s:,.0f} s", _FEED)
        if fresh == "wait":
            return warn("feed", f"{fact}; nothing came yet", _FEED)
        if fresh == "none":
            return ok("feed", f"{tape['exchange']}: none is configured, history only")
        return ok("feed", fact)

    def _ranking(self) -> Finding:
        rows = self._server.data("/v1/ranking?by=value&limit=10")
        values = [row["value"] for row in rows]
        if values != sorted(values, reverse=True):
            raise Wrong(f"not by value: {values}")
        often = self._server.data(f"/v1/ranking?by=frequency&limit={TICKERS_MAX}")
        if not rows and not often:
            what = "nothing was traded today"
            return bad("ranking", what, _FEED) if self._advances else ok("ranking", what)
        self._tickers = [row["ticker"] for row in often]
        return ok("ranking", f"{', '.join(row['ticker'] for row in rows[:3])} first by value")

    def _candles(self) -> Finding:
        ticker = self._ticker()
        path = f"/v1/ohlcv/{quote(ticker)}?tf=1m&limit=1&open=1"
        began, tf = time.monotonic(), "1m"
        try:
            first = self._server.data(path)
        except Denied:
            # The tier has longer bars alone: so much it must give.
            tf = "1d"
            first = self._server.data(path.replace("tf=1m", "tf=1d"))
        if not first:
            raise Wrong(f"{ticker} has no bar", _FEED)
        at = first[-1]["bar_time"]
        if tf == "1d":
            what = f"{ticker}: the newest bar of a day is of {at}; bars of 1m are not the tier's"
            return ok("candles", what)
        if not self._advances:
            return ok("candles", f"{ticker}: the newest bar is of {at}; now none is due")
        while time.monotonic() < began + self._server.timeout_s:
            time.sleep(LOOK_S)
            if self._server.data(path) != first:
                took_s = time.monotonic() - began
                return ok("candles", f"{ticker}: the bar of {at} went on within {took_s:.1f} s")
        what = f"{ticker}: the bar of {at} stood still for {self._server.timeout_s:g} s"
        raise Wrong(what, _FEED)

    def _ticker(self) -> str:
        if not self._tickers:
            raise Wrong("there is no instrument to ask for", _FEED)
        return self._tickers[0]

    def _order(self) -> dict[str, Any]:
        self._ticker()
        return {"tickers": self._tickers, "freq": "1m", "channels": ["bars"], "throttle_ms": 0}

    def _stream(self) -> Finding:
        with self._server.stream("/v1/stream") as stream:
            stream.say({"action": "subscribe", **self._order()})
            _, took_s = stream.until("subscribed")
            fact = f"/v1/stream acknowledges in {took_s * 1000:.1f} ms"
            if not self._advances:
                return ok("stream", f"{fact}; now no bar is due")
            began, seen = time.monotonic(), _Seen()
            while not seen.again(bar := stream.until("bar")[0]):
                pass
            took_s = time.monotonic() - began
            return ok("stream", f"{fact}, {bar['ticker']} went on after {took_s:.2f} s")

    def _live(self) -> Finding:
        order = self._order()
        query = f"tickers={quote(','.join(order['tickers']))}&channels=bars&throttle_ms=0"
        began, seen = time.monotonic(), _Seen()
        for event in self._server.events(f"/v1/live?{query}"):
            if event["type"] == "subscribed":
                fact = f"/v1/live acknowledges in {(time.monotonic() - began) * 1000:.1f} ms"
                if not self._advances:
                    return ok("live events", f"{fact}; now no bar is due")
            elif event["type"] == "bar" and seen.again(event):
                took_s = time.monotonic() - began
                return ok("live events", f"{fact}, {event['ticker']} went on by {took_s:.2f} s")
        raise Wrong("/v1/live ended")

    # -- the protocols -----------------------------------------------------------------------------

    def _udf_config(self) -> Finding:
        body = self._server.json("/udf/config")
        names = [row["value"] for row in body["exchanges"] if row["value"]]
        resolutions = body["supported_resolutions"]
        if not resolutions or not (body["supports_search"] or body["supports_group_request"]):
            raise Wrong("/udf/config offers neither search nor groups, or no resolution")
        return ok("udf config", f"{', '.join(names)}; resolutions {' '.join(resolutions)}")

    def _udf_symbols(self) -> Finding:
        ticker = self._ticker()
        body = self._server.json(f"/udf/symbols?symbol={quote(ticker)}")
        missing = {"name", "ticker", "session", "timezone", "pricescale", "minmov"} - body.keys()
        if "s" in body or missing:
            raise Wrong(
                f"/udf/symbols of {ticker} lacks {', '.join(sorted(missing)) or 'its form'}"
            )
        return ok("udf symbols", f"{body['ticker']}: {body['description']}, {body['session']}")

    def _udf_search(self) -> Finding:
        ticker = self._ticker()
        reply = self._server.get(f"/udf/search?query={quote(ticker)}&limit=10").at(200)
        found = [row["symbol"] for row in reply.json()]
        if found[:1] != [ticker]:
            raise Wrong(f"/udf/search finds {found} for {ticker}")
        return ok("udf search", f"{ticker} comes first, {reply.ms:.1f} ms")

    def _udf_history(self) -> Finding:
        ticker = self._ticker()
        now_s = int(self._server.get("/udf/time").at(200).body)
        query = f"symbol={quote(ticker)}&resolution=1&from=0&to={now_s + 60}"
        reply = self._server.get(f"/udf/history?{query}&countback={HISTORY_BARS}").at(200)
        body = reply.json()
        if body["s"] != "ok":
            raise Wrong(f"/udf/history of {ticker} says {body['s']}", _FEED)
        columns = [body[name] for name in "tohlcv"]
        if {len(column) for column in columns} != {len(body["t"])}:
            raise Wrong("/udf/history: columns of different length")
        if any(later <= earlier for earlier, later in pairwise(body["t"])):
            raise Wrong("/udf/history: times are not ascending and unique")
        bars = zip(body["o"], body["h"], body["l"], body["c"], strict=True)
        if any(not low <= min(o, c) <= max(o, c) <= high for o, high, low, c in bars):
            raise Wrong("/udf/history: a bar whose high or low is inside")
        return ok("udf history", f"{len(body['t'])} bars of {ticker}, {reply.ms:.1f} ms")

    def _udf_errors(self) -> Finding:
        paths = ("/udf/symbols?symbol=NO_SUCH_SYMBOL", "/udf/no_such_path")
        for path in paths:
            body = self._server.get(path).json()
            if body.get("s") != "error" or not body.get("errmsg"):
                raise Wrong(f"{path} answers {body}, not in UDF's form")
        return ok("udf errors", "an unknown symbol and an unknown path are told in UDF's form")

    def _viewer(self) -> Finding:
        if self._server.json("/healthz") != {"status": "ok"}:
            raise Wrong("/healthz is not ok")
        listed = self._server.get("/api/v1/symbols").at(200, 404)
        if listed.status == 404 and listed.json()["code"] == "not_public":
            return ok("viewer", "no venue is public")
        symbols = [row["symbol"] for row in listed.at(200).json()["symbols"]]
        if not symbols:
            raise Wrong("/api/v1/symbols lists no symbol", _FEED)
        symbol = next((ticker for ticker in self._tickers if ticker in symbols), symbols[0])
        path = f"/api/v1/candles?symbol={quote(symbol)}&interval=1m&limit={HISTORY_BARS}"
        reply = self._server.get(path).at(200)
        rows = reply.json()["data"]
        if any(later[0] <= earlier[0] for earlier, later in pairwise(rows)):
            raise Wrong("/api/v1/candles: times are not ascending and unique")
        if any(len(row) != 6 for row in rows):
            raise Wrong("/api/v1/candles: a candle has not six numbers")
        fact = f"{len(symbols):,} symbols are public; {len(rows)} candles of {symbol}"
        return ok("viewer", f"{fact}, {reply.ms:.1f} ms")

    # -- pages and safety --------------------------------------------------------------------------

    def _pages(self) -> Finding:
        shown = []
        for path in PAGES:
            reply = self._server.get(path).at(200)
            policy = reply.headers.get("content-security-policy", "")
            if "default-src 'none'" not in policy:
                raise Wrong(f"{path} comes without a strict Content-Security-Policy")
            if "text/html" not in reply.headers.get("content-type", ""):
                raise Wrong(f"{path} is no page")
            shown.append(f"{path} {reply.ms:.1f} ms")
        return ok("pages", ", ".join(shown))

    def _headers(self) -> Finding:
        for path in ("/v1/symbols?limit=1", "/udf/config", "/no_such_path"):
            headers = self._server.get(path).headers
            for name, value in HEADERS.items():
                if value not in headers.get(name, ""):
                    what = f"{path} comes without {name}: {value}"
                    raise Wrong(what, "does something between take headers away?")
        return ok("headers", ", ".join(HEADERS))

    def _guard(self) -> Finding:
        """A page of another site that has its name lead here must not be answered."""
        status = 0  # what a proxy says that hangs up
        with suppress(Wrong, ConnectionError):
            status = self._server.get("/health", {"Host": "rebound.example"}).status
        if status and not 300 <= status < 500:
            remedy = "something between must not rewrite Host; see http.hosts"
            raise Wrong(f"it answers {status} to a foreign Host", remedy)
        how = f"is refused with {status}" if status else "is hung up on"
        return ok("guard", f"a foreign Host {how}")

    def _schema(self) -> Finding:
        body = self._server.json("/schema")
        streams = self._server.json("/asyncapi.json")
        fact = f"OpenAPI {body['openapi']}, {len(body['paths'])} paths"
        return ok("schema", f"{fact}; AsyncAPI {streams['asyncapi']}")


class _Seen:
    """What bars were told. The first of each ticker may be how things stood before."""

    def __init__(self) -> None:
        self._first: dict[str, Any] = {}

    def again(self, bar: dict[str, Any]) -> bool:
        """Is it another one than the first of its ticker?"""
        return self._first.setdefault(bar["ticker"], bar) != bar
