"""Who reads a page, and what of it is locked for him: from the principal that the guard left.

Where there are no accounts, everybody reads everything. Knows no route and no template.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from bursa.accounts import csrf, settings
from bursa.accounts.parts import Accounts
from bursa.accounts.who import DEMO, Principal, Rights

# A path of ours: nothing that a browser could take for another host.
_OWN_PATH = re.compile(r"^/(?![/\\])[^\\\x00-\x20\x7f]{0,1000}$")
HOME = "/"


@dataclass(frozen=True)
class PageAccounts:
    """What pages ask of the accounts; all are answered from memory.

    csrf         the token that unsafe requests of a session bear, by the session's id
    tiers        the tier matrix, lowest tier first
    signup_open  may anybody make an account?
    nobody_yet   is there no user at all?
    """

    csrf: Callable[[str], str]
    tiers: Callable[[], Mapping[str, Rights]]
    signup_open: Callable[[], bool]
    nobody_yet: Callable[[], bool]


def asked_of(accounts: Accounts) -> PageAccounts:
    """What pages ask of the accounts of a process."""
    standing = accounts.standing
    return PageAccounts(
        partial(csrf.token, accounts.secrets.pages),
        standing.tiers,
        partial(settings.sign_up_open, standing),
        lambda: not standing.has_users,
    )


@dataclass(frozen=True, slots=True)
class Reader:
    """What a template says of its reader.

    known     did he show who he is, or need he not? Else a page has no links that would refuse
    signed    has he a session?
    accounts  is there somewhere to sign in?
    csrf      the token of his session; "" without one
    rows      most rows that he may ask for at once
    """

    known: bool
    signed: bool
    accounts: bool
    email: str
    is_admin: bool
    csrf: str
    rows: int


def who(scope: Any) -> Principal:
    """The principal of a request; where no guard stands before the pages, who may see all."""
    found = scope.get("state", {}).get("who")
    return found if isinstance(found, Principal) else DEMO


def reader(scope: Any, accounts: PageAccounts | None) -> Reader:
    """The reader of a page."""
    one = who(scope)
    signed = accounts is not None and one.via == "session"
    csrf = accounts.csrf(one.session) if accounts is not None and signed else ""
    return Reader(
        known=one.via != "nobody",
        signed=signed,
        accounts=accounts is not None,
        email=one.email,
        is_admin=signed and one.is_admin,
        csrf=csrf,
        rows=one.rights.rows,
    )


def own_path(wanted: str) -> str:
    """Where to go after signing in: a path of this origin; the first page instead of anything else.

    >>> own_path("/chart?symbol=IDX:BBCA"), own_path("//evil.example"), own_path("https://a.b")
    ('/chart?symbol=IDX:BBCA', '/', '/')
    """
    return wanted if _OWN_PATH.match(wanted) else HOME


def has_timeframe(rights: Rights, tf: str) -> bool:
    """May he ask for bars of a timeframe?"""
    return rights.timeframes is None or tf in rights.timeframes


@dataclass(frozen=True, slots=True)
class Locks:
    """What of a chart is locked for its reader, and which tier unlocks it.

    tier        the reader's own
    days        of history that he may see; None: all
    timeframes  tier by name of the timeframe, of those that he may not see
    hd, live    tier; "" where he sees HD, where bars come to him live
    """

    tier: str
    days: int | None
    timeframes: Mapping[str, str]
    hd: str
    live: str


# What is said where no tier has it.
NO_TIER = "another tier"


def locks(scope: Any, accounts: PageAccounts | None, timeframes: Iterable[str]) -> Locks:
    """What is locked on a chart of these timeframes."""
    rights = who(scope).rights
    tiers = accounts.tiers() if accounts is not None else {}

    def lock(may: Callable[[Rights], bool]) -> str:
        if may(rights):
            return ""
        return next((name for name, other in tiers.items() if may(other)), NO_TIER)

    closed = {tf: lock(partial(has_timeframe, tf=tf)) for tf in timeframes}
    return Locks(
        rights.tier,
        rights.history_days,
        {tf: tier for tf, tier in closed.items() if tier},
        lock(lambda one: one.hd != "none"),
        lock(lambda one: one.stream_symbols != 0),
    )
