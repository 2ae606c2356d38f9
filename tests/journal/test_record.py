"""Records: their bytes, and how they are told from what only looks like them."""

import numpy as np
import pytest
from xxhash import xxh3_64_intdigest

from bursa.journal.record import (
    CHECKSUM,
    HEADER,
    MAGIC,
    PACK,
    RECORD,
    Control,
    clock,
    down,
    find,
    headers,
    padded,
    scan,
    setting,
    verified,
)
from bursa.model.batch import CLOCK, DOWN, SETTING, SPAN_COUNT, SPAN_END, SPAN_ROWS, SPAN_START


def record(address: int, payload: bytes, epoch: int = 1) -> bytes:
    """One record as the module's opening describes it."""
    data = bytearray(padded(len(payload)))
    PACK.pack_into(data, 0, 0, MAGIC, 0, 1, 2, len(payload), epoch, 10, 20, 30, 40, 0, b"S")
    data[HEADER : HEADER + len(payload)] = payload
    CHECKSUM.pack_into(data, 0, xxh3_64_intdigest(data[8:], address))
    return bytes(data)


def scanned(data: bytes, address: int, epoch: int = 1) -> tuple[int, int, int, np.ndarray]:
    spans = np.empty((SPAN_ROWS, 8), np.int64)
    n, used, need = scan(np.frombuffer(bytearray(data), np.int64), address, epoch, spans)
    return n, used, need, spans[:, :n]


def test_the_packed_form_and_the_dtype_are_the_same_layout() -> None:
    assert PACK.size == RECORD.itemsize == HEADER == 72
    frames = np.frombuffer(bytearray(record(800, b"abc")), np.uint8)
    n, used, need, spans = scanned(frames.tobytes(), 800)
    assert (n, used, need) == (1, 80, 0)
    assert spans[:, 0].tolist() == [0, 1, 2, 72, 75, 10, 880, 20, 40, ord("S"), 0]
    head = headers(frames, spans)[0]
    assert (head["channel"], head["length"], head["base"], head["session"]) == (2, 3, 30, b"S")


def test_a_scan_says_what_it_lacks() -> None:
    data = record(0, b"x" * 10) + record(88, b"y" * 100)
    assert scanned(data, 0)[:3] == (2, 88 + 176, 0)
    assert scanned(data[:88], 0)[:3] == (1, 88, 0)
    assert scanned(data[:96], 0)[:3] == (1, 88, HEADER)
    assert scanned(data[:200], 0)[:3] == (1, 88, 176)
    assert scanned(data[:88] + bytes(72), 0)[:3] == (1, 88, -1)
    assert scanned(data, 0, epoch=2)[:3] == (0, 0, -1)
    assert scanned(data, 0, epoch=0)[0] == 2


def test_a_record_is_valid_at_its_own_address_only() -> None:
    data = record(1000, b"payload")
    frames = np.frombuffer(bytearray(data), np.uint8)
    spans = scanned(data, 1000)[3]
    assert verified(frames, 1000, spans) == 1
    moved = scanned(data, 1008)[3]
    assert verified(frames, 1008, moved) == 0


@pytest.mark.parametrize("bit", range(0, 8 * padded(5), 3))
def test_any_flipped_bit_is_seen(bit: int) -> None:
    frames = np.frombuffer(bytearray(record(64, b"12345")), np.uint8)
    frames[bit // 8] ^= 1 << bit % 8
    n, _, _, spans = scanned(frames.tobytes(), 64)
    assert n == 0 or verified(frames, 64, spans) == 0


def test_headers_are_found_again_among_garbage() -> None:
    data = bytes(40) + MAGIC.to_bytes(4, "little") * 10 + record(80, b"abc")
    words = np.frombuffer(bytearray(data), np.int64)
    assert find(words, 0, 1) == 10
    assert find(words, 11, 1) == -1
    assert find(words[:-2], 0, 1) == -1


def test_control_records_say_what_they_are() -> None:
    assert clock(1, -5) == Control(CLOCK, 1, (-5).to_bytes(8, "little", signed=True))
    assert down(0, "reset by peer") == Control(DOWN, 0, b"reset by peer")
    assert setting({"b": 1, "a": {"d": 2.5}}) == Control(SETTING, 0, b'{"a":{"d":2.5},"b":1}')


def test_a_payload_lies_between_start_and_end() -> None:
    data = record(0, b"hello")
    spans = scanned(data, 0)[3]
    assert data[spans[SPAN_START, 0] : spans[SPAN_END, 0]] == b"hello"
    assert spans[SPAN_COUNT, 0] == 40
