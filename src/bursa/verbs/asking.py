"""A running server as `bursa smoke` asks it: HTTP or HTTPS, server-sent events, a WebSocket.

Every question has the same time limit; what does not come, or is not what it should be, is `Wrong`.
Knows nothing of what is asked (smoke.py, deployed.py).
"""

import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from bursa.model.errors import Refuse

BODY_BYTES_MAX = 32 << 20
LINE_BYTES_MAX = 1 << 20
_SCHEMES = ("http", "https")


class Wrong(Exception):
    """An answer that is not as it should be: what, and what to do about it."""

    def __init__(self, fact: str, remedy: str = "see the server's log") -> None:
        super().__init__(fact)
        self.fact, self.remedy = fact, remedy


class Denied(Wrong):
    """A refusal because the key's tier has not what was asked for. code: `tier_timeframe` ..."""

    def __init__(self, fact: str, code: str) -> None:
        super().__init__(fact, "a key whose tier has it shows whether it works")
        self.code = code


@dataclass(frozen=True)
class Lock:
    """The TLS of a connection: its version, such as TLSv1.3; who the certificate is of; when that
    ends, s since 1970."""

    version: str
    issuer: str
    ends_s: float


@dataclass(frozen=True)
class Reply:
    """One answer. headers: by name in small letters; ms: until its last byte."""

    path: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    ms: float

    def json(self) -> Any:
        """The body as JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            kind = self.headers.get("content-type", "no type")
            raise Wrong(f"{self.path} answers {self.status} with {kind}, no JSON") from None

    def at(self, *statuses: int) -> "Reply":
        """Itself, where its status is one of these."""
        if self.status not in statuses:
            begin = self.body[:160].decode("utf-8", "replace").replace("\n", " ")
            what = f"{self.path} answers {self.status}: {begin}"
            if self.status == 403 and self.code.startswith("tier_"):
                raise Denied(what, self.code)
            raise Wrong(what)
        return self

    @property
    def code(self) -> str:
        """The stable code of a refusal; "" where there is none."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return ""
        return str(found.get("code", "")) if isinstance(found, dict) else ""


