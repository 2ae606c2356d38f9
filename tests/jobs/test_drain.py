"""The drain and retention: what goes cold, what may leave the hot store, and what may not."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest

from bursa.model.calendar import DAY_NS
from bursa.model.errors import Refuse
from bursa.model.schema import OHLCV, TICKS, Column, Kind
from bursa.model.venue import IDX
from bursa.store import parquet
from bursa.store.compare import ANY_POSITION, Digest, Slice, digest
from bursa.store.duckdb import DuckStore
from bursa.store.parquet import ColdStore
from bursa.store.sql import Answer
from tests.pipeline.tiered import COLD, DAYS, NEXT, Bench, following, rows_of_day


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    found = Bench(tmp_path / "data")
    yield found
    found.close()


def outcomes(report: dict[str, Any], kind: str = "ohlcv") -> tuple[int, ...]:
    told = report["kinds"][kind]
    return tuple(told[name] for name in ("sealed", "merged", "unchanged", "failed"))


def test_days_that_are_over_go_cold_and_nothing_is_seen_of_it(bench: Bench) -> None:
    bench.fill()
    before = bench.held()
    report = bench.drain()
    assert {kind.name: outcomes(report, kind.name) for kind in COLD} == {
        kind.name: (3, 0, 0, 0) for kind in COLD
    }
    told = report["kinds"]["ticks"]
    assert told["rows"] == 36 and told["bytes_a_row"] == round(told["bytes"] / 36, 2)
    assert told["ratio"] > 0 and report["failed"] == 0
    for kind in COLD:
        assert [sealed.day for sealed in bench.cold.all("idx", kind.name)] == DAYS
        assert bench.hot_days(kind.name) == [*DAYS, NEXT]
    assert bench.held() == before
    # What is past its days leaves the hot store; what is seen stays as it was.
    report = bench.retention()
    gone = {kind: told["days"] for kind, told in report["kinds"].items()}
    assert gone == {k.name: 2 if k.name in ("index", "ohlcv", "metrics") else 3 for k in COLD}
    assert report["kept"] == 0 and bench.held() == before
    assert bench.hot_days("ticks") == [NEXT] and bench.hot_days("ohlcv") == [DAYS[2], NEXT]
    assert bench.hot.floor("idx", "ticks") == following(DAYS[2])
    bench.close()
    bench.open()
    assert bench.held() == before
    assert bench.telemetry.drain_days.labels("idx", "ohlcv", "sealed")._value.get() == 3
    assert bench.telemetry.cold_days.labels("idx", "ohlcv")._value.get() == 3
    assert bench.telemetry.store_dropped.labels("idx", "ticks")._value.get() == 36


def test_done_twice_it_changes_nothing(bench: Bench) -> None:
    bench.fill()
    bench.drain()
    before, stamps = bench.files(), [p.stat().st_mtime_ns for p in bench.data.glob("cold/*/*/*")]
    for _ in range(2):
        assert outcomes(bench.drain()) == (0, 0, 3, 0)
    assert bench.files() == before
    assert [p.stat().st_mtime_ns for p in bench.data.glob("cold/*/*/*")] == stamps
    bench.retention()
    assert bench.drain()["kinds"]["ticks"]["unchanged"] == 0  # no such day is hot any more
    assert bench.files() == before
    again = bench.retention()
    assert {told["days"] for told in again["kinds"].values()} == {0}


def test_a_dry_run_tells_and_does_nothing(bench: Bench) -> None:
    bench.fill()
    report = bench.drain(dry_run=True)
    assert outcomes(report) == (3, 0, 0, 0) and report["kinds"]["ohlcv"]["rows"] == 36
    assert not bench.files()
    report = bench.retention(dry_run=True)
    told = report["kinds"]["ticks"]
    assert (told["days"], told["kept"]) == (0, 3)
    assert told["why"] == "2025-11-17: it was not drained yet"
    bench.drain()
    report = bench.retention(dry_run=True, days=1)
    assert [told["days"] for told in report["kinds"].values()] == [3] * len(COLD)
    assert bench.hot_days("ticks") == [*DAYS, NEXT]


def test_only_days_that_are_over_go(bench: Bench) -> None:
    bench.fill()
    bench.runtime.newest_ns = bench.runtime.clock.now = IDX.calendar.day_open_ns(DAYS[1])
    bench.runtime.heard_ns = bench.runtime.clock.now
    bench.drain()
    assert {day for _, day in bench.hashes()} == {DAYS[0]}
    with pytest.raises(Refuse, match="2025-11-18 is not over yet on idx"):
        bench.drain(days=["2025-11-18"])
    # 16:30 by the newest event; or by our clock, where nothing came for long.
    half_past_four = IDX.calendar.midnight_ns(DAYS[1]) + (16 * 60 + 30) * 60 * 10**9
    bench.runtime.clock.now = half_past_four
    bench.drain()
    assert {day for _, day in bench.hashes()} == {DAYS[0], DAYS[1]}
    bench.runtime.newest_ns = bench.runtime.heard_ns = bench.runtime.clock.now
    bench.drain(days=["2025-11-18"])
    assert {day for _, day in bench.hashes()} == {DAYS[0], DAYS[1]}


def test_the_same_day_in_other_cuts_has_the_same_hashes(tmp_path: Path, soak: bool) -> None:
    hashes = []
    for seed in range(10 if soak else 2):
        rng, bench = Random(seed), Bench(tmp_path / str(seed))
        for kind in COLD:
            rows = [row for day in DAYS[:2] for row in rows_of_day(kind, day)]
            while rows:
                count = rng.randrange(1, 20) if seed else len(rows)
                bench.put(kind, rows[:count])
                rows = rows[count:]
            if seed == 1 and kind is OHLCV:
                start = IDX.calendar.midnight_ns(DAYS[0])
                bench.hot.settle("idx", start, following(DAYS[0]))
        bench.drain()
        hashes.append((bench.hashes(), bench.held()))
        bench.retention(days=1)
        assert (bench.hashes(), bench.held()) == hashes[-1]
        bench.close()
    assert all(found == hashes[0] for found in hashes)
    assert len(hashes[0][0]) == 2 * len(COLD)


# -- what comes late -------------------------------------------------------------------------------


def test_late_rows_of_a_hot_day_have_it_drained_anew(bench: Bench) -> None:
    bench.fill()
    bench.drain()
    late = rows_of_day(TICKS, DAYS[0], seed=1)
    bench.put_late(TICKS, late)
    before = bench.held()
    report = bench.retention()
    assert (
        report["kinds"]["ticks"]["kept"] == 3 and "proven cold" in report["kinds"]["ticks"]["why"]
    )
    assert bench.telemetry.retention_held.labels("idx", "ticks")._value.get() == 3
    assert bench.held() == before and DAYS[0] in bench.hot_days("ticks")
    assert outcomes(bench.drain(), "ticks") == (1, 0, 2, 0)
    assert bench.retention()["kept"] == 0
    assert bench.held() == before
    assert bench.telemetry.retention_held.labels("idx", "ticks")._value.get() == 0


@pytest.mark.parametrize("kind", COLD, ids=lambda kind: kind.name)
def test_late_rows_of_a_cold_day_are_merged_into_its_file(bench: Bench, kind: Kind) -> None:
    for day in (*DAYS, NEXT):
        bench.put(kind, rows_of_day(kind, day))
    bench.drain()
    bench.retention(days=1)
    bench.put_late(kind, rows_of_day(kind, DAYS[1], seed=1))
    before, floor = bench.held(), bench.hot.floor("idx", kind.name)
    assert bench.hot.stray_days("idx", kind.name) == [DAYS[1]]
    assert bench.drain(dry_run=True)["kinds"][kind.name]["merged"] == 1
    assert bench.hot.stray_days("idx", kind.name) == [DAYS[1]]
    report = bench.drain()
    assert outcomes(report, kind.name) == (0, 1, 0, 0)
    assert report["kinds"][kind.name]["rows"] == 24
    assert bench.hot.stray_days("idx", kind.name) == []
    assert bench.hot_days(kind.name) == [NEXT] and bench.hot.floor("idx", kind.name) == floor
    assert bench.held() == before
    sealed = bench.cold.sealed("idx", kind.name, DAYS[1])
    assert sealed is not None and sealed.generation == 2
    assert bench.drain()["kinds"][kind.name]["merged"] == 0


def test_rows_that_come_while_it_drains_are_never_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two of its steps, and in the middle of them."""
    for kind in (TICKS, OHLCV):
        bench.put(kind, rows_of_day(kind, DAYS[0], 2) + rows_of_day(kind, NEXT, 2))
    bench.drain()
    bench.retention(days=1)
    seeds = iter(range(1, 99))

    def more() -> None:
        """Rows of their own for a day that is cold."""
        seed = next(seeds)
        for kind in (TICKS, OHLCV):
            bench.put_late(kind, rows_of_day(kind, DAYS[0], 2, seed))

    def moved_in(real: Any, before: bool, came: list[str]) -> Any:
        def call(self: Any, *given: Any) -> Any:
            found = None if before else real(self, *given)
            if not came:
                came.append("more")
                more()
            return real(self, *given) if before else found

        return call

    places = [(DuckStore, "digest"), (DuckStore, "seal"), (ColdStore, "adopt")]
    for owner, name in [*places, (DuckStore, "let_go"), (DuckStore, "beside")]:
        for before in (True, False):
            more()
            came: list[str] = []
            rows = {kind: digest.rows for kind, digest in bench.held().items()}
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, moved_in(getattr(owner, name), before, came))
                assert bench.drain()["failed"] == 0, name
            assert came
            rows |= {kind: rows[kind] + 6 for kind in ("ticks", "ohlcv")}
            assert {k: d.rows for k, d in bench.held().items()} == rows, (name, before)
            bench.drain()
            assert bench.hot.stray_days("idx", "ticks") == []
            assert {k: d.rows for k, d in bench.held().items()} == rows, (name, before)


