"""What a venue does when a part of it fails: it holds its place, or stops loudly; it never goes on
past what it did not do.
"""

import asyncio
import errno
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import date
from functools import partial
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest

from bursa.bus.memory import Entry, Limits, Log, MemoryBus
from bursa.journal import checkpoint
from bursa.journal.read import JournalReader
from bursa.journal.record import Control
from bursa.model.batch import Batch, Chunk, Span
from bursa.model.errors import Retry
from bursa.model.schema import TICKS
from bursa.ops.telemetry import Telemetry
from bursa.pipeline import writer as writer_module
from bursa.pipeline.buffer import Bounds
from bursa.pipeline.checkpoints import Checkpoints
from bursa.pipeline.line import kinds
from bursa.pipeline.runtime import VenueRuntime
from bursa.pipeline.waiting import Interrupted
from bursa.pipeline.writer import Flush, Writer
from bursa.ports import Intake
from bursa.wire.decoded import Decoded
from bursa.wire.idx.decoder import IdxDecoder
from tests.fakes.flaky import FlakyStore
from tests.pipeline import market, rows, running
from tests.pipeline.running import until

SCRIPT = market.channels(minutes=3, share=0.0)


def start(data: Path, decoder: Any = IdxDecoder, **knobs: Any) -> tuple[VenueRuntime, Any]:
    store = running.open_store(data)
    venue = running.runtime(data, store, running.knobs(**knobs), decoder)
    return venue, store


def finish(data: Path) -> dict[str, rows.Rows]:
    """Run again until all is told; the store's rows."""
    venue, store = start(data)
    feed = running.Script(SCRIPT, Random(1), 50)
    venue.start([feed])
    until(feed.told.is_set, "the feed's end")
    assert venue.stop(running.RUN_S)
    store.close()
    return running.stored(data / "hot.duckdb")


def check_whole(data: Path) -> None:
    """Every message is in the journal once, and the store holds what the journal gives."""
    found = finish(data)
    journal = data / "journal" / "idx"
    for channel, steps in enumerate(SCRIPT):
        sent = [(s.session, s.number) for s in steps if isinstance(s, market.Message)]
        kept = [
            (record.session, record.first_seq + n)
            for record in JournalReader(journal).records()
            if record.channel == channel
            for n in range(record.count)
        ]
        assert kept == sent
    assert rows.hashes(found) == rows.hashes(running.rebuilt(journal))


def test_a_store_that_is_away_at_the_stop_leaves_no_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer gives up at a stop; what it could not write, nothing later is written past it."""
    monkeypatch.setattr(writer_module, "BACK_OFF_S", (0.001,))
    monkeypatch.setattr(writer_module, "STOP_ASK_S", 0.01)
    written: list[int] = []
    stopping = Event()
    refused = 0

    def befalls() -> str:
        nonlocal refused
        stopping.wait()
        refused += 1
        return "before" if refused < 8 else ""

    class Kept:
        def write(self, batches: Any, positions: Any) -> None:
            written.extend(int(p) for batch in batches for p in batch.column("position"))

    log = MemoryBus().open("idx", Limits(1000, 1 << 30), lambda position: iter(()))
    writer = Writer(
        "idx", kinds(), FlakyStore(Kept(), befalls), log.join("store", 0), Flush(1, 0.0),
        running.WallClock(), Telemetry(),
    )  # fmt: skip
    writer.start(0)
    for at in range(5):
        block = np.zeros((len(TICKS.columns), 1), np.int64)
        block[TICKS.index["position"]] = at + 1
        span = Span("idx", 1, at, at + 1)
        log.publish(Entry(span, (Batch(TICKS, block, running.words(), span),)))
    log.close()
    stop = Thread(target=writer.stop, args=(10.0,))
    stop.start()
    until(writer._stop.is_set, "the stop")
    stopping.set()
    stop.join()
    assert written == list(range(1, writer.committed + 1))


def test_a_store_that_comes_back_during_a_stop_gets_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it was away before, at a stop it is asked again."""
    monkeypatch.setattr(writer_module, "STOP_ASK_S", 0.01)
    away = True
    real = running.open_store(tmp_path)
    flaky = FlakyStore(real, lambda: "before" if away else "")
    venue = running.runtime(tmp_path, flaky, running.knobs())
    feed = running.Script(SCRIPT, Random(1), 50)
    venue.start([feed])
    assert venue.writer is not None
    until(feed.told.is_set, "the feed's end")
    until(lambda: flaky.failed >= 2, "the store to be asked")
    venue.writer._away_s -= 3600.0
    stopped: list[bool] = []
    stop = Thread(target=lambda: stopped.append(venue.stop(running.RUN_S)))
    stop.start()
    failed = flaky.failed
    until(lambda: flaky.failed > failed + 2, "the stop to ask")
    away = False
    stop.join(running.RUN_S)
    assert stopped == [True]
    real.close()
    check_whole(tmp_path)


