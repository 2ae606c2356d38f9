"""How a reader wants pages to look: by cookie, overridden by the query, else as the browser asks.

They become attributes of `<html>`, so that the first paint is already right. Knows no page.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from urllib.parse import parse_qsl

COOKIE = "bursa_display"
PREFERS = "Sec-CH-Prefers-Color-Scheme"

CHOICES: dict[str, tuple[str, ...]] = {
    "theme": ("dark", "light"),
    "updown": ("safe", "idx", "asia"),
    "numbers": ("en-US", "id-ID"),
    "density": ("compact", "comfortable"),
    "keys": ("on", "off"),
}


@dataclass(frozen=True, slots=True)
class Display:
    """One of CHOICES each; the defaults are what a first visitor gets."""

    theme: str = "dark"
    updown: str = "safe"
    numbers: str = "en-US"
    density: str = "compact"
    keys: str = "on"

    def attributes(self) -> dict[str, str]:
        """Name -> value, for `data-` attributes."""
        return asdict(self)


def read(cookie: str | None, query: Mapping[str, str], prefers: str | None) -> Display:
    """The settings of one request; whatever is not one of CHOICES is passed over.

    cookie    the cookie's value, `theme=dark&updown=safe&...`; None without one
    query     the request's parameters; a setting named there counts for this page only
    prefers   the client hint about the colour scheme
    """
    found = {"theme": (prefers or "").strip('" ').lower()}
    found.update(parse_qsl(cookie or ""))
    found.update(query)
    good = {name: found[name] for name in CHOICES if found.get(name) in CHOICES[name]}
    return replace(Display(), **good)
