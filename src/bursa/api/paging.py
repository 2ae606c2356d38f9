"""Opaque page tokens: where the next page begins, sealed against use with another question.

A token holds a direction, a number (an instant or a place in a list) and a checksum of the question
it belongs to. It keeps nothing on the server. Does not cut pages.
"""

import base64
import binascii
import struct
import zlib
from dataclasses import dataclass

from bursa.model.errors import Refuse

_FORM = struct.Struct(">BqI")
OLDER, NEWER, PLACE = 1, 2, 3


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
