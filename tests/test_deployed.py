"""The checklist of docs/deploy.md: all of it holds behind nginx as the docs configure it, and each
item is bad where what it asks for is not so."""

import json
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError

import httpx
import pytest

from bursa.model.errors import Refuse
from bursa.verbs.asking import Server, Wrong
from bursa.verbs.deployed import DATA, GUESSES, Deployed, open_ports
from bursa.verbs.finding import BAD, OK, WARN, Finding
from bursa.verbs.smoke import With
from tests.guest import guest
from tests.running import Bursa, environment, wait_for
from tests.servers.certificates import make
from tests.servers.nginx import DEPLOY, Nginx
from tests.smoked import names, smoke

DAYS, DAY_S = 90, 86_400
TRADE_MS = 1_723_161_240_000


class Deployment(NamedTuple):
    bursa: Bursa
    nginx: Nginx
    given: With


def items() -> list[str]:
    """The checklist's items, in its order."""
    text = DEPLOY.read_text().partition("## Checklist")[2]
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A bursa with a day of its past and no feed, and nginx before it."""
    folder = tmp_path_factory.mktemp("deployed")
    certificates = make(folder / "certificates", DAYS)
    nginx = Nginx(folder / "nginx", certificates)
    trades = "".join(
        f'{{"e":"trade","E":{TRADE_MS + n},"s":"BTCUSDT","t":{n},"p":"{60000 + n}","q":"1",'
        f'"T":{TRADE_MS + n * 1000},"m":true,"M":true}}\n'
        for n in range(1, 200)
    )
    (folder / "trades").write_text(trades)
    subprocess.run(
        [sys.executable, "-m", "bursa", "replay", str(folder / "trades"), "--venue", "binance"]
        + ["--data", str(folder / "data")],
        check=True,
        capture_output=True,
        timeout=120,
        env=environment(),
    )
    front = {"http_proxies": "127.0.0.1", "http_public_url": nginx.url}
    with Bursa(folder / "data", **front) as bursa:
        nginx.write(bursa.url.removeprefix("http://"))
        nginx.start()
        try:
            wait_for(lambda: is_ready(bursa), what="the start")
            wait_for(lambda: bursa.get("/v1/symbols")["data"], what="the symbols")
            given = With(bursa.guest.key, str(certificates.authority), nginx.plain_port)
            yield Deployment(bursa, nginx, given)
        finally:
            nginx.stop()


def is_ready(running: Bursa) -> bool:
    try:
        return bool(running.get("/ready")["ok"])
    except HTTPError:
        return False


# -- for real --------------------------------------------------------------------------------------


def test_all_of_the_checklist_holds_behind_the_documented_proxy(deployment: Deployment) -> None:
    code, told = smoke(deployment.nginx.url, given=deployment.given)
    assert code == 0, [finding for finding in told.values() if finding["state"] != OK]
    assert names(told, OK) == told.keys()
    assert list(told) == items(), "the checklist and what is asked are the same, in one order"
    assert re.search(r"TLSv1\.[23], .* 8\d days", told["tls"]["fact"])
    assert "leads to https with 308" in told["plain http"]["fact"]
    assert "__Host-bursa_session" in told["cookies"]["fact"]
    assert "421" in told["guard"]["fact"] and "401" in told["nobody"]["fact"]
    assert "acknowledges in" in told["stream"]["fact"]
    assert "acknowledges in" in told["live events"]["fact"]
    assert "6,000 requests a minute of an address" in told["rates"]["fact"]
    logged = (deployment.nginx.folder / "access.log").read_text()
    assert '"GET /v1/symbols" 401' in logged and "?" not in logged, "links of letters bear secrets"


def test_examples_are_for_the_address_that_one_came_by(deployment: Deployment) -> None:
    bursa, nginx, given = deployment
    trust = ssl.create_default_context(cafile=given.ca_file)
    cookie = {"__Host-bursa_session": bursa.guest.cookie}
    portal = httpx.get(f"{nginx.url}/portal", cookies=cookie, verify=trust, timeout=90).text
    assert f"{nginx.url}/v1/auth/token" in portal and f"{nginx.url}/v1/ohlcv" in portal
    assert f"wss{nginx.url.removeprefix('https')}/v1/stream" in portal


def test_what_a_tier_has_not_is_a_warning_and_no_key_is_told_once(deployment: Deployment) -> None:
    bursa, nginx, given = deployment
    free = With(guest(bursa.data, "free").key, given.ca_file, given.plain_port)
    code, told = smoke(nginx.url, given=free)
    assert code == 0, [finding for finding in told.values() if finding["state"] == BAD]
    assert names(told, WARN) == {"stream", "live events", "udf history"}
    assert "tier_streaming" in told["stream"]["fact"]
    assert "60 of the key's user" in told["rates"]["fact"]
    assert "bars of 1m are not the tier's" in told["candles"]["fact"]
    code, told = smoke(nginx.url, given=With("", given.ca_file, given.plain_port))
    assert code == 1 and names(told, BAD) == {"key"}
    assert told["key"]["remedy"] == "give one: --key-file FILE"
    assert list(told) == items()[: items().index("symbols")]


def test_without_tls_and_on_loopback_none_of_it_is_asked(deployment: Deployment) -> None:
    code, told = smoke(deployment.bursa.url)
    assert code == 1 and told["key"]["remedy"] == "give one: --key-file FILE"
    code, told = smoke(deployment.bursa.url, given=With(deployment.given.key))
    assert code == 0, [finding for finding in told.values() if finding["state"] != OK]
    assert "tls" not in told and "cookies" not in told
    assert "tier enterprise" in told["key"]["fact"] and "401" in told["key"]["fact"]
    assert "history only" in told["feed"]["fact"]
    assert "now none is due" in told["candles"]["fact"]
    assert told["viewer"]["fact"] == "no venue is public"


def test_a_certificate_that_does_not_hold_ends_it_and_one_that_ends_soon_is_told(
    deployment: Deployment,
) -> None:
    _, nginx, given = deployment
    code, told = smoke(nginx.url)
    assert code == 1 and list(told) == ["tls"]
    assert "does not hold" in told["tls"]["fact"] and "--ca-file" in told["tls"]["remedy"]
    code, told = smoke(f"https://localhost:{nginx.plain_port}", given=given)
    assert code == 1 and list(told) == ["tls"] and "no TLS there" in told["tls"]["fact"]

    server = Server(nginx.url, 10.0, given.ca_file)
    ends_s = server.lock().ends_s
    for days, state in ((15, OK), (13, WARN), (2, BAD)):
        now_s = ends_s - (days + 0.5) * DAY_S
        found = dict(Deployed(server, "", 0, now_s).reached())["tls"]()
        assert (found.state, f"{days} days" in found.fact) == (state, True)


def test_a_proxy_that_is_configured_ill_is_told_item_by_item(deployment: Deployment) -> None:
    bursa, nginx, given = deployment
    ill = {
        "X-Forwarded-For   $remote_addr": "X-Forwarded-For   $http_x_forwarded_for",
        "proxy_set_header   X-Forwarded-Proto $scheme;": "",
        "proxy_set_header   Upgrade           $http_upgrade;": "",
        "return 308 https://data.example.com$request_uri": "proxy_pass http://bursa",
        "return 421": "return 200",
    }
    behind = bursa.url.removeprefix("http://")
    nginx.stop()
    nginx.write(behind, ill)
    nginx.start()
    try:
        code, told = smoke(nginx.url, given=given)
    finally:
        nginx.stop()
        nginx.write(behind)
        nginx.start()
    wrong = {"plain http", "guard", "operators", "rates", "stream"}
    assert code == 1 and names(told, BAD) == wrong, told
    assert "X-Forwarded-For" in told["rates"]["fact"] + told["operators"]["remedy"]
    assert told["operators"]["fact"] == "/stats answers nobody with 200"


# -- item by item ----------------------------------------------------------------------------------

Answer = tuple[int, Mapping[str, str], bytes]
HSTS = {"Strict-Transport-Security": "max-age=31536000"}
JWK = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1", "n": "AQ", "e": "AQAB"}
COOKIE = "__Host-bursa_session=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax; Secure"
PAGE = {"Content-Type": "text/html"}


def keys(*found: Mapping[str, str]) -> Answer:
    return 200, {}, json.dumps({"keys": found}).encode()


def cookie(text: str) -> Answer:
    return 200, {"Set-Cookie": text}, b"{}"


GOOD: Mapping[str, Answer] = {
    "/health": (200, {}, b'{"ok":true}'),
    "/sign-in": (200, PAGE, b"<form>"),
    "/auth/logout": cookie(COOKIE),
    "/.well-known/jwks.json": keys(JWK),
    **dict.fromkeys(("/", "/chart", "/docs", "/portal", "/admin"), (303, {}, b"")),
}


class Bucket:
    """Requests that are left of an address's."""

    def __init__(self) -> None:
        self.left: dict[str, int] = {}

    def headers(self, address: str) -> dict[str, str]:
        self.left[address] = left = self.left.get(address, 600) - 1
        limit = {"RateLimit-Policy": '"minute";q=600;w=60', "RateLimit": f'"minute";r={left};t=9'}
        return limit


