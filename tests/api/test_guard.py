"""Who may speak to bursa, what every answer bears, and what a crash becomes."""

import socket
from typing import Any

import httpx
import pytest

from bursa.api.front import front_of
from bursa.model.errors import Refuse, Reject, Retry
from tests.api.floor import Floor, Served, crash, serve


def ask(port: int, head: str) -> tuple[int, bytes]:
    """One raw request; status and all that came back."""
    with socket.create_connection(("127.0.0.1", port), timeout=90) as wire:
        wire.sendall(head.replace("\n", "\r\n").encode() + b"connection: close\r\n\r\n")
        raw = b""
        while part := wire.recv(65_536):
            raw += part
    return int(raw.split(b" ")[1]), raw


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:18090", "localhost", "LOCALHOST:1", "[::1]", "[::1]:8080", "::1"],
)
def test_loopbacks_names_are_answered(served: Served, host: str) -> None:
    assert ask(served.port, f"GET /health HTTP/1.1\nHost: {host}\n")[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        "Host: example.com\n",
        "Host: 127.0.0.1.example.com\n",
        "Host: localhost.example.com:80\n",
        "Host: 10.0.0.1\n",
        "Host: 127.0.0.1@example.com\n",
        "Host: \n",
        "",
        "Host: 127.0.0.1\nHost: example.com\n",
    ],
)
@pytest.mark.parametrize("path", ["/health", "/udf/time", "/v1/ohlcv/BBCA", "/nothing"])
def test_other_hosts_are_refused_in_the_form_of_the_path(
    served: Served, host: str, path: str
) -> None:
    status, raw = ask(served.port, f"GET {path} HTTP/1.1\n{host}")
    assert status == 421
    assert (b'"s":"error"' in raw) == path.startswith("/udf")
    assert b'"code":"bad_host"' in raw and b"x-request-id" in raw


SHAKE = (
    "GET /v1/stream HTTP/1.1\nConnection: Upgrade\nUpgrade: websocket\n"
    "Sec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n"
)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ("Host: {own}\nOrigin: http://{own}\n", 101, None),
        ("Host: {own}\n", 101, None),
        ("Host: {own}\nOrigin: http://example.com\n", 403, "foreign_origin"),
        ("Host: {own}\nOrigin: null\n", 403, "foreign_origin"),
        ("Host: {own}\nOrigin: http://127.0.0.1:1\n", 403, "foreign_origin"),
        ("Host: example.com\nOrigin: http://example.com\n", 421, "bad_host"),
    ],
)
def test_the_stream_opens_for_its_own_pages(
    served: Served, headers: str, status: int, code: str | None
) -> None:
    shaken(served.port, SHAKE + headers, status, code)


@pytest.mark.parametrize("path", ["/v1/nothing", "/", "/v1/symbols", "/api/v1/nothing"])
def test_an_opening_elsewhere_is_told_that_there_is_nothing(served: Served, path: str) -> None:
    head = SHAKE.replace("/v1/stream", path) + "Host: {own}\n"
    shaken(served.port, head, 404, "not_found")


def test_an_opening_that_is_refused_bears_what_every_answer_does(served: Served) -> None:
    told = shaken(served.port, SHAKE + "Host: {own}\nOrigin: null\n", 403, "foreign_origin")
    plain = httpx.get(f"http://127.0.0.1:{served.port}/udf/nothing").headers
    policies = ("content-security-policy", "x-content-type-options", "referrer-policy")
    for name in (*policies, "x-frame-options", "cross-origin-resource-policy", "cache-control"):
        assert told.count(f"{name}: {plain[name]}\r\n".encode()) == 1, name


def test_what_says_nothing_of_being_kept_is_kept_by_nobody(client: httpx.Client) -> None:
    for path in ("/health", "/v1/nothing", "/udf/nothing", "/schema", "/asyncapi.json"):
        assert client.get(path).headers.get_list("cache-control") == ["no-store"], path
    refused = client.get("/v1/symbols", headers={"Host": "example.com"})
    assert refused.status_code == 421
    assert refused.headers.get_list("cache-control") == ["no-store"]


def shaken(port: int, head: str, status: int, code: str | None) -> bytes:
    """Open a WebSocket by hand and look at the answer, which is given back."""
    said = head.format(own=f"127.0.0.1:{port}")
    with socket.create_connection(("127.0.0.1", port), timeout=90) as wire:
        wire.sendall(said.replace("\n", "\r\n").encode() + b"\r\n")
        raw = wire.recv(65_536)
        while code and code.encode() not in raw and (more := wire.recv(65_536)):
            raw += more
    assert int(raw.split(b" ")[1]) == status
    assert code is None or f'"code":"{code}"'.encode() in raw
    return raw


