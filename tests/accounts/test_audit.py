"""No record of the audit is lost: by months that begin, a database that is away, a kill, a torn
line, a process that ends in the middle."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bursa.accounts import audit_months
from bursa.accounts.audit import Audit, Chosen
from bursa.accounts.audit_ahead import FILE, TORN, Ahead
from bursa.accounts.audit_check import check
from bursa.accounts.audit_months import exported, files
from bursa.accounts.audit_tables import Month, Record, line_of, tables
from bursa.accounts.event import Event
from bursa.model.errors import Refuse, Retry
from bursa.ops.telemetry import Telemetry
from bursa.state.database import Database
from tests.servers.postgres import Postgres

S = 1_000_000_000


def ns(year: int, month: int, day: int = 1) -> int:
    return int(datetime(year, month, day, tzinfo=UTC).timestamp()) * S


class HandClock:
    def __init__(self, at_ns: int = ns(2026, 11, 20)) -> None:
        self.ns = at_ns

    def now_ns(self) -> int:
        return self.ns


class Desk:
    """An audit on a database of its own, that can be ended and begun again."""

    def __init__(self, database: Database, folder: Path, clock: HandClock) -> None:
        self.database, self.folder, self.clock = database, folder, clock
        self.told = 0
        self.again()

    def again(self) -> None:
        self.telemetry = Telemetry()
        self.audit = Audit(self.database, self.clock, self.telemetry, self.folder)

    def event(self, at_ns: int | None = None, **other: Any) -> Event:
        self.told += 1
        at_ns = self.clock.ns if at_ns is None else at_ns
        given: dict[str, Any] = {"actor": "usr_1", "actor_role": "admin", "act": "user.tier"}
        return Event(at_ns, **{**given, "target": f"n{self.told}", **other})

    def within(self, at_ns: int | None = None, **other: Any) -> None:
        with self.database.transaction() as connection:
            self.audit.within(connection, self.event(at_ns, **other))

    def tell(self, at_ns: int | None = None, **other: Any) -> None:
        self.audit.tell(self.event(at_ns, **other))

    def stored(self, chosen: Chosen | None = None) -> list[Record]:
        return self.audit.read(chosen or Chosen(), limit=100_000)

    def filed(self) -> list[Record]:
        return [record for path in files(self.folder) for record in exported(path)]

    def targets(self) -> list[str]:
        """Of all records, those in files too, by number."""
        found = [record.target for record in [*self.stored(), *self.filed()]]
        return sorted(found, key=lambda target: int(target[1:]))

    def expected(self) -> list[str]:
        return [f"n{number}" for number in range(1, self.told + 1)]

    def counted(self, name: str) -> float:
        return self.telemetry.registry.get_sample_value(f"bursa_{name}") or 0.0


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with all tables, which a test takes a copy of."""
    file = tmp_path_factory.mktemp("blank") / "state.db"
    database = Database(file)
    database.open()
    database.close()
    return file


@pytest.fixture(scope="session")
def emptied(request: pytest.FixtureRequest) -> Callable[[], Database]:
    """The same database of PostgreSQL each time, without what a test left of the audit."""
    postgres: Postgres = request.getfixturevalue("postgres")
    url = postgres.database()

    def emptied() -> Database:
        database = Database(url)
        with database.transaction() as connection:
            for name in tables(connection):
                connection.exec_driver_sql(f"drop table {name}")
            connection.exec_driver_sql("delete from leases")
        return database

    return emptied


@pytest.fixture
def local(tmp_path: Path, blank: Path) -> Iterator[Desk]:
    """On SQLite, where the engine makes no difference."""
    shutil.copy(blank, tmp_path / "state.db")
    database = Database(tmp_path / "state.db")
    yield Desk(database, tmp_path / "audit", HandClock())
    database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    if request.param == "sqlite":
        yield request.getfixturevalue("local")
    else:
        database = request.getfixturevalue("emptied")()
        yield Desk(database, tmp_path / "audit", HandClock())
        database.close()


# -- what is kept ----------------------------------------------------------------------------------


