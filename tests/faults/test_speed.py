"""The same day, taken by the market's clock and as fast as bursa takes it: the same tables.

The slow one comes in thousands of small records, the fast one in few large ones; what tells of the
arrival (rows.ARRIVAL) is left out. Of the day after, which both have begun, nothing is compared.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from bursa.journal.read import JournalReader
from bursa.model.batch import FRAMES
from bursa.model.venue import IDX
from bursa.pipeline.line import kinds
from tests.faults import wire
from tests.faults.exchange import Exchange, relayed
from tests.faults.process import Bursa, configure
from tests.pipeline import rows, running

TICKERS = 6
SPEED = 2500
MINUTE_NS = 60_000_000_000
DAY_S = 240.0
# What becomes of a line is no news of the market: on a busy machine one may be given up.
OF_LINES = [rows.text_number(state) for state in ("up", "down")]


class Reach:
    """How far in market time both channels of a journal are."""

    def __init__(self, journal: Path) -> None:
        self._journal, self._at = journal, 0
        self._ns = dict.fromkeys(range(len(wire.CHANNELS)), 0)
        self.records = 0

    def __call__(self) -> int:
        for record in JournalReader(self._journal).records(self._at):
            self._at = record.position
            if record.kind == FRAMES:
                size = int.from_bytes(record.payload[:2], "big")
                self._ns[record.channel] = int.from_bytes(record.payload[12:20], "big")
                self.records += 1
                assert size > 17
        return min(self._ns.values())


def taken(folder: Path, how: list[str], stack: ExitStack) -> tuple[Bursa, Exchange, Reach]:
    options = ["--tickers", str(TICKERS), "--history-days", "1", *how]
    exchange, relay = stack.enter_context(relayed(folder / "exchange", *options))
    config = configure(folder / "c.toml", relay.ports, segment_mb=64)
    bursa = Bursa(folder / "data", ["up", "--config", str(config)])
    stack.callback(bursa.end)
    return bursa, exchange, Reach(folder / "data" / "journal" / "idx")


def until_past(bursa: Bursa, reach: Reach, ns: int) -> Callable[[], bool]:
    return lambda: bool(bursa.events("channel is up")) and reach() > ns


def up_to(data: Path, end_ns: int) -> dict[str, rows.Rows]:
    """The tables' rows of events before `end_ns`, without what tells of their arrival. Contracts
    are one row a key, told anew each day: their texts."""
    found = running.stored(data / "hot.duckdb")
    out = {}
    for kind in kinds():
        table = found[kind.name]
        without = set(rows.ARRIVAL)
        if kind.name == "contracts":
            without |= {"ts", "prev_close"}
        elif "ts" in kind.index:
            table = table[table[:, kind.index["ts"]] < end_ns]
        if kind.name == "status":
            table = table[~np.isin(table[:, kind.index["state"]], OF_LINES)]
        keep = [at for at, c in enumerate(kind.scalars) if not rows.left_out(kind, c.name, without)]
        out[kind.name] = table[:, [*keep, *range(len(kind.scalars), table.shape[1])]]
    return out


@pytest.mark.timeout(900)
def test_any_speed_gives_the_same_tables(tmp_path: Path) -> None:
    with ExitStack() as stack:
        slow, exchange, slow_reach = taken(tmp_path / "slow", ["--speed", str(SPEED)], stack)
        live = date.fromisoformat(exchange.facts["live_day"])
        following = IDX.calendar.next_day(live)
        past = IDX.calendar.day_open_ns(following) + 3 * MINUTE_NS
        fast, _, fast_reach = taken(tmp_path / "fast", ["--rate", "max"], stack)
        began = time.monotonic()
        fast.until(until_past(fast, fast_reach, past), "the day at full speed", DAY_S)
        assert fast.terminate() == 0
        print(f"fast: {time.monotonic() - began:.1f} s, {fast_reach.records:,} records")
        slow.until(until_past(slow, slow_reach, past), "the day by the clock", DAY_S)
        assert slow.terminate() == 0
        print(f"slow: {time.monotonic() - began:.1f} s, {slow_reach.records:,} records")
        end_ns = IDX.calendar.midnight_ns(following)
        one = up_to(tmp_path / "slow" / "data", end_ns)
        other = up_to(tmp_path / "fast" / "data", end_ns)
        for kind, said in rows.hashes(one, ordered=False).items():
            print(f"{kind:11} {said}")
        assert rows.hashes(one, ordered=False) == rows.hashes(other, ordered=False)
        assert all(len(one[kind]) > 500 for kind in ("ticks", "ohlcv", "metrics", "orderbook"))
        days = {IDX.calendar.day_of(int(ts)) for ts in np.unique(one["ticks"][:, 1])}
        assert days == {live, IDX.calendar.previous_day(live)}
