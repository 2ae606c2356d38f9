"""All of accounts in one process: its secrets, its jobs, and what other processes hear of it."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bursa.accounts.ids import digest
from bursa.accounts.jobs import Job, Jobs
from bursa.accounts.parts import FINGERPRINT, Accounts, Beside
from bursa.accounts.who import CLI
from bursa.app import accounts_of, shop
from bursa.config import load, rows, superadmin_password
from bursa.model.errors import Refuse, Retry
from bursa.ops.telemetry import Telemetry
from bursa.state.database import Database
from bursa.store.folder import DataFolder
from tests.accounts.office import ENGINES, NOW_NS, PASSWORD, S, refused
from tests.api.floor import HandClock
from tests.prompt import PATIENT_S, prompt

# The issue's own bound.
LIVE_S = 1.0


def accounts(where: Path | str, folder: Path, secrets: Path | None = None) -> Accounts:
    """Accounts of a process, not begun."""
    beside = Beside(folder, secrets or folder / "secrets")
    return Accounts(Database(where), HandClock(NOW_NS), Telemetry(), beside)


@contextmanager
def begun(made: Accounts) -> Iterator[Accounts]:
    made.start()
    try:
        yield made
    finally:
        made.stop()
        made.database.close()


@pytest.fixture(params=ENGINES)
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    if request.param == "sqlite":
        return tmp_path / "state.db"
    url: str = request.getfixturevalue("postgres").database()
    return url


def knows(made: Accounts, key: str) -> bool:
    """Is the key one that is good?"""
    try:
        made.standing.principal_of_key(key, NOW_NS)
    except Refuse as refusal:
        assert refusal.code == "key_revoked"
        return False
    return True


def test_a_change_is_heard_of_in_every_process_within_a_second(
    where: Path | str, tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with (
        begun(accounts(where, tmp_path / "one", tmp_path / "secrets")) as one,
        begun(accounts(where, tmp_path / "two", tmp_path / "secrets")) as two,
    ):

        def once(nth: int) -> float:
            user = one.people.create(f"a{nth}@x.test", "user", "pro", PASSWORD, CLI)
            full, key = one.keys.make(user, "bot", None, CLI)
            assert one.standing.principal_of_key(key.id, NOW_NS).rights.tier == "pro"
            two.standing.refresh()  # what is not found is asked for once
            assert two.standing.key_by_hash(digest(full)) == key.id
            who = two.standing.principal_of_key(key.id, NOW_NS)
            text = one.tokens.issue(who, NOW_NS)
            assert two.tokens.read(text, NOW_NS).user == user
            assert who.factor == one.standing.principal_of_key(key.id, NOW_NS).factor != 1.0
            heard = threading.Event()
            two.standing.listeners.append(heard.set)
            began = time.monotonic()
            one.keys.revoke(key.id, CLI)
            with refused("key_revoked"):
                one.standing.principal_of_key(key.id, NOW_NS)
            while knows(two, key.id):
                assert time.monotonic() < began + PATIENT_S
                time.sleep(0.005)
            took_s = time.monotonic() - began
            assert heard.wait(PATIENT_S)
            return took_s

        prompt(once, LIVE_S)


def test_accounts_are_tied_to_the_secrets_they_were_made_with(tmp_path: Path) -> None:
    state, secrets = tmp_path / "state.db", tmp_path / "secrets"
    first = accounts(state, tmp_path)
    assert first.standing.setting(FINGERPRINT) == first.secrets.fingerprint
    assert accounts(state, tmp_path).secrets.hd == first.secrets.hd
    with pytest.raises(Refuse, match="made with other secrets") as why:
        accounts(state, tmp_path, tmp_path / "others")
    assert (why.value.code, why.value.parameter) == ("secrets_differ", "accounts.secrets")
    assert not (tmp_path / "others").exists(), "none are made that would not do"
    shutil.move(secrets / "hd.key", tmp_path / "kept")
    (secrets / "hd.key").write_bytes(bytes(32))
    (secrets / "hd.key").chmod(0o600)
    with refused("secrets_differ"):
        accounts(state, tmp_path)
    shutil.move(tmp_path / "kept", secrets / "hd.key")
    accounts(state, tmp_path)
    # Two that start at once on an empty database, each with secrets of its own: one stays.
    both = [tmp_path / "a", tmp_path / "b"]
    made: list[Accounts] = []
    codes: list[str] = []

    def begin(folder: Path) -> None:
        try:
            made.append(accounts(tmp_path / "new.db", tmp_path, folder))
        except Refuse as refusal:
            codes.append(refusal.code)

    Database(tmp_path / "new.db").open()
    threads = [threading.Thread(target=begin, args=(folder,)) for folder in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (len(made), codes) == (1, ["secrets_differ"])


def test_what_is_due_is_done_and_what_fails_is_tried_again(tmp_path: Path) -> None:
    made = accounts(tmp_path / "state.db", tmp_path)
    user = made.people.create("a@x.test", "user", "free", None, CLI)
    _, key = made.keys.make(user, "bot", NOW_NS + S, CLI)
    _, other = made.keys.make(user, "other", None, CLI)
    made.machines.activate(other.id, "desk", "1", CLI)
    made.keys.used(other.id, NOW_NS)
    assert isinstance(made.clock, HandClock)
    made.clock.ns = NOW_NS + 3600 * S
    with begun(made):
        until = time.monotonic() + PATIENT_S
        while not made.keys.show(key.id).revoked_ns and time.monotonic() < until:
            time.sleep(0.01)
        while made.machines.list(user) and time.monotonic() < until:
            time.sleep(0.01)
        made.standing.refresh()  # the job itself may not have come to that yet
        with refused("key_expired"):
            made.standing.principal_of_key(key.id, NOW_NS)
    assert made.keys.show(other.id).used_ns == NOW_NS
    assert made.machines.list(user) == []
    telemetry, done = Telemetry(), iter(range(1, 9))

    def fails() -> int:
        raise Retry("away")

    jobs = Jobs([Job("a", 1, fails), Job("b", 3, lambda: next(done))], telemetry)
    for tick in range(6):
        jobs.tick(tick)
    jobs.stop()
    assert next(done) == 3, "at ticks 0 and 3"
    said = telemetry.registry.get_sample_value
    assert said("bursa_account_jobs_failed_total", {"job": "a"}) == 7


def test_the_first_superadmins_password_is_in_no_setting_and_no_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = {"BURSA_SUPERADMIN_PASSWORD": PASSWORD}
    loaded = load({}, environment)
    assert superadmin_password(environment) == PASSWORD
    assert superadmin_password({}) == ""
    assert PASSWORD not in str(rows(loaded))
    made = accounts(tmp_path / "state.db", tmp_path)
    assert not made.standing.has_users
    made.first_superadmin(loaded.config.accounts.superadmin, PASSWORD)
    made.first_superadmin("other@x.test", PASSWORD)
    cookie, who = made.people.login("superadmin@localhost", PASSWORD, CLI)
    assert who.role == "superadmin" and who.rights.tier == "enterprise"
    said = capsys.readouterr()
    files = b"".join(path.read_bytes() for path in tmp_path.glob("state.db*"))
    everything = said.out + said.err + files.decode("latin-1")
    assert "the first superadmin is made" in said.out + said.err
    assert PASSWORD not in everything
    assert cookie not in everything


def test_a_start_with_the_password_in_its_environment_makes_the_first_superadmin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BURSA_SUPERADMIN_PASSWORD", PASSWORD)
    settings = {"data": str(tmp_path / "data"), "accounts.superadmin": "Root@x.test"}
    config = load({**settings, "http.public_url": "https://data.x.test/"}, {}).config
    for _ in range(2):  # the second start changes nothing
        with DataFolder(Path(config.data)) as folder, shop(config, folder, []) as shared:
            made = accounts_of(shared)
            assert made.people.login("root@x.test", PASSWORD, CLI)[1].role == "superadmin"
            assert made.public_url == "https://data.x.test"
            assert sorted(path.name for path in (folder.path / "secrets").iterdir())[0] == "hd.key"
            assert made.desk.people()["role"] == {"superadmin": 1}
    monkeypatch.setenv("BURSA_SUPERADMIN_PASSWORD", "short")
    config = load({"data": str(tmp_path / "other")}, {}).config
    with (
        DataFolder(Path(config.data)) as folder,
        shop(config, folder, []) as shared,
        pytest.raises(Refuse, match="BURSA_SUPERADMIN_PASSWORD: 5 characters"),
    ):
        accounts_of(shared)
