"""The overview in a browser, over the real API: what a reader sees, does and can rely on."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from litestar import Litestar

from bursa.model.venue import BINANCE, IDX
from bursa.web.facts import Headline, Progress
from bursa.web.pages import Pages
from tests.web.market import FRIDAY, MONDAY, TUESDAY, Market, at, trading_day, whole_market
from tests.web.tab import NARROW, Tab

pytestmark = pytest.mark.browser

SIDEWAYS = "document.documentElement.scrollWidth"
LISTS = ("gainers", "losers", "value", "volume", "trades")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a venue on a Tuesday at 14:00, for tests that only look."""
    market = Market(tmp_path_factory.mktemp("shared"))
    whole_market(market)
    yield market.serve()
    market.close()


@pytest.fixture
def live(browser: Any, market: Market) -> Iterator[Tab]:
    """A tab on a market of its own, which a test may move."""
    whole_market(market)
    tab = Tab(browser, market.serve())
    tab.open("/?theme=dark")
    tab.until("#plot", "7,412.08")
    yield tab
    tab.context.close()


def keys(tab: Tab, name: str) -> list[str]:
    """Tickers of a list as they stand."""
    found: list[str] = tab.page.locator(f"[data-list={name}] .o-row .b-tk").all_text_contents()
    return found


# -- what is shown ---------------------------------------------------------------------------------


def test_the_day_is_shown_and_the_console_is_silent(tab: Tab) -> None:
    tab.open("/?theme=dark")
    tab.until("#tape-missing", "missing")
    tab.until("#plot", "7,412.08")
    assert tab.text("#h-name") == "Jakarta Composite"
    assert (tab.text("#h-value"), tab.text("#h-change")) == ("7,412.08", "+47.06")
    assert tab.text("#h-percent") == "+0.64%"
    assert tab.text("#h-asof") == "as of 14:00:01"
    assert tab.text("#n-up") == "▲ 7 up"
    assert tab.text("#n-flat") == "1 unchanged"
    assert tab.text("#t-value") == "Rp\u00a01.85T"
    tab.until("#t-usual", "^1.1× usual$")
    assert tab.text("#t-volume") == "12.4M"
    assert tab.text("#t-high") == "▲ 7"
    assert keys(tab, "gainers") == ["BREN", "AMMN", "BMRI", "BBCA", "INCO", "ASII", "ADRO"]
    assert keys(tab, "losers")[:3] == ["RAJA", "MEDC", "SMGR"]
    assert keys(tab, "value")[:3] == ["BBCA", "BMRI", "TLKM"]
    assert keys(tab, "volume")[:2] == keys(tab, "trades")[:2] == ["GOTO", "BBCA"]
    first = tab.page.locator("[data-list=volume] .o-row").nth(1).locator("td").all_text_contents()
    assert first == ["BBCA", "", "8,850", "742K", "+1.43%"]
    assert tab.page.locator("#indices-rows tr").all_text_contents() == [
        "COMPOSITE7,412.08+0.64%", "LQ45812.36+0.88%",
    ]  # fmt: skip
    assert tab.text("#s-state") == "Session 2"
    assert tab.text("#s-next") == "until 15:50, in 110 min"
    assert tab.page.locator("#s-phases [aria-current]").text_content() == "Session 213:30–15:50"
    assert tab.page.title() == "COMPOSITE 7,412.08 +0.64% · bursa"
    assert tab.said == []


def test_every_request_goes_to_our_own_origin(tab: Tab) -> None:
    tab.open("/")
    tab.until("#tape-missing", "missing")
    assert len(tab.asked) > 12
    assert [url for url in tab.asked if not url.startswith(tab.url)] == []
    assert not [url for url in tab.asked if re.search(r"chart\.js|lightweight", url)]


