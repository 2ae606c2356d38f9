"""Compressed segments heal: whatever is damaged within one frame of a group costs no record, nor
does damage of parity, seek table or its footer; two frames of a group lose what is theirs alone.
"""

import random
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zstandard

from bursa.journal.closed import compress
from bursa.journal.packed import FRAME, GROUP, Layout, PackedSource, layout
from bursa.journal.read import JournalReader, Record
from bursa.journal.segment import Segment, listing
from bursa.journal.write import JournalWriter
from bursa.model.batch import BLOCKS
from bursa.ports import Frames

FRAMES = GROUP + 4
FLIPS, SOAK_FLIPS = 20, 3_000
PAIRS, SOAK_PAIRS = 6, 500


class Made:
    """A journal of one compressed segment of two groups, and an open one."""

    def __init__(self, folder: Path) -> None:
        rng = random.Random(4)
        writer = JournalWriter(folder, "idx", now_ns=lambda: 1, segment_bytes=FRAMES * FRAME)
        while len(listing(folder)) < 2:
            body = rng.randbytes(rng.randrange(1, 40_000)).hex().encode()
            writer.append([Frames(0, BLOCKS, "DAY", 1 + len(body), 1, 0, body)])
        writer.close()
        self.folder = folder
        plain = listing(folder)[0].path
        self.plain = plain.read_bytes()
        assert compress(plain)
        self.records = list(JournalReader(folder).records())
        with self.segment.path.open("rb") as file:
            self.layout: Layout = layout(file.fileno(), self.segment.disk_bytes)
        self.packed = self.segment.path.read_bytes()
        assert [group.frames for group in self.layout.groups] == [
            GROUP,
            len(self.layout.frames) - GROUP,
        ]

    @property
    def segment(self) -> Segment:
        return listing(self.folder)[0]

    @contextmanager
    def spoiled(self, *bits: int) -> Iterator[None]:
        """With these bits flipped."""
        spoiled = bytearray(self.packed)
        for bit in bits:
            spoiled[bit // 8] ^= 1 << bit % 8
        with self.replaced(bytes(spoiled)):
            yield

    @contextmanager
    def replaced(self, data: bytes) -> Iterator[None]:
        """With other bytes in the file."""
        self.segment.path.write_bytes(data)
        try:
            yield
        finally:
            (self.folder / f"{0:020d}.log.zst").write_bytes(self.packed)

    def read(self) -> tuple[list[Record], JournalReader]:
        reader = JournalReader(self.folder)
        return list(reader.records(0)), reader


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("parity") / "idx")


@pytest.fixture
def rng() -> random.Random:
    seed = random.Random().randrange(2**32)
    print(f"seed {seed}")
    return random.Random(seed)


def parts(made: Made) -> dict[str, tuple[int, int]]:
    """Each structural part of a packed segment: where it begins, how many bytes."""
    found: dict[str, tuple[int, int]] = {}
    for number in (0, GROUP - 1, GROUP, len(made.layout.frames) - 1):
        start, end, _ = made.layout.frames[number]
        head = zstandard.frame_header_size(made.packed[start : start + 18])
        found |= {
            f"frame {number} magic": (start, 4),
            f"frame {number} descriptor": (start + 4, 1),
            f"frame {number} window, content size": (start + 5, head - 5),
            f"frame {number} block": (start + head, 3),
            f"frame {number} checksum": (end - 4, 4),
        }
    for nth, group in enumerate(made.layout.groups):
        names = {"magic": 4, "size": 4, "tag": 8, "version": 2, "frames": 2, "first": 4}
        names |= {"plain": 4, "length": 4, "parity sum": 8, "head sum": 8}
        names |= {"sizes": 4 * group.frames}
        at = group.start
        for name, size in (names | {"body": group.end - at - 48 - 4 * group.frames}).items():
            found[f"parity {nth} {name}"] = (at, size)
            at += size
        assert at == group.end
    at, size = made.layout.table, len(made.packed)
    found |= {"table magic": (at, 4), "table size": (at + 4, 4)}
    found |= {"table entries": (at + 8, size - at - 17), "table last entries": (size - 25, 16)}
    found |= {"footer count": (size - 9, 4), "footer flags": (size - 5, 1)}
    return found | {"footer magic": (size - 4, 4)}


