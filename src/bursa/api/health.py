"""Is it alive, and can it serve: `/health` and `/ready`.

Each dependency is asked on a thread with a time limit; one that is required and ill makes the whole
not ready (503), another only degraded. Starting is alive, and not ready.
"""

import asyncio
import time

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.response.base import ASGIResponse
from litestar.types import Scope

from bursa.api import shapes
from bursa.api.envelope import encode, responses
from bursa.api.errors import JSON
from bursa.api.params import read_query
from bursa.api.services import Dependency, Services
from bursa.model.errors import BursaError, Retry

CHECK_TIME_LIMIT_S = 2.0

_NO_STORE = [("cache-control", "no-store")]


class Health:
    """The two routes."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def routes(self) -> list[HTTPRouteHandler]:
        """What the application serves."""
        alive = {200: ResponseSpec(shapes.Health, generate_examples=False, description="alive")}
        ready = {
            200: ResponseSpec(shapes.Ready, generate_examples=False, description="it can serve"),
            503: ResponseSpec(shapes.Ready, generate_examples=False, description="not yet"),
        }
        refused = responses(shapes.Health, 400, 429)
        for answers in (alive, ready):
            answers.update({status: refused[status] for status in (400, 429)})
        return [
            get("/health", responses=alive, tags=["health"])(self.health),
            get("/ready", responses=ready, tags=["health"])(self.ready),
        ]

    async def health(self, scope: Scope) -> ASGIResponse:
        """The process is alive."""
        read_query(scope["query_string"], ())
        return ASGIResponse(body=b'{"ok":true}', media_type=JSON, headers=_NO_STORE)

    async def ready(self, scope: Scope) -> ASGIResponse:
        """Each dependency with its latency."""
        read_query(scope["query_string"], ())
        services = self._services
        asked = [self._ask(dependency) for dependency in services.dependencies]
        rows = dict(
            zip([d.name for d in services.dependencies], await asyncio.gather(*asked), strict=True)
        )
        ill = [name for name, row in rows.items() if not row.ok]
        waiting_for = services.waiting_for() or None
        able = waiting_for is None and all(
            rows[d.name].ok for d in services.dependencies if d.required
        )
        body = encode(shapes.Ready(able, rows, ill, waiting_for))
        status = 200 if able else 503
        return ASGIResponse(body=body, status_code=status, media_type=JSON, headers=_NO_STORE)

    async def _ask(self, dependency: Dependency) -> shapes.DependencyRow:
        began_ns = time.perf_counter_ns()
        why = None
        try:
            async with asyncio.timeout(CHECK_TIME_LIMIT_S):
                await self._services.offload.run(dependency.check)
        except TimeoutError:
            why = f"no answer within {CHECK_TIME_LIMIT_S:g} s"
        except Retry as error:
            why = error.public
        except (BursaError, OSError) as error:
            why = str(error)
        latency_ms = round((time.perf_counter_ns() - began_ns) / 1e6, 3)
        return shapes.DependencyRow(why is None, latency_ms, why)
