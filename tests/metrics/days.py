"""Bars of several days with gaps, what plain definitions need of them, and the engine's word."""

import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from bursa.metrics.catalog import STANDARD, Catalogue
from bursa.metrics.engine import MetricEngine, compute
from bursa.model.batch import Batch
from bursa.model.venue import BINANCE, IDX, XNAS, Venue
from tests.metrics.bars import DAY, MINUTE, OPENING, Bar, at, batch, words

ZONES = {"idx": "Asia/Jakarta", "binance": "UTC", "xnas": "America/New_York"}
VENUES = (IDX, BINANCE, XNAS)
# By the venue's clock, in minutes: where tests open and close it.
HOURS = {"idx": (530, 990), "binance": (0, 1440), "xnas": (235, 1210)}


class Minute(NamedTuple):
    """A bar, its venue's day (any count of days) and minute of the day, and its volume and value
    in whole units."""

    bar: Bar
    day: int
    clock: int
    volume: int
    value: int

    @property
    def number(self) -> int:
        return self.bar.ts // MINUTE


def minutes(bars: Iterable[Bar], venue: Venue) -> list[Minute]:
    """Bars of one symbol, in order of time."""
    found, zone = [], ZoneInfo(ZONES[venue.name])
    for bar in sorted(bars, key=lambda bar: bar.ts):
        local = datetime.fromtimestamp(bar.ts // 10**9, UTC).astimezone(zone)
        volume = round(bar.volume * 10**venue.volume_decimals)
        value = round(bar.volume * bar.close * 10**venue.value_decimals)
        clock = local.hour * 60 + local.minute
        found.append(Minute(bar, local.date().toordinal(), clock, volume, value))
    return found


def bar_at(chance: random.Random, ts: int, venue: Venue, symbol: int = 0) -> Bar:
    """Some bar. Now and then its trades were all taken back, or it is a burst."""
    close = chance.choice([47.0, 49.5, 50.0, 50.25, 63.0])
    volume = chance.choice([0.0, 3.0, 100.0, 100.0, 2500.0, 1e9])
    return Bar(
        ts,
        close,
        volume / 1000 if venue is BINANCE else volume,
        symbol,
        high=close + chance.choice([0.0, 1.0, 7.5]),
        low=close - chance.choice([0.0, 0.5, 6.0]),
        open=close + chance.choice([-1.0, 0.0, 2.0]),
    )


def stretch(chance: random.Random, venue: Venue, days: int, most: int) -> list[Bar]:
    """Bars of one symbol on so many days, at most `most` on each, some next to each other, some
    hours apart; days are left out too."""
    found: list[Bar] = []
    zone, day = ZoneInfo(ZONES[venue.name]), OPENING
    opens, closes = HOURS[venue.name]
    for _ in range(days):
        day += DAY * chance.choice([1, 1, 1, 1, 3])
        midnight = datetime.fromtimestamp(day // 10**9, zone).replace(hour=0, minute=0, second=0)
        clock = chance.choice([opens, opens, opens + 3, opens + 200, closes - 10])
        for _ in range(chance.randint(1, most)):
            if clock >= closes:
                break
            ts = int(midnight.timestamp()) * 10**9 + clock * MINUTE
            found.append(bar_at(chance, ts, venue))
            clock += chance.choice([1, 1, 1, 1, 1, 2, 3, 4, 9, 31, 80, 500])
    return found


def given(
    names: str | Sequence[str],
    bars: Iterable[Bar],
    venue: Venue = IDX,
    known: Catalogue = STANDARD,
    freq: str = "1m",
) -> dict[str, list[float]]:
    """Column -> values of metrics over bars of one symbol in order of time; NaN is null."""
    wanted = [names] if isinstance(names, str) else names
    rows = compute(wanted, batch(bars, words(), freq), venue, known)
    return {c: rows.column(c).tolist() for c in columns(wanted, known)}


def columns(names: Sequence[str], known: Catalogue = STANDARD) -> list[str]:
    return [column.name for name in names for column in known.find(name).columns]


def engine_for(names: Sequence[str], venue: Venue) -> MetricEngine:
    """An engine of these metrics and what they read, alone."""
    wanted = STANDARD.ordered(names)
    alone = Catalogue([(metric, STANDARD.family_of[metric.name]) for metric in wanted])
    return MetricEngine(venue, words(), alone)


def said(
    engine: MetricEngine, names: Sequence[str], bars: Sequence[Bar]
) -> list[tuple[float | None, ...]]:
    """What an engine says of some bars: (symbol, ts, rev, columns ...), null is None."""
    return _rows(engine.push(batch(bars, words())), names)


def emitted(
    names: Sequence[str],
    bars: Sequence[Bar],
    venue: Venue,
    sizes: Iterable[int] = (),
    restarts: bool = False,
) -> list[tuple[float | None, ...]]:
    """The same of bars in order of emission, cut into batches of these sizes and a last one;
    the engine may be restored after each."""
    engine = engine_for(names, venue)
    found: list[tuple[float | None, ...]] = []
    start = 0
    for size in [*sizes, len(bars)]:
        found += said(engine, names, bars[start : start + size])
        start += size
        if restarts:
            state = engine.snapshot()
            engine = engine_for(names, venue)
            engine.restore(state)
    return found


def _rows(rows: Batch, names: Sequence[str]) -> list[tuple[float | None, ...]]:
    shown = [rows.column(name).tolist() for name in ("ticker", "ts", "rev", *columns(names))]
    return [
        tuple(None if v != v else v for v in row) for row in zip(*shown, strict=True)
    ]  # NaN is not equal to itself


def newest(rows: Iterable[tuple[float | None, ...]]) -> dict[tuple[float | None, ...], list[float]]:
    """(symbol, ts) -> the columns of the newest row; NaN is null."""
    return {row[:2]: [float("nan") if v is None else v for v in row[3:]] for row in rows}


def restated(chance: random.Random, bars: list[Bar], venue: Venue, share: float) -> list[Bar]:
    """Bars in order of emission: some come late, some are revised, up to 8 minutes behind."""
    found: list[Bar] = []
    revs: dict[int, int] = {}
    waiting: list[Bar] = []
    for place, bar in enumerate(bars):
        for late in [late for late in waiting if bar.ts - late.ts > 7 * MINUTE]:
            waiting.remove(late)
            found.append(late)
        if chance.random() < share:
            waiting.append(bar)
            continue
        found.append(bar)
        while waiting and chance.random() < 0.5:
            found.append(waiting.pop())
        recent = [b for b in bars[max(0, place - 4) : place] if bar.ts - b.ts <= 8 * MINUTE]
        if recent and chance.random() < share:
            found.append(bar_at(chance, chance.choice(recent).ts, venue))
    found += waiting
    for place, bar in enumerate(found):
        revs[bar.ts] = revs.get(bar.ts, -1) + 1
        found[place] = bar._replace(rev=revs[bar.ts], position=place)
    return found


def final(bars: list[Bar]) -> list[Bar]:
    content = {bar.ts: bar for bar in bars}
    return [content[ts] for ts in sorted(content)]


def around_midnights(chance: random.Random, days: int) -> list[Bar]:
    """Bars on both sides of each midnight of a venue that never closes; on some days none, so that
    a late one makes a day of its own."""
    found = []
    for day in range(days):
        midnight = at("00:00", day) + 7 * 60 * MINUTE
        offsets = [n for n in range(-4, 5) if chance.random() < 0.4]
        found += [bar_at(chance, midnight + n * MINUTE, BINANCE) for n in offsets]
    return found
