"""Configured sources and recordings become feeds; the only file that names adapters of sources.

`TYPES` of config/sources.py says what tables there are; here each has its builder. `bursa up` runs
the feeds, `bursa capture` records one of them; what a recording is, is told by its content.
"""

import contextlib
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from bursa.config import Config
from bursa.config.brokers import Amqp, Broker, Kafka
from bursa.config.mold import MoldUdp
from bursa.config.sources import SoupBin, Stdin, Tcp, channels
from bursa.exchange.launch import Running
from bursa.exchange.watched import DemoExchange
from bursa.feeds import itch_file, layouts, pcap
from bursa.feeds.cut import unpack_first
from bursa.feeds.raw import RawFeed, Timing
from bursa.feeds.replay import ReplayFeed
from bursa.feeds.stdin import StdinFeed
from bursa.feeds.tcp import SoupFeed
from bursa.feeds.udp import Lines, Manner, MoldFeed
from bursa.model.errors import Refuse
from bursa.model.venue import IDX, VENUES, Venue
from bursa.ports import Feed
from bursa.wire.idx.layout import IDX1, Layout
from bursa.wire.itch50.layout import BLOCK_BYTES_MAX
from bursa.wire.transport.runs import Limits, Patience

STDIN = "-"


def _soupbin(name: str, source: SoupBin, layout: Layout) -> SoupFeed:
    venue = VENUES[source.venue]
    lines, login = channels(source, venue.name), (source.user, source.password)
    longest = message_bytes_max(venue, layout)
    return SoupFeed(name, venue, lines, *login, message_bytes_max=longest)


def _tcp(name: str, source: Tcp, layout: Layout) -> RawFeed:
    venue = VENUES[source.venue]
    timing = Timing(silent_s=source.silent_s)
    ends = channels(source, venue.name)
    return RawFeed(name, venue, ends, message_bytes_max(venue, layout), timing)


def _moldudp64(name: str, source: MoldUdp, layout: Layout) -> MoldFeed:
    venue = VENUES[source.venue]
    lines = {
        number: Lines(source.lines(channel.name), source.requests(channel.name), source.interface)
        for number, channel in enumerate(venue.channels)
    }
    manner = Manner(
        message_bytes_max(venue, layout),
        Patience(
            round(source.first_wait_ms * 1e6),
            round(source.again_ms * 1e6),
            source.tries,
            source.ask_messages,
        ),
        Limits(bytes_max=source.held_mb << 20),
        source.dead_s,
        source.receive_mb << 20,
        source.start == "first",
    )
    return MoldFeed(name, venue, lines, manner)


def _stdin(name: str, source: Stdin, layout: Layout) -> StdinFeed:
    return StdinFeed(name, VENUES[source.venue], layout)


def _amqp(name: str, source: Amqp, layout: Layout) -> Feed:
    with _driver(name, "amqp"):
        from bursa.feeds.amqp import AmqpFeed, Binding, Server
    host, _, port = source.endpoint.rpartition(":")
    login = (source.user or "guest", source.password or "guest")
    tls = _tls(name, source)
    server = Server(host, int(port), *login, source.vhost, tls, source.heartbeat_s)
    venue = VENUES[source.venue]
    bindings = {
        number: Binding(
            getattr(source, f"{channel.name}_exchange"),
            getattr(source, f"{channel.name}_queue"),
            source.routing_key,
            source.declare,
        )
        for number, channel in enumerate(venue.channels)
    }
    return AmqpFeed(name, venue, server, bindings, source.prefetch, layout)


def _kafka(name: str, source: Kafka, layout: Layout) -> Feed:
    with _driver(name, "kafka"):
        from bursa.feeds.kafka import Buffer, Cluster, KafkaFeed
    servers = [server.strip() for server in source.endpoints.split(",")]
    login = (source.sasl, source.user, source.password)
    cluster = Cluster(servers, _tls(name, source), *login, source.member)
    venue = VENUES[source.venue]
    topics = {
        number: (
            getattr(source, f"{channel.name}_topic"),
            getattr(source, f"{channel.name}_group"),
        )
        for number, channel in enumerate(venue.channels)
    }
    buffer = Buffer(source.buffer_messages, source.buffer_mb << 20)
    return KafkaFeed(name, venue, cluster, topics, buffer, layout)


@contextlib.contextmanager
def _driver(name: str, extra: str) -> Iterator[None]:
    """Around the import of a feed whose library is not part of every installation."""
    try:
        yield
    except ModuleNotFoundError as error:
        what = f"feeds.{name}: {error.name} is not installed: pip install 'bursa[{extra}]'"
        raise Refuse(what, "no_driver", parameter=f"feeds.{name}.type") from None


