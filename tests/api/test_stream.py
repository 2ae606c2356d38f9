"""The stream over a listening server: what a client is told, in which order, and after a cut."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from bursa.api import app
from bursa.api.stream import hub as live
from bursa.api.stream import ws
from bursa.api.stream.hub import StreamLimits
from bursa.api.stream.outbox import OutboxLimits
from bursa.model.batch import END_OF_FILE, ROWS
from bursa.wire.ipc import pack
from tests.api.clients import (
    DAY,
    UPGRADE,
    WAIT_S,
    Socket,
    drain,
    idle,
    minute,
    minutes,
    taken,
    until,
    until_blocked,
    until_withheld,
)
from tests.api.floor import DAYS, EPOCH, Floor, Served, at, serve
from tests.jobs.test_entry import bars_of, metrics_of
from tests.wire.idx import encoder as idx


class Client(Socket):
    """A client of the stream."""

    def __init__(self, served: Served) -> None:
        super().__init__(served.hub, served.ws)

    def subscribe(self, *tickers: str, **more: Any) -> dict[str, Any]:
        self.say(action="subscribe", tickers=tickers, **more)
        return self.until("subscribed")[-1]


@pytest.fixture
def served(floor: Floor) -> Iterator[Served]:
    with serve(floor) as found:
        yield found


def test_a_subscription_is_acknowledged_in_full_and_begins_with_the_open_bar(
    served: Served,
) -> None:
    with Client(served) as client:
        told = client.subscribe("BBCA", channels=["bars", "metrics"])
        assert told["subscriptions"] == [
            {"venue": "idx", "freq": "1m", "channel": "bars", "tickers": ["BBCA"]},
            {"venue": "idx", "freq": "1m", "channel": "metrics", "tickers": ["BBCA"]},
        ]
        assert told["cursor"] == f"{EPOCH}-0" and "recovered" not in told
        first = client.next()
        assert first == {
            "type": "bar", "venue": "idx", "ticker": "BBCA", "freq": "1m",
            "bar_time": "2026-11-19T09:03:00+07:00", "open": 9100, "high": 9100, "low": 9100,
            "close": 9100, "volume": 100, "hd": None, "final": False, "rev": 0,
        }  # fmt: skip
        told = client.subscribe("GOTO", "TLKM")
        assert told["subscriptions"][0]["tickers"] == ["BBCA", "GOTO", "TLKM"]


def test_trades_give_partials_then_the_bar_its_metrics_and_the_minutes_end(
    served: Served, floor: Floor
) -> None:
    with Client(served) as client:
        client.subscribe("BBCA", channels=["bars", "metrics"])
        client.next()
        floor.trade(at(DAY, 9, 3, 10), 9_150, 200)
        partial = client.next()
        assert (partial["high"], partial["volume"], partial["final"]) == (9150, 300, False)
        assert "cursor" not in partial
        minute(floor, 4)
        frames = [client.next() for _ in range(4)]
        assert [f["type"] for f in frames] == ["bar", "metrics", "end_of_interval", "bar"]
        bar, metrics, end, partial = frames
        assert (bar["bar_time"], bar["final"], bar["volume"]) == (
            "2026-11-19T09:03:00+07:00", True, 300,
        )  # fmt: skip
        assert metrics["values"]["hd"] == bar["hd"]
        assert set(metrics["values"]) >= {"ema_20", "rsi_14", "hd", "hd_mapo", "hd_direction"}
        assert end["bar_time"] == bar["bar_time"]
        assert partial["bar_time"] == "2026-11-19T09:04:00+07:00" and not partial["final"]
        assert [f["cursor"] for f in frames[:3]] == [f"{EPOCH}-{n}" for n in (1, 2, 3)]


def test_entered_rows_of_the_day_are_told_and_longer_bars_have_them(
    served: Served, floor: Floor
) -> None:
    def entered(hour: int, day: Any = DAY, ticker: str = "BBCA") -> None:
        bars = bars_of([ticker], 1, rev=1, start=at(day, hour, 2))
        for rows in (bars, metrics_of(bars)):
            floor.take(idx.Record(pack(rows), kind=ROWS, ts_recv=floor.clock.ns))
        floor.commit()

    with Client(served) as client:
        client.subscribe("BBCA", channels=["bars", "metrics"])
        client.next()
        with Client(served) as longer:
            longer.subscribe("BBCA", freq="1h")
            entered(9, ticker="ZZZZ")
            entered(9, DAYS[0])
            entered(9)
            bar = next(frame for frame in iter(client.next, None) if frame["final"])
            metrics = client.until("metrics")[-1]
            assert (bar["bar_time"], bar["open"], bar["final"]) == (
                "2026-11-19T09:02:00+07:00", 101, True,
            )  # fmt: skip
            assert metrics["values"]["rsi_14"] == 0
            assert bar["cursor"] < metrics["cursor"]
            hour = longer.next()
            while hour["low"] != 103:
                hour = longer.next()
            assert (hour["bar_time"][11:16], hour["final"]) == ("09:00", False)


def test_what_the_stream_says_is_what_rest_says(served: Served, floor: Floor) -> None:
    with Client(served) as client:
        client.subscribe("BBCA")
        client.next()
        minute(floor, 4)
        bar = client.next()
    row = httpx.get(f"{served.url}/v1/ohlcv/BBCA?limit=1").json()["data"][0]
    for name in (
        "ticker",
        "freq",
        "bar_time",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "hd",
        "rev",
    ):
        assert bar[name] == row[name], name


def test_a_revision_is_sent_with_its_number(served: Served, floor: Floor) -> None:
    with Client(served) as client:
        client.subscribe("BBCA")
        client.next()
        minute(floor, 4)
        client.rest()
        floor.trade(at(DAY, 9, 2, 30), 9_990, 700)
        floor.heartbeat(at(DAY, 9, 4, 5))
        frame = client.next()
        assert (frame["bar_time"][11:16], frame["rev"], frame["high"]) == ("09:02", 1, 9990)
        assert frame["final"]


def test_only_what_was_asked_for_comes(served: Served, floor: Floor) -> None:
    with Client(served) as client:
        client.subscribe("GOTO")
        minute(floor, 4)
        frames = client.rest()
        assert [f["type"] for f in frames] == ["end_of_interval"]
        client.say(action="unsubscribe", tickers=["GOTO"])
        assert client.next()["subscriptions"] == []
        minute(floor, 5)
        assert client.rest() == []


def test_partials_are_throttled_and_conflated_and_closed_bars_are_not(
    served: Served, floor: Floor
) -> None:
    with Client(served) as client:
        client.subscribe("BBCA", throttle_ms=300)
        client.next()
        reads, began = floor.opens, time.monotonic()
        for n in range(20):
            floor.trade(at(DAY, 9, 3, 5 + n), 9_100 + n)
            time.sleep(0.005)
        minute(floor, 4)
        frames = client.until("end_of_interval")
        while frames[-1]["type"] != "bar" or frames[-1]["bar_time"][11:16] != "09:04":
            frames.append(client.next())
        turns = 1 + (time.monotonic() - began) // 0.3  # so many may be told in that time
        partials = [f for f in frames if f["type"] == "bar" and not f["final"]]
        closed = [f for f in frames if f["type"] == "bar" and f["final"]]
        assert len(closed) == 1 and closed[0]["close"] == 9119
        assert 1 <= len(partials) <= turns + 1 and floor.opens - reads <= turns + 1
        assert partials[-1]["bar_time"][11:16] == "09:04"


def test_longer_bars_are_rolled_live_as_history_does(served: Served, floor: Floor) -> None:
    with Client(served) as client:
        client.subscribe("BBCA", freq="5m")
        first = client.next()
        assert (first["freq"], first["bar_time"][11:16], first["final"]) == ("5m", "09:00", False)
        assert first["volume"] == 200 + 300 + 400 + 100
        minute(floor, 4, 9_300)
        assert client.until("bar")[-1]["close"] == 9300
        floor.heartbeat(at(DAY, 9, 5, 3))
        frames = client.until("bar")
        while not frames[-1]["final"]:
            frames += client.until("bar")
        bar = frames[-1]
        row = httpx.get(f"{served.url}/v1/ohlcv/BBCA?tf=5m&limit=1").json()["data"][0]
        for name in ("bar_time", "open", "high", "low", "close", "volume", "hd", "rev"):
            assert bar[name] == row[name], name
        assert "cursor" in bar
        floor.trade(at(DAY, 9, 2, 45), 9_999, 50)  # late: the closed bar is revised
        floor.heartbeat(at(DAY, 9, 5, 6))
        frames = client.until("bar")
        while not frames[-1]["final"]:
            frames += client.until("bar")
        assert frames[-1]["high"] == 9999 and frames[-1]["rev"] > bar["rev"]


def test_cursors_ascend_where_a_revision_changes_a_longer_bar_too(
    served: Served, floor: Floor
) -> None:
    """Who resumes from the last cursor that came misses nothing and gets nothing twice."""
    with Client(served) as client:
        client.subscribe("BBCA", "GOTO", "TLKM")
        client.subscribe("BBCA", "GOTO", "TLKM", freq="5m")
        begun: set[str] = set()
        while len(begun) < 3:  # the minutes that lie behind are read
            frame = client.next()
            begun |= {frame["ticker"]} if frame.get("freq") == "5m" else set()
        floor.heartbeat(at(DAY, 9, 5, 3))
        client.rest()
        for number, ticker in enumerate(("BBCA", "GOTO", "TLKM")):
            floor.trade(at(DAY, 9, 2, 45 + number), 9_999, 700, ticker)
        floor.heartbeat(at(DAY, 9, 5, 6))
        frames = [f for f in client.rest() if "cursor" in f]
        assert [f["freq"] for f in frames] == ["1m"] * 3 + ["5m"] * 3
        offsets = [int(f["cursor"].rpartition("-")[2]) for f in frames]
        assert offsets == sorted(set(offsets))


def test_a_day_bar_closes_with_the_day(served: Served, floor: Floor) -> None:
    with Client(served) as client:
        client.subscribe("BBCA", freq="1d")
        assert client.next()["freq"] == "1d"
        floor.state(at(DAY, 16, 1), "X")
        floor.state(at(DAY, 16, 16), "E")
        frames = client.until("bar")
        while not frames[-1]["final"]:
            frames += client.until("bar")
        row = httpx.get(f"{served.url}/v1/ohlcv/BBCA?tf=1d&limit=1").json()["data"][0]
        assert frames[-1]["volume"] == row["volume"] == 1_000


def test_resume_gives_every_frame_missed_once(served: Served, floor: Floor) -> None:
    ask = {"channels": ["bars", "metrics"]}
    with Client(served) as stays, Client(served) as leaves:
        for client in (stays, leaves):
            client.subscribe("BBCA", "GOTO", **ask)
            client.rest()
        minute(floor, 4)
        seen = [f for f in leaves.rest() if "cursor" in f]
        leaves.wire.close()
        for n in range(5, 12):
            minute(floor, n)
        with Client(served) as back:
            told = back.subscribe("BBCA", "GOTO", resume=seen[-1]["cursor"], **ask)
            assert told["recovered"] is True
            minute(floor, 12)
            seen += [f for f in back.rest() if "cursor" in f]
        everything = [f for f in stays.rest() if "cursor" in f]
        assert seen == everything and len(everything) == 9 * 3


def test_resume_of_a_longer_bar_that_was_kept_up(served: Served, floor: Floor) -> None:
    with Client(served) as client:
        told = client.subscribe("BBCA", freq="5m")
        client.next()
        cursor = told["cursor"]
    for n in range(4, 8):
        minute(floor, n)
    with Client(served) as client:
        told = client.subscribe("BBCA", freq="5m", resume=cursor)
        assert told["recovered"] is True
        bars = [f for f in client.rest() if f["type"] == "bar" and f["final"]]
        assert [b["bar_time"][11:16] for b in bars] == ["09:00"]
        told = client.subscribe("GOTO", freq="5m", resume=cursor)
        assert told["recovered"] is False and "/v1/ohlcv/" in told["fetch"][0]


@pytest.mark.parametrize("cursor", ["00000000deadbee0-3", f"{EPOCH}-999999"])
def test_a_foreign_cursor_is_not_recovered(served: Served, cursor: str) -> None:
    with Client(served) as client:
        told = client.subscribe("BBCA", resume=cursor)
        assert told["recovered"] is False
        assert told["fetch"] == ["/v1/ohlcv/{ticker}?venue=idx&tf=1m&from="]
        assert client.next()["type"] == "bar"


def test_a_cursor_past_what_is_retained_is_not_recovered(floor: Floor) -> None:
    with serve(floor, StreamLimits(throttle_ms=0, retain=10)) as served, Client(served) as client:
        cursor = client.subscribe("BBCA")["cursor"]
        for n in range(4, 20):
            minute(floor, n)
        client.rest()
        with Client(served) as late:
            assert late.subscribe("BBCA", resume=cursor)["recovered"] is False
        expired = httpx.get(f"{served.url}/v1/ohlcv/BBCA?since={cursor}")
        assert (expired.status_code, expired.json()["code"]) == (410, "cursor_expired")


def test_since_gives_the_bars_that_changed(served: Served, floor: Floor) -> None:
    with Client(served) as client:
        cursor = client.subscribe("BBCA")["cursor"]
    minute(floor, 4)
    floor.trade(at(DAY, 9, 2, 30), 9_990)
    floor.heartbeat(at(DAY, 9, 4, 5))
    taken(served.hub)

    def times(query: str) -> list[tuple[str, int]]:
        found = httpx.get(f"{served.url}/v1/ohlcv/BBCA?since={cursor}{query}").json()["data"]
        return [(row["bar_time"][11:16], row["rev"]) for row in found]

    assert times("") == [("09:02", 1), ("09:03", 0)]
    assert times("&tf=5m") == []  # not closed yet
    minute(floor, 5)
    taken(served.hub)
    assert [t for t, _ in times("&tf=5m")] == ["09:00"]


def test_a_gap_of_the_feed_is_told(served: Served, floor: Floor) -> None:
    with Client(served) as client:
        client.subscribe("BBCA")
        client.next()
        floor.seq[0] += 5
        floor.heartbeat(at(DAY, 9, 3, 40))
        gap = client.until("gap")[-1]
        assert (gap["reason"], gap["channel"]) == ("feed", "idxdata")
        assert gap["seq_to"] - gap["seq_from"] == 4 and "cursor" in gap


def test_open_bars_at_a_files_end_are_not_final(served: Served, floor: Floor) -> None:
    with Client(served) as client:
        client.subscribe("BBCA")
        client.next()
        floor.take(idx.Record(kind=END_OF_FILE, ts_recv=floor.clock.ns))
        frame = client.next()
        assert frame["final"] is False and "cursor" in frame


def test_a_ticker_to_come_is_waited_for_while_nothing_is_known(tmp_path: Path) -> None:
    floor = Floor(tmp_path)
    with serve(floor) as served, Client(served) as client:
        told = client.subscribe("BBCA", channels=["bars", "metrics"])
        assert told["subscriptions"][0]["tickers"] == ["BBCA"]
        client.say(action="subscribe", tickers=["not a code"])
        assert client.next()["code"] == "unknown_ticker"
        floor.trade(at(DAY, 9, 0, 1), 9_000)
        assert client.next()["close"] == 9000
        minute(floor, 1)
        frames = [f for f in client.until("end_of_interval") if "cursor" in f]
        assert [f["type"] for f in frames] == ["bar", "metrics", "end_of_interval"]
    floor.close()


BAD = [
    ({"action": "dance"}, "bad_message", None),
    ({"tickers": ["BBCA"]}, "bad_message", None),
    ({"action": "subscribe", "tickers": "BBCA"}, "bad_message", None),
    ({"action": "subscribe", "tickers": ["BBCA"], "extra": 1}, "bad_message", None),
    ({"action": "subscribe"}, "missing_parameter", "tickers"),
    ({"action": "subscribe", "tickers": ["NIX"]}, "unknown_ticker", "tickers"),
    ({"action": "subscribe", "tickers": ["BBCA"], "freq": "2m"}, "unknown_timeframe", "freq"),
    ({"action": "subscribe", "tickers": ["BBCA"], "venue": "nix"}, "unknown_venue", "venue"),
    ({"action": "subscribe", "tickers": ["A"], "channels": ["x"]}, "unknown_channel", "channels"),
    ({"action": "subscribe", "tickers": ["A"], "channels": []}, "missing_parameter", "channels"),
    (
        {"action": "subscribe", "tickers": ["BBCA"], "channels": ["metrics"], "freq": "5m"},
        "timeframe_not_allowed",
        "freq",
    ),
    ({"action": "subscribe", "tickers": ["BBCA"], "resume": "x"}, "bad_cursor", "resume"),
    ({"action": "subscribe", "tickers": ["BBCA"], "throttle_ms": -1}, "bad_number", "throttle_ms"),
    ({"action": "subscribe", "tickers": ["A"] * 1001}, "too_many_tickers", "tickers"),
]  # fmt: skip


def refused(served: Served, code: str) -> float:
    registry = served.floor.telemetry.registry
    return registry.get_sample_value("bursa_refused_total", {"code": code}) or 0.0


@pytest.mark.parametrize(("message", "code", "parameter"), BAD)
def test_bad_messages_are_answered_and_change_nothing(
    served: Served, message: dict[str, Any], code: str, parameter: str | None
) -> None:
    with Client(served) as client:
        before = refused(served, code)
        client.say(**message)
        error = client.next()
        assert (error["type"], error["code"], error.get("parameter")) == ("error", code, parameter)
        assert refused(served, code) == before + 1
        if code == "bad_message":
            allowed = "(subscribe, unsubscribe, ping, auth) and may have tickers, freq"
            assert allowed in error["error"]
        client.say(action="unsubscribe")
        assert client.next()["subscriptions"] == []


@pytest.mark.parametrize("raw", ["{", "[]", "null", '"x"', b"\x00\x01", "\ud7ff" * 10])
def test_garbage_is_answered(served: Served, raw: str | bytes) -> None:
    with Client(served) as client:
        client.wire.send(raw)
        assert client.next()["code"] == "bad_message"


def test_a_message_too_long_closes(served: Served) -> None:
    with Client(served) as client:
        client.wire.send("x" * 70_000)
        with pytest.raises(ConnectionClosed) as closed:
            client.next()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009


def test_a_client_that_asks_for_much_leaves_the_loop_to_others(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    many, done, waits = 500, [], [0.02]

    def throttle(client: Any, throttle_ms: int) -> None:
        done.append(throttle_ms)
        time.sleep(waits[0])

    monkeypatch.setattr(served.hub, "throttle", throttle)
    with Client(served) as client, httpx.Client(base_url=served.url, timeout=WAIT_S) as other:
        client.subscribe("BBCA")
        for n in range(many):  # they come with few reads, and take ten seconds
            client.say(action="subscribe", tickers=["BBCA"], throttle_ms=n)
        until(lambda: len(done) > 1)
        for _ in range(5):
            assert other.get("/health").status_code == 200
        assert len(done) < many
        waits[0] = 0
        monkeypatch.setattr(ws, "REST", 0.0)  # the rest of it goes by at once


def test_the_stream_has_a_limit_of_clients(floor: Floor) -> None:
    with serve(floor, StreamLimits(clients=1)) as served, Client(served) as first:
        first.subscribe("BBCA")
        with Client(served) as second:
            assert second.next()["code"] == "too_many_clients"
            assert refused(served, "too_many_clients") == 1
            with pytest.raises(ConnectionClosed):
                second.next()


def test_a_stop_says_shutdown_and_closes(floor: Floor) -> None:
    with contextlib.ExitStack() as stack:
        with serve(floor) as served:
            client = stack.enter_context(Client(served))
            client.subscribe("BBCA")
            client.next()
        assert client.next()["type"] == "shutdown"
        with pytest.raises(ConnectionClosed):
            client.next()


def test_a_fault_of_ours_closes_clients_and_ends_the_epoch(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frame that could not be made is not left out in silence."""
    with serve(floor) as served, Client(served) as client:
        cursor = client.subscribe("BBCA")["cursor"]
        client.next()
        frames = served.hub.streams["idx"].frames
        monkeypatch.setattr(frames, "minute", lambda *_: 1 / 0)
        minute(floor, 4)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                client.next()
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1013
        monkeypatch.undo()
        with Client(served) as back:
            assert back.subscribe("BBCA", resume=cursor)["recovered"] is False
            back.next()
            minute(floor, 5)
            assert back.until("end_of_interval")


