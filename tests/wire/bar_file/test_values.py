"""The values of a file of bars: numbers, times in all their forms, and what is no value."""

import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursa.model.schema import INT_NULL
from bursa.wire.bar_file import values as bar_values
from bursa.wire.bar_file.values import Clock

JAKARTA, NEW_YORK = ZoneInfo("Asia/Jakarta"), ZoneInfo("America/New_York")
OPENING = datetime(2025, 1, 15, 2, 30, tzinfo=UTC)  # 09:30 in Jakarta
OPENING_NS = int(OPENING.timestamp()) * 1_000_000_000


def read(values: Any, zone: Any = UTC, form: str = "", kind: Any = None) -> list[int | None]:
    array = values if isinstance(values, pa.Array) else pa.array(values, kind)
    ns, bad, odd = bar_values.instants(array, Clock(zone, form))
    found = np.where(bad, -1, np.where(odd, -2, np.where(ns == INT_NULL, -3, ns)))
    return [{-1: None}.get(n, n) for n in found.tolist()]


def test_numbers_are_read_and_what_is_none_is_told() -> None:
    said = ["1", " 2.50 ", "+3", "-.5", "1e3", "", "null", "NaN", "-", "1,5", "abc", "Inf", "0x1"]
    found, bad = bar_values.numbers(pa.array(said))
    expected = [1, 2.5, 3, -0.5, 1000, *[math.nan] * 6, math.inf, math.nan]
    np.testing.assert_array_equal(found, expected)
    assert [text for text, is_bad in zip(said, bad, strict=True) if is_bad] == [
        "1,5",
        "abc",
        "0x1",
    ]


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1, None], pa.int32()),
        pa.array([1.0, math.nan]),
        pa.array([Decimal("1.00"), None]),
        pa.array([b"1", b""]),
        pa.array(["1", "n/a"]).dictionary_encode(),
        pa.array(["1", None], pa.large_string()),
    ],
)
def test_numbers_of_any_type(array: pa.Array) -> None:
    found, bad = bar_values.numbers(array)
    np.testing.assert_array_equal(found, [1, math.nan])
    assert not bad.any()


def test_whole_numbers() -> None:
    found, bad = bar_values.integers(pa.array(["7", "7.0", "7.5", "", "x", "1e30"]))
    assert found.tolist() == [7, 7, *[INT_NULL] * 4]
    assert bad.tolist() == [False, False, True, False, True, True]


def test_a_big_volume_is_exact() -> None:
    assert bar_values.numbers(pa.array([str(2**53)]))[0][0] == 2**53


