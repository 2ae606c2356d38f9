"""HD in the frames of the stream as each client may see it: its numbers are put in on the way.

Frames are made once, as the raw view has them, and pass through here to every client that sees
another one; a client of whom nothing is known sees zeros. The numbers are the same, to the bit, as
those of the data API. Knows the names that tell of HD (accounts/hd.py) and no types of frames.
"""

import re
from functools import lru_cache

from bursa.accounts.hd import NONE, RAW, Shown, View, view_of
from bursa.accounts.who import Principal
from bursa.api.stream.frames import frame, payload
from bursa.api.stream.outbox import Form
from bursa.api.text import number

# Frames without HD that were made for all who see none of it.
_KEPT = 2_048
# Forms under factors: one a reader that listens.
_FORMS = 1_024


class Views:
    """The forms of frames by view."""

    def __init__(self, shown: Shown) -> None:
        ways = shown.ways
        names = "|".join(sorted(map(re.escape, ways), reverse=True)) or "(?!)"
        # Between the quotes of a text a quote has a backslash before it: this is never part of one.
        self._told = re.compile(rf'"({names})":([^,}}]+)'.encode())
        self._ways = {name.encode(): way for name, way in ways.items()}
        self._zeros = lru_cache(_KEPT)(self._form(NONE))
        self._scaled = lru_cache(_FORMS)(self._form)

    def seen_by(self, who: Principal) -> Form | None:
        """outbox.Seen."""
        return self.form(view_of(who))

    def form(self, view: View) -> Form | None:
        """What frames become for whom this view is; None: they stay."""
        if view == RAW:
            return None
        return self._scaled(view) if view[0] == "scaled" else self._zeros

    def _form(self, view: View) -> Form:
        shown, times = view

        def put(found: re.Match[bytes]) -> bytes:
            name, given = found.groups()
            way = self._ways[name]
            if given == b"null" or (way == "stays" and shown == "scaled"):
                return found[0]
            scaled = shown == "scaled" and way == "times"
            text = number(float(given) * times) if scaled else "0"
            return b'"%b":%b' % (name, text.encode())

        def form(made: bytes) -> bytes:
            data = payload(made)
            seen = self._told.sub(put, data)
            return made if seen == data else frame(seen)

        return form
