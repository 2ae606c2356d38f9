"""The job that derives a range of event time anew from the journal, and puts back what the store
lacks of it (put_back.py).

A line of its own begins at a checkpoint that had seen nothing of the range, or at the journal's
beginning, and reads on to what was committed when the job began: late rows may lie anywhere.
"""

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from bursa.jobs import entry, recompute
from bursa.jobs.backfill_metric import room_of
from bursa.jobs.other_clock import by_venues_clock
from bursa.jobs.put_back import KINDS, PutBack
from bursa.journal.read import JournalReader
from bursa.model.errors import Refuse
from bursa.ops.logs import logger
from bursa.pipeline.line import Line, kinds
from bursa.pipeline.runtime import VenueRuntime

NAME = "backfill_journal"


@dataclass(frozen=True)
class Order:
    """Rows with start <= ts < end, ns UTC, of some kinds; of all where none is named."""

    start_ns: int
    end_ns: int
    kinds: tuple[str, ...] = ()
    dry_run: bool = False


class Derivation:
    """A range of event time, derived anew beside a venue that runs. `lacking`: metrics that the
    checkpoint it begins at has not; their kind is left out then. Making one raises Refuse
    `journal_retired` where the journal does not reach back to the range."""

    def __init__(self, runtime: VenueRuntime, start_ns: int) -> None:
        self.lacking: tuple[str, ...] = ()
        self._runtime = runtime
        self.reader, self._room = JournalReader(runtime.folder), room_of(runtime)
        entry.wait_committed(runtime, runtime.entered_to)
        self.upto = runtime.committed
        self.line, self.start = recompute.line_before(
            self._make, self.reader, runtime.checkpoints_folder, start_ns, self._room
        )
        self.at = self.start

    def _make(self, without: Collection[str]) -> Line:
        runtime = self._runtime
        self.lacking = tuple(without)
        words = runtime.venue.words()
        catalogue = runtime.parts.catalogue.without(without)
        decoder = runtime.parts.decoder(runtime.venue, words)
        return Line(runtime.venue, words, decoder, catalogue=catalogue, room=self._room)

    def again(self, start_ns: int) -> "Derivation":
        """The same once more, from its beginning."""
        other = Derivation(self._runtime, start_ns)
        other.upto = self.upto
        return other

    @property
    def done(self) -> float:
        """How far it has come, up to 1."""
        return (self.at - self.start) / max(1, self.upto - self.start)

    def run(self, put_back: PutBack) -> Iterator[None]:
        """Read on to the end; what is derived goes to `put_back`."""
        for derived in recompute.derive(self.line, self.reader, self.start, self.upto):
            yield from put_back.take(derived)
            self.at = derived.span.last
            yield
        yield from put_back.flush(self.upto)


def put_back_of(runtime: VenueRuntime, derivation: Derivation, order: Order) -> PutBack:
    """What compares and writes for a derivation."""
    has = {kind.name: kind for kind in kinds(derivation.line.catalogue)}
    chosen = [name for name in order.kinds or KINDS if name in has]
    if derivation.lacking:
        chosen = [name for name in chosen if name != "metrics"]
    return PutBack(
        runtime,
        order.start_ns,
        order.end_ns,
        derivation.start,
        {name: has[name] for name in chosen},
        order.dry_run,
    )


class JournalJob:
    """jobs.Job over one order. Making one raises Refuse for a kind that is none, and where the
    journal does not reach back to the range."""

    name = NAME

    def __init__(self, runtime: VenueRuntime, order: Order) -> None:
        unknown = [kind for kind in order.kinds if kind not in KINDS]
        if unknown:
            what = f"--kind: {unknown[0]}; allowed: {', '.join(KINDS)}"
            raise Refuse(what, "unknown_kind", 404, "kind")
        self._runtime, self._order, self._venue_clock = runtime, order, False
        self._derivation = Derivation(runtime, order.start_ns)
        self._put_back = put_back_of(runtime, self._derivation, order)

    @property
    def progress(self) -> tuple[int, int]:
        """In positions of the journal."""
        found = self._derivation
        return found.at - found.start, max(1, found.upto - found.start)

    def run(self) -> Iterator[None]:
        """Derive, compare, write. Raises Retry where the store is away: what was put back stays."""
        yield from self._derivation.run(self._put_back)
        if not any(one.derived for one in self._put_back.counts.values()):
            order, store = self._order, self._runtime.hot
            self._venue_clock = by_venues_clock(
                store, self._runtime.venue, order.start_ns, order.end_ns
            )

    def report(self) -> dict[str, Any]:
        """What was found and done, as JSON."""
        return {
            "kinds": {name: asdict(one) for name, one in self._put_back.counts.items()},
            "lacking": list(self._derivation.lacking),
            "from": self._derivation.start,
            "upto": self._derivation.upto,
            "start_ns": self._order.start_ns,
            "end_ns": self._order.end_ns,
            "venue_clock": self._venue_clock,
            "dry_run": self._order.dry_run,
        }

    def close(self) -> None:
        """Say what was done."""
        counts = {name: one.written for name, one in self._put_back.counts.items()}
        logger("backfill").info("rows were put back", venue=self._runtime.venue.name, **counts)


def make(runtime: VenueRuntime, order: dict[str, Any]) -> JournalJob:
    """jobs.Maker; `order` is an Order as JSON."""
    return JournalJob(runtime, Order(**{**order, "kinds": tuple(order["kinds"])}))