def test_what_is_missing_is_hatched_and_named(tab: Tab) -> None:
    page = tab.open("/")
    tab.until("#data", "10:14 to 10:50 is missing on idxdata. 35 min. Messages")
    tab.until("#plot-area", "")
    assert page.locator("#plot-area .tp-gap").count() == 1
    assert page.locator("#plot-area .op-line").count() == 2
    assert "No data 10:15 to 10:50." in page.get_attribute("#plot", "aria-label")
    spark = page.locator("[data-list=gainers] [data-key=BBCA] svg")
    assert spark.locator("rect").count() == 1
    assert spark.locator("path").get_attribute("d").count("M") == 2
    assert page.locator("#plot-area .op-prev").count() == 1
    assert page.locator("#plot-area .op-break").count() == 1


def test_numbers_are_written_as_the_reader_wants_them(tab: Tab) -> None:
    page = tab.open("/?numbers=id-ID")
    tab.until("#plot-axis", r"7\.412,08")
    assert (tab.text("#h-value"), tab.text("#h-percent")) == ("7.412,08", "+0,64%")
    assert tab.text("#t-value") == "Rp\u00a01,85\u00a0tln"
    cells = page.locator("[data-list=volume] [data-key=BBCA] td").all_text_contents()
    assert cells[2:] == ["8.850", "742\u00a0rb", "+1,43%"]
    name = page.get_attribute("[data-list=volume] [data-key=BBCA] a", "title")
    assert name == "Bank Central Asia, 74.231.800 shares"
    page.click("#settings summary")
    page.click("[data-set=numbers] [value=en-US]")
    tab.until("#h-value", "7,412.08")
    tab.until("#plot-axis", "7,412.08")
    tab.until("[data-list=volume] [data-key=BBCA]", "742K")
    assert tab.said == []


def test_the_first_paint_has_the_figures_and_nothing_moves_after_it(tab: Tab) -> None:
    tab.page.add_init_script(
        """requestAnimationFrame(() => {
          const of = (id) => document.getElementById(id)?.textContent ?? "";
          window.seen = [of("h-value"), document.querySelectorAll(".o-row").length];
        });
        window.moved = 0;
        new PerformanceObserver((list) => {
          for (const { hadRecentInput, value } of list.getEntries())
            if (!hadRecentInput) window.moved += value;
        }).observe({ type: "layout-shift", buffered: true });"""
    )
    page = tab.open("/")
    tab.until("#tape-missing", "missing")
    page.wait_for_timeout(1500)
    assert page.evaluate("window.seen") == ["7,412.08", 7 + 8 + 11 + 11 + 11]
    assert page.evaluate("window.moved") < 0.02


@pytest.mark.parametrize("widths", [(1440, 1439, 1241, 1024, 901), (390,)], ids=["wide", "narrow"])
@pytest.mark.parametrize(
    "look", ["theme=dark", "theme=light&updown=idx&density=comfortable&numbers=id-ID"]
)
def test_no_look_and_no_size_scrolls_sideways(tab: Tab, widths: tuple[int, ...], look: str) -> None:
    page = tab.page
    page.set_viewport_size({"width": widths[0], "height": 844})
    if "light" in look:  # the fallback's letters are wider
        page.route("**/*.woff2", lambda route: route.fulfill(status=204))
    tab.open(f"/?{look}")
    tab.until("#tape-missing", "missing")
    page.evaluate("document.fonts.ready.then(() => true)")
    for width in widths:
        page.set_viewport_size({"width": width, "height": 844})
        page.evaluate("new Promise((f) => requestAnimationFrame(() => requestAnimationFrame(f)))")
        check_width(page, width)
    assert [text for text in tab.said if "font" not in text] == []


def check_width(page: Any, width: int) -> None:
    assert page.evaluate(SIDEWAYS) == width
    cut = """[...document.querySelectorAll(".o-list td, .b-fig dd, #indices td")]
      .filter((e) => e.offsetParent && e.scrollWidth > e.clientWidth + 1)
      .map((e) => e.textContent)"""
    assert page.evaluate(cut) == []
    beside = """[...document.querySelectorAll("#page table, .o-hero, .o-breadth, .b-figs")]
      .filter((e) => {
        const place = e.closest("section, .o-col--c").getBoundingClientRect();
        return e.getBoundingClientRect().right > (place.right || innerWidth) + 1;
      }).map((e) => e.outerHTML.slice(0, 80))"""
    assert page.evaluate(beside) == []
    page.click("#settings summary")
    assert page.evaluate(SIDEWAYS) == width
    page.keyboard.press("Escape")


