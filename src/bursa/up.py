"""`bursa up`: every venue with its feed, the API and the pages, in one process, until stopped.

The HTTP port is bound when the kernels are warm; venues then recover on a thread of their own, and
`/ready` says what is still waited for. A stop goes upstream first: feeds end, rows are committed,
state is saved, then the clients are told and the port is closed. Names no adapter (app.py does).
"""

import asyncio
import contextlib
import gc
import ipaddress
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import uvicorn
import uvloop
from rich.console import Console

from bursa import __version__
from bursa.accounts import clerk
from bursa.accounts.parts import begun
from bursa.api import asyncapi
from bursa.api.app import Extra, build_api, listen, server
from bursa.api.front import Front, front_of
from bursa.api.running import (
    channels_of,
    delivers,
    feed_channels_of,
    gates_of,
    sampled,
    watermark_of,
)
from bursa.api.services import Dependency, Services, VenueParts, VenueService
from bursa.api.stream.hub import Hub, StreamLimits
from bursa.api.stream.outbox import OutboxLimits
from bursa.api.viewer.candles import Face
from bursa.app import (
    JOBS,
    STORE_NAME,
    Shop,
    accounts_of,
    shop,
    switches,
    venues_of,
    warm,
    with_demo,
)
from bursa.config import Config
from bursa.exchange.watched import DemoExchange
from bursa.history.name_book import NameBook
from bursa.history.offload import Offload
from bursa.history.present import Recent
from bursa.history.sampler import Sampler
from bursa.jobs import job
from bursa.jobs.makers import LANES
from bursa.jobs.schedule import Limits, Schedule
from bursa.model.calendar import HOW_TO_AMEND
from bursa.model.errors import Refuse
from bursa.model.venue import Venue
from bursa.ops import logs
from bursa.pipeline import control, dlq, retry
from bursa.pipeline.line import Derived, kinds
from bursa.pipeline.runtime import VenueRuntime
from bursa.pipeline.waiting import Interrupted
from bursa.ports import Feed
from bursa.sources import demo_exchange, demo_feed, feeds
from bursa.store import question, standing
from bursa.store.folder import DataFolder, Handler
from bursa.web import tradingview
from bursa.web.docs.made import Told
from bursa.web.docs.pages import Docs
from bursa.web.pages import Pages
from bursa.web.reader import asked_of
from bursa.web.source import LiveSource, View

# How often threads are looked at, and the terminal's progress is drawn.
LOOK_S = 0.25
STOP_S = 30.0
SWITCH_S = 0.0005
# New objects before the garbage collector looks at them, then at older ones, then at all.
_USUAL = (700, 10, 10)


def run_up(config: Config, *, demo: bool, say: Console, warn: Console, told: Told) -> int:
    """Run everything until SIGTERM or SIGINT. Returns 0 if all that was taken was committed.
    `told` is what the docs say of verbs and settings."""
    logs.setup(config.log.level, config.log.format)
    # Ingest and the server's loop share the interpreter: 5 ms turns would be a client's latency.
    sys.setswitchinterval(SWITCH_S)
    config = with_demo(config) if demo else config
    if demo and config.feeds:
        raise Refuse("--demo brings its own feed; feeds.* is configured too", "bad_config")
    library, http = tradingview.load(config.web.tradingview), config.http
    reached = http.public_url, http.rate_per_minute
    front = front_of(http.host, http.hosts, http.proxies, *reached, demo)
    with DataFolder(Path(config.data)) as folder:
        venues = venues_of(config, folder.path, demo)
        if not venues:
            raise Refuse(
                "nothing to run: no feed is configured and the data folder is empty; try"
                " `bursa up --demo`, or `bursa replay` a recording first",
                "no_venue",
            )
        exchange = demo_exchange(config, folder.path) if demo else None
        try:
            if exchange is not None:
                exchange.begin()
            with shop(config, folder, venues, waits=True) as shared:
                return Up(shared, venues, Outside(front, exchange, library), say, warn).run(told)
        finally:
            if exchange is not None:
                exchange.end()


@dataclass(frozen=True)
class Outside:
    """What a run has to do with beside its venues.

    exchange  the demo's; None: this is no demo
    library   the operator's charting library, if there is one
    """

    front: Front
    exchange: DemoExchange | None = None
    library: tradingview.Library | None = None


