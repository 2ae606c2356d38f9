"""A backup has the accounts, the secrets that they are tied to, and every record of the audit."""

import io
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console

from bursa import config
from bursa.accounts.audit import FOLDER, Audit, Chosen
from bursa.accounts.event import event
from bursa.accounts.ids import digest
from bursa.accounts.parts import Accounts, Beside
from bursa.accounts.who import CLI
from bursa.jobs import backup as copied
from bursa.model.errors import Refuse
from bursa.ops.telemetry import Telemetry
from bursa.state.copy import copy_database
from bursa.state.database import Database
from bursa.verbs.backup import run_backup, run_restore
from tests.accounts.office import NOW_NS, PASSWORD
from tests.api.floor import HandClock


def accounts_of(data: Path) -> Accounts:
    data.mkdir(exist_ok=True)
    beside = Beside(data, data / "secrets")
    return Accounts(Database(data / "state.db"), HandClock(NOW_NS), Telemetry(), beside)


def back_up(data: Path, target: Path, flags: Mapping[str, object] | None = None) -> str:
    loaded, said = config.load({"data": str(data), **(flags or {})}), io.StringIO()
    warn = Console(file=said, width=200)
    assert run_backup(loaded.config, target, as_json=False, say=Console(quiet=True), warn=warn) == 0
    return said.getvalue()


def bring_back(target: Path, to: Path) -> Path:
    quiet = Console(quiet=True)
    assert run_restore(target, to, check=False, as_json=False, say=quiet, warn=quiet) == 0
    return to


def test_what_comes_back_knows_the_same_people_keys_and_tokens(tmp_path: Path) -> None:
    here = accounts_of(tmp_path / "data")
    here.start()
    user = here.people.create("a@x.test", "user", "pro", PASSWORD, CLI)
    key, row = here.keys.make(user, "one", None, CLI)
    token = here.tokens.issue(here.standing.principal_of_key(row.id, NOW_NS), NOW_NS)
    back_up(tmp_path / "data", tmp_path / "backup")
    new = bring_back(tmp_path / "backup", tmp_path / "new")
    there = accounts_of(new)
    assert there.standing.key_by_hash(digest(key)) == row.id
    assert there.tokens.read(token, NOW_NS).user == user
    mine, theirs = (one.standing.principal_of_key(row.id, NOW_NS) for one in (here, there))
    assert mine == theirs and mine.rights.hd == "scaled" and mine.factor != 1.0
    assert {p.stat().st_mode & 0o777 for p in (new / "secrets").iterdir()} == {0o600}
    assert (new / "secrets").stat().st_mode & 0o777 == 0o700
    assert (new / "state.db").stat().st_mode & 0o777 == 0o600
    (new / "secrets" / "hd.key").unlink()
    there.database.close()
    with pytest.raises(Refuse) as refused:
        accounts_of(new)
    assert refused.value.code == "secrets_differ"
    here.stop()
    here.database.close()


def test_what_moves_to_the_state_while_it_is_copied_is_in_the_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    database, clock = Database(data / "state.db"), HandClock(NOW_NS)
    audit = Audit(database, clock, Telemetry(), data / FOLDER)
    database.open()

    def copy(path: Path, to: Path) -> None:
        copy_database(path, to)
        audit.bring()  # from the file to the state, right after that was copied
        assert not (data / copied.AHEAD).stat().st_size

    monkeypatch.setattr(copied, "copy_database", copy)
    audit.tell(event(CLI, NOW_NS, "sign_in.failed", "a@x.test", ok=False))
    back_up(data, tmp_path / "backup")
    audit.stop()
    database.close()
    new = bring_back(tmp_path / "backup", tmp_path / "new")
    database = Database(new / "state.db")
    audit = Audit(database, clock, Telemetry(), new / FOLDER)
    audit.start()
    audit.stop()
    assert [one.act for one in audit.read(Chosen())] == ["sign_in.failed"]
    database.close()


def test_what_lies_elsewhere_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert back_up(tmp_path / "data", tmp_path / "backup") == ""
    url = {"accounts.database": "postgresql://a:b@h/x", "accounts.secrets": str(tmp_path / "s")}
    said = back_up(tmp_path / "data", tmp_path / "backup", url)
    assert "accounts lie on a server" in said and f"secrets lie in {tmp_path / 's'}" in said
