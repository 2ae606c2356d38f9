"""A made-up stretch of a Nasdaq day as ITCH 5.0 messages, for benchmarks: fast, seeded, in bulk.

Thousands of stocks, a few of which take most of the flow; a book of a few hundred thousand orders
laid first, then a mix near that of a real day: 45 % new orders, 40 % deletes and cancels, 5 %
replaces, 6 % executions and trades, the rest what else goes by. Orders leave mostly young and lie
mostly near the best price. Formats are written out here; it knows no table of the decoder.
"""

import random
import struct
from dataclasses import dataclass, field

STOCKS = 8_000
RESTING = 300_000
NS_OF_FIRST = 34_200 * 1_000_000_000  # 9:30 in New York
_ADD = struct.Struct(">cHHHIQcI8sI")
_ADD_MPID = struct.Struct(">cHHHIQcI8sI4s")
_EXECUTED = struct.Struct(">cHHHIQIQ")
_PRICED = struct.Struct(">cHHHIQIQcI")
_CANCEL = struct.Struct(">cHHHIQI")
_DELETE = struct.Struct(">cHHHIQ")
_REPLACE = struct.Struct(">cHHHIQQII")
_TRADE = struct.Struct(">cHHHIQcI8sIQ")
_IMBALANCE = struct.Struct(">cHHHIQQc8sIIIcc")
_YOUNG = 20_000

Order = tuple[int, int, bytes, int, int]  # reference, locate, side, price, shares


def stock_name(locate: int) -> bytes:
    """A code of four letters, eight bytes."""
    letters = bytearray(b"AAAA    ")
    for at in (3, 2, 1, 0):
        letters[at] += locate % 26
        locate //= 26
    return bytes(letters)


@dataclass
class Market:
    """The state of the made-up market; `next_message` goes on from it."""

    chance: random.Random
    names: list[bytes] = field(default_factory=list)
    middle: list[int] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    ns: int = NS_OF_FIRST
    reference: int = 1
    match: int = 1

    def __post_init__(self) -> None:
        self.names = [stock_name(locate) for locate in range(STOCKS)]
        self.middle = [100 * self.chance.randrange(500, 30_000) for _ in range(STOCKS)]

    def time(self) -> tuple[int, int]:
        """The next instant, as high and low part."""
        self.ns += self.chance.randrange(8_000)
        return self.ns >> 32, self.ns & 0xFFFFFFFF

    def new_order(self) -> bytes:
        """A or F."""
        chance = self.chance.random
        locate = int(chance() ** 3 * STOCKS)
        buy = chance() < 0.5
        away = 100 * int(1 + self.chance.expovariate(0.3))
        price = max(self.middle[locate] - away if buy else self.middle[locate] + away, 100)
        shares = 100 * (1 + int(10 * chance() ** 3))
        order = (self.reference, locate, b"B" if buy else b"S", price, shares)
        self.reference += 1
        self.orders.append(order)
        return self.add(order, chance() < 0.05)

    def add(self, order: Order, attributed: bool) -> bytes:
        """The message of a new order."""
        reference, locate, side, price, shares = order
        head = (locate, 0, *self.time(), reference, side, shares, self.names[locate], price)
        if attributed:
            return _ADD_MPID.pack(b"F", *head, b"NSDQ")
        return _ADD.pack(b"A", *head)

    def pick(self) -> int:
        """Where some order stands that lives."""
        count = len(self.orders)
        if self.chance.random() < 0.85:
            return self.chance.randrange(max(count - _YOUNG, 0), count)
        return self.chance.randrange(count)

    def leave(self, at: int) -> Order:
        """Take an order out."""
        order = self.orders[at]
        self.orders[at] = self.orders[-1]
        self.orders.pop()
        return order

    def next_message(self) -> bytes:
        """One more message of the mix."""
        kind = self.chance.random()
        if kind < 0.45:
            return self.new_order()
        if kind < 0.81:
            reference, locate, *_ = self.leave(self.pick())
            return _DELETE.pack(b"D", locate, 0, *self.time(), reference)
        if kind < 0.85:
            return self.cancel()
        if kind < 0.90:
            return self.replace()
        if kind < 0.96:
            return self.execute(kind)
        return self.other(kind)

    def cancel(self) -> bytes:
        """X: part of an order, or its last hundred shares."""
        at = self.pick()
        reference, locate, side, price, shares = self.orders[at]
        if shares <= 100:
            self.leave(at)
        else:
            self.orders[at] = (reference, locate, side, price, shares - 100)
        return _CANCEL.pack(b"X", locate, 0, *self.time(), reference, 100)

    def replace(self) -> bytes:
        """U: another price, a rung away."""
        old, locate, side, price, shares = self.leave(self.pick())
        new, self.reference = self.reference, self.reference + 1
        price = max(price + self.chance.choice((-100, 100)), 100)
        self.orders.append((new, locate, side, price, shares))
        return _REPLACE.pack(b"U", locate, 0, *self.time(), old, new, shares, price)

    def execute(self, kind: float) -> bytes:
        """E mostly, some C."""
        at = self.pick()
        reference, locate, side, price, shares = self.orders[at]
        self.match += 1
        if kind < 0.93:
            self.leave(at)
        elif shares > 100:
            shares -= 100
            self.orders[at] = (reference, locate, side, price, shares)
            shares = 100
        else:
            self.leave(at)
        head = (locate, 0, *self.time(), reference, shares, self.match)
        if kind > 0.957:
            return _PRICED.pack(b"C", *head, b"Y", price)
        return _EXECUTED.pack(b"E", *head)

    def other(self, kind: float) -> bytes:
        """P and I."""
        locate = int(self.chance.random() ** 3 * STOCKS)
        name, middle = self.names[locate], self.middle[locate]
        head = (locate, 0, *self.time())
        if kind < 0.99:
            self.match += 1
            return _TRADE.pack(b"P", *head, 0, b"B", 100, name, middle, self.match)
        return _IMBALANCE.pack(
            b"I", *head, 500, 100, b"B", name, middle, middle, middle, b"O", b" "
        )


def laid_and_mixed(messages: int, resting: int = RESTING) -> tuple[list[bytes], list[bytes]]:
    """(the orders that rest at first, `messages` of the mix), each behind its u16 length."""
    market = Market(random.Random(5))
    laid = [market.new_order() for _ in range(resting)]
    mixed = [market.next_message() for _ in range(messages)]
    return [framed(message) for message in laid], [framed(message) for message in mixed]


def framed(message: bytes) -> bytes:
    """A block: big-endian u16 length, message."""
    return len(message).to_bytes(2, "big") + message
