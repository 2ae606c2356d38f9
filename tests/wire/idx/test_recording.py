"""The generator of recordings: what it writes is sound idx-1, alike in both forms, of any size."""

import subprocess
import sys
from pathlib import Path

from benchmarks.load import recording
from benchmarks.load.recording import Recording
from bursa.feeds.cut import Blocks
from bursa.model.venue import IDX
from bursa.wire.idx.decoder import IdxDecoder
from bursa.wire.idx.layout import IDX1
from tests.wire.idx import encoder as wire
from tests.wire.idx.encoder import Record
from tests.wire.idx.test_decoder import check, run
from tests.wire.idx.to_text import text_record

ROOT = Path(__file__).parents[3]


def test_every_message_is_what_the_oracle_reads() -> None:
    (part,) = Recording(seed=5).blocks(1_500)
    records = [Record(bytes(part), form=0, ts_recv=-1)]
    heard, words = run(records)
    check(records, heard, words)
    rows = heard.rows()
    assert not heard.rejects and heard.counts["messages"] == 1_500
    assert heard.counts.keys() == {"messages", "sessions", "heartbeats"}
    assert {"ticks", "orderbook", "snapshot"} <= set(rows)


def test_text_and_blocks_are_the_same_messages() -> None:
    (part,) = Recording(seed=6).blocks(800)
    (text,) = Recording(seed=6).lines(800)
    one, two = [Record(bytes(part), form=0)], [text_record(text)]
    words = wire.words(), wire.words()
    found = [
        IdxDecoder(IDX, each).push(wire.chunk(records, [99]))
        for each, records in zip(words, (one, two), strict=True)
    ]
    assert found[0].tape.tobytes() == found[1].tape.tobytes() and found[0].counts == found[1].counts
    for name, batch in found[0].batches.items():
        assert batch.block.tobytes() == found[1].batches[name].block.tobytes()
    assert not found[1].rejects


def test_parts_go_on_where_the_last_one_ended() -> None:
    count = 2 * recording.PATTERN + 100
    parts = [bytes(part) for part in Recording(seed=7).blocks(count)]
    assert len(parts) == 3 and parts[0] != parts[1]
    assert parts == [bytes(part) for part in Recording(seed=7).blocks(count)]
    assert parts[0] != next(Recording(seed=8).blocks(count))
    words = wire.words()
    decoder = IdxDecoder(IDX, words)
    records = [Record(part, form=0, ts_recv=-1) for part in parts]
    ends = wire.positions(records)
    counts = [
        decoder.push(wire.chunk([record], [end])).counts
        for record, end in zip(records, ends, strict=True)
    ]
    assert sum(each["messages"] for each in counts) == count
    assert not any(word.startswith(("gaps", "rejected", "dup")) for each in counts for word in each)


def test_two_channels_are_sorted_without_a_gap(tmp_path: Path) -> None:
    cutter = Blocks(IDX, IDX1, "a recording")
    count = recording.PATTERN + 400
    frames = [
        found
        for part in Recording(seed=9, channels=2).blocks(count)
        for found in cutter.push(bytes(part))
    ]
    frames += cutter.rest()
    records = [
        Record(bytes(each.payload), channel=each.channel, form=0, ts_recv=-1) for each in frames
    ]
    heard, _ = run(records)
    assert heard.counts["messages"] == count and {each.channel for each in frames} == {0, 1}
    assert heard.counts.keys() == {"messages", "sessions", "heartbeats"}


def test_it_is_a_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.load.recording", "50", "--seed", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60)
    assert done.stdout == b"".join(Recording(seed=3, channels=2).blocks(50))
    out = tmp_path / "day.txt"
    command += ["--text", "--out", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    assert out.read_bytes() == b"".join(Recording(seed=3, channels=2).lines(50))
