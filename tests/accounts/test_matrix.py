"""Every door tried by everybody: all routes and all stream actions of the running application, each
by nobody, each tier, admins, a revoked key, an expired token, and for somebody else's object.

What is expected stands in one table (matrix.py). A route or an action that has no row there fails.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from litestar import Litestar, get, post
from litestar.routes import HTTPRoute, WebSocketRoute
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from bursa.accounts.who import CLI, Actor
from bursa.api.doors import Door, door_of
from bursa.model.errors import Refuse
from tests.accounts.house import PASSWORD, Site
from tests.accounts.matrix import COLUMNS, REFUSALS, REQUESTS, SAID, Refusal, Request, rows
from tests.accounts.whole import Whole, open_whole, router

# One house for all of them.
pytestmark = pytest.mark.xdist_group("matrix")
Names = dict[str, Callable[[], str]]
_NUMBERS = itertools.count()

SIGNED = ("free", "pro", "enterprise", "admin", "superadmin")
JSON = "application/json"
HOUR_NS = 3_600_000_000_000
SESSIONS = frozenset({Door.SELF, Door.ADMIN})
TOKENS = frozenset({Door.DATA, Door.UDF, Door.PLUGIN, Door.PAGE})


@dataclass
class Person:
    """Somebody, what he shows, and what is his."""

    site: Site
    name: str
    user: str = ""
    key: str = ""
    key_id: str = ""
    spare: str = ""
    token: str = ""
    session: dict[str, str] = field(default_factory=dict)

    @property
    def email(self) -> str:
        return f"{self.name}@matrix.id"

    def bearer(self, token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"} if token else {}

    def machine(self) -> tuple[str, str]:
        """His machine has a place (again); its id, and a token of it. None without a key."""
        accounts, now_ns = self.site.accounts, self.site.house.clock.ns
        try:
            machine, _ = accounts.machines.activate(self.key_id, "desk", "1", CLI)
        except Refuse:
            return "mch_none", ""
        who = accounts.standing.principal_of_key(self.key_id, now_ns, "token", machine)
        return machine, accounts.tokens.issue(who, now_ns)

    def signed_in(self) -> dict[str, str]:
        """A session more."""
        with self.site.client() as client:
            form = {"email": self.email, "password": PASSWORD}
            answer = client.post("/auth/login", json=form)
            cookie = f"bursa_session={answer.cookies['bursa_session']}"
            return {"Cookie": cookie, "X-CSRF-Token": answer.json()["data"]["csrf"]}

    def names(self) -> Names:
        """What a request may name of his; made when it is named."""
        return {
            "user": lambda: self.user,
            "key": lambda: self.spare,
            "whole": lambda: self.key or f"idx_live_{'0' * 64}",
            "email": lambda: self.email,
            "fresh": lambda: f"u{next(_NUMBERS)}@matrix.id",
            "machine": lambda: self.machine()[0],
            "number": self.request,
        }

    def request(self) -> str:
        """Number of a request of his for a plan, that waits."""
        plans = self.site.accounts.subscriptions
        found = plans.of(self.user)["request"]
        if found is None or found["state"] != "waiting":
            found = plans.ask("pro", "", Actor(self.user, "user"))
        return str(found["id"])


def person(site: Site, name: str, tier: str, role: str = "user") -> Person:
    accounts, now_ns = site.accounts, site.house.clock.ns
    found = Person(site, name)
    found.user = site.user(found.email, tier, role)
    accounts.people.set_override(found.user, {"rate": None, "machines": 5}, CLI)
    found.key, row = accounts.keys.make(found.user, "key", None, CLI)
    found.key_id = row.id
    found.spare = accounts.keys.make(found.user, "spare", None, CLI)[1].id
    who = accounts.standing.principal_of_key(row.id, now_ns)
    found.token = accounts.tokens.issue(who, now_ns)
    return found


@dataclass
class Town:
    """The served application, its router, and all who come."""

    site: Site
    app: Litestar
    people: dict[str, Person]
    client: httpx.Client

    def columns(self, route: str) -> Iterator[tuple[Person, Person]]:
        """Who asks in each column, and whose object it is that he names."""
        people, door = self.people, door_of(route.partition(" ")[2])
        for column in COLUMNS[:-1]:
            yield people[column], people["victim" if door is Door.ADMIN else column]
        if door is Door.ADMIN:
            yield people["admin"], people["superadmin"]
        else:
            yield people["enterprise"], people["victim"]

    def shown(self, route: str, who: Person) -> dict[str, str]:
        """What somebody shows who knows what the door asks for."""
        door = door_of(route.partition(" ")[2])
        if route == "POST /auth/logout" and who.session:
            return who.signed_in()
        if door is Door.PLUGIN and who.name in SIGNED:
            return who.bearer(who.machine()[1])
        if door in SESSIONS and who.session:
            return who.session
        return who.bearer(who.token)

    def ask(
        self, route: str, owner: Person, shown: dict[str, str], method: str = ""
    ) -> Refusal | None:
        """What is answered; None where the request names nobody's object."""
        own, path = route.split(" ")
        asks, names = REQUESTS.get(route, Request(path)), owner.names()
        body = None if asks.body is None else json.loads(_filled(json.dumps(asks.body), names))
        method, path = method or own, _filled(asks.path, names)
        with self.client.stream(method, path, json=body, headers=shown) as answer:
            self.client.cookies.clear()
            if answer.headers.get("content-type") == "text/event-stream":
                return Refusal(answer.status_code, "")
            answer.read()
        kind = answer.headers.get("content-type", "")
        if answer.status_code < 400 or not (answer.content and kind.startswith(JSON)):
            return Refusal(answer.status_code, "")
        return Refusal(answer.status_code, answer.json()["code"])

    def say(self, row: str, who: Person, owner: Person) -> Refusal | None:
        """What is answered to an action of a WebSocket by somebody who shows what he has in its
        handshake; `auth` he says in his first message, or where it is about another one later."""
        path, action = row.split(" ")
        later = action == "auth" and who is owner
        shown = {} if later else who.bearer(who.token)
        said: dict[str, Any] = {"action": action, **SAID.get(row, {})}
        if action == "auth":
            said["token"] = owner.token or "x"
        url = f"ws://127.0.0.1:{self.site.served.port}{path}"
        try:
            with connect(url, additional_headers=shown, compression=None) as socket:
                socket.send(json.dumps(said))
                frame = json.loads(socket.recv(timeout=60))
        except InvalidStatus as refused:
            body = json.loads(refused.response.body)
            return Refusal(refused.response.status_code, body["code"])
        return Refusal(0, frame.get("code", "") if frame["type"] == "error" else "")


