"""What the composition root and the run bring themselves: the clock, and rest for the collector."""

import gc
import threading
import time
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from msgspec.structs import replace
from rich.console import Console

from bursa import config, up
from bursa.api.front import front_of
from bursa.api.services import VenueParts
from bursa.app import SystemClock, accounts_of, shop
from bursa.history.offload import Offload
from bursa.model.venue import IDX
from bursa.pipeline.runtime import VenueRuntime
from bursa.store.cold_file import GROUP_ROWS, schema
from bursa.store.folder import COLD_FOLDER, DataFolder
from bursa.up import settle, stop_all

SECOND_NS = 1_000_000_000


def test_a_clock_that_steps_back_goes_on_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    wall, ticked = 1_800_000_000 * SECOND_NS, 5 * SECOND_NS
    monkeypatch.setattr(time, "time_ns", lambda: wall)
    monkeypatch.setattr(time, "monotonic_ns", lambda: ticked)
    clock = SystemClock()
    began = clock.now_ns()
    assert began == wall
    wall -= 3600 * SECOND_NS
    assert clock.now_ns() == began
    for second in range(1, 7200):
        wall, ticked = wall + SECOND_NS, ticked + SECOND_NS
        assert clock.now_ns() == began + second * SECOND_NS // 2
    wall, ticked = wall + 2 * SECOND_NS, ticked + 2 * SECOND_NS
    assert clock.now_ns() == wall, "the machine's clock has caught up"


def test_what_has_come_to_stay_is_not_gone_through_again() -> None:
    kept = [[number] for number in range(1_000)]
    try:
        settle()
        assert gc.get_freeze_count() > len(kept)
        assert not any(one is kept for one in gc.get_objects())
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("extra", [0, 64])
def test_a_job_alone_with_its_folder_can_take_a_cold_day_back(tmp_path: Path, extra: int) -> None:
    """Its engine is given little memory, but the more the wider rows of metrics are."""
    names = tuple(f"ema_{300 + nth}" for nth in range(extra))
    usual = config.Config()
    loaded = replace(usual, metrics=replace(usual.metrics, extra=names))
    with DataFolder(tmp_path) as folder, shop(loaded, folder, [IDX], frugal=True) as shared:
        rows, random = 2 * GROUP_ROWS["metrics"], np.random.default_rng(1)
        kind = shared.catalogue.kind
        whole = {
            field.name: random.random(rows)
            if pa.types.is_floating(field.type)
            else pa.nulls(rows, field.type)
            for field in schema(kind)
        }
        file = tmp_path / COLD_FOLDER / "day.parquet"
        table = pa.table(whole, schema=schema(kind))
        pq.write_table(table, file, row_group_size=GROUP_ROWS["metrics"], compression="zstd")
        with shared.store.hot._engine.transaction() as writer:
            writer.execute(f"insert into idx_metrics from read_parquet('{file}')")
        with shared.store.hot._engine.reading() as cursor:
            assert cursor.execute("select count(*) from idx_metrics").fetchone() == (rows,)
            told = cursor.execute("select current_setting('memory_limit')").fetchone()[0]
    assert float(told.removesuffix(" MiB")) < 160, "and no more"


def test_venues_are_stopped_at_once_and_by_one_moment() -> None:
    """One after the other, three of them would wait three times for a store that is away."""
    all_at_once, given = threading.Barrier(3), list[float]()

    class Stopping:
        def __init__(self, stored: bool) -> None:
            self._stored = stored

        def stop(self, timeout_s: float) -> bool:
            given.append(timeout_s)
            all_at_once.wait(60.0)
            return self._stored

    def stopped(*stored: bool) -> bool:
        return stop_all([cast(VenueRuntime, Stopping(one)) for one in stored], time.monotonic() + 9)

    assert not stopped(True, False, True)
    assert stopped(True, True, True)
    assert len(given) == 6 and max(given) <= 9
    assert stop_all([], time.monotonic())


# What Services makes for itself: threads of its own.
OWN = {"desk", "passwords"}


def test_a_run_hands_the_surfaces_every_part_that_they_can_do_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part with a default that nobody hands over is a surface that is quietly empty."""
    given = list[VenueParts]()

    def parts(**fields: Any) -> VenueParts:
        given.append(VenueParts(**fields))
        return given[-1]

    monkeypatch.setattr(up, "VenueParts", parts)
    told = {"data": str(tmp_path), "idx.public": True}
    loaded = config.load(told, {}).config
    quiet = Console(quiet=True)
    with DataFolder(tmp_path) as folder, shop(loaded, folder, [IDX]) as shared:
        run = up.Up(shared, [IDX], up.Outside(front_of("::1")), quiet, quiet)
        accounts = accounts_of(shared, demo=False)
        run._accounts = accounts
        try:
            services = run._services()
        finally:
            accounts.database.close()
    assert lacking(services) == OWN and services.accounts is accounts
    assert list(services.gates) == ["idx"] and services.front == front_of("::1")
    assert [lacking(one) for one in given] == [set()]


def lacking(parts: Any) -> set[str]:
    """Fields that have a default, and have it still."""
    found = set()
    for one in fields(parts):
        has = getattr(parts, one.name)
        if one.default is not MISSING and has is one.default:
            found.add(one.name)
        if one.default_factory is not MISSING:
            empty = one.default_factory()
            if isinstance(has, Offload) or has == empty:
                found.add(one.name)
    return found
