"""Opaque page tokens: where the next page begins, sealed against use with another question.

A token holds a direction, a number (an instant or a place in a list) and a checksum of the question
it belongs to. It keeps nothing on the server.
"""

import base64
import binascii
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bursa.model.errors import Refuse

_FORM = struct.Struct(">BqI")
OLDER, NEWER, PLACE = 1, 2, 3

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page:
    """A page's beginning. OLDER: rows before `at`; NEWER: rows from `at` on; PLACE: from that row
    of a list on."""

    direction: int
    at: int


def token(page: Page, question: tuple[object, ...]) -> str:
    """The text a client hands back."""
    raw = _FORM.pack(page.direction, page.at, zlib.crc32(repr(question).encode()))
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def page_of(text: str, question: tuple[object, ...]) -> Page:
    """The page of a token. Refuse `bad_page` where it is none of ours, or of another question."""
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        direction, at, seal = _FORM.unpack(raw)
    except (binascii.Error, ValueError, struct.error):
        raise Refuse("page is not a token of ours", "bad_page", parameter="page") from None
    if seal != zlib.crc32(repr(question).encode()) or direction not in (OLDER, NEWER, PLACE):
        message = "page belongs to another question; keep every other parameter as it was"
        raise Refuse(message, "bad_page", parameter="page")
    return Page(direction, at)


def turned(text: str | None, question: tuple[object, ...], newest: bool) -> Page | None:
    """The page of rows in time that a token names: where `newest` they end at it, else they begin
    there. None without a token, or where it leads the other way. Refuse `bad_page` as page_of."""
    if text is None:
        return None
    page = page_of(text, question)
    return page if page.direction == (OLDER if newest else NEWER) else None


def leading_on(ts: NDArray[np.int64], question: tuple[object, ...], newest: bool) -> str | None:
    """The token of the page that follows rows in time. ts: (n,) ns UTC, ascending; where `newest`
    the page before the first, else that past the last. None where there are no rows."""
    if not len(ts):
        return None
    page = Page(OLDER, int(ts[0])) if newest else Page(NEWER, int(ts[-1]) + 1)
    return token(page, question)


def paged(
    every: Sequence[T], values: Mapping[str, Any], question: tuple[object, ...]
) -> tuple[list[T], str | None]:
    """A stretch of a list by `limit` and `page`, and the token of the next one."""
    first = 0
    if values["page"] is not None:
        first = max(page_of(values["page"], question).at, 0)
    last = first + values["limit"]
    more = last < len(every)
    return list(every[first:last]), token(Page(PLACE, last), question) if more else None
