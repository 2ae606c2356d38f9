"""An operator's licensed TradingView charting library: its folder, and what its page may do.

The library is not part of this program; who has a licence names its folder in `web.tradingview`.
Regular files below that folder are served read-only under /tradingview/, and the page
`/chart?lib=tradingview` runs them over our UDF (static/js/tradingview.js). Neither exists where no
folder is named.
"""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bursa.model.errors import Refuse

PREFIX = "/tradingview/"
SCRIPT = "charting_library.standalone.js"
# Where the script may lie: in the folder itself, or where the library's package has it.
_PLACES = ("", "charting_library/")
FILE_BYTES_MAX = 64 << 20

_TYPES = {
    ".css": "text/css",
    ".gif": "image/gif",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript",
    ".mp3": "audio/mpeg",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".wasm": "application/wasm",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}
_UNKNOWN = "application/octet-stream"
# A bundle is named by a hash of what it holds: it never changes under its name.
_HASHED = re.compile(r"\.[0-9a-f]{16,}\.[a-z0-9.]+$")

# What the library needs beyond the pages' policy, and why. It draws in a frame whose document it
# writes itself: a blob (or an empty page of its folder), with inline scripts and styles and a base
# of its own. Drawings, screenshots and fonts are blobs and data; it may work in threads. Nothing
# comes from another origin all the same, and no text becomes a program (no unsafe-eval).
_WIDER = {
    "script-src": "'self' 'unsafe-inline' blob:",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "frame-src": "'self' blob:",
    "worker-src": "'self' blob:",
    "base-uri": "'self'",
}


@dataclass(frozen=True, slots=True)
class File:
    """One file of the folder. `tag` changes with it; `lasting`: it never does."""

    body: bytes
    media_type: str
    tag: str
    lasting: bool


class Library:
    """A folder that holds the library. `script` and `path` are where its script and its files are
    served, as the library wants them named."""

    def __init__(self, folder: Path, place: str) -> None:
        self._folder = folder
        self.path = PREFIX + place
        self.script = self.path + SCRIPT

    def file(self, name: str) -> File | None:
        """A file by its path in the folder; None for whatever is no regular file in there: what
        leads out of it by dots or by a link, hidden files, folders. Blocks."""
        parts = PurePosixPath(name).parts
        if not parts or any(part.startswith(".") or "\\" in part for part in parts):
            return None
        try:
            real = self._folder.joinpath(*parts).resolve(strict=True)
            if not real.is_relative_to(self._folder):
                return None
            return self._read(real)
        except (OSError, ValueError):  # ValueError: a null in the name
            return None

    def _read(self, real: Path) -> File | None:
        # Not by name again: what was looked at is what is read. A pipe would never open.
        descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode) or about.st_size > FILE_BYTES_MAX:
                return None
            body = file.read(FILE_BYTES_MAX)
        media_type = _TYPES.get(real.suffix.lower(), _UNKNOWN)
        tag = f'"{about.st_mtime_ns:x}-{about.st_size:x}"'
        return File(body, media_type, tag, _HASHED.search(real.name) is not None)


def load(folder: str) -> Library | None:
    """The library in a folder, None for "". Refuse `bad_config` where the folder is not there or
    does not hold it."""
    if not folder:
        return None
    try:
        real = Path(folder).expanduser().resolve(strict=True)
        place = next((place for place in _PLACES if (real / place / SCRIPT).is_file()), None)
    except (OSError, RuntimeError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise _wrong(f"{folder} cannot be opened: {why}") from None
    if place is None:
        raise _wrong(f"{folder} holds neither {' nor '.join(place + SCRIPT for place in _PLACES)}")
    return Library(real, place)


def policy(strict: str, *, framed: bool = False) -> str:
    """The pages' policy, widened for the library. `framed`: for a file that its page may frame."""
    rules = dict(rule.split(" ", 1) for rule in strict.split("; "))
    rules |= _WIDER
    if framed:
        rules["frame-ancestors"] = "'self'"
    return "; ".join(f"{name} {sources}" for name, sources in rules.items())


def missing() -> Refuse:
    """What a reader is told where no folder is named."""
    text = (
        "No TradingView library is configured here. Who has a licence for it sets web.tradingview "
        f"(or BURSA_WEB_TRADINGVIEW) to the folder that holds {SCRIPT}."
    )
    return Refuse(text, "no_library", 404, "lib")


def _wrong(what: str) -> Refuse:
    return Refuse(f"web.tradingview: {what}", "bad_config", parameter="web.tradingview")