def test_a_narrow_screen_leads_with_what_is_urgent(tab: Tab) -> None:
    tab.page.set_viewport_size(NARROW)
    page = tab.open("/")
    tab.until("#data", "missing")
    top = """(s) => document.querySelector(s).getBoundingClientRect().top + scrollY"""
    order = [".o-head", ".b-figs", ".o-session", ".o-data", ".o-indices", "[data-list=gainers]"]
    order += ["[data-list=losers]", "[data-list=value]", "[data-list=volume]"]
    tops = [page.evaluate(top, selector) for selector in order]
    assert tops == sorted(tops)
    assert page.locator("[data-list=gainers] .o-row:visible").count() == 5
    dock = page.locator(".b-dock a")
    assert dock.all_text_contents() == ["Overview", "Chart", "Continuity", "Docs"]
    box = dock.first.bounding_box()
    assert box["height"] >= 40
    assert page.get_attribute(".b-dock a >> nth=0", "aria-current") == "page"


# -- what moves ------------------------------------------------------------------------------------

WATCH = """() => {
  window.changed = new Set();
  window.ticked = new Set(); // a mark goes after 700 ms: caught as it is set
  new MutationObserver((records) => {
    for (const { target, addedNodes, removedNodes } of records) {
      for (const name of target.classList ?? [])
        if (name.startsWith("b-tick")) window.ticked.add(name);
      const of = (node) => (node.nodeType === 1 ? node : node.parentElement)?.closest("tr");
      const rows = [of(target), ...[...addedNodes, ...removedNodes].map(of)];
      for (const row of rows) if (row) {
        const list = row.closest("table")?.dataset.list ?? "left";
        window.changed.add(`${list} ${row.dataset.key}`);
      }
    }
  }).observe(document.getElementById("page"), {
    childList: true, characterData: true, subtree: true, attributeFilter: ["d", "class", "title"],
  });
}"""


def test_only_rows_that_changed_change(live: Tab, market: Market) -> None:
    page = live.page
    page.evaluate(WATCH)
    market.snapshot("INCO", at(TUESDAY, 14, 0, 20), 4_250, 4_315, 38_700)
    market.push()
    live.until("[data-list=gainers] [data-key=INCO] [data-column=last]", "4,315")
    page.wait_for_function("() => window.ticked.size && !document.querySelector('.b-tick-up')")
    assert page.evaluate("[...window.changed]") == ["gainers INCO"]
    assert page.evaluate("[...window.ticked]") == ["b-tick-up"]


def test_a_new_order_moves_one_row_and_waits_for_the_reader(live: Tab, market: Market) -> None:
    page = live.page
    page.evaluate(WATCH)
    market.snapshot("ADRO", at(TUESDAY, 14, 0, 20), 1_780, 1_845, 310_500)
    market.push()
    page.wait_for_function(
        "() => document.querySelector('[data-list=gainers] .o-row').dataset.key === 'ADRO'"
    )
    assert keys(live, "gainers") == ["ADRO", "BREN", "AMMN", "BMRI", "BBCA", "INCO", "ASII"]
    moved = {one for one in page.evaluate("[...window.changed]") if one.startswith("gainers")}
    assert moved == {"gainers ADRO"}

    page.hover("[data-list=gainers] [data-key=BBCA]")
    market.snapshot("BBCA", at(TUESDAY, 14, 0, 30), 8_725, 9_200, 742_400)
    market.push()
    live.until("[data-list=gainers] [data-key=BBCA]", "9,200")
    page.wait_for_timeout(1500)
    assert keys(live, "gainers")[0] == "ADRO"
    page.mouse.move(5, 5)
    page.wait_for_function(
        "() => document.querySelector('[data-list=gainers] .o-row').dataset.key === 'BBCA'"
    )

    page.focus("[data-list=gainers] [data-key=BREN] a")
    market.snapshot("BREN", at(TUESDAY, 14, 0, 40), 9_175, 9_100, 174_100)
    market.push()
    live.until("[data-list=gainers] [data-key=BREN]", "9,100")
    page.wait_for_timeout(1500)
    assert "BREN" in keys(live, "gainers")
    assert "o-left" in page.get_attribute("[data-list=gainers] [data-key=BREN]", "class")
    page.evaluate("document.activeElement.blur()")
    page.wait_for_function("() => !document.querySelector('[data-list=gainers] [data-key=BREN]')")
    page.wait_for_selector("[data-list=losers] [data-key=BREN]")
    assert live.said == []