@contextmanager
def answering(changed: Mapping[str, Answer | None], believes: bool = False) -> Iterator[Server]:
    """What answers as a good deployment does but for some paths (None: without the headers that
    every answer has); `believes` whatever address a request names."""
    bucket = Bucket()

    class Fake(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            asks = {"WWW-Authenticate": "Bearer"}
            status, headers, body = GOOD.get(path, (401, asks, b'{"code":"sign_in_required"}'))
            if status == 303:
                headers = {"Location": f"/sign-in?next={path}"}
            borne: Mapping[str, str] = HSTS | self.limits()
            if path in changed:
                own = changed[path]
                borne = borne if own is not None else {}
                status, headers, body = own or (status, headers, body)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **borne, **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def limits(self) -> dict[str, str]:
            said = self.headers.get("X-Forwarded-For", "") if believes else ""
            return bucket.headers(said)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Fake)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield Server(f"http://127.0.0.1:{server.server_address[1]}", 5.0)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(server: Server, item: str, plain_port: int = 0) -> Finding:
    deployed = Deployed(server, "", plain_port, 0.0)
    return dict([*deployed.reached(), *deployed.guarded()])[item]()


def test_what_is_good_is_found_good() -> None:
    with answering({}) as server:
        for item, _ in Deployed(server, "", 0, 0.0).guarded():
            found = ask(server, item)
            assert (found.state, found.remedy) == (OK, ""), found


