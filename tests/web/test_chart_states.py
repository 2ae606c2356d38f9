"""The chart over a real bursa and a real line: the feed is cut and comes back, whole or with a
hole; the reader's own line is cut; an unknown instrument; an empty store; the keyboard alone. In
both themes, on a wide and on a narrow screen.
"""

import re
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.line import Line
from tests.running import Bursa, wait_for
from tests.scripted import REST, SECOND_NS, TRADES, Scripted, at
from tests.web.tab import NARROW, WIDE, Tab

pytestmark = pytest.mark.browser

DAY = date(2025, 11, 18)
MINUTE_NS = 60 * SECOND_NS
Looks = list[tuple[str, dict[str, int]]]
# Each theme and each screen; in a long run all pairs of them.
LOOKS: Looks = [("dark", WIDE), ("light", NARROW)]
SOAK_LOOKS: Looks = [*LOOKS, ("dark", NARROW), ("light", WIDE)]
# How many pixels of the panes and of the time axis bear the ground of what is missing.
HATCHED = """() => {
  const root = getComputedStyle(document.documentElement);
  const want = parseInt(root.getPropertyValue("--gap-wash").trim().slice(1), 16);
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
  const rows = [...document.querySelectorAll("#plot table tr")].filter((row) => row.cells[1]);
  const found = rows.map((row) => Math.max(0, ...[...row.querySelectorAll("canvas")].map(count)));
  return found.filter((_, i) => rows[i].offsetHeight > 8);
}"""


# What the first pane shows.
PICTURE = """() => {
  const canvases = [...document.querySelectorAll("#plot table tr:first-child canvas")];
  return canvases.map((canvas) => canvas.toDataURL()).join();
}"""


def minute(exchange: Scripted, number: int, price: float) -> None:
    """Two trades of the n-th minute after nine."""
    ts = at(DAY, "09:00") + number * MINUTE_NS
    exchange.trade("BBCA", ts + 5 * SECOND_NS, price)
    exchange.trade("BBCA", ts + 35 * SECOND_NS, price + 25)


