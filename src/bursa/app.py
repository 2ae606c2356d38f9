"""The composition root: a configuration becomes a program. The only file that names adapters.

What a venue, its feeds and its store are made of; up.py runs all of it with the API and the pages,
the verbs what they need of it.
"""

import contextlib
import functools
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bursa.bus.memory import Limits, MemoryBus
from bursa.config import PASSWORD, Config, superadmin_password
from bursa.feeds import layouts
from bursa.history import gaps as history_gaps
from bursa.history import quality as history_quality
from bursa.jobs.job import Job, Maker
from bursa.jobs.makers import MAKERS
from bursa.journal import record
from bursa.metrics.catalog import Catalogue, catalogue
from bursa.model.batch import Words
from bursa.model.calendar import MINUTE_NS, SECOND_NS
from bursa.model.errors import Retry
from bursa.model.schema import Kind
from bursa.model.venue import IDX, VENUES, Venue, closed_until_ns
from bursa.ops.telemetry import Telemetry
from bursa.pipeline import books
from bursa.pipeline.buffer import Bounds
from bursa.pipeline.line import Decoder, Line, kinds
from bursa.pipeline.runtime import Knobs, Parts, VenueRuntime
from bursa.pipeline.switches import OFF, ON, PUBLISH, STORE, SWITCHED
from bursa.pipeline.upkeep import JournalLimits
from bursa.pipeline.writer import Flush
from bursa.state.database import HEAD, Database
from bursa.state.sqlite import STATE_FILE, StateDb
from bursa.store.cold_bulk import Bulk
from bursa.store.duckdb import DuckStore
from bursa.store.engine import Options
from bursa.store.floors import COLD_KINDS
from bursa.store.folder import BULK_FOLDER, COLD_FOLDER, STORE_FILE, DataFolder
from bursa.store.parquet import ColdStore
from bursa.store.rings import Rings
from bursa.store.tiered import Tiered
from bursa.wire.binance.decoder import BinanceDecoder
from bursa.wire.idx.decoder import IdxDecoder
from bursa.wire.itch50.decoder import ItchDecoder

if TYPE_CHECKING:
    from bursa.accounts.parts import Accounts

MB = 1 << 20
STORE_NAME = "duckdb"
# What looks at cold files alone (digests, exports) has an engine of its own, and needs little.
COLD_MEMORY_MB = 512
# The engine of a job that has the folder to itself, and works in pieces: it spills past that, but
# needs some blocks of each column of a row. A day of 700 tickers took 100 MB less so, and as long.
FRUGAL_MB, FRUGAL_COLUMN_MB, FRUGAL_LOG_MB = 64, 4 / 3, 4
# Under --demo the folder is capped, unless a cap is configured.
DEMO_DISK_GB = 5.0
DECODERS: Mapping[str, Callable[[Venue, Words], Decoder]] = {
    "idx": IdxDecoder,
    "binance": BinanceDecoder,
    "xnas": ItchDecoder,
}