def test_index_breadth_and_totals_follow(live: Tab, market: Market) -> None:
    ts = at(TUESDAY, 14, 1, 30)
    market.index("COMPOSITE", ts, 7_360.01, 7_365.02, 9.9e12)
    market.snapshot("GOTO", ts, 66, 67, 9_500_000)
    market.push()
    live.until("#h-value", "7,360.01")
    live.until("#h-percent", "−0.07%")
    live.until("#n-up", "▲ 8 up")
    live.until("#n-flat", "^0 unchanged$")
    live.until("#plot-axis", "7,360.01")
    assert "b-down" in live.page.get_attribute("#plot-area .op-dot", "class")
    live.until("#indices-rows", "7,360.01−0.07%")
    assert live.said == []


def test_reduced_motion_underlines_instead(browser: Any, market: Market) -> None:
    whole_market(market)
    tab = Tab(browser, market.serve(), reduced_motion="reduce")
    page = tab.open("/")
    tab.until("#plot", "7,412.08")
    # The mark stays for 700 ms: caught as it is set.
    page.evaluate(
        """() => new MutationObserver((records) => {
          for (const { target } of records) if (target.classList.contains("b-tick-down")) {
            const { boxShadow, animationDuration } = getComputedStyle(target);
            window.mark = [boxShadow, parseFloat(animationDuration) < 0.001];
          }
        }).observe(document.body, { subtree: true, attributeFilter: ["class"] })"""
    )
    market.snapshot("BREN", at(TUESDAY, 14, 0, 20), 9_175, 9_470, 174_100)
    market.push()
    page.wait_for_function("() => window.mark")
    shadow, still = page.evaluate("window.mark")
    assert still
    assert "inset" in shadow
    tab.context.close()


# -- what can be done ------------------------------------------------------------------------------


# Presses a control and waits for what must come of it.
Press = Callable[[Tab, Callable[[], object]], None]


def _shown(selector: str) -> Press:
    def press(tab: Tab, act: Callable[[], object]) -> None:
        act()
        tab.page.wait_for_selector(selector)

    return press


def _at(pattern: str) -> Press:
    """A page is opened, be it this one anew."""

    def press(tab: Tab, act: Callable[[], object]) -> None:
        with tab.page.expect_navigation(url=re.compile(pattern)):
            act()

    return press


def _set(name: str, value: str) -> Press:
    return _shown(f"html[data-{name}='{value}']")


