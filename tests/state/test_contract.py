"""The contract suites of leases, dead letters and reports, on the database and on the fakes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bursa.ports import DeadLetters, Leases, Report, Reports
from bursa.state.sqlite import StateDb
from tests.fakes.state import FakeLeases, FakeLetters, FakeReports
from tests.state.contract import LeasesContract, LettersContract, ReportsContract


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDb]:
    state = StateDb(tmp_path / "state.db")
    yield state
    state.close()


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

    def test_old_reports_go(self, reports: Reports, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bursa.state.reports.REPORTS_KEPT", 2)
        reports.add(Report("idx", "week", 0, {}))
        for nth in range(5):
            reports.add(Report("idx", "day", nth, {}))
        database = reports._database  # type: ignore[attr-defined]
        with database.transaction() as to:
            found = to.exec_driver_sql("select span, at_ns from quality_reports order by id").all()
        assert found == [("week", 0), ("day", 3), ("day", 4)]


class TestFakeReports(ReportsContract):
    @pytest.fixture
    def reports(self) -> Reports:
        return FakeReports()
