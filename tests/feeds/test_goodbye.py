"""What must come to its end does, whoever cancels whoever waits for it."""

import asyncio

import pytest

from bursa.feeds.goodbye import to_the_end


async def leave(said: list[str], go_on: asyncio.Event) -> None:
    await go_on.wait()
    said.append("gone")


def test_a_goodbye_is_said_to_its_end_though_it_is_cancelled_again_and_again() -> None:
    async def story() -> None:
        said, go_on = list[str](), asyncio.Event()
        leaving = asyncio.create_task(to_the_end(leave(said, go_on)))
        for _ in range(3):
            await asyncio.sleep(0)
            leaving.cancel()
        await asyncio.sleep(0)
        assert not leaving.done() and not said
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert said == ["gone"]
        await to_the_end(leave(said, go_on))
        assert said == ["gone", "gone"]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(story())


def test_what_it_fails_with_is_raised_but_to_who_was_cancelled() -> None:
    async def fail(go_on: asyncio.Event) -> None:
        await go_on.wait()
        raise OSError("no line")

    async def story() -> None:
        go_on = asyncio.Event()
        leaving = asyncio.create_task(to_the_end(fail(go_on)))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        with pytest.raises(OSError, match="no line"):
            await to_the_end(fail(go_on))

    asyncio.run(story())
