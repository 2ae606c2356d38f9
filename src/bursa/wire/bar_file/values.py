"""The values of a file of bars, column by column: text or typed, into what a block holds.

Times come as ISO text, as compact digits (20250115093000), as a form that is said, or counted from
1970 in s, ms, us or ns; which of them, the first value decides for the whole file. What cannot be
read is told row by row, never guessed. Pure; knows no file (feeds/bar_file.py).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bursa.model.calendar import DAY_NS, SECOND_NS
from bursa.model.schema import INT_NULL

Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]

COUNTED = {"s": SECOND_NS, "ms": 1_000_000, "us": 1_000, "ns": 1}
TEXT, TYPED = "text", "typed"

_NOTHING = ("", "null", "none", "nan", "na", "n/a", "-", "\\n", "nil")
_NUMBER = r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?$|^[+-]?(?i:inf|infinity)$"
_GROUPED = r"^[+-]?\d{1,3}(?:\.\d{3}){2,}(?:,\d*)?$"
_DIGITS = re.compile(r"^(\d+)(?:\.\d*)?$")
# How many digits a time since 1970 has in a unit; 12 and 14 digits are a date and a time.
_UNITS = {9: "s", 10: "s", 13: "ms", 16: "us", 19: "ns"}
_MOMENT = (
    r"^(?P<year>\d{4})[-/.]?(?P<month>\d{2})[-/.]?(?P<day>\d{2})[T ;,]? ?"
    r"(?P<hour>\d{1,2}):?(?P<minute>\d{2})"
    r"(?::?(?P<second>\d{2})(?:[.,](?P<part>\d{1,9})\d*)?)?"
    r" ?(?P<zone>Z|z|UTC|[+-]\d{2}(?::?\d{2})?)?$"
)
_DATE_ALONE = re.compile(r"^\d{4}[-/.]?\d{2}[-/.]?\d{2}$")
_QUARTER_NS = 900 * SECOND_NS
# A count of ns up to this fits, with room for a zone.
_LAST_NS = 2**63 - 2 * DAY_NS


@dataclass
class Clock:
    """How times are read.

    zone    of times that name none
    form    strptime's form of text, "" where it is to be found out
    unit    what was found: a key of COUNTED, TEXT or TYPED; "" before the first value
    sample  that first value, where it is text
    width   digits of times of day that are nothing else; 0 where none were met
    """

    zone: tzinfo
    form: str = ""
    unit: str = ""
    sample: str = ""
    width: int = 0


def words(array: pa.Array) -> pa.Array:
    """Any column as text, stripped; what stands for nothing is null."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
        array = _decoded(array)
    if pa.types.is_floating(array.type):
        whole = pc.cast(array, pa.int64(), safe=False)
        if pc.all(pc.equal(pc.cast(whole, pa.float64(), safe=False), array)).as_py():
            array = whole  # 20250115.0 is a date that met an empty cell on its way
    text = pc.utf8_trim_whitespace(pc.cast(array, pa.string()))
    nothing = pc.is_in(pc.utf8_lower(text), value_set=pa.array(_NOTHING))
    return pc.if_else(nothing, pa.scalar(None, pa.string()), text)


def _decoded(array: pa.Array) -> pa.Array:
    try:
        return pc.cast(array, pa.string())
    except pa.ArrowInvalid:  # some row is not UTF-8
        return pa.array([None if v is None else v.decode(errors="replace") for v in _list(array)])


def _list(array: pa.Array) -> list[Any]:
    found: list[Any] = array.to_pylist()
    return found


def numbers(array: pa.Array) -> tuple[NDArray[np.float64], Mask]:
    """A column as float64 (NaN where there is nothing), and which rows are no number."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_null(array.type):
        return np.full(len(array), np.nan), np.zeros(len(array), bool)
    if (
        pa.types.is_integer(array.type)
        or pa.types.is_floating(array.type)
        or pa.types.is_decimal(array.type)
    ):
        return _floats(pc.cast(array, pa.float64(), safe=False)), np.zeros(len(array), bool)
    text = words(array)
    fits = pc.match_substring_regex(text, _NUMBER)
    bad = _mask(pc.invert(fits))
    fine = pc.if_else(fits, text, pa.scalar(None, pa.string()))
    # "+1" is a number to a spreadsheet.
    return _floats(pc.cast(pc.utf8_ltrim(fine, characters="+"), pa.float64())), bad


def grouped(array: pa.Array) -> str:
    """The first number of a column of text whose points part thousands, such as 1.234.567; "" where
    there is none. Beside it, 9.025 is no 9."""
    if not (pa.types.is_binary(array.type) or pa.types.is_string(array.type)):
        return ""
    text = words(array)
    found = text.filter(pc.match_substring_regex(text, _GROUPED))
    return str(found[0].as_py()) if len(found) else ""


def integers(array: pa.Array) -> tuple[Ints, Mask]:
    """A column as int64 (INT_NULL where there is nothing), and which rows are no whole number."""
    found, bad = numbers(array)
    there = ~np.isnan(found)
    whole = there & (np.abs(found) < 2.0**53) & (np.floor(found) == found)
    values = np.full(len(found), INT_NULL)
    values[whole] = found[whole].astype(np.int64)
    return values, bad | (there & ~whole)


def _floats(array: pa.Array) -> NDArray[np.float64]:
    found: NDArray[np.float64] = pc.fill_null(array, float("nan")).to_numpy(zero_copy_only=False)
    return found


def _mask(array: pa.Array) -> Mask:
    found: Mask = pc.fill_null(array, False).to_numpy(zero_copy_only=False)
    return found


# Times


def instants(array: pa.Array, clock: Clock) -> tuple[Ints, Mask, Mask]:
    """A column of moments as ns UTC (INT_NULL where there is nothing); which rows cannot be read;
    and which have a time that the zone's clocks show twice or never."""
    if pa.types.is_timestamp(array.type):
        clock.unit = clock.unit or TYPED
        return _typed(array, clock.zone)
    text = words(array)
    _find_unit(text, clock)
    if clock.unit in COUNTED:
        return _counted(array, text, COUNTED[clock.unit])
    if clock.form:
        return _by_form(text, clock)
    return _moments(text, clock.zone)


