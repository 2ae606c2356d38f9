"""The contract suites of leases, dead letters and reports, on both engines and on the fakes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bursa.ports import DeadLetters, Leases, Report, Reports
from bursa.state.sqlite import StateDb
from tests.fakes.state import FakeLeases, FakeLetters, FakeReports
from tests.servers.postgres import Postgres
from tests.state.contract import LeasesContract, LettersContract, ReportsContract


@pytest.fixture(scope="module")
def served(postgres: Postgres) -> Iterator[StateDb]:
    state = StateDb(postgres.database())
    state.check()
    yield state
    state.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateDb]:
    if request.param == "sqlite":
        state = StateDb(tmp_path / "state.db")
        yield state
        state.close()
        return
    state = request.getfixturevalue("served")
    with state.database.transaction() as to:
        names = "leases, runs, dead_letters, quality_reports"
        to.exec_driver_sql(f"truncate {names} restart identity")
    yield state


class TestSqlLeases(LeasesContract):
    @pytest.fixture
    def leases(self, state: StateDb) -> Leases:
        return state.leases


class TestFakeLeases(LeasesContract):
    @pytest.fixture
    def leases(self) -> Leases:
        return FakeLeases()


class TestSqlLetters(LettersContract):
    @pytest.fixture
    def letters(self, state: StateDb) -> DeadLetters:
        return state.letters


class TestFakeLetters(LettersContract):
    @pytest.fixture
    def letters(self) -> DeadLetters:
        return FakeLetters()


class TestSqlReports(ReportsContract):
    @pytest.fixture
    def reports(self, state: StateDb) -> Reports:
        return state.reports

    def test_old_reports_go(
        self, state: StateDb, reports: Reports, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("bursa.state.reports.REPORTS_KEPT", 2)
        reports.add(Report("idx", "week", 0, {}))
        for nth in range(5):
            reports.add(Report("idx", "day", nth, {}))
        with state.database.transaction() as to:
            found = to.exec_driver_sql("select span, at_ns from quality_reports order by id").all()
        assert found == [("week", 0), ("day", 3), ("day", 4)]


class TestFakeReports(ReportsContract):
    @pytest.fixture
    def reports(self) -> Reports:
        return FakeReports()
