"""Refused messages, found again and tried again: with a decoder that knows more, they are taken."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bursa.journal.read import JournalReader
from bursa.model.batch import BLOCKS, LINES, SOUPBIN, Words
from bursa.model.errors import Refuse
from bursa.model.venue import Venue
from bursa.pipeline.quarantine import Chosen, Row, messages, place, records_at, rows_sql, units
from bursa.pipeline.retry import AGAIN, BROKEN, KNOWN, STALE, TOOK, Outcome, retry
from bursa.pipeline.runtime import VenueRuntime
from bursa.ports import Frames, Intake
from bursa.store.duckdb import DuckStore
from bursa.store.sql import Limits
from bursa.wire.explain import dump, fields
from bursa.wire.idx.decoder import IdxDecoder
from bursa.wire.idx.layout import IDX1
from tests.pipeline import rows, running
from tests.pipeline.running import until

# A layout as it was before the vendor told of a fourth way to trade, and as it is since.
NEWER = replace(IDX1, name="newer", aggressors={**IDX1.aggressors, "A": ""})
DAY_NS = 1_763_692_200_000_000_000  # 2025-11-21 09:30 in Jakarta
SECOND = 1_000_000_000
LIMITS = Limits(1000, 10.0)


def newer(venue: Venue, words: Words) -> IdxDecoder:
    return IdxDecoder(venue, words, NEWER)


def trade(seq: int, price: int, side: str = "B", ticker: str = "BBCA") -> bytes:
    """Trade `seq`, one each second."""
    ts = DAY_NS + seq * SECOND
    head = b"1" + seq.to_bytes(8, "big") + ts.to_bytes(8, "big")
    body = ticker.ljust(12).encode() + b"RG" + seq.to_bytes(8, "big")
    return (
        head + body + (price * 10_000).to_bytes(8, "big") + (100).to_bytes(8, "big") + side.encode()
    )


def later(message: bytes, seconds: int) -> bytes:
    ts = int.from_bytes(message[9:17], "big") + seconds * SECOND
    return message[:9] + ts.to_bytes(8, "big") + message[17:]


class Records:
    """A feed of given records."""

    name = "records"

    def __init__(self, *records: Frames) -> None:
        self.records = records
        self.told = False

    async def run(self, intake: Intake) -> None:
        for record in self.records:
            intake.frames(record)
        self.told = True


def framed(first: int, *bodies: bytes, form: int = SOUPBIN, session: str = "251121D") -> Frames:
    kind = b"S" if form == SOUPBIN else b""
    payload = b"".join((len(b) + len(kind)).to_bytes(2, "big") + kind + b for b in bodies)
    return Frames(0, form, session, first, len(bodies), 0, payload)


# Number 3 and both 5 and 6 bear a side that the older layout does not know, 8 is of no board.
MESSAGES = [
    *(trade(seq, 8900 + seq, "A" if seq in (3, 5, 6) else "B") for seq in range(1, 8)),
    trade(8, 1).replace(b"RG", b"XX"),
    trade(9, 8909),
]
RECORDS = (
    framed(1, *MESSAGES[:4]),
    framed(5, *MESSAGES[4:7], form=BLOCKS),
    framed(8, *MESSAGES[7:], later(trade(10, 8910), 120)),
)


class Run:
    """A venue over a folder, with a decoder, and with the feed's records if any."""

    def __init__(self, data: Path, decoder: Any, *records: Frames) -> None:
        self.store: DuckStore = running.open_store(data)
        self.venue: VenueRuntime = running.runtime(data, self.store, running.knobs(), decoder)
        self.feed = Records(*records)
        self.venue.start([self.feed] if records else [])
        if records:
            until(lambda: self.feed.told, "the feed's end")
        self.settle()

    def settle(self) -> None:
        """All that was taken is in the store."""
        until(
            lambda: self.venue.ingest is not None and self.venue.ingest.finished.is_set(), "the end"
        )
        until(lambda: self.venue.committed >= self.venue.journal.position, "the commit")

    def retry(self, dry_run: bool = False, **chosen: Any) -> list[Outcome]:
        done, left = retry(self.venue, self.store, Chosen(**chosen), dry_run=dry_run)
        assert not left
        self.settle()
        return done

    def refused(self, **chosen: Any) -> list[Row]:
        found = self.store.select(rows_sql("idx", Chosen(**chosen), 100), LIMITS).rows
        return [Row(*row) for row in found]

    def ask(self, query: str) -> list[list[Any]]:
        return self.store.select(query, LIMITS).rows

    def stop(self) -> None:
        assert self.venue.stop(running.RUN_S)
        self.store.close()


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A folder that an older decoder filled."""
    run = Run(tmp_path, IdxDecoder, *RECORDS)
    reasons = [(row.reason, row.nth) for row in run.refused()]
    assert reasons == [
        ("bad_aggressor", 0),
        ("bad_aggressor", 0),
        ("bad_aggressor", 1),
        ("bad_board", 0),
    ]
    run.stop()
    return tmp_path


@pytest.fixture
def run(older: Path) -> Iterator[Run]:
    """The same folder under a newer decoder."""
    found = Run(older, newer)
    yield found
    found.stop()


TICKS = "select seq, price from idx_ticks order by seq"
BARS = "select trades, rev from idx_ohlcv order by ts, rev"


def test_a_newer_decoder_takes_what_was_refused(older: Path) -> None:
    run = Run(older, newer)
    assert [seq for seq, _ in run.ask(TICKS)] == [1, 2, 4, 7, 9, 10]
    before = run.ask(BARS)
    end = run.venue.journal.position
    would = run.retry(dry_run=True, untaken=True)
    assert [o.outcome for o in would] == [TOOK, TOOK, TOOK, AGAIN]
    assert run.venue.journal.position == end and not run.refused()[0].taken
    done = run.retry(untaken=True)
    assert done == would and done[-1].why == "bad_board"
    assert run.ask(TICKS) == [[n, 8900 + n] for n in (1, 2, 3, 4, 5, 6, 7, 9, 10)]
    assert [row.taken for row in run.refused()] == [True, True, True, False]
    assert [row.reason for row in run.refused(untaken=True)] == ["bad_board"]
    run.stop()
    # The bar that had closed without them is revised as soon as the market's clock goes on.
    run = Run(older, newer, framed(11, later(trade(11, 8911), 200)))
    after = run.ask(BARS)
    assert after[: len(before)] == before and [before[0][0] + 3, before[0][1] + 1] in after
    run.stop()


def test_a_second_retry_changes_nothing(run: Run) -> None:
    run.retry(reason="bad_aggressor")
    end = run.venue.journal.position
    assert [o.outcome for o in run.retry(reason="bad_aggressor")] == [KNOWN] * 3
    assert run.retry(reason="bad_aggressor", untaken=True) == []
    assert run.venue.journal.position == end


def test_known_by_its_number_before_the_table_tells(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two retries at once: the second finds rows that nothing marks yet."""
    unmarked = [row._replace(taken=False) for row in run.refused(reason="bad_aggressor")]
    run.retry(reason="bad_aggressor")
    end, answer = run.venue.journal.position, run.store.select

    class Late:
        def select(self, text: str, limits: Limits) -> Any:
            found = answer(text, limits)
            return replace(found, rows=[list(row) for row in unmarked])

    done, _ = retry(run.venue, Late(), Chosen(), dry_run=False)
    assert [o.outcome for o in done] == [KNOWN] * 3
    assert run.venue.journal.position == end


