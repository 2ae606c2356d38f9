"""One browser tab on one served market: what a reader sees and does, what the console said."""

from typing import Any

from tests.guest import Guest

WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
PATIENCE_MS = 15_000


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

    def drawn(self) -> None:
        """Wait until the bars of a chart and what belongs to them are there."""
        self.until("#lg-rsi_14 .l-values", r"\d")
        self.until("#st-received", r"received \d")
