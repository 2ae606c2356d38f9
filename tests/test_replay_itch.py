"""A day of ITCH from its file to the tables, by what the command runs."""

import gzip
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bursa import config
from bursa.feeds.itch_file import ItchBlocks, day_of
from bursa.model.errors import Refuse
from bursa.model.venue import IDX, XNAS
from bursa.ports import Frames
from bursa.sources import recording
from bursa.verbs.replay import run_replay
from bursa.verbs.sql import run_sql
from tests import itch_day

OPENING = 1_580_394_600 * 10**9  # 2020-01-30 09:30 in New York
MINUTE = 60 * 10**9
BROKEN_AT = OPENING + 3 * MINUTE


def asked(data: Path, query: str) -> list[dict[str, Any]]:
    loaded = config.load({"data": str(data)}, {})
    rows: list[dict[str, Any]] = json.loads(run_sql(loaded.config, query, "json"))
    return rows


def replayed(data: Path, file: Path) -> None:
    loaded, said = config.load({"data": str(data)}, {}), Console(quiet=True)
    assert run_replay(loaded.config, file, "xnas", say=said, warn=said) == 0


def test_a_day_of_every_type_is_stored_and_replayed_again_adds_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    file = tmp_path / "01302020.NASDAQ_ITCH50.gz"
    file.write_bytes(gzip.compress(itch_day.file_of(itch_day.a_day())))
    replayed(data, file)
    ticks = asked(data, "select ticker, ts, trade_no, price, volume from xnas_ticks order by seq")
    assert [tuple(row.values()) for row in ticks] == [
        ("AAPL", OPENING + 1 * 10**9, 1, 100.10, 50.0),
        ("AAPL", OPENING + 2 * 10**9, 2, 100.50, 30.0),
        ("AAPL", OPENING + 4 * 10**9, 4, 100.055, 10.0),
        ("AAPL", OPENING + 5 * 10**9, 5, 100.02, 1000.0),
        ("BRK.A", OPENING + MINUTE + 10**9, 6, 330_000.0, 2.0),
        ("BRK.A", OPENING + 2 * MINUTE + 10 * 10**9, 8, 330_000.0, 1.0),
        ("AAPL", BROKEN_AT, 2, 100.50, -30.0),
        ("AAPL", OPENING + 201 * 10**9, 7, 99.80, 10.0),
    ]
    bars = asked(
        data,
        "select ticker, ts, rev, open, high, low, close, volume, value, trades, final"
        " from xnas_ohlcv order by ts, rev",
    )
    first = ("AAPL", OPENING)
    assert [tuple(row.values()) for row in bars] == [
        (*first, 0, 100.10, 100.50, 100.02, 100.02, 1090.0, 109_040.55, 4, True),
        (*first, 1, 100.10, 100.10, 100.02, 100.02, 1060.0, 106_025.55, 3, True),
        ("BRK.A", OPENING + MINUTE, 0, *[330_000.0] * 4, 2.0, 660_000.0, 1, True),
        ("BRK.A", OPENING + 2 * MINUTE, 0, *[330_000.0] * 4, 1.0, 330_000.0, 1, True),
        ("AAPL", OPENING + 3 * MINUTE, 0, *[99.8] * 4, 10.0, 998.0, 1, True),
    ]
    quotes = asked(data, "select bid, bid_volume, ask, ask_volume from xnas_quotes where ticker ="
                   " 'AAPL' order by seq")  # fmt: skip
    assert [tuple(row.values()) for row in quotes[:3]] == [
        (100.0, 100.0, None, None), (100.0, 100.0, 100.1, 200.0), (100.0, 100.0, 100.1, 150.0),
    ]  # fmt: skip
    assert tuple(quotes[-1].values()) == (99.8, 60.0, 100.1, 100.0)
    contracts = asked(data, "select ticker, lot, currency from xnas_contracts order by ticker")
    assert [tuple(row.values()) for row in contracts] == [
        ("AAPL", 100, "USD"), ("BRK.A", 100, "USD"),
    ]  # fmt: skip
    states = asked(
        data, "select state from xnas_status where seq_from is null order by position, ts"
    )
    assert [row["state"] for row in states][-1] == "end_of_file"
    assert {"P", "1", "X", "E"} <= {row["state"] for row in states}
    assert asked(data, "select count(*) as n from xnas_status where state = 'gap'") == [{"n": 0}]
    assert asked(data, "select count(*) as n from xnas_quarantine") == [{"n": 0}]

    plain = tmp_path / "20200130.itch"
    plain.write_bytes(gzip.decompress(file.read_bytes()))
    replayed(data, plain)
    for table, count in (("ticks", 8), ("ohlcv", 5), ("quotes", 13)):
        assert asked(data, f"select count(*) as n from xnas_{table}") == [{"n": count}], table


