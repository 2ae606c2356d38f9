"""The seams: what the core needs of the outside, in domain words.

Each port's text says when a method is called, whether it may block, what it answers when idle and
what it owes after a failure. Every adapter, and every fake that a test uses, passes the port's
contract suite. Only app.py names concrete adapters.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol

from bursa.model.batch import Batch
from bursa.model.covered import Coverage, Covered


class Clock(Protocol):
    """Our own clock. The core never holds one: time is an argument there."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970 UTC; never decreases within one process."""


@dataclass(frozen=True, slots=True)
class Frames:
    """What one read of a source brought: complete packets only, as they came.

    channel     index into the venue's channels
    form        how the bytes are framed (model/batch.py: BLOCKS, SOUPBIN, LINES)
    session     the source's session of it, at most 16 ASCII characters; "" where it has none
    first_seq   sequence number of the first message; 0 where the form has none
    count       messages in it
    ts_recv     when it came, ns UTC; 0: the journal stamps it; -1: the source has no receive times,
                each row then bears its own event time
    """

    channel: int
    form: int
    session: str
    first_seq: int
    count: int
    ts_recv: int
    payload: bytes | bytearray | memoryview


class Intake(Protocol):
    """Where a feed puts what it received. Its methods are called on the feed's event loop.

    A full disk stops a feed without ending it: while `refusing` it reads nothing further from its
    source, keeps alive what it holds open, and goes on after `room`.
    """

    def frames(self, frames: Frames) -> None:
        """Take packets. Cheap: they are journalled and decoded together, once a loop iteration.
        Blocks only at the journal's own pace. What comes while it refuses is held in memory, not
        lost; so a feed reads no further then."""

    def up(self, channel: int) -> None:
        """The channel delivers now."""

    def down(self, channel: int, why: str) -> None:
        """The channel is away; `why` is logged and counted."""

    def end_of_session(self, channel: int) -> None:
        """The source said that this channel's session is over."""

    def lost(self, channel: int, first: int, last: int, asked: bool) -> None:
        """Messages first to last of the channel's session are waited for no longer; asked: they
        were asked for again. What follows them comes next."""

    def count(self, channel: int, line: str, word: str, count: int) -> None:
        """Something that one of the channel's lines did `count` times, by its word: telemetry."""

    def end_of_file(self, channel: int) -> None:
        """A file is read to its end: open bars are stored as not final."""

    def resume_point(self, channel: int) -> tuple[str, int]:
        """(session, next sequence number) to ask for; ("", 1) where nothing was received yet."""

    async def synced(self) -> None:
        """Return when all that was taken so far is on disk (what a broker's acknowledgement waits
        for); not before, however long the journal refuses. Raises OSError when it takes no more."""

    @property
    def refusing(self) -> bool:
        """The journal takes nothing now (a full disk)."""

    async def room(self) -> None:
        """Return at once while the journal takes bytes, else when it does again. Raises OSError
        when it takes no more."""


class Feed(Protocol):
    """Where bytes come from. One feed may serve several channels of one venue."""

    name: str

    async def run(self, intake: Intake) -> None:
        """Deliver until cancelled, or until the source ends (files). Reconnects by itself, with
        back-off; raises only what no waiting can mend (`Refuse`)."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What a store holds of one topic: all rows derived up to `position` in `epoch`."""

    position: int
    epoch: int


class Disk(Protocol):
    """What a store takes of the disk."""

    @property
    def free(self) -> int:
        """Bytes of its files that later rows will fill before they grow."""


