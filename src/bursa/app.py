"""The composition root: a configuration becomes a running program. The only file that names adapters.

`run_up` runs all of bursa in this process, `run_replay` journals and stores one recording,
`run_sql` asks one question. Each holds the data folder while it works.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bursa.bus.memory import Limits, MemoryBus
from bursa.config import Config
from bursa.feeds.replay import ReplayFeed
from bursa.journal import record
from bursa.model.batch import Words
from bursa.model.errors import Refuse
from bursa.model.venue import VENUES, Venue
from bursa.ops import logs
from bursa.ops.telemetry import Telemetry
from bursa.pipeline.line import Decoder, Line, kinds
from bursa.pipeline.runtime import Knobs, Parts, VenueRuntime
from bursa.pipeline.writer import Flush
from bursa.ports import Feed
from bursa.store import question, sql
from bursa.store.duckdb import DuckStore
from bursa.store.engine import Options
from bursa.store.folder import DataFolder
from bursa.store.rings import Rings
from bursa.wire.binance import BinanceDecoder
from bursa.wire.idx import IdxDecoder

MB = 1 << 20
STORE_FILE = "hot.duckdb"
DECODERS: Mapping[str, Callable[[Venue, Words], Decoder]] = {
    "idx": IdxDecoder,
    "binance": BinanceDecoder,
}


class SystemClock:
    """ports.Clock on the machine's clock; where that steps back, this one stands still."""

    def __init__(self) -> None:
        self._newest = 0

    def now_ns(self) -> int:
        """Nanoseconds since 1970 UTC."""
        self._newest = max(self._newest, time.time_ns())
        return self._newest


def knobs(config: Config, venue: Venue) -> Knobs:
    """What a venue's runtime takes of the configuration."""
    stored = getattr(config, venue.name)
    keep = {kind: getattr(stored, kind).store for kind in ("quotes", "snapshot", "orderbook")}
    days = {
        kind: getattr(config.retention, f"{kind}_days")
        for kind in ("ticks", "quotes", "snapshot", "orderbook")
    }
    return Knobs(
        sync_gap_s=config.journal.sync_gap_ms / 1000,
        sync_bytes=config.journal.sync_kb * 1024,
        segment_bytes=config.journal.segment_mb * MB,
        compress=config.journal.compress,
        checkpoint_s=config.checkpoint.every_s,
        checkpoint_bytes=config.checkpoint.every_mb * MB,
        flush=Flush(config.store.flush_rows, config.store.flush_ms / 1000),
        topics=Limits(config.topics.rows_max, config.topics.mb_max * MB),
        keep=keep,
        retain_days={kind: count for kind, count in days.items() if count},
        cap_bytes=int(config.retention.disk_gb * 1e9),
    )


@dataclass
class Bench:
    """What all venues of one process share."""

    config: Config
    data: Path
    store: DuckStore
    bus: MemoryBus
    clock: SystemClock
    telemetry: Telemetry

    def runtime(self, venue: Venue, feeds: Sequence[Feed]) -> VenueRuntime:
        """A venue's runtime with the adapters of this program."""
        words = Words(venue.boards, tuple(channel.name for channel in venue.channels))
        rings = Rings(venue, words, self.config.rings.depth, self.config.rings.mb * MB)
        decoder = DECODERS[venue.name]
        parts = Parts(self.store, rings, self.bus, self.clock, self.telemetry, decoder, feeds)
        return VenueRuntime(venue, words, self.data, parts, knobs(self.config, venue))


@contextlib.contextmanager
def bench(config: Config, venues: Sequence[Venue]) -> Iterator[Bench]:
    """Hold the data folder and open its store; close both at the end."""
    data = Path(config.data)
    with DataFolder(data) as folder:
        options = Options(threads=config.store.threads, memory_mb=config.store.memory_mb)
        telemetry = Telemetry()
        store = DuckStore(folder.path / STORE_FILE, venues, kinds(), options)
        try:
            telemetry.store_set_aside.inc(len(store.set_aside))
            yield Bench(config, folder.path, store, MemoryBus(), SystemClock(), telemetry)
        finally:
            store.close()


def run_replay(config: Config, file: Path, name: str, *, say: Console, warn: Console) -> int:
    """Journal a recording and store what it holds. Returns 0 only when all of it is committed."""
    logs.setup(config.log.level, config.log.format)
    venue = _venue(name)
    if _own_journal(Path(config.data), file, venue):
        return _replay_own(config, venue, say)
    with bench(config, [venue]) as shared, _progress(warn) as progress:
        task = progress.add_task(file.name, total=None, rows=0, rate=0)
        began = time.monotonic()

        def told(done: int, total: int) -> None:
            rows = runtime.writer.rows if runtime.writer is not None else 0
            rate = rows / max(0.1, time.monotonic() - began)
            progress.update(task, completed=done, total=total, rows=rows, rate=rate)

        feed = ReplayFeed(file, venue, progress=told)
        runtime = shared.runtime(venue, [feed])
        runtime.line.warm()
        runtime.start()
        assert runtime.ingest is not None
        while not runtime.ingest.finished.wait(0.1):
            pass
        stored = runtime.stop(timeout_s=3600.0)
        if runtime.ingest.failure is not None:
            raise runtime.ingest.failure
        rows = 0 if runtime.writer is None else runtime.writer.rows
    say.print(f"{file.name}: {rows:,} rows stored in {config.data}, venue {venue.name}")
    return 0 if stored else 1


def _replay_own(config: Config, venue: Venue, say: Console) -> int:
    """The folder's own journal: nothing is journalled again, what the store lacks is derived."""
    with bench(config, [venue]) as shared:
        runtime = shared.runtime(venue, [])
        runtime.line.warm()
        runtime.start()
        stored = runtime.stop(timeout_s=3600.0)
        rows = 0 if runtime.writer is None else runtime.writer.rows
    say.print(f"journal of {venue.name}: {rows:,} rows were missing and are stored now")
    return 0 if stored else 1


def _own_journal(data: Path, file: Path, venue: Venue) -> bool:
    folder = (data / "journal" / venue.name).resolve()
    return file.resolve() == folder or folder in file.resolve().parents


def _venue(name: str) -> Venue:
    venue = VENUES.get(name)
    if venue is None:
        raise Refuse(f"--venue: {name}; allowed: {', '.join(VENUES)}", parameter="venue")
    return venue


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[rows]:,} rows, {task.fields[rate]:,.0f} a second"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def warm() -> None:
    """Compile or load every kernel of every venue, as a start does before a port is bound."""
    for venue in VENUES.values():
        words = Words(venue.boards, tuple(channel.name for channel in venue.channels))
        decoder = DECODERS[venue.name](venue, words)
        Line(venue, words, decoder, {"orderbook": "1s"}).warm()
        Rings(venue, words, 60, MB).warm()
    record.warm()


def run_sql(config: Config, text: str, form: str) -> str:
    """Ask the stored tables; returns the answer as text. Refuses before it asks where the form is
    none of those allowed."""
    if form not in sql.FORMATS:
        raise Refuse(f"--format: {form}; allowed: {', '.join(sql.FORMATS)}", parameter="format")
    logs.setup(config.log.level, config.log.format)
    data = Path(config.data)
    limits = sql.Limits(config.sql.rows_max, config.sql.time_s)
    return sql.render(question.query(data, data / STORE_FILE, text, limits), form)
