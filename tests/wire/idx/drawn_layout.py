"""Layouts that nobody wrote: drawn by Hypothesis, told as TOML, packed here by their own words.

Shares no table with the program: what a message holds is named below, where it lies is drawn, and
the TOML that the program reads is written from that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

# What each message holds: p a price, v an amount, n a count, t a text, c a code.
HOLDS = {
    "trade": {"ticker": "t", "board": "c", "trade_no": "n", "price": "p", "volume": "v"},
    "snapshot": {
        **{"ticker": "t", "board": "c"},
        **dict.fromkeys("prev open high low last bid ask".split(), "p"),
        **dict.fromkeys("volume value bid_volume ask_volume".split(), "v"),
        "trades": "n",
    },
    "book": {"ticker": "t", "board": "c", "depth": "d"},
    "index": {"ticker": "t", "value": "p", "prev": "p", "value_traded": "v"},
    "contract": {
        **{"ticker": "t", "board": "c", "name": "t", "isin": "t", "currency": "t"},
        **{"lot": "n", "prev_close": "p"},
    },
    "status": {"state": "c", "next_seq": "n"},
}
HOLDS["trade"]["aggressor"] = "c"
LEVEL = {"price": "p", "volume": "v", "orders": "n"}
KINDS = ("trade", "snapshot", "book_bid", "book_ask", "index", "contract", "status")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass
class Place:
    """Where a field lies."""

    offset: int
    width: int
    scale: int = 0
    signed: bool = False


@dataclass
class Drawn:
    """One layout."""

    header: dict[str, Place]
    messages: dict[str, dict[str, Place]]
    level: dict[str, Place]
    lengths: dict[str, int]
    level_bytes: int
    depth_max: int
    types: dict[str, str]
    states: dict[str, str]
    sides: dict[str, str]
    boards: dict[str, str]
    filler: int = field(default=0)

    def toml(self) -> str:
        """As an operator would write it."""
        longest = max(*self.lengths.values(), self._book_max())
        out = ['name = "drawn"', f"level_bytes = {self.level_bytes}"]
        out += [f"depth_max = {self.depth_max}", f"block_bytes_max = {longest + self.filler}"]
        for name, codes in (
            ("types", self.types),
            ("states", self.states),
            ("aggressors", self.sides),
            ("boards", self.boards),
        ):
            out += [f"[{name}]", *(f'"{codes[what]}" = "{what}"' for what in codes)]
        for name, places in (
            ("header", self.header),
            *self.messages.items(),
            ("level", self.level),
        ):
            out.append(f"[{name}]")
            out += [f"length = {self.lengths[name]}"] if name in self.lengths else []
            for key, place in places.items():
                more = f", scale = {place.scale}" if place.scale else ""
                if key in HOLDS.get(name, LEVEL) and HOLDS.get(name, LEVEL)[key] == "p":
                    more += f', kind = "{"i" if place.signed else "u"}"'
                out.append(f"{key} = {{ offset = {place.offset}, width = {place.width}{more} }}")
        return "\n".join(out) + "\n"

    def _book_max(self) -> int:
        return self.lengths["book"] + self.level_bytes * self.depth_max

    def pack(self, kind: str, seq: int, ts: int, values: Mapping[str, Any]) -> bytes:
        """A message; prices in 1/10,000, other numbers as they are, levels as triples."""
        base = "book" if kind.startswith("book") else kind
        out = bytearray([self.filler % 256]) * self.lengths[base]
        out[0:1] = self.types[kind].encode()
        for name, place in self.header.items():
            out[place.offset : place.offset + place.width] = {"seq": seq, "ts": ts}[name].to_bytes(
                place.width, "big"
            )
        for name, place in self.messages[base].items():
            out[place.offset : place.offset + place.width] = self._field(
                name, HOLDS[base][name], place, values
            )
        for level in values.get("levels", ()):
            part = bytearray(self.level_bytes)
            named = dict(zip(LEVEL, level, strict=True))
            for name, place in self.level.items():
                raw = self._field(name, LEVEL[name], place, named)
                part[place.offset : place.offset + place.width] = raw
            out += part
        return bytes(out)

    def _field(self, name: str, what: str, place: Place, values: Mapping[str, Any]) -> bytes:
        if what == "d":
            return len(values["levels"]).to_bytes(place.width, "big")
        value = values[name]
        if what == "t":
            return str(value).encode().ljust(place.width)
        if what == "c":
            codes = {"state": self.states, "aggressor": self.sides, "board": self.boards}[name]
            return codes[value].encode().ljust(place.width)
        if what == "p":
            number, rest = divmod(value * 10**place.scale, 10_000)
            assert not rest
            return number.to_bytes(place.width, "big", signed=place.signed)
        return (value * 10**place.scale).to_bytes(place.width, "big")

    def prices(self, message: str) -> st.SearchStrategy[int]:
        """Prices in 1/10,000 that every field of the message can hold."""
        places = self.level if message == "level" else self.messages[message]
        holds = LEVEL if message == "level" else HOLDS[message]
        mine = [place for name, place in places.items() if holds[name] == "p"]
        step = 10 ** (4 - min(place.scale for place in mine))
        most = min(
            (1 << 8 * place.width - 1) - 1 if place.signed else (1 << 8 * place.width) - 1
            for place in mine
        )
        scale = max(place.scale for place in mine)
        ceiling = min(most * 10_000 // 10**scale, 2**52)
        return st.integers(0, ceiling // step).map(lambda n: n * step)

    def amounts(self, message: str, what: str) -> st.SearchStrategy[int]:
        """Amounts or counts that every such field of the message can hold."""
        places = self.level if message == "level" else self.messages[message]
        holds = LEVEL if message == "level" else HOLDS[message]
        mine = [place for name, place in places.items() if holds[name] == what]
        most = min(((1 << 8 * p.width) - 1) // 10**p.scale for p in mine)
        return st.integers(0, min(most, 2**32 - 1))


def _lay(
    draw: Any, widths: Mapping[str, tuple[int, int, bool]], taken: int, first_end: int
) -> tuple[dict[str, Place], int]:
    """Fields in a drawn order from `taken` on, with holes between; numbers end at `first_end` or
    later. (places, length)."""
    places, at = {}, taken
    names: Sequence[str] = draw(st.permutations(sorted(widths)))
    for name in names:
        width, scale, signed = widths[name]
        at += draw(st.integers(0, 2))
        at = max(at, first_end - width)
        places[name] = Place(at, width, scale, signed)
        at += width
    return places, at + draw(st.integers(0, 3))


@st.composite
def layouts(draw: Any) -> Drawn:
    """Any layout that the rules of wire/idx/layout.py allow."""
    numbers = st.integers(3, 8)
    scales = {"p": st.integers(0, 4), "v": st.integers(0, 2), "n": st.just(0)}
    ticker, board = draw(st.integers(8, 16)), draw(st.integers(1, 3))
    text = {"ticker": ticker, "board": board, "state": 1, "aggressor": 1, "depth": 1}
    text |= {"name": draw(st.integers(4, 70)), "isin": 12, "currency": draw(st.integers(3, 6))}

    def widths(holds: Mapping[str, str]) -> dict[str, tuple[int, int, bool]]:
        found = {}
        for name, what in holds.items():
            if name in text:
                found[name] = (text[name], 0, False)
            else:
                signed = what == "p" and draw(st.booleans())
                found[name] = (draw(numbers), draw(scales[what]), signed)
        return found

    header, end = _lay(
        draw, {"seq": (draw(st.integers(4, 8)), 0, False), "ts": (8, 0, False)}, 1, 8
    )
    messages, lengths = {}, {}
    for message, holds in HOLDS.items():
        messages[message], lengths[message] = _lay(draw, widths(holds), end, 8)
    level, level_bytes = _lay(draw, widths(LEVEL), 0, 0)
    codes = draw(st.permutations(LETTERS))
    boards = draw(
        st.lists(st.text(LETTERS, min_size=1, max_size=board), min_size=3, max_size=3, unique=True)
    )
    return Drawn(
        header,
        messages,
        level,
        lengths,
        level_bytes,
        draw(st.integers(1, 30)),
        dict(zip(KINDS, codes, strict=False)),
        dict(zip("P1B2CXEH", codes[10:], strict=False)),
        dict(zip(("B", "S", ""), codes[20:], strict=False)),
        dict(zip(("RG", "NG", "TN"), boards, strict=True)),
        draw(st.integers(0, 40)),
    )
