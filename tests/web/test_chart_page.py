"""The chart page in a browser, over the real API: what a trader sees, does and can rely on."""

import re
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from bursa.web.facts import Progress
from tests.web.market import TUESDAY, Market, at, some_days
from tests.web.tab import NARROW, Tab

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a venue with four days, for tests that only look."""
    market = Market(tmp_path_factory.mktemp("shared"))
    some_days(market)
    yield market.serve()
    market.close()


def test_the_last_close_and_the_day_are_shown_and_the_console_is_silent(tab: Tab) -> None:
    page = tab.open("/chart?symbol=BBCA&interval=1&theme=dark")
    tab.drawn()
    tab.until("#q-last", "8,850")
    tab.until("#q-percent", r"^\+1\.43%$")
    assert tab.text("#q-change") == "+125"
    assert tab.text("#q-prev") == "8,725"
    assert tab.text("#name") == "Bank Central Asia"
    assert re.search(r"C 8,850.*rev 0.*VWAP 8,\d{3}", tab.text("#lg-price"))
    assert re.search(r"HD \S+K?MAPO \S+DMAPO \S+direction [+\u22120]", tab.text("#lg-hd"))
    tab.until("title", r"^BBCA 8,850 \+1\.43% 1m \u00b7 bursa$")
    assert "last 8,850" in page.get_attribute("#plot", "aria-label")
    assert tab.said == []


def test_every_request_goes_to_our_own_origin(tab: Tab) -> None:
    tab.open("/chart?symbol=BBCA&interval=1")
    tab.drawn()
    assert len(tab.asked) > 15
    assert [url for url in tab.asked if not url.startswith(tab.url)] == []


def test_a_hole_is_named_and_not_drawn_over(tab: Tab) -> None:
    page = tab.open("/chart?symbol=BBCA&interval=1")
    tab.drawn()
    tab.until("#tape-missing", "missing")
    assert "missing 35 min" in tab.text("#st-missing")
    assert re.fullmatch(r"seq [\d,]+ to [\d,]+ on idxdata", tab.text("#st-seq"))
    assert "10:15 to 10:50 is missing on idxdata. 35 min" in tab.text("#holes-list")
    assert "Missing 10:14 to 10:50." in page.get_attribute("#tape-plot", "aria-label")
    assert page.locator("#tape-plot .tp-gap").count() == 1
    share = re.search(r"no trades ([\d.]+)%", tab.text("#st-empty"))
    assert share is not None
    assert 1 < float(share[1]) < 5


# The first bars of Friday, and Friday's alone.
FRIDAY_1M, FRIDAY_5M, FRIDAY_1D = "O 8,408H 8,408L 8,333C 8,333", "O 8,408H 8,608", "C 8,600"


def test_a_chart_opens_at_the_day_that_its_address_names(tab: Tab) -> None:
    page = tab.open("/chart?symbol=BBCA&interval=1&at=2025-11-14")
    tab.drawn()
    tab.until("#lg-price", FRIDAY_1M)
    tab.at("/chart", interval="1", at="2025-11-14")
    page.focus("#plot")
    page.keyboard.press("ArrowLeft")
    tab.until("#lg-price", "^(?!O 8,408)")
    page.keyboard.press("ArrowRight")
    tab.until("#lg-price", FRIDAY_1M)
    page.keyboard.press("2")  # other bars of it
    tab.until("#lg-price", FRIDAY_5M)
    tab.at("/chart", interval="5", at="2025-11-14")
    page.keyboard.press("7")
    tab.until("#lg-price", FRIDAY_1D)
    page.focus("#plot")
    page.keyboard.press("End")  # the newest bars
    tab.until("#lg-price", "C 8,850")
    page.wait_for_url(lambda url: "at=" not in url)
    page.keyboard.press("1")
    tab.until("#lg-price", "C 8,850.*rev 0")
    for _ in range(3):
        page.go_back()
    tab.until("#lg-price", FRIDAY_1M)
    tab.at("/chart", interval="1", at="2025-11-14")
    assert tab.said == []


def test_a_chart_opens_within_what_is_missing_too(tab: Tab) -> None:
    page = tab.open("/chart?symbol=BBCA&interval=1&at=2025-11-18T10:20")
    tab.until("#lg-price", "no data|missing")
    page.focus("#plot")
    page.keyboard.press("ArrowLeft")
    tab.until("#lg-price", "no data|missing")
    assert tab.said == []


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("2025-10-01", "BBCA has no 1d bars as old as Wed 1 Oct 2025."),
        ("2025-12-01", "BBCA has no 1d bars of Mon 1 Dec 2025 yet."),
    ],
)
def test_a_place_without_bars_is_said_and_the_newest_are_shown(
    tab: Tab, where: str, said: str
) -> None:
    page = tab.open(f"/chart?symbol=BBCA&interval=D&at={where}")
    tab.until_told(said)
    tab.until("#lg-price", "C 8,850")
    assert said not in page.evaluate("window.told"), "it is said once"


def test_the_bars_stand_in_a_table_too(tab: Tab) -> None:
    page = tab.open("/chart?symbol=BBCA&interval=1")
    tab.drawn()
    first = page.locator("#bars tr").first.locator("td").all_text_contents()
    assert first[:2] == ["13:59", "8,850"]
    assert tab.text("#bars-volume") == "Lots"
    assert tab.text("#st-last") == "last bar 13:59, closed \u00b7 rev 0"


def test_the_newest_bar_of_an_earlier_day_bears_its_date(tab: Tab) -> None:
    page = tab.open("/chart?symbol=BBCA&interval=60")
    tab.until("#bars", "13 Nov")
    times = page.locator("#bars td:first-child").all_text_contents()
    dated = [at for at, time in enumerate(times) if "Nov" in time]
    assert [times[at - 1] for at in dated] == ["09:00"] * len(dated)
    assert [times[at][:6] for at in dated] == ["17 Nov", "14 Nov", "13 Nov"]


@pytest.mark.parametrize(
    ("key", "interval", "row"),
    [
        ("2", "5", "13:55"),
        ("5", "60", "13:30"),
        ("7", "D", "18 Nov 2025"),
        ("8", "W", "17 Nov 2025"),
    ],
)
def test_timeframes_by_key(tab: Tab, key: str, interval: str, row: str) -> None:
    page = tab.open("/chart?symbol=BBCA&interval=1")
    tab.drawn()
    page.keyboard.press(key)
    tab.until("#bars tr td", row)
    tab.at("/chart", interval=interval)
    page.go_back()
    tab.until("#bars tr td", "13:59")
    assert page.get_attribute("#intervals [value='1']", "aria-pressed") == "true"
    assert tab.said == []


def test_rsi_is_there_on_longer_timeframes(tab: Tab) -> None:
    tab.open("/chart?symbol=BBCA&interval=15")
    tab.drawn()
    assert re.search(r"HD \S", tab.text("#lg-hd"))
    assert tab.said == []


def test_search_by_company_name_with_the_keyboard_alone(tab: Tab) -> None:
    page = tab.open("/chart?symbol=BBCA&interval=1")
    tab.drawn()
    page.keyboard.press("/")
    page.wait_for_selector("#palette[open] [role=option]")
    assert page.locator("#palette .h").first.text_content() == "Last viewed"
    page.keyboard.type("bank")
    tab.until("#pal-list", r"^Instruments")
    assert page.locator("#palette [role=option] .b-tk").all_text_contents() == ["BBCA", "BMRI"]
    page.keyboard.press("ArrowDown")
    chosen = page.get_attribute("#palette input", "aria-activedescendant")
    assert page.get_attribute(f"#{chosen}", "aria-selected") == "true"
    page.keyboard.press("Enter")
    tab.until("#title", "BMRI, Bank Mandiri")
    tab.until("#q-last", r"5,0\d\d")
    tab.at("/chart", symbol="BMRI")
    page.keyboard.press("Control+k")
    page.wait_for_selector("#palette[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("#palette:not([open])", state="attached")
    assert tab.said == []


def test_what_a_reader_moved_to_stays_picked_when_a_slow_answer_comes(tab: Tab) -> None:
    page = tab.open("/chart?symbol=BBCA&interval=1")
    tab.drawn()
    held: list[Any] = []
    free: list[bool] = []

    def hold(route: Any) -> None:
        if free:
            route.continue_()
        else:
            held.append(route)

    page.route("**/udf/search?query=bank*", hold)
    page.keyboard.press("/")
    page.wait_for_selector("#palette[open] [role=option]")
    page.keyboard.type("b")
    tab.until("#pal-list", r"^Instruments.*BMRI")
    page.keyboard.type("ank")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    tab.until_true(lambda: held)
    free.append(True)
    for route in held:
        route.continue_()
    tab.until("#title", "BMRI, Bank Mandiri")


def test_a_search_without_a_match_says_so(tab: Tab) -> None:
    page = tab.open("/chart?symbol=BBCA&interval=1")
    page.keyboard.press("/")
    page.keyboard.type("zzz")
    tab.until("#pal-none", "No code or company name holds \u201czzz\u201d")
    assert page.get_attribute("#palette input", "aria-expanded") == "false"


def test_keys_are_listed_and_can_be_switched_off(tab: Tab) -> None:
    page = tab.open("/chart?symbol=BBCA&interval=1")
    page.keyboard.press("?")
    page.wait_for_selector("#keys[open]")
    page.keyboard.press("Escape")
    page.click("#settings summary")
    page.click("[data-set=keys] [value=off]")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.press("2")
    assert page.query_selector("#palette[open]") is None
    assert "interval=1" in page.url


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("updown", ["safe", "idx", "asia"])
def test_every_look_paints_the_chart_in_its_own_colours(tab: Tab, theme: str, updown: str) -> None:
    page = tab.open(f"/chart?symbol=BBCA&interval=1&theme={theme}&updown={updown}")
    tab.drawn()
    page.wait_for_function(  # it is painted some frames after it is known
        """() => {
          const root = getComputedStyle(document.documentElement);
          const want = ["panel", "up", "down", "sogan"].map((n) => root.getPropertyValue("--" + n));
          const seen = new Set(), hex = (byte) => byte.toString(16).padStart(2, "0");
          for (const canvas of document.querySelectorAll("#plot td canvas")) {
            if (!canvas.width || !canvas.height) continue;
            const copy = new OffscreenCanvas(canvas.width, canvas.height);
            const g = copy.getContext("2d", { willReadFrequently: true });
            g.drawImage(canvas, 0, 0);
            const { data } = g.getImageData(0, 0, canvas.width, canvas.height);
            for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255)
              seen.add("#" + [0, 1, 2].map((k) => hex(data[i + k])).join(""));
          }
          return want.every((colour) => seen.has(colour.trim()));
        }""",
        polling=100,
    )
    assert tab.said == []


def test_a_choice_is_kept_and_rendered_by_the_server(tab: Tab) -> None:
    page = tab.open("/chart?symbol=BBCA&interval=1&theme=dark")
    tab.drawn()
    page.click("#settings summary")
    page.click("[data-set=theme] [value=light]")
    page.click("[data-set=numbers] [value=id-ID]")
    tab.until("#q-last", r"8\.850")
    page.wait_for_function("() => !location.search.includes('theme=')")
    page.reload()
    html = page.evaluate("fetch(location.href).then((r) => r.text())")
    assert 'data-theme="light"' in html
    assert 'data-numbers="id-ID"' in html
    tab.until("#q-percent", r"\+1,43%")


def test_older_bars_come_when_scrolling_back(tab: Tab) -> None:
    page = tab.open("/chart?symbol=BBCA&interval=1")
    tab.drawn()
    assert "from Fri 14 Nov" in page.get_attribute("#plot", "aria-label")
    page.focus("#plot")
    page.keyboard.press("Home")
    page.wait_for_function(
        "() => document.getElementById('plot').ariaLabel.includes('from Thu 13 Nov')"
    )
    tab.until("#q-last", "8,850")
    assert tab.said == []


def test_bar_by_bar_with_the_arrows(tab: Tab) -> None:
    page = tab.open("/chart?symbol=BBCA&interval=1")
    tab.drawn()
    newest = tab.text("#lg-price")
    page.focus("#plot")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.wait_for_function(
        "(t) => document.getElementById('lg-price').textContent !== t", arg=newest
    )
    page.keyboard.press("End")
    page.wait_for_function(
        "(t) => document.getElementById('lg-price').textContent === t", arg=newest
    )


def test_a_narrow_screen_has_no_sideways_scroll(tab: Tab) -> None:
    page = tab.page
    page.set_viewport_size(NARROW)
    tab.open("/chart?symbol=BBCA&interval=1")
    tab.drawn()
    width = "document.documentElement.scrollWidth"
    assert page.evaluate(width) == NARROW["width"]
    tab.until("#mini-last", "^8,850$")
    page.click("#settings summary")
    assert page.evaluate(width) == NARROW["width"]
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.wait_for_selector("#palette[open] [role=option]")
    assert page.evaluate(width) == NARROW["width"]
    assert page.locator("#plot").bounding_box()["height"] >= 400


def test_nothing_moves_once_it_is_drawn(tab: Tab) -> None:
    page = tab.page
    page.add_init_script(
        """window.moved = 0;
        new PerformanceObserver((list) => {
          for (const { hadRecentInput, value } of list.getEntries())
            if (!hadRecentInput) window.moved += value;
        }).observe({ type: "layout-shift", buffered: true });"""
    )
    tab.open("/chart?symbol=BBCA&interval=1")
    tab.drawn()
    page.wait_for_timeout(500)
    assert page.evaluate("window.moved") < 0.02


def test_an_unknown_instrument_has_a_way_out(tab: Tab) -> None:
    page = tab.open("/chart?symbol=NOPE&interval=1")
    tab.until("#empty", "IDX has no instrument NOPE")
    page.click("#empty button")
    page.wait_for_selector("#palette[open] [role=option]")
    page.keyboard.type("TLKM")
    tab.until("#pal-list", "Telkom")
    page.keyboard.press("Enter")
    tab.until("#empty", "No bars of TLKM yet")
    tab.until("#name", "^Telkom Indonesia$")


def test_an_error_is_a_page_in_the_look(tab: Tab) -> None:
    answer = tab.page.goto(f"{tab.url}/nowhere")
    assert answer.status == 404
    assert answer.headers["content-type"].startswith("text/html")
    tab.until("main", "There is no such page")
    tab.page.keyboard.press("/")
    tab.page.wait_for_selector("#palette[open] [role=option]")
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_url(re.compile(r"/chart\?symbol="))


def test_a_trade_moves_the_page(browser: Any, market: Market) -> None:
    some_days(market)
    tab = Tab(browser, market.serve())
    page = tab.open("/chart?symbol=BBCA&interval=1")
    tab.drawn()
    market.trade("BBCA", at(TUESDAY, 14, 0, 20), 8_900)
    market.push()
    tab.until("#q-last", "8,900")
    tab.until("#bars tr td", "14:00")
    tab.until("#st-last", "last bar 14:00, open")
    market.trade("BBCA", at(TUESDAY, 14, 1, 20), 8_800)
    market.push()
    tab.until("#lg-price", "C 8,800")
    tab.until("title", "8,800")
    page.keyboard.press("2")
    tab.until("#bars tr td", "14:00")
    market.trade("BBCA", at(TUESDAY, 14, 1, 40), 8_875)
    market.push()
    tab.until("#lg-price", r"O 8,900 ?H 8,900 ?L 8,800 ?C 8,875")
    assert tab.said == []
    tab.context.close()


def test_a_new_hole_is_drawn_when_it_opens(browser: Any, market: Market) -> None:
    some_days(market)
    tab = Tab(browser, market.serve())
    tab.open("/chart?symbol=BBCA&interval=1")
    tab.drawn()
    market.lose(100)
    market.trade("BBCA", at(TUESDAY, 14, 12, 5), 8_850)
    market.status(b"H", at(TUESDAY, 14, 13, 10))
    market.push()
    tab.until("#st-missing", "missing 47 min")
    tab.until_told("Data went missing|missing")
    tab.context.close()


def test_an_empty_venue_fills_by_itself(browser: Any, market: Market) -> None:
    market.shown = {"progress": Progress(12, 30, date(2025, 10, 14))}
    tab = Tab(browser, market.serve())
    page = tab.open("/chart?symbol=BBCA&interval=1")
    tab.until("#empty", "No bars of BBCA yet")
    tab.until("#progress", "Past days are streaming in: day 12 of 30, to 14 Oct")
    assert tab.text("#fresh") == "past days"
    some_days(market)
    market.shown = {}
    tab.drawn()
    tab.until("#q-last", "8,850")
    page.wait_for_selector("#progress", state="hidden")
    page.wait_for_selector("#empty", state="hidden")
    tab.context.close()


def test_a_silent_feed_and_a_cut_stream_are_said(browser: Any, market: Market) -> None:
    some_days(market)
    tab = Tab(browser, market.serve())
    page = tab.page
    sockets: list[Any] = []
    heard: list[str] = []
    forget: list[bool] = []

    def relay(socket: Any) -> None:
        sockets.append(socket)
        server = socket.connect_to_server()

        def said(message: str) -> None:
            heard.append(message)
            server.send(message)

        def told(message: str) -> None:
            lost = forget and '"recovered":true' in message
            socket.send(message.replace("true", "false", 1) if lost else message)

        socket.on_message(said)
        server.on_message(told)

    page.route_web_socket(re.compile("/v1/stream"), relay)
    tab.open("/chart?symbol=BBCA&interval=1")
    tab.drawn()
    tab.until("#fresh", "live")
    market.shown = {"age_ms": 25_000}
    tab.until("#fresh", "silent for 25 s")
    assert page.get_attribute("#fresh", "data-state") == "stale"
    market.shown = {"connected": False}
    tab.until("#fresh", "feed away")
    market.shown = {}
    tab.until("#fresh", "live")
    sockets[-1].close(code=1012)
    tab.until_told("The stream is cut")
    market.trade("BBCA", at(TUESDAY, 14, 0, 20), 8_925)
    market.push()
    tab.until("#fresh", "live")
    tab.until("#lg-price", "C 8,925")
    assert len(sockets) == 2
    assert '"resume"' in heard[-1]
    forget.append(True)

    def pages() -> int:
        return sum("countback=600" in url for url in tab.asked)

    before = pages()
    sockets[-1].close(code=1012)
    tab.until_told("The stream is cut")
    tab.until("#fresh", "live")
    tab.until_true(lambda: pages() > before)
    page.wait_for_timeout(300)
    assert pages() == before + 1
    market.stop()
    tab.until("#fresh", "no connection|stream cut")
    tab.until("#q-last", "8,925")
    tab.context.close()
