"""The files a page loads: read once, compressed once, named by a hash of them all.

One hash for the whole folder keeps the relative imports of ES modules working and lets every file
be cached for ever: a changed file changes the folder's address. Knows no page.
"""

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath

_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".woff2": "font/woff2",
}
_PLAIN = "text/plain"  # LICENSE, VENDORED
_HASH_CHARS = 12
# A static import of a relative address, as our own scripts write it: at the beginning of a line.
_IMPORT = re.compile(r'^(?:im|ex)port\s(?:[\w*\s{},]*\sfrom\s)?"(\.[^"]+)"', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Asset:
    """One file: its bytes, the same compressed (None where that saves nothing), its type."""

    body: bytes
    packed: bytes | None
    media_type: str


@dataclass(frozen=True, slots=True)
class Assets:
    """All files of a folder by path, and the hash that names this state of it."""

    version: str
    files: Mapping[str, Asset]

    def url(self, path: str) -> str:
        """Where a file is served. KeyError for one that is not there."""
        if path not in self.files:
            raise KeyError(path)
        return f"/static/{self.version}/{path}"

    def modules(self, entry: str) -> list[str]:
        """Addresses of `entry` and of every script that it imports, and they in turn: what a page
        fetches early. Itself first; KeyError where one is not there."""
        found = [entry]
        for path in found:
            text = self.files[path].body.decode()
            folder = path.rpartition("/")[0]
            named = (normpath(f"{folder}/{name}") for name in _IMPORT.findall(text))
            found += [name for name in dict.fromkeys(named) if name not in found]
        return [self.url(path) for path in found]


def load(folder: Path) -> Assets:
    """Read a folder. The hash covers names and contents, in name order."""
    digest = hashlib.sha256()
    files: dict[str, Asset] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name, body = path.relative_to(folder).as_posix(), path.read_bytes()
        digest.update(f"{name}\0{len(body)}\0".encode() + body)
        packed = gzip.compress(body, 9, mtime=0)
        media_type = _TYPES.get(path.suffix, _PLAIN)
        files[name] = Asset(body, packed if len(packed) < len(body) else None, media_type)
    return Assets(digest.hexdigest()[:_HASH_CHARS], files)
