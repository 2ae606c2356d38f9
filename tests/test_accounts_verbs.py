"""`bursa user`, `bursa key`, `bursa tier`: on a folder that nobody holds, on one that is held, on a
server's database; and what people order of a venue that runs, kept with who did.
"""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from bursa import cli, config
from bursa.accounts import clerk
from bursa.accounts.audit import Chosen
from bursa.accounts.parts import Accounts
from bursa.accounts.who import CLI
from bursa.api.front import Front
from bursa.api.running import gates_of
from bursa.api.services import Services
from bursa.app import accounts_of, shop, switches
from bursa.history.name_book import NameBook
from bursa.model.errors import Refuse
from bursa.model.venue import IDX
from bursa.ops import logs
from bursa.pipeline import control
from bursa.pipeline.runtime import VenueRuntime
from bursa.state.changes import Watch
from bursa.store.folder import DataFolder
from bursa.verbs import acting
from tests.accounts.house import PASSWORD
from tests.accounts.test_auth_routes import refused
from tests.accounts.test_portal_routes import data as good
from tests.api.floor import Floor, serve
from tests.prompt import PATIENT_S, prompt
from tests.running import wait_for
from tests.servers.postgres import Postgres

BOSS = "boss@contoh.id"
LIVE_S = 1.0


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> None:
    logs.setup("error", "json")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder that verbs are run on."""
    monkeypatch.setenv("BURSA_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("BURSA_LOG_LEVEL", "error")
    return tmp_path / "data"


def run(*arguments: str, say: str = "") -> str:
    """What a verb writes to standard output. Raises what it raises."""
    found = CliRunner().invoke(cli.app, list(arguments), input=say, catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return found.stdout


def rows(*arguments: str) -> list[dict[str, Any]]:
    """What a verb lists."""
    found: list[dict[str, Any]] = json.loads(run(*arguments, "--format", "json"))
    return found


def create(email: str, *options: str) -> str:
    """Make a user; his id."""
    made = run("user", "create", email, *options, "--password-stdin", say=f"{PASSWORD}\n")
    return made.split()[0]


def refusal(*arguments: str, say: str = "") -> str:
    """The code of what a verb refuses."""
    with pytest.raises(Refuse) as told:
        run(*arguments, say=say)
    return told.value.code


def kept(folder: Path, act: str) -> list[Any]:
    """Records of the audit, newest first."""
    loaded = config.load({"data": str(folder)}, {}).config
    with acting.acts_of(loaded) as acts:
        return acts.audit.read(Chosen(act=act))


def test_accounts_are_minded_on_a_folder_that_nobody_holds(folder: Path) -> None:
    boss = create(BOSS, "--role", "superadmin", "--name", "The Boss")
    ani = create("ani@contoh.id")
    assert [row["email"] for row in rows("user", "ls")] == ["ani@contoh.id", BOSS]
    assert [row["id"] for row in rows("user", "ls", "BOSS@")] == [boss]
    assert "superadmin, free, active" in run("user", "show", BOSS)
    # Keys: the whole one once, alone; then by its ends.
    whole = run("key", "make", "ani@contoh.id", "--name", "desk", "--expires", "90d").strip()
    assert len(whole) == 73 and whole.startswith("idx_live_")
    [key] = rows("key", "ls", "--user", ani)
    assert key["key"] == f"{whole[:13]}...{whole[-4:]}" and key["expires"] > key["created"]
    assert whole not in run("key", "ls")
    # Rights.
    assert "but rate=1200" in run("user", "override", ani, "--set", "rate=1_200")
    told = run(
        "user", "override", "ani@contoh.id", "--set", "timeframes=1d,5m", "--reason", "asked"
    )
    assert "rate=1200" in told and "timeframes=5m,1d" in told
    assert "but" not in run("user", "override", ani, "--clear")
    assert "tier pro" in run("key", "override", key["id"], "--tier", "pro", "--set", "rate=none")
    assert rows("key", "ls")[0]["override"] == {"rate": None}
    assert "tier" not in run("key", "override", key["id"], "--clear")
    tiers = {row["name"]: row for row in rows("tier", "ls")}
    assert tiers["pro"]["timeframes"] is None and tiers["free"]["users"] == 2
    run("tier", "set", "pro", "timeframes=1d,1h", "rate=none", "hd=raw")
    changed = {row["name"]: row for row in rows("tier", "ls")}["pro"]
    assert changed["timeframes"] == ["1h", "1d"] and changed["rate"] is None
    # Who may what with others.
    assert "admin, free" in run("user", "role", ani, "admin")
    assert "admin, pro" in run("user", "tier", ani, "pro")
    assert "disabled" in run("user", "disable", ani, "--reason", "left")
    assert refusal("key", "make", ani) == "user_disabled"
    assert "active" in run("user", "enable", ani)
    run("user", "password", ani, "--password-stdin", say="teh manis 8 gelas\n")
    assert "revoked" in run("key", "revoke", whole, "--reason", "leaked")
    # Signing keys.
    first, second = (run("key", "rotate").split()[5] for _ in range(2))
    signing = sorted(path.name for path in (folder / "secrets").glob("signing-*.pem"))
    assert f"signing-{first}.pem" in signing and f"signing-{second}.pem" in signing
    # All of it is in the audit, of who runs verbs, and bears no secret.
    records = kept(folder, "")
    assert {one.actor for one in records} == {"cli"} and all(one.ok for one in records)
    acts = {one.act for one in records}
    assert {"user.create", "user.tier", "key.make", "key.revoke", "tier.change"} <= acts
    [change] = [one for one in records if one.act == "tier.change"]
    assert json.loads(change.before or "")["rate"] == 600
    assert whole not in str(records) and PASSWORD not in str(records)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("user", "create", "boss@contoh.id", "--no-password"), "email_taken"),
        (("user", "create", "no address", "--no-password"), "bad_email"),
        (("user", "create", "a@b.id", "--no-password", "--tier", "gold"), "unknown_tier"),
        (("user", "create", "a@b.id", "--no-password", "--role", "king"), "bad_role"),
        (("user", "create", "a@b.id"), "bad_request"),
        # What is wrong is said before a password is asked for.
        (("user", "create", "no address"), "bad_email"),
        (("user", "create", "a@b.id", "--role", "king"), "bad_role"),
        (("user", "create", "a@b.id", "--password-stdin"), "bad_request"),
        (("user", "role", "boss@contoh.id", "user"), "last_superadmin"),
        (("user", "disable", "boss@contoh.id"), "last_superadmin"),
        (("user", "show", "nobody@contoh.id"), "unknown_user"),
        (("user", "ls", "--state", "gone"), "bad_request"),
        (("user", "ls", "--limit", "0"), "bad_request"),
        (("user", "ls", "--format", "xml"), "bad_request"),
        (("user", "override", "boss@contoh.id"), "bad_request"),
        (("user", "override", "boss@contoh.id", "--set", "rate"), "bad_request"),
        (("user", "override", "boss@contoh.id", "--set", "rate=-1"), "bad_rights"),
        (("user", "override", "boss@contoh.id", "--set", "speed=1"), "bad_rights"),
        (("key", "make", "boss@contoh.id", "--expires", "soon"), "bad_request"),
        (("key", "make", "boss@contoh.id", "--expires", "2020-01-01"), "bad_expiry"),
        (("key", "ls", "--state", "unverified"), "bad_request"),
        (("key", "revoke", "key_none"), "unknown_key"),
        (("key", "revoke", "idx_live_" + 64 * "0"), "unknown_key"),
        (("tier", "set", "gold", "rate=1"), "unknown_tier"),
        (("tier", "set", "pro", "hd=some"), "bad_rights"),
        (("tier", "set", "pro", "machines=none"), "bad_rights"),
        (("tier", "set", "pro", "timeframes=2m"), "bad_rights"),
    ],
)
def test_what_may_not_be_is_refused(
    one_boss: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: str
) -> None:
    monkeypatch.setenv("BURSA_DATA", str(one_boss))
    assert refusal(*arguments) == code


@pytest.fixture(scope="module")
def one_boss(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one superadmin."""
    folder = tmp_path_factory.mktemp("boss") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BURSA_DATA", str(folder))
        create(BOSS, "--role", "superadmin")
    return folder


