"""The present state of a venue, read by one thread while another feeds it."""

import sys
import threading
from collections.abc import Iterator

import pytest

from bursa.model.batch import Words
from bursa.model.venue import IDX
from bursa.pipeline.facts import Facts
from bursa.pipeline.line import Derived, Line
from bursa.wire.idx import IdxDecoder
from tests.wire import idx_encoder as idx

ENOUGH = 20_000


@pytest.fixture
def turns() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def pushed(words: Words) -> Derived:
    line = Line(IDX, words, IdxDecoder(IDX, words), {})
    record = idx.frames([idx.status(1, idx.TS, "H")], 0, idx.TS)
    ends = idx.positions([record], 0)
    return line.push(idx.chunk([record], ends, 0))


def test_the_rate_is_told_while_messages_come(turns: None) -> None:
    words = Words(IDX.boards, [channel.name for channel in IDX.channels])
    facts, derived, ended = Facts(IDX, words), pushed(words), threading.Event()
    told: list[float] = []
    faults: list[Exception] = []

    def read() -> None:
        try:
            while not ended.is_set():
                told.append(facts.rate(0))
        except RuntimeError as fault:
            faults.append(fault)

    reading = threading.Thread(target=read)
    reading.start()
    for turn in range(ENOUGH):
        facts.take(derived, [idx.TS, idx.TS], turn * 1_000_000_000)
    ended.set()
    reading.join()
    assert not faults and told
    assert facts.rate((ENOUGH - 1) * 1_000_000_000) == 1.0
