"""The Kafka feed against a real broker: order, commits after the sync, pauses, every cut."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete

from bursa.feeds.kafka import PAUSE_AT, Buffer, Cluster, KafkaFeed, Timing
from bursa.model.errors import Refuse
from bursa.model.venue import IDX
from tests.feeds.kept import LIMIT_S, Kept, Running, block, numbered, story, until
from tests.line import Line
from tests.servers.certificates import Certificates
from tests.servers.kraft import PASSWORD, USER, Kafka

pytestmark = pytest.mark.xdist_group("kafka")

QUICK = Timing(connect_s=20.0, look_s=0.2, dead_s=5.0, session_s=5.0, back_off_s=(0.05, 0.1))
_runs = count(1)
# Kafka's code for a topic that no broker is there for: the only one was starved, and is fenced.
NO_BROKER = 38


async def _made(admin: AIOKafkaAdminClient, topic: NewTopic) -> int:
    """Make a topic; Kafka's code of what became of it."""
    ((_, code, *_),) = (await admin.create_topics([topic])).topic_errors
    return int(code)


class Vendor:
    """Two topics of this test alone, a group, and a publisher that waits for the broker's word."""

    def __init__(self, server: Kafka) -> None:
        name = f"test{next(_runs)}"
        self._server, self._where = server, f"127.0.0.1:{server.port}"
        self.topics = {0: f"{name}.t0", 1: f"{name}.t1"}
        self.groups = {0: f"{name}.g0", 1: f"{name}.g1"}

    def feed(self, buffer: Buffer | None = None, **where: Any) -> KafkaFeed:
        cluster = replace(Cluster([self._where]), **where)
        topics = {channel: (self.topics[channel], self.groups[channel]) for channel in (0, 1)}
        return KafkaFeed("main", IDX, cluster, topics, buffer, timing=QUICK)

    async def open(self, *channels: int, partitions: int = 1) -> None:
        """Make the topics."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._where)
        await admin.start()
        try:
            for name in (self.topics[c] for c in channels or (0, 1)):
                until = time.monotonic() + LIMIT_S
                while (code := await _made(admin, NewTopic(name, partitions, 1))) != 0:
                    assert code == NO_BROKER and time.monotonic() < until, code
                    await asyncio.sleep(0.1)
        finally:
            await admin.close()

    async def delete(self, before: int) -> None:
        """What retention does: the records before this offset are gone."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._where)
        await admin.start()
        try:
            partition = TopicPartition(self.topics[0], 0)
            await admin.delete_records({partition: RecordsToDelete(before)})
        finally:
            await admin.close()

    async def commit(self, offset: int) -> None:
        """In the group's name, while nobody of it is there."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self._where, group_id=self.groups[0])
        await consumer.start()
        try:
            partition = TopicPartition(self.topics[0], 0)
            consumer.assign([partition])
            await consumer.commit({partition: offset})
        finally:
            await consumer.stop()

    @asynccontextmanager
    async def producing(self, **how: Any) -> AsyncIterator[AIOKafkaProducer]:
        producer = AIOKafkaProducer(bootstrap_servers=self._where, acks="all", linger_ms=1, **how)
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    async def publish(self, said: Sequence[bytes | None], channel: int = 0, **how: Any) -> None:
        """All of it, in order; returns when the broker has it."""
        async with self.producing(**how) as producer:
            for value in said:
                await producer.send(self.topics[channel], value, key=b"k", partition=0)

    async def committed(self, channel: int = 0) -> int | None:
        """Offset of the group in the broker; None where it has none."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self._where, group_id=self.groups[channel])
        await consumer.start()
        try:
            partition = TopicPartition(self.topics[channel], 0)
            consumer.assign([partition])
            found: int | None = await consumer.committed(partition)
            return found
        finally:
            await consumer.stop()

    async def settled(self, offset: int | None, channel: int = 0) -> None:
        """Wait until so much is committed."""
        found: int | None = -1
        until = time.monotonic() + LIMIT_S
        while found != offset:
            assert time.monotonic() < until, f"{found}, not {offset}"
            await asyncio.sleep(0.05)
            with suppress(AssertionError):  # the library knows of no broker: the only one is fenced
                found = await self.committed(channel)


@pytest.fixture
def vendor(kafka: Kafka) -> Vendor:
    return Vendor(kafka)


