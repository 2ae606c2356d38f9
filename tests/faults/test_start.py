"""Wrong states at a start, and the stop: each is mended, or refused with a reason; the rows are the
journal's either way.
"""

import json
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from random import Random
from shutil import Error, copytree, rmtree
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import duckdb
import pytest
from structlog.testing import capture_logs

from bursa.journal import checkpoint
from bursa.journal.closed import compress
from bursa.journal.segment import listing, name_of, opened
from bursa.model.errors import Refuse
from bursa.pipeline.runtime import VenueRuntime
from tests.faults.exchange import Relay, relayed
from tests.faults.process import Bursa, configure
from tests.pipeline import market, rows, running

SCRIPT = market.channels(minutes=5, share=0.01)
DAY = date(2025, 11, 20)


def start(data: Path) -> tuple[VenueRuntime, Any]:
    store = running.open_store(data)
    venue = running.runtime(data, store, running.knobs(checkpoint_s=0.2))
    try:
        venue.start([running.Script(SCRIPT, Random(1), 40, pace_s=0.01)])
    except BaseException:
        store.close()
        raise
    return venue, store


def finish(data: Path) -> VenueRuntime:
    """A start, the rest of the market, a stop; the store holds what the journal gives, and all of
    the market is in it."""
    store = running.open_store(data)
    venue = running.runtime(data, store, running.knobs())
    feed = running.Script(SCRIPT, Random(1), 40)
    venue.start([feed])
    running.until(feed.told.is_set, "the feed's end")
    assert venue.stop(running.RUN_S)
    store.close()
    found = running.stored(data / "hot.duckdb")
    assert rows.hashes(found) == rows.hashes(running.rebuilt(data / "journal" / "idx"))
    sent = sum(isinstance(step, market.Message) for steps in SCRIPT for step in steps)
    assert sum(state.next_seq for state in venue.ingest.channels) > 0 if venue.ingest else False
    kept = sum(record.count for record in running.frames_of(data / "journal" / "idx"))
    assert kept == sent
    return venue


def copied(source: Path, image: Path) -> None:
    """Copy a folder whose files come and go: begun again where one went meanwhile."""
    for _ in range(20):
        try:
            copytree(source, image)
            return
        except (Error, FileNotFoundError):
            rmtree(image)
    copytree(source, image)


