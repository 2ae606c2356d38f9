"""What each tier gets of every surface: one range fetched by all, and its HD compared; refusals."""

import json
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from datetime import date
from typing import Any

import httpx
import pytest

from bursa.accounts.who import CLI
from bursa.api.asyncapi import CHANNELS
from bursa.model.calendar import SECOND_NS
from bursa.model.timeframe import RESOLUTIONS, TIMEFRAMES
from tests.api.clients import until
from tests.api.floor import DAYS, Floor, at
from tests.api.readers import (
    FREE_FROM,
    LATE,
    MIDDLE,
    OLD,
    PRO_FROM,
    TODAY,
    Market,
    Reader,
    open_market,
)
from tests.api.tables import read

# Who sees HD how. `blind` may have everything but HD, `second` is another one of pro.
READERS: dict[str, tuple[str, dict[str, Any]]] = {
    "free": ("free", {}),
    "pro": ("pro", {}),
    "second": ("pro", {}),
    "blind": ("enterprise", {"hd": "none"}),
    "enterprise": ("enterprise", {}),
}
HD = ("hd", "hd_mapo", "hd_dmapo", "hd_direction")


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    with open_market(tmp_path_factory.mktemp("tiers"), READERS) as found:
        yield found


def shown(reader: Reader, name: str, raw: float | None) -> float | None:
    """What a reader is to see of a raw value of HD, to the bit."""
    if raw is None or reader is reader.market["enterprise"]:
        return raw
    if reader is reader.market["blind"] or reader is reader.market["free"]:
        return 0
    return raw if name == "hd_direction" else raw * reader.factor


def without_hd(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            name: value if name != "values" else {k: v for k, v in value.items() if k not in HD}
            for name, value in row.items()
            if name not in HD
        }
        for row in rows
    ]


def hd_of(rows: list[dict[str, Any]]) -> list[tuple[str, float | None]]:
    """All values of HD, in order, with their names."""
    found = []
    for row in rows:
        fields = row | row.get("values", {})
        found += [(name, fields[name]) for name in HD if name in fields]
    return found


def compare(reader: Reader, rows: list[dict[str, Any]], raw: list[dict[str, Any]]) -> None:
    """The same rows, with HD as the reader is to see it."""
    assert without_hd(rows) == without_hd(raw)
    told = hd_of(raw)
    assert any(value not in (None, 0) for _, value in told), "there is HD to be compared"
    assert hd_of(rows) == [(name, shown(reader, name, value)) for name, value in told]


# -- one range from every surface ------------------------------------------------------------------

DAY = {"from": TODAY.isoformat(), "to": "2026-11-21"}
SURFACES: dict[str, tuple[str, dict[str, Any]]] = {
    "a range": ("/v1/ohlcv/BBCA", DAY),
    "the newest from memory": ("/v1/ohlcv/BBCA", {"limit": 15}),
    "with the open bar": ("/v1/ohlcv/BBCA", {"limit": 5, "open": 1}),
    "a page": ("/v1/ohlcv/BBCA", {**DAY, "limit": 7}),
    "from the store": ("/v1/ohlcv/BBCA", {"from": LATE.isoformat(), "to": TODAY.isoformat()}),
    "as of": ("/v1/ohlcv/BBCA", {"from": LATE.isoformat(), "as_of": "2100-01-01"}),
    "since a cursor": ("/v1/ohlcv/BBCA", {"since": "00000000deadbeef-0"}),
    "five minutes": ("/v1/ohlcv/BBCA", {**DAY, "tf": "5m"}),
    "hours": ("/v1/ohlcv/BBCA", {**DAY, "tf": "1h", "open": 1}),
    "days": ("/v1/ohlcv/BBCA", {"from": LATE.isoformat(), "tf": "1d", "open": 1}),
    "metric rows": ("/v1/metrics/history", {**DAY, "ticker": "BBCA", "metric": "hd,rsi_14"}),
    "metric rows of hours": (
        "/v1/metrics/history", {**DAY, "ticker": "BBCA", "metric": "hd,sma_20", "tf": "5m"},
    ),
    "the newest metric rows": ("/v1/metrics/latest", {"metric": "hd,hd,volume_ratio_20"}),
}  # fmt: skip