def test_other_work_that_finds_the_store_away_stops_nobody(tmp_path: Path) -> None:
    """Work between two writes, as retention's, is done another time."""
    venue, store = start(tmp_path)
    asked = 0

    def idle() -> None:
        nonlocal asked
        asked += 1
        raise Retry("the store is away")

    feed = running.Script(SCRIPT, Random(1), 50)
    venue.start([feed])
    assert venue.writer is not None
    venue.writer.idle = idle
    until(feed.told.is_set, "the feed's end")
    until(lambda: asked > 2, "other work")
    assert venue.stop(running.RUN_S)
    venue.check()
    store.close()


def test_a_checkpoint_that_waits_is_not_forgotten(tmp_path: Path) -> None:
    """One is taken while another is being saved, as at a stop."""
    line = running.line()
    saver = Checkpoints(tmp_path, line, 3600.0, 1 << 40, running.WallClock(), Telemetry())
    synced, saving = Event(), Event()

    def synced_past(position: int, timeout_s: float) -> bool:
        saving.set()
        return synced.wait(timeout_s)

    saver.synced_past = synced_past
    saver.start(0, 1)
    saver.take(8)
    assert saving.wait(running.RUN_S)
    saver.take(16)
    synced.set()
    saver.stop(10.0)
    assert checkpoint.listing(tmp_path)[-1].position == 16


def test_a_checkpoint_that_cannot_be_saved_is_counted(tmp_path: Path) -> None:
    telemetry, folder = Telemetry(), tmp_path / "checkpoints"
    folder.write_text("no folder")
    saver = Checkpoints(folder, running.line(), 3600.0, 1 << 40, running.WallClock(), telemetry)
    saver.start(0, 1)
    saver.take(8)
    saver.stop(10.0)
    labels = {"venue": "idx"}
    assert telemetry.registry.get_sample_value("bursa_checkpoint_errors_total", labels) == 1


def test_a_failing_stage_stops_the_venue(tmp_path: Path) -> None:
    """Its bug is raised to who looks after the venue, and nothing later is derived or committed."""
    pushes = 0

    class Failing(IdxDecoder):
        def push(self, chunk: Chunk) -> Decoded:
            nonlocal pushes
            pushes += 1
            if pushes == 40:
                raise KeyError("a bug")
            return super().push(chunk)

    venue, store = start(tmp_path, Failing)
    venue.start([running.Script(SCRIPT, Random(1), 5)])
    assert venue.ingest is not None
    assert venue.ingest.finished.wait(running.RUN_S)
    with pytest.raises(KeyError, match="a bug"):
        venue.check()
    assert pushes == 40
    venue.stop(running.RUN_S)
    store.close()
    check_whole(tmp_path)


@pytest.fixture
def journal_call(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, int], Event]]:
    """`journal_call(name, after)`: os.NAME on a journal's segment fails once it was called so
    often, until the event is set."""

    def install(name: str, after: int) -> Event:
        mended = Event()
        real = getattr(os, name)
        calls = 0

        def failing(fd: int, *rest: Any) -> Any:
            nonlocal calls
            if os.readlink(f"/proc/self/fd/{fd}").endswith(".log"):
                calls += 1
                if calls > after and not mended.is_set():
                    raise OSError(errno.ENOSPC, "no space left on device")
            return real(fd, *rest)

        monkeypatch.setattr(os, name, failing)
        return mended

    yield install


