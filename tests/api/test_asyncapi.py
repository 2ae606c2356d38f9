"""The AsyncAPI document: its structure by the rules of version 3, and that it tells the truth."""

import asyncio
import json
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Union, get_args, get_type_hints

import msgspec
import pytest
from litestar import Litestar
from litestar.routes import WebSocketRoute
from websockets.asyncio.client import ClientConnection, connect

from bursa.accounts.who import CLI
from bursa.api import asyncapi
from bursa.api.stream import orders, outbox
from bursa.api.stream import shapes as stream_shapes
from bursa.api.viewer import ws as viewer_ws
from bursa.metrics.catalog import STANDARD, catalogue
from tests.web.handbook import Site
from tests.web.market import TUESDAY, at, some_days

# Members that AsyncAPI 3 knows, and those it demands.
ALLOWED = {
    "": {"asyncapi", "id", "info", "servers", "defaultContentType", "channels", "operations",
         "components"},
    "info": {"title", "version", "description", "termsOfService", "contact", "license", "tags",
             "externalDocs"},
    "server": {"host", "protocol", "protocolVersion", "pathname", "description", "title",
               "summary", "variables", "security", "tags", "externalDocs", "bindings"},
    "channel": {"address", "messages", "title", "summary", "description", "servers",
                "parameters", "tags", "externalDocs", "bindings"},
    "operation": {"action", "channel", "title", "summary", "description", "security", "tags",
                  "externalDocs", "bindings", "traits", "messages", "reply"},
    "message": {"headers", "payload", "correlationId", "contentType", "name", "title", "summary",
                "description", "tags", "externalDocs", "bindings", "examples", "traits"},
}  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("store")) as site:
        some_days(site.market)
        yield site


def pointed(document: Any, ref: str) -> Any:
    """What a local reference points at."""
    assert ref.startswith("#/"), ref
    found = document
    for part in ref[2:].split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from refs(value)
    elif isinstance(node, list):
        for value in node:
            yield from refs(value)


def faults(document: dict[str, Any]) -> Iterator[str]:
    """Where a document breaks the rules of AsyncAPI 3."""
    known = {name: set(members) for name, members in ALLOWED.items()}
    about = (document.get("asyncapi", "")[:2], *map(document["info"].get, ("title", "version")))
    if about[0] != "3." or not all(about):
        yield f"version, title: {about}"
    places = [("", "", document), ("info", "info", document.get("info", {}))]
    for kind, where in (
        ("server", "servers"),
        ("channel", "channels"),
        ("operation", "operations"),
    ):
        places += [(kind, f"{where}.{k}", v) for k, v in document.get(where, {}).items()]
    messages = document.get("components", {}).get("messages", {})
    places += [("message", f"messages.{k}", v) for k, v in messages.items()]
    for kind, where, node in places:
        if extra := set(node) - known[kind]:
            yield f"{where}: unknown members {sorted(extra)}"
    for ref in refs(document):
        try:
            pointed(document, ref)
        except (KeyError, AssertionError):
            yield f"{ref} points nowhere"
    yield from _faults_of_operations(document)


def _faults_of_operations(document: dict[str, Any]) -> Iterator[str]:
    for name, server in document["servers"].items():
        if not {"host", "protocol"} <= set(server):
            yield f"servers.{name}: host and protocol are needed"
    for name, operation in document.get("operations", {}).items():
        if operation.get("action") not in ("send", "receive"):
            yield f"operations.{name}: action"
        channel = operation.get("channel", {}).get("$ref", "")
        for message in operation.get("messages", ()):
            if not message["$ref"].startswith(f"{channel}/messages/"):
                yield f"operations.{name}: a message that is not the channel's"


def test_the_document_keeps_the_rules(site: Site) -> None:
    answer = site.get("/asyncapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    document = json.loads(answer.body)
    assert not list(faults(document))
    for name, schema in document["components"]["schemas"].items():
        assert schema["type"] == "object", name
        assert set(schema.get("required", ())) <= set(schema["properties"]), name


def test_the_metrics_of_a_frame_are_those_in_force(site: Site) -> None:
    told = json.loads(site.get("/asyncapi.json").text)["components"]["schemas"]["Metrics"]
    columns = [column.name for metric in STANDARD.metrics.values() for column in metric.columns]
    assert list(told["properties"]["values"]["properties"]) == columns
    kind = catalogue(["ema_9"]).kind
    values = asyncapi.document("1", kind)["components"]["schemas"]["Metrics"]["properties"][
        "values"
    ]
    assert "ema_9" in values["properties"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("asyncapi",), "2.6.0"),
        (("info", "version"), ""),
        (("operations", "send_stream", "action"), "publish"),
        (("operations", "send_stream", "messages", 0, "$ref"), "#/channels/live/messages/Closed"),
        (("channels", "stream", "messages", "Bar", "$ref"), "#/components/messages/Bear"),
        (("channels", "stream", "subscribe"), {}),
    ],
)
def test_a_broken_document_is_found(path: tuple[Any, ...], value: Any) -> None:
    document: Any = json.loads(json.dumps(asyncapi.document("1")))
    place = document
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    assert list(faults(document))


def test_every_address_that_pushes_is_told(site: Site) -> None:
    told = {channel.address for channel in asyncapi.CHANNELS}
    app: Litestar = site.app
    sockets = {route.path for route in app.routes if isinstance(route, WebSocketRoute)}
    events = {
        path
        for path, item in app.openapi_schema.to_schema()["paths"].items()
        if "text/event-stream" in json.dumps(item)
    }
    assert told == sockets | events


