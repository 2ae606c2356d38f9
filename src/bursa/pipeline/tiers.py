"""The two sides of a store as the drain and its kin see them: hot tables, cold files."""

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from bursa.store import coverage
from bursa.store.compare import Digest


class Sealed(Protocol):
    """The file of a day that counts."""

    @property
    def day(self) -> date:
        """Which."""

    @property
    def rows(self) -> int:
        """In it."""

    @property
    def hash(self) -> str:
        """Of its rows (store/compare.py), as they were written."""

    @property
    def bytes(self) -> int:
        """On disk."""

    @property
    def path(self) -> Path:
        """The file."""


class Hot(coverage.Hot, Protocol):
    """The store that days leave (store/duckdb.py)."""

    def days(self, venue: str, kinds: Sequence[str]) -> Sequence[date]:
        """Those that have rows of any of these kinds, ascending."""

    def floor(self, venue: str, kind: str) -> int:
        """All rows with ts >= this are here, ns UTC."""

    def stray_days(self, venue: str, kind: str) -> Sequence[date]:
        """Days before the floor that have rows here, ascending."""

    def digest(self, venue: str, kind: str, day: date, beside: Path | None = None) -> Digest:
        """Of a day's rows that are here; with `beside`, of what `seal` writes."""

    def seal(self, venue: str, kind: str, day: date, file: Path, beside: Path | None) -> None:
        """Write a day's rows, with those of `beside` that none of them replaces."""

    def let_go(self, venue: str, kind: str, day: date, proven: Digest) -> int:
        """Delete them where they are these; else Refuse `day_changed`."""


class Cold(coverage.Cold, Protocol):
    """The files that they go to (store/parquet.py), below `folder`."""

    folder: Path

    def bytes(self) -> int:
        """Of all files that count."""

    def sealed(self, venue: str, kind: str, day: date) -> Sealed | None:
        """The file of a day."""

    def all(self, venue: str, kind: str) -> Sequence[Sealed]:
        """By day."""

    def begin(self, venue: str, kind: str, day: date) -> Path:
        """A temporary file to write."""

    def adopt(self, venue: str, kind: str, day: date, file: Path, want: Digest | None) -> Any:
        """Make it count where its rows have this digest; else Refuse `cold_differs`."""

    def abandon(self, file: Path) -> None:
        """Throw away what `begin` gave."""

    def digest(self, sealed: Any) -> Digest:
        """Of a file as it is on disk now. Refuse `cold_damaged` where it cannot be read."""

    def damage(self, sealed: Any) -> str:
        """What is wrong with a file's bytes, "" for nothing."""

    def set_apart(self, sealed: Any) -> Path:
        """Let a damaged file not count any more; its new name."""

    def drop(self, venue: str, kind: str, day: date) -> int:
        """Delete a day for good; the bytes that gives."""

    def text_ratio(self, sealed: Any) -> float | None:
        """Bytes of the rows as the wire's text / of the file."""

    def scrub(self, venue: str, turn: int) -> Iterator[str]:
        """Look whether files are what was written, another part each turn; "" or what is wrong with
        one, which does not count any more."""

    def sweep(self) -> object:
        """Remove what was left over."""


@runtime_checkable
class Tiers(Protocol):
    """A store of both."""

    @property
    def hot(self) -> Any:
        """Its Hot."""

    @property
    def cold(self) -> Any:
        """Its Cold."""


def tiers_of(store: object) -> tuple[Hot, Cold] | None:
    """Both sides of a store; None where it has but one."""
    return (store.hot, store.cold) if isinstance(store, Tiers) else None
