"""Quantiles of a spread against those of the sorted values themselves."""

import math

import hypothesis.strategies as st
from hypothesis import given

from bursa.ops.spread import Spread


@given(
    st.lists(st.integers(0, 2**40 - 1), min_size=1, max_size=300),
    st.sampled_from([0.0, 0.01, 0.5, 0.95, 0.99, 1.0]),
)
def test_a_quantile_is_within_a_sixty_fourth(values: list[int], part: float) -> None:
    spread = Spread()
    for value in values:
        spread.add(value)
    exact = sorted(values)[max(math.ceil(part * len(values)), 1) - 1]
    found = spread.quantile(part)
    assert found is not None and abs(found - exact) <= exact / 64
    assert spread.count == len(values)


def test_nothing_has_no_quantile_and_the_longest_are_kept() -> None:
    spread = Spread()
    assert spread.quantile(0.95) is None
    spread.add(2**60)
    found = spread.quantile(0.5)
    assert found is not None and found > 2**39
