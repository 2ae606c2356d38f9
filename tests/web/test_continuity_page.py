"""The continuity map in a browser, over the real API: what a reader sees, does and can rely on."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.web.market import FRIDAY, MONDAY, TUESDAY, Market, at, some_days, trading_day
from tests.web.tab import NARROW, WIDE, Tab

pytestmark = pytest.mark.browser

SIDEWAYS = "document.documentElement.scrollWidth"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a venue on a Tuesday, of which 10:15 to 10:50 was lost."""
    market = Market(tmp_path_factory.mktemp("shared"))
    some_days(market)
    yield market.serve()
    market.close()


def drawn(tab: Tab) -> None:
    tab.until("#m-sum", "trading days? to")


def row(tab: Tab, ticker: str) -> Any:
    return tab.page.locator(f"#m-rows tr[data-ticker='{'' if ticker == 'All' else ticker}']")


def label(tab: Tab, ticker: str, nth: int) -> str:
    return str(row(tab, ticker).locator(".m-c").nth(nth).get_attribute("aria-label"))


def test_each_day_of_each_ticker_is_a_cell_that_says_what_it_is(tab: Tab) -> None:
    page = tab.open("/continuity?theme=dark")
    drawn(tab)
    assert tab.text("h1") == "Continuity"
    assert "3 instruments" in tab.text("#m-sum") and "is known; minutes are missing on" in tab.text(
        "#m-sum"
    )
    days = page.locator("#m-days th").evaluate_all("all => all.map((e) => e.ariaLabel)")[2:]
    assert days[-1] == "Tue 18 Nov"
    assert label(tab, "BBCA", len(days) - 1).startswith("BBCA, Tue 18 Nov: 35 min missing")
    assert row(tab, "BBCA").locator(".m-c").last.get_attribute("class").split() == [
        "m-c", "m-r4", "m-g1",
    ]  # fmt: skip
    assert label(tab, "BBCA", len(days) - 2).endswith("with trades, whole")
    assert row(tab, "BBCA").locator("td.num").text_content() == "35 min"
    assert page.locator("#m-rows tr").first.locator("th").text_content() == "All"
    assert page.locator(".b-nav [aria-current]").text_content() == "Continuity"
    assert tab.said == []


def test_what_was_backfilled_is_as_high_as_its_share_beside_what_is_missing(
    browser: Any, market: Market
) -> None:
    trading_day(market, TUESDAY, at(TUESDAY, 14, 0), 8_850)
    market.push()
    market.backfill("BBCA", [at(TUESDAY, 10, minute) for minute in range(15, 30)], 8_700.0)
    tab = Tab(browser, market.serve())
    page = tab.open("/continuity")
    drawn(tab)
    cell = row(tab, "BBCA").locator(".m-c").last
    assert cell.get_attribute("class").split() == ["m-c", "m-r4", "m-g1", "m-l1"]
    said = "20 min missing, 15 min backfilled"
    assert cell.get_attribute("aria-label").startswith(f"BBCA, Tue 18 Nov: {said}")
    high = "(e, part) => parseFloat(getComputedStyle(e, part).height) / e.clientHeight"
    assert 0.2 < cell.evaluate(high, "::before") < 0.4
    assert page.locator(".m-key .m-l3").count() == 1
    tab.context.close()


def test_every_request_goes_to_our_own_origin(tab: Tab) -> None:
    tab.open("/continuity")
    drawn(tab)
    assert [url for url in tab.asked if not url.startswith(tab.url)] == []


def test_the_chosen_day_tells_what_is_missing_and_how_to_fill_it(tab: Tab) -> None:
    page = tab.open("/continuity")
    drawn(tab)
    row(tab, "BBCA").locator(".m-c").last.click()
    assert (tab.text("#m-one-title"), tab.text("#m-one-sub")) == ("BBCA", "Tue 18 Nov")
    assert tab.text("#m-missing") == "35"
    tab.until(
        "#m-holes", "10:15 to 10:50 is missing on idxdata, seq [0-9,]+ to [0-9,]+: its numbers"
    )
    assert page.locator("#m-tape rect.missing").count() == 1
    assert "Missing 10:15 to 10:50." in page.get_attribute("#m-tape", "aria-label")
    newest = "/chart?symbol=IDX%3ABBCA&interval=1&at=2025-11-18"
    assert page.get_attribute("#m-chart", "href") == newest
    fill = "bursa gaps fill --venue idx --ticker BBCA --from 2025-11-18 --to 2025-11-19"
    assert tab.text("#m-command") == fill
    row(tab, "BBCA").locator(".m-c").nth(-2).click()
    tab.until("#m-one-sub", "Mon 17 Nov")
    assert page.is_hidden("#m-fix")
    assert page.get_attribute("#m-chart", "href").endswith("interval=1&at=2025-11-17")
    row(tab, "All").locator(".m-c").last.click()
    assert tab.text("#m-one-title") == "All instruments"
    tab.until("#m-holes", r"BBCA: 35 min missing")
    assert page.is_hidden("#m-chart")
    assert tab.said == []


