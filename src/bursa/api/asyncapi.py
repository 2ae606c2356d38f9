"""The streams as an AsyncAPI 3 document, made from the types of their messages.

`CHANNELS` lists every address that pushes; a stream that is added gets an entry here, and a test
holds the list to the running application. Serves `/asyncapi.json`; pushes nothing itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse
from litestar.types import Scope
from msgspec import Struct

from bursa.api.errors import JSON
from bursa.api.params import read_query
from bursa.api.stream import shapes as stream_shapes
from bursa.metrics.catalog import STANDARD
from bursa.model.schema import Kind

_SCHEMAS = "#/components/schemas/{name}"
# The schema whose `values` are the outputs of the catalogue in force.
_METRICS = stream_shapes.Metrics.__name__


@dataclass(frozen=True)
class Channel:
    """One address that pushes.

    says   types of what the server sends
    hears  types of what it takes; empty for a stream that only sends
    protocol  ws, or http for server-sent events
    """

    name: str
    address: str
    title: str
    text: str
    says: tuple[type[Struct], ...]
    hears: tuple[type[Struct], ...] = ()
    protocol: str = "ws"


CHANNELS = (
    Channel(
        "stream",
        "/v1/stream",
        "The stream",
        "WebSocket: closed and revised bars, bars under way, metrics, gaps; resumable by cursor.",
        stream_shapes.FRAMES,
        stream_shapes.ORDERS,
    ),
    Channel(
        "live",
        "/v1/live",
        "The stream as server-sent events",
        "HTTP: the same frames for one order, given by the query; `id` is the cursor, and a "
        "browser that reconnects resumes by itself.",
        stream_shapes.EVENTS,
        protocol="http",
    ),
    Channel(
        "viewer",
        "/ws",
        "The viewer's stream",
        "WebSocket: candles of public venues, under way where wanted; without cursors.",
        stream_shapes.VIEWER_FRAMES,
        stream_shapes.VIEWER_ORDERS,
    ),
)


def document(
    version: str, kind: Kind = STANDARD.kind, channels: Sequence[Channel] = CHANNELS
) -> dict[str, Any]:
    """The AsyncAPI document; `kind` is that of the metrics in force."""
    types = list(dict.fromkeys(t for c in channels for t in (*c.says, *c.hears)))
    _, schemas = msgspec.json.schema_components(types, ref_template=_SCHEMAS)
    if _METRICS in schemas:
        schemas[_METRICS]["properties"]["values"]["properties"] = {
            column.name: {"type": ["number", "null"], "description": column.unit}
            for column in kind.columns
            if column.dtype == "float"
        }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "bursa",
            "version": version,
            "description": "What this instance pushes as it happens.",
        },
        "defaultContentType": JSON,
        "servers": {
            protocol: {"host": "{host}", "protocol": protocol, "variables": {"host": _HOST}}
            for protocol in dict.fromkeys(channel.protocol for channel in channels)
        },
        "channels": {channel.name: _channel(channel) for channel in channels},
        "operations": dict(pair for channel in channels for pair in _operations(channel)),
        "components": {
            "messages": _messages(channels),
            "schemas": schemas,
        },
    }


_HOST = {"default": "127.0.0.1:18090", "description": "address that `bursa up` prints"}


def tag_of(kind: type[Struct]) -> str:
    """The word by which a message is told from others, or its type's name in lower case."""
    return str(kind.__struct_config__.tag or kind.__name__.lower())


def _name(kind: type[Struct]) -> str:
    return kind.__name__


def _messages(channels: Sequence[Channel]) -> dict[str, Any]:
    """Every message once. Where two types share a word, the later one's title says where it is."""
    found: dict[str, Any] = {}
    titles: set[str] = set()
    for channel in channels:
        for kind in (*channel.says, *channel.hears):
            if _name(kind) not in found:
                word = tag_of(kind)
                title = word if word not in titles else f"{word} on {channel.address}"
                titles.add(title)
                found[_name(kind)] = _message(kind, title)
    return found


def _message(kind: type[Struct], title: str) -> dict[str, Any]:
    return {
        "name": tag_of(kind),
        "title": title,
        "summary": " ".join((kind.__doc__ or "").split()),
        "contentType": JSON,
        "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
    }


def _channel(channel: Channel) -> dict[str, Any]:
    kinds = (*channel.says, *channel.hears)
    found: dict[str, Any] = {
        "address": channel.address,
        "title": channel.title,
        "description": channel.text,
        "servers": [{"$ref": f"#/servers/{channel.protocol}"}],
        "messages": {_name(k): {"$ref": f"#/components/messages/{_name(k)}"} for k in kinds},
    }
    if channel.protocol == "ws":
        found["bindings"] = {"ws": {"method": "GET", "bindingVersion": "0.1.0"}}
    return found


def _operations(channel: Channel) -> list[tuple[str, dict[str, Any]]]:
    """What the application does there: `send` and, where it listens, `receive`."""
    found = []
    for action, kinds in (("send", channel.says), ("receive", channel.hears)):
        if kinds:
            at = f"#/channels/{channel.name}"
            operation = {
                "action": action,
                "channel": {"$ref": at},
                "summary": f"What the server {action}s on {channel.address}.",
                "messages": [{"$ref": f"{at}/messages/{_name(kind)}"} for kind in kinds],
            }
            found.append((f"{action}_{channel.name}", operation))
    return found


class AsyncApi:
    """The route."""

    def __init__(self, version: str, kind: Kind) -> None:
        self._body = msgspec.json.encode(document(version, kind))

    def routes(self) -> list[HTTPRouteHandler]:
        """What the application serves."""
        return [get("/asyncapi.json", include_in_schema=False)(self.asyncapi)]

    async def asyncapi(self, scope: Scope) -> ASGIResponse:
        """The streams of this instance: AsyncAPI 3."""
        read_query(scope["query_string"], ())
        return ASGIResponse(body=self._body, media_type=JSON)