def test_every_answer_bears_an_id_and_a_policy(client: httpx.Client) -> None:
    for path in ("/health", "/v1/ohlcv/BBCA", "/nothing", "/udf/config", "/schema"):
        answer = client.get(path)
        assert answer.headers["x-request-id"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    given = client.get("/nothing", headers={"X-Request-Id": "mine-1"})
    assert given.headers["x-request-id"] == "mine-1"
    assert given.json()["meta"]["request_id"] == "mine-1"
    bad = client.get("/health", headers={"X-Request-Id": "a b"})
    assert bad.headers["x-request-id"] != "a b"
    ids = {client.get("/health").headers["x-request-id"] for _ in range(5)}
    assert len(ids) == 5


@pytest.mark.parametrize("path", ["/health", "/v1/symbols", "/udf/config", "/v1/ohlcv/NONE"])
def test_head_is_get_without_the_body(client: httpx.Client, path: str) -> None:
    whole, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]
    assert client.get("/health").json() == {"ok": True}  # the connection goes on in order


def test_refusals_are_counted(client: httpx.Client, served: Served) -> None:
    registry = served.floor.telemetry.registry

    def count(name: str, **labels: str) -> float:
        return registry.get_sample_value(f"bursa_{name}_total", labels) or 0.0

    before = count("refused", code="unknown_ticker")
    client.get("/v1/ohlcv/NIX")
    assert count("refused", code="unknown_ticker") == before + 1
    assert count("http_requests", route="/v1/ohlcv/{ticker}", status="404") >= 1


@pytest.fixture(scope="module")
def crashing(tmp_path_factory: pytest.TempPathFactory) -> Any:
    floor = Floor(tmp_path_factory.mktemp("crash"))
    routes = [
        crash("/v1/bug", ZeroDivisionError("of ours")),
        crash("/udf/bug", ZeroDivisionError("of ours")),
        crash("/v1/retry", Retry("the store is away", 7.4)),
        crash("/udf/retry", Retry("the store is away", 7.4)),
        crash("/v1/reject", Reject("bad", "row")),
        crash("/v1/refuse", Refuse("no", "no_way", 403, "who")),
    ]
    with serve(floor, routes=routes) as found, httpx.Client(base_url=found.url) as client:
        yield client
    floor.close()


def test_each_kind_of_error_has_its_status(crashing: httpx.Client) -> None:
    found = {p: crashing.get(f"/v1/{p}") for p in ("bug", "retry", "reject", "refuse")}
    assert [r.status_code for r in found.values()] == [500, 503, 500, 403]
    codes = [r.json()["code"] for r in found.values()]
    assert codes == ["internal", "unavailable", "unusable_record", "no_way"]
    assert found["retry"].headers["retry-after"] == "7"
    assert "of ours" not in found["bug"].json()["error"].replace("a fault of ours", "")
    assert found["refuse"].json()["meta"]["parameter"] == "who"


def test_a_crash_under_udf_is_udf_shaped(crashing: httpx.Client) -> None:
    for path, status in (("/udf/bug", 500), ("/udf/retry", 503)):
        answer = crashing.get(path)
        assert answer.status_code == status and answer.json()["s"] == "error"


def test_off_loopback_it_is_told_its_names_and_is_no_demo() -> None:
    assert all(front_of(host, demo=True).demo for host in ("127.0.0.1", "::1", "localhost"))
    for host in ("0.0.0.0", "::", "192.168.1.5"):
        for wrong, why in (({}, "http.hosts"), ({"demo": True, "hosts": ["a.b"]}, "the demo")):
            with pytest.raises(Refuse, match=why) as refusal:
                front_of(host, **wrong)  # type: ignore[arg-type]
            assert refusal.value.code == "bad_config"
    front = front_of("0.0.0.0", ["Data.Example.com"], ["10.0.0.0/8"], "https://x.example.com:8443/")
    for host in ("data.example.com", "DATA.example.com:80", "x.example.com", "localhost:1"):
        assert front.answers_to(host.encode())
    for host in ("example.com", "data.example.com.", "data.example.com:x", "[data.example.com]"):
        assert not front.answers_to(host.encode())
    assert front.public_url == "https://x.example.com:8443" and front.secure
    for proxies in (["10.0.0.1/8"], ["proxy"]):
        with pytest.raises(Refuse, match=r"http\.proxies"):
            front_of("127.0.0.1", proxies=proxies)