class Server:
    """What answers at a URL. Raises Refuse where that is none, or `ca_file` no certificates.

    ca_file  certificates that are trusted, as PEM; "": those that the system trusts
    """

    def __init__(self, url: str, timeout_s: float, ca_file: str = "") -> None:
        found = urlsplit(url if "//" in url else f"http://{url}")
        try:
            self._port = found.port
        except ValueError:
            self._port = 0
        if found.scheme not in _SCHEMES or not found.hostname or self._port == 0:
            what = f"URL: {url}; allowed: http://HOST:PORT or https://HOST:PORT"
            raise Refuse(what, parameter="url")
        self.host, self.timeout_s = found.hostname, timeout_s
        self.url = f"{found.scheme}://{found.netloc}{found.path.rstrip('/')}"
        self._base = found.path.rstrip("/")
        self._tls = _trusting(ca_file) if found.scheme == "https" else None
        self._shown: dict[str, str] = {}

    def enter(self, key: str) -> dict[str, Any]:
        """Exchange an API key for a token, which every later question bears; what was answered."""
        body = json.dumps({"api_key": key}).encode()
        found = self._read("/v1/auth/token", {"Content-Type": "application/json"}, body).at(200)
        data: dict[str, Any] = found.json()["data"]
        self._shown = {"Authorization": f"Bearer {data['token']}"}
        return data

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Ask for a path; redirections are not followed. OSError or Wrong where nothing comes."""
        return self._read(path, {**self._shown, **(headers or {})})

    def get_as_nobody(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        """The same, without the token."""
        return self._read(path, headers or {})

    def post_as_nobody(self, path: str, body: Mapping[str, Any]) -> Reply:
        """Send JSON without the token."""
        said = json.dumps(body).encode()
        return self._read(path, {"Content-Type": "application/json"}, said)

    @property
    def secure(self) -> bool:
        """Is it asked over TLS?"""
        return self._tls is not None

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port or (443 if self.secure else 80)

    def lock(self) -> Lock:
        """The TLS that it is reached over. OSError where that does not hold (ssl.SSLError)."""
        assert self._tls is not None, "asked of https alone"
        with (
            socket.create_connection((self.host, self.port), self.timeout_s) as bare,
            self._tls.wrap_socket(bare, server_hostname=self.host) as line,
        ):
            told: Any = line.getpeercert() or {}
            of = {name: value for part in told.get("issuer", ()) for name, value in part}
            issuer = of.get("organizationName") or of.get("commonName") or "somebody unnamed"
            return Lock(line.version() or "?", issuer, ssl.cert_time_to_seconds(told["notAfter"]))

    def plainly(self, port: int, path: str) -> Reply:
        """Ask the same host without TLS, at another port."""
        began = time.perf_counter()
        line = http.client.HTTPConnection(self.host, port, timeout=self.timeout_s)
        with closing(line):
            line.request("GET", path, headers={"Connection": "close"})
            with closing(line.getresponse()) as answer:
                return _reply(path, answer, began)

    def _read(self, path: str, headers: Mapping[str, str], said: bytes | None = None) -> Reply:
        began = time.perf_counter()
        with self._asked(path, headers, said) as answer:
            return _reply(path, answer, began)

    def json(self, path: str) -> Any:
        """The JSON of a good answer."""
        return self.get(path).at(200).json()

    def data(self, path: str) -> Any:
        """`data` of a good answer of the data API."""
        body = self.json(path)
        if not isinstance(body, dict) or body.get("ok") is not True or "data" not in body:
            raise Wrong(f"{path} has not the envelope of the data API")
        return body["data"]

    def events(self, path: str) -> Iterator[Any]:
        """Server-sent events: the JSON of each one's data, until the time is up (Wrong)."""
        until = time.monotonic() + self.timeout_s
        with self._asked(path, {"Accept": "text/event-stream", **self._shown}) as answer:
            if answer.status != 200:
                _reply(path, answer, time.perf_counter()).at(200)
            with suppress(TimeoutError):  # it answered, and then fell silent
                while time.monotonic() < until:
                    line = answer.readline(LINE_BYTES_MAX)
                    if not line:
                        raise Wrong(f"{path} ended")
                    if line.startswith(b"data:"):
                        yield json.loads(line[5:])
        raise Wrong(f"{path}: nothing more came within {self.timeout_s:g} s")

    @contextmanager
    def stream(self, path: str) -> Iterator["Stream"]:
        """A WebSocket."""
        url = self.url.replace("http", "ws", 1) + path
        limit = self.timeout_s
        try:
            with connect(
                url,
                ssl=self._tls,
                open_timeout=limit,
                close_timeout=1,
                proxy=None,
                additional_headers=self._shown,
            ) as socket:
                yield Stream(path, socket, limit)
        except (WebSocketException, AssertionError) as error:
            # The library asserts that who answers speaks HTTP, where it closes at the same time.
            raise Wrong(f"{path}: {error or 'no WebSocket answers'}") from None

    @contextmanager
    def _asked(
        self, path: str, headers: Mapping[str, str], said: bytes | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        with closing(self._line()) as line:
            try:
                method = "GET" if said is None else "POST"
                headers = {"Connection": "close", **headers}
                line.request(method, self._base + path, said, headers)
                with closing(line.getresponse()) as answer:
                    yield answer
            except http.client.HTTPException as error:
                raise Wrong(f"{path}: no answer of HTTP: {error!r}") from None

    def _line(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self.host, self._port, timeout=self.timeout_s)
        limit = self.timeout_s
        return http.client.HTTPSConnection(self.host, self._port, timeout=limit, context=self._tls)


class Stream:
    """An open WebSocket whose frames are JSON."""

    def __init__(self, path: str, socket: Any, limit_s: float) -> None:
        self._path, self._socket, self._limit_s = path, socket, limit_s

    def say(self, order: Mapping[str, Any]) -> None:
        """Send one."""
        self._socket.send(json.dumps(order))

    def until(self, kind: str) -> tuple[dict[str, Any], float]:
        """The next frame of a type, and the seconds it took; others are passed over."""
        began = time.monotonic()
        while (left_s := began + self._limit_s - time.monotonic()) > 0:
            try:
                frame = json.loads(self._socket.recv(timeout=left_s))
            except TimeoutError:
                break
            if frame.get("type") == kind:
                return frame, time.monotonic() - began
            if frame.get("type") == "error":
                code = str(frame.get("code"))
                what = f"{self._path}: {code}: {frame.get('error')}"
                raise Denied(what, code) if code.startswith("tier_") else Wrong(what)
        raise Wrong(f"{self._path}: no {kind!r} frame came within {self._limit_s:g} s")


def _reply(path: str, answer: http.client.HTTPResponse, began: float) -> Reply:
    body = answer.read(BODY_BYTES_MAX + 1)
    if len(body) > BODY_BYTES_MAX:
        raise Wrong(f"{path} answers with more than {BODY_BYTES_MAX >> 20} MB")
    names = {name.lower(): value for name, value in answer.getheaders()}
    return Reply(path, answer.status, names, body, (time.perf_counter() - began) * 1000)


def _trusting(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:  # also what is no certificate: ssl.SSLError
        why = error.strerror or str(error)
        raise Refuse(f"--ca-file: {ca_file}: {why}", parameter="ca_file") from None
