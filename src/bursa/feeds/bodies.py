"""Bodies of a broker's messages on their way to the intake: what amqp.py and kafka.py share.

Whole blocks of many bodies become one record, in order. Where a body goes on with what is no
block, those bytes go to the intake as they are, in a record of their own: the decoder refuses them
and they are quarantined; the next body goes on. An empty body holds no message. Numbers are in the
messages, so a record bears none, and no session.
"""

from collections.abc import Iterable

import numpy as np

from bursa.model.batch import BLOCKS
from bursa.ports import Frames, Intake
from bursa.wire.idx.layout import IDX1
from bursa.wire.transport import bodies as wire

RECORD_BYTES_MAX = 1 << 20
# What is kept of bytes in which no block can begin.
BROKEN_BYTES_MAX = 65_536
# What the decoder of idx-1 takes as one message.
BLOCK_BYTES_MAX = IDX1.block_bytes_max


class Bodies:
    """The way of one channel's bodies into its intake. `block_max`: longest message."""

    def __init__(self, channel: int, intake: Intake, block_max: int = BLOCK_BYTES_MAX) -> None:
        self.channel, self.intake, self._block_max = channel, intake, block_max
        self._held: list[bytes | memoryview] = []
        self._bytes = self._count = 0

    def deliver(self, bodies: Iterable[bytes]) -> None:
        """Hand all of them on, in order."""
        for body in bodies:
            size = len(body)
            if 2 < size == 2 + int.from_bytes(body[:2], "big") <= 2 + self._block_max:
                self._hold(body, 1)  # one block, as most vendors send
            elif size:
                self._several(body)
        self._flush()

    def _several(self, body: bytes) -> None:
        data, view = np.frombuffer(body, np.uint8), memoryview(body)
        at = 0
        while at < len(body):
            end, count = wire.walk(data, at, RECORD_BYTES_MAX, self._block_max)
            if not count:
                self._flush()
                self._frame(body[at : at + BROKEN_BYTES_MAX], 0)
                return
            self._hold(view[at:end], count)
            at = end

    def _hold(self, blocks: bytes | memoryview, count: int) -> None:
        if self._bytes + len(blocks) > RECORD_BYTES_MAX:
            self._flush()
        self._held.append(blocks)
        self._bytes += len(blocks)
        self._count += count

    def _flush(self) -> None:
        if self._held:
            held, count = b"".join(self._held), self._count
            self._held, self._bytes, self._count = [], 0, 0
            self._frame(held, count)

    def _frame(self, payload: bytes, count: int) -> None:
        self.intake.frames(Frames(self.channel, BLOCKS, "", 0, count, 0, payload))


def warm() -> None:
    """Load what `deliver` calls."""
    wire.warm()
