"""One story: a trade's bytes on the exchange's socket become the price in a trader's browser.

The demo exchange (a process of its own) speaks idx-1 over SoupBinTCP; `bursa up` takes it; when the
exchange is made to hold its breath, the last trade in the journal, read here by a few lines that
share nothing with the decoder, is the close in the store, in UDF and on the page.
"""

import os
import signal
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bursa.journal.read import JournalReader
from bursa.model.batch import FRAMES
from tests.running import Bursa, wait_for

TICKER = "BBCA"
SMALL = {"exchange_tickers": "30", "exchange_history_days": "1", "exchange_speed": "20"}


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    yield context.new_page()
    context.close()


def last_trade(data: Path) -> tuple[int, float]:
    """(trade number, price) of the ticker's newest RG trade in the journal, by its bytes."""
    newest = (0, 0, 0.0)
    for record in JournalReader(data / "journal" / "idx").records():
        if record.kind != FRAMES or record.channel != 0:
            continue
        at, payload = 0, record.payload
        while at < len(payload):
            size, kind = struct.unpack_from(">HB", payload, at)
            message = payload[at + 3 : at + 2 + size]
            at += 2 + size
            if kind == ord("S") and message[:1] == b"1" and message[29:31] == b"RG":
                if message[17:29].decode().strip() == TICKER:
                    (ts,) = struct.unpack_from(">Q", message, 9)
                    trade_no, price = struct.unpack_from(">Qq", message, 31)
                    newest = max(newest, (ts, trade_no, price / 10_000))
    return newest[1], newest[2]


# Its price in the overview's list of who trades most.
ROW = f"[data-list=trades] [data-key={TICKER}] [data-column=last]"


@pytest.mark.browser
def test_a_trade_travels_from_the_socket_to_the_screen(tmp_path: Path, page: Any) -> None:
    errors: list[str] = []
    page.on(
        "console", lambda message: errors.append(message.text) if message.type == "error" else None
    )
    page.on("pageerror", lambda error: errors.append(str(error)))
    with Bursa(tmp_path / "data", "--demo", **SMALL) as bursa:
        wait_for(lambda: bursa.get("/web/tape")["session"] == "session 1", 180, "the live session")
        page.goto(f"{bursa.url}/chart?symbol={TICKER}&interval=1&theme=dark")
        wait_for(lambda: _number(page) is not None, 120, "a price on the page")
        first = _number(page)
        # A new day has no price before its first trade.
        wait_for(lambda: _number(page) not in (None, first), 120, "a live change of the price")

        exchange = bursa.get("/v1/snapshot/" + TICKER)
        assert exchange["ok"]
        pid = _exchange_pid(tmp_path / "data")
        os.kill(pid, signal.SIGSTOP)
        try:
            wait_for(lambda: _settled(bursa), 120, "a quiet line")
            number, price = last_trade(tmp_path / "data")
            history = bursa.get(
                f"/udf/history?symbol={TICKER}&resolution=1&from=0&to=4000000000&countback=5"
            )
            bars = bursa.get(f"/v1/ohlcv/{TICKER}?tf=1m&open=1&limit=10000&from=2025-01-01")["data"]
            candles = bursa.get(f"/api/v1/candles?symbol={TICKER}&partials=1&limit=1")["data"]
            query = (
                "select price from idx_ticks where ticker = 'BBCA' and board = 'RG'"
                f" and trade_no = {number} order by ts desc limit 1"
            )
            stored = wait_for(lambda: bursa.sql(query), what="the trade in the store")
            wait_for(lambda: _number(page) == price, 120, f"{price} on the page")
            assert history["s"] == "ok"
            assert (history["c"][-1], bars[-1]["close"], stored[0]["price"]) == (price,) * 3
            assert candles[-1][4] == price
            page.goto(f"{bursa.url}/?theme=dark")
            wait_for(lambda: _number(page, ROW) == price, 120, f"{price} on the overview")
            print(
                f"trade {number} of {TICKER} at {price}: journal, store, API, UDF and pages agree"
            )
        finally:
            os.kill(pid, signal.SIGCONT)
        assert bursa.stop() == 0
    assert errors == []


def _number(page: Any, selector: str = "#q-last") -> float | None:
    text = page.locator(selector).inner_text().replace(",", "")
    return float(text) if text.replace(".", "").isdigit() else None


def _exchange_pid(data: Path) -> int:
    import json

    return int(json.loads((data / "exchange" / "exchange.json").read_text())["pid"])


def _settled(bursa: Bursa) -> bool:
    """Nothing came for a second, and the store holds all."""
    before = bursa.count("bursa_messages_total"), bursa.count("bursa_rows_total")
    import time

    time.sleep(1.2)
    after = bursa.count("bursa_messages_total"), bursa.count("bursa_rows_total")
    return before == after
