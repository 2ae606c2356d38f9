"""What a person may ask of the store, and how the answer is written."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bursa.model.errors import Refuse
from bursa.model.schema import OHLCV, TICKS
from bursa.store import sql
from bursa.store.duckdb import DuckStore
from bursa.store.sql import Answer, Limits, render
from tests.prompt import PATIENT_S
from tests.store.contract import KINDS, OPEN, VENUES, bar, batch, put, tick

LIMITS = Limits(rows_max=1000, time_s=20.0)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckStore]:
    store = DuckStore(tmp_path_factory.mktemp("sql") / "hot.duckdb", VENUES, KINDS)
    put(store, batch(TICKS, [tick("BBCA", n, price=n / 10) for n in range(1, 11)]))
    put(store, batch(OHLCV, [bar("BBCA", 0, vwap=None)]))
    yield store
    store.close()


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("select trade_no, price from idx_ticks order by 1 limit 2", [[1, 0.1], [2, 0.2]]),
        ("select count(*) from idx_ticks;", [[10]]),
        ("from main.idx_ticks select max(ts)", [[OPEN + 10]]),
        ("with t as (select * from idx_ticks) select count(*) from t, t u", [[100]]),
        ("with recursive r(n) as (select 1 union all select n + 1 from r where n < 3) from r",
         [[1], [2], [3]]),
        ("select (select count(*) from binance_ticks), vwap from IDX_ohlcv", [[0, None]]),
        ("values (1), (2)", [[1], [2]]),
        ("select sum(range) from range(5)", [[10]]),
        ("select unnest([1, 2])", [[1], [2]]),
        ("select sum(seq) * 1000000000000000000 from idx_ticks", [[55 * 10**18]]),
        ("select topic, position from bursa_positions order by topic",
         [["idx.ohlcv", 1], ["idx.ticks", 10]]),
        ("select 'a;b' -- ; not a second one", [["a;b"]]),
    ],
)  # fmt: skip
def test_a_select_is_answered(store: DuckStore, query: str, rows: list[list[object]]) -> None:
    assert store.select(query, LIMITS).rows == rows


@pytest.mark.parametrize(
    ("query", "columns", "first"),
    [
        ("describe idx_ticks", 6, ["ticker", "VARCHAR"]),
        ("desc main.idx_ticks;", 6, ["ticker", "VARCHAR"]),
        ("show idx_ticks", 6, ["ticker", "VARCHAR"]),
        ("describe select seq from idx_ticks", 6, ["seq", "BIGINT"]),
        ("with t as (select 1 as a) from (describe t)", 6, ["a", "INTEGER"]),
        ("select column_name from (describe idx_ticks)", 1, ["ticker"]),
        ("show tables", 1, ["binance_contracts"]),
        ("from (show tables) where name = 'idx_ticks'", 1, ["idx_ticks"]),
        ("summarize select trade_no from idx_ticks", 12, ["trade_no", "BIGINT", "1", "10", 10]),
        ("select count from (summarize idx_ticks)", 1, [10]),
    ],
)  # fmt: skip
def test_what_there_is_can_be_asked_too(
    store: DuckStore, query: str, columns: int, first: list[object]
) -> None:
    answer = store.select(query, LIMITS)
    assert len(answer.columns) == columns
    assert answer.rows[0][: len(first)] == first


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "not_select"),
        ("select 1; select 2", "not_select"),
        ("select 1; drop table idx_ticks", "not_select"),
        ("insert into idx_ticks (seq) values (1)", "not_select"),
        ("update idx_ticks set seq = 1", "not_select"),
        ("delete from idx_ticks", "not_select"),
        ("with x as (delete from idx_ticks returning *) select * from x", "not_select"),
        ("with x as (insert into idx_ticks (seq) values (1) returning *) from x", "not_select"),
        ("with x as (update idx_ticks set seq = 1 returning *) from x", "not_select"),
        ("with x as (copy idx_ticks to '/tmp/x.csv') select 1", "not_select"),
        ("select * from (with x as (delete from idx_ticks returning *) from x)", "not_select"),
        ("drop table idx_ticks", "not_select"),
        ("create table x as select 1", "not_select"),
        ("copy idx_ticks to '/tmp/x.csv'", "not_select"),
        ("copy (select 1) to '/tmp/x.csv'", "not_select"),
        ("attach '/tmp/x.db'", "not_select"),
        ("install httpfs", "not_select"),
        ("set threads = 1", "not_select"),
        ("begin", "not_select"),
        ("checkpoint", "not_select"),
        ("explain select 1", "not_select"),
        ("pragma database_list", "not_select"),
        ("call pragma_version()", "not_select"),
        ("show all tables", "not_select"),
        ("show databases", "not_select"),
        ("show tables from main", "not_select"),
        ("describe", "not_select"),
        ("describe insert into idx_ticks (seq) values (1)", "bad_query"),
        ("summarize delete from idx_ticks", "bad_query"),
        ("describe select * from (with x as (delete from idx_ticks returning *) from x)",
         "not_select"),
        ("summarize select 1; drop table idx_ticks", "not_select"),
        ("show threads", "unknown_table"),
        ("show temp_directory", "unknown_table"),
        ("with threads as (select 1) from (show threads)", "unknown_table"),
        ("describe '/etc/passwd'", "unknown_table"),
        ("summarize '/etc/passwd'", "unknown_table"),
        ("describe duckdb_settings", "unknown_table"),
        ("describe information_schema.tables", "unknown_table"),
        ("describe select * from read_csv('/etc/passwd')", "not_allowed"),
        ("summarize select * from read_csv('/etc/passwd')", "not_allowed"),
        ("describe select getenv('HOME')", "not_allowed"),
        ("from (describe from (summarize from glob('*')))", "not_allowed"),
        ("pivot idx_ticks on board using count(*)", "not_select"),
        ("prepare p as select 1", "not_select"),
        ("select", "bad_query"),
        ("select nothing from idx_ticks", "bad_query"),
        ("select 1 / 'x'", "bad_query"),
        ("select * from '/etc/passwd'", "unknown_table"),
        ("select * from 'lock'", "unknown_table"),
        ("select * from secrets", "unknown_table"),
        ("select * from information_schema.tables", "unknown_table"),
        ("select * from pg_catalog.pg_class", "unknown_table"),
        ("select * from sqlite_master", "unknown_table"),
        ("select * from duckdb_settings", "unknown_table"),
        ("select * from system.idx_ticks", "unknown_table"),
        ("select * from (with secrets as (select 1) from secrets), secrets", "unknown_table"),
        ("select (select count(*) from duckdb_tables)", "unknown_table"),
        ("select * from duckdb_settings()", "not_allowed"),
        ("select * from duckdb_secrets()", "not_allowed"),
        ("select * from read_text('/etc/passwd')", "not_allowed"),
        ("select * from read_csv('/etc/passwd')", "not_allowed"),
        ("select * from read_blob('hot.duckdb')", "not_allowed"),
        ("select * from read_duckdb('hot.duckdb')", "not_allowed"),
        ("select * from parquet_scan('x')", "not_allowed"),
        ("select * from glob('*')", "not_allowed"),
        ("select * from sniff_csv('/etc/passwd')", "not_allowed"),
        ("select * from query('select 1')", "not_allowed"),
        ("select * from query_table('idx_ticks')", "not_allowed"),
        ("select * from pragma_database_size()", "not_allowed"),
        ("select * from checkpoint()", "not_allowed"),
        ("select * from json_execute_serialized_sql('x')", "not_allowed"),
        ("select 1 where exists (select * from glob('*'))", "not_allowed"),
        ("select current_setting('temp_directory')", "not_allowed"),
        ("select write_log('x')", "not_allowed"),
        ("select getenv('HOME')", "not_allowed"),
    ],
)  # fmt: skip
def test_anything_else_is_refused(store: DuckStore, query: str, code: str) -> None:
    with pytest.raises(Refuse) as refused:
        store.select(query, LIMITS)
    assert (refused.value.code, refused.value.status) == (code, 400), str(refused.value)
    assert store.select("select count(*) from idx_ticks", LIMITS).rows == [[10]]


def test_an_unknown_table_is_answered_with_those_there_are(store: DuckStore) -> None:
    with pytest.raises(Refuse, match="there is no table idx_tick; there are: .*idx_ticks"):
        store.select("select * from idx_tick", LIMITS)


def test_too_many_rows_are_refused_not_cut(store: DuckStore) -> None:
    assert len(store.select("from range(1000)", LIMITS).rows) == 1000
    with pytest.raises(Refuse, match="more than 1,000 rows") as refused:
        store.select("from range(1001)", LIMITS)
    assert refused.value.code == "too_many_rows"


def test_what_would_not_fit_into_memory_is_refused(store: DuckStore) -> None:
    query = "select repeat('x', 100000) from range(100)"
    assert len(store.select(query, LIMITS).rows) == 100
    with pytest.raises(Refuse, match="more than 1 MB") as refused:
        store.select(query, Limits(1000, 20.0, 1 << 20))
    assert refused.value.code == "too_large"


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("select case when range > 50000 then error('boom') end from range(60000)", "boom"),
        (f"select * from {'(select * from ' * 800}idx_ticks{') t' * 800}", "nested too deeply"),
    ],
)
def test_what_fails_between_the_rows_is_a_refusal(store: DuckStore, query: str, why: str) -> None:
    with pytest.raises(Refuse, match=why) as refused:
        store.select(query, Limits(1_000_000, 20.0))
    assert refused.value.code == "bad_query"


@pytest.mark.parametrize(
    "query",
    [
        "select count(*) from range(1000000) a, range(1000000) b",
        "select a.range from range(10000000000) a where md5(a.range::varchar) = 'x'",
    ],
)
def test_a_query_has_a_time_limit(store: DuckStore, query: str) -> None:
    began = time.monotonic()
    with pytest.raises(Refuse, match=r"longer than 0\.2 s") as refused:
        store.select(query, Limits(1000, 0.2))
    assert refused.value.code == "too_slow"
    assert time.monotonic() - began < PATIENT_S, "it would take hours"


def test_an_endless_text_is_refused(store: DuckStore) -> None:
    with pytest.raises(Refuse, match="at most"):
        store.select("select " + "1 + " * sql.TEXT_CHARACTERS_MAX + "1", LIMITS)


def test_values_are_json(store: DuckStore) -> None:
    answer = store.select(
        "select 9007199254740993 as big, 0.1::double + 0.2::double as f, 'nan'::double as nan,"
        " '-inf'::double as inf, 1.50 as d, true as b, null as n, [1, null] as l,"
        " make_timestamp_ns(1700000000000000001) as ts, date '2026-11-20' as day,"
        " timestamptz '2026-11-20 01:02:03+00' as tz, 'x'::blob as raw, {'a': [0.5]} as s, 1 as b",
        LIMITS,
    )
    (row,) = answer.rows
    assert row == json.loads(json.dumps(row))
    assert dict(zip(answer.columns, row, strict=True)) == {
        "big": 9007199254740993, "f": 0.30000000000000004, "nan": None, "inf": "-Infinity",
        "d": 1.5, "b": True, "n": None, "l": [1, None], "ts": "2023-11-14 22:13:20.000000001",
        "day": "2026-11-20", "tz": "2026-11-20 01:02:03.000000Z", "raw": "78",
        "s": {"a": [0.5]}, "b_1": 1,
    }  # fmt: skip


ANSWER = Answer(
    ("ticker", "close", "volume", "prices"),
    [["BBCA", 18.42, 9007199254740993, [1.5, 2]], ['a,"b"', None, -1, None]],
)


def test_json_is_an_array_of_objects() -> None:
    text = render(ANSWER, "json")
    assert json.loads(text) == [
        {"ticker": "BBCA", "close": 18.42, "volume": 9007199254740993, "prices": [1.5, 2]},
        {"ticker": 'a,"b"', "close": None, "volume": -1, "prices": None},
    ]
    assert json.loads(render(Answer(("a",), []), "json")) == []


def test_csv() -> None:
    assert render(ANSWER, "csv").splitlines() == [
        "ticker,close,volume,prices",
        'BBCA,18.42,9007199254740993,"[1.5, 2]"',
        '"a,""b""",,-1,',
    ]


def test_table() -> None:
    assert render(ANSWER, "table").splitlines() == [
        "ticker  close            volume  prices",
        "------  -----  ----------------  --------",
        "BBCA    18.42  9007199254740993  [1.5, 2]",
        'a,"b"    null                -1  null',
        "(2 rows)",
    ]
    assert render(Answer(("a",), []), "table") == "a\n-\n(0 rows)\n"
    stranger = render(Answer(("a",), [["\x1b[31mred\u202e\r"], ["two\nlines, é"]]), "table")
    assert "\\x1b[31mred\\u202e\\r\n" in stranger and "two\nlines, é\n" in stranger


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(Refuse, match="none of table, json, csv"):
        render(ANSWER, "xml")


def test_a_select_sees_one_moment(store: DuckStore, tmp_path: Path) -> None:
    """Reading does not write: no log grows, and positions stay."""
    before = store.positions(), store.bytes().log
    store.select("select * from idx_ticks order by random()", LIMITS)
    assert (store.positions(), store.bytes().log) == before
