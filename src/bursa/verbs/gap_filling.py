"""How gaps are filled: which jobs in which order, how it is proved, when it is tried again.

What is stored as trades and what lies in the journal is looked at first; or a file is. Each job
enters only bars that are absent (jobs/entry.py). Then it is read back: the same job, as a dry
run, must find nothing absent any more; of what was entered, number and hash are kept. Where that
fails, or a store or journal is away, it is tried again after 30, 60 and 120 s; then the gap is left
open, with the reason. Does not know sockets or terminals: who asks, waits and tells is given.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bursa.model.errors import Refuse, Retry

WAITS_S = (30.0, 60.0, 120.0)
JOURNAL, OHLCV, RESTORE = "backfill_journal", "backfill_ohlcv", "restore"
# What the journal puts back: trades, bars of them, and what tells that a channel spoke.
KINDS = ("ticks", "ohlcv", "status", "metrics")

Ask = Callable[[str, dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Wanted:
    """What is to be filled.

    tickers  some, or all where none is named
    file     a restore order as JSON, in the place of trades and journal; None: no file
    """

    tickers: Sequence[str] = ()
    file: Mapping[str, Any] | None = None
    dry_run: bool = False


@dataclass
class Filled:
    """What became of one stretch of days. `why`: left open, for these reasons; empty where all
    that there was is entered."""

    start_ns: int
    end_ns: int
    written: int = 0
    differing: int = 0
    why: list[str] = field(default_factory=list)


class Filling:
    """Fills stretches of days. `ask` has a job done; `wait` waits so many seconds; `tell` says a
    line."""

    def __init__(
        self,
        ask: Ask,
        wanted: Wanted,
        wait: Callable[[float], object],
        tell: Callable[[str], object],
    ) -> None:
        self._ask, self._wanted, self._wait, self._tell = ask, wanted, wait, tell

    def fill(self, start_ns: int, end_ns: int) -> Filled:
        """Fill one stretch, and prove it."""
        found = Filled(start_ns, end_ns)
        for name, order in self._orders(start_ns, end_ns):
            self._do(name, order, found)
        return found

    def _orders(self, start_ns: int, end_ns: int) -> list[tuple[str, dict[str, Any]]]:
        dry = {"dry_run": self._wanted.dry_run}
        if self._wanted.file is not None:
            return [(RESTORE, {**self._wanted.file, **dry})]
        within = {"start_ns": start_ns, "end_ns": end_ns, **dry}
        return [
            (JOURNAL, {**within, "kinds": list(KINDS)}),
            (OHLCV, {**within, "tickers": list(self._wanted.tickers)}),
        ]

    def _do(self, name: str, order: dict[str, Any], found: Filled) -> None:
        for wait_s in (*WAITS_S, None):
            try:
                report = self._ask(name, order)
                found.written += written(name, report)
                found.differing = differing(name, report)
                why = self._unproved(name, order)
            except Refuse as refused:
                found.why.append(f"{_WORDS[name]}: {refused}")
                return
            except Retry as away:
                why = str(away)
            if not why:
                return
            if wait_s is None:
                found.why.append(f"{_WORDS[name]}: {why}")
                return
            self._tell(f"{_WORDS[name]}: {why}; tried again in {wait_s:g} s")
            self._wait(wait_s)

    def _unproved(self, name: str, order: dict[str, Any]) -> str:
        """Why what was entered is not there as it should be; "" where it is."""
        if order["dry_run"]:
            return ""
        left = absent(name, self._ask(name, {**order, "dry_run": True}))
        return f"{left:,} rows that were entered are not there" if left else ""


_WORDS = {JOURNAL: "journal", OHLCV: "stored trades", RESTORE: "file"}


def written(name: str, report: Mapping[str, Any]) -> int:
    """Bars that a job entered."""
    if name == JOURNAL:
        return int(report["kinds"].get("ohlcv", {}).get("written", 0))
    return int(report["written"])


def absent(name: str, report: Mapping[str, Any]) -> int:
    """Rows that a job found absent."""
    if name == JOURNAL:
        return sum(int(kind["absent"]) for kind in report["kinds"].values())
    return int(report["absent"])


def differing(name: str, report: Mapping[str, Any]) -> int:
    """Rows that are stored otherwise than a job has them."""
    if name == JOURNAL:
        return sum(int(kind["differing"]) for kind in report["kinds"].values())
    return int(report["differing"])
