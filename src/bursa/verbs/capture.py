"""`bursa capture`: a configured line's messages, or the demo exchange's, as a recording.

Logs in as a running bursa does, so a vendor that allows one login at a time must not be asked while
one runs. A FILE that ends in .txt or .txt.gz is written as text, where the venue has a text form.
What is written is feeds/capture.py's, how the line is spoken feeds/tcp.py's.
"""

import asyncio
import contextlib
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bursa import sources
from bursa.config import Config
from bursa.config.brokers import Broker
from bursa.config.sources import TYPES
from bursa.exchange import launch
from bursa.feeds.capture import Recording, is_text
from bursa.model.errors import Refuse
from bursa.model.venue import IDX, VENUES, Venue
from bursa.ops import logs
from bursa.ports import Feed
from bursa.wire.idx.lines import LineWriter
from bursa.wire.transport import soupbin

# How often the terminal is told how far it is.
LOOK_S = 0.25


@dataclass(frozen=True)
class Wanted:
    """What is to be captured. feed: name of a source, "" where only one is configured; demo: the
    demo exchange's line instead; seconds, messages: when to end, None: by Ctrl-C; live: only what
    comes from now on, else each session from its first message; force: replace a file."""

    file: Path
    feed: str = ""
    demo: bool = False
    seconds: float | None = None
    messages: int | None = None
    live: bool = False
    force: bool = False


def run_capture(config: Config, wanted: Wanted, *, say: Console, warn: Console) -> int:
    """Capture until enough came, the time is up or a signal. Returns 0 only where something was
    captured, and all that came is in the file."""
    logs.setup(config.log.level, config.log.format)
    feed, venue = _line(config, wanted)
    lines = None
    if is_text(wanted.file):
        if venue != IDX:
            what = f"{wanted.file}: only venue idx has a text form; take a name without .txt"
            raise Refuse(what, parameter="file")
        lines = LineWriter(sources.layout(config, venue), venue.boards)
    with warn.status("loading the kernels"):
        soupbin.warm()
    return asyncio.run(_Capture(feed, venue, wanted, lines, say, warn).run())


def _line(config: Config, wanted: Wanted) -> tuple[Feed, Venue]:
    """The line to listen to, and whose it is."""
    if wanted.demo:
        running = launch.find(Path(config.data) / "exchange")
        if running is None:
            what = f"no demo exchange runs on {config.data}; `bursa up --demo` starts one"
            raise Refuse(what, "no_feed", 404, "demo")
        return sources.demo_feed(running), IDX
    known = ", ".join(config.feeds)
    if not config.feeds:
        what = "no source is configured (feeds.NAME); --demo takes the demo exchange's"
        raise Refuse(what, "no_feed", 404, "feed")
    if not wanted.feed and len(config.feeds) > 1:
        raise Refuse(f"--feed: which one? allowed: {known}", parameter="feed")
    name = wanted.feed or known
    if name not in config.feeds:
        raise Refuse(f"--feed: {name}; allowed: {known}", parameter="feed")
    source = config.feeds[name]
    if isinstance(source, Broker):
        kinds = ", ".join(kind for kind, table in TYPES.items() if not issubclass(table, Broker))
        what = f"--feed: {name} is a broker's: what a capture took of its queue, bursa would miss"
        raise Refuse(f"{what}; allowed types: {kinds}", "no_capture", parameter="feed")
    venue = VENUES[source.venue]
    return sources.feed(name, source, sources.layout(config, venue)), venue


class _Capture:
    """One run."""

    def __init__(
        self,
        feed: Feed,
        venue: Venue,
        wanted: Wanted,
        lines: LineWriter | None,
        say: Console,
        warn: Console,
    ) -> None:
        self._feed, self._venue, self._wanted, self._lines = feed, venue, wanted, lines
        self._say, self._warn = say, warn
        self._began = time.monotonic()

    async def run(self) -> int:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        wanted = self._wanted
        with Recording(
            wanted.file,
            len(self._venue.channels),
            stop.set,
            messages_max=wanted.messages,
            from_start=not wanted.live,
            force=wanted.force,
            lines=self._lines,
        ) as recording:
            try:
                await self._listen(recording, stop)
                size = recording.keep() if recording.messages else 0
            except OSError as error:
                what = f"{wanted.file}.part cannot be written: {error.strerror}"
                raise Refuse(what, "disk", 503, "file") from None
            return self._told(recording, size)

    async def _listen(self, recording: Recording, stop: asyncio.Event) -> None:
        """Until the end; raises what no waiting can mend (a login refused, a full disk)."""
        delivering = asyncio.create_task(self._feed.run(recording))
        telling = asyncio.create_task(self._tell(recording))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait(
                (delivering, stopping, telling),
                timeout=self._wanted.seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            for task in (telling, stopping, delivering):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await delivering

    async def _tell(self, recording: Recording) -> None:
        """Progress on a terminal; elsewhere only what becomes of the channels."""
        states = list(recording.state)
        with self._warn.status("connecting", spinner="dots") as status:
            while True:
                status.update(self._line_of(recording))
                for at, state in enumerate(recording.state):
                    if state != states[at]:
                        self._warn.print(f"{self._venue.channels[at].name}: {state}", markup=False)
                states = list(recording.state)
                await asyncio.sleep(LOOK_S)

    def _line_of(self, recording: Recording) -> str:
        seconds = max(time.monotonic() - self._began, 1e-3)
        megabytes = recording.message_bytes / 1e6
        rate = recording.messages / seconds
        text = f"{recording.messages:,} messages, {megabytes:,.1f} MB, {rate:,.0f} a second"
        return f"{text}; Ctrl-C ends it"

    def _told(self, recording: Recording, size: int) -> int:
        """What came of it, and the exit code."""
        names = [channel.name for channel in self._venue.channels]
        if not recording.messages:
            states = "; ".join(map(": ".join, zip(names, recording.state, strict=True)))
            self._warn.print(f"nothing was captured ({states})", markup=False)
            return 1
        file = self._wanted.file
        seconds = time.monotonic() - self._began
        what = f"{recording.messages:,} messages, {size:,} bytes on disk, {seconds:.1f} s"
        self._say.print(f"{file}: {what}", markup=False)
        self._say.print(f"  bursa replay {file} --venue {self._venue.name}", markup=False)
        lost = recording.broken_bytes + recording.empty + recording.wordless
        if lost:
            self._warn.print(
                f"not whole: {recording.broken_bytes:,} bytes in which no message can be told and"
                f" {recording.empty:,} messages of no length were left out, and"
                f" {recording.wordless:,} that the text form cannot say",
                markup=False,
            )
        return 1 if lost else 0
