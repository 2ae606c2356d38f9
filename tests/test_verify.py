"""`bursa verify`: a day that is as the journal says is equal; what is changed by hand is found and
named, kind by kind.
"""

import io
import json
import shutil
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest
from rich.console import Console

from bursa import config
from bursa.app import fresh_line
from bursa.config import Config
from bursa.jobs import recompute
from bursa.journal import checkpoint
from bursa.journal.read import JournalReader
from bursa.model.errors import Refuse
from bursa.model.venue import IDX
from bursa.ops import logs
from bursa.store import question
from bursa.store.folder import STORE_FILE, DataFolder
from bursa.verbs import verify as module
from bursa.verbs.verify import COMPARED, run_verify
from tests.pipeline import market, running

SCRIPT = market.channels(minutes=4, share=0.2)
DAY = market.DAYS[-1]
# Kinds of which this market has rows; quotes it has none.
PRESENT = tuple(kind for kind in COMPARED if kind != "quotes")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that two days were fed to, and closed."""
    data = tmp_path_factory.mktemp("made") / "data"
    running.warm()
    store = running.open_store(data)
    venue = running.runtime(data, store, running.knobs())
    feed = running.Script(SCRIPT, Random(1), 20)
    venue.start([feed])
    running.until(feed.told.is_set, "the feed's end")
    assert venue.stop(running.RUN_S)
    store.close()
    return data


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(made, tmp_path / "data")
    return tmp_path / "data"


def configured(data: Path, **flags: Any) -> Config:
    given = {name.replace("__", "."): value for name, value in flags.items()}
    return config.load({"data": str(data)} | given, {}).config


def verify(
    data: Path, day: date = DAY, only: tuple[str, ...] = (), **flags: Any
) -> tuple[int, dict[str, Any]]:
    """Its exit code, and what it tells as JSON."""
    quiet = Console(file=io.StringIO())
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", out)
        code = run_verify(
            configured(data, **flags),
            day.isoformat(),
            "idx",
            only,
            as_json=True,
            say=quiet,
            warn=quiet,
        )
    return code, json.loads(out.getvalue())


def told(data: Path, day: date = DAY, **flags: Any) -> tuple[int, str]:
    """The same as a person sees it."""
    out, quiet = Console(file=io.StringIO(), width=400), Console(file=io.StringIO())
    code = run_verify(
        configured(data, **flags), day.isoformat(), "", (), as_json=False, say=out, warn=quiet
    )
    assert isinstance(out.file, io.StringIO)
    return code, out.file.getvalue()


def verify_told(data: Path) -> tuple[int, dict[str, Any], str]:
    """As `verify`, and what a person is told of the same comparison."""
    person = Console(file=io.StringIO(), width=400)
    as_json = module._tell_json

    def both(what: Any, verdicts: Any, differing: Any, damaged: Any) -> None:
        as_json(what, verdicts, differing, damaged)
        module._tell(what, verdicts, differing, damaged, person)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_tell_json", both)
        code, said = verify(data)
    assert isinstance(person.file, io.StringIO)
    return code, said, person.file.getvalue()


def by_hand(data: Path, *statements: str) -> None:
    with duckdb.connect(str(data / STORE_FILE)) as connection:
        for statement in statements:
            connection.execute(statement)


def within(day: date) -> str:
    low, high = (IDX.calendar.midnight_ns(d) for d in (day, day + timedelta(days=1)))
    return f"ts >= {low} and ts < {high}"


@pytest.mark.parametrize("day", market.DAYS)
def test_a_day_as_the_journal_says_is_equal(data: Path, day: date) -> None:
    code, said = verify(data, day)
    assert (code, said["ok"], said["damaged"]) == (0, True, [])
    kinds = {kind["kind"]: kind for kind in said["kinds"]}
    assert set(kinds) == set(COMPARED)
    with duckdb.connect(str(data / STORE_FILE), read_only=True) as connection:
        for name, kind in kinds.items():
            text = f"select count(*) from idx_{name} where {within(day)}"
            assert connection.execute(text).fetchone() == (kind["stored"]["rows"],)
            assert kind["recomputed"] == kind["stored"]
    assert [name for name in COMPARED if kinds[name]["stored"]["rows"]] == list(PRESENT)


def test_without_a_checkpoint_it_begins_at_the_journals_beginning(data: Path) -> None:
    folder, reader = data / "checkpoints" / "idx", JournalReader(data / "journal" / "idx")
    start = IDX.calendar.midnight_ns(DAY)
    line, near = recompute.line_before(partial(fresh_line, IDX, None), reader, folder, start)
    assert 0 < near and max(line.watermarks()) < start
    later = [c.position for c in checkpoint.listing(folder) if c.position > near]
    assert later, "checkpoints of the day itself are no beginning"
    _, said = verify(data)
    for found in checkpoint.listing(folder):
        found.path.unlink()
    assert recompute.line_before(partial(fresh_line, IDX, None), reader, folder, start)[1] == 0
    code, again = verify(data)
    assert (code, again["kinds"]) == (0, said["kinds"])


CHANGES = {
    "changed": "update {table} set ts_recv = ts_recv + 1 where {one}",
    "deleted": "delete from {table} where {one}",
    "added": "insert into {table} select * replace (ts + 1 as ts) from {table} where {one}",
    "twice": "insert into {table} select * from {table} where {one}",
    # Past all that is committed: no bursa wrote that.
    "ahead": "insert into {table} select * replace (position + 1000000000000 as position)"
    " from {table} where {one}",
}


@pytest.mark.parametrize("how", CHANGES)
def test_a_row_that_is_not_as_the_journal_says_is_found_and_named(data: Path, how: str) -> None:
    positions = {}
    for kind in PRESENT:
        table = f"idx_{kind}"
        one = f"rowid = (select min(rowid) from {table} where {within(DAY)})"
        with duckdb.connect(str(data / STORE_FILE)) as connection:
            text = f"select position from {table} where {one}"
            [[positions[kind]]] = connection.execute(text).fetchall()
            connection.execute(CHANGES[how].format(table=table, one=one))
    code, said, text = verify_told(data)
    assert (code, said["ok"]) == (1, False)
    assert [kind["kind"] for kind in said["kinds"] if kind["equal"]] == ["quotes"]
    for kind, position in positions.items():
        shown = said["differences"][kind]
        assert (shown["differ"], len(shown["rows"])) == (1, 1)
        [row] = shown["rows"]
        sides = {"changed": (True, True), "deleted": (False, True)}.get(how, (True, False))
        assert (row["stored"] is not None, row["recomputed"] is not None) == sides
        ahead = 1_000_000_000_000 * (how == "ahead")
        assert (row["stored"] or row["recomputed"])["position"] == position + ahead
        if how == "changed":
            assert row["stored"].pop("ts_recv") == row["recomputed"].pop("ts_recv") + 1
            assert row["stored"] == row["recomputed"]
    word = {"changed": "is stored", "deleted": "not in the store"}.get(how, "only in the store")
    assert text.count(word) == len(PRESENT) and "1 equal, 7 different" in text


@pytest.mark.parametrize("kind", ["quotes", "metrics", "status"])
def test_a_kind_that_differs_alone_is_alone_told(data: Path, kind: str) -> None:
    low = IDX.calendar.day_open_ns(DAY)
    added = f"insert into idx_quotes (ticker, ts, seq, position) values ('BBCA', {low}, 1, 99)"
    deleted = f"delete from idx_{kind} where {within(DAY)}"
    by_hand(data, added if kind == "quotes" else deleted)
    code, said = verify(data, only=(kind, "ohlcv"))
    assert code == 1
    assert [k["kind"] for k in said["kinds"] if not k["equal"]] == [kind]
    assert list(said["differences"]) == [kind] and said["differences"][kind]["rows"]


def test_kinds_that_a_cap_dropped_are_said_and_the_rest_is_compared(data: Path) -> None:
    first = market.DAYS[0]
    by_hand(
        data, *(f"delete from idx_{kind} where {within(first)}" for kind in ("ticks", "orderbook"))
    )
    flags: dict[str, Any] = {"retention__disk_gb": 50.0}
    code, said = verify(data, first, **flags)
    dropped = [kind["kind"] for kind in said["kinds"] if kind["dropped"]]
    assert (code, said["ok"], dropped) == (0, True, ["ticks", "orderbook"])
    assert all(kind["equal"] != kind["dropped"] for kind in said["kinds"])
    assert not said["differences"] and not any(kind["since"] for kind in said["kinds"])
    code, text = told(data, first, **flags)
    assert code == 0 and "6 equal, 0 different, 2 dropped" in text
    # Where there is no cap, nothing may have gone: days past their time lie cold.
    code, said = verify(data, first, retention__ticks_days=1)
    assert code == 1 and not any(kind["dropped"] for kind in said["kinds"])
    # What is there of the others must be equal all the same.
    by_hand(data, f"update idx_index set ts_recv = ts_recv + 1 where {within(first)}")
    code, said = verify(data, first, **flags)
    assert code == 1 and list(said["differences"]) == ["index"]


def test_of_a_kind_that_a_cap_dropped_in_part_the_rest_is_compared(data: Path) -> None:
    first = market.DAYS[0]
    with duckdb.connect(str(data / STORE_FILE)) as connection:
        text = f"select ts, count(*) from idx_ticks where {within(first)} group by ts order by ts"
        times = connection.execute(text).fetchall()
    middle, _ = times[len(times) // 2]
    kept = sum(count for ts, count in times if ts >= middle)
    by_hand(data, f"delete from idx_ticks where ts < {middle}")
    code, said = verify(data, first, ("ticks", "ohlcv"), retention__disk_gb=50.0)
    ticks = said["kinds"][0]
    assert (code, ticks["equal"], ticks["since"]) == (0, True, middle)
    assert ticks["recomputed"] == ticks["stored"] and ticks["stored"]["rows"] == kept
    code, text = told(data, first, retention__disk_gb=50.0)
    assert code == 0 and "yes, from 20" in text
    code, said = verify(data, first, ("ticks",))
    assert code == 1 and said["kinds"][0]["since"] is None
    by_hand(
        data, f"update idx_ticks set ts_recv = ts_recv + 1 where ts > {middle} and {within(first)}"
    )
    code, said = verify(data, first, ("ticks",), retention__disk_gb=50.0)
    assert code == 1 and said["kinds"][0]["since"] == middle
    rows = said["differences"]["ticks"]["rows"]
    assert all(row["stored"] is not None and row["stored"]["ts"] > middle for row in rows)


def test_only_what_is_committed_is_compared_while_a_bursa_runs(tmp_path: Path) -> None:
    data = tmp_path / "data"
    running.warm()
    logs.setup("info", "json")  # threads of the venue log while what the verb says is caught
    with DataFolder(data) as folder:
        store = running.open_store(data)
        folder.serve(question.handlers(store))
        venue = running.runtime(data, store, running.knobs())
        feed = running.Script(SCRIPT, Random(3), 5)
        venue.start([feed])
        compared = set()
        while not feed.told.is_set():
            try:
                code, said = verify(data, only=("ticks", "ohlcv"))
            except Refuse as refused:
                assert refused.code == "no_data"
                continue
            assert code == 0, said
            compared.add(said["position"])
        code, said = verify(data)
        assert code == 0, said
        assert venue.stop(running.RUN_S)
        store.close()


def test_what_cannot_be_verified_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(Refuse, match="date such as"):
        run_verify(
            configured(data), "21.11.2025", "", (), as_json=True, say=Console(), warn=Console()
        )
    with pytest.raises(Refuse, match="--kind: contracts; allowed: ticks"):
        verify(data, only=("contracts",))
    with pytest.raises(Refuse, match="neither journal nor store"):
        verify(data, date(2024, 1, 2))
    with pytest.raises(Refuse, match="no journal of idx"):
        verify(tmp_path / "empty")
    with pytest.raises(Refuse, match="allowed: idx, "):
        run_verify(
            configured(data), "2025-11-21", "nyse", (), as_json=True, say=Console(), warn=Console()
        )
