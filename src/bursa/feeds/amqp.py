"""RabbitMQ as a feed (AMQP 0-9-1, by aio-pika): a connection and a queue a channel.

Each channel connects, fails and comes back alone. Its queue is durable, declared and bound to the
vendor's exchange, or used as it is. A body is one block or many (bodies.py). What was delivered is
acknowledged, in groups, after the journal's sync and not before; so a cut, or a death on either
side, brings it again and the decoder drops what it knows by its number. What cannot be read is
journalled and acknowledged as well: asked for again it would come for ever.

A queue has one consumer: two that share it would have half of the messages each, in no order, so
each asks for it alone, and a second bursa stands by. A binding may go without a word (the vendor
makes the exchange anew): in a quiet time it is made again.

While the journal refuses (a full disk) nothing is taken and nothing acknowledged: the prefetch
count bounds what waits here, the broker keeps the rest.
"""

import asyncio
import logging
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

import aio_pika
from aio_pika.abc import (
    AbstractChannel,
    AbstractConnection,
    AbstractIncomingMessage,
    AbstractQueue,
    FieldValue,
)
from aio_pika.connection import make_url
from aio_pika.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    ProbableAuthenticationError,
)
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from aiormq.exceptions import InvalidFrameError
from yarl import URL

from bursa.feeds import bodies
from bursa.feeds.bodies import Bodies
from bursa.feeds.goodbye import to_the_end
from bursa.model.errors import Refuse
from bursa.model.venue import Venue
from bursa.ops.back_off import BACK_OFF_S, BackOff
from bursa.ports import Intake
from bursa.wire.idx.layout import IDX1, Layout

# How long a closing connection may take to say goodbye.
_GOODBYE_S = 1.0
# What a connection that is away, or goes, makes of a call.
_AWAY = (AMQPError, ChannelInvalidStateError, OSError)
# RabbitMQ says that a login is refused; the library calls that probable, for others only hang up.
_REFUSED = (AuthenticationError, ProbableAuthenticationError)
# The libraries tell every failed attempt at length; what becomes of a channel the intake is told.
for _library in ("aio_pika", "aiormq"):
    logging.getLogger(_library).setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Server:
    """Where the broker is, and who we are there.

    tls          how to check its certificate; None: no TLS
    heartbeat_s  seconds; without a byte for some three of them the connection is dead
    """

    host: str
    port: int
    user: str = "guest"
    password: str = field(default="guest", repr=False)
    vhost: str = "/"
    tls: ssl.SSLContext | None = None
    heartbeat_s: int = 5


@dataclass(frozen=True)
class Binding:
    """A channel's queue.

    exchange     the vendor's; it must be there
    queue        durable; `declare`: made where it is absent, and bound; else used as it is
    routing_key  of the binding; a fanout exchange does not look at it
    """

    exchange: str
    queue: str
    routing_key: str = "#"
    declare: bool = True


@dataclass(frozen=True)
class Timing:
    """Seconds: to connect and be consuming, of quiet before the queue is bound anew, to wait after
    each failure in turn."""

    connect_s: float = 10.0
    quiet_s: float = 30.0
    back_off_s: tuple[float, ...] = BACK_OFF_S


