"""DBN files: Databento's own sample, and files of every version written here, cut anywhere."""

import struct
from pathlib import Path
from typing import Any

import databento
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from bursa.model.errors import Reject
from bursa.wire.dbn.decoder import FLAGS, MBO, PRICE_NULL, DbnDecoder, Interval

FIELDS = [name for name in MBO.names or () if name not in ("length", "rtype")]
Order = tuple[Any, ...]

ORDERS = st.lists(
    st.tuples(
        st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1),
        st.integers(0, 2**64 - 1), st.integers(-(2**63), PRICE_NULL), st.integers(0, 2**32 - 1),
        st.integers(0, 255), st.integers(0, 255), st.sampled_from([b"A", b"C", b"M", b"F", b"T"]),
        st.sampled_from([b"A", b"B", b"N"]), st.integers(0, 2**64 - 1),
        st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32 - 1),
    ),
    max_size=20,
)  # fmt: skip


def text(word: str, width: int) -> bytes:
    return word.encode().ljust(width, b"\0")


def metadata(version: int, ts_out: bool = False) -> bytes:
    """Of two symbols, one of which was renamed; written by Databento's description."""
    width = 22 if version == 1 else 71
    head = text("XNAS.ITCH", 16) + struct.pack("<HQQQ", 0, 10, 20, 0)
    if version == 1:
        head += struct.pack("<Q", 7)
    head += struct.pack("<BBB", 1, 0, ts_out)
    if version > 1:
        head += struct.pack("<H", width)
    body = head.ljust(100, b"\0") + struct.pack("<I", 0)
    for words in (["AAPL", "META"], ["META"], []):
        body += struct.pack("<I", len(words)) + b"".join(text(word, width) for word in words)
    body += struct.pack("<I", 2)
    for symbol, spans in (
        ("AAPL", [(20200101, 20210101, "32")]),
        ("META", [(20200101, 20200601, "77"), (20200601, 20210101, "78")]),
    ):
        body += text(symbol, width) + struct.pack("<I", len(spans))
        for start, end, number in spans:
            body += struct.pack("<II", start, end) + text(number, width)
    return b"DBN" + bytes([version]) + struct.pack("<I", len(body)) + body


def order(values: Order, ts_out: bool = False) -> bytes:
    publisher, instrument, ts_event, number, price, size, flags, channel, action, side, *rest = (
        values
    )
    raw = struct.pack("<BBHIQ", 16 if ts_out else 14, 0xA0, publisher, instrument, ts_event)
    raw += struct.pack("<QqIBBcc", number, price, size, flags, channel, action, side)
    return raw + struct.pack("<QiI", *rest) + (bytes(8) if ts_out else b"")


def other(kind: int, words: int) -> bytes:
    return bytes([words, kind]).ljust(4 * words, b"\x55")


def decoded(raw: bytes, cuts: list[int]) -> tuple[DbnDecoder, list[Order]]:
    decoder, found = DbnDecoder(), []
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        found += decoder.push(raw[start:end])[FIELDS].tolist()
    decoder.finish()
    return decoder, found


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([1, 2, 3]), ORDERS, st.booleans(), st.sampled_from(["plain", "one", "two"]),
    st.data(),
)  # fmt: skip
def test_every_version_plain_or_packed_cut_anywhere(
    version: int, orders: list[Order], ts_out: bool, packing: str, data: st.DataObject
) -> None:
    raw = metadata(version, ts_out)
    for values in orders:
        raw += order(values, ts_out) + other(0x13, 30)
    if packing == "one":
        raw = zstandard.ZstdCompressor().compress(raw)
    elif packing == "two":
        middle = data.draw(st.integers(1, len(raw) - 1))
        raw = b"".join(zstandard.compress(part) for part in (raw[:middle], raw[middle:]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=6)))
    decoder, found = decoded(raw, cuts)
    assert found == orders
    assert decoder.others == ({0x13: len(orders)} if orders else {})
    said = decoder.metadata
    assert said is not None
    assert (said.version, said.dataset, said.schema, said.ts_out) == (
        version, "XNAS.ITCH", 0, ts_out,
    )  # fmt: skip
    assert (said.start, said.end, said.limit, said.stype_in, said.stype_out) == (10, 20, None, 1, 0)
    assert (said.symbols, said.partial, said.not_found) == (["AAPL", "META"], ["META"], [])
    assert said.mappings == {
        "AAPL": [Interval(20200101, 20210101, "32")],
        "META": [Interval(20200101, 20200601, "77"), Interval(20200601, 20210101, "78")],
    }