def test_an_open_bar_at_the_end_was_not_known_before_its_trades(tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "20200130.itch"
    endless = [message for message in itch_day.a_day() if message[:1] != b"S"]
    file.write_bytes(itch_day.file_of(endless))
    replayed(data, file)
    bars = asked(data, "select ts, known_at from xnas_ohlcv where not final")
    assert bars and all(bar["known_at"] >= bar["ts"] for bar in bars)
    ends = asked(data, "select ts, ts_recv from xnas_status where state = 'end_of_file'")
    assert ends and all(end["ts"] == end["ts_recv"] for end in ends)


def test_what_was_known_and_what_comes_too_late_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, messages = tmp_path / "data", itch_day.a_day()
    config_of = config.load({"data": str(data)}, {}).config
    later, earlier = tmp_path / "20200131.itch", tmp_path / "20200130.itch"
    # Cut short inside the last message: refused each time, which is no reason to fail.
    later.write_bytes(itch_day.file_of(messages)[:-3])
    earlier.write_bytes(itch_day.file_of(messages))
    for file, says in (
        (later, "1 messages were refused"),
        (later, f"{len(messages) - 1} messages were known: nothing is stored twice"),
        (earlier, f"{len(messages)} messages are older than a session that is over"),
    ):
        said = Console(width=200)
        assert run_replay(config_of, file, "xnas", say=said, warn=said) == 0
        assert says in capsys.readouterr().out
    assert asked(data, "select count(*) as n from xnas_ticks") == [{"n": 8}]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["day.itch", "--venue", "xnas"], "--date YYYY-MM-DD"),
        (["day.itch", "--venue", "xnas", "--date", "30.1.2020"], "allowed: YYYY-MM-DD"),
        (["day.itch", "--venue", "idx", "--date", "2020-01-30"], "only recordings of xnas"),
        (["day.itch", "--venue", "xnas", "--date", "2099-01-30"], "2099-01-30, which is yet to"),
        (["S013099-v50.txt", "--venue", "xnas"], "2099-01-30, which is yet to come"),
        (["day.itch", "--venue", "xnas", "--date", "1020-01-30"], "or none of ITCH"),
    ],
)
def test_without_a_day_it_is_refused(arguments: list[str], says: str, tmp_path: Path) -> None:
    name, *options = arguments
    (tmp_path / name).write_bytes(itch_day.file_of(itch_day.a_day()))
    with pytest.raises(Refuse, match=says):
        recording(config.load({}, {}).config, tmp_path / name, *_parsed(options))


def _parsed(options: list[str]) -> tuple[Any, str]:
    given = dict(zip(options[::2], options[1::2], strict=True))
    return {"xnas": XNAS, "idx": IDX}[given["--venue"]], given.get("--date", "")


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("01302020.NASDAQ_ITCH50.gz", date(2020, 1, 30)),
        ("S013020-v50.txt.gz", date(2020, 1, 30)),
        ("20200130.itch", date(2020, 1, 30)),
        ("2020-01-30.gz", date(2020, 1, 30)),
        ("12302019.NASDAQ_ITCH50", date(2019, 12, 30)),
        ("xnas_itch_20191230_v2.bin", date(2019, 12, 30)),
    ],
)
def test_the_day_in_a_name(name: str, day: date) -> None:
    assert day_of(Path(name)) == day
    assert day_of(Path(name), date(2026, 1, 2)) == date(2026, 1, 2), "what is given counts"


@pytest.mark.parametrize(
    "name", ["itch50.gz", "day.itch", "13322020.gz", "123456789.gz", "a/20200130/x"]
)
def test_a_name_without_a_day(name: str) -> None:
    with pytest.raises(Refuse, match="neither does its name"):
        day_of(Path(name))


@pytest.mark.parametrize("size", [1, 7, 64, 10**6])
def test_messages_are_numbered_from_one_whatever_the_pieces(size: int) -> None:
    messages = itch_day.a_day()
    raw = itch_day.file_of(messages)
    cutter = ItchBlocks(date(2020, 1, 30), "x")
    found: list[Frames] = []
    for start in range(0, len(raw), size):
        found += cutter.push(raw[start : start + size])
    found += cutter.rest()
    assert b"".join(bytes(frames.payload) for frames in found) == raw
    assert {frames.session for frames in found} == {"20200130"}
    assert sum(frames.count for frames in found) == len(messages)
    after = 1
    for frames in found:
        assert (frames.first_seq, frames.ts_recv, frames.channel) == (after, -1, 0)
        after += frames.count


def test_a_torn_file_and_lost_framing_are_delivered_and_told() -> None:
    raw = itch_day.file_of(itch_day.a_day()[:3])
    cutter = ItchBlocks(date(2020, 1, 30), "x.itch")
    found = [*cutter.push(raw + b"\x00\x24A"), *cutter.rest()]
    assert [(bytes(frames.payload), frames.first_seq) for frames in found] == [
        (raw, 1), (b"\x00\x24A", 4),
    ]  # fmt: skip
    cutter = ItchBlocks(date(2020, 1, 30), "x.itch")
    found = []
    with pytest.raises(Refuse, match=f"x.itch: no message can begin at byte {len(raw)}"):
        found.extend(cutter.push(raw))
        for frames in cutter.push(b"GARBAGE"):
            found.append(frames)
    assert [bytes(frames.payload) for frames in found] == [raw, b"GARBAGE"]