class SystemClock:
    """ports.Clock on the machine's clock. Where that steps back, this one goes at half its pace
    until it is caught up with: one that stood still would hold up all that is done every so often,
    commits and checkpoints first."""

    def __init__(self) -> None:
        self._newest = 0
        self._at = time.monotonic_ns()

    def now_ns(self) -> int:
        """Nanoseconds since 1970 UTC."""
        before, self._at = self._at, time.monotonic_ns()
        self._newest = max(self._newest + (self._at - before) // 2, time.time_ns())
        return self._newest


def knobs(config: Config, venue: Venue) -> Knobs:
    """What a venue's runtime takes of the configuration."""
    days = {kind: getattr(config.retention, f"{kind}_days") for kind in COLD_KINDS}
    hours, minutes = getattr(config.drain, f"{venue.name}_at").split(":")
    return Knobs(
        sync_gap_s=config.journal.sync_gap_ms / 1000,
        sync_bytes=config.journal.sync_kb * 1024,
        segment_bytes=config.journal.segment_mb * MB,
        compress=config.journal.compress,
        checkpoint_s=config.checkpoint.every_s,
        checkpoint_bytes=config.checkpoint.every_mb * MB,
        flush=Flush(
            config.store.flush_rows,
            config.store.flush_ms / 1000,
            Bounds(config.store.buffer_rows, config.store.buffer_mb * MB),
        ),
        topics=Limits(config.topics.rows_max, config.topics.mb_max * MB),
        kinds=switches(config, venue.name),
        retain_days={kind: count for kind, count in days.items() if count},
        cap_bytes=int(config.retention.disk_gb * 1e9),
        drain_s=int(hours) * 3600 + int(minutes) * 60,
        journal_limits=JournalLimits(config.journal.keep_days, int(config.journal.keep_gb * 1e9)),
    )


def decoder_of(config: Config, venue: Venue) -> Callable[[Venue, Words], Decoder]:
    """What makes a venue's decoder. Raises Refuse `bad_layout`."""
    if venue == IDX:
        return functools.partial(IdxDecoder, layout=layouts.load(config.idx.layout))
    return DECODERS[venue.name]


def switches(config: Config, venue: str) -> dict[str, str]:
    """The switches that a venue has, as the configuration has them: `orderbook.store` -> `1s`."""
    table = getattr(config, venue, None)
    found = {}
    for kind in SWITCHED:
        switch = getattr(table, kind, None)
        if switch is not None:
            found[f"{kind}.{PUBLISH}"] = ON if switch.publish else OFF
            found[f"{kind}.{STORE}"] = switch.store
    return found


def with_demo(config: Config) -> Config:
    """The configuration of `--demo`: a capped data folder, where no other cap is given."""
    if config.retention.disk_gb:
        return config
    retention = msgspec.structs.replace(config.retention, disk_gb=DEMO_DISK_GB)
    return msgspec.structs.replace(config, retention=retention)


@dataclass
class Shop:
    """What all venues of one process share."""

    config: Config
    folder: DataFolder
    store: Tiered
    state: StateDb
    bus: MemoryBus
    clock: SystemClock
    telemetry: Telemetry
    catalogue: Catalogue

    def runtime(self, venue: Venue, serves: bool = True) -> VenueRuntime:
        """A venue's runtime with the adapters of this program; one that `serves` nobody keeps
        nothing in memory for readers."""
        words = venue.words()
        held = self.config.rings
        rings = Rings(venue, words, held.depth, held.mb * MB, self.catalogue)
        if not serves:
            rings = Rings(venue, words, 1, 1, self.catalogue, serves=False)
        decoder = decoder_of(self.config, venue)
        parts = Parts(
            self.store,
            rings,
            self.bus,
            self.clock,
            self.telemetry,
            decoder,
            self.catalogue,
            self.state,
        )
        return VenueRuntime(venue, words, self.folder.path, parts, knobs(self.config, venue))

    def closed_days(self, runtimes: Mapping[str, VenueRuntime]) -> tuple[Bulk, dict[str, int]]:
        """Closed days as files, which are for everybody, so they tell nothing of hd; and when each
        venue's are made, as a second of its day."""
        folder, hidden = self.folder.path / BULK_FOLDER, self.catalogue.telling("hd")
        bulk = Bulk(self.store.cold, folder, hidden)
        return bulk, {name: one.knobs.drain_s for name, one in runtimes.items()}


@contextlib.contextmanager
def shop(
    config: Config,
    folder: DataFolder,
    venues: Sequence[Venue],
    *,
    waits: bool = False,
    frugal: bool = False,
) -> Iterator[Shop]:
    """Open the store of a folder that is held, or, where it `waits`, as soon as that is possible;
    close it at the end. `frugal`: its engine takes as little memory as it does well with. Raises
    Refuse where the state database is a newer one, or damaged."""
    state = StateDb(folder.path / STATE_FILE)
    state.check()
    telemetry, metrics = Telemetry(), catalogue(config.metrics.extra)
    options = Options(config.store.threads, config.store.memory_mb, telemetry=telemetry)
    if frugal:
        least = max(FRUGAL_MB, int(FRUGAL_COLUMN_MB * len(metrics.kind.columns)))
        least = min(least, options.memory_mb)
        options = replace(options, threads=1, memory_mb=least, checkpoint_mb=FRUGAL_LOG_MB)
    store = _tiers(folder.path, venues, kinds(metrics), options, waits)
    telemetry.store_set_aside.inc(len(store.hot.set_aside) + len(store.cold.set_aside))
    try:
        yield Shop(config, folder, store, state, MemoryBus(), SystemClock(), telemetry, metrics)
    finally:
        store.close()
        state.close()


def _tiers(
    data: Path, venues: Sequence[Venue], kept: Sequence[Kind], options: Options, waits: bool
) -> Tiered:
    """Both tiers of a folder. Cold is opened first: a hot store that begins anew asks it where it
    begins. Who waits for them stays for long, and looks at the cold files that he reads."""
    folder, few = data / COLD_FOLDER, replace(options, memory_mb=COLD_MEMORY_MB)
    cold = ColdStore(folder, venues, kept, few, looks=waits)
    try:
        hot = DuckStore(
            data / STORE_FILE, venues, kept, options, waits, cold=folder, colder=cold.end_ns
        )
    except BaseException:
        cold.close()
        raise
    return Tiered(hot, cold)


@contextlib.contextmanager
def state_of(folder: DataFolder) -> Iterator[StateDb]:
    """The state database of a folder that is held; closed at the end."""
    state = StateDb(folder.path / STATE_FILE)
    try:
        yield state
    finally:
        state.close()


def database_of(config: Config, state: StateDb) -> Database:
    """The database of accounts: a server's, or the folder's own state, by whom it is closed. Raises
    Refuse where the URL is none, or the driver is not installed."""
    url = config.accounts.database
    return Database(url) if url else state.database


def secrets_of(config: Config, data: Path) -> Path:
    """The folder of the secrets that tokens are signed with."""
    return Path(config.accounts.secrets) if config.accounts.secrets else data / "secrets"


def accounts_of(shared: Shop, demo: bool = False) -> "Accounts":
    """The accounts of a process that serves, not begun, with the first superadmin where a password
    is given for him. Raises Retry where their database is away, Refuse as parts.Accounts."""
    from bursa.accounts.mail import Server
    from bursa.accounts.parts import Accounts, Beside

    config, data, post = shared.config, shared.folder.path, shared.config.mail
    server = Server(post.host, post.port, post.security, post.user, post.password, post.sender)
    beside = Beside(
        data,
        secrets_of(config, data),
        config.accounts.limits,
        server if post.host else None,
        config.http.public_url.rstrip("/"),
        demo,
    )
    database = database_of(config, shared.state)
    accounts = Accounts(database, shared.clock, shared.telemetry, beside)
    if password := superadmin_password():
        accounts.first_superadmin(config.accounts.superadmin, password, PASSWORD)
    return accounts


@contextlib.contextmanager
def accounts_database(config: Config) -> Iterator[Database]:
    """The database of accounts without what serves them, closed at the end. Where it lies in the
    data folder, who writes holds that."""
    closing, data = contextlib.closing, Path(config.data)
    with closing(StateDb(data / STATE_FILE)) as state, closing(database_of(config, state)) as found:
        yield found


@contextlib.contextmanager
def audit_of(config: Config) -> Iterator[tuple[Database, Path] | None]:
    """The audit to read: its database, the folder of its files. None where there is none yet."""
    from bursa.accounts.audit import FOLDER

    with accounts_database(config) as found:
        yield (found, Path(config.data) / FOLDER) if found.version() == HEAD else None


def state_version(where: Path | str) -> str | None:
    """The version of a folder's state database, or of a server's, None where there is none. Raises
    what a start would; changes nothing."""
    return StateDb(where / STATE_FILE if isinstance(where, Path) else where).version()


@contextlib.contextmanager
def scratch(config: Config, venue: Venue, file: Path) -> Iterator[DuckStore]:
    """A store of its own for one venue, empty at the beginning; closed at the end."""
    options = Options(threads=config.store.threads, memory_mb=config.store.memory_mb)
    kept = kinds(catalogue(config.metrics.extra))
    store = DuckStore(file, [venue], kept, options)
    try:
        yield store
    finally:
        store.close()


def fresh_line(venue: Venue, config: Config | None = None, without: Collection[str] = ()) -> Line:
    """A venue's stages at their beginning, `without` some metrics."""
    words, config = venue.words(), config or Config()
    decoder = decoder_of(config, venue)(venue, words)
    metrics = catalogue(config.metrics.extra).without(without)
    return Line(venue, words, decoder, catalogue=metrics)


@contextlib.contextmanager
def offline(
    config: Config, venue: Venue, *, frugal: bool = False
) -> Iterator[tuple[VenueRuntime, Tiered]]:
    """A venue of a folder that nobody holds, recovered, without feeds, and its store (`frugal`: as
    `shop`); at the end all that was ordered of it is committed. Raises Retry where it is not."""
    with (
        DataFolder(Path(config.data)) as folder,
        shop(config, folder, [venue], frugal=frugal) as shared,
    ):
        runtime, stored = shared.runtime(venue, serves=False), False
        warm([venue])
        try:
            runtime.start([])
            yield runtime, shared.store
        finally:
            if runtime.started:
                stored = runtime.stop()
        runtime.check()
        if not stored:
            raise Retry("the store did not take all of it; the next start goes on")


def warm(venues: Sequence[Venue] = tuple(VENUES.values())) -> None:
    """Compile or load every kernel, as a start does before a port is bound."""
    for venue in venues:
        words = venue.words()
        Line(venue, words, DECODERS[venue.name](venue, words)).warm()
        Rings(venue, words, 60, MB).warm()
    record.warm()
    books.warm()


def venues_of(config: Config, data: Path, demo: bool) -> list[Venue]:
    """The venues to run: the demo's, those with a feed, those that the folder has a journal of."""
    names = ["idx"] if demo else []
    names += [source.venue for source in config.feeds.values()]
    kept = data / "journal"
    names += sorted(path.name for path in kept.iterdir()) if kept.is_dir() else []
    return [VENUES[name] for name in dict.fromkeys(names) if name in VENUES]


def quality(runtime: VenueRuntime, order: dict[str, Any]) -> Job:
    """The job of a quality report."""
    line, parts = runtime.line, runtime.parts
    assert isinstance(parts.store, Tiered), "the store of this program"
    closed_ns = line.watermark_ns - runtime.venue.grace_s * SECOND_NS
    subject = history_quality.Subject(
        runtime.venue,
        parts.store,
        parts.catalogue.kind,
        None if parts.state is None else parts.state.reports,
        closed_ns // MINUTE_NS * MINUTE_NS,
        runtime.facts.watermarks,
        parts.clock.now_ns(),
    )
    return history_quality.QualityJob(subject, order)


def gaps(runtime: VenueRuntime, order: dict[str, Any]) -> Job:
    """The job that lists gaps and reads fills back."""
    venue, facts, state = runtime.venue, runtime.facts, runtime.parts.state
    over = facts.state.get(venue.channels[0].name, "") == "E"
    closed_ns = closed_until_ns(venue, runtime.line.watermark_ns, over)
    subject = history_gaps.Subject(
        venue,
        runtime.parts.store,
        None if state is None else state.reports,
        closed_ns // MINUTE_NS * MINUTE_NS,
        facts.watermarks,
        runtime.parts.clock.now_ns(),
    )
    return history_gaps.GapsJob(subject, order)


# Every job of the program, by its name.
JOBS: Mapping[str, Maker] = {
    **MAKERS,
    history_gaps.NAME: gaps,
    history_quality.NAME: quality,
}