def test_the_map_is_walked_by_keyboard_alone(tab: Tab) -> None:
    page = tab.open("/continuity")
    drawn(tab)
    tab.chord("o", "/")
    tab.chord("m", "/continuity")
    drawn(tab)
    assert page.locator("#m-rows [tabindex='0']").count() == 1
    page.locator("#m-rows [tabindex='0']").focus()
    chosen = "document.activeElement.ariaLabel"
    assert page.evaluate(chosen).startswith("All tickers, Tue 18 Nov")
    for key, says in (
        ("ArrowDown", "BMRI, Tue 18 Nov"), ("ArrowLeft", "BMRI, Mon 17 Nov"),
        ("Home", "BMRI, Thu 13"), ("ArrowLeft", "BMRI, Thu 13"), ("End", "BMRI, Tue 18 Nov"),
        ("ArrowRight", "BMRI, Tue 18 Nov"), ("PageUp", "All tickers, Tue 18 Nov"),
        ("PageDown", ", Tue 18 Nov"), ("ArrowDown", ", Tue 18 Nov"),
    ):  # fmt: skip
        page.keyboard.press(key)
        assert says in page.evaluate(chosen)
    assert page.locator("#m-rows [aria-selected]").count() == 1
    row(tab, "BBCA").locator(".m-c").last.focus()
    for key in ("ArrowLeft", "ArrowLeft", "Enter"):
        page.keyboard.press(key)
    tab.at("/chart", symbol="IDX:BBCA", interval="1", at="2025-11-14")
    tab.until("#lg-price", "O 8,408")  # Friday's first bar


def test_rows_come_in_the_order_asked_for(tab: Tab) -> None:
    page = tab.open("/continuity")
    drawn(tab)
    names = "all => all.map((e) => e.textContent)"
    page.click("#m-sort [value=ticker]")
    page.wait_for_function(
        "() => document.querySelector('#m-rows tr:nth-child(2) th').textContent === 'BBCA'"
    )
    assert page.locator("#m-rows th").evaluate_all(names) == ["All", "BBCA", "BMRI", "TLKM"]
    assert page.locator("#m-sort [aria-pressed=true]").get_attribute("value") == "ticker"
    assert tab.text("#m-count") == "3 instruments" and page.is_hidden("#m-more")


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_a_narrow_screen_has_the_map_in_a_strip_of_its_own(
    browser: Any, shared: str, theme: str
) -> None:
    tab = Tab(browser, shared, viewport=NARROW)
    page = tab.open(f"/continuity?theme={theme}")
    drawn(tab)
    assert page.evaluate(SIDEWAYS) == NARROW["width"]
    newest = row(tab, "BBCA").locator(".m-c").last
    assert newest.bounding_box()["x"] + newest.bounding_box()["width"] <= NARROW["width"]
    assert page.locator(".b-dock a").count() == 4
    newest.click()
    tab.until("#m-holes", "10:15 to 10:50 is missing")
    assert page.evaluate(SIDEWAYS) == NARROW["width"]
    assert tab.said == []
    tab.context.close()


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_nothing_moves_when_the_map_comes(browser: Any, shared: str, size: dict[str, int]) -> None:
    tab = Tab(browser, shared, viewport=size)
    tab.page.add_init_script(
        """window.moved = 0;
        new PerformanceObserver((list) => {
          for (const { hadRecentInput, value } of list.getEntries())
            if (!hadRecentInput) window.moved += value;
        }).observe({ type: "layout-shift", buffered: true });"""
    )
    page = tab.open("/continuity")
    drawn(tab)
    page.wait_for_timeout(500)
    assert page.evaluate("window.moved") < 0.05
    assert page.is_visible("#m-one-title")
    tab.context.close()


