"""`bursa smoke`: a real server passes, what is broken does not, and nothing ends in a traceback."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError

import pytest

from bursa.exchange import launch
from bursa.model.errors import Refuse
from bursa.verbs.asking import Server, Wrong
from bursa.verbs.finding import BAD, OK
from tests.running import Bursa, environment, wait_for
from tests.smoked import PATIENT_S, smoke
from tests.verbs import bursa

QUESTIONS = {
    *("health", "ready", "version", "key", "symbols", "feed", "ranking", "candles", "stream"),
    *("live events", "udf config", "udf symbols", "udf search", "udf history", "udf errors"),
    *("viewer", "pages", "headers", "guard", "schema"),
}


def is_ready(running: Bursa) -> bool:
    try:
        return bool(running.get("/ready")["ok"])
    except HTTPError:
        return False


def test_a_running_bursa_passes_and_one_whose_feed_fell_silent_does_not(tmp_path: Path) -> None:
    data = tmp_path / "data"
    # Its half minute before the opening takes five seconds.
    demo = {"exchange_tickers": "30", "exchange_history_days": "1", "exchange_speed": "6"}
    with Bursa(data, "--demo", **demo) as running:

        def tape() -> dict[str, object]:
            found: dict[str, object] = running.get("/web/tape")
            return found

        wait_for(lambda: is_ready(running), what="the start")
        wait_for(lambda: tape()["progress"] is None and tape()["fresh"] == "live", what="the day")
        wait_for(lambda: tape()["session"] == "session 1", what="the opening")
        wait_for(lambda: len(running.get("/v1/ranking?by=frequency")["data"]) > 5, what="trades")
        code, told = smoke(running.url)
        assert code == 0, [f for f in told.values() if f["state"] != OK]
        assert told.keys() == QUESTIONS
        assert {finding["state"] for finding in told.values()} == {OK}
        for name in ("candles", "stream", "live events"):
            assert "went on" in told[name]["fact"]
        assert "30, 30 of them with a name" in told["symbols"]["fact"]
        assert "30 symbols are public" in told["viewer"]["fact"]

        done = subprocess.run(
            [sys.executable, "-m", "bursa", "smoke", running.url, "--timeout", f"{PATIENT_S}"],
            capture_output=True,
            text=True,
            timeout=240,
            env=environment(),
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[-1] == f"{len(QUESTIONS)} ok, 0 warnings, 0 bad"

        exchange = launch.find(data / "exchange")
        assert exchange is not None
        os.kill(exchange.pid, signal.SIGSTOP)
        try:
            wait_for(lambda: tape()["fresh"] == "stale", what="staleness")
            code, told = smoke(running.url)
            assert (code, told["feed"]["state"]) == (1, BAD)
            assert "silent for" in told["feed"]["fact"] and told["feed"]["remedy"]
            assert {name for name in told if told[name]["state"] == BAD} == {"feed"}
        finally:
            os.kill(exchange.pid, signal.SIGCONT)


def test_a_closed_port_is_one_line() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        code, told = smoke(url)
        assert code == 1 and told.keys() == {"health"}
        assert f"{url}: Connection refused" in told["health"]["fact"]
        done = bursa("smoke", url)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("bad   health") and done.stdout.endswith("1 bad\n")


@contextmanager
def answering(status: int, kind: str, body: bytes) -> Iterator[str]:
    """A server that says the same to everything; its URL."""

    class Same(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Same)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (200, "text/html", b"<h1>It works</h1>"),
        (404, "text/html", b"nothing here"),
        (200, "application/json", b"{}"),
        (200, "application/json", b"[]"),
        (200, "application/json", b"null"),
        (200, "application/json", b'{"ok":true,"data":[{}]}'),
        (500, "application/json", b'{"ok":false}'),
    ],
)
def test_what_is_no_bursa_does_not_pass(status: int, kind: str, body: bytes) -> None:
    with answering(status, kind, body) as url:
        code, told = smoke(url, 2.0)
    assert code == 1
    assert told.keys() == QUESTIONS
    wrong = {name for name, finding in told.items() if finding["state"] == BAD}
    # A server that refuses everything refuses a foreign Host too.
    assert QUESTIONS - wrong <= ({"guard"} if status >= 400 else set())
    assert all(told[name]["fact"] and told[name]["remedy"] for name in wrong)


@contextmanager
def talking(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A listener whose connections are handed over; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    line, _ = listener.accept()
                except OSError:
                    return
                with line:
                    talk(line)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(60)


def wait(event: threading.Event) -> None:
    event.wait(120)


def test_silence_and_noise() -> None:
    silent = threading.Event()
    with talking(lambda line: wait(silent)) as url:
        code, told = smoke(url, 0.5)
        silent.set()
    assert code == 1 and "no answer within 0.5 s" in told["health"]["fact"]
    with talking(lambda line: line.sendall(b"SSH-2.0-none\r\n")) as url:
        code, told = smoke(url, 2.0)
    assert code == 1 and told["health"]["state"] == BAD
    with talking(lambda line: None) as url:
        code, told = smoke(url, 2.0)
    assert code == 1 and told["health"]["state"] == BAD


def test_events_that_begin_and_then_cease_are_told_as_such() -> None:
    silent = threading.Event()

    def talk(line: socket.socket) -> None:
        line.sendall(b'HTTP/1.1 200 OK\r\n\r\ndata: {"type":"subscribed"}\n\n')
        wait(silent)

    with talking(talk) as url:
        events = Server(url, 2.0).events("/v1/live")
        assert next(events) == {"type": "subscribed"}
        with pytest.raises(Wrong, match=r"/v1/live: nothing more came within 2 s"):
            next(events)
        silent.set()


@pytest.mark.parametrize(
    "url", ["", "ftp://127.0.0.1", "http://", "http://127.0.0.1:0", "http://h:x"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(Refuse, match="allowed: http://HOST:PORT") as refused:
        smoke(url)
    assert refused.value.parameter == "url"