def test_a_failed_sync_stops_the_venue(
    tmp_path: Path, journal_call: Callable[[str, int], Event]
) -> None:
    venue, store = start(tmp_path)
    mended = journal_call("fdatasync", 10)
    venue.start([running.Script(SCRIPT, Random(1), 5)])
    assert venue.ingest is not None
    assert venue.ingest.finished.wait(running.RUN_S)
    with pytest.raises(OSError, match="no space left"):
        venue.check()
    assert not venue.stop(running.RUN_S)
    mended.set()
    store.close()
    check_whole(tmp_path)


def test_a_failed_publication_stops_the_venue_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soak: bool
) -> None:
    """At every Nth push, before and after its effect; life after life on one folder."""
    real, calls = Log.publish, 0
    fails: tuple[int, str] = (0, "")

    def publish(log: Log, entry: Entry) -> None:
        nonlocal calls
        calls += 1
        at, how = fails
        if calls == at and how == "before":
            raise KeyError("a bug before")
        real(log, entry)
        if calls == at:
            raise KeyError("a bug after")

    monkeypatch.setattr(Log, "publish", publish)
    numbers = range(1, 60) if soak else (1, 2, 9, 30)
    for at, how in ((at, how) for at in numbers for how in ("before", "after")):
        calls, fails = 0, (at, how)
        venue, store = start(tmp_path)
        try:
            venue.start([running.Script(SCRIPT, Random(1), 5)])
            assert venue.ingest is not None
            if not venue.ingest.finished.wait(running.RUN_S):
                assert calls < at, "all is told"
            else:
                with pytest.raises(KeyError, match=f"a bug {how}"):
                    venue.check()
        except KeyError as bug:  # of what the start replays
            assert how in str(bug)
        venue.stop(running.RUN_S)
        store.close()
    fails = (0, "")
    check_whole(tmp_path)


def counted(counter: Any) -> bool:
    return bool(counter._value.get())


def past(venue: VenueRuntime, position: int) -> bool:
    return venue.journal.position > position


def test_a_full_disk_holds_the_feed_and_loses_nothing(
    tmp_path: Path, journal_call: Callable[[str, int], Event]
) -> None:
    """First it is emptied in time, then it is not and bursa is stopped."""
    for empties in (True, False):
        venue, store = start(tmp_path)
        mended = journal_call("pwrite", 60)
        venue.start([running.Script(SCRIPT, Random(1), 5)])
        counter = venue.parts.telemetry.journal_errors.labels("idx")
        until(partial(counted, counter), "a full disk")
        if empties:
            mended.set()
            until(partial(past, venue, venue.journal.position), "the feed to go on")
        venue.stop(running.RUN_S)
        mended.set()
        store.close()
        saved = checkpoint.listing(tmp_path / "checkpoints" / "idx")
        assert all(found.position <= venue.journal.position for found in saved)
    check_whole(tmp_path)


class Acknowledging:
    """ports.Feed: one script's steps, each followed by a wait for the sync, beside a heart that
    beats on the same loop."""

    name = "acknowledging"

    def __init__(self) -> None:
        self.beats = self.synced = 0
        self.ended = Event()

    async def run(self, intake: Intake) -> None:
        heart = asyncio.create_task(self._beat())
        try:
            for item in market.cut(SCRIPT, Random(1), 20):
                if isinstance(item, Control):
                    continue
                await intake.room()
                intake.frames(item)
                await intake.synced()
                self.synced += item.count
            self.ended.set()
        finally:
            heart.cancel()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(0.01)
            self.beats += 1


