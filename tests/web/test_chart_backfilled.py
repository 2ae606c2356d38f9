"""What came afterwards on a chart: banded, named, counted, in both themes; what still lacks stays
hatched beside it."""

from collections.abc import Iterator
from typing import Any

import pytest

from bursa.model.venue import IDX
from tests.web.market import TUESDAY, Market, at, some_days
from tests.web.tab import NARROW, WIDE, Tab

pytestmark = pytest.mark.browser

# How many pixels of each canvas of the time axis have a token's colour.
PIXELS = """(name) => {
  const root = getComputedStyle(document.documentElement);
  const want = parseInt(root.getPropertyValue(name).trim().slice(1), 16);
  const last = [...document.querySelectorAll("#plot table tr")].at(-1);
  const count = (canvas) => {
    if (!canvas.width || !canvas.height) return 0;
    const copy = new OffscreenCanvas(canvas.width, canvas.height);
    const g = copy.getContext("2d", { willReadFrequently: true });
    g.drawImage(canvas, 0, 0);
    const { data } = g.getImageData(0, 0, canvas.width, canvas.height);
    let n = 0;
    for (let i = 0; i < data.length; i += 4)
      n += ((data[i] << 16) | (data[i + 1] << 8) | data[i + 2]) === want && data[i + 3] === 255;
    return n;
  };
  return Math.max(...[...last.querySelectorAll("canvas")].map(count));
}"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of 10:15 to 10:50, which was lost, the first half came afterwards."""
    market = Market(tmp_path_factory.mktemp("shared"))
    some_days(market)
    minutes = [int(m) for m in IDX.calendar.expected_minutes(TUESDAY)]
    late = [m for m in minutes if at(TUESDAY, 10, 15) <= m < at(TUESDAY, 10, 32)]
    market.backfill("BBCA", late, 8_790.0)
    yield market.serve()
    market.close()


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_backfilled_minutes_are_banded_and_the_rest_is_hatched(
    browser: Any, shared: str, theme: str, size: dict[str, int]
) -> None:
    tab = Tab(browser, shared, viewport=size)
    page = tab.open(f"/chart?symbol=IDX:BBCA&interval=5&theme={theme}")
    tab.drawn()
    tab.until("#st-back", "backfilled [0-9.]+%")
    tab.until("#st-missing", "missing 18 min")
    both = f"() => ({PIXELS})('--nila') > 20 && ({PIXELS})('--gap-wash') > 0"
    page.wait_for_function(both, polling=200)
    words = page.get_attribute("#plot", "aria-label")
    assert "Missing 10:32 to 10:50." in words and "Backfilled 10:15 to 10:32." in words
    assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
    assert tab.said == []
    tab.context.close()


def test_the_legend_and_the_table_name_a_backfilled_bar(tab: Tab) -> None:
    page = tab.open("/chart?symbol=IDX:BBCA&interval=15")
    tab.drawn()
    tab.until("#st-back", "backfilled [0-9.]+%")
    row = page.locator("#bars tr", has_text="10:15").first
    row.and_(page.locator("[title=backfilled]")).wait_for(state="attached")
    place = page.locator("#bars tr").evaluate_all(
        "rows => rows.findIndex((row) => row.textContent.startsWith('10:15'))"
    )
    for _ in range(place + 1):
        page.keyboard.press("j")
    tab.until("#lg-price", "backfilled")
    page.keyboard.press("j")
    page.wait_for_function(
        "() => !document.getElementById('lg-price').textContent.includes('backfilled')"
    )


def test_a_chart_learns_of_a_backfill_while_it_is_open(browser: Any, market: Market) -> None:
    some_days(market)
    tab = Tab(browser, market.serve())
    page = tab.open("/chart?symbol=IDX:BBCA&interval=5")
    tab.drawn()
    tab.until("#st-missing", "missing 35 min")
    assert page.is_hidden("#st-back")
    minutes = [int(m) for m in IDX.calendar.expected_minutes(TUESDAY)]
    market.backfill(
        "BBCA", [m for m in minutes if at(TUESDAY, 10, 15) <= m < at(TUESDAY, 10, 50)], 8_790.0
    )
    market.trade("BBCA", at(TUESDAY, 14, 1, 30), 8_855)
    market.status(b"H", at(TUESDAY, 14, 2, 5))
    market.push()
    tab.until("#st-back", "backfilled [0-9.]+%")
    tab.until("#st-missing", "messages missing")
    tab.context.close()
