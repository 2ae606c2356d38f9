"""Markdown as a page of the docs: HTML with anchors, its headings, and what search finds on it.

Raw HTML stays text. Headings get an anchor, and so does each row of a table that begins with a name
in code; tables and code scroll inside. Links to `other.md` lead to the page. Reads no file.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

_OTHER = re.compile(r"^(?:\./)?([A-Za-z0-9-]+)\.md(#.*)?$")
_NO_ANCHOR = re.compile(r"[^a-z0-9]+")
_NO_NAME = re.compile(r"[^A-Za-z0-9_.]+")
# Code in this language is a drawing: nothing to copy.
_DRAWING = "text"
# A column with a longer text than this wraps, and is given room.
_LONG_CHARS = 36

HOME = "index"


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a page: level 1 to 6, anchor, text."""

    level: int
    anchor: str
    title: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What search can find: a page (anchor empty), a section, or a row that begins with a name.

    trail   the titles above it, outermost first
    text    what stands there, without marks
    row     it is a row
    """

    page: str
    anchor: str
    title: str
    trail: tuple[str, ...]
    text: str
    row: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """A rendered page. `lead` is its first paragraph as text."""

    title: str
    lead: str
    html: str
    headings: tuple[Heading, ...]
    entries: tuple[Entry, ...]


def address(page: str, anchor: str = "") -> str:
    """Where a page is served."""
    path = "/docs" if page == HOME else f"/docs/{page}"
    return f"{path}#{anchor}" if anchor else path


def anchor_of(title: str) -> str:
    """The anchor of a heading, where it is the first of that title on its page."""
    return _NO_ANCHOR.sub("-", title.lower()).strip("-")


def rendered(page: str, markdown: str) -> Text:
    """A page from its Markdown (CommonMark with tables)."""
    parser = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer).enable("table")
    tokens = parser.parse(markdown)
    _anchored(tokens)
    _linked(tokens)
    _widened(tokens)
    headings = tuple(_headings(tokens))
    title = headings[0].title if headings else page
    entries = tuple(_entries(page, title, tokens))
    html = parser.renderer.render(tokens, parser.options, {"page": page})
    return Text(title, _lead(tokens), html, headings, entries)


class _Renderer(RendererHTML):
    """What our HTML has beyond the parser's own."""

    def render(self, tokens: Sequence[Token], options: Any, env: Any) -> str:
        """The whole page, each heading of level 2 with what follows in a section."""
        html = super().render(tokens, options, env)
        return f"{html}</section>\n" if env.get("section") else html

    def heading_open(self, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        """The heading's tag; at level 2 a section begins."""
        before = ""
        if tokens[at].tag == "h2":
            before = "</section>\n" if env.get("section") else ""
            before += '<section class="d-sec">\n'
            env["section"] = True
        return before + self.renderToken(tokens, at, options, env)

    def heading_close(self, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        """A link to the heading itself, then its end."""
        anchor = tokens[at - 2].attrs["id"]
        title = escape(_plain(tokens[at - 1]), quote=True)
        link = f'<a class="d-anchor" href="#{anchor}" aria-label="Link to {title}">#</a>'
        return ("" if tokens[at].tag == "h1" else link) + f"</{tokens[at].tag}>\n"

    def table_open(self, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        """A table scrolls inside its frame."""
        return '<div class="b-scroll d-table"><table class="b-table">\n'

    def table_close(self, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        """The end of both."""
        return "</table></div>\n"

    def fence(self, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        """Code, with a button that copies it; it shows once its script runs."""
        body = escape(tokens[at].content, quote=False)
        if tokens[at].info.strip() == _DRAWING:
            return f'<pre class="d-drawing">{body}</pre>\n'
        number = env["codes"] = env.get("codes", 0) + 1
        return (
            f'<div class="b-code"><pre id="code-{number}"><code>{body}</code></pre>'
            '<button class="b-btn b-btn--sq b-btn--bare" type="button" hidden'
            f' data-copy="code-{number}" aria-label="Copy this example" title="Copy">'
            '<svg class="b-i" aria-hidden="true"><use href="#i-copy"/></svg></button></div>\n'
        )

    def code_block(self, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        """Indented text is a listing to read."""
        return f'<pre class="d-drawing">{escape(tokens[at].content, quote=False)}</pre>\n'


def _plain(inline: Token) -> str:
    """An inline token's text, without marks."""
    kept = (child for child in inline.children or () if child.type != "image")
    return "".join(child.content or " " * (child.type == "softbreak") for child in kept)


def _named(inline: Token) -> str:
    """The name that an inline token consists of; "" where it is more than one piece of code."""
    parts = [child for child in inline.children or () if child.type != "text" or child.content]
    return parts[0].content if len(parts) == 1 and parts[0].type == "code_inline" else ""


def _anchored(tokens: Sequence[Token]) -> None:
    """Give headings, and rows that begin with a name, an id each that is unique on the page."""
    taken: set[str] = set()

    def free(wanted: str) -> str:
        anchor, number = wanted, 1
        while anchor in taken:
            number += 1
            anchor = f"{wanted}-{number}"
        taken.add(anchor)
        return anchor

    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", free(anchor_of(_plain(tokens[at + 1])) or "section"))
    for at, token in enumerate(tokens):
        if token.type == "tr_open" and tokens[at + 1].type == "td_open":
            name = _NO_NAME.sub("-", _named(tokens[at + 2])).strip("-")
            if name:
                token.attrSet("id", free(name))


def _linked(tokens: Sequence[Token]) -> None:
    """Lead links to other files of the docs to their pages."""
    for token in tokens:
        for child in token.children or ():
            if child.type == "link_open":
                href = str(child.attrs.get("href", ""))
                if found := _OTHER.match(href):
                    child.attrSet("href", address(found[1], (found[2] or "#")[1:]))
                elif href.startswith(("http:", "https:")):
                    child.attrSet("rel", "noopener")
            elif child.type == "image":
                child.attrSet("src", f"/docs/{child.attrs['src']}")
                child.attrSet("loading", "lazy")


def _widened(tokens: Sequence[Token]) -> None:
    """Mark the cells of columns that hold long texts."""
    columns: dict[int, list[Token]] = {}
    place = 0
    for at, token in enumerate(tokens):
        if token.type == "table_open":
            columns = {}
        elif token.type == "tr_open":
            place = 0
        elif token.type in ("th_open", "td_open"):
            token.meta["chars"] = len(_plain(tokens[at + 1]))
            columns.setdefault(place, []).append(token)
            place += 1
        elif token.type == "table_close":
            for cells in columns.values():
                if max(cell.meta["chars"] for cell in cells) > _LONG_CHARS:
                    for cell in cells:
                        cell.attrJoin("class", "d-long")


def _headings(tokens: Sequence[Token]) -> Iterator[Heading]:
    for at, token in enumerate(tokens):
        if token.type == "heading_open":
            yield Heading(int(token.tag[1]), str(token.attrs["id"]), _plain(tokens[at + 1]))


def _lead(tokens: Sequence[Token]) -> str:
    for at, token in enumerate(tokens):
        if token.type == "paragraph_open":
            return _plain(tokens[at + 1])
    return ""


def _entries(page: str, title: str, tokens: Sequence[Token]) -> Iterator[Entry]:
    """The page, its sections and its named rows in order. A named row's text is its own only."""
    above: list[Heading] = [Heading(1, "", title)]
    words: list[str] = []
    rows: list[Entry] = []
    row: list[str] | None = None

    def section() -> Entry:
        last = above[-1]
        trail = tuple(heading.title for heading in above[:-1])
        return Entry(page, last.anchor, last.title, trail, " ".join(words))

    for at, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag != "h1":
            yield section()
            yield from rows
            words, rows = [], []
            level = int(token.tag[1])
            above = [heading for heading in above if heading.level < level]
            above.append(Heading(level, str(token.attrs["id"]), _plain(tokens[at + 1])))
        elif token.type == "tr_open" and "id" in token.attrs:
            row = []
        elif token.type == "tr_close" and row is not None:
            trail = tuple(heading.title for heading in above)
            anchor = str(tokens[_opening(tokens, at)].attrs["id"])
            text = " · ".join(filter(None, row[1:]))
            rows.append(Entry(page, anchor, row[0], trail, text, row=True))
            row = None
        elif token.type == "inline" and tokens[at - 1].type not in ("heading_open", "th_open"):
            (words if row is None else row).append(_plain(token))
        elif token.type in ("fence", "code_block") and token.info.strip() != _DRAWING:
            words.append(token.content)
    yield section()
    yield from rows


def _opening(tokens: Sequence[Token], at: int) -> int:
    """Where the row opens that closes at `at`."""
    while tokens[at].type != "tr_open":
        at -= 1
    return at
