"""The RabbitMQ feed against a real RabbitMQ: order, acknowledgement after the sync, every cut."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import aio_pika
import pytest

from bursa.feeds import bodies
from bursa.feeds.amqp import AmqpFeed, Binding, Server, Timing
from bursa.model.errors import Refuse
from bursa.model.venue import IDX
from bursa.pipeline.runtime import Knobs
from tests.feeds.kept import LIMIT_S, Kept, Running, block, numbered, story, until
from tests.line import Line
from tests.pipeline import running
from tests.servers.certificates import Certificates
from tests.servers.rabbitmq import PASSWORD, USER, RabbitMQ
from tests.wire.idx import encoder as idx

pytestmark = pytest.mark.xdist_group("rabbitmq")

QUICK = Timing(connect_s=20.0, quiet_s=0.3, back_off_s=(0.05, 0.1))
_runs = count(1)


class Vendor:
    """Two exchanges of this test alone, and a publisher that waits for the broker's word."""

    def __init__(self, server: RabbitMQ) -> None:
        self._server, self._name = server, f"test{next(_runs)}"
        self.bindings = {
            channel: Binding(f"{self._name}.x{channel}", self.queue(channel)) for channel in (0, 1)
        }

    def queue(self, channel: int = 0) -> str:
        return f"{self._name}.q{channel}"

    def feed(self, prefetch: int = 500, timing: Timing = QUICK, **where: Any) -> AmqpFeed:
        server = replace(Server("127.0.0.1", self._server.port, heartbeat_s=20), **where)
        return AmqpFeed("main", IDX, server, self.bindings, prefetch, timing=timing)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
        connection = await aio_pika.connect(
            host="127.0.0.1", port=self._server.port, login=USER, password=PASSWORD
        )
        async with connection, connection.channel() as channel:
            yield channel

    async def open(self, *channels: int) -> None:
        """Declare the exchanges."""
        async with self.connected() as amqp:
            for channel in channels or (0, 1):
                name = self.bindings[channel].exchange
                await amqp.declare_exchange(name, aio_pika.ExchangeType.FANOUT, durable=True)

    async def publish(self, said: Sequence[bytes], channel: int = 0) -> None:
        """All of it, persistent, in order; returns when the broker has it."""
        async with self.connected() as amqp:
            exchange = await amqp.get_exchange(self.bindings[channel].exchange)
            kept = aio_pika.DeliveryMode.PERSISTENT
            for body in said:
                await exchange.publish(aio_pika.Message(body, delivery_mode=kept), "any")

    async def counts(self, channel: int = 0) -> tuple[int, int]:
        return await asyncio.to_thread(self._server.counts, self.queue(channel))

    async def settled(self, ready: int, unacknowledged: int, channel: int = 0) -> None:
        """Wait until the broker counts so."""
        wanted, found = (ready, unacknowledged), (-1, -1)
        until = time.monotonic() + LIMIT_S
        while found != wanted:
            assert time.monotonic() < until, f"{found}, not {wanted}"
            found = await self.counts(channel)

    async def bound(self, channel: int) -> None:
        """Wait until the queue is bound to its exchange."""
        binding = self.bindings[channel]
        until = time.monotonic() + LIMIT_S
        while f"{binding.exchange}\t{binding.queue}" not in await asyncio.to_thread(
            self._server.control, "list_bindings", "source_name", "destination_name"
        ):
            assert time.monotonic() < until, f"{binding.queue} is not bound"


@pytest.fixture
def vendor(rabbitmq: RabbitMQ) -> Vendor:
    return Vendor(rabbitmq)


def test_bodies_of_one_and_many_blocks_come_in_order_and_leave_the_queue(vendor: Vendor) -> None:
    async def told() -> None:
        await vendor.open()
        intake = Kept()
        several = [b"".join(numbered(at, 7)) for at in range(100, 170, 7)]
        async with Running(vendor.feed(), intake):
            await intake.all_up()
            await vendor.publish([*numbered(0, 100), *several])
            await vendor.publish(numbered(0, 30), 1)
            assert await intake.taken(170) == [b"message %d" % n for n in range(170)]
            assert await intake.taken(30, 1) == [b"message %d" % n for n in range(30)]
            await vendor.settled(0, 0)
            await vendor.settled(0, 0, 1)
        assert intake.told() == ["up"]

    story(told)


