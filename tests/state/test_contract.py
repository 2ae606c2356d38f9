"""The contract suites of leases and dead letters, on the database and on the fakes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bursa.ports import DeadLetters, Leases
from bursa.state.sqlite import StateDb
from tests.fakes.state import FakeLeases, FakeLetters
from tests.state.contract import LeasesContract, LettersContract


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