def test_the_first_start_reads_all_and_the_second_goes_on_from_there(vendor: Vendor) -> None:
    several = [b"".join(numbered(at, 5)) for at in range(50, 100, 5)]

    async def told() -> None:
        await vendor.open()
        await vendor.publish([*numbered(0, 50), *several])
        await vendor.publish(numbered(0, 7), 1)
        first, second = Kept(), Kept()
        async with Running(vendor.feed(), first):
            await first.all_up()
            assert await first.taken(100) == [b"message %d" % n for n in range(100)]
            assert await first.taken(7, 1) == [b"message %d" % n for n in range(7)]
            await vendor.settled(60)
            await vendor.settled(7, 1)
        await vendor.publish(numbered(100, 5))
        async with Running(vendor.feed(), second):
            assert await second.taken(5) == [b"message %d" % n for n in range(100, 105)]
            await vendor.settled(65)
            assert not second.messages[1]
        assert first.told() == second.told() == ["up"]

    story(told)


def test_nothing_is_committed_before_the_journal_is_synced(vendor: Vendor) -> None:
    async def told() -> None:
        await vendor.open()
        await vendor.publish(numbered(0, 50))
        intake = Kept()
        intake.sync.clear()
        async with Running(vendor.feed(), intake):
            await intake.taken(50)
            assert await vendor.committed() is None
            intake.sync.set()
            await vendor.settled(50)
            intake.sync.clear()
            await vendor.publish(numbered(50, 50))
            await intake.taken(100)
            assert await vendor.committed() == 50
        assert await vendor.committed() == 50

    story(told)


@pytest.mark.parametrize(
    ("buffer", "blocks"), [(Buffer(messages=100), 1), (Buffer(size=400_000), 40)]
)
def test_a_full_buffer_pauses_and_an_emptier_one_resumes(
    vendor: Vendor, buffer: Buffer, blocks: int
) -> None:
    """100 records, of 4,000 bytes where bytes fill it: between 80 and 100 are taken while nothing
    is synced."""
    said = [block(b"%03d" % n + bytes(95)) * blocks for n in range(400)]

    async def told() -> None:
        await vendor.open()
        await vendor.publish(said)
        intake = Kept()
        intake.sync.clear()
        async with Running(vendor.feed(buffer), intake):
            held = await intake.taken(int(PAUSE_AT * 100) * blocks)
            await asyncio.sleep(0.5)
            assert PAUSE_AT * 100 <= len(held) / blocks <= 100
            intake.sync.set()
            found = await intake.taken(400 * blocks)
            assert [message[:3] for message in found[::blocks]] == [m[2:5] for m in said]
            await vendor.settled(400)
        assert intake.told() == ["up"]

    story(told)


def test_while_the_journal_refuses_nothing_is_taken_or_committed(vendor: Vendor) -> None:
    async def told() -> None:
        await vendor.open()
        intake = Kept()
        async with Running(vendor.feed(), intake):
            await intake.all_up()
            intake.space.clear()
            await vendor.publish(numbered(0, 100))
            await asyncio.sleep(0.3)
            assert not intake.messages[0] and await vendor.committed() is None
            intake.space.set()
            assert await intake.taken(100) == [b"message %d" % n for n in range(100)]
            await vendor.settled(100)
        assert intake.told() == ["up"]

    story(told)


def test_what_is_no_block_is_handed_on_once_and_never_asked_for_again(vendor: Vendor) -> None:
    async def told() -> None:
        await vendor.open()
        intake = Kept()
        async with Running(vendor.feed(), intake):
            await intake.all_up()
            await vendor.publish([*numbered(0, 1), b"\0", None, b"", b"no block", *numbered(1, 1)])
            await intake.taken(2)
            await vendor.settled(6)
        assert intake.broken == [b"\0", b"no block"]
        assert intake.told() == ["up"]

    story(told)


