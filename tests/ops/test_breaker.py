"""The circuit breaker: how long what fails is left alone."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursa.ops.back_off import BACK_OFF_S, JITTER
from bursa.ops.breaker import CLOSED, HALF_OPEN, OPEN, Breaker


def test_it_opens_after_five_failures_for_thirty_seconds_and_asks_once() -> None:
    breaker, now = Breaker(Random(1)), 100.0
    for base in BACK_OFF_S[:4]:
        assert breaker.state(now) == CLOSED and breaker.wait_s(now) == 0
        wait = breaker.failed(now)
        assert base * (1 - JITTER) <= wait <= base * (1 + JITTER)
        assert breaker.wait_s(now) == pytest.approx(wait)
        now += wait + 1e-6
    for _ in range(3):
        assert breaker.failed(now) == 30.0
        assert breaker.state(now) == OPEN and breaker.wait_s(now + 10) == 20
        now += 30
        assert breaker.state(now) == HALF_OPEN and breaker.wait_s(now) == 0
    breaker.worked()
    assert breaker.state(now) == CLOSED and breaker.wait_s(now) == 0
    assert breaker.failed(now) < 1.3, "it begins anew"


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 60)), max_size=40))
def test_it_is_never_asked_while_it_is_left_alone(steps: list[tuple[bool, float]]) -> None:
    breaker, now, failures = Breaker(Random(0)), 0.0, 0
    for works, later in steps:
        now += later
        if breaker.wait_s(now) > 0:
            assert failures and breaker.state(now) in (CLOSED, OPEN)
            continue
        if works:
            breaker.worked()
            failures = 0
        else:
            breaker.failed(now)
            failures += 1
        assert breaker.failures == failures
        assert (breaker.state(now) == OPEN) == (failures >= 5)