def test_records_come_back_as_they_were_told_newest_first_and_by_pages(desk: Desk) -> None:
    at = desk.clock.ns
    desk.within(at, before={"tier": "free"}, after={"tier": "pro", "é": [1, None]})
    desk.tell(at, act="sign_in", actor="", ok=False, address="10.0.0.1", request_id="r-1")
    desk.within(at + 1, target="a%_b", act="user_tier")
    desk.tell(ns(2026, 10, 31), after={"x": 1})
    desk.within(ns(2026, 12))
    desk.audit.turn()
    found = desk.stored()
    assert [record.target for record in found] == ["n5", "a%_b", "n2", "n1", "n4"]
    assert json.loads(found[3].before or "") == {"tier": "free"}
    assert json.loads(found[3].after or "") == {"tier": "pro", "é": [1, None]}
    failed = found[2]
    assert (failed.ok, failed.address, failed.request_id) == (False, "10.0.0.1", "r-1")
    assert failed.before is None and failed.after is None
    pages: list[Record] = []
    while page := desk.audit.read(Chosen(), _after(pages), limit=2):
        pages += page
    assert pages == found

    def chosen(**which: Any) -> list[str]:
        wanted = Chosen(**which)
        targets = [record.target for record in desk.stored(wanted)]
        assert targets == [record.target for record in found if wanted.has(record)]
        return targets

    assert chosen(act="user.") == ["n5", "n1", "n4"]
    assert chosen(act="user_") == ["a%_b"], "no pattern"
    assert chosen(actor="usr_1", ok=True, target="n1") == ["n1"]
    assert chosen(ok=False) == ["n2"]
    assert chosen(from_ns=at, until_ns=at + 1) == ["n2", "n1"]
    assert chosen(until_ns=ns(2026, 11)) == ["n4"]
    assert chosen(from_ns=ns(2027, 1)) == []


def _after(pages: list[Record]) -> tuple[int, str] | None:
    return (pages[-1].at_ns, pages[-1].id) if pages else None


def test_a_change_that_is_not_kept_leaves_no_record(desk: Desk) -> None:
    desk.within()
    for month in (11, 12):  # a table that there is, and one that the same transaction made
        with pytest.raises(ZeroDivisionError), desk.database.transaction() as connection:
            desk.audit.within(connection, desk.event(ns(2026, month)))
            raise ZeroDivisionError
    desk.within(ns(2026, 12, 2))
    assert [record.target for record in desk.stored()] == ["n4", "n1"]


def test_no_secret_and_nothing_endless_is_written(desk: Desk) -> None:
    key = "idx_live_" + "5e" * 32
    desk.tell(
        target="x" * 5_000,
        actor="a\0b\x1b[31m\u202e",
        before={"password": "hunter2", "Token": 1, "deep": [{"key_hash": "h"}, f"made {key}"]},
        after={"many": ["y" * 200_000], "odd": datetime(2026, 1, 1), "nul": "a\0b"},
    )
    desk.audit.turn()
    (found,) = desk.stored()
    assert len(found.target) == 400 and found.target.endswith("…")
    assert found.actor == "a\ufffdb\ufffd[31m\ufffd", "nothing that steers a terminal"
    assert json.loads(found.before or "") == {
        "password": "(not told)",
        "Token": "(not told)",
        "deep": [{"key_hash": "(not told)"}, "made (not told)"],
    }
    assert len(found.after or "") < 110_000 and json.loads(found.after or "")


# -- months ----------------------------------------------------------------------------------------


def test_36_months_go_by_and_no_record_is_lost(desk: Desk) -> None:
    """The clock is moved to each month's end; every few months the process is another one, and
    once it was off for half a year."""
    first = Month(2026, 11)
    for number in range(36):
        month = first.plus(number)
        ends = month.plus(1).start_ns
        desk.clock.ns = ends - 1
        if number in (20, 21, 22, 23, 24):
            continue  # it is off
        if number % 5 == 0:
            desk.again()
        desk.within()
        desk.tell(ends - 1)
        desk.tell(ends)  # its clock is a little ahead of ours
        desk.tell(month.plus(-9).start_ns)  # waited long in another process's file
        desk.clock.ns = ends
        desk.within()
        desk.audit.turn()
        assert not _missing(desk, Month.of(ends)), f"at the end of {month}"
    assert desk.targets() == desk.expected()
    last = Month.of(desk.clock.ns)
    in_tables = {Month.of(record.at_ns) for record in desk.stored()}
    assert min(in_tables) == last.plus(-6) and len(files(desk.folder)) >= 25
    for path, month in files(desk.folder).items():
        of = [Month.of(record.at_ns) for record in exported(path)]
        assert set(of) == {month} and path.stat().st_mode & 0o777 == 0o600
    assert all(finding.good for finding in check(desk.database, desk.folder, last))
    if desk.database.dialect == "postgresql":
        with desk.database.snapshot() as connection:
            asked = "select relname::text from pg_class where relispartition and relkind = 'r'"
            partitions = sorted(connection.exec_driver_sql(asked).scalars())
        assert partitions == [last.plus(number).table for number in range(-6, 4)]


def _missing(desk: Desk, present: Month) -> list[str]:
    """Months that should be ready and are not."""
    with desk.database.snapshot() as connection:
        there = set(tables(connection).values())
    return [str(present.plus(n)) for n in range(4) if present.plus(n) not in there]


