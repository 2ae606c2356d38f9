"""The outermost layer: who may speak to the application, and what every answer bears.

bursa answers to the names that it knows (front.py), so that a page of another origin cannot reach
it through a name that resolves here; WebSockets open for its own origin, the viewer's also for
those listed (cors.py). What a path asks of whoever comes is its door's (doors.py), judged by
admission.py. A crash past every other layer becomes an answer here, in the form of its path; a
browser that must sign in is led there.
"""

import itertools
import re
import time
from typing import Any, NamedTuple
from urllib.parse import quote

from litestar.types import ASGIApp, Message, Receive, Scope, Send

from bursa.accounts.who import NOBODY, Principal
from bursa.api import admission
from bursa.api.address import Client, client_of, is_own
from bursa.api.admission import COUNTED, Admission
from bursa.api.doors import Door, door_of
from bursa.api.errors import (
    AnyRequest,
    Failure,
    Handle,
    failure_of,
    is_udf,
    note,
    routed,
    send_failure,
    wants_page,
)
from bursa.api.front import is_own_name
from bursa.api.services import Services
from bursa.api.viewer.door import Door as ViewerDoor
from bursa.model.errors import BursaError, Refuse
from bursa.ops.logs import logger
from bursa.ops.spread import Spread

_REQUEST_ID = re.compile(rb"^[A-Za-z0-9._\-]{1,64}$")

# Borne by every answer that does not set its own; pages set a wider policy (web/).
SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
# Where it is reached over TLS, browsers are to come by nothing else for a year.
LASTING_TLS = (b"strict-transport-security", b"max-age=31536000")
# What says nothing of being kept is somebody's own, or a refusal: nobody between keeps it.
_KEPT, _UNKEPT = b"cache-control", (b"cache-control", b"no-store")
_SECURITY_NAMES = frozenset(name for name, _ in SECURITY_HEADERS)
_FORWARDED, _PROTO = b"x-forwarded-for", b"x-forwarded-proto"
_READ = admission.READ | {
    b"host", b"x-request-id", b"origin", b"accept", b"accept-encoding", b"if-none-match",
    _FORWARDED, _PROTO,
}  # fmt: skip
# Who says any of these asks for somebody else, though he leave out for whom.
_OF_PROXIES = frozenset(
    {_FORWARDED, _PROTO, b"x-forwarded-host", b"x-real-ip", b"forwarded", b"via"}
)
_READ |= _OF_PROXIES
_STREAM = "/v1/stream"
_NO_SOCKET = "there is no WebSocket here; /v1/stream is one"
# Names that a Host header had and that were found to be ours: they are not looked at again.
_HOSTS_KEPT = 256
_VIEWERS = frozenset({Door.VIEWER, Door.STATS})
_LED = frozenset({Door.PAGE, Door.SELF, Door.ADMIN})


class Layers(NamedTuple):
    """What else the guard is made of.

    boot    makes request ids differ between starts
    viewer  the application for the viewer's paths
    handle  makes answers of refusals
    """

    boot: str
    viewer: ViewerDoor
    handle: Handle


