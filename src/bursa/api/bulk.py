"""Closed days as files: `/v1/bulk/{kind}/{date}.parquet`, and its SHA-256 beside it.

A file never changes under its ETag, which is its SHA-256: ranges of bytes can be asked for, so that
a transfer goes on where it broke off. Sent in pieces, none of which is read on the loop. Which
columns a file has, and when a day has one, is not known here (ports.DayFiles).
"""

import asyncio
import base64
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import (
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Schema,
)
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from bursa.accounts.who import Principal
from bursa.api import access, params, shapes
from bursa.api.access import Access
from bursa.api.envelope import LIMITED, responses
from bursa.api.services import Services, VenueService
from bursa.model.calendar import SECOND_NS
from bursa.model.errors import Refuse
from bursa.ports import DayFile
from bursa.store.floors import COLD_KINDS

BULK = (params.VENUE,)
MEDIA_TYPE = "application/vnd.apache.parquet"
PIECE_BYTES = 1 << 18
SUM = ".sha256"

_NAME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})\.parquet(\.sha256)?")
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


def _in_parts(operation: Operation) -> None:
    """What a route's table of responses cannot say: two types of one status, and answers of which
    the headers say all."""
    responses: Any = operation.responses
    whole = responses["200"]
    part = OpenAPIResponse("the part that `Range` asks for", content={**whole.content})
    whole.content["text/plain"] = OpenAPIMediaType(Schema(type=OpenAPIType.STRING))
    responses |= {
        "206": part,
        "304": OpenAPIResponse("it is the one that `If-None-Match` names"),
        "416": OpenAPIResponse("the file has not the part that `Range` asks for"),
    }


class BulkFiles:
    """The route over some services."""

    def __init__(self, services: Services) -> None:
        self._services, self._access = services, Access(services)

    def routes(self) -> list[HTTPRouteHandler]:
        """What the application serves."""
        file = ResponseSpec(
            bytes,
            generate_examples=False,
            media_type=MEDIA_TYPE,
            description="the file, or the part of it that `Range` asks for; of a name that ends in"
            " `.sha256` a line with its SHA-256",
        )
        route = get(
            "/v1/bulk/{kind:str}/{file:str}",
            operation_class=params.documented(BULK, _in_parts),
            responses={**responses(shapes.Error, 400, 404, *LIMITED), 200: file},
            tags=["data"],
        )
        return [route(self.bulk)]

    async def bulk(self, scope: Scope, kind: FromPath[str], file: FromPath[str]) -> ASGIResponse:
        """All rows of a kind of one closed day, every revision, as a Parquet file: FILE is a day of
        the venue and `.parquet`, such as 2026-11-20.parquet, or that and `.sha256`. Sorted by
        ticker and time. `ETag` and `Repr-Digest` are the SHA-256 of the whole file. Metric rows
        come without the columns of hd. For tiers with all timeframes, within their history."""
        values = params.read_query(scope["query_string"], BULK)
        service = self._services.venue(values["venue"])
        if kind not in COLD_KINDS:
            known = ", ".join(COLD_KINDS)
            raise Refuse(f"kind={kind[:64]!r} is none of {known}", "unknown_kind", 404, "kind")
        day, summed = _asked(file)
        self._in_rights(access.who(scope), service, day)
        name = service.venue.name
        files, found = self._services.bulk, None
        if files is not None:
            found = await self._services.offload.run(files.find, name, kind, day)
        if found is None:
            raise self._none(service, kind, day)
        if summed:
            line = f"{found.sha256}  {name}_{kind}-{day}.parquet\n"
            return ASGIResponse(body=line.encode(), media_type="text/plain")
        file_answer = FileAnswer(found, f"{name}_{kind}-{day}.parquet", scope)
        if file_answer.begins:
            access.count_rows(scope, found.rows)
        return file_answer

    def _in_rights(self, asks: Principal, service: VenueService, day: date) -> None:
        self._access.raw(asks, "a day's file")
        begins_ns = service.venue.calendar.midnight_ns(day)
        if begins_ns < access.floor_ns(asks, service):
            raise self._access.too_early(asks, service, begins_ns, "file")

    def _none(self, service: VenueService, kind: str, day: date) -> Refuse:
        """Why a day has no file: it has not come so far, or has no rows."""
        venue, calendar = service.venue.name, service.venue.calendar
        due_ns = self._due_ns(service, day)
        if not calendar.is_trading_day(day):
            return Refuse(f"{day} is no trading day of {venue}", "no_file", 404, "file")
        if service.now_ns() < due_ns:
            text = f"{venue} {kind} of {day} is made from {calendar.text(due_ns)} on"
            return Refuse(text, "not_yet", 404, "file")
        text = f"{venue} has no {kind} of {day}, or has not made its file yet"
        return Refuse(text, "no_file", 404, "file")

    def _due_ns(self, service: VenueService, day: date) -> int:
        calendar, seconds = service.venue.calendar, self._services.drain_s.get(service.venue.name)
        if seconds is None:
            return calendar.midnight_ns(day + timedelta(days=1))
        return calendar.midnight_ns(day) + seconds * SECOND_NS