# What is set at first comes last, so that each choice changes something.
CHOICES = {
    "theme": ("light", "dark"),
    "updown": ("idx", "asia", "safe"),
    "numbers": ("id-ID", "en-US"),
    "density": ("comfortable", "compact"),
    "keys": ("off", "on"),
}
# A chart's address, which also tells its indicators once they are chosen.
CHART = r"/chart\?symbol=IDX%3A\w+(&metrics=[\w,]+)?$"
# What a reader can press, by what must be open before, and what then happens.
MENU, SEARCH, KEYS = "#settings summary", ".b-search", "[data-open=keys]"
CONTROLS: dict[tuple[str, ...], dict[str, Press]] = {
    (): {
        ".b-skip": _at("#main$"),
        ".b-brand": _at(r"/$"),
        ".b-nav [data-key=o]": _at(r"/$"),
        ".b-nav [data-key=c]": _at(r"/chart(\?.*)?$"),
        ".b-nav [data-key=m]": _at(r"/continuity(\?.*)?$"),
        ".b-nav [data-key=d]": _at(r"/docs$"),
        SEARCH: _shown("#palette[open]"),
        MENU: _shown("#settings[open] .b-pop"),
        **{f"[data-list={name}] .o-row a": _at(CHART) for name in LISTS},
    },
    (MENU,): {
        KEYS: _shown("#keys[open]"),
        **{
            f"[data-set={name}] [value='{value}']": _set(name, value)
            for name, values in CHOICES.items()
            for value in values
        },
    },
    (SEARCH,): {
        "#palette input": _shown("#palette input:focus"),
        "#palette [role=option]": _at(CHART),
    },
}
DOCK = {
    ".b-dock a:nth-child(1)": r"/$",
    ".b-dock a:nth-child(2)": r"/chart(\?.*)?$",
    ".b-dock a:nth-child(3)": r"/continuity(\?.*)?$",
    ".b-dock a:nth-child(4)": r"/docs$",
}
# Whatever a pointer or the Tab key can reach and is not covered by one of these selectors.
UNKNOWN = """(known) => {
  const all = 'a, button, summary, input, select, textarea, [tabindex], [role=option], [onclick]';
  return [...document.querySelectorAll(all)]
    .filter((e) => e.checkVisibility({ visibilityProperty: true }))
    .filter((e) => !known.some((selector) => e.matches(selector)))
    .map((e) => e.outerHTML.slice(0, 120));
}"""


def _ready(tab: Tab, before: tuple[str, ...]) -> Any:
    page = tab.open("/")
    tab.until("#tape-missing", "missing")
    for selector in before:
        page.click(selector)
    if SEARCH in before:
        page.wait_for_selector("#palette [role=option]")
    return page


@pytest.mark.parametrize("before", [*CONTROLS, (MENU, KEYS)])
def test_no_control_is_without_its_test(tab: Tab, before: tuple[str, ...]) -> None:
    page = _ready(tab, before)
    known = [one for controls in CONTROLS.values() for one in controls]
    assert page.evaluate(UNKNOWN, known) == []
    page.set_viewport_size(NARROW)
    assert page.evaluate(UNKNOWN, known + list(DOCK)) == []


@pytest.mark.parametrize("before", CONTROLS)
def test_each_control_does_what_it_says(tab: Tab, before: tuple[str, ...]) -> None:
    page, stays = tab.page, False
    for selector, press in CONTROLS[before].items():
        if not stays:
            _ready(tab, before)
        stays = selector.startswith("[data-set=")  # a choice leaves page and menu as they are
        if selector == ".b-skip":
            page.keyboard.press("Tab")
            press(tab, lambda: page.keyboard.press("Enter"))
        else:
            press(tab, page.locator(selector).first.click)
    assert [text for text in tab.said if "404" not in text] == []


def test_the_dock_of_a_narrow_screen_leads_to_each_page(tab: Tab) -> None:
    tab.page.set_viewport_size(NARROW)
    for selector, address in DOCK.items():
        page = _ready(tab, ())
        with page.expect_navigation(url=re.compile(address)):
            page.click(selector)


def test_the_whole_row_opens_the_chart(tab: Tab) -> None:
    for name in LISTS:
        page = _ready(tab, ())
        row = page.locator(f"[data-list={name}] .o-row").nth(1)
        ticker, box = row.get_attribute("data-key"), row.bounding_box()
        page.mouse.click(box["x"] + box["width"] - 20, box["y"] + box["height"] / 2)
        tab.at("/chart", symbol=f"IDX:{ticker}")
        tab.until("#title", f"^{ticker}, ")


