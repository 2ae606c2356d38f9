"""bursa is killed with SIGKILL under load, again and again, and the exchange lives on.

At random, inside an fsync, an insert and a commit; every other time a power loss is made up: what
the journal had not synced is cut off or torn. After the last start it catches up and stops, and the
books are balanced: every message that the exchange sent is in the journal once, every trade in the
store once, and every table is what a rebuild from the journal alone gives, in every column.
"""

import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from shutil import copytree, rmtree
from signal import SIGKILL
from threading import Event
from time import monotonic, sleep

import duckdb
import pytest
from xxhash import xxh3_64_intdigest

from bursa.exchange.stream import generate
from bursa.journal.read import JournalReader
from bursa.model.batch import FRAMES
from tests.faults import wire
from tests.faults.exchange import Exchange, Relay, relayed
from tests.faults.process import Bursa, configure
from tests.pipeline import rows, running

CYCLES, SOAK_CYCLES = 5, 10
SOAK_RUNS = 25
# Some 10,000 messages a second; what is sent while bursa is dead comes at once when it is back.
TICKERS, SPEED = 10, 600
LINGER_MS = 2.0
PLACES = ("fsync", "insert", "commit")
AT = (*PLACES, "random", "random")
CATCH_UP_S, PLACE_S = 150.0, 90.0


@dataclass
class Killed:
    """One kill: where it was to fall, what was under way, and what the folder held then."""

    where: str
    inside: str
    end: int
    durable: int
    committed: int
    lost: str = ""

    def __str__(self) -> str:
        lag = f"journal {self.end:,}, synced {self.durable:,}, committed {self.committed:,}"
        return f"{self.where:7} inside {self.inside or 'nothing':14} {lag}{self.lost}"


@dataclass
class Ledger:
    """What came of a run."""

    kills: list[Killed] = field(default_factory=list)
    durable: int = 0
    recovery_s: list[float] = field(default_factory=list)
    restart_s: list[float] = field(default_factory=list)


def journal_end(journal: Path) -> tuple[Path, int, int]:
    """The last segment, its address and its size."""
    path = sorted(journal.glob("*.log"))[-1]
    return path, int(path.stem), path.stat().st_size


def committed(data: Path) -> int:
    """The smallest position that the dead folder's store has committed."""
    try:
        with duckdb.connect(str(data / "hot.duckdb"), read_only=True) as connection:
            found = connection.execute("select min(position) from bursa_positions").fetchall()
    except duckdb.Error:  # killed before its tables were made
        return 0
    return int(found[0][0] or 0)