@pytest.mark.parametrize("where", ["_write", "_sync_folder", "_drop"])
def test_what_is_killed_on_the_way_into_a_file_goes_on(
    desk: Desk, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        desk.within(ns(2026, 4, 1 + number))
    desk.within()
    desk.clock.ns = ns(2026, 12)
    good: Callable[..., Any] = getattr(audit_months, where)

    def ending(*given: Any) -> None:
        if where == "_write":
            given[0].write_bytes(b"half of it")
        raise OSError("killed here")

    monkeypatch.setattr(audit_months, where, ending)
    with pytest.raises(OSError, match="killed here"):
        desk.audit.settle()
    there = {record.target for record in [*desk.stored(), *desk.filed()]}
    assert there == set(desk.expected()), "at no moment is one nowhere"
    desk.within(ns(2026, 4, 30))  # and one comes late
    monkeypatch.setattr(audit_months, where, good)
    desk.clock.ns += 60 * S
    desk.audit.turn()
    desk.clock.ns += 60 * S
    desk.audit.turn()
    assert desk.targets() == desk.expected()
    assert len(desk.filed()) == 6 and len(desk.stored()) == 1


def test_processes_take_turns_at_the_months(desk: Desk, tmp_path: Path) -> None:
    for number in range(200):
        desk.within(ns(2025, 1 + number % 12, 1 + number % 28))
    desk.clock.ns = ns(2026, 12)
    others = [
        Audit(desk.database, desk.clock, Telemetry(), tmp_path / f"other{n}") for n in range(2)
    ]
    with ThreadPoolExecutor() as pool:
        assert list(pool.map(Audit.settle, (desk.audit, *others))) == [None] * 3
    desk.audit.settle()
    folders = [desk.folder, *(tmp_path / f"other{n}" for n in range(2))]
    filed = [r.target for folder in folders for path in files(folder) for r in exported(path)]
    assert sorted(filed) == sorted(desk.expected()) and not desk.stored()


# -- the file that is written ahead ----------------------------------------------------------------


def record(number: int) -> Record:
    return Record(f"id{number:04}", ns(2026, 11) + number, "", "user", "sign_in", f"n{number}",
                  None, '{"why":"é\\n"}', "", "", False)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 2_000), flips=st.lists(st.integers(0, 1_500), max_size=2))
def test_a_torn_line_costs_that_line_only(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flips: list[int]
) -> None:
    """The file ends anywhere, and some bytes of it are zeros, as after a loss of power."""
    folder = tmp_path_factory.mktemp("torn")
    ahead = Ahead(folder)
    for number in range(10):
        ahead.put(record(number))
    ahead.close()
    whole = bytearray((folder / FILE).read_bytes())
    for at in flips:
        whole[min(at, len(whole) - 1)] = 0
    left = bytes(whole[:cut])
    (folder / FILE).write_bytes(left)
    good = [number for number in range(10) if line_of(record(number)).rstrip() in left.split(b"\n")]
    ahead = Ahead(folder)
    ahead.put(record(10))
    found, at = [], 0
    while (part := ahead.read(at)).upto != at:
        found += part.records
        at = part.upto
    # A zero may have been put where it changes a word and leaves a record.
    told = [one for one in found if one == record(int(one.id[2:]))]
    assert [int(one.id[2:]) for one in told] == [*good, 10]
    assert ahead.empty(at) and ahead.size == 0
    ahead.close()


def test_what_a_torn_line_said_is_set_aside_and_counted(local: Desk) -> None:
    desk = local
    desk.tell()
    with (desk.folder / FILE).open("ab") as file:
        file.write(line_of(record(7))[:50])
    desk.again()
    desk.tell()
    findings = {one.what: one for one in check(desk.database, desk.folder, Month(2026, 11))}
    assert findings[FILE].records == 2 and "1 torn lines" in findings[FILE].said
    desk.audit.turn()
    assert desk.targets() == desk.expected() and desk.counted("audit_torn_total") == 1
    assert (desk.folder / TORN).read_bytes() == line_of(record(7))[:50] + b"\n"
    bad = [one.what for one in check(desk.database, desk.folder, Month(2026, 11)) if not one.good]
    assert bad == [TORN]
    assert (desk.folder / FILE).stat().st_size == 0
    assert desk.counted("audit_waiting_bytes") == 0


def test_a_line_that_a_kill_cut_off_alone_is_set_aside_too(local: Desk) -> None:
    desk = local
    desk.folder.mkdir()
    (desk.folder / FILE).write_bytes(line_of(record(7))[:50])
    desk.audit.turn()
    assert desk.counted("audit_torn_total") == 1 and not desk.stored()
    desk.tell()
    desk.audit.turn()
    assert desk.targets() == desk.expected()


