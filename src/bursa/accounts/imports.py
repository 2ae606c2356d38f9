"""A list of users becomes accounts: read, judged line by line, and taken as a whole or not at all.

    email      required; who has an account already is changed where name or tier differ
    name       what the person is called; without the column, or empty: as it is, or none
    tier       without the column, or empty: as it is, or the default one
    role       only a superadmin's list may name others than `user`, and none another one than who
               has an account has: roles are changed one by one

UTF-8; comma, semicolon or tab between, told by the header. New users have no password: they set one
by a letter's link. A dry run says the same as the import that follows it.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select

from bursa.accounts import texts, tiers
from bursa.accounts.change import Change, Changes, may_raise
from bursa.accounts.people import add
from bursa.accounts.ranks import judged_role
from bursa.accounts.who import Actor, Role
from bursa.model.errors import Refuse
from bursa.state.account_tables import TIERS, USERS

NEW, CHANGED, SAME, REFUSED = "new", "changed", "same", "refused"
COLUMNS = ("email", "name", "tier", "role")
ROWS_MAX = 2_000
_DELIMITERS = ("\t", ";", ",")


# (number of the line, value by column) of each.
_Rows = Sequence[tuple[int, dict[str, str]]]


@dataclass(frozen=True, slots=True)
class Line:
    """What becomes of a line. why: why it is refused, or what changes; "" for nothing. forbidden:
    the code by which who gave the list may not; "" where that is not why."""

    line: int
    what: str
    email: str
    why: str = ""
    forbidden: str = ""


@dataclass(frozen=True, slots=True)
class _Person:
    line: int
    email: str
    name: str | None
    tier: str | None
    role: Role | None


class Imports:
    """Imports into one database. Blocks; Retry where it is away."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def users(self, text: str, by: Actor, *, dry_run: bool, reason: str = "") -> list[Line]:
        """Take a list of users; what becomes of each line, in order. Refuse `bad_list` where the
        list as a whole cannot be, and, unless it is a dry run, where a line is refused: nothing is
        changed then. Refuse 403 `not_allowed`."""
        if by.role == "user":
            raise Refuse("only admins import users", "not_allowed", 403)
        rows = list(_rows(text))
        if dry_run:
            with self._changes.database.snapshot() as to:
                known = _Known(to.execute(select(USERS)).all(), to.execute(_TIERS).scalars().all())
            return [_judged(given, known, by, seen) for seen, given in _once(rows)]
        lines: list[Line] = []
        try:
            return self._taken(rows, by, reason, lines)
        except Refuse:
            # What he may not is audited, whatever else the list has: once, by its first line.
            for line in [line for line in lines if line.forbidden][:1]:
                why = Refuse(line.why, line.forbidden, 403)
                self._changes.refused(by, "import.users", line.email, why)
            raise

    def _taken(self, rows: _Rows, by: Actor, reason: str, lines: list[Line]) -> list[Line]:
        """Take them; `lines` becomes what becomes of each."""
        with self._changes.begin(by) as change:
            found = change.to.execute(select(USERS)).all()
            known = _Known(found, change.to.execute(_TIERS).scalars().all())
            lines += [_judged(given, known, by, seen) for seen, given in _once(rows)]
            _all_good(lines)
            for given, line in zip(rows, lines, strict=True):
                _take(change, given, line, known)
            counts = dict(Counter(line.what for line in lines))
            after: dict[str, Any] = {"kind": "users", **counts}
            change.tell("import.users", "users", {}, after | ({"reason": reason} if reason else {}))
        return lines


_TIERS = select(TIERS.c.name).order_by(TIERS.c.rank)


class _Known:
    """Who and which tiers there are."""

    def __init__(self, users: Sequence[Row[Any]], tier_names: Sequence[str]) -> None:
        self.users: Mapping[str, Row[Any]] = {row.email: row for row in users}
        self.tiers = tier_names


def _rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """(number of the line, value by column) of each line that says something. Refuse `bad_list`."""
    first = text.removeprefix("\ufeff").partition("\n")[0]
    delimiter = next((sign for sign in _DELIMITERS if sign in first), ",")
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff")), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    count = 0
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = _header(cells)
                continue
            count += 1
            if count > ROWS_MAX:
                raise _bad(f"line {reader.line_num}: allowed: {ROWS_MAX:,} rows at most")
            told = {name: cell.strip() for name, cell in zip(header, cells, strict=False)}
            told["columns"] = "" if len(cells) == len(header) else f"{len(cells)}"
            yield reader.line_num, told
    except csv.Error as error:
        raise _bad(f"line {reader.line_num}: no line of a CSV: {error}") from None
    if not count:
        raise _bad(f"no row; allowed: a header of {', '.join(COLUMNS)}, and lines under it")


