"""`bursa export`: what is in the file is what is stored, in every form, from both tiers, running or
not, and nothing is left of what did not come to its end."""

import csv
import io
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from typer.testing import CliRunner

from bursa.cli import app
from bursa.config import Config
from bursa.jobs import export, job
from bursa.jobs.export import Export, Order
from bursa.model.errors import Refuse, Retry
from bursa.model.schema import OHLCV, ORDERBOOK, STATUS, TICKS, Kind
from bursa.model.venue import IDX
from bursa.ops import logs
from bursa.ops.telemetry import Telemetry
from bursa.pipeline.line import kinds
from bursa.store import whole
from bursa.store.folder import COLD_FOLDER, DataFolder
from bursa.store.tiered import Tiered
from bursa.verbs.export import Asked, run_export
from tests.fakes.store import Row
from tests.store import tiers
from tests.store.contract import MINUTE, OPEN, bar, batch, put, tick

DAY = IDX.calendar.day_of(OPEN)
DAYS = [DAY + timedelta(days=n) for n in range(3)]
DAY_NS = 86_400_000_000_000
TICKERS = ("ASII", "BBCA", "TLKM")
ALWAYS = ("2020-01-01", "2030-01-01")


def bars() -> list[Row]:
    """Three days, the second with revisions."""
    rows = [
        bar(ticker, day * DAY_NS // MINUTE + minute, position=1 + day * 1000 + minute * 10 + at)
        for day in range(3)
        for minute in range(5)
        for at, ticker in enumerate(TICKERS)
    ]
    late = DAY_NS // MINUTE + 2
    rows.append(bar("BBCA", late, 1, position=5001, close=7.0, vwap=None))
    rows.append(bar("BBCA", late, 2, position=5002, close=8.0))
    return rows


def ticks() -> list[Row]:
    return [
        tick(TICKERS[n % 3], n, ts=OPEN + n * DAY_NS // 10, aggressor=None, price=0.1 + n)
        for n in range(1, 30)
    ]


def books() -> list[Row]:
    return [
        {
            "ticker": "BBCA", "board": "RG", "ts": OPEN + n, "side": "bid", "depth": n % 3,
            "seq": n, "ts_recv": OPEN, "position": n, "prices": [1.5] * (n % 3),
            "volumes": [2.0**53] * (n % 3), "orders": [2**60] * (n % 3),
        }
        for n in range(1, 7)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rows of three days; bars and ticks of the first two lie cold."""
    data = tmp_path_factory.mktemp("data")
    segment = data / "journal" / "idx" / f"{0:020d}.log"
    segment.parent.mkdir(parents=True)
    segment.touch()
    status = {
        "channel": "itchdata", "ts": OPEN, "state": "1", "next_seq": 1, "ts_recv": OPEN,
        "position": 1,
    }  # fmt: skip
    store = opened(data)
    put(store, batch(OHLCV, bars()), batch(TICKS, ticks()), batch(ORDERBOOK, books()))
    put(store, batch(STATUS, [status]))
    for kind in ("ohlcv", "ticks"):
        tiers.drain(store, "idx", kind, DAYS[:2])
    store.close()
    return data


def opened(data: Path) -> Any:
    assert COLD_FOLDER == "cold"
    return tiers.opened(data, [IDX], kinds())


@pytest.fixture
def store(data: Path) -> Iterator[Tiered]:
    store = opened(data)
    yield store
    store.close()


def expected(rows: Sequence[Row], kind: Kind, revised: bool = True) -> list[Row]:
    """The newest revision of each, by day, ticker and time."""
    newest: dict[Any, Row] = {}
    for row in sorted(rows, key=lambda row: row.get("rev", 0)):
        key = (row["ticker"], row["ts"]) if revised else (row["ticker"], row["ts"], row["position"])
        newest[key] = row
    day = IDX.calendar.day_of
    found = sorted(newest.values(), key=lambda r: (day(r["ts"]), r["ticker"], r["ts"]))
    return [{column.name: row.get(column.name) for column in kind.columns} for row in found]


def written(store: Tiered, tmp_path: Path, kind: Kind = OHLCV, **other: Any) -> list[Row]:
    """What an export of a kind has, as Parquet."""
    file = tmp_path / "out.parquet"
    file.unlink(missing_ok=True)
    asked: dict[str, Any] = {
        "start_ns": 0,
        "end_ns": 2**62,
        "file": str(file),
        "form": "parquet",
    } | other
    job = export.of(store, IDX, Order(kind.name, **asked))
    for _ in job.run():
        assert not file.exists()
    job.close()
    assert not file.with_name("out.parquet.part").exists()
    if not job.report()["rows"]:
        assert not file.exists()
        return []
    assert job.report()["bytes"] == file.stat().st_size
    assert job.progress == (1, 1)
    rows: list[Row] = pq.read_table(file).to_pylist()
    assert len(rows) == job.report()["rows"]
    return rows


# -- which rows --------------------------------------------------------------------------------


def test_both_tiers_come_sorted_each_its_newest_revision(store: Tiered, tmp_path: Path) -> None:
    assert store.hot.floor("idx", "ohlcv") > 0
    assert written(store, tmp_path) == expected(bars(), OHLCV)
    assert written(store, tmp_path, TICKS) == expected(ticks(), TICKS, revised=False)
    assert written(store, tmp_path, ORDERBOOK) == expected(books(), ORDERBOOK, revised=False)


@pytest.mark.parametrize("rows", [1, 2, 3, 7])
def test_where_it_is_cut_changes_nothing(
    store: Tiered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(whole, "PIECE_ROWS", rows)
    monkeypatch.setattr(whole, "_LEVELS_ROWS", rows)
    assert written(store, tmp_path) == expected(bars(), OHLCV)
    assert written(store, tmp_path, ORDERBOOK) == expected(books(), ORDERBOOK, revised=False)


def test_a_range_is_half_open_and_tickers_are_picked(store: Tiered, tmp_path: Path) -> None:
    start, end = OPEN + MINUTE, OPEN + DAY_NS + MINUTE
    inside = [row for row in bars() if start <= row["ts"] < end]
    assert written(store, tmp_path, start_ns=start, end_ns=end) == expected(inside, OHLCV)
    picked = [row for row in bars() if row["ticker"] in ("TLKM", "ASII")]
    found = written(store, tmp_path, tickers=("TLKM", "ZZZZ", "ASII"))
    assert found == expected(picked, OHLCV)
    assert written(store, tmp_path, tickers=("ZZZZ",)) == []
    assert written(store, tmp_path, start_ns=OPEN + 9 * DAY_NS) == []


def test_as_of_gives_what_was_known(store: Tiered, tmp_path: Path) -> None:
    first, second = (next(r for r in bars() if r["rev"] == rev)["known_at"] for rev in (1, 2))
    for as_of in (first - 1, first, second):
        known = [row for row in bars() if row["known_at"] <= as_of]
        assert written(store, tmp_path, as_of_ns=as_of) == expected(known, OHLCV)
    known = [row for row in ticks() if row["ts_recv"] <= OPEN + DAY_NS]
    found = written(store, tmp_path, TICKS, as_of_ns=OPEN + DAY_NS)
    assert found == expected(known, TICKS, revised=False)


def test_status_rows_can_be_had_too(store: Tiered, tmp_path: Path) -> None:
    found = written(store, tmp_path, STATUS)
    assert [(row["channel"], row["state"]) for row in found] == [("itchdata", "1")]


def test_rows_that_move_between_the_tiers_meanwhile_come_once(tmp_path: Path) -> None:
    store = opened(tmp_path)
    put(store, batch(OHLCV, bars()))
    file = tmp_path / "out.arrow"
    job = export.of(store, IDX, Order("ohlcv", 0, 2**62, str(file), "arrow"))
    for nth, _ in enumerate(job.run()):
        tiers.drain(store, "idx", "ohlcv", [DAYS[2 - nth]])
    job.close()
    assert pa.ipc.open_stream(file.read_bytes()).read_all().to_pylist() == expected(bars(), OHLCV)
    store.close()


# -- the forms ---------------------------------------------------------------------------------


def test_every_form_has_the_same_rows(store: Tiered, tmp_path: Path) -> None:
    for kind in (OHLCV, TICKS, ORDERBOOK):
        rows = written(store, tmp_path, kind)
        for form in ("arrow", "csv"):
            file = tmp_path / f"{kind.name}.{form}"
            job = export.of(store, IDX, Order(kind.name, 0, 2**62, str(file), form))
            list(job.run())
            job.close()
            if form == "arrow":
                assert pa.ipc.open_stream(file.read_bytes()).read_all().to_pylist() == rows
            else:
                assert _read_csv(file, kind) == rows


def _read_csv(file: Path, kind: Kind) -> list[Row]:
    with file.open(newline="") as text:
        lines = list(csv.DictReader(text))
    return [{c.name: _value(line[c.name], c.dtype) for c in kind.columns} for line in lines]


def _value(text: str, dtype: str) -> Any:
    if text == "":
        return None
    if dtype in ("floats", "ints"):
        return json.loads(text)
    if dtype == "flag":
        return {"true": True, "false": False}[text]
    return {"float": float, "text": str}.get(dtype, int)(text)


# -- ends ----------------------------------------------------------------------------------------


def test_what_is_given_up_leaves_nothing(store: Tiered, tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    job = export.of(store, IDX, Order("ohlcv", 0, 2**62, str(file), "csv"))
    steps = job.run()
    next(steps)
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv.part"]
    steps.close()  # type: ignore[attr-defined]
    job.close()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_and_leaves_nothing(
    store: Tiered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: object, rows: pa.Table) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export._Csv, "write_table", full)
    job = export.of(store, IDX, Order("ohlcv", 0, 2**62, str(tmp_path / "out.csv"), "csv"))
    with pytest.raises(Refuse, match="No space left") as refused:
        list(job.run())
    assert refused.value.code == "not_written"
    job.close()
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_away_is_told(
    store: Tiered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*asked: object, **other: object) -> None:
        raise Retry("store: not open")

    job = export.of(store, IDX, Order("ohlcv", 0, 2**62, str(tmp_path / "out.csv"), "csv"))
    monkeypatch.setattr(Tiered, "steady", away)
    with pytest.raises(Retry):
        list(job.run())
    job.close()
    assert list(tmp_path.iterdir()) == []


# -- the verb ------------------------------------------------------------------------------------


@contextmanager
def running(data: Path) -> Iterator[list[str]]:
    """A process that holds the folder and does jobs; yields the names of those it was asked for."""
    store, asked = opened(data), list[str]()
    parts = SimpleNamespace(store=store, state=None)
    runtime: Any = SimpleNamespace(
        venue=IDX, parts=parts, telemetry=Telemetry(), idle=True, ingest=object()
    )

    def make(runtime: Any, order: dict[str, Any]) -> Export:
        asked.append(threading.current_thread().name)
        return export.make(runtime, order)

    with DataFolder(data) as folder:
        folder.serve(job.handlers(job.Jobs({"idx": runtime}, {"export": make}, {})))
        try:
            yield asked
        finally:
            store.close()


def exported(data: Path, file: Path, **other: Any) -> tuple[int, str, str]:
    """Exit code, what was said, what was warned of."""
    given = {
        "kind": "ohlcv", "begin": ALWAYS[0], "end": ALWAYS[1], "file": file, "form": "",
        "tickers": (), "venue": "", "zone": "UTC", "as_of": "", "force": False,
    }  # fmt: skip
    say, warn = (Console(file=io.StringIO(), width=300) for _ in range(2))
    code = run_export(Config(data=str(data)), Asked(**{**given, **other}), say=say, warn=warn)
    logs.setup("info", "json")
    return code, say.file.getvalue(), warn.file.getvalue()  # type: ignore[attr-defined]


def test_the_verb_writes_the_same_running_or_not(data: Path, tmp_path: Path) -> None:
    alone = exported(data, tmp_path / "alone.parquet")
    with running(data) as asked:
        beside = exported(data, tmp_path / "beside.parquet")
        assert asked == ["control"]
    assert (alone[0], beside[0]) == (0, 0)
    assert "45 rows" in alone[1]
    assert alone[1].replace("alone", "beside") == beside[1]
    tables = [pq.read_table(tmp_path / f"{name}.parquet") for name in ("alone", "beside")]
    assert tables[0].equals(tables[1])
    assert tables[0].to_pylist() == expected(bars(), OHLCV)


def test_days_are_those_of_the_zone_that_is_named(data: Path, tmp_path: Path) -> None:
    day, after = str(DAYS[0]), str(DAYS[1])
    code, _, _ = exported(data, tmp_path / "a.csv", begin=day, end=after, zone="venue")
    assert code == 0
    inside = [row for row in bars() if IDX.calendar.day_of(row["ts"]) == date.fromisoformat(day)]
    assert _read_csv(tmp_path / "a.csv", OHLCV) == expected(inside, OHLCV)


def test_a_range_that_is_empty_in_utc_alone_is_told(data: Path, tmp_path: Path) -> None:
    day = IDX.calendar.midnight_ns(DAYS[0])
    local = [(OPEN - day) // MINUTE + minutes for minutes in (-1, 6)]
    clock = [f"{DAYS[0]}T{minute // 60:02d}:{minute % 60:02d}" for minute in local]
    asked = {"begin": clock[0], "end": clock[1]}
    code, _, warned = exported(data, tmp_path / "a.csv", **asked)
    assert code == 1
    assert "--tz venue" in warned
    assert exported(data, tmp_path / "a.csv", **asked, zone="venue")[0] == 0
    code, _, warned = exported(data, tmp_path / "b.csv", begin="2021-01-01", end="2021-01-02")
    assert (code, "--tz venue" in warned) == (1, False)


def test_a_ticker_without_rows_beside_one_with_some_is_told(data: Path, tmp_path: Path) -> None:
    asked = {"tickers": ("ZZZZ", "BBCA", "NONE", "ZZZZ")}
    code, said, warned = exported(data, tmp_path / "a.csv", **asked)
    assert (code, "15 rows" in said) == (1, True), said
    assert "idx has no ohlcv of ZZZZ, NONE from" in warned and "not in the file" in warned
    assert {row["ticker"] for row in _read_csv(tmp_path / "a.csv", OHLCV)} == {"BBCA"}
    with running(data):
        again = exported(data, tmp_path / "b.csv", **asked)
    assert again[0] == 1 and "of ZZZZ, NONE from" in again[2]
    assert exported(data, tmp_path / "c.csv", tickers=("BBCA", "TLKM"))[0] == 0


def test_no_rows_make_no_file(data: Path, tmp_path: Path) -> None:
    code, said, warned = exported(data, tmp_path / "a.csv", tickers=("ZZZZ",))
    assert (code, said) == (1, "")
    assert "idx has no ohlcv of ZZZZ" in warned
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"kind": "nope"}, "KIND: nope; allowed: ticks, quotes"),
        ({"form": "xls"}, "--format: xls; allowed: parquet, csv, arrow"),
        ({"file": Path("a.xyz")}, "its name does not say which form"),
        ({"begin": "yesterday"}, "--from: yesterday; allowed: a date or a time"),
        ({"begin": "2025-01-02", "end": "2025-01-02"}, "is not before --to"),
        ({"zone": "Mars/Base"}, "--tz: Mars/Base"),
        ({"as_of": "x"}, "--as-of: x"),
        ({"venue": "nope"}, "--venue: nope"),
        ({"venue": "binance"}, "has no journal of binance"),
        ({"file": Path("/nowhere/a.csv")}, "/nowhere is no folder"),
    ],
)
def test_what_makes_no_sense_is_refused(
    data: Path, tmp_path: Path, wrong: dict[str, Any], says: str
) -> None:
    with pytest.raises(Refuse, match=says):
        exported(data, **{"file": tmp_path / "a.csv", **wrong})


def test_the_stores_own_files_are_never_replaced(data: Path) -> None:
    before = (data / "hot.duckdb").read_bytes()
    for name in ("hot.duckdb", f"{COLD_FOLDER}/a.parquet"):
        with pytest.raises(Refuse, match="lies in the data folder"):
            exported(data, data / name, form="csv", force=True)
    assert (data / "hot.duckdb").read_bytes() == before


def test_a_file_that_is_there_is_replaced_on_request_alone(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("mine")
    with pytest.raises(Refuse, match="--force replaces it"):
        exported(data, file)
    assert file.read_text() == "mine"
    assert exported(data, file, force=True)[0] == 0
    assert len(_read_csv(file, OHLCV)) == 45


def test_the_command_line_takes_it(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    words = f"export ticks --from 2020-01-01 --to 2030-01-01 --data {data} -o {file} --ticker"
    done = CliRunner().invoke(app, [*words.split(), "BBCA,TLKM"])
    assert done.exit_code == 0, done.output
    assert {row["ticker"] for row in pq.read_table(file).to_pylist()} == {"BBCA", "TLKM"}
    done = CliRunner().invoke(app, [*words.split(), "BBCA,", "--force"])
    assert done.exit_code == 2 and "a ticker without a name" in done.output