def test_a_day_that_keeps_changing_waits_for_the_next_drain(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.put(TICKS, rows_of_day(TICKS, DAYS[0]))
    seal, seed = DuckStore.seal, iter(range(1, 99))

    def changing(self: Any, *given: Any) -> None:
        bench.put_late(TICKS, rows_of_day(TICKS, DAYS[0], seed=next(seed)))
        seal(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(DuckStore, "seal", changing)
        report = bench.drain()
    assert outcomes(report, "ticks") == (0, 0, 0, 1) and report["failed"] == 1
    [failure] = report["failures"]
    assert (failure["kind"], failure["day"]) == ("ticks", "2025-11-17")
    assert failure["why"].startswith("3 times: idx_ticks of 2025-11-17 was written as 48 rows")
    assert not bench.files()
    assert outcomes(bench.drain(), "ticks") == (1, 0, 0, 0)
    assert bench.telemetry.drain_days.labels("idx", "ticks", "failed")._value.get() == 1


# -- what a disk does to files ---------------------------------------------------------------------


def rot(path: Path) -> None:
    """One bit of a column's bytes."""
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 4
    path.write_bytes(data)


def test_a_rotten_file_is_no_reason_to_let_hot_rows_go_and_is_written_anew(bench: Bench) -> None:
    bench.fill()
    bench.drain()
    before = bench.held()
    sealed = bench.cold.sealed("idx", "ticks", DAYS[0])
    assert sealed is not None
    rot(sealed.path)
    report = bench.retention()
    told = report["kinds"]["ticks"]
    assert (told["days"], told["kept"]) == (0, 3) and sealed.path.name in told["why"]
    assert bench.held() == before and DAYS[0] in bench.hot_days("ticks")
    assert outcomes(bench.drain(), "ticks") == (1, 0, 2, 0)
    assert bench.retention()["kinds"]["ticks"]["days"] == 3
    assert bench.held() == before


def test_rot_of_a_day_that_is_cold_alone_is_found_and_set_aside_in_its_turn(bench: Bench) -> None:
    bench.fill()
    bench.drain()
    bench.retention()
    assert DAYS[0] not in bench.hot_days("ticks")
    sealed = bench.cold.sealed("idx", "ticks", DAYS[0])
    assert sealed is not None
    rot(sealed.path)
    today = IDX.calendar.day_of(bench.runtime.clock.now)
    turn = (DAYS[0] - today).days % parquet.SCRUB_TURNS
    assert bench.drain()["damaged"] == []
    bench.runtime.clock.now += turn * DAY_NS
    report = bench.drain()
    (told,) = report["damaged"]
    assert "set aside as" in told and str(sealed.path) in told
    assert bench.cold.sealed("idx", "ticks", DAYS[0]) is None
    assert (report["failed"], bench.drain()["damaged"]) == (0, [])


def test_late_rows_stay_hot_where_the_file_they_belong_into_is_rotten(bench: Bench) -> None:
    bench.fill()
    bench.drain()
    bench.retention()
    bench.put_late(TICKS, rows_of_day(TICKS, DAYS[0], seed=1))
    sealed = bench.cold.sealed("idx", "ticks", DAYS[0])
    assert sealed is not None
    rot(sealed.path)
    report = bench.drain()
    assert outcomes(report, "ticks") == (0, 0, 0, 1)
    assert "its late rows stay hot" in report["failures"][0]["why"]
    assert bench.hot.stray_days("idx", "ticks") == [DAYS[0]]
    assert len(bench.hot.digest("idx", "ticks", DAYS[0]).hash) == 32
    assert bench.hot.digest("idx", "ticks", DAYS[0]).rows == 12


def test_a_file_that_does_not_read_back_as_it_was_written_never_counts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.put(TICKS, rows_of_day(TICKS, DAYS[0]))
    seal = DuckStore.seal

    def spoiled(self: Any, venue: str, kind: str, day: date, file: Path, beside: Any) -> None:
        seal(self, venue, kind, day, file, beside)
        rot(file)

    with monkeypatch.context() as patch:
        patch.setattr(DuckStore, "seal", spoiled)
        try:
            report = bench.drain()
            assert report["failed"] == 1
        except Exception as error:  # noqa: BLE001 -- whatever the reader of Parquet says
            assert "read" in str(error) or "heck" in str(error)
    assert not bench.files()
    assert outcomes(bench.drain(), "ticks") == (1, 0, 0, 0)


# -- every value counts ----------------------------------------------------------------------------

FLIPS = {
    "time": "{0} + 1",
    "int": "{0} + 1",
    "float": "{0} + 0.01",
    "flag": "not {0}",
    "text": "'?'",
    "floats": "[x + 0.5 for x in {0}]",
    "ints": "[x + 1 for x in {0}]",
}


class Undone(Exception):
    """What was changed is taken back."""


def changed(bench: Bench, kind: Kind, column: str, to: str, which: str) -> Digest:
    """The digest of a day after one value became another; then that is taken back."""
    table, found = f"idx_{kind.name}", []

    def work(on: Any) -> None:
        row = f"(select max(rowid) from {table} where {which})"
        [(rows,)] = on.execute(f"update {table} set {column} = {to} where rowid = {row}").fetchall()
        assert rows == 1, column
        of = Slice("idx", kind, IDX.calendar.midnight_ns(DAYS[0]), 2**62, ANY_POSITION)
        found.append(digest(lambda text: Answer((), on.execute(text).fetchall()), of))
        raise Undone

    with suppress(Undone):
        bench.hot.beside(work)
    return found[0]


def test_what_moves_between_two_lists_changes_the_hash() -> None:
    kind = Kind("orderbook", tuple(Column(n, "floats", "") for n in ("prices", "volumes")), ())

    def of(*lists: str) -> Digest:
        columns = zip(("prices", "volumes"), lists, strict=True)
        row = ", ".join(f"{text}::double[] as {name}" for name, text in columns)
        source = f"(select 1 as ts, 1 as position, {row})"
        return digest(
            lambda text: Answer((), [list(row) for row in duckdb.execute(text).fetchall()]),
            Slice("idx", kind, 0, 2, 1, source=source),
        )

    made = {
        of(*lists)
        for lists in (
            ("[1, 2]", "[3]"),
            ("[1]", "[2, 3]"),
            ("[1, 2, 3]", "[]"),
            ("[]", "[1, 2, 3]"),
            ("[1, 2, 3]", "null"),
            ("[2, 1]", "[3]"),
            ("[1, 2]", "[null]"),
        )
    }
    assert len(made) == 7


@pytest.mark.parametrize("kind", COLD, ids=lambda kind: kind.name)
def test_one_flipped_value_in_any_column_changes_the_hash(bench: Bench, kind: Kind) -> None:
    bench.put(kind, rows_of_day(kind, DAYS[0]))
    before = bench.hot.digest("idx", kind.name, DAYS[0])
    seen = {before.hash}
    for column in kind.columns:
        own = f'"{column.name}"'
        has = f"len({own}) > 0" if column in kind.lists else f"{own} is not null"
        flips = [FLIPS[column.dtype].format(own)] + (["null"] if column.nullable else [])
        for to in flips:
            flipped = changed(bench, kind, own, to, has)
            assert flipped.rows == before.rows and flipped.hash not in seen, (column.name, to)
            seen.add(flipped.hash)
    assert bench.hot.digest("idx", kind.name, DAYS[0]) == before
    # Two values that change places are two other rows.
    first, other = (f"(select {f}(rowid) from idx_{kind.name})" for f in ("min", "max"))
    swapped = changed(
        bench, kind, "position", f"(select position from idx_{kind.name} where rowid = {first})",
        f"rowid = {other}",
    )  # fmt: skip
    assert swapped.hash not in seen


def test_more_days_than_any_calendar_has_keep_all(bench: Bench) -> None:
    bench.fill(minutes=1)
    bench.drain()
    report = bench.retention(days=10**9)
    assert not any(told["days"] or told["kept"] for told in report["kinds"].values())
