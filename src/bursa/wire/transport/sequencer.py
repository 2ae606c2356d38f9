"""Runs of numbered messages from one or more lines of a channel, put in order: each exactly once.

The rules are those of sequence.py, asked of the numbers that the transport counts; what comes
on top is patience. A run that is early waits in a buffer while what lies before it may still come:
by the other line, in another order, or as the answer to a request. No socket, no clock: `now_ns` is
an argument, what to do is returned:

    Run      deliver these messages (late: into a gap that was given up)
    Lost     these numbers are waited for no longer; the runs behind them follow
    Ask      request these numbers from who keeps them
    Ended    the source ended this session, and all of it was delivered or given up

A gap is asked for when `first_wait_ns` is over, again every `again_ns`, at most `tries` times
without an answer, then given up; an answer, however small, begins the count again. Nobody to ask
(tries 0): given up after the first wait. So a gap whose answers come is never given up, however
long, and one without answers holds the stream for first_wait + tries * again.

Limits (runs.py): HELD_BYTES_MAX, HELD_MESSAGES_MAX and HELD_RUNS_MAX of what waits. Past them the
oldest gap is given up (`overflows`), unless answers to it come: then what lies farthest is turned
away, and asked for in its turn (`turned_away`).

A session is a name; one not heard before ends the one under way, whose gaps are given up; numbers
begin at 1 again. Of the last SESSIONS_MAX names what comes late is stale. Who repeats numbers under
the same name repeats messages, unless it says so (`grant`).
"""

from bisect import bisect_left

import numpy as np

from bursa.wire.transport import sequence
from bursa.wire.transport.runs import (
    Ask,
    Counts,
    Ended,
    Gap,
    Limits,
    LineCounts,
    Lost,
    Patience,
    Payload,
    Run,
    Step,
    cut,
    late,
    owned,
    part_of,
)
from bursa.wire.transport.sequence import DROP, NEXT, TAKE, TAKE_LATE

# Gaps asked for at a time; the others wait for their turn.
ASKED_MAX = 16
SESSIONS_MAX = 64


