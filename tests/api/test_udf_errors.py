"""Every error under /udf has UDF's form, whichever layer it comes from: TradingView's client reads
the body whatever the status. Malformed HTTP itself is excepted."""

import json
import socket
from collections.abc import Iterator

import pytest

from bursa.model.errors import Refuse, Retry
from tests.api.floor import Floor, Served, crash, serve

HOST = "Host: 127.0.0.1\n"
SHAKE = (
    f"{HOST}Connection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Version: 13\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n"
)
HISTORY = "/udf/history?symbol=BBCA&resolution=1&from=0"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    floor = Floor(tmp_path_factory.mktemp("errors"))
    routes = [
        crash("/udf/bug", ZeroDivisionError("of ours")),
        crash("/udf/away", Retry("the store is away", 7.4)),
        crash("/udf/refused", Refuse("no", "no_way", 403, "who")),
    ]
    served: Served
    with serve(floor, routes=routes) as served:
        yield served.port
    floor.close()


def ask(port: int, request: str) -> tuple[int, dict[str, str], bytes]:
    """One raw request: status, headers (lower case) and body of the first answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=90) as wire:
        wire.sendall(request.replace("\n", "\r\n").encode("latin-1"))
        raw = b""
        while b"\r\n\r\n" not in raw and (part := wire.recv(65_536)):
            raw += part
        head, _, body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(": ") for line in lines[1:])
        headers = {name.lower(): value for name, _, value in pairs}
        length = 0 if request.startswith("HEAD") else int(headers.get("content-length", 0))
        while len(body) < length and (part := wire.recv(65_536)):
            body += part
    return int(lines[0].split()[1]), headers, body


def of(path: str, method: str = "GET", headers: str = HOST, body: str = "") -> str:
    return f"{method} {path} HTTP/1.1\n{headers}\n{body}"


ERRORS = {
    "no path": (of("/udf"), 404, "no such path"),
    "no path, slash": (of("/udf/"), 404, "no such path"),
    "unknown path": (of("/udf/nothing"), 404, "no such path"),
    "unknown path below one": (of("/udf/config/x"), 404, "no such path"),
    "unknown path, escaped": (of("/udf%2Fnothing"), 404, "no such path"),
    "unknown path, two slashes": (of("//udf//nothing"), 404, "no such path"),
    "a route, two slashes": (of("//udf/symbols"), 400, "symbol"),
    "a foreign host, two slashes": (of("//udf/", headers="Host: a\n"), 421, "127.0.0.1"),
    "unknown path, not text": (of("/udf/%ff%00"), 404, "no such path"),
    "path too long": (of("/udf/" + "x" * 20_000), 404, "no such path"),
    "a page wanted": (of("/udf/nothing", headers=HOST + "Accept: text/html\n"), 404, "no such"),
    **{
        f"method {method}": (of("/udf/config", method), 405, "method")
        for method in ("POST", "PUT", "PATCH", "DELETE", "TRACE")
    },
    "a body and a wrong method": (
        of("/udf/config", "POST", HOST + "Content-Length: 2\n", "{}"), 405, "method",
    ),
    "options of no path": (of("/udf/nothing", "OPTIONS"), 404, "no such path"),
    "a foreign host": (of("/udf/time", headers="Host: example.com\n"), 421, "127.0.0.1"),
    "no host": (of("/udf/time", headers=""), 421, "127.0.0.1"),
    "a foreign host, no path": (of("/udf/nothing", headers="Host: a\n"), 421, "127.0.0.1"),
    "undecodable": (of("/udf/search?query=%ff"), 400, "query"),
    "undecodable, another's": (of("/udf/search?query=a&user=%c3%28"), 400, "user"),
    "query too long": (of("/udf/search?query=" + "a" * 9_000), 400, "longer than"),
    "too many parameters": (of("/udf/time?" + "&".join(f"p{n}=" for n in range(99))), 400, "99|32"),
    "missing parameter": (of("/udf/symbols"), 400, "symbol"),
    "repeated parameter": (of("/udf/symbols?symbol=A&symbol=B"), 400, "symbol"),
    "malformed number": (of(f"{HISTORY}&to=soon"), 400, "to"),
    "unknown symbol": (of("/udf/symbols?symbol=NIX"), 404, "NIX"),
    "unknown venue": (of("/udf/time?venue=mars"), 404, "mars"),
    "unknown resolution": (of("/udf/marks?symbol=A&resolution=2&to=1"), 400, "resolution"),
    "a crash": (of("/udf/bug"), 500, "fault of ours"),
    "a dependency away": (of("/udf/away"), 503, "try again"),
    "refused": (of("/udf/refused"), 403, "no"),
    "a handshake": (of("/udf/config", headers=SHAKE), 404, "WebSocket"),
    "a handshake, no path": (of("/udf/x", headers=SHAKE), 404, "WebSocket"),
    "a handshake, a foreign host": (
        of("/udf/x", headers=SHAKE.replace("127.0.0.1", "example.com")), 421, "127.0.0.1",
    ),
    "a handshake, a foreign origin": (
        of("/udf/x", headers=f"{SHAKE}Origin: http://example.com\n"), 404, "WebSocket",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_every_layers_error_is_udf_shaped(port: int, case: str) -> None:
    request, expected, word = ERRORS[case]
    status, headers, raw = ask(port, request)
    assert headers["content-type"] == "application/json"
    body = json.loads(raw)
    assert (status, body["s"]) == (expected, "error")
    assert any(part in body["errmsg"] for part in word.split("|"))
    assert "of ours" not in body["errmsg"].replace("a fault of ours", "")


@pytest.mark.parametrize("path", ["/udf/nothing", "/udf/symbols", "/udf/bug", "/udf/config"])
def test_head_tells_what_get_would(port: int, path: str) -> None:
    status, headers, body = ask(port, of(path))
    head_status, head_headers, nothing = ask(port, of(path, "HEAD"))
    assert (head_status, nothing) == (status, b"")
    assert head_headers["content-type"] == headers["content-type"]
    assert int(head_headers["content-length"]) == len(body)


def test_options_names_the_methods(port: int) -> None:
    status, headers, body = ask(port, of("/udf/config", "OPTIONS"))
    assert (status, body) == (204, b"")
    assert headers["allow"].replace(" ", "") == "GET,OPTIONS"


def test_a_body_that_nobody_asked_for_is_passed_over(port: int) -> None:
    body = '{"s":"error"}'
    request = of("/udf/config", "GET", f"{HOST}Content-Length: {len(body)}\n", body)
    status, _, raw = ask(port, request)
    assert status == 200 and json.loads(raw)["supports_search"]