def test_by_keyboard_alone(tab: Tab) -> None:
    page = _ready(tab, ())
    focused = "document.activeElement.textContent"
    page.keyboard.press("j")
    assert page.evaluate(focused) == "BREN"
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert page.evaluate(focused) == "AMMN"
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == "BMRI"
    page.keyboard.press("Tab")  # a list is one stop
    assert page.evaluate(focused) == "RAJA"
    page.keyboard.press("Shift+Tab")
    assert page.evaluate(focused) == "BMRI"
    for _ in range(6):
        page.keyboard.press("j")
    assert page.evaluate(focused) == "MEDC"
    outline = "getComputedStyle(document.activeElement, '::after').outlineStyle"
    assert page.evaluate(outline) == "solid"
    page.keyboard.press("Enter")
    tab.at("/chart", symbol="IDX:MEDC")
    tab.until("#title", "MEDC")
    tab.chord("o", "/")
    tab.until("#plot", "7,412.08")
    page.keyboard.press("?")
    page.wait_for_selector("#keys[open]")
    assert "go to the docs" in tab.text("#keys-list")
    page.keyboard.press("j")
    page.keyboard.press("Escape")
    page.wait_for_selector("#keys:not([open])", state="attached")
    assert page.evaluate("document.activeElement.closest('table')") is None
    page.keyboard.press("/")
    page.wait_for_selector("#palette[open] [role=option]")
    page.keyboard.type("bren")
    tab.until("#pal-list", "^Instruments")
    page.keyboard.press("Enter")
    tab.at("/chart", symbol="IDX:BREN")
    tab.chord("o", "/")
    tab.chord("d", "/docs")


def test_keys_count_by_when_they_were_struck(tab: Tab) -> None:
    """A page that was busy meanwhile takes two of them for one order all the same."""
    page = _ready(tab, ())
    with page.expect_navigation(url=re.compile("/docs$")):
        page.evaluate(
            """() => {
              const struck = (key) => new KeyboardEvent("keydown", { key, bubbles: true });
              const [first, second] = ["g", "d"].map(struck), until = performance.now() + 1300;
              document.body.dispatchEvent(first);
              while (performance.now() < until);
              document.body.dispatchEvent(second);
            }"""
        )


def test_letters_can_be_switched_off_and_arrows_remain(tab: Tab) -> None:
    page = tab.open("/?keys=off")
    tab.until("#plot", "7,412.08")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.tagName") == "BODY"
    page.focus("[data-list=gainers] a[tabindex='0']")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.textContent") == "AMMN"


def test_forced_colors_still_tell_what_is_chosen(browser: Any, shared: str) -> None:
    """Grounds and shadows are taken away there, so a choice must differ by system colors."""
    tab = Tab(browser, shared, forced_colors="active")
    page = tab.open("/")
    tab.until("#plot", "7,412.08")
    page.click("#settings summary")
    ground = "(s) => getComputedStyle(document.querySelector(s)).backgroundColor"
    for chosen, other in (
        (".b-nav [aria-current]", ".b-nav a:not([aria-current])"),
        ("#settings [aria-pressed=true]", "#settings [aria-pressed=false]"),
    ):
        assert page.evaluate(ground, chosen) != page.evaluate(ground, other)
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.wait_for_selector("#palette [aria-selected=true]")
    option = "#palette [role=option]"
    marked = page.evaluate(ground, f"{option}[aria-selected=true]")
    assert marked != page.evaluate(ground, f"{option}:not([aria-selected=true])")
    tab.context.close()


# -- what a reader can rely on ---------------------------------------------------------------------


def test_a_feed_that_is_cut_is_said_and_heals(live: Tab, market: Market) -> None:
    page = live.page
    live.until("#fresh", "live")
    market.shown = {"connected": False}
    live.until("#fresh", "feed away")
    assert page.get_attribute("#fresh", "data-state") == "bad"
    live.until("#data", r"^Nothing came on idxdata since 14:00:05, on itchdata since 14:00:01\.")
    live.until(".o-list [data-aged]", "as of 14:00:01")
    assert page.locator("[data-aged]:visible").count() == 6
    assert "b-warn" in page.get_attribute("#h-asof", "class")
    assert keys(live, "gainers")[0] == "BREN"
    live.until_told("The feed is away")
    market.shown = {}
    live.until("#fresh", "live")
    page.wait_for_function(
        "() => ![...document.querySelectorAll('[data-aged]')].some((e) => !e.hidden)"
    )
    live.until("#data", "^10:14 to 10:50 is missing")
    market.shown = {"age_ms": 25_000}
    live.until("#fresh", "silent for 25 s")
    live.until("#data", "The connection stands, and is silent")
    assert live.said == []