def morning(exchange: Scripted) -> None:
    """Contracts, and BBCA from 09:00 to 10:31:07; the minute of 10:31 is open."""
    for ticker, name in (("BBCA", "Bank Central Asia"), ("BMRI", "Bank Mandiri")):
        exchange.contract(ticker, name, at(DAY, "08:45"), 8_600)
    exchange.status(at(DAY, "09:00"), "1")
    for number in range(91):
        minute(exchange, number, 8_600 + 25 * (number * 37 % 11 - 5))
        if number % 3 == 0 and number < 60:
            exchange.trade("BMRI", at(DAY, "09:00:40") + number * MINUTE_NS, 5_000 + number)
    exchange.trade("BBCA", at(DAY, "10:31:05"), 8_700)
    exchange.status(at(DAY, "10:31:07"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`looks` are all of a run's; `theme` and `size` one after the other."""
    looks = SOAK_LOOKS if metafunc.config.getoption("--soak") else LOOKS
    if "looks" in metafunc.fixturenames:
        metafunc.parametrize("looks", [looks], ids=["looks"])
    if "theme" in metafunc.fixturenames:
        metafunc.parametrize(("theme", "size"), looks)


@pytest.fixture
def exchange() -> Iterator[Scripted]:
    with Scripted() as exchange:
        exchange.stay_alive()
        yield exchange


@pytest.fixture
def bursa(tmp_path: Path, exchange: Scripted) -> Iterator[Bursa]:
    """On the morning of that exchange."""
    morning(exchange)
    with Bursa(tmp_path / "data", **exchange.settings()) as bursa:
        wait_for(lambda: closes(bursa)[-1:] == [8_700], what="the morning")
        yield bursa


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bursa]:
    """One that nobody cuts, for tests that only look."""
    with Scripted() as exchange:
        exchange.stay_alive()
        morning(exchange)
        with Bursa(tmp_path_factory.mktemp("quiet") / "data", **exchange.settings()) as bursa:
            wait_for(lambda: closes(bursa)[-1:] == [8_700], what="the morning")
            wait_for(lambda: bursa.get("/udf/search?query=MANDIRI"), what="the names")
            yield bursa


Shot = Callable[[Tab, str], None]


@pytest.fixture
def shot(tmp_path: Path, soak: bool) -> Shot:
    """shot(tab, name): what a tab shows, kept by a long run for whoever looks at it."""

    def keep(tab: Tab, name: str) -> None:
        if soak:
            tab.page.screenshot(path=tmp_path / name)

    return keep


def closes(bursa: Bursa) -> list[float]:
    query = "symbol=BBCA&resolution=1&from=0&to=4000000000&countback=5"
    try:
        found: list[float] = bursa.get(f"/udf/history?{query}").get("c", [])
    except OSError:  # not known yet
        return []
    return found


CHART = "/chart?symbol=BBCA&interval=1"


def looking(
    browser: Any, bursa: Bursa, looks: Looks, path: str = CHART, url: str = ""
) -> list[Tab]:
    """A tab for each look, the page drawn; `url`: another way to it."""
    tabs = []
    for theme, size in looks:
        tab = Tab(browser, url or bursa.url, bursa.guest, viewport=size)
        tab.open(f"{path}{'&' if '?' in path else '?'}theme={theme}")
        tabs.append(tab)
    return tabs


def hatched(tab: Tab) -> list[int]:
    """Pixels of missing data in each pane and, last, on the time axis."""
    found: list[int] = tab.page.evaluate(HATCHED)
    return found


def painted(tab: Tab, so: str) -> None:
    """Wait until the pixels of missing data, `n`, are so; looked at now and then, as it costs."""
    tab.page.wait_for_function(f"() => {{ const n = ({HATCHED})(); return {so}; }}", polling=200)


def check_fits(tab: Tab) -> None:
    """The page does not scroll sideways, and its console is silent."""
    width = tab.page.viewport_size["width"]
    assert tab.page.evaluate("document.documentElement.scrollWidth") == width
    assert tab.said == []


def shade(tab: Tab) -> None:
    """Wait until all panes and the strip are shaded."""
    tab.until("#fresh", "feed away")
    painted(tab, "n.every((k) => k > 0)")


def test_a_cut_feed_is_shaded_and_heals(
    browser: Any, bursa: Bursa, exchange: Scripted, shot: Shot, looks: Looks
) -> None:
    """Both channels: after the last bar nothing is known; the missed bars come afterwards."""
    tabs = looking(browser, bursa, looks)
    for tab in tabs:
        tab.drawn()
        tab.until("#fresh", "live")
        tab.until("#st-last", "last bar 10:31, open")
        assert max(hatched(tab)) == 0
    exchange.cut()
    for number, tab in enumerate(tabs):
        shade(tab)
        assert tab.page.get_attribute("#fresh", "data-state") == "bad"
        tab.until("#st-last", r"feed away since 10:31:0\d \u00b7 last bar 10:31$")
        tab.until("#bars tr", r"^10:31(\u201310:3\d)?not received yet")
        label = tab.page.get_attribute("#plot", "aria-label")
        assert re.search(r"last 8,700.* Not received since 10:31:0\d\.", label)
        assert "Not received yet: 10:31" in tab.page.get_attribute("#tape-plot", "aria-label")
        assert tab.page.locator("#tape-plot .tp-away").count() == 1
        tab.until_told("The feed is away")
        check_fits(tab)
        shot(tab, f"cut-{number}.png")
    for number in range(92, 97):
        minute(exchange, number, 8_800)
    exchange.status(at(DAY, "10:37:02"))
    exchange.restore()
    for number, tab in enumerate(tabs):
        tab.until("#fresh", "live")
        tab.until("#lg-price", "C 8,825")
        painted(tab, "n.every((k) => k === 0)")
        tab.until("#st-last", "last bar 10:36, closed")
        tab.until("#st-missing", "nothing missing")
        rows = tab.page.locator("#bars tr td:first-child").all_text_contents()
        assert rows[:6] == ["10:36", "10:35", "10:34", "10:33", "10:32", "10:31"]
        tab.page.wait_for_selector("#tape-plot .tp-gap", state="detached")
        assert "Not received" not in tab.page.get_attribute("#plot", "aria-label")
        check_fits(tab)
        shot(tab, f"healed-{number}.png")
        tab.context.close()


def test_what_is_lost_for_good_stays_hatched(
    browser: Any, bursa: Bursa, exchange: Scripted, shot: Shot, looks: Looks
) -> None:
    """Only the trades are cut: the clock goes on by the other channel, the shade follows it. The
    exchange forgets what it said meanwhile."""
    tabs = looking(browser, bursa, looks)
    for tab in tabs:
        tab.drawn()
    exchange.cut(TRADES)
    exchange.status(at(DAY, "10:44:03"))
    for number, tab in enumerate(tabs):
        shade(tab)
        tab.until("#bars tr", r"10:31\u201310:44not received yet")
        shot(tab, f"away-{number}.png")
        check_fits(tab)
    for number in range(92, 104):
        minute(exchange, number, 8_500)
    exchange.forget()
    minute(exchange, 105, 8_800)
    exchange.status(at(DAY, "10:46:03"))
    exchange.restore()
    for number, tab in enumerate(tabs):
        tab.until("#fresh", "live")
        tab.until("#st-missing", "missing 13 min")
        tab.until("#st-seq", r"seq [\d,]+ to [\d,]+ on idxdata")
        tab.until("#holes-list", r"10:32 to 10:45 is missing on idxdata\. 13 min, seq [\d,]+ to")
        tab.until("#st-last", "last bar 10:45, closed")
        painted(tab, "n.every((k) => k > 9)")
        label = tab.page.get_attribute("#plot", "aria-label")
        assert "Missing 10:32 to 10:45." in label and "Not received" not in label
        tab.page.wait_for_selector("#tape-plot .tp-gap:not(.tp-away)", state="attached")
        assert tab.page.locator("#tape-plot .tp-gap:not(.tp-away)").count() == 1
        check_fits(tab)
        shot(tab, f"hole-{number}.png")
        tab.context.close()


def test_the_other_channel_away_leaves_the_bars_alone(
    browser: Any, bursa: Bursa, exchange: Scripted
) -> None:
    """Quotes do not come, trades do: the badge says so, nothing of the bars is in doubt."""
    tab = Tab(browser, bursa.url, bursa.guest)
    tab.open("/chart?symbol=BBCA&interval=1")
    tab.drawn()
    exchange.cut(REST)
    tab.until("#fresh", "feed away")
    exchange.trade("BBCA", at(DAY, "10:31:40"), 8_750)
    tab.until("#lg-price", "C 8,750")
    tab.until("#st-last", "last bar 10:31, open")
    assert max(hatched(tab)) == 0
    exchange.restore()
    tab.context.close()


def test_the_readers_own_line_is_cut(
    browser: Any, bursa: Bursa, exchange: Scripted, shot: Shot, looks: Looks
) -> None:
    """The page cannot reach the server: it says so, keeps what it has, and heals by itself."""
    with Line(int(bursa.url.rsplit(":", 1)[1])) as line:
        tabs = looking(browser, bursa, looks, url=f"http://127.0.0.1:{line.port}")
        for tab in tabs:
            tab.drawn()
            tab.until("#st-last", "last bar 10:31, open")
        line.cut()
        minute(exchange, 92, 8_800)
        minute(exchange, 93, 8_900)
        exchange.status(at(DAY, "10:34:02"))
        for number, tab in enumerate(tabs):
            tab.until("#fresh", "no connection")
            tab.until("#st-last", r"no connection since 10:3\d:\d\d \u00b7 last bar 10:31")
            tab.until("#lg-price", "C 8,700")
            painted(tab, "n.every((k) => k > 0)")
            shot(tab, f"own-{number}.png")
        line.mend()
        for tab in tabs:
            tab.until("#fresh", "live")
            tab.until("#lg-price", "C 8,925")
            tab.until("#st-last", "last bar 10:33, closed")
            painted(tab, "n.every((k) => k === 0)")
            tab.context.close()


def test_an_unknown_symbol_has_a_way_out(
    browser: Any, quiet: Bursa, shot: Shot, theme: str, size: dict[str, int]
) -> None:
    tab = Tab(browser, quiet.url, quiet.guest, viewport=size)
    page = tab.open(f"/chart?symbol=NOPE&interval=1&theme={theme}")
    tab.until("#empty", "IDX has no instrument NOPE")
    shot(tab, "unknown.png")
    assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
    page.focus("#empty button")
    page.keyboard.press("Enter")
    page.wait_for_selector("#palette[open] [role=option]")
    page.keyboard.type("mandiri")
    tab.until("#pal-list", "Mandiri")
    page.keyboard.press("Enter")
    tab.until("#title", "BMRI, Bank Mandiri")
    page.wait_for_selector("#empty", state="hidden")
    tab.until("#bars tr td", "09:57")
    tab.context.close()


def test_an_empty_store_says_what_is_waited_for(
    browser: Any, exchange: Scripted, tmp_path: Path, shot: Shot, looks: Looks
) -> None:
    """The feed is there and has said nothing; then it is away; then the market opens."""
    with Bursa(tmp_path / "data", **exchange.settings()) as bursa:
        tabs = looking(browser, bursa, looks, "/chart")
        for number, tab in enumerate(tabs):
            tab.until("#fresh", "waiting")
            tab.until("#empty", "Nothing has come in yet")
            check_fits(tab)
            shot(tab, f"empty-{number}.png")
        exchange.cut()
        for tab in tabs:
            tab.until("#fresh", "feed away")
            tab.until("#st-last", "feed away$")
            tab.until("#empty", "The feed is away")
        exchange.restore()
        morning(exchange)
        for tab in tabs:
            tab.drawn()
            tab.until("#title", "BBCA, Bank Central Asia")
            tab.until("#fresh", "live")
            check_fits(tab)
            tab.context.close()


def test_the_keyboard_alone(
    browser: Any, quiet: Bursa, shot: Shot, theme: str, size: dict[str, int]
) -> None:
    """Open, change the interval, find another instrument, walk the bars, zoom, help: no pointer."""
    tab = Tab(browser, quiet.url, quiet.guest, viewport=size)
    page = tab.open(f"/chart?symbol=BBCA&interval=1&theme={theme}")
    tab.drawn()
    press = page.keyboard.press
    press("2")
    tab.until("#bars tr td", "10:30")
    assert page.get_attribute("#intervals [value='5']", "aria-pressed") == "true"
    press("1")
    tab.until("#bars tr td", "10:31")
    tab.drawn()
    press("?")
    page.wait_for_selector("#keys[open]")
    shot(tab, "keys.png")
    press("Escape")
    page.wait_for_selector("#keys:not([open])", state="attached")
    newest = tab.text("#lg-price")
    for _ in range(3):
        press("j")
    assert page.locator("#bars tr").nth(2).get_attribute("aria-selected") == "true"
    assert tab.text("#lg-price") != newest
    press("k")
    assert page.locator("#bars tr").nth(1).get_attribute("aria-selected") == "true"
    reach(page, "plot")
    shot(tab, "focus.png")
    for key in ("+", "-", "ArrowLeft", "Home"):
        before = page.evaluate(PICTURE)
        press(key)
        page.wait_for_function(f"(was) => ({PICTURE})() !== was", arg=before, polling=100)
    press("End")
    page.wait_for_function(
        "(t) => document.getElementById('lg-price').textContent === t", arg=newest
    )
    press("/")
    page.wait_for_selector("#palette[open] [role=option]")
    page.keyboard.type("mandiri")
    tab.until("#pal-list", "Mandiri")
    press("Enter")
    tab.until("#title", "BMRI, Bank Mandiri")
    tab.until("#bars tr td", "09:57")
    tab.at("/chart", symbol="BMRI")
    check_fits(tab)
    tab.context.close()


def reach(page: Any, target: str) -> None:
    """Tab on until an element has the focus; it is reached, and the focus is seen."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == target:
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            return
    raise AssertionError(f"Tab does not reach #{target}")
