"""HD's gates: ordered for later bars alone, taken from the journal, the same whatever the cuts."""

import re
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bursa.journal.read import JournalReader
from bursa.journal.record import setting
from bursa.journal.segment import listing
from bursa.model.batch import Batch, Span
from bursa.model.errors import Refuse
from bursa.model.schema import OHLCV
from bursa.model.venue import BINANCE, IDX, Gates
from bursa.pipeline import control, gates_file
from bursa.pipeline.gates import CHANGES_MAX, IGNORED, TOOK, WORD, GateSchedule, clock_text
from bursa.pipeline.recover import Sources, restore_before
from bursa.pipeline.resume import Resume
from bursa.pipeline.switches import Setting, settings_of
from tests.metrics.hd_plain import PlainGates, PlainHd
from tests.pipeline import market
from tests.pipeline.test_line import Gathered, make_line, restarted, written

MINUTE = 60 * 10**9
# 2026-11-23 09:00 of Jakarta's clock, a Monday.
NINE = 1_795_399_200 * 10**9
OWN = cast(Gates, IDX.gates)
LATER = Gates(OWN.open_s, OWN.close_s, OWN.freeze_s + 1800, NINE)


def said(*gates: Gates | dict[str, Any], position: int = 1, ts: int = 5) -> Setting:
    """A record that tells of these."""
    told = [g if isinstance(g, dict) else of(g) for g in gates]
    return Setting(position, ts, {WORD: {"gates": told}})


def of(gates: Gates) -> dict[str, Any]:
    return {
        "open_s": gates.open_s,
        "close_s": gates.close_s,
        "freeze_s": gates.freeze_s,
        "from": gates.from_ns,
    }


def bars(*rows: tuple[int, int]) -> Batch:
    """Bars of (position, opening)."""
    batch = Batch(
        OHLCV,
        np.zeros((len(OHLCV.columns), len(rows)), np.int64),
        IDX.words(),
        Span("idx", 1, 0, 9),
    )
    for at, (position, ts) in enumerate(rows):
        batch.column("position")[at], batch.column("ts")[at] = position, ts
    return batch


def test_the_venues_own_hold_until_the_journal_says_otherwise() -> None:
    gates = GateSchedule(IDX)
    assert list(gates.schedule) == [OWN]
    assert gates.push(bars((1, NINE - MINUTE)), [said(LATER, position=2)]) == {TOOK: 1}
    assert list(gates.schedule) == [OWN, LATER]
    assert gates.changes[1].set_ns == 5
    assert gates.at(NINE - 1) == OWN and gates.at(NINE) == gates.at(2**62) == LATER
    assert gates.at(0) == gates.at(-5) == OWN
    # A word for the same time takes its place; one for an earlier time goes before it.
    again, sooner = Gates(1, 2, 3, NINE), Gates(4, 5, 6, NINE - 3 * MINUTE)
    assert gates.push(bars(), [said(again, position=3)]) == {TOOK: 1}
    assert list(gates.schedule) == [OWN, again]
    assert gates.push(bars(), [said(sooner, position=4)]) == {IGNORED: 1}, "a bar of 08:59 is made"
    assert list(gates.schedule) == [OWN, again]
    between = Gates(4, 5, 6, NINE + MINUTE)
    gates.push(bars(), [said(Gates(7, 8, 9, NINE + 5 * MINUTE)), said(between)])
    assert [g.open_s for g in gates.schedule] == [OWN.open_s, 1, 4, 7]


