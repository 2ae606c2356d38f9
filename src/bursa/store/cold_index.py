"""What is known of the files of one cold kind without opening them: a cache, `index.json`.

A start would open thousands of footers, and read every bar's ticker and time, to know what a few
hundred KB tell. It is a cache alone: what it lacks is read from the files again, and what it says
of files that are gone is forgotten. Written whole, by a rename.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bursa.store.cold_file import Form

NAME = "index.json"
_VERSION = 1

Spans = dict[str, tuple[int, int]]
"""Ticker -> ts of its first and of its last bar."""


@dataclass(frozen=True)
class Facts:
    """Of one file. upto: newest position in it, None: not known; sha256: of its bytes, "" where
    that is not known."""

    form: Form
    upto: int | None
    sha256: str


class Index:
    """The facts of one kind's files, by path; for bars, the spans of those in `spanned`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._facts: dict[str, Facts] = {}
        self.spans: Spans = {}
        self.spanned: set[str] = set()
        with suppress(OSError, ValueError, TypeError, KeyError, IndexError):
            self._take(json.loads((folder / NAME).read_text()))

    def _take(self, told: Mapping[str, Any]) -> None:
        if told["version"] != _VERSION:
            return
        forms = [
            Form(int(version), tuple((str(name), str(dtype)) for name, dtype in columns))
            for version, columns in told["forms"]
        ]
        facts = {
            str(name): Facts(forms[nth], None if upto is None else int(upto), str(sha256))
            for name, (nth, upto, sha256) in told["files"].items()
        }
        spans = {str(ticker): (int(a), int(b)) for ticker, (a, b) in told["spans"].items()}
        self.spanned = {str(name) for name in told["spanned"]}
        self._facts, self.spans = facts, spans

    def name(self, path: Path) -> str:
        """How a file is called here."""
        return f"{path.parent.name}/{path.name}"

    def get(self, path: Path) -> Facts | None:
        """None where nothing is known of a file."""
        return self._facts.get(self.name(path))

    def put(self, path: Path, facts: Facts) -> None:
        """Know a file."""
        self._facts[self.name(path)] = facts

    def keep(self, paths: Iterable[Path]) -> None:
        """Forget all other files."""
        kept = {self.name(path) for path in paths}
        self._facts = {name: facts for name, facts in self._facts.items() if name in kept}

    def widen(self, path: Path, spans: Mapping[str, tuple[int, int]]) -> None:
        """Take a file's bars among the spans. Others may be reading them: they are replaced."""
        wider = dict(self.spans)
        for ticker, (first, last) in spans.items():
            low, high = wider.get(ticker, (first, last))
            wider[ticker] = (min(low, first), max(high, last))
        self.spans = wider
        self.spanned.add(self.name(path))

    def narrow(
        self, gone: str, start: int, end: int, spans_of: Mapping[Path, Callable[[], Spans]]
    ) -> None:
        """Find the first bars anew of those that began in a folder that is gone, which held
        [start, end), and their last if they ended there. The files that are left, by day, are
        looked through from the near side."""
        self.spanned = {name for name in self.spanned if gone not in name}
        spans, every = dict(self.spans), list(spans_of.values())
        for nth, order in ((0, every), (1, every[::-1])):
            lost = {t for t, span in spans.items() if start <= span[nth] < end}
            for ask in order:
                if not lost:
                    break
                found = ask()
                for ticker in lost & found.keys():
                    at = (found[ticker][0], spans[ticker][1])
                    spans[ticker] = at if nth == 0 else (spans[ticker][0], found[ticker][1])
                lost -= found.keys()
            for ticker in lost:  # it has no other day
                spans.pop(ticker, None)
        self.spans = spans

    def save(self) -> None:
        """Write it. One that cannot be written is only a slower start."""
        forms = list(dict.fromkeys(facts.form for facts in self._facts.values()))
        places = {form: nth for nth, form in enumerate(forms)}
        told = {
            "version": _VERSION,
            "forms": [[form.version, form.columns] for form in forms],
            "files": {
                name: [places[facts.form], facts.upto, facts.sha256]
                for name, facts in self._facts.items()
            },
            "spanned": sorted(self.spanned),
            "spans": self.spans,
        }
        if not self._folder.is_dir():
            return
        new = self._folder / f"{NAME}.{os.getpid()}.tmp"
        with suppress(OSError):
            new.write_text(json.dumps(told, separators=(",", ":")))
            new.rename(self._folder / NAME)