def test_nothing_is_acknowledged_before_the_journal_is_synced(vendor: Vendor) -> None:
    async def told() -> None:
        await vendor.open()
        intake = Kept()
        intake.sync.clear()
        async with Running(vendor.feed(prefetch=40), intake):
            await intake.all_up()
            await vendor.publish(numbered(0, 100))
            await intake.taken(40)
            await vendor.settled(60, 40)  # no more are delivered either
            assert len(intake.messages[0]) == 40
            intake.sync.set()
            await intake.taken(100)
            await vendor.settled(0, 0)

    story(told)


def test_while_the_journal_refuses_nothing_is_taken_or_acknowledged(vendor: Vendor) -> None:
    async def told() -> None:
        await vendor.open()
        intake = Kept()
        async with Running(vendor.feed(prefetch=40), intake):
            await intake.all_up()
            intake.space.clear()
            await vendor.publish(numbered(0, 100))
            await vendor.settled(60, 40)
            assert not intake.messages[0]
            intake.space.set()
            assert await intake.taken(100) == [b"message %d" % n for n in range(100)]
            await vendor.settled(0, 0)
        assert intake.told() == ["up"]

    story(told)


def test_what_is_no_block_is_handed_on_once_and_never_asked_for_again(vendor: Vendor) -> None:
    long = bodies.BLOCK_BYTES_MAX + 1
    poison = [b"\0", b"no block at all", block(b""), long.to_bytes(2, "big") + bytes(long)]
    half = b"".join(numbered(1, 2)) + b"\0\5half"

    async def told() -> None:
        await vendor.open()
        intake = Kept()
        async with Running(vendor.feed(), intake):
            await intake.all_up()
            await vendor.publish([*numbered(0, 1), *poison, b"", half, *numbered(3, 1)])
            assert await intake.taken(4) == [b"message %d" % n for n in range(4)]
            await vendor.settled(0, 0)
        assert intake.broken == [*poison, b"\0\5half"]
        assert intake.told() == ["up"]

    story(told)


def test_a_body_past_a_records_size_comes_in_several(vendor: Vendor) -> None:
    one = block(b"x" * bodies.BLOCK_BYTES_MAX)
    many = bodies.RECORD_BYTES_MAX // len(one) * 3

    async def told() -> None:
        await vendor.open()
        intake = Kept()
        async with Running(vendor.feed(), intake):
            await intake.all_up()
            await vendor.publish([one * many, b"?" * 2 * bodies.BROKEN_BYTES_MAX])
            assert len(await intake.taken(many)) == many
            await vendor.settled(0, 0)
        assert intake.broken == [b"?" * bodies.BROKEN_BYTES_MAX]

    story(told)


def test_a_broker_killed_amid_the_stream_brings_again_what_was_not_acknowledged(
    vendor: Vendor, rabbitmq: RabbitMQ
) -> None:
    async def told() -> None:
        await vendor.open()
        intake = Kept()
        async with Running(vendor.feed(), intake):
            await intake.all_up()
            await vendor.publish(numbered(0, 30))
            await intake.taken(30)
            await vendor.settled(0, 0)
            intake.sync.clear()
            await vendor.publish(numbered(30, 30))
            await intake.taken(60)
            rabbitmq.kill()
            await until(lambda: not intake.is_up(), "the cut")
            await until(lambda: "cannot be reached" in intake.whys(), "attempts")
            intake.sync.set()
            await asyncio.to_thread(rabbitmq.start)
            await intake.all_up()
            await vendor.publish(numbered(60, 10))
            again = await intake.taken(100)
            await vendor.settled(0, 0)
        whole, late = list(range(60)), list(range(30, 70))
        assert again == [b"message %d" % n for n in whole + late]

    story(told)


def test_a_cut_line_comes_back_and_so_does_what_was_under_way(
    vendor: Vendor, rabbitmq: RabbitMQ
) -> None:
    async def told() -> None:
        await vendor.open()
        intake = Kept()
        with Line(rabbitmq.port) as line:
            async with Running(vendor.feed(port=line.port), intake):
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
                await vendor.settled(0, 0)
        assert found == [b"message %d" % n for n in [*range(20), *range(25)]]

    story(told)


