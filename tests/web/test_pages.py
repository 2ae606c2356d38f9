"""The routes: what they answer, with which headers, and how they refuse."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from bursa.model.venue import IDX, XNAS
from bursa.web.facts import Instrument, Progress
from bursa.web.overview import Overviews
from bursa.web.pages import Pages

# A data block is no script.
INLINE = r"\sstyle=|\son\w+=|<style|<script(?![^>]*(?:\ssrc=|type=\"application/json\"))"


@pytest.fixture
def client(facts: Any) -> Iterator[TestClient[Litestar]]:
    app = Litestar(Pages(facts).routes(), openapi_config=None, logging_config=None)
    with TestClient(app) as client:
        yield client


def attributes(html: str, tag: str) -> dict[str, str]:
    found = re.search(rf"<{tag}\b[^>]*>", html)
    assert found is not None
    return dict(re.findall(r'([\w-]+)="([^"]*)"', found[0]))


def test_the_overview_brings_its_first_figures_along(client: TestClient[Litestar]) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    found = re.search(r'<script type="application/json" id="first">(.*?)</script>', answer.text)
    assert found is not None
    first = json.loads(found[1])
    assert first["overview"] == client.get("/web/overview").json()
    assert first["tape"]["session"] == "session 2"
    assert first["overview"]["rows"]["TLKM"]["name"] == "</script><b>"


def test_the_overviews_json_says_the_day(client: TestClient[Litestar]) -> None:
    answer = client.get("/web/overview?venue=idx")
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert (body["venue"], body["day"], body["offset_s"]) == ("idx", "2025-11-18", 7 * 3600)
    head = body["headline"]
    assert (head["code"], head["value"], head["prev"]) == ("COMPOSITE", 7412.08, 7365.02)
    assert head["minutes"] == [0, 1]
    assert [b - a for a, b in head["lost"]] == [35 * 60_000]
    assert head["from"] == body["trading"][0][0]
    assert body["indices"][1]["prev"] is None
    assert body["lists"]["losers"] == ["TLKM"]
    assert body["rows"]["BBCA"]["spark"] == [1.0, None]
    assert body["totals"]["usual"] == 1.2
    assert body["venues"] == []
    hour, minute = divmod((body["next_open"] // 60_000 + 7 * 60) % 1440, 60)
    assert (hour, minute) == (15, 50)  # the closing auction


def test_a_venue_is_asked_once_a_second_however_many_look(facts: Any) -> None:
    asked: list[str] = []
    clock = [100.0]

    def market(venue: str) -> Any:
        asked.append(venue)
        return facts.figures

    counted = type("Counted", (type(facts),), {"market": lambda _, venue: market(venue)})()
    overviews = Overviews(counted, lambda: clock[0])
    bodies = {overviews.body(IDX) for _ in range(5)}
    clock[0] += 0.99
    bodies.add(overviews.body(IDX))
    assert (len(bodies), asked) == (1, ["idx"])
    clock[0] += 0.02
    overviews.body(IDX)
    assert asked == ["idx", "idx"]


def test_an_overview_of_no_venue_is_an_error_page(client: TestClient[Litestar]) -> None:
    answer = client.get("/?venue=mars")
    assert answer.status_code == 404
    assert "<code>unknown_venue</code>" in answer.text
    assert "content-security-policy" in answer.headers


def test_the_chart_is_rendered_as_the_reader_wants_it(client: TestClient[Litestar]) -> None:
    answer = client.get(
        "/chart?symbol=BBCA&interval=5",
        headers={"cookie": "bursa_display=theme=light&updown=asia&numbers=id-ID"},
    )
    html = attributes(answer.text, "html")
    assert (html["data-theme"], html["data-updown"], html["data-numbers"]) == (
        "light",
        "asia",
        "id-ID",
    )
    assert "Bank Central Asia" in answer.text
    assert 'value="5" aria-pressed="true"' in answer.text
    assert answer.headers["vary"] == "Cookie, Sec-CH-Prefers-Color-Scheme"


def test_the_browsers_scheme_counts_without_a_cookie(client: TestClient[Litestar]) -> None:
    answer = client.get("/chart", headers={"sec-ch-prefers-color-scheme": '"light"'})
    assert attributes(answer.text, "html")["data-theme"] == "light"
    assert answer.headers["accept-ch"] == "Sec-CH-Prefers-Color-Scheme"
    assert attributes(client.get("/chart").text, "html")["data-theme"] == "dark"
    forced = client.get("/chart?theme=dark", headers={"sec-ch-prefers-color-scheme": "light"})
    assert attributes(forced.text, "html")["data-theme"] == "dark"


@pytest.mark.parametrize("page", ["/", "/chart?symbol=BBCA"])
def test_nothing_is_inline_and_nothing_comes_from_elsewhere(
    client: TestClient[Litestar], page: str
) -> None:
    answer = client.get(page)
    policy = answer.headers["content-security-policy"]
    for rule in (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    ):
        assert rule in policy
    assert "unsafe" not in policy
    assert "connect-src 'self' ws://testserver.local wss://testserver.local;" in policy
    assert not re.search(INLINE, answer.text)
    loaded = re.findall(r'(?:src|href)="([^"#]+)"', answer.text)
    outside = [url for url in loaded if not url.startswith("/")]
    assert set(outside) <= {"https://www.tradingview.com/"}  # a link to follow, no file to fetch


@pytest.mark.parametrize("page", ["/", "/chart?symbol=BBCA"])
def test_every_file_that_the_page_names_is_there(client: TestClient[Litestar], page: str) -> None:
    html = client.get(page).text
    urls = set(re.findall(r'"(/static/[^"]+)"', html))
    assert len(urls) > 10
    for url in urls:
        answer = client.get(url)
        assert answer.status_code == 200, url
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_file_under_another_hash_is_not_cached(client: TestClient[Litestar]) -> None:
    answer = client.get("/static/000000000000/css/bursa.css")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-encoding"] == "gzip"
    plain = client.get("/static/x/css/bursa.css", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == answer.content


@pytest.mark.parametrize("name", ["none.js", "../pages.py", "js/../../pages.py", "%2e%2e/pages.py"])
def test_only_files_of_the_folder_are_served(client: TestClient[Litestar], name: str) -> None:
    assert client.get(f"/static/x/{name}").status_code == 404


def test_an_unknown_instrument_is_said_with_a_way_out(client: TestClient[Litestar]) -> None:
    answer = client.get("/chart?symbol=NOPE")
    assert answer.status_code == 404
    assert "IDX has no instrument NOPE" in answer.text
    assert 'data-open="palette">Search' in answer.text


@pytest.mark.parametrize("prefix", ["NASDAQ", "XNAS", "xnas"])
def test_a_symbol_bears_its_exchange_or_its_venue(prefix: str, facts: Any) -> None:
    facts.others = [XNAS]
    with TestClient(
        Litestar(Pages(facts).routes(), openapi_config=None, logging_config=None)
    ) as client:
        answer = client.get(f"/chart?symbol={prefix}:NOPE")
    assert "NASDAQ has no instrument NOPE" in answer.text


def test_a_hostile_symbol_is_only_text(client: TestClient[Litestar]) -> None:
    answer = client.get("/chart", params={"symbol": '"><img src=x onerror=alert(1)>'})
    assert answer.status_code == 404
    assert "<img" not in answer.text.lower()


@pytest.mark.parametrize(("given", "pressed"), [("1", "1"), ("5m", "5"), ("1h", "60"), ("1M", "M")])
def test_intervals_by_resolution_or_by_name(
    client: TestClient[Litestar], given: str, pressed: str
) -> None:
    html = client.get(f"/chart?symbol=IDX:BBCA&interval={given}").text
    assert f'data-interval="{pressed}"' in html


@pytest.mark.parametrize(
    ("given", "bounds"),
    [
        ("2025-11-17", ("1763312400", "1763398800")),
        ("2025-11-17T10:15", ("1763349300", "1763349300")),
        ("2025-11-17T03:15Z", ("1763349300", "1763349300")),
    ],
)
def test_a_place_is_by_the_venues_clock(
    client: TestClient[Litestar], given: str, bounds: tuple[str, str]
) -> None:
    html = client.get("/chart", params={"symbol": "BBCA", "at": given}).text
    assert f'data-from="{bounds[0]}" data-until="{bounds[1]}"' in html
    assert "data-from" not in client.get("/chart?symbol=BBCA").text


def test_a_chart_knows_the_names_that_the_api_has(client: TestClient[Litestar]) -> None:
    html = client.get("/chart?ticker=BBCA&tf=15m").text
    assert 'data-ticker="BBCA" data-interval="15"' in html
    assert client.get("/chart?ticker=NONE").status_code == 404
    both = client.get("/chart?symbol=BBCA&ticker=NONE&interval=5&tf=1m")
    assert 'data-ticker="BBCA" data-interval="5"' in both.text


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("interval=7", 400, "unknown_interval"),
        ("venue=mars", 404, "unknown_venue"),
        ("symbol=BBCA&at=monday", 400, "bad_time"),
        ("symbol=BBCA&at=2025-02-30", 400, "bad_time"),
        ("symbol=BBCA&at=9999-12-31", 400, "bad_time"),
    ],
)
def test_refusals_are_pages(
    client: TestClient[Litestar], query: str, status: int, code: str
) -> None:
    answer = client.get(f"/chart?{query}")
    assert answer.status_code == status
    assert f"<code>{code}</code>" in answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert "content-security-policy" in answer.headers


@pytest.mark.parametrize(
    ("day", "said"),
    [
        (date(2026, 11, 1), ""),
        (date(2026, 11, 20), "announced or assumed: for 41 days more."),
        (date(2027, 1, 4), "Holidays are known from 2015-01-01 to 2026-12-31"),
    ],
)
def test_the_map_says_that_holidays_end(
    client: TestClient[Litestar], facts: Any, day: date, said: str
) -> None:
    facts.shown = replace(facts.shown, day=day)
    html = client.get("/continuity").text
    assert ('id="m-ending"' in html) == bool(said)
    assert said in html and ("calendar.idx" in html) == bool(said)


def test_an_empty_venue_waits(client: TestClient[Litestar], facts: Any) -> None:
    facts.known.clear()
    answer = client.get("/chart?symbol=BBCA")
    assert answer.status_code == 200
    assert 'data-state="empty"' in answer.text
    assert "Nothing has come in yet" in answer.text


def test_numbers_print_as_the_instrument_says(client: TestClient[Litestar], facts: Any) -> None:
    facts.known["FINE"] = Instrument("FINE", "Fine", 3, 0, 100)
    html = client.get("/chart?symbol=fine").text
    assert 'data-price-decimals="3"' in html
    assert 'data-volume-unit="100"' in html


def test_the_tape_says_the_day(client: TestClient[Litestar], facts: Any) -> None:
    facts.shown = replace(facts.shown, progress=Progress(12, 30, date(2025, 10, 14)))
    answer = client.get("/web/tape?venue=idx")
    tape = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert (tape["date"], tape["zone"], tape["session"]) == ("2025-11-18", "WIB", "session 2")
    assert tape["offset_s"] == 7 * 3600
    assert [s["name"] for s in tape["sessions"]][:2] == ["pre-open", "session 1"]
    assert tape["holes"][0]["to"] - tape["holes"][0]["from"] == 35 * 60_000
    assert tape["holes"][0]["seq"] == [7, 99]
    assert tape["progress"] == {"day": 12, "days": 30, "date": "2025-10-14"}
    assert tape["fresh"] == "wait"
    assert tape["opens"] is None


def test_the_tape_names_the_next_opening_at_noon(client: TestClient[Litestar], facts: Any) -> None:
    lunch = next(s for s in facts.shown.sessions if s.name == "break")
    facts.shown = replace(facts.shown, now_ns=lunch.open_ns)
    assert client.get("/web/tape").json()["opens"] == lunch.close_ns // 1_000_000