def test_more_than_the_loop_can_hold_is_not_left_out_in_silence(
    served: Served, floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "INBOX_ROWS_MAX", 0)
    with Client(served) as client:
        client.subscribe("BBCA")
        monkeypatch.setattr(served.hub, "_woken", True)  # the loop does not come to it
        minute(floor, 4)
        minute(floor, 5)
        monkeypatch.setattr(served.hub, "_woken", False)
        minute(floor, 6)
        with pytest.raises(ConnectionClosed):
            while True:
                client.next()
    registry = floor.telemetry.registry
    assert registry.get_sample_value("bursa_stream_begun_anew_total") == 1


# -- slow clients ----------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets that hold little, so that few frames fill them."""
    monkeypatch.setattr(ws, "SOCKET_BYTES", 8_192)
    monkeypatch.setattr(ws, "TRANSPORT_BYTES", 8_192)


@contextlib.contextmanager
def stuck(served: Served, **ask: Any) -> Iterator[tuple[socket.socket, Any]]:
    """A client that subscribes and then does not read, and how the server holds it."""
    with idle(served, "/v1/stream", UPGRADE) as wire:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += wire.recv(1)
        body = json.dumps({"action": "subscribe", **ask}).encode()
        assert len(body) < 126
        wire.sendall(bytes([0x81, 0x80 | len(body)]) + b"\0\0\0\0" + body)
        until(lambda: any(client.keys for client in served.hub.post.clients))
        (client,) = served.hub.post.clients
        yield wire, client