def test_a_broker_killed_amid_the_stream_brings_again_what_was_not_committed(
    vendor: Vendor, kafka: Kafka
) -> None:
    async def told() -> None:
        await vendor.open()
        intake = Kept()
        async with Running(vendor.feed(), intake):
            await intake.all_up()
            await vendor.publish(numbered(0, 30))
            await intake.taken(30)
            await vendor.settled(30)
            intake.sync.clear()
            await vendor.publish(numbered(30, 30))
            await intake.taken(60)
            kafka.kill()
            await until(lambda: not intake.is_up(0) and not intake.is_up(1), "the cut")
            assert "has not answered for 5 s" in intake.whys()
            await until(lambda: f"127.0.0.1:{kafka.port}: " in intake.whys(), "attempts")
            intake.sync.set()
            await asyncio.to_thread(kafka.start)
            await intake.all_up()
            await vendor.publish(numbered(60, 10))
            found = await intake.taken(100)
            await vendor.settled(70)
        assert found == [b"message %d" % n for n in [*range(60), *range(30, 70)]]

    story(told)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_broker_that_hears_no_goodbye_is_left_all_the_same(
    vendor: Vendor, kafka: Kafka, certificates: Certificates, secure: bool
) -> None:
    """It stands still as both channels leave, of which one is gone first: nothing goes on behind
    the feed."""
    known = ssl.create_default_context(cafile=str(certificates.authority))
    where: dict[str, Any] = {"tls": known, "mechanism": "PLAIN", "user": USER} if secure else {}
    if secure:
        where |= {"servers": [f"127.0.0.1:{kafka.secure_port}"], "password": PASSWORD}

    async def told() -> None:
        await vendor.open()
        intake = Kept()
        async with Running(vendor.feed(**where), intake):
            await intake.all_up()
            kafka.stand_still()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    try:
        story(told)
    finally:
        kafka.go_on()


def test_a_cut_line_comes_back_and_so_does_what_was_under_way(vendor: Vendor, kafka: Kafka) -> None:
    async def told() -> None:
        await vendor.open()
        intake = Kept()
        with Line(kafka.relayed_port, own=kafka.line_port) as line:
            async with Running(vendor.feed(servers=[f"127.0.0.1:{line.port}"]), intake):
                await intake.all_up()
                intake.sync.clear()
                await vendor.publish(numbered(0, 20))
                await intake.taken(20)
                line.cut()
                await until(lambda: not intake.is_up(0) and not intake.is_up(1), "the cut")
                await vendor.publish(numbered(20, 5))
                intake.sync.set()
                line.mend()
                found = await intake.taken(45)
                await vendor.settled(25)
        assert found == [b"message %d" % n for n in [*range(20), *range(25)]]

    story(told)


@pytest.mark.parametrize("kind", ["gzip", "snappy", "lz4", "zstd"])
def test_batches_may_be_compressed(vendor: Vendor, kind: str) -> None:
    async def told() -> None:
        await vendor.open()
        await vendor.publish(numbered(0, 200), compression_type=kind)
        intake = Kept()
        async with Running(vendor.feed(), intake):
            assert await intake.taken(200) == _plain(0, 200)
            await vendor.settled(200)
        assert intake.told() == ["up"]

    story(told)


def test_records_that_are_gone_before_they_were_read_are_told(vendor: Vendor) -> None:
    async def told() -> None:
        await vendor.open()
        await vendor.publish(numbered(0, 10))
        first, second = Kept(), Kept()
        async with Running(vendor.feed(), first):
            await first.taken(10)
            await vendor.settled(10)
        await vendor.publish(numbered(10, 20))
        await vendor.delete(25)
        async with Running(vendor.feed(), second):
            assert await second.taken(5) == _plain(25, 5)
            await vendor.settled(30)
            lost = f"down: topic {vendor.topics[0]} has lost records 10 to 24 before we read them"
            assert second.told() == ["up", lost, "up"]

    story(told)


def test_a_topic_shorter_than_the_groups_offset_is_read_from_its_first_record(
    vendor: Vendor,
) -> None:
    async def told() -> None:
        await vendor.open()
        await vendor.publish(numbered(0, 5))
        await vendor.commit(1000)
        intake = Kept()
        async with Running(vendor.feed(), intake):
            assert await intake.taken(5) == _plain(0, 5)
            await vendor.settled(5)
        assert (
            f"{vendor.topics[0]} ends before record 1000: it is read from its first"
            in intake.whys()
        )

    story(told)


def test_a_transaction_that_was_aborted_is_none(vendor: Vendor) -> None:
    async def told() -> None:
        await vendor.open()
        topic = vendor.topics[0]
        async with vendor.producing(transactional_id=topic) as producer:
            for number in range(4):
                await producer.begin_transaction()
                await producer.send_and_wait(topic, numbered(number, 1)[0], partition=0)
                if number % 2:
                    await producer.abort_transaction()
                else:
                    await producer.commit_transaction()
        intake = Kept()
        async with Running(vendor.feed(), intake):
            await vendor.publish(numbered(9, 1))
            assert await intake.taken(3) == [b"message 0", b"message 2", b"message 9"]
        assert intake.told() == ["up"]

    story(told)