@pytest.fixture(scope="module")
def died(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a kill leaves it in the market's midst: nothing closed, the store's log not
    folded into its file, several checkpoints. The store is copied first: the journal may be ahead.
    """
    data = tmp_path_factory.mktemp("died") / "data"
    image = data.parent / "image"
    venue, store = start(data)
    folder = data / "checkpoints" / "idx"
    running.until(lambda: len(checkpoint.listing(folder)) >= 2, "two checkpoints")
    at = venue.journal.position
    running.until(lambda: venue.committed >= at > 0, "a commit")
    image.mkdir()
    with store._lock:
        for path in data.glob("hot.duckdb*"):
            (image / path.name).write_bytes(path.read_bytes())
    try:
        for name in ("checkpoints", "journal"):
            copied(data / name, image / name)
    finally:
        venue.stop(running.RUN_S)
        store.close()
    assert (image / "hot.duckdb.wal").stat().st_size > 10_000
    return image


@pytest.fixture
def data(died: Path, tmp_path: Path) -> Path:
    copytree(died, tmp_path / "data")
    return tmp_path / "data"


def checkpoints(data: Path) -> list[checkpoint.Checkpoint]:
    return checkpoint.listing(data / "checkpoints" / "idx")


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)


def cut(journal: Path, at: int) -> None:
    """Let a journal end at an address. What is cut is plain, however the copy found it: packed, or
    under both of its names."""
    for segment in listing(journal):
        if segment.end <= at:
            continue
        content = bytearray(segment.size)
        with opened(segment.path) as source:
            source.read(0, memoryview(content))
        for path in journal.glob(f"{segment.base:020d}.log*"):
            path.unlink()
        if segment.base < at:
            (journal / name_of(segment.base)).write_bytes(content[: at - segment.base])


def test_a_flipped_bit_of_a_compressed_segment_is_healed_and_said(
    data: Path,
) -> None:
    """Nothing is lost, though all is read from the first record on; and it is told once."""
    rmtree(data / "checkpoints")
    first = listing(data / "journal" / "idx")[0]
    if not first.packed:
        assert compress(first.path)
    [packed] = [s for s in listing(data / "journal" / "idx") if s.base == first.base]
    flip(packed.path, packed.disk_bytes // 3)
    with capture_logs() as said:
        venue = finish(data)
    [line] = [one for one in said if one["event"] == "journal was damaged here and is healed"]
    assert (line["offset"], line["part"], line["bytes"]) == (packed.disk_bytes // 3, "frame", 1)
    metrics = {
        sample.name: sample.value
        for family in venue.parts.telemetry.registry.collect()
        for sample in family.samples
        if sample.name.startswith("bursa_journal_") and sample.labels == {"venue": "idx"}
    }
    assert metrics["bursa_journal_healed_total"] == 1
    assert metrics.get("bursa_journal_damaged_total", 0) == 0


def test_as_a_kill_leaves_it(data: Path) -> None:
    venue = finish(data)
    assert venue.recovered is not None and venue.recovered.checkpoint > 0


def test_a_checkpoint_past_the_journals_end_is_deleted(data: Path) -> None:
    """The store is gone too, so that the journal may be cut that short."""
    for path in data.glob("hot.duckdb*"):
        path.unlink()
    oldest = checkpoints(data)[0]
    beyond = checkpoints(data)[-1].path
    cut(data / "journal" / "idx", oldest.position - 8)
    # One that a half written record could be mistaken for the start of.
    odd = beyond.with_name(f"{oldest.position + 24:020d}-{DAY:%Y%m%d}.checkpoint")
    odd.write_bytes(beyond.read_bytes())
    venue, store = start(data)
    assert not odd.exists() and not beyond.exists()
    assert venue.recovered is not None and venue.recovered.checkpoint == 0
    venue.stop(running.RUN_S)
    store.close()
    finish(data)


@pytest.mark.parametrize("how_many", [1, 99])
def test_a_corrupt_checkpoint_is_passed_over(data: Path, how_many: int) -> None:
    found = checkpoints(data)
    for one in found[::-1][:how_many]:
        flip(one.path, one.path.stat().st_size // 2)
    usable = [one.position for one in found][: max(0, len(found) - how_many)]
    venue = finish(data)
    assert venue.recovered is not None
    assert venue.recovered.checkpoint in (*usable, 0)
    if not usable:
        assert venue.recovered.checkpoint == 0


def test_a_checkpoint_of_other_code_is_passed_over(data: Path) -> None:
    found = checkpoints(data)[-1]
    for one in checkpoints(data):
        one.path.unlink()
    checkpoint.save(
        found.path.parent, position=found.position, epoch=1, day=DAY, signature="older", state={}
    )
    venue = finish(data)
    assert venue.recovered is not None and venue.recovered.checkpoint == 0


def test_a_flipped_store_log_is_set_aside_and_filled_again(data: Path) -> None:
    rng = Random()
    seed = rng.randrange(2**32)
    print(f"seed {seed}")
    rng.seed(seed)
    size = (data / "hot.duckdb.wal").stat().st_size
    original = data.with_name("original")
    copytree(data, original)
    aside = 0
    for at in [rng.randrange(size) for _ in range(4)] + [size // 2]:
        rmtree(data)
        copytree(original, data)
        flip(data / "hot.duckdb.wal", at)
        finish(data)
        aside += bool(list(data.glob("hot.duckdb.aside-*")))
    assert aside > 0


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_cut_store_log_is_filled_again(data: Path, share: float) -> None:
    log = data / "hot.duckdb.wal"
    with open(log, "r+b") as file:
        file.truncate(int(log.stat().st_size * share))
    finish(data)


def test_a_store_that_is_gone_is_filled_again(data: Path) -> None:
    for path in data.glob("hot.duckdb*"):
        path.unlink()
    venue = finish(data)
    assert venue.recovered is not None and venue.recovered.checkpoint == 0


def test_a_ruined_store_is_set_aside_and_filled_again(data: Path) -> None:
    store = data / "hot.duckdb"
    (data / "hot.duckdb.wal").unlink()
    store.write_bytes(b"\x00" * 5000 + store.read_bytes()[5000:])
    finish(data)
    assert list(data.glob("hot.duckdb.aside-*"))


def test_a_journal_shorter_than_what_is_committed_is_refused(data: Path) -> None:
    """And nothing is changed, so that the right journal may be brought back: not even what a kill
    left half compressed is swept."""
    journal = data / "journal" / "idx"
    with duckdb.connect(str(data / "hot.duckdb"), read_only=True) as connection:
        (row,) = connection.execute("select min(position) from bursa_positions").fetchall()
    (journal / "00000000000000999999.log.zst.tmp").write_bytes(b"half a segment")
    files = {path: path.read_bytes() for path in journal.iterdir()}
    cut(journal, row[0] - 8)
    left = {path: path.read_bytes() for path in journal.iterdir()}
    with pytest.raises(Refuse, match=rf"journal ends at \d+, but the store has committed {row[0]}"):
        start(data)
    assert {path: path.read_bytes() for path in journal.iterdir()} == left
    for path in left:
        path.unlink()
    for path, content in files.items():
        path.write_bytes(content)
    finish(data)


def test_a_journal_that_is_gone_is_refused(data: Path) -> None:
    rmtree(data / "journal")
    with pytest.raises(Refuse, match="journal_short|has committed"):
        start(data)


# The program itself


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    folder = tmp_path_factory.mktemp("exchange") / "state"
    options = ["--tickers", "10", "--history-days", "1", "--speed", "600"]
    with relayed(folder, *options) as (_, relay):
        yield relay


def test_one_process_holds_a_folder_and_a_stop_is_clean(tmp_path: Path, exchange: Relay) -> None:
    """A second one is refused with who holds it; SIGTERM under load commits all that was taken and
    stores no open bar; a lock that a dead process left is nobody's."""
    data = tmp_path / "data"
    verb = ["up", "--config", str(configure(tmp_path / "c.toml", exchange.ports))]
    first = Bursa(data, verb)
    second = None
    try:
        url = first.url()
        first.until(lambda: first.events("channel is up"), "a channel")
        second = Bursa(data, verb)
        assert second.process.wait(150) == 1
        said = second.log()
        assert f"held by process {first.process.pid} since" in said and url in said
        assert "Traceback" not in said
        first.until(lambda: len(running.journal_files(data)) >= 2, "some journal")
        assert first.terminate() == 0, first.log()[-2000:]
        (stopped,) = first.events("stopped")
        assert stopped["committed"] == stopped["position"] > 0
        check_no_open_bars(data)
        killed = Bursa(data, verb)
        killed.url()
        killed.kill()
        assert json.loads((data / "lock").read_bytes())["pid"] == killed.process.pid
        first = Bursa(data, verb)
        assert first.recovered()["committed"] == stopped["position"]
        assert first.terminate() == 0
    finally:
        first.end()
        if second is not None:
            second.end()


def check_no_open_bars(data: Path) -> None:
    with duckdb.connect(str(data / "hot.duckdb"), read_only=True) as connection:
        bars, final = connection.execute(
            "select count(*), sum(final::int) from idx_ohlcv"
        ).fetchall()[0]
        newest = connection.execute("select max(ts) from idx_ticks where board = 'RG'").fetchall()
        closed = connection.execute("select max(ts) from idx_ohlcv").fetchall()
    assert bars == final > 0
    assert closed[0][0] < newest[0][0]


def test_what_cannot_start_says_why(tmp_path: Path, exchange: Relay) -> None:
    data = tmp_path / "data"
    verb = ["up", "--config", str(configure(tmp_path / "c.toml", exchange.ports))]
    bursa = Bursa(data, verb)
    try:
        bursa.until(lambda: bursa.events("channel is up"), "a channel")
        bursa.until(lambda: len(running.journal_files(data)) >= 2, "some journal")
        assert bursa.terminate() == 0
        for path in running.journal_files(data):
            path.unlink()
        bursa = Bursa(data, verb)
        assert bursa.process.wait(150) == 1
        assert "the journal ends at 0, but the store has committed" in bursa.log()
        assert "Traceback" not in bursa.log()
        wrong = configure(tmp_path / "w.toml", exchange.ports, password="wrong")
        bursa = Bursa(tmp_path / "other", ["up", "--config", str(wrong)])
        assert bursa.process.wait(150) == 1
        assert re.search(r"login on \w+ is refused", bursa.log())
        assert "Traceback" not in bursa.log()
    finally:
        bursa.end()


def asked(url: str) -> tuple[int, dict[str, Any]]:
    """Status and body of an answer."""
    try:
        with urlopen(url) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)


