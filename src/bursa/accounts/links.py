"""Links of letters: a secret that works once, for a while, and is kept as its hash alone."""

from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy import Row, insert, update

from bursa.accounts.change import Change
from bursa.accounts.ids import digest, new_secret
from bursa.model.errors import Refuse
from bursa.state.account_tables import EMAIL_TOKENS

Purpose = Literal["verify", "reset"]
# How long a link of a letter works, ns.
LINK_NS: Mapping[Purpose, int] = {"verify": 24 * 3600 * 10**9, "reset": 3600 * 10**9}


def link(change: Change, user: str, purpose: Purpose) -> str:
    """A new one's secret, for a letter; those before it work no longer."""
    token = new_secret()
    void(change, user, purpose)
    change.to.execute(
        insert(EMAIL_TOKENS).values(
            hash=digest(token),
            user_id=user,
            purpose=purpose,
            expires_ns=change.now_ns + LINK_NS[purpose],
            used_ns=None,
        )
    )
    return token


def void(change: Change, user: str, *purposes: Purpose) -> None:
    """Have a user's links of these purposes, or of any, work no longer."""
    old = (EMAIL_TOKENS.c.user_id == user) & EMAIL_TOKENS.c.used_ns.is_(None)
    if purposes:
        old &= EMAIL_TOKENS.c.purpose.in_(purposes)
    change.to.execute(update(EMAIL_TOKENS).where(old).values(used_ns=change.now_ns))


def followed(change: Change, token: str, purpose: Purpose) -> Row[Any]:
    """Use a link up; the user whose it was. Refuse `bad_link`."""
    mine = (EMAIL_TOKENS.c.hash == digest(token)) & (EMAIL_TOKENS.c.purpose == purpose)
    good = mine & EMAIL_TOKENS.c.used_ns.is_(None) & (EMAIL_TOKENS.c.expires_ns > change.now_ns)
    used = update(EMAIL_TOKENS).where(good).values(used_ns=change.now_ns)
    user = change.to.execute(used.returning(EMAIL_TOKENS.c.user_id)).scalar_one_or_none()
    row = None if user is None else change.user(user)
    if row is None or row.state == "disabled":
        text = "the link is not valid: it was used, it is too old, or a newer one was sent"
        raise Refuse(text, "bad_link", 400, "token")
    return row
