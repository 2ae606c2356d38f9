"""Thinning: the last row of each key in every interval, whatever the cuts."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bursa.bars.sample import Sampler
from bursa.model.batch import Batch, Block, Span, Words, concat
from bursa.model.schema import ORDERBOOK

SECOND = 1_000_000_000
WORDS = Words(("RG", "NG"), ("a",))
for number in range(60):
    WORDS.symbol_id(f"T{number}")


def books(seed: int, rows: int, seconds: int) -> tuple[Block, Block]:
    rng = np.random.default_rng(seed)
    block = np.zeros((len(ORDERBOOK.scalars), rows), np.int64)
    at = ORDERBOOK.index
    block[at["ticker"]] = rng.integers(0, 60, rows)
    block[at["board"]] = rng.integers(0, 2, rows)
    block[at["ts"]] = np.sort(rng.integers(0, seconds * SECOND, rows))
    block[at["side"]] = rng.integers(0, 2, rows)
    block[at["depth"]] = rng.integers(0, 11, rows)
    block[at["seq"]] = np.arange(rows)
    block[at["position"]] = np.arange(rows) * 10
    return block, np.arange(3 * int(block[at["depth"]].sum())).reshape(3, -1)


def run(block: Block, levels: Block, cuts: list[int]) -> Batch:
    """Through one sampler, cut and restored from its snapshot at every cut."""
    starts = np.concatenate(([0], np.cumsum(block[ORDERBOOK.index["depth"]])))
    sampler, out = Sampler(ORDERBOOK, 1), []
    edges = [0, *cuts, block.shape[1]]
    for low, high in zip(edges, edges[1:], strict=False):
        part = levels[:, starts[low] : starts[high]]
        out.append(
            sampler.push(Batch(ORDERBOOK, block[:, low:high], WORDS, Span("x", 1, low, high), part))
        )
        state, sampler = sampler.snapshot(), Sampler(ORDERBOOK, 1)
        sampler.restore(state)
    return concat(out)


def oracle(block: Block, levels: Block) -> list[tuple[list[int], list[list[int]]]]:
    """The rule in plain Python: a dict of what waits."""
    at = ORDERBOOK.index
    out: list[tuple[list[int], list[list[int]]]] = []
    waiting: dict[tuple[int, ...], tuple[list[int], list[list[int]]]] = {}
    now, level = 0, 0
    for row in block.T.tolist():
        if row[at["ts"]] // SECOND > now:
            now = row[at["ts"]] // SECOND
            for held, lists in waiting.values():
                held[at["position"]] = row[at["position"]]
                out.append((held, lists))
            waiting = {}
        depth = row[at["depth"]]
        key = (row[at["ticker"]], row[at["board"]], row[at["side"]])
        waiting[key] = (row, levels[:, level : level + depth].tolist())
        level += depth
    return out


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 300),
    seconds=st.integers(1, 20),
    cuts=st.lists(st.integers(0, 300), max_size=8),
)
def test_any_cut_gives_the_oracles_rows(
    seed: int, rows: int, seconds: int, cuts: list[int]
) -> None:
    block, levels = books(seed, rows, seconds)
    found = run(block, levels, sorted(min(c, rows) for c in cuts))
    expected = oracle(block, levels)
    assert found.block.T.tolist() == [row for row, _ in expected]
    assert found.levels is not None
    lists = [found.levels[:, a:b].tolist() for a, b in _edges(found)]
    assert lists == [part for _, part in expected]


def _edges(batch: Batch) -> list[tuple[int, int]]:
    ends = np.cumsum(batch.column("depth")).tolist()
    return list(zip([0, *ends], ends, strict=False))


def test_rows_that_are_left_out_are_counted() -> None:
    block, levels = books(1, 500, 3)
    sampler = Sampler(ORDERBOOK, 1)
    out = sampler.push(Batch(ORDERBOOK, block, WORDS, Span("x", 1, 0, 1), levels))
    waiting = int(sampler.snapshot()["state"][1])
    assert len(out) + sampler.thinned + waiting == 500
    assert sampler.thinned > 0
