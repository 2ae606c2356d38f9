"""The tier matrix: what each tier may have, and what an override changes of it.

The matrix lies in the database (table `tiers`), seeded from here; an override of a key beats the
key's tier, which beats the user's. A field of it is written in one form everywhere (JSON, command
line, database): a number, a list of timeframes, a word, or null where there is no limit. Pure.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bursa.accounts.who import EVERYTHING, VIEWS, Rights
from bursa.model.errors import Refuse
from bursa.model.timeframe import TIMEFRAMES

FREE = Rights("free", 60, frozenset({"1d"}), 90, "none", 0, 1, 1_000)
PRO = Rights("pro", 600, None, 730, "scaled", 50, 2, 10_000)
# What a new database holds.
SEED: Mapping[str, Rights] = {"free": FREE, "pro": PRO, "enterprise": EVERYTHING}
DEFAULT = "free"
# The numbers of Rights: least, most, and whether there may be no limit (null).
NUMBERS: Mapping[str, tuple[int, int, bool]] = {
    "rate": (1, 1_000_000, True),
    "history_days": (1, 36_500, True),
    "stream_symbols": (0, 10_000, True),
    "machines": (0, 1_000, False),
    "rows": (1, 10_000, False),
}
FIELDS = ("rate", "timeframes", "history_days", "hd", "stream_symbols", "machines", "rows")


def overridden(rights: Rights, override: Mapping[str, Any]) -> Rights:
    """Rights with some fields replaced; `override` was judged when it was saved."""
    return replace(rights, **override) if override else rights


def judged(given: Mapping[str, Any]) -> dict[str, Any]:
    """Some fields of Rights as they are kept (JSON): timeframes in their order, numbers within
    their bounds. Refuse `bad_rights` names the field and what is allowed."""
    found: dict[str, Any] = {}
    for name in given:
        if name not in FIELDS:
            text = f"{str(name)[:64]!r} is nothing that a tier has; allowed: {', '.join(FIELDS)}"
            raise Refuse(text, "bad_rights", parameter=str(name)[:64])
    for name in (name for name in FIELDS if name in given):
        value = given[name]
        if name in NUMBERS:
            found[name] = _number(name, value)
        elif name == "hd":
            if value not in VIEWS:
                raise _bad(name, value, ", ".join(VIEWS))
            found[name] = value
        else:
            found[name] = _timeframes(value)
    return found


def _number(name: str, value: Any) -> int | None:
    least, most, may_lack = NUMBERS[name]
    if value is None and may_lack:
        return None
    if type(value) is not int or not least <= value <= most:
        or_none = ", or null: no limit" if may_lack else ""
        raise _bad(name, value, f"a whole number from {least} to {most:,}{or_none}")
    return value


def _timeframes(value: Any) -> list[str] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _bad("timeframes", value, "a list of timeframes, or null: all")
    if not value or set(value) - set(TIMEFRAMES):
        raise _bad("timeframes", value, f"some of {', '.join(TIMEFRAMES)}, or null: all")
    return [name for name in TIMEFRAMES if name in value]


def _bad(name: str, value: Any, allowed: str) -> Refuse:
    said = str(value)[:64]
    return Refuse(f"{name}={said!r}; allowed: {allowed}", "bad_rights", parameter=name)


def kept(fields: Mapping[str, Any]) -> str:
    """Judged fields as the database keeps an override."""
    return json.dumps(fields, sort_keys=True)


def fields_of(text: str) -> dict[str, Any]:
    """A kept override as `overridden` takes it."""
    fields: dict[str, Any] = json.loads(text)
    if fields.get("timeframes") is not None:
        fields["timeframes"] = frozenset(fields["timeframes"])
    return fields


def told(rights: Rights) -> dict[str, Any]:
    """Rights by field, as they are judged."""
    found = {name: getattr(rights, name) for name in FIELDS}
    if rights.timeframes is not None:
        found["timeframes"] = [name for name in TIMEFRAMES if name in rights.timeframes]
    return found
