"""The disk fills up under a running bursa, on a real small file system, and there is room again.

The feeds stop in a state that anyone can see, the lines stay connected, journal and store keep what
they have; then all goes on by itself. In the end every message that the exchange sent is in the
journal once, and the tables are what a rebuild from it gives.
"""

import os
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

from bursa.journal.read import JournalReader
from tests.faults.process import Bursa, configure
from tests.faults.test_kill import check_messages, check_ticks, last_seqs, market, rebuilt
from tests.pipeline import rows, running

# Room for the journal, the store and its log of these few seconds.
DISK = "256m"
FULL_S = 2.0
REFUSES = "journal refuses, feeds wait"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A data folder that is a file system of its own; only root can mount one."""
    folder = tmp_path / "data"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a tmpfs here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(ballast: Path) -> None:
    """To the last byte, also of the blocks that are only begun."""
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def asked(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as answered:
        return str(answered.read().decode())


def gauge(bursa: Bursa, name: str) -> float:
    found = re.search(r"telemetry\s+(http://\S+)", bursa.out())
    assert found is not None, bursa.out()
    [value] = re.findall(rf'^{name}{{venue="idx"}} (\S+)$', asked(found.group(1)), re.MULTILINE)
    return float(value)


def end_of(data: Path) -> int:
    return JournalReader(data / "journal" / "idx").end


def full(bursa: Bursa, data: Path, ballast: Path, times: int) -> int:
    """Fill the disk, again where the store gave some of it back, until nothing is journalled any
    more; where the journal stands then."""
    for _ in range(10):
        fill(ballast)
        bursa.until(lambda: len(bursa.events(REFUSES)) >= times, REFUSES)
        stood = end_of(data)
        sleep(FULL_S)
        if end_of(data) == stood:
            return stood
    raise AssertionError("the journal goes on on a full disk")


def goes_on(bursa: Bursa, data: Path, past: int) -> None:
    bursa.until(lambda: end_of(data) > past + 500_000, "it to go on")


def test_a_full_disk_stops_the_feeds_until_there_is_room(
    small: Path, tmp_path: Path, soak: bool
) -> None:
    with market(tmp_path / "exchange") as (exchange, relay):
        config = configure(tmp_path / "c.toml", relay.ports)
        bursa = Bursa(small, ["up", "--config", str(config)])
        try:
            url = bursa.url()
            bursa.until(lambda: len(running.journal_files(small)) >= 2, "some journal")
            ballast = small / "ballast"
            for nth in range(1, 6 if soak else 2):
                connections = relay.connections
                stood = full(bursa, small, ballast, nth)
                assert gauge(bursa, "bursa_journal_refusing") == 1
                assert "feeds wait" in asked(f"{url}/ready")
                assert not bursa.events("channel is down") and relay.connections == connections
                ballast.unlink()
                goes_on(bursa, small, stood)
                refused = len(bursa.events(REFUSES))
                assert len(bursa.events("journal takes again")) == refused >= nth
            assert gauge(bursa, "bursa_journal_refusing") == 0
            relay.hold()
            seen: dict[tuple[int, str], int] = {}
            at, until = 0, monotonic() + 120
            while at == 0 or seen != relay.sent:
                at = last_seqs(small / "journal" / "idx", seen, at)
                assert monotonic() < until, f"sent {relay.sent}, journalled {seen}"
                sleep(0.2)
            assert bursa.terminate() == 0, bursa.log()[-3000:]
        finally:
            bursa.end()
        sent = sum(relay.sent.values())
        journalled = check_messages(small / "journal" / "idx", exchange, relay)
        stored = check_ticks(small)
        retries = len(bursa.events("store is away, holding"))
        print(
            f"sent {sent:,} = journalled {journalled:,}, trades stored {stored:,}, duplicates 0;"
            f" the store was away {retries} times"
        )
        assert sent == journalled
        assert rows.hashes(running.stored(small / "hot.duckdb")) == rebuilt(
            small, tmp_path / "again"
        )
