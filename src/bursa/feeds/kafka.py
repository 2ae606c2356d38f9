"""Kafka as a feed (by aiokafka): for each channel a consumer, a group, a topic of one partition.

Each channel connects, fails and comes back alone. A record's value is one block or many
(bodies.py). Offsets are committed after the journal's sync and not before; so a cut, or a death on
either side, brings records again and the decoder drops what it knows by its number. Where the group
has no offset yet, the topic is read from its earliest record; so it is where the group's offset is
no longer there (deleted by the topic's retention, or a topic made anew), and that is told. Records
of transactions that were aborted are none.

The buffer is what was taken and is not synced: at 80 % of it the partition is paused, at 40 % it is
resumed. While the journal refuses (a full disk) nothing is taken and nothing committed.

The group knows a channel's consumer by a name that stays (static membership): one that was killed
comes back at once instead of after its session's time. Another consumer of the group, of another
name, gets the partition when this one is gone; before it goes, what is synced is committed.

Order across partitions is not defined, so a topic of several is refused.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import (
    AuthenticationFailedError,
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from bursa.feeds import bodies
from bursa.feeds.bodies import Bodies
from bursa.feeds.goodbye import to_the_end
from bursa.model.errors import Refuse
from bursa.model.venue import Venue
from bursa.ops.back_off import BACK_OFF_S, BackOff
from bursa.ports import Intake
from bursa.wire.idx.layout import IDX1, Layout

PAUSE_AT, RESUME_AT = 0.8, 0.4
_REFUSED = (AuthenticationFailedError, SaslAuthenticationFailed, UnsupportedSaslMechanismError)
# Offsets are committed this often at most; what a death leaves uncommitted comes again.
COMMIT_GAP_S = 0.1
# How the library says that the cluster tells of no broker, as it does while its only one is fenced.
_NO_BROKER = "Did we not perform bootstrap"
# How long a poll waits for records.
_POLL_MS = 200
# How long a consumer that ends may take.
_GOODBYE_S = 2.0
# How often a consumer that does not end is cancelled.
_CANCELS = 20
# A partition is not taken from who waits for room on a full disk.
_POLL_GAP_MAX_MS = 24 * 3600 * 1000
_FETCH_BYTES_MAX, _FETCH_BYTES_MIN = 1 << 20, 1 << 16
# The library tells every failed attempt at length; what becomes of a channel the intake is told.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class Cluster:
    """Where the brokers are, and who we are there.

    servers    host:port of some of them
    tls        how to check their certificates; None: no TLS
    mechanism  of SASL: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512; "" for none
    member     our name in the groups
    """

    servers: Sequence[str]
    tls: ssl.SSLContext | None = None
    mechanism: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    member: str = "bursa"

    def options(self) -> dict[str, Any]:
        """As the library takes them, for a consumer or a lone connection."""
        sasl = "SASL_" if self.mechanism else ""
        return {
            "security_protocol": sasl + ("SSL" if self.tls else "PLAINTEXT"),
            "ssl_context": self.tls,
            "sasl_mechanism": self.mechanism or "PLAIN",
            "sasl_plain_username": self.user or None,
            "sasl_plain_password": self.password or None,
        }


@dataclass(frozen=True)
class Buffer:
    """What may be taken and not yet synced, a channel."""

    messages: int = 50_000
    size: int = 16 << 20


@dataclass(frozen=True)
class Timing:
    """Seconds: to connect, between looks at a silent broker, without an answer until it is dead,
    until the group gives the partition of a silent consumer to another, to wait after each failure
    in turn."""

    connect_s: float = 10.0
    look_s: float = 1.0
    dead_s: float = 5.0
    session_s: float = 10.0
    back_off_s: tuple[float, ...] = BACK_OFF_S


class KafkaFeed:
    """Implements ports.Feed.

    topics   channel's index -> its topic, and the group whose offsets are kept: one a channel, for
             a group that several share stands still whenever one of them comes or goes
    layout   whose longest message is the longest block
    """

    def __init__(
        self,
        name: str,
        venue: Venue,
        cluster: Cluster,
        topics: Mapping[int, tuple[str, str]],
        buffer: Buffer | None = None,
        layout: Layout = IDX1,
        timing: Timing | None = None,
    ) -> None:
        self.name = name
        self._venue, self._cluster, self._topics = venue, cluster, dict(topics)
        self._buffer = buffer or Buffer()
        self._block_max, self._timing = layout.block_bytes_max, timing or Timing()

    async def run(self, intake: Intake) -> None:
        """Deliver until cancelled (ports.Feed). Raises Refuse `login_refused` where the first
        login of a channel is, `several_partitions` where its topic has more than one: waiting mends
        neither."""
        bodies.warm()
        channels = [asyncio.create_task(self._channel(channel, intake)) for channel in self._topics]
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
            ways = Bodies(channel, intake, self._block_max)
            line = _Line(ways, self._topics[channel][0], self._buffer, self._timing)
            try:
                why = await self._live(line)
            except _REFUSED as refusal:
                if not accepted:
                    where = self._venue.channels[channel].name
                    what = f"{self.name}: login on {where} is refused: {_told(refusal)}"
                    raise Refuse(what, "login_refused", 403) from None
                why = f"the login is refused: {_told(refusal)}"
            accepted = accepted or line.accepted
            if line.committed:
                back_off.reset()
            intake.down(channel, why)
            await asyncio.sleep(back_off.next_s())

    async def _live(self, line: "_Line") -> str:
        """One consumer, from its beginning to its end; why it ended."""
        consumer: AIOKafkaConsumer | None = None
        try:
            async with asyncio.timeout(self._timing.connect_s):
                await self._login()
                line.accepted = True
                consumer = self._consumer(line.channel)
                await consumer.start()
                if line.topic not in await consumer.topics():
                    return f"there is no topic {line.topic}, or none that {self._who()} may read"
            await line.work(consumer)
        except _REFUSED:
            raise
        except TimeoutError:
            return f"{self._where()} does not answer: time is up"
        except (KafkaError, OSError) as error:
            return f"{self._where()}: {_told(error)}"
        except AssertionError as error:
            if _NO_BROKER not in str(error):
                raise
            return f"{self._where()}: the cluster tells of no broker"
        finally:
            if consumer is not None:
                await to_the_end(_stop(consumer))
        return line.why

    async def _login(self) -> None:
        """One connection to any of the brokers, closed again: the consumer would not say why it
        cannot connect. Raises what the last one met."""
        failure: Exception = ConnectionError("no broker is named")
        for server in self._cluster.servers:
            host, _, port = server.rpartition(":")
            trial = AIOKafkaConnection(
                host, int(port), client_id="bursa", **self._cluster.options()
            )
            try:
                await trial.connect()
                return
            except (KafkaError, OSError) as error:
                failure = error
            finally:
                # Nothing is under way that a goodbye over TLS would be for; and a broker that
                # refuses a login lets one wait for its own.
                _abort(_lines(trial))
                trial.close()
        raise failure

    def _consumer(self, channel: int) -> AIOKafkaConsumer:
        cluster = self._cluster
        return AIOKafkaConsumer(
            bootstrap_servers=list(cluster.servers),
            client_id=f"bursa-{self.name}",
            group_id=self._topics[channel][1],
            group_instance_id=f"{cluster.member}-{self._venue.channels[channel].name}",
            enable_auto_commit=False,
            auto_offset_reset="none",  # the line does it, and tells
            isolation_level="read_committed",
            session_timeout_ms=int(self._timing.session_s * 1000),
            heartbeat_interval_ms=int(self._timing.session_s * 300),
            max_poll_interval_ms=_POLL_GAP_MAX_MS,
            # One fetch fits above the mark at which the partition is paused.
            max_partition_fetch_bytes=max(
                _FETCH_BYTES_MIN, min(_FETCH_BYTES_MAX, self._buffer.size // 5)
            ),
            **cluster.options(),
        )

    def _where(self) -> str:
        return ", ".join(self._cluster.servers)

    def _who(self) -> str:
        return self._cluster.user or "everybody"


async def _stop(consumer: AIOKafkaConsumer) -> None:
    """Let it end. Where the broker is away that fails half-way, by a request that is cancelled, or
    takes for ever; over TLS a broker that is at one of our requests does not hear a goodbye before
    it has answered. Its connections are cut then, at which whatever is left of it ends. A task of
    the library may take one cancellation for something else, hence several."""
    begun, lines = [], _lines(*consumer._client._conns.values())
    for end in (consumer.stop, consumer._client.close):
        ending = asyncio.create_task(end())
        begun.append(ending)
        await asyncio.wait((ending,), timeout=_GOODBYE_S)
        if ending.done() and not ending.cancelled() and ending.exception() is None:
            break
        _abort([*lines, *_lines(*consumer._client._conns.values())])
        ending.cancel()
    for _ in range(_CANCELS):
        left = [ending for ending in begun if not ending.done()]
        if not left:
            break
        await asyncio.wait(left, timeout=_GOODBYE_S / _CANCELS)
        for ending in left:
            ending.cancel()
    await asyncio.gather(*(each for each in begun if each.done()), return_exceptions=True)


def _lines(*connections: AIOKafkaConnection) -> list[asyncio.WriteTransport]:
    """What connections are made of: those that are open, or not yet closed."""
    protocols = [each._protocol for each in connections if each._protocol is not None]
    return [each._transport for each in protocols if each._transport is not None]


def _abort(lines: Sequence[asyncio.WriteTransport]) -> None:
    for line in lines:
        line.abort()


def _told(error: BaseException) -> str:
    """What a library's exception says, in a line."""
    return " ".join(str(error).split()) or type(error).__name__


