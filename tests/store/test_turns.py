"""Who writes next: one at a time, and live rows before history."""

import threading

from bursa.store.turns import Turns
from tests.pipeline.running import until


def test_what_comes_live_goes_before_historical_work_that_waits_longer() -> None:
    turns, order = Turns(), list[str]()
    held = turns.live()
    held.__enter__()

    def past(nth: int) -> None:
        with turns:
            order.append("past")

    def live(nth: int) -> None:
        with turns.live():
            order.append("live")

    waiting = [threading.Thread(target=past, args=(nth,)) for nth in range(3)]
    for thread in waiting:
        thread.start()
    late = [threading.Thread(target=live, args=(nth,)) for nth in range(3)]
    for thread in late:
        thread.start()
    until(lambda: turns._live == 3, "the live ones to wait")
    assert not order, "one at a time"
    held.__exit__(None, None, None)
    for thread in (*waiting, *late):
        thread.join(60)
    assert order == ["live"] * 3 + ["past"] * 3


def test_one_at_a_time_also_after_a_failure() -> None:
    turns, inside, most = Turns(), 0, 0

    def work(nth: int) -> None:
        nonlocal inside, most
        for turn in range(50):
            try:
                with turns.live() if (nth + turn) % 2 else turns:
                    inside += 1
                    most = max(most, inside)
                    inside -= 1
                    if turn % 7 == 0:
                        raise ValueError
            except ValueError:
                continue

    threads = [threading.Thread(target=work, args=(nth,)) for nth in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == 1 and inside == 0
