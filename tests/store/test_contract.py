"""The contract suite on each store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bursa.ports import Store
from bursa.store.duckdb import DuckStore
from tests.fakes.store import FakeStore
from tests.store.contract import KINDS, VENUES, StoreContract


class TestDuckStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[DuckStore]:
        store = DuckStore(tmp_path / "hot.duckdb", VENUES, KINDS)
        yield store
        store.close()


class TestDuckStoreReopened(StoreContract):
    """As above, on a file that was closed and opened again."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[DuckStore]:
        DuckStore(tmp_path / "hot.duckdb", VENUES, KINDS).close()
        store = DuckStore(tmp_path / "hot.duckdb", VENUES, KINDS)
        yield store
        store.close()


class TestFakeStore(StoreContract):
    @pytest.fixture
    def store(self) -> FakeStore:
        return FakeStore(VENUES, KINDS)


def adapters(duck: DuckStore, fake: FakeStore) -> tuple[Store, ...]:
    """For the type checker: each fits the port."""
    return duck, fake
