"""The viewer's WebSocket over a listening server: candles, partials, and what is not public."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from bursa.api.stream import ws
from bursa.api.stream.hub import StreamLimits
from bursa.api.stream.outbox import OutboxLimits
from bursa.api.viewer.candles import Face
from tests.api.clients import DAY, UPGRADE, Socket, idle, minute, minutes, until
from tests.api.floor import Floor, Served, at, serve


def ms(hour: int, minute: int) -> int:
    return at(DAY, hour, minute) // 1_000_000


class Viewer(Socket):
    """A client of the viewer's WebSocket."""

    def __init__(self, served: Served, query: str = "", **options: Any) -> None:
        super().__init__(served.hub, served.ws.replace("/v1/stream", "/ws") + query, **options)

    def subscribe(self, symbol: str, **more: Any) -> dict[str, Any]:
        """Ask, and what is said to it."""
        self.say(action="subscribe", symbol=symbol, **more)
        return self.until("subscribed", "error")[-1]


@pytest.fixture
def served(floor: Floor) -> Iterator[Served]:
    with serve(floor) as found:
        yield found


def test_closed_candles_alone_unless_partials_are_wanted(served: Served, floor: Floor) -> None:
    with Viewer(served) as closed, Viewer(served) as whole:
        assert closed.subscribe("BBCA") == {
            "type": "subscribed",
            "subscriptions": [{"symbol": "BBCA", "interval": "1m", "partials": False}],
        }
        assert whole.subscribe("IDX:bbca", partials=True)["subscriptions"] == [
            {"symbol": "BBCA", "interval": "1m", "partials": True}
        ]
        under_way = {
            "type": "candle", "symbol": "BBCA", "interval": "1m",
            "data": [ms(9, 3), 9100, 9100, 9100, 9100, 100], "final": False,
        }  # fmt: skip
        assert whole.next() == under_way
        floor.trade(at(DAY, 9, 3, 10), 9_150.5, 200)
        candle = under_way | {"data": [ms(9, 3), 9100, 9150.5, 9100, 9150.5, 300]}
        assert whole.next() == candle
        minute(floor, 4)
        final = candle | {"final": True}
        assert whole.next() == final
        assert whole.next()["data"][0] == ms(9, 4)
        assert closed.rest() == [final], "no ends of minutes, no partials"


def test_its_candles_are_those_of_the_candles_route(served: Served, floor: Floor) -> None:
    with Viewer(served, "?symbol=BBCA&interval=5m&partials=1") as viewer:
        assert viewer.next()["subscriptions"][0]["interval"] == "5m"
        first = viewer.next()
        url = f"{served.url}/api/v1/candles?symbol=BBCA&interval=5m&limit=1"
        assert httpx.get(f"{url}&partials=1").json()["data"] == [first["data"]]
        floor.heartbeat(at(DAY, 9, 5, 3))
        found = viewer.next()
        while not found["final"]:
            found = viewer.next()
        assert httpx.get(url).json()["data"] == [found["data"]]
        floor.trade(at(DAY, 9, 2, 30), 9_990, 700)  # late: a closed candle is revised
        floor.heartbeat(at(DAY, 9, 5, 6))
        found = viewer.next()
        while not found["final"]:
            found = viewer.next()
        assert found["data"][2] == 9990
        assert httpx.get(url).json()["data"] == [found["data"]]


