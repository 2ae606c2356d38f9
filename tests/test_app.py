"""What the composition root and the run bring themselves: the clock, and rest for the collector."""

import gc
import time

import pytest

from bursa.app import SystemClock
from bursa.up import settle

SECOND_NS = 1_000_000_000


def test_a_clock_that_steps_back_goes_on_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    wall, ticked = 1_800_000_000 * SECOND_NS, 5 * SECOND_NS
    monkeypatch.setattr(time, "time_ns", lambda: wall)
    monkeypatch.setattr(time, "monotonic_ns", lambda: ticked)
    clock = SystemClock()
    began = clock.now_ns()
    assert began == wall
    wall -= 3600 * SECOND_NS
    assert clock.now_ns() == began
    for second in range(1, 7200):
        wall, ticked = wall + SECOND_NS, ticked + SECOND_NS
        assert clock.now_ns() == began + second * SECOND_NS // 2
    wall, ticked = wall + 2 * SECOND_NS, ticked + 2 * SECOND_NS
    assert clock.now_ns() == wall, "the machine's clock has caught up"


def test_what_has_come_to_stay_is_not_gone_through_again() -> None:
    kept = [[number] for number in range(1_000)]
    try:
        settle()
        assert gc.get_freeze_count() > len(kept)
        assert not any(one is kept for one in gc.get_objects())
    finally:
        gc.unfreeze()
