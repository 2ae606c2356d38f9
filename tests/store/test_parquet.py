"""The cold store: files come whole or not at all, what counts is what lies there, rot is told."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bursa.model.errors import Refuse, Retry
from bursa.model.schema import (
    INDEX,
    INT_NULL,
    OHLCV,
    ORDERBOOK,
    QUOTES,
    SCHEMA_VERSION,
    SNAPSHOT,
    TICKS,
    Kind,
)
from bursa.model.venue import IDX
from bursa.store import cold_days, cold_file, parquet
from bursa.store.cold_days import Sealed
from bursa.store.compare import Digest
from bursa.store.parquet import ColdStore
from tests.fakes.store import Row, rows_of
from tests.store.cold import cold_store, freeze, hot_store, seal
from tests.store.contract import ALL, METRICS, MINUTE, OPEN, bar, batch, metric, put, tick

DAY = IDX.calendar.day_of(OPEN)
DAY_NS = 86_400_000_000_000


def book(nth: int, **other: Any) -> Row:
    row = {
        "ticker": "BBCA", "board": "RG", "ts": OPEN + nth, "side": "bid", "depth": 2, "seq": nth,
        "ts_recv": OPEN + nth, "position": nth, "prices": [100.0, 99.5],
        "volumes": [2.0**53, 5e-324], "orders": [2**62, -1],
    }  # fmt: skip
    return row | other


def odd_rows() -> list[tuple[Kind, list[Row]]]:
    """Of every kind rows with what a form could lose."""
    quote = {
        "ticker": "BBCA", "ts": OPEN, "seq": -1, "bid": None, "bid_volume": 2.0**53, "ask": 0.1,
        "ask_volume": None, "ts_recv": OPEN, "position": 1,
    }  # fmt: skip
    snapshot = {
        "ticker": "BBCA", "board": "NG", "ts": OPEN, "last": 1e300, "volume": 5e-324, "value": 0.0,
        "trades": 2**62, "ts_recv": OPEN, "position": 1,
    }  # fmt: skip
    index = {
        "index_code": "COMPOSITE", "ts": OPEN, "value": 0.1 + 0.2, "prev": None,
        "value_traded": 1e300, "ts_recv": OPEN, "position": 1,
    }  # fmt: skip
    return [
        (TICKS, [tick("BBCA", 1, volume=9007199254740993.0, aggressor=None, trade_no=2**63 - 1)]),
        (QUOTES, [quote]),
        (SNAPSHOT, [snapshot]),
        (ORDERBOOK, [book(1), book(2, depth=0, prices=[], volumes=[], orders=[], side="ask")]),
        (INDEX, [index]),
        (OHLCV, [bar("BBCA", 0, ask_volume=None, nth=None), bar("TLKM", 0, 1, final=False)]),
        (METRICS, [metric("BBCA", 0, hd=None, rsi_14=0.1 + 0.2)]),
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of bars of two days: BBCA on both, TLKM on the first, ASII on the second."""
    folder, day = tmp_path_factory.mktemp("made"), DAY_NS // MINUTE
    bars = [bar("BBCA", 0), bar("BBCA", 1), bar("BBCA", 1, 1, close=7.0), bar("TLKM", 3)]
    freeze(folder, [batch(OHLCV, [*bars, bar("BBCA", day), bar("ASII", day + 5)])]).close()
    return folder


@pytest.fixture
def two_days(made: Path, tmp_path: Path) -> Iterator[ColdStore]:
    """A copy of it, opened."""
    shutil.copytree(made / "cold", tmp_path / "cold")
    cold = cold_store(tmp_path)
    yield cold
    cold.close()


