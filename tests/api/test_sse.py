"""Server-sent events over a listening server: the frames of the stream, resuming, slow readers."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from bursa.api import app
from bursa.api.stream import sse
from bursa.api.stream.hub import StreamLimits
from bursa.api.stream.outbox import OutboxLimits
from tests.api.clients import (
    DAY,
    WAIT_S,
    Frames,
    drain,
    idle,
    minute,
    minutes,
    until,
    until_blocked,
    until_withheld,
)
from tests.api.floor import EPOCH, Floor, Served, at, serve


class Events(Frames):
    """A client that reads events one by one."""

    def __init__(self, served: Served, query: str, last: str = "") -> None:
        self._client = httpx.Client(timeout=WAIT_S)
        headers = {"Last-Event-ID": last} if last else {}
        self._opening = self._client.stream("GET", f"{served.url}/v1/live?{query}", headers=headers)

    def __enter__(self) -> "Events":
        self.answer = self._opening.__enter__()
        self._lines = self.answer.iter_lines()
        return self

    def __exit__(self, *_: object) -> None:
        self._opening.__exit__(None, None, None)
        self._client.close()

    def block(self) -> dict[str, str]:
        """The fields of the next event or comment (under "")."""
        found: dict[str, str] = {}
        for line in self._lines:
            if not line:
                return found
            name, _, value = line.partition(":")
            assert name not in found, "a field comes once"
            found[name] = value.removeprefix(" ")
        raise EOFError

    def next(self) -> dict[str, Any]:
        """The next frame; its id is its cursor."""
        block = self.block()
        while "data" not in block:
            block = self.block()
        frame: dict[str, Any] = json.loads(block["data"])
        assert block.get("id") == frame.get("cursor")
        return frame


@pytest.fixture
def served(floor: Floor) -> Iterator[Served]:
    with serve(floor) as found:
        yield found


def test_it_begins_with_the_acknowledgement_and_the_bar_under_way(served: Served) -> None:
    with Events(served, "tickers=BBCA,GOTO&channels=bars,metrics&throttle_ms=50") as events:
        answer = events.answer
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        assert events.block() == {"retry": "2000"}
        assert events.next() == {
            "type": "subscribed",
            "subscriptions": [
                {"venue": "idx", "freq": "1m", "channel": "bars", "tickers": ["BBCA", "GOTO"]},
                {"venue": "idx", "freq": "1m", "channel": "metrics", "tickers": ["BBCA", "GOTO"]},
            ],
            "throttle_ms": 50,
            "cursor": f"{EPOCH}-0",
        }
        partial = events.next()
        assert (partial["type"], partial["final"], partial["close"]) == ("bar", False, 9100)


def test_its_frames_are_the_websockets(served: Served, floor: Floor) -> None:
    ask = {"action": "subscribe", "tickers": ["BBCA"], "channels": ["bars", "metrics"]}
    with (
        Events(served, "tickers=BBCA&channels=bars,metrics") as events,
        connect(served.ws, compression=None) as wire,
    ):
        wire.send(json.dumps(ask))
        assert events.next() == json.loads(wire.recv(WAIT_S))
        assert events.next() == json.loads(wire.recv(WAIT_S))
        for number in (4, 5):
            minute(floor, number)
            told = events.until("end_of_interval") + [events.next()]
            assert told == [json.loads(wire.recv(WAIT_S)) for _ in told]
            assert [f["type"] for f in told] == ["bar", "metrics", "end_of_interval", "bar"]


@pytest.mark.parametrize("by", ["header", "parameter", "both"])
def test_a_reconnect_gives_every_frame_missed_once_while_data_flows(
    served: Served, floor: Floor, by: str
) -> None:
    query = "tickers=BBCA,GOTO&channels=bars,metrics"
    with Events(served, query) as stays:
        stays.next()
        with Events(served, query) as leaves:
            told = leaves.until("subscribed")
            minute(floor, 4)
            told += leaves.until("end_of_interval")
        seen = [f for f in told[1:] if "cursor" in f]
        for number in range(5, 12):
            minute(floor, number)
        last = seen[-1]["cursor"]
        resumes = {"header": "", "parameter": f"&resume={last}", "both": f"&resume={EPOCH}-0"}
        header = "" if by == "parameter" else last
        with Events(served, query + resumes[by], header) as back:
            (told_again,) = back.until("subscribed")
            assert told_again["recovered"] is True and told_again["cursor"] == last
            minute(floor, 12)
            while not seen or seen[-1].get("bar_time", "")[11:16] != "09:11":
                seen += [f for f in back.until("end_of_interval") if "cursor" in f]
        every: list[dict[str, Any]] = []
        while not every or every[-1]["bar_time"][11:16] != "09:11":
            every += [f for f in stays.until("end_of_interval") if "cursor" in f]
        assert seen == every
        numbers = [int(f["cursor"].split("-")[1]) for f in every]
        assert numbers == list(range(1, len(numbers) + 1)), "each once, in order, none left out"


def test_what_is_not_retained_is_to_be_fetched(served: Served) -> None:
    foreign = "ffffffffffffffff-7"
    with Events(served, "tickers=BBCA&channels=bars,metrics", foreign) as events:
        told = events.next()
        assert told["recovered"] is False and told["cursor"] == f"{EPOCH}-0"
        assert told["fetch"] == [
            "/v1/ohlcv/{ticker}?venue=idx&tf=1m&from=",
            "/v1/metrics/history?ticker={ticker}&venue=idx&tf=1m&from=",
        ]
        assert events.next()["final"] is False


def test_a_ticker_that_is_stored_begins_with_its_first_message(
    floor: Floor, tmp_path: Path
) -> None:
    floor.commit()
    floor.store.close()
    again = Floor(tmp_path)  # its line has heard of nothing yet
    with serve(again) as served:
        until(lambda: served.services.venues["idx"].directory.knows("BBCA"))
        with Events(served, "tickers=BBCA") as events:
            assert events.next()["subscriptions"][0]["tickers"] == ["BBCA"]
            again.trade(at(DAY, 9, 5, 1), 9_000)
            assert events.next()["close"] == 9000
    again.close()


@pytest.mark.parametrize(
    ("query", "status", "code", "parameter"),
    [
        ("", 400, "missing_parameter", "tickers"),
        ("tickers=", 400, "missing_parameter", "tickers"),
        ("tickers=NIX", 404, "unknown_ticker", "tickers"),
        ("tickers=BBCA,", 404, "unknown_ticker", "tickers"),
        ("tickers=BBCA&tickers=GOTO", 400, "repeated_parameter", "tickers"),
        ("tickers=BBCA&channels=", 400, "missing_parameter", "channels"),
        ("tickers=BBCA&channels=bars,news", 400, "unknown_channel", "channels"),
        ("tickers=BBCA&freq=2m", 400, "unknown_timeframe", "freq"),
        ("tickers=BBCA&freq=5m&channels=metrics", 400, "timeframe_not_allowed", "freq"),
        ("tickers=BBCA&venue=nix", 404, "unknown_venue", "venue"),
        ("tickers=BBCA&throttle_ms=60001", 400, "bad_number", "throttle_ms"),
        ("tickers=BBCA&throttle_ms=-1", 400, "bad_number", "throttle_ms"),
        ("tickers=BBCA&resume=abc", 400, "bad_cursor", "resume"),
        ("tickers=BBCA&since=abc", 400, "unknown_parameter", "since"),
        ("tickers=" + ",".join(["BBCA"] * 1001), 400, "bad_query", None),
    ],
)
def test_bad_input_is_an_envelope_and_leaves_no_client(
    served: Served, query: str, status: int, code: str, parameter: str | None
) -> None:
    answer = httpx.get(f"{served.url}/v1/live?{query}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["meta"].get("parameter") == parameter
    assert not served.hub.post.clients


def test_a_bad_timeframe_is_told_by_the_name_that_it_has_here(served: Served) -> None:
    found = httpx.get(f"{served.url}/v1/live?tickers=BBCA&freq=2m").json()["error"]
    assert found.startswith("freq='2m' is none of 1m, 5m")


def test_a_bad_last_event_id_is_refused(served: Served) -> None:
    url = f"{served.url}/v1/live?tickers=BBCA"
    answer = httpx.get(url, headers={"Last-Event-ID": "7"})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_cursor")


def test_other_methods_and_head(served: Served) -> None:
    url = f"{served.url}/v1/live?tickers=BBCA"
    head = httpx.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == "text/event-stream"
    assert httpx.head(f"{served.url}/v1/live").status_code == 400
    assert httpx.post(url).status_code == 405
    options = httpx.options(url)
    assert options.status_code == 204 and "GET" in options.headers["allow"]
    assert httpx.get(url, headers={"Host": "example.com"}).status_code == 421
    until(lambda: not served.hub.post.clients)


def test_the_stream_is_full_for_events_too(floor: Floor) -> None:
    with serve(floor, StreamLimits(clients=1)) as served, Events(served, "tickers=BBCA") as events:
        events.next()
        full = httpx.get(f"{served.url}/v1/live?tickers=BBCA")
        assert (full.status_code, full.json()["code"]) == (503, "too_many_clients")
        assert full.headers["retry-after"]


def test_who_hangs_up_is_forgotten_at_once(served: Served, floor: Floor) -> None:
    with Events(served, "tickers=BBCA") as events:
        events.until("bar")
        assert len(served.hub.post.clients) == 1
    until(lambda: not served.hub.post.clients)
    assert not served.hub.streams["idx"].listeners
    minute(floor, 4)


def test_a_comment_keeps_the_connection(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "COMMENT_S", 0.05)
    with Events(served, "tickers=TLKM") as events:
        events.next()
        assert set(events.block()) == {""}
        assert set(events.block()) == {""}


def test_what_it_took_to_begin_is_its_time_to_answer(served: Served, floor: Floor) -> None:
    began, open_s = time.monotonic(), 0.5
    with Events(served, "tickers=BBCA") as events:
        events.until("bar")
        time.sleep(open_s)
    whole = time.monotonic() - began
    registry = floor.telemetry.registry
    route = {"route": "/v1/live"}
    until(lambda: registry.get_sample_value("bursa_http_seconds_count", route) == 1)
    assert 0 < (registry.get_sample_value("bursa_http_seconds_sum", route) or 0) < whole - open_s


# -- slow clients, and the stop --------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that hold little, so that few frames fill them."""
    for name in ("SOCKET_BYTES", "TRANSPORT_BYTES", "PENDING_BYTES"):
        monkeypatch.setattr(sse, name, 8_192)


