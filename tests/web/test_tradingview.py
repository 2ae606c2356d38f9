"""An operator's TradingView library: its folder is checked and served, its page may do what it
needs and no more, and our datafeed answers it.

The licensed library is not to be had here. In its place stands `STAND_IN`, written from its public
documentation: `TradingView.widget` takes the documented options, makes a frame of a blob whose
document has a base, inline scripts and inline styles, and calls the datafeed in the documented
order. It draws nothing. What the real library does beyond its documentation is not shown here.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from bursa.model.errors import Refuse
from bursa.web.pages import Pages
from bursa.web.tradingview import SCRIPT, Library, load
from tests.web.market import TUESDAY, Market, at, some_days

FAR = 4_102_444_800
PATIENCE_MS = 60_000

STAND_IN = """
(() => {
  const page = (base) => `<!doctype html><html><head><base href="${base}">
    <link rel="stylesheet" href="bundles/inner.css">
    <script>window.inline = true;</script><script src="bundles/inner.0123456789abcdef.js"></script>
    </head><body style="margin: 3px"><script>parent.inner(window);</script></body></html>`;
  class Event { constructor() { this.heard = []; } subscribe(_, call) { this.heard.push(call); } }
  class widget {
    constructor(options) {
      window.seen = { options, ticks: [], quotes: [], themes: [], overrides: [options.overrides] };
      this.options = options;
      this.changed = { symbol: new Event(), interval: new Event() };
      this.ready = new Promise((done) => { window.inner = done; });
      const frame = document.createElement("iframe");
      frame.setAttribute("style", "display:block; width:100%; height:100%");
      const base = new URL(options.library_path, location.href).href;
      frame.src = URL.createObjectURL(new Blob([page(base)], { type: "text/html" }));
      document.getElementById(options.container).append(frame);
    }
    async onChartReady(call) {
      const inner = await this.ready;
      Object.assign(seen, { inline: inner.inline, bundle: inner.bundle,
        margin: inner.getComputedStyle(inner.document.body).margin,
        ink: inner.getComputedStyle(inner.document.body).color });
      const feed = this.options.datafeed;
      seen.config = await new Promise((done) => feed.onReady(done));
      seen.found = await new Promise((done) => feed.searchSymbols("BANK CENTRAL", "", "", done));
      await this.show(this.options.symbol, this.options.interval);
      seen.time = await new Promise((done) => feed.getServerTime(done));
      seen.quotes = await new Promise((done) => feed.getQuotes(["IDX:BBCA", "IDX:NIX"], done));
      feed.subscribeQuotes([], ["IDX:BBCA"], (rows) => { seen.live = rows; }, "quotes");
      call();
    }
    async show(symbol, resolution) {
      const feed = this.options.datafeed;
      const info = await new Promise((done, bad) => feed.resolveSymbol(symbol, done, bad));
      Object.assign(this, { symbol, resolution });
      const bars = (params) => new Promise((done, bad) =>
        feed.getBars(info, resolution, params, (found, meta) => done([found, meta]), bad));
      const to = Math.floor(Date.now() / 1000), countBack = 300;
      const [newest, meta] = await bars({ from: to - 9, to, countBack, firstDataRequest: true });
      const before = newest[0].time / 1000, later = { countBack, firstDataRequest: false };
      const [older] = await bars({ from: 0, to: before, ...later });
      const [none, end] = await bars({ from: 0, to: 86400, ...later });
      Object.assign(seen, { info, bars: [...older, ...newest], meta, none, end });
      const [first, last] = [seen.bars[0].time / 1000, newest.at(-1).time / 1000];
      const told = (ask) => new Promise((f) => ask.call(feed, info, first, last, f, resolution));
      seen.marks = await told(feed.getMarks);
      seen.scale = await told(feed.getTimescaleMarks);
      feed.subscribeBars(info, resolution, (bar) => seen.ticks.push(bar), "one", () => {});
    }
    activeChart() {
      return {
        symbol: () => this.symbol, resolution: () => this.resolution,
        onSymbolChanged: () => this.changed.symbol, onIntervalChanged: () => this.changed.interval,
        setSymbol: async (symbol) => {
          this.options.datafeed.unsubscribeBars("one");
          await this.show(symbol, this.resolution);
          for (const call of this.changed.symbol.heard) call();
        },
      };
    }
    applyOverrides(overrides) { seen.overrides.push(overrides); }
    async changeTheme(theme) { seen.themes.push(theme); }
  }
  window.TradingView = { widget, version: () => "stand-in" };
})();
"""


def package(folder: Path, place: str = "charting_library") -> Path:
    """A folder laid out as the library's package is."""
    (folder / place / "bundles").mkdir(parents=True)
    (folder / place / SCRIPT).write_text(STAND_IN)
    (folder / place / "bundles/inner.0123456789abcdef.js").write_text("window.bundle = true;")
    (folder / place / "bundles/inner.css").write_text("body { color: rgb(1, 2, 3); }")
    (folder / place / "bundles/icon.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (folder / place / "sameorigin.html").write_text("<!doctype html><title>empty</title>")
    return folder


# -- the folder ------------------------------------------------------------------------------------


def test_the_library_may_lie_in_the_folder_or_in_its_package(tmp_path: Path) -> None:
    packed, flat = package(tmp_path / "a"), package(tmp_path / "b", ".")
    found = [load(str(folder)) for folder in (packed, flat)]
    assert [library and library.path for library in found] == [
        "/tradingview/charting_library/",
        "/tradingview/",
    ]
    assert load("") is None


@pytest.mark.parametrize(
    ("name", "words"),
    [("none", "No such file"), ("file", "holds neither"), ("empty", f"holds neither {SCRIPT}")],
)
def test_a_folder_without_the_library_is_refused(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Refuse, match=f"^web.tradingview: .*{words}") as refusal:
        load(str(tmp_path / name))
    assert (refusal.value.code, refusal.value.parameter) == ("bad_config", "web.tradingview")


def test_a_start_stops_at_a_wrong_folder(tmp_path: Path) -> None:
    settings = {
        "BURSA_DATA": str(tmp_path / "data"),
        "BURSA_WEB_TRADINGVIEW": str(tmp_path / "none"),
        "BURSA_HTTP_PORT": "0",
    }
    done = subprocess.run(
        [sys.executable, "-m", "bursa", "up", "--demo"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **settings},
    )
    assert done.returncode and "Traceback" not in done.stderr
    assert "web.tradingview" in done.stderr
    assert not (tmp_path / "data/exchange").exists()


# -- what is served --------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A package with things beside and in it that must not be had."""
    (tmp_path / "secret.txt").write_text("secret")
    folder = package(tmp_path / "library")
    (folder / ".hidden.js").write_text("secret")
    (folder / ".git").mkdir()
    (folder / ".git/config").write_text("secret")
    (folder / "out.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "outside").symlink_to(tmp_path)
    (folder / "inside.css").symlink_to(folder / "charting_library/bundles/inner.css")
    os.mkfifo(folder / "pipe")
    return folder


@pytest.fixture
def client(facts: Any, folder: Path) -> Iterator[TestClient[Litestar]]:
    app = Litestar(
        Pages(facts, load(str(folder))).routes(), openapi_config=None, logging_config=None
    )
    with TestClient(app) as client:
        yield client


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        (f"charting_library/{SCRIPT}", "text/javascript; charset=utf-8"),
        ("charting_library/bundles/inner.css", "text/css; charset=utf-8"),
        ("charting_library/bundles/icon.svg", "image/svg+xml"),
        ("charting_library/sameorigin.html", "text/html; charset=utf-8"),
        ("inside.css", "text/css; charset=utf-8"),
    ],
)
def test_files_of_the_folder_are_served(
    client: TestClient[Litestar], folder: Path, name: str, media_type: str
) -> None:
    answer = client.get(f"/tradingview/{name}")
    assert answer.status_code == 200
    assert answer.content == (folder / name).read_bytes()
    assert answer.headers["content-type"] == media_type
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    assert client.post(f"/tradingview/{name}").status_code == 405


