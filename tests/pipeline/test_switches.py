"""Switches of kinds turn at a record of the journal: the same rows whatever cuts and restarts."""

import re
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bursa.journal.read import JournalReader
from bursa.journal.record import Control, setting
from bursa.model.batch import Batch
from bursa.model.errors import Refuse, Retry
from bursa.model.venue import IDX
from bursa.pipeline import control
from bursa.pipeline.switches import (
    SWITCHED,
    UNSAID,
    WHOLE,
    WORD,
    Setting,
    Switches,
    checked,
    settings_of,
)
from bursa.wire.idx.decoder import IdxDecoder
from tests.pipeline import market, rows, running
from tests.pipeline.running import until
from tests.pipeline.test_line import KEEP, Gathered, restarted, written

SCRIPT = market.channels(minutes=2, share=0.0)
CONFIGURED = {"orderbook.store": "1s", "orderbook.publish": "on"}


def turned(**values: str) -> Control:
    """`orderbook_store="off"` as the record of a person's order."""
    said = {
        key.replace("_", "."): {"value": value, "configured": "all", "by": "set"}
        for key, value in values.items()
    }
    return setting({WORD: said})


@st.composite
def turns(draw: st.DrawFn) -> list[Control]:
    """Some orders, of one or two switches each."""
    found = []
    for _ in range(draw(st.integers(1, 8))):
        kinds = draw(st.lists(st.sampled_from(sorted(SWITCHED)), min_size=1, max_size=2))
        values = {}
        for kind in kinds:
            if draw(st.booleans()):
                values[f"{kind}_publish"] = draw(st.sampled_from(["on", "off"]))
            else:
                every = [] if kind in WHOLE else ["1s", "7s", "60s"]
                values[f"{kind}_store"] = draw(st.sampled_from(["all", "off", *every]))
        found.append(turned(**values))
    return found


def oracle(folder: Path) -> dict[str, rows.Rows]:
    """What is live and what is stored, of kinds that are never sampled here, in plain Python: each
    row that is decoded is looked up by its position."""
    decoder = IdxDecoder(IDX, running.words())
    said: list[Setting] = []
    batches: list[Batch] = []
    for chunk in JournalReader(folder).chunks(0):
        said += settings_of(chunk)
        batches += decoder.push(chunk).batches.values()
    found: dict[str, list[Any]] = {}
    for what, word, off in (("live", "publish", "off"), ("stored", "store", "off")):
        for batch in batches:
            key = f"{batch.kind.name}.{word}"
            stands = np.array(
                [
                    next(
                        (
                            s.values[WORD][key]["value"]
                            for s in reversed(said)
                            if key in s.values[WORD] and s.position < position
                        ),
                        "",
                    )
                    for position in batch.column("position").tolist()
                ]
            )
            name = f"{what} {batch.kind.name}"
            found.setdefault(name, []).append(rows.of_batch(batch)[stands != off])
    return {name: np.concatenate(parts) for name, parts in found.items()}


# Shrinking a seed leads nowhere, and takes minutes.
@settings(max_examples=6, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    seed=st.integers(0, 2**32),
    said=turns(),
    bytes_max=st.lists(st.sampled_from([300, 5_000, 60_000, 1 << 22]), min_size=1, max_size=3),
    restarts=st.integers(0, 5),
)
def test_switches_turn_at_the_same_row_whatever_the_cuts(
    seed: int, said: list[Control], bytes_max: list[int], restarts: int
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name) / "idx"
        live = written(folder, seed, 400, False, said)
        again = restarted(folder, Random(seed), bytes_max, restarts)
        if restarts:  # what was derived in silence was counted before the death, or never
            again.counts = live.counts = {}
        assert again.hashes() == live.hashes()
        wanted = oracle(folder)
    found = {f"live {k}": v for k, v in rows.tables(live.live).items()}
    found |= {f"stored {k}": v for k, v in rows.tables(live.batches).items()}
    text = b"".join(control.payload for control in said).decode()
    thinned = set(KEEP) | set(re.findall(r'"(\w+)\.store":\{[^}]*"value":"\d+s"', text))
    for kind, expected in wanted.items():
        if kind.startswith("live ") or kind.removeprefix("stored ") not in thinned:
            np.testing.assert_array_equal(found.get(kind, expected[:0]), expected, kind)


def test_a_sampler_that_ends_stores_what_it_holds() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name) / "idx"
        said = [turned(orderbook_store="60s"), turned(orderbook_store="off")]
        live = written(folder, 5, 50, False, said)
        at = [s.position for c in JournalReader(folder).chunks(0) for s in settings_of(c)]
    books = np.concatenate(
        [b.column("position") for b in live.batches if b.kind.name == "orderbook"]
    )
    assert (books == at[1]).any(), "released by the record that ended the sampling"
    assert books.max() == at[1]
    assert live.counts["unstored_orderbook"] > 100
    assert "unpublished_orderbook" not in live.counts


