"""A broker and bursa are killed with SIGKILL under load, in turn, with messages in flight.

A publisher goes on with confirms throughout. Each kill falls while bursa is inside an fsync of its
journal, where it is kept until the journal has taken what the broker confirmed and no fsync has
reached: that is not acknowledged then. How much it is the broker itself is asked, bursa being held
off: of the messages that it still has to deliver, those that the journal holds. At the end the
ledger is balanced: every message that the broker confirmed is stored, once, and every table is what
a rebuild from the journal alone gives.
"""

import asyncio
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import aio_pika
import duckdb
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.faults import publisher, wire
from tests.faults.process import Bursa, configure
from tests.faults.publisher import Account, Publisher
from tests.faults.test_kill import rebuilt
from tests.line import Line
from tests.pipeline import rows, running
from tests.servers.broker import Broker
from tests.servers.kraft import Kafka
from tests.servers.rabbitmq import RabbitMQ

KILLS, SOAK_KILLS = 1, 60
LINGER_MS = 10.0
NAMES = ("idxdata", "itchdata")
CATCH_UP_S, GONE_S = 150.0, 60.0


@dataclass
class Kind:
    """A broker under test.

    line       where bursa reaches it
    source     the keys of bursa's source
    connected  how it is published to
    held       bodies of a channel that it has still to deliver, bursa being away
    """

    server: Broker
    line: Line
    source: str
    connected: Callable[[], Any]
    held: Callable[[int], list[bytes]]


def numbers(payload: bytes) -> Iterator[int]:
    """The sequence numbers of blocks."""
    at = 0
    while at < len(payload):
        yield int.from_bytes(payload[at + 3 : at + 11], "big")
        at += 2 + int.from_bytes(payload[at : at + 2], "big")


def journalled(data: Path, since: int = 0) -> tuple[list[int], list[int]]:
    """The numbers on each channel that lie behind an address, in the journal's order; a torn end is
    left out."""
    for _ in range(100):
        found: tuple[list[int], list[int]] = [], []
        try:
            for record in wire.records(data / "journal" / "idx"):
                if record.position > since:
                    found[record.channel].extend(numbers(record.payload))
        except struct.error:
            pass
        except FileNotFoundError:  # a segment was packed meanwhile
            continue
        return found
    raise AssertionError("its files come and go")


def laden(bursa: Bursa, data: Path, publishing: Publisher) -> None:
    """Keep it inside an fsync until the journal has taken a trade that the broker has confirmed and
    cannot have been told of: no sync has reached it."""
    bursa.hold()
    before = publishing.confirmed
    bursa.until(
        lambda: (
            publishing.confirmed > before
            and any(seq <= publishing.confirmed for seq in journalled(data, bursa.durable)[0])
        ),
        "what the journal alone has",
    )


def kill(
    bursa: Bursa, kind: Kind, victim: str, data: Path, publishing: Publisher, rng: Random
) -> int:
    """Kill one of them inside an fsync, bring the broker back; how many messages bursa had taken
    and not acknowledged."""
    time.sleep(rng.uniform(0.2, 0.6))
    laden(bursa, data, publishing)
    if victim == "bursa":
        bursa.kill()
        kind.line.cut()
    else:
        kind.server.kill()
        kind.line.cut()
        bursa.go_on()
        kind.server.start()
    taken = [set(found) for found in journalled(data)]
    flying = 0
    for channel, known in enumerate(taken):
        flying += len(known & {next(numbers(body)) for body in kind.held(channel)})
    total = sum(map(len, taken))
    print(f"killed {victim:6} inside an fsync, {flying:5,} in flight, taken {total:,}", flush=True)
    kind.line.mend()
    return flying


def start(data: Path, config: Path) -> Bursa:
    bursa = Bursa(data, ["up", "--config", str(config)], LINGER_MS)
    bursa.url()
    bursa.until(lambda: len(bursa.events("channel is up")) >= 2, "both channels")
    return bursa


def goes_on(bursa: Bursa, data: Path) -> None:
    """It takes trades again that it had not. (A short absence of Kafka its library hides.)"""
    before = len(set(journalled(data)[0]))
    bursa.until(lambda: len(set(journalled(data)[0])) > before, "what is new")


def caught_up(bursa: Bursa, data: Path, account: Account) -> None:
    """Until the journal has all that was confirmed; then a clean stop."""
    wanted = account.trades, account.heartbeats
    until = time.monotonic() + CATCH_UP_S
    while tuple(len(set(found)) for found in journalled(data)) != wanted:
        assert time.monotonic() < until, f"{wanted} were confirmed: {bursa.log()[-2000:]}"
        time.sleep(0.2)
    assert bursa.terminate() == 0, bursa.log()[-3000:]