def test_every_reader_gets_one_range_of_every_surface_with_his_own_view_of_hd(
    market: Market,
) -> None:
    """Twice in turn: whatever is kept of one reader's answer is no other's. Nothing changes
    meanwhile."""
    path, query = SURFACES["the newest metric rows"]
    query["metric"] = "hd,sma_20"
    # Something closed since the start.
    market.house.trade(market.next_minute_ns() + 2_500_000_000, 9_200)
    names = ("enterprise", "pro", "blind", "second", "enterprise", "second", "blind", "pro")
    for what, (path, query) in SURFACES.items():
        raw = market["enterprise"].rows(path, **query)
        assert raw, what
        for name in names:
            compare(market[name], market[name].rows(path, **query), raw)
            for form in ("csv", "arrow", "parquet"):
                answer = market[name].get(path, **query, format=form)
                compare(market[name], read(answer, raw), raw)
    assert market["pro"].factor != market["second"].factor
    for name in ("pro", "second"):
        assert 0.5 <= market[name].factor < 2


def test_free_sees_zeros_of_the_days_that_it_has(market: Market) -> None:
    path, query = SURFACES["days"]
    days = market["enterprise"].rows(path, **query)
    compare(market["free"], market["free"].rows(path, **query), days)
    for form in ("csv", "arrow", "parquet"):
        compare(market["free"], read(market["free"].get(path, **query, format=form), days), days)
    metric = {"ticker": "BBCA", "metric": "hd", "tf": "1d", "from": LATE.isoformat()}
    raw = market["enterprise"].rows("/v1/metrics/history", **metric)
    compare(market["free"], market["free"].rows("/v1/metrics/history", **metric), raw)


def test_streams_show_each_listener_his_view_and_the_same_numbers_as_rest(market: Market) -> None:
    """A live minute, the bar under way of an hour, and what was missed, over both wires."""
    names = ("enterprise", "pro", "second", "blind")
    sockets = {name: market[name].socket() for name in names}
    told: dict[str, list[dict[str, Any]]] = {}
    events: dict[str, list[dict[str, Any]]] = {}
    for socket in sockets.values():
        socket.__enter__()
        socket.say(action="subscribe", tickers=["BBCA"], channels=["bars", "metrics"])
        socket.say(action="subscribe", tickers=["BBCA"], freq="1h")
        assert socket.until("subscribed") and socket.until("subscribed")
    cursor = ""
    try:
        market.house.trade(market.next_minute_ns() + 2_500_000_000, 9_300)
        market.house.trade(market.next_minute_ns() + 2_500_000_000, 9_310)
        for name, socket in sockets.items():
            frames = socket.until("end_of_interval") + socket.until("end_of_interval")
            frames += socket.rest()
            told[name] = [f for f in frames if f["type"] in ("bar", "metrics") and f.get("cursor")]
            hours = [f for f in frames if f.get("freq") == "1h"]
            raw_hour = market["enterprise"].rows("/v1/ohlcv/BBCA", tf="1h", open=1, limit=1)[0]
            assert hours and hours[-1]["hd"] == shown(market[name], "hd", raw_hour["hd"])
        cursor = told["enterprise"][0]["cursor"]
    finally:
        for socket in sockets.values():
            socket.__exit__()
    for name in names:
        compare(market[name], told[name], told["enterprise"])
        events[name] = missed(market[name], cursor, len(told["enterprise"]) - 1)
        compare(market[name], events[name], told["enterprise"][1:])
        bars = [frame for frame in told[name] if frame["type"] == "bar" and frame["freq"] == "1m"]
        query = {"from": bars[0]["bar_time"]}
        rows = market[name].rows("/v1/ohlcv/BBCA", **query)[: len(bars)]
        assert [row["hd"] for row in rows] == [bar["hd"] for bar in bars]


def missed(reader: Reader, cursor: str, count: int) -> list[dict[str, Any]]:
    """The first bars and metric rows that an event stream gives who resumes."""
    query = {"tickers": "BBCA", "channels": "bars,metrics", "resume": cursor}
    found: list[dict[str, Any]] = []
    with reader.client.stream("GET", "/v1/live", params=query) as answer:
        assert answer.status_code == 200
        for line in answer.iter_lines():
            if line.startswith("data: "):
                frame = json.loads(line[6:])
                if frame["type"] in ("bar", "metrics") and frame.get("cursor"):
                    found.append(frame)
            if len(found) == count:
                return found
    raise AssertionError("the events ended")