def test_a_server_that_is_gone_leaves_the_figures_with_their_age(live: Tab, market: Market) -> None:
    market.stop()
    live.until("#fresh", "no connection")
    live.until(".o-list [data-aged]", "as of 14:00:01")
    assert live.text("#h-value") == "7,412.08"
    assert keys(live, "gainers")[0] == "BREN"
    assert all("net::ERR_" in text for text in live.said)  # the browser's words on each request


def test_after_hours_the_close_and_the_next_opening_are_shown(browser: Any, market: Market) -> None:
    whole_market(market)
    close = at(TUESDAY, 16, 20)
    market.shown = {"now_ns": close}
    tab = Tab(browser, market.serve())
    tab.open("/")
    tab.until("#fresh", "closed|post-close|opens")
    assert tab.text("#h-asof") == "close of Tue 18 Nov"
    assert tab.text("#s-state") == "Closed"
    assert tab.text("#s-next") == "opens Wed 19 Nov 09:00"
    assert tab.page.locator("#s-phases [data-when=past]").count() == 6
    friday = at(FRIDAY, 17, 0) + 7 * 86_400_000_000_000
    market.shown = {"now_ns": friday, "day": FRIDAY + timedelta(days=7)}
    tab.until("#s-next", "opens Mon 24 Nov 09:00$")
    assert tab.said == []
    tab.context.close()


def test_in_a_break_the_course_ends_where_the_index_stands(browser: Any, market: Market) -> None:
    """The last value of a session comes at its close, when no minute of trading is under way."""
    for minute in (58, 59):
        market.index("COMPOSITE", at(TUESDAY, 11, minute, 50), 7_400.5, 7_365.02, 5e12)
    market.index("COMPOSITE", at(TUESDAY, 12, 0), 7_401.89, 7_365.02, 5e12)
    market.push()
    market.shown = {"now_ns": at(TUESDAY, 12, 30), "day": TUESDAY}
    tab = Tab(browser, market.serve())
    tab.open("/")
    tab.until("#h-value", "7,401.89")
    tab.until("#plot-axis .op-now", "7,401.89")
    tab.context.close()


def test_before_the_opening_the_frame_of_the_day_stands(browser: Any, market: Market) -> None:
    trading_day(market, MONDAY, at(MONDAY, 16, 0), 8_725)
    market.index("COMPOSITE", at(TUESDAY, 8, 45), 7_365.02, 7_365.02, 0.0)
    market.push()
    market.shown = {"now_ns": at(TUESDAY, 8, 50), "day": TUESDAY}
    tab = Tab(browser, market.serve())
    tab.open("/")
    tab.until("#plot-area", "The day's course begins with trading at 09:00")
    assert tab.text("#plot-axis") == "7,365.02"
    assert tab.text("#plot-foot").startswith("09:00")
    assert "begins with trading at 09:00" in str(tab.page.get_attribute("#plot", "aria-label"))
    assert tab.said == []
    tab.context.close()


def test_an_empty_store_greets_with_the_next_command(browser: Any, market: Market) -> None:
    tab = Tab(browser, market.serve())
    page = tab.open("/")
    tab.until("#greet", "Nothing has come in yet")
    assert tab.text("#greet .o-command >> nth=0") == "bursa doctor"
    assert not page.is_visible("#page")
    market.shown = {"feed": False, "age_ms": None}
    page.reload()
    assert "No feed is configured for Indonesia Stock Exchange" in tab.text("#greet")
    assert tab.text("#greet .o-command >> nth=0") == "bursa replay FILE --venue idx"
    known = [one for controls in CONTROLS.values() for one in controls]
    assert page.evaluate(UNKNOWN, known) == []
    market.shown = {}
    whole_market(market)
    tab.until("#h-value", "7,412.08")
    page.wait_for_selector("#greet", state="hidden")
    tab.until("[data-list=gainers] .o-row .b-tk", "^BREN$")
    assert tab.said == []
    tab.context.close()


