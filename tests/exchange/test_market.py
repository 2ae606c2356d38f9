"""What a day of the demo exchange says, message by message, against the rules of the real one."""

from bisect import bisect_right
from collections import Counter, defaultdict
from datetime import date
from itertools import islice
from typing import Any

import pytest

from bursa.exchange import stream
from bursa.exchange.tickers import listing
from bursa.model.venue import IDX

SECOND_NS = 1_000_000_000
DAY, FRIDAY = date(2025, 11, 20), date(2025, 11, 21)
CALENDAR = IDX.calendar

pytestmark = pytest.mark.xdist_group("exchange")  # its days are made once


def step(price: int) -> int:
    """The price step above a price."""
    for below, size in ((200, 1), (500, 2), (2_000, 5), (5_000, 10)):
        if price < below:
            return size
    return 25


def allowed(price: int) -> bool:
    """A multiple of the step, counted from where its class begins; 50 at least."""
    starts = {1: 0, 2: 200, 5: 500, 10: 2_000, 25: 5_000}
    return price >= 50 and (price - starts[step(price)]) % step(price) == 0


def inside_band(price: int, close: int) -> bool:
    share = 0.35 if close <= 200 else 0.25 if close <= 5_000 else 0.20
    return close * (1 - share) - 1e-6 <= price <= close * (1 + share) + 1e-6


def channels(told: Any) -> list[Any]:
    return [told.trades, told.market]


