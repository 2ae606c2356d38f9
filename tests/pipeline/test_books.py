"""Books as they are now: the last message of each side, and those that a decoder keeps itself."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bursa.model.batch import (
    SPAN_FIRST_SEQ,
    SPAN_SESSION,
    SPAN_SESSION_REST,
    Batch,
    Block,
    Span,
    Words,
)
from bursa.model.schema import ORDERBOOK
from bursa.model.venue import IDX, XNAS
from bursa.pipeline.books import NO_BOOK, Books
from bursa.pipeline.line import Line
from bursa.wire.idx.decoder import IdxDecoder
from bursa.wire.itch50.decoder import ItchDecoder
from tests import itch_day
from tests.wire.idx import encoder as idx

# symbol, side, board, prices
Message = tuple[int, int, int, list[float]]
MESSAGES = st.lists(
    st.tuples(
        st.integers(0, 70), st.integers(0, 1), st.sampled_from([0, 0, 0, 1]),
        st.lists(st.floats(1, 1e6), max_size=10),
    ),
    max_size=30,
)  # fmt: skip


def batch_of(messages: list[Message], first_seq: int) -> Batch:
    levels = [price for *_, prices in messages for price in prices]
    block: Block = np.zeros((len(ORDERBOOK.scalars), len(messages)), np.int64)
    for at, (symbol, side, board, prices) in enumerate(messages):
        row = {"ticker": symbol, "side": side, "board": board, "depth": len(prices)}
        row |= {"seq": first_seq + at, "ts": 1_000 + first_seq + at}
        for name, value in row.items():
            block[ORDERBOOK.index[name], at] = value
    lists = np.array([levels, [price / 2 for price in levels], [7.0] * len(levels)])
    held: Block = lists.reshape(3, -1).view(np.int64)
    return Batch(ORDERBOOK, block, Words(IDX.boards, ()), Span("idx", 1, 0, 1), held)


@settings(max_examples=80, deadline=None)
@given(st.lists(MESSAGES, max_size=4), st.integers(1, 10), st.booleans())
def test_of_each_side_the_last_message_stays(
    pushes: list[list[Message]], depth: int, restarts: bool
) -> None:
    books, plain, seq = Books(), dict[tuple[int, int], tuple[int, list[float]]](), 1
    for messages in pushes:
        books.take(batch_of(messages, seq), 0)
        for at, (symbol, side, board, prices) in enumerate(messages):
            if board == 0:
                plain[symbol, side] = seq + at, prices
        seq += len(messages)
        if restarts:
            state, books = books.snapshot(), Books()
            books.restore(state)
    for symbol in range(75):
        found = books.of(symbol, depth)
        sides = [plain.get((symbol, side), (0, list[float]())) for side in (0, 1)]
        assert found.seq == max(number for number, _ in sides)
        assert found.ts_ns == (found.seq and 1_000 + found.seq)
        for levels, (_, prices) in zip((found.bids, found.asks), sides, strict=True):
            assert levels.prices.tolist() == prices[:depth]
            assert levels.volumes.tolist() == [price / 2 for price in prices[:depth]]
            assert levels.orders.view(np.float64).tolist() == [7.0] * len(prices[:depth])
    books.forget()
    assert len(books.of(0, 10).bids.prices) == 0


def itch_line(messages: list[bytes]) -> Line:
    words = XNAS.words()
    line = Line(XNAS, words, ItchDecoder(XNAS, words), {})
    record = idx.blocks_of(messages, 0, -1)
    chunk = idx.chunk([record], idx.positions([record], 0), 0)
    chunk.spans[SPAN_FIRST_SEQ] = 1
    session = np.frombuffer(b"20200130".ljust(16, b"\0"), "<i8")
    chunk.spans[[SPAN_SESSION, SPAN_SESSION_REST], 0] = session
    line.push(chunk)
    return line


def test_a_decoder_that_keeps_the_books_is_asked_itself() -> None:
    t = itch_day.HALF_PAST_NINE
    line = itch_line(
        [
            itch_day.stock(t, 1, "AAPL"), itch_day.stock(t, 2, "MSFT"),
            itch_day.add(t + 1, 1, 1, "B", 100, "AAPL", 99.98),
            itch_day.add(t + 1, 1, 2, "B", 50, "AAPL", 99.99),
            itch_day.add(t + 1, 1, 3, "B", 70, "AAPL", 99.99),
            itch_day.add(t + 2, 1, 4, "S", 10, "AAPL", 100.01),
        ]
    )  # fmt: skip
    symbol = line.words.find_symbol("AAPL")
    found = line.book(symbol, 10)
    assert found is not None
    assert (found.ts_ns, found.seq, found.whole) == ((1_580_394_600 + 2) * 10**9, 6, True)
    assert found.bids.prices.tolist() == [99.99, 99.98]
    assert found.bids.volumes.tolist() == [120.0, 100.0]
    assert found.bids.orders.tolist() == [2, 1]
    assert found.asks.prices.tolist() == [100.01]
    best = line.book(symbol, 1)
    assert best is not None and best.bids.prices.tolist() == [99.99]
    nothing = line.book(line.words.find_symbol("MSFT"), 10)
    assert nothing is not None and len(nothing.bids.prices) == len(nothing.asks.prices) == 0


def test_other_decoders_keep_none() -> None:
    words = IDX.words()
    assert Line(IDX, words, IdxDecoder(IDX, words), {}).book(0, 10) is None
    assert (NO_BOOK.ts_ns, NO_BOOK.seq) == (0, 0)
