"""Binance's JSON: a recording whose facts are known, made-up streams, and bad input."""

import gzip
import json
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bursa.model.batch import (
    CHANNEL_DOWN,
    CHANNEL_UP,
    CLOCK,
    DOWN,
    END_OF_FILE,
    END_OF_SESSION,
    FILE_END,
    FRAMES,
    LINES,
    MARK,
    SESSION_END,
    SOUPBIN,
    SPAN_COUNT,
    SPAN_ROWS,
    TAPE_ROLE,
    TRADE,
    UP,
    Chunk,
    Span,
    Words,
)
from bursa.model.schema import TICKS
from bursa.model.venue import BINANCE
from bursa.wire.binance.decoder import DIGITS_TRADES, BinanceDecoder
from bursa.wire.decoded import Decoded
from tests.recording import BARS

RECORDING = "binance-spot-btcusdt-20240808.gz"
T0 = 1_723_161_255_342
RECV = 1_723_161_254_000_000_000
Record = tuple[int, int, int, bytes]  # kind, form, ts_recv, payload


def chunks(records: Sequence[Record], size: int | None = None) -> Iterator[Chunk]:
    """Records as the journal hands them on, `size` in a chunk."""
    position = 0
    size = size or max(len(records), 1)
    for start in range(0, len(records), size):
        part = records[start : start + size]
        first, buffer = position, bytearray()
        spans = np.zeros((SPAN_ROWS, len(part)), np.int64)
        for at, (kind, form, ts_recv, payload) in enumerate(part):
            begin = len(buffer)
            buffer += payload
            position += 64 + len(payload)
            spans[: SPAN_COUNT + 1, at] = (
                *(kind, form, 0, begin, len(buffer)),
                *(ts_recv, position, 0, 1),
            )
        frames = np.frombuffer(buffer, np.uint8) if buffer else np.empty(0, np.uint8)
        yield Chunk(frames, spans, Span("binance", 1, first, position))


def frames(*lines: bytes | dict[str, Any]) -> list[Record]:
    """A record of each line; a dict becomes JSON."""
    return [
        (FRAMES, LINES, RECV + at, line if isinstance(line, bytes) else json.dumps(line).encode())
        for at, line in enumerate(lines)
    ]


def decoder() -> BinanceDecoder:
    return BinanceDecoder(BINANCE, Words(BINANCE.boards, [c.name for c in BINANCE.channels]))


def decode(records: Sequence[Record]) -> Decoded:
    (chunk,) = chunks(records)
    return decoder().push(chunk)


def rows(decoded: Decoded, kind: str) -> list[dict[str, Any]]:
    batch = decoded.batches.get(kind)
    return batch.to_arrow().to_pylist() if batch else []


def trade(number: int, **other: Any) -> dict[str, Any]:
    time = T0 + number
    fields = {"s": "BTCUSDT", "t": number, "p": "61837.63000000", "q": "0.02000000"}
    data = {"e": "trade", "E": time, **fields, "T": time, "m": True, "M": True, **other}
    return {"stream": "btcusdt@trade", "data": data}


def ticker(update: int, **other: Any) -> dict[str, Any]:
    data = {"u": update, "s": "BTCUSDT", "b": "9.90", "B": "1.5", "a": "10.10", "A": "2.5"}
    return {"stream": "btcusdt@bookTicker", "data": {**data, **other}}


def depth(first: int, last: int, **other: Any) -> dict[str, Any]:
    data = {"e": "depthUpdate", "E": T0 + last, "s": "BTCUSDT", "U": first, "u": last}
    levels = {"b": [["9.90", "1.0"]], "a": [["10.10", "2.0"], ["10.20", "0"]]}
    return {"stream": "btcusdt@depth@100ms", "data": {**data, **levels, **other}}


def snapshot(last: int, **other: Any) -> dict[str, Any]:
    levels = {"bids": [["9.80", "4.00"]], "asks": [["10.20", "5.125"], ["10.30", "1"]]}
    return {"lastUpdateId": last, **levels, **other}