def test_a_full_disk_acknowledges_nothing_and_leaves_the_loop_free(
    tmp_path: Path, journal_call: Callable[[str, int], Event]
) -> None:
    venue, store = start(tmp_path)
    mended = journal_call("pwrite", 15)
    feed = Acknowledging()
    venue.start([feed])
    assert venue.ingest is not None
    until(lambda: venue.ingest is not None and venue.ingest.refusing, "a full disk")
    value = venue.parts.telemetry.registry.get_sample_value
    assert value("bursa_journal_refusing", {"venue": "idx"}) == 1
    with pytest.raises(Retry, match="no space left"):
        venue.check_journal()
    synced, beats = feed.synced, feed.beats
    until(lambda: feed.beats > beats + 60, "the loop to run on")
    assert feed.synced == synced and venue.ingest.refusing
    mended.set()
    until(feed.ended.is_set, "the feed's end")
    venue.check_journal()
    assert value("bursa_journal_refusing", {"venue": "idx"}) == 0
    assert venue.stop(running.RUN_S)
    store.close()
    check_whole(tmp_path)
    sent = sum(isinstance(step, market.Message) for steps in SCRIPT for step in steps)
    assert feed.synced == sent


def test_the_day_of_a_checkpoint_is_the_venues(tmp_path: Path) -> None:
    venue, store = start(tmp_path)
    feed = running.Script(SCRIPT, Random(1), 50)
    venue.start([feed])
    until(feed.told.is_set, "the feed's end")
    assert venue.stop(running.RUN_S)
    store.close()
    days = {found.day for found in checkpoint.listing(tmp_path / "checkpoints" / "idx")}
    assert date(2025, 11, 21) in days and days <= set(market.DAYS)


@pytest.mark.parametrize("waits", [True, False])
def test_a_start_whose_store_is_away_can_be_stopped(
    tmp_path: Path, waits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the store for ever, but not past a stop; the next start finds all as it was."""
    monkeypatch.setattr(writer_module, "STOP_AWAY_S", 0.5)
    stored = sum(len(table) for table in finish(tmp_path).values())
    rows_max = int(1.3 * stored) if waits else 100 * stored
    for path in tmp_path.glob("hot.duckdb*"):
        path.unlink()
    store = running.open_store(tmp_path)
    away = FlakyStore(store, lambda: "before")
    little = Flush(20, 0.01, Bounds(20))
    knobs = running.knobs(topics=Limits(rows_max, 1 << 30), flush=little)
    venue = running.runtime(tmp_path, away, knobs)
    ended: list[BaseException | None] = []

    def begin() -> None:
        try:
            venue.start([running.Script(SCRIPT, Random(1), 50)])
            ended.append(None)
        except Interrupted as interrupted:
            ended.append(interrupted)

    starting = Thread(target=begin)
    starting.start()
    until(lambda: away.failed > 0, "the store to be asked")
    if waits:
        until(lambda: venue.log.rows * 2 > rows_max, "the recovery to wait")
        assert not venue.book("BBCA", 10).whole, "what came is not known yet"
    venue.interrupt()
    starting.join(running.RUN_S)
    assert len(ended) == 1
    began = time.monotonic()
    assert not venue.stop(running.RUN_S)
    assert time.monotonic() - began < running.RUN_S
    store.close()
    check_whole(tmp_path)


class Gated(Acknowledging):
    """Begins when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go = Event()

    async def run(self, intake: Intake) -> None:
        await asyncio.to_thread(self.go.wait, running.RUN_S)
        await super().run(intake)


class Held(Event):
    """Is set only when let go: the ingest thread stands between its loop's end and its own."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.waited, self.let_go = Event(), Event(), Event()

    def set(self) -> None:
        self.reached.set()
        assert self.let_go.wait(running.RUN_S)
        super().set()

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.set()
        return super().wait(timeout)


def test_feeds_that_end_as_the_venue_is_asked_or_stopped_fail_neither(tmp_path: Path) -> None:
    venue, store = start(tmp_path)
    feed = Gated()
    venue.start([feed])
    ingest = venue.ingest
    assert ingest is not None
    ingest.finished = held = Held()
    feed.go.set()
    until(held.reached.is_set, "the end of the loop")
    ingest.stop(0.0)
    asked: Future[str] = Future()
    asking = Thread(target=lambda: asked.set_result(ingest.between(lambda: "done")))
    asking.start()
    until(held.waited.is_set, "somebody who waits for the end")
    assert not asked.done()
    held.let_go.set()
    assert asked.result(running.RUN_S) == "done"
    asking.join(running.RUN_S)
    assert venue.stop(running.RUN_S)
    store.close()
    check_whole(tmp_path)