def settle() -> None:
    """Take what is there by now, modules, kernels, routes, out of the garbage collector's sight: a
    full collection that goes through it holds up feed and clients for 150 ms. Undone at the end,
    else libraries find their own objects left over and print them. From now on it looks as often
    as Python has it, which at a start it does not (`__main__`)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_USUAL)


class Up:
    """One run of `bursa up`."""

    def __init__(
        self,
        shared: Shop,
        venues: Sequence[Venue],
        outside: Outside,
        say: Console,
        warn: Console,
    ) -> None:
        self._shared, self._config, self._say, self._warn = shared, shared.config, say, warn
        self._front, self._exchange = outside.front, outside.exchange
        self._library = outside.library
        self._log = logs.logger("up")
        self._runtimes = {venue.name: shared.runtime(venue) for venue in venues}
        self._recent = {venue.name: Recent() for venue in venues}
        self._jobs = job.Jobs(self._runtimes, JOBS, LANES)
        limits = Limits(self._config.drain.late_s, self._config.drain.long_s)
        self._sampler = Sampler([sampled(one) for one in self._runtimes.values()], shared.telemetry)
        self._schedule = Schedule(self._runtimes, self._jobs, limits)
        self._waiting_for = "kernels"
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        # When the progress of past days was seen first, and the day then.
        self._first_seen: tuple[float, int] | None = None

    def run(self, told: Told) -> int:
        """All of it; the exit code."""
        began = time.monotonic()
        self._mind_calendars()
        if not self._warn.is_terminal:
            self._log.info("loading the kernels; after an update they are compiled first")
        with self._warn.status(
            "loading the kernels (compiling them after an update: half a minute)"
        ):
            warm([runtime.venue for runtime in self._runtimes.values()])
        self._shared.telemetry.kernels_warm.set(time.monotonic() - began)
        with contextlib.ExitStack() as stack:
            self._telemetry(stack)
            self._accounts = begun(lambda: accounts_of(self._shared, self._front.demo))
            stack.callback(self._accounts.database.close)
            stack.callback(self._accounts.stop)
            self._shared.folder.serve(self._handlers())
            services = self._services()
            limits = self._config.stream
            outbox = OutboxLimits(limits.outbox_messages, limits.outbox_mb << 20, limits.stall_s)
            stream = StreamLimits(limits.throttle_ms, limits.retain, outbox=outbox)
            hub = Hub(services, stream, secrets.token_hex(8))
            self._listen(hub)
            asked = asked_of(self._accounts)
            pages = Pages(self._source, self._library, self._shared.catalogue, asked)
            routes = [*pages.routes(), *Docs(pages, self._told(told)).routes()]
            viewer = self._config.viewer
            face = Face(viewer.origins, viewer.rate_per_minute)
            app = build_api(services, hub, Extra(routes, pages.error, face))
            http = self._config.http
            listener = listen(http.host, http.port)
            stack.callback(listener.close)
            stack.callback(gc.unfreeze)
            running = server(app, http.host, http.port, self._shared.telemetry)
            uvloop.run(self._serve(running, listener))
        if self._failure is not None:
            raise self._failure
        return 0 if self._stored else 1

    def _mind_calendars(self) -> None:
        """Warn where the holidays of today, or of the next weeks, are not known."""
        for name, runtime in self._runtimes.items():
            calendar = runtime.venue.calendar
            if ending := calendar.ending(calendar.day_of(self._shared.clock.now_ns())):
                self._log.warning(ending, venue=name, remedy=f"{HOW_TO_AMEND}: calendar.{name}")

    # -- what the surfaces see ---------------------------------------------------------------------

    def _services(self) -> Services:
        shared, offload = self._shared, Offload()
        venues, views = {}, {}
        for name, runtime in self._runtimes.items():
            parts = VenueParts(
                venue=runtime.venue,
                words=runtime.words,
                store=shared.store,
                rings=runtime.parts.rings,
                present=runtime.facts,
                recent=self._recent[name],
                open_bars=runtime.open_bars,
                book=runtime.book,
                watermark_ns=watermark_of(runtime),
                channels=channels_of(runtime),
                names=NameBook(runtime.venue, shared.folder.path),
                published=runtime.published,
            )
            service = venues[name] = VenueService(parts, shared.clock, offload)
            views[name] = View(
                runtime.venue,
                runtime.facts,
                service.now_ns,
                feed_channels_of(runtime),
                self._past if name == "idx" else lambda: None,
                service.names.name,
                service.day,
                self._starting_of(runtime),
            )
        self._source = LiveSource(views, shared.clock)
        return Services(
            venues,
            shared.clock,
            offload,
            shared.telemetry,
            __version__,
            self._dependencies(venues.values()),
            self._awaited,
            self._public(),
            STORE_NAME,
            *shared.closed_days(self._runtimes),
            front=self._front,
            accounts=self._accounts,
            gates={name: gates_of(one) for name, one in self._runtimes.items() if one.venue.gates},
        )

    def _dependencies(self, services: Iterable[VenueService]) -> Sequence[Dependency]:
        hot = Dependency("hot", self._hot)
        writers, journals, lines = [], [], []
        for name, runtime in self._runtimes.items():
            writers.append(Dependency(f"writer of {name}", runtime.check_writer, required=False))
            journals.append(Dependency(f"journal of {name}", runtime.check_journal, required=False))
            lines.append(Dependency(f"feed of {name}", delivers(runtime), required=False))
        calendars = [
            Dependency(f"calendar of {one.venue.name}", one.check_calendar, required=False)
            for one in services
            if one.venue.calendar.holidays
        ]
        beside = [
            Dependency("accounts", self._accounts.watch.check, required=False),
            Dependency("limits", self._accounts.limiter.check, required=False),
        ]
        return hot, *writers, *journals, *lines, *calendars, *beside

    def _hot(self) -> None:
        """Raise Retry where the hot store is away, or has taken nothing for too long."""
        self._shared.store.positions()
        for runtime in self._runtimes.values():
            runtime.check_writer_long()

    def _handlers(self) -> dict[str, Handler]:
        """What verbs on this folder may ask of us."""
        defaults = {name: switches(Config(), name) for name in self._runtimes}
        store, state = self._shared.store, self._shared.state
        venues = {name: runtime.venue for name, runtime in self._runtimes.items()}
        desk = dlq.Desk(lambda: state.letters, lambda: store, venues, kinds(self._shared.catalogue))
        return {
            **question.handlers(store),
            **standing.handlers(store.hot),
            **control.handlers(self._runtimes, defaults, self._accounts.orders.keeper()),
            **retry.handlers(self._runtimes, store),
            **dlq.handlers(desk),
            **job.handlers(self._jobs),
            **clerk.handlers(clerk.Clerk(self._accounts, lambda: self._accounts.tokens)),
        }

    def _told(self, told: Told) -> Told:
        """What the docs are told of this run, besides."""
        venues = [runtime.venue for runtime in self._runtimes.values()]
        streams = asyncapi.document(__version__, self._shared.catalogue.kind)
        return replace(
            told,
            streams=streams,
            telemetry=self._shared.telemetry,
            venues=venues,
            catalogue=self._shared.catalogue,
        )

    def _public(self) -> frozenset[str]:
        """The venues that anyone may ask for; the demo's always."""
        names = {name for name in self._runtimes if getattr(self._config, name).public}
        return frozenset(names | ({"idx"} if self._exchange is not None else set()))

    def _past(self) -> tuple[date, date] | None:
        return None if self._exchange is None else self._exchange.past()

    def _listen(self, hub: Hub) -> None:
        for name, runtime in self._runtimes.items():

            def told(
                derived: Derived,
                name: str = name,
                runtime: VenueRuntime = runtime,
                recent: Recent = self._recent[name],
            ) -> None:
                recent.feed(derived.live)
                # The hub keeps it until its loop has time: not the books, of which it reads none.
                hub.offer(name, replace(derived, live=()), runtime.line.watermark_ns)

            runtime.listeners.append(told)

    # -- the run -----------------------------------------------------------------------------------

    def _telemetry(self, stack: contextlib.ExitStack) -> None:
        wanted = self._config.telemetry.port
        try:
            self._port, stop = self._shared.telemetry.serve(wanted)
        except OSError:
            self._port, stop = self._shared.telemetry.serve(0)
            self._log.warning("telemetry port is taken", wanted=wanted, instead=self._port)
        stack.callback(stop)

    async def _serve(self, http: uvicorn.Server, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)
        # The signals are ours: a stop goes upstream first.
        http.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
        serving = asyncio.create_task(http.serve(sockets=[listener]))
        while not http.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event
            await asyncio.sleep(0.01)
        settle()
        self._announce(listener)
        starting = asyncio.create_task(asyncio.to_thread(self._start))
        watching = asyncio.create_task(asyncio.to_thread(self._watch, loop, stopping))
        await stopping.wait()
        self._stop.set()
        for runtime in self._runtimes.values():
            runtime.interrupt()
        await asyncio.gather(starting, watching)
        until = time.monotonic() + STOP_S
        await asyncio.gather(
            asyncio.to_thread(self._schedule.stop, STOP_S / 3),
            asyncio.to_thread(self._sampler.stop, STOP_S / 3),
        )
        started = [runtime for runtime in self._runtimes.values() if runtime.started]
        self._stored = await asyncio.to_thread(stop_all, started, until)
        http.should_exit = True
        await serving

    def _announce(self, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        if ipaddress.ip_address(host).is_unspecified:
            host = "::1" if ":" in host else "127.0.0.1"
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self._shared.folder.announce(url)
        what = "demo exchange" if self._exchange is not None else ", ".join(self._runtimes)
        if self._exchange is not None and self._exchange.found:
            what += " (found running)"
        self._say.print(f"[bold]bursa {__version__}[/]  {what}")
        self._say.print(f"  page       [bold]{url}/[/]")
        cap = self._config.retention.disk_gb
        most = f" (at most {cap:g} GB; the oldest goes first)" if cap else ""
        self._say.print(f"  data       {self._shared.folder.path}{most}")
        self._say.print(f"  telemetry  http://127.0.0.1:{self._port}/metrics")
        standing = self._accounts.standing
        if not standing.has_superadmin:
            folder = self._shared.folder.path
            make = f"{_called()} user create EMAIL --role superadmin --tier enterprise"
            lack = "no superadmin yet" if standing.has_users else "none yet; the first"
            self._say.print(f"  accounts   {lack}: {make} --data {folder}", markup=False)
        self._say.print("  stop       Ctrl-C")
        self._say.print(f"listening {url}")
        self._say.file.flush()

    def _start(self) -> None:
        """Recover and run every venue; on a thread."""
        try:
            configured: dict[str, list[Feed]] = dict(feeds(self._config))
            if self._exchange is not None:
                self._waiting_for = "the demo exchange"
                running = self._exchange.ready(self._stop.is_set)
                if running is None:
                    return
                configured["idx"] = [demo_feed(running)]
            for name, runtime in self._runtimes.items():
                if self._stop.is_set():
                    return
                self._waiting_for = f"recovery of {name}"
                runtime.start(configured.get(name, []))
            self._waiting_for = ""
            self._schedule.start()
            self._sampler.start()
        except Interrupted:
            self._log.info("stopped before it had recovered")
        except BaseException as failure:  # noqa: BLE001 - told by `_watch`, which ends the run
            self._failure = failure

    def _watch(self, loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
        """Until the stop: end the run where a thread failed, draw progress, mind the exchange."""
        with self._warn.status("starting", spinner="dots") as status:
            while not self._stop.wait(LOOK_S):
                try:
                    for runtime in self._runtimes.values():
                        runtime.check()
                    if self._exchange is not None:
                        self._exchange.watch()
                except BaseException as failure:  # noqa: BLE001 - raised again by `run`
                    self._failure = self._failure or failure
                if self._failure is not None:
                    loop.call_soon_threadsafe(stopping.set)
                    return
                status.update(self._progress())

    def _awaited(self) -> str:
        """What the start still waits for, and what it is at; "" when it is done."""
        at = [runtime.waits_for for runtime in self._runtimes.values() if runtime.waits_for]
        return ": ".join([self._waiting_for, *at[:1]]) if self._waiting_for else ""

    def _starting_of(self, runtime: VenueRuntime) -> Callable[[], str]:
        """What the start of one venue waits for; "" once it runs."""
        return lambda: "" if runtime.ingest is not None else self._awaited()

    def _progress(self) -> str:
        if awaited := self._awaited():
            return f"waiting for {awaited}"
        lines = []
        for name, runtime in self._runtimes.items():
            tape = self._source.tape(name)
            text = f"{name}: {tape.rate:,.0f} msg/s, {runtime.rows:,} rows stored"
            if (past := tape.progress) is not None:
                left = self._left(past.day, past.days)
                text = f"{name}: past days stream in, day {past.day} of {past.days}{left}, {text}"
            lines.append(text)
        return "; ".join(lines)

    def _left(self, day: int, days: int) -> str:
        """Time left of the past days, by how long those so far took."""
        now = time.monotonic()
        self._first_seen = began, first = self._first_seen or (now, day)
        if day <= first:
            return ""
        return f", {(now - began) / (day - first) * (days - day + 1):.0f} s left"


def _called() -> str:
    """How bursa was called, so that a verb that is told can be typed where it was started."""
    return sys.argv[0] if Path(sys.argv[0]).name == "bursa" else "bursa"


def stop_all(runtimes: Sequence[VenueRuntime], until: float) -> bool:
    """Stop venues by a moment of time.monotonic, all at once: what one of them waits for, such as a
    store that is away, the others wait for too. True if all rows of all were committed."""

    def stop(runtime: VenueRuntime) -> bool:
        return runtime.stop(max(0.1, until - time.monotonic()))

    with ThreadPoolExecutor(max(1, len(runtimes)), "stop") as pool:
        return all(list(pool.map(stop, runtimes)))