@pytest.fixture(params=["day", "wide"])
def told(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def prev_closes(told: Any) -> dict[str, int]:
    return {m.ticker: m.prev_close for m in told.market if m.kind == "contract"}


def test_numbers_count_up_and_times_never_fall(told: Any) -> None:
    for messages in channels(told):
        assert [m.seq for m in messages] == list(range(1, len(messages) + 1))
        assert all(a.ts <= b.ts for a, b in zip(messages, messages[1:], strict=False))


@pytest.mark.parametrize(("name", "on"), [("day", DAY), ("wide", FRIDAY)])
def test_states_come_by_the_calendar(name: str, on: date, request: pytest.FixtureRequest) -> None:
    sessions = CALENDAR.sessions(on)
    expected = [(s.state, s.open_ns) for s in sessions] + [("E", sessions[-1].close_ns)]
    for messages in channels(request.getfixturevalue(name)):
        states = [m for m in messages if m.kind == "status"]
        assert [(m.state, m.ts) for m in states if m.state != "H"] == expected
        assert all(m.next_seq == m.seq + 1 for m in states)
        assert messages[-1].state == "E"


def test_a_quiet_channel_beats_every_second(told: Any) -> None:
    for messages in channels(told):
        gaps = [b.ts - a.ts for a, b in zip(messages, messages[1:], strict=False)]
        assert max(gaps) <= 2 * SECOND_NS
        quiet = [m for m in messages if m.kind == "status" and m.state == "H"]
        assert all(m.ts % SECOND_NS == 0 for m in quiet)
        times = [m.ts for m in messages]
        for beat in quiet[::50]:  # nothing else was said in the second before
            at = bisect_right(times, beat.ts - SECOND_NS)
            assert messages[at].seq == beat.seq


def test_contracts_come_before_the_opening(told: Any) -> None:
    contracts = [m for m in told.market if m.kind == "contract"]
    tickers = listing(len(contracts))
    assert [m.ticker for m in contracts] == [t.code for t in tickers]
    assert [m.name for m in contracts] == [t.name for t in tickers]
    assert all(m.ts < told.market[0].ts + 10 * SECOND_NS for m in contracts)
    for m in contracts:
        assert (m.board, m.lot, m.currency) == ("RG", 100, "IDR")
        assert allowed(m.prev_close)
        digits = "".join(str(int(c, 36)) for c in m.isin)
        doubled = [int(c) * (1 + at % 2) for at, c in enumerate(reversed(digits))]
        assert len(m.isin) == 12 and sum(d // 10 + d % 10 for d in doubled) % 10 == 0


def test_trades_keep_the_rules(told: Any) -> None:
    closes = prev_closes(told)
    trades = [m for m in told.trades if m.kind == "trade"]
    numbers = [m.trade_no for m in trades]
    assert numbers == sorted(set(numbers))
    for m in trades:
        assert allowed(m.price), m
        assert inside_band(m.price, closes[m.ticker]), m
        assert m.volume > 0 and m.volume % 100 == 0, m
        assert m.board in ("RG", "NG", "TN") and m.aggressor in ("B", "S", "")
    boards = Counter(m.board for m in trades)
    assert boards["RG"] > 0.99 * len(trades) and boards["NG"] > 0


def test_trades_happen_when_the_market_is_open(told: Any) -> None:
    on = CALENDAR.day_of(told.trades[0].ts)
    sessions = {s.state: s for s in CALENDAR.sessions(on)}
    for m in told.trades:
        if m.kind != "trade":
            continue
        if sessions["1"].open_ns <= m.ts < sessions["1"].close_ns:
            continue
        if sessions["2"].open_ns <= m.ts < sessions["2"].close_ns:
            continue
        auction = (
            sessions["1"].open_ns - 20 * SECOND_NS <= m.ts < sessions["1"].open_ns
            or sessions["C"].close_ns - 60 * SECOND_NS <= m.ts < sessions["C"].close_ns
        )
        assert auction and m.board == "RG" and m.aggressor == "", m


def count_in(trade: Any, sums: dict[str, list[int]], ohlc: dict[str, tuple[int, ...]]) -> None:
    if trade.kind != "trade" or trade.board != "RG":
        return
    for k, amount in enumerate((trade.volume, trade.volume * trade.price, 1)):
        sums[trade.ticker][k] += amount
    price = trade.price
    first, high, low, _ = ohlc.get(trade.ticker, (price,) * 4)
    ohlc[trade.ticker] = (first, max(high, price), min(low, price), price)


def test_snapshots_agree_with_the_trades(told: Any) -> None:
    """Volume, value, count, last, open, high and low of a snapshot are those of the trades so far;
    bid <= last <= ask."""
    at, checked = 0, 0
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    ohlc: dict[str, tuple[int, ...]] = {}
    closes = prev_closes(told)
    for m in told.market:
        if m.kind != "snapshot":
            continue
        while at < len(told.trades) and told.trades[at].ts <= m.ts:
            count_in(told.trades[at], sums, ohlc)
            at += 1
        assert [m.volume, m.value, m.trades] == sums[m.ticker]
        assert (m.open, m.high, m.low, m.last) == ohlc.get(m.ticker, (0, 0, 0, 0))
        assert m.prev == closes[m.ticker]
        assert (m.bid > 0) == (m.bid_volume > 0) and (m.ask > 0) == (m.ask_volume > 0)
        assert not (m.bid and m.ask) or m.bid < m.ask
        assert not (m.bid and m.last) or m.bid <= m.last
        assert not (m.ask and m.last) or m.last <= m.ask
        checked += 1
    assert checked > 1_000


def test_books_hang_together(day: Any) -> None:
    sides: dict[tuple[str, str], Any] = {}
    closes = prev_closes(day)
    last: dict[str, int] = {}
    at = full = count = 0
    trades = [m for m in day.trades if m.kind == "trade" and m.board == "RG"]
    for n, m in enumerate(day.market):
        if m.kind not in ("bid", "ask"):
            continue
        while at < len(trades) and trades[at].ts <= m.ts:
            last[trades[at].ticker] = trades[at].price
            at += 1
        prices = [price for price, _, _ in m.levels]
        ahead = 1 if m.kind == "ask" else -1
        for price, nearer in zip(prices[1:], prices, strict=False):
            assert price - nearer == ahead * step(min(price, nearer)), m
        assert all(inside_band(price, closes[m.ticker]) and allowed(price) for price in prices)
        assert all(v % 100 == 0 and v >= 100 * o and o >= 1 for _, v, o in m.levels), m
        sides[m.ticker, m.kind] = prices
        full, count = full + (len(prices) == 10), count + 1
        following = day.market[n + 1]
        if (following.kind, following.ts) == ("ask", m.ts) and m.kind == "bid":
            continue  # both sides moved: the pair is told at once
        bids, asks = sides.get((m.ticker, "bid")), sides.get((m.ticker, "ask"))
        assert bids is not None and asks is not None, "both sides open together"
        assert not (bids and asks) or bids[0] < asks[0]
        if m.ticker in last:
            assert not bids or bids[0] <= last[m.ticker]
            assert not asks or last[m.ticker] <= asks[0]
    assert count > 100_000 and full > 0.9 * count


def test_the_close_is_the_next_days_previous_close(day: Any, reader: Any) -> None:
    last = {m.ticker: m.price for m in day.trades if m.kind == "trade" and m.board == "RG"}
    following: dict[str, int] = {}
    for block in islice(stream.blocks(FRIDAY, 7, tickers=12), 6):
        contracts = [m for m in reader(block.payload) if m.kind == "contract"]
        following |= {m.ticker: m.prev_close for m in contracts}
    assert following == prev_closes(day) | last


def test_the_index_is_made_of_the_prices(day: Any) -> None:
    tickers = {t.code: t for t in listing(12)}
    prices = prev_closes(day)
    points = {}
    for name in ("prev", "close"):
        if name == "close":
            prices |= {
                m.ticker: m.price for m in day.trades if m.kind == "trade" and m.board == "RG"
            }
        cap = sum(tickers[code].shares * price for code, price in prices.items())
        base = sum(t.shares * t.price for t in tickers.values())
        points[name] = 7_200 * cap / base
    indices = [m for m in day.market if m.kind == "index"]
    composite = [m for m in indices if m.code == "COMPOSITE"]
    assert {m.code for m in indices} == {"COMPOSITE", "LQ45"}
    assert composite[-1].value / 1e4 == pytest.approx(points["close"], abs=1e-3)
    assert composite[0].value == composite[0].prev
    assert all(m.prev / 1e4 == pytest.approx(points["prev"], abs=1e-3) for m in composite)
    regular = [m for m in day.trades if m.kind == "trade" and m.board == "RG"]
    assert composite[-1].value_traded == sum(m.volume * m.price for m in regular)
    session = CALENDAR.sessions(DAY)[1]
    first = [m.ts for m in composite if session.open_ns < m.ts <= session.close_ns]
    assert len(first) == pytest.approx(3 * 3_600, abs=5)


def test_volume_bursts_at_the_opening_and_before_the_close(wide: Any) -> None:
    minutes = Counter(
        m.ts // (60 * SECOND_NS) for m in wide.trades if m.kind == "trade" and m.aggressor
    )
    counts = [minutes[at] for at in sorted(minutes)]
    usual = sorted(counts)[len(counts) // 2]
    assert counts[0] > 4 * usual
    assert counts[-1] > 1.5 * usual


def test_quiet_tickers_skip_minutes_and_busy_ones_do_not(wide: Any) -> None:
    minutes = defaultdict(set)
    for m in wide.trades:
        if m.kind == "trade" and m.board == "RG":
            minutes[m.ticker].add(m.ts // (60 * SECOND_NS))
    sessions = [s for s in CALENDAR.sessions(FRIDAY) if s.state in "12"]
    continuous = sum((s.close_ns - s.open_ns) // (60 * SECOND_NS) for s in sessions)
    assert len(minutes["BBRI"]) >= continuous
    quiet = [code for code, seen in minutes.items() if len(seen) < continuous // 2]
    assert len(quiet) > 15
    assert "WSKT" not in minutes, "suspended"
    untraded = [m for m in wide.market if m.kind == "snapshot" and m.ticker == "WSKT"]
    assert untraded and all(m.last == 0 and m.prev > 0 for m in untraded)


def test_four_fifths_of_a_full_live_day_are_books() -> None:
    """Over ten minutes in mid-morning of the whole listing; about 500 messages/s."""
    kinds: Counter[int] = Counter()
    from_ns = CALENDAR.day_open_ns(DAY) + 3_600 * SECOND_NS
    until_ns = from_ns + 600 * SECOND_NS
    for block in stream.blocks(DAY, 7, step_ns=600 * SECOND_NS):
        if block.ts_ns > until_ns:
            break
        at = 0
        while block.ts_ns > from_ns and at < len(block.payload):
            kinds[block.payload[at + 3]] += 1
            at += 2 + int.from_bytes(block.payload[at : at + 2], "big")
    books = kinds[ord("3")] + kinds[ord("4")]
    assert 0.75 < books / sum(kinds.values()) < 0.85
    assert 250 < sum(kinds.values()) / 600 < 800
