"""HD, one story a step of its definition, and five days computed by hand."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bursa.metrics.engine import MetricEngine
from bursa.model.venue import BINANCE, IDX, Gates
from tests.metrics.bars import Bar, at, batch, rows, words
from tests.metrics.hd_plain import PlainGates, PlainHd


def hd(*bars: Bar, gates: tuple[Gates, ...] = ()) -> list[tuple[Any, ...]]:
    """value, mapo, dmapo, direction of each bar; `gates`: changes of them, later ones last."""
    vocabulary = words()
    engine = MetricEngine(IDX, vocabulary)
    assert IDX.gates is not None
    engine.set_gates((IDX.gates, *gates))
    found = rows(engine.push(batch(bars, vocabulary)))
    return [(r["hd"], r["hd_mapo"], r["hd_dmapo"], r["hd_direction"]) for r in found]


NULL = (None, None, None, None)


def gates(clock: str, opens: str, closes: str, freezes: str, day: int = 0) -> Gates:
    a, b, c = ((at(text) - at("00:00")) // 10**9 for text in (opens, closes, freezes))
    return Gates(a, b, c, at(clock, day))


# Bars and rows of one ticker. Volumes are such that every average is a whole number: mapo moves by
# 2/21 of what net is away from it. The arithmetic goes by the definition's steps.
BY_HAND = (
    # Monday. 1: before the gate; there is no mapo yet. It lends its close.
    (("09:00", 0), 100, 500, NULL),
    # 1: delta 99 - 100 = -1. 2: -210. 3: negative -210. 4: net -210. 5: the first mapo is net.
    # 6: dmapo -210 - 0. 7: value -210 + 210. The first value has direction 0.
    (("09:05", 0), 99, 210, (0, -210, -210, 0)),
    # 1: delta 0 counts as up. 2: +420. 3: positive 420. 4: net 420 - 210 = 210.
    # 5: -210 + (210 + 210) * 2 / 21 = -210 + 40. 6: -170 - 0. 7: 210 + 170 = 380, from 0.
    (("09:06", 0), 99, 420, (380, -170, -170, 1)),
    # 2: +40. 4: net 250. 5: -170 + (250 + 170) * 2 / 21 = -170 + 40. 7: 250 + 130, unchanged.
    (("09:07", 0), 101, 40, (380, -130, -130, 0)),
    # 2: -821, the last minute before the closing gate. 3: negative -1031. 4: 460 - 1031 = -571.
    # 5: -130 + (-571 + 130) * 2 / 21 = -130 - 42. 7: -571 + 172.
    (("14:49", 0), 100, 821, (-399, -172, -172, -1)),
    # 2: from the closing gate on 0, whatever the volume. 4: net -571.
    # 5: -172 + (-571 + 172) * 2 / 21 = -172 - 38. 7: -571 + 210.
    (("14:50", 0), 120, 9000, (-361, -210, -210, 1)),
    # 5, 6: from the freeze on both stay, and so 7: -571 + 210.
    (("15:00", 0), 90, 9000, (-361, -210, -210, 0)),
    # Tuesday, before the gate. 0: prev_day_mapo -210, sums 0. 1: all is carried; its close counts.
    (("09:04", 1), 95, 7000, (-361, -210, -210, 0)),
    # 1: 94 - 95, not 94 - 90. 2: -420. 4: net -420. 5: -210 + (-420 + 210) * 2 / 21 = -210 - 20.
    # 6: -230 + 210. 7: -420 + 20.
    (("09:05", 1), 94, 420, (-400, -230, -20, -1)),
    # 2: +1030. 4: 610. 5: -230 + (610 + 230) * 2 / 21 = -230 + 80. 6: -150 + 210. 7: 610 - 60.
    # It is the day's last bar: nothing comes at or past the freeze.
    (("09:06", 1), 100, 1030, (550, -150, 60, 1)),
    # Wednesday begins past the gate, with its computed value. 0: prev_day_mapo -150, the last of a
    # day without a freeze. 2: +60. 5: -150 + (60 + 150) * 2 / 21 = -150 + 20. 6: 20. 7: 60 - 20.
    (("10:00", 2), 100, 60, (40, -130, 20, -1)),
    (("15:00", 2), 10, 5, (40, -130, 20, 0)),
    # Thursday's only bar comes past the freeze. 0: sums 0. 2: 0. 4: net 0. 5, 6: both stay.
    # 7: 0 - 20.
    (("15:30", 3), 11, 300, (-20, -130, 20, -1)),
    # Friday. 0: prev_day_mapo -130: the mapo that stood still at Thursday's freeze. 2: +80.
    # 5: -130 + (80 + 130) * 2 / 21 = -130 + 20. 6: -110 + 130. 7: 80 - 20.
    (("09:05", 4), 12, 80, (60, -110, 20, 1)),
)


def test_five_days_computed_by_hand() -> None:
    bars = [Bar(at(*when), close, volume) for when, close, volume, _ in BY_HAND]
    assert hd(*bars) == [row for _, _, _, row in BY_HAND]


def test_a_first_day_that_begins_past_the_freeze_leaves_no_average() -> None:
    # Monday has none, so Tuesday's is the first: mapo 60, and dmapo 60 - 0.0.
    found = hd(Bar(at("15:00"), 10, 500), Bar(at("09:05", 1), 11, 60), Bar(at("09:06", 1), 9, 270))
    # net 60 - 270 = -210; mapo 60 + (-210 - 60) * 2 / 21
    mapo = 60 + (-210 - 60) * 2 / 21
    assert found == [NULL, (0, 60, 60, 0), (-210 - mapo, mapo, mapo, -1)]


def test_gates_change_at_a_bar() -> None:
    found = hd(
        Bar(at("09:05"), 10, 210),  # net 210, mapo 210
        Bar(at("10:59"), 11, 210),  # net 420, mapo 210 + 210 * 2 / 21 = 230, value 420 - 230
        Bar(at("11:00"), 12, 999),  # the new gates: past their closing gate and their freeze
        Bar(at("09:05", 1), 12, 70),  # still before their opening gate
        Bar(at("09:10", 1), 12, 440),  # net 440, mapo 230 + 210 * 2 / 21, dmapo 20
        gates=(gates("11:00", "09:10", "10:30", "11:00"),),
    )
    assert found == [
        (0, 210, 210, 0),
        (190, 230, 230, 1),
        (190, 230, 230, 0),
        (190, 230, 230, 0),
        (420, 250, 20, 1),
    ]


def test_a_freeze_that_is_put_off_after_it_came_ends() -> None:
    """Each bar goes by the gates of its own time: the average moves on, and the next day starts
    from where it then stands still."""
    found = hd(
        Bar(at("09:05"), 10, 210),  # mapo 210
        Bar(at("15:00"), 11, 999),  # frozen
        Bar(at("15:10"), 12, 210),  # net 420, mapo 210 + 210 * 2 / 21
        Bar(at("15:30"), 13, 999),
        Bar(at("09:05", 1), 14, 440),  # mapo 230 + (440 - 230) * 2 / 21, dmapo 250 - 230
        gates=(gates("15:10", "09:05", "15:20", "15:30"),),
    )
    assert [row[1] for row in found] == [210, 210, 230, 230, 250]
    assert found[4] == (420, 250, 20, 1)


@st.composite
def clocks(draw: st.DrawFn) -> tuple[int, int, int]:
    """Three gates in their order, at seconds too."""
    every = st.integers(9 * 3600, 10 * 3600)
    opens, closes, freezes = sorted(draw(every) for _ in range(3))
    return opens, closes, freezes


@settings(max_examples=60, deadline=None)
@given(
    changes=st.dictionaries(st.integers(0, 2 * 1440), clocks(), max_size=4),
    bars=st.dictionaries(
        st.integers(0, 2 * 60),
        st.tuples(st.integers(1, 5), st.integers(0, 10**6)),
        min_size=1,
        max_size=60,
    ),
)
def test_it_is_the_plain_hd_under_any_gates(
    changes: dict[int, tuple[int, int, int]], bars: dict[int, tuple[int, int]]
) -> None:
    # An hour of each of two days, the first one's before it too.
    opened = {
        at("09:00", place // 60) + place % 60 * 60 * 10**9: bar for place, bar in bars.items()
    }
    later = {at("00:00") + minute * 60 * 10**9: said for minute, said in sorted(changes.items())}
    assert IDX.gates is not None
    found = hd(
        *(Bar(ts, close, volume) for ts, (close, volume) in sorted(opened.items())),
        gates=tuple(Gates(*said, from_ns) for from_ns, said in later.items()),
    )
    first = PlainGates(0, IDX.gates.open_s, IDX.gates.close_s, IDX.gates.freeze_s)
    plain = PlainHd([first, *(PlainGates(from_ns, *said) for from_ns, said in later.items())])
    assert found == [
        plain.push(ts, close, volume) or NULL for ts, (close, volume) in sorted(opened.items())
    ]


def test_null_until_the_first_bar_between_the_gate_and_the_freeze() -> None:
    assert hd(Bar(at("09:00"), 10), Bar(at("09:04"), 11)) == [NULL, NULL]
    assert hd(Bar(at("15:00"), 10), Bar(at("15:30"), 11)) == [NULL, NULL]
    # The bar before the gate only lends its close: 11 is up from 10.
    found = hd(Bar(at("09:04"), 10), Bar(at("09:05"), 11, 300))
    assert found == [NULL, (0.0, 300.0, 300.0, 0)]


def test_the_first_bar_ever_counts_its_volume_as_bought() -> None:
    assert hd(Bar(at("09:05"), 10, 700)) == [(0.0, 700.0, 700.0, 0)]


def test_signed_volume_its_net_and_the_average() -> None:
    found = hd(
        Bar(at("09:05"), 10, 100),
        Bar(at("09:06"), 9, 300),  # down: net -200
        Bar(at("09:07"), 9, 50),  # unchanged counts as up: net -150
    )
    second = 100 + (-200 - 100) * 2 / 21
    third = second + (-150 - second) * 2 / 21
    assert found == [
        (0.0, 100.0, 100.0, 0),
        (-200 - second, second, second, -1),
        (-150 - third, third, third, 1),
    ]


def test_from_the_closing_gate_on_volume_counts_nothing() -> None:
    found = hd(Bar(at("14:49"), 10, 100), Bar(at("14:50"), 12, 9000))
    mapo = 100 + (100 - 100) * 2 / 21
    assert found[1] == (100 - mapo, mapo, mapo, 0)


def test_from_the_freeze_on_the_average_stands_still() -> None:
    found = hd(
        Bar(at("14:48"), 10, 100), Bar(at("14:49"), 9, 400),
        Bar(at("15:00"), 8, 1000), Bar(at("15:50"), 7, 1000),
    )  # fmt: skip
    mapo = 100 + (-300 - 100) * 2 / 21
    assert found[1] == (-300 - mapo, mapo, mapo, -1)
    assert found[2:] == [(-300 - mapo, mapo, mapo, 0)] * 2


def test_a_new_day_starts_from_the_average_frozen_the_day_before() -> None:
    found = hd(
        Bar(at("09:05"), 10, 100), Bar(at("15:01"), 10, 5),  # mapo 100, frozen
        Bar(at("09:05", day=1), 11, 40),  # net 40
    )  # fmt: skip
    mapo = 100 + (40 - 100) * 2 / 21
    dmapo = mapo - 100
    assert found[2] == (40 - dmapo, mapo, dmapo, 1)


def test_a_day_without_a_bar_past_the_freeze_leaves_its_last_average() -> None:
    found = hd(Bar(at("09:05"), 10, 100), Bar(at("09:06"), 11, 60), Bar(at("10:00", 1), 9, 10))
    left = 100 + (160 - 100) * 2 / 21
    mapo = left + (-10 - left) * 2 / 21
    assert found[2] == (-10 - (mapo - left), mapo, mapo - left, -1)


def test_before_the_gate_a_new_day_repeats_the_last_values() -> None:
    found = hd(
        Bar(at("09:05"), 10, 100), Bar(at("09:06"), 9, 300),
        Bar(at("09:00", 1), 20, 900), Bar(at("09:05", 1), 19, 10),
    )  # fmt: skip
    assert found[2] == (*found[1][:3], 0)
    left = found[1][1]
    mapo = left + (-10 - left) * 2 / 21  # 19 is down from the 20 before the gate
    assert found[3][:3] == (-10 - (mapo - left), mapo, mapo - left)


def test_symbols_do_not_mix() -> None:
    found = hd(
        Bar(at("09:05"), 10, 100), Bar(at("09:05"), 50, 7, symbol=3), Bar(at("09:06"), 11, 1)
    )
    assert found[1] == (0.0, 7.0, 7.0, 0)
    assert found[2][1] == 100 + (101 - 100) * 2 / 21


def test_a_venue_without_gates_has_none() -> None:
    vocabulary = words()
    bars = [Bar(at("10:00"), 10), Bar(at("10:01"), 11)]
    found = rows(MetricEngine(BINANCE, vocabulary).push(batch(bars, vocabulary)))
    assert [r["hd"] for r in found] == [None, None]