def test_a_subscription_changes_and_ends(served: Served, floor: Floor) -> None:
    with Viewer(served) as viewer:
        viewer.subscribe("BBCA", partials=True)
        viewer.rest()
        assert viewer.subscribe("BBCA")["subscriptions"][0]["partials"] is False
        floor.trade(at(DAY, 9, 3, 11), 9_300)
        assert viewer.rest() == []
        assert viewer.subscribe("BBCA", partials=True)["subscriptions"][0]["partials"] is True
        assert viewer.next()["data"][4] == 9300
        viewer.subscribe("BBCA", interval="5m")
        viewer.subscribe("GOTO")
        viewer.say(action="unsubscribe", symbol="BBCA", interval="1m")
        assert [(s["symbol"], s["interval"]) for s in viewer.next()["subscriptions"]] == [
            ("BBCA", "5m"),
            ("GOTO", "1m"),
        ]
        viewer.say(action="unsubscribe", symbol="BBCA")
        assert [s["symbol"] for s in viewer.next()["subscriptions"]] == ["GOTO"]
        viewer.say(action="unsubscribe")
        assert viewer.next() == {"type": "unsubscribed", "subscriptions": []}
        minute(floor, 4)
        assert viewer.rest() == []
        (client,) = served.hub.post.clients
        assert not client.quiet


@pytest.mark.parametrize(
    ("message", "code", "parameter"),
    [
        ({"action": "subscribe"}, "missing_parameter", "symbol"),
        ({"action": "subscribe", "symbol": "NIX"}, "unknown_symbol", "symbol"),
        ({"action": "subscribe", "symbol": "BTCUSDT"}, "unknown_symbol", "symbol"),
        ({"action": "subscribe", "symbol": "BINANCE:BTCUSDT"}, "unknown_symbol", "symbol"),
        ({"action": "subscribe", "symbol": "B B"}, "bad_symbol", "symbol"),
        ({"action": "subscribe", "symbol": "X", "interval": "2m"}, "unknown_symbol", "symbol"),
        (
            {"action": "subscribe", "symbol": "GOTO", "interval": "2m"},
            "unknown_interval",
            "interval",
        ),
        ({"action": "subscribe", "symbol": "BBCA", "partials": 1}, "bad_message", None),
        ({"action": "subscribe", "ticker": "BBCA"}, "bad_message", None),
        ({"action": "resume"}, "bad_message", None),
        ({"action": "unsubscribe", "interval": "7m"}, "unknown_interval", "interval"),
        ([], "bad_message", None),
    ],
)  # fmt: skip
def test_bad_messages_are_told_and_the_talk_goes_on(
    served: Served, message: Any, code: str, parameter: str | None
) -> None:
    with Viewer(served) as viewer:
        viewer.wire.send(json.dumps(message))
        told = viewer.next()
        assert (told["type"], told["code"], told.get("parameter")) == ("error", code, parameter)
        assert viewer.subscribe("BBCA")["type"] == "subscribed"


@pytest.mark.parametrize(
    ("query", "status", "code", "parameter"),
    [
        ("?symbol=NIX", 404, "unknown_symbol", "symbol"),
        ("?symbol=", 400, "bad_symbol", "symbol"),
        ("?symbol=BBCA&interval=2m", 400, "unknown_interval", "interval"),
        ("?symbol=BBCA&partials=yes", 400, "bad_flag", "partials"),
        ("?ticker=BBCA", 400, "unknown_parameter", "ticker"),
    ],
)
def test_a_bad_address_is_refused_before_the_handshake(
    served: Served, query: str, status: int, code: str, parameter: str
) -> None:
    with pytest.raises(InvalidStatus) as refused, Viewer(served, query):
        pass
    answer = refused.value.response
    body = json.loads(answer.body or b"")
    assert (answer.status_code, body["code"]) == (status, code)
    assert body["meta"]["parameter"] == parameter
    assert not served.hub.post.clients


def test_a_refused_opening_is_no_fault_in_the_log(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):  # the second is answered after the first has been let go
        with pytest.raises(InvalidStatus), Viewer(served, "?symbol=NIX"):
            pass
        httpx.get(f"{served.url}/healthz")
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


def test_where_nothing_is_public_it_does_not_open(floor: Floor) -> None:
    floor.public = frozenset()
    with serve(floor) as served, pytest.raises(InvalidStatus) as refused, Viewer(served):
        pass
    answer = refused.value.response
    assert answer.status_code == 404
    assert json.loads(answer.body or b"")["code"] == "not_public"