@pytest.mark.parametrize(
    ("ask", "shapes"),
    [
        (orders.Ask, stream_shapes.ORDERS),
        (viewer_ws.Ask, stream_shapes.VIEWER_ORDERS),
    ],
)
def test_the_orders_are_those_that_are_taken(ask: Any, shapes: tuple[Any, ...]) -> None:
    actions = get_args(get_type_hints(ask)["action"])
    assert {asyncapi.tag_of(shape) for shape in shapes} == set(actions)
    fields = {field.name for shape in shapes for field in msgspec.structs.fields(shape)}
    assert fields == set(get_type_hints(ask)) - {"action"}


# -- what is really sent ---------------------------------------------------------------------------


def run(talk: Coroutine[Any, Any, Any]) -> Any:
    """On a thread of its own: a browser's driver may keep a loop on this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, talk).result(120)


def decoder(shapes: tuple[Any, ...]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(Union[shapes], strict=True)  # noqa: UP007 -- of a tuple


async def heard(socket: ClientConnection, shapes: tuple[Any, ...], until: str) -> list[Any]:
    """Frames up to one of a type, each decoded strictly by the types that are published."""
    decode, found = decoder(shapes).decode, []
    while True:
        frame = decode(await asyncio.wait_for(socket.recv(), 20))
        found.append(frame)
        if asyncapi.tag_of(type(frame)) == until:
            return found


def tags(frames: list[Any]) -> set[str]:
    return {asyncapi.tag_of(type(frame)) for frame in frames}


async def say(socket: ClientConnection, **fields: Any) -> None:
    await socket.send(json.dumps(fields))


def token_of_somebody(site: Site) -> str:
    """A token of a user who may have everything."""
    accounts, now_ns = site.accounts, site.market.services.clock.now_ns()
    user = accounts.people.create("frames@example.org", "user", "enterprise", None, CLI)
    _, key = accounts.keys.make(user, "key", None, CLI)
    return accounts.tokens.issue(accounts.standing.principal_of_key(key.id, now_ns), now_ns)


def test_frames_of_the_stream_are_as_published(site: Site) -> None:
    market, minute = site.market, at(TUESDAY, 14, 5)
    shapes, token = stream_shapes.FRAMES, token_of_somebody(site)

    async def talk() -> set[str]:
        url = site.url.replace("http", "ws") + "/v1/stream"
        async with connect(url) as socket:
            await say(socket, action="dance")
            seen = tags(await heard(socket, shapes, "error"))
            await say(socket, action="subscribe", tickers=["BBCA"], resume="x" * 30)
            seen |= tags(await heard(socket, shapes, "error"))
            await say(socket, action="auth", token=token)
            seen |= tags(await heard(socket, shapes, "authenticated"))
            await say(
                socket, action="subscribe", tickers=["BBCA"], channels=["bars", "metrics"],
                throttle_ms=0,
            )  # fmt: skip
            seen |= tags(await heard(socket, shapes, "subscribed"))
            market.trade("BBCA", minute, 8_900)
            market.push()
            seen |= tags(await heard(socket, shapes, "bar"))
            market.lose(3)
            market.trade("BBCA", minute + 61_000_000_000, 8_900)
            market.push()
            seen |= tags(await heard(socket, shapes, "gap"))
            market.status(b"H", minute + 70_000_000_000)
            market.push()
            seen |= tags(await heard(socket, shapes, "end_of_interval"))
            await say(socket, action="ping")
            seen |= tags(await heard(socket, shapes, "pong"))
            await say(socket, action="unsubscribe")
            return seen | tags(await heard(socket, shapes, "unsubscribed"))

    every = {asyncapi.tag_of(shape) for shape in shapes}
    assert run(talk()) == every - {"shutdown"}


def test_a_stop_is_told_as_published(tmp_path: Path) -> None:
    async def talk(site: Site) -> None:
        async with connect(site.url.replace("http", "ws") + "/v1/stream") as socket:
            await say(socket, action="ping")
            await heard(socket, stream_shapes.FRAMES, "pong")
            site.stop()
            await heard(socket, stream_shapes.FRAMES, "shutdown")

    with Site(tmp_path) as site:
        run(talk(site))


def test_a_slow_client_is_told_as_published() -> None:
    writes = '{"type": "gap", "reason": "slow", "conflated": left_out}'
    assert writes in Path(outbox.__file__).read_text()
    decoder(stream_shapes.FRAMES).decode(b'{"type":"gap","reason":"slow","conflated":3}')


def test_frames_of_the_viewer_are_as_published(site: Site) -> None:
    market, shapes = site.market, stream_shapes.VIEWER_FRAMES
    minute = at(TUESDAY, 14, 30)

    async def talk() -> set[str]:
        async with connect(site.url.replace("http", "ws") + "/ws") as socket:
            await say(socket, action="dance")
            seen = tags(await heard(socket, shapes, "error"))
            await say(socket, action="subscribe", symbol="BBCA", partials=True)
            seen |= tags(await heard(socket, shapes, "subscribed"))
            market.trade("BBCA", minute, 8_900)
            market.push()
            seen |= tags(await heard(socket, shapes, "candle"))
            await say(socket, action="ping")
            seen |= tags(await heard(socket, shapes, "pong"))
            await say(socket, action="unsubscribe")
            return seen | tags(await heard(socket, shapes, "unsubscribed"))

    every = {asyncapi.tag_of(shape) for shape in shapes}
    assert run(talk()) == every - {"shutdown", "gap"}