def _asked(file: str) -> tuple[date, bool]:
    """The day, and whether its SHA-256 alone."""
    name = _NAME.fullmatch(file)
    if name is not None:
        try:
            day = date.fromisoformat(name[1])
            if 1970 <= day.year < 2200:
                return day, name[2] is not None
        except ValueError:
            pass
    text = f"file={file[:64]!r} is no day: 2026-11-20.parquet, or 2026-11-20.parquet.sha256"
    raise Refuse(text, "bad_day", 400, "file")


@dataclass(frozen=True)
class _Part:
    """What is sent: bytes from `start` to `end`, `end` not."""

    status: int
    start: int
    end: int


class FileAnswer(ASGIResponse):
    """A file that never changes, or a part of it."""

    def __init__(self, file: DayFile, name: str, scope: Scope) -> None:
        self._file = file
        asked = {key: value for key, value in scope["headers"] if key in _CONDITIONS}
        tag = f'"{file.sha256}"'
        self._part = _part(asked, tag.encode(), file.bytes)
        self._head = bool(scope["state"].get("head"))
        digest = base64.b64encode(bytes.fromhex(file.sha256)).decode()
        self._headers = [
            ("content-type", MEDIA_TYPE),
            ("content-disposition", f'attachment; filename="{name}"'),
            ("etag", tag),
            ("repr-digest", f"sha-256=:{digest}:"),
            ("accept-ranges", "bytes"),
            ("cache-control", "private, no-cache"),
        ]

    @property
    def begins(self) -> bool:
        """Does it send the file's beginning? Each transfer has one, in however many parts."""
        return self._part.start == 0 < self._part.end and not self._head

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. A file that goes meanwhile is read to its end: it stays open."""
        part, size = self._part, self._file.bytes
        headers = list(self._headers)
        if part.status != 304:
            headers.append(("content-length", str(part.end - part.start)))
        if part.status == 206:
            headers.append(("content-range", f"bytes {part.start}-{part.end - 1}/{size}"))
        if part.status == 416:
            headers.append(("content-range", f"bytes */{size}"))
        opened = await asyncio.to_thread(os.open, self._file.path, os.O_RDONLY)
        try:
            await send(
                {"type": "http.response.start", "status": part.status, "headers": _raw(headers)}
            )
            at = part.end if self._head else part.start
            while at < part.end:
                most = min(PIECE_BYTES, part.end - at)
                body = await asyncio.to_thread(os.pread, opened, most, at)
                if not body:
                    raise OSError(f"{self._file.path} is shorter than it was")
                at += len(body)
                await send({"type": "http.response.body", "body": body, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            os.close(opened)


_CONDITIONS = frozenset({b"range", b"if-range", b"if-none-match"})


def _part(asked: dict[bytes, bytes], tag: bytes, size: int) -> _Part:
    """Which part the conditions of a request ask for. What is not understood is all of it."""
    known = {
        one.strip().removeprefix(b"W/") for one in asked.get(b"if-none-match", b"").split(b",")
    }
    if tag in known or b"*" in known:
        return _Part(304, 0, 0)
    wanted = _RANGE.fullmatch(asked.get(b"range", b"").decode("latin-1").strip())
    if wanted is None or asked.get(b"if-range", tag).strip() != tag:
        return _Part(200, 0, size)
    first, last = wanted.groups()
    if not first and not last:
        return _Part(200, 0, size)
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last) + 1, size) if first and last else size
    if first and last and int(last) < int(first):
        return _Part(200, 0, size)
    if start >= size or start >= end:
        return _Part(416, 0, 0)
    return _Part(206, start, end)


def _raw(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers]
