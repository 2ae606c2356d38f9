"""What was accepted a moment ago is refused within a second of its end: requests by a token, a key
or a session, a renewal, a WebSocket and an event stream that are open."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from bursa.accounts.audit import Audit
from bursa.accounts.parts import Acts
from bursa.accounts.who import CLI
from bursa.ops.telemetry import Telemetry
from bursa.state.database import Database
from tests.accounts.house import PASSWORD, Site, open_house
from tests.api.floor import DAYS
from tests.prompt import PATIENT_S, prompt

# The issue's own bound.
LIVE_S = 1.0
pytestmark = pytest.mark.xdist_group("revocation")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_house(tmp_path_factory.mktemp("ends")) as found:
        found.house.day(DAYS[1], minutes=2)
        found.user("boss@akhir.id", role="superadmin")
        yield found


@dataclass
class Listener:
    """Somebody who asks, and has streams open."""

    site: Site
    user: str
    key: str
    key_id: str
    machine: str
    email: str
    shown: dict[str, str]
    client: httpx.Client

    def ask(self, path: str = "/v1/symbols") -> tuple[int, str]:
        answer = self.client.get(path, headers=self.shown)
        return answer.status_code, answer.json().get("code", "") if answer.content else ""

    @contextlib.contextmanager
    def streams(self) -> Iterator[tuple[ClientConnection, Iterator[str]]]:
        """A WebSocket and an event stream, acknowledged."""
        with (
            connect(self.site.served.ws, additional_headers=self.shown) as socket,
            self.client.stream("GET", "/v1/live?tickers=BBCA", headers=self.shown) as events,
        ):
            socket.send('{"action":"subscribe","tickers":["BBCA"]}')
            assert json.loads(socket.recv(timeout=PATIENT_S))["type"] == "subscribed"
            lines = events.iter_lines()
            assert events.status_code == 200 and any("subscribed" in line for line in lines)
            yield socket, lines


def listener(site: Site, email: str, by: str) -> Listener:
    """Somebody who shows a token of a machine, or a session."""
    accounts, now_ns = site.accounts, site.house.clock.ns
    user = site.user(email, "pro")
    key, row = accounts.keys.make(user, "key", None, CLI)
    machine, _ = accounts.machines.activate(row.id, "desk", "1", CLI)
    client = site.client()
    if by == "session":
        form = {"email": email, "password": PASSWORD}
        cookie = client.post("/auth/login", json=form).cookies["bursa_session"]
        client.cookies.clear()
        shown = {"Cookie": f"bursa_session={cookie}"}
    else:
        who = accounts.standing.principal_of_key(row.id, now_ns, "token", machine)
        shown = {"Authorization": f"Bearer {accounts.tokens.issue(who, now_ns)}"}
    return Listener(site, user, key, row.id, machine, email, shown, client)


def elsewhere(site: Site) -> Acts:
    """The hands of another process on the same accounts: a verb, or another server."""
    database, clock = Database(Path(site.accounts.database.place)), site.house.clock
    acts = Acts(database, clock, Audit(database, clock, Telemetry(), None))
    acts.standing.refresh()
    return acts


def by_owner(one: Listener) -> None:
    with one.site.session(one.email) as portal:
        assert portal.delete(f"/portal/api/keys/{one.key_id}").status_code == 200


def by_admin(one: Listener) -> None:
    with one.site.session("boss@akhir.id") as boss:
        change = {"state": "disabled", "reason": "gone"}
        assert boss.patch(f"/admin/api/users/{one.user}", json=change).status_code == 200


def released(one: Listener) -> None:
    with one.site.session(one.email) as portal:
        assert portal.delete(f"/portal/api/machines/{one.machine}").status_code == 200


def signed_out(one: Listener) -> None:
    csrf = one.client.get("/portal/api/me", headers=one.shown).json()["data"]["csrf"]
    headers = {**one.shown, "X-CSRF-Token": csrf}
    assert one.client.post("/auth/logout", json={}, headers=headers).status_code == 200


def revoked_there(one: Listener) -> None:
    acts = elsewhere(one.site)
    with contextlib.closing(acts.database):
        acts.keys.revoke(one.key_id, CLI)


def disabled_there(one: Listener) -> None:
    acts = elsewhere(one.site)
    with contextlib.closing(acts.database):
        acts.people.disable(one.user, CLI)


def closing(socket: ClientConnection) -> tuple[int, str]:
    """With what a socket is closed, behind a frame that says why."""
    told = {}
    try:
        while True:
            told = json.loads(socket.recv(timeout=PATIENT_S))
    except ConnectionClosed as closed:
        assert told["type"] == "error" and closed.rcvd is not None
        assert told["code"] == closed.rcvd.reason
        return closed.rcvd.code, closed.rcvd.reason


@pytest.mark.parametrize(
    ("by", "end", "code"),
    [
        ("token", by_owner, "key_revoked"),
        ("token", by_admin, "user_disabled"),
        ("token", released, "machine_released"),
        ("token", revoked_there, "key_revoked"),
        ("token", disabled_there, "user_disabled"),
        ("session", signed_out, "session_ended"),
        ("session", by_admin, "session_ended"),
        ("session", disabled_there, "session_ended"),
    ],
)
def test_what_ended_is_refused_within_a_second(
    site: Site, by: str, end: Callable[[Listener], None], code: str
) -> None:
    def once(nth: int) -> float:
        site.later()
        one = listener(site, f"{by}.{end.__name__}.{nth}@akhir.id", by)
        with contextlib.closing(one.client), one.streams() as (socket, lines):
            assert one.ask() == (200, "") and one.ask("/udf/config") == (200, "")
            end(one)
            began = time.monotonic()
            while (told := one.ask()) != (401, code):
                assert told == (200, "") and time.monotonic() < began + PATIENT_S, told
                time.sleep(0.005)
            assert one.ask("/udf/config") == (401, code)
            assert closing(socket) == (4401, code)
            told_last = [json.loads(line[6:]) for line in lines if line.startswith("data: ")][-1]
            took_s = time.monotonic() - began
            assert (told_last["type"], told_last["code"]) == ("closed", 4401)
            if by == "token":
                again = one.client.post("/v1/auth/refresh", headers=one.shown)
                assert again.status_code == 401 and again.json()["code"] == code
        return took_s

    prompt(once, LIVE_S)