def test_a_missing_topic_is_named_and_waited_for_by_its_channel_alone(vendor: Vendor) -> None:
    async def told() -> None:
        await vendor.open(1)
        intake = Kept()
        async with Running(vendor.feed(), intake):
            await until(lambda: intake.is_up(1) and intake.whys(0), "one channel")
            assert f"there is no topic {vendor.topics[0]}" in intake.whys(0)
            await vendor.open(0)
            await intake.all_up()
            await vendor.publish(numbered(0, 5))
            await intake.taken(5)
        assert intake.told(1) == ["up"]

    story(told)


def test_a_topic_of_several_partitions_ends_the_feed(vendor: Vendor) -> None:
    async def told() -> None:
        await vendor.open(1)
        await vendor.open(0, partitions=2)
        with pytest.raises(Refuse, match="has 2 partitions.*give it one") as refusal:
            await vendor.feed().run(Kept())
        assert refusal.value.code == "several_partitions"

    story(told)


def test_of_two_in_a_group_one_has_the_partition_and_the_other_takes_it_over(
    vendor: Vendor,
) -> None:
    async def told() -> None:
        await vendor.open()
        intakes = Kept(), Kept()
        feeds = [Running(vendor.feed(member=f"m{at}"), intakes[at]) for at in (0, 1)]
        await feeds[0].__aenter__()
        await intakes[0].all_up()
        await vendor.publish(numbered(0, 20))
        await intakes[0].taken(20)
        await feeds[1].__aenter__()
        await until(lambda: sum(k.is_up(0) for k in intakes) == 1 and intakes[1].told(0), "one")
        await until(lambda: "another consumer" in intakes[0].whys() + intakes[1].whys(), "two")
        owner = 0 if intakes[0].is_up(0) else 1
        await vendor.publish(numbered(20, 20))
        await until(lambda: sum(len(k.messages[0]) for k in intakes) >= 40, "the rest")
        await vendor.settled(40)
        await feeds[owner].__aexit__()
        heir = intakes[1 - owner]
        await until(lambda: heir.is_up(0), "the heir")
        await vendor.publish(numbered(40, 5))
        await until(lambda: heir.messages[0][-5:] == _plain(40, 5), "what is new")
        await vendor.settled(45)
        await feeds[1 - owner].__aexit__()
        # What was committed when the partition went did not come twice.
        assert sorted(m for k in intakes for m in k.messages[0]) == sorted(_plain(0, 45))

    story(told)


def _plain(first: int, number: int) -> list[bytes]:
    return [said[2:] for said in numbered(first, number)]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_tls_and_sasl(
    vendor: Vendor, kafka: Kafka, certificates: Certificates, mechanism: str
) -> None:
    known = ssl.create_default_context(cafile=str(certificates.authority))
    where: dict[str, Any] = {
        "servers": [f"127.0.0.1:{kafka.secure_port}"],
        "tls": known,
        "mechanism": mechanism,
        "user": USER,
    }

    async def told() -> None:
        await vendor.open()
        await vendor.publish(numbered(0, 5))
        intake = Kept()
        async with Running(vendor.feed(password=PASSWORD, **where), intake):
            await intake.taken(5)
            await vendor.settled(5)
        with pytest.raises(Refuse, match="main: login on (idx|itch)data is refused") as refusal:
            await vendor.feed(password="wrong", **where).run(Kept())
        assert refusal.value.code == "login_refused" and "wrong" not in str(refusal.value)

    story(told)


def test_a_certificate_of_nobody_known_is_not_trusted(vendor: Vendor, kafka: Kafka) -> None:
    async def told() -> None:
        intake = Kept()
        servers = [f"127.0.0.1:{kafka.secure_port}"]
        wary = vendor.feed(servers=servers, tls=ssl.create_default_context())
        async with Running(wary, intake):
            await until(lambda: intake.whys(0) and intake.whys(1), "doubts")
        assert "certificate verify failed" in intake.whys(0) and "up" not in intake.told(0)

    story(told)