@pytest.fixture(scope="module")
def recording(shared_data: Path) -> list[Record]:
    with gzip.open(shared_data / RECORDING, "rb") as file:
        split = [line.rstrip(b"\n").split(b" ", 1) for line in file]
    found = [(FRAMES, LINES, int(ts), line) for ts, line in split]
    return [*found, (END_OF_FILE, 0, found[-1][2], b"")]


@pytest.fixture(scope="module")
def whole(recording: list[Record]) -> Decoded:
    return decode(recording)


def test_the_recording_is_taken_whole(whole: Decoded) -> None:
    assert {kind: len(batch) for kind, batch in whole.batches.items()} == {
        "ticks": 9_757,
        "quotes": 28_040,
        "orderbook": 2 * (3_451 - 3 + 1),
        "contracts": 1,
        "status": 1,
    }
    assert whole.counts == {"messages": 41_249, "depth_held": 3}
    assert not whole.rejects
    (contract,) = rows(whole, "contracts")
    assert contract["ticker"] == "BTCUSDT"
    assert (contract["price_decimals"], contract["volume_decimals"]) == (2, 5)
    assert rows(whole, "status")[0]["state"] == "end_of_file"


def test_ticks_are_the_wires_decimals(recording: list[Record], whole: Decoded) -> None:
    sent = [json.loads(line)["data"] for *_, line in recording if b'"e":"trade"' in line]
    ticks = whole.batches["ticks"]
    assert ticks.column("trade_no").tolist() == list(range(3_735_683_259, 3_735_693_016))
    assert ticks.column("seq").tolist() == [m["t"] for m in sent]
    assert ticks.column("ts").tolist() == [m["T"] * 1_000_000 for m in sent]
    assert ticks.column("price").tolist() == [float(m["p"]) for m in sent]
    assert ticks.column("volume").tolist() == [float(m["q"]) for m in sent]
    assert ticks.text("aggressor") == ["S" if m["m"] else "B" for m in sent]
    assert set(ticks.text("board")) == {"SPOT"}


def test_ticks_make_the_bars_that_are_known(whole: Decoded) -> None:
    ticks = whole.batches["ticks"]
    minute = ticks.column("ts") // 60_000_000_000 * 60_000
    price, volume = ticks.column("price"), ticks.column("volume")
    found = {}
    for at in np.unique(minute).tolist():
        p, v = price[minute == at], volume[minute == at]
        total = np.rint(v * 1e8).astype(np.int64).sum() / 1e8
        found[at] = (p[0], p.max(), p.min(), p[-1], total, len(p))
    assert found == BARS


def test_the_book_equals_book_ticker_at_every_shared_update_id(
    whole: Decoded, capsys: pytest.CaptureFixture[str]
) -> None:
    quotes, books = whole.batches["quotes"], whole.batches["orderbook"]
    assert books.levels is not None
    first = np.concatenate(([0], np.cumsum(books.column("depth"))[:-1]))
    prices, volumes = (books.levels[row].view(np.float64)[first].tolist() for row in (0, 1))
    best: dict[int, list[float]] = {}
    for seq, price, volume in zip(books.column("seq").tolist(), prices, volumes, strict=True):
        best.setdefault(seq, []).extend((price, volume))  # the bid's row, then the ask's
    names = ("bid", "bid_volume", "ask", "ask_volume")
    columns = (quotes.column(name).tolist() for name in names)
    told = dict(
        zip(quotes.column("seq").tolist(), map(list, zip(*columns, strict=True)), strict=True)
    )
    shared = sorted(best.keys() & told.keys())
    with capsys.disabled():
        print(f"\nbook = bookTicker at {len(shared)} shared update ids")
    assert len(shared) == 564
    assert [best[at] for at in shared] == [told[at] for at in shared]