# Routes whose answers tell nothing of HD, with an example of each.
MARKS = "symbol=BBCA&resolution=D&from=0&to=1795400000"
SILENT = {
    "/v1/symbols": "/v1/symbols",
    "/v1/snapshot/{ticker}": "/v1/snapshot/BBCA",
    "/v1/ranking": "/v1/ranking",
    "/v1/continuity/{ticker}": "/v1/continuity/BBCA",
    "/v1/continuity": "/v1/continuity",
    "/v1/index/{code}": "/v1/index/COMPOSITE",
    "/v1/orderbook/{ticker}": "/v1/orderbook/BBCA",
    "/udf/config": "/udf/config",
    "/udf/quotes": "/udf/quotes?symbols=BBCA",
    "/udf/symbols": "/udf/symbols?symbol=BBCA",
    "/udf/search": "/udf/search?query=BB",
    "/udf/symbol_info": "/udf/symbol_info",
    "/udf/history": "/udf/history?symbol=BBCA&resolution=D&countback=9&to=1795400000",
    "/udf/marks": f"/udf/marks?{MARKS}",
    "/udf/timescale_marks": f"/udf/timescale_marks?{MARKS}",
    "/udf/time": "/udf/time",
    "/web/overview": "/web/overview",
}
# Compared above; what the catalogue says of HD is the same for all, and files have no such column
# (test_bulk.py).
COMPARED = {"/v1/ohlcv/{ticker}", "/v1/metrics/history", "/v1/metrics/latest", "/v1/live"}
ALIKE = {"/v1/metrics", "/v1/bulk/{kind}/{file}"}


@pytest.mark.parametrize("name", READERS)
def test_no_other_surface_tells_of_hd(market: Market, name: str) -> None:
    for path in SILENT.values():
        answer = market[name].client.get(path)
        assert answer.status_code in (200, 403, 404), (path, answer.text)
        assert '"hd' not in answer.text, path


def test_every_surface_of_the_market_is_compared_or_known_to_tell_nothing(market: Market) -> None:
    """Enumerated from the running application: a new one has to be looked at."""
    told = market["enterprise"].get("/schema").json()["paths"]
    every = {path for path in told if path.startswith(("/v1/", "/udf/"))}
    every -= {path for path in every if path.startswith(("/v1/auth/", "/v1/plugin/"))}
    assert every == (COMPARED | ALIKE | set(SILENT)) - {"/web/overview"}
    assert {channel.address for channel in CHANNELS} == {"/v1/stream", "/v1/live", "/ws"}


# -- timeframes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("tf", TIMEFRAMES)
def test_timeframes_are_the_tiers(market: Market, tf: str) -> None:
    (resolution,) = (name for name, of in RESOLUTIONS.items() if of == tf)
    asks = (
        ("/v1/ohlcv/BBCA", {"tf": tf}),
        ("/v1/metrics/history", {"ticker": "BBCA", "metric": "sma_20", "tf": tf}),
        ("/udf/history", {"symbol": "BBCA", "resolution": resolution, "to": 1, "countback": 1}),
        ("/udf/marks", {"symbol": "BBCA", "resolution": resolution, "to": 1}),
        ("/udf/timescale_marks", {"symbol": "BBCA", "resolution": resolution, "to": 1}),
    )
    for path, query in asks:
        for name in ("pro", "enterprise", *(["free"] if tf == "1d" else [])):
            assert market[name].get(path, **query).status_code == 200, (name, path)
        if tf != "1d":
            status, code, words = market["free"].refused(path, **query)
            assert (status, code) == (403, "tier_timeframe"), path
            assert "tier free" in words and "tier pro has it" in words


def test_trades_books_and_files_take_all_timeframes(market: Market) -> None:
    asks: tuple[tuple[str, dict[str, Any]], ...] = (
        ("/v1/metrics/latest", {"metric": "sma_20"}),
        ("/v1/index/COMPOSITE", {}),
        ("/v1/orderbook/BBCA", {}),
        ("/v1/bulk/ticks/2026-11-19.parquet", {}),
        ("/v1/bulk/ticks/2026-11-19.parquet.sha256", {}),
    )
    for path, query in asks:
        assert market["free"].refused(path, **query)[:2] == (403, "tier_timeframe"), path
        assert market["pro"].get(path, **query).status_code in (200, 404), path


def test_a_charting_library_is_told_of_the_resolutions_its_reader_has(market: Market) -> None:
    for name, known in (("free", ["D"]), ("pro", list(RESOLUTIONS))):
        reader = market[name]
        assert reader.get("/udf/config").json()["supported_resolutions"] == known
        symbol = reader.get("/udf/symbols", symbol="BBCA").json()
        assert symbol["supported_resolutions"] == known
        assert symbol["has_intraday"] is symbol["has_weekly_and_monthly"] is (name != "free")
        assert reader.get("/udf/symbol_info").json()["supported-resolutions"] == known