def held(cold: ColdStore, ticker: str = "BBCA") -> list[int]:
    return [(row["ts"] - OPEN) // MINUTE for row in rows_of(cold.bars("idx", ticker, *ALL))]


def newest(cold: ColdStore, kind: str = "ohlcv", day: date = DAY) -> Sealed:
    found = cold.sealed("idx", kind, day)
    assert found is not None
    return found


def whole(cold: ColdStore) -> bool:
    sealed = newest(cold)
    try:
        return cold.digest(sealed).hash == sealed.hash
    except Refuse as refused:
        assert refused.code == "cold_damaged"
        return False


# -- what is sealed is what was there ----------------------------------------------------------


@pytest.mark.parametrize(("kind", "rows"), odd_rows(), ids=lambda v: getattr(v, "name", ""))
def test_every_kind_comes_back_with_the_digest_it_had(
    tmp_path: Path, kind: Kind, rows: list[Row]
) -> None:
    hot, cold = hot_store(tmp_path), cold_store(tmp_path)
    put(hot, batch(kind, rows))
    want = hot.digest("idx", kind.name, DAY)
    sealed = seal(hot, cold, "idx", kind.name, DAY)
    assert (sealed.rows, sealed.hash) == (want.rows, want.hash) == (len(rows), want.hash)
    assert cold.digest(sealed) == want
    listed = ", ".join(f'"{column.name}"' for column in kind.columns)
    query = f"select {listed} from {cold.relation('idx', kind.name, 0, 2**62)} order by position"
    found = duckdb.sql(query).to_arrow_table().to_pylist()
    everything = [{column.name: row.get(column.name) for column in kind.columns} for row in rows]
    assert found == everything
    hot.close()
    cold.close()


def test_files_are_sorted_named_and_say_what_they_are(two_days: ColdStore) -> None:
    sealed = newest(two_days)
    name = f"000001-{sealed.rows}-{sealed.hash}.parquet"
    assert sealed.path.relative_to(two_days.folder) == Path(f"idx_ohlcv/date={DAY}/{name}")
    assert sealed.rows == 4
    assert sealed.bytes == sealed.path.stat().st_size
    rows = pq.read_table(sealed.path, partitioning=None).to_pylist()
    assert [(row["ticker"], row["ts"], row["rev"]) for row in rows] == sorted(
        (row["ticker"], row["ts"], row["rev"]) for row in rows
    )
    told = pq.read_metadata(sealed.path).metadata
    assert told[b"bursa.schema"] == str(SCHEMA_VERSION).encode()
    assert (told[b"bursa.table"], told[b"bursa.day"]) == (b"idx_ohlcv", str(DAY).encode())


def test_reads_resolve_revisions_and_days(two_days: ColdStore) -> None:
    day = DAY_NS // MINUTE
    assert held(two_days) == [0, 1, day]
    found = rows_of(two_days.bars("idx", "BBCA", *ALL, newest=2))
    assert [row["close"] for row in found] == [7.0, 100.0 + day]
    early = bar("BBCA", 1)["known_at"]
    found = rows_of(two_days.bars("idx", "BBCA", *ALL, as_of_ns=early))
    assert [row["rev"] for row in found] == [0, 0]
    assert two_days.days("idx", ["ohlcv"]) == [DAY, DAY + timedelta(days=1)]
    assert two_days.days("idx") == []
    assert two_days.minute_back("idx", 1) == OPEN + (day + 5) * MINUTE
    assert two_days.minute_back("idx", 5) == OPEN
    assert two_days.minute_back("idx", 6) == INT_NULL


def test_a_range_names_the_files_of_its_days_alone(two_days: ColdStore) -> None:
    midnight = IDX.calendar.midnight_ns(DAY)
    first, second = (s.path.name for s in two_days.all("idx", "ohlcv"))

    def named(start: int, end: int) -> list[bool] | None:
        text = two_days.relation("idx", "ohlcv", start, end)
        return None if text is None else [first in text, second in text]

    assert named(0, 2**62) == [True, True]
    assert named(-(2**63) + 1, 2**63 - 1) == [True, True]
    assert named(midnight, midnight + 1) == [True, False]
    assert named(midnight, midnight + DAY_NS) == [True, False]
    assert named(midnight + DAY_NS - 1, midnight + DAY_NS + 1) == [True, True]
    assert named(midnight + DAY_NS, 2**62) == [False, True]
    assert named(midnight + 2 * DAY_NS, 2**62) is None
    assert named(0, midnight) is None
    assert named(5, 5) is None
    assert two_days.relation("idx", "ticks", 0, 2**62) is None
    assert two_days.relation("idx", "status", 0, 2**62) is None
    assert len(two_days.status("idx", 0, 2**62)) == 0
    assert two_days.end_ns("idx", "ohlcv") == midnight + 2 * DAY_NS
    assert two_days.end_ns("idx", "ticks") == 0


# -- coming and going --------------------------------------------------------------------------


def test_other_rows_than_those_wanted_are_refused_and_thrown_away(tmp_path: Path) -> None:
    hot, cold = hot_store(tmp_path), cold_store(tmp_path)
    put(hot, batch(TICKS, [tick("BBCA", n) for n in range(1, 9)]))
    file = cold.begin("idx", "ticks", DAY)
    hot.seal("idx", "ticks", DAY, file, None)
    with pytest.raises(Refuse, match="8 rows") as refused:
        cold.adopt("idx", "ticks", DAY, file, Digest(8, "0" * 32))
    assert refused.value.code == "cold_differs"
    wrong = DAY + timedelta(days=1)
    file = cold.begin("idx", "ticks", wrong)
    hot.seal("idx", "ticks", DAY, file, None)
    with pytest.raises(Refuse, match="8 of its rows are of other days"):
        cold.adopt("idx", "ticks", wrong, file)
    file = cold.begin("idx", "ticks", DAY)
    file.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(Refuse, match="cannot be read"):
        cold.adopt("idx", "ticks", DAY, file)
    assert cold.all("idx", "ticks") == []
    assert not [path for path in cold.folder.rglob("*") if path.is_file()]
    hot.close()
    cold.close()


def test_the_highest_generation_counts_and_older_ones_go_when_nobody_reads_them(
    tmp_path: Path, two_days: ColdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, version = newest(two_days), two_days.version
    hot = hot_store(tmp_path)
    put(hot, batch(OHLCV, [bar("BBCA", 2, position=9_999_999), bar("UNVR", 4, position=9_999_999)]))
    source = hot.digest("idx", "ohlcv", DAY, first.path)
    file = two_days.begin("idx", "ohlcv", DAY)
    hot.seal("idx", "ohlcv", DAY, file, first.path)
    second = two_days.adopt("idx", "ohlcv", DAY, file, source)
    hot.close()
    assert (second.generation, newest(two_days)) == (2, second)
    assert two_days.version != version
    assert "UNVR" in two_days.span("idx")
    assert first.path.exists()
    assert two_days.sweep() == 0
    assert first.path.exists()
    monkeypatch.setattr(cold_days, "UNREAD_S", -1.0)
    assert two_days.sweep() == first.bytes
    assert not first.path.exists()
    assert second.path.exists()


def test_a_file_is_on_disk_before_it_counts_and_its_name_before_rows_may_go(
    tmp_path: Path, two_days: ColdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[str, str]] = []
    fsync, rename = os.fsync, Path.rename

    def synced(fd: int) -> None:
        fsync(fd)
        done.append(("sync", Path(os.readlink(f"/proc/self/fd/{fd}")).name))

    def renamed(path: Path, to: Any) -> Any:
        done.append(("rename", path.name))
        return rename(path, to)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    file = two_days.begin("idx", "ohlcv", DAY)
    shutil.copy(newest(two_days).path, file)
    two_days.adopt("idx", "ohlcv", DAY, file)
    folders = [("sync", name) for name in (f"date={DAY}", "idx_ohlcv", "cold")]
    assert done[:5] == [("sync", file.name), ("rename", file.name), *folders]


def test_left_overs_of_a_killed_process_count_for_nothing_and_go(
    tmp_path: Path, two_days: ColdStore
) -> None:
    dead = newest(two_days).path.parent / "99999-0.parquet.tmp"
    dead.write_bytes(b"half")
    alone = two_days.folder / "idx_ticks" / "date=2020-01-02" / "99999-1.parquet.tmp"
    alone.parent.mkdir(parents=True)
    alone.write_bytes(b"")
    older = newest(two_days).path
    shutil.copy(older, older.with_name(f"000009-{older.name[7:]}"))
    again = cold_store(tmp_path)
    begun = again.begin("idx", "ticks", DAY)
    begun.write_bytes(b"mine")
    assert newest(again).generation == 9
    assert again.all("idx", "ticks") == []
    assert again.sweep() == len(b"half") + newest(again).bytes
    assert not dead.exists()
    assert not alone.parent.exists()
    assert not older.exists()
    assert begun.exists()
    again.abandon(begun)
    again.abandon(begun)
    assert not begun.parent.exists()
    again.close()


def test_what_is_none_of_ours_is_left_alone(tmp_path: Path, two_days: ColdStore) -> None:
    folder = newest(two_days).path.parent
    others = [folder / "notes.txt", folder.parent / "date=2023-13-45", folder.parent / "readme"]
    for path in others:
        path.write_text("mine")
    again = cold_store(tmp_path)
    assert len(again.all("idx", "ohlcv")) == 2
    again.sweep()
    assert all(path.exists() for path in others)
    again.close()


def test_a_dropped_day_takes_its_spans_along(tmp_path: Path, two_days: ColdStore) -> None:
    later = OPEN + DAY_NS
    assert two_days.span("idx") == {
        "BBCA": (OPEN, later),
        "TLKM": (OPEN + 3 * MINUTE,) * 2,
        "ASII": (later + 5 * MINUTE,) * 2,
    }
    size, version = newest(two_days).bytes, two_days.version
    assert two_days.drop("idx", "ohlcv", DAY) == size
    assert two_days.drop("idx", "ohlcv", DAY) == 0
    assert two_days.version != version
    kept = {"BBCA": (later, later), "ASII": (later + 5 * MINUTE,) * 2}
    assert two_days.span("idx") == kept
    assert held(two_days) == [DAY_NS // MINUTE]
    again = cold_store(tmp_path)
    assert again.span("idx") == kept
    assert again.drop("idx", "ohlcv", DAY + timedelta(days=1)) > 0
    assert again.span("idx") == {}
    assert held(again) == []
    again.close()


# -- rot ---------------------------------------------------------------------------------------


def test_a_file_without_a_good_footer_is_set_aside_and_told(
    tmp_path: Path, two_days: ColdStore
) -> None:
    path = newest(two_days).path
    data = path.read_bytes()
    path.write_bytes(data[:-20])
    (path.parent.parent / "index.json").unlink()
    again = cold_store(tmp_path)
    assert again.set_aside == [path.with_name(path.name + ".aside")]
    assert again.set_aside[0].read_bytes() == data[:-20]
    assert again.sealed("idx", "ohlcv", DAY) is None
    assert held(again) == [DAY_NS // MINUTE]
    assert again.span("idx")["BBCA"] == (OPEN + DAY_NS,) * 2
    again.close()


def test_the_generation_before_a_ruined_one_counts_again(
    tmp_path: Path, two_days: ColdStore
) -> None:
    path = newest(two_days).path
    path.with_name(f"000002-{path.name[7:]}").write_bytes(b"ruin")
    again = cold_store(tmp_path)
    assert newest(again).path == path
    assert len(again.set_aside) == 1
    again.sweep()
    assert path.exists()
    # What is sealed next is newer than the ruin.
    hot = hot_store(tmp_path)
    file = again.begin("idx", "ohlcv", DAY)
    hot.seal("idx", "ohlcv", DAY, file, path)
    assert again.adopt("idx", "ohlcv", DAY, file).generation == 3
    hot.close()
    again.close()


@pytest.mark.parametrize("known", [True, False], ids=["sha256 known", "cache lost"])
def test_a_flipped_byte_anywhere_is_told(tmp_path: Path, two_days: ColdStore, known: bool) -> None:
    sealed = newest(two_days)
    good = sealed.path.read_bytes()
    index = sealed.path.parent.parent / "index.json"
    told = json.loads(index.read_text())
    if not known:
        told["files"] = {name: [form, upto, ""] for name, (form, upto, _) in told["files"].items()}
        index.write_text(json.dumps(told))
    cold = cold_store(tmp_path)
    assert cold.damage(newest(cold)) == ""
    for at in range(4, len(good), 61):
        sealed.path.write_bytes(good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :])
        # Without the SHA-256 it is what the rows are that counts: a flip may have left them alone.
        assert cold.damage(newest(cold)) or (not known and whole(cold)), at
    sealed.path.write_bytes(good)
    aside = cold.set_apart(newest(cold))
    assert aside.read_bytes() == good
    assert cold.sealed("idx", "ohlcv", DAY) is None
    cold.close()


def test_a_file_that_cannot_be_looked_at_now_is_told_and_stays(
    two_days: ColdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(file: Path) -> str:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(cold_days, "sha256", away)
    found = [why for turn in range(parquet.SCRUB_TURNS) for why in two_days.scrub("idx", turn)]
    assert len(found) == 2
    assert all("Input/output error" in why for why in found)
    assert len(two_days.all("idx", "ohlcv")) == 2
    assert "Input/output error" in two_days.damage(newest(two_days))


def test_what_the_system_refuses_is_no_damage(
    tmp_path: Path, two_days: ColdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: Path) -> Any:
        raise OSError(24, "Too many open files")

    (two_days.folder / "idx_ohlcv" / "index.json").unlink()
    with monkeypatch.context() as away:
        away.setattr(cold_file, "form_of", full)
        with pytest.raises(Retry, match="Too many open files"):
            cold_store(tmp_path)
    again = cold_store(tmp_path)
    assert (len(again.all("idx", "ohlcv")), again.set_aside) == (2, [])
    again.close()
    with pytest.raises(FileNotFoundError):
        cold_file.form_of(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError):
        cold_file.read_through(tmp_path / "nothing")


def test_scrubbing_looks_at_each_file_in_its_turn_and_sets_rot_aside(
    tmp_path: Path, two_days: ColdStore
) -> None:
    sealed, turns = newest(two_days), range(parquet.SCRUB_TURNS)
    looked = [sum(1 for _ in two_days.scrub("idx", turn)) for turn in turns]
    assert (sum(looked), max(looked)) == (2, 1)
    data = bytearray(sealed.path.read_bytes())
    data[len(data) // 2] ^= 1
    sealed.path.write_bytes(bytes(data))
    found = [why for turn in turns for why in two_days.scrub("idx", turn) if why]
    assert len(found) == 1
    assert "not those that were written; set aside as" in found[0]
    assert two_days.sealed("idx", "ohlcv", DAY) is None
    assert held(two_days) == [DAY_NS // MINUTE]
    assert set(two_days.span("idx")) == {"BBCA", "ASII"}
    assert [why for turn in turns for why in two_days.scrub("idx", turn)] == [""]
    again = cold_store(tmp_path)
    assert again.sealed("idx", "ohlcv", DAY) is None
    assert set(again.span("idx")) == {"BBCA", "ASII"}
    again.close()


# -- schemas -----------------------------------------------------------------------------------


def older(kind: Kind) -> Kind:
    """A kind before its last column came."""
    return replace(kind, columns=kind.columns[:-1])


def written_by(cold: ColdStore, kind: Kind, rows: list[Row]) -> Path:
    table = pa.Table.from_pylist(rows, cold_file.schema(kind))
    file = cold.begin("idx", kind.name, DAY)
    cold_file.put(iter([table]), kind, file)
    return file


def test_columns_that_came_later_are_null_in_older_files(tmp_path: Path) -> None:
    cold = cold_store(tmp_path)
    file = written_by(cold, older(OHLCV), [bar("BBCA", 0, volume=2.0**53)])
    sealed = cold.adopt("idx", "ohlcv", DAY, file)
    hot = hot_store(tmp_path)
    put(hot, batch(OHLCV, [bar("BBCA", 0, volume=2.0**53), bar("BBCA", DAY_NS // MINUTE)]))
    assert cold.digest(sealed) == hot.digest("idx", "ohlcv", DAY)
    seal(hot, cold, "idx", "ohlcv", DAY + timedelta(days=1))
    last = OHLCV.columns[-1].name
    found = rows_of(cold.bars("idx", "BBCA", *ALL))
    assert [row[last] for row in found] == [None, None]
    assert found[0]["volume"] == 2.0**53
    hot.close()
    cold.close()


def test_a_newer_schema_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cold = cold_store(tmp_path)
    with monkeypatch.context() as newer:
        newer.setattr(cold_file, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
        file = written_by(cold, TICKS, [tick("BBCA", 1)])
    cold.adopt("idx", "ticks", DAY, file)
    cold.close()
    with pytest.raises(Refuse, match=f"version {SCHEMA_VERSION + 1}") as refused:
        cold_store(tmp_path)
    assert refused.value.code == "store_schema"


def test_a_column_of_another_type_is_refused(tmp_path: Path) -> None:
    cold = cold_store(tmp_path)
    columns = tuple(
        replace(column, dtype="float") if column.name == "seq" else column
        for column in TICKS.columns
    )
    file = written_by(cold, replace(TICKS, columns=columns), [tick("BBCA", 1, seq=1.0)])
    (tmp_path / "kept").mkdir()
    file.rename(file.with_name(f"000001-1-{'0' * 32}.parquet"))
    cold.close()
    with pytest.raises(Refuse, match="seq is stored as double, not int64"):
        cold_store(tmp_path)


# -- the cache ---------------------------------------------------------------------------------


def test_a_start_opens_no_file_that_the_cache_knows(
    tmp_path: Path, two_days: ColdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(file: Path) -> Any:
        raise AssertionError(f"{file} was opened")

    monkeypatch.setattr(cold_file, "form_of", opened)
    monkeypatch.setattr(ColdStore, "_spans_of", opened)
    again = cold_store(tmp_path)
    assert again.span("idx") == two_days.span("idx")
    assert held(again) == held(two_days)
    assert again.sha256(newest(again)) == cold_days.sha256(newest(again).path)
    assert again._span("idx", OHLCV) == two_days._span("idx", OHLCV)
    again.close()


@pytest.mark.parametrize("ruin", ["", "{}", '{"version": 1, "forms": 3}', "lost"])
def test_a_lost_or_ruined_cache_is_made_again(
    tmp_path: Path, two_days: ColdStore, ruin: str
) -> None:
    index = two_days.folder / "idx_ohlcv" / "index.json"
    index.unlink() if ruin == "lost" else index.write_text(ruin)
    again = cold_store(tmp_path)
    assert again.span("idx") == two_days.span("idx")
    assert held(again) == held(two_days)
    assert again.sha256(newest(again)) == cold_days.sha256(newest(again).path)
    assert json.loads(index.read_text())["version"] == 1
    again.close()


# -- size --------------------------------------------------------------------------------------


def test_the_text_form_is_as_long_as_the_wires(tmp_path: Path) -> None:
    rows = [
        tick("BBCA", 1, price=8900.0, volume=100.0, trade_no=58211, seq=1042),
        tick("TLKM", 2, price=0.5, volume=1e3, aggressor=None),
    ]
    cold = freeze(tmp_path, [batch(TICKS, rows)])
    lines = [
        f"1|1042|{OPEN + 1}|BBCA|RG|58211|8900|100|B\n",
        f"1|2|{OPEN + 2}|TLKM|RG|2|0.5|1000|\n",
    ]
    sealed = newest(cold, "ticks")
    assert cold.text_ratio(sealed) == pytest.approx(sum(map(len, lines)) / sealed.bytes)
    cold.close()


def test_a_book_in_text_has_its_levels(tmp_path: Path) -> None:
    row = book(1, volumes=[3.0, 10.0], orders=[7, 12])
    cold = freeze(tmp_path, [batch(ORDERBOOK, [row])])
    line = f"3|1|{OPEN + 1}|BBCA|RG|2|100:3:7,99.5:10:12\n"
    sealed = newest(cold, "orderbook")
    assert cold.text_ratio(sealed) == pytest.approx(len(line) / sealed.bytes)
    cold.close()


def test_ticks_take_less_than_a_fifth_of_their_text(tmp_path: Path) -> None:
    rows = [
        tick(
            f"T{n % 7:03d}",
            n,
            ts=OPEN + n * 400_123,
            price=1000.0 + n % 9 * 5,
            ts_recv=OPEN + n // 9,
        )
        for n in range(1, 8000)
    ]
    cold = freeze(tmp_path, [batch(TICKS, rows)])
    ratio = cold.text_ratio(newest(cold, "ticks"))
    assert ratio is not None
    assert ratio > 5
    cold.close()


@pytest.mark.parametrize("sizes", [[1], [3, 3, 3], [10, 1, 0, 7], [2, 2, 2, 2, 2, 9], []])
def test_groups_are_whole_but_the_last(sizes: list[int]) -> None:
    schema = pa.schema([("n", pa.int64())])
    numbers = iter(range(sum(sizes)))
    batches = [pa.record_batch([[next(numbers) for _ in range(n)]], schema) for n in sizes]
    reader = pa.RecordBatchReader.from_batches(schema, batches)
    groups = [group["n"].to_pylist() for group in cold_file._groups(reader, 4)]
    assert [n for group in groups for n in group] == list(range(sum(sizes)))
    assert all(len(group) == 4 for group in groups[:-1])
