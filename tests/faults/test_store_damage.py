"""What a disk may do to the store's file and log: a flipped bit, a log that ends too early (P4).

Whatever it was: each read gives what was committed, up to some commit, or says that the file is
damaged; never another row. What is set aside the journal brings again.
"""

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from bursa.model.errors import Retry
from bursa.model.schema import OHLCV, TICKS
from bursa.model.venue import IDX
from bursa.store.duckdb import DuckStore
from tests.fakes.store import Row, rows_of
from tests.pipeline import market, rows, running
from tests.store.contract import ALL, KINDS, bar, batch, put, tick

FLIPS, SOAK_FLIPS = 8, 500
SECTOR = 512
SCRIPT = market.channels(minutes=3, share=0.0)


@dataclass(frozen=True)
class Files:
    """A store's file and log as a kill leaves them, the file with all folded in, its rows."""

    file: bytes
    log: bytes
    folded: bytes
    ticks: list[Row]
    bars: list[Row]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    path = tmp_path_factory.mktemp("made") / "hot.duckdb"
    store = DuckStore(path, [IDX], KINDS)
    for nth in range(6):
        first = nth * 200 + 1
        trades = [tick("BBCA", n) for n in range(first, first + 200)]
        put(store, batch(TICKS, trades), batch(OHLCV, [bar("BBCA", nth, position=first + 199)]))
    log = path.with_name(path.name + ".wal")
    file, left = path.read_bytes(), log.read_bytes()
    told = rows_of(store.ticks("idx", "BBCA", *ALL)), rows_of(store.bars("idx", "BBCA", *ALL))
    store.close()
    return Files(file, left, path.read_bytes(), *told)


def flipped(data: bytes, rng: Random) -> bytes:
    image = bytearray(data)
    at = rng.randrange(len(image))
    image[at] ^= 1 << rng.randrange(8)
    return bytes(image)


def images(files: Files, rng: Random, soak: bool) -> Iterator[tuple[str, bytes, bytes]]:
    """What happened, the file and the log then."""
    for _ in range(SOAK_FLIPS if soak else FLIPS):
        yield "a bit of the file", flipped(files.folded, rng), b""
        yield "a bit of the log", files.file, flipped(files.log, rng)
    ends = range(0, len(files.log), SECTOR)
    for end in ends if soak else sorted(rng.sample(ends, FLIPS)):
        yield "the log's end", files.file, files.log[:end]


def upto(wanted: Sequence[Row], position: int) -> list[Row]:
    return [row for row in wanted if row["position"] <= position]


def outcome(path: Path, files: Files) -> str:
    """What a store makes of it; every row that it gives is right."""
    store = DuckStore(path, [IDX], KINDS)
    try:
        at = store.positions()
        ticks, bars = store.ticks("idx", "BBCA", *ALL), store.bars("idx", "BBCA", *ALL)
        for name, found, wanted in (("ticks", ticks, files.ticks), ("ohlcv", bars, files.bars)):
            position = at[f"idx.{name}"].position if at else 0
            assert rows_of(found) == upto(wanted, position), name
        held = "all" if len(ticks) == len(files.ticks) else "some" if at else "nothing"
        return f"{'set aside, ' if store.set_aside else ''}{held} is there"
    except Retry as damaged:
        assert "damaged" in str(damaged), damaged
        return "a read says that it is damaged"
    finally:
        store.close()


def test_a_damaged_store_never_gives_another_row(files: Files, tmp_path: Path, soak: bool) -> None:
    seed = Random().randrange(2**32)
    print(f"seed {seed}")
    told: Counter[str] = Counter()
    for nth, (what, file, log) in enumerate(images(files, Random(seed), soak)):
        folder = tmp_path / str(nth)
        folder.mkdir()
        path = folder / "hot.duckdb"
        path.write_bytes(file)
        if log:
            path.with_name(path.name + ".wal").write_bytes(log)
        told[f"{what}: {outcome(path, files)}"] += 1
        shutil.rmtree(folder)
    for line, count in sorted(told.items()):
        print(f"{count:5}  {line}")
    assert any(line.startswith("a bit of the log: set aside") for line in told)
    assert any(line.startswith("the log's end: some") for line in told)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a kill leaves it: its store has a log that is not folded in."""
    data = tmp_path_factory.mktemp("killed") / "data"
    halves = [steps[: len(steps) // 2] for steps in SCRIPT]
    store = running.open_store(data)
    venue = running.runtime(data, store, running.knobs())
    feed = running.Script(halves, Random(1), 20)
    venue.start([feed])
    running.until(feed.told.is_set, "the feed's end")
    running.until(lambda: venue.committed >= venue.journal.position, "the last commit")
    image = data.parent / "image"
    shutil.copytree(data, image)
    assert venue.stop(running.RUN_S)
    store.close()
    assert (image / "hot.duckdb.wal").stat().st_size
    return image


@pytest.mark.parametrize("what", ["a bit of the log", "the log's end", "a bit of the file", "gone"])
def test_what_is_set_aside_the_journal_brings_again(
    killed: Path, tmp_path: Path, what: str
) -> None:
    seed = Random().randrange(2**32)
    print(f"seed {seed}")
    rng, data = Random(seed), tmp_path / "data"
    shutil.copytree(killed, data)
    file, log = data / "hot.duckdb", data / "hot.duckdb.wal"
    if what == "a bit of the log":
        log.write_bytes(flipped(log.read_bytes(), rng))
    elif what == "the log's end":
        log.write_bytes(log.read_bytes()[: rng.randrange(log.stat().st_size)])
    elif what == "a bit of the file":  # in its headers, which each opening reads
        file.write_bytes(flipped(file.read_bytes()[:8192], rng) + file.read_bytes()[8192:])
    else:
        file.unlink()
        log.unlink()
    store = running.open_store(data)
    venue = running.runtime(data, store, running.knobs())
    feed = running.Script(SCRIPT, Random(2), 50)
    venue.start([feed])
    running.until(feed.told.is_set, "the feed's end")
    assert venue.stop(running.RUN_S)
    print(f"{what}: {[path.name for path in store.set_aside]}")
    store.close()
    found = running.stored(data / "hot.duckdb")
    assert rows.hashes(found) == rows.hashes(running.rebuilt(data / "journal" / "idx"))
    sent = {s.number for s in SCRIPT[0] if isinstance(s, market.Message)}
    assert sent and len(found["ticks"]) > 100
