"""Bodies of requests: JSON objects of a known shape, read strictly, and how OpenAPI tells of them.

What is malformed, of another type, unknown or too long is refused with the field's name. Does not
know what routes do with them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from litestar.exceptions import InternalServerException
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIType

from bursa.api import params
from bursa.api.errors import JSON, AnyRequest
from bursa.model.errors import Refuse

BODY_BYTES_MAX = 64 << 10
_NESTED_MAX = 8
_FIELD = re.compile(r"at `\$\.?([^`]+)`|field `([^`]+)`")
# What JSON schema and Litestar call the same.
_WORDS = {
    "enum": "enum",
    "minimum": "minimum",
    "maximum": "maximum",
    "pattern": "pattern",
    "format": "format",
    "minLength": "min_length",
    "maxLength": "max_length",
    "maxItems": "max_items",
    "description": "description",
}

T = TypeVar("T")


async def read_body(request: AnyRequest, form: type[T], most: int = BODY_BYTES_MAX) -> T:
    """The body of a request, a JSON object of the shape `form`, of `most` bytes. Refuse `bad_body`
    names the field; `bad_media_type` (415), `body_too_large` (413)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON:
        text = f"Content-Type {kind[:64]!r}; allowed: {JSON}"
        raise Refuse(text, "bad_media_type", 415)
    return read_json(await read_bytes(request, most), form)


async def read_bytes(request: AnyRequest, most: int = BODY_BYTES_MAX) -> bytes:
    """The bytes of a body. Refuse `body_too_large` as soon as there are more than `most`;
    `body_cut` where its sender hung up within it, which is no fault of ours."""
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > most:
                raise Refuse(f"the body is longer than {most:,} bytes", "body_too_large", 413)
            parts.append(part)
    except InternalServerException as cut:
        raise Refuse("the body ended before it was whole", "body_cut") from cut
    return b"".join(parts)


def read_json(body: bytes, form: type[T]) -> T:
    """JSON bytes as a `form`. Refuse as `read_body`."""
    try:
        given = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refuse(f"the body is no JSON: {error}", "bad_body") from None
    return read_object(given, form)


def read_object(given: Any, form: type[T]) -> T:
    """Decoded JSON as a `form`. Refuse `bad_body` as `read_body`."""
    if not isinstance(given, dict):
        raise Refuse("the body must be a JSON object", "bad_body")
    _check_texts(given, "")
    try:
        return msgspec.convert(given, form)
    except msgspec.ValidationError as error:
        found = _FIELD.search(str(error))
        name = "" if found is None else (found[1] or found[2])[:64]
        said = str(error).replace("`$.", "`")
        raise Refuse(f"the body: {said}", "bad_body", parameter=name) from None


def _check_texts(given: Any, name: str, depth: int = 0) -> None:
    """Refuse text that a database cannot keep, and what is nested without end."""
    if depth > _NESTED_MAX:
        raise Refuse(f"{name}: nested too deep", "bad_body", parameter=name)
    if isinstance(given, str):
        if "\0" in given or any("\ud800" <= sign <= "\udfff" for sign in given):
            raise Refuse(f"{name}: has signs that are no text", "bad_body", parameter=name)
    elif isinstance(given, Mapping):
        for key, value in given.items():
            _check_texts(key, name or key[:64], depth + 1)
            _check_texts(value, name or key[:64], depth + 1)
    elif isinstance(given, list):
        for value in given:
            _check_texts(value, name, depth + 1)


def documented(
    table: Sequence[params.Param],
    form: type[Any] | None = None,
    *amendments: Callable[[Operation], None],
) -> type[Operation]:
    """The OpenAPI operation of a route that reads `table` and a body of the shape `form`."""
    if form is None:
        return params.documented(table, *amendments)
    body = _request_body(form)

    def reads(operation: Operation) -> None:
        operation.request_body = body

    return params.documented(table, reads, *amendments)


def _request_body(form: type[Any]) -> RequestBody:
    [shape], shapes = msgspec.json.schema_components([form])
    schema = _schema(shape, shapes)
    return RequestBody(
        {JSON: OpenAPIMediaType(schema=schema)},
        description=(form.__doc__ or "").strip(),
        required=bool(schema.required),
    )


def _schema(told: Mapping[str, Any], shapes: Mapping[str, Any]) -> Schema:
    """A JSON schema as Litestar writes it, shapes it names put in their places."""
    if "$ref" in told:
        return _schema(shapes[told["$ref"].removeprefix("#/$defs/")], shapes)
    found = Schema(**{ours: told[name] for name, ours in _WORDS.items() if name in told})
    if "type" in told:
        found.type = OpenAPIType(told["type"])
    if "anyOf" in told:
        found.any_of = [_schema(one, shapes) for one in told["anyOf"]]
    if "items" in told:
        found.items = _schema(told["items"], shapes)
    if "properties" in told:
        found.properties = {n: _schema(one, shapes) for n, one in told["properties"].items()}
        found.required = told.get("required") or None
    more = told.get("additionalProperties")
    if more is not None:
        found.additional_properties = more if isinstance(more, bool) else _schema(more, shapes)
    return found
