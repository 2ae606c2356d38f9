"""What a person may do with dead letters: have them listed, shown, tried again, dropped.

Served by the process that holds the folder, over its control socket (store/folder.py); where nobody
holds it, `bursa dlq` does the same itself. A letter that is tried again goes into the table where
its row would have been; all else that came of the row (bars, clients' frames) has it already.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bursa.model.batch import Batch
from bursa.model.errors import Refuse, Reject
from bursa.model.schema import Kind, topic
from bursa.model.venue import Venue
from bursa.pipeline import letters
from bursa.ports import Committed, DeadLetter, DeadLetters, Store
from bursa.store.folder import Handler
from bursa.store.rows import Dictionary

DLQ = "dlq"
LS, SHOW, REPLAY, DROP = "ls", "show", "replay", "drop"
# Letters of one answer; what is left over is told.
AT_ONCE = 1000
# What became of a letter: its row is stored now, was there already, was refused again, or the store
# has not come to its position (it will be derived again).
STORED, KNOWN, REFUSED, AHEAD = "stored", "known", "refused", "ahead"
REPLACED = "another row has its place by now, of a backfill or a repair"


class Desk:
    """The letters, and the store that refused them. `store` is asked for when one is tried again;
    it may raise Refuse."""

    def __init__(
        self,
        kept: Callable[[], DeadLetters],
        store: Callable[[], Store],
        venues: Mapping[str, Venue],
        kinds: Sequence[Kind],
    ) -> None:
        self._kept, self._store, self._venues = kept, store, venues
        self._kinds = {kind.name: kind for kind in kinds}

    def answer(self, payload: dict[str, Any]) -> dict[str, Any]:
        """One question: `do` and what it needs. `numbers` names letters, AT_ONCE at most; none: all
        of `venue` and `kind` ("" is any), at most AT_ONCE past `after`; `left` says whether there
        are more."""
        do = {LS: self._ls, SHOW: self._show, REPLAY: self._replay, DROP: self._drop}
        return do[str(payload["do"])](payload)

    def _ls(self, payload: dict[str, Any]) -> dict[str, Any]:
        counts = self._kept().counts()
        told = [[*key, count] for key, count in counts.items() if _meant(key, payload)]
        wanted = min(int(payload["limit"]), AT_ONCE)
        found = self._kept().ls(
            str(payload["venue"]), str(payload["kind"]), int(payload["after"]), wanted
        )
        rows = [
            [n.number, n.venue, n.kind, n.symbol, n.ts, n.position, n.at_ns, n.tries, n.why]
            for n in found
        ]
        return {"counts": told, "rows": rows, "left": len(found) == wanted}

    def _show(self, payload: dict[str, Any]) -> dict[str, Any]:
        letter = self._find(int(payload["number"]))
        head = {
            "number": letter.number,
            "venue": letter.venue,
            "kind": letter.kind,
            "why": letter.why,
            "at_ns": letter.at_ns,
            "tries": letter.tries,
        }
        return {"letter": head, "row": letters.values(letter)}

    def _find(self, number: int) -> DeadLetter:
        letter = self._kept().show(number)
        if letter is None:
            what = f"{number}: there is no dead letter of that number; `bursa dlq ls` lists them"
            raise Refuse(what, "unknown_letter", 404, "number")
        return letter

    def _chosen(self, payload: dict[str, Any]) -> tuple[Sequence[DeadLetter], bool]:
        if numbers := [int(number) for number in dict.fromkeys(payload["numbers"])]:
            if len(numbers) > AT_ONCE:
                what = f"{len(numbers):,} numbers; allowed: {AT_ONCE:,} in one question"
                raise Refuse(what, parameter="numbers")
            return [self._find(number) for number in numbers], False
        found = self._kept().ls(
            str(payload["venue"]), str(payload["kind"]), int(payload["after"]), AT_ONCE
        )
        return found, len(found) == AT_ONCE

    def _drop(self, payload: dict[str, Any]) -> dict[str, Any]:
        chosen, left = self._chosen(payload)
        gone = self._kept().drop([letter.number for letter in chosen])
        return {"dropped": gone, "left": left}

    def _replay(self, payload: dict[str, Any]) -> dict[str, Any]:
        chosen, left = self._chosen(payload)
        groups: dict[tuple[str, str], list[DeadLetter]] = {}
        for letter in chosen:
            groups.setdefault((letter.venue, letter.kind), []).append(letter)
        outcomes: list[list[Any]] = []
        for several in groups.values():
            outcomes += self._group(several, dry_run=bool(payload["dry_run"]))
        newest = max((letter.number for letter in chosen), default=0)
        return {"rows": outcomes, "left": left, "after": newest}

    def _group(self, several: Sequence[DeadLetter], *, dry_run: bool) -> list[list[Any]]:
        """Letters of one venue and kind. All at once where the store takes them so, as few are
        refused by now; else one by one."""
        kind = self._kinds.get(several[0].kind)
        venue = self._venues.get(several[0].venue)
        if kind is None or venue is None:
            what = f"{several[0].venue}.{several[0].kind} is not known here"
            return [_told(letter, REFUSED, what) for letter in several]
        store = self._store()
        at = store.positions().get(topic(venue.name, kind), Committed(-1, 0)).position
        ahead = [_told(n, AHEAD, "the store derives it again") for n in several if n.position > at]
        there = [letter for letter in several if letter.position <= at]
        if not there:
            return ahead
        dictionary = Dictionary(venue.words())
        late = _replaced(store, there, kind, dictionary)
        found = ahead + [self._again(n, REPLACED, dry_run=dry_run) for n in there if n in late]
        there = [letter for letter in there if letter not in late]
        if not there:
            return found
        if not store.refuses(letters.rows(there, kind, dictionary)):
            return [*found, *self._put(store, there, kind, dictionary, dry_run=dry_run)]
        for letter in there:
            row = letters.rows([letter], kind, dictionary)
            if why := store.refuses(row):
                found.append(self._again(letter, why, dry_run=dry_run))
            else:
                found += self._put(store, [letter], kind, dictionary, dry_run=dry_run)
        return found

    def _put(
        self,
        store: Store,
        several: Sequence[DeadLetter],
        kind: Kind,
        dictionary: Dictionary,
        *,
        dry_run: bool,
    ) -> list[list[Any]]:
        """Rows that the store says it takes. First the rows, then the letters go: a kill between
        leaves letters whose rows are known."""
        if dry_run:
            return [_told(letter, STORED) for letter in several]
        batch: Batch = letters.rows(several, kind, dictionary)
        try:
            added = store.readmit(batch)
        except Reject as refused:
            return [self._again(letter, str(refused), dry_run=False) for letter in several]
        self._kept().drop([letter.number for letter in several])
        known = len(several) - added
        why = f"{known:,} of {len(several):,} were there already" if known and added else ""
        return [_told(letter, STORED if added else KNOWN, why) for letter in several]

    def _again(self, letter: DeadLetter, why: str, *, dry_run: bool) -> list[Any]:
        if not dry_run:
            self._kept().refused_again(letter.number, why)
        return _told(letter, REFUSED, why)


def _replaced(
    store: Store, several: Sequence[DeadLetter], kind: Kind, dictionary: Dictionary
) -> list[DeadLetter]:
    """Letters whose ticker, minute and revision are stored from another position."""
    if "rev" not in kind.index:
        return []
    rows = letters.rows(several, kind, dictionary)
    ts, names = rows.column("ts"), rows.text("ticker")
    stored = store.revisions(
        several[0].venue,
        kind.name,
        int(ts.min()),
        int(ts.max()) + 1,
        tickers=sorted({name for name in names if name is not None}),
    )
    place = dict(zip(_keys(stored), stored.column("position").tolist(), strict=True))
    return [
        letter
        for letter, key in zip(several, _keys(rows), strict=True)
        if place.get(key, letter.position) != letter.position
    ]


def handlers(desk: Desk) -> dict[str, Handler]:
    """What the holder of a folder answers."""
    return {DLQ: desk.answer}


def _keys(rows: Batch) -> list[tuple[str | None, int, int]]:
    """Ticker, time and revision of each row."""
    when, rev = rows.column("ts").tolist(), rows.column("rev").tolist()
    return list(zip(rows.text("ticker"), when, rev, strict=True))


def _meant(key: tuple[str, str], payload: dict[str, Any]) -> bool:
    return payload["venue"] in ("", key[0]) and payload["kind"] in ("", key[1])


def _told(letter: DeadLetter, outcome: str, why: str = "") -> list[Any]:
    return [letter.number, letter.venue, letter.kind, letter.symbol, outcome, why]