def test_one_channel_fails_and_recovers_alone(vendor: Vendor) -> None:
    async def told() -> None:
        await vendor.open()
        intake = Kept()
        # It is told of the loss: it does not find it by itself, in a quiet time.
        async with Running(vendor.feed(timing=replace(QUICK, quiet_s=600.0)), intake):
            await intake.all_up()
            async with vendor.connected() as amqp:
                await amqp.queue_delete(vendor.queue(0))
            await until(lambda: len(intake.told(0)) >= 3 and intake.is_up(0), "a new queue")
            assert "is it deleted?" in intake.whys(0)
            await vendor.publish(numbered(0, 5))
            await intake.taken(5)
        assert intake.told(1) == ["up"]

    story(told)


def test_a_missing_exchange_is_named_and_waited_for(vendor: Vendor) -> None:
    async def told() -> None:
        await vendor.open(1)
        intake = Kept()
        async with Running(vendor.feed(), intake):
            await until(lambda: intake.is_up(1) and intake.whys(0), "one channel")
            assert f"no exchange '{vendor.bindings[0].exchange}'" in intake.whys(0)
            await vendor.open(0)
            await intake.all_up()
            await vendor.publish(numbered(0, 5))
            await intake.taken(5)

    story(told)


def test_a_second_consumer_of_the_queue_stands_by(vendor: Vendor) -> None:
    async def told() -> None:
        await vendor.open()
        first, second = Kept(), Kept()
        async with Running(vendor.feed(), first):
            await first.all_up()
            async with Running(vendor.feed(), second):
                await until(lambda: second.whys(0) and second.whys(1), "the second waits")
                await vendor.publish(numbered(0, 10))
                assert await first.taken(10) == [b"message %d" % n for n in range(10)]
                await vendor.settled(0, 0)
            assert "in exclusive use" in second.whys() and not second.messages[0]
        async with Running(vendor.feed(), second):
            await second.all_up()

    story(told)


def test_an_exchange_made_anew_is_bound_again(vendor: Vendor) -> None:
    async def told() -> None:
        await vendor.open()
        intake = Kept()
        async with Running(vendor.feed(), intake):
            await intake.all_up()
            async with vendor.connected() as amqp:
                await amqp.exchange_delete(vendor.bindings[0].exchange)
            await until(lambda: "no exchange" in intake.whys(0), "the loss")
            await vendor.open(0)
            await intake.all_up()
            await vendor.publish(numbered(0, 5))
            await intake.taken(5)
            async with vendor.connected() as amqp:
                await amqp.exchange_delete(vendor.bindings[1].exchange)
                kind = aio_pika.ExchangeType.TOPIC  # of another kind, before anybody looks
                await amqp.declare_exchange(vendor.bindings[1].exchange, kind, durable=True)
            await vendor.bound(1)
            await vendor.publish(numbered(0, 5), 1)
            await intake.taken(5, 1)

    story(told)


def test_a_virtual_host_that_is_closed_to_us_is_named(vendor: Vendor) -> None:
    async def told() -> None:
        intake = Kept()
        async with Running(vendor.feed(vhost="/nowhere"), intake):
            await until(lambda: intake.whys(0), "the refusal")
            assert "does not open vhost /nowhere to user guest" in intake.whys(0)
            assert "object at" not in intake.whys(0)

    story(told)


def test_queues_are_used_as_they_are_where_they_are_not_to_be_declared(vendor: Vendor) -> None:
    found = {c: Binding("no exchange", b.queue, declare=False) for c, b in vendor.bindings.items()}

    async def told() -> None:
        vendor.bindings, exchanges = found, vendor.bindings
        intake = Kept()
        async with Running(vendor.feed(), intake):
            await until(lambda: intake.whys(0) and intake.whys(1), "no queues")
            assert f"no queue '{vendor.queue(0)}'" in intake.whys(0)
            assert "declare = true makes it" in intake.whys(0)
            vendor.bindings = exchanges
            await vendor.open()
            async with vendor.connected() as amqp:
                for binding in exchanges.values():
                    # Of a kind that a declaration of ours would not fit.
                    queue = await amqp.declare_queue(
                        binding.queue, durable=True, arguments={"x-max-length": 1000}
                    )
                    await queue.bind(binding.exchange)
            await intake.all_up()
            await vendor.publish(numbered(0, 5))
            await intake.taken(5)

    story(told)


def test_a_wrong_password_ends_the_feed(vendor: Vendor) -> None:
    async def told() -> None:
        feed = vendor.feed(password="wrong")
        with pytest.raises(Refuse, match="main: login on (idx|itch)data is refused") as refusal:
            await feed.run(Kept())
        assert refusal.value.code == "login_refused"
        assert "wrong" not in str(refusal.value)

    story(told)


