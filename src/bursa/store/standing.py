"""A store's file that stands still for a while, so that another process may copy it.

The log is folded into the file, and not again until the one who asked lets go, or has not been
heard of for so long: what is committed meanwhile lies in the log alone. The file then is the store
as of that fold, whoever reads it and whenever (pages that nothing refers to yet may change in it).
One at a time.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from itertools import count
from typing import Any, Protocol

from bursa.model.errors import Refuse
from bursa.ops.logs import logger
from bursa.ports import Committed
from bursa.store.engine import Engine
from bursa.store.folder import Handler

STAND = "stand"
BEGIN, RENEW, END = "begin", "renew", "end"


class Standing:
    """Of one engine, whose writer holds `lock`; `revive` has the engine open, `folded` is called
    when the log is folded, both under the lock."""

    def __init__(
        self,
        engine: Engine,
        lock: AbstractContextManager[Any],
        revive: Callable[[], None],
        folded: Callable[[], None],
    ) -> None:
        self._engine, self._lock = engine, lock
        self._revive, self._folded = revive, folded
        self._numbers = count(1)
        self._number = 0
        self._until_s = 0.0
        self._log = logger("store")

    def begin(self, for_s: float) -> int:
        """Fold, and stand for so long; a number to go on with. Refuse `backup_runs` where it stands
        for somebody else, Retry where the engine is away."""
        with self._lock:
            self._revive()
            self.lapse()
            if self._number:
                what = "the store's file is being copied by another backup; try again when that"
                raise Refuse(f"{what} is done", "backup_runs", 409)
            self._engine.stand()
            self._folded()
            self._number, self._until_s = next(self._numbers), time.monotonic() + for_s
            self._log.info("store's file stands still for a copy", number=self._number)
            return self._number

    def renew(self, number: int, for_s: float) -> None:
        """Stand for so long from now on. Refuse `backup_lapsed` where it did not stand all the time
        since `begin`: a copy of the file means nothing then."""
        with self._lock:
            self.lapse()
            if self._number != number or not self._engine.stands:
                what = "the store did not wait for the copy of its file: nobody was heard of for"
                raise Refuse(f"{what} too long, or it was opened anew", "backup_lapsed", 409)
            self._until_s = time.monotonic() + for_s

    def end(self, number: int) -> None:
        """Fold again when it is time to; nothing where it stands for somebody else."""
        with self._lock:
            if number and number == self._number:
                self._leave()
                self._log.info("store's file was copied, or given up", number=number)

    def lapse(self) -> None:
        """Before each write, under the lock: let go where it has stood for too long."""
        if self._number and time.monotonic() > self._until_s:
            self._log.warning("a copy of the store was not finished: nobody was heard of")
            self._leave()

    def _leave(self) -> None:
        self._number = 0
        self._engine.leave()


class Stands(Protocol):
    """A store that can."""

    standing: Standing

    def positions(self) -> Mapping[str, Committed]:
        """Topic -> what is committed."""


def handlers(store: Stands) -> dict[str, Handler]:
    """What the holder of a folder answers (folder.py). `do`: BEGIN answers `number` and the
    `positions` that the file holds or more, RENEW and END take `number`; `for_s` as above."""

    def answer(payload: dict[str, Any]) -> dict[str, Any]:
        if payload["do"] == BEGIN:
            positions = {name: at.position for name, at in store.positions().items()}
            number = store.standing.begin(float(payload["for_s"]))
            return {"number": number, "positions": positions}
        if payload["do"] == RENEW:
            store.standing.renew(int(payload["number"]), float(payload["for_s"]))
        else:
            store.standing.end(int(payload["number"]))
        return {}

    return {STAND: answer}