class Sequencer:
    """One channel.

    patience    how gaps are waited for
    limits      of what waits
    from_first  a channel of which nothing is known begins at number 1, else where it is met
    counts      of the channel; lines: of each line
    """

    def __init__(
        self,
        lines: int = 1,
        patience: Patience | None = None,
        limits: Limits | None = None,
        *,
        from_first: bool = True,
    ) -> None:
        self.session = ""
        self.counts = Counts()
        self.lines = [LineCounts() for _ in range(lines)]
        self._patience = patience or Patience()
        self._limits = limits or Limits()
        self._from_first = from_first
        self._state = np.zeros((1, sequence.FREE), np.int64)
        sequence.begin(self._state, 0)
        # Sessions are counted: the count is what the rules of sequence.py call a ts.
        self._ordinal = 0
        self._past: dict[str, int] = {}
        self._begun = False
        self._high = 0  # one past the highest number known to exist
        self._gaps: list[Gap] = []
        self._held_firsts: list[int] = []
        self._held: dict[int, Run] = {}
        self._held_bytes = self._held_messages = 0
        self._ends_at = 0
        self._ended = False

    @property
    def next(self) -> int:
        """Number of the message that is due; 0 while nothing is known."""
        return int(self._state[0, NEXT])

    @property
    def high(self) -> int:
        """One past the highest number known to exist."""
        return self._high

    @property
    def ending(self) -> bool:
        """The end of the session under way was told, though something of it may be missing."""
        return self._ends_at > 0

    def is_past(self, session: str) -> bool:
        """A session of this name is over."""
        return session in self._past

    @property
    def ended(self) -> bool:
        """The session under way is over, nothing of it is missing."""
        return self._ended

    @property
    def held(self) -> tuple[int, int, int]:
        """(bytes, messages, runs) that wait."""
        return self._held_bytes, self._held_messages, len(self._held)

    @property
    def missing(self) -> list[tuple[int, int]]:
        """Numbers that are waited for, as (first, last), ascending."""
        return [(gap.first, gap.last) for gap in self._gaps]

    def resume(self, session: str, next_seq: int) -> None:
        """What lies before next_seq of session was delivered by an earlier run of the process."""
        if session:
            self._begin(session, next_seq)

    def grant(self, line: int, session: str, next_seq: int, now_ns: int) -> list[Step]:
        """The source says that it goes on there, and what lies before cannot be had. One that goes
        back has begun to count anew."""
        out: list[Step] = []
        if not self._begun or session != self.session or next_seq < self.next:
            self.counts.resets += self._begun and session == self.session
            self._leave(out)
            self._begin(session, next_seq)
        else:
            self._expect(next_seq, now_ns)
            while self._gaps and self._gaps[0].first < next_seq:
                self._give_up(out)
        self.lines[line].next = next_seq
        return out

    def offer(
        self, line: int, session: str, first: int, count: int, payload: Payload, now_ns: int
    ) -> list[Step]:
        """A line brought messages first to first + count - 1, count >= 1.

        payload   u16 length and message (or packet), one after another, exactly `count`
        """
        lane = self.lines[line]
        lane.runs += 1
        lane.messages += count
        out: list[Step] = []
        if not self._enter(session, first, out):
            lane.stale += 1
            return out
        lane.gaps += 0 < lane.next < first
        lane.next = max(lane.next, first + count)
        end = first + count
        if not self._gaps and first == self._high:
            self._high = end
            self._deliver(Run(session, first, count, payload, now_ns), TAKE, out)
            return out
        run = Run(session, first, count, payload, now_ns)
        at = first
        while at < end:
            verdict, length = sequence.judge_run(self._state, 0, at, end - at, self._ordinal)
            part = part_of(run, at, length)
            if verdict == TAKE:
                self._take(lane, part, out)
            elif verdict == TAKE_LATE:
                lane.fills += length
                self.counts.late += length
                self._deliver(late(part), TAKE_LATE, out)
            else:
                assert verdict == DROP, "the edge begins sessions itself"
                lane.duplicates += length
            at += length
        self._settle(out)
        return out

    def expect(self, line: int, session: str, next_seq: int, now_ns: int) -> list[Step]:
        """A line says which number comes next: all before it exist."""
        out: list[Step] = []
        if self._enter(session, next_seq, out):
            lane = self.lines[line]
            lane.gaps += 0 < lane.next < next_seq
            lane.next = max(lane.next, next_seq)
            self._expect(next_seq, now_ns)
        else:
            self.lines[line].stale += 1
        return out

    def end(self, line: int, session: str, next_seq: int, now_ns: int) -> list[Step]:
        """A line says that the session is over, before number next_seq (0: not said)."""
        if self._ended and session == self.session:
            return []
        out = self.expect(line, session, next_seq, now_ns) if next_seq else []
        if session == self.session and self._begun:
            self._ends_at = max(self._ends_at, next_seq, 1)
            self._settle(out)
        return out

    def poll(self, now_ns: int) -> list[Step]:
        """What is due by now: requests, and gaps whose time is over."""
        out: list[Step] = []
        tries = self._patience.tries
        for gap in self._gaps[:ASKED_MAX]:
            if gap.due_ns > now_ns or gap.lost:
                continue
            if gap.tries >= tries:
                gap.lost = True
                continue
            count = min(gap.last - gap.first + 1, self._patience.messages_max)
            gap.tries += 1
            gap.asked = True
            gap.asked_to = gap.first + count - 1
            gap.due_ns = now_ns + self._patience.again_ns
            self.counts.asked += 1
            out.append(Ask(self.session, gap.first, count))
        while self._gaps and self._gaps[0].lost:
            self._give_up(out)
        self._settle(out)
        return out

    def be_patient(self, now_ns: int) -> None:
        """We did not listen for a while: what is missing is asked for as if it were new."""
        for gap in self._gaps:
            gap.due_ns = now_ns + self._patience.first_wait_ns
            gap.tries, gap.lost = 0, False

    def wake_ns(self) -> int | None:
        """When `poll` is due; None while nothing is missing."""
        return min((gap.due_ns for gap in self._gaps[:ASKED_MAX] if not gap.lost), default=None)

    def give_up(self) -> list[Step]:
        """Wait for nothing any more: what is held goes out (the end of a recording)."""
        out: list[Step] = []
        while self._gaps:
            self._give_up(out)
        self._settle(out)
        return out

    # -- sessions ----------------------------------------------------------------------------------

    def _enter(self, session: str, first: int, out: list[Step]) -> bool:
        """Be in the session; False where it is over."""
        if session == self.session and self._begun:
            return True
        if session in self._past:
            return False
        known = self._begun
        self._leave(out)
        self._begin(session, 1 if known or self._from_first else max(first, 1))
        return True

    def _begin(self, session: str, first: int) -> None:
        self._begun = True
        self.session = session
        self._ordinal += 1
        self._high = first
        self._ends_at, self._ended = 0, False
        self.counts.sessions += 1
        sequence.go_on(self._state, 0, first, self._ordinal)
        for lane in self.lines:
            lane.next = 0

    def _leave(self, out: list[Step]) -> None:
        """The session under way is over: nothing of it is waited for."""
        if not self._begun:
            return
        while self._gaps:
            self._give_up(out)
        if self._ends_at and not self._ended:
            out.append(Ended(self.session))
        self._past.pop(self.session, None)
        self._past[self.session] = self._ordinal
        if len(self._past) > SESSIONS_MAX:
            del self._past[next(iter(self._past))]

    def _settle(self, out: list[Step]) -> None:
        if self._ends_at and not self._ended and not self._gaps:
            self._ended = True
            out.append(Ended(self.session))

    # -- gaps --------------------------------------------------------------------------------------

    def _expect(self, next_seq: int, now_ns: int) -> None:
        if next_seq > self._high:
            self._miss(self._high, next_seq - 1, now_ns)
            self._high = next_seq

    def _miss(self, first: int, last: int, now_ns: int) -> None:
        """Numbers above all others are missing. One gap with the newest, where that touches it and
        nobody was asked for it yet."""
        due_ns = now_ns + self._patience.first_wait_ns
        newest = self._gaps[-1] if self._gaps else None
        touches = newest is not None and newest.last == first - 1
        if newest is not None and touches and not (newest.asked or newest.lost):
            newest.last = last
        else:
            self._gaps.append(Gap(first, last, due_ns))

    def _take(self, lane: LineCounts, run: Run, out: list[Step]) -> None:
        """Messages that are due, or early: what of them is not held already."""
        end = run.first + run.count
        self._expect(run.first, run.heard_ns)
        news = 0
        for first, last in self._wanted(run.first, end):
            part = part_of(run, first, last - first + 1)
            news += part.count
            lane.fills += part.count if first < self._high else 0
            self._keep(part, out)
        lane.duplicates += run.count - news

    def _wanted(self, first: int, end: int) -> list[tuple[int, int]]:
        """The numbers in [first, end) that nobody brought yet, as (first, last)."""
        found = []
        at = bisect_left(self._gaps, first, key=lambda gap: gap.last)
        while at < len(self._gaps) and self._gaps[at].first < end:
            gap = self._gaps[at]
            found.append((max(gap.first, first), min(gap.last, end - 1)))
            at += 1
        if end > self._high:
            found.append((max(self._high, first), end - 1))
        return found

    def _keep(self, run: Run, out: list[Step]) -> None:
        """Deliver a run that nobody brought yet, or hold it, or turn it away."""
        while run.first > self.next and not self._has_room(run):
            if self._gaps[0].answered:
                self.counts.turned_away += 1
                if run.first >= self._high:
                    self._miss(run.first, run.first + run.count - 1, run.heard_ns)
                    self._high = run.first + run.count
                return
            self.counts.overflows += 1
            self._give_up(out)
        if run.first < self.next:  # its own gap was given up for want of room
            self.counts.late += run.count
            self._deliver(late(run), TAKE_LATE, out)
            return
        self._fill(run)
        if run.first == self.next:
            self._deliver(run, TAKE, out)
            self._drain(out)
        else:
            self._held[run.first] = owned(run)
            self._held_firsts.insert(bisect_left(self._held_firsts, run.first), run.first)
            self._held_bytes += len(run.payload)
            self._held_messages += run.count

    def _has_room(self, run: Run) -> bool:
        limits = self._limits
        return (
            self._held_bytes + len(run.payload) <= limits.bytes_max
            and self._held_messages + run.count <= limits.messages_max
            and len(self._held) < limits.runs_max
        )

    def _fill(self, run: Run) -> None:
        """Take the run's numbers, all inside one gap or all above, out of what is missing."""
        last = run.first + run.count - 1
        if run.first >= self._high:
            self._high = last + 1
            return
        at = bisect_left(self._gaps, run.first, key=lambda gap: gap.last)
        gap = self._gaps[at]
        assert gap.first <= run.first and last <= gap.last, "a run lies in one gap"
        parts = []
        for first, to in ((gap.first, run.first - 1), (last + 1, gap.last)):
            if first <= to:
                parts.append(self._rest(gap, first, to, run.heard_ns))
        self._gaps[at : at + 1] = parts

    def _rest(self, gap: Gap, first: int, last: int, now_ns: int) -> Gap:
        """What a gap has left once it was answered. More of the same answer may follow; when it
        does not, the rest is asked for."""
        if not gap.asked:
            return Gap(first, last, gap.due_ns, lost=gap.lost)
        wait_ns = self._patience.first_wait_ns if first <= gap.asked_to else 0
        return Gap(first, last, now_ns + wait_ns, gap.asked_to, 0, True, True)

    def _give_up(self, out: list[Step]) -> None:
        """The oldest gap stays one."""
        gap = self._gaps.pop(0)
        sequence.expect(self._state, 0, gap.last + 1)
        self.counts.gaps += 1
        self.counts.missing += gap.last - gap.first + 1
        out.append(Lost(self.session, gap.first, gap.last, gap.asked))
        self._drain(out)

    # -- out ---------------------------------------------------------------------------------------

    def _deliver(self, run: Run, verdict: int, out: list[Step]) -> None:
        sequence.accept_run(self._state, 0, run.first, run.count, self._ordinal, verdict)
        out.append(run)

    def _drain(self, out: list[Step]) -> None:
        """What is held and due now."""
        done = 0
        due = self.next
        while done < len(self._held_firsts) and self._held_firsts[done] == due:
            run = self._held.pop(due)
            self._held_bytes -= len(run.payload)
            self._held_messages -= run.count
            self._deliver(run, TAKE, out)
            due += run.count
            done += 1
        del self._held_firsts[:done]


def warm() -> None:
    """Compile what a feed calls, before a port is opened."""
    lines = Sequencer()
    block = memoryview(bytearray(b"\0\1a\0\1b"))
    lines.offer(0, "", 1, 2, block, 0)
    lines.offer(0, "", 2, 2, block, 0)
    lines.offer(0, "", 9, 2, block, 0)
    lines.give_up()
    lines.offer(0, "", 4, 2, block, 0)
    cut(bytes(block), 0, 1)
