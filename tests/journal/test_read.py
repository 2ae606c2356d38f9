"""Reading: from anywhere, while it is written, in either form of a segment, around any damage."""

import random
import threading
from pathlib import Path

import numpy as np
import pytest

from bursa.journal.closed import compress, retire
from bursa.journal.packed import FRAME
from bursa.journal.read import JournalReader, Record
from bursa.journal.record import HEADER
from bursa.journal.segment import HEADER as SEGMENT_HEADER
from bursa.journal.segment import listing
from bursa.journal.write import JournalWriter
from bursa.model.batch import LINES, SPAN_END, SPAN_POSITION, SPAN_START
from bursa.model.errors import Refuse
from bursa.ports import Frames


def opened(folder: Path, segment_bytes: int = 1 << 30) -> JournalWriter:
    return JournalWriter(folder, "binance", now_ns=lambda: 1, segment_bytes=segment_bytes)


def frames(payload: bytes, seq: int) -> Frames:
    return Frames(0, LINES, "", seq, 1, 0, payload)


def fill(folder: Path, payloads: list[bytes], segment_bytes: int = 1 << 30) -> list[Record]:
    writer = opened(folder, segment_bytes)
    for seq, payload in enumerate(payloads, 1):
        writer.append([frames(payload, seq)])
    writer.close()
    return list(JournalReader(folder).records())


