"""Mail on its way: nobody waits for a mail server, and a server that is away is tried again.

A request hands its message over and is answered at once, so that how long an answer takes tells
nothing of whether somebody was written to. Messages wait in memory, so many at most and so long at
most; what is not delivered is counted and logged, and a stop tries what is left once. Tokens in the
messages end sooner than a restart would bring these back, so nothing is kept over it.
"""

import heapq
import itertools
import threading
import time
from dataclasses import dataclass, field
from random import Random

from bursa.accounts.mail import Mail
from bursa.model.errors import Refuse, Retry
from bursa.ops.back_off import BackOff
from bursa.ops.logs import logger
from bursa.ops.telemetry import Telemetry

WAITING_MAX = 1_000
# As long as a link to set a new password holds.
TRY_FOR_S = 3_600.0
STOP_S = 5.0


@dataclass(order=True)
class _Waiting:
    """One message. Times are of the monotonic clock."""

    due_s: float
    number: int
    to: str = field(compare=False)
    subject: str = field(compare=False)
    text: str = field(compare=False)
    until_s: float = field(compare=False)
    again: BackOff = field(compare=False)


class Outgoing:
    """A `Mail` that takes messages at once and hands them to another one on a thread."""

    def __init__(
        self,
        mail: Mail,
        telemetry: Telemetry,
        random: Random,
        *,
        waiting_max: int = WAITING_MAX,
        try_for_s: float = TRY_FOR_S,
    ) -> None:
        self._mail, self._telemetry, self._random = mail, telemetry, random
        self._waiting_max, self._try_for_s = waiting_max, try_for_s
        self._log = logger("mail")
        self._queue: list[_Waiting] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._stopping = self._ended = False
        # Is a message being handed over right now?
        self._busy = False
        self._thread = threading.Thread(target=self._run, name="mail", daemon=True)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def send(self, to: str, subject: str, text: str) -> None:
        """Take one message; never blocks. Raises Retry where too many wait already, or at a stop:
        that message is counted as lost."""
        now_s = time.monotonic()
        with self._changed:
            if self._stopping or len(self._queue) >= self._waiting_max:
                self._telemetry.mail.labels("lost").inc()
                raise Retry(f"{len(self._queue)} messages wait for the mail server already")
            again = BackOff(self._random)
            number, until_s = next(self._numbers), now_s + self._try_for_s
            heapq.heappush(self._queue, _Waiting(now_s, number, to, subject, text, until_s, again))
            self._told()
            self._changed.notify()

    def stop(self) -> None:
        """Try what is left once, for some seconds; what is not delivered by then is lost, and
        counted."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(STOP_S)
        with self._changed:
            # One that the server has not answered for by now counts as lost, whatever it says.
            left, self._queue, self._ended = len(self._queue) + self._busy, [], True
            self._told()
        if left:
            self._telemetry.mail.labels("lost").inc(left)
            self._log.error("mail was not delivered before the stop", messages=left)

    def _told(self) -> None:
        self._telemetry.mail_waiting.set(len(self._queue))

    def _run(self) -> None:
        while (message := self._next()) is not None:
            self._deliver(message)

    def _next(self) -> _Waiting | None:
        """The message that is due first, when it is; at a stop all are, once. None: the end."""
        with self._changed:
            while True:
                now_s = time.monotonic()
                due = self._queue and (self._stopping or self._queue[0].due_s <= now_s)
                self._busy = bool(due)
                if due:
                    # It stays counted as waiting until it is through.
                    return heapq.heappop(self._queue)
                if self._stopping:
                    return None
                self._changed.wait(self._queue[0].due_s - now_s if self._queue else None)

    def _deliver(self, message: _Waiting) -> None:
        try:
            self._mail.send(message.to, message.subject, message.text)
        except Retry as error:
            self._again(message, str(error))
        except Refuse as error:
            self._end(message, "refused", str(error))
        else:
            self._end(message, "sent", "")

    def _again(self, message: _Waiting, why: str) -> None:
        now_s = time.monotonic()
        wait_s = message.again.next_s()
        if self._stopping or now_s + wait_s >= message.until_s:
            self._end(message, "lost", why)
            return
        self._telemetry.mail.labels("tried").inc()
        self._log.warning("mail waits", why=why, wait_s=round(wait_s, 1))
        message.due_s = now_s + wait_s
        with self._changed:
            self._busy = False
            heapq.heappush(self._queue, message)
            self._told()

    def _end(self, message: _Waiting, outcome: str, why: str) -> None:
        with self._changed:
            self._busy = False
            if self._ended:
                return
            self._told()
        self._telemetry.mail.labels(outcome).inc()
        if outcome != "sent":
            # Neither the address nor the text, which bears a token, belongs into a log.
            domain = message.to.rpartition("@")[2]
            self._log.error("mail not delivered", outcome=outcome, to_domain=domain, why=why)
