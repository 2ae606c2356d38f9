"""Books and trades of ITCH 5.0 in plain Python: slow, and plainly what the messages say.

An order is a dictionary's entry; a book is made anew from its orders whenever it is asked for.
Reads messages by `itchfeed`, a codec that is not ours.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from itch.parser import MessageParser

Level = tuple[float, int, int]


@dataclass
class Resting:
    stock: str
    side: str
    price: int
    shares: int


@dataclass
class SlowBook:
    """`push` messages; then `orders`, `book`, `trades`, `quotes`, `unknown` are what they should
    be."""

    orders: dict[int, Resting] = field(default_factory=dict)
    by_stock: dict[str, dict[int, Resting]] = field(default_factory=dict)
    trades: list[dict[str, Any]] = field(default_factory=list)
    quotes: list[tuple[Any, ...]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    told: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    nth: int = 0

    def __post_init__(self) -> None:
        self._parser = MessageParser()

    def push(self, message: bytes) -> None:
        self.nth += 1
        m: Any = self._parser.get_message_type(message)
        kind = m.message_type.decode()
        stock = ""
        if kind in "AF":
            stock = m.stock.decode().strip()
            self._enter(
                m.order_reference_number, stock, _text(m.buy_sell_indicator), m.price, m.shares
            )
        elif kind in "ECXDU":
            stock = self._change(kind, m)
        elif kind == "P":
            self._trade(
                m, m.stock, m.price, m.shares, "B" if _text(m.buy_sell_indicator) == "S" else None
            )
        elif kind == "Q" and m.shares:
            self._trade(m, m.stock, m.cross_price, m.shares, None)
        elif kind == "B":
            self._break(m)
        if stock:
            self._quote(stock, m.timestamp)

    def _enter(self, ref: int, stock: str, side: str, price: int, shares: int) -> None:
        assert ref not in self.orders
        order = Resting(stock, side, price, shares)
        self.orders[ref] = self.by_stock.setdefault(stock, {})[ref] = order

    def _change(self, kind: str, m: Any) -> str:
        ref = m.order_reference_number
        order = self.orders.get(ref)
        if order is None:
            self.counts["unknown_orders"] += 1
            return ""
        gone = order.shares
        if kind in "EC":
            gone = m.executed_shares
            price = m.execution_price if kind == "C" else order.price
            if kind == "E" or m.printable == b"Y":
                self._trade(m, order.stock.encode(), price, gone, "S" if order.side == "B" else "B")
        elif kind == "X":
            gone = m.cancelled_shares
        order.shares -= gone
        assert order.shares >= 0
        if order.shares == 0:
            del self.orders[ref], self.by_stock[order.stock][ref]
        if kind == "U":
            self._enter(m.new_order_reference_number, order.stock, order.side, m.price, m.shares)
        return order.stock

    def _trade(self, m: Any, stock: bytes, price: int, shares: int, aggressor: str | None) -> None:
        row = {
            "ticker": stock.decode().strip(),
            "ns": m.timestamp,
            "trade_no": m.match_number,
            "price": price / 10_000,
            "volume": float(shares),
            "aggressor": aggressor,
            "seq": self.nth,
        }
        self.trades.append(row)

    def _break(self, m: Any) -> None:
        for row in reversed(self.trades):
            if row["trade_no"] == m.match_number:
                if row["volume"] < 0:
                    break
                back = {"ns": m.timestamp, "volume": -row["volume"], "seq": self.nth}
                self.trades.append(row | back)
                return
        self.counts["breaks_unknown"] += 1

    def levels(self, stock: str, side: str) -> list[Level]:
        """(price, shares, orders) of one side, best first."""
        found: dict[int, list[int]] = {}
        for order in self.by_stock.get(stock, {}).values():
            if order.side == side:
                level = found.setdefault(order.price, [0, 0])
                level[0] += order.shares
                level[1] += 1
        prices = sorted(found, reverse=side == "B")
        return [(price / 10_000, found[price][0], found[price][1]) for price in prices]

    def _quote(self, stock: str, ns: int) -> None:
        sides: list[Any] = []
        for side in "BS":
            best = self._best(stock, side)
            sides += best if best else (None, None)
        now = tuple(sides)
        if now != self.told.get(stock, (None,) * 4):
            self.told[stock] = now
            self.quotes.append((stock, ns, self.nth, *now))

    def _best(self, stock: str, side: str) -> tuple[float, float] | None:
        orders = [o for o in self.by_stock.get(stock, {}).values() if o.side == side]
        if not orders:
            return None
        prices = [order.price for order in orders]
        best = max(prices) if side == "B" else min(prices)
        return best / 10_000, float(sum(o.shares for o in orders if o.price == best))


def _text(raw: bytes) -> str:
    return raw.decode()