# -- history ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "begins", "days"),
    [("free", "2026-08-21T17:00:00Z", (LATE,)), ("pro", "2024-11-19T17:00:00Z", (MIDDLE, LATE)),
     ("enterprise", None, (OLD, MIDDLE, LATE))],
)  # fmt: skip
def test_pages_of_the_newest_end_where_the_readers_history_begins(
    market: Market, name: str, begins: str | None, days: tuple[date, ...]
) -> None:
    reader, found, page = market[name], [], dict[str, str]()
    for _ in range(9):
        answer = reader.get("/v1/ohlcv/BBCA", tf="1d", limit=1, **page).json()
        assert answer["meta"].get("history_from") == begins
        found += [row["bar_time"][:10] for row in answer["data"]]
        if answer["meta"]["next_page"] is None:
            break
        page = {"page": answer["meta"]["next_page"]}
    assert found == [day.isoformat() for day in reversed(days)]
    query = {"symbol": "BBCA", "resolution": "D", "countback": 50, "to": 1_795_219_200}
    shown_days = reader.get("/udf/history", **query).json()["t"]
    assert len(shown_days) == len([*days, TODAY]), "the open day is shown too"


@pytest.mark.parametrize("name", ["free", "pro"])
def test_a_range_that_begins_before_it_is_refused_by_name(market: Market, name: str) -> None:
    begins, before, has = {
        "free": (FREE_FROM, "2026-08-21T23:59:59+07:00", "tier pro has it"),
        "pro": (PRO_FROM, "2024-11-19T23:59:59+07:00", "tier enterprise has it"),
    }[name]
    reader = market[name]
    for path, query in (
        ("/v1/ohlcv/BBCA", {"tf": "1d"}),
        ("/v1/metrics/history", {"tf": "1d", "ticker": "BBCA", "metric": "sma_20"}),
    ):
        status, code, words = reader.refused(path, **query, **{"from": before})
        assert (status, code) == (403, "tier_history") and has in words, words
        assert reader.get(path, **query, **{"from": begins}).status_code == 200
        assert reader.refused(path, **query, to=begins)[:2] == (403, "tier_history")
        assert (
            "tier enterprise has it" in reader.refused(path, **query, **{"from": "2020-01-01"})[2]
        )
    nothing = {"symbol": "BBCA", "resolution": "D", "from": 0, "to": 1_717_700_000}
    assert reader.get("/udf/history", **nothing).json() == {"s": "no_data"}
    if name == "pro":
        old = reader.refused("/v1/bulk/ticks/2024-11-19.parquet")
        assert old[:2] == (403, "tier_history")
        assert reader.get("/v1/bulk/ticks/2024-11-20.parquet").status_code == 200
        assert reader.get("/v1/bulk/ticks/2026-11-19.parquet").content == b"x"