def test_the_watermark_runs_on_the_tape(whole: Decoded) -> None:
    tape = whole.tape
    marks = tape[TICKS.index["ts"], tape[TAPE_ROLE] == MARK] // 1_000_000_000
    assert (np.diff(marks) > 0).all()
    assert tape[TAPE_ROLE, -1] == FILE_END
    seconds = {at // 1_000_000_000 for at in tape[TICKS.index["ts"]].tolist()}
    assert seconds == set(range(min(seconds), max(seconds) + 1))
    trades = tape[: len(TICKS.columns), tape[TAPE_ROLE] == TRADE]
    np.testing.assert_array_equal(trades, whole.batches["ticks"].block)


def test_read_twice_it_adds_nothing(recording: list[Record]) -> None:
    taker = decoder()
    for chunk in chunks(recording):
        taker.push(chunk)
    again = [taker.push(chunk) for chunk in chunks(recording, 10_000)]
    (whole,) = chunks(recording)
    assert not any(found.batches or found.tape.size or found.rejects for found in again)
    assert sum(found.counts["duplicates"] for found in again) == 41_249
    assert again[-1].end == whole.span.last


def same(parts: Sequence[Decoded], whole: Decoded) -> None:
    np.testing.assert_array_equal(np.concatenate([p.tape for p in parts], axis=1), whole.tape)
    for kind, batch in whole.batches.items():
        found = [p.batches[kind] for p in parts if kind in p.batches]
        np.testing.assert_array_equal(
            np.concatenate([b.block for b in found], axis=1), batch.block, kind
        )
        if batch.levels is not None:
            levels = [b.levels for b in found if b.levels is not None]
            np.testing.assert_array_equal(np.concatenate(levels, axis=1), batch.levels)
    assert [r for p in parts for r in p.rejects] == list(whole.rejects)


def awkward() -> list[Record]:
    """A short stream with everything in it."""
    return [
        (UP, 0, RECV, b""),
        *frames(trade(5), b"{half", depth(1, 4), ticker(4), depth(5, 9), trade(6), trade(9)),
        *frames(snapshot(4), ticker(4), ticker(7), depth(10, 11), depth(14, 2_000), trade(7)),
        (DOWN, 0, RECV, b"away"),
        (CLOCK, 0, RECV, (1_723_161_299_000_000_000).to_bytes(8, "little")),
        (UP, 0, RECV, b""),
        *frames(trade(12, s="ETHUSDT"), trade(20), snapshot(1_999), depth(2_001, 2_002), trade(20)),
        (END_OF_SESSION, 0, RECV, b""),
        (END_OF_FILE, 0, RECV, b""),
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_any_cut_and_any_restart_give_the_same(size: int) -> None:
    whole = decode(awkward())
    taker = decoder()
    parts = []
    for chunk in chunks(awkward(), size):
        after = BinanceDecoder(BINANCE, Words(BINANCE.boards, ["stream"]))
        state, words = pickle.loads(pickle.dumps((taker.snapshot(), taker._words.snapshot())))
        after._words.restore(words)
        after.restore(state)
        parts.append(after.push(chunk))
        taker = after
    same(parts, whole)


def test_any_cut_of_the_recording_gives_the_same(recording: list[Record], whole: Decoded) -> None:
    taker = decoder()
    same([taker.push(chunk) for chunk in chunks(recording, 997)], whole)


def test_raw_messages_say_what_combined_ones_do() -> None:
    combined = [trade(5), depth(1, 4), snapshot(4), depth(5, 9), ticker(4), trade(6)]
    raw = [message.get("data", message) for message in combined]
    found, plain = decode(frames(*combined)), decode(frames(*raw))
    for kind, batch in found.batches.items():
        other = plain.batches[kind]
        position = batch.kind.index["position"]
        np.testing.assert_array_equal(
            np.delete(batch.block, position, 0), np.delete(other.block, position, 0)
        )
    assert plain.counts == found.counts


def test_several_lines_in_one_record() -> None:
    lines = b"\n".join(json.dumps(trade(n)).encode() for n in (5, 6)) + b"\r\n\n"
    found = decode([(FRAMES, LINES, RECV, lines)])
    assert [row["trade_no"] for row in rows(found, "ticks")] == [5, 6]


@pytest.mark.parametrize("message", [trade(6), ticker(6), depth(5, 9), snapshot(4)])
def test_a_line_cut_in_half_at_every_byte(message: dict[str, Any]) -> None:
    start = [trade(5), depth(1, 4)]
    line = json.dumps(message).encode()
    untouched = decode(frames(*start, trade(7)))
    for cut in range(1, len(line)):
        halves = line[:cut], line[cut:]
        found = decode(frames(*start, *halves, trade(7)))
        assert [r.payload for r in found.rejects] == [half for half in halves if half.strip()]
        assert {r.reason for r in found.rejects} <= {"bad_json", "bad_type", "unknown_event"}
        assert rows(found, "ticks")[1]["trade_no"] == rows(untouched, "ticks")[1]["trade_no"] == 7


BAD = [
    (b"[1, 2]", "bad_type"),
    (b"\xff\xfe{}", "bad_json"),
    (b'{"x": ' + b"[" * 100_000, "bad_json"),
    (b'{"stream": "' + b"\xff" * 9 + b'"}', "bad_json"),
    (b"{}", "unknown_event"),
    (trade(6, T=RECV // 1_000_000 + 86_500_000), "bad_ts"),
    (depth(5, 9, E=RECV // 1_000_000 + 86_500_000), "bad_ts"),
    (b"not json", "bad_json"),
    ({"e": "kline", "k": {}}, "unknown_event"),
    ({"stream": "btcusdt@kline_1m", "data": {"e": "kline"}}, "unknown_event"),
    ({"stream": "btcusdt@trade"}, "bad_json"),
    ({"stream": "btcusdt@trade", "data": ticker(9)["data"]}, "bad_type"),
    ({"stream": 5, "data": {}}, "bad_type"),
    (trade(6, e="aggTrade"), "bad_type"),
    (trade(6, p=61837.63), "bad_type"),
    (trade(6, p=None), "bad_type"),
    (trade(6, t="6"), "bad_type"),
    (trade(6, t=-6), "bad_type"),
    (trade(6, t=6.5), "bad_type"),
    (trade(6, t=2**63), "bad_type"),
    (trade(6, m="yes"), "bad_type"),
    (trade(6, p="-1.0"), "bad_number"),
    (trade(6, p="0.00000000"), "bad_number"),
    (trade(6, q="0.00000000"), "bad_number"),
    (trade(6, p="nan"), "bad_number"),
    (trade(6, p="inf"), "bad_number"),
    (trade(6, p="1e5"), "bad_number"),
    (trade(6, p="1_0"), "bad_number"),
    (trade(6, p=" 1"), "bad_number"),
    (trade(6, p=""), "bad_number"),
    (trade(6, p="1.2.3"), "bad_number"),
    (trade(6, p="9" * 400), "bad_number"),
    (trade(6, p="\u0661"), "bad_number"),
    (trade(6, T=0), "bad_number"),
    (trade(6, T=T0 * 10), "bad_number"),
    (trade(6, s="btcusdt"), "bad_symbol"),
    (trade(6, s=""), "bad_symbol"),
    (trade(6, s="X" * 60), "bad_symbol"),
    (ticker(6, b="-9.9"), "bad_number"),
    (ticker(6, u=None), "bad_type"),
    (depth(5, 9, b=[["1.0"]]), "bad_type"),
    (depth(5, 9, b=[["1.0", 2]]), "bad_type"),
    (depth(5, 9, b="9.9"), "bad_type"),
    (depth(5, 9, b=[["-1.0", "1.0"]]), "bad_number"),
    (depth(5, 9, a=[["1.0", "-1.0"]]), "bad_number"),
    (depth(5, 9, a=[["0.0", "1.0"]]), "bad_number"),
    (depth(9, 5), "bad_number"),
    (depth(5, 9, E=1), "bad_number"),
    (snapshot(4, bids=None), "bad_type"),
    (snapshot(4, asks=[["0", "1"]]), "bad_number"),
]


@pytest.mark.parametrize(("message", "reason"), BAD)
def test_bad_messages_are_refused_and_change_nothing(
    message: bytes | dict[str, Any], reason: str
) -> None:
    before, after = [trade(5), depth(1, 4)], [snapshot(4), depth(5, 9), ticker(9), trade(6)]
    found = decode(frames(*before, message, *after))
    plain = decode(frames(*before, *after))
    (reject,) = found.rejects
    line = message if isinstance(message, bytes) else json.dumps(message).encode()
    assert (reject.reason, reject.payload) == (reason, line[:65_536])
    assert reject.channel == 0
    assert reject.position > 0
    assert found.counts[f"rejected_{reason}"] == 1
    assert {kind: len(b) for kind, b in found.batches.items()} == {
        kind: len(b) for kind, b in plain.batches.items()
    }
    for kind in ("ticks", "orderbook"):
        for row, other in zip(rows(found, kind), rows(plain, kind), strict=True):
            for name in ("position", "ts_recv"):
                del row[name], other[name]
            assert row == other


def test_other_framing_is_refused_whole() -> None:
    found = decode([(FRAMES, SOUPBIN, RECV, b"\x00\x01H")])
    assert [(r.reason, r.payload) for r in found.rejects] == [("wrong_form", b"\x00\x01H")]


def test_service_messages_are_counted() -> None:
    found = decode(
        frames({"result": None, "id": 1}, {"error": {"code": 2}, "id": 3}, {"e": "serverShutdown"})
    )
    assert not found.rejects
    counted = {"service_answers": 1, "service_errors": 1, "server_shutdown": 1}
    assert found.counts == {"messages": 3, **counted}


def test_a_gap_of_trade_ids_is_told_and_filled_late() -> None:
    found = decode(frames(trade(5), trade(6), trade(9), trade(8), trade(9), trade(7), trade(7)))
    assert [row["trade_no"] for row in rows(found, "ticks")] == [5, 6, 9, 8, 7]
    (gap,) = rows(found, "status")
    assert (gap["state"], gap["seq_from"], gap["seq_to"]) == ("gap", 7, 8)
    assert (gap["ts_from"], gap["ts"]) == ((T0 + 6) * 10**6, (T0 + 9) * 10**6)
    assert (gap["cause"], gap["next_seq"]) == ("jump", 9)
    assert found.counts == {"messages": 7, "gaps": 1, "missing": 2, "duplicates": 2}


def test_a_gap_says_what_befell_the_channel() -> None:
    records = [
        *frames(trade(5), trade(6, p="?"), trade(7)),
        (DOWN, 0, RECV, b"away"),
        (UP, 0, RECV, b""),
        *frames(trade(9), trade(11)),
    ]
    causes = [row["cause"] for row in rows(decode(records), "status") if row["state"] == "gap"]
    assert causes == ["refused", "down", "jump"]


def test_a_break_of_the_depth_stream_waits_for_a_snapshot() -> None:
    stream = [depth(1, 4), snapshot(4), depth(5, 6), depth(9, 10), depth(11, 12), snapshot(6)]
    found = decode(frames(*stream, snapshot(11), depth(13, 14), depth(13, 14)))
    books = rows(found, "orderbook")
    assert [row["seq"] for row in books] == [4, 4, 6, 6, 12, 12, 14, 14]
    (gap,) = rows(found, "status")
    assert (gap["state"], gap["seq_from"], gap["seq_to"]) == ("gap", 7, 8)
    assert found.counts == {
        "messages": 9,
        "depth_held": 3,
        "gaps": 1,
        "missing": 2,
        "snapshots_stale": 1,
        "duplicates": 1,
    }
    assert books[2]["side"] == "bid"
    assert (books[2]["prices"], books[2]["volumes"]) == ([9.9, 9.8], [1.0, 4.0])
    assert books[2]["orders"] == [-1, -1]
    assert (books[3]["prices"], books[3]["volumes"]) == ([10.1, 10.3], [2.0, 1.0])
    assert books[3]["ts"] == (T0 + 6) * 10**6
    assert books[3]["depth"] == 2


def test_an_emptied_side_is_a_row_without_levels() -> None:
    found = decode(frames(depth(1, 4), snapshot(4, bids=[], asks=[])))
    assert [(row["depth"], row["prices"]) for row in rows(found, "orderbook")] == [(0, []), (0, [])]
    quote = decode(frames(ticker(4, b="0.00", B="0.00")))
    assert [(row["bid"], row["bid_volume"], row["ask"]) for row in rows(quote, "quotes")] == [
        (None, None, 10.1)
    ]


def test_a_snapshot_belongs_to_the_only_book_or_to_its_stream() -> None:
    other = depth(1, 4, s="ETHUSDT")
    named = {"stream": "ethusdt@depthSnapshot", "data": snapshot(4)}
    found = decode(frames(snapshot(4), depth(1, 4), other, snapshot(4), named))
    assert [r.reason for r in found.rejects] == ["no_symbol", "no_symbol"]
    assert {row["ticker"] for row in rows(found, "orderbook")} == {"ETHUSDT"}


def test_contracts_tell_the_decimals_that_are_used() -> None:
    by_snapshot = rows(decode(frames(depth(1, 4), snapshot(4), trade(5))), "contracts")
    assert [(c["price_decimals"], c["volume_decimals"]) for c in by_snapshot] == [(1, 3)]
    trades = [trade(n, p=f"1.{n % 8}5000", q="3.00000000") for n in range(1, DIGITS_TRADES + 5)]
    assert not rows(decode(frames(*trades[: DIGITS_TRADES - 1])), "contracts")
    by_trades = rows(decode(frames(*trades, depth(1, 4), snapshot(4))), "contracts")
    assert [(c["price_decimals"], c["volume_decimals"]) for c in by_trades] == [(2, 0)]
    assert by_trades[0]["lot"] == 1


def test_times_may_be_microseconds() -> None:
    found = decode(frames(trade(5, T=T0 * 1_000 + 7)))
    assert rows(found, "ticks")[0]["ts"] == (T0 * 1_000 + 7) * 1_000


def test_a_source_without_receive_times_has_the_events_own() -> None:
    lines = [json.dumps(m).encode() for m in (ticker(1), trade(5), ticker(2), depth(1, 4))]
    found = decode([(FRAMES, LINES, -1, line) for line in lines])
    assert rows(found, "ticks")[0]["ts_recv"] == (T0 + 5) * 10**6
    assert [row["ts"] for row in rows(found, "quotes")] == [(T0 + 5) * 10**6]
    assert found.counts["undated"] == 1


def test_what_the_feed_says_goes_on_the_tape() -> None:
    found = decode(awkward())
    tape = found.tape[TAPE_ROLE].tolist()
    roles = [role for role in tape if role not in (TRADE, MARK)]
    assert roles == [CHANNEL_UP, CHANNEL_DOWN, CHANNEL_UP, SESSION_END, FILE_END]
    assert tape[tape.index(CHANNEL_DOWN) + 1] == MARK  # the clock's
    states = [row["state"] for row in rows(found, "status")]
    assert [s for s in states if s != "gap"] == ["down", "up", "E", "end_of_file"]


def test_a_line_whose_process_was_killed_was_away_though_nobody_said_so() -> None:
    """Without numbers of its own nothing else tells that something may be lost meanwhile."""
    up = (UP, 0, RECV, b"")
    found = decode([up, *frames(trade(5)), up, *frames(trade(6)), (DOWN, 0, RECV, b"away"), up])
    told = [(row["state"], row["ts"]) for row in rows(found, "status")]
    first, second = (T0 + 5) * 10**6, (T0 + 6) * 10**6
    assert told == [("down", first), ("up", first), ("down", second), ("up", second)]


def test_an_end_is_told_once_until_there_is_news() -> None:
    end = (END_OF_FILE, 0, RECV, b"")
    assert not decode([end]).batches
    found = decode([*frames(trade(5)), end, *frames(trade(5)), end, *frames(trade(6)), end])
    assert [row["ts"] for row in rows(found, "status")] == [(T0 + n) * 10**6 for n in (5, 6)]
    assert found.tape[TAPE_ROLE].tolist() == [TRADE, FILE_END, TRADE, FILE_END]
