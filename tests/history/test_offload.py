"""Calls off the loop: bounded in number and time, and they end with the program."""

import asyncio
import threading

import pytest

from bursa.history.offload import Offload
from bursa.model.errors import Refuse, Retry


def test_answers_and_errors_come_back() -> None:
    async def run() -> None:
        offload = Offload(1)
        assert await offload.run(lambda a, b: a + b, 1, 2) == 3
        with pytest.raises(ZeroDivisionError):
            await offload.run(lambda: 1 / 0)
        offload.close()

    asyncio.run(run())


def test_a_call_too_many_is_refused_and_places_come_free_again() -> None:
    async def run() -> None:
        offload, gate = Offload(1, waiting_max=2), threading.Event()
        waiting = [asyncio.create_task(offload.run(gate.wait, 10)) for _ in range(2)]
        await asyncio.sleep(0.05)
        with pytest.raises(Refuse) as busy:
            await offload.run(lambda: 0)
        assert (busy.value.code, busy.value.status) == ("busy", 503)
        gate.set()
        assert await asyncio.gather(*waiting) == [True, True]
        assert await offload.run(lambda: 7) == 7
        offload.close()

    asyncio.run(run())


def test_a_slow_call_is_given_up() -> None:
    async def run() -> None:
        offload, gate = Offload(1, time_limit_s=0.05), threading.Event()
        with pytest.raises(Retry):
            await offload.run(gate.wait, 10)
        gate.set()
        offload.close()

    asyncio.run(run())


def test_after_the_close_nothing_is_taken() -> None:
    async def run() -> None:
        offload = Offload(1)
        offload.close()
        with pytest.raises(Refuse) as stopping:
            await offload.run(lambda: 0)
        assert stopping.value.code == "stopping"

    asyncio.run(run())