def test_openings_count_and_bear_the_rate(floor: Floor) -> None:
    floor.public = frozenset({"idx"})
    with serve(floor, face=Face(rate_per_minute=3)) as served:
        with Viewer(served) as viewer:
            assert viewer.wire.response is not None
            told = viewer.wire.response.headers
            assert told["RateLimit-Policy"] == '"minute";q=3;w=60'
            assert told["RateLimit"].startswith('"minute";r=2;t=')
            for _ in range(10):
                viewer.say(action="ping")
                assert viewer.next() == {"type": "pong"}
        httpx.get(f"{served.url}/healthz")
        with Viewer(served):
            pass
        with pytest.raises(InvalidStatus) as refused, Viewer(served):
            pass
        answer = refused.value.response
        assert answer.status_code == 429
        assert json.loads(answer.body or b"")["code"] == "too_many_requests"
        assert int(answer.headers["Retry-After"]) >= 1
        registry = floor.telemetry.registry
        labels = {"code": "too_many_requests"}
        assert registry.get_sample_value("bursa_refused_total", labels) == 1


@pytest.mark.parametrize(
    ("origins", "origin", "opens"),
    [
        ("https://a.example", "https://a.example", True),
        ("https://b.example https://a.example", "https://a.example", True),
        ("*", "https://a.example", True),
        ("https://a.example", "https://b.example", False),
        ("https://a.example", "http://a.example", False),
        ("", "https://a.example", False),
        ("https://a.example", "null", False),
    ],
)
def test_other_sites_open_it_where_they_are_listed(
    floor: Floor, origins: str, origin: str, opens: bool
) -> None:
    with serve(floor, face=Face(origins, 100)) as served:
        if opens:
            with Viewer(served, "?symbol=BBCA", origin=Origin(origin)) as viewer:
                assert viewer.next()["type"] == "subscribed"
        else:
            with pytest.raises(InvalidStatus) as refused, Viewer(served, origin=Origin(origin)):
                pass
            answer = refused.value.response
            assert answer.status_code == 403
            assert json.loads(answer.body or b"")["code"] == "foreign_origin"
            assert answer.headers["RateLimit"].startswith('"minute";r=99;')
        with pytest.raises(InvalidStatus) as refused, connect(served.ws, origin=Origin(origin)):
            pass
        assert refused.value.response.status_code == 403, "the stream is the pages' own"


def test_a_symbol_that_was_not_heard_of_since_the_start(floor: Floor, tmp_path: Path) -> None:
    floor.commit()
    floor.store.close()
    again = Floor(tmp_path)  # its store has the bars; its line has heard of nothing
    with serve(again) as served:
        until(lambda: served.services.venues["idx"].directory.knows("BBCA"))
        with Viewer(served, "?symbol=BBCA") as viewer:
            told = viewer.next()
            assert (told["type"], told["code"], told["parameter"]) == ("error", "not_yet", "symbol")
            again.trade(at(DAY, 9, 5, 1), 9_000)
            assert viewer.subscribe("BBCA", partials=True)["type"] == "subscribed"
            assert viewer.next()["data"][4] == 9000
    again.close()


def test_a_viewer_that_does_not_read_is_dealt_with_as_on_the_stream(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ws, "SOCKET_BYTES", 8_192)
    monkeypatch.setattr(ws, "TRANSPORT_BYTES", 8_192)
    limits = StreamLimits(throttle_ms=0, outbox=OutboxLimits(messages=20))
    with serve(floor, limits) as served, Viewer(served) as reads:
        reads.subscribe("BBCA")
        (reader,) = served.hub.post.clients
        with idle(served, "/ws?symbol=BBCA", UPGRADE):
            until(lambda: len(served.hub.post.clients) == 2)
            (client,) = served.hub.post.clients - {reader}
            until(lambda: client.keys)
            for _ in minutes(floor):
                assert reads.next()["type"] == "candle"
                if client.closed:
                    break
            assert client.closed and not reader.closed
