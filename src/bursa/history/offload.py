"""Run calls that block on threads, off the event loop, bounded in number and in time.

The store's methods block; nothing that blocks may run on the loop that serves clients. Does not
retry: the caller says what a failure means.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from bursa.model.errors import Refuse, Retry

Answer = TypeVar("Answer")


class Offload:
    """Threads for calls that block.

    threads       calls that run at once
    waiting_max   calls that run or wait; one more is refused with `busy` (503)
    time_limit_s  longest time a caller waits for its answer; past it the caller gets Retry, and
                  the call ends unheard
    """

    def __init__(self, threads: int = 4, waiting_max: int = 64, time_limit_s: float = 15.0) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="read")
        self._places = threading.BoundedSemaphore(waiting_max)
        self._time_limit_s = time_limit_s

    async def run(self, call: Callable[..., Answer], *args: Any) -> Answer:
        """What `call(*args)` returns or raises."""
        if not self._places.acquire(blocking=False):
            raise Refuse("too many reads are waiting; try again in a second", "busy", 503)
        try:
            held: Future[Answer] = self._pool.submit(call, *args)
        except RuntimeError:
            self._places.release()
            raise Refuse("bursa is stopping", "stopping", 503) from None
        held.add_done_callback(lambda _: self._places.release())
        try:
            return await asyncio.wait_for(asyncio.wrap_future(held), self._time_limit_s)
        except TimeoutError:
            raise Retry(f"a read took longer than {self._time_limit_s:g} s") from None

    def close(self) -> None:
        """Take no more calls; those that wait are dropped, those that run end by themselves."""
        self._pool.shutdown(wait=False, cancel_futures=True)
