"""`/stats`: what this process is doing, in a few figures, for whoever runs it.

Loopback only. Times to answer are since the start, by route, to within a sixty-fourth; an answer
that goes on (events) counts with the time it took to begin. The full counters are Prometheus's.
"""

import ipaddress
import threading

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse
from litestar.types import Scope

from bursa.api import envelope, params, shapes
from bursa.api.envelope import Ready, encode
from bursa.api.services import ChannelState, Services
from bursa.model.errors import Refuse
from bursa.ops.spread import Spread


class Stats:
    """The route over some services."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._began_ns = services.clock.now_ns()

    def routes(self) -> list[HTTPRouteHandler]:
        """What the application serves."""
        answers = envelope.responses(shapes.Stats, 400, 401, 403, 429)
        return [get("/stats", responses=answers, tags=["viewer"])(self.stats)]

    async def stats(self, scope: Scope) -> ASGIResponse:
        """Figures of this process; for this machine alone."""
        client = scope.get("client")
        if not client or not ipaddress.ip_address(client[0]).is_loopback:
            raise Refuse("/stats is for this machine alone", "loopback_only", 403)
        params.read_query(scope["query_string"], ())
        services, now_ns = self._services, self._services.clock.now_ns()
        channels = [state for venue in services.venues.values() for state in venue.channels()]
        last_ns = max((state.last_recv_ns for state in channels), default=0)
        telemetry = services.telemetry
        return Ready(
            encode(
                shapes.Stats(
                    uptime_seconds=round((now_ns - self._began_ns) / 1e9, 3),
                    threads=threading.active_count(),
                    backend_active=services.backend,
                    reconnect_attempts_total=telemetry.total(telemetry.feed_retries),
                    # Sources send again themselves what was missed; none is caught up by REST.
                    rest_catchup_candles_total=0,
                    ws_state=_state(channels),
                    last_msg_age_ms=max(now_ns - last_ns, 0) / 1e6 if last_ns > 0 else None,
                    routes=[_route(*row) for row in sorted(telemetry.routes.items())],
                )
            )
        )


def _state(channels: list[ChannelState]) -> str:
    """The sources' connections in a word; those that came to their end have none."""
    up = [state.up for state in channels if not state.ended]
    if not up:
        return "none"
    return "connected" if all(up) else "partly" if any(up) else "disconnected"


def _route(route: str, spread: Spread) -> shapes.RouteStats:
    p95, p99 = (_ms(spread.quantile(part)) for part in (0.95, 0.99))
    return shapes.RouteStats(route, spread.count, p95, p99)


def _ms(ns: float | None) -> float:
    return 0.0 if ns is None else round(ns / 1e6, 4)
