"""The short way: data routes that need nothing of the router are found before it.

For each request the router resolves layers, models and hooks, which takes longer than an answer
that lies ready in memory. A route marked SHORT is one function of the scope and at most the last
part of its path. A plain GET of it is called from here; everything else (other methods, odd paths,
unknown ones) goes on to the router, which has the same function. Either way the answer is the same,
a refusal too. Knows no route by name.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from litestar import Litestar, get
from litestar.response.base import ASGIResponse
from litestar.routes import HTTPRoute
from litestar.types import Receive, Send

from bursa.api import params
from bursa.api.envelope import LIMITED, responses
from bursa.api.errors import AnyRequest, Handle
from bursa.api.formats import FORMAT
from bursa.api.rendered import documented

# The mark of a route: get(path, opt=SHORT).
SHORT = {"short": True}


def data_route(
    path: str, table: Sequence[params.Param], good: type[Any], *statuses: int, tag: str = "data"
) -> get:
    """A GET route, marked SHORT, that reads `table`; documented as answering with a `good`, or
    refusing with 400, one of `statuses`, or, of the data API, what any of its routes may refuse."""
    statuses = (*statuses, *LIMITED) if tag == "data" else statuses
    return get(
        path,
        operation_class=documented(table) if FORMAT in table else params.documented(table),
        responses=responses(good, 400, *statuses),
        tags=[tag],
        opt=SHORT,
    )


@dataclass(frozen=True, slots=True)
class _Route:
    """template: the path as telemetry names it; name: that of its last part, "" for none."""

    template: str
    name: str
    call: Callable[..., Awaitable[ASGIResponse]]


class ShortWay:
    """The application with a short way to its marked routes. `handle` makes the answer of an
    exception, as it does for the router."""

    def __init__(self, app: Litestar, handle: Handle) -> None:
        self._app, self._handle = app, handle
        # By the whole path (None: the router's), and by the path before its last part.
        self._whole: dict[str, _Route | None] = {}
        self._named: dict[str, _Route] = {}
        for route in app.routes:
            if isinstance(route, HTTPRoute) and "GET" in route.methods:
                self._enter(route)

    def _enter(self, route: HTTPRoute) -> None:
        handler = route.route_handler_map["GET"][0]
        template, short = route.path_format, SHORT.items() <= handler.opt.items()
        if not route.path_parameters:
            self._whole[template] = _Route(template, "", handler.fn) if short else None
            return
        before, _, last = template.rpartition("/")
        if short and "{" not in before:  # one with a parameter elsewhere is the router's
            self._named[before] = _Route(template, last[1:-1], handler.fn)

    def _find(self, path: str) -> tuple[_Route | None, str]:
        if path in self._whole:
            return self._whole[path], ""
        before, _, last = path.rpartition("/")
        return self._named.get(before) if last else None, last

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer by the short way, or let the router."""
        route, last = None, ""
        if scope["type"] == "http" and scope["method"] == "GET":
            route, last = self._find(scope["path"])
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["path_template"], scope["litestar_app"] = route.template, self._app
        answer: Any
        try:
            named = {route.name: last} if route.name else {}
            answer = await route.call(scope=scope, **named)
        except Exception as error:  # noqa: BLE001 -- as in the router: it becomes an answer
            request = AnyRequest(scope, receive, send)
            answer = self._handle(request, error).to_asgi_response(app=None, request=request)
        await answer(scope, receive, send)