def test_a_change_is_judged_by_the_bars_before_it_wherever_chunks_are_cut() -> None:
    rows = [(10, NINE - 2 * MINUTE), (20, NINE - 3 * MINUTE), (30, NINE), (40, NINE + MINUTE)]
    records = [said(LATER, position=25), said(Gates(0, 1, 2, NINE), position=35)]
    together = GateSchedule(IDX)
    assert together.push(bars(*rows), records) == {TOOK: 1, IGNORED: 1}
    for cut in (5, 15, 25, 29, 33, 38, 50):
        apart, counts = GateSchedule(IDX), dict[str, int]()
        for low, high in ((0, cut), (cut, 99)):
            part = [row for row in rows if low < row[0] <= high]
            told = [record for record in records if low < record.position <= high]
            for word, count in apart.push(bars(*part), told).items():
                counts[word] = counts.get(word, 0) + count
            state = apart.snapshot()
            apart = GateSchedule(IDX)
            apart.restore(state)
        assert apart.snapshot() == together.snapshot()
        assert counts == {TOOK: 1, IGNORED: 1}


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        "later",
        {},
        {"gates": None},
        {"gates": of(LATER)},
        {"gates": [None]},
        {"gates": ["09:05"]},
        {"gates": [{}]},
        {"gates": [of(LATER) | {"from": None}]},
        {"gates": [of(LATER) | {"from": str(NINE)}]},
        {"gates": [of(LATER) | {"from": float(NINE)}]},
        {"gates": [of(LATER) | {"from": True}]},
        {"gates": [of(LATER) | {"from": NINE + 1}]},
        {"gates": [of(LATER) | {"from": 0}]},
        {"gates": [of(LATER) | {"from": -NINE}]},
        {"gates": [of(LATER) | {"from": 10**30}]},
        {"gates": [of(LATER) | {"from": NINE - 10 * MINUTE}]},
        {"gates": [of(LATER) | {"open_s": -60}]},
        {"gates": [of(LATER) | {"close_s": 60}]},
        {"gates": [of(LATER) | {"freeze_s": 86_401}]},
        {"gates": [of(LATER) | {"freeze_s": 54_000.0}]},
    ],
)
def test_what_cannot_be_read_or_comes_too_late_changes_nothing(told: Any) -> None:
    gates = GateSchedule(IDX)
    gates.push(bars((1, NINE - 10 * MINUTE)), [])
    before = gates.snapshot()
    found = gates.push(bars(), [Setting(2, 5, {WORD: told})])
    assert gates.snapshot() == before
    assert found == {} if told == {"gates": []} else found == {IGNORED: 1}


def test_a_venue_without_gates_takes_none() -> None:
    gates = GateSchedule(BINANCE)
    assert gates.push(bars(), [said(LATER)]) == {IGNORED: 1}
    assert gates.schedule == ()
    with pytest.raises(Refuse, match="binance has no HD"):
        gates.order({"freeze_s": 1}, NINE, 0)


def test_the_schedule_has_a_limit() -> None:
    gates = GateSchedule(IDX)
    many = [Gates(n, n, n, NINE + n * MINUTE) for n in range(CHANGES_MAX + 1)]
    assert gates.push(bars(), [said(*many)]) == {TOOK: CHANGES_MAX, IGNORED: 1}
    assert len(gates.schedule) == CHANGES_MAX + 1
    with pytest.raises(Refuse, match="the schedule is full"):
        gates.order({"open_s": 77}, many[-1].from_ns, 0)
    gates.see([Setting(1, 1, gates.order({"open_s": 5}, many[9].from_ns, 0))])
    assert gates.schedule[10] == Gates(5, 9, 9, many[9].from_ns)


def test_an_order_changes_what_it_names_and_no_more() -> None:
    gates = GateSchedule(IDX)
    order = gates.order({"freeze_s": 55_800}, NINE, 0)
    assert order == said(LATER).values
    gates.see([Setting(1, 9, order)])
    assert gates.order({"freeze_s": 55_800}, NINE, 0) == {}, "so it is already"
    assert gates.order({"open_s": OWN.open_s}, NINE + 9 * MINUTE, 0) == {}
    # What holds at that time is the rest of it.
    later = gates.order({"open_s": 60}, NINE + MINUTE, 0)
    assert later[WORD]["gates"][0] == of(LATER) | {"open_s": 60, "from": NINE + MINUTE}
    assert (
        gates.order({"freeze_s": OWN.freeze_s}, NINE, 0)
        == said(Gates(OWN.open_s, OWN.close_s, OWN.freeze_s, NINE)).values
    )


@pytest.mark.parametrize(
    ("newest", "watermark", "free"),
    [(0, 0, MINUTE), (NINE, 0, NINE + MINUTE), (NINE, NINE + MINUTE - 1, NINE + MINUTE)]
    + [(NINE, NINE + MINUTE, NINE + 2 * MINUTE), (NINE + MINUTE, NINE, NINE + 2 * MINUTE)],
)
def test_an_order_is_for_bars_that_cannot_have_been_made(
    newest: int, watermark: int, free: int
) -> None:
    gates = GateSchedule(IDX)
    gates.push(bars((1, newest)), [])
    assert gates.free_ns(watermark) == free
    assert gates.order({"open_s": 60}, free, watermark)
    allowed = IDX.calendar.text(free)
    for early in (free - MINUTE, free - 1):
        with pytest.raises(Refuse, match=f"may have been made.*from {re.escape(allowed)} on"):
            gates.order({"open_s": 60}, early, watermark)
    with pytest.raises(Refuse, match=f"no whole minute.*{re.escape(allowed)}"):
        gates.order({"open_s": 60}, free + 1, watermark)


