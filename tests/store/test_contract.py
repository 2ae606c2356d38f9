"""The contract suite on each store."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bursa.model.schema import TICKS
from bursa.ports import Store
from bursa.store.duckdb import DuckStore
from bursa.store.tiered import Tiered
from tests.fakes.store import FakeStore
from tests.store.contract import ALL, KINDS, OPEN, VENUES, StoreContract, batch, put, tick
from tests.store.tiers import ColdAlone, Colder, PartlyColder, drain, opened


class TestDuckStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[DuckStore]:
        store = DuckStore(tmp_path / "hot.duckdb", VENUES, KINDS)
        yield store
        store.close()


class Cold(StoreContract):
    """What lies cold is not dropped by event time."""

    commits = 8

    def test_old_rows_are_dropped(self, store: Any) -> None:
        put(store, batch(TICKS, [tick("BBCA", n) for n in range(1, 9)]))
        drain(store, "idx", "ticks")
        assert store.drop_before("idx", "ticks", OPEN + 4) == 0
        assert len(store.ticks("idx", "BBCA", *ALL)) == 8


class TestTieredCold(Cold):
    """Both tiers, all of it cold."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Tiered]:
        store = opened(tmp_path, made=Colder)
        yield store
        store.close()


class TestTieredMixed(Cold):
    """Both tiers: days on either side, on both, and late ones."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Tiered]:
        store = opened(tmp_path, made=PartlyColder)
        yield store
        store.close()


class TestColdStore(Cold):
    """The cold store by itself, of the kinds that go cold."""

    prompt = False

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Tiered]:
        store = opened(tmp_path, made=ColdAlone)
        yield store
        store.close()


class TestFakeStore(StoreContract):
    @pytest.fixture
    def store(self) -> FakeStore:
        return FakeStore(VENUES, KINDS)


def adapters(duck: DuckStore, tiered: Tiered, fake: FakeStore) -> tuple[Store, ...]:
    """For the type checker: each fits the port."""
    return duck, tiered, fake