# -- a folder that is held -------------------------------------------------------------------------


@dataclass
class Place:
    """A process that holds a folder: a venue without feeds, its accounts, its API."""

    folder: Path
    venue: VenueRuntime
    accounts: Accounts
    url: str

    @contextlib.contextmanager
    def session(self, email: str) -> Iterator[httpx.Client]:
        with httpx.Client(base_url=self.url, timeout=60) as client:
            signed = client.post("/auth/login", json={"email": email, "password": PASSWORD})
            client.headers["X-CSRF-Token"] = good(signed)["csrf"]
            yield client


class Served(Floor):
    """A floor with a process' accounts, the gates of its venue, and names in its folder."""

    def __init__(self, folder: Path, venue: VenueRuntime, accounts: Accounts) -> None:
        (folder / "floor").mkdir()
        super().__init__(folder / "floor")
        self._folder, self._venue, self._accounts = folder, venue, accounts

    def services(self) -> Services:
        found = super().services()
        found.venues["idx"].names = NameBook(IDX, self._folder)
        gates = {"idx": gates_of(self._venue)}
        clock = self._accounts.clock
        return replace(found, accounts=self._accounts, front=Front(), gates=gates, clock=clock)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    data = tmp_path_factory.mktemp("held") / "data"
    given = config.load({"data": str(data), "log.level": "error"}, {}).config
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(DataFolder(data))
        shared = stack.enter_context(shop(given, folder, [IDX]))
        venue = shared.runtime(IDX, serves=False)
        venue.start([])
        stack.callback(venue.stop)
        accounts = accounts_of(shared)
        accounts.start()
        stack.callback(accounts.stop)
        held = {"idx": venue}
        orders = control.handlers(held, {"idx": switches(given, "idx")}, accounts.orders.keeper())
        folder.serve({**clerk.handlers(clerk.Clerk(accounts, lambda: accounts.tokens)), **orders})
        floor = Served(data, venue, accounts)
        stack.callback(floor.close)
        served = stack.enter_context(serve(floor))
        accounts.people.create(BOSS, "superadmin", "free", PASSWORD, CLI)
        accounts.people.create("admin@contoh.id", "admin", "free", PASSWORD, CLI)
        yield Place(data, venue, accounts, served.url)


