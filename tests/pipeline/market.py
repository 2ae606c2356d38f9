"""A small market for tests: two short days of a few tickers, and all that can befall a feed.

The exchange's own packets, thinned to some minutes, with late trades, messages nobody can read, a
channel that comes and goes, numbers that jump, come late and come twice. `cut` makes journal
records of it: each channel keeps its order, records and the order between channels are anybody's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from random import Random

from bursa.exchange.stream import generate
from bursa.journal.record import Control, clock, down
from bursa.model.batch import BLOCKS, END_OF_SESSION, SOUPBIN, UP
from bursa.model.venue import IDX
from bursa.ports import Frames

DAYS = (date(2025, 11, 20), date(2025, 11, 21))
MINUTE_NS = 60_000_000_000
TRADE, STATUS = ord("1"), ord("9")
LATE_S = (1, 30, 90, 200, 400, 470, 500, 700)


@dataclass(frozen=True)
class Message:
    """One message as it comes: its session and the number that its packet has there."""

    session: str
    number: int
    body: bytes


Step = Message | Control


def packets(stream: bytes) -> Iterator[bytes]:
    """The messages in SoupBinTCP packets."""
    at = 0
    while at < len(stream):
        size = int.from_bytes(stream[at : at + 2], "big")
        if stream[at + 2] == ord("S"):
            yield stream[at + 3 : at + 2 + size]
        at += 2 + size


def ts_of(body: bytes) -> int:
    return int.from_bytes(body[9:17], "big")


def numbered(body: bytes, seq: int) -> bytes:
    """The message with another sequence number; a status says which comes next."""
    tail = body[9:]
    if body[0] == STATUS:
        tail = tail[:9] + (seq + 1).to_bytes(8, "big")
    return body[:1] + seq.to_bytes(8, "big") + tail


def later(body: bytes, by_ns: int) -> bytes:
    """The message with another time."""
    return body[:9] + (ts_of(body) + by_ns).to_bytes(8, "big") + body[17:]


def _short(day: date, messages: Iterator[bytes], minutes: int) -> list[bytes]:
    """The day's first minutes, then its end; the last day is under way, in a minute's midst."""
    opened = IDX.calendar.day_open_ns(day) + minutes * MINUTE_NS
    closed = IDX.calendar.day_close_ns(day) - MINUTE_NS
    if day == DAYS[-1]:
        opened, closed = opened - MINUTE_NS // 3, 2**62
    return [body for body in messages if not opened <= ts_of(body) < closed]


def _spoiled(messages: list[bytes], rng: Random, share: float) -> list[bytes]:
    """Late trades, refused messages; then numbered anew; then gaps, late ones and duplicates."""
    out: list[bytes] = []
    trades: list[bytes] = []
    for body in messages:
        out.append(body)
        if body[0] == TRADE:
            trades.append(body)
        if trades and rng.random() < share:
            out.append(later(rng.choice(trades[-50:]), -rng.choice(LATE_S) * 10**9))
        if rng.random() < share:
            out.append(rng.choice([b"?" + body[1:], body[:-1], body + b"\0", body[:12]]))
    out = [numbered(body, at) if len(body) > 17 else body for at, body in enumerate(out, 1)]
    for _ in range(int(len(out) * share)):
        at = rng.randrange(1, len(out) - 20)
        what = rng.randrange(3)
        if what == 0:
            del out[at : at + rng.randrange(1, 4)]
        elif what == 1:
            out.insert(at + rng.randrange(1, 20), out.pop(at))
        else:
            out.insert(at + rng.randrange(1, 20), out[at])
    return out


@cache
def channels(
    tickers: int = 3, minutes: int = 5, share: float = 0.01, books: bool = True
) -> tuple[tuple[Step, ...], ...]:
    """The steps of each channel, in its order. `share` of the messages are spoiled."""
    rng = Random(11)
    found: list[list[Step]] = [[Control(UP, 0)], [Control(UP, 1)]]
    for day in DAYS:
        for channel, stream in enumerate(generate(day, 7, tickers=tickers, books=books)):
            body = _short(day, packets(stream), minutes)
            session = f"{day:%y%m%d}{'DI'[channel]}"
            steps = found[channel]
            spoiled = _spoiled(body, rng, share) if share else body
            steps.extend(Message(session, at, one) for at, one in enumerate(spoiled, 1))
            away = len(steps) - rng.randrange(100, 500)
            if share:
                ahead = clock(channel, ts_of(body[-800]) + 10**9)
                steps[away:away] = [down(channel, "line cut"), Control(UP, channel), ahead]
            if day != DAYS[-1]:
                steps.append(Control(END_OF_SESSION, channel))
    return tuple(tuple(steps) for steps in found)


def frames(channel: int, run: Sequence[Message], form: int = SOUPBIN) -> Frames:
    """One record's worth of messages that follow each other in one session."""
    parts = []
    for one in run:
        kind = b"S" if form == SOUPBIN else b""
        parts.append((len(one.body) + len(kind)).to_bytes(2, "big") + kind + one.body)
    return Frames(channel, form, run[0].session, run[0].number, len(run), 0, b"".join(parts))


def cut(
    script: Sequence[Sequence[Step]], rng: Random, messages_max: int
) -> Iterator[Frames | Control]:
    """Records of up to so many messages, the channels side by side at random."""
    places = [0] * len(script)
    while left := [c for c, at in enumerate(places) if at < len(script[c])]:
        channel = rng.choice(left)
        at = places[channel]
        first = script[channel][at]
        if isinstance(first, Control):
            places[channel] += 1
            yield first
            continue
        run = [first]
        for step in script[channel][at + 1 : at + rng.randint(1, messages_max)]:
            if isinstance(step, Control) or step.session != first.session:
                break
            run.append(step)
        places[channel] += len(run)
        yield frames(channel, run, rng.choice((SOUPBIN, BLOCKS)))