@pytest.mark.parametrize("direction", [1, 2])
def test_a_page_token_is_no_proof_of_a_right(market: Market, direction: int) -> None:
    """Its checksum is no secret: one that leads below the reader's history leads nowhere."""
    reader, query = market["free"], {"tf": "1d", "limit": 1, "open": 1}
    query |= {"from": FREE_FROM} if direction == 2 else {}
    token = reader.get("/v1/ohlcv/BBCA", **query).json()["meta"]["next_page"]
    kind, _, seal = struct.unpack(">BqI", urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    assert kind == direction
    for back in (0, at(OLD, 0, 0), at(MIDDLE, 12, 0)):
        forged = urlsafe_b64encode(struct.pack(">BqI", kind, back, seal)).decode().rstrip("=")
        rows = reader.rows("/v1/ohlcv/BBCA", **query, page=forged)
        assert not [row for row in rows if row["bar_time"] < FREE_FROM]


# -- rows ------------------------------------------------------------------------------------------


def test_rows_of_an_answer_are_the_tiers(market: Market) -> None:
    reader = market.reader("short", "enterprise", rows=3)
    assert len(reader.rows("/v1/ohlcv/BBCA")) == 3, "no limit was given"
    assert len(reader.rows("/v1/ohlcv/BBCA", limit=2)) == 2
    for path, query in (
        ("/v1/ohlcv/BBCA", {"limit": 4}),
        ("/v1/symbols", {"limit": 4}),
        ("/v1/metrics", {"limit": 4}),
        ("/v1/metrics/latest", {"limit": 4, "metric": "sma_20"}),
        ("/v1/metrics/history", {"limit": 4, "metric": "sma_20", "ticker": "BBCA"}),
        ("/v1/ranking", {"limit": 4}),
        ("/v1/continuity/BBCA", {"limit": 4}),
        ("/v1/continuity", {"limit": 4}),
    ):
        status, code, words = reader.refused(path, **query)
        assert (status, code) == (403, "tier_rows"), path
        assert "limit=4" in words and "tier free has it" in words
    history = {"symbol": "BBCA", "resolution": "1", "to": 1_795_132_800, "countback": 9}
    assert len(reader.get("/udf/history", **history).json()["t"]) == 3
    assert len(reader.rows("/v1/metrics")) == 3 and len(reader.rows("/v1/symbols")) == 3
    total = sum(hour.requests for hour in usage(market, reader))
    assert total > 10 and sum(hour.rows for hour in usage(market, reader)) == 3 + 2 + 3 + 3 + 3


def usage(market: Market, reader: Reader) -> list[Any]:
    market.house.accounts.usage.flush()
    return list(market.house.accounts.usage.of(reader.user, 2))


# -- streams ---------------------------------------------------------------------------------------


def test_a_tier_without_streams_is_told_so_over_both_wires(market: Market) -> None:
    with market["free"].socket() as socket:
        socket.say(action="subscribe", tickers=["BBCA"], freq="1d")
        refusal = socket.until("error")[-1]
        assert refusal["code"] == "tier_streaming" and "tier pro has it" in refusal["error"]
    assert market["free"].refused("/v1/live", tickers="BBCA")[:2] == (403, "tier_streaming")


def test_instruments_are_counted_over_all_connections_of_a_user(market: Market) -> None:
    reader = market.reader("narrow", "pro", stream_symbols=2)
    with reader.socket() as first, reader.socket() as second:
        first.say(action="subscribe", tickers=["BBCA"])
        first.say(action="subscribe", tickers=["BBCA"], freq="5m")
        second.say(action="subscribe", tickers=["BBCA", "GOTO"])
        assert first.until("subscribed") and first.until("subscribed")
        assert second.until("subscribed")
        for socket in (first, second):
            socket.say(action="subscribe", tickers=["TLKM"])
            refusal = socket.until("error")[-1]
            assert refusal["code"] == "tier_symbols"
            assert "2 instruments at once, not 3" in refusal["error"]
        assert reader.refused("/v1/live", tickers="TLKM")[:2] == (403, "tier_symbols")
        second.say(action="unsubscribe", tickers=["GOTO"])
        assert second.until("unsubscribed")
        first.say(action="subscribe", tickers=["TLKM"])
        assert first.until("subscribed")[-1]["subscriptions"][0]["tickers"] == ["BBCA", "TLKM"]


def test_open_streams_are_trimmed_and_see_hd_otherwise_as_soon_as_rights_change(
    market: Market,
) -> None:
    reader = market.reader("falling", "enterprise")
    with reader.socket() as socket, reader.socket() as other:
        socket.say(action="subscribe", tickers=["BBCA", "GOTO", "TLKM"], channels=["bars"])
        socket.say(action="subscribe", tickers=["BBCA"], freq="1h")
        socket.say(action="subscribe", tickers=["BBCA"], channels=["metrics"])
        other.say(action="subscribe", tickers=["GOTO"])
        assert [socket.until("subscribed") for _ in range(3)] and other.until("subscribed")
        reader.override(hd="none", stream_symbols=2, timeframes=["1m"])
        refusals = [socket.until("error")[-1], socket.until("error")[-1]]
        assert [one["code"] for one in refusals] == ["tier_timeframe", "tier_symbols"]
        left = socket.until("unsubscribed")[-1]["subscriptions"]
        assert left == [
            {"venue": "idx", "freq": "1m", "channel": "bars", "tickers": ["BBCA", "GOTO"]},
            {"venue": "idx", "freq": "1m", "channel": "metrics", "tickers": ["BBCA"]},
        ]
        market.house.trade(market.next_minute_ns() + 2_500_000_000, 9_300)
        market.house.trade(market.next_minute_ns() + 2_500_000_000, 9_310)
        values = socket.until("metrics")[-1]["values"]
        assert [values[name] for name in HD] == [0, 0, 0, 0] and values["sma_20"]
        reader.override(hd="none", stream_symbols=0)
        assert socket.until("error")[-1]["code"] == "tier_streaming"
        with pytest.raises(Exception, match="4401"):
            socket.until("never")
        assert other.until("error")[-1]["code"] == "tier_streaming"


# -- live changes ----------------------------------------------------------------------------------


def test_who_takes_up_what_he_missed_begins_again_when_his_rights_change(market: Market) -> None:
    """His order was judged by the rights that he had. What he waits for is counted and dropped."""
    reader = market.reader("resuming", "enterprise")
    with reader.socket() as socket, reader.socket() as waiting:
        for one in (socket, waiting):
            one.say(action="subscribe", tickers=["BBCA"])
            assert one.until("subscribed")
        clients = [one for one in market.served.hub.post.clients if one.who.user == reader.user]
        resumes, waits = clients
        resumes.owed = [("idx", "bars", "1m", 0)]
        waits.later.add(("idx", "bars", "1m", "ZZZZ"))
        reader.override(stream_symbols=1)
        ended = {"rights_changed", "tier_symbols"}
        assert {one.until("error")[-1]["code"] for one in (socket, waiting)} == ended
        until(lambda: resumes.closed and not waits.later)
        assert not waits.closed and waits.keys


def test_a_key_may_have_other_rights_than_its_user(market: Market) -> None:
    reader, accounts = market.reader("twofold", "pro"), market.house.accounts
    full, row = accounts.keys.make(reader.user, "for a library", None, CLI)
    rights = {"rate": None, "hd": "none", "timeframes": ["1d"]}
    accounts.keys.set_rights(row.id, CLI, tier=None, override=rights)
    body = httpx.post(f"{market.served.url}/v1/auth/token", json={"api_key": full}).json()
    other = Reader(market, reader.user, full, body["data"]["token"])
    path, query = SURFACES["days"]
    raw = market["enterprise"].rows(path, **query)
    compare(reader, reader.rows(path, **query), raw)
    assert {value for _, value in hd_of(other.rows(path, **query))} == {0}
    assert other.refused("/v1/ohlcv/BBCA")[:2] == (403, "tier_timeframe")
    other.client.close()
    history: dict[str, Any] = {"symbol": "BBCA", "resolution": "1", "to": 1_795_400_000}
    for key, state in ((full, "error"), (reader.key, "ok")):
        headers = {"X-Api-Key": key}
        url = f"{market.served.url}/udf/history"
        answer = httpx.get(url, params={**history, "countback": 2}, headers=headers).json()
        assert answer["s"] == state, answer
        assert answer.get("code") == ("tier_timeframe" if state == "error" else None)


def test_a_history_moves_on_with_the_venues_days(floor: Floor) -> None:
    service = floor.services().venues["idx"]
    assert service.days_ago_ns(1) == at(DAYS[0], 0, 0)
    floor.heartbeat(at(DAYS[2], 0, 0, 1))
    floor.clock.ns += SECOND_NS
    assert service.days_ago_ns(1) == at(DAYS[1], 0, 0)
    assert service.days_ago_ns(36_500) == 0


def test_a_change_of_the_matrix_holds_at_once(market: Market) -> None:
    reader, matrix = market["second"], market.house.accounts.matrix
    raw = market["enterprise"].rows("/v1/ohlcv/BBCA", limit=5)
    compare(reader, reader.rows("/v1/ohlcv/BBCA", limit=5), raw)
    try:
        matrix.change("pro", {"hd": "raw", "history_days": 1, "timeframes": ["1m"]}, CLI)
        assert reader.rows("/v1/ohlcv/BBCA", limit=5) == raw
        assert reader.refused("/v1/ohlcv/BBCA", tf="1d")[:2] == (403, "tier_timeframe")
        meta = reader.get("/v1/ohlcv/BBCA", limit=5).json()["meta"]
        assert meta["history_from"] == "2026-11-18T17:00:00Z"
    finally:
        matrix.change("pro", {"hd": "scaled", "history_days": 730, "timeframes": None}, CLI)
    until(lambda: reader.get("/v1/ohlcv/BBCA", tf="1d").status_code == 200, 1)
    compare(reader, reader.rows("/v1/ohlcv/BBCA", limit=5), raw)


def test_nobody_gets_anything(market: Market) -> None:
    for path, _ in SURFACES.values():
        assert httpx.get(f"{market.served.url}{path}").status_code == 401