class Store(Protocol):
    """The stored rows of one data folder: new ones hot, closed days cold, one to whoever reads.

    Methods block; call them off the event loop. All raise Retry when the engine is away, and where
    a read took longer than its class may: 10 s where it asks for one ticker's rows, 30 s for many
    tickers or days, 60 s for all there is (`latest`, `emitted`). Refuse `cold_damaged` names a day
    whose file cannot be read. Any number of readers see whole commits, beside one that writes."""

    def positions(self) -> dict[str, Committed]:
        """Topic -> what is committed. Empty for a new store."""

    def write(self, batches: Sequence[Batch], positions: Mapping[str, Committed]) -> None:
        """All rows and all positions in one transaction, or none. `batches` are in stream order,
        several of a kind allowed. A batch at or before its topic's position is the caller's bug.
        Raises Reject where the engine is there and does not take some of the rows."""

    def refuses(self, batch: Batch) -> str:
        """What `write` would say of these rows where it does not take them; "" where it would, or
        where there are none. Changes nothing."""

    def readmit(self, batch: Batch) -> int:
        """Put rows back that should be here, at or before their topic's position, in one
        transaction; those that are here, alike in all, add nothing. Of a kind of which the newest
        row of a key stays, one that is newer stays. Returns how many were added; Reject as in
        `write`."""

    def bars(
        self,
        venue: str,
        ticker: str,
        start_ns: int,
        end_ns: int,
        *,
        as_of_ns: int | None = None,
        newest: int | None = None,
        oldest: int | None = None,
        columns: Collection[str] | None = None,
    ) -> Batch:
        """1-minute bars with start <= ts < end, ascending and unique by ts: each its newest
        revision (with known_at <= as_of_ns where that is given). `newest=N` keeps the last N of
        the range, `oldest=N` the first. Where `columns` names some, those beside ticker, freq, ts
        and rev that it does not name come back null. Empty if none; an unknown ticker is none."""

    def metrics(
        self,
        venue: str,
        ticker: str,
        start_ns: int,
        end_ns: int,
        *,
        as_of_ns: int | None = None,
        newest: int | None = None,
        oldest: int | None = None,
        columns: Collection[str] | None = None,
    ) -> Batch:
        """Metric rows of the 1m timeframe, as `bars`."""

    def ticks(
        self,
        venue: str,
        ticker: str,
        start_ns: int,
        end_ns: int,
        *,
        newest: int | None = None,
        oldest: int | None = None,
    ) -> Batch:
        """Trades with start <= ts < end, ascending by ts, those of one instant as they came.
        `newest=N` keeps the last N of the range, `oldest=N` the first. Empty if none."""

    def index(
        self,
        venue: str,
        code: str,
        start_ns: int,
        end_ns: int,
        *,
        newest: int | None = None,
        oldest: int | None = None,
    ) -> Batch:
        """Rows of one index with start <= ts < end, ascending by ts, those of one instant as they
        came. `newest=N` keeps the last N of the range, `oldest=N` the first. Empty if none."""

    def status(self, venue: str, start_ns: int, end_ns: int) -> Batch:
        """Status rows with start <= ts < end, ascending by (ts, position)."""

    def latest(self, venue: str, kind: str) -> Batch:
        """The newest row of each key less ts: `contracts`, `snapshot` or `index`."""

    def span(self, venue: str) -> dict[str, tuple[int, int]]:
        """Ticker -> ts of its first and of its last stored bar."""

    def minute_back(self, venue: str, count: int) -> int:
        """Opening of the count-th newest minute that has a bar; INT_NULL where there are fewer."""

    def since(self, venue: str, kind: str, start_ns: int) -> Batch:
        """Bars (`ohlcv`) or `metrics` of all tickers with ts >= start, ascending by (ticker, ts),
        each its newest revision."""

    def emitted(
        self,
        venue: str,
        after: int,
        upto: int,
        *,
        start_ns: int,
        end_ns: int,
        tickers: Collection[str] | None = None,
    ) -> Iterator[Batch]:
        """Stored 1-minute bars, every revision of all tickers (or of some), with start <= ts < end
        and after < position <= upto, in order of emission: by (position, nth), rows without nth by
        (position, ts, rev). In pieces of bounded size, none empty; the span of each says which
        positions it covers, no position is in two. Where one raises Retry, what is left begins at
        the end of the last one."""

    def revisions(
        self,
        venue: str,
        kind: str,
        start_ns: int,
        end_ns: int,
        *,
        tickers: Collection[str] | None = None,
    ) -> Batch:
        """Bars (`ohlcv`) or `metrics` of the 1m timeframe with start <= ts < end, every stored row
        of all tickers (or of some), in any order."""

    def rows(
        self,
        venue: str,
        kind: str,
        start_ns: int,
        end_ns: int,
        *,
        after: int = ...,
        upto: int = ...,
        tickers: Collection[str] | None = None,
    ) -> Batch:
        """Every stored row of a kind with start <= ts < end and after < position <= upto (by
        default wherever it comes from), of all or of some tickers (index codes, channels), in any
        order."""

    def minutes(
        self,
        venue: str,
        kind: str,
        start_ns: int,
        end_ns: int,
        *,
        tickers: Collection[str] | None = None,
        entered: bool = False,
    ) -> Sequence[tuple[int, int]]:
        """(opening of a minute of UTC, ns; stored rows of a kind with start <= ts < end in it),
        ascending, of all or of some tickers (index codes, channels); minutes without any are left
        out. `entered`: of bars or metrics those that no feed brought (`source`) alone."""

    def amend(self, gone: Batch, filled: Batch, fresh: Batch, columns: Collection[str]) -> None:
        """Put stored rows of a kind right, in one transaction: those with a key of `gone` are
        deleted, then those with a key of `filled` take its values of `columns`, then `fresh` is
        added. Cold days that `gone` or `filled` touch are hot afterwards. Positions stay as they
        are, and no row of the three may lie past its topic's. Between two writes only."""

    def covered(self, venue: str, ticker: str, first: date, until: date) -> Covered:
        """Which minutes of the days first <= day < until (the venue's) have a bar of a ticker: in
        its newest revision, without a fault and with a trade. Ten years take a moment."""

    def coverage(self, venue: str, first: date, until: date) -> Coverage:
        """The same of every ticker that has one in those days."""

    def folded(self, venue: str) -> int:
        """The smallest position of the venue's topics that survives if the store's own log is
        ruined; 0 where that is not known yet."""

    def bytes(self) -> Disk:
        """Disk in use now."""

    def settle(self, venue: str, start_ns: int, end_ns: int) -> None:
        """Rewrite the bars and metrics of a closed range so that long histories of one ticker are
        read fast. Changes no row. Between two writes only."""

    def drop_before(self, venue: str, kind: str, ts_ns: int) -> int:
        """Delete a kind's hot rows with an older ts; returns how many. Between two writes only."""

    def days(self, venue: str, kinds: Sequence[str] = ...) -> Sequence[date]:
        """The venue's days that have rows of any of these kinds, ascending; by default of those
        that retention drops: ticks, quotes, snapshot, orderbook."""


