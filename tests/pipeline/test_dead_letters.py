"""A venue whose store refuses some rows: they become dead letters, all else goes on; tried again
when the store takes them, the tables are what the journal gives.
"""

from dataclasses import replace
from pathlib import Path
from random import Random

import duckdb
import pytest

from bursa.model.venue import IDX
from bursa.pipeline.dlq import REPLAY, STORED, Desk
from bursa.pipeline.line import kinds
from bursa.state.sqlite import STATE_FILE, StateDb
from tests.pipeline import market, rows, running

SCRIPT = market.channels(minutes=3, share=0.0)


def demand(data: Path, how: str) -> None:
    """Have the store take no trade without an aggressor and no row without RSI, or again."""
    with duckdb.connect(str(data / "hot.duckdb")) as connection:
        for table, column in (("idx_ticks", "aggressor"), ("idx_metrics", "rsi_14")):
            connection.execute(f"alter table {table} alter {column} {how} not null")


def test_refused_rows_become_letters_and_come_back(tmp_path: Path) -> None:
    running.open_store(tmp_path).close()
    demand(tmp_path, "set")
    state, store = StateDb(tmp_path / STATE_FILE), running.open_store(tmp_path)
    venue = running.runtime(tmp_path, store, running.knobs())
    venue.parts = replace(venue.parts, state=state)
    feed = running.Script(SCRIPT, Random(1), 20)
    venue.start([feed])
    running.until(feed.told.is_set, "the feed's end")
    assert venue.stop(running.RUN_S)
    venue.check()
    store.close()
    found = running.stored(tmp_path / "hot.duckdb")
    wanted = running.rebuilt(tmp_path / "journal" / "idx")
    dead = {kind: count for (_, kind), count in state.letters.counts().items()}
    sent = {kind: len(table) for kind, table in wanted.items()}
    print(f"sent {sent}, stored { ({k: len(t) for k, t in found.items()}) }, dead-lettered {dead}")
    assert dead["ticks"] > 3 and dead["metrics"] > 0 and set(dead) == {"ticks", "metrics"}
    for kind, table in found.items():
        assert len(table) + dead.get(kind, 0) == sent[kind], kind
    counter = venue.parts.telemetry.dead_letters.labels("idx", "ticks")
    assert counter._value.get() == dead["ticks"]

    demand(tmp_path, "drop")
    store = running.open_store(tmp_path)
    desk = Desk(lambda: state.letters, lambda: store, {"idx": IDX}, kinds())
    asked = {"do": REPLAY, "numbers": [], "venue": "", "kind": "", "after": 0, "dry_run": False}
    answer = desk.answer(asked)
    assert {row[4] for row in answer["rows"]} == {STORED}
    assert len(answer["rows"]) == sum(dead.values()) and not state.letters.counts()
    assert desk.answer(asked)["rows"] == []
    store.close()
    state.close()
    again = running.stored(tmp_path / "hot.duckdb")
    assert rows.hashes(again) == rows.hashes(wanted)


def test_without_a_state_database_refused_rows_stop_the_venue(tmp_path: Path) -> None:
    running.open_store(tmp_path).close()
    demand(tmp_path, "set")
    store = running.open_store(tmp_path)
    venue = running.runtime(tmp_path, store, running.knobs())
    venue.start([running.Script(SCRIPT, Random(1), 20)])
    running.until(lambda: venue.writer is not None and venue.writer.failure is not None, "the end")
    with pytest.raises(Exception, match="NOT NULL"):
        venue.check()
    assert not venue.stop(running.RUN_S)
    store.close()