def joined(dates: pa.Array, times: pa.Array, clock: Clock) -> pa.Array:
    """A column of dates and one of times of day as one text. Times of digits alone (93000, 930)
    are HHMMSS where one of them has more than four, else HHMM."""
    if pa.types.is_timestamp(dates.type):
        dates = pc.cast(dates, pa.date32(), safe=False)
    said = words(times)
    if pc.all(pc.match_substring_regex(said, r"^\d{1,6}$")).as_py():
        longest = pc.max(pc.utf8_length(said)).as_py() or 0
        clock.width = max(clock.width, 6 if longest > 4 else 4)
        said = pc.utf8_lpad(said, width=clock.width, padding="0")
    return pc.binary_join_element_wise(words(dates), said, " ")


def is_date_alone(text: str) -> bool:
    """Is this the text of a day, without a time?"""
    return _DATE_ALONE.match(text) is not None


def _find_unit(text: pa.Array, clock: Clock) -> None:
    if clock.unit:
        return
    first = next(iter(_list(pc.drop_null(text)[:1])), None)
    if first is None:
        return
    clock.sample = first
    digits = _DIGITS.match(first)
    clock.unit = TEXT
    if digits is not None and not clock.form:
        clock.unit = _UNITS.get(len(digits.group(1)), TEXT)


