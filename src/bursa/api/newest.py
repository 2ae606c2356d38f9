"""The newest bars of a ticker as answers that are ready: what clients poll.

Every view of HD has answers of its own, kept under what was asked for and how HD is shown (with the
factor), and under the version of the ticker's rings (of longer bars also under how far minutes are
closed, which ends them): a change of a bar leaves none of them good.
What all views share, rows that end before HD and HD itself, is kept beside them, so that an answer
under a factor takes no more than its numbers. Who takes packed bodies gets them as they were packed
the first time. All is bounded in bytes and counted; what was asked for longest ago leaves first.
What the rings do not hold comes from the store, where no version tells that rows of the past
changed: such an answer is good for two seconds. Reads no bars (history/candles.py).
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, Protocol, TypeVar

from litestar.types import Scope

from bursa.accounts import hd
from bursa.accounts.hd import View
from bursa.accounts.who import VIEWS
from bursa.api import access, packed
from bursa.api.candle_rows import TICKER_ROWS_MAX, SeenRows, filled, seen, serialise
from bursa.api.envelope import HEAD, Ready, coding, ending, joined, tail
from bursa.api.services import Services
from bursa.history.candles import Candles
from bursa.model.calendar import MINUTE_NS, SECOND_NS

# Answers that all who see HD alike share; those under a factor, each of one reader; open rows.
SHARED_BYTES_MAX, SCALED_BYTES_MAX, OPEN_BYTES_MAX = 64 << 20, 32 << 20, 32 << 20
# What keeping one takes beside its bytes: question, version, objects. Answers without a row are
# little else, and whoever changes `limit` with each request would have millions of them kept.
EACH_BYTES = 700
BRIEF_NS = 2 * SECOND_NS
# What became of a question: its answer was ready, ready but for the packing, or made.
HOW = ("kept", "packed", "made")


class Keepable(Protocol):
    """What is kept: it does not change."""

    @property
    def size(self) -> int:
        """Bytes that it takes."""

    @property
    def until_ns(self) -> int:
        """Until when it is good, ns by our clock; 0: as long as its version."""


T = TypeVar("T", bound=Keepable)


class Kept(Generic[T]):
    """Things by question, each good as long as its version is the present one."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._kept: OrderedDict[Hashable, tuple[Hashable, T]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, question: Hashable, version: Hashable, now_ns: int) -> T | None:
        """What was kept of a question under that version. Any other is dropped."""
        found = self._kept.get(question)
        if found is None:
            return None
        if found[0] != version or 0 < found[1].until_ns <= now_ns:
            self._drop(question)
            return None
        self._kept.move_to_end(question)
        return found[1]

    def put(self, question: Hashable, version: Hashable, thing: T) -> None:
        """Keep one. Its version was read before what it was made of."""
        if question in self._kept:
            self._drop(question)
        self._kept[question] = version, thing
        self.bytes += thing.size + EACH_BYTES
        while self.bytes > self._bytes_max:
            _, (_, gone) = self._kept.popitem(last=False)
            self.bytes -= gone.size + EACH_BYTES

    def _drop(self, question: Hashable) -> None:
        self.bytes -= self._kept.pop(question)[1].size + EACH_BYTES


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer but for its tail.

    data      its rows as a JSON array; b"" where it is packed
    ending    what its tail ends with (envelope.ending)
    rows      how many there are
    until_ns  as Keepable
    begun     the same packed, with what stands before the rows; None: it is not
    """

    data: bytes
    ending: bytes
    rows: int
    until_ns: int = 0
    begun: packed.Begun | None = None

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return len(self.data) + (0 if self.begun is None else len(self.begun.start))

    def ready(self, scope: Scope) -> Ready:
        """The answer to somebody who asks now."""
        end = tail(scope, self.ending)
        return Ready(HEAD, self.data, end) if self.begun is None else Ready.begun(self.begun, end)


@dataclass(frozen=True, slots=True)
class Open:
    """An answer whose HD is not put in yet: rows that end before it, HD as it is."""

    rows: list[bytes]
    hd: hd.Floats
    ending: bytes
    until_ns: int = 0

    @property
    def size(self) -> int:
        """Bytes that it takes, were its rows in no other."""
        return sum(map(len, self.rows)) + 16 * len(self.rows)


class Asked(NamedTuple):
    """A question: closed bars of a ticker of a venue, so many at most, from where the reader's
    history begins (ns UTC; 0: all of it)."""

    venue: str
    ticker: str
    tf: str
    limit: int
    floor_ns: int


class Read(NamedTuple):
    """The bars of an answer, the token of the page before them, and did the rings hold them all?"""

    found: Candles
    next_page: str | None
    in_memory: bool


class Newest:
    """The answers of one process; for its loop alone. `rows`: by venue."""

    def __init__(self, services: Services, rows: Mapping[str, SeenRows]) -> None:
        self._services, self._rows, self._clock = services, rows, services.clock
        self._shared, self._scaled = Kept[Answer](SHARED_BYTES_MAX), Kept[Answer](SCALED_BYTES_MAX)
        self._open = Kept[Open](OPEN_BYTES_MAX)
        counter = services.telemetry.answers
        self._counts = {(v, how): counter.labels(v, how) for v in VIEWS for how in HOW}
        sizes = services.telemetry.answers_bytes
        self._sizes = [
            (sizes.labels(name), kept)
            for name, kept in (
                ("shared", self._shared), ("scaled", self._scaled), ("open", self._open)
            )
        ]  # fmt: skip

    async def answer(
        self, scope: Scope, asked: Asked, view: View, read: Callable[[], Awaitable[Read]]
    ) -> Ready:
        """The answer to a question as a view shows it; `read` reads the bars of one that is not
        known."""
        kept: Kept[Answer] = self._scaled if view[0] == "scaled" else self._shared
        version, now_ns = self._version(asked), self._clock.now_ns()
        wanted, how = coding(scope), "kept"
        found = kept.get((asked, view, wanted), version, now_ns)
        if found is None:
            found, how = kept.get((asked, view, None), version, now_ns), "packed"
            if found is None:
                found, how = await self._made(asked, view, version, read), "made"
                kept.put((asked, view, None), version, found)
            if wanted is not None and len(found.data) >= packed.LEAST_BYTES:
                begun = await packed.begun(HEAD + found.data, wanted)
                found = replace(found, data=b"", begun=begun)
                kept.put((asked, view, wanted), version, found)
            for gauge, one in self._sizes:
                gauge.set(one.bytes)
        self._counts[view[0], how].inc()
        access.count_rows(scope, found.rows)
        return found.ready(scope)

    def _version(self, asked: Asked) -> tuple[int, ...]:
        """Changes whenever the rows of a ticker in memory do, or a longer bar may be over."""
        service = self._services.venues[asked.venue]
        bars = service.rings.version(asked.ticker)
        metrics = service.rings.version(asked.ticker, "metrics")
        if asked.tf == "1m":
            return bars, metrics
        return bars, metrics, service.closed_until_ns() // MINUTE_NS

    async def _made(
        self,
        asked: Asked,
        view: View,
        version: Hashable,
        read: Callable[[], Awaitable[Read]],
    ) -> Answer:
        rows = self._rows[asked.venue]
        opened = self._open.get(asked, version, self._clock.now_ns()) if view[0] != "raw" else None
        if opened is None:
            found, next_page, in_memory = await read()
            end = ending(next_page, asked.floor_ns)
            until_ns = 0 if in_memory else self._clock.now_ns() + BRIEF_NS
            count = len(found.bars)
            if count > TICKER_ROWS_MAX:  # so many rows are not kept one by one
                calendar = self._services.venues[asked.venue].venue.calendar
                made = await self._services.offload.run(
                    serialise, asked.ticker, asked.tf, seen(found, view), calendar
                )
                return Answer(joined(made), end, count, until_ns)
            if view[0] == "raw":
                return Answer(rows.array(asked.ticker, asked.tf, found, view), end, count, until_ns)
            opened = Open(rows.opened(asked.ticker, asked.tf, found), found.hd, end, until_ns)
            self._open.put(asked, version, opened)
        data = filled(opened.rows, opened.hd, view)
        return Answer(data, opened.ending, len(opened.rows), opened.until_ns)