@pytest.mark.parametrize("from_ns", [-(2**62), -MINUTE, 2**63, 2**63 // MINUTE * MINUTE + MINUTE])
def test_an_order_for_a_time_that_no_record_can_tell_is_refused(from_ns: int) -> None:
    """It would be journalled, passed over, and told as done."""
    gates = GateSchedule(IDX)
    with pytest.raises(Refuse, match=r"allowed: a minute from 1970-.* before 2262-04-12T06:47:16"):
        gates.order({"open_s": 60}, from_ns, 0)
    last = (2**63 - 1) // MINUTE * MINUTE
    gates.see([Setting(1, 9, gates.order({"open_s": 60}, last, 0))])
    assert gates.at(last).open_s == 60


@pytest.mark.parametrize(
    "wanted", [{"open_s": 53_460}, {"close_s": 32_640}, {"close_s": 54_060}, {"freeze_s": 86_460}]
)
def test_gates_come_in_their_order(wanted: dict[str, int]) -> None:
    with pytest.raises(Refuse, match="allowed: gate_open <= gate_close <= freeze"):
        GateSchedule(IDX).order(wanted, NINE, 0)
    equal = {"open_s": 3600, "close_s": 3600, "freeze_s": 3600}
    assert GateSchedule(IDX).order(equal, NINE, 0)


def test_times_of_day_as_text() -> None:
    assert [clock_text(s) for s in (0, 32_700, 32_705, 86_400)] == [
        "00:00",
        "09:05",
        "09:05:05",
        "24:00",
    ]


# -- beside the journal ----------------------------------------------------------------------------


def test_the_schedule_lies_beside_the_journal_once_it_was_changed(tmp_path: Path) -> None:
    gates, path = GateSchedule(IDX), tmp_path / gates_file.NAME
    gates_file.keep(tmp_path, gates)
    assert not path.exists()
    gates.see([said(LATER, ts=7)])
    gates_file.keep(tmp_path, gates)
    written_at = path.stat().st_mtime_ns
    gates_file.keep(tmp_path, gates)
    assert path.stat().st_mtime_ns == written_at, "nothing new"
    found = GateSchedule(IDX)
    gates_file.take(tmp_path, found)
    assert found.snapshot() == gates.snapshot()
    # What only a lost tail of the journal said is forgotten by the next start.
    gates_file.keep(tmp_path, GateSchedule(IDX))
    gates_file.take(tmp_path, found)
    assert list(found.schedule) == [OWN]
    other = GateSchedule(BINANCE)
    gates_file.take(tmp_path, other)
    assert other.schedule == ()
    gates_file.keep(tmp_path / "absent", gates)  # is logged


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"{}",
        b"null",
        b"[1]",
        b"[[1,2,3,60000000000]]",
        b"[[1,2,3,60000000000,null]]",
        b'[[1,2,3,"soon",5]]',
        b"[[3,2,1,60000000000,5]]",
        b"[[1,2,3,120000000000,5],[1,2,3,60000000000,5]]",
        b"[[1,2,3,60000000000,5],[1,2,3,60000000000,5]]",
        b"\xff",
    ],
)
def test_of_a_file_that_cannot_be_read_nothing_is_taken(tmp_path: Path, text: bytes) -> None:
    (tmp_path / gates_file.NAME).write_bytes(text)
    gates = GateSchedule(IDX)
    gates_file.take(tmp_path, gates)
    assert list(gates.schedule) == [OWN]


