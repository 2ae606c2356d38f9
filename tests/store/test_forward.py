"""A store of an older bursa is brought forward at its opening; a newer one is refused, cold too."""

from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from bursa.model.errors import Refuse
from bursa.model.schema import MARKET_KINDS, OHLCV, SCHEMA_VERSION, Kind
from bursa.model.venue import IDX
from bursa.store import question
from bursa.store.cold_file import VERSION_KEY
from bursa.store.duckdb import DuckStore
from bursa.store.sql import Limits
from bursa.store.tiered import Tiered
from tests.fakes.store import rows_of
from tests.store.contract import ALL, KINDS, METRICS, OPEN, bar, bars, batch, metric, put
from tests.store.tiers import drain, opened

DAY = IDX.calendar.day_of(OPEN)


def of_version_2(path: Path) -> list[Kind]:
    """A file as bursa left it before it had cold files: its kinds, and two days of bars."""
    kinds = [
        replace(kind, columns=tuple(c for c in kind.columns if c.name != "source"))
        for kind in (*MARKET_KINDS, METRICS)
    ]
    older = {kind.name: kind for kind in kinds}
    store = DuckStore(path, [IDX], kinds)
    rows = [bar("BBCA", minute) for minute in (0, 1, 2_000)]
    put(store, batch(older["ohlcv"], rows))
    put(store, batch(older["metrics"], [metric("BBCA", minute, hd=1.0) for minute in (0, 2_000)]))
    store.close()
    with duckdb.connect(str(path)) as connection:
        names = connection.execute("select table_name from duckdb_tables()").fetchall()
        for (name,) in names:
            later = name.startswith(("bursa_floors", "bursa_thawed", "bursa_newest"))
            if later or name.endswith("_coverage"):
                connection.execute(f"drop table {name}")
        connection.execute("update bursa_schema set version = 2")
    return kinds


def test_a_store_from_before_cold_files_is_brought_forward(tmp_path: Path) -> None:
    path = tmp_path / "hot.duckdb"
    of_version_2(path)
    text = "select count(*) from idx_ohlcv"
    (tmp_path / "cold").mkdir()
    # It can be asked before it is brought forward.
    assert question.query(tmp_path, path, text, Limits()).rows == [[3]]
    store: Tiered = opened(tmp_path, [IDX])
    rows = [bar("BBCA", minute) for minute in (0, 1, 2_000)]
    assert bars(store) == rows
    for kind in ("ohlcv", "metrics"):
        drain(store, "idx", kind, [DAY])
    put(store, batch(OHLCV, [bar("BBCA", 1, rev=1, source="ticks", position=300_000)]))
    found = bars(store)
    assert [(row["rev"], row["source"]) for row in found] == [(0, None), (1, "ticks"), (0, None)]
    assert len(store.metrics("idx", "BBCA", *ALL)) == 2
    [[version]] = store.select("select version from bursa_schema", Limits()).rows
    assert version == SCHEMA_VERSION
    store.close()
    again = opened(tmp_path, [IDX])
    assert bars(again) == found
    again.close()


def test_rows_go_by_place_only_into_tables_that_have_the_columns_in_order(tmp_path: Path) -> None:
    """Columns that came later stand behind the others, those that went stay: then by name."""
    added, gone = replace(OHLCV.columns[5], name="gone"), "vwap"
    columns = tuple(column for column in OHLCV.columns if column.name != gone)
    for nth, (older, in_order) in enumerate(
        [
            (OHLCV, True),
            (replace(OHLCV, columns=OHLCV.columns[:-1]), True),
            (replace(OHLCV, columns=columns), False),
            (replace(OHLCV, columns=(*OHLCV.columns, added)), False),
            (replace(OHLCV, columns=OHLCV.columns[::-1]), False),
        ]
    ):
        path = tmp_path / f"{nth}.duckdb"
        DuckStore(path, [IDX], [older, *(k for k in KINDS if k.name != "ohlcv")]).close()
        store = DuckStore(path, [IDX], KINDS)
        assert ("idx_ohlcv" in store._in_order) == in_order
        assert {f"idx_{kind.name}" for kind in KINDS} - {"idx_ohlcv"} <= store._in_order
        rows = [bar("BBCA", minute, vwap=minute + 0.5) for minute in range(3)]
        put(store, batch(OHLCV, rows))
        assert bars(store) == rows
        store.close()


def test_a_metric_that_is_added_is_null_in_cold_days(tmp_path: Path) -> None:
    less = replace(METRICS, columns=tuple(c for c in METRICS.columns if c.name != "rsi_14"))
    older = [*(kind for kind in KINDS if kind is not METRICS), less]
    store = opened(tmp_path, [IDX], older)
    put(store, batch(OHLCV, [bar("BBCA", 0)]), batch(less, [metric("BBCA", 0, hd=2.0)]))
    drain(store, "idx", "metrics")
    store.close()
    store = opened(tmp_path, [IDX])
    put(store, batch(METRICS, [metric("BBCA", 1, rsi_14=60.0)]))
    put(store, batch(OHLCV, [bar("BBCA", 1)]))

    def shown() -> list[tuple[float | None, float | None]]:
        found = rows_of(store.metrics("idx", "BBCA", *ALL))
        return [(row["hd"], row["rsi_14"]) for row in found]

    assert shown() == [(2.0, None), (None, 60.0)]
    text = "select value from idx_metrics_rsi order by ts"
    assert store.select(text, Limits()).rows == [[None], [60.0]]
    # The late row and the old file become one file of the present columns.
    drain(store, "idx", "metrics")
    assert shown() == [(2.0, None), (None, 60.0)]
    assert store.select(text, Limits()).rows == [[None], [60.0]]
    store.close()


def test_a_cold_file_of_a_newer_bursa_is_refused(tmp_path: Path) -> None:
    store = opened(tmp_path, [IDX])
    put(store, batch(OHLCV, [bar("BBCA", 0)]))
    drain(store, "idx", "ohlcv")
    file = store.cold.sealed("idx", "ohlcv", DAY).path
    store.close()
    held = pq.read_table(file)
    told = {VERSION_KEY: str(SCHEMA_VERSION + 1)}
    pq.write_table(held.replace_schema_metadata(told), file)
    for name in tmp_path.glob("cold/*/*.json"):
        name.unlink()  # what was remembered of it
    with pytest.raises(Refuse, match="newer bursa") as refused:
        opened(tmp_path, [IDX])
    assert refused.value.code == "store_schema"
