"""Opening after a kill or a power loss: an invalid tail goes, what was promised stays."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bursa.journal.read import JournalReader, Record
from bursa.journal.record import HEADER, Damage, padded
from bursa.journal.recover import MARK, Mark
from bursa.journal.segment import HEADER as SEGMENT_HEADER
from bursa.journal.segment import listing
from bursa.journal.write import JournalWriter
from bursa.model.batch import SOUPBIN
from bursa.model.errors import Refuse
from bursa.ports import Frames

PAYLOADS = [b"first", b"", bytes(range(256)) * 3, b"fourth", b"the last record of all"]


def frames(payload: bytes, seq: int) -> Frames:
    return Frames(0, SOUPBIN, "S1", seq, 1, seq * 10, payload)


def opened(folder: Path, floor: int = 0) -> JournalWriter:
    return JournalWriter(folder, "idx", now_ns=lambda: 1, floor=floor)


def fill(folder: Path, payloads: list[bytes] = PAYLOADS) -> list[Record]:
    writer = opened(folder)
    for seq, payload in enumerate(payloads, 1):
        writer.append([frames(payload, seq)])
    writer.close()
    return list(JournalReader(folder).records())


def seqs(folder: Path) -> list[int]:
    return [r.first_seq for r in JournalReader(folder).records()]


def goes_on(folder: Path, writer: JournalWriter, kept: int) -> None:
    """The journal holds the first `kept` records, takes a new one, and opens again."""
    first = writer.append([frames(b"new", 99)]).span.first
    assert first == writer.synced
    assert writer.sync() == writer.position
    writer.close()
    assert seqs(folder) == [*range(1, kept + 1), 99]
    again = opened(folder, floor=writer.position)
    assert (again.position, again.epoch, again.truncated) == (writer.position, 3, None)
    again.close()


@pytest.fixture
def images(tmp_path: Path) -> Callable[[Callable[[bytes], bytes], bool], Path]:
    """Copies of a filled journal whose segment was changed; without its mark if told so."""
    fill(tmp_path / "0")
    count = [0]

    def image(change: Callable[[bytes], bytes], mark: bool) -> Path:
        count[0] += 1
        folder = tmp_path / str(count[0])
        shutil.copytree(tmp_path / "0", folder)
        [segment] = listing(folder)
        segment.path.write_bytes(change(segment.path.read_bytes()))
        if not mark:
            (folder / MARK).unlink()
        return folder

    return image


def test_a_tail_torn_at_every_byte(tmp_path: Path) -> None:
    records = fill(tmp_path / "0")
    data = listing(tmp_path / "0")[0].path.read_bytes()
    for cut in range(records[3].start, len(data)):
        folder = tmp_path / str(cut)
        shutil.copytree(tmp_path / "0", folder)
        with listing(folder)[0].path.open("r+b") as file:
            file.truncate(cut)
        if cut % 2:
            (folder / MARK).unlink()
        kept = 3 if cut < records[4].start else 4
        writer = opened(folder, floor=records[2].position)
        assert writer.position == records[kept - 1].position
        boundary = cut == writer.position
        assert (writer.truncated is None) == boundary
        if writer.truncated is not None:
            assert writer.truncated[:2] == (writer.position, cut - writer.position)
        goes_on(folder, writer, kept)
        shutil.rmtree(folder)


@pytest.mark.parametrize("filler", ["zeros", "garbage", "magic"])
def test_a_power_loss_at_every_sector_with_anything_after_it(tmp_path: Path, filler: str) -> None:
    rng = random.Random(7)
    payloads = [rng.randbytes(rng.randrange(700)) for _ in range(40)]
    records = fill(tmp_path / "0", payloads)
    data = listing(tmp_path / "0")[0].path.read_bytes()
    synced = records[9].position
    for sector in range(-(-synced // 512) * 512, len(data), 512):
        folder = tmp_path / str(sector)
        shutil.copytree(tmp_path / "0", folder)
        rest = len(data) - sector
        image = (
            data[:sector]
            + {
                "zeros": bytes(rest),
                "garbage": rng.randbytes(rest),
                "magic": (b"BJSR" * rest)[:rest],
            }[filler]
        )
        listing(folder)[0].path.write_bytes(image)
        mark = Mark(folder)
        mark.write(synced, 1)
        mark.close()
        whole = [r for r in records if r.position <= sector]
        writer = opened(folder, floor=synced)
        assert writer.position == whole[-1].position
        assert not writer.damaged
        goes_on(folder, writer, len(whole))
        shutil.rmtree(folder)


def test_a_hole_in_what_was_never_synced_ends_the_journal(tmp_path: Path) -> None:
    """Sectors reach the disk in any order: what follows the hole was promised to nobody, and the
    source sends all from the hole on again."""
    records = fill(tmp_path)
    mark = Mark(tmp_path)
    mark.write(records[1].position, 1)
    mark.close()
    path = listing(tmp_path)[0].path
    data = bytearray(path.read_bytes())
    data[records[2].start + 200 : records[2].start + 712] = bytes(512)
    path.write_bytes(data)
    writer = opened(tmp_path, floor=records[0].position)
    cut = Damage(records[2].start, records[4].position - records[2].start, "checksum")
    assert writer.truncated == cut and not writer.damaged
    goes_on(tmp_path, writer, 2)


def test_damage_in_what_was_synced_is_confined(tmp_path: Path) -> None:
    records = fill(tmp_path / "0")
    data = listing(tmp_path / "0")[0].path.read_bytes()
    rng = random.Random(5)
    for nth, bad in enumerate(records):
        for bit in rng.sample(range(8 * (bad.position - bad.start)), 12):
            folder = tmp_path / f"{nth}-{bit}"
            shutil.copytree(tmp_path / "0", folder)
            image = bytearray(data)
            image[bad.start + bit // 8] ^= 1 << bit % 8
            listing(folder)[0].path.write_bytes(image)
            writer = opened(folder, floor=rng.choice([0, records[-1].position]))
            assert writer.truncated is None
            assert [d[:2] for d in writer.damaged] == [(bad.start, bad.position - bad.start)]
            assert writer.position == records[-1].position
            writer.append([frames(b"new", 99)])
            writer.close()
            expected = [s for s in range(1, 6) if s != nth + 1]
            reader = JournalReader(folder)
            assert [r.first_seq for r in reader.records()] == [*expected, 99]
            assert [d[:2] for d in reader.damaged] == [(bad.start, bad.position - bad.start)]
            shutil.rmtree(folder)


def test_without_a_mark_valid_records_after_damage_keep_it(
    images: Callable[[Callable[[bytes], bytes], bool], Path],
) -> None:
    def middle(data: bytes) -> bytes:
        at = SEGMENT_HEADER + padded(5)
        return data[:at] + bytes(8) + data[at + 8 :]

    folder = images(middle, False)
    writer = opened(folder)
    assert writer.truncated is None
    assert writer.damaged == [Damage(SEGMENT_HEADER + padded(5), HEADER, "checksum")]
    writer.close()
    assert seqs(folder) == [1, 3, 4, 5]


def test_without_a_mark_an_invalid_tail_goes(
    images: Callable[[Callable[[bytes], bytes], bool], Path],
) -> None:
    folder = images(lambda data: data[:-10] + bytes(10), False)
    writer = opened(folder)
    assert writer.truncated is not None and not writer.damaged
    goes_on(folder, writer, 4)


def test_a_journal_that_ends_before_what_was_committed_refuses(tmp_path: Path) -> None:
    records = fill(tmp_path)
    path = listing(tmp_path)[0].path
    os.truncate(path, records[3].position + 7)
    # What a roll or a compression left behind by a kill is swept by a start that goes on only.
    (tmp_path / "00000000000000009999.log.tmp").write_bytes(b"half a header")
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(Refuse) as refusal:
        opened(tmp_path, floor=records[4].position)
    assert refusal.value.code == "journal_short"
    assert str(records[4].position) in str(refusal.value)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before
    writer = opened(tmp_path, floor=records[3].position)
    goes_on(tmp_path, writer, 4)
    with pytest.raises(Refuse, match="has committed 1"):
        opened(tmp_path / "empty", floor=1)


def test_a_committed_tail_that_went_bad_is_kept_and_passed_over(tmp_path: Path) -> None:
    records = fill(tmp_path)
    (tmp_path / MARK).unlink()
    path = listing(tmp_path)[0].path
    data = path.read_bytes()
    path.write_bytes(data[: records[4].start] + bytes(len(data) - records[4].start))
    writer = opened(tmp_path, floor=records[4].position)
    assert writer.position == records[4].position and writer.truncated is None
    assert writer.damaged[0].position == records[4].start
    writer.append([frames(b"new", 99)])
    writer.close()
    assert path.read_bytes()[: records[4].start] == data[: records[4].start]
    assert seqs(tmp_path) == [1, 2, 3, 4, 99]


def test_a_damaged_segment_header_costs_no_record(tmp_path: Path) -> None:
    records = fill(tmp_path)
    writer = opened(tmp_path)
    writer.append([frames(b"six", 6)])
    writer.close()
    for segment in listing(tmp_path):
        with segment.path.open("r+b") as file:
            file.seek(40)
            file.write(b"\xff\xff")
    writer = opened(tmp_path, floor=writer.position)
    assert writer.epoch == 3 and writer.session(0) == "S1"
    assert [d.reason for d in writer.damaged] == ["segment header"] * 2
    chunk = writer.append([frames(b"new", 99)])
    writer.close()
    reader = JournalReader(tmp_path)
    found = list(reader.records())
    assert [r.first_seq for r in found] == [1, 2, 3, 4, 5, 6, 99]
    assert found[-1].base == sum(len(r.payload) for r in records) + 3
    assert found[-1].position == chunk.span.last
    assert [d.reason for d in reader.damaged] == ["segment header"] * 2


def test_what_an_interrupted_roll_left_is_swept(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "00000000000000009999.log.tmp").write_bytes(b"half a header")
    writer = opened(tmp_path)
    assert not list(tmp_path.glob("*.tmp"))
    goes_on(tmp_path, writer, 5)


def test_openings_without_a_record_count_and_move_no_position(tmp_path: Path) -> None:
    end = fill(tmp_path)[-1].position
    for epoch in range(2, 6):
        writer = opened(tmp_path, floor=end)
        assert (writer.epoch, writer.position, writer.synced) == (epoch, end, end)
        writer.close()
        assert JournalReader(tmp_path).end == end
    assert seqs(tmp_path) == [1, 2, 3, 4, 5]


def test_a_length_that_skips_to_another_boundary_hides_nothing(tmp_path: Path) -> None:
    """Records of 128 bytes each: one flipped bit in a length makes a header skip exactly one."""
    records = fill(tmp_path, [bytes([n]) * 56 for n in range(6)])
    path = listing(tmp_path)[0].path
    data = bytearray(path.read_bytes())
    data[records[2].start + 16] ^= 128
    path.write_bytes(data)
    assert seqs(tmp_path) == [1, 2, 4, 5, 6]


def test_a_journal_inside_a_payload_is_not_read_as_one(tmp_path: Path) -> None:
    fill(tmp_path / "inner")
    inner = listing(tmp_path / "inner")[0].path.read_bytes()
    records = fill(tmp_path / "outer", [b"a", inner, b"c"])
    path = listing(tmp_path / "outer")[0].path
    data = bytearray(path.read_bytes())
    data[records[1].start + 8] ^= 1
    path.write_bytes(data)
    reader = JournalReader(tmp_path / "outer")
    assert [r.payload for r in reader.records()] == [b"a", b"c"]
    assert [d[:2] for d in reader.damaged] == [
        (records[1].start, records[1].position - records[1].start)
    ]


def test_what_was_verified_before_is_not_verified_again(tmp_path: Path) -> None:
    records = fill(tmp_path)
    path = listing(tmp_path)[0].path
    data = bytearray(path.read_bytes())
    for at in (1, 3):
        data[records[at].position - 1] ^= 1
    path.write_bytes(data)
    writer = JournalWriter(tmp_path, "idx", now_ns=lambda: 1, trusted=records[4].position)
    assert not writer.damaged and writer.position == records[4].position
    writer.close()
    assert seqs(tmp_path) == [1, 3, 5]