def _tls(name: str, source: Broker) -> ssl.SSLContext | None:
    if not source.tls:
        return None
    try:
        return ssl.create_default_context(cafile=source.ca_file or None)
    except OSError as error:  # an SSLError is one: it is no PEM
        what = f"feeds.{name}.ca_file: {source.ca_file}: {error.strerror or error}"
        raise Refuse(what, "bad_config", parameter=f"feeds.{name}.ca_file") from None


BUILDERS: Mapping[type, Callable[[str, Any, Layout], Feed]] = {
    SoupBin: _soupbin,
    Tcp: _tcp,
    Stdin: _stdin,
    MoldUdp: _moldudp64,
    Amqp: _amqp,
    Kafka: _kafka,
}
"""Table of a source -> what makes its feed of (name, table, its venue's layout)."""

DRIVERS: Mapping[type, tuple[str, str]] = {
    Amqp: ("aio_pika", "amqp"),
    Kafka: ("aiokafka", "kafka"),
}
"""Table of a source -> (library that not every installation has, the extra that brings it)."""


def feed(name: str, source: Any, layout: Layout = IDX1) -> Feed:
    """The feed of one configured source; `layout` is its venue's."""
    return BUILDERS[type(source)](name, source, layout)


def layout(config: Config, venue: Venue) -> Layout:
    """How the messages of a venue are packed. Raises Refuse `bad_layout`."""
    return layouts.load(config.idx.layout) if venue == IDX else IDX1


def message_bytes_max(venue: Venue, layout: Layout) -> int:
    """A length past this means that framing is lost."""
    return layout.block_bytes_max if venue == IDX else BLOCK_BYTES_MAX


def feeds(config: Config) -> dict[str, list[Feed]]:
    """Venue -> its configured feeds."""
    out: dict[str, list[Feed]] = {}
    for name, source in config.feeds.items():
        how = layout(config, VENUES[source.venue])
        out.setdefault(source.venue, []).append(feed(name, source, how))
    return out


def recording(
    config: Config,
    file: Path,
    venue: Venue,
    day: str,
    progress: Callable[[int, int], None] | None = None,
    warn: Callable[[str], None] = lambda text: None,
) -> Feed:
    """The feed of a recording, - is standard input; `day` (ISO, or empty) is that of a file which
    says none itself."""
    how = layout(config, venue)
    if file.is_file():
        with file.open("rb") as raw:
            unpack_first(raw.read(8), file.name, "gzip")
    if venue.name in ("idx", "xnas") and pcap.is_capture(file):
        if day:
            raise Refuse("--date: a capture tells its times itself", parameter="date")
        longest = message_bytes_max(venue, how)
        cutter = pcap.MoldCapture(venue, how, longest, str(file), warn)
        return ReplayFeed(file, venue, progress, cutter=cutter)
    if venue.name != "xnas":
        if day:
            raise Refuse("--date: only recordings of xnas need a day", parameter="date")
        if str(file) == STDIN:
            return StdinFeed("stdin", venue, how, recorded=True, progress=progress)
        return ReplayFeed(file, venue, progress, how)
    try:
        given = date.fromisoformat(day) if day else None
    except ValueError:
        raise Refuse(f"--date: {day}; allowed: YYYY-MM-DD", parameter="date") from None
    today = venue.calendar.day_of(time.time_ns())
    days = itch_file.ItchBlocks(itch_file.day_of(file, given, today), str(file))
    return ReplayFeed(file, venue, progress, cutter=days, read_bytes=itch_file.READ_BYTES)


def demo_feed(running: Running) -> SoupFeed:
    """The demo exchange's line."""
    endpoints = {0: ("127.0.0.1", running.port_trades), 1: ("127.0.0.1", running.port_market)}
    return SoupFeed("demo", IDX, endpoints, running.user, running.password)


def demo_exchange(config: Config, data: Path) -> DemoExchange:
    """The demo exchange as it is configured."""
    knobs = config.exchange
    market = ["--seed", str(knobs.seed), "--tickers", str(knobs.tickers)]
    market += ["--history-days", str(knobs.history_days)]
    rate = ["--rate", knobs.rate] if knobs.rate else []
    days = ["--calendar", config.calendar.idx] if config.calendar.idx else []
    return DemoExchange(data, market, ["--speed", str(knobs.speed), *rate, *days])