class Guard:
    """The application around the application."""

    def __init__(
        self, app: ASGIApp, services: Services, admitting: Admission, layers: Layers
    ) -> None:
        self._app, self._telemetry = app, services.telemetry
        self._front, self._clock = services.front, services.clock
        self._accounts = services.accounts
        self._boot, self._viewer, self._handle = layers
        self._admission = admitting
        self._hosts: set[bytes] = set()
        self._of_here: set[bytes] = set()
        self._silent = False
        self._log = logger("guard")
        self._numbers = itertools.count(1)
        self._counters: dict[tuple[str, int], Any] = {}
        self._spreads: dict[str, Any] = {}
        over_tls = self._front.public_url.startswith("https://")
        self._borne = (*SECURITY_HEADERS, LASTING_TLS) if over_tls else SECURITY_HEADERS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a connection through, or answer it."""
        kind: str = scope["type"]
        if kind == "http":
            await self._http(scope, receive, send)
        elif kind == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _http(self, scope: Any, receive: Receive, send: Send) -> None:
        began_ns = time.perf_counter_ns()
        state = scope.setdefault("state", {})
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the server knows what was asked, and sends no body
            state["head"] = True
        given = state["given"] = _given(scope)
        request_id = self._id(given.get(b"x-request-id", b""))
        state["request_id"], state["began_ns"], state["who"] = request_id, began_ns, NOBODY
        client = self._client(scope, given)
        status, borne = 0, self._all_bear(client)

        async def bearing(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers: Any = message["headers"]
                wanted: Any = borne
                own = {name.lower() for name, _ in headers}
                if not own.isdisjoint(_SECURITY_NAMES):
                    wanted = tuple(pair for pair in wanted if pair[0] not in own)
                if _KEPT not in own:
                    wanted = (*wanted, _UNKEPT)
                request = (b"x-request-id", request_id.encode())
                message["headers"] = [*headers, request, *state.get("marks", ()), *wanted]
            await send(message)

        door = door_of(scope["path"])
        try:
            if not self._is_ours(given.get(b"host", b"")):
                self._admission.misled(state, client)
                await send_failure(bearing, scope, self._misdirected(scope))
            else:
                await self._enter(scope, receive, bearing, (given, client, door))
        except Exception as error:  # noqa: BLE001 -- the last layer: logged there, then answered
            failure = note(scope, error)
            if not status:
                await send_failure(bearing, scope, failure)
        finally:
            self._count(scope, status, began_ns)
            if door in COUNTED and (who := state["who"]).user:
                self._sum_up(who, state.get("rows", 0), status)

    async def _enter(
        self,
        scope: Any,
        receive: Receive,
        send: Send,
        asked: tuple[dict[bytes, bytes], Client, Door],
    ) -> None:
        """Let in by the path's door, or refuse."""
        given, client, door = asked
        if door is not Door.VIEWER:
            try:
                receive = await self._admission.admit(scope, receive, given, client, door)
            except BursaError as refusal:
                await self._turn_away(scope, receive, send, refusal, given.get(b"accept", b""))
                return
        await (self._viewer if door in _VIEWERS else self._app)(scope, receive, send)

    async def _turn_away(
        self, scope: Any, receive: Receive, send: Send, refusal: BursaError, accept: bytes
    ) -> None:
        """A refusal as an answer: a browser that could sign in is led there, or sees a page."""
        path = scope["path"]
        if not wants_page(path, accept.decode("latin-1")):
            await send_failure(send, scope, note(scope, refusal))
            return
        leads = isinstance(refusal, Refuse) and refusal.status == 401 and door_of(path) in _LED
        if leads and scope["method"] == "GET":
            note(scope, refusal)
            query = scope["query_string"].decode("latin-1")
            meant = quote(f"{path}?{query}" if query else path, safe="/")
            await _lead(send, b"/sign-in?next=" + meant.encode())
            return
        request = AnyRequest(scope, receive, send)
        answer: Any = self._handle(request, refusal).to_asgi_response(app=None, request=request)
        await answer(scope, receive, send)

    async def _websocket(self, scope: Any, receive: Receive, send: Send) -> None:
        state = scope.setdefault("state", {})
        state["request_id"], state["who"] = self._id(b""), NOBODY
        given = _given(scope)
        host, origin = given.get(b"host", b""), given.get(b"origin", b"")
        client, path = self._client(scope, given), scope["path"]
        send = _bearing(state, send, (*self._all_bear(client), _UNKEPT))
        failure = None
        if not self._is_ours(host):
            failure = self._misdirected(scope)
        elif is_udf(path):
            failure = Failure(404, "not_found", _NO_SOCKET)
        elif (door := door_of(path)) in _VIEWERS:
            # It knows the origins that may open it.
            await self._viewer(scope, receive, _naming(scope, send))
            return
        elif origin and not is_own(origin, host):
            failure = Failure(403, "foreign_origin", "the stream opens for its own pages only")
        elif routed(path) != _STREAM:
            failure = Failure(404, "not_found", _NO_SOCKET)
        else:
            # Who shows nothing yet may do so by his first message.
            state["later"] = True
            try:
                await self._admission.admit(scope, receive, given, client, door)
            except BursaError as refusal:
                failure = failure_of(refusal)
        if failure is None:
            await self._app(scope, receive, _naming(scope, send))
            return
        if "marks" not in state:
            try:
                self._admission.misled(state, client)
            except BursaError as refusal:
                failure = failure_of(refusal)
        state["failure"] = failure.code
        self._telemetry.refused.labels(failure.code).inc()
        await receive()
        await send_failure(send, scope, failure, "websocket.http.response")

    def _all_bear(self, client: Client) -> tuple[tuple[bytes, bytes], ...]:
        """What every answer to a client bears, as he reached the first of the proxies."""
        if client.https and self._borne is SECURITY_HEADERS:
            return (*SECURITY_HEADERS, LASTING_TLS)
        return self._borne

    def _client(self, scope: Any, given: dict[bytes, bytes]) -> Client:
        """Who asks, through the proxies; whoever looks at the scope finds him there."""
        peer = scope.get("client")
        host: str = peer[0] if peer else ""
        # An empty one is a proxy's too: who comes through one is not this machine.
        forwarded = given.get(_FORWARDED, b"") or (b"," if _FORWARDED in given else b"")
        beside = _OF_PROXIES.isdisjoint(given) and self._is_of_here(given.get(b"host", b""))
        if beside and host == "127.0.0.1" and not self._front.proxies:
            scope["state"]["address"] = host
            return _LOCAL
        proto, proxies = given.get(_PROTO, b""), self._front.proxies
        found = client_of(host, forwarded, proto, proxies)
        if found.local and not beside:
            found = found._replace(local=False)
            if self._is_ours(given.get(b"host", b"")):
                self._tell_of_silence()
        scope["state"]["address"] = found.address
        if found.https:
            scope["scheme"] = "https" if scope["type"] == "http" else "wss"
        if found.address != host:
            scope["client"] = (found.address, 0)
        return found

    def _is_of_here(self, host: bytes) -> bool:
        """Is a Host one by which this machine reaches itself? A proxy before us has others."""
        if host in self._of_here:
            return True
        if not is_own_name(host):
            return False
        if len(self._of_here) < _HOSTS_KEPT:
            self._of_here.add(host)
        return True

    def _tell_of_silence(self) -> None:
        """Say once that a proxy leaves out whom it asks for."""
        if not self._silent:
            self._silent = True
            self._log.warning(
                "a proxy on this machine does not say for whom it asks: all who come through it"
                " count as one address; have it set X-Forwarded-For, and name it in http.proxies"
            )

    def _is_ours(self, host: bytes) -> bool:
        if host in self._hosts:
            return True
        if not self._front.answers_to(host):
            return False
        if len(self._hosts) < _HOSTS_KEPT:
            self._hosts.add(host)
        return True

    def _misdirected(self, scope: Any) -> Failure:
        scope["state"]["failure"] = "bad_host"
        names = ", ".join(["127.0.0.1, localhost, ::1", *sorted(self._front.names)])
        return Failure(421, "bad_host", f"bursa answers to none but {names} (http.hosts)")

    def _id(self, given: bytes) -> str:
        if given and _REQUEST_ID.match(given):
            return given.decode()
        return f"{self._boot}-{next(self._numbers):x}"

    def _sum_up(self, who: Principal, rows: int, status: int) -> None:
        if self._accounts is None or who.via == "demo":
            return
        self._accounts.usage.add(who.user, who.key, rows, status, self._clock.now_ns())

    def _count(self, scope: Any, status: int, began_ns: int) -> None:
        route = scope.get("path_template") or "other"
        counter = self._counters.get((route, status))
        if counter is None:
            counter = self._telemetry.http_requests.labels(route, str(status))
            self._counters[route, status] = counter
            self._spreads[route] = self._telemetry.http_seconds.labels(route)
            self._telemetry.routes.setdefault(route, Spread())
        counter.inc()
        # An answer that goes on for hours was given when it began.
        took_ns = (scope["state"].get("answered_ns") or time.perf_counter_ns()) - began_ns
        self._spreads[route].observe(took_ns / 1e9)
        self._telemetry.routes[route].add(took_ns)
        if code := scope["state"].get("failure"):
            self._telemetry.refused.labels(code).inc()


