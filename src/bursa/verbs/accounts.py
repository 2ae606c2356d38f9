"""`bursa user`, `bursa key`, `bursa tier`: accounts minded from the machine.

The process that holds the data folder is asked; where nobody does, the database of accounts is
opened here, and the folder held meanwhile where that lies in it. What each order does is
accounts/clerk.py's.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

from rich.console import Console

from bursa.accounts import texts, tiers
from bursa.accounts.clerk import ACCOUNTS
from bursa.accounts.desk import KEY_STATES, LIMIT_MAX, USER_STATES
from bursa.accounts.ranks import judged_role
from bursa.accounts.who import ROLES
from bursa.app import SystemClock
from bursa.config import Config
from bursa.model.errors import Refuse
from bursa.ops import logs
from bursa.pipeline.control import instant
from bursa.store import sql
from bursa.store.folder import ask
from bursa.verbs import times
from bursa.verbs.acting import clerk_of

ANSWER_S = 60.0
USER_COLUMNS = ("id", "email", "role", "tier", "state", "override", "keys", "machines", "requests")
KEY_COLUMNS = ("id", "email", "name", "key", "state", "tier", "override", "created", "expires")
TIER_COLUMNS = ("name", *tiers.FIELDS, "users")
# Words for no limit, as people say it.
NO_LIMIT = frozenset({"none", "null", "all", "unlimited"})
DAY_NS = 86_400_000_000_000
PASSWORD_MAX = 1_024
Row = dict[str, Any]


def order(config: Config, do: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What comes of an order."""
    logs.setup(config.log.level, config.log.format)
    payload = {"do": do, "given": dict(given)}
    try:
        return ask(Path(config.data), ACCOUNTS, payload, ANSWER_S)
    except Refuse as refused:
        if refused.code != "not_held":
            raise
    with clerk_of(config) as clerk:
        return clerk.answer(payload)


# -- what people write -----------------------------------------------------------------------------


def fields_of(given: Iterable[str]) -> dict[str, Any]:
    """Fields of a tier, FIELD=VALUE each. Refuse where one is not of that form; what a field may
    be is judged where it is kept."""
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name in found:
            why = "given twice" if name in found else "not FIELD=VALUE"
            known = ", ".join(tiers.FIELDS)
            raise Refuse(f"{text}: {why}; fields: {known}", parameter=name)
        found[name] = _value(name, value)
    return found


def _value(name: str, text: str) -> Any:
    if name == "timeframes":
        return None if text in NO_LIMIT else [one.strip() for one in text.split(",")]
    if name in tiers.NUMBERS:
        whole = text.replace("_", "")
        return None if text in NO_LIMIT else int(whole) if whole.isdecimal() else text
    return text


def overriding(
    fields: Sequence[str] | None, clear: bool, reason: str, tier: str = ""
) -> dict[str, Any]:
    """What an override is to be. Refuse where nothing is said."""
    if not (fields or clear or tier):
        raise Refuse("nothing to set: --set FIELD=VALUE, or --clear", parameter="set")
    return {"fields": fields_of(fields or ()), "clear": clear, "reason": reason, "tier": tier}


def expiry(text: str) -> int | None:
    """When a key ends, ns since 1970: a date or a time, UTC where it names no zone, or so many days
    from now on (`90d`). None for "": never."""
    if not text:
        return None
    days = text.removesuffix("d")
    if text.endswith("d") and days.isdecimal() and 0 < int(days) <= 36_500:
        return SystemClock().now_ns() + int(days) * DAY_NS
    try:
        return times.instant(text, "--expires", UTC)
    except Refuse:
        what = f"--expires: {text}; allowed: so many days (90d), or a date or a time (2027-01-31)"
        raise Refuse(what, parameter="expires") from None


def judge(email: str, role: str, name: str) -> None:
    """Refuse what could be no user, before his password is asked for: `bad_email`, `bad_role`,
    `bad_name`."""
    texts.email(email)
    judged_role(role)
    texts.label(name, least=0)


