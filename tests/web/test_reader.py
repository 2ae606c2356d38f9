"""What a page says of its reader: his links, his token, what is locked; where sign-in leads."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient
from litestar.types import ASGIApp, Receive, Scope, Send

from bursa.accounts.tiers import FREE, PRO, SEED
from bursa.accounts.who import DEMO, NOBODY, Principal
from bursa.model.timeframe import RESOLUTIONS
from bursa.web.pages import Pages
from bursa.web.reader import NO_TIER, PageAccounts, locks, own_path
from tests.web.test_pages import INLINE

USER = Principal("usr_1", "trader@example.com", "user", "session", FREE, session="ses_1")
ADMIN = replace(USER, email="desk@example.com", role="admin", rights=PRO)
ROOT = replace(ADMIN, email="root@example.com", role="superadmin")
PUBLIC = ("/sign-in", "/sign-up", "/forgot", "/verify?token=abc", "/reset?token=abc")
Ask = Callable[..., Any]


def asked(signup: bool = True, nobody_yet: bool = False) -> PageAccounts:
    def word(session: str) -> str:
        return f"word-of-{session}"

    return PageAccounts(word, lambda: SEED, lambda: signup, lambda: nobody_yet)


@contextmanager
def pages(facts: Any, who: Principal, accounts: PageAccounts | None) -> Iterator[Ask]:
    """ask(path): what a reader gets, as if a guard had let him in."""

    def known(app: ASGIApp) -> ASGIApp:
        async def asking(scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("state", {})["who"] = who
            await app(scope, receive, send)

        return asking

    routes = Pages(facts, accounts=accounts).routes()
    app = Litestar(routes, middleware=[known], openapi_config=None, logging_config=None)
    with TestClient(app) as client:
        yield lambda path: client.get(path, follow_redirects=False)


def links(html: str) -> set[str]:
    return set(re.findall(r'<a [^>]*href="(/[a-z/-]*)"', html))


def test_links_are_those_that_a_reader_may_follow(facts: Any) -> None:
    market = {"/", "/chart", "/continuity", "/docs"}
    for who, has, has_not in (
        (USER, market | {"/portal"}, {"/admin", "/sign-in"}),
        (ADMIN, market | {"/portal", "/admin"}, {"/sign-in"}),
        (ROOT, market | {"/portal", "/admin"}, {"/sign-in"}),
        (DEMO, market | {"/sign-in"}, {"/portal", "/admin"}),
        (replace(USER, via="token", session=""), market, {"/portal", "/admin"}),
    ):
        with pages(facts, who, asked()) as ask:
            html = ask("/chart?symbol=BBCA").text
        assert has <= links(html) and not has_not & links(html), who
        signed = who.via == "session"
        assert ('id="sign-out"' in html) == signed
        assert ('<meta name="csrf" content="word-of-ses_1">' in html) == signed
    with pages(facts, NOBODY, asked()) as ask:
        html = ask("/sign-in").text
        assert links(html) == {"/", "/forgot", "/sign-up"}  # `/` is the mark, and leads back here
        assert "b-search" not in html and 'id="tape"' in html
    with pages(facts, DEMO, None) as ask:
        assert "/sign-in" not in links(ask("/").text)
        assert [ask(path).status_code for path in (*PUBLIC, "/portal", "/admin")] == [404] * 7


@pytest.mark.parametrize("path", [*PUBLIC, "/portal", "/admin", "/admin/keys"])
def test_pages_hold_to_the_policy(facts: Any, path: str) -> None:
    with pages(facts, NOBODY if path in PUBLIC else ROOT, asked()) as ask:
        answer = ask(path)
        policy = answer.headers["content-security-policy"]
        assert answer.status_code == 200
        assert "default-src 'none'" in policy and "unsafe" not in policy
        assert not re.search(INLINE, answer.text)
        for url in set(re.findall(r'"(/static/[^"]+)"', answer.text)):
            assert ask(url).status_code == 200, url
    if "token" in path:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "strict-origin", "no path, no query"


def test_a_session_goes_on_from_sign_in_to_this_origin_alone(facts: Any) -> None:
    good = ("/chart?symbol=IDX:BBCA&interval=5", "/portal", "/docs/api#x")
    bad = ("//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "",
           "/\tevil", "portal", "/a\nb", "/" + "x" * 2000)  # fmt: skip
    assert [own_path(one) for one in good] == list(good)
    assert {own_path(one) for one in bad} == {"/"}
    with pages(facts, USER, asked()) as ask:
        led = ask("/sign-in?next=/chart%3Fsymbol%3DBBCA")
        assert (led.status_code, led.headers["location"]) == (303, "/chart?symbol=BBCA")
        assert ask("/sign-in?next=//evil.example").headers["location"] == "/"
    with pages(facts, NOBODY, asked()) as ask:
        assert 'data-next="/"' in ask("/sign-in?next=%2F%2Fevil.example").text
        hostile = ask('/sign-in?next=/"><script>alert(1)</script>').text
        assert "<script>alert" not in hostile


def test_sign_in_says_what_a_form_without_scripts_led_to(facts: Any) -> None:
    with pages(facts, NOBODY, asked(signup=False, nobody_yet=True)) as ask:
        html = ask("/sign-in?error=sign_in_failed").text
        assert "do not fit together" in html
        assert "bursa user create" in html and "/sign-up" not in links(html)
        assert "was refused: &lt;b&gt;" in ask("/sign-in?error=<b>").text
        assert "signed out" in ask("/sign-in?done=out").text
        assert "session has ended" in ask("/sign-in?done=ended&next=/portal").text
        assert "lets nobody sign up" in ask("/sign-up").text
        # A link that is spent is told by the answer: the way to another one stands below.
        assert {"/sign-in", "/forgot"} <= links(ask("/reset?token=x").text)
        spent = links(ask("/verify?token=x").text)
        assert "/sign-in" in spent and "/sign-up" not in spent
        assert "lacks its token" in ask("/verify").text and "lacks its token" in ask("/reset").text
        assert 'value="&#34;&gt;&lt;b&gt;"' in ask('/reset?token="><b>').text


def test_a_chart_opens_at_what_its_reader_may_see(facts: Any) -> None:
    with pages(facts, USER, asked()) as ask:
        html = ask("/chart?symbol=BBCA").text
        assert 'data-interval="D"' in html and 'data-refused=""' in html
        assert html.count('data-tier="pro"') == 8 and 'data-hd="no"' in html
        assert '"locked":"pro"' in html and 'data-live="pro"' in html
        assert 'data-refused="15"' in ask("/chart?symbol=BBCA&interval=15m").text
        assert ask("/chart?interval=7").status_code == 400
    for who in (ADMIN, DEMO):
        with pages(facts, who, asked()) as ask:
            html = ask("/chart?symbol=BBCA&interval=15").text
            assert 'data-interval="15"' in html and "aria-disabled" not in html
            assert "locked" not in html.replace("q-hd-locked", "")
    alone = locks({"state": {"who": USER}}, None, RESOLUTIONS.values())
    assert (alone.hd, set(alone.timeframes.values())) == (NO_TIER, {NO_TIER})