_LOCAL = Client("127.0.0.1", True)


def _given(scope: Any) -> dict[bytes, bytes]:
    """The headers that are looked at here; of a repeated one, all with commas between, which no
    Host, no id and no credentials match."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in _READ:
            found[name] = found[name] + b"," + value if name in found else value
    return found


async def _lead(send: Send, where: bytes) -> None:
    headers = [(b"location", where), (b"cache-control", b"no-store"), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _bearing(state: Any, send: Send, borne: tuple[tuple[bytes, bytes], ...]) -> Send:
    """`send` of a handshake: its answer, good or not, says what every answer does; one that is a
    refusal, and so a document, bears `borne` too."""

    async def bearing(message: Any) -> None:
        if message["type"] in ("websocket.accept", "websocket.http.response.start"):
            request = (b"x-request-id", state["request_id"].encode())
            more = borne if message["type"] == "websocket.http.response.start" else ()
            headers = message.get("headers", ())
            message = {**message, "headers": [*headers, request, *state.get("marks", ()), *more]}
        await send(message)

    return bearing


def _naming(scope: Any, send: Send) -> Send:
    """`send` of a handshake: the router closes what it has no WebSocket for without a word."""
    accepted = False

    async def naming(message: Any) -> None:
        nonlocal accepted
        accepted = accepted or message["type"] != "websocket.close"
        if accepted:
            await send(message)
            return
        failure = Failure(404, "not_found", _NO_SOCKET)
        await send_failure(send, scope, failure, "websocket.http.response")

    return naming