@pytest.mark.parametrize(
    "text",
    [
        "2025-01-15T02:30:00Z",
        "2025-01-15 02:30:00+00:00",
        "2025-01-15T09:30+07:00",
        "2025-01-15 09:30:00.000 +0700",
        "2025-01-14T21:30:00-05",
        "2025-01-15 02:30",
        "2025-01-15 2:30",
        "2025/01/15 02:30:00",
        "2025.01.15 02:30",
        "20250115 023000",
        "20250115023000",
        "202501150230",
        "20250115 0230",
        "2025-01-15 02:30 UTC",
        "2025-01-15;02:30",
        str(OPENING_NS),
        str(OPENING_NS // 1_000),
        str(OPENING_NS // 1_000_000),
        str(OPENING_NS // 1_000_000_000),
        f"{OPENING_NS // 1_000_000_000}.0",
    ],
)
def test_one_moment_in_all_its_forms(text: str) -> None:
    assert read([text]) == [OPENING_NS]
    assert read([text.encode()]) == [OPENING_NS]


@pytest.mark.parametrize(
    "text",
    [
        "2025-02-30 09:00",
        "2025-13-01 09:00",
        "2025-01-15",
        "15/01/2025 09:30",
        "2025-01-15 24:00",
        "2025-01-15 09:60",
        "0001-01-01 00:00",
        "soon",
        "2025-01-15 09:30 WIB",
    ],
)
def test_what_is_no_moment_is_told_and_never_guessed(text: str) -> None:
    assert read(["2025-01-15 02:30", text]) == [OPENING_NS, None]


def test_typed_times() -> None:
    naive = OPENING.replace(tzinfo=None)
    for unit in ("s", "ms", "us", "ns"):
        assert read([naive, None], kind=pa.timestamp(unit)) == [OPENING_NS, -3]
        local = naive.replace(hour=9)
        assert read([local], JAKARTA, kind=pa.timestamp(unit)) == [OPENING_NS]
        assert read([OPENING], JAKARTA, kind=pa.timestamp(unit, "Asia/Tokyo")) == [OPENING_NS]
    assert read([OPENING_NS // 1_000_000, None], kind=pa.int64()) == [OPENING_NS, -3]
    assert read([OPENING_NS / 1e9], kind=pa.float64()) == [OPENING_NS]
    assert read(["1736908200", "1736908200.25", "x", "9" * 19]) == [
        OPENING_NS,
        OPENING_NS + 250_000_000,
        None,
        None,
    ]


def test_a_form_that_is_said() -> None:
    assert read(["15/01/2025 09:30", "2025-01-15", ""], JAKARTA, "%d/%m/%Y %H:%M") == [
        OPENING_NS,
        None,
        -3,
    ]


def test_dates_and_times_of_day_in_two_columns() -> None:
    clock = Clock(JAKARTA)
    for dates, times in (
        (pa.array(["2025.01.15"]), pa.array(["09:30"])),
        (pa.array([20250115]), pa.array([93000])),
        (pa.array([20250115.0]), pa.array([930])),
        (pa.array([OPENING.date()]), pa.array([datetime(2025, 1, 1, 9, 30).time()])),
        (pa.array([datetime(2025, 1, 15)]), pa.array(["9:30"])),
    ):
        clock = Clock(JAKARTA)
        assert read(bar_values.joined(dates, times, clock), JAKARTA) == [OPENING_NS]
    midnight = bar_values.joined(
        pa.array([20250115] * 3), pa.array([0, 500, 2359]), clock := Clock(UTC)
    )
    assert clock.width == 4
    assert midnight.to_pylist() == ["20250115 0000", "20250115 0500", "20250115 2359"]
    seconds = bar_values.joined(pa.array([20250115] * 2), pa.array([0, 235900]), Clock(UTC))
    assert seconds.to_pylist() == ["20250115 000000", "20250115 235900"]


def test_times_that_clocks_show_twice_or_never() -> None:
    said = ["2025-03-09 01:59", "2025-03-09 02:00", "2025-03-09 03:00", "2025-11-02 00:59"]
    said += ["2025-11-02 01:00", "2025-11-02 01:59", "2025-11-02 02:00", "2025-11-02 01:30-05:00"]
    found = read(said, NEW_YORK)
    assert [n == -2 for n in found] == [False, True, False, False, True, True, False, False]


@given(
    st.datetimes(datetime(1977, 8, 10), datetime(2199, 12, 31)),
    st.sampled_from([UTC, JAKARTA, NEW_YORK, ZoneInfo("Europe/London")]),
)
def test_text_and_typed_times_agree_with_the_zone(moment: datetime, zone: Any) -> None:
    moment = moment.replace(microsecond=0)
    aware = moment.replace(tzinfo=zone)
    odd = aware.utcoffset() != aware.replace(fold=1).utcoffset()
    expected = -2 if odd else int(aware.timestamp()) * 1_000_000_000
    assert read([moment.isoformat()], zone) == [expected]
    assert read([moment], zone, kind=pa.timestamp("us")) == [expected]
    assert read([aware.isoformat()]) == [int(aware.timestamp()) * 1_000_000_000]


def test_a_column_of_nothing() -> None:
    assert read(pa.nulls(2)) == [-3, -3]
    assert read(["", "null"]) == [-3, -3]
    assert bar_values.is_date_alone("2025-01-15")
    assert not bar_values.is_date_alone("2025-01-15 09:30")


def test_points_between_thousands_are_told_from_decimals() -> None:
    for fine in (["1.5", "9.025"], ["1234.567"], ["1e6", "", "-"], [b"12.345"], [1.5], [None]):
        assert bar_values.grouped(pa.array(fine)) == ""
    assert bar_values.grouped(pa.array(["9.025", "1.234.500"])) == "1.234.500"
    assert bar_values.grouped(pa.array([b"-12.345.678,90"])) == "-12.345.678,90"
