"""A market's messages, published with confirms to a real broker, and the account of each attempt.

Trades on one channel, heartbeats on the other, numbered from 1. What was not confirmed when the
broker died is unknown: it is published again, and may be there twice.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass

import aio_pika
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError, DeliveryError
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.feeds.kept import block
from tests.wire.idx import encoder as idx

TICKERS = tuple(f"TIC{letter}" for letter in "ABCDEFGHIJ")
# Between two trades of the market's clock: 200 a second, so that minutes close and bars are made.
STEP_NS = 5_000_000
WINDOW = 100
RETRY_S = 0.1
END_S = 150.0

Say = Callable[[int, bytes], "asyncio.Future[object]"]
"""Publishes a body on a channel; the future ends with the broker's word."""


@dataclass
class Account:
    """Attempts, and what became of each; messages are those made."""

    sent: int = 0
    acknowledged: int = 0
    unknown: int = 0
    rejected: int = 0
    trades: int = 0
    heartbeats: int = 0


def body(channel: int, seq: int) -> bytes:
    """The message of a number, as the only block of a body."""
    ts = idx.TS + seq * STEP_NS
    if channel:
        return block(idx.status(seq, ts, "H"))
    ticker = TICKERS[seq % len(TICKERS)]
    price = 10_000 * (100 + seq * 7 % 50)
    return block(idx.trade(seq, ts, ticker, trade_no=seq, price=price, volume=100 + seq % 9))


class Publisher:
    """Publishes on a thread of its own until `finish`, at some `rate` messages a second.
    `confirmed`: the broker has confirmed all trades up to this number."""

    def __init__(
        self, connected: Callable[[], AbstractAsyncContextManager[Say]], rate: int = 3000
    ) -> None:
        self.account, self.confirmed = Account(), 0
        self._connected, self._rate = connected, rate
        self._ending = threading.Event()
        self._abandoned = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._main, daemon=True)
        self._thread.start()

    def finish(self) -> Account:
        """No more is made; returns when the broker has confirmed all of it."""
        self._ending.set()
        self._thread.join(END_S)
        assert not self._thread.is_alive(), "not all of it is confirmed"
        if self._failure is not None:
            raise self._failure
        return self.account

    def abandon(self) -> None:
        """End, whatever is not confirmed."""
        self._ending.set()
        self._abandoned = True
        self._thread.join(END_S)

    def _main(self) -> None:
        try:
            asyncio.run(self._publish())
        except BaseException as failure:  # noqa: BLE001 - raised by who waits for it
            self._failure = failure

    async def _publish(self) -> None:
        left: list[tuple[int, bytes]] = []
        while self._goes_on(left):
            try:
                async with self._connected() as say:
                    while self._goes_on(left):
                        left = await self._say_all(say, left or self._next())
                        if left:
                            break  # the connection, or the broker, is gone
                        self.confirmed = self.account.trades
                        await asyncio.sleep(WINDOW / self._rate)
            except (AMQPError, ChannelInvalidStateError, KafkaError, OSError):
                pass
            if left:
                await asyncio.sleep(RETRY_S)

    def _goes_on(self, left: list[tuple[int, bytes]]) -> bool:
        return not self._abandoned and (bool(left) or not self._ending.is_set())

    def _next(self) -> list[tuple[int, bytes]]:
        account, made = self.account, []
        for _ in range(WINDOW):
            channel = int((account.trades + account.heartbeats) % 10 == 9)
            if channel:
                account.heartbeats += 1
            else:
                account.trades += 1
            seq = account.heartbeats if channel else account.trades
            made.append((channel, body(channel, seq)))
        return made

    async def _say_all(self, say: Say, window: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        """A window of messages at once; those without a word of the broker come back."""
        account = self.account
        said = []
        for channel, message in window:
            account.sent += 1
            said.append(say(channel, message))
        words = await asyncio.gather(*said, return_exceptions=True)
        left = []
        for item, word in zip(window, words, strict=True):
            if not isinstance(word, BaseException):
                account.acknowledged += 1
                continue
            left.append(item)
            if isinstance(word, DeliveryError):
                account.rejected += 1
            else:
                account.unknown += 1
        return left


def amqp(port: int, exchanges: tuple[str, str]) -> Callable[[], AbstractAsyncContextManager[Say]]:
    """Confirmed by RabbitMQ: persistent, in every queue that is bound."""

    @asynccontextmanager
    async def connected() -> AsyncIterator[Say]:
        connection = await aio_pika.connect(host="127.0.0.1", port=port, timeout=5)
        try:
            channel = await connection.channel()
            found = [await channel.get_exchange(name, ensure=True) for name in exchanges]

            def say(number: int, message: bytes) -> "asyncio.Future[object]":
                kept = aio_pika.Message(message, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
                return asyncio.ensure_future(found[number].publish(kept, "", timeout=10))

            yield say
        finally:
            with suppress(AMQPError, ChannelInvalidStateError, OSError):
                async with asyncio.timeout(2):
                    await connection.close()

    return connected


def kafka(port: int, topics: tuple[str, str]) -> Callable[[], AbstractAsyncContextManager[Say]]:
    """Confirmed by Kafka: in the log of the partition."""

    @asynccontextmanager
    async def connected() -> AsyncIterator[Say]:
        producer = AIOKafkaProducer(
            bootstrap_servers=f"127.0.0.1:{port}", acks="all", request_timeout_ms=5000
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise

        async def send(number: int, message: bytes) -> object:
            return await (await producer.send(topics[number], message, partition=0))

        try:
            yield lambda number, message: asyncio.ensure_future(send(number, message))
        finally:
            with suppress(KafkaError, OSError, asyncio.CancelledError):
                async with asyncio.timeout(2):
                    await producer.stop()

    return connected