NOTHING: Answer = (200, {}, b"{}")
ILL: list[tuple[str, str, Answer | None, str]] = [
    ("hsts", "/no_such_path", None, "/no_such_path comes without"),
    ("hsts", "/sign-in", (200, {"Strict-Transport-Security": "max-age=60"}, b""), "/sign-in comes"),
    ("cookies", "/auth/logout", cookie(COOKIE.replace("; Secure", "")), "without secure"),
    ("cookies", "/auth/logout", cookie(COOKIE.replace("HttpOnly; ", "")), "without httponly"),
    ("cookies", "/auth/logout", cookie(COOKIE.replace("__Host-", "")), "prefix __Host-"),
    ("cookies", "/auth/logout", NOTHING, "not there"),
    *(
        ("nobody", path.partition("?")[0], NOTHING, f"{path} answers nobody with 200")
        for path in DATA
    ),
    ("nobody", "/schema", (401, {}, b"{}"), "does not say how to sign in"),
    ("sign-in", "/docs", (200, PAGE, b""), "/docs answers a browser of nobody with 200"),
    ("sign-in", "/", (303, {"Location": "https://other.example/sign-in?next=/"}, b""), "other."),
    ("sign-in", "/admin", (303, {"Location": "/welcome"}, b""), "/admin answers"),
    ("operators", "/metrics", NOTHING, "/metrics answers nobody with 200"),
    ("operators", "/ops", NOTHING, "/ops answers nobody with 200"),
    ("operators", "/stats", NOTHING, "/stats answers nobody with 200"),
    ("operators", "/admin/api/users", NOTHING, "/admin/api/users answers nobody with 200"),
    ("passwords", "/auth/login", NOTHING, f"{GUESSES[0][0]} with the password of some example"),
    ("passwords", "/auth/login", (403, {}, b'{"code":"unverified"}'), "answered 403"),
    ("wrong key", "/v1/auth/token", NOTHING, "a key that is made up is answered 200"),
    ("wrong key", "/v1/symbols", NOTHING, "a token that is made up is answered 200"),
    ("wrong key", "/udf/config", NOTHING, "a key under /udf that is made up is answered 200"),
    ("rates", "/sign-in", None, "/sign-in comes without RateLimit"),
]


