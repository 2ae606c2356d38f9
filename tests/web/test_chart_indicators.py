"""The chart's indicators in a browser: the menu, lines over the prices, panes, what they show live
and where there is nothing to show. Figures are held to what the API gives."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.request import urlopen

import pytest

from bursa.metrics.catalog import STANDARD
from bursa.metrics.describe import GROUP_TITLES, title
from tests.web.market import TUESDAY, Market, at, some_days
from tests.web.tab import NARROW, Tab

pytestmark = pytest.mark.browser

TITLES = [
    title(metric.name)
    for group in GROUP_TITLES
    for metric in STANDARD.metrics.values()
    if metric.group == group
]
OVERLAYS = [metric.name for metric in STANDARD.metrics.values() if metric.overlay]
PANES = [metric.name for metric in STANDARD.metrics.values() if not metric.overlay]
PANES_MAX, OVERLAYS_MAX = 6, 8
# Pixels of a pane's canvas by their colour: {token: [lowest y, highest y]}, in parts of its height.
PAINTED = """([pane, names]) => {
  const cell = document.querySelectorAll("#plot tr")[2 * pane].children[1], found = {};
  const root = getComputedStyle(document.documentElement);
  const token = (name) => root.getPropertyValue("--" + name).trim();
  const wanted = Object.fromEntries(names.map((name) => [token(name), name]));
  const hex = (bytes) => "#" + bytes.map((v) => v.toString(16).padStart(2, "0")).join("");
  for (const canvas of cell.querySelectorAll("canvas")) {
    if (!canvas.width || !canvas.height) continue;
    const copy = new OffscreenCanvas(canvas.width, canvas.height);
    const g = copy.getContext("2d", { willReadFrequently: true });
    g.drawImage(canvas, 0, 0);
    const { data } = g.getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < data.length; i += 4) {
      const name = data[i + 3] === 255 && wanted[hex([...data.slice(i, i + 3)])];
      if (!name) continue;
      const y = Math.floor(i / 4 / canvas.width) - canvas.height;
      found[name] = [Math.min(y, found[name]?.[0] ?? y), Math.max(y, found[name]?.[1] ?? y)];
    }
  }
  return found;
}"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a venue with four days, for tests that only look."""
    market = Market(tmp_path_factory.mktemp("shared"))
    some_days(market)
    yield market.serve()
    market.close()


def newest(url: str, metric: str, tf: str = "1m") -> dict[str, Any]:
    """The newest row of a metric as the API gives it."""
    query = f"metric={metric}&ticker=BBCA&tf={tf}&limit=1"
    with urlopen(f"{url}/v1/metrics/history?{query}", timeout=90) as answer:
        row: dict[str, Any] = json.load(answer)["data"][-1]
    return row


def chart(tab: Tab, metrics: str, interval: str = "1", more: str = "") -> Any:
    """A chart with these metrics, once all of them say something: figures, or why there are none.
    A dash stands for what is still on its way."""
    page = tab.open(f"/chart?symbol=BBCA&interval={interval}&metrics={metrics}{more}")
    page.wait_for_function(
        "(names) => names.every((n) => /\\d|^no value|^needs/.test(document.querySelector("
        "`[data-metric='${n}'] .l-values`)?.textContent ?? ''))",
        arg=metrics.split(","),
    )
    tab.until("#st-received", r"received \d")
    return page


def said_of(tab: Tab, metric: str) -> str:
    return tab.text(f"[data-metric='{metric}'] .l-values")


# -- the menu --------------------------------------------------------------------------------------