def test_one_message_of_a_record_and_a_rebuild(older: Path) -> None:
    run = Run(older, newer)
    second = run.refused()[2]
    assert second.nth == 1
    (done,) = run.retry(position=second.position, nth=1)
    assert done == (second.name, "bad_aggressor", TOOK, "")
    assert [seq for seq, _ in run.ask(TICKS)] == [1, 2, 4, 6, 7, 9, 10]
    run.stop()
    found = running.stored(older / "hot.duckdb")
    # The older decoder over the same journal: what was taken is refused there once more, but the
    # table tells of the retry as before.
    again = running.rebuilt(older / "journal" / "idx")
    assert len(again["quarantine"]) == len(found["quarantine"]) + 1
    known = {tuple(row) for row in again["quarantine"].tolist()}
    assert {tuple(row) for row in found["quarantine"].tolist()} < known
    assert not rows.hashes(found) == rows.hashes(again)


def test_of_a_session_that_is_over_nothing_is_taken(older: Path) -> None:
    day_s = 86_400
    again = framed(1, later(trade(1, 9000), day_s), later(trade(2, 9001), day_s), session="251124D")
    run = Run(older, newer, again)
    assert {o.outcome for o in run.retry(reason="bad_aggressor")} == {STALE}
    run.stop()


def test_framing_that_was_lost_is_told_as_such(tmp_path: Path) -> None:
    lost = replace(RECORDS[1], payload=bytes(RECORDS[1].payload) + b"\xff\xff" + bytes(300))
    run = Run(tmp_path, newer, RECORDS[0], lost)
    (row,) = run.refused()
    assert row.reason == "framing_lost"
    (message,) = messages(run.venue.folder, [row])
    assert message.frames is None and message.body.endswith(bytes(300))
    assert run.retry()[0].outcome == BROKEN
    run.stop()


