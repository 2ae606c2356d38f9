"""API keys become tokens here, and tokens newer ones; and the keys that others verify them with.

A token is worth what its key and its user are worth at each request; when one is renewed both are
looked at once more, so what was revoked gets no new one. Tokens are made by accounts/tokens.py.
"""

from typing import Any

from litestar import get, post
from litestar.handlers import BaseRouteHandler
from litestar.response.base import ASGIResponse
from litestar.types import Scope

from bursa.accounts.limits import network
from bursa.accounts.tokens import LIFE_S
from bursa.api import access, bodies, params
from bursa.api.auth import shapes
from bursa.api.auth.desk import EXCHANGE, Desk, actor
from bursa.api.envelope import encode, responses, told
from bursa.api.errors import JSON, AnyRequest
from bursa.model.errors import Refuse

# Exchanges and renewals a minute: of one address, and of one user.
EXCHANGES, RENEWALS = 120, 60
_BYTES_MAX = 8 << 10
_KEYS_LAST_S = 300


class Exchange:
    """The three routes."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._accounts = desk, desk.accounts

    def routes(self) -> list[BaseRouteHandler]:
        """What the application serves."""
        statuses = (400, 401, 413, 415, 429, 503)
        answers: Any = responses(shapes.TokenAnswer, *statuses)
        about: Any = {"status_code": 200, "responses": answers, "tags": ["auth"]}
        keyed = bodies.documented((), shapes.KeyForm)
        renewed = bodies.documented((), shapes.TokenForm)
        public = responses(shapes.PublicKeys, 400, 429, 503)
        return [
            post("/v1/auth/token", operation_class=keyed, **about)(self.token),
            post("/v1/auth/refresh", operation_class=renewed, **about)(self.refresh),
            get("/.well-known/jwks.json", responses=public, tags=["auth"])(self.jwks),
        ]

    async def token(self, request: AnyRequest) -> ASGIResponse:
        """Exchange an API key for a token, which is good for 15 minutes."""
        scope = request.scope
        params.read_query(scope["query_string"], ())
        form = await bodies.read_body(request, shapes.KeyForm, _BYTES_MAX)
        await self._desk.exchange(scope, EXCHANGE, network(access.address(scope)), EXCHANGES)
        principal = await self._desk.by_key(form.api_key, actor(scope))
        return told(scope, await self._issued(principal))

    async def refresh(self, request: AnyRequest) -> ASGIResponse:
        """Exchange a token for a new one, within an hour of its making. Its key, its user and its
        machine are looked at again."""
        scope = request.scope
        params.read_query(scope["query_string"], ())
        given = await self._given(request)
        now_ns = self._desk.now_ns()
        claims = self._accounts.tokens.read(given, now_ns, late=True)
        await self._desk.exchange(scope, "renew", claims.user, RENEWALS)
        principal = await self._desk.by_claims(claims)
        return told(scope, await self._issued(principal))

    async def jwks(self, scope: Scope) -> ASGIResponse:
        """The public keys that tokens are verified with, newest first (RFC 7517)."""
        params.read_query(scope["query_string"], ())
        kept = [("cache-control", f"public, max-age={_KEYS_LAST_S}")]
        body = encode(self._accounts.tokens.jwks())
        return ASGIResponse(body=body, media_type=JSON, headers=kept)

    async def _given(self, request: AnyRequest) -> str:
        """The token of the Authorization header, else of the body."""
        value = request.headers.get("authorization", "")
        scheme, _, shown = value.partition(" ")
        body = await bodies.read_bytes(request, _BYTES_MAX)
        if value:
            if scheme.lower() != "bearer" or not shown.strip():
                raise Refuse("Authorization is `Bearer` and a token", "token_invalid", 401)
            return shown.strip()
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != JSON:
            text = f"Content-Type {kind[:64]!r}; allowed: {JSON}"
            raise Refuse(text, "bad_media_type", 415)
        found = bodies.read_json(body, shapes.TokenForm).token
        if not found:
            text = "token: give the token that is to be renewed, here or as Authorization: Bearer"
            raise Refuse(text, "bad_body", parameter="token")
        return found

    async def _issued(self, principal: Any) -> shapes.TokenRow:
        now_ns = self._desk.now_ns()
        token = await self._desk.run(self._accounts.tokens.issue, principal, now_ns)
        return shapes.TokenRow(token, LIFE_S, principal.rights.tier)