def test_without_a_feed_the_last_figures_are_called_what_they_are(
    browser: Any, market: Market
) -> None:
    whole_market(market)
    market.shown = {"feed": False, "connected": False, "holes": []}
    tab = Tab(browser, market.serve())
    tab.open("/")
    tab.until("#fresh", "no feed")
    tab.until("#data", "No feed is configured. These are the newest figures in the store.")
    assert tab.text("#h-value") == "7,412.08"
    tab.context.close()


def test_past_days_that_stream_in_are_counted(browser: Any, market: Market) -> None:
    whole_market(market)
    market.shown = {"progress": Progress(12, 30, date(2025, 10, 14))}
    tab = Tab(browser, market.serve())
    page = tab.open("/")
    tab.until("#progress-text", "Past days are streaming in: day 12 of 30, to 14 Oct")
    assert page.get_attribute("#progress-bar", "width") == "40.0%"
    assert tab.text("#fresh") in ("past days", "connecting")
    market.shown = {}
    page.wait_for_selector("#progress", state="hidden")
    tab.context.close()


# -- several venues --------------------------------------------------------------------------------


def test_other_venues_are_one_line_each_and_one_press_away(
    browser: Any, serve: Callable[[Any], str], facts: Any
) -> None:
    facts.others = [BINANCE]
    facts.shown = replace(facts.shown, now_ns=facts.shown.now_ns)
    tab = Tab(
        browser, serve(Litestar(Pages(facts).routes(), openapi_config=None, logging_config=None))
    )
    page = tab.open("/")
    tab.until("#venues", "Binance spotlive|Binance spotsession 2")
    assert page.locator(".o-venue").all_text_contents() == [
        "Binance spotsession 2 · 38 msCOMPOSITE 7,412.08+0.64%"
    ]
    bitcoin = Headline("BTCUSDT", "Bitcoin / TetherUS", 1, 1, 91_284.5, 92_318.1, chart=True)
    facts.figures = replace(facts.figures, headline=bitcoin, indices=[])
    page.click(".o-venue")
    tab.at("/", venue="binance")
    tab.until("#h-value", "91,284.5")
    page.wait_for_selector("#indices", state="hidden")
    assert page.get_attribute(".b-nav [data-key=c]", "href") == "/chart?venue=binance"
    tab.until("#venues", "Indonesia Stock Exchange")
    page.click("#h-name a")
    tab.at("/chart", symbol="BINANCE:BTCUSDT")
    tab.context.close()


@pytest.mark.parametrize("font", ["Inter", "fallback"])
def test_a_long_price_stays_inside_the_plot(
    browser: Any, serve: Callable[[Any], str], facts: Any, font: str
) -> None:
    minutes, values = [1_763_424_000_000_000_000], [112_345.67]
    bitcoin = Headline("BTCUSDT", "Bitcoin", 2, 1, values[0], 112_000.5, minutes, values)
    facts.figures = replace(facts.figures, headline=bitcoin, indices=[])
    tab = Tab(
        browser, serve(Litestar(Pages(facts).routes(), openapi_config=None, logging_config=None))
    )
    tab.page.set_viewport_size(NARROW)
    if font == "fallback":  # whose letters are wider
        tab.page.route("**/*.woff2", lambda route: route.fulfill(status=204))
    page = tab.open("/")
    page.wait_for_selector("#plot-axis .op-now")
    right = "document.querySelector('#plot-axis .op-now').getBoundingClientRect().right"
    assert page.evaluate(right) < page.evaluate("innerWidth") - 2
    tab.context.close()


def test_a_venue_that_does_not_run_is_an_error_page(tab: Tab) -> None:
    answer = tab.page.goto(f"{tab.url}/?venue=mars")
    assert answer.status == 404
    tab.until("main", "venue='mars' is none of idx")
    assert IDX.name in tab.text("main")
