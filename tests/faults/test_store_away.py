"""The store is away while 12,000 messages a second come: nothing is lost, and it catches up.

In CI everything is a two-hundredth of the real thing: three seconds instead of ten minutes, and the
writer's waits, its buffer and the topics' memory with it. The long run is the real thing, and there
it must catch up in half the time that it was away, while the feed goes on at its pace.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from bursa.bus.memory import Limits
from bursa.exchange.stream import Block, blocks
from bursa.journal.read import JournalReader
from bursa.model.batch import FRAMES, SOUPBIN
from bursa.model.errors import Retry
from bursa.ops.breaker import OPEN_S
from bursa.pipeline import writer as writer_module
from bursa.pipeline.buffer import PAUSE, Bounds
from bursa.pipeline.writer import Flush
from bursa.ports import Frames, Intake
from tests.fakes.flaky import FlakyStore
from tests.pipeline import rows, running
from tests.prompt import PATIENT_S

RATE = 12_000
AWAY_S, CI_SHARE = 600.0, 1 / 200
FIRST = date(2025, 11, 20)
ENTRY_ROWS_MAX = 20_000
# Messages that are sent at the least while it is away.
ENOUGH = 20_000


def market(tickers: int) -> Iterator[tuple[str, Block]]:
    """Trading days one after another, each channel's session by its name, from the opening on."""
    day = FIRST
    while True:
        for block in blocks(day, 7, tickers=tickers):
            yield f"{day:%y%m%d}{'DI'[block.channel]}", block
        day += timedelta(days=1)


class Paced:
    """ports.Feed: so many messages a second by the clock, until it is told to hold."""

    name = "paced"

    def __init__(self, tickers: int) -> None:
        self._tickers = tickers
        self.sent = 0
        self.hold = False
        self.held = False

    async def run(self, intake: Intake) -> None:
        for channel in (0, 1):
            intake.up(channel)
        began = time.monotonic()
        for session, block in market(self._tickers):
            while self.sent > (time.monotonic() - began) * RATE and not self.hold:
                await asyncio.sleep(0.002)
            if self.hold:
                break
            intake.frames(
                Frames(
                    block.channel, SOUPBIN, session, block.first_seq, block.count, 0, block.payload
                )
            )
            self.sent += block.count
            await asyncio.sleep(0)
        await intake.synced()
        self.held = True
        await asyncio.Event().wait()


def said(check: Callable[[], None]) -> bool:
    """Does a check of the writer complain?"""
    try:
        check()
    except Retry:
        return True
    return False


@pytest.mark.timeout(7200)
def test_a_store_that_is_away_loses_nothing_and_catches_up(
    tmp_path: Path, soak: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = 1.0 if soak else CI_SHARE
    away_s = AWAY_S * share
    monkeypatch.setattr(writer_module, "BACK_OFF_S", tuple(share * s for s in (1, 2, 4, 8, 16, 32)))
    monkeypatch.setattr(writer_module, "OPEN_S", share * OPEN_S)
    monkeypatch.setattr(writer_module, "PAUSED_MAX_S", share * writer_module.PAUSED_MAX_S / 2)
    bounds = Bounds(50_000 if soak else 4_000)
    knobs = running.knobs(
        sync_gap_s=0.005, sync_bytes=1 << 20, segment_bytes=64 << 20, checkpoint_s=30.0,
        checkpoint_bytes=256 << 20, flush=Flush(10_000 if soak else 2_000, 0.1, bounds),
        topics=Limits(2_000_000 if soak else 5_000, 512 << 20),
    )  # fmt: skip
    away = False
    store = running.open_store(tmp_path)
    flaky = FlakyStore(store, lambda: "before" if away else "")
    venue = running.runtime(tmp_path, flaky, knobs)
    feed = Paced(700 if soak else 100)
    venue.start([feed])
    assert venue.writer is not None
    writer, log, most = venue.writer, venue.log, 0
    running.until(lambda: writer.committed > 0, "a first commit")

    def look(seconds: float) -> None:
        nonlocal most
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            most = max(most, writer._buffer.rows_of_a_kind)
            time.sleep(0.01)

    look(0.5)
    away, before, began = True, feed.sent, time.monotonic()
    look(away_s)
    # On a busy machine all of it takes longer: what waits is to be more than memory holds.
    until = began + away_s + PATIENT_S
    while feed.sent - before < ENOUGH or flaky.failed <= 4 or not said(writer.check_long):
        assert time.monotonic() < until, f"{feed.sent - before} came, {flaky.failed} were refused"
        look(0.05)
    with pytest.raises(Retry, match="does not keep up"):
        writer.check()
    assert flaky.failed > 4, "the store was asked again"
    with pytest.raises(Retry, match="took nothing for"):
        writer.check_long()
    missed, stood = feed.sent - before, log.end
    away, back, cpu = False, time.monotonic(), time.process_time()
    while writer.committed < stood or log.lag("store") > 1 << 20:
        look(0.01)
        assert writer.failure is None and time.monotonic() - back < 100 * away_s + 60
    caught_s, later = time.monotonic() - back, feed.sent - before - missed
    cpu = time.process_time() - cpu
    writer.check()
    feed.hold = True
    running.until(lambda: feed.held, "the feed to hold")
    assert venue.stop(60.0)
    store.close()
    journal = tmp_path / "journal" / "idx"
    kept = sum(r.count for r in JournalReader(journal).records() if r.kind == FRAMES)
    found, wanted = running.stored(tmp_path / "hot.duckdb"), running.rebuilt(journal)
    print(
        f"sent {feed.sent:,} = acknowledged {kept:,} + unknown 0 + rejected 0; duplicates 0;"
        f" stored {rows.hashes(found)}, rebuilt the same\naway {back - began:.1f} s with {missed:,}"
        f" messages, caught up in {caught_s:.1f} s ({cpu:.1f} s of CPU) while {later:,} more came;"
        f" at most {most:,} rows"
        f" of a table waited, {log.evicted('store'):,} were derived again from the journal;"
        f" {flaky.failed} attempts in vain"
    )
    assert kept == feed.sent
    assert rows.hashes(found) == rows.hashes(wanted)
    assert most <= bounds.rows * PAUSE + ENTRY_ROWS_MAX
    assert log.evicted("store") > 0, "memory was too small for it"
    assert not soak or caught_s <= away_s / 2
