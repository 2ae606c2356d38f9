"""`bursa audit`: what it lists, writes and finds, of a database and of files together."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from typer.testing import CliRunner, Result

from bursa.accounts.audit import Audit
from bursa.accounts.audit_ahead import FILE
from bursa.accounts.audit_tables import line_of
from bursa.app import SystemClock
from bursa.cli import app
from bursa.ops.telemetry import Telemetry
from tests.accounts.test_audit import Desk, blank, local, ns, record

__all__ = ["blank", "local"]
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["audit", *arguments, "--data", str(tmp_path)])

    return run


@pytest.fixture
def desk(local: Desk) -> Desk:
    """Records of three months that lie in files, and of now."""
    desk, local.clock.ns = local, SystemClock().now_ns()
    for month in (1, 2, 3):
        desk.within(ns(2025, month, 2), after={"tier": "pro"})
    desk.tell(act="sign_in", actor="", target="=cmd()", address="10.0.0.1", ok=False)
    desk.within(actor="cli", actor_role="superadmin", act="user.create")
    desk.audit.turn()
    desk.within(ns(2025, 2, 3))  # late: for a while its month is in a file and in a table
    assert len(desk.filed()) == 3 and len(desk.stored()) == 3
    return desk


def listed(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [one["target"] for one in json.loads(result.stdout)]


def test_records_are_listed_newest_first_whether_in_tables_or_in_files(
    desk: Desk, run: Run
) -> None:
    newest = ["n5", "=cmd()", "n3", "n6", "n2", "n1"]
    assert listed(run("ls", "--format", "json")) == newest
    assert listed(run("ls", "--format", "json", "--limit", "3")) == newest[:3]
    chosen = {
        "n1 n2 n3 n6": ("--to", "2025-12-31"),
        "n2 n6": ("--from", "2025-02-01", "--to", "2025-03-01T00:00+00:00"),
        "=cmd()": ("--failed",),
        "n5": ("--actor", "cli"),
        "n3": ("--act", "user.", "--target", "n3"),
    }
    for targets, options in chosen.items():
        assert sorted(listed(run("ls", "--format", "json", *options))) == targets.split()
    table = run("ls").stdout
    assert "nobody" in table and "10.0.0.1" in table and '{"tier":"pro"}' in table


def test_an_actor_is_named_by_his_address(desk: Desk, run: Run, tmp_path: Path) -> None:
    with desk.database.transaction() as connection:
        connection.exec_driver_sql(
            "insert into users (id, email, name, password, role, tier, state, override,"
            " created_ns, changed) values ('usr_1', 'sari@contoh.id', '', '', 'admin', 'free',"
            " 'active', '{}', 0, 1)"
        )
    found = json.loads(run("ls", "--actor", "Sari@contoh.id", "--format", "json").stdout)
    assert {one["actor"] for one in found} == {"sari@contoh.id"} and len(found) == 4


def test_all_of_it_is_written_oldest_first(desk: Desk, run: Run, tmp_path: Path) -> None:
    oldest = ["n1", "n2", "n6", "n3", "=cmd()", "n5"]
    packed, plain, table = (tmp_path / f"all{end}" for end in (".jsonl.zst", ".jsonl", ".csv"))
    for file in (packed, plain, table):
        result = run("export", str(file))
        assert result.exit_code == 0 and result.stdout == f"6 records -> {file}\n"
    lines = plain.read_bytes()
    assert [json.loads(line)["target"] for line in lines.splitlines()] == oldest
    assert zstandard.ZstdDecompressor().decompressobj().decompress(packed.read_bytes()) == lines
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["target"] for row in rows] == [*oldest[:4], "'=cmd()", "n5"], "no formula"
    assert rows[4]["ok"] == "false" and rows[0]["after"] == '{"tier":"pro"}'
    again = run("export", str(plain), "--failed")
    assert again.exit_code != 0 and isinstance(again.exception, Exception)
    assert plain.read_bytes() == lines
    assert run("export", str(plain), "--failed", "--force").stdout.startswith("1 record ->")
    assert not list(tmp_path.glob("*.part"))


def test_verify_says_what_somebody_should_look_at(desk: Desk, run: Run) -> None:
    good = run("verify")
    assert good.exit_code == 0, good.output
    assert "goes into a file next" in good.stdout and "bad" not in good.stdout
    with (desk.folder / FILE).open("ab") as file:
        file.write(line_of(record(1)) + b'{"torn\n')
    bad = run("verify", "--json")
    assert bad.exit_code == 1
    (found,) = [one for one in json.loads(bad.stdout) if not one["good"]]
    assert found["what"] == FILE and found["records"] == 1 and "1 torn" in found["finding"]


def test_of_an_empty_folder_nothing_is_said_and_nothing_made(run: Run, tmp_path: Path) -> None:
    assert run("ls").stdout == run("verify").stdout == "nothing was audited yet\n"
    assert listed(run("ls", "--format", "json")) == []
    assert run("export", str(tmp_path / "x.csv")).exit_code == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ls", "--limit", "0"), "--limit: 0; allowed: 1 to 100,000"),
        (("ls", "--format", "xml"), "--format: xml; allowed: table, json, csv"),
        (("ls", "--from", "soon"), "--from: soon; allowed: a date or a time"),
        (("ls", "--from", "2026-02-01", "--to", "2026-01-01"), "is not before --to"),
        (("ls", "--actor", "no@one.id"), "no user has that address"),
        (("export", "all.txt"), "names that end with .jsonl, .jsonl.zst or .csv"),
        (("export", "/nowhere/all.csv"), "cannot be written: No such file"),
    ],
)
def test_what_is_not_understood_is_refused(
    local: Desk, run: Run, arguments: tuple[str, ...], said: str
) -> None:
    assert said in str(run(*arguments).exception)


def test_a_verb_writes_no_file_beside_a_running_server(local: Desk) -> None:
    desk = local
    verb = Audit(desk.database, desk.clock, Telemetry(), None)
    verb.tell(desk.event(act="audit.told"))
    assert "audit.told" in {one.act for one in desk.stored()}
