"""Save the line's state now and then, so that a start need not replay the whole journal.

The state is copied between two pushes on the ingest thread, but for large arrays of which little
changes: those a thread of its own reads at once, while the line goes on, and writes what is new of
them. Then it waits for the journal's sync, writes the file and prunes older ones. A checkpoint is a
cache of a pure function of the journal: losing one costs time only.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from bursa.journal import checkpoint, parts
from bursa.ops.logs import logger
from bursa.ops.telemetry import Telemetry
from bursa.pipeline.line import Line
from bursa.ports import Clock


@dataclass(frozen=True, slots=True)
class _Copy:
    """A state that waits to be written; `day` is the venue's."""

    position: int
    epoch: int
    day: date
    state: dict[str, Any]


class Checkpoints:
    """Decides when to save, and saves. `due` and `take` are called on the ingest thread."""

    def __init__(
        self,
        folder: Path,
        line: Line,
        every_s: float,
        every_bytes: int,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self.folder, self._line = folder, line
        self._every_ns, self._every_bytes = int(every_s * 1e9), every_bytes
        self._clock, self._telemetry = clock, telemetry
        self._log = logger("checkpoints").bind(venue=line.venue.name)
        self._last_ns, self._last_position = clock.now_ns(), 0
        self._waiting: _Copy | None = None
        self._again = False
        self._change = threading.Condition()
        self._ended = False
        self.synced_past: Callable[[int, float], bool] = lambda position, timeout: True
        self.committed: Callable[[], int] = lambda: 0
        self.folded: Callable[[], int] = lambda: 0
        self.journal_first: Callable[[], int] = lambda: 0
        self.beside: Callable[[], dict[str, Any]] = dict
        self.epoch = 0
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)

    def start(self, position: int, epoch: int) -> None:
        """Begin; the line stands at `position`."""
        self._last_position, self.epoch = position, epoch
        self._thread.start()

    def after_push(self, position: int) -> None:
        """Save if it is time and the last one is done."""
        now = self._clock.now_ns()
        due = now - self._last_ns >= self._every_ns and position > self._last_position
        due = due or position - self._last_position >= self._every_bytes or self._again
        if due and self._waiting is None:
            self.take(position)

    def take(self, position: int) -> None:
        """Copy the state and hand it to the thread."""
        began, self._again = self._clock.now_ns(), False
        state = {"line": self._line.snapshot(), **self.beside()}
        self._last_ns, self._last_position = self._clock.now_ns(), position
        seconds = (self._last_ns - began) / 1e9
        self._telemetry.checkpoint_copy_s.labels(self._line.venue.name).observe(seconds)
        with self._change:
            day = self._line.venue.calendar.day_of(max(0, self._line.watermark_ns))
            self._waiting = _Copy(position, self.epoch, day, state)
            self._change.notify_all()

    def stop(self, timeout_s: float) -> None:
        """Save what waits, then end."""
        with self._change:
            self._ended = True
            self._change.notify_all()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._until_the_end()
        except BaseException as failure:  # noqa: BLE001 - whatever it is, the owner must learn of it
            self.failure = failure
            self._log.error("checkpoints stopped", exc_info=failure)

    def _until_the_end(self) -> None:
        while True:
            with self._change:
                while self._waiting is None and not self._ended:
                    self._change.wait()
                if self._waiting is None:
                    return
                copy = self._waiting
            self._save(copy.position, copy.epoch, copy.day, copy.state)
            with self._change:
                if self._waiting is copy:  # at a stop another one may have been taken meanwhile
                    self._waiting = None

    def _save(self, position: int, epoch: int, day: date, state: dict[str, Any]) -> None:
        began = self._clock.now_ns()
        try:
            state = parts.laid(self.folder, state)
            while not self.synced_past(position, 1.0):
                if self._ended:
                    return
            began = self._clock.now_ns()
            checkpoint.save(
                self.folder,
                position=position,
                epoch=epoch,
                day=day,
                signature=self._line.signature,
                state=state,
            )
            checkpoint.prune(
                self.folder,
                self.committed(),
                folded=self.folded(),
                journal_first=self.journal_first(),
            )
        except parts.Outdated:  # a replay that passes days in no time
            self._again = True
            return
        except OSError as error:
            self._telemetry.checkpoint_errors.labels(self._line.venue.name).inc()
            self._log.error("checkpoint was not saved", position=position, why=str(error))
            return
        seconds = (self._clock.now_ns() - began) / 1e9
        self._telemetry.checkpoint_s.labels(self._line.venue.name).observe(seconds)


def rest(line: Line, folder: Path) -> None:
    """Hold no more of a line than there is a use for where no bar may ever come: what its metrics
    remember lies beside the checkpoints of `folder` until one does."""
    with suppress(OSError):
        line.engine.rest(partial(parts.lay, folder), partial(parts.gather, folder))
