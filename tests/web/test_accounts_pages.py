"""The pages around accounts, as a new user and an admin go through them in a browser."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from bursa.accounts.parts import Accounts
from bursa.accounts.who import CLI
from tests.accounts.house import MINUTE_NS, PASSWORD, accounts
from tests.api.floor import HandClock
from tests.servers.smtp import MailServer
from tests.web.market import TUESDAY, Market, at, some_days
from tests.web.tab import NARROW, Tab

pytestmark = pytest.mark.browser

NEW = "trader@example.com"
CHOSEN = "empat gelas kopi tubruk"
KEY = r"^idx_live_[0-9a-f]{64}$"


@dataclass
class Place:
    """A served market that lets in whoever has an account, and the post of its letters."""

    url: str
    accounts: Accounts
    post: MailServer
    clock: HandClock

    def user(self, email: str, tier: str = "free", role: str = "user") -> str:
        return self.accounts.people.create(email, role, tier, PASSWORD, CLI)

    def link(self, count: int) -> str:
        """The path in the letter of that number, 1 the first."""
        letter = self.post.wait(count)[count - 1]
        found = re.search(r"https?://[^/\s]+(/\S+)", letter.text[letter.text.index("    http") :])
        assert found is not None, letter.text
        return found[1]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("members")
    clock = HandClock(at(TUESDAY, 14, 5))
    market = Market(folder, clock)
    some_days(market)
    with MailServer() as post:
        known = accounts(folder, clock, market.services.telemetry, post, "memory")
        known.start()
        market.admit(known)
        try:
            yield Place(market.serve(), known, post, clock)
        finally:
            market.close()
            known.stop()
            known.database.close()


@pytest.fixture
def visit(browser: Any, place: Place) -> Iterator[Any]:
    """visit(**settings): a tab of somebody else, at the market's time."""
    # What was tried too often may be tried again.
    place.clock.ns += 2 * MINUTE_NS
    open_ones: list[Tab] = []

    def begin(**settings: Any) -> Tab:
        tab = Tab(browser, place.url, **settings)
        tab.page.clock.set_fixed_time(place.clock.ns / 1e9)
        open_ones.append(tab)
        return tab

    yield begin
    for tab in open_ones:
        tab.context.close()


def sign_in(tab: Tab, email: str, password: str = PASSWORD, after: str = "/portal") -> Any:
    """A session without the form, and its page."""
    answer = tab.context.request.post(
        f"{tab.url}/auth/login", data={"email": email, "password": password}
    )
    assert answer.ok, answer.text()
    page = tab.open(after)
    arrived(page, urlsplit(after).path)
    return page


def arrived(page: Any, path: str) -> None:
    """Wait until the page is at a path."""
    page.wait_for_url(lambda url: urlsplit(url).path == path)


def silent(tab: Tab, *expected: str) -> None:
    """The console said nothing but of the statuses that were meant."""
    said = [one for one in tab.said if "[DOM]" not in one]
    assert all(any(what in one for what in expected) for one in said), said


def test_the_whole_way_of_a_new_user(place: Place, visit: Any) -> None:
    tab = visit(permissions=["clipboard-read", "clipboard-write"])
    page = tab.open("/portal?from=a&b=c")
    assert page.url.endswith("/sign-in?next=/portal%3Ffrom%3Da%26b%3Dc")
    tab.until("#tape-date", r"18 Nov")  # the market does not wait for a session
    assert page.query_selector(".b-search") is None and page.query_selector(".b-dock") is None

    page.click("text=Make an account")
    page.fill("#f-email", NEW)
    page.fill("#f-password", "short")
    page.click("[type=submit]")
    assert "10 characters" in tab.text("#h-password")
    assert page.get_attribute("#f-password", "aria-invalid") == "true"
    page.fill("#f-password", CHOSEN)
    page.click("[data-reveal]")
    assert page.get_attribute("#f-password", "type") == "text"
    before = len(place.post.received)
    page.press("#f-password", "Enter")
    tab.until("#done", f"Look at your mail.*{NEW}")

    sign_in_early(tab)
    tab.open(place.link(before + 1))
    page.click(".g-form [type=submit]")
    tab.until("#done", f"{NEW} is confirmed")
    page.wait_for_url(lambda url: "token" not in url)
    page.click("#done a")
    page.fill("#f-email", NEW)
    page.fill("#f-password", "wrong" + CHOSEN)
    page.press("#f-password", "Enter")
    tab.until("#problem", "wrong")
    page.fill("#f-password", CHOSEN)
    page.press("#f-password", "Enter")
    arrived(page, "/portal")

    key = make_key(tab)
    in_and_out(place, tab, key)
    silent(tab, "401", "403")