@dataclass(frozen=True, slots=True)
class DayFile:
    """A closed day of one kind as a Parquet file that never changes. sha256: of its bytes, 64
    hexadecimal digits."""

    path: Path
    bytes: int
    rows: int
    sha256: str


class DayFiles(Protocol):
    """Closed days, for who takes them whole."""

    def find(self, venue: str, kind: str, day: date) -> DayFile | None:
        """The file of a day, without columns that not everybody may see; None where there is none
        yet. May take seconds: it blocks. Refuse `cold_damaged` where it cannot be read."""


class Reader(Protocol):
    """One consumer of a group on one source's topics. Called from any one thread at a time."""

    def poll(self, timeout_s: float) -> Any:
        """The next entry (span, batches) in stream order, None after `timeout_s` without one.
        Rows that the group took already are never in it, save redelivered ones."""

    def commit(self, position: int) -> None:
        """All up to `position` is done for good."""

    def close(self) -> None:
        """Leave; what was taken and not committed goes to the others of the group."""


@dataclass(frozen=True, slots=True)
class Run:
    """One time that a lease was held. ended_ns: None while it is; outcome: "" while it is, `lost`
    where another took it over, else what its release said; told: JSON that the release told."""

    name: str
    holder: str
    began_ns: int
    ended_ns: int | None
    outcome: str
    told: Mapping[str, Any]