def drained(wire: socket.socket, last: bytes = b"") -> list[Any]:
    """All frames to the end, or to one that holds `last`: texts decoded, a close as its code."""
    raw = drain(wire, last)
    found: list[Any] = []
    while len(raw) >= 2:
        size, head = raw[1], 2
        if size == 126:
            size, head = int.from_bytes(raw[2:4], "big"), 4
        body, kind = raw[head : head + size], raw[0] & 15
        if kind == 1:
            found.append(json.loads(body))
        elif kind == 8:
            found.append(int.from_bytes(body[:2], "big"))
        raw = raw[head + size :]
    return found


def test_a_client_that_does_not_read_is_closed_when_closed_bars_wait(
    floor: Floor, small: None
) -> None:
    limits = StreamLimits(throttle_ms=0, outbox=OutboxLimits(messages=50))
    ask = {"tickers": ["BBCA", "GOTO"], "channels": ["bars", "metrics"]}
    with serve(floor, limits) as served, stuck(served, **ask) as (wire, client):
        for _ in minutes(floor):
            if client.closed:
                break
        assert client.closed and not served.hub.post.clients
        assert floor.telemetry.registry.get_sample_value("bursa_stream_closed_total") == 1
        frames = drained(wire)
        assert frames[-1] == 4008
        cursors = [int(f["cursor"].split("-")[1]) for f in frames[:-1] if "cursor" in f]
        assert cursors == list(range(cursors[0], cursors[0] + len(cursors)))


