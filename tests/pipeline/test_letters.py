"""Rows that a healthy store refuses: found by halves, kept as letters, read back as they were, and
what a person may do with them.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursa.model.batch import Batch
from bursa.model.errors import Refuse, Reject
from bursa.model.schema import CONTRACTS, OHLCV, ORDERBOOK, STATUS, TICKS, Kind
from bursa.pipeline import letters
from bursa.pipeline.dlq import AHEAD, KNOWN, REFUSED, REPLACED, STORED, Desk
from bursa.ports import Committed
from bursa.store.rows import Dictionary
from tests.fakes.state import FakeLetters
from tests.fakes.store import FakeStore, Row, rows_of
from tests.pipeline import running
from tests.store.contract import ALL, KINDS, OPEN, VENUES, bar, batch, put, tick
from tests.store.test_readmit import book, contract

DAY = (OPEN - 10**9, OPEN + 10**12)


def status(nth: int) -> Row:
    return {
        "channel": "idxdata", "ts": OPEN + nth, "state": "gap", "seq_from": nth, "seq_to": None,
        "ts_from": None, "cause": "jump", "next_seq": nth, "ts_recv": OPEN, "position": nth,
    }  # fmt: skip


MADE: list[tuple[Kind, list[Row]]] = [
    (TICKS, [tick("BBCA", 1), tick("TLKM", 2, aggressor=None, volume=2.0**53)]),
    (OHLCV, [bar("BBCA", 1), bar("GOTO", 2, vwap=None)]),
    (ORDERBOOK, [book(1), book(2, "ask", ()), book(3, "ask", (1.5, 2.5, 3.5))]),
    (CONTRACTS, [contract(100, 7), contract(50, 8)]),
    (STATUS, [status(4), status(5)]),
]


@pytest.mark.parametrize(("kind", "rows"), MADE, ids=[kind.name for kind, _ in MADE])
def test_a_letter_gives_its_row_back(kind: Kind, rows: list[Row]) -> None:
    made = letters.letters(batch(kind, rows), {at: "no" for at in range(len(rows))}, 99)
    assert len({one.key for one in made}) == len(rows)
    venue = VENUES[0]
    found = letters.rows(made, kind, Dictionary(venue.words()))
    assert rows_of(found) == rows_of(batch(kind, rows))
    for one, row in zip(made, rows, strict=True):
        assert one.position == row["position"] and one.ts == row["ts"]
        assert one.symbol == row.get("ticker", row.get("channel"))
        assert one.at_ns == 99 and len(one.row) < 8000
        said = letters.values(one)
        assert {name: value for name, value in said.items() if value is not None} == {
            name: value for name, value in row.items() if value is not None and name in said
        }


def test_a_letters_key_is_its_row_whatever_it_came_with() -> None:
    rows = [tick("BBCA", 1), tick("TLKM", 2)]
    alone = letters.letters(batch(TICKS, [rows[1]]), {0: "a"}, 5)
    among = letters.letters(batch(TICKS, rows), {1: "b"}, 6)
    assert alone[0].key == among[0].key
    other = letters.letters(batch(TICKS, [tick("TLKM", 2, position=3)]), {0: "a"}, 5)
    assert other[0].key != alone[0].key
    twice = letters.letters(batch(TICKS, [rows[0], rows[0]]), {0: "a", 1: "a"}, 5)
    assert twice[0].key != twice[1].key, "two rows alike in all are two"


def test_a_letter_of_an_older_schema_is_completed_or_refused() -> None:
    older = replace(TICKS, columns=tuple(c for c in TICKS.columns if c.name != "aggressor"))
    full = batch(TICKS, [tick("BBCA", 1)])
    at = TICKS.index["aggressor"]
    block = np.delete(full.block, at, axis=0)
    one = letters.letters(Batch(older, block, full.words, full.span), {0: "no"}, 1)
    dictionary = Dictionary(VENUES[0].words())
    [row] = rows_of(letters.rows(one, TICKS, dictionary))
    assert row == tick("BBCA", 1, aggressor=None)
    needed = replace(TICKS, columns=tuple(c for c in TICKS.columns if c.name != "volume"))
    block = np.delete(full.block, TICKS.index["volume"], axis=0)
    one = letters.letters(Batch(needed, block, full.words, full.span), {0: "no"}, 1)
    with pytest.raises(Refuse, match="no volume"):
        letters.rows(one, TICKS, dictionary)


@given(st.integers(0, 200), st.data())
def test_sift_finds_the_refused_by_halves(count: int, data: st.DataObject) -> None:
    bad = data.draw(st.sets(st.integers(1, max(count, 1)), max_size=5)) if count else set()
    asked = 0
    whole = Batch(TICKS, np.zeros((len(TICKS.columns), count), np.int64), running.words(), SPAN)
    whole.column("trade_no")[:] = np.arange(1, count + 1)

    def refuses(part: Batch) -> str:
        nonlocal asked
        asked += 1
        return "bad" if bad & set(part.column("trade_no").tolist()) else ""

    found = letters.sift(whole, refuses)
    assert {at + 1 for at in found} == {n for n in bad if n <= count}
    assert asked <= 1 + 2 * len(found) * (1 + int(np.ceil(np.log2(max(count, 2)))))


SPAN = batch(TICKS, [tick("BBCA", 1)]).span


def test_a_store_that_refuses_row_after_row_is_not_fed_letters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(letters, "REFUSED_MAX", 10)
    whole = batch(TICKS, [tick("BBCA", n) for n in range(1, 40)])
    with pytest.raises(Reject, match="row after row"):
        letters.sift(whole, lambda part: "no")


class TestDesk:
    """What a person may do with them."""

    @pytest.fixture
    def store(self) -> Iterator[FakeStore]:
        store = FakeStore(VENUES, KINDS)
        put(store, batch(TICKS, [tick("BBCA", n) for n in (1, 2)]))
        store.write([], {"idx.ticks": Committed(10, 1)})
        store.refuse = lambda kind, row: "even" if row["position"] % 2 == 0 else ""
        yield store

    @pytest.fixture
    def kept(self) -> FakeLetters:
        kept = FakeLetters()
        rows = [tick("BBCA", n) for n in (3, 4, 5, 11)]
        kept.add(letters.letters(batch(TICKS, rows), dict.fromkeys(range(4), "once"), 7))
        kept.add(letters.letters(batch(OHLCV, [bar("GOTO", 1)]), {0: "once"}, 7))
        return kept

    @pytest.fixture
    def desk(self, store: FakeStore, kept: FakeLetters) -> Desk:
        return Desk(lambda: kept, lambda: store, {"idx": VENUES[0]}, KINDS)

    ALL = {"numbers": [], "venue": "", "kind": "ticks", "after": 0, "dry_run": False}

    def test_listed_and_shown(self, desk: Desk) -> None:
        found = desk.answer({"do": "ls", "limit": 2, **self.ALL})
        assert found["counts"] == [["idx", "ticks", 4]] and found["left"]
        assert [row[0] for row in found["rows"]] == [1, 2]
        shown = desk.answer({"do": "show", "number": 5})
        assert shown["letter"]["kind"] == "ohlcv" and shown["row"]["ticker"] == "GOTO"
        with pytest.raises(Refuse, match="no dead letter of that number"):
            desk.answer({"do": "show", "number": 9})

    def test_replayed_where_they_belong(
        self, desk: Desk, store: FakeStore, kept: FakeLetters
    ) -> None:
        dry = desk.answer({"do": "replay", **self.ALL, "dry_run": True})
        assert len(kept.ls()) == 5 and len(store.ticks("idx", "BBCA", *DAY)) == 2
        found = desk.answer({"do": "replay", **self.ALL})
        assert sorted(found["rows"]) == sorted(dry["rows"])
        outcomes = {row[0]: row[4] for row in found["rows"]}
        assert outcomes == {1: STORED, 2: REFUSED, 3: STORED, 4: AHEAD}
        assert [one.number for one in kept.ls("idx", "ticks")] == [2, 4]
        assert kept.show(2) is not None and kept.show(2).tries == 2  # type: ignore[union-attr]
        stored = [row["trade_no"] for row in rows_of(store.ticks("idx", "BBCA", *ALL))]
        assert sorted(stored) == [1, 2, 3, 5]
        assert store.positions()["idx.ticks"] == Committed(10, 1)

    def test_a_row_that_came_otherwise_is_not_doubled(
        self, desk: Desk, store: FakeStore, kept: FakeLetters
    ) -> None:
        store.readmit(batch(TICKS, [tick("BBCA", 3)]))
        found = desk.answer({"do": "replay", **self.ALL, "numbers": [1]})
        assert found["rows"][0][4] == KNOWN
        assert len(store.ticks("idx", "BBCA", *ALL)) == 3 and kept.show(1) is None

    def test_a_bar_that_was_made_otherwise_meanwhile_keeps_its_place(self) -> None:
        """Made of trades where it lacked, say: of one revision there is one row."""
        store, kept = FakeStore(VENUES, KINDS), FakeLetters()
        kept.add(letters.letters(batch(OHLCV, [bar("BBCA", 1), bar("BBCA", 2)]), {0: "", 1: ""}, 7))
        made = bar("BBCA", 1, close=7.0, position=900)
        put(store, batch(OHLCV, [made]))
        desk = Desk(lambda: kept, lambda: store, {"idx": VENUES[0]}, KINDS)
        every = {"do": "replay", "numbers": [], "venue": "", "kind": "", "after": 0}
        for dry_run in (True, False):
            found = desk.answer({**every, "dry_run": dry_run})
            assert [(row[0], row[4]) for row in found["rows"]] == [(1, REFUSED), (2, STORED)]
        assert rows_of(store.bars("idx", "BBCA", *ALL)) == [made, bar("BBCA", 2)]
        [left] = kept.ls()
        assert (left.number, left.why) == (1, REPLACED)

    def test_dropped(self, desk: Desk, kept: FakeLetters) -> None:
        assert desk.answer({"do": "drop", **self.ALL, "numbers": [2]})["dropped"] == 1
        assert desk.answer({"do": "drop", **self.ALL})["dropped"] == 3
        assert [one.kind for one in kept.ls()] == ["ohlcv"]

    def test_a_kind_that_is_not_known_any_more_stays(self, store: FakeStore) -> None:
        kept = FakeLetters()
        one = letters.letters(batch(TICKS, [tick("BBCA", 3)]), {0: "no"}, 7)[0]
        kept.add([replace(one, kind="gone"), replace(one, key="b", venue="nowhere")])
        desk = Desk(lambda: kept, lambda: store, {"idx": VENUES[0]}, KINDS)
        found = desk.answer({"do": "replay", **self.ALL, "kind": ""})
        assert [row[4] for row in found["rows"]] == [REFUSED, REFUSED]
        assert all("not known here" in row[5] for row in found["rows"]) and len(kept.ls()) == 2
