"""The book: which pages the docs have, in which order, and each of them rendered once.

Files of the docs folder and pages that are made become one list; a file that the contents do not
name stands at their end, so that nothing written is lost. Answers no request (pages.py).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bursa.web.docs import api as docs_api
from bursa.web.docs import made as docs_made
from bursa.web.docs.made import Told
from bursa.web.docs.text import HOME, Entry, Heading, Text, rendered

# Where the pages are in an installed package, else in a checkout.
_INSTALLED = Path(__file__).parent / "files"
_CHECKOUT = Path(__file__).parents[4] / "docs"

_API = "api"
CONTENTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Start", (HOME, "quick-start", "concepts")),
    ("Use", ("accounts", "pages", "stream", "udf", "viewer", _API)),
    ("Reference", ("tables", "metrics", "configuration", "command-line", "telemetry")),
    ("Run", ("operate", "deploy", "sources", "idx-1", "itch")),
    ("Inside", ("life-of-a-tick", "add-a-metric", "decisions")),
)
MORE = "More"
_DEPTH_MADE = 3
_PART = re.compile(r"^\{\{([a-z]+)\}\}$", re.MULTILINE)


def folder() -> Path:
    """Where the docs' files are; it need not exist."""
    return _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT


@dataclass(frozen=True)
class Page:
    """One page: its name in the address, its group, its source, and as it is shown.

    depth  headings down to this level are listed beside it
    """

    name: str
    group: str
    markdown: str
    text: Text
    depth: int = 2

    @property
    def sections(self) -> list[Heading]:
        """The headings that are listed beside it."""
        return [heading for heading in self.text.headings if 1 < heading.level <= self.depth]


class Book:
    """All pages of one running program. Rendering happens on first use and takes a while."""

    def __init__(self, told: Told, openapi: Mapping[str, Any], files: Path) -> None:
        self._told, self._openapi = told, openapi
        self._files = files
        # Pages of which a part is made: what there is to name stands a level deeper.
        self._made: set[str] = set()

    @cached_property
    def pages(self) -> dict[str, Page]:
        """Every page by name, in the order of the contents."""
        sources = self._sources()
        groups = {name: group for group, names in CONTENTS for name in names}
        order: list[str] = []
        for _, names in CONTENTS:
            for name in names:
                order += [name] if name in sources else []
                order += [n for n in sources if name == _API and n.startswith("api-")]
        order += sorted(name for name in sources if name not in order)
        found = {}
        for name in order:
            group = groups.get(name) or (groups[_API] if name.startswith("api-") else MORE)
            depth = _DEPTH_MADE if name in self._made else 2
            found[name] = Page(name, group, sources[name], rendered(name, sources[name]), depth)
        return found

    @cached_property
    def entries(self) -> list[Entry]:
        """What search can find, in the order of the contents. Of rows that say the same of the
        same name, the first."""
        every = (entry for page in self.pages.values() for entry in page.text.entries)
        found: dict[object, Entry] = {}
        for entry in every:
            found.setdefault((entry.title, entry.text) if entry.row else id(entry), entry)
        return list(found.values())

    @cached_property
    def contents(self) -> list[tuple[str, list[Page]]]:
        """Groups with their pages."""
        groups: dict[str, list[Page]] = {}
        for page in self.pages.values():
            groups.setdefault(page.group, []).append(page)
        return list(groups.items())

    def _sources(self) -> dict[str, str]:
        """Markdown by name: the files with their made parts, and the API's pages."""
        found = {path.stem: path.read_text("utf-8") for path in sorted(self._files.glob("*.md"))}
        self._made = {name for name, text in found.items() if _PART.search(text)}
        found = {name: _PART.sub(self._part, text) for name, text in found.items()}
        for tag in docs_api.tags(self._openapi):
            found[f"api-{tag}"] = docs_api.page(self._openapi, tag)
        return found

    def _part(self, named: re.Match[str]) -> str:
        if named[1] == "streams":
            return docs_api.streams(self._told.streams)
        make = docs_made.PARTS.get(named[1])
        return named[0] if make is None else make(self._told)