def _typed(array: pa.Array, zone: tzinfo) -> tuple[Ints, Mask, Mask]:
    there = ~_mask(array.is_null())
    named = array.type.tz is not None
    scale = COUNTED[array.type.unit]
    raw = pc.fill_null(pc.cast(array, pa.int64()), 0).to_numpy(zero_copy_only=False)
    bad = there & (np.abs(raw) > _LAST_NS // scale)
    ns = np.where(bad, 0, raw) * scale
    odd = np.zeros(len(ns), bool)
    if not named:
        ns, odd = to_utc(ns, zone)
    return np.where(there & ~bad & ~odd, ns, INT_NULL), bad, odd & there & ~bad


def _counted(array: pa.Array, text: pa.Array, scale: int) -> tuple[Ints, Mask, Mask]:
    there = ~_mask(text.is_null())
    if pa.types.is_integer(array.type):
        raw = pc.fill_null(pc.cast(array, pa.int64(), safe=False), 0)
        found, bad = raw.to_numpy(zero_copy_only=False), np.zeros(len(there), bool)
        bad = there & (np.abs(found) > _LAST_NS // scale)
        ns = np.where(bad, 0, found) * scale
    else:
        whole = pc.replace_substring_regex(text, r"\.0*$", "")
        exact = pc.match_substring_regex(whole, r"^\d{1,19}$")
        bad = there & ~_mask(exact)
        fine = pc.cast(pc.if_else(exact, whole, pa.scalar("0")), pa.uint64())
        big = pc.fill_null(fine, 0).to_numpy(zero_copy_only=False)
        bad |= there & (big > _LAST_NS // scale)
        ns = np.where(bad, 0, big).astype(np.int64) * scale
        ns, bad = _fractions(text, bad, ns, scale)
    return np.where(there & ~bad, ns, INT_NULL), bad, np.zeros(len(ns), bool)


def _fractions(text: pa.Array, bad: Mask, ns: Ints, scale: int) -> tuple[Ints, Mask]:
    """Rows such as 1700000000.25, to the microsecond, which `bad` has so far."""
    if not bad.any():
        return ns, bad
    fits = bad & _mask(pc.match_substring_regex(text, r"^\d{1,16}\.\d+$"))
    for at in np.flatnonzero(fits).tolist():
        whole, _, part = text[at].as_py().partition(".")
        ns[at] = int(whole) * scale + int(part[:6].ljust(6, "0")) * scale // 1_000_000
    return ns, bad & ~fits


def _by_form(text: pa.Array, clock: Clock) -> tuple[Ints, Mask, Mask]:
    parsed = pc.strptime(text, clock.form, "s", error_is_null=True)
    bad = _mask(parsed.is_null()) & ~_mask(text.is_null())
    ns, bad_too, odd = _typed(pc.cast(parsed, pa.timestamp("s")), clock.zone)
    return ns, bad | bad_too, odd


def _moments(text: pa.Array, zone: tzinfo) -> tuple[Ints, Mask, Mask]:
    parts = pc.extract_regex(text, _MOMENT)
    there = ~_mask(text.is_null())
    bad = there & _mask(parts.is_null())

    def part(name: str) -> Ints:
        found = pc.struct_field(parts, name)
        found = pc.if_else(pc.equal(found, ""), pa.scalar("0"), found)
        return pc.fill_null(pc.cast(found, pa.int64()), 0).to_numpy(zero_copy_only=False)

    year, month, day = part("year"), part("month"), part("day")
    hour, minute, second = part("hour"), part("minute"), part("second")
    bad |= there & ((month < 1) | (month > 12) | (day < 1) | (hour > 23) | (minute > 59))
    bad |= there & ((second > 59) | (year < 1900) | (year > 2200))
    year, month = np.where(bad | ~there, 1970, year), np.where(bad | ~there, 1, month)
    months = (year - 1970) * 12 + month - 1
    first = months.astype("M8[M]").astype("M8[D]").astype(np.int64)
    length = (months + 1).astype("M8[M]").astype("M8[D]").astype(np.int64) - first
    bad |= there & (day > length)
    fraction = pc.utf8_rpad(pc.struct_field(parts, "part"), width=9, padding="0")
    fraction = pc.fill_null(pc.cast(fraction, pa.int64()), 0).to_numpy(zero_copy_only=False)
    clock_s = hour * 3600 + minute * 60 + second
    local = (first + day - 1) * DAY_NS + clock_s * SECOND_NS + fraction
    local = np.where(bad | ~there, 0, local)
    offsets, named = _offsets(pc.struct_field(parts, "zone"))
    utc, odd = to_utc(local, zone)
    ns = np.where(named, local - offsets, utc)
    odd &= ~named & there & ~bad
    return np.where(there & ~bad & ~odd, ns, INT_NULL), bad, odd


def _offsets(zones: pa.Array) -> tuple[Ints, Mask]:
    """What the clock of each row is ahead of UTC, ns, and which rows say so."""
    coded = zones.dictionary_encode()
    at = pc.fill_null(coded.indices, -1).to_numpy(zero_copy_only=False)
    known = [_offset_said(text) for text in _list(coded.dictionary)]
    ahead = np.array([0 if ns is None else ns for ns in known] + [0], np.int64)
    named = np.array([ns is not None for ns in known] + [False])
    return ahead[at], named[at]


def _offset_said(text: str | None) -> int | None:
    if not text:
        return None
    if text[0] not in "+-":
        return 0
    digits = text[1:].replace(":", "").ljust(4, "0")
    ahead = (int(digits[:2]) * 3600 + int(digits[2:]) * 60) * SECOND_NS
    return -ahead if text[0] == "-" else ahead


def to_utc(local: Ints, zone: tzinfo) -> tuple[Ints, Mask]:
    """Wall-clock times of a zone, ns as if they were UTC, as ns UTC; and which of them its clocks
    show twice or never (what comes for those means nothing)."""
    days, at = np.unique(local // DAY_NS, return_inverse=True)
    starts = np.array([_ahead(zone, day * DAY_NS, 0) for day in days.tolist()], np.int64)
    ends = np.array([_ahead(zone, day * DAY_NS + DAY_NS - 1, 1) for day in days.tolist()], np.int64)
    ahead, odd = starts[at], np.zeros(len(local), bool)
    mixed = np.flatnonzero(starts[at] != ends[at])  # on the days of a change, look closer
    if len(mixed):
        quarters, where = np.unique(local[mixed] // _QUARTER_NS, return_inverse=True)
        both = [[_ahead(zone, q * _QUARTER_NS, fold) for fold in (0, 1)] for q in quarters.tolist()]
        found = np.array(both, np.int64)[where]
        ahead[mixed], odd[mixed] = found[:, 0], found[:, 0] != found[:, 1]
    return local - ahead, odd


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)


def _ahead(zone: tzinfo, local_ns: int, fold: int) -> int:
    """What a zone's clock is ahead of UTC when it shows a time, ns."""
    wall = _EPOCH + timedelta(seconds=local_ns // SECOND_NS)
    offset = wall.replace(tzinfo=zone, fold=fold).utcoffset()
    assert offset is not None, "a zone has an offset at any time"
    return offset // timedelta(microseconds=1) * 1_000