def test_positions_that_lead_nowhere(run: Run) -> None:
    row = run.refused()[0]
    for position, code in ((row.position + 8, "unknown_position"), (10**12, "unknown_position")):
        with pytest.raises(Refuse) as refused:
            list(records_at(run.venue.folder, [position]))
        assert refused.value.code == code
    assert run.retry(position=row.position + 8) == []
    for text in ("", "x", "12:", ":3", "1:2:3", "-1"):
        with pytest.raises(Refuse, match=r"POSITION:NTH"):
            place(text)
    with pytest.raises(Refuse, match="is no reason"):
        rows_sql("idx", Chosen(reason="'; drop"), 1)


def test_retention_dropped_the_record(older: Path) -> None:
    run = Run(older, newer)
    row = run.refused()[0]
    run.stop()
    run = Run(older, newer)
    folder = run.venue.folder
    first = min(path.name.partition(".")[0] for path in folder.glob("*.log*"))
    for path in folder.glob(f"{first}.*"):
        path.unlink()
    with pytest.raises(Refuse) as refused:
        run.retry(position=row.position)
    assert refused.value.code == "journal_retired" and refused.value.status == 410
    run.stop()


def test_equal_messages_of_one_record_are_told_apart(tmp_path: Path) -> None:
    odd = b"?" + bytes(20)
    run = Run(tmp_path, IdxDecoder, framed(1, trade(1, 8901), odd, trade(2, 8902), odd))
    found = list(messages(run.venue.folder, run.refused()))
    assert [m.frames.first_seq for m in found if m.frames] == [2, 4]
    assert {m.body for m in found} == {odd}
    run.stop()


def test_units_of_lines_are_the_lines(tmp_path: Path) -> None:
    run = Run(tmp_path, IdxDecoder, Frames(0, LINES, "", 0, 2, 0, b"1|x\n\n9|nonsense\n"))
    (record,) = (r for r in JournalReader(run.venue.folder).records() if r.form == LINES)
    assert [(n, record.payload[a:b]) for n, a, b in units(record)] == [
        (0, b"1|x"),
        (1, b"9|nonsense"),
    ]
    found = list(messages(run.venue.folder, run.refused()))
    assert [m.frames.payload for m in found if m.frames] == [b"1|x\n", b"9|nonsense\n"]
    run.stop()


def test_what_a_decoder_says_of_each_field() -> None:
    told = dict(fields("idx", BLOCKS, MESSAGES[7]))
    assert told["type"] == "1 trade" and told["board"] == "'XX'" and told["price"] == "1.0000"
    assert dict(fields("idx", BLOCKS, MESSAGES[0][:50]))["length"] == "50 bytes, a trade has 56"
    assert dict(fields("idx", BLOCKS, MESSAGES[0][:50]))["volume"] == "missing"
    assert fields("idx", BLOCKS, b"") and fields("xnas", BLOCKS, b"?")[0][0] == ""
    assert fields("binance", LINES, b'{"a": [1]}') == [("a", "[1]")]
    assert fields("idx", LINES, b"1|2|x") == [("0", "1"), ("1", "2"), ("2", "x")]
    book = b"3" + bytes(30) + b"\x02" + (5).to_bytes(8, "big") * 2
    assert ("level 1", "missing missing missing") in fields("idx", BLOCKS, book)
    rng = Random(1)
    for _ in range(2000):
        data = rng.choice((b"1", b"3", b"9", b"")) + rng.randbytes(rng.randrange(140))
        for venue in ("idx", "xnas", "binance"):
            for form in (BLOCKS, LINES):
                fields(venue, form, data)
        assert all(len(line) < 100 for line in dump(data))