def test_each_item_is_bad_where_it_should_be() -> None:
    for item, path, answer, fact in ILL:
        with answering({path: answer}) as server:
            found = ask(server, item)
            assert found.state == BAD and found.remedy, (item, path, found)
            assert fact in found.fact, found
    assert {item for item, *_ in ILL} >= {
        name for name, _ in Deployed(server, "", 0, 0.0).guarded()
    } - {"jwks"}


def test_secret_parts_of_a_key_and_what_is_no_key_are_told() -> None:
    ill = (keys(), keys({**JWK, "d": "AQ"}), keys({**JWK, "alg": "none"}), keys({**JWK, "kid": ""}))
    for answer in ill:
        with answering({"/.well-known/jwks.json": answer}) as server, pytest.raises(Wrong):
            ask(server, "jwks")


def test_tries_that_are_not_answered_are_no_proof() -> None:
    with answering({"/auth/login": (429, {}, b"{}")}) as server:
        found = ask(server, "passwords")
    assert found.state == WARN and "429" in found.fact


def test_an_address_that_is_made_up_and_believed_is_found_out() -> None:
    with answering({}, believes=True) as server:
        found = ask(server, "rates")
    assert found.state == BAD and "X-Forwarded-For" in found.fact


def test_where_plain_http_leads() -> None:
    found: dict[str, Any] = {}
    for name, answer in {
        "no lead": NOTHING,
        "elsewhere": (308, {"Location": "https://other.example/chart"}, b""),
        "stays": (308, {"Location": "http://127.0.0.1/chart"}, b""),
    }.items():
        with answering({"/chart": answer}) as server:
            found[name] = ask(server, "plain http", server.port)
            assert ask(server, "tls").state == BAD
    assert {one.state for one in found.values()} == {BAD}
    assert "other.example" in found["elsewhere"].fact
    assert "does not lead to it" in found["no lead"].fact + found["stays"].fact
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert ask(server, "plain http", port).state == OK


def test_ports_that_are_open_are_found() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        within, beside = one.getsockname()[1], other.getsockname()[1]
        other.close()
        assert list(open_ports("127.0.0.1", (within, beside), 1.0)) == [within]


def test_a_file_without_certificates_is_refused(tmp_path: Path) -> None:
    (tmp_path / "none.pem").write_text("nothing")
    for name in ("none.pem", "absent.pem"):
        with pytest.raises(Refuse, match="--ca-file") as refused:
            Server("https://127.0.0.1", 1.0, str(tmp_path / name))
        assert refused.value.parameter == "ca_file"
