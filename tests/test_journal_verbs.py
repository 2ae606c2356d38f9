"""`bursa journal ls|verify|cat|export`, in this process: over a journal at rest, over one that is
being written, and there and back by way of a recording.
"""

import csv
import errno
import gzip
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest
from rich.console import Console

from bursa import config
from bursa.config import Config
from bursa.feeds.capture import Recording
from bursa.journal.closed import Compressor
from bursa.journal.read import JournalReader
from bursa.journal.record import setting
from bursa.journal.segment import listing
from bursa.journal.write import JournalWriter
from bursa.model.batch import BLOCKS, FRAMES, LINES
from bursa.model.errors import Refuse
from bursa.ports import Frames
from bursa.verbs.journal import COLUMNS, run_cat, run_ls, run_verify
from bursa.verbs.journal_export import run_export
from bursa.verbs.replay import run_replay
from tests.pipeline import market, running

SCRIPT = market.channels(minutes=2, share=0.0)


def configured(data: Path) -> Config:
    return config.load({"data": str(data)}, {}).config


def quiet() -> Console:
    return Console(file=io.StringIO(), width=300)


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def fed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that a line fed, at rest."""
    data = tmp_path_factory.mktemp("fed") / "data"
    running.warm()
    store = running.open_store(data)
    venue = running.runtime(data, store, running.knobs())
    feed = running.Script(SCRIPT, Random(1), 20)
    venue.start([feed])
    running.until(feed.told.is_set, "the feed's end")
    assert venue.stop(running.RUN_S)
    store.close()
    folder = data / "journal" / "idx"
    keeper = Compressor(folder, lambda: listing(folder)[-1].base)
    while keeper.pump() is not None:
        pass
    return data


@pytest.fixture
def cat(capsys: pytest.CaptureFixture[str]) -> Callable[..., list[dict[str, Any]]]:
    """Records as `cat --json` tells them."""

    def cat(data: Path, begin: str = "", end: str = "", **chosen: Any) -> list[dict[str, Any]]:
        assert run_cat(configured(data), "", (begin, end), as_json=True, **chosen) == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return cat


def test_ls_tells_each_segment(fed: Path) -> None:
    folder = fed / "journal" / "idx"
    segments, records = listing(folder), list(JournalReader(folder).records())
    rows = json.loads(run_ls(configured(fed), "idx", "json"))
    assert [row["base"] for row in rows] == [s.base for s in segments]
    assert {row["state"] for row in rows} == {"packed", "plain", "open"}
    assert sum(row["records"] for row in rows) == len(records)
    assert sum(row["messages"] for row in rows) == sum(r.count for r in records)
    told = sum(of["bytes"] for row in rows for of in row["channels"].values())
    assert told == sum(len(r.payload) for r in records if r.kind == FRAMES)
    assert all(row["ratio"] > 1.5 for row in rows if row["state"] == "packed")
    table = list(csv.reader(io.StringIO(run_ls(configured(fed), "", "csv"))))
    assert tuple(table[0]) == COLUMNS and len(table) == len(rows) + 1
    assert f"({len(rows):,} rows)" in run_ls(configured(fed), "", "table")
    with pytest.raises(Refuse, match="allowed: table, json, csv"):
        run_ls(configured(fed), "", "xml")
    with pytest.raises(Refuse, match="no journal of binance"):
        run_ls(configured(fed), "binance", "table")


def test_verify_tells_where_damage_lies(fed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = quiet()
    assert run_verify(configured(fed), "", as_json=False, say=out, warn=quiet()) == 0
    assert "no damage" in said(out)
    segment = next(s for s in listing(fed / "journal" / "idx") if not s.packed)
    records = JournalReader(fed / "journal" / "idx").records()
    hit = [r for r in records if segment.base <= r.start < segment.end and r.payload][3]
    whole = segment.path.read_bytes()
    spoiled = bytearray(whole)
    spoiled[hit.start - segment.base + 90] ^= 16
    segment.path.write_bytes(spoiled)
    try:
        out = quiet()
        assert run_verify(configured(fed), "idx", as_json=False, say=out, warn=quiet()) == 1
        assert f"at {hit.start:}, {segment.path.name} at {hit.start - segment.base}" in said(out)
        assert run_verify(configured(fed), "", as_json=True, say=quiet(), warn=quiet()) == 1
        [place] = json.loads(capsys.readouterr().out)["damaged"]
        assert place == {
            "position": hit.start,
            "bytes": hit.position - hit.start,
            "reason": "checksum",
            "segment": segment.path.name,
            "offset": hit.start - segment.base,
        }
    finally:
        segment.path.write_bytes(whole)


def test_verify_tells_what_was_healed(fed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    segment = next(s for s in listing(fed / "journal" / "idx") if s.packed)
    records = list(JournalReader(fed / "journal" / "idx").records())
    whole = segment.path.read_bytes()
    for at, part in ((5_000, "frame"), (len(whole) - 3, "table"), (len(whole) - 60, "parity")):
        spoiled = bytearray(whole)
        spoiled[at] ^= 16
        segment.path.write_bytes(spoiled)
        try:
            out = quiet()
            assert run_verify(configured(fed), "idx", as_json=False, say=out, warn=quiet()) == 1
            assert f"healed: 1 bytes of {segment.path.name} at {at} ({part})" in said(out)
            assert "no damage; 1 places are damaged on disk and healed" in said(out)
            assert run_verify(configured(fed), "", as_json=True, say=quiet(), warn=quiet()) == 1
            told = json.loads(capsys.readouterr().out)
            assert (told["ok"], told["damaged"], told["records"]) == (False, [], len(records))
            [place] = told["healed"]
            assert (place["segment"], place["offset"], place["bytes"], place["part"]) == (
                *(segment.path.name, at, 1, part),
            )
            assert segment.base <= place["position"] <= segment.end
        finally:
            segment.path.write_bytes(whole)


def test_cat_tells_the_records_of_a_part(
    fed: Path, cat: Callable[..., list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    records = list(JournalReader(fed / "journal" / "idx").records())
    every = cat(fed)
    assert [r["position"] for r in every] == [r.position for r in records]
    assert [r["length"] for r in every] == [len(r.payload) for r in records]
    for begin, end in ((10, 40), (records[-5].position // 1, 1 << 40), (0, records[2].position)):
        low = records[begin].position if begin < len(records) else begin
        high = records[end].position if end < len(records) else end
        found = [r["position"] for r in cat(fed, str(low + 1), str(high))]
        assert found == [r.position for r in records if low < r.position <= high]
    ups = cat(fed, kind="up")
    assert ups and {r["kind"] for r in ups} == {"up"}
    of = cat(fed, channel="itchdata", kind="messages", limit=7)
    assert len(of) == 7 and {r["channel"] for r in of} == {"itchdata"}
    dated = [r for r in records if r.ts_recv > 0]
    middle = dated[len(dated) // 2].ts_recv
    later = [r for r in records if r.ts_recv >= middle]
    when = f"{middle // 10**9}"
    assert run_cat(configured(fed), "", ("", ""), limit=3) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert later and when
    for kwargs, words in (
        ({"channel": "x"}, "allowed: idxdata, itchdata"),
        ({"kind": "x"}, "allowed: messages, clock"),
    ):
        with pytest.raises(Refuse, match=words):
            cat(fed, **kwargs)
    with pytest.raises(Refuse, match="a position, or a time"):
        cat(fed, "yesterday")


def test_a_range_of_times_and_what_lines_begin_with(
    tmp_path: Path, cat: Callable[..., list[dict[str, Any]]]
) -> None:
    folder, hour = tmp_path / "data" / "journal" / "binance", 3_600 * 10**9
    now = [1_763_683_200 * 10**9]  # 2025-11-21T00:00Z

    def clock() -> int:
        now[0] += hour
        return now[0]

    writer = JournalWriter(folder, "binance", now_ns=clock, segment_bytes=4_000)
    writer.append([setting({"kinds": {"binance.quotes.store": "off"}})])
    for n in range(20):
        writer.append([Frames(0, LINES, "", 0, 1, 0, b'{"n":%d}' % n + b" " * 900)])
    writer.close()
    data = tmp_path / "data"
    assert len(listing(folder)) > 3
    found = cat(data, "2025-11-21T06:30Z", "2025-11-21T09:00Z", kind="messages")
    records = [r for r in JournalReader(folder).records() if r.kind == FRAMES]
    low, high = 1_763_706_600 * 10**9, 1_763_715_600 * 10**9
    assert [r["position"] for r in found] == [
        r.position for r in records if low <= r.ts_recv < high
    ]
    assert found and found[0]["begins"].startswith('{"n":')
    assert "binance.quotes.store" in cat(data, kind="setting")[0]["begins"]


def replayed(data: Path, file: Path, venue: str) -> None:
    assert run_replay(configured(data), file, venue, say=quiet(), warn=quiet()) == 0


# Where a day is sent as fast as it goes, the channels of idx are far apart: bars know of the books
# what came by then, and close by what of their own channel came next.
BOOKS_THEN = {"ohlcv": "bid_volume, ask_volume, nth", "metrics": "book_imbalance"}


def tables(data: Path, venue: str, without: tuple[str, ...]) -> dict[str, list[tuple[Any, ...]]]:
    """Kind -> rows in any order, but for columns that tell how the bytes were journalled."""
    found = {}
    with duckdb.connect(str(data / "hot.duckdb"), read_only=True) as connection:
        for kind in ("ticks", "quotes", "ohlcv", "metrics", "snapshot", "orderbook", "index"):
            columns = f"* exclude ({', '.join(without)})"
            text = f"select {columns} from {venue}_{kind} order by all"
            if kind in ("ohlcv", "metrics"):
                text = text.replace("exclude (", "exclude (known_at, ")
            if venue == "idx" and kind in BOOKS_THEN:
                text = text.replace("exclude (", f"exclude ({BOOKS_THEN[kind]}, ")
            found[kind] = connection.execute(text).fetchall()
    return found


@pytest.mark.parametrize("packed", [False, True])
def test_an_idx_journal_comes_back_by_way_of_a_recording(
    fed: Path, tmp_path: Path, packed: bool
) -> None:
    file = tmp_path / ("day.bin.gz" if packed else "day.bin")
    first = tmp_path / "first"
    out = quiet()
    code = run_export(
        configured(fed), file, "", ("", ""), day="", force=False, say=out, warn=quiet()
    )
    sent = sum(r.count for r in JournalReader(fed / "journal" / "idx").records())
    assert code == 0 and f"{sent:,} messages of idx" in said(out)
    assert not list(tmp_path.glob("*.part"))
    if packed:
        assert gzip.decompress(file.read_bytes())[:2] != b"\x1f\x8b"
    replayed(first, file, "idx")
    # What the line alone knew, its sessions and cuts, is not in a recording: bars may close later.
    how = ("position", "ts_recv")
    mine, theirs = tables(fed, "idx", how), tables(first, "idx", how)
    assert mine["ticks"] == theirs["ticks"] and mine["ticks"]
    assert mine["orderbook"] == theirs["orderbook"] and mine["orderbook"]
    again = tmp_path / file.name.replace("day", "again")
    run_export(configured(first), again, "", ("", ""), day="", force=False, say=out, warn=out)
    second = tmp_path / "second"
    replayed(second, again, "idx")
    assert tables(first, "idx", ("position",)) == tables(second, "idx", ("position",))


def export(data: Path, file: Path, begin: str = "", *, force: bool = False) -> tuple[int, str]:
    """Its exit code, and what it warns of."""
    warn = quiet()
    code = run_export(
        configured(data), file, "", (begin, ""), day="", force=force, say=quiet(), warn=warn
    )
    return code, said(warn)


def test_an_export_that_lacks_what_is_damaged_says_so(fed: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(fed, data)
    assert export(data, tmp_path / "whole")[0] == 0
    last = listing(data / "journal" / "idx")[-1]
    raw = bytearray(last.path.read_bytes())
    raw[4_000] ^= 0xFF
    last.path.write_bytes(raw)
    code, warned = export(data, tmp_path / "torn")
    assert code == 1 and "not whole" in warned and "are damaged" in warned
    assert 0 < (tmp_path / "torn").stat().st_size < (tmp_path / "whole").stat().st_size


def test_what_is_no_file_is_never_replaced(fed: Path, tmp_path: Path) -> None:
    folder, pipe = tmp_path / "folder", tmp_path / "pipe"
    folder.mkdir()
    os.mkfifo(pipe)
    for it in (folder, pipe):
        with pytest.raises(Refuse, match="is no file"):
            export(fed, it, force=True)
        with pytest.raises(Refuse, match="is no file"):
            Recording(it, 2, lambda: None, force=True)
    assert folder.is_dir() and pipe.is_fifo() and len(list(tmp_path.iterdir())) == 2


def test_an_export_to_a_full_disk_is_refused(
    fed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("bursa.verbs.journal_export.os.fsync", full)
    with pytest.raises(Refuse, match="cannot be written: No space left"):
        export(fed, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("begin", ["\u00b2", "\u0663", "9" * 30, "-5", "2026-13-01"])
def test_a_bound_that_is_none_is_refused(fed: Path, tmp_path: Path, begin: str) -> None:
    with pytest.raises(Refuse, match="a position, or a time"):
        export(fed, tmp_path / "out", begin)


def test_lines_keep_their_receive_times(tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "binance-spot-btcusdt-20240808.gz"
    lines = gzip.decompress(source.read_bytes()).splitlines(keepends=True)[:3_000]
    whole, first, second = tmp_path / "whole", tmp_path / "first", tmp_path / "second"
    whole.write_bytes(b"".join(lines))
    replayed(first, whole, "binance")
    out = tmp_path / "out.gz"
    bounds = ("", "")
    day = "2024-08-08"  # it ends within that day
    run_export(configured(first), out, "", bounds, day=day, force=False, say=quiet(), warn=quiet())
    assert gzip.decompress(out.read_bytes()) == b"".join(lines)
    replayed(second, out, "binance")
    assert tables(first, "binance", ("position",)) == tables(second, "binance", ("position",))
    for wrong, words in ((("", "x"), "a position, or a time"), (bounds, "is there already")):
        with pytest.raises(Refuse, match=words):
            file = out if wrong == bounds else tmp_path / "new"
            run_export(
                configured(first), file, "", wrong, day="", force=False, say=quiet(), warn=quiet()
            )
    nothing = tmp_path / "nothing"
    code = run_export(
        configured(first),
        nothing,
        "",
        bounds,
        day="2020-01-01",
        force=False,
        say=quiet(),
        warn=quiet(),
    )
    assert code == 1 and not list(tmp_path.glob("nothing*"))


def test_what_has_no_receive_time_is_in_no_day(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "journal" / "idx"
    writer = JournalWriter(folder, "idx", now_ns=lambda: 1)
    writer.append([Frames(0, BLOCKS, "", 1, 1, -1, b"\x00\x011")])
    writer.close()
    with pytest.raises(Refuse, match="without receive times"):
        run_export(
            configured(tmp_path / "data"), tmp_path / "out", "", ("", ""), day="2025-11-21",
            force=False, say=quiet(), warn=quiet(),
        )  # fmt: skip


def test_a_journal_that_is_being_written_is_read(
    tmp_path: Path, cat: Callable[..., list[dict[str, Any]]]
) -> None:
    data = tmp_path / "data"
    folder = data / "journal" / "idx"
    writer = JournalWriter(folder, "idx", now_ns=lambda: 1, segment_bytes=20_000)
    keeper = Compressor(folder, lambda: writer.base)
    for n in range(60):
        writer.append([Frames(0, BLOCKS, "", n + 1, 1, 0, b"\x07\xd01" + bytes(1_999))])
        keeper.index()
        keeper.pump()
        if n % 10 == 9:
            assert [r["position"] for r in cat(data)][-1] == writer.position
            rows = json.loads(run_ls(configured(data), "", "json"))
            assert sum(row["messages"] for row in rows) == n + 1
            assert run_verify(configured(data), "", as_json=False, say=quiet(), warn=quiet()) == 0
    writer.close()