@pytest.mark.timeout(7200)
def test_a_flip_in_any_part_of_a_packed_segment_costs_nothing_and_is_told(
    made: Made, rng: random.Random, soak: bool
) -> None:
    spots = [(name, *part) for name, part in parts(made).items()] * (8 if soak else 1)
    spots += [("anywhere", 0, len(made.packed))] * (SOAK_FLIPS if soak else FLIPS)
    # The bits of an entry that make a frame look like a parity, and a parity like a frame.
    entries = made.layout.table + 8
    bits = [("a plain size", 8 * (entries + 8 * n + 4) + 20) for n in (0, 5, GROUP, FRAMES)]
    bits += [
        (name, 8 * (start + rng.randrange(size)) + rng.randrange(8)) for name, start, size in spots
    ]
    for name, bit in bits:
        with made.spoiled(bit):
            found, reader = made.read()
            assert found == made.records, (name, bit)
            assert not reader.damaged
            reader.scrub()
            [(base, healed)] = reader.healed
            assert (base, healed.bytes, healed.part) == (0, 1, part_of(made.layout, bit // 8)), name
            if healed.offset != bit // 8:
                # A window's size, which no reader needs: of which frame of the group is not known.
                assert "descriptor" in name or "window" in name or name == "anywhere"
                [at] = {group_of(made.layout, offset) for offset in (bit // 8, healed.offset)}
                assert at >= 0


def group_of(of: Layout, offset: int) -> int:
    """The group in whose frames this lies."""
    for nth, group in enumerate(of.groups):
        if of.frames[group.first].start <= offset < group.start:
            return nth
    return -1


def part_of(of: Layout, offset: int) -> str:
    if offset >= of.table:
        return "table"
    inside = any(frame.start <= offset < frame.end for frame in of.frames)
    return "frame" if inside else "parity"


def in_frame(made: Made, number: int, rng: random.Random) -> int:
    """A bit of a frame's compressed blocks."""
    start, end, _ = made.layout.frames[number]
    return 8 * rng.randrange(start + 16, end - 4) + rng.randrange(8)


@pytest.mark.timeout(7200)
def test_flips_in_two_groups_cost_nothing(made: Made, rng: random.Random, soak: bool) -> None:
    for _ in range(SOAK_PAIRS if soak else PAIRS):
        first = in_frame(made, rng.randrange(GROUP), rng)
        other = in_frame(made, rng.randrange(GROUP, len(made.layout.frames)), rng)
        table = 8 * rng.randrange(made.layout.table, len(made.packed))
        with made.spoiled(first, other, table):
            found, reader = made.read()
            assert found == made.records, (first, other, table)
            assert not reader.damaged
            reader.scrub()
            assert [h.part for _, h in reader.healed] == ["frame", "frame", "table"]
            assert [h.offset for _, h in reader.healed] == [first // 8, other // 8, table // 8]


@pytest.mark.timeout(7200)
def test_two_frames_of_a_group_lose_what_is_theirs(
    made: Made, rng: random.Random, soak: bool
) -> None:
    for _ in range(SOAK_PAIRS if soak else PAIRS):
        numbers = rng.sample(range(GROUP), 2)
        bits = [in_frame(made, number, rng) for number in numbers]
        with made.spoiled(*bits):
            found, reader = made.read()
            kept = {record.position for record in found}
            lost = [record for record in made.records if record.position not in kept]
            assert found == [record for record in made.records if record.position in kept]
            assert sum(d.bytes for d in reader.damaged if d.reason != "segment header") == sum(
                record.position - record.start for record in lost
            )
            # One that lies past the other's end, or where no reader looks, leaves the other healed.
            mended = {healed.position // FRAME for _, healed in reader.healed}
            assert mended < set(numbers)
            for record in lost:
                frames = range(record.start // FRAME, (record.position - 1) // FRAME + 1)
                assert set(frames) & (set(numbers) - mended), (bits, record.start)
            assert lost or not reader.damaged


def test_whole_sectors_of_a_frame_come_back(made: Made, rng: random.Random) -> None:
    """A frame that is zeros, or noise, from its first byte to its last."""
    for number in (0, GROUP - 1, len(made.layout.frames) - 1):
        start, end, _ = made.layout.frames[number]
        for filler in (bytes(end - start), rng.randbytes(end - start)):
            with made.replaced(made.packed[:start] + filler + made.packed[end:]):
                found, reader = made.read()
                assert found == made.records
                assert not reader.damaged
                [(_, healed)] = reader.healed
                assert healed.position == number * FRAME and healed.part == "frame"
                assert healed.bytes > 0.9 * (end - start)


def test_without_a_table_the_frames_are_found_by_their_parity_or_one_by_one(made: Made) -> None:
    known, at = made.layout, made.layout.table
    for data in (made.packed[:at], made.packed[:at] + bytes(len(made.packed) - at)):
        with made.replaced(data):
            assert made.read()[0] == made.records
    # And with the heads of both parities gone as well.
    spoiled = bytearray(made.packed[:at])
    for group in known.groups:
        spoiled[group.start + 12] ^= 1
    with made.replaced(bytes(spoiled)), made.segment.path.open("rb") as file:
        found = layout(file.fileno(), len(spoiled))
        assert (found.frames, found.groups, found.sound) == (known.frames, known.groups, False)
        assert made.read()[0] == made.records


def test_others_read_it(made: Made) -> None:
    """The zstd program, and whoever goes by the seek table alone."""
    count, _, magic = struct.unpack("<IBI", made.packed[-9:])
    table = len(made.packed) - 9 - 8 * count
    assert (magic, count) == (0x8F92EAB1, len(made.layout.frames) + 2)
    assert struct.unpack_from("<II", made.packed, table - 8) == (0x184D2A5E, 8 * count + 9)
    plain, at = b"", 0
    for packed, size in struct.iter_unpack("<II", made.packed[table:-9]):
        frame = made.packed[at : at + packed]
        piece = zstandard.ZstdDecompressor().decompress(frame) if size else b""
        assert len(piece) == size
        assert size or 0x184D2A50 <= struct.unpack_from("<I", frame)[0] <= 0x184D2A5F
        plain, at = plain + piece, at + packed
    assert at == table - 8 and plain == made.plain
    try:
        done = subprocess.run(
            ["zstd", "-dc", str(made.segment.path)], capture_output=True, check=True
        )
    except FileNotFoundError:
        pytest.skip("no zstd program here")
    assert done.stdout == made.plain


def test_parity_costs_a_sixteenth(made: Made) -> None:
    whole = made.layout.groups[0]
    frames = made.layout.frames[whole.first : whole.first + whole.frames]
    assert whole.end - whole.start < sum(f.end - f.start for f in frames) / GROUP * 1.1


def test_a_reader_tells_each_once_when_it_meets_it(made: Made, rng: random.Random) -> None:
    told: list[object] = []
    bits = [in_frame(made, number, rng) for number in (2, GROUP + 1)]
    with made.spoiled(*bits):
        reader = JournalReader(made.folder, told.append)
        for _ in range(2):
            assert len(list(reader.records(0))) == len(made.records)
            reader.scrub()
    assert told == [healed for _, healed in reader.healed] and len(told) == 2
    with made.spoiled(bits[0]):
        source = PackedSource(made.segment.path)
        data = bytearray(8)
        source.read(5 * FRAME, memoryview(data))
        assert not source.healed
        source.read(2 * FRAME + 9, memoryview(data))
        assert data == made.plain[2 * FRAME + 9 :][:8]
        assert [healed.offset for healed in source.healed] == [bits[0] // 8]
        source.close()
