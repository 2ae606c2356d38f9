"""Sequence numbers against a model that remembers every number."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bursa.wire.transport import sequence
from bursa.wire.transport.sequence import (
    DROP,
    DUPLICATES,
    FORGOTTEN,
    GAPS,
    HOLES,
    HOLES_COUNT,
    HOLES_MAX,
    LATE,
    MISSING,
    NEXT,
    REFUSE,
    SESSIONS,
    STALE,
    TAKE,
    TAKE_LATE,
    WATERMARK,
)

ROW = 1


class Sequencer(RuleBasedStateMachine):
    """One channel: numbers come next, too far, again, late, from one; sessions end."""

    def __init__(self) -> None:
        super().__init__()
        self.state = np.zeros((2, sequence.FREE), np.int64)
        sequence.begin(self.state, ROW)
        self.taken: set[int] = set()
        self.forgotten: set[int] = set()
        self.next = 0
        self.newest = self.floor = -1
        self.firsts: list[int] = []

    def ask(self, seq: int, ts: int) -> int:
        verdict = sequence.judge(self.state, ROW, seq, ts)
        if verdict >= TAKE:
            sequence.accept(self.state, ROW, seq, ts, verdict)
        return int(verdict)

    @rule(jump=st.integers(0, 3), step=st.integers(0, 5))
    def goes_on(self, jump: int, step: int) -> None:
        seq, ts = max(self.next, 1) + jump, max(self.newest, 0) + step + (self.next == 0)
        verdict = self.ask(seq, ts)
        if ts <= self.floor:
            assert verdict == DROP
            return
        assert verdict >= TAKE
        if self.next == 0 and seq == 1:
            self.firsts.append(ts)
        self.taken.add(seq)
        self.next, self.newest = seq + 1, max(self.newest, ts)
        self._forget()

    @rule(back=st.integers(1, 400), earlier=st.integers(0, 3))
    def comes_late_or_again(self, back: int, earlier: int) -> None:
        seq, ts = self.next - back, self.newest - earlier
        if seq < 2 or ts <= self.floor:
            return
        verdict = self.ask(seq, ts)
        if seq in self.taken or seq in self.forgotten:
            assert verdict == DROP
        else:
            assert verdict == TAKE_LATE
            self.taken.add(seq)
            self._forget()

    @rule(earlier=st.integers(0, 10))
    def returns_to_one_too_early(self, earlier: int) -> None:
        ts = self.newest - earlier
        if self.next < 2 or ts <= self.floor or 1 not in self.taken or ts < 0:
            return
        assert self.ask(1, ts) == (DROP if ts in self.firsts[-64:] else REFUSE)

    @rule(later=st.integers(1, 10))
    def a_new_session_begins(self, later: int) -> None:
        if self.next == 0:
            return
        assert self.ask(1, self.newest + later) == sequence.TAKE_FIRST
        self.floor, self.newest = self.newest, self.newest + later
        self.taken, self.forgotten, self.next = {1}, set(), 2
        self.firsts.append(self.newest)

    @rule()
    def the_session_ends(self) -> None:
        sequence.end_session(self.state, ROW)
        self.floor, self.next, self.taken, self.forgotten = self.newest, 0, set(), set()

    def _holes(self) -> list[tuple[int, int]]:
        missing = [seq for seq in range(1, self.next) if seq not in self.taken | self.forgotten]
        holes: list[tuple[int, int]] = []
        for seq in missing:
            if holes and holes[-1][1] == seq - 1:
                holes[-1] = (holes[-1][0], seq)
            else:
                holes.append((seq, seq))
        return holes

    def _forget(self) -> None:
        """Beyond HOLES_MAX the lowest goes."""
        while len(holes := self._holes()) > HOLES_MAX:
            self.forgotten |= set(range(holes[0][0], holes[0][1] + 1))

    @invariant()
    def what_is_missing_is_known(self) -> None:
        count = int(self.state[ROW, HOLES_COUNT])
        pairs = self.state[ROW, HOLES : HOLES + 2 * count].reshape(-1, 2).tolist()
        assert [tuple(pair) for pair in pairs] == self._holes()
        assert self.state[ROW, NEXT] == self.next
        assert self.state[ROW, WATERMARK] == self.newest


Sequencer.TestCase.settings = settings(max_examples=60, stateful_step_count=120, deadline=None)
TestSequencer = Sequencer.TestCase


@given(st.permutations(list(range(1, 120))))
@settings(max_examples=100, deadline=None)
def test_any_order_gives_every_number_at_most_once_and_loses_none_in_silence(
    numbers: list[int],
) -> None:
    state = np.zeros((2, sequence.FREE), np.int64)
    sequence.begin(state, ROW)
    taken: list[int] = []
    for seq in numbers * 2:
        verdict = sequence.judge(state, ROW, seq, 1000 + seq)
        if verdict >= TAKE:
            sequence.accept(state, ROW, seq, 1000 + seq, verdict)
            taken.append(seq)
    counts = state[ROW, [DUPLICATES, STALE, LATE, GAPS, MISSING, SESSIONS, FORGOTTEN]]
    assert len(taken) == len(set(taken))
    assert (counts >= 0).all() and counts[5] == 1
    assert len(taken) == 119 or counts[6] > 0, "only what was forgotten is missing"