def test_partials_are_left_out_for_a_slow_client_and_it_is_told(floor: Floor, small: None) -> None:
    ask = {"tickers": ["BBCA"], "channels": ["bars"]}
    with serve(floor) as served, stuck(served, **ask) as (wire, client):
        floor.trade(until_withheld(floor, client, 50), 12_345)
        frames = drained(wire, b'"close":12345,')
        gaps = [f for f in frames if f["type"] == "gap"]
        assert gaps and gaps[0]["reason"] == "slow" and gaps[0]["conflated"] >= 49
        assert frames[-1]["close"] == 12_345
        assert served.hub.post.clients == {client}, "it is not closed: it missed nothing for good"


def test_what_a_client_that_leaves_was_not_sent_is_counted(floor: Floor, small: None) -> None:
    ask = {"tickers": ["BBCA"], "channels": ["bars"]}
    with serve(floor) as served, stuck(served, **ask) as (wire, client):
        until_withheld(floor, client, 5)
        wire.close()
        until(lambda: not served.hub.post.clients)
        registry = floor.telemetry.registry
        assert (registry.get_sample_value("bursa_stream_conflated_total") or 0) >= 5


def test_a_stalled_client_is_closed_in_time(floor: Floor, small: None) -> None:
    limits = StreamLimits(throttle_ms=0, outbox=OutboxLimits(messages=10**6, stall_s=0.5))
    ask = {"tickers": ["BBCA"], "channels": ["bars", "metrics"]}
    with serve(floor, limits) as served, stuck(served, **ask) as (wire, client):
        until_blocked(floor, client)
        until(lambda: client.closed)
        assert drained(wire)[-1] == 4008


def test_a_stop_does_not_wait_for_a_client_that_does_not_read(
    floor: Floor, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "STOP_S", 300)  # long before, `serve` has given it up
    with contextlib.ExitStack() as stack, serve(floor) as served:
        _, client = stack.enter_context(stuck(served, tickers=["BBCA"]))
        until_blocked(floor, client)