@contextlib.contextmanager
def stuck(served: Served, query: str) -> Iterator[tuple[socket.socket, Any]]:
    """A client that asks and then does not read, and how the server holds it."""
    before = set(served.hub.post.clients)
    with idle(served, f"/v1/live?{query}") as wire:
        until(lambda: any(client.keys for client in served.hub.post.clients - before))
        (client,) = served.hub.post.clients - before
        yield wire, client


def drained(wire: socket.socket, last: bytes = b"") -> list[dict[str, Any]]:
    """All frames to the end, or to one that holds `last`."""
    head, _, raw = drain(wire, last).partition(b"\r\n\r\n")
    assert b"chunked" in head
    text = b""
    while raw:
        size, _, raw = raw.partition(b"\r\n")
        text += raw[: int(size, 16)]
        raw = raw[int(size, 16) + 2 :]
    return [json.loads(line[6:]) for line in text.split(b"\n") if line.startswith(b"data: {")]


def test_who_does_not_read_is_closed_and_the_others_lose_nothing(floor: Floor, small: None) -> None:
    limits = StreamLimits(throttle_ms=0, outbox=OutboxLimits(messages=50))
    query = "tickers=BBCA,GOTO&channels=bars,metrics"
    with (
        serve(floor, limits) as served,
        Events(served, "tickers=BBCA&channels=bars") as reads,
        stuck(served, query) as (wire, client),
    ):
        reads.until("subscribed")
        ends = begun = 0
        for n in minutes(floor):
            begun = n + 1
            ends += sum(f["type"] == "end_of_interval" for f in reads.until("end_of_interval"))
            if client.closed:
                break
        assert client.closed and len(served.hub.post.clients) == 1
        assert ends == begun
        assert floor.telemetry.registry.get_sample_value("bursa_stream_closed_total") == 1
        frames = drained(wire)
        cursors = [int(f["cursor"].split("-")[1]) for f in frames[1:] if "cursor" in f]
        assert cursors == list(range(1, len(cursors) + 1))


