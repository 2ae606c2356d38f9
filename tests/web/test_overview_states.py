"""The overview over a real bursa and a real line, in both themes, on a wide and on a narrow screen:
the feed is cut and comes back with what was missed, then without; an empty store first.
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.running import Bursa
from tests.scripted import TRADES, Scripted, at
from tests.web.tab import NARROW, WIDE, Tab

pytestmark = pytest.mark.browser

DAY = date(2025, 11, 18)
LOOKS = [(theme, size) for theme in ("dark", "light") for size in (WIDE, NARROW)]
PATIENCE_MS = 40_000  # a feed that was away for long comes back after its waits


@pytest.fixture
def exchange() -> Iterator[Scripted]:
    with Scripted() as exchange:
        exchange.stay_alive()
        yield exchange


def morning(exchange: Scripted) -> None:
    """BBCA at 8,650 from 10:00 to 10:31:05; its previous close was 8,600."""
    exchange.contract("BBCA", "Bank Central Asia", at(DAY, "08:45"), 8_600)
    exchange.status(at(DAY, "09:00"), "1")
    for minute in range(32):
        exchange.trade("BBCA", at(DAY, f"10:{minute:02}:05"), 8_650)
    figures = [8_600.0, 8_625.0, 8_650.0, 8_625.0, 8_650.0, 8_625.0, 8_650.0]
    exchange.snapshot("BBCA", at(DAY, "10:31:06"), figures, [3_200, 27_680_000, 500, 500])
    exchange.status(at(DAY, "10:31:07"))


def looking(browser: Any, bursa: Bursa) -> list[Tab]:
    tabs = []
    for theme, size in LOOKS:
        tab = Tab(browser, bursa.url, bursa.guest, viewport=size)
        tab.page.set_default_timeout(PATIENCE_MS)
        tab.open(f"/?theme={theme}")
        tabs.append(tab)
    return tabs


def check_fits(tab: Tab) -> None:
    """The page does not scroll sideways, and its console is silent."""
    width = tab.page.viewport_size["width"]
    assert tab.page.evaluate("document.documentElement.scrollWidth") == width
    assert tab.said == []


def test_a_cut_feed_is_shaded_and_heals(
    browser: Any, tmp_path: Path, exchange: Scripted, soak: bool
) -> None:
    """An empty store greets, fills, is cut, heals whole; is cut again and keeps a hole."""
    if not soak:
        pytest.skip("charts are cut in every run (test_chart_states.py), the overview with --soak")
    with Bursa(tmp_path / "data", **exchange.settings()) as bursa:
        tabs = looking(browser, bursa)
        for tab in tabs:
            tab.until("#greet", "Nothing has come in yet")
            tab.page.wait_for_selector("#greet .o-command:visible")
            assert not tab.page.is_visible("#page")
            check_fits(tab)
        morning(exchange)
        for tab in tabs:
            tab.until("[data-list=gainers] .o-row .b-tk", "BBCA")
            tab.until("#fresh", "live")
            tab.page.wait_for_selector("#greet", state="hidden")
            assert tab.page.locator("#tape-plot .tp-gap").count() == 0
        exchange.cut()
        for number, tab in enumerate(tabs):
            tab.until("#fresh", "feed away")
            assert tab.page.get_attribute("#fresh", "data-state") == "bad"
            tab.page.wait_for_selector("#tape-plot .tp-away", state="attached")
            tab.until("#data", r"Nothing came on idxdata since 10:31:0\d")
            assert tab.page.locator("[data-aged]:visible").count() > 0
            assert tab.text("[data-list=gainers] .o-row [data-column=last]") == "8,650"
            check_fits(tab)
            tab.page.screenshot(path=tmp_path / f"cut-{number}.png")
        exchange.trade("BBCA", at(DAY, "10:33:05"), 8_700)
        exchange.status(at(DAY, "10:34:02"))
        exchange.restore()
        for tab in tabs:
            tab.until("#fresh", "live")
            tab.until("[data-list=gainers] .o-row [data-column=last]", "8,700")
            tab.page.wait_for_selector("#tape-plot .tp-gap", state="detached")
            tab.until("#data", "Nothing is missing")
            assert tab.page.locator("[data-aged]:visible").count() == 0
            check_fits(tab)
        exchange.cut(TRADES)
        for tab in tabs:
            tab.until("#fresh", "feed away")
        exchange.trade("BBCA", at(DAY, "10:36:05"), 8_750)
        exchange.forget()
        exchange.trade("BBCA", at(DAY, "10:45:05"), 8_800)
        exchange.status(at(DAY, "10:46:02"))
        exchange.restore()
        for number, tab in enumerate(tabs):
            tab.until("#fresh", "live")
            tab.until("#data", r"is missing on idxdata")
            tab.page.wait_for_selector("#tape-plot .tp-gap:not(.tp-away)", state="attached")
            check_fits(tab)
            tab.page.screenshot(path=tmp_path / f"hole-{number}.png")
            tab.context.close()