def test_the_menu_lists_the_catalogue_and_works_by_keys_alone(tab: Tab) -> None:
    page = chart(tab, "rsi_14")
    page.keyboard.press("i")
    page.wait_for_selector("#indicators[open]")
    assert page.locator("#indicators .i-name").all_text_contents() == TITLES
    groups = page.locator("#indicators .h").all_text_contents()
    assert groups == [text for text in GROUP_TITLES.values() if text in groups]
    tab.until("#indicators [role=status]", "On: RSI 14. 5 more panes and 8 more lines")
    page.keyboard.type("average 200")
    tab.until("#ind-list", "EMA 200")
    assert page.locator("#indicators .i-name").all_text_contents() == ["EMA 200", "SMA 200"]
    page.keyboard.press("ArrowDown")
    marked = page.get_attribute("#indicators input", "aria-activedescendant")
    assert page.get_attribute(f"#{marked}", "data-name") == "sma_200"
    page.keyboard.press("Enter")
    tab.until("#indicators [role=status]", "SMA 200 is on")
    assert page.get_attribute(f"#{marked}", "aria-selected") == "true"
    page.keyboard.press("Escape")
    page.wait_for_selector("#indicators:not([open])", state="attached")
    tab.until_focus("e.id", "indicators-open")
    assert page.get_attribute("#indicators-open", "aria-label") == "Indicators 2 on"
    page.keyboard.press("Enter")
    page.keyboard.type("zzz")
    tab.until("#indicators [role=status]", "No indicator holds \u201czzz\u201d")
    assert tab.said == []


def test_the_choice_is_kept_without_a_cookie_and_stands_in_the_address(tab: Tab) -> None:
    page = chart(tab, "hd,atr_14")
    page.focus("[data-remove=hd]")
    page.keyboard.press("Enter")
    page.wait_for_selector("#lg-hd", state="detached")
    tab.until_focus("e.dataset.remove", "atr_14")
    page.keyboard.press("i")
    page.keyboard.type("ema_50")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.wait_for_url(re.compile("metrics=atr_14,ema_50$"))
    tab.open("/chart?symbol=BBCA&interval=5")
    tab.until("[data-metric=ema_50] .l-values", r"8,\d{3}")
    page.wait_for_url(re.compile("metrics=atr_14,ema_50$"))
    assert "atr" not in page.evaluate("document.cookie")
    page.evaluate("history.pushState(null, '', '?symbol=BBCA&interval=5&metrics=obv')")
    for turn in ("back", "forward"):
        page.evaluate(
            f"new Promise((f) => {{ addEventListener('popstate', () => f(true), {{ once: true }});"
            f" history.{turn}(); }})"
        )
    page.wait_for_selector("#lg-obv")
    assert page.locator(".l-metric").count() == 1
    assert tab.said == []


def test_what_cannot_be_shown_is_refused_in_words(tab: Tab) -> None:
    first, extra = PANES[:PANES_MAX], PANES[PANES_MAX]
    page = chart(tab, ",".join(first))
    page.keyboard.press("i")
    page.keyboard.type(extra)
    page.keyboard.press("Enter")
    named = ", ".join(map(title, first))
    words = f"6 panes are the most a chart shows: {named}. Remove one to see {title(extra)}."
    assert tab.text("#indicators [role=status]") == words
    assert page.locator(".l-metric").count() == PANES_MAX
    tab.open("/chart?symbol=BBCA&metrics=nix_9,rsi_14,nix_8")
    tab.until_told("There is no indicator nix_9 here.* There is no indicator nix_8 here")
    page.wait_for_selector("#lg-rsi_14")


# -- what is shown ---------------------------------------------------------------------------------