def _filled(text: str, names: Names) -> str:
    return re.sub(r"<(\w+)>", lambda found: names[found[1]](), text)


def names_somebody(route: str) -> bool:
    """Does its path name an object of somebody's?"""
    return (
        re.search("<(user|key|machine|number)>", REQUESTS.get(route, Request("")).path) is not None
    )


def actions_of(town: Town, path: str) -> list[str]:
    """The actions of a WebSocket, as it names them itself to who says another one."""
    url = f"ws://127.0.0.1:{town.site.served.port}{path}"
    shown = town.people["enterprise"].bearer(town.people["enterprise"].token)
    with connect(url, additional_headers=shown) as socket:
        socket.send('{"action":"?"}')
        frame = json.loads(socket.recv(timeout=60))
    named = re.search(r"a message has an action \(([^)]*)\)", frame["error"])
    assert named is not None, frame
    return named[1].split(", ")


def routes_of(app: Litestar) -> list[str]:
    """All that the router has, as rows name it: methods and paths, and paths of WebSockets."""
    found = []
    for one in app.routes:
        path = re.sub(r":\w+}", "}", one.path)
        if isinstance(one, HTTPRoute):
            found += [f"{method} {path}" for method in sorted(one.methods - {"OPTIONS"})]
        else:
            found.append(f"{type(one).__name__} {path}")
    return found


SOCKET = f"{WebSocketRoute.__name__} "


def unlisted(town: Town, app: Litestar) -> list[str]:
    """What the application has and the table has not."""
    found = []
    for route in routes_of(app):
        path = route.removeprefix(SOCKET)
        every = [f"{path} {one}" for one in actions_of(town, path)] if path != route else [route]
        found += [one for one in every if one not in rows()]
    return found


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with open_whole(tmp_path_factory.mktemp("matrix")) as (site, app), site.client() as client:
        people = {tier: person(site, tier, tier) for tier in SIGNED[:3]}
        people |= {role: person(site, role, "enterprise", role) for role in SIGNED[3:]}
        for one in people.values():
            one.session = one.signed_in()
        accounts, now_ns = site.accounts, site.house.clock.ns
        people["nobody"] = Person(site, "nobody")
        people["revoked"] = revoked = person(site, "revoked", "enterprise")
        accounts.keys.revoke(revoked.key_id, CLI)
        people["expired"] = expired = person(site, "expired", "enterprise")
        who = accounts.standing.principal_of_key(expired.key_id, now_ns)
        expired.token = accounts.tokens.issue(who, now_ns - 2 * HOUR_NS)
        people["victim"] = person(site, "victim", "free")
        people["other"] = people["enterprise"]
        yield Town(site, app, people, client)