class _Fill:
    """What was taken and is not synced."""

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self.messages = self.size = 0

    @property
    def share(self) -> float:
        """Of the buffer, by messages or bytes, whichever is fuller."""
        return max(self.messages / self._buffer.messages, self.size / self._buffer.size)

    def add(self, messages: int, size: int) -> None:
        """Taken, or where negative synced."""
        self.messages += messages
        self.size += size


class _Line(ConsumerRebalanceListener):  # type: ignore[misc]  # the library ships no types
    """One consumer's records: in order into the intake, committed after the sync.

    accepted   the login was
    committed  an offset was
    why        it ended
    """

    def __init__(self, bodies: Bodies, topic: str, buffer: Buffer, timing: Timing) -> None:
        self.channel, self.topic = bodies.channel, topic
        self.accepted = self.committed = False
        self.why = "stopped"
        self._intake, self._timing = bodies.intake, timing
        self._bodies, self._fill = bodies, _Fill(buffer)
        self._records_max = max(1, buffer.messages // 5)
        self._partition = TopicPartition(topic, 0)
        # Offsets of the next record: to take, to commit (all before it are synced), committed.
        self._taken = self._synced = self._told = -1
        self._ours = self._heard = False
        self._turn = 0
        self._news, self._to_commit = asyncio.Event(), asyncio.Event()
        self._refusal: Refuse | None = None

    async def work(self, consumer: AIOKafkaConsumer) -> None:
        """Take and commit until something fails; then raises that, or sets `why`."""
        self._consumer = consumer
        consumer.subscribe([self.topic], listener=self)
        jobs = (self._take(), self._sync(), self._commit(), self._look())
        tasks = [asyncio.create_task(job) for job in jobs]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            # The library may not hear of it before its own time is up; nobody waits for that.
            await asyncio.wait(tasks, timeout=_GOODBYE_S)
        for task in tasks:
            if task.done() and not task.cancelled() and (error := task.exception()):
                raise error

    async def _take(self) -> None:
        """Poll, hand on, pause where the buffer is full."""
        while True:
            try:
                found = await self._consumer.getmany(
                    timeout_ms=_POLL_MS, max_records=self._records_max
                )
            except NoOffsetForPartitionError:
                self._is_fit()
                await self._consumer.seek_to_beginning(self._partition)
                continue
            except OffsetOutOfRangeError as error:
                self._is_fit()
                await self._begin_again(error.args[0][self._partition])
                continue
            self._is_fit()
            for records in found.values():
                await self._intake.room()
                values = [record.value or b"" for record in records]
                self._bodies.deliver(values)
                self._fill.add(len(values), sum(map(len, values)))
                self._taken, self._heard = records[-1].offset + 1, True
                self._news.set()
            if found and self._ours and self._fill.share >= PAUSE_AT:
                self._consumer.pause(self._partition)

    def _is_fit(self) -> None:
        """Raises where no waiting makes the topic one that can be read."""
        if self._refusal is not None:
            raise self._refusal

    async def _begin_again(self, wanted: int) -> None:
        """What was to come next is not in the topic: go on with its first record, and tell."""
        [first] = (await self._consumer.beginning_offsets([self._partition])).values()
        why = f"topic {self.topic} ends before record {wanted}: it is read from its first"
        if first > wanted:
            why = f"topic {self.topic} has lost records {wanted} to {first - 1} before we read them"
        await self._intake.synced()
        self._turn += 1
        self._taken = self._synced = self._told = -1
        self._intake.down(self.channel, why)
        self._consumer.seek(self._partition, first)
        self._intake.up(self.channel)

    async def _sync(self) -> None:
        """Whatever was taken when a sync began is out of the buffer behind it."""
        while True:
            await self._news.wait()
            self._news.clear()
            turn, taken = self._turn, self._taken
            messages, size = self._fill.messages, self._fill.size
            await self._intake.synced()
            self._fill.add(-messages, -size)
            if turn == self._turn:  # else the partition went, and came back at what was committed
                self._synced = max(self._synced, taken)
                self._to_commit.set()
            if self._ours and self._fill.share <= RESUME_AT:
                self._consumer.resume(self._partition)

    async def _commit(self) -> None:
        while True:
            await self._to_commit.wait()
            self._to_commit.clear()
            await self._commit_synced()
            await asyncio.sleep(COMMIT_GAP_S)

    async def _commit_synced(self) -> None:
        """Tell the group how far we are; where the partition has gone, its new owner does."""
        synced = self._synced
        if synced <= self._told or not self._ours:
            return
        try:
            await self._consumer.commit({self._partition: synced})
        except (CommitFailedError, IllegalStateError):
            return
        self._told = max(self._told, synced)
        self.committed = True

    async def _look(self) -> None:
        """The library tries for ever and does not tell: ask, where nothing comes by itself."""
        while True:
            self._heard = False
            await asyncio.sleep(self._timing.look_s)
            if self._heard:
                continue
            asking = asyncio.create_task(self._consumer.end_offsets([self._partition]))
            try:
                await asyncio.wait((asking,), timeout=self._timing.dead_s)
                if not asking.done():
                    self.why = f"the broker has not answered for {self._timing.dead_s:g} s"
                    return
                await asking
            finally:
                asking.cancel()

    # -- aiokafka.ConsumerRebalanceListener ------------------------------------------------------

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """The partition is about to go, or to come anew: commit what is synced by then."""
        if self._partition not in revoked or not self._ours:
            return
        with contextlib.suppress(TimeoutError, KafkaError, OSError):
            async with asyncio.timeout(self._timing.dead_s):
                taken = self._taken
                await self._intake.synced()
                self._synced = max(self._synced, taken)
                await self._commit_synced()
        self._ours = False

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """The partition is ours, or another's."""
        count = len(self._consumer.partitions_for_topic(self.topic) or ())
        if count > 1:
            what = f"topic {self.topic} has {count} partitions: their order is not defined"
            self._refusal = Refuse(f"{what}; give it one", "several_partitions")
            return
        self._ours = self._partition in assigned
        self._turn += 1
        self._taken = self._synced = self._told = -1
        if self._ours:
            self._intake.up(self.channel)
        else:
            self._intake.down(self.channel, "another consumer of the group has the partition")
