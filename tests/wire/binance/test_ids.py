"""The interval set of ids against a plain set."""

from hypothesis import given
from hypothesis import strategies as st

from bursa.wire.binance.ids import HOLES_MAX, IdSet


@given(st.lists(st.integers(0, 60), max_size=200))
def test_it_is_a_set(numbers: list[int]) -> None:
    ids, seen, top = IdSet(), set[int](), -1
    for number in numbers:
        jumped = number - top - 1 if top >= 0 and number > top else 0
        assert ids.take(number) == (number not in seen, jumped)
        seen.add(number)
        top = max(top, number)
    again = IdSet()
    again.restore(ids.snapshot())
    for number in range(62):
        assert again.take(number)[0] == (number not in seen)


def test_too_many_holes_give_up_the_lowest() -> None:
    ids = IdSet()
    for number in range(0, 2 * HOLES_MAX + 4, 2):
        ids.take(number)
    assert ids.given_up == 1
    assert ids.take(1) == (False, 0)
    assert ids.take(3) == (True, 0)
