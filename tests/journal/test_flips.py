"""Single bits that flipped anywhere in a journal, plain or compressed without parity (as segments
were at first): found by a checksum, confined to the records they hit, and told with their place.
With parity: test_parity.py.
"""

import random
import struct
from pathlib import Path

import pytest
import zstandard

from bursa.journal import index
from bursa.journal.packed import FRAME
from bursa.journal.read import JournalReader, Record
from bursa.journal.record import HEADER
from bursa.journal.segment import HEADER as SEGMENT_HEADER
from bursa.journal.segment import PACKED, listing
from bursa.journal.write import JournalWriter
from bursa.model.batch import BLOCKS
from bursa.ports import Frames

FLIPS, SOAK_FLIPS = 36, 3_000


def pack_as_at_first(path: Path) -> None:
    """Compress a segment to frames and a seek table, nothing else."""
    packer, sizes, plain = zstandard.ZstdCompressor(1, write_checksum=True), [], path.read_bytes()
    with path.with_name(path.name + ".zst").open("wb") as out:
        for at in range(0, len(plain), FRAME):
            piece = plain[at : at + FRAME]
            sizes.append((out.write(packer.compress(piece)), len(piece)))
        table = b"".join(struct.pack("<II", *size) for size in sizes)
        table += struct.pack("<IBI", len(sizes), 0, 0x8F92EAB1)
        out.write(struct.pack("<II", 0x184D2A5E, len(table)) + table)
    path.unlink()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record]]:
    """A journal of several segments, the first compressed, and its records."""
    folder = tmp_path_factory.mktemp("flips") / "idx"
    rng = random.Random(4)
    writer = JournalWriter(folder, "idx", now_ns=lambda: 1, segment_bytes=3 * FRAME)
    while writer.position < 6 * FRAME:
        body = b"%d " % rng.randrange(10**6) * rng.randrange(1, 4_000)
        writer.append([Frames(0, BLOCKS, "DAY", 1 + len(body), 1, 0, body)])
    writer.close()
    pack_as_at_first(listing(folder)[0].path)
    assert [s.packed for s in listing(folder)][:2] == [True, False]
    return folder, list(JournalReader(folder).records())


def spots(
    folder: Path, records: list[Record], rng: random.Random, count: int
) -> list[tuple[Path, int]]:
    """(file, bit) of flips: segment headers, record headers, payloads, paddings, packed bytes."""
    packed, plain = listing(folder)[:2]
    inside = [r for r in records if plain.base <= r.start < plain.end]
    found = []
    for n in range(count):
        record = rng.choice(inside)
        at = {
            0: rng.randrange(SEGMENT_HEADER),
            1: record.start - plain.base + rng.randrange(HEADER),
            2: record.start - plain.base + HEADER + rng.randrange(len(record.payload)),
            3: record.position - plain.base - 1,
        }.get(n % 6)
        size = packed.disk_bytes
        file, byte = (plain.path, at) if at is not None else (packed.path, rng.randrange(size))
        found.append((file, 8 * byte + rng.randrange(8)))
    return found


@pytest.mark.timeout(7200)
def test_any_flipped_bit_is_found_and_costs_only_what_it_hit(
    made: tuple[Path, list[Record]], soak: bool
) -> None:
    folder, records = made
    seed = random.Random().randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    frames_lost = []
    for file, bit in spots(folder, records, rng, SOAK_FLIPS if soak else FLIPS):
        whole = file.read_bytes()
        spoiled = bytearray(whole)
        spoiled[bit // 8] ^= 1 << bit % 8
        file.write_bytes(spoiled)
        try:
            reader = JournalReader(folder)
            found = list(reader.records(0))
            kept = {record.position for record in found}
            lost = [record for record in records if record.position not in kept]
            assert found == [record for record in records if record.position in kept]
            if file.name.endswith(PACKED):
                frames_lost.append(sum(r.position - r.start for r in lost))
                check_packed(reader, lost)
            else:
                check_plain(reader, lost, records, file, bit // 8)
        finally:
            file.write_bytes(whole)
    print(f"compressed: {sorted(frames_lost)} bytes of records lost by a flip")


def check_plain(
    reader: JournalReader, lost: list[Record], records: list[Record], file: Path, byte: int
) -> None:
    """Exactly the record it hit; its place is told."""
    [damage] = reader.damaged
    base = int(file.name.partition(".")[0])
    if byte < SEGMENT_HEADER:
        assert not lost and damage == (base, SEGMENT_HEADER, "segment header")
        return
    [hit] = [r for r in records if r.start <= base + byte < r.position]
    assert lost == [hit]
    assert damage[:2] == (hit.start, hit.position - hit.start)


def check_packed(reader: JournalReader, lost: list[Record]) -> None:
    """Nothing (its table, or what only the frame's own checksum covers), or records of one frame;
    exactly what is lost is told."""
    told = [d for d in reader.damaged if d.reason != "segment header"]
    assert sum(d.bytes for d in told) == sum(r.position - r.start for r in lost)
    for record in lost:
        inside = [d for d in told if d.position <= record.start < d.position + d.bytes]
        assert len(inside) == 1 and record.position <= inside[0].position + inside[0].bytes
    if lost:
        assert lost[-1].start - lost[0].position < FRAME


def test_an_index_keeps_to_itself_what_is_damaged_later(made: tuple[Path, list[Record]]) -> None:
    """It says what was there when it was made; the records are asked all the same."""
    folder, records = made
    plain = listing(folder)[1]
    index.save(plain, index.summarize(plain))
    hit = next(r for r in records if r.start > plain.base + FRAME)
    whole = plain.path.read_bytes()
    spoiled = bytearray(whole)
    spoiled[hit.start - plain.base + HEADER] ^= 1
    plain.path.write_bytes(spoiled)
    try:
        kept = index.load(plain)
        assert kept is not None and not kept.damaged
        reader = JournalReader(folder)
        assert hit not in list(reader.records(0))
        assert [d.position for d in reader.damaged] == [hit.start]
        assert [d.position for d in index.summarize(plain).damaged] == [hit.start]
    finally:
        plain.path.write_bytes(whole)
        index.path_of(plain.path).unlink()
