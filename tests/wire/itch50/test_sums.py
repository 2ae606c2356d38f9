"""The books that the ITCH decoder hands out where bars close, against a slow one at that record."""

from typing import Any

import numpy as np
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bursa.bars.build import BarBuilder
from bursa.bars.closing import LEVELS, ClosingBooks
from bursa.model.batch import CLOCK, END_OF_FILE, END_OF_SESSION, Span
from bursa.model.venue import XNAS
from bursa.wire.itch50.decoder import ItchDecoder
from bursa.wire.itch50.state import SUM_LEVELS
from tests.wire.itch50 import encoder as wire
from tests.wire.itch50.encoder import MIDNIGHT, NS, SECOND, Flow, Record
from tests.wire.itch50.oracle import SlowBook

MINUTE = 60 * SECOND
SPAN = Span("xnas", 1, 0, 1)
# Ticker, minute, final, position, bids, asks.
Bar = tuple[str, int, int, int, float | None, float | None]


class Stages:
    """Decoder, builder and books behind each other, as in a line."""

    def __init__(self) -> None:
        self.words = XNAS.words()
        self.decoder = ItchDecoder(XNAS, self.words, capacity=512)
        self.builder, self.books = BarBuilder(XNAS, self.words), ClosingBooks(XNAS, self.words)

    def push(self, records: list[Record], ends: list[int]) -> list[Bar]:
        decoded = self.decoder.push(wire.chunk(records, ends))
        assert not decoded.rejects
        assert (np.diff(decoded.sums[4]) >= 0).all(), "in stream order"
        closed = self.builder.push(decoded.tape, SPAN).closed
        self.books.push(None, decoded.sums, closed)
        names = ("final", "position", "bid_volume", "ask_volume")
        columns = [closed.column(name).tolist() for name in names]
        minutes = ((closed.column("ts") - MIDNIGHT) // MINUTE).tolist()
        tickers = [str(text) for text in closed.text("ticker")]
        sides = ([None if v != v else v for v in column] for column in columns[2:])
        return list(zip(tickers, minutes, *columns[:2], *sides, strict=True))

    def restart(self) -> None:
        before = [stage.snapshot() for stage in self._stages()]
        self.__init__()  # type: ignore[misc]  # a new process
        for stage, state in zip(self._stages(), before, strict=True):
            stage.restore(state)

    def _stages(self) -> tuple[Any, ...]:
        return self.words, self.decoder, self.builder, self.books


def busy_hours(seed: int) -> list[Record]:
    """Some hours of a few stocks, a record each for a dozen messages; breaks, ends of files and of
    the session among them."""
    flow = Flow(seed, stocks=5, depth=8)
    messages = []
    for _ in range(900):
        if flow.chance.random() < 0.06:
            flow.ns += flow.chance.randrange(70 * SECOND)
        messages.append(flow.next())
    records = wire.records(messages, 12)
    for _ in range(3):
        records.insert(flow.chance.randrange(len(records)), Record(kind=END_OF_FILE))
    flow.ns += 61 * SECOND
    clock = (MIDNIGHT + flow.ns).to_bytes(8, "little")
    more = [flow.next() for _ in range(20)]
    return [
        *records,
        Record(clock, kind=CLOCK),
        *wire.records(more, 20, 901),
        Record(kind=END_OF_SESSION),
    ]


Shown = dict[str, tuple[float, float]]


def slowly(records: list[Record], ends: list[int]) -> list[tuple[int, int, Shown]]:
    """Behind each message: its position, its time (ns since midnight), what each book holds."""
    slow, found = SlowBook(), []
    for record, end in zip(records, ends, strict=True):
        at = 0
        while record.kind == Record().kind and at < len(record.payload):
            size = int.from_bytes(record.payload[at : at + 2], "big")
            message = record.payload[at + 2 : at + 2 + size]
            slow.push(message)
            at += 2 + size
            shown = {}
            for stock in slow.by_stock:
                bids, asks = (slow.levels(stock, side)[:LEVELS] for side in "BS")
                shown[stock] = float(sum(x[1] for x in bids)), float(sum(x[1] for x in asks))
            found.append((end, int.from_bytes(message[5:11], "big"), shown))
    return found


# Shrinking a seed leads nowhere, and takes minutes.
@settings(max_examples=10, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(st.integers(0, 2**32), st.data())
def test_a_bar_has_the_book_of_its_minutes_end(seed: int, data: st.DataObject) -> None:
    records = busy_hours(seed)
    ends = wire.positions(records)
    stages, found, at = Stages(), list[Bar](), 0
    while at < len(records):
        end = at + data.draw(st.integers(1, 40))
        found += stages.push(records[at:end], ends[at:end])
        if data.draw(st.booleans()):
            stages.restart()
        at = end
    assert found == Stages().push(records, ends)
    told, first = slowly(records, ends), dict[tuple[str, int], int]()
    for ticker, minute, final, position, *sides in found:
        closed = first.setdefault((ticker, minute), position) if final else position
        over = (minute + 1) * MINUTE
        books = [shown for end, ns, shown in told if end <= closed and ns < over]
        assert tuple(sides) == books[-1].get(ticker, (0.0, 0.0))
    assert len(found) > 20 and len(first) < len(found)


def test_a_book_that_lacks_messages_is_not_known() -> None:
    messages = [
        wire.add(1, 1),
        wire.add(1, 2, "S", 300, price=1_000_100),
        wire.executed(1, 1, 10, 5),
    ]
    later = wire.event("Q", NS + 70 * SECOND)
    whole = [wire.record(messages, 1), wire.record([later], 4)]
    (bar,) = Stages().push(whole, wire.positions(whole))
    assert bar[4:] == (90.0, 300.0)
    torn = [wire.record(messages, 1), wire.record([later], 5)]
    (bar,) = Stages().push(torn, wire.positions(torn))
    assert bar[4:] == (None, None)


def test_a_bar_made_late_has_the_book_of_the_last_hand_out() -> None:
    add = [wire.add(1, 1), wire.executed(1, 1, 10, 5), wire.add(2, 2, "S", stock="MSFT")]
    trade = wire.hidden(2, "MSFT", "B", 100, 1_000_000, 6, NS + 20 * SECOND)
    at = [NS + s * SECOND for s in (62, 70, 75)]
    records = [
        wire.record(add, 1),
        wire.record([wire.event("Q", at[0])], 4),
        wire.record([wire.add(1, 7, ns=at[1])], 6),  # number 5 is missing
        wire.record([trade], 5),
        wire.record([wire.add(1, 8, ns=at[2])], 7),
    ]
    found = Stages().push(records, wire.positions(records))
    assert [(bar[0], *bar[4:]) for bar in found] == [("AAPL", 90.0, 0.0), ("MSFT", None, None)]


def test_both_sides_of_the_seam_count_as_many_levels() -> None:
    assert SUM_LEVELS == LEVELS
