"""A store that is away now and then: any ports.Store behind a door that sometimes shuts.

Asked before each write what befalls it: nothing; `before`: it is away and nothing was written;
`after`: all was written, but the answer was lost. `dead` in either word: whoever writes dies there,
as by a kill.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bursa.model.batch import Batch
from bursa.model.errors import Retry
from bursa.ports import Committed


class Dead(BaseException):
    """The writer's process ends here."""


class FlakyStore:
    """ports.Store in front of another one."""

    def __init__(self, store: Any, befalls: Callable[[], str] = lambda: "") -> None:
        self._store, self.befalls = store, befalls
        self.writes = self.failed = 0

    def write(self, batches: Sequence[Batch], positions: Mapping[str, Committed]) -> None:
        what = self.befalls()
        self.writes += 1
        self.failed += bool(what)
        if "before" not in what:
            self._store.write(batches, positions)
        if "dead" in what:
            raise Dead(what)
        if what:
            raise Retry(f"the store is away ({what})")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
