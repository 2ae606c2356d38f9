"""The docs in a browser: reading, searching while one types, keys, looks, widths, print."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.web.handbook import Site
from tests.web.tab import NARROW, Tab
from tests.web.test_docs import WANTED

pytestmark = pytest.mark.browser

FOUND = "#d-drop [role=option]"


@pytest.fixture
def tab(browser: Any, site: Site) -> Iterator[Tab]:
    tab = Tab(browser, site.url, permissions=["clipboard-read", "clipboard-write"])
    yield tab
    said, asked = tab.said, {urlsplit(url).netloc for url in tab.asked}
    tab.context.close()
    assert not said
    assert asked == {urlsplit(site.url).netloc}


def search(tab: Tab, query: str) -> list[str]:
    """Type it and wait for what is found: the addresses, in order."""
    tab.page.fill("#d-q", "")
    tab.page.wait_for_selector("#d-drop", state="hidden")
    tab.page.fill("#d-q", query)
    tab.page.wait_for_selector("#d-drop", state="visible")
    return list(
        tab.page.eval_on_selector_all(f"{FOUND} a", "all => all.map(a => a.getAttribute('href'))")
    )


def test_results_while_one_types_are_those_without_scripts(tab: Tab, site: Site) -> None:
    tab.open("/docs/concepts")
    for query, first in WANTED:
        found = search(tab, query)
        assert found[0] == first
        plain = tab.context.new_page()
        plain.goto(f"{site.url}/docs?q={query.replace('{', '%7B')}")
        links = plain.eval_on_selector_all(
            ".d-found a", "all => all.map(a => a.getAttribute('href'))"
        )
        plain.close()
        assert links[: len(found)] == found


def test_the_search_works_by_keys_alone(tab: Tab) -> None:
    page = tab.open("/docs")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "d-q"
    page.keyboard.type("http.port")
    page.wait_for_selector(FOUND)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    assert page.get_attribute("#d-q", "aria-activedescendant") == "d-hit-0"
    page.keyboard.press("Enter")
    page.wait_for_url("**/docs/configuration#http.port")
    assert page.evaluate("document.querySelector(':target').id") == "http.port"
    page.keyboard.press("/")
    page.keyboard.type("watermark")
    page.wait_for_selector(FOUND)
    page.keyboard.press("Escape")
    page.wait_for_selector("#d-drop", state="hidden")
    page.keyboard.press("Enter")
    page.wait_for_url("**/docs?q=watermark")
    tab.until("h1", "places for “watermark”")


def test_other_keys(tab: Tab) -> None:
    page = tab.open("/docs/concepts")
    page.keyboard.press("]")
    page.wait_for_url("**/docs/accounts")
    page.keyboard.press("[")
    page.wait_for_url("**/docs/concepts")
    page.keyboard.press("?")
    page.wait_for_selector("#keys[open]")
    tab.until("#keys-list", "search the docs")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    page.wait_for_selector("#palette[open]")


def test_the_first_tab_skips_to_the_text(tab: Tab) -> None:
    page = tab.open("/docs")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.hash") == "#main"
    page.keyboard.press("Enter")
    page.wait_for_url("**/docs#main")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('#main') !== null")


def test_an_example_is_copied(tab: Tab, site: Site) -> None:
    page = tab.open("/docs/quick-start")
    page.locator("[data-copy]", has=page.locator("use")).nth(1).click()
    tab.until_told("Copied")
    assert page.evaluate("navigator.clipboard.readText()").startswith(f"curl '{site.url}/v1/ohlcv")
    assert page.locator(".d-drawing button").count() == 0


def test_the_tree_follows_the_reader(tab: Tab) -> None:
    page = tab.open("/docs/concepts")
    page.locator("#watermark").evaluate("head => head.scrollIntoView()")
    page.wait_for_selector('.d-on a[href="#watermark"][aria-current="location"]')
    box = page.locator(".d-tree").bounding_box()
    assert box["y"] >= 0 and box["y"] + box["height"] <= 900


LOOKED_AT = (
    "/docs", "/docs/concepts", "/docs/api-data", "/docs/configuration", "/docs/stream",
    "/docs/metrics", "/docs?q=watermark", "/docs/absent", "/docs/tables#ohlcv",
)  # fmt: skip


@pytest.mark.parametrize(("width", "look"), [(1440, "dark"), (390, "light")])
def test_no_page_scrolls_sideways_and_text_keeps_its_measure(
    browser: Any, site: Site, look: str, width: int
) -> None:
    size = {"width": width, "height": 844}
    tab = Tab(browser, site.url, viewport=size)
    cookie = {"name": "bursa_display", "value": f"theme={look}", "url": site.url}
    tab.context.add_cookies([cookie])
    for address in LOOKED_AT:
        page = tab.open(address)
        page.evaluate("document.fonts.ready.then(() => true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        assert page.get_attribute("html", "data-theme") == look
        longest = page.evaluate(
            "Math.max(0, ...[...document.querySelectorAll('.d-text p')].map(p => p.offsetWidth /"
            " parseFloat(getComputedStyle(p).fontSize)))"
        )
        assert longest < 45  # 70 characters are less than 45 em in any face
    said = [text for text in tab.said if "404" not in text]  # the page that is not there
    tab.context.close()
    assert not said


def test_on_a_narrow_screen_the_tree_is_a_row(browser: Any, site: Site) -> None:
    tab = Tab(browser, site.url, viewport=NARROW)
    page = tab.open("/docs/tables")
    row = page.locator(".d-side").bounding_box()
    assert row["height"] < 60
    link = page.locator(".d-side a[aria-current=page]").bounding_box()
    assert 0 <= link["x"] and link["x"] + link["width"] <= NARROW["width"]
    page.locator(".d-toc summary").click()
    page.locator(".d-toc a").last.click()
    page.wait_for_url("**/docs/tables#of-the-store-itself")
    frame = page.locator(".d-table").first
    page.wait_for_function(
        "(f) => f.scrollWidth > f.clientWidth && f.tabIndex === 0", arg=frame.element_handle()
    )
    tab.context.close()
    assert not tab.said


def test_it_can_be_read_and_searched_without_scripts(browser: Any, site: Site) -> None:
    tab = Tab(browser, site.url, java_script_enabled=False)
    page = tab.open("/docs/concepts")
    assert page.locator("[data-copy]:visible").count() == 0
    page.fill("#d-q", "bursa replay")
    page.press("#d-q", "Enter")
    page.wait_for_url("**/docs?q=bursa+replay")
    page.locator(".d-found a").first.click()
    page.wait_for_url("**/docs/command-line#bursa-replay")
    tab.context.close()
    assert not tab.said


def test_printed_it_is_text_alone(tab: Tab) -> None:
    page = tab.open("/docs/configuration")
    page.emulate_media(media="print")
    for gone in (".b-top", ".b-tape", ".d-side", ".d-find", ".b-foot"):
        assert not page.locator(gone).first.is_visible(), gone
    assert page.locator("h1").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