def test_a_login_refused_later_is_waited_for(vendor: Vendor, rabbitmq: RabbitMQ) -> None:
    def control(*arguments: str) -> Any:
        return asyncio.to_thread(rabbitmq.control, *arguments)

    async def told() -> None:
        await vendor.open()
        user = vendor.queue()
        await control("add_user", user, "right")
        await control("set_permissions", user, ".*", ".*", ".*")
        intake = Kept()
        with Line(rabbitmq.port) as line:
            feed = vendor.feed(port=line.port, user=user, password="right")
            async with Running(feed, intake):
                await intake.all_up()
                await control("change_password", user, "another")
                line.cut()
                line.mend()
                await until(lambda: "login is refused" in intake.whys(), "the refusal")
                await control("change_password", user, "right")
                await intake.all_up()

    story(told)


def test_tls_is_spoken_and_the_certificate_checked(
    vendor: Vendor, rabbitmq: RabbitMQ, certificates: Certificates
) -> None:
    known = ssl.create_default_context(cafile=str(certificates.authority))

    async def told() -> None:
        await vendor.open()
        intake, wary = Kept(), Kept()
        where: dict[str, Any] = {"port": rabbitmq.tls_port}
        async with (
            Running(vendor.feed(tls=known, **where), intake),
            Running(vendor.feed(tls=ssl.create_default_context(), **where), wary),
        ):
            await intake.all_up()
            await vendor.publish(numbered(0, 5))
            await intake.taken(5)
            await until(lambda: wary.whys(0) and wary.whys(1), "doubts")
        assert "certificate verify failed" in wary.whys(0) and "up" not in wary.told(0)

    story(told)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_broker_that_hears_no_goodbye_is_left_all_the_same(
    vendor: Vendor, rabbitmq: RabbitMQ, certificates: Certificates, secure: bool
) -> None:
    """It stands still as both channels leave: nothing goes on behind the feed."""
    known = ssl.create_default_context(cafile=str(certificates.authority))
    where: dict[str, Any] = {"tls": known, "port": rabbitmq.tls_port} if secure else {}

    async def told() -> None:
        await vendor.open()
        intake = Kept()
        async with Running(vendor.feed(**where), intake):
            await intake.all_up()
            rabbitmq.stand_still()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    try:
        story(told)
    finally:
        rabbitmq.go_on()


def live(
    folder: Path,
    vendor: Vendor,
    knobs: Knobs,
    brought: Sequence[bytes],
    duplicates: int,
    left: tuple[int, int],
) -> None:
    """One life of a real venue: until 80 messages came, of which so many are known, and the broker
    counts so."""
    store = running.open_store(folder)
    runtime = running.runtime(folder, store, knobs)
    runtime.start([vendor.feed()])
    # The first append is synced at once; messages that came meanwhile would be acknowledged by it.
    running.until(lambda: runtime.journal.synced > runtime.entered_to, "a sync")
    story(partial(vendor.publish, brought))
    came = runtime.parts.telemetry.messages.labels("idx", "idxdata")
    doubles = runtime.parts.telemetry.duplicates.labels("idx")
    expected = (80, duplicates)
    running.until(lambda: (came._value.get(), doubles._value.get()) == expected, "the trades")
    story(partial(vendor.settled, *left))
    runtime.stop(5.0 if knobs.sync_gap_s > 5.0 else 20.0)  # which waits for a sync
    store.close()


def test_redelivered_messages_are_dropped_by_their_number(vendor: Vendor, tmp_path: Path) -> None:
    """bursa stops with all journalled and nothing acknowledged; the next one gets it again."""
    trades = [block(idx.trade(n, idx.TS + n, trade_no=n)) for n in range(1, 81)]

    async def prepare() -> None:
        await vendor.open()
        intake = Kept()
        async with Running(vendor.feed(), intake):
            await intake.all_up()  # the queues are there

    story(prepare)
    late = running.knobs(sync_gap_s=600.0, sync_bytes=1 << 30)
    live(tmp_path, vendor, late, trades, 0, (0, 80))
    story(partial(vendor.settled, 80, 0))
    live(tmp_path, vendor, running.knobs(), [], 80, (0, 0))
    assert len(running.stored(tmp_path / "hot.duckdb")["ticks"]) == 80
