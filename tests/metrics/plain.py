"""The metrics by their definitions, in plain Python, a bar at a time: what kernels are held to."""

from dataclasses import dataclass

from tests.metrics.bars import Bar
from tests.metrics.hd_plain import PlainHd

Row = dict[str, float | None]


@dataclass
class PlainEma:
    length: int = 20

    def __post_init__(self) -> None:
        self.closes: list[float] = []
        self.last: float | None = None

    def push(self, bar: Bar) -> Row:
        self.closes.append(bar.close)
        if len(self.closes) == self.length:
            self.last = sum(self.closes) / self.length
        elif self.last is not None:
            self.last += (bar.close - self.last) * 2 / (self.length + 1)
        return {f"ema_{self.length}": self.last}


@dataclass
class PlainRsi:
    length: int = 14

    def __post_init__(self) -> None:
        self.closes: list[float] = []
        self.gain = self.loss = 0.0

    def push(self, bar: Bar) -> Row:
        self.closes.append(bar.close)
        changes = [b - a for a, b in zip(self.closes, self.closes[1:], strict=False)]
        if len(changes) < self.length:
            return {f"rsi_{self.length}": None}
        if len(changes) == self.length:
            self.gain = sum(max(c, 0) for c in changes) / self.length
            self.loss = sum(max(-c, 0) for c in changes) / self.length
        else:
            self.gain = (self.gain * (self.length - 1) + max(changes[-1], 0)) / self.length
            self.loss = (self.loss * (self.length - 1) + max(-changes[-1], 0)) / self.length
        if self.loss == 0:
            return {f"rsi_{self.length}": 50.0 if self.gain == 0 else 100.0}
        return {f"rsi_{self.length}": 100 - 100 / (1 + self.gain / self.loss)}


class PlainHdRow:
    """HD as a row (hd_plain.py has its definition)."""

    def __init__(self) -> None:
        self._plain = PlainHd()

    def push(self, bar: Bar) -> Row:
        names = ("hd", "hd_mapo", "hd_dmapo", "hd_direction")
        found = self._plain.push(bar.ts, bar.close, int(bar.volume)) or (None,) * len(names)
        return dict(zip(names, found, strict=True))


OUTPUTS = ("ema_20", "rsi_14", "hd", "hd_mapo", "hd_dmapo", "hd_direction")


def from_scratch(bars: list[Bar]) -> list[Row]:
    """All metrics over one symbol's bars in order of time."""
    metrics = (PlainEma(), PlainRsi(), PlainHdRow())
    return [{k: v for metric in metrics for k, v in metric.push(bar).items()} for bar in bars]
