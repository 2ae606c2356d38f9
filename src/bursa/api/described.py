"""What the application tells of its routes by itself: a path's methods, what OpenAPI says of
credentials. From the routes and their doors, so that none can be forgotten; judges nobody.
"""

from collections.abc import Sequence

from litestar import MediaType, Response, route
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.openapi.spec import Components, SecurityRequirement, SecurityScheme

from bursa.api.doors import Door, door_of

_TOKEN: SecurityRequirement = {"token": []}
_KEY: SecurityRequirement = {"key": []}
_SESSION: SecurityRequirement = {"session": []}
_TAKEN: dict[Door, list[SecurityRequirement]] = {
    Door.DATA: [_TOKEN, _SESSION],
    Door.UDF: [_TOKEN, _SESSION, _KEY],
    Door.PLUGIN: [_TOKEN],
    Door.SELF: [_SESSION],
    Door.ADMIN: [_SESSION],
}


def schemes(cookie: str) -> Components:
    """What may be shown, by the names that routes have it; `cookie` is that of sessions."""
    return Components(
        security_schemes={
            "token": SecurityScheme(
                type="http",
                scheme="bearer",
                bearer_format="JWT",
                description="a token that an API key was exchanged for: POST /v1/auth/token",
            ),
            "key": SecurityScheme(
                type="apiKey",
                name="X-Api-Key",
                security_scheme_in="header",
                description="an API key itself; as `Authorization: Bearer` too",
            ),
            "session": SecurityScheme(
                type="apiKey",
                name=cookie,
                security_scheme_in="cookie",
                description="a session, by POST /auth/login; what changes something bears its"
                " token in `X-CSRF-Token`",
            ),
        }
    )


def described(handlers: Sequence[BaseRouteHandler]) -> list[BaseRouteHandler]:
    """The handlers with what their doors take, and one for OPTIONS before those that share a path:
    the router's own, made with the path's first handler, tells of no method but that one's."""
    methods: dict[str, set[str]] = {}
    shared: dict[str, bool] = {}
    for handler in handlers:
        if isinstance(handler, HTTPRouteHandler):
            for path in handler.paths:
                shared[path] = path in methods
                methods.setdefault(path, {"OPTIONS"}).update(handler.http_methods)
                handler.security = _TAKEN.get(door_of(path))
    asked = [_options(path, methods[path]) for path, several in shared.items() if several]
    return [*asked, *handlers]


def _options(path: str, methods: set[str]) -> BaseRouteHandler:
    allowed = {"Allow": ", ".join(sorted(methods))}

    @route(path, http_method="OPTIONS", status_code=204, include_in_schema=False)
    async def options() -> Response[None]:
        return Response(None, headers=allowed, media_type=MediaType.TEXT)

    return options