def _header(cells: Sequence[str]) -> list[str]:
    names = [cell.strip().casefold() for cell in cells]
    wrong = [name for name in names if name not in COLUMNS]
    if wrong or "email" not in names or len(set(names)) < len(names):
        said = ", ".join(names)[:100]
        raise _bad(f"line 1: {said}; allowed: a header of email, and once each name, tier, role")
    return names


def _once(
    rows: _Rows,
) -> Iterator[tuple[int | None, tuple[int, dict[str, str]]]]:
    """Each row with the line that had its address before; None where none had."""
    seen: dict[str, int] = {}
    for line, told in rows:
        email = told.get("email", "").lower()
        yield seen.get(email), (line, told)
        seen.setdefault(email, line)


def _judged(given: tuple[int, dict[str, str]], known: _Known, by: Actor, seen: int | None) -> Line:
    line, told = given
    try:
        if told["columns"]:
            raise _bad(f"{told['columns']} columns, the header has others")
        if seen is not None:
            raise _bad(f"line {seen} has the same address")
        return _planned(_person(given, known, by), known, by)
    except Refuse as why:
        email = told.get("email", "")[: texts.EMAIL_MAX]
        return Line(line, REFUSED, email, str(why), why.code if why.status == 403 else "")


def _person(given: tuple[int, dict[str, str]], known: _Known, by: Actor) -> _Person:
    line, told = given
    email = texts.email(told.get("email", ""))
    name, tier = told.get("name") or None, told.get("tier") or None
    role = judged_role(told["role"]) if told.get("role") else None
    if name is not None:
        name = texts.label(name)
    if tier is not None and tier not in known.tiers:
        raise _bad(f"tier {tier[:64]!r} is none of {', '.join(known.tiers)}")
    if role not in (None, "user") and by.role != "superadmin":
        text = f"only a superadmin makes a user of role {role}"
        raise Refuse(text, "not_allowed", 403, "text")
    return _Person(line, email, name, tier, role)


def _planned(person: _Person, known: _Known, by: Actor) -> Line:
    held = known.users.get(person.email)
    if held is None:
        tier = person.tier or tiers.DEFAULT
        return Line(person.line, NEW, person.email, f"{person.role or 'user'}, {tier}")
    if person.role not in (None, held.role):
        raise _bad(f"he is {held.role}: a list changes nobody's role")
    values = _changes(person, held)
    if not values:
        return Line(person.line, SAME, person.email)
    may_raise(by, held.id, held.role)
    told = ", ".join(f"{name} {getattr(held, name)!r} to {new!r}" for name, new in values.items())
    return Line(person.line, CHANGED, person.email, told)


def _changes(person: _Person, held: Row[Any]) -> dict[str, str]:
    wanted = {"name": person.name, "tier": person.tier}
    return {n: new for n, new in wanted.items() if new is not None and new != getattr(held, n)}


def _all_good(lines: Sequence[Line]) -> None:
    bad = [line for line in lines if line.what == REFUSED]
    if bad:
        first = f"line {bad[0].line}: {bad[0].why}"
        more = f", and {len(bad) - 1:,} more" if len(bad) > 1 else ""
        raise _bad(f"{first}{more}; nothing was changed: a dry run tells them all")


def _take(change: Change, given: tuple[int, dict[str, str]], line: Line, known: _Known) -> None:
    person = _person(given, known, change.by)
    if line.what == NEW:
        tier, name = person.tier or tiers.DEFAULT, person.name or ""
        role = person.role or "user"
        user = add(change, person.email, role, tier, "", name=name, state="active")
        shown = {"email": person.email, "role": role, "tier": tier}
        change.tell("user.create", user, after=shown)
    elif line.what == CHANGED:
        held = known.users[person.email]
        values = _changes(person, held)
        change.set(USERS, USERS.c.id == held.id, **values)
        change.tell("user.import", held.id, {name: getattr(held, name) for name in values}, values)


def _bad(why: str) -> Refuse:
    return Refuse(why, "bad_list", parameter="text")