def test_every_metric_of_the_catalogue_can_be_switched_on(tab: Tab) -> None:
    """In as many charts as they need, on minutes and on longer bars; none upsets another."""
    charts = max(-(-len(PANES) // PANES_MAX), -(-len(OVERLAYS) // OVERLAYS_MAX))
    for n in range(charts):
        names = OVERLAYS[n * OVERLAYS_MAX : (n + 1) * OVERLAYS_MAX]
        names += PANES[n * PANES_MAX : (n + 1) * PANES_MAX]
        page = chart(tab, ",".join(names), interval="1" if n % 2 else "5")
        assert page.locator(".l-metric").count() == len(names)
        over = page.locator("#lg-price .l-metric").count()
        assert over == sum(STANDARD.metrics[name].overlay for name in names)
        assert page.locator("#plot tr").count() == 2 * (2 + len(names) - over)
    assert tab.said == []


@pytest.mark.parametrize(("interval", "tf"), [("1", "1m"), ("15", "15m")])
def test_figures_are_those_of_the_api(tab: Tab, interval: str, tf: str) -> None:
    chart(tab, "bbands_20_2,macd_12_26_9,stoch_14_3_3,hd", interval)
    bands = newest(tab.url, "bbands_20_2", tf)
    for name in ("upper", "middle", "lower"):
        assert f"{name} {bands[f'bbands_20_2_{name}']:,.0f}" in said_of(tab, "bbands_20_2")
    macd = newest(tab.url, "macd_12_26_9", tf)
    histogram = macd["macd_12_26_9_histogram"]
    sign = "\u2212" if histogram < 0 else ""
    assert f"histogram {sign}{abs(histogram):.2f}" in said_of(tab, "macd_12_26_9")
    stoch = newest(tab.url, "stoch_14_3_3", tf)
    assert said_of(tab, "stoch_14_3_3").startswith(f"k {stoch['stoch_14_3_3_k']:.1f}")
    assert "fast 12, slow 26, signal 9" in tab.text("#lg-macd_12_26_9")
    hd = newest(tab.url, "hd", tf)["hd_direction"]
    way = r"\+1" if hd > 0 else "\u22121" if hd < 0 else "0"
    tab.until("[data-metric=hd] .l-values", f"direction {way}$")  # its value comes with the bars


@pytest.mark.parametrize("look", ["dark&updown=safe", "light&updown=safe", "dark&updown=idx"])
def test_the_direction_of_hd_is_told_by_colour_and_by_place(tab: Tab, look: str) -> None:
    """Marks at the foot of its pane: up above their middle, down below, unchanged on it."""
    page = chart(tab, "hd", "1", f"&theme={look}")
    marks = [2, ["up", "down", "sogan"]]
    page.wait_for_function(  # it is painted some frames after it is known
        f"(marks) => Object.keys(({PAINTED})(marks)).length === 3", arg=marks, polling=100
    )
    painted = page.evaluate(PAINTED, marks)
    assert painted["up"][1] < painted["down"][0] and painted["up"][0] > -20
    assert painted["sogan"][0] < painted["up"][0]  # its own line stands above
    page.keyboard.press("Escape")
    assert tab.said == []


def test_before_its_warm_up_a_metric_says_what_it_needs(tab: Tab) -> None:
    page = chart(tab, "sma_200,rsi_14", "60")
    bars = int(page.locator("#bars tr").count())
    assert said_of(tab, "sma_200") == f"needs 200 bars, {bars - 1} so far"
    page.focus("#plot")
    for _ in range(2):
        page.keyboard.press("Shift+ArrowLeft")
    assert said_of(tab, "rsi_14").startswith("needs 15 bars, ")
    page.keyboard.press("Escape")
    tab.until("[data-metric=rsi_14] .l-values", r"^\d\d\.\d$")


def test_older_bars_bring_their_metrics(tab: Tab) -> None:
    page = chart(tab, "ema_20,rsi_14")
    page.focus("#plot")
    page.keyboard.press("Home")
    page.wait_for_function(
        "() => document.getElementById('plot').ariaLabel.includes('from Thu 13 Nov')"
    )
    page.keyboard.press("Home")
    box = page.locator("#plot").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 200)
    tab.until("[data-metric=rsi_14] .l-values", r"^\d+\.\d$")
    tab.until("[data-metric=ema_20] .l-values", r"^8,\d{3}$")


def test_a_narrow_screen_holds_many_panes(tab: Tab) -> None:
    page = tab.page
    page.set_viewport_size(NARROW)
    chart(tab, "bbands_20_2,ema_20,hd,rsi_14,macd_12_26_9,obv,stoch_14_3_3,atr_14", "5")
    width = "document.documentElement.scrollWidth"
    assert page.evaluate(width) == NARROW["width"]
    page.wait_for_function(
        "() => Math.min(...[...document.querySelectorAll('#plot tr')].map((tr) => tr.offsetHeight)"
        ".filter((h) => h > 2).slice(2, -1)) > 40"
    )
    page.click("#indicators-open")
    page.wait_for_selector("#indicators[open]")
    assert page.evaluate(width) == NARROW["width"]
    box = page.locator("#indicators").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= NARROW["width"]


# -- live ------------------------------------------------------------------------------------------


def test_metrics_follow_the_stream_and_revisions(browser: Any, market: Market) -> None:
    some_days(market)
    tab = Tab(browser, market.serve())
    page = chart(tab, "ema_20,rsi_14,hd")

    def follow(price: int, minute: int) -> str:
        market.trade("BBCA", at(TUESDAY, 14, minute, 20), price)
        market.status(b"H", at(TUESDAY, 14, minute + 1, 5))
        market.push()
        ema = f"{newest(tab.url, 'ema_20')['ema_20']:,.0f}"
        tab.until("[data-metric=ema_20] .l-values", f"^{ema}$")
        return ema

    assert follow(9_300, 0) != follow(8_200, 1)
    before = tab.text("[data-metric=ema_20] .l-values")
    market.trade("BBCA", at(TUESDAY, 14, 1, 50), 9_900)
    market.status(b"H", at(TUESDAY, 14, 2, 20))
    market.push()
    revised = newest(tab.url, "ema_20")
    assert revised["rev"] == 1
    tab.until("[data-metric=ema_20] .l-values", f"^{revised['ema_20']:,.0f}$")
    assert tab.text("[data-metric=ema_20] .l-values") != before
    page.keyboard.press("2")
    for minute in range(2, 6):
        market.trade("BBCA", at(TUESDAY, 14, minute, 20), 9_000 + 50 * minute)
    market.status(b"H", at(TUESDAY, 14, 6, 5))
    market.push()
    longer = f"{newest(tab.url, 'ema_20', '5m')['ema_20']:,.0f}"
    tab.until("[data-metric=ema_20] .l-values", f"^{longer}$")
    assert tab.said == []
    tab.context.close()


def test_an_open_bar_hides_no_output_of_hd(browser: Any, market: Market) -> None:
    """Its value may be known before it closes: the legend has all outputs of the bar before."""
    some_days(market)
    for minute in range(6):
        market.trade("BBCA", at(TUESDAY, 14, minute, 20), 8_900 + 25 * minute)
    market.status(b"H", at(TUESDAY, 14, 6, 40))
    market.trade("BBCA", at(TUESDAY, 14, 6, 50), 9_100)
    market.push()
    tab = Tab(browser, market.serve())
    chart(tab, "hd", "5")
    tab.until("[data-metric=hd] .l-values", r"MAPO .+DMAPO .+direction [+\u22120]")
    chart(tab, "rsi_14", "1")
    tab.until("#q-hd", r"\d")
    tab.page.wait_for_timeout(200)
    assert re.search(r"\d", tab.text("#q-hd"))
    assert tab.said == []
    tab.context.close()


def test_metrics_that_cannot_be_read_say_so_and_come_later(browser: Any, market: Market) -> None:
    some_days(market)
    tab = Tab(browser, market.serve())
    tab.page.route("**/v1/metrics/history*", lambda route: route.abort())
    tab.open("/chart?symbol=BBCA&interval=1&metrics=rsi_14")
    tab.until("[data-metric=rsi_14] .l-values", "not read, tried again with the next bar")
    tab.until("#lg-price", "C 8,850")
    tab.page.unroute("**/v1/metrics/history*")
    market.trade("BBCA", at(TUESDAY, 14, 0, 20), 8_900)
    market.status(b"H", at(TUESDAY, 14, 1, 5))
    market.push()
    tab.until("[data-metric=rsi_14] .l-values", r"^\d\d\.\d$")
    tab.context.close()