@pytest.mark.parametrize(
    "name",
    [
        "none.js",
        "charting_library",
        "charting_library/",
        "charting_library/bundles",
        "../secret.txt",
        "%2e%2e/secret.txt",
        "charting_library/%2e%2e/%2e%2e/secret.txt",
        "charting_library/..%2f..%2fsecret.txt",
        "..%5csecret.txt",
        "%2Fetc%2Fpasswd",
        "/etc/passwd",
        "out.txt",
        "outside/secret.txt",
        "outside",
        ".hidden.js",
        ".git/config",
        "pipe",
        "a%00b",
        "a" * 5000,
    ],
)
def test_nothing_else_is(client: TestClient[Litestar], folder: Path, name: str) -> None:
    answer = client.get(f"/tradingview/{name}")
    assert answer.status_code == 404
    assert "secret" not in answer.text.replace("secret.txt", "")
    assert str(folder) not in answer.text and "root:" not in answer.text


def test_the_folders_own_files_decide_not_their_names(folder: Path) -> None:
    library = load(str(folder))
    assert isinstance(library, Library)
    for name in ("..", ".", "", "/", "../library/inside.css", "charting_library/../inside.css"):
        assert library.file(name) is None


def test_a_file_is_asked_for_anew_only_when_it_changed(
    client: TestClient[Litestar], folder: Path
) -> None:
    path = f"/tradingview/charting_library/{SCRIPT}"
    first = client.get(path)
    assert first.headers["cache-control"] == "private, no-cache"
    again = client.get(path, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    (folder / f"charting_library/{SCRIPT}").write_text("// another version")
    assert client.get(path, headers={"if-none-match": first.headers["etag"]}).status_code == 200
    bundle = client.get("/tradingview/charting_library/bundles/inner.0123456789abcdef.js")
    assert "immutable" in bundle.headers["cache-control"]


def rules(answer: Any) -> dict[str, str]:
    policy: str = answer.headers["content-security-policy"]
    return dict(rule.split(" ", 1) for rule in policy.split("; "))


def test_only_the_librarys_page_and_folder_have_the_wider_policy(
    client: TestClient[Litestar],
) -> None:
    strict = rules(client.get("/chart?symbol=BBCA"))
    wide = rules(client.get("/chart?symbol=BBCA&lib=tradingview"))
    framed = rules(client.get("/tradingview/charting_library/sameorigin.html"))
    assert "unsafe" not in json.dumps(strict) and "blob:" not in json.dumps(strict)
    assert rules(client.get("/tradingview/none")) == strict
    assert wide["script-src"] == "'self' 'unsafe-inline' blob:"
    assert wide["frame-ancestors"] == "'none'" and framed["frame-ancestors"] == "'self'"
    assert framed == wide | {"frame-ancestors": "'self'"}
    for name in ("default-src", "connect-src", "form-action"):
        assert wide[name] == strict[name]
    assert "unsafe-eval" not in json.dumps(wide) and "http" not in json.dumps(wide)


def test_the_page_names_the_script_and_nothing_from_elsewhere(
    client: TestClient[Litestar],
) -> None:
    html = client.get("/chart?symbol=BBCA&lib=tradingview&interval=1d").text
    assert f'src="/tradingview/charting_library/{SCRIPT}"' in html
    assert 'data-library="/tradingview/charting_library/"' in html
    assert 'data-interval="D"' in html
    assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?![^>]*\ssrc=)", html)
    assert not re.search(r'(?:src|href)="(?!/|#)', html)
    for url in set(re.findall(r'"(/static/[^"]+)"', html)):
        assert client.get(url).status_code == 200, url