def sign_in_early(tab: Tab) -> None:
    page = tab.open("/sign-in")
    page.fill("#f-email", NEW)
    page.fill("#f-password", CHOSEN)
    page.press("#f-password", "Enter")
    tab.until("#problem", "not verified|not confirmed")


def make_key(tab: Tab) -> str:
    """A key, shown once."""
    page = tab.page
    tab.until("#plan-h", "Free")
    tab.until("#keys-empty", "No key yet")
    page.wait_for_selector("#keys-empty:visible")
    page.click("#new [type=submit]")
    tab.until("#new-help", "Give it a name")
    page.fill("#new-name", "Charts at home")
    page.press("#new-name", "Enter")
    tab.until("#made-title", "Charts at home.*ready")
    key = tab.text("#made-key")
    assert re.match(KEY, key)
    page.click("[data-copy=made-key]")
    tab.until_told("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == key
    page.click("#made-kept")
    page.wait_for_selector("#made", state="hidden")
    tab.until("#keys-rows", f"Charts at home.*{key[:13]}….*{key[-4:]}.*active")
    page.reload()
    tab.until("#keys-sub", "1 active of 1")
    assert key not in page.content()
    return key


def in_and_out(place: Place, tab: Tab, key: str) -> None:
    """Exchange it, fetch candles, see the usage, revoke it, sign out."""
    page = tab.page
    with httpx.Client(base_url=place.url) as program:
        found = program.post("/v1/auth/token", json={"api_key": key}).json()["data"]
        program.headers["Authorization"] = f"Bearer {found['token']}"
        bars = program.get("/v1/ohlcv/BBCA", params={"tf": "1d", "limit": 90})
        assert [row["close"] for row in bars.json()["data"]][-1] == 8_725.0
        minutes = program.get("/v1/ohlcv/BBCA", params={"tf": "1m"})
        assert (minutes.status_code, minutes.json()["code"]) == (403, "tier_timeframe")
        place.accounts.usage.flush()
        page.reload()
        tab.until("#usage-sub", "2 in 24 h")
        tab.until("#usage-keys-rows", "Charts at home2")
        tab.until("#rate-words", r"\d+ of 60")

        keeps_focus(tab, "Revoke Charts at home")
        page.click("text=Revoke")
        page.fill(".u-ask input", "Charts at hom")
        assert page.is_disabled(".u-ask .b-btn--bad")
        page.fill(".u-ask input", "Charts at home")
        page.press(".u-ask input", "Enter")
        tab.until("#keys-rows", "revoked")
        refused = program.get("/v1/ohlcv/BBCA", params={"tf": "1d"})
        assert (refused.status_code, refused.json()["code"]) == (401, "key_revoked")

    page.click("#settings summary")
    page.click("#sign-out")
    page.wait_for_url("**/sign-in?done=out")
    assert "signed out" in tab.text(".g-box [role=status]")
    assert "/sign-in" in tab.open("/portal").url


def keeps_focus(tab: Tab, label: str) -> None:
    """The lists are read again, as when a reader comes back to the page: his place is the same."""
    tab.page.wait_for_selector(f"[aria-label='{label}']")
    tab.page.focus(f"[aria-label='{label}']")
    tab.page.evaluate(
        "window.before = document.activeElement;"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    tab.page.wait_for_function("() => !window.before.isConnected")
    tab.until_focus("e.ariaLabel", label)


def test_a_forgotten_password(place: Place, visit: Any) -> None:
    place.user("forgetful@example.com")
    tab = visit(viewport=NARROW)
    before = len(place.post.received)
    page = tab.open("/forgot")
    page.fill("#f-email", "forgetful@example.com")
    page.press("#f-email", "Enter")
    tab.until("#done", "Look at your mail")
    letter = place.link(before + 1)
    tab.open(letter)
    tab.until_focus("e.id", "f-password")
    page.keyboard.type(CHOSEN)
    page.press("#f-password", "Enter")
    tab.until("#done", "new password is set")
    tab.open(letter)
    page.fill("#f-password", CHOSEN + "!")
    page.press("#f-password", "Enter")
    page.wait_for_selector("#problem[data-code=bad_link]:visible")
    sign_in(tab, "forgetful@example.com", CHOSEN)
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide == NARROW["width"]
    silent(tab, "400")


def test_without_scripts_forms_do_the_same(place: Place, visit: Any) -> None:
    page = visit(java_script_enabled=False, viewport=NARROW).open("/sign-up")
    email, before = "plain@example.com", len(place.post.received)

    def send(**fields: str) -> None:
        for name, value in fields.items():
            page.fill(f"[name={name}]", value)
        page.click("form [type=submit]")

    def told() -> str:
        return str(page.inner_text(".g-box"))

    send(email=email, password=PASSWORD)
    assert page.url.endswith("/sign-in?done=signed") and "once you followed" in told()
    page.goto(place.url + place.link(before + 1))
    send()
    assert "/sign-in?done=" in page.url and "confirmed" in told()
    page.goto(place.url + "/forgot")
    send(email=email)
    page.goto(place.url + place.link(before + 2))
    send(password=CHOSEN)
    assert "/sign-in?done=" in page.url and "new password is set" in told()
    send(email=email, password=PASSWORD)
    assert "error=sign_in_failed" in page.url
    send(email=email, password=CHOSEN)
    arrived(page, "/")


def test_who_tries_too_often_is_told_when_to_come_back(place: Place, visit: Any) -> None:
    tab = visit()
    wrong = {"email": "nobody@example.com", "password": "not the password"}
    sign = f"{tab.url}/auth/login"
    statuses = [tab.context.request.post(sign, data=wrong).status for _ in range(11)]
    assert statuses == [401] * 10 + [429]
    page = tab.open("/sign-in")
    page.fill("#f-email", wrong["email"])
    page.fill("#f-password", wrong["password"])
    page.press("#f-password", "Enter")
    tab.until("#problem", r"Too many tries\. Come back in \d+ (s|min)\.")
    assert page.is_enabled(".g-form [type=submit]")


def test_what_a_tier_has_not_is_locked_and_opens_with_the_tier(place: Place, visit: Any) -> None:
    user = place.user("student@example.com")
    # The floor lies within what is stored: nothing older is asked for.
    place.accounts.people.set_override(user, {"history_days": 1}, CLI)
    tab = visit()
    page = sign_in(tab, "student@example.com", after="/chart?symbol=IDX:BBCA&interval=5")
    tab.until_told("5m bars come with pro. You have free. 1d bars are shown.")
    tab.until("#st-received", r"received")
    assert page.get_attribute('#intervals [value="D"]', "aria-pressed") == "true"
    page.wait_for_function("() => document.querySelectorAll('#bars tr').length === 2")
    closed = page.query_selector_all('#intervals [aria-disabled="true"]')
    told = {one.get_attribute("aria-label").partition(", ")[2] for one in closed}
    assert len(closed) == 8 and told == {"locked: comes with pro"}
    page.click('#intervals [value="60"]', force=True)
    tab.until_told("1h bars come with pro")
    assert tab.text("#q-hd-locked").endswith("pro")
    page.press("body", "i")
    tab.until('[data-name="hd"]', "comes with pro")
    page.click('[data-name="hd"]', force=True)
    tab.until("#indicators .pal-none", "HD comes with pro")
    assert not [one for one in tab.asked if "/v1/stream" in one]

    place.accounts.people.set_override(user, {}, CLI)
    place.accounts.people.set_tier(user, "pro", CLI, "paid")
    tab.open("/chart?symbol=IDX:BBCA&interval=5&metrics=hd")
    assert not page.query_selector_all('#intervals [aria-disabled="true"]')
    tab.until("#lg-hd .l-values", r"\d")
    tab.until("#q-hd", r"\d")
    silent(tab)

    place.accounts.people.set_tier(user, "free", CLI, "unpaid")
    tab.until_told(r"Not streamed: .*tier_")


def test_an_admin_finds_changes_and_suspends(place: Place, visit: Any) -> None:
    place.user("root@example.com", "enterprise", "superadmin")
    bot = place.user("signals-bot@example.com")
    place.accounts.keys.make(bot, "Scanner", None, CLI)
    his = visit()
    sign_in(his, "signals-bot@example.com")
    assert his.page.query_selector('a[href="/admin"]') is None
    refused = his.open("/admin")
    assert "not yours to open" in his.text("h1") and refused.url.endswith("/admin")

    tab = visit()
    page = sign_in(tab, "root@example.com", after="/admin")
    tab.until("#u-rows", "root@example.com.*you")
    page.fill("#u-q", "signals")
    tab.until("#u-count", "1 to 1 of 1")
    page.press("body", "Tab")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    tab.until("#d-email", "signals-bot@example.com")
    page.select_option("#d-form [name=tier]", "pro")
    page.fill("#d-rate", "1,200")
    page.click("text=Save changes")
    tab.until("#h-reason", "Say why")
    page.fill("#d-reason", "paid by invoice")
    page.click("text=Save changes")
    tab.until("#u-rows", "pro")
    tab.until("#d-recent", "free.*pro")
    rights = place.accounts.standing.rights(bot)
    assert (rights.tier, rights.rate) == ("pro", 1200)
    page.fill("#d-rate", "many")
    page.press("#d-rate", "Enter")
    tab.until("#h-rate", "A whole number")
    page.fill("#d-rate", "unlimited")
    page.fill("#d-reason", "for the fair")
    page.press("#d-reason", "Enter")
    tab.until("#d-recent", "override rate 1200 rate –")
    assert place.accounts.standing.rights(bot).rate is None
    assert page.input_value("#d-rate") == "unlimited"

    page.click("#d-keylist >> text=Revoke")
    page.fill("#d-keylist .u-ask input", "leaked")
    page.press("#d-keylist .u-ask input", "Enter")
    tab.until_told("Scanner is revoked")
    page.click("#d-disable")
    page.fill("#d > div:last-child .u-ask input", "asked us to")
    page.press("#d > div:last-child .u-ask input", "Enter")
    tab.until("#d-state", "suspended")
    assert "/sign-in?next=" in his.open("/portal").url

    page.fill("#u-q", "")
    page.click("#u-rows >> text=root@example.com")
    tab.until("#d-locked", "Your own role and tier")
    assert page.is_disabled("#d-form [name=tier]") and page.is_disabled("#d-form [type=submit]")
    page.click(".b-side >> text=Keys")
    arrived(page, "/admin/keys")
    tab.until("#k-rows", "idx_live_.*Scanner.*revoked")
    assert page.locator("#k-rows tr >> nth=0 >> td >> nth=4").text_content() == "its owner\u2019s"
    page.click("#k-state >> text=Active")
    tab.until("#k-empty-words", "active|^$")
    page.set_viewport_size(NARROW)
    tab.open("/portal")
    page.click(".b-side >> text=Admin")
    arrived(page, "/admin")
    assert page.locator(".b-dock a").count() == 5
    silent(tab)
    silent(his, "403")


# How far what is seen was moved by what came in, summed up as browsers do.
SHIFTS = """(() => {
  window.shifts = [];
  new PerformanceObserver((list) => { for (const one of list.getEntries()) if (one.value > 0.005)
    window.shifts.push([one.value, ...one.sources.map(({ node }) => node?.id || node?.className)]);
  }).observe({ type: "layout-shift", buffered: true });
})();"""


@pytest.mark.parametrize("width", [1440, 768, 390])
def test_nothing_moves_as_lists_come_in_and_long_names_make_no_page_wide(
    place: Place, visit: Any, width: int
) -> None:
    email = f"{'a' * 50}{width}@{'very-long-name-of-a-company.' * 4}example.com"
    user = place.user(email, "enterprise", "superadmin")
    for name in ("W" * 64, "a name of many short words that goes on and on to its last sign"):
        key, _ = place.accounts.keys.make(user, name, None, CLI)
        with httpx.Client(base_url=place.url) as program:
            told = program.post("/v1/auth/token", json={"api_key": key}).json()["data"]
            program.get("/v1/ohlcv/BBCA", headers={"Authorization": f"Bearer {told['token']}"})
    place.accounts.usage.flush()
    tab = visit(viewport={"width": width, "height": 900})
    tab.page.add_init_script(SHIFTS)
    for path, last in (("/portal", "#usage-keys-rows"), ("/admin", "#u-rows"),
                       ("/admin/keys", "#k-rows")):  # fmt: skip
        page = sign_in(tab, email, after=path)
        page.wait_for_selector(f"{last} tr:not(.p-wait)")
        page.wait_for_function("() => !document.querySelector('.p-wait')")
        assert page.evaluate("document.documentElement.scrollWidth") == width, path
        assert page.evaluate("window.shifts") == [], path
    silent(tab)


def test_a_session_that_ends_leads_to_sign_in_and_back(place: Place, visit: Any) -> None:
    user = place.user("guest@example.com", "pro")
    tab = visit()
    page = sign_in(tab, "guest@example.com", after="/chart?symbol=IDX:BBCA")
    tab.drawn()
    began = time.monotonic()
    place.accounts.people.disable(user, CLI, "gone")
    arrived(page, "/sign-in")
    assert time.monotonic() - began < 10
    assert "symbol%3DIDX" in page.url