def test_a_start_goes_by_what_the_configuration_changed_and_by_nothing_else() -> None:
    switches = Switches(UNSAID["idx"])
    assert switches.due({"orderbook.store": "1s", "quotes.store": "all"}) == {}
    switches.see(
        [Setting(1, 5, switches.order({"orderbook.store": "off"}, {"orderbook.store": "1s"}))]
    )
    assert switches.held["orderbook.store"] == ("off", "1s", "set", 5)
    # The same file at the next start: what a person set holds.
    assert switches.due({"orderbook.store": "1s"}) == {}
    due = switches.due({"orderbook.store": "5s"})
    assert due == {WORD: {"orderbook.store": {"value": "5s", "configured": "5s", "by": "start"}}}
    switches.see([Setting(2, 6, due)])
    assert switches.held["orderbook.store"].value == "5s"
    # Set to what it is: no order.
    assert switches.order({"orderbook.store": "5s"}, {"orderbook.store": "5s"}) == {}


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("orderbook.store", "0s", "all, off, Ns"),
        ("orderbook.store", "10000s", "all, off, Ns"),
        ("orderbook.store", "s", "all, off, Ns"),
        ("orderbook.store", "\u0661s", "all, off, Ns"),
        ("orderbook.publish", "true", "on, off"),
        ("ticks.store", "1s", "allowed: all, off"),
        ("ohlcv.store", "off", "no such switch"),
        ("orderbook", "off", "no such switch"),
    ],
)
def test_what_a_switch_may_not_be_is_refused(key: str, value: str, what: str) -> None:
    with pytest.raises(Refuse, match=re.escape(what)):
        checked(key, value)


def test_records_that_are_not_understood_turn_nothing() -> None:
    switches = Switches({})
    before = dict(switches.held)
    refused: list[dict[str, Any]] = [
        {},
        {WORD: []},
        {WORD: {"orderbook.store": "off"}},
        {WORD: {"orderbook.store": {"value": "sometimes", "configured": "", "by": "set"}}},
        {WORD: {"orderbook.store": {"value": 1, "configured": "", "by": "set"}}},
        {WORD: {"weather.store": {"value": "off", "configured": "", "by": "set"}}},
        {"gates": {"open": 1}},
    ]
    switches.see([Setting(1, 1, said) for said in refused])
    assert switches.held == before


def test_turned_while_it_runs_it_survives_a_death_and_a_rebuild(tmp_path: Path) -> None:
    """Rows stored after a death are those that the journal gives, with switches turned in it."""
    rng = Random(3)
    for life in range(3):
        store = running.open_store(tmp_path)
        venue = running.runtime(tmp_path, store, running.knobs(kinds=CONFIGURED))
        feed = running.Script(SCRIPT, rng, 12)
        venue.start([feed])
        if life == 0:
            assert control.turn(venue, {"orderbook.store": "off"}) == ["idx.orderbook.store"]
            assert control.turn(venue, {"orderbook.store": "off"}) == []
            with pytest.raises(Refuse, match="no such kind here"):
                control.turn(venue, {"quotes.store": "off"})
            assert control.turn(venue, {"orderbook.publish": "off"}) == ["idx.orderbook.publish"]
        until(feed.told.is_set, "the feed's end")
        assert venue.line.switches.held["orderbook.store"][:3] == ("off", "1s", "set")
        assert not venue.published("orderbook") and venue.published("ticks")
        if life < 2:  # dead: nothing is committed or saved any more
            venue.writer._stop.set()  # type: ignore[union-attr]
            venue.saver.stop(5)
        assert venue.stop(running.RUN_S) or life < 2
        store.close()
    found = running.stored(tmp_path / "hot.duckdb")
    assert rows.hashes(found) == rows.hashes(running.rebuilt(tmp_path / "journal" / "idx"))
    assert len(found["ticks"]) > 100
    stands = control.standing(IDX, tmp_path, {"orderbook.store": "1s"})
    assert stands.held["orderbook.store"].value == "off"
    # What is in force when the configuration says another word.
    assert (
        control.standing(IDX, tmp_path, {"orderbook.store": "9s"}).held["orderbook.store"].value
        == "9s"
    )


def test_a_venue_that_is_not_ready_says_so(tmp_path: Path) -> None:
    store = running.open_store(tmp_path)
    venue = running.runtime(tmp_path, store, running.knobs())
    with pytest.raises(Retry, match="not ready"):
        control.turn(venue, {"orderbook.store": "off"})
    store.close()


def test_gathered_tells_live_from_stored() -> None:
    """Else the property above says little."""
    with TemporaryDirectory() as name:
        live: Gathered = written(Path(name) / "idx", 1, 60, False)
    full = sum(len(b) for b in live.live if b.kind.name == "orderbook")
    kept = sum(len(b) for b in live.batches if b.kind.name == "orderbook")
    assert full > kept > 0
