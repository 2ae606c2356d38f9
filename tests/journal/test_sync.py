"""Group commit: who waits is told when it is on disk, or that it never will be."""

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest

from bursa.journal.read import JournalReader
from bursa.journal.sync import GroupSync
from bursa.journal.write import JournalWriter
from bursa.model.batch import BLOCKS
from bursa.ports import Frames

FRAMES = [Frames(0, BLOCKS, "", 1, 1, 0, b"payload")]


def opened(folder: Path, segment_bytes: int = 1 << 28) -> JournalWriter:
    return JournalWriter(folder, "idx", now_ns=time.time_ns, segment_bytes=segment_bytes)


def break_disk(writer: JournalWriter) -> None:
    """Put a pipe in the file's place: it takes no sync."""
    ours, theirs = os.pipe()
    os.dup2(theirs, writer._fd)
    os.close(ours)
    os.close(theirs)


def test_a_sync_says_how_far_it_came(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    assert writer.sync() == writer.synced == 0
    first = writer.append(FRAMES).span.last
    assert writer.synced == 0
    assert writer.sync() == writer.synced == first
    writer.append(FRAMES)
    writer.roll()
    assert writer.synced == writer.position > first
    writer.close()


def test_waiters_go_on_when_their_position_is_on_disk(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    told: list[int] = []
    group = GroupSync(writer, on_synced=lambda position, took_s: told.append(position))
    group.start()
    assert group.wait(0, 0)
    assert not group.wait(writer.position + 1, 0.02)
    for _ in range(20):
        position = writer.append(FRAMES).span.last
        assert group.wait(position, 60)
        assert writer.synced >= position
    group.stop()
    assert told == sorted(told) and told[-1] == writer.position
    writer.close()


def test_a_stop_syncs_what_is_left(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    group = GroupSync(writer, gap_s=600.0)
    group.start()
    writer.append(FRAMES)
    assert group.wait(writer.position, 60)
    writer.append(FRAMES)
    assert not group.wait(writer.position, 0.05)
    group.stop()
    assert writer.synced == writer.position
    with pytest.raises(OSError, match="has ended"):
        group.wait(writer.position + 1)
    writer.close()


def test_enough_bytes_do_not_wait_for_the_gap(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    group = GroupSync(writer, gap_s=600.0, bytes_max=1000)
    group.start()
    writer.append(FRAMES)
    assert group.wait(writer.position, 60)
    while writer.position - writer.synced < 1000:
        position = writer.append(FRAMES).span.last
    assert group.wait(position, 60)
    group.stop()
    writer.close()


def test_an_event_loop_waits_without_blocking(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    group = GroupSync(writer)
    group.start()

    async def main() -> None:
        await group.reached(0)
        for _ in range(5):
            positions = [writer.append(FRAMES).span.last for _ in range(3)]
            await asyncio.wait_for(asyncio.gather(*map(group.reached, positions)), 60)
            assert writer.synced >= positions[-1]

    asyncio.run(main())
    group.stop()
    writer.close()


def test_syncs_run_beside_appends_and_rolls(tmp_path: Path) -> None:
    writer = opened(tmp_path, segment_bytes=20_000)
    group = GroupSync(writer, gap_s=0.0005, bytes_max=4096)
    group.start()
    behind: list[int] = []

    def waiter() -> None:
        while len(behind) < 50:
            position = writer.position
            group.wait(position, 60)
            behind.append(position - writer.synced)

    thread = threading.Thread(target=waiter)
    thread.start()
    for _ in range(5000):
        writer.append(FRAMES)
    thread.join()
    group.stop()
    assert max(behind) <= 0
    assert writer.synced == writer.position
    writer.close()
    assert sum(1 for _ in JournalReader(tmp_path).records()) == 5000


def test_a_failed_sync_reaches_all_who_wait_and_ends_the_journal(tmp_path: Path) -> None:
    writer = opened(tmp_path)
    group = GroupSync(writer, gap_s=600.0)
    group.start()
    synced = writer.append(FRAMES).span.last
    assert group.wait(synced, 60)
    position = writer.append(FRAMES).span.last
    break_disk(writer)
    failed: list[OSError] = []

    def waiter() -> None:
        try:
            group.wait(position)
        except OSError as error:
            failed.append(error)

    async def main() -> None:
        waiting = asyncio.create_task(group.reached(position))
        await asyncio.sleep(0.05)
        with pytest.raises(OSError):
            group.stop()
        with pytest.raises(OSError):
            await asyncio.wait_for(waiting, 60)
        with pytest.raises(OSError):
            await group.reached(position)

    thread = threading.Thread(target=waiter)
    thread.start()
    asyncio.run(main())
    thread.join(60)
    assert failed == [group.error]
    assert group.wait(synced, 1) and writer.synced == synced
    for refused in (lambda: writer.append(FRAMES), writer.sync, writer.roll):
        with pytest.raises(OSError, match="a sync failed"):
            refused()
    writer.close()