def test_an_unknown_instrument_and_library_are_said(client: TestClient[Litestar]) -> None:
    unknown = client.get("/chart?symbol=NIX&lib=tradingview")
    assert unknown.status_code == 404 and "IDX has no instrument NIX" in unknown.text
    other = client.get("/chart?lib=highcharts")
    assert other.status_code == 400 and "lightweight or tradingview" in other.text


def test_without_a_folder_the_page_says_what_to_configure(facts: Any) -> None:
    with TestClient(
        Litestar(Pages(facts).routes(), openapi_config=None, logging_config=None)
    ) as client:
        answer = client.get("/chart?lib=tradingview")
        assert answer.status_code == 404
        assert "web.tradingview" in answer.text and SCRIPT in answer.text
        assert "<code>no_library</code>" in answer.text
        assert client.get(f"/tradingview/{SCRIPT}").status_code == 404


# -- in a browser ----------------------------------------------------------------------------------


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Market]:
    market = Market(tmp_path)
    some_days(market)
    yield market
    market.close()


@pytest.fixture
def opened(browser: Any, market: Market, tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """opened(query): the page over the stand-in; what its console says and asks is kept."""
    folder = package(tmp_path / "library")
    url = market.serve(load(str(folder)))
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.said, page.asked, page.base = [], [], url
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))

    def visit(query: str) -> Any:
        page.goto(f"{url}/chart?{query}")
        return page

    yield visit
    context.close()


def ready(page: Any) -> Any:
    page.wait_for_selector("#tv[data-ready=yes]")
    return page.evaluate("({ ...seen, options: { ...seen.options, datafeed: null } })")


@pytest.mark.browser
def test_the_widget_gets_what_the_documentation_asks_for(opened: Callable[[str], Any]) -> None:
    page = opened("symbol=BBCA&interval=D&lib=tradingview&theme=light&at=2025-11-17")
    options = ready(page)["options"]
    assert options["symbol"] == "IDX:BBCA" and options["interval"] == "1D"
    assert options["library_path"] == "/tradingview/charting_library/"
    assert (options["theme"], options["timezone"]) == ("light", "Asia/Jakarta")
    assert options["autosize"] and options["container"] == "tv"
    assert options["timeframe"] == {"from": 1763312400, "to": 1763398800}


@pytest.mark.browser
def test_its_frame_may_run_and_the_console_is_silent(opened: Callable[[str], Any]) -> None:
    page = opened("symbol=BBCA&lib=tradingview")
    seen = ready(page)
    assert seen["inline"] and seen["bundle"]
    assert (seen["margin"], seen["ink"]) == ("3px", "rgb(1, 2, 3)")
    assert page.said == []
    own = (page.base, f"blob:{page.base}")
    assert [url for url in page.asked if not url.startswith(own)] == []