class AmqpFeed:
    """Implements ports.Feed.

    bindings   channel's index -> its queue
    prefetch   messages that may be delivered and not yet acknowledged, a channel
    layout     whose longest message is the longest block
    """

    def __init__(
        self,
        name: str,
        venue: Venue,
        server: Server,
        bindings: Mapping[int, Binding],
        prefetch: int = 500,
        layout: Layout = IDX1,
        timing: Timing | None = None,
    ) -> None:
        self.name = name
        self._venue, self._server, self._bindings = venue, server, dict(bindings)
        self._prefetch, self._block_max = prefetch, layout.block_bytes_max
        self._timing = timing or Timing()

    async def run(self, intake: Intake) -> None:
        """Deliver until cancelled (ports.Feed). Raises Refuse `login_refused` where the first
        login of a channel is: waiting cannot mend a wrong password."""
        bodies.warm()
        channels = [
            asyncio.create_task(self._channel(channel, intake)) for channel in self._bindings
        ]
        try:
            await asyncio.gather(*channels)
        finally:
            for task in channels:
                task.cancel()
            await asyncio.gather(*channels, return_exceptions=True)

    async def _channel(self, channel: int, intake: Intake) -> None:
        back_off = BackOff(Random(), self._timing.back_off_s)
        accepted = False
        while True:
            await intake.room()
            line = _Line(Bodies(channel, intake, self._block_max))
            try:
                await self._live(line)
            except _REFUSED as refusal:
                if not accepted:
                    where = self._venue.channels[channel].name
                    what = f"{self.name}: login on {where} is refused: {_told(refusal)}"
                    raise Refuse(what, "login_refused", 403) from None
            accepted = accepted or line.accepted
            if line.acknowledged:
                back_off.reset()
            intake.down(channel, line.gone.result())
            await asyncio.sleep(back_off.next_s())

    async def _live(self, line: "_Line") -> None:
        """One connection, from its beginning to its end; `line.gone` says why it ended."""
        connection, socket = self._connection()
        try:
            async with asyncio.timeout(self._timing.connect_s):
                await connection.connect()
                line.accepted = True
                await self._consume(line, connection)
            line.intake.up(line.channel)
            await line.work(self._timing.quiet_s)
        except _REFUSED as refusal:
            line.end(f"the login is refused: {_told(refusal)}")
            raise
        except TimeoutError:
            line.end(f"{self._where()} does not answer: time is up")
        except _AWAY as error:
            line.end(f"{self._where()} {self._met(error, line.accepted)}")
        finally:
            line.end("stopped")
            await to_the_end(_close(connection, socket))

    def _connection(self) -> tuple[aio_pika.Connection, "_Socket"]:
        """Made, not yet connected: one that fails to must be closed all the same."""
        server = self._server
        url = make_url(
            host=server.host,
            port=server.port,
            login=server.user,
            password=server.password,
            virtualhost=server.vhost,
            ssl=server.tls is not None,
            heartbeat=str(server.heartbeat_s),
        )
        named: dict[str, FieldValue] = {"connection_name": f"bursa {self.name}"}
        made = aio_pika.Connection(url, ssl_context=server.tls, client_properties=named)
        socket = _Socket(server.tls is not None)
        made.kwargs["transport_factory"] = socket  # it hands on what the library below takes
        return made, socket

    async def _consume(self, line: "_Line", connection: AbstractConnection) -> None:
        """Have the queue's messages delivered to the line."""
        binding = self._bindings[line.channel]
        amqp = await connection.channel(publisher_confirms=False)
        await amqp.set_qos(prefetch_count=self._prefetch)
        try:
            queue = await _queue(amqp, binding)
        except ChannelNotFoundEntity as error:
            hint = "" if binding.declare else "; declare = true makes it"
            raise ConnectionError(f"{_told(error)}{hint}") from None
        await line.attend(connection, amqp, queue)
        if binding.declare:
            line.bound = (binding.exchange, binding.routing_key)

    def _met(self, error: BaseException, accepted: bool) -> str:
        if accepted:
            return _told(error)
        if isinstance(error, InvalidFrameError):  # what the broker said the library keeps to itself
            server = self._server
            return f"does not open vhost {server.vhost} to user {server.user}"
        return f"cannot be reached: {_told(error)}"

    def _where(self) -> str:
        return f"{self._server.host}:{self._server.port}"


async def _queue(amqp: AbstractChannel, binding: Binding) -> AbstractQueue:
    if not binding.declare:
        return await amqp.get_queue(binding.queue, ensure=True)
    exchange = await amqp.get_exchange(binding.exchange, ensure=True)
    queue = await amqp.declare_queue(binding.queue, durable=True)
    await queue.bind(exchange, binding.routing_key)
    return queue


