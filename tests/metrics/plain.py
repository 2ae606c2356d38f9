"""The metrics by their definitions, in plain Python, a bar at a time: what kernels are held to."""

from dataclasses import dataclass

from tests.metrics.bars import DAY, OPENING, Bar

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


class PlainHd:
    """Step by step; the numbers are those of the definition."""

    def __init__(self, opens: int = 32_700, closes: int = 53_400, freezes: int = 54_000) -> None:
        self.gates = opens, closes, freezes
        self.close: float | None = None
        self.day: int | None = None
        self.plus = self.minus = 0.0
        self.mapo: float | None = None
        self.frozen: float | None = None  # the day's mapo, as it was at the freeze
        self.before = 0.0
        self.dmapo = self.value = 0.0

    def push(self, bar: Bar) -> Row:
        opens, closes, freezes = self.gates
        day, t = divmod((bar.ts - OPENING) // 10**9 + 9 * 3600, DAY // 10**9)
        had = self.mapo is not None
        if day != self.day:  # 0
            left = self.frozen if self.frozen is not None else self.mapo
            self.before = left if left is not None else 0.0
            self.plus = self.minus = 0.0
            self.frozen = None
            self.day = day
        delta = 0.0 if self.close is None else bar.close - self.close  # 1
        self.close = bar.close
        previous = self.value
        if t >= opens:
            signed = 0.0  # 2
            if t < closes:
                signed = bar.volume if delta >= 0 else -bar.volume
            self.plus += max(signed, 0)  # 3
            self.minus += min(signed, 0)
            net = self.plus + self.minus  # 4
            if t < freezes:
                self.mapo = (
                    net if self.mapo is None else self.mapo + (net - self.mapo) * 2 / 21
                )  # 5
                self.dmapo = self.mapo - self.before  # 6
            elif self.frozen is None:
                self.frozen = self.mapo
            self.value = net - self.dmapo  # 7
        if self.mapo is None:
            return dict.fromkeys(("hd", "hd_mapo", "hd_dmapo", "hd_direction"))
        direction = 0
        if had and self.value != previous:
            direction = 1 if self.value > previous else -1
        return {
            "hd": self.value, "hd_mapo": self.mapo, "hd_dmapo": self.dmapo,
            "hd_direction": direction,
        }  # fmt: skip


OUTPUTS = ("ema_20", "rsi_14", "hd", "hd_mapo", "hd_dmapo", "hd_direction")


def from_scratch(bars: list[Bar]) -> list[Row]:
    """All metrics over one symbol's bars in order of time."""
    metrics = (PlainEma(), PlainRsi(), PlainHd())
    return [{k: v for metric in metrics for k, v in metric.push(bar).items()} for bar in bars]