@pytest.mark.browser
def test_the_datafeed_hands_on_what_udf_says(opened: Callable[[str], Any]) -> None:
    page = opened("symbol=BBCA&lib=tradingview")
    seen = ready(page)
    with httpx.Client(base_url=page.base) as client:
        asked: dict[str, str | int] = {"symbol": "IDX:BBCA", "resolution": "1", "from": 0}
        body = client.get("/udf/history", params=asked | {"to": FAR, "countback": 600}).json()
        assert [bar["time"] // 1000 for bar in seen["bars"]] == body["t"]
        assert [bar["close"] for bar in seen["bars"]] == body["c"]
        assert [bar["volume"] for bar in seen["bars"]] == body["v"]
        assert seen["config"] == client.get("/udf/config").json()
        assert seen["info"] == client.get("/udf/symbols?symbol=IDX:BBCA").json()
        span = {"from": body["t"][0], "to": body["t"][-1]}
        marks = client.get("/udf/marks", params=asked | span).json()
        assert [mark["id"] for mark in seen["marks"]] == marks["id"] != []
        assert seen["scale"] == client.get("/udf/timescale_marks", params=asked | span).json()
    assert seen["meta"] == {"noData": False}
    assert (seen["none"], seen["end"]) == ([], {"noData": True})
    assert [found["full_name"] for found in seen["found"]] == ["IDX:BBCA"]
    unknown = "() => new Promise((f) => seen.options.datafeed.resolveSymbol('IDX:NIX', null, f))"
    assert "NIX" in page.evaluate(unknown)
    assert seen["time"] >= body["t"][-1]
    assert [quote["s"] for quote in seen["quotes"]] == ["ok", "error"]


@pytest.mark.browser
def test_live_bars_come_in_order_and_once(opened: Callable[[str], Any], market: Market) -> None:
    page = opened("symbol=BBCA&lib=tradingview")
    last = ready(page)["bars"][-1]
    market.trade("BBCA", at(TUESDAY, 14, 1, 5), 8_900)
    market.trade("BBCA", at(TUESDAY, 14, 3, 5), 8_925)
    market.push()
    page.wait_for_function("() => seen.ticks.at(-1)?.close === 8925")
    market.trade("BBCA", at(TUESDAY, 14, 3, 9), 8_950)
    market.push()
    page.wait_for_function("() => seen.ticks.at(-1)?.close === 8950")
    ticks = page.evaluate("seen.ticks")
    times = [tick["time"] for tick in ticks]
    assert times == sorted(times) and times[0] >= last["time"]
    assert {time // 1000 for time in times} >= {at(TUESDAY, 14, m) // 10**9 for m in (1, 3)}
    assert len({json.dumps(tick) for tick in ticks}) == len(ticks)
    page.wait_for_function("() => seen.live?.[0].v.lp === 8950")


@pytest.mark.browser
def test_search_and_display_settings_reach_the_widget(opened: Callable[[str], Any]) -> None:
    page = opened("symbol=BBCA&lib=tradingview&theme=dark")
    seen = ready(page)
    page.keyboard.press("/")
    page.keyboard.type("bmri")
    page.wait_for_selector("#pal-list [role=option]")
    page.keyboard.press("Enter")
    page.wait_for_function("() => location.search.includes('BMRI')")
    assert "lib=tradingview" in page.url
    page.wait_for_function("() => document.title === 'BMRI \u00b7 bursa'")
    page.click("#settings summary")
    page.click("[data-set=theme] button[value=light]")
    page.wait_for_function("() => seen.themes.at(-1) === 'light' && seen.overrides.length > 2")
    up = "mainSeriesProperties.candleStyle.upColor"
    assert seen["overrides"][0][up] == "#2fc7bc"
    assert page.evaluate("seen.overrides.at(-1)")[up] == "#006a6b"
    assert page.said == []


@pytest.mark.browser
def test_from_an_unknown_instrument_search_leads_to_the_same_library(
    opened: Callable[[str], Any],
) -> None:
    page = opened("symbol=NIX&lib=tradingview&interval=5")
    page.click("[data-open=palette]:visible >> text=Search")
    page.keyboard.type("bbca")
    page.wait_for_selector("#pal-list [role=option]")
    page.keyboard.press("Enter")
    options = ready(page)["options"]
    assert (options["symbol"], options["interval"]) == ("IDX:BBCA", "5")


@pytest.mark.browser
def test_a_library_that_does_not_load_is_said(opened: Callable[[str], Any], tmp_path: Path) -> None:
    (tmp_path / f"library/charting_library/{SCRIPT}").write_text("/* not it */")
    page = opened("symbol=BBCA&lib=tradingview")
    page.wait_for_selector("#failed:visible")
    assert "did not load" in page.text_content("#failed")