def test_a_file_that_takes_nothing_costs_none_until_memory_is_full_too(
    local: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bursa.accounts.audit.HELD_MAX", 3)
    monkeypatch.setattr("bursa.accounts.audit_ahead.BYTES_MAX", 600)
    desk = local
    for _ in range(9):
        desk.tell()
    lost = int(desk.counted("audit_lost_total"))
    desk.audit.turn()
    kept = [record.target for record in desk.stored()]
    assert 1 <= lost and len(kept) == 9 - lost > 3
    desk.tell()
    desk.audit.turn()
    assert len(desk.stored()) == 10 - lost


def test_a_damaged_file_of_a_month_is_found_and_not_overwritten(local: Desk) -> None:
    desk = local
    desk.within(ns(2026, 3))
    desk.audit.turn()
    (path,) = files(desk.folder)
    damaged = bytearray(path.read_bytes())
    damaged[-3] ^= 1
    path.write_bytes(damaged)
    (bad,) = [one for one in check(desk.database, desk.folder, Month(2026, 11)) if not one.good]
    assert bad.what == path.name and "damaged" in bad.said
    desk.within(ns(2026, 3, 2))
    with pytest.raises(Refuse, match="damaged"):
        desk.audit.settle()
    assert path.read_bytes() == damaged and [one.target for one in desk.stored()] == ["n2"]


# -- the database is away, the process is killed ---------------------------------------------------


def test_what_is_told_while_the_database_is_away_is_there_when_it_is_back(
    tmp_path: Path, postgres: Postgres, emptied: Callable[[], Database]
) -> None:
    database = emptied()
    desk = Desk(database, tmp_path / "audit", HandClock())
    desk.audit.start()
    desk.within()
    desk.tell()
    postgres.kill()
    try:
        began = time.monotonic()
        for _ in range(100):
            desk.tell()
        assert time.monotonic() - began < 20, "nobody waits for the database"
        with pytest.raises(Retry):
            desk.within()
        desk.audit.stop()
        desk.again()  # and the process begins again meanwhile
        desk.audit.start()
        desk.tell()
    finally:
        postgres.start()
    until = time.monotonic() + 90
    while desk.counted("audit_waiting_bytes") or (desk.folder / FILE).stat().st_size:
        assert time.monotonic() < until
        time.sleep(0.05)
    desk.audit.stop()
    assert desk.targets() == desk.expected()
    database.close()


_TELLER = """
import sys
from pathlib import Path
from bursa.accounts.audit import Audit
from bursa.app import SystemClock
from bursa.accounts.event import Event
from bursa.ops.telemetry import Telemetry
from bursa.state.database import Database
folder, clock = Path(sys.argv[1]), SystemClock()
database = Database(folder / "state.db")
audit = Audit(database, clock, Telemetry(), folder / "audit")
audit.start()
for number in range(1, 10**6):
    event = Event(clock.now_ns(), "", "user", "sign_in", f"n{number}", ok=False)
    if number % 10:
        audit.tell(event)
    else:
        with database.transaction() as connection:
            audit.within(connection, event)
    print(number, flush=True)
"""


def test_a_killed_process_loses_no_record(local: Desk, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _TELLER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= 300:
                break
        os.kill(process.pid, signal.SIGKILL)
        told = [int(line), *map(int, process.stdout.read().split())][-1]
    desk, local.clock.ns, local.told = local, time.time_ns(), told
    desk.audit.turn()
    found = desk.targets()
    # One more may have been kept that the kill left no time to print.
    assert found[: desk.told] == desk.expected() and len(found) <= told + 1


def test_a_record_that_the_database_never_takes_holds_up_no_other(
    tmp_path: Path, emptied: Callable[[], Database]
) -> None:
    """Such a one is not told by us; a damaged file may have it all the same."""
    database = emptied()
    desk = Desk(database, tmp_path / "audit", HandClock())
    desk.folder.mkdir()
    desk.tell()
    lines = [line_of(record(1)).replace(b'"n1"', b'"n\\u00001"'), line_of(record(2))[:-3] + b"1}\n"]
    lines += [line_of(record(3)).replace(b'"at_ns":', b'"at_ns":99')]
    with (desk.folder / FILE).open("ab") as file:
        file.writelines(lines)
    desk.again()
    desk.tell()
    desk.audit.turn()
    assert desk.targets() == desk.expected() and desk.counted("audit_torn_total") == 3
    assert (desk.folder / TORN).read_bytes().count(b"\n") == 3
    assert (desk.folder / FILE).stat().st_size == 0
    database.close()
