"""The application: all surfaces over some services, behind the guard, and how it is served.

`build_api` makes it, `server` the uvicorn server that runs it. Names no store, no feed and no bus.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvicorn
from litestar import Litestar, MediaType
from litestar.handlers import BaseRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.types import ASGIApp

from bursa.api import errors
from bursa.api.admin import routes as admin
from bursa.api.admission import Admission
from bursa.api.asyncapi import AsyncApi
from bursa.api.auth import routes as auth
from bursa.api.bounded import Bounds, connections_allowed
from bursa.api.bulk import BulkFiles
from bursa.api.continuity import Ledgers
from bursa.api.depth import Books
from bursa.api.described import described, schemes
from bursa.api.guard import Guard, Layers
from bursa.api.health import Health
from bursa.api.market import Ranked
from bursa.api.rest import Rest
from bursa.api.services import Services
from bursa.api.short import ShortWay
from bursa.api.stream.admitted import Admitted
from bursa.api.stream.hub import Hub
from bursa.api.stream.sse import EventsProtocol, Live
from bursa.api.stream.ws import MESSAGE_BYTES_MAX, Stream, StreamProtocol
from bursa.api.udf.routes import Udf
from bursa.api.viewer.candles import Face, Viewer
from bursa.api.viewer.cors import Origins
from bursa.api.viewer.door import Door
from bursa.api.viewer.rates import Rates
from bursa.api.viewer.stats import Stats
from bursa.api.viewer.ws import ViewerStream
from bursa.model.errors import Refuse
from bursa.ops.telemetry import Telemetry

PING_S, PONG_S = 30.0, 75.0
KEEP_ALIVE_S = 75
# Connections that do not end by themselves at a stop are cut after this.
STOP_S = 5
BACKLOG = 1024

_ABOUT = """Market data of this instance: bars, metrics, the newest of each ticker, and what is
known to be whole. Streams: `/v1/stream` (WebSocket), `/v1/live` (server-sent events). Candles of
public venues for anyone: `/api/v1`, `/ws`. TradingView's protocol: `/udf`."""


@dataclass(frozen=True)
class Extra:
    """What others add: routes, the page a browser gets where the API would answer an error, and
    the knobs of the viewer API."""

    routes: Sequence[BaseRouteHandler] = ()
    error_page: errors.ErrorPage | None = None
    face: Face = Face()


def build_api(services: Services, hub: Hub, extra: Extra | None = None) -> ASGIApp:
    """The application. Its lifespan starts and stops the hub and renews directories and days."""
    extra = extra or Extra()

    @contextlib.asynccontextmanager
    async def running(_: Litestar) -> AsyncIterator[None]:
        hub.start()
        admitted.start()
        renewing = [
            asyncio.create_task(part.run())
            for service in services.venues.values()
            for part in (service.directory, service.day)
        ]
        try:
            yield
        finally:
            for task in renewing:
                task.cancel()
            admitted.stop()
            hub.stop()
            services.offload.close()
            services.desk.close()
            services.passwords.close()
            if services.accounts is not None:
                await services.accounts.limiter.close()

    admission = Admission(services)
    admitted = Admitted(services, hub, admission)
    own = _routes(services, hub, admitted)
    handle = errors.handler(extra.error_page)
    app = Litestar(
        route_handlers=described([*own, *extra.routes]),
        lifespan=[running],
        exception_handlers={Exception: handle},
        openapi_config=OpenAPIConfig(
            title="bursa",
            version=services.version,
            description=_ABOUT,
            components=schemes(services.front.cookie.name),
            use_handler_docstrings=True,
            render_plugins=[JsonRenderPlugin(path="/", media_type=MediaType.JSON)],
        ),
        logging_config=None,
    )
    boot = f"{services.clock.now_ns() // 1_000_000:x}"
    rates = Rates(extra.face.rate_per_minute, services.clock)
    short = ShortWay(app, handle)
    door = Door(short, Origins(extra.face.origins), rates, services.telemetry)
    return Guard(short, services, admission, Layers(boot, door, handle))


def _routes(services: Services, hub: Hub, admitted: Admitted) -> list[BaseRouteHandler]:
    """All that the surfaces serve."""
    surfaces = (
        Health(services),
        Rest(services, hub),
        Ledgers(services),
        Ranked(services),
        BulkFiles(services),
        Books(services),
        Udf(services),
        Viewer(services),
        Stats(services),
        Stream(services, hub, admitted),
        Live(services, hub, admitted),
        ViewerStream(services, hub),
        AsyncApi(services.version, services.default.catalogue.kind),
    )
    own: list[BaseRouteHandler] = []
    for surface in surfaces:
        own += surface.routes()
    if services.accounts is not None:
        own += auth.routes(services, services.accounts)
        own += admin.routes(services, services.accounts)
    return own


def server(app: ASGIApp, host: str, port: int, telemetry: Telemetry) -> uvicorn.Server:
    """A server of the application. Run it with `serve(sockets=...)` on a uvloop loop; setting
    `should_exit` stops it. Connections that end before anybody looks at what they ask are counted
    by why (bounded.py)."""
    bounds = Bounds(connections_allowed(), lambda why: telemetry.turned_away.labels(why).inc())
    settings: dict[str, Any] = {
        "host": host,
        "port": port,
        "http": partial(EventsProtocol, bounds=bounds),
        "loop": "uvloop",
        "ws": StreamProtocol,
        "ws_max_size": MESSAGE_BYTES_MAX,
        "ws_ping_interval": PING_S,
        "ws_ping_timeout": PONG_S,
        "ws_per_message_deflate": False,
        "lifespan": "on",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "timeout_keep_alive": KEEP_ALIVE_S,
        "timeout_graceful_shutdown": STOP_S,
        "backlog": BACKLOG,
    }
    return uvicorn.Server(uvicorn.Config(app, **settings))


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Refuse `port_taken` where the port cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise Refuse(
            f"http.port: {port} on {host} cannot be had ({error.strerror}); another one:"
            " --port N, or --port 0 for a free one",
            "port_taken",
            parameter="http.port",
        ) from None