def test_a_route_or_an_action_without_a_row_is_found(town: Town) -> None:
    assert unlisted(town, town.app) == []
    named = {*routes_of(town.app)}
    paths = [one.removeprefix(SOCKET) for one in named if one.startswith(SOCKET)]
    named |= {f"{path} {action}" for path in paths for action in actions_of(town, path)}
    assert {*rows()} - named == set(), "rows of what is gone"

    @get("/v1/brand-new")
    async def brand_new() -> None: ...

    @post("/v1/symbols")
    async def other_method() -> None: ...

    house = town.site.house
    assert isinstance(house, Whole)
    app, *_ = house.build([brand_new, other_method])
    assert unlisted(town, router(app)) == ["POST /v1/symbols", "GET /v1/brand-new"]


@pytest.mark.parametrize("row", [row for row in rows() if row[0] != "/"])
def test_everybody_is_answered_as_the_table_says(town: Town, row: str) -> None:
    told = []
    for who, owner in town.columns(row):
        told.append(town.ask(row, owner, town.shown(row, who)))
    if not names_somebody(row):
        told[-1] = None
    assert dict(zip(COLUMNS, told, strict=True)) == dict(zip(COLUMNS, rows()[row], strict=True))


@pytest.mark.parametrize("row", [row for row in rows() if row[0] == "/"])
def test_everybody_is_answered_by_streams_as_the_table_says(town: Town, row: str) -> None:
    told = [town.say(row, who, owner) for who, owner in town.columns(row)]
    if row != "/v1/stream auth":
        told[-1] = None
    expected = [None if one is None else one.code for one in rows()[row]]
    found = [None if one is None else one.code for one in told]
    assert dict(zip(COLUMNS, found, strict=True)) == dict(zip(COLUMNS, expected, strict=True))


def test_what_else_one_shows_leads_nowhere_else(town: Town) -> None:
    """A session is as good as a token for data; neither opens what wants the other, or a machine's
    token; under /udf the key itself will do."""
    for row, cells in rows().items():
        method, _, path = row.partition(" ")
        door = door_of(path)
        if method.startswith("/") or door not in SESSIONS | TOKENS:
            continue
        for name in ("free", "superadmin"):
            who = town.people[name]
            owner = town.people["victim"] if door is Door.ADMIN else who
            expected = cells[COLUMNS.index(name)]
            if door in SESSIONS:
                assert town.ask(row, owner, who.bearer(who.token)) == REFUSALS["in"], row
            elif door is Door.PLUGIN:
                for shown in (who.session, who.bearer(who.token)):
                    assert town.ask(row, owner, shown) == REFUSALS["mach"], row
            else:
                assert town.ask(row, owner, who.session) == expected, row
            if door is Door.UDF:
                assert town.ask(row, owner, {"X-Api-Key": who.key}) == expected, row
            elif door in TOKENS:
                assert town.ask(row, owner, who.bearer(who.key)) == REFUSALS["bad"], row
        if door is Door.UDF:
            revoked = town.people["revoked"]
            assert town.ask(row, revoked, {"X-Api-Key": revoked.key}) == REFUSALS["rev"]


def test_no_other_method_leads_in(town: Town) -> None:
    """HEAD is judged as GET is; OPTIONS tells a path's methods to whoever may come in. A session
    changes nothing without its CSRF token."""
    boss = town.people["superadmin"]
    names = [row for row in rows() if not row.startswith("/")]
    for row in names:
        method, path = row.split(" ")
        door, open_to_all = door_of(path), rows()[row][0]
        owner = town.people["victim"] if door is Door.ADMIN else boss
        if method == "GET":
            answer = town.ask(row, owner, {}, "HEAD")
            assert open_to_all is not None and answer is not None
            assert answer.status == open_to_all.status, row
        if method != "GET" and door in SESSIONS:
            cookie = {"Cookie": boss.session["Cookie"]}
            assert town.ask(row, owner, cookie) == Refusal(403, "bad_csrf"), row
        if door in SESSIONS | TOKENS:
            assert town.ask(row, owner, {}, "OPTIONS") == REFUSALS["in"], row
            asked = town.client.options(path, headers=town.shown(row, boss))
            methods = {one.partition(" ")[0] for one in names if one.partition(" ")[2] == path}
            assert set(asked.headers["allow"].split(", ")) == methods | {"OPTIONS"}, row


def test_openapi_says_of_which_routes_who_asks_must_show_who_he_is(town: Town) -> None:
    boss = town.people["superadmin"]
    document = town.client.get("/schema/openapi.json", headers=boss.bearer(boss.token)).json()
    known = document["components"]["securitySchemes"]
    for path, operations in document["paths"].items():
        for method, about in operations.items():
            row = f"{method.upper()} {path}"
            named = [name for one in about.get("security", []) for name in one]
            assert {*named} <= {*known} and len(named) == len({*named}), row
            assert bool(named) == (rows()[row][0] == REFUSALS["in"]), row
