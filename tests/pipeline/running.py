"""A whole venue in a test: the real runtime over a real journal and store, fed from a script."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import duckdb

from bursa.bus.memory import Limits, MemoryBus
from bursa.journal.read import JournalReader, Record
from bursa.journal.record import Control
from bursa.model.batch import DOWN, END_OF_FILE, END_OF_SESSION, FRAMES, UP, Span, Words
from bursa.model.schema import table
from bursa.model.venue import IDX
from bursa.ops.telemetry import Telemetry
from bursa.pipeline.line import Line, kinds
from bursa.pipeline.runtime import Knobs, Parts, VenueRuntime
from bursa.pipeline.writer import Flush
from bursa.ports import Intake
from bursa.store.duckdb import DuckStore
from bursa.store.rings import Rings
from bursa.store.rows import Dictionary, to_batch
from bursa.wire.idx.decoder import IdxDecoder
from tests.pipeline import market, rows
from tests.pipeline.market import Message, Step

KEEP = {"orderbook": "1s"}
# No wait of a test is longer.
RUN_S = 90.0


class WallClock:
    def now_ns(self) -> int:
        return time.time_ns()


class Script:
    """ports.Feed: a market's steps, gone on with where the intake says, in records of up to
    `messages_max`. `told` is set when all was delivered; then it waits. `pace_s`: seconds between
    two records, so that somebody can do something in the midst."""

    name = "script"

    def __init__(
        self,
        script: Sequence[Sequence[Step]],
        rng: Random,
        messages_max: int,
        pace_s: float = 0.0,
    ) -> None:
        self._script, self._rng, self._messages_max = script, rng, messages_max
        self._pace_s = pace_s
        self.told = asyncio.Event()

    async def run(self, intake: Intake) -> None:
        places = [self._place(c, *intake.resume_point(c)) for c in range(len(self._script))]
        for channel, at in enumerate(places):
            if at:
                intake.up(channel)
        left = [steps[at:] for steps, at in zip(self._script, places, strict=True)]
        for item in market.cut(left, self._rng, self._messages_max):
            if isinstance(item, Control):
                self._say(intake, item)
            else:
                intake.frames(item)
            if self._pace_s:
                await asyncio.sleep(self._pace_s)
            elif self._rng.random() < 0.3:
                await asyncio.sleep(self._rng.choice((0, 0.001, 0.003)))
        self.told.set()
        await asyncio.Event().wait()

    def _place(self, channel: int, session: str, number: int) -> int:
        steps = self._script[channel]
        ours = [
            at
            for at, step in enumerate(steps)
            if isinstance(step, Message) and step.session == session and step.number < number
        ]
        return ours[-1] + 1 if ours else 0

    def _say(self, intake: Intake, control: Control) -> None:
        if control.kind == UP:
            intake.up(control.channel)
        elif control.kind == DOWN:
            intake.down(control.channel, control.payload.decode())
        elif control.kind == END_OF_SESSION:
            intake.end_of_session(control.channel)
        elif control.kind == END_OF_FILE:
            intake.end_of_file(control.channel)


def knobs(**other: Any) -> Knobs:
    """Small figures, so that everything happens often."""
    said: dict[str, Any] = {
        "sync_gap_s": 0.001,
        "sync_bytes": 4096,
        "segment_bytes": 200_000,
        "compress": True,
        "checkpoint_s": 0.05,
        "checkpoint_bytes": 100_000,
        "flush": Flush(200, 0.01),
        "topics": Limits(1_000_000, 1 << 30),
        "kinds": {f"{kind}.store": how for kind, how in KEEP.items()},
        "retain_days": {},
        "cap_bytes": 0,
    }
    return Knobs(**said | other)


def words() -> Words:
    return Words(IDX.boards, tuple(channel.name for channel in IDX.channels))


def line(keep: dict[str, str] | None = None) -> Line:
    own = words()
    return Line(IDX, own, IdxDecoder(IDX, own), KEEP if keep is None else keep)


def until(reached: Callable[[], bool], what: str) -> None:
    """Wait for it, not for ever."""
    end = time.monotonic() + RUN_S
    while not reached():
        assert time.monotonic() < end, f"not within {RUN_S} s: {what}"
        time.sleep(0.005)


def open_store(data: Path) -> DuckStore:
    data.mkdir(exist_ok=True)
    return DuckStore(data / "hot.duckdb", [IDX], kinds())


@cache
def warm() -> None:
    """Compile or load every kernel, once: where nothing is cached yet that takes longer than any
    wait of a test, while the feeds already run."""
    line().warm()
    Rings(IDX, words(), 60, 1 << 20).warm()


def runtime(data: Path, store: Any, said: Knobs, decoder: Any = IdxDecoder) -> VenueRuntime:
    warm()
    own = words()
    rings = Rings(IDX, own, 60, 1 << 20)
    parts = Parts(store, rings, MemoryBus(), WallClock(), Telemetry(), decoder)
    return VenueRuntime(IDX, own, data, parts, said)


def stored(path: Path, venue: str = "idx") -> dict[str, rows.Rows]:
    """Kind -> all rows of the store's tables, in any order; nobody has the file open."""
    found = {}
    dictionary = Dictionary(words())
    with duckdb.connect(str(path), read_only=True) as connection:
        for kind in kinds():
            names = ", ".join(f'"{column.name}"' for column in kind.columns)
            arrow = connection.sql(f"select {names} from {table(venue, kind)}").to_arrow_table()
            batch = to_batch(arrow, kind, dictionary, Span(venue, 0, 0, 0))
            found[kind.name] = rows.in_any_order(rows.of_batch(batch))
    return found


def rebuilt(journal: Path, keep: dict[str, str] | None = None) -> dict[str, rows.Rows]:
    """The same as a new line derives it from the journal alone."""
    made = line(keep)
    batches = [b for chunk in JournalReader(journal).chunks(0) for b in made.push(chunk).batches]
    found = rows.tables(batches)
    for kind in kinds():
        if kind.name == "contracts" and kind.name in found:
            found[kind.name] = rows.newest_of_key(kind, found[kind.name])
    empty = {kind.name: rows.none(kind) for kind in kinds()}
    return {name: rows.in_any_order(found.get(name, empty[name])) for name in empty}


def journal_files(data: Path) -> list[Path]:
    """The segments of the folder's journal."""
    return sorted((data / "journal" / "idx").glob("*.log*"))


def frames_of(journal: Path) -> list[Record]:
    """The journal's records of messages."""
    return [record for record in JournalReader(journal).records() if record.kind == FRAMES]
