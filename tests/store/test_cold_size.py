"""What the rows of a closed day take in their file, and in which order they lie there."""

import random
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from bursa.model.schema import ORDERBOOK
from bursa.model.venue import IDX
from bursa.store import cold_file, tables
from bursa.store.cold_days import Sealed
from bursa.store.floors import COLD_KINDS
from bursa.store.parquet import ColdStore
from tests.fakes.store import Row, rows_of
from tests.store.cold import cold_store, freeze
from tests.store.contract import ALL, KINDS, OPEN, batch

DAY = IDX.calendar.day_of(OPEN)
SECOND = 10**9


def books(tickers: int = 4, seconds: int = 500) -> list[Row]:
    """Ten levels a side, both each second; every time some of them have changed, and now and then
    the whole book goes a step up or down."""
    dice = random.Random(5)
    out: list[Row] = []
    for which in range(tickers):
        best = 1000.0 + 500 * which
        levels = {
            side: [(dice.randrange(50, 3000) * 100.0, dice.randrange(1, 60)) for _ in range(10)]
            for side in ("bid", "ask")
        }
        for second in range(seconds):
            if dice.random() < 0.1:
                best += dice.choice((-5.0, 5.0))
            for away, (side, orders) in zip((-5.0, 5.0), levels.items(), strict=True):
                for at in dice.sample(range(10), 2):
                    orders[at] = (dice.randrange(50, 3000) * 100.0, dice.randrange(1, 60))
                nth = len(out)
                row = {
                    "ticker": f"T{which:03d}", "board": "RG", "side": side, "depth": 10,
                    "ts": OPEN + second * SECOND + dice.randrange(SECOND), "seq": 1000 + 3 * nth,
                    "ts_recv": OPEN + second * SECOND, "position": 100 * second,
                    "prices": [best + away * (1 + level) for level in range(10)],
                    "volumes": [volume for volume, _ in orders],
                    "orders": [count for _, count in orders],
                }  # fmt: skip
                out.append(row)
    return sorted(out, key=lambda row: row["ts"])


def sealed_of(cold: ColdStore) -> Sealed:
    found = cold.sealed("idx", "orderbook", DAY)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return books()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> Path:
    made = tmp_path_factory.mktemp("books")
    freeze(made, [batch(ORDERBOOK, rows)]).close()
    return made


def test_books_lie_side_by_side_and_the_footer_says_so(folder: Path) -> None:
    cold = cold_store(folder)
    path = sealed_of(cold).path
    cold.close()
    lie = pq.read_table(path, partitioning=None).select(["ticker", "board", "side", "ts"])
    order = [tuple(row.values()) for row in lie.to_pylist()]
    assert order == sorted(order) and len(order) == 4 * 2 * 500
    with pq.ParquetFile(path) as opened:
        schema = opened.schema_arrow
        told = pq.SortingColumn.to_ordering(schema, opened.metadata.row_group(0).sorting_columns)
    assert [name for name, _ in told[0]] == ["ticker", "board", "side", "ts"]


def test_other_kinds_lie_by_time_within_a_ticker() -> None:
    assert tables.sorted_by(ORDERBOOK) == '"ticker", "ts", "seq", "position", "board", "side"'
    assert tables.packed_by(ORDERBOOK) == ["ticker", "board", "side", "ts", "seq", "position"]
    kinds = {kind.name: kind for kind in KINDS if kind.name in COLD_KINDS}
    assert list(tables.packed_by(kinds["ohlcv"])) == ["ticker", "ts", "rev", "position", "freq"]
    for name, kind in kinds.items():
        if name != "orderbook":
            assert ", ".join(f'"{by}"' for by in tables.packed_by(kind)) == tables.sorted_by(kind)


def test_books_take_less_than_a_tenth_of_their_text(folder: Path) -> None:
    cold = cold_store(folder)
    ratio = cold.text_ratio(sealed_of(cold))
    cold.close()
    assert ratio is not None and ratio > 10


def test_a_file_in_the_older_order_holds_the_same_rows(
    tmp_path: Path, folder: Path, rows: list[Row]
) -> None:
    """Files of earlier versions lie by time: they stay good, and are but longer."""
    present, cold = cold_store(folder), cold_store(tmp_path)
    path = sealed_of(present).path
    older = cold.begin("idx", "orderbook", DAY)
    names = tables.columns(ORDERBOOK.columns)
    text = f"select {names} from '{path}' order by {tables.sorted_by(ORDERBOOK)}"
    with duckdb.connect() as connection:
        cold_file.write(connection, text, ORDERBOOK, older)
    mine, theirs = sealed_of(present), cold.adopt("idx", "orderbook", DAY, older)
    assert (theirs.rows, theirs.hash) == (mine.rows, mine.hash) == (len(rows), mine.hash)
    assert theirs.bytes > 1.03 * mine.bytes
    here, there = (rows_of(one.rows("idx", "orderbook", *ALL)) for one in (present, cold))
    assert sorted(here, key=lambda row: row["seq"]) == sorted(there, key=lambda row: row["seq"])
    cold.close()
    present.close()


def test_each_column_is_in_the_encoding_that_is_smallest_as_the_file_packs_it(
    folder: Path,
) -> None:
    """By a sample packed at another level volumes got one that took a fifth more."""
    cold = cold_store(folder)
    with pq.ParquetFile(sealed_of(cold).path) as opened:
        table, group = opened.read(), opened.metadata.row_group(0)
    cold.close()
    taken = {}
    for at in range(group.num_columns):
        column = group.column(at)
        taken[column.path_in_schema.partition(".")[0]] = column.total_compressed_size
    for column in ORDERBOOK.columns:
        for encoding in cold_file._ENCODINGS[column.dtype]:
            whole = cold_file._size(table.select([column.name]), column, encoding, 9)
            assert taken[column.name] <= whole, (column.name, encoding)