@pytest.fixture
def held(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("BURSA_DATA", str(place.folder))
    monkeypatch.setenv("BURSA_LOG_LEVEL", "error")
    return place


def test_a_process_that_holds_the_folder_goes_by_a_verb_at_once(held: Place) -> None:
    user = create("cepat@contoh.id", "--tier", "pro")
    whole = run("key", "make", user).strip()
    with httpx.Client(base_url=held.url, timeout=60) as client:
        token = good(client.post("/v1/auth/token", json={"api_key": whole}))["token"]
        client.headers["Authorization"] = f"Bearer {token}"

        def policy() -> str:
            return client.get("/v1/symbols?limit=1").headers["ratelimit-policy"]

        assert policy() == '"minute";q=600;w=60'
        run("tier", "set", "pro", "rate=650")
        assert policy() == '"minute";q=650;w=60'
        run("tier", "set", "pro", "rate=600")
        run("key", "rotate")
        assert policy() == '"minute";q=600;w=60'  # signed with the key before, and good
        keys = client.get("/.well-known/jwks.json").json()["keys"]
        assert len(keys) == 2
        run("key", "revoke", whole)
        assert refused(client.get("/v1/symbols?limit=1")) == (401, "key_revoked")
    assert refusal("user", "create", "cepat@contoh.id", "--no-password") == "email_taken"


def test_gates_and_switches_are_kept_with_who_set_them(held: Place) -> None:
    path = "/admin/api/hd-config/idx"
    with held.session(BOSS) as boss, held.session("admin@contoh.id") as admin:
        [one] = good(boss.get("/admin/api/hd-config"))
        assert one["venue"] == "idx" and one["history"] == [] and len(one["gates"]) == 1
        own = one["gates"][0]
        form = {"effective": "2199-01-04T09:00:00+07:00", "gate_open": "09:07", "reason": "late"}
        assert refused(admin.post(path, json=form)) == (403, "not_allowed")
        changed = good(boss.post(path, json=form))
        assert [gates["gate_open"] for gates in changed["gates"]] == [own["gate_open"], "09:07"]
        assert changed["gates"][1]["holds"] == "later"
        [entry] = changed["history"]
        assert entry["user_name"] == BOSS and entry["reason"] == "late"
        assert entry["before"]["gate_open"] == own["gate_open"]
        assert entry["after"]["gate_open"] == "09:07"
        # The same again changes nothing, and is not kept.
        assert len(good(boss.post(path, json=form))["history"]) == 1
        run("hd", "set", "--effective", "2199-02-01T09:00", "--freeze", "15:31")
        history = good(admin.get(path))["history"]
        assert history[0]["user"] == "cli" and history[0]["after"]["freeze"] == "15:31"
        for body, code in (
            ({"effective": "2199-01-05"}, "bad_body"),
            ({"effective": "2199-01-05", "gate_open": "9"}, "bad_clock"),
            ({"effective": "2199-01-05", "gate_open": "25:00"}, "bad_clock"),
            ({"effective": "noon", "gate_open": "09:00"}, "bad_time"),
            ({"effective": "2199-01-05", "gate_open": "23:00"}, "bad_request"),
        ):
            assert refused(boss.post(path, json=body)) == (400, code), body
        assert refused(admin.get("/admin/api/hd-config/binance")) == (404, "unknown_venue")
        run("kinds", "set", "idx.quotes", "--publish", "off")
        run("kinds", "set", "idx.quotes", "--publish", "off")
        told = good(boss.get("/admin/api/audit?act=kinds.set"))
        assert len(told) == 1 and told[0]["actor"] == "cli" and told[0]["target"] == "idx"
        assert told[0]["before"] == {"quotes.publish": "on"}
        assert told[0]["after"] == {"quotes.publish": "off"}


def test_names_are_imported_and_every_bad_line_is_told(held: Place) -> None:
    path = "/admin/api/imports"
    text = "ticker,name\nBBCA,BANK CENTRAL ASIA TBK\nbad ticker,X\nTLKM,TELKOM,3\nGOTO,GOTO\n"
    with held.session(BOSS) as boss, held.session("admin@contoh.id") as admin:
        form: dict[str, Any] = {"kind": "symbols", "text": text, "venue": "idx"}
        tried = good(boss.post(path, json=form))
        assert tried["counts"] == {"new": 2, "refused": 2}
        assert [line["line"] for line in tried["lines"]] == [2, 3, 4, 5]
        assert not (held.folder / "names" / "idx.csv").exists()
        whole = {**form, "dry_run": False}
        assert refused(boss.post(path, json=whole)) == (400, "bad_list")
        whole["text"] = text.replace("bad ticker,X\n", "").replace(",3", "")
        assert refused(admin.post(path, json=whole)) == (403, "not_allowed")
        assert good(boss.post(path, json=whole))["counts"] == {"new": 3}
        assert "PT Bank Central Asia Tbk" in (held.folder / "names" / "idx.csv").read_text()
        assert good(boss.post(path, json=whole))["counts"] == {"same": 3}
        assert good(boss.get(f"{path}?limit=1"))[0]["after"] == {"same": 3}
        nowhere = boss.post(path, json={**form, "venue": "nyse"})
        assert refused(nowhere) == (404, "unknown_venue")
        assert refused(boss.post(path, json={**form, "kind": "cars"})) == (400, "bad_body")


# -- a server's database ---------------------------------------------------------------------------


def test_verbs_reach_accounts_of_a_server_without_a_folder(
    postgres: Postgres, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BURSA_ACCOUNTS_DATABASE", postgres.database())
    user = create("awan@contoh.id", "--role", "superadmin")
    assert not folder.exists() or not (folder / "state.db").exists()
    loaded = config.load({}).config
    with acting.acts_of(loaded) as other:
        # Another process that watches hears of a verb within a second.
        watch = Watch(other.database, other.standing.refresh)
        watch.start()
        try:
            found = wait_for(lambda: other.standing.user(user), PATIENT_S)
            assert found.role == "superadmin"

            def once(_: int) -> float:
                run("user", "tier", "awan@contoh.id", "free")
                wait_for(lambda: other.standing.rights(user).hd != "raw", PATIENT_S)
                run("user", "tier", "awan@contoh.id", "enterprise")
                began = time.monotonic()
                while other.standing.rights(user).hd != "raw":
                    assert time.monotonic() < began + PATIENT_S
                    time.sleep(0.01)
                return time.monotonic() - began

            prompt(once, LIVE_S)
        finally:
            watch.stop()
    assert [row["tier"] for row in rows("user", "ls")] == ["enterprise"]