def test_many_rows_scroll_below_their_days_and_beside_the_chosen_one(
    browser: Any, market: Market
) -> None:
    for number in range(90):
        market.contract(f"T{number:03d}", f"Instrument {number}", at(MONDAY, 8, 45), 0)
    trading_day(market, MONDAY, at(MONDAY, 9, 40), 8_700)
    market.push()
    tab = Tab(browser, market.serve())
    page = tab.open("/continuity")
    drawn(tab)
    page.locator("#m-rows .m-c").last.click()
    tab.until("#m-one-title", r"^T\d+")
    for shown in ("#m-rows .m-c[aria-selected]", "#m-days th:last-child", "#m-one-title"):
        box = page.locator(shown).bounding_box()
        assert 0 <= box["y"] and box["y"] + box["height"] <= WIDE["height"], shown
    tab.context.close()


def test_a_venue_without_bars_says_so(browser: Any, market: Market) -> None:
    tab = Tab(browser, market.serve())
    tab.open("/continuity")
    tab.until("#m-sum", "Nothing is known yet")
    assert tab.page.is_visible("#m-empty") and tab.page.is_hidden("#m-scroll")
    assert tab.said == []
    tab.context.close()


def test_a_server_that_is_away_is_said_and_asked_again(browser: Any, shared: str) -> None:
    tab = Tab(browser, shared)
    away = [True]

    def answer(route: Any) -> None:
        if away:
            route.fulfill(
                status=503, json={"ok": False, "error": "the store is away", "code": "away"}
            )
        else:
            route.continue_()

    tab.page.route("**/v1/continuity?*", answer)
    tab.open("/continuity")
    tab.until("#m-why", "the store is away .away.")
    assert tab.page.is_visible("#m-error")
    away.clear()
    tab.page.click("#m-again")
    drawn(tab)
    assert tab.page.is_hidden("#m-error")
    tab.context.close()


def test_what_was_read_stays_where_the_next_reading_fails(browser: Any, shared: str) -> None:
    tab = Tab(browser, shared)
    tab.open("/continuity")
    drawn(tab)
    tab.page.route("**/v1/continuity?*", lambda route: route.abort())
    tab.page.click("#m-sort [value=ticker]")
    tab.until("#m-why", "does not answer")
    assert tab.page.locator("#m-rows tr").count() == 4
    tab.context.close()


def test_the_cell_that_is_chosen_stays_chosen_while_the_day_goes_on(
    browser: Any, market: Market
) -> None:
    trading_day(market, MONDAY, at(MONDAY, 16, 0), 8_700)
    trading_day(market, TUESDAY, at(TUESDAY, 9, 40), 8_800)
    market.push()
    tab = Tab(browser, market.serve())
    page = tab.open("/continuity")
    drawn(tab)
    row(tab, "BBCA").locator(".m-c").last.click()
    before = tab.text("#m-expected")
    trading_day(market, TUESDAY, at(TUESDAY, 9, 50), 8_810)
    market.push()
    page.wait_for_timeout(5_200)  # a map is some seconds old at most
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_function(
        "(was) => document.getElementById('m-expected').textContent !== was", arg=before
    )
    assert "BBCA, Tue 18 Nov" in page.evaluate("document.activeElement.ariaLabel")
    tab.context.close()


def test_days_before_come_by_a_button(browser: Any, market: Market, monkeypatch: Any) -> None:
    monkeypatch.setattr("bursa.api.continuity.MAP_DAYS", 2)
    for day in (FRIDAY, MONDAY):
        trading_day(market, day, at(day, 16, 0), 8_700)
    trading_day(market, TUESDAY, at(TUESDAY, 9, 40), 8_800)
    market.push()
    tab = Tab(browser, market.serve())
    page = tab.open("/continuity")
    drawn(tab)
    assert page.locator("#m-days th").count() == 2 + 2 and page.is_disabled("#m-newer")
    page.click("#m-older")
    tab.until("#m-sum", "to Fri 14 Nov")
    assert page.is_disabled("#m-older")
    page.click("#m-newer")
    tab.until("#m-sum", "to Tue 18 Nov")
    tab.context.close()
