"""Both tiers as one: whatever moves during a read, each row comes once; amended days; people's SQL.

What the drain does is done step by step at every point of a read where another thread could have
done it: before the relation is taken, between that and the statement, and after it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from bursa.model.batch import Batch
from bursa.model.errors import Refuse, Retry
from bursa.model.schema import INDEX, OHLCV, TICKS, Kind
from bursa.model.venue import IDX
from bursa.store import question
from bursa.store.floors import Split
from bursa.store.folder import DataFolder
from bursa.store.reading import TRIES
from bursa.store.sql import Limits
from bursa.store.tiered import Tiered
from tests.fakes.store import Row, rows_of
from tests.store.contract import (
    ALL,
    METRICS,
    MINUTE,
    OPEN,
    bar,
    bars,
    batch,
    metric,
    minutes,
    put,
    tick,
)
from tests.store.tiers import drain, opened, steps

DAY_NS = 86_400_000_000_000
DAY = IDX.calendar.day_of(OPEN)
LIMITS = Limits(100_000, 20.0)
Step = Callable[[], Any]


class Moving(Tiered):
    """Does one thing a point of a read; `points` counts those it passed."""

    def __init__(self, hot: Any, cold: Any) -> None:
        super().__init__(hot, cold)
        self.at: dict[int, Step] = {}
        self.points = 0

    def _pass(self) -> None:
        step = self.at.pop(self.points, None)
        self.points += 1
        if step is not None:
            step()

    def _relation(self, venue: str, kind: str, start_ns: int, end_ns: int) -> str:
        self._pass()
        return super()._relation(venue, kind, start_ns, end_ns)

    @contextmanager
    def _cursor(self, limit: str, what: str) -> Iterator[Any]:
        self._pass()
        with super()._cursor(limit, what) as cursor:
            yield cursor
        self._pass()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Moving]:
    store = opened(tmp_path, made=Moving)
    yield store
    store.close()


def ticks_of(day: int, first: int, count: int, position: int) -> list[Row]:
    return [
        tick("BBCA", first + n, ts=OPEN + day * DAY_NS + first + n, position=position)
        for n in range(count)
    ]


def read(store: Moving, ticker: str = "BBCA") -> list[Row]:
    return rows_of(store.ticks("idx", ticker, *ALL))


def late(store: Moving, position: int = 50) -> list[Row]:
    rows = ticks_of(0, 90, 3, position)
    put(store, batch(TICKS, rows))
    return rows


POINTS = 7


@pytest.mark.parametrize("first", range(POINTS))
@pytest.mark.parametrize("apart", [0, 1, 2])
def test_a_day_goes_cold_during_a_read(store: Moving, first: int, apart: int) -> None:
    rows = ticks_of(0, 1, 5, 1) + ticks_of(1, 6, 5, 2)
    put(store, batch(TICKS, rows))
    did = steps(store, "idx", "ticks", DAY)
    store.at = {}
    for nth, step in enumerate(did):
        before = store.at.get(first + apart * nth)
        store.at[first + apart * nth] = both(before, step)
    assert read(store) == rows
    assert read(store) == rows
    for step in list(store.at.values()):
        step()
    store.at = {}
    assert store.hot.split("idx", "ticks") == Split(IDX.calendar.midnight_ns(DAY) + DAY_NS)
    assert read(store) == rows


def both(one: Step | None, other: Step) -> Step:
    def do() -> None:
        if one is not None:
            one()
        other()

    return do


@pytest.mark.parametrize("first", range(POINTS))
@pytest.mark.parametrize("apart", [0, 1])
def test_late_rows_come_and_go_cold_during_a_read(store: Moving, first: int, apart: int) -> None:
    """The file of their day is replaced meanwhile."""
    rows = ticks_of(0, 1, 5, 1) + ticks_of(1, 6, 5, 2)
    put(store, batch(TICKS, rows))
    drain(store, "idx", "ticks", [DAY])
    added: list[Row] = []
    did: list[Step] = [lambda: added.extend(late(store)), *steps(store, "idx", "ticks", DAY)]
    store.points, store.at = 0, {}
    for nth, step in enumerate(did):
        store.at[first + apart * nth] = both(store.at.get(first + apart * nth), step)
    found = read(store)
    assert found in (rows, sorted(rows + added, key=lambda row: row["ts"]))
    assert read(store) == sorted(rows + added, key=lambda row: row["ts"])


def test_a_reader_between_the_floor_and_the_commit(store: Moving) -> None:
    """While a day is let go its rows are found, whether or not they are gone already."""
    rows = ticks_of(0, 1, 5, 1) + ticks_of(1, 6, 5, 2)
    put(store, batch(TICKS, rows))
    seal, adopt, let_go = steps(store, "idx", "ticks", DAY)
    seal()
    adopt()
    found = []
    put_split = store.hot.floors.put

    def putting(venue: str, kind: str, split: Split) -> None:
        put_split(venue, kind, split)
        found.append(read(store))

    store.hot.floors.put = putting  # type: ignore[method-assign]
    let_go()
    assert found == [rows, rows]


def test_a_day_that_could_not_be_let_go_is_read_as_before(
    store: Moving, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ticks_of(0, 1, 5, 1)
    put(store, batch(TICKS, rows))
    seal, adopt, let_go = steps(store, "idx", "ticks", DAY)
    seal()
    adopt()

    def broken(*_: Any) -> None:
        raise Retry("no room")

    with monkeypatch.context() as patched:
        patched.setattr(store.hot.floors, "save", broken)
        with pytest.raises(Retry, match="no room"):
            let_go()
    assert read(store) == rows
    assert let_go() == 5
    assert read(store) == rows
    assert store.hot.stray_days("idx", "ticks") == []


def test_a_damaged_cold_file_is_named(store: Moving) -> None:
    put(store, batch(TICKS, ticks_of(0, 1, 5, 1) + ticks_of(1, 6, 5, 2)))
    drain(store, "idx", "ticks", [DAY])
    sealed = store.cold.sealed("idx", "ticks", DAY)
    assert sealed is not None
    held = bytearray(sealed.path.read_bytes())
    held[4 : len(held) // 2] = bytes(len(held) // 2 - 4)
    sealed.path.write_bytes(held)
    with pytest.raises(Refuse, match=f"idx_ticks of {DAY}") as refused:
        read(store)
    assert (refused.value.code, refused.value.status) == ("cold_damaged", 503)
    # What lies hot is read as ever.
    after = IDX.calendar.midnight_ns(DAY) + DAY_NS
    assert len(store.ticks("idx", "BBCA", after, 2**62)) == 5


def test_what_moves_for_ever_is_given_up(store: Moving) -> None:
    put(store, batch(TICKS, ticks_of(0, 1, 5, 1)))
    drain(store, "idx", "ticks", [DAY])

    def move(nth: int) -> Step:
        return lambda: store.hot.floors.put("idx", "ticks", Split(OPEN + nth * DAY_NS))

    store.points, store.at = 0, {3 * n: move(n + 1) for n in range(3 * TRIES)}
    with pytest.raises(Retry, match="too fast"):
        read(store)


def test_the_same_rows_that_come_again_count_once(store: Moving) -> None:
    """As from the journal, to a store that lost them: what is cold already is not there twice."""
    rows = [tick("BBCA", n, position=n) for n in range(1, 6)]
    put(store, batch(TICKS, rows))
    series = [bar("BBCA", m) for m in range(4)]
    put(store, batch(OHLCV, series))
    for kind in ("ticks", "ohlcv"):
        drain(store, "idx", kind)
    none = batch(TICKS, rows)
    none = replace(none, block=none.block[:, :0])
    store.amend(none, none, batch(TICKS, rows[1:3]), ())
    no_bars = batch(OHLCV, series)
    no_bars = replace(no_bars, block=no_bars.block[:, :0])
    store.amend(no_bars, no_bars, batch(OHLCV, [series[1] | {"close": 7.0}]), ())
    assert read(store) == rows
    found = bars(store)
    assert [row["close"] for row in found] == [100.0, 7.0, 102.0, 103.0]
    before = store.cold.sealed("idx", "ticks", DAY)
    for kind in ("ticks", "ohlcv"):
        drain(store, "idx", kind)
    after = store.cold.sealed("idx", "ticks", DAY)
    assert before is not None and after is not None
    assert (after.generation, after.hash) == (before.generation + 1, before.hash)
    assert read(store) == rows and bars(store) == found


def test_rows_of_one_key_and_other_records_are_all_kept(store: Moving) -> None:
    rows = [tick("BBCA", 1), tick("BBCA", 1, position=2, price=51.0)]
    put(store, batch(TICKS, rows[:1]))
    drain(store, "idx", "ticks")
    put(store, batch(TICKS, rows[1:]))
    assert read(store) == rows
    drain(store, "idx", "ticks")
    assert read(store) == rows and not store.hot.stray_days("idx", "ticks")


def test_metrics_of_a_cold_day_are_amended(store: Moving) -> None:
    series = [bar("BBCA", m) for m in range(4)] + [bar("BBCA", 2_000)]
    rows = [metric("BBCA", m, hd=1.0) for m in range(4)] + [metric("BBCA", 2_000, hd=1.0)]
    put(store, batch(OHLCV, series), batch(METRICS, rows))
    drain(store, "idx", "metrics", [DAY])
    assert store.hot.floor("idx", "metrics") and not store.hot.stray_days("idx", "metrics")
    gone, filled = batch(METRICS, rows[:1]), batch(METRICS, [rows[1] | {"hd": 5.0}])
    fresh = batch(METRICS, [metric("BBCA", 3, rev=1, hd=9.0, position=250)])
    store.amend(gone, filled, fresh, ["hd"])

    def hd() -> list[tuple[int, float]]:
        found = rows_of(store.metrics("idx", "BBCA", *ALL))
        return [((row["ts"] - OPEN) // MINUTE, row["hd"]) for row in found]

    wanted = [(1, 5.0), (2, 1.0), (3, 9.0), (2_000, 1.0)]
    assert hd() == wanted
    assert store.hot.split("idx", "metrics").thawed == {DAY}
    drain(store, "idx", "metrics", [DAY])
    assert hd() == wanted
    assert store.hot.split("idx", "metrics").thawed == frozenset()
    assert len(store.revisions("idx", "metrics", *ALL)) == 5


def test_a_day_that_is_amended_while_it_is_drained_again(store: Moving) -> None:
    """Late rows, merged into its file and let go just before the day is taken back: all there."""
    put(store, batch(OHLCV, [bar("BBCA", m) for m in range(3)]))
    rows = [metric("BBCA", m, hd=1.0) for m in range(3)]
    put(store, batch(METRICS, rows[:2]))
    drain(store, "idx", "metrics")
    put(store, batch(METRICS, [rows[2]]))
    thaw = store.hot.thaw

    def late(venue: str, kind: str, day: date, file: Any) -> None:
        drain(store, venue, kind, [day])
        thaw(venue, kind, day, file)

    store.hot.thaw = late  # type: ignore[method-assign]
    gone, none = batch(METRICS, rows[:1]), batch(METRICS, rows[:1])
    none = replace(none, block=none.block[:, :0])
    store.amend(gone, none, none, ())
    assert minutes(rows_of(store.metrics("idx", "BBCA", *ALL))) == [1, 2]
    drain(store, "idx", "metrics", [DAY])
    assert minutes(rows_of(store.metrics("idx", "BBCA", *ALL))) == [1, 2]


def test_a_day_that_is_drained_between_its_thaw_and_what_amends_it(store: Moving) -> None:
    rows = [metric("BBCA", m, hd=1.0) for m in range(3)]
    put(store, batch(OHLCV, [bar("BBCA", m) for m in range(3)]), batch(METRICS, rows))
    drain(store, "idx", "metrics")
    thaw, left = store.hot.thaw, [1, 2]

    def quick(venue: str, kind: str, day: date, file: Any) -> None:
        thaw(venue, kind, day, file)
        if left:
            left.pop()
            drain(store, venue, kind, [day])

    store.hot.thaw = quick  # type: ignore[method-assign]
    gone, none = batch(METRICS, rows[:1]), batch(METRICS, rows[:1])
    none = replace(none, block=none.block[:, :0])
    store.amend(gone, none, none, ())
    assert not left and minutes(rows_of(store.metrics("idx", "BBCA", *ALL))) == [1, 2]


def test_a_store_that_lost_its_file_reads_what_is_cold(tmp_path: Path) -> None:
    store = opened(tmp_path)
    rows = [tick("BBCA", n) for n in range(1, 6)]
    put(store, batch(TICKS, rows), batch(OHLCV, [bar("BBCA", m) for m in range(4)]))
    index = {"index_code": "A", "ts": OPEN, "value": 1.0, "value_traded": 0.0, "position": 1,
             "ts_recv": OPEN, "prev": None}  # fmt: skip
    put(store, batch(INDEX, [index]))
    for kind in ("ticks", "ohlcv", "index"):
        drain(store, "idx", kind)
    store.close()
    for path in tmp_path.glob("hot.duckdb*"):
        path.unlink()
    store = opened(tmp_path)
    assert store.positions() == {}
    assert read(store) == rows and minutes(bars(store)) == [0, 1, 2, 3]
    assert store.span("idx") == {"BBCA": (OPEN, OPEN + 3 * MINUTE)}
    assert rows_of(store.latest("idx", "index")) == [index]
    # The journal brings them again.
    put(store, batch(TICKS, rows), batch(OHLCV, [bar("BBCA", m) for m in range(4)]))
    assert read(store) == rows and minutes(bars(store)) == [0, 1, 2, 3]
    store.close()


def test_the_newest_rows_outlive_the_hot_file_that_knew_them(tmp_path: Path) -> None:
    def value(code: str, days: int, position: int) -> Row:
        ts = OPEN + days * DAY_NS
        return {"index_code": code, "ts": ts, "value": 1.0, "value_traded": 0.0, "prev": None,
                "position": position, "ts_recv": ts}  # fmt: skip

    store = opened(tmp_path)
    old, new = value("A", 0, 1), value("B", 1, 2)
    put(store, batch(INDEX, [old, new]))
    drain(store, "idx", "index")
    store.close()
    for path in tmp_path.glob("hot.duckdb*"):
        path.unlink()
    store = opened(tmp_path)
    # What comes again goes cold again; of A nothing comes.
    put(store, batch(INDEX, [new]))
    drain(store, "idx", "index")
    assert rows_of(store.latest("idx", "index")) == [old, new]
    store.close()


def test_spans_minutes_and_days_are_of_both(store: Moving) -> None:
    put(store, batch(OHLCV, [bar("BBCA", 0), bar("TLKM", 1)]))
    put(store, batch(OHLCV, [bar("BBCA", 3_000, position=400_000)]))
    drain(store, "idx", "ohlcv", [DAY])
    assert store.span("idx") == {
        "BBCA": (OPEN, OPEN + 3_000 * MINUTE),
        "TLKM": (OPEN + MINUTE, OPEN + MINUTE),
    }
    back = [(store.minute_back("idx", n) - OPEN) // MINUTE for n in (1, 2, 3)]
    assert back == [3_000, 1, 0]
    assert store.minute_back("idx", 4) < 0
    assert store.days("idx", ["ohlcv"]) == [DAY, IDX.calendar.day_of(OPEN + 3_000 * MINUTE)]


# People's SQL


def answer(store: Any, text: str) -> list[list[Any]]:
    rows: list[list[Any]] = store.select(text, LIMITS).rows
    return rows


def filled(data: Path) -> Tiered:
    store: Tiered = opened(data)
    series = [bar("BBCA", m) for m in range(4)] + [bar("BBCA", 2_000)]
    rows = [metric("BBCA", m, hd=float(m)) for m in range(4)] + [metric("BBCA", 2_000, hd=9.0)]
    put(store, batch(OHLCV, series), batch(METRICS, rows), batch(TICKS, [tick("BBCA", 1)]))
    for kind in ("ohlcv", "metrics"):
        drain(store, "idx", kind, [DAY])
    put(store, batch(OHLCV, [bar("BBCA", 1, rev=1, close=-1.0, position=300_000)]))
    return store


QUESTIONS = {
    "select count(*), sum(rev), min(close) from idx_ohlcv": [[6, 1, -1.0]],
    "select count(*) from main.idx_ohlcv": [[6]],
    "select symbol, value from idx_metrics_hd order by ts": [
        *(["BBCA", float(m)] for m in range(4)),
        ["BBCA", 9.0],
    ],
    "select count(*) from idx_metrics_rsi": [[5]],
    "select count(*) from idx_ticks": [[1]],
    "with idx_ohlcv as (select 1 as a) select a from idx_ohlcv": [[1]],
    "with idx_ohlcv as (select * from idx_ohlcv) select count(*) from idx_ohlcv": [[6]],
    "with recursive idx_ohlcv as (select * from idx_ohlcv) select count(*) from idx_ohlcv": [[6]],
    "select count(*) from idx_ohlcv a join IDX_OHLCV b using (ticker, ts, rev)": [[6]],
    f"select count(*) from idx_metrics where ts >= {OPEN + 2 * MINUTE}": [[3]],
    "select count, min from (summarize idx_ohlcv) where column_name = 'close'": [[6, "-1.0"]],
    "select count from (summarize select rev from idx_ohlcv)": [[6]],
    "select column_type from (describe idx_ohlcv) limit 1": [["VARCHAR"]],
    "select count(*) from (show tables) where name like 'idx_ohlcv%'": [[1]],
}


def test_people_ask_both_tiers(tmp_path: Path) -> None:
    store = filled(tmp_path)
    for text, rows in QUESTIONS.items():
        assert answer(store, text) == rows, text
    for text, code in (
        (f"select * from read_parquet('{tmp_path}/cold/**/*.parquet')", "not_allowed"),
        (f"select * from '{tmp_path}/cold/idx_ohlcv/x.parquet'", "unknown_table"),
        (f"copy (select 1) to '{tmp_path}/cold/x.parquet'", "not_select"),
        ("select closed from idx_ohlcv", "bad_query"),
    ):
        with pytest.raises(Refuse) as refused:
            answer(store, text)
        assert refused.value.code == code, text
    store.close()


def test_people_ask_both_tiers_whoever_holds_the_folder(tmp_path: Path) -> None:
    def asked(text: str) -> list[list[Any]]:
        return question.query(tmp_path, tmp_path / "hot.duckdb", text, LIMITS).rows

    with DataFolder(tmp_path) as folder:
        store = filled(tmp_path)
        folder.serve(question.handlers(store))
        for text, rows in QUESTIONS.items():
            assert asked(text) == rows, text
        store.close()
    for text, rows in QUESTIONS.items():
        assert asked(text) == rows, text


@pytest.mark.parametrize("step", range(3))
def test_a_day_goes_cold_during_a_persons_question(
    store: Moving, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, batch(TICKS, ticks_of(0, 1, 5, 1) + ticks_of(1, 6, 5, 2)))
    todo = steps(store, "idx", "ticks", DAY)
    views, asked = store._sides.views, 0

    def moving(venues: Any, names: Any, within: str) -> dict[str, str]:
        nonlocal asked
        found = views(venues, names, within)
        asked += 1
        if asked == step + 1:
            for one in todo:
                one()
        return found

    monkeypatch.setattr(store._sides, "views", moving)
    assert answer(store, "select count(*), count(distinct trade_no) from idx_ticks") == [[10, 10]]
    assert answer(store, "select count(*) from idx_ticks") == [[10]]


@pytest.mark.parametrize("kind", [TICKS, OHLCV, METRICS])
def test_late_rows_of_many_days(store: Moving, kind: Kind) -> None:
    """Days on every side of the floor; drained in any order, the same rows."""
    make: Callable[[int, int], Row] = {
        "ticks": lambda n, p: tick("BBCA", n, ts=OPEN + n * DAY_NS, position=p),
        "ohlcv": lambda n, p: bar("BBCA", n * 1_440, position=p),
        "metrics": lambda n, p: metric("BBCA", n * 1_440, position=p),
    }[kind.name]
    wanted: list[Row] = []

    def write(days: range, position: int) -> Batch:
        rows = [make(n, position) for n in days]
        wanted.extend(rows)
        made = batch(kind, rows)
        put(store, made)
        return made

    def check() -> None:
        found = rows_of(store.revisions("idx", kind.name, *ALL)) if kind is not TICKS else []
        found = found or read(store)
        assert sorted(found, key=lambda row: row["ts"]) == sorted(wanted, key=lambda row: row["ts"])

    def of(n: int) -> date:
        return IDX.calendar.day_of(OPEN + n * DAY_NS)

    write(range(5, 9), 1)
    drain(store, "idx", kind.name, [of(5), of(6)])
    check()
    write(range(0, 3), 2)
    check()
    assert store.hot.stray_days("idx", kind.name) == [of(n) for n in range(3)]
    drain(store, "idx", kind.name, [of(8)])  # before 7 was: that one turns into a stray
    assert store.hot.stray_days("idx", kind.name) == [of(n) for n in (0, 1, 2, 7)]
    check()
    drain(store, "idx", kind.name, [of(1), of(7)])
    check()
    write(range(3, 5), 3)
    write(range(9, 12), 4)
    drain(store, "idx", kind.name)
    assert store.hot.stray_days("idx", kind.name) == []
    assert DAY + timedelta(days=11) == store.cold.all("idx", kind.name)[-1].day
    check()