def test_a_store_that_cannot_be_opened_is_waited_for_and_said(data: Path, tmp_path: Path) -> None:
    """In the log, by /ready and on the pages; and nothing is done without it."""
    hot, aside = data / "hot.duckdb", tmp_path / "aside"
    aside.mkdir()
    for path in data.glob("hot.duckdb*"):
        path.rename(aside / path.name)
    hot.mkdir()
    journal = running.journal_files(data)
    bursa = Bursa(data, ["up", "--config", str(configure(tmp_path / "c.toml"))])
    try:
        url = bursa.url()
        bursa.until(lambda: bursa.events("store is away, the start waits"), "the wait")
        status, ready = asked(f"{url}/ready")
        away = "recovery of idx: the store, which is away: "
        assert status == 503 and ready["waiting_for"].startswith(away)
        assert not ready["dependencies"]["hot"]["ok"]
        _, tape = asked(f"{url}/web/tape?venue=idx")
        assert tape["fresh"] == "start" and tape["starting"].startswith(away)
        assert not bursa.events("recovered") and running.journal_files(data) == journal
        hot.rmdir()
        for path in aside.iterdir():
            path.rename(data / path.name)
        assert bursa.recovered()["committed"] > 0
        bursa.until(lambda: asked(f"{url}/ready")[0] == 200, "it is ready")
        assert asked(f"{url}/web/tape?venue=idx")[1]["starting"] is None
        assert bursa.terminate() == 0, bursa.log()[-2000:]
    finally:
        bursa.end()