class _Socket(TransportFactory):
    """Connects as the library does, and can cut what it made: over TLS the library waits 30 s for
    a goodbye of a broker that says nothing any more, and so would the loop as it closes."""

    def __init__(self, secure: bool) -> None:
        self._made: asyncio.StreamWriter | None = None
        self._how = TLSTransportFactory() if secure else TCPTransportFactory()

    async def create(
        self, url: URL, **named: Any
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """As the library's."""
        reader, self._made = await self._how.create(url, **named)
        return reader, self._made

    def cut(self) -> None:
        """At once; nothing happens where it is closed."""
        if self._made is not None:
            self._made.transport.abort()


async def _close(connection: AbstractConnection, socket: _Socket) -> None:
    """Say goodbye, or leave without. The library waits for the broker, whoever cancels it."""
    going = asyncio.create_task(connection.close())
    await asyncio.wait((going,), timeout=_GOODBYE_S)
    socket.cut()
    await asyncio.wait((going,), timeout=_GOODBYE_S)
    if not going.done():
        going.cancel()
    with suppress(*_AWAY, asyncio.CancelledError):
        await going
    with suppress(*_AWAY):
        await connection.close()  # where it was cancelled; nothing is left to wait for


def _told(error: BaseException) -> str:
    """What a library's exception says, in a line."""
    return " ".join(str(error).split()) or type(error).__name__


class _Line:
    """One connection's deliveries: in order into the intake, acknowledged after the sync.

    accepted      the login was
    acknowledged  something was
    gone          why the connection ended, once it has
    bound         exchange and routing key that bring the queue's messages; None: others see to that
    """

    def __init__(self, bodies: Bodies) -> None:
        self.channel, self.intake, self._bodies = bodies.channel, bodies.intake, bodies
        self.accepted = self.acknowledged = False
        self.bound: tuple[str, str] | None = None
        self.gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        # Never longer than the prefetch count.
        self._arrived: list[bytes] = []
        self._arrived_tag = self._taken_tag = 0
        self._news, self._taken = asyncio.Event(), asyncio.Event()

    def end(self, why: str) -> None:
        """It is over; the first reason counts."""
        if not self.gone.done():
            self.gone.set_result(why)

    async def attend(
        self, connection: AbstractConnection, amqp: AbstractChannel, queue: AbstractQueue
    ) -> None:
        """Begin to be delivered to; `gone` is set when that ends, for whatever reason."""

        def closed(_: object, error: BaseException | None = None) -> None:
            self.end(_told(error) if error else "the broker closed the connection")

        async def cancelled(_: object) -> None:
            self.end(f"the broker ended the delivery of queue {queue.name}: is it deleted?")

        connection.close_callbacks.add(closed)
        amqp.close_callbacks.add(closed)
        self._amqp = await amqp.get_underlay_channel()
        self._amqp.on_consumer_cancel_callbacks.add(cancelled)
        self._queue = queue
        await queue.consume(self._arrive, exclusive=True)

    async def _arrive(self, message: AbstractIncomingMessage) -> None:
        assert message.delivery_tag is not None, "a delivery has one"
        self._arrived.append(message.body)
        self._arrived_tag = message.delivery_tag
        self._news.set()

    async def work(self, quiet_s: float) -> None:
        """Take and acknowledge until it is gone."""
        jobs = (self._take(), self._acknowledge(), self._stay_bound(quiet_s))
        tasks = [asyncio.create_task(job) for job in jobs]
        ends: list[asyncio.Future[Any]] = [*tasks, self.gone]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(outcome, Exception):
                    raise outcome

    async def _take(self) -> None:
        """What arrived, into the intake: all that has, at each turn."""
        while True:
            await self._news.wait()
            await self.intake.room()
            self._news.clear()
            arrived, self._arrived = self._arrived, []
            self._bodies.deliver(arrived)
            self._taken_tag = self._arrived_tag
            self._taken.set()

    async def _stay_bound(self, quiet_s: float) -> None:
        """Bind again what is bound, which changes nothing, where nothing came for a while."""
        while True:
            tag = self._arrived_tag
            await asyncio.sleep(quiet_s)
            if self.bound is not None and tag == self._arrived_tag:
                await self._queue.bind(*self.bound)

    async def _acknowledge(self) -> None:
        """Whatever was taken when a sync began, behind that sync."""
        while True:
            await self._taken.wait()
            self._taken.clear()
            tag = self._taken_tag
            await self.intake.synced()
            # Not waited for: a connection that goes meanwhile says so by itself, and to who waits
            # here the library would raise a bare Exception.
            await self._amqp.basic_ack(tag, multiple=True, wait=False)
            self.acknowledged = True