def test_partials_are_left_out_for_a_slow_client_and_it_is_told(floor: Floor, small: None) -> None:
    with serve(floor) as served, stuck(served, "tickers=BBCA&throttle_ms=0") as (wire, client):
        floor.trade(until_withheld(floor, client, 50), 12_345)
        frames = drained(wire, b'"close":12345,')
        gaps = [f for f in frames if f["type"] == "gap"]
        assert gaps and gaps[0]["reason"] == "slow" and gaps[0]["conflated"] >= 49
        assert frames[-1]["close"] == 12_345
        assert served.hub.post.clients == {client}, "it is not closed: it missed nothing for good"


def test_a_slow_reader_resumes_a_long_absence_without_being_closed(
    floor: Floor, small: None
) -> None:
    with serve(floor) as served:
        for _ in minutes(floor, 400):
            pass
        until(lambda: served.hub.retained.head >= 3 * 400)
        query = f"tickers=BBCA,GOTO,TLKM&channels=bars,metrics&resume={EPOCH}-0"
        with idle(served, f"/v1/live?{query}") as wire:
            time.sleep(0.3)  # it is stuck amid what it missed
            assert len(served.hub.post.clients) == 1
            frames = drained(wire, f"id: {served.hub.cursor()}".encode())
        cursors = [int(f["cursor"].split("-")[1]) for f in frames[1:] if "cursor" in f]
        assert cursors == list(range(1, served.hub.retained.head + 1))


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that cuts no answer at its stop before `serve` has given it up."""
    monkeypatch.setattr(app, "STOP_S", 300)


def test_the_stop_is_told_and_does_not_wait_for_open_answers(floor: Floor, patient: None) -> None:
    with contextlib.ExitStack() as stack:
        with serve(floor) as served:
            every = [stack.enter_context(Events(served, "tickers=BBCA&freq=5m")) for _ in range(5)]
            for events in every:
                events.until("bar")
        for events in every:
            told = events.until("closed")
            assert told[-2]["type"] == "shutdown"
            assert told[-1]["code"] == 1001
            with pytest.raises(EOFError):
                events.block()


def test_the_stop_does_not_wait_for_who_does_not_read(
    floor: Floor, small: None, patient: None
) -> None:
    with contextlib.ExitStack() as stack, serve(floor) as served:
        _, client = stack.enter_context(stuck(served, "tickers=BBCA"))
        until_blocked(floor, client)