class Leases(Protocol):
    """Of one name one holder at a time, over kills and restarts. Methods block, any thread may call
    them; all raise Retry when the database is away, and what one returned is on disk."""

    def take(self, name: str, holder: str, now_ns: int, for_s: float) -> bool:
        """Take a lease for a while. False: it is held by somebody, the same holder included. One
        that has expired, or whose holder's process is gone, is taken over (logged, its run ends as
        `lost`). holder: a process (state/holder.py: me), perhaps `#` and a part of it."""

    def renew(self, name: str, holder: str, now_ns: int, for_s: float) -> bool:
        """Hold it for so long from now on. False: it is not this holder's any more, who must stop.
        An expired one that nobody took over is still its holder's."""

    def release(
        self, name: str, holder: str, now_ns: int, outcome: str, told: Mapping[str, Any]
    ) -> bool:
        """Give it back; its run ends as `outcome`. False: it was not this holder's."""

    def holder(self, name: str, now_ns: int) -> str:
        """Who holds it; "" where `take` would get it."""

    def history(self, name: str, limit: int) -> Sequence[Run]:
        """The newest runs under this name, newest first; those before the newest thousand are
        gone."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A row that a healthy store refused.

    key       which row of which journal it is: the same one has the same key, always
    position  of the journal record that caused it
    ts        event time, ns UTC
    symbol    ticker or index code; "" where the kind has none
    why       what the store said
    at_ns     when it was refused, our clock, ns UTC
    row       the row as an Arrow IPC stream of one row, columns as model/schema.py
    tries     how often it was refused
    number    its number among the kept ones, from 1, never used again; 0: not kept yet
    """

    key: str
    venue: str
    kind: str
    position: int
    ts: int
    symbol: str
    why: str
    at_ns: int
    row: bytes
    tries: int = 1
    number: int = 0


class DeadLetters(Protocol):
    """The rows that a healthy store refused, kept until somebody has them tried again or drops
    them. Methods block, any thread may call them; all raise Retry when the database is away."""

    def add(self, letters: Sequence[DeadLetter]) -> int:
        """Keep letters, all or none, on disk when it returns; those whose key is kept already add
        nothing. Returns how many are new."""

    def ls(
        self, venue: str = "", kind: str = "", after: int = 0, limit: int = 1000
    ) -> Sequence[DeadLetter]:
        """Letters by number, ascending, those past `after`; of one venue or kind where named."""

    def counts(self) -> dict[tuple[str, str], int]:
        """(venue, kind) -> letters kept, where there are any."""

    def show(self, number: int) -> DeadLetter | None:
        """One letter; None where there is none of that number."""

    def refused_again(self, number: int, why: str) -> None:
        """The store was asked again and said `why`."""

    def drop(self, numbers: Sequence[int]) -> int:
        """Forget letters; returns how many there were."""


@dataclass(frozen=True, slots=True)
class Report:
    """What `bursa quality` found of a venue. span: how much was looked at, `day` or `week`; at_ns:
    our clock; told: JSON."""

    venue: str
    span: str
    at_ns: int
    told: Mapping[str, Any]


class Reports(Protocol):
    """Quality reports. Methods block, any thread may call them; all raise Retry when the database
    is away, and what one returned is on disk."""

    def add(self, report: Report) -> None:
        """Keep a report; of one venue and span those before the newest five hundred go."""

    def newest(self, venue: str, span: str) -> Report | None:
        """The report of a venue and span that was added last; None where there is none."""


class State(Protocol):
    """What must outlive a process and is no market data. A part that is not used costs nothing."""

    @property
    def leases(self) -> Leases:
        """Who is at what."""

    @property
    def letters(self) -> DeadLetters:
        """Rows that a healthy store refused."""

    @property
    def reports(self) -> Reports:
        """What `bursa quality` found."""
