"""`bursa replay`: a recording is journalled, and what it holds stored, as if a feed had brought it.

A folder's own journal is not journalled again: what the store lacks is derived from it.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bursa.app import shop, warm
from bursa.config import Config
from bursa.model.errors import Refuse
from bursa.model.venue import VENUES, Venue
from bursa.ops import logs
from bursa.pipeline.line import Derived
from bursa.pipeline.runtime import VenueRuntime
from bursa.sources import STDIN, recording
from bursa.store.folder import DataFolder


def run_replay(
    config: Config, file: Path, name: str, day: str = "", *, say: Console, warn: Console
) -> int:
    """Journal a recording and store what it holds. Returns 0 only when all of it is committed."""
    logs.setup(config.log.level, config.log.format)
    venue = VENUES.get(name)
    if venue is None:
        raise Refuse(f"--venue: {name}; allowed: {', '.join(VENUES)}", parameter="venue")
    own = (Path(config.data) / "journal" / venue.name).resolve()
    from_journal = file.resolve() == own or own in file.resolve().parents
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(DataFolder(Path(config.data)))
        shared = stack.enter_context(shop(config, folder, [venue]))
        runtime = shared.runtime(venue)
        told = stack.enter_context(_progress(warn, file.name, runtime))
        feed = None if from_journal else recording(config, file, venue, day, told, warn.print)
        held, counts = Counter[str](), Counter[str]()

        def hear(derived: Derived) -> None:
            held.update({batch.kind.name: len(batch) for batch in derived.batches})
            counts.update(derived.counts)

        runtime.listeners.append(hear)
        warm([venue])
        runtime.start([] if feed is None else [feed], progress=told)
        try:
            while runtime.ingest is not None and not runtime.ingest.finished.wait(0.1):
                runtime.check()
        finally:
            stored = runtime.stop(timeout_s=3600.0)
        runtime.check()
        rows = runtime.rows
    name = "standard input" if str(file) == STDIN else file.name
    refused, taken = held.pop("quarantine", 0), held.total()
    what = ", ".join(f"{kind} {count:,}" for kind, count in held.items())
    tale = f"{name}: {rows:,} rows stored in {config.data}, venue {venue.name}"
    say.print(f"{tale}: {what}" if what else tale, markup=False)
    passed = _tell_what_was_not(venue, refused, counts, warn)
    # A recording of which nothing can be read is another venue's, or none.
    return 0 if stored and (taken or passed or not refused) else 1


def _tell_what_was_not(venue: Venue, refused: int, counts: Counter[str], warn: Console) -> int:
    """Say what of a recording was not stored, and why; returns how many messages could be read."""
    if refused:
        where = f"{venue.name}_quarantine holds each with its reason"
        warn.print(f"{refused:,} messages were refused: {where}", markup=False)
    known, stale = counts["duplicates"], counts["stale"]
    if known:
        warn.print(f"{known:,} messages were known: nothing is stored twice", markup=False)
    if stale:
        what = "are older than a session that is over, and were passed over: known, or too late"
        warn.print(f"{stale:,} messages {what} (replay days in their order)", markup=False)
    return known + stale


@contextlib.contextmanager
def _progress(
    console: Console, name: str, runtime: VenueRuntime
) -> Iterator[Callable[[int, int], None]]:
    """A line of progress on the terminal; yields what is told (done, total)."""
    began = time.monotonic()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[rows]:,} rows, {task.fields[rate]:,.0f} a second"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task(name, total=None, rows=0, rate=0.0)

        def told(done: int, total: int) -> None:
            rate = runtime.rows / max(0.1, time.monotonic() - began)
            bar.update(task, completed=done, total=total, rows=runtime.rows, rate=rate)

        yield told
