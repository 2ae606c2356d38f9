"""What must come to its end though whoever ends it is cancelled meanwhile: a library's goodbye to a
connection, which else goes on behind a feed that has ended. How long it takes it bounds itself.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def to_the_end(goodbye: Coroutine[Any, Any, None]) -> None:
    """Await it, however often this task is cancelled meanwhile; the cancellation goes on behind it.
    Raises what it raises, where it is not cancelled."""
    ending = asyncio.create_task(goodbye)
    cancelled: asyncio.CancelledError | None = None
    while not ending.done():
        try:
            await asyncio.wait((ending,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        ending.result()
        return
    if not ending.cancelled():
        ending.exception()  # nobody else asks for it
    raise cancelled
