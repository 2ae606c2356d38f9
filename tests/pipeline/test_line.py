"""The line's promise: any cut of the journal and any restart give the same rows, to the byte.

Rows of one journal are compared in every column and in their order. Where the same messages came in
other records, what tells of the arrival is left out (rows.ARRIVAL), and the order of the channels
beside each other is nobody's.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from bursa.journal import checkpoint
from bursa.journal.closed import compress
from bursa.journal.read import JournalReader
from bursa.journal.record import Control
from bursa.journal.segment import listing
from bursa.journal.write import JournalWriter
from bursa.model.batch import END_OF_FILE, Batch, Chunk, Words
from bursa.model.venue import IDX
from bursa.pipeline.line import Derived, Line
from bursa.pipeline.recover import Sources, replay, restore_before
from bursa.pipeline.resume import Resume
from bursa.ports import Frames
from bursa.wire.idx.decoder import IdxDecoder
from tests.pipeline import market, rows

KEEP = {"orderbook": "1s", "index": "5s"}
DAY = date(2025, 11, 21)


def make_line() -> Line:
    words = Words(IDX.boards, [channel.name for channel in IDX.channels])
    return Line(IDX, words, IdxDecoder(IDX, words), KEEP)


def ticking(rng: Random) -> Callable[[], int]:
    """A clock that goes on by a little at each question."""
    now = 1_800_000_000 * 10**9

    def now_ns() -> int:
        nonlocal now
        now += rng.randrange(1, 10**7)
        return now

    return now_ns


@dataclass
class Gathered:
    """All that pushes gave, and the open bars at the end."""

    batches: list[Batch] = field(default_factory=list)
    live: list[Batch] = field(default_factory=list)
    minutes: list[np.ndarray] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    bars: int = 0
    end: int = 0
    open_bars: list[Batch] = field(default_factory=list)

    def take(self, derived: Derived) -> None:
        assert derived.span.first == self.end
        self.end = derived.span.last
        self.batches += derived.batches
        self.live += derived.live
        minutes = derived.minutes.copy()
        minutes[1] += self.bars
        self.minutes.append(minutes)
        self.bars += len(derived.closed)
        for word, count in derived.counts.items():
            self.counts[word] = self.counts.get(word, 0) + count

    def hashes(self, without: frozenset[str] = frozenset()) -> dict[str, str]:
        """Of one journal (nothing left out): every row in its place, every marker, every count."""
        found = rows.tables(self.batches, without)
        found |= {f"live {k}": v for k, v in rows.tables(self.live, without).items()}
        found |= {f"open {k}": v for k, v in rows.tables(self.open_bars, without).items()}
        said = rows.hashes(found, ordered=not without)
        minutes = np.concatenate(self.minutes, axis=1)
        marked = minutes[:1] if without else minutes
        return (
            said | rows.hashes({"minutes": marked.T}) | {k: str(v) for k, v in self.counts.items()}
        )


def written(
    folder: Path, seed: int, messages_max: int, ended: bool, said: Sequence[Control] = ()
) -> Gathered:
    """A journal of the market, several records an append; what the line gave while it came in. What
    is `said` besides stands anywhere in it, in its order."""
    rng = Random(seed)
    live = Gathered()
    line = make_line()
    writer = JournalWriter(folder, "idx", now_ns=ticking(rng), segment_bytes=200_000)
    pending: list[Frames | Control] = []
    records = list(market.cut(market.channels(), rng, messages_max))
    if ended:
        records += [Control(END_OF_FILE, 0), Control(END_OF_FILE, 1)]
    places = sorted(rng.randrange(len(records)) for _ in said)
    for later, (at, control) in enumerate(zip(places, said, strict=True)):
        records.insert(at + later, control)
    for at, record in enumerate(records):
        pending.append(record)
        if rng.random() < 0.3 or at == len(records) - 1:
            live.take(line.push(writer.append(pending)))
            pending = []
        if rng.random() < 2 / len(records) and not pending:
            writer.close()
            writer = JournalWriter(folder, "idx", now_ns=ticking(rng), segment_bytes=200_000)
    writer.close()
    live.open_bars.append(line.open_bars())
    for segment in listing(folder)[:-1:2]:
        compress(segment.path, level=1)
    return live


class Cuts(JournalReader):
    """The journal in chunks of sizes that change from one to the next."""

    def __init__(self, folder: Path, rng: Random, sizes: Sequence[int]) -> None:
        super().__init__(folder)
        self._rng, self._sizes = rng, sizes

    def chunks(self, start: int, end: int | None = None, bytes_max: int = 0) -> Iterator[Chunk]:
        while True:
            size = self._rng.choice(self._sizes)
            several = self._rng.randrange(1, 40)
            before = start
            for chunk in super().chunks(start, end, size):
                yield chunk
                start, several = chunk.span.last, several - 1
                if not several:
                    break
            if start == before or several:
                return


def none(upto: int) -> Iterator[Batch]:
    """There is no store here: its bars are not asked for."""
    raise AssertionError("the line comes up from its checkpoints alone")


def restarted(folder: Path, rng: Random, sizes: Sequence[int], restarts: int) -> Gathered:
    """What is given by lines that die at random places, each going on from a checkpoint."""
    whole, saved = Gathered(), folder.parent / "checkpoints"
    reader = Cuts(folder, rng, sizes)
    end = reader.end
    deaths = sorted(rng.randrange(end) for _ in range(restarts))
    while True:
        line, resume = make_line(), Resume(len(IDX.channels))
        start = restore_before(line, resume, Sources(reader, saved, none), whole.end)
        for derived, loud in replay(line, resume, reader, start, whole.end):
            if loud:
                whole.take(derived)
            if rng.random() < 4 * restarts / (end / (derived.span.last - derived.span.first)):
                position, state = derived.span.last, line.snapshot()
                checkpoint.save(
                    saved,
                    position=position,
                    epoch=derived.span.epoch,
                    day=DAY,
                    signature=line.signature,
                    state={"line": state, "resume": resume.snapshot()},
                )
            if deaths and loud and derived.span.last >= deaths[0]:
                break
        else:
            whole.open_bars.append(line.open_bars())
            return whole
        deaths = [at for at in deaths if at > whole.end]


# Shrinking a seed leads nowhere, and takes minutes.
@settings(max_examples=12, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    seed=st.integers(0, 2**32),
    messages_max=st.sampled_from([2, 40, 3000]),
    bytes_max=st.lists(
        st.sampled_from([300, 1_000, 5_000, 60_000, 1 << 22]), min_size=1, max_size=3
    ),
    restarts=st.integers(0, 6),
    ended=st.booleans(),
)
# A line that died with its checkpoint at the journal's very end.
@example(seed=29096418, messages_max=40, bytes_max=[1 << 22, 5_000], restarts=1, ended=True)
def test_any_cut_and_any_restart_give_the_same_rows(
    seed: int, messages_max: int, bytes_max: list[int], restarts: int, ended: bool
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name) / "idx"
        live = written(folder, seed, messages_max, ended)
        again = restarted(folder, Random(seed), bytes_max, restarts)
        assert again.end == live.end
        if restarts:  # what was derived in silence was counted before the death, or never
            again.counts = live.counts = {}
        assert again.hashes() == live.hashes()
        other = Gathered()
        with TemporaryDirectory() as second:
            other = written(Path(second) / "idx", seed + 1, 60, ended)
        if restarts:
            other.counts = {}
        assert other.hashes(rows.ARRIVAL) == live.hashes(rows.ARRIVAL)


def test_the_market_holds_what_can_befall_a_feed() -> None:
    """Else the property above says little."""
    with TemporaryDirectory() as name:
        live = written(Path(name) / "idx", 1, 60, ended=True)
    print(live.hashes())
    kinds = {batch.kind.name for batch in live.batches}
    assert kinds == {
        *("ticks", "ohlcv", "metrics", "snapshot", "orderbook", "index", "contracts"),
        *("status", "quarantine"),
    }
    words = ("revising_ticks", "late_ticks", "gaps", "duplicates", "sessions")
    for word in (*words, "rejected_bad_length"):
        assert live.counts[word] > 0, word
    bars = [b for b in live.batches if b.kind.name == "ohlcv"]
    assert max(int(b.column("rev").max()) for b in bars) > 0
    assert {0, 1} == {f for b in bars for f in b.column("final").tolist()}
    assert any(
        batch.kind.name == "orderbook" and batch.levels is not None for batch in live.batches
    )
