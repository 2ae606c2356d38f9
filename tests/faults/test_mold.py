"""A whole `bursa up` on MoldUDP64 lines that lose packets; killed in the midst, it goes on."""

import asyncio
import signal
from collections.abc import Callable
from datetime import date
from pathlib import Path
from random import Random

from tests.feeds.mold_source import LOOPBACK, Source, free_ports
from tests.running import Bursa, select
from tests.scripted import SECOND_NS, at
from tests.wire.idx import encoder as idx

LIMIT_S = 120


class Market:
    """Both channels: trades that lose packets on either line and on both."""

    def __init__(self, trades: Source, rest: Source) -> None:
        self.trades, self.rest = trades, rest
        self.ts = at(date(2026, 7, 14), "09:00")
        self.sent = 0
        self._dice = Random(11)

    def say(self, count: int) -> None:
        for _ in range(count):
            lot: list[bytes] = []
            for _ in range(self._dice.randrange(1, 6)):
                self.sent += 1
                self.ts += SECOND_NS // 50
                lot.append(idx.trade(self.trades.next + len(lot), self.ts, trade_no=self.sent))
            self.trades.say(lot, [line for line in (0, 1) if self._dice.random() < 0.8])

    async def beat(self) -> None:
        """Heartbeats of both channels, as a real source sends them."""
        self.rest.say([idx.status(1, self.ts, "1")])
        while True:
            self.trades.heartbeat()
            self.rest.heartbeat()
            await asyncio.sleep(0.05)

    def settings(self) -> dict[str, str]:
        out = {"feeds_main_type": "moldudp64", "feeds_main_venue": "idx"}
        for name, source in (("idxdata", self.trades), ("itchdata", self.rest)):
            for line, port in zip("ab", source.lines, strict=True):
                out[f"feeds_main_{name}_{line}"] = f"{LOOPBACK}:{port}"
            out[f"feeds_main_{name}_requests"] = f"{LOOPBACK}:{source.port}"
        return out | {"feeds_main_again_ms": "1000", "feeds_main_receive_mb": "1"}


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not await asyncio.to_thread(reached):
            await asyncio.sleep(0.1)


def _stored(running: Bursa) -> int:
    """Newest trade in the store."""
    [row] = running.sql("select coalesce(max(trade_no), 0) last from idx_ticks")
    return int(row["last"])


def test_nothing_is_lost_or_twice_through_losses_and_a_kill(tmp_path: Path) -> None:
    data = tmp_path / "data"

    async def story() -> int:
        async with Source(free_ports(2)) as trades, Source(free_ports(2), "REST") as rest:
            market = Market(trades, rest)
            beating = asyncio.create_task(market.beat())
            first = Bursa(data, **market.settings())
            await asyncio.to_thread(first.__enter__)
            market.say(200)
            await until(lambda: first.count("bursa_messages_total") > market.sent)
            market.say(30)
            await asyncio.to_thread(first.stop, signal.SIGKILL)
            first.__exit__()
            market.say(60)  # nobody listens
            second = Bursa(data, **market.settings())
            await asyncio.to_thread(second.__enter__)
            market.say(100)
            gaps = second.count("bursa_gaps_total")
            await until(lambda: _stored(second) == market.sent)
            asked = len(trades.asked)
            trades.answers = lambda place: 0
            trades.say([idx.trade(trades.next, market.ts, trade_no=999_999)], ())
            market.say(1)
            await until(lambda: second.count("bursa_gaps_total") == gaps + 1)
            await asyncio.to_thread(second.__exit__)
            beating.cancel()
            assert asked > 0, "what was said meanwhile was asked for"
            return market.sent

    sent = asyncio.run(story())
    [row] = select(
        data,
        "select count(*) n, count(distinct trade_no) trades, max(trade_no) last from idx_ticks",
    )
    assert row == {"n": sent, "trades": sent, "last": sent}
    gaps = select(data, "select seq_from, seq_to, cause from idx_status where state = 'gap'")
    assert [(gap["seq_to"] - gap["seq_from"], gap["cause"]) for gap in gaps] == [(0, "unanswered")]
