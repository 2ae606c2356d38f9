"""Finding things in the docs: a short ranking over names, titles and text.

Every word of the query must stand in an entry, whole or in part. Names and titles count more than
what stands above them, and that more than text; `static/js/docs-find.js` ranks by the same rules,
so that a page without scripts gives the same answers. Knows no page and no request.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from bursa.web.docs.text import Entry

QUERY_CHARS_MAX = 100
TERMS_MAX = 8
HITS_MAX = 50
_AROUND = 90
_SAME, _WHOLE, _BEGINS, _WORD, _PART = 200, 100, 60, 40, 25
_ABOVE, _TEXT_WORD, _TEXT = 10, 5, 2
_PAGE, _SECTION = 15, 8


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry that answers, and the part of its text that shows why."""

    entry: Entry
    title: Markup
    snippet: Markup


def terms_of(query: str) -> list[str]:
    """The words of a query, in lower case, each once."""
    words = query[:QUERY_CHARS_MAX].lower().split()
    return list(dict.fromkeys(words))[:TERMS_MAX]


def find(entries: Iterable[Entry], query: str, limit: int = HITS_MAX) -> list[Hit]:
    """The entries that hold every word, the best first; equal ones in the order given."""
    terms = terms_of(query)
    if not terms:
        return []
    whole = " ".join(query.lower().split())
    scored = [(score(entry, terms, whole), entry) for entry in entries]
    best = sorted((pair for pair in scored if pair[0] > 0), key=lambda pair: -pair[0])
    return [
        Hit(entry, marked(entry.title, terms), snippet(entry.text, terms))
        for _, entry in best[:limit]
    ]


def score(entry: Entry, terms: Sequence[str], whole: str) -> int:
    """How well an entry answers; 0 where a word is missing."""
    title, above, text = entry.title.lower(), " ".join(entry.trail).lower(), entry.text.lower()
    total = 0
    for term in terms:
        found = _in_title(title, term) or (_ABOVE if term in above else 0)
        if not found and term in text:
            found = _TEXT_WORD if _begins_word(text, term) else _TEXT
        if not found:
            return 0
        total += found
    total += _SAME if title == whole else 0
    return total + (0 if entry.row else _SECTION if entry.anchor else _PAGE)


def _in_title(title: str, term: str) -> int:
    if title == term:
        return _WHOLE
    if title.startswith(term):
        return _BEGINS
    if _begins_word(title, term):
        return _WORD
    return _PART if term in title else 0


def _begins_word(text: str, term: str) -> bool:
    """Does a word of the text begin with the term?"""
    at = text.find(term)
    while at > 0 and text[at - 1].isalnum():
        at = text.find(term, at + 1)
    return at >= 0


def snippet(text: str, terms: Sequence[str]) -> Markup:
    """The text around the first word that was asked for, marked."""
    flat = " ".join(text.split())
    low = flat.lower()
    first = min((at for at in (low.find(term) for term in terms) if at >= 0), default=0)
    start = max(first - _AROUND, 0)
    while 0 < start < first and not flat[start - 1].isspace():
        start += 1
    part = flat[start : first + _AROUND]
    goes_on = first + _AROUND < len(flat)
    if goes_on and " " in part[first - start :]:
        part = part[: part.rindex(" ")]
    return Markup("… " if start else "") + marked(part, terms) + (" …" if goes_on else "")


def marked(text: str, terms: Sequence[str]) -> Markup:
    """Text with the words of the query marked."""
    pattern = "|".join(re.escape(term) for term in sorted(terms, key=len, reverse=True))
    parts = re.split(f"({pattern})", text, flags=re.IGNORECASE)
    return Markup("").join(
        Markup("<mark>") + escape(part) + Markup("</mark>") if at % 2 else escape(part)
        for at, part in enumerate(parts)
    )
