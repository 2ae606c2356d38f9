"""A chart of more bars than it holds at once, and what stands beside one that opens in the past."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.web.market import TUESDAY, Market, at, some_days
from tests.web.tab import Tab

pytestmark = pytest.mark.browser

SECOND_NS = 1_000_000_000
YEAR_S = 365 * 86_400


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    market = Market(tmp_path_factory.mktemp("store"))
    some_days(market)
    yield market.serve()
    market.close()


def far_back(route: Any) -> None:
    """Bars of each minute for years, up to Tuesday's last, as /udf/history would tell them."""
    query = {name: int(value) for name, (value,) in parse_qs(
        urlsplit(route.request.url).query).items() if value.isdigit()}  # fmt: skip
    end = at(TUESDAY, 14, 0) // SECOND_NS
    to = min(query["to"], end) // 60
    first = to - min(query.get("countback", to - query.get("from", 0) // 60), 5000)
    times = [60 * n for n in range(max(first, (end - 2 * YEAR_S) // 60), to)]
    prices = [1000 + n % 7 for n in range(len(times))]
    body: dict[str, Any] = {"s": "ok", "t": times, "v": prices} | dict.fromkeys("ohlc", prices)
    route.fulfill(body=json.dumps(body if times else {"s": "no_data"}))


def test_a_chart_of_a_day_of_long_ago_shows_it_and_leads_back(tab: Tab) -> None:
    tab.page.route("**/udf/history?*", far_back)
    page = tab.open("/chart?symbol=BBCA&interval=1&at=2024-11-18")
    tab.until("#st-last", "^to .*; newer ones follow$")
    tab.until("#bars-sub", "^to Mon 18 Nov 23:59, newest first$")
    times = page.locator("#bars td:first-child").all_text_contents()
    assert len(times) == 500 and times[:2] == ["23:59", "23:58"]
    assert tab.text("#q-last") == "8,850", "the newest price stays what it is"
    page.focus("#to-newest")
    page.keyboard.press("Enter")
    tab.until("#st-last", "^last bar 13:59")
    tab.until("#bars-sub", "^newest first$")
    assert page.is_hidden("#to-newest")
    page.wait_for_url(lambda url: "at=" not in url)
    assert tab.said == []


def test_the_table_has_the_bars_of_the_day_that_the_address_names(tab: Tab) -> None:
    page = tab.open("/chart?symbol=BBCA&interval=5&at=2025-11-14")
    tab.until("#bars-sub", "^to Fri 14 Nov")
    dates = page.locator("#bars tr").evaluate_all(
        "rows => rows.map((row) => new Date(row.dataset.x * 1000).toISOString().slice(0, 10))"
    )
    assert dates[0] == "2025-11-14" and dates.count("2025-11-14") == 54
    page.focus("#plot")
    page.keyboard.press("End")
    tab.until("#bars-sub", "^newest first$")
    # Elsewhere in the past it follows what is in view.
    page.keyboard.press("Home")
    tab.until("#st-begin", "^begins Thu 13 Nov 2025 09:00: nothing older is stored$")
    tab.until("#bars-sub", "^to (Thu 13|Fri 14|Mon 17) Nov")
    page.keyboard.press("End")
    tab.until("#bars-sub", "^newest first$")
    assert page.is_hidden("#st-begin")
    assert tab.said == []


@pytest.mark.parametrize(
    ("status", "said", "again"),
    [
        (429, "Too many requests (429).", " It is asked again every 15 s."),
        (0, "The server does not answer.", " It is asked again every 2 s."),
    ],
)
def test_a_chart_that_cannot_be_read_says_why(tab: Tab, status: int, said: str, again: str) -> None:
    """It had been a blank plate; what is wrong with the request is no unknown instrument."""
    body = json.dumps({"s": "error", "errmsg": "too many requests"})

    def refuse(route: Any) -> None:
        route.fulfill(status=status, body=body) if status else route.abort()

    tab.page.route("**/udf/history?*", refuse)
    page = tab.open("/chart?symbol=BBCA&interval=1")
    page.wait_for_selector("#empty .b-btn")
    tab.until("#empty", f"^The chart could not be read{re.escape(said + again)}Try again$")
    tab.page.unroute("**/udf/history?*")
    page.focus("#empty .b-btn")
    page.keyboard.press("Enter")  # a pointer would stay over some bar
    tab.until("#lg-price", "C 8,850")
    assert page.is_hidden("#empty")
