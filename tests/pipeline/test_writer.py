"""From the feed to committed rows, with a store that is away and a writer that dies: whatever the
memory of the topics and whenever it ends, the store holds what the journal gives, each row once.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from bursa.bus.memory import Limits, MemoryBus
from bursa.model.schema import TICKS
from bursa.ops.telemetry import Telemetry
from bursa.pipeline import writer as writer_module
from bursa.pipeline.runtime import VenueRuntime
from bursa.pipeline.writer import Flush, Writer
from bursa.store.duckdb import DuckStore
from tests.fakes.flaky import FlakyStore
from tests.fakes.state import FakeLetters
from tests.fakes.store import FakeStore
from tests.pipeline import market, rows, running
from tests.pipeline.dead import entry
from tests.store.contract import KINDS, VENUES, StoreContract, batch, tick


class TestFlakyStore(StoreContract):
    """While nothing befalls it, it is a store as any other."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[FlakyStore]:
        store = DuckStore(tmp_path / "hot.duckdb", VENUES, KINDS)
        yield FlakyStore(store)
        store.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer backs off for milliseconds."""
    monkeypatch.setattr(writer_module, "BACK_OFF_S", (0.001, 0.002))
    monkeypatch.setattr(writer_module, "OPEN_S", 0.005)
    monkeypatch.setattr(writer_module, "STOP_ASK_S", 0.005)


def one_life(venue: VenueRuntime, feed: running.Script, lifetime_s: float | None) -> bool:
    """Run until its time is up, its writer died or all is told; True: all is told and stored."""
    venue.start([feed])
    began = time.monotonic()

    def over() -> bool:
        assert venue.ingest is not None and venue.ingest.failure is None
        died = venue.writer is not None and venue.writer.failure is not None
        late = lifetime_s is not None and time.monotonic() - began > lifetime_s
        return died or late or feed.told.is_set()

    running.until(over, "the feed's end")
    told = feed.told.is_set()
    return venue.stop(running.RUN_S) and told


@pytest.mark.parametrize(
    ("topics", "flush"),
    [
        (Limits(1_000_000, 1 << 30), Flush(500, 0.02)),
        (Limits(40, 1 << 30), Flush(500, 0.005)),
        (Limits(1_000_000, 3000), Flush(1, 0.0)),
        (Limits(0, 0), Flush(50, 0.001)),
    ],
    ids=["roomy", "few rows", "few bytes", "none"],
)
@pytest.mark.usefixtures("impatient")
def test_the_store_holds_what_the_journal_gives(
    tmp_path: Path, topics: Limits, flush: Flush
) -> None:
    seed = Random().randrange(2**32)
    print(f"seed {seed}")
    rng = Random(seed)
    script = market.channels(minutes=3, share=0.01)
    evicted = failed = lives = 0
    done = False

    def befalls() -> str:
        dice = rng.random()
        if dice < 0.06 and lives < 12:
            return rng.choice(("dead before", "dead after"))
        return rng.choice(("before", "after")) if dice < 0.3 else ""

    while not done:
        lives += 1
        store = running.open_store(tmp_path)
        flaky = FlakyStore(store, befalls)
        venue = running.runtime(tmp_path, flaky, running.knobs(topics=topics, flush=flush))
        lifetime_s = rng.uniform(0.0, 0.5) if lives < 12 else None
        done = one_life(venue, running.Script(script, rng, 12), lifetime_s)
        evicted += venue.log.evicted("store")
        failed += flaky.failed
        store.close()
    found = running.stored(tmp_path / "hot.duckdb")
    wanted = running.rebuilt(tmp_path / "journal" / "idx")
    print(f"{lives} lives, {failed} failed writes, {evicted} rows evicted", rows.hashes(found))
    assert rows.hashes(found) == rows.hashes(wanted)
    assert len(found["ticks"]) > 300 and len(found["ohlcv"]) > 10 and failed > 0
    assert topics.rows_max > 1000 and topics.bytes_max > 10_000 or evicted > 0


@pytest.mark.usefixtures("impatient")
def test_a_clock_that_is_set_back_holds_up_no_commit() -> None:
    class SetBack:
        """An hour back at each look."""

        def __init__(self) -> None:
            self._now_ns = time.time_ns()

        def now_ns(self) -> int:
            self._now_ns -= 3600 * 10**9
            return self._now_ns

    shuts = iter(["before", "after"])
    store = FlakyStore(FakeStore(VENUES, KINDS), lambda: next(shuts, ""))
    log = MemoryBus().open("idx", Limits(1_000, 1 << 20), lambda position: iter(()))
    log.start(0)
    several = Flush(1_000, 0.001)
    writer = Writer(
        "idx", KINDS, store, log.join("store", 0), several, SetBack(), Telemetry()
    )  # fmt: skip
    writer.start(0)
    log.publish(entry([batch(TICKS, [tick("BBCA", 1)])]))
    running.until(lambda: writer.committed > 0, "a commit")
    writer.check_long()
    log.close()
    assert writer.stop(running.RUN_S) and writer.rows == 1


@pytest.mark.usefixtures("impatient")
def test_a_row_that_is_refused_again_when_the_store_is_back_counts_once() -> None:
    real, kept, telemetry = FakeStore(VENUES, KINDS), FakeLetters(), Telemetry()
    real.refuse = lambda kind, row: "even" if row["position"] % 2 == 0 else ""
    shuts = iter(["", "before"])
    store = FlakyStore(real, lambda: next(shuts, ""))
    log = MemoryBus().open("idx", Limits(1_000, 1 << 20), lambda position: iter(()))
    log.start(0)
    every = Flush(1_000, 0.001)
    writer = Writer(
        "idx", KINDS, store, log.join("store", 0), every, running.WallClock(), telemetry
    )
    writer.letters = lambda: kept
    writer.start(0)
    log.publish(entry([batch(TICKS, [tick("BBCA", n) for n in (1, 2, 3)])]))
    running.until(lambda: writer.committed > 0, "a commit")
    log.close()
    assert writer.stop(running.RUN_S) and writer.failure is None
    assert store.writes == 4 and len(kept.ls()) == 1
    assert telemetry.dead_letters.labels("idx", "ticks")._value.get() == 1