def words(count: int, length_max: int) -> list[bytes]:
    """Payloads that compress a little."""
    rng = random.Random(3)
    return [b"%d " % rng.randrange(10**6) * rng.randrange(1, length_max // 7) for _ in range(count)]


def test_an_empty_journal_has_nothing(tmp_path: Path) -> None:
    for folder in (tmp_path / "absent", tmp_path):
        reader = JournalReader(folder)
        assert (reader.first, reader.end) == (0, 0)
        assert list(reader.chunks(0)) == []


def test_chunks_are_cut_at_their_limit_and_a_larger_record_comes_alone(tmp_path: Path) -> None:
    records = fill(tmp_path, [b"x" * 100, b"y" * 100, b"z" * 5000, b"w"])
    chunks = list(JournalReader(tmp_path).chunks(0, bytes_max=400))
    assert [c.spans.shape[1] for c in chunks] == [2, 1, 1]
    assert [c.frames.nbytes for c in chunks] == [352, HEADER + 5000, HEADER + 8]
    assert chunks[1].span.first == records[1].position
    for chunk in chunks:
        assert chunk.frames.flags.c_contiguous and chunk.frames.flags.writeable


def test_an_end_that_is_no_boundary_is_never_passed(tmp_path: Path) -> None:
    records = fill(tmp_path, words(30, 300))
    for end in range(0, records[-1].position + 9):
        chunks = list(JournalReader(tmp_path).chunks(0, end))
        last = chunks[-1].span.last if chunks else 0
        assert last == max([0] + [r.position for r in records if r.position <= end])


def test_both_forms_read_the_same_from_every_record(tmp_path: Path) -> None:
    records = fill(tmp_path, words(700, 20_000), segment_bytes=FRAME * 3)
    plain = [p for c in JournalReader(tmp_path).chunks(0) for p in c.spans[SPAN_POSITION].tolist()]
    assert len(listing(tmp_path)) > 2
    for segment in listing(tmp_path)[:-1]:
        assert compress(segment.path)
    forms = {s.packed for s in listing(tmp_path)}
    assert forms == {True, False}
    reader = JournalReader(tmp_path)
    assert list(reader.records()) == records
    assert reader.end == records[-1].position == plain[-1]
    rng = random.Random(1)
    for at in sorted(rng.sample(range(len(records)), 25)):
        head = next(reader.chunks(records[at].position), None)
        found = head.spans[SPAN_POSITION, 0] if head else None
        assert found == (records[at + 1].position if at + 1 < len(records) else None)
    assert not reader.damaged


@pytest.mark.parametrize("where", ["frame", "magic", "table", "footer"])
def test_damage_in_a_compressed_segment_is_made_good(tmp_path: Path, where: str) -> None:
    records = fill(tmp_path, words(700, 20_000))
    [segment] = listing(tmp_path)
    compress(segment.path)
    [packed] = listing(tmp_path)
    assert packed.size == segment.size and packed.disk_bytes < segment.size
    data = bytearray(packed.path.read_bytes())
    frames = [at for at in range(len(data)) if data[at : at + 4] == b"\x28\xb5\x2f\xfd"]
    at = {"frame": frames[1] + 5000, "magic": frames[2], "table": len(data) - 30, "footer": -2}
    data[at[where]] ^= 4
    packed.path.write_bytes(data)
    reader = JournalReader(tmp_path)
    assert list(reader.records()) == records and not reader.damaged
    [(base, healed)] = reader.healed
    assert (base, healed.offset) == (segment.base, at[where] % len(data))


def test_flipped_bits_anywhere_leave_all_other_records(tmp_path: Path) -> None:
    records = fill(tmp_path, words(200, 2000))
    path = listing(tmp_path)[0].path
    data = path.read_bytes()
    rng = random.Random(11)
    for _ in range(40):
        image = bytearray(data)
        bits = [rng.randrange(8 * SEGMENT_HEADER, 8 * len(data)) for _ in range(rng.choice([1, 3]))]
        for bit in bits:
            image[bit // 8] ^= 1 << bit % 8
        path.write_bytes(image)
        reader = JournalReader(tmp_path)
        found = list(reader.records())
        hit = [r for r in records if any(r.start <= bit // 8 < r.position for bit in bits)]
        assert found == [r for r in records if r not in hit]
        assert sum(d.bytes for d in reader.damaged) == sum(r.position - r.start for r in hit)


def test_a_missing_segment_is_said(tmp_path: Path) -> None:
    records = fill(tmp_path, [bytes(3000)] * 4, segment_bytes=6000)
    gone = listing(tmp_path)[1]
    gone.path.unlink()
    reader = JournalReader(tmp_path)
    assert [r.first_seq for r in reader.records()] == [1, 3, 4]
    assert reader.damaged == [(gone.base, gone.size, "missing")]
    assert records[1].start > gone.base


def test_a_start_that_was_retired_is_refused(tmp_path: Path) -> None:
    records = fill(tmp_path, [bytes(3000)] * 4, segment_bytes=6000)
    assert len(retire(tmp_path, 8000, records[-1].position)) == 3
    reader = JournalReader(tmp_path)
    assert reader.first == records[2].position
    assert [r.first_seq for r in reader.records()] == [4]
    assert [c.span.first for c in reader.chunks(reader.first)] == [reader.first]
    with pytest.raises(Refuse) as refusal:
        next(reader.chunks(records[1].position))
    assert refusal.value.code == "journal_retired"


def test_a_reader_follows_a_writer(tmp_path: Path) -> None:
    """While one thread appends and rolls, another reads what there is, again and again."""
    writer = opened(tmp_path, segment_bytes=200_000)
    payloads = words(3000, 900)

    def write() -> None:
        for seq, payload in enumerate(payloads, 1):
            writer.append([frames(payload, seq)])

    thread = threading.Thread(target=write)
    thread.start()
    reader, at, seen = JournalReader(tmp_path), 0, []
    alive = True
    while alive:
        alive = thread.is_alive()
        for chunk in reader.chunks(at):
            assert chunk.span.first == at
            at = chunk.span.last
            seen += [
                chunk.frames[a:b].tobytes()
                for a, b in zip(chunk.spans[SPAN_START], chunk.spans[SPAN_END], strict=True)
            ]
    thread.join()
    writer.close()
    assert seen == payloads
    assert at == writer.position
    assert not reader.damaged


def test_a_reader_outlives_the_plain_form_of_what_it_reads(tmp_path: Path) -> None:
    fill(tmp_path, [np.random.default_rng(1).bytes(1 << 20) for _ in range(6)], 2 << 20)
    reader = JournalReader(tmp_path)
    chunks = reader.chunks(0, bytes_max=1 << 19)
    seen = [next(chunks).span.last]
    for segment in listing(tmp_path)[:-1]:
        compress(segment.path)
    seen += [c.span.last for c in chunks]
    assert len(seen) == 6 and not reader.damaged