def password(ask_for: bool, from_stdin: bool, prompt: Any) -> str | None:
    """A password: the first line of standard input, or what is typed twice; None where neither is
    wanted. Never an argument, which others on the machine could read."""
    if from_stdin:
        line = sys.stdin.readline(PASSWORD_MAX).rstrip("\r\n")
        if not line:
            raise Refuse("--password-stdin: standard input is empty", parameter="password_stdin")
        return line
    if not ask_for:
        return None
    if not sys.stdin.isatty():
        what = "there is no terminal to ask for a password: --password-stdin reads it"
        raise Refuse(what, parameter="password_stdin")
    return str(prompt("Password", hide_input=True, confirmation_prompt=True))


def check(option: str, given: str, allowed: Sequence[str]) -> None:
    """Refuse a word that is not one of those allowed; "" is any."""
    if given and given not in allowed:
        raise Refuse(f"--{option}: {given}; allowed: {', '.join(allowed)}", parameter=option)


def listing(query: str, limit: int, **filters: str) -> dict[str, Any]:
    """What a list is asked for. Refuse what may not be."""
    if not 1 <= limit <= LIMIT_MAX:
        raise Refuse(f"--limit: {limit}; allowed: 1 to {LIMIT_MAX:,}", parameter="limit")
    check("role", filters.get("role", ""), ROLES)
    check("state", filters.get("state", ""), KEY_STATES if "user" in filters else USER_STATES)
    return {"text": query, "limit": limit, **filters}


# -- what is told ----------------------------------------------------------------------------------


def rendered(columns: Sequence[str], rows: Iterable[Row], form: str) -> str:
    """Rows as `bursa sql` shows them; objects and lists are told in words but in JSON."""
    if form not in sql.FORMATS:
        raise Refuse(f"--format: {form}; allowed: {', '.join(sql.FORMATS)}", parameter="format")
    cells = [[row.get(name) for name in columns] for row in rows]
    if form != "json":
        cells = [list(map(_cell, row)) for row in cells]
    return sql.render(sql.Answer(tuple(columns), cells), form)


def tell_user(row: Row, say: Console) -> None:
    """A user in a line."""
    what = f"{row['id']}  {row['email']}  {row['role']}, {row['tier']}, {row['state']}"
    say.print(f"{what}{_told_override(row)}", markup=False)


def tell_whole(found: Mapping[str, Any], say: Console) -> None:
    """A user with what he may have, his keys and his machines."""
    user = found["user"]
    tell_user(user, say)
    for name in ("created_ns", "verified_ns", "seen_ns"):
        at = user[name]
        say.print(f"  {name[:-3]:<15} {'never' if at is None else instant(at)}", markup=False)
    for name, value in user["rights"].items():
        say.print(f"  {name:<15} {_cell(value, 'no limit')}", markup=False)
    say.print(f"  {'requests today':<15} {user['requests']:,}", markup=False)
    for row in found["keys"]:
        say.print(f"key {row['id']}  {key_text(row)}", markup=False)
    for row in found["machines"]:
        heard = f"last heard of {instant(row['heartbeat_ns'])}"
        say.print(f"machine {row['id']}  {row['machine']}  {row['state']}, {heard}", markup=False)


def key_text(row: Row) -> str:
    """A key in some words."""
    ends = "" if row["expires_ns"] is None else f", expires {instant(row['expires_ns'])}"
    tier = f", tier {row['tier']}" if row["tier"] else ""
    shown = f"{row['prefix']}...{row['last4']}  {row['name']}"
    return f"{shown}  {row.get('state', 'active')}{tier}{ends}{_told_override(row)}"


def key_row(row: Row) -> Row:
    """A key for a list."""
    times_told = {
        name: None if row[f"{name}_ns"] is None else instant(row[f"{name}_ns"])
        for name in ("created", "expires")
    }
    return {**row, **times_told, "key": f"{row['prefix']}...{row['last4']}"}


def _told_override(row: Row) -> str:
    fields = ", ".join(f"{name}={_cell(value, 'none')}" for name, value in row["override"].items())
    return f", but {fields}" if fields else ""


def _cell(value: Any, nothing: str | None = None) -> Any:
    if value is None:
        return nothing
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name}={_cell(one, 'none')}" for name, one in value.items())
    return value