def power_loss(data: Path, durable: int, rng: Random) -> str:
    """Take away some of what the journal had not synced: its end, and half the time sectors before
    it; the mark beside it may be older, for nobody syncs it after each sync."""
    path, base, size = journal_end(data / "journal" / "idx")
    floor = max(durable - base, wire.SEGMENT_HEADER)
    keep = rng.randint(floor, size)
    torn = 0
    with open(path, "r+b") as file:
        file.truncate(keep)
        for sector in range((floor + 511) // 512, keep // 512):
            if rng.random() < 0.1 and rng.random() < 0.5:
                file.seek(sector * 512)
                file.write(bytes(512))
                torn += 1
    older = rng.random() < 0.3
    if older:
        mark = data / "journal" / "idx" / "synced"
        said = struct.pack("<qq", base, struct.unpack_from("<qq", mark.read_bytes())[1])
        mark.write_bytes(said + struct.pack("<Q", xxh3_64_intdigest(said)))
    return f"; power loss: {size - keep:,} bytes cut, {torn} sectors torn" + ", old mark" * older


def killed(
    data: Path,
    verb: list[str],
    where: str,
    rng: Random,
    ledger: Ledger,
    power: bool = False,
    surely: bool = False,
) -> None:
    """One life: start, deliver for a while, die where it is to; `power` goes with it. The place may
    be left before the kill comes, but where it is to be met `surely`: it is kept inside then."""
    gap = {"BURSA_JOURNAL_SYNC_GAP_MS": rng.choice(("5", "5", "50"))}
    bursa = Bursa(data, verb, LINGER_MS, gap)
    hit = Event()
    if where == "random" and rng.random() < 0.3:
        sleep(rng.uniform(0.5, 4.0))  # perhaps before it listens, or while it recovers
    else:
        note_start(bursa, ledger)
        sleep(rng.uniform(0.1, 1.2))
        if surely:
            bursa.hold(where)
        elif where != "random":
            wait_s = rng.uniform(0.0, LINGER_MS / 1000)

            def reached(line: str) -> None:
                if line == where and not hit.is_set():
                    sleep(wait_s)
                    bursa.process.send_signal(SIGKILL)
                    hit.set()

            bursa.on_place = reached
            assert hit.wait(PLACE_S), f"no {where}: {bursa.log()[-2000:]}"
    bursa.kill()
    inside = ", ".join(name for name, count in bursa.inside.items() if count > 0)
    journal = data / "journal" / "idx"
    if not list(journal.glob("*.log")):
        ledger.kills.append(Killed(where, "the start", 0, 0, 0))
        return
    _, base, size = journal_end(journal)
    # What lies before a segment was synced before it began.
    ledger.durable = max(ledger.durable, bursa.durable, base)
    found = Killed(where, inside, base + size, ledger.durable, committed(data))
    assert found.committed <= found.durable, "the store ran ahead of the sync"
    if power:
        found.lost = power_loss(data, found.durable, rng)
    ledger.kills.append(found)
    print(found, flush=True)


def note_start(bursa: Bursa, ledger: Ledger) -> None:
    """Wait until it delivers; note how long that took."""
    bursa.url()
    listening = monotonic()
    bursa.recovered()
    ledger.recovery_s.append(monotonic() - listening)
    bursa.until(lambda: bursa.events("channel is up"), "a channel")
    ledger.restart_s.append(monotonic() - bursa.began)


def last_seqs(journal: Path, seen: dict[tuple[int, str], int], start: int) -> int:
    """How far each session is in the journal; reads on from `start`, returns where it stands."""
    for record in JournalReader(journal).records(start):
        if record.kind == FRAMES:
            seen[record.channel, record.session] = record.first_seq + record.count - 1
        start = record.position
    return start


def caught_up(data: Path, verb: list[str], relay: Relay, ledger: Ledger) -> int:
    """The last life: until all that was sent is journalled, then a clean stop. Returns sent."""
    bursa = Bursa(data, verb)
    journal = data / "journal" / "idx"
    try:
        note_start(bursa, ledger)
        sleep(1.0)
        relay.hold()
        seen: dict[tuple[int, str], int] = {}
        at = 0
        until = monotonic() + CATCH_UP_S
        stable = 0
        while stable < 5:
            at = last_seqs(journal, seen, at)
            stable = stable + 1 if seen == relay.sent else 0
            assert monotonic() < until, f"sent {relay.sent}, journalled {seen}"
            sleep(0.1)
        assert bursa.terminate() == 0, bursa.log()[-3000:]
    finally:
        bursa.end()
    return sum(relay.sent.values())


def check_messages(journal: Path, exchange: Exchange, relay: Relay) -> int:
    """The journal holds what the exchange's market gives, message by message, once. How many."""
    found = wire.messages(journal)
    assert {key: len(several) for key, several in found.items()} == relay.sent
    assert not JournalReader(journal).damaged
    live = datetime.fromisoformat(exchange.facts["live_day"]).date()
    days = {session[:6] for _, session in found}
    for text in days:
        day = datetime.strptime(text, "%y%m%d").date()
        made = generate(day, exchange.facts["seed"], tickers=TICKERS, books=day >= live)
        for channel, stream in enumerate(made):
            several = found.get((channel, text + "DI"[channel]), [])
            assert several == [m for m, _ in zip(wire.packets(stream), several, strict=False)]
    return sum(len(several) for several in found.values())


def check_ticks(data: Path) -> int:
    """Every trade of the journal is in the store, once, as it was sent. How many."""
    with duckdb.connect(str(data / "hot.duckdb"), read_only=True) as connection:
        found = connection.execute(
            "select ticker, ts, trade_no, board, price, volume, aggressor, seq from idx_ticks"
            " order by ts, seq"
        ).fetchall()
    assert found == wire.ticks(data / "journal" / "idx")
    assert not [key for key, count in Counter(r[:3] for r in found).items() if count > 1]
    return len(found)


def rebuilt(data: Path, folder: Path) -> dict[str, str]:
    """The tables' hashes of a folder that was made from the journal alone."""
    copytree(data / "journal" / "idx", folder / "journal" / "idx")
    config = configure(folder / "c.toml")
    own = str(folder / "journal" / "idx")
    bursa = Bursa(folder, ["replay", own, "--venue", "idx", "--config", str(config)])
    try:
        bursa.process.wait(240)
        assert bursa.process.returncode == 0, bursa.log()[-3000:]
    finally:
        bursa.end()
    return rows.hashes(running.stored(folder / "hot.duckdb"))


@contextmanager
def market(folder: Path) -> Iterator[tuple[Exchange, Relay]]:
    options = ["--tickers", str(TICKERS), "--history-days", "1", "--speed", str(SPEED)]
    with relayed(folder, *options) as found:
        yield found


def balanced(tmp_path: Path, relay: Relay, exchange: Exchange, rng: Random, cycles: int) -> None:
    """One run of kills on a new folder; its books are balanced and printed."""
    data, ledger = tmp_path / "data", Ledger()
    verb = ["up", "--config", str(configure(tmp_path / "c.toml", relay.ports))]
    for cycle in range(cycles):
        killed(data, verb, AT[cycle % len(AT)], rng, ledger, power=cycle % 2 == 1)
    for where in PLACES:
        if not any(where in kill.inside for kill in ledger.kills):
            killed(data, verb, where, rng, ledger, surely=True)
            assert where in ledger.kills[-1].inside, f"no kill falls inside {where}"
    sent = caught_up(data, verb, relay, ledger)
    journalled = check_messages(data / "journal" / "idx", exchange, relay)
    stored = check_ticks(data)
    found = rows.hashes(running.stored(data / "hot.duckdb"))
    again = rebuilt(data, tmp_path / "rebuilt")
    for kind in found:
        print(f"{kind:11} {found[kind]:35} rebuilt {again[kind]}")
    print(
        f"sent {sent:,} = journalled {journalled:,}, trades stored {stored:,}, duplicates 0;"
        f" {relay.connections} connections"
    )
    for name, took in (("recovery", ledger.recovery_s), ("whole restart", ledger.restart_s)):
        print(f"{name}: median {sorted(took)[len(took) // 2]:.2f} s, at most {max(took):.2f} s")
    assert sent == journalled
    assert found == again


@pytest.mark.timeout(7200)
def test_nothing_is_lost_or_doubled_by_kills(tmp_path: Path, soak: bool) -> None:
    seed = Random().randrange(2**32)
    print(f"seed {seed}")
    rng = Random(seed)
    for run in range(SOAK_RUNS if soak else 1):
        folder = tmp_path / str(run)
        with market(folder / "exchange") as (exchange, relay):
            balanced(folder, relay, exchange, rng, SOAK_CYCLES if soak else CYCLES)
        rmtree(folder)
