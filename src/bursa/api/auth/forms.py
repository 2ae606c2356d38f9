"""Bodies and answers of sign-in, for programs and for forms alike.

A program sends JSON and is answered in the envelope. A form without script is answered by leading
the browser on (303): to the next page, or back with the refusal's code. Judges nothing itself.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode

from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody
from litestar.response.base import ASGIResponse
from litestar.types import Scope

from bursa.api import bodies
from bursa.api.auth.shapes import NEXT_CHARS_MAX
from bursa.api.envelope import told
from bursa.api.errors import JSON, AnyRequest, note
from bursa.model.errors import BursaError, Refuse

FORM = "application/x-www-form-urlencoded"
BYTES_MAX = 16 << 10
_FIELDS_MAX = 16
# What every form may bear for the guard; no route's business.
_GUARDS = "csrf"

T = TypeVar("T")
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Good:
    """What a sign-in route answers. data: to a program; path: where a form is led."""

    data: object
    path: str
    status: int = 200
    headers: Headers = ()


def media_type(request: AnyRequest) -> str:
    """The type of a request's body, without its parameters; "" where none is told."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read(request: AnyRequest, form: type[T], given: str) -> T:
    """The body of type `given` (JSON or FORM) as a `form`; none at all is an empty object. Refuse
    `bad_body` with the field's name, `bad_media_type` (415), `body_too_large` (413)."""
    body = await bodies.read_bytes(request, BYTES_MAX)
    if not body and not given:
        return bodies.read_object({}, form)
    if given not in (JSON, FORM):
        raise Refuse(f"Content-Type {given[:64]!r}; allowed: {JSON}, {FORM}", "bad_media_type", 415)
    if given == JSON:
        return bodies.read_json(body, form)
    return bodies.read_object(_fields(body), form)


def _fields(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=_FIELDS_MAX,
        )
    except (ValueError, UnicodeDecodeError):
        raise Refuse("the body is no form, or has too many fields", "bad_body") from None
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refuse("a field of the form is given twice", "bad_body")
    found.pop(_GUARDS, None)
    return found


async def answered(
    request: AnyRequest, form: type[T], page: str, act: Callable[[T], Awaitable[Good]]
) -> ASGIResponse:
    """What `act` makes of the body, as the sender wants it. A refused form goes back to `page`."""
    scope: Scope = request.scope
    given = media_type(request)
    asked: Any = None
    try:
        asked = await read(request, form, given)
        good = await act(asked)
    except BursaError as error:
        if given != FORM:
            raise
        query = {"error": note(scope, error).code}
        following = local_path(asked.next) if hasattr(asked, "next") else ""
        if following:
            query["next"] = following
        # Links in letters lead to a page with their token: it is there again for another try.
        secret = getattr(asked, "token", "")
        if secret:
            query["token"] = secret
        return led(f"{page}?{urlencode(query)}")
    if given == FORM:
        return led(good.path, good.headers)
    return told(scope, good.data, good.status, good.headers)


def led(path: str, headers: Headers = ()) -> ASGIResponse:
    """An answer that leads a browser to a path of this server."""
    every = [("location", path), ("cache-control", "no-store"), *headers]
    return ASGIResponse(body=b"", status_code=303, headers=every)


def local_path(given: str) -> str:
    """A path of this server that somebody asked to be led to; "" where it is none: an address of
    elsewhere, whatever browsers would take for one, or too long."""
    if not given.startswith("/") or given[1:2] in ("/", "\\") or len(given) > NEXT_CHARS_MAX:
        return ""
    if "\\" in given or any(not "\x20" < sign < "\x7f" for sign in given):
        return ""
    return given


def documented(form: type[Any]) -> type[Operation]:
    """The OpenAPI operation of a route that reads a `form`, as JSON or as a form."""

    def as_form_too(operation: Operation) -> None:
        body = operation.request_body
        assert isinstance(body, RequestBody), "it reads a body"
        shape = body.content[JSON].schema
        body.content = {JSON: OpenAPIMediaType(schema=shape), FORM: OpenAPIMediaType(shape)}

    return bodies.documented((), form, as_form_too)
