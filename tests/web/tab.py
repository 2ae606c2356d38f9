"""One browser tab on one served market: what a reader sees and does, what the console said.

What is waited for in a page is a function, `() => ...`: our policy keeps a page from evaluating an
expression, which would be found out only where the first look does not suffice.
"""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.guest import Guest

WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
# What never comes is found out in the end; on a busy machine it may come late.
PATIENCE_MS = 60_000
# A page counts two keys as one order if they are struck within 1.2 s.
CHORD_S, LEFT_MS = 1.0, 2_000

# Keeps all that a page says by its toasts and its live region: both forget it after some seconds.
LISTEN = """(() => {
  const told = (window.told = []);
  new MutationObserver((records) => {
    for (const { target, addedNodes } of records)
      if (target.id === "say" || target.className === "b-toasts")
        told.push(...[...addedNodes].map((line) => line.textContent));
  }).observe(document, { childList: true, subtree: true });
})();"""


class Tab:
    """A page that remembers what its console said and where its requests went; signed in as a
    guest, where there is one."""

    def __init__(self, browser: Any, url: str, guest: Guest | None = None, **settings: Any) -> None:
        self.url = url
        self.context = browser.new_context(**({"viewport": WIDE} | settings))
        if guest is not None:
            self.context.add_cookies(guest.cookies(url))
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.add_init_script(LISTEN)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def open(self, address: str) -> Any:
        self.page.goto(f"{self.url}{address}")
        return self.page

    def text(self, selector: str) -> str:
        return str(self.page.text_content(selector)).strip()

    def until(self, selector: str, text: str) -> None:
        """Wait until an element's text matches a pattern."""
        self.page.wait_for_function(
            "([s, t]) => new RegExp(t).test(document.querySelector(s)?.textContent ?? '')",
            arg=[selector, text],
        )

    def until_true(self, condition: Callable[[], object]) -> None:
        """Wait until what a test knows of the page by its own hooks is so."""
        end = time.monotonic() + PATIENCE_MS / 1000
        while not condition():
            assert time.monotonic() < end, "it did not come to pass"
            self.page.wait_for_timeout(20)

    def until_told(self, text: str) -> None:
        """Wait until a toast or the live region of this page says, or has said, what matches; each
        sentence counts once."""
        self.page.wait_for_function(
            """(t) => {
              const at = window.told.findIndex((one) => new RegExp(t).test(one));
              if (at >= 0) window.told.splice(at, 1);
              return at >= 0;
            }""",
            arg=text,
        )

    def until_focus(self, expression: str, value: Any) -> None:
        """Wait until what has the focus, `e`, is such a one: an element may get it by an event."""
        self.page.wait_for_function(
            f"(value) => {{ const e = document.activeElement; return ({expression}) === value; }}",
            arg=value,
        )

    def at(self, path: str, **query: str) -> None:
        """Wait until the page is at a path with these parameters. It may add others by itself, as
        a chart does its indicators."""

        def here(url: str) -> bool:
            found = urlsplit(url)
            return found.path == path and query.items() <= dict(parse_qsl(found.query)).items()

        self.page.wait_for_url(here)

    def chord(self, letter: str, path: str) -> None:
        """Strike g and a letter, which leads to a page; again, should the machine have let so much
        time go by between them that they are no order."""
        from playwright.sync_api import TimeoutError as TooLate

        for _ in range(5):
            began = time.monotonic()
            self.page.keyboard.press("g")
            self.page.keyboard.press(letter)
            if time.monotonic() - began < CHORD_S:
                break
            try:
                self.page.wait_for_url(lambda url: urlsplit(url).path == path, timeout=LEFT_MS)
            except TooLate:
                continue
            break
        self.at(path)

    def drawn(self) -> None:
        """Wait until the bars of a chart and what belongs to them are there: its metrics, what is
        missing, the instrument's name, the tape."""
        self.until("#lg-rsi_14 .l-values", r"\d")
        self.until("#st-received", r"received \d")
        self.until("#tape-date", r"\d")
        self.page.wait_for_function("() => localStorage.getItem('bursa.viewed') !== null")
