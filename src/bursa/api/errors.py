"""Every refusal and failure as an answer: one envelope, or UDF's form for what lies under /udf.

TradingView's client ignores the status and reads the body, so the form goes by the path alone, and
whoever answers (a route, the router, the guard, a crash) makes its answer here.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import (
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    ValidationException,
)
from litestar.utils import normalize_path

from bursa.model.errors import Refuse, Reject, Retry
from bursa.ops.logs import logger

JSON = "application/json"

_log = logger("api")

# Codes of what no route of ours raises: the router's refusals and whatever a library answers.
_CODES = {400: "bad_request", 403: "forbidden", 404: "not_found", 405: "method_not_allowed"}
# What a refusal of a status says besides.
_MORE = {401: (("www-authenticate", "Bearer"),), 503: (("retry-after", "1"),)}
# Below these nobody gets a page.
_API = (
    "/v1/", "/api/", "/udf", "/health", "/ready", "/schema", "/version", "/stats", "/ws",
    "/portal/api/", "/admin/api/", "/ops/", "/.well-known/",
)  # fmt: skip


class Failure(msgspec.Struct, frozen=True):
    """What went wrong, before it has a form.

    headers  lower-case names; sent as they are
    """

    status: int
    code: str
    message: str
    parameter: str = ""
    headers: tuple[tuple[str, str], ...] = ()


class TooMany(Refuse):
    """Refused for having been done too often; it may be done again in `wait_s` seconds."""

    def __init__(self, message: str, wait_s: int, code: str = "too_many_requests") -> None:
        super().__init__(message, code, 429)
        self.wait_s = wait_s


AnyRequest = Request[Any, Any, Any]
# A page for people: what a browser gets for a path that is no API's.
ErrorPage = Callable[[AnyRequest, Failure], Response[bytes]]
Handle = Callable[[AnyRequest, Exception], Response[bytes]]


def failure_of(error: Exception) -> Failure:
    """Any exception as a failure. What is not foreseen is `internal` and tells nothing."""
    if isinstance(error, TooMany):
        told = (("retry-after", str(max(error.wait_s, 1))),)
        return Failure(429, error.code, str(error), error.parameter, told)
    if isinstance(error, Refuse):
        more = _MORE.get(error.status, ())
        return Failure(error.status, error.code, str(error), error.parameter, more)
    if isinstance(error, Retry):
        wait = (("retry-after", str(max(round(error.after_s), 1))),)
        return Failure(503, "unavailable", f"{error.public}; try again", headers=wait)
    if isinstance(error, HTTPException) and error.status_code < 500:
        return _of_router(error)
    text = "this is a fault of ours; the log has it under the request's id"
    return Failure(500, "unusable_record" if isinstance(error, Reject) else "internal", text)


def _of_router(error: HTTPException) -> Failure:
    if isinstance(error, NotFoundException):
        return Failure(404, "not_found", "there is no such path; /schema lists them")
    if isinstance(error, MethodNotAllowedException):
        text = "this path does not take that method; /schema lists them"
        allowed = (error.headers or {}).get("allow", "GET, OPTIONS")
        return Failure(405, "method_not_allowed", text, headers=(("allow", allowed),))
    code = "bad_request" if isinstance(error, ValidationException) else "refused"
    return Failure(error.status_code, _CODES.get(error.status_code, code), str(error.detail))


def routed(path: str) -> str:
    """A path as the router reads it: for it `//stats/` is `/stats`. Whoever judges by the path
    judges by this, else another spelling leads past him."""
    return normalize_path(path) if "//" in path or path.endswith("/") else path


def is_udf(path: str) -> bool:
    """Is a path one of those whose every answer is UDF-shaped?"""
    path = routed(path)
    return path == "/udf" or path.startswith("/udf/")


def body_of(failure: Failure, path: str, request_id: str) -> bytes:
    """The answer's body: UDF's under /udf, else the envelope."""
    if is_udf(path):
        return msgspec.json.encode({"s": "error", "errmsg": failure.message, "code": failure.code})
    meta = {"request_id": request_id}
    if failure.parameter:
        meta["parameter"] = failure.parameter
    body = {"ok": False, "error": failure.message, "code": failure.code, "meta": meta}
    return msgspec.json.encode(body)


def note(scope: Any, error: Exception) -> Failure:
    """The failure of an exception, left in the scope for the guard's counters; faults of ours are
    logged with their trace."""
    failure = failure_of(error)
    state = scope.setdefault("state", {})
    about = {"request_id": state.get("request_id", ""), "path": scope["path"]}
    if failure.status >= 500 and not isinstance(error, Refuse | Retry):
        _log.error("request failed", **about, exc_info=error)
    elif failure.status >= 500:
        _log.warning("request not served", **about, why=str(error))
    state["failure"] = failure.code
    return failure


def answer(request: AnyRequest, error: Exception) -> Response[bytes]:
    """A failure as a response."""
    failure = note(request.scope, error)
    request_id = str(request.scope["state"].get("request_id", ""))
    return Response(
        body_of(failure, request.scope["path"], request_id),
        status_code=failure.status,
        media_type=JSON,
        headers={**dict(failure.headers), "cache-control": "no-store"},
    )


async def send_failure(
    send: Callable[[Any], Awaitable[None]],
    scope: Any,
    failure: Failure,
    kind: str = "http.response",
) -> None:
    """A failure as an answer of its own, where there is no route that could return one."""
    body = body_of(failure, scope["path"], scope["state"]["request_id"])
    headers = [
        (b"content-type", JSON.encode()),
        (b"content-length", str(len(body)).encode()),
        *((name.encode(), value.encode()) for name, value in failure.headers),
    ]
    await send({"type": f"{kind}.start", "status": failure.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})


def wants_page(path: str, accept: str) -> bool:
    """Is it a browser that asks for a page, where there may be one?"""
    return "text/html" in accept and not routed(path).startswith(_API)


def handler(page: ErrorPage | None = None) -> Handle:
    """What becomes of exceptions, in the router and before it: an answer of ours."""

    def handle(request: AnyRequest, error: Exception) -> Response[bytes]:
        accept = request.headers.get("accept", "")
        if page is None or not wants_page(request.scope["path"], accept):
            return answer(request, error)
        return page(request, note(request.scope, error))

    return handle
