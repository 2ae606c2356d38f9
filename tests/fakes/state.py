"""The state database in lists: what ports.State has, without a database.

They pass the same contract suites as the real ones (tests/state/contract.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bursa.model.errors import Retry
from bursa.ports import DeadLetter, Report, Run
from bursa.state.holder import gone


class FakeLeases:
    """ports.Leases in memory."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[str, int]] = {}
        self._runs: list[Run] = []

    def take(self, name: str, holder: str, now_ns: int, for_s: float) -> bool:
        if self.holder(name, now_ns):
            return False
        if name in self._held:
            self._end(name, now_ns, "lost", {})
        self._held[name] = (holder, now_ns + int(for_s * 1e9))
        self._runs.append(Run(name, holder, now_ns, None, "", {}))
        return True

    def renew(self, name: str, holder: str, now_ns: int, for_s: float) -> bool:
        if name not in self._held or self._held[name][0] != holder:
            return False
        self._held[name] = (holder, now_ns + int(for_s * 1e9))
        return True

    def release(
        self, name: str, holder: str, now_ns: int, outcome: str, told: Mapping[str, Any]
    ) -> bool:
        if name not in self._held or self._held[name][0] != holder:
            return False
        del self._held[name]
        self._end(name, now_ns, outcome, told)
        return True

    def holder(self, name: str, now_ns: int) -> str:
        holder, expires_ns = self._held.get(name, ("", 0))
        return "" if expires_ns <= now_ns or gone(holder) else holder

    def history(self, name: str, limit: int) -> Sequence[Run]:
        return [run for run in reversed(self._runs) if run.name == name][:limit]

    def _end(self, name: str, now_ns: int, outcome: str, told: Mapping[str, Any]) -> None:
        for at, run in enumerate(self._runs):
            if run.name == name and run.ended_ns is None:
                self._runs[at] = replace(run, ended_ns=now_ns, outcome=outcome, told=dict(told))


class FakeLetters:
    """ports.DeadLetters in memory. With `away` set `add` raises Retry."""

    def __init__(self) -> None:
        self.away = False
        self._kept: dict[int, DeadLetter] = {}
        self._number = 0

    def add(self, letters: Sequence[DeadLetter]) -> int:
        if self.away:
            raise Retry("the state database is away")
        known = {one.key for one in self._kept.values()}
        before = len(self._kept)
        for one in letters:
            if one.key not in known:
                known.add(one.key)
                self._number += 1
                self._kept[self._number] = replace(one, number=self._number)
        return len(self._kept) - before

    def ls(
        self, venue: str = "", kind: str = "", after: int = 0, limit: int = 1000
    ) -> Sequence[DeadLetter]:
        return [
            one
            for number, one in self._kept.items()
            if number > after and venue in ("", one.venue) and kind in ("", one.kind)
        ][:limit]

    def counts(self) -> dict[tuple[str, str], int]:
        found: dict[tuple[str, str], int] = {}
        for one in self._kept.values():
            found[one.venue, one.kind] = found.get((one.venue, one.kind), 0) + 1
        return found

    def show(self, number: int) -> DeadLetter | None:
        return self._kept.get(number)

    def refused_again(self, number: int, why: str) -> None:
        if (one := self._kept.get(number)) is not None:
            self._kept[number] = replace(one, why=why, tries=one.tries + 1)

    def drop(self, numbers: Sequence[int]) -> int:
        return sum(self._kept.pop(number, None) is not None for number in numbers)


class FakeReports:
    """ports.Reports in memory."""

    def __init__(self) -> None:
        self._newest: dict[tuple[str, str], Report] = {}

    def add(self, report: Report) -> None:
        self._newest[report.venue, report.span] = report

    def newest(self, venue: str, span: str) -> Report | None:
        return self._newest.get((venue, span))