@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_is_cut_short_gives_what_is_whole_and_says_so(packed: bool) -> None:
    orders = [(1, 2, 3, n, 5, 6, 128, 0, b"A", b"B", 9, 10, n) for n in range(40)]
    whole = metadata(3) + b"".join(map(order, orders))
    raw = zstandard.compress(whole) if packed else whole
    ends = {len(metadata(3)) + 56 * n for n in range(len(orders) + 1)}
    complete = {len(raw)} if packed else ends
    for end in range(len(raw) + 1):
        decoder = DbnDecoder()
        found = decoder.push(raw[:end])[FIELDS].tolist()
        assert found == orders[: len(found)]
        if end in complete:
            decoder.finish()
        else:
            with pytest.raises(Reject, match="truncated"):
                decoder.finish()


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"DBZ\x01" + bytes(200), "no_dbn"),
        (b"DBN\x09" + bytes(200), "bad_version: 9"),
        (b"DBN\x03" + struct.pack("<I", 12) + bytes(200), "bad_metadata"),
        (b"DBN\x02" + struct.pack("<I", 200) + b"\xff" * 200, "bad_metadata"),
        (
            b"DBN\x02" + struct.pack("<I", 120) + bytes(104) + b"\xff\xff\xff\x0f" + bytes(12),
            "bad_metadata: texts of 0 bytes",
        ),
        (metadata(3) + b"\x00" + bytes(60), "bad_record: a length of 0 bytes"),
        (metadata(3) + b"\x05\xa0" + bytes(60), "bad_record: a length of 20 bytes"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 40, "bad_zstd"),
    ],
)
def test_what_is_refused(raw: bytes, says: str) -> None:
    with pytest.raises(Reject, match=says):
        DbnDecoder().push(raw)


def test_the_sample_of_databento(shared_data: Path) -> None:
    raw = (shared_data / "dbn" / "XNAS.ITCH.mbo.dbn.zst").read_bytes()
    decoder, found = decoded(raw, [])
    said = decoder.metadata
    assert said is not None and (said.dataset, said.symbols) == ("XNAS.ITCH", ["NVDA"])
    assert said.mappings == {"NVDA": [Interval(20201228, 20201229, "6155")]}
    assert len(found) == said.limit == 4
    first = dict(zip(FIELDS, found[0], strict=True))
    assert (first["action"], first["side"], first["price"], first["size"]) == (
        b"A", b"B", 502 * 10**9, 2,
    )  # fmt: skip
    assert [name for bit, name in FLAGS.items() if first["flags"] & bit] == ["LAST"]
    assert (np.diff([row[FIELDS.index("sequence")] for row in found]) > 0).all()


def test_the_package_of_databento_shows_the_same_fields(shared_data: Path) -> None:
    raw = (shared_data / "dbn" / "XNAS.ITCH.mbo.dbn.zst").read_bytes()
    shown = databento.DBNStore.from_bytes(raw)
    decoder = DbnDecoder()
    found = decoder.push(raw)
    decoder.finish()
    theirs: list[Any] = list(shown)
    assert len(theirs) == len(found) == 4
    for ours, record in zip(found, theirs, strict=True):
        for name in ("publisher_id", "instrument_id", "ts_event", "order_id", "price", "size",
                     "channel_id", "ts_recv", "ts_in_delta", "sequence"):  # fmt: skip
            assert int(ours[name]) == getattr(record, name), name
        assert int(ours["flags"]) == int(record.flags)
        assert ours["action"].decode() == str(record.action)
        assert ours["side"].decode() == str(record.side)
    said, own = shown.metadata, decoder.metadata
    assert own is not None
    assert (own.version, own.dataset, own.limit) == (said.version, said.dataset, said.limit)
    assert (own.start, own.end, own.symbols) == (said.start, said.end, said.symbols)
    spans = [
        {"start": f"{span.start}", "end": f"{span.end}", "symbol": span.symbol}
        for span in own.mappings["NVDA"]
    ]
    assert spans == [
        {
            "start": f"{span['start_date']:%Y%m%d}",
            "end": f"{span['end_date']:%Y%m%d}",
            "symbol": span["symbol"],
        }
        for span in said.mappings["NVDA"]
    ]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_file_written_here_reads_the_same_there(version: int) -> None:
    orders = [(2, 32, 10 + n, n, -5 * n, n, 130, 0, b"A", b"B", 99, -1, n) for n in range(9)]
    raw = metadata(version) + b"".join(map(order, orders))
    shown: list[Any] = list(databento.DBNStore.from_bytes(raw))
    _, found = decoded(raw, [])
    theirs = [
        (r.publisher_id, r.instrument_id, r.ts_event, r.order_id, r.price, r.size, int(r.flags),
         r.channel_id, str(r.action).encode(), str(r.side).encode(), r.ts_recv, r.ts_in_delta,
         r.sequence)
        for r in shown
    ]  # fmt: skip
    assert theirs == found == orders
