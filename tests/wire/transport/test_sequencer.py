"""The sequencer against a model that remembers every number, and its promises one by one."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from bursa.model.schema import CAUSES
from bursa.wire.transport import sequence
from bursa.wire.transport.runs import Ask, Ended, Limits, Lost, Patience, Run, Step
from bursa.wire.transport.sequencer import Sequencer

MS = 1_000_000
A, B, ANSWERS = 0, 1, 2
PATIENCE = Patience(first_wait_ns=5 * MS, again_ns=20 * MS, tries=2, messages_max=7)
NOBODY = Patience(first_wait_ns=5 * MS, tries=0)

EXAMPLES, EXAMPLES_SOAK = 1_000, 100_000
BUDGET_S, BUDGET_SOAK_S = 15, 900


def blocks(session: str, first: int, count: int) -> bytes:
    """Messages that say who they are, of lengths that differ."""
    out = b""
    for number in range(first, first + count):
        message = f"{session}/{number}/".encode() + b"x" * (number % 5)
        out += len(message).to_bytes(2, "big") + message
    return out


def said(run: Run) -> list[tuple[str, int]]:
    """The messages of a run, as they say themselves who they are."""
    found, at, payload = [], 0, bytes(run.payload)
    while at < len(payload):
        end = at + 2 + int.from_bytes(payload[at : at + 2], "big")
        session, number, rest = payload[at + 2 : end].decode().split("/")
        assert rest == "x" * (int(number) % 5)
        found.append((session, int(number)))
        at = end
    return found


def ranges(numbers: Sequence[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def joined(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    return ranges([number for first, last in pairs for number in range(first, last + 1)])


class Told:
    """What is known of one session: all that the lines showed, all that came out."""

    def __init__(self, first: int = 1) -> None:
        self.next = first
        self.shown: set[int] = set()
        self.brought: set[int] = set()
        self.delivered: list[int] = []
        self.lost: set[int] = set()
        self.lost_once: set[int] = set()
        self.over = False
        self.ends = self.ended = False
        self.noticed: dict[int, int] = {}
        self.asked: dict[int, int] = defaultdict(int)


class Lines(RuleBasedStateMachine):
    """Two lines and the answers to requests bring any numbers in any order."""

    limits = Limits()
    roomy = True

    @initialize(patience=st.sampled_from([PATIENCE, NOBODY]))
    def begin(self, patience: Patience) -> None:
        self.patience = patience
        self.now = 0
        self.sequencer = Sequencer(3, patience, self.limits)
        self.names = ["S1"]
        self.oldest = 0  # of the names, the first that this sequencer met
        self.told = {"S1": Told()}
        self.asks: list[Ask] = []

    # -- what comes out ----------------------------------------------------------------------------

    def take(self, steps: list[Step]) -> None:
        for step in steps:
            told = self.told[step.session]
            if isinstance(step, Run):
                self.deliver(told, step)
            elif isinstance(step, Lost):
                self.lose(told, step)
            elif isinstance(step, Ask):
                self.ask(told, step)
            else:
                assert isinstance(step, Ended) and told.ends and not told.ended
                told.ended = True
        if self.roomy:
            self.same_as_the_model()

    def deliver(self, told: Told, run: Run) -> None:
        numbers = list(range(run.first, run.first + run.count))
        assert said(run) == [(run.session, number) for number in numbers]
        assert run.heard_ns <= self.now
        if run.late:
            assert told.lost >= set(numbers), "late is what was given up"
            told.lost -= set(numbers)
        else:
            assert run.first == told.next, "in order"
            told.next += run.count
        told.delivered += numbers

    def lose(self, told: Told, lost: Lost) -> None:
        numbers = set(range(lost.first, lost.last + 1))
        assert lost.first == told.next, "in order"
        assert not numbers & told.lost_once, "a number lies in one gap"
        assert numbers <= told.shown
        told.next = lost.last + 1
        told.lost |= numbers
        told.lost_once |= numbers
        if told.over or not self.roomy:
            return
        assert not numbers & told.brought
        assert lost.asked == (self.patience.tries > 0)
        for number in numbers:
            assert self.now - told.noticed[number] >= self.patience.first_wait_ns
        assert told.asked[lost.first] >= self.patience.tries

    def ask(self, told: Told, ask: Ask) -> None:
        numbers = range(ask.first, ask.first + ask.count)
        assert 0 < ask.count <= self.patience.messages_max
        assert numbers[0] >= told.next and told.shown >= set(numbers)
        if self.roomy:
            assert not told.brought & set(numbers)
        for number in numbers:
            told.asked[number] += 1
        self.asks.append(ask)

    def same_as_the_model(self) -> None:
        told = self.told[self.names[-1]]
        waited = sorted(n for n in told.shown - told.brought if n >= told.next)
        assert joined(self.sequencer.missing) == ranges(waited)
        held = [n for n in told.brought if n >= told.next]
        assert self.sequencer.held[1] == len(held)
        assert told.next not in told.brought, "what is due is not held"

    @invariant()
    def every_number_is_delivered_once_or_in_one_gap(self) -> None:
        for told in getattr(self, "told", {}).values():
            assert len(told.delivered) == len(set(told.delivered))
            assert set(told.delivered) | told.lost == set(range(1, told.next))
            assert not set(told.delivered) & told.lost

    @invariant()
    def memory_is_bounded(self) -> None:
        if hasattr(self, "told"):
            held = self.sequencer.held
            limits = self.limits
            assert held <= (limits.bytes_max, limits.messages_max, limits.runs_max)
            assert held[1] <= limits.messages_max and held[2] <= limits.runs_max

    # -- what happens ------------------------------------------------------------------------------

    def show(self, told: Told, numbers: range) -> None:
        for number in numbers:
            if number not in told.shown:
                told.shown.add(number)
                told.noticed[number] = self.now

    def bring(self, line: int, first: int, count: int) -> None:
        session = self.names[-1]
        told = self.told[session]
        self.show(told, range(1, first + count))
        late = told.lost & set(range(first, first + count))
        before = len(told.delivered)
        told.brought |= set(range(first, first + count))
        steps = self.sequencer.offer(
            line, session, first, count, blocks(session, first, count), self.now
        )
        self.take(steps)
        assert not told.lost & late, "late is delivered at once"
        assert len(told.delivered) >= before + len(late)

    @rule(line=st.sampled_from([A, B]), skip=st.integers(0, 3), count=st.integers(1, 5))
    def a_line_goes_on(self, line: int, skip: int, count: int) -> None:
        newest = max(self.told[self.names[-1]].shown, default=0)
        self.bring(line, newest + 1 + skip, count)

    @rule(line=st.sampled_from([A, B]), back=st.integers(1, 20), count=st.integers(1, 8))
    def a_line_repeats_or_is_behind(self, line: int, back: int, count: int) -> None:
        newest = max(self.told[self.names[-1]].shown, default=0)
        self.bring(line, max(newest + 1 - back, 1), count)

    @rule(line=st.sampled_from([A, B]), more=st.integers(0, 4))
    def a_heartbeat(self, line: int, more: int) -> None:
        session = self.names[-1]
        told = self.told[session]
        next_seq = max(told.shown, default=0) + 1 + more
        self.show(told, range(1, next_seq))
        self.take(self.sequencer.expect(line, session, next_seq, self.now))

    @rule(ms=st.integers(0, 50))
    def time_goes_by(self, ms: int) -> None:
        until = self.now + ms * MS
        for _ in range(100):
            wake = self.sequencer.wake_ns()
            if wake is None or wake > until:
                break
            self.now = max(self.now, wake)
            self.take(self.sequencer.poll(self.now))
        else:
            raise AssertionError("it wakes without end")
        self.now = until

    @rule(which=st.integers(0, 9), skip=st.integers(0, 3), count=st.integers(0, 9))
    def an_answer(self, which: int, skip: int, count: int) -> None:
        """All of it, a part, something else than was asked for, a lost answer (0)."""
        if not self.asks:
            return
        ask = self.asks.pop(which % len(self.asks))
        if ask.session != self.names[-1] or not count:
            return
        told = self.told[ask.session]
        for number in range(1, max(told.shown) + 1):
            told.asked[number] = 0  # patience begins again
        self.bring(ANSWERS, ask.first + skip, min(count, ask.count))

    @rule(line=st.sampled_from([A, B]))
    def the_session_ends(self, line: int) -> None:
        session = self.names[-1]
        told = self.told[session]
        told.ends = True
        next_seq = max(told.shown, default=0) + 1
        self.take(self.sequencer.end(line, session, next_seq, self.now))

    @rule(line=st.sampled_from([A, B]), first=st.integers(1, 4))
    def a_session_begins(self, line: int, first: int) -> None:
        if not self.told[self.names[-1]].shown:
            return
        self.told[self.names[-1]].over = True
        self.names.append(f"S{len(self.names) + 1}")
        self.told[self.names[-1]] = Told()
        self.bring(line, first, 2)
        before = self.told[self.names[-2]]
        assert before.ended == before.ends
        assert before.next == max(before.shown) + 1, "nothing of it is waited for"

    @rule(line=st.sampled_from([A, B]), back=st.integers(2, 4), number=st.integers(1, 9))
    def a_session_that_is_over_speaks(self, line: int, back: int, number: int) -> None:
        if len(self.names) - back < self.oldest:
            return
        old = self.names[-back]
        stale = self.sequencer.lines[line].stale
        assert not self.sequencer.offer(line, old, number, 1, blocks(old, number, 1), self.now)
        assert not self.sequencer.expect(line, old, number, self.now)
        assert self.sequencer.lines[line].stale == stale + 2

    @rule(after=st.integers(0, 3))
    def a_restart(self, after: int) -> None:
        """What was delivered was journalled: a new process goes on behind it."""
        session = self.names[-1]
        told = self.told[session]
        if not told.shown or told.ended:
            return
        self.sequencer = Sequencer(3, self.patience, self.limits)
        self.sequencer.resume(session, told.next)
        self.oldest = len(self.names) - 1
        told.lost, told.lost_once = set(), set()
        told.delivered = list(range(1, told.next))
        told.brought = set(told.delivered)
        told.shown = set(told.delivered)
        told.asked.clear()
        told.ends = told.ended = False
        self.asks.clear()

    @rule()
    def patience_ends(self) -> None:
        """Nothing is waited for without end."""
        self.time_goes_by(10_000)
        assert not self.sequencer.missing and not self.sequencer.held[1]
        told = self.told[self.names[-1]]
        assert told.next == max(told.shown, default=0) + 1 and told.ended == told.ends

    @rule()
    def nothing_more_comes(self) -> None:
        told = self.told[self.names[-1]]
        told.over = True
        self.take(self.sequencer.give_up())
        told.over = False
        assert not self.sequencer.missing and not self.sequencer.held[1]


class Cramped(Lines):
    """The same, with hardly any room for what is early."""

    limits = Limits(bytes_max=100, messages_max=9, runs_max=3)
    roomy = False


def counted(lines: type[Lines], examples: int, budget_s: float) -> int:
    """Run examples in lots, each of its own seed, until there are enough or the time is over."""
    until, done = time.monotonic() + budget_s, 0
    while done < examples and time.monotonic() < until:
        lot = type(lines.__name__, (lines,), {})
        run_state_machine_as_test(
            seed(done)(lot),
            settings=settings(
                max_examples=50,
                stateful_step_count=40,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
        done += 50
    return done


@pytest.mark.parametrize("lines", [Lines, Cramped])
def test_any_loss_order_and_repetition(lines: type[Lines], soak: bool) -> None:
    examples, budget_s = (EXAMPLES_SOAK, BUDGET_SOAK_S) if soak else (EXAMPLES, BUDGET_S)
    done = counted(lines, examples // 2, budget_s / 2)
    assert done >= 50
    print(f"{lines.__name__}: {done} examples")


# -- one by one ------------------------------------------------------------------------------------


def offer(
    sequencer: Sequencer, first: int, count: int = 1, line: int = A, ms: float = 0
) -> list[Step]:
    return sequencer.offer(line, "S", first, count, blocks("S", first, count), round(ms * MS))


def plain(steps: list[Step]) -> list[tuple[str, int, int]]:
    """(what, first, last) of each step."""
    found = []
    for step in steps:
        if isinstance(step, Run):
            found.append(("late" if step.late else "run", step.first, step.first + step.count - 1))
        elif isinstance(step, Ask):
            found.append(("ask", step.first, step.first + step.count - 1))
        elif isinstance(step, Lost):
            found.append(("asked" if step.asked else "lost", step.first, step.last))
        else:
            found.append(("end", 0, 0))
    return found


def test_the_other_line_fills_what_one_lost() -> None:
    both = Sequencer(2, PATIENCE)
    assert plain(offer(both, 1, 3)) == [("run", 1, 3)]
    assert plain(offer(both, 1, 4, B)) == [("run", 4, 4)]
    assert plain(offer(both, 6, 2)) == []
    assert plain(offer(both, 5, 3, B)) == [("run", 5, 5), ("run", 6, 7)]
    one, other = both.lines
    assert (one.messages, one.duplicates, one.gaps, one.fills) == (5, 0, 1, 0)
    assert (other.messages, other.duplicates, other.gaps, other.fills) == (7, 5, 0, 1)


def test_a_gap_is_asked_for_again_and_then_given_up() -> None:
    lines = Sequencer(1, PATIENCE)
    offer(lines, 1)
    offer(lines, 5, 2)
    assert lines.wake_ns() == 5 * MS and plain(lines.poll(5 * MS - 1)) == []
    assert plain(lines.poll(5 * MS)) == [("ask", 2, 4)]
    assert lines.wake_ns() == 25 * MS and plain(lines.poll(25 * MS)) == [("ask", 2, 4)]
    assert plain(lines.poll(45 * MS)) == [("asked", 2, 4), ("run", 5, 6)]
    assert plain(offer(lines, 3)) == [("late", 3, 3)] and plain(offer(lines, 3)) == []
    assert lines.wake_ns() is None and (lines.counts.gaps, lines.counts.missing) == (1, 3)


def test_a_long_gap_is_asked_for_piece_by_piece() -> None:
    lines = Sequencer(2, PATIENCE)
    lines.expect(A, "S", 21, 0)
    now, asked = 5 * MS, []
    while lines.missing:
        for ask in lines.poll(now):
            assert isinstance(ask, Ask)
            asked.append((ask.first, ask.count))
            offer(lines, ask.first, ask.count, B, now / MS)
    assert asked == [(1, 7), (8, 7), (15, 6)] and lines.next == 21


def test_an_answer_in_part_is_asked_for_its_rest_and_never_given_up() -> None:
    lines = Sequencer(2, PATIENCE)
    lines.expect(A, "S", 8, 0)
    now = 5 * MS
    for number in range(1, 8):  # one message an answer, as if the packets were that small
        assert plain(lines.poll(now)) == [("ask", number, 7)]
        now += 15 * MS
        assert plain(offer(lines, number, 1, B, now / MS)) == [("run", number, number)]
        now += 5 * MS
    assert not lines.missing and lines.counts.gaps == 0


def test_without_anybody_to_ask_a_gap_waits_only_for_the_other_line() -> None:
    lines = Sequencer(2, NOBODY)
    offer(lines, 3)
    assert plain(lines.poll(5 * MS)) == [("lost", 1, 2), ("run", 3, 3)]


def test_a_heartbeat_shows_what_nothing_follows() -> None:
    lines = Sequencer(1, PATIENCE)
    offer(lines, 1)
    assert plain(lines.expect(A, "S", 2, 0)) == [] and lines.missing == []
    lines.expect(A, "S", 4, 0)
    assert lines.missing == [(2, 3)]
    offer(lines, 2, 2)
    assert lines.missing == [] and lines.next == 4


def test_the_end_of_a_session_waits_for_its_gaps_and_is_told_once() -> None:
    lines = Sequencer(2, PATIENCE)
    offer(lines, 1)
    assert plain(lines.end(A, "S", 3, 0)) == []
    assert plain(lines.end(B, "S", 3, 0)) == []
    assert plain(offer(lines, 2, 1, B)) == [("run", 2, 2), ("end", 0, 0)]
    assert plain(lines.end(B, "S", 3, 0)) == []


def test_numbers_begin_at_one_in_a_new_session() -> None:
    lines = Sequencer(2, PATIENCE)
    offer(lines, 1, 5)
    steps = lines.offer(A, "T", 1, 2, blocks("T", 1, 2), 0)
    assert plain(steps) == [("run", 1, 2)] and lines.session == "T"
    assert plain(offer(lines, 6, 1, B)) == [] and lines.lines[B].stale == 1
    lines.offer(B, "U", 3, 1, blocks("U", 3, 1), 0)
    assert lines.missing == [(1, 2)], "what began while nobody listened is missing"


def test_a_channel_of_which_nothing_is_known_may_begin_where_it_is_met() -> None:
    lines = Sequencer(1, PATIENCE, from_first=False)
    assert plain(offer(lines, 900)) == [("run", 900, 900)]
    lines.offer(A, "T", 2, 1, blocks("T", 2, 1), 0)
    assert lines.missing == [(1, 1)]


def test_a_restart_asks_for_what_was_sent_meanwhile() -> None:
    lines = Sequencer(1, PATIENCE)
    lines.resume("S", 7)
    assert plain(offer(lines, 5, 3)) == [("run", 7, 7)]
    offer(lines, 10)
    assert plain(lines.poll(5 * MS)) == [("ask", 8, 9)]


def test_what_a_source_cannot_give_is_not_waited_for() -> None:
    lines = Sequencer(1)
    lines.resume("S", 7)
    assert plain(lines.grant(A, "S", 9, 0)) == [("lost", 7, 8)]
    assert plain(offer(lines, 9)) == [("run", 9, 9)]
    assert plain(lines.grant(A, "T", 4, 0)) == []
    assert plain(lines.offer(A, "T", 4, 1, blocks("T", 4, 1), 0)) == [("run", 4, 4)]
    assert plain(lines.grant(A, "T", 1, 0)) == [] and lines.counts.resets == 1
    assert plain(lines.offer(A, "T", 1, 1, blocks("T", 1, 1), 0)) == [("run", 1, 1)]


def test_what_has_no_room_gives_the_gap_up() -> None:
    lines = Sequencer(1, PATIENCE, Limits(messages_max=3))
    offer(lines, 1)
    assert plain(offer(lines, 3, 3)) == []
    assert plain(offer(lines, 6)) == [("lost", 2, 2), ("run", 3, 5), ("run", 6, 6)]
    assert lines.counts.overflows == 1 and lines.held == (0, 0, 0)


def test_what_has_no_room_while_answers_come_is_asked_for_in_its_turn() -> None:
    lines = Sequencer(2, PATIENCE, Limits(messages_max=3))
    offer(lines, 5, 3)
    assert plain(lines.poll(5 * MS)) == [("ask", 1, 4)]
    offer(lines, 1, 1, B)
    assert plain(offer(lines, 8, 2)) == [] and lines.counts.turned_away == 1
    assert lines.missing == [(2, 4), (8, 9)]
    assert plain(offer(lines, 2, 3, B)) == [("run", 2, 4), ("run", 5, 7)]
    assert ("ask", 8, 9) in plain(lines.poll(50 * MS))
    assert plain(offer(lines, 8, 2, B)) == [("run", 8, 9)]


def test_what_is_held_has_bytes_of_its_own() -> None:
    lines = Sequencer(1, PATIENCE)
    buffer = bytearray(blocks("S", 2, 1))
    lines.offer(A, "S", 2, 1, memoryview(buffer), 0)
    buffer[:] = bytes(len(buffer))
    first, held = offer(lines, 1)
    assert isinstance(held, Run) and said(held) == [("S", 2)]


# -- what decoders hear of it ----------------------------------------------------------------------


def channel(next_seq: int) -> Iterator[np.ndarray]:
    state = np.zeros((2, sequence.FREE), np.int64)
    sequence.begin(state, 1)
    for seq in range(1, next_seq):
        sequence.accept(state, 1, seq, 100 + seq, sequence.judge(state, 1, seq, 100 + seq))
    yield state


def test_a_decoder_whose_numbers_these_are_tells_the_gap_at_once() -> None:
    [state] = channel(5)
    assert sequence.given_up(state, 1, (5, 9, 1)) == (5, 9, 104, CAUSES.index("unanswered"))
    assert sequence.given_up(state, 1, (10, 10, 0))[0] == 10
    assert sequence.judge(state, 1, 7, 120) == sequence.TAKE_LATE


def test_a_decoder_with_numbers_of_its_own_tells_the_cause_with_its_own_gap() -> None:
    [state] = channel(5)
    assert sequence.given_up(state, 1, (800, 803, 1)) == (0, 0, 0, 0)
    verdict = sequence.judge(state, 1, 9, 120)
    assert sequence.accept(state, 1, 9, 120, verdict)[3] == CAUSES.index("unanswered")
    verdict = sequence.judge(state, 1, 12, 121)
    assert sequence.accept(state, 1, 12, 121, verdict)[3] == CAUSES.index("jump")


def test_refused_messages_before_a_gap_belong_to_it() -> None:
    [state] = channel(5)
    state[1, sequence.REFUSED] = 2
    assert sequence.given_up(state, 1, (7, 9, 1)) == (5, 9, 104, CAUSES.index("unanswered"))


@pytest.mark.parametrize("words", [(0, 3, 1), (4, 3, 1), (1, 2**63 - 1, 0), (1, 2), (1, 2, 3, 4)])
def test_a_record_that_says_no_numbers_is_told_from_one_that_does(words: tuple[int, ...]) -> None:
    raw = np.frombuffer(b"".join(word.to_bytes(8, "big") for word in words), np.uint8).copy()
    assert sequence.lost_of(raw, 0, len(raw)) == (0, 0, 0)
    good = np.frombuffer(b"".join(w.to_bytes(8, "big") for w in (1, 2, 1)), np.uint8).copy()
    assert sequence.lost_of(good, 0, 24) == (1, 2, 1)
