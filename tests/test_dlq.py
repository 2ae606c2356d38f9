"""`bursa dlq`, on a folder that nobody holds and on one that bursa runs on."""

import json
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from bursa.cli import app
from bursa.model.errors import Refuse
from bursa.model.schema import TICKS
from bursa.pipeline.dlq import Desk
from bursa.pipeline.letters import letters
from bursa.state.sqlite import STATE_FILE, StateDb
from bursa.store.duckdb import DuckStore
from tests.faults.process import Bursa, configure
from tests.store.contract import KINDS, VENUES, batch, put, tick


def bursa(data: Path, *verb: str) -> tuple[int, str]:
    """A verb's exit code and what it said; raises what it refuses."""
    found = CliRunner().invoke(app, ["dlq", *verb, "--data", str(data)])
    if isinstance(found.exception, Refuse):
        raise found.exception
    return found.exit_code, found.output


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A store of trades 1 to 9 without 3 and 4, and letters of those and of 20."""
    folder = tmp_path / "data"
    (folder / "journal" / "idx").mkdir(parents=True)
    store = DuckStore(folder / "hot.duckdb", VENUES[:1], KINDS)
    put(store, batch(TICKS, [tick("BBCA", n) for n in range(1, 10) if n not in (3, 4)]))
    store.close()
    state = StateDb(folder / STATE_FILE)
    rows = batch(TICKS, [tick("BBCA", n, aggressor=None) for n in (3, 4, 20)])
    state.letters.add(letters(rows, {0: "NOT NULL", 1: "NOT NULL", 2: "NOT NULL"}, 10**18))
    state.close()
    return folder


def trades(data: Path) -> list[int]:
    with duckdb.connect(str(data / "hot.duckdb"), read_only=True) as connection:
        found = connection.execute("select trade_no from idx_ticks order by 1").fetchall()
    return [number for (number,) in found]


def test_listed_shown_tried_again_and_dropped(data: Path) -> None:
    code, said = bursa(data, "ls", "--format", "json")
    rows = json.loads(said)
    assert code == 0 and [row["number"] for row in rows] == [1, 2, 3]
    assert rows[0]["symbol"] == "BBCA" and rows[0]["why"] == "NOT NULL"
    assert rows[0]["refused"] == "2001-09-09T01:46:40Z" and rows[0]["position"] == 3
    assert bursa(data, "ls", "--kind", "quotes") == (0, "there are no such dead letters\n")
    code, said = bursa(data, "show", "1")
    assert code == 0 and "aggressor" in said and "null" in said and "NOT NULL" in said
    code, said = bursa(data, "replay", "--all", "--dry-run")
    assert "would be stored" in said and "nothing was changed" in said and code == 1
    assert trades(data) == [1, 2, 5, 6, 7, 8, 9]
    code, said = bursa(data, "replay", "--all")
    assert code == 1 and "2 stored" in said and "1 ahead" in said, said
    assert trades(data) == list(range(1, 10))
    assert bursa(data, "drop", "3") == (0, "1 dropped: the store goes without these rows\n")
    assert json.loads(bursa(data, "ls", "--format", "json")[1]) == []
    assert bursa(data, "replay", "--all") == (0, "nothing to replay\n")


def test_more_numbers_than_one_question_takes_are_all_done(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("pipeline", "verbs"):
        monkeypatch.setattr(f"bursa.{module}.dlq.AT_ONCE", 1)
    code, said = bursa(data, "replay", "1", "2", "1")
    assert code == 0 and said.endswith("2 stored\n"), said
    assert trades(data) == list(range(1, 10))
    state = StateDb(data / STATE_FILE)
    rows = batch(TICKS, [tick("BBCA", n, aggressor=None) for n in (21, 22)])
    state.letters.add(letters(rows, {0: "NOT NULL", 1: "NOT NULL"}, 10**18))
    numbers = [str(one.number) for one in state.letters.ls()]
    asked = {"do": "drop", "venue": "", "kind": "", "after": 0}
    with pytest.raises(Refuse, match="2 numbers; allowed: 1 in one question"):
        Desk(lambda: state.letters, pytest.fail, {}, []).answer(asked | {"numbers": [1, 2]})
    state.close()
    found = CliRunner().invoke(app, ["dlq", "drop", *numbers[:2], "77", "--data", str(data)])
    assert "no dead letter of that number" in str(found.exception)
    assert found.output == "2 dropped: the store goes without these rows\n"
    assert bursa(data, "drop", *numbers[2:])[0] == 0
    assert json.loads(bursa(data, "ls", "--format", "json")[1]) == []


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        (["replay"], "which?"),
        (["drop", "1", "--all"], "which?"),
        (["drop", "1", "--venue", "idx"], "go with --all"),
        (["replay", "77"], "no dead letter of that number"),
        (["show", "77"], "no dead letter of that number"),
        (["ls", "--kind", "tocks"], "allowed: ticks, "),
        (["ls", "--venue", "nowhere"], "allowed: idx, "),
        (["ls", "--limit", "0"], "allowed: 1 to"),
        (["ls", "--format", "xml"], "allowed: table"),
    ],
)
def test_what_makes_no_sense_is_refused(data: Path, verb: list[str], said: str) -> None:
    with pytest.raises(Refuse) as refused:
        bursa(data, *verb)
    assert said in str(refused.value)


def test_without_a_folder_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(Refuse, match="no data folder"):
        bursa(tmp_path / "none", "ls")
    assert not (tmp_path / "none").exists()


def test_while_bursa_runs_its_process_does_it(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    config = configure(tmp_path / "c.toml")
    (folder / "journal" / "idx").mkdir(parents=True)
    state = StateDb(folder / STATE_FILE)
    row = batch(TICKS, [tick("BBCA", 3, aggressor=None, position=0)])
    state.letters.add(letters(row, {0: "NOT NULL"}, 10**18))
    state.close()
    process = Bursa(folder, ["up", "--config", str(config)])
    try:
        process.url()
        process.recovered()
        code, said = bursa(folder, "ls", "--format", "json")
        assert code == 0 and [row["number"] for row in json.loads(said)] == [1]
        code, said = bursa(folder, "replay", "1")
        assert "1 stored" in said or "1 ahead" in said, said
        code, said = bursa(folder, "drop", "--all")
        assert code == 0 and json.loads(bursa(folder, "ls", "--format", "json")[1]) == []
        assert process.terminate() == 0
    finally:
        process.end()