def test_a_line_that_begins_behind_what_the_journal_lost_has_the_gates_of_then(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "journal" / "idx"
    written(folder, 3, 400, False)
    gates = GateSchedule(IDX)
    gates.see([said(LATER, ts=7)])
    gates_file.keep(folder, gates)
    sources = Sources(JournalReader(folder), tmp_path / "none", lambda upto: iter(()))
    line = make_line()
    restore_before(line, Resume(2), sources, 0)
    assert list(line.gates.schedule) == [OWN], "the journal is whole: it says what holds"
    segments = listing(folder)
    segments[0].path.unlink()
    line = make_line()
    restore_before(line, Resume(2), sources, segments[-1].base)
    assert line.gates.schedule == line.engine.gates == gates.schedule
    assert control.gates_standing(IDX, tmp_path).schedule == gates.schedule


# -- in a line -------------------------------------------------------------------------------------


@st.composite
def orders(draw: st.DrawFn) -> list[dict[str, Any]]:
    """What records say: gates about the market's few minutes, some for minutes that are over by
    then, some that cannot be read."""
    found: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(1, 8))):
        day = IDX.calendar.day_open_ns(draw(st.sampled_from(market.DAYS)))
        opens = 9 * 3600 + draw(st.integers(0, 150))
        closes = opens + draw(st.integers(0, 180))
        gates = Gates(opens, closes, closes + draw(st.integers(0, 180)))
        told = of(gates) | {"from": day + draw(st.integers(-2, 6)) * MINUTE}
        strange = draw(st.sampled_from([None, None, None, {"from": "soon"}, {"close_s": 1}]))
        found.append({WORD: {"gates": [told | (strange or {})]}})
    return found


def accepted(folder: Path, bars: Batch) -> list[PlainGates]:
    """The schedule that a journal makes, in plain Python: what is past all bars before it."""
    schedule = {0: PlainGates(0, OWN.open_s, OWN.close_s, OWN.freeze_s)}
    made = list(zip(bars.column("position").tolist(), bars.column("ts").tolist(), strict=True))
    for record in (one for chunk in JournalReader(folder).chunks(0) for one in settings_of(chunk)):
        told = record.values[WORD]["gates"][0]
        newest = max((ts for position, ts in made if position < record.position), default=0)
        if not isinstance(told["from"], int) or told["from"] <= newest or told["close_s"] == 1:
            continue
        numbers = told["from"], told["open_s"], told["close_s"], told["freeze_s"]
        schedule[told["from"]] = PlainGates(*numbers)
    return [schedule[at] for at in sorted(schedule)]


def final(live: Gathered, kind: str, names: tuple[str, ...]) -> dict[tuple[int, int], list[float]]:
    """(symbol, ts) -> the numbers of its newest row."""
    found: dict[tuple[int, int], list[float]] = {}
    for batch in (batch for batch in live.batches if batch.kind.name == kind):
        keys = zip(batch.column("ticker").tolist(), batch.column("ts").tolist(), strict=True)
        numbers = zip(*(batch.column(name).tolist() for name in names), strict=True)
        found |= {key: list(row) for key, row in zip(keys, numbers, strict=True)}
    return found


@settings(max_examples=8, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    seed=st.integers(0, 2**32),
    said=orders(),
    bytes_max=st.lists(st.sampled_from([300, 5_000, 60_000, 1 << 22]), min_size=1, max_size=3),
    restarts=st.integers(0, 5),
)
def test_the_journal_changes_gates_whatever_the_cuts_and_restarts(
    seed: int, said: list[dict[str, Any]], bytes_max: list[int], restarts: int
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name) / "idx"
        live = written(folder, seed, 400, False, [setting(values) for values in said])
        again = restarted(folder, Random(seed), bytes_max, restarts)
        made = [b for b in live.batches if b.kind.name == "ohlcv"]
        block = np.concatenate([b.block for b in made], axis=1)
        schedule = accepted(folder, Batch(OHLCV, block, made[0].words, made[0].span))
    counted = live.counts.get(TOOK, 0) + live.counts.get(IGNORED, 0)
    assert counted == len(said) and len(schedule) <= 1 + live.counts.get(TOOK, 0)
    if restarts:  # what was derived in silence was counted before the death, or never
        again.counts = live.counts = {}
    assert again.hashes() == live.hashes()
    bars = final(live, "ohlcv", ("close", "volume"))
    columns = ("hd", "hd_mapo", "hd_dmapo", "hd_direction")
    symbols: dict[int, PlainHd] = {}
    for key, row in sorted(final(live, "metrics", columns).items()):
        plain = symbols.setdefault(key[0], PlainHd(schedule))
        close, volume = bars[key]
        expected = plain.push(key[1], close, int(volume)) or (np.nan,) * 4
        np.testing.assert_array_equal(row, expected)
