"""The power fails: images of what a disk may hold then, each started and fed on (P4).

What was synced is there. Of what was not, anything: cut off, torn at any sector of the last 64 KiB,
sectors that never came, in any order, or that hold something else. The long run tears the last
write at each of these 128 sectors and makes a thousand images by chance, CI a slice of both. Every
image starts, keeps each synced record, and ends as if nothing had been: every message once, all
tables as a rebuild gives.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from bursa.journal.read import JournalReader, Record
from bursa.journal.recover import MARK, Mark
from bursa.journal.segment import listing
from bursa.journal.write import JournalWriter
from tests.pipeline import market, rows, running

SCRIPT = market.channels(minutes=3, share=0.0)
SECTOR, TAIL = 512, 64 * 1024
# Besides the long run's every sector: so many of them, and images as chance has them.
SECTORS, IMAGES, SOAK_IMAGES = 8, 12, 1_000


@dataclass(frozen=True)
class Made:
    """A folder whose store stands at the end of a first life, and its journal after a second one
    that committed nothing; `records` are all of it, `base` is where the second one's segment is."""

    data: Path
    records: list[Record]
    base: int

    @property
    def path(self) -> Path:
        return next(s.path for s in listing(self.data / "journal" / "idx") if s.base == self.base)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    data = tmp_path_factory.mktemp("power") / "data"
    running.warm()
    halves = [len(steps) // 3 for steps in SCRIPT]
    first = [steps[:n] for steps, n in zip(SCRIPT, halves, strict=True)]
    store = running.open_store(data)
    venue = running.runtime(data, store, running.knobs())
    feed = running.Script(first, Random(1), 20)
    venue.start([feed])
    running.until(feed.told.is_set, "the first life's end")
    assert venue.stop(running.RUN_S)
    store.close()
    folder = data / "journal" / "idx"
    writer = JournalWriter(folder, "idx", now_ns=running.WallClock().now_ns)
    rest = [steps[n:] for steps, n in zip(SCRIPT, halves, strict=True)]
    for item in market.cut(rest, Random(2), 6):
        writer.append([item])
    base = writer.base
    writer.close()
    records = list(JournalReader(folder).records())
    assert writer.position - base > 2 * TAIL
    return Made(data, records, base)


def discarded(image: bytearray, synced: int, rng: Random) -> str:
    """All that was not synced, to the byte."""
    del image[synced:]
    return "discarded"


def torn(image: bytearray, synced: int, rng: Random) -> str:
    """The last write, at a sector of the last 64 KiB."""
    first = max(-(-synced // SECTOR), (len(image) - TAIL) // SECTOR)
    return torn_at(SECTOR * rng.randint(first, len(image) // SECTOR), image, rng)


def torn_at(sector: int, image: bytearray, rng: Random) -> str:
    """The last write, at this byte."""
    rest = len(image) - sector
    filler = rng.choice(("", "zeros", "garbage", "older blocks"))
    old = bytes(image[2048 : 2048 + rest])
    image[sector:] = {"": b"", "zeros": bytes(rest), "garbage": rng.randbytes(rest)}.get(
        filler, old
    )
    return f"torn at {sector}, then {filler or 'nothing'}"


def reordered(image: bytearray, synced: int, rng: Random) -> str:
    """Some sectors of it never came, in whatever order they were written."""
    sectors = range(-(-synced // SECTOR), len(image) // SECTOR)
    lost = rng.sample(sectors, min(len(sectors), rng.choice((1, 2, 20))))
    for sector in lost:
        filler = rng.choice((bytes(SECTOR), rng.randbytes(SECTOR)))
        image[sector * SECTOR : (sector + 1) * SECTOR] = filler
    if rng.random() < 0.5:
        del image[rng.randint(max(synced, len(image) - TAIL), len(image)) :]
    return f"{len(lost)} sectors lost"


KINDS: tuple[Callable[[bytearray, int, Random], str], ...] = (discarded, torn, torn, reordered)


def sectors_of(made: Made) -> range:
    """Where the last write may have been torn: each sector of the last 64 KiB."""
    end = made.path.stat().st_size // SECTOR * SECTOR
    return range(end - TAIL + SECTOR, end + SECTOR, SECTOR)


def fail(
    made: Made, data: Path, rng: Random, nth: int, sector: int | None = None
) -> tuple[int, str]:
    """Make an image, torn at a sector or as chance has it: what was synced of it, and how it came
    about."""
    shutil.copytree(made.data, data)
    inside = [r.position for r in made.records if r.position > made.base]
    known = [p for p in inside if p > inside[-1] - 2 * TAIL][:-1] + [made.base]
    path = data / made.path.relative_to(made.data)
    image = bytearray(path.read_bytes())
    if sector is None:
        synced = rng.choice(known)
        how = KINDS[nth % len(KINDS)](image, max(synced - made.base, 2048), rng)
    else:
        synced = rng.choice([p for p in known if p <= made.base + sector])
        how = torn_at(sector, image, rng)
    path.write_bytes(image)
    # The mark is written after each sync and not synced itself: it may be older, or not there.
    folder = data / "journal" / "idx"
    (folder / MARK).unlink()
    said = rng.choice((synced, synced, made.base))
    mark = Mark(folder)
    mark.write(max(said, made.records[0].position), 2)
    mark.close()
    return synced, f"{how}, synced {synced}, mark {said}"


def check(made: Made, data: Path, synced: int) -> None:
    """Start it, feed the rest, and compare."""
    store = running.open_store(data)
    venue = running.runtime(data, store, running.knobs())
    feed = running.Script(SCRIPT, Random(1), 50)
    try:
        venue.start([feed])
        running.until(feed.told.is_set, "the feed's end")
    finally:
        assert venue.stop(running.RUN_S)
        store.close()
    journal = data / "journal" / "idx"
    found = list(JournalReader(journal).records())
    durable = [r for r in made.records if r.position <= synced]
    assert found[: len(durable)] == durable
    for channel, steps in enumerate(SCRIPT):
        sent = [(s.session, s.number) for s in steps if isinstance(s, market.Message)]
        kept = [
            (record.session, record.first_seq + n)
            for record in found
            if record.channel == channel
            for n in range(record.count)
        ]
        assert kept == sent
    stored = running.stored(data / "hot.duckdb")
    assert rows.hashes(stored) == rows.hashes(running.rebuilt(journal))


@pytest.mark.timeout(7200)
def test_whatever_a_power_loss_leaves_ends_as_if_it_had_not_been(
    made: Made, tmp_path: Path, soak: bool
) -> None:
    seed = Random().randrange(2**32)
    print(f"seed {seed}")
    rng = Random(seed)
    sectors = sectors_of(made)
    assert len(sectors) == TAIL // SECTOR
    torn_there = sectors if soak else sorted(rng.sample(sectors, SECTORS))
    wanted = [*torn_there, *[None] * (SOAK_IMAGES if soak else IMAGES)]
    for nth, sector in enumerate(wanted):
        data = tmp_path / str(nth)
        synced, how = fail(made, data, rng, nth, sector)
        print(f"{nth}: {how}", flush=True)
        check(made, data, synced)
        shutil.rmtree(data)