def balance(data: Path, folder: Path, account: Account, flights: list[int]) -> None:
    """Print the ledger and check it."""
    with duckdb.connect(str(data / "hot.duckdb"), read_only=True) as connection:
        found = [row[0] for row in connection.execute("select seq from idx_ticks").fetchall()]
    twice = sum(len(several) - len(set(several)) for several in journalled(data))
    print(
        f"sent {account.sent:,} = acknowledged {account.acknowledged:,}"
        f" + unknown {account.unknown:,} + rejected {account.rejected:,}"
    )
    print(
        f"acknowledged {account.trades:,} trades and {account.heartbeats:,} heartbeats,"
        f" stored {len(found):,} trades, duplicates {len(found) - len(set(found))};"
        f" {twice:,} came twice and were dropped"
    )
    assert account.sent == account.acknowledged + account.unknown + account.rejected
    assert account.acknowledged == account.trades + account.heartbeats
    assert sorted(found) == list(range(1, account.trades + 1))
    assert min(flights) > 0, "a kill met nothing in flight"
    stored = rows.hashes(running.stored(data / "hot.duckdb"))
    again = rebuilt(data, folder)
    for name in stored:
        print(f"{name:11} {stored[name]:35} rebuilt {again[name]}")
    assert stored == again


def story(kind: Kind, folder: Path, soak: bool) -> None:
    """Kills of both under load, then the ledger."""
    seed = Random().randrange(2**32)
    print(f"\nseed {seed}")
    rng = Random(seed)
    victims = ["bursa", "broker"] * (SOAK_KILLS if soak else KILLS)
    rng.shuffle(victims)
    config = configure(folder / "c.toml")
    config.write_text(f'{config.read_text()}\n[feeds.main]\nvenue = "idx"\n{kind.source}')
    data, flights = folder / "data", []
    bursa = start(data, config)
    publishing = Publisher(kind.connected)
    try:
        for victim in victims:
            flights.append(kill(bursa, kind, victim, data, publishing, rng))
            if victim == "bursa":
                bursa = start(data, config)
            goes_on(bursa, data)
        account = publishing.finish()
        caught_up(bursa, data, account)
    finally:
        publishing.abandon()
        bursa.end()
    balance(data, folder / "rebuilt", account, flights)


# -- RabbitMQ --------------------------------------------------------------------------------------


async def declare_amqp(port: int) -> None:
    connection = await aio_pika.connect(host="127.0.0.1", port=port)
    async with connection, connection.channel() as channel:
        for name in NAMES:
            await channel.declare_exchange(name, aio_pika.ExchangeType.FANOUT, durable=True)


async def held_amqp(port: int, channel: int) -> list[bytes]:
    """Take all of the queue, look, and let it go back by leaving. What a consumer that went had not
    acknowledged is there again as soon as the broker knows of none."""
    connection = await aio_pika.connect(host="127.0.0.1", port=port)
    async with connection, connection.channel() as amqp:
        async with asyncio.timeout(GONE_S):
            while True:
                queue = await amqp.declare_queue(f"bursa.{NAMES[channel]}", passive=True)
                if not queue.declaration_result.consumer_count:
                    break
                await asyncio.sleep(0.02)
        found: list[bytes] = []
        while (message := await queue.get(fail=False)) is not None and len(found) < LOOK_MAX:
            found.append(message.body)
        return found


# Kafka's code for a topic that is there.
MADE = 36
# Enough to hold all that may be in flight: the prefetch count, or some polls.
LOOK_MAX = 600


@pytest.mark.xdist_group("rabbitmq")
@pytest.mark.timeout(7200)
def test_rabbitmq(rabbitmq: RabbitMQ, tmp_path: Path, soak: bool) -> None:
    asyncio.run(declare_amqp(rabbitmq.port))
    with Line(rabbitmq.port) as line:
        kind = Kind(
            rabbitmq,
            line,
            f'type = "amqp"\nendpoint = "127.0.0.1:{line.port}"\n',
            publisher.amqp(rabbitmq.port, NAMES),
            lambda channel: asyncio.run(held_amqp(rabbitmq.port, channel)),
        )
        story(kind, tmp_path, soak)


# -- Kafka -----------------------------------------------------------------------------------------


async def create_topics(port: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{port}")
    await admin.start()
    try:
        for _ in range(100):
            made = await admin.create_topics([NewTopic(name, 1, 1) for name in NAMES])
            if {error[1] for error in made.topic_errors} <= {0, MADE}:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(made.topic_errors)
    finally:
        await admin.close()


async def held_kafka(port: int, channel: int) -> list[bytes]:
    """Read on from the group's offset, without the group."""
    where = f"127.0.0.1:{port}"
    name = NAMES[channel]
    partition = TopicPartition(name, 0)
    group = AIOKafkaConsumer(
        bootstrap_servers=where, group_id=f"bursa-{name}", enable_auto_commit=False
    )
    await group.start()
    try:
        group.assign([partition])
        offset = await group.committed(partition) or 0
        end = (await group.end_offsets([partition]))[partition]
        group.seek(partition, offset)
        found: list[bytes] = []
        while offset + len(found) < end and len(found) < 10 * LOOK_MAX:
            got = await group.getmany(partition, timeout_ms=500)
            found += [record.value for record in got.get(partition, [])]
        return found
    finally:
        await group.stop()


@pytest.mark.xdist_group("kafka")
@pytest.mark.timeout(7200)
def test_kafka(kafka: Kafka, tmp_path: Path, soak: bool) -> None:
    asyncio.run(create_topics(kafka.port))
    with Line(kafka.relayed_port, own=kafka.line_port) as line:
        kind = Kind(
            kafka,
            line,
            f'type = "kafka"\nendpoints = "127.0.0.1:{line.port}"\n',
            publisher.kafka(kafka.port, NAMES),
            lambda channel: asyncio.run(held_kafka(kafka.port, channel)),
        )
        story(kind, tmp_path, soak)
