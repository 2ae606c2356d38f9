"""People: signing up and in, and what is done to an account.

Passwords are computed outside of any transaction. Whether an address has an account is not told by
an answer, nor by how long it takes; letters are sent by who calls. A link's secret works once. Who
may do what to whom: change.py.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    and_,
    delete,
    exists,
    or_,
    select,
)

from bursa.accounts import ranks, sessions, settings
from bursa.accounts.change import Change, Changes
from bursa.accounts.ids import digest, new_id
from bursa.accounts.keys import known_tier
from bursa.accounts.links import Purpose, followed, link, void
from bursa.accounts.passwords import Passwords, judged
from bursa.accounts.ranks import judged_role
from bursa.accounts.texts import email as judged_email
from bursa.accounts.texts import label, tried
from bursa.accounts.who import JOB, Actor, Principal, Role
from bursa.model.errors import Refuse
from bursa.state.account_tables import (
    EMAIL_TOKENS,
    KEYS,
    MACHINES,
    SESSIONS,
    SUBSCRIPTIONS,
    TIERS,
    UPGRADE_REQUESTS,
    USERS,
)

LINKS_KEPT_NS = 30 * 24 * 3600 * 10**9
# An account that nobody confirmed waits so long.
UNVERIFIED_KEPT_NS = 7 * 24 * 3600 * 10**9
PRUNED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class SignedUp:
    """What came of a sign-up. user: "" where the address has an account already; token: for the
    letter, "" where that one is to say so; purpose: what its link is for."""

    email: str
    user: str
    token: str
    purpose: Purpose = "verify"


@dataclass(frozen=True, slots=True)
class Person:
    """Whose link it was."""

    id: str
    email: str


class People:
    """The users of one database. Blocks, some 20 ms a password; Retry while it is away."""

    def __init__(self, changes: Changes, passwords: Passwords) -> None:
        self._changes, self._passwords = changes, passwords

    # -- by themselves -----------------------------------------------------------------------------

    def signup(self, email: str, password: str, name: str, by: Actor) -> SignedUp:
        """Make an account that waits for its address to be verified. Where the address has one that
        waits, a stranger may have made one of the two: neither password holds then, and the link is
        for choosing one. Where it has another, nothing is changed. Refuse `bad_email`,
        `weak_password`, `bad_name`."""
        email, name = judged_email(email), label(name, least=0)
        kept = self._passwords.hash(judged(password, email))
        with self._changes.begin(by) as change:
            row = _by_email(change, email)
            if row is not None and row.state != "unverified":
                change.tell("user.sign_up", row.id, after={"email": email, "known": True})
                return SignedUp(email, "", "")
            if row is None:
                tier = settings.sign_up_tier(self._changes.standing)
                user = add(change, email, "user", tier, kept, name=name, state="unverified")
                change.tell("user.sign_up", user, after={"email": email})
                return SignedUp(email, user, link(change, user, "verify"))
            user = str(row.id)
            change.set(USERS, USERS.c.id == user, password="", name=name)
            change.tell("user.sign_up", user, after={"email": email, "again": True})
            void(change, user)
            return SignedUp(email, user, link(change, user, "reset"), "reset")

    def verify(self, token: str, by: Actor) -> Person:
        """The address is whose he says. Refuse `bad_link` where the link is none, was used or is
        too old."""
        with self._changes.begin(by) as change:
            row = followed(change, token, "verify")
            values = {"state": "active", "verified_ns": change.now_ns}
            change.set(USERS, USERS.c.id == row.id, **values)
            change.tell("user.verify", row.id, {"state": row.state}, {"state": "active"})
        return Person(row.id, row.email)

    def forgot(self, email: str, by: Actor) -> str:
        """The secret for a letter by which a password is set anew; "" where there is nobody to
        write to. Refuse `bad_email`."""
        email = judged_email(email)
        with self._changes.begin(by) as change:
            row = _by_email(change, email)
            known = row is not None and row.state != "disabled"
            change.tell("password.forgot", email, after={"known": known})
            return link(change, row.id, "reset") if row is not None and known else ""

    def reset(self, token: str, password: str, by: Actor) -> Person:
        """Set a password by a letter's link; every session ends. Who could read the letter has
        verified the address. Refuse `bad_link`, `weak_password`."""
        kept = self._passwords.hash(judged(password))
        with self._changes.begin(by) as change:
            row = followed(change, token, "reset")
            judged(password, row.email)
            values: dict[str, Any] = {"password": kept, "state": "active"}
            if row.verified_ns is None:
                values["verified_ns"] = change.now_ns
            change.set(USERS, USERS.c.id == row.id, **values)
            void(change, row.id)
            ended = sessions.end(change, sessions.of(row.id))
            change.tell("password.reset", row.id, after={"sessions_ended": ended})
        return Person(row.id, row.email)

    def login(self, email: str, password: str, by: Actor, agent: str = "") -> tuple[str, Principal]:
        """Begin a session: its cookie, and who has it. Refuse 401 `sign_in_failed`, the same
        whether the address is unknown or the password wrong; 403 `unverified`, `user_disabled`
        to who knows the password. All of them are audited."""
        try:
            return self._login(email, password, by, agent)
        except Refuse as why:
            self._changes.refused(by, "sign_in", tried(email), why)
            raise

    def _login(self, email: str, password: str, by: Actor, agent: str) -> tuple[str, Principal]:
        address = ""  # nobody's
        with suppress(Refuse):
            address = judged_email(email)
        with self._changes.database.snapshot() as to:
            found = to.execute(select(USERS).where(USERS.c.email == address)).one_or_none()
        kept = "" if found is None else str(found.password)
        if not self._passwords.verify(kept, password):
            raise _failed()
        assert found is not None, "nobody's password is none"
        if found.state == "disabled":
            raise Refuse("the account is disabled", "user_disabled", 403)
        if found.state != "active":
            text = "the e-mail address is not verified yet: follow the link of the letter"
            raise Refuse(text, "unverified", 403)
        newer = self._passwords.hash(password) if self._passwords.outdated(kept) else kept
        me = Actor(found.id, found.role, by.address, by.via, by.request)
        with self._changes.begin(me) as change:
            row = change.user(found.id)
            if row.password != kept or row.state != "active":
                raise _failed()  # changed while it was compared
            change.set(USERS, USERS.c.id == row.id, password=newer, seen_ns=change.now_ns)
            cookie = sessions.begin(change, row.id, row.role, agent)
            change.tell("sign_in", row.id)
            now_ns = change.now_ns
        return cookie, self._changes.standing.principal_of_session(digest(cookie), now_ns)

    def change_me(
        self,
        by: Actor,
        *,
        name: str | None = None,
        old: str = "",
        new: str | None = None,
        session: str = "",
    ) -> None:
        """Change one's own name, or one's password by the `old` one: every session but `session`
        ends then, and links that were sent work no longer. Refuse `bad_name`, `weak_password`, 403
        `wrong_password`."""
        name = None if name is None else label(name, least=0)
        before, kept = self._own_new(by, old, new)
        with self._changes.begin(by) as change:
            row = change.user(by.user)
            if name is not None:
                change.set(USERS, USERS.c.id == row.id, name=name)
                change.tell("user.name", row.id, {"name": row.name}, {"name": name})
            if kept:
                if row.password != before:
                    raise _no_password()  # changed while it was compared
                change.set(USERS, USERS.c.id == row.id, password=kept)
                void(change, row.id)
                ended = sessions.end(change, sessions.of(row.id, but=session))
                change.tell("password.change", row.id, after={"sessions_ended": ended})
            change.may_be_nothing()

    def _own_new(self, by: Actor, old: str, new: str | None) -> tuple[str, str]:
        """What was kept of one's password, and what is to be; "" where none is wanted."""
        if new is None:
            return "", ""
        with self._changes.database.snapshot() as to:
            row = to.execute(select(USERS).where(USERS.c.id == by.user)).one()
        if not self._passwords.verify(row.password, old):
            why = _no_password()
            self._changes.refused(by, "password.change", by.user, why)
            raise why
        return row.password, self._passwords.hash(judged(new, row.email, "new"))

    # -- by those who mind accounts ----------------------------------------------------------------

    def create(
        self, email: str, role: str, tier: str, password: str | None, by: Actor, name: str = ""
    ) -> str:
        """Make a user, verified; without a password he sets one by `forgot`. Returns his id. Refuse
        `bad_email`, `weak_password`, `bad_role`, `unknown_tier`, 403 `not_allowed`, 409
        `email_taken`."""
        email, name, role = judged_email(email), label(name, least=0), judged_role(role)
        if by.role == "user" or (role != "user" and by.role != "superadmin"):
            raise Refuse(f"only a superadmin makes a user of role {role}", "not_allowed", 403)
        kept = "" if password is None else self._passwords.hash(judged(password, email))
        with self._changes.begin(by) as change:
            known_tier(change, tier)
            if _by_email(change, email) is not None:
                text = f"{email} has an account already"
                raise Refuse(text, "email_taken", 409, "email")
            user = add(change, email, role, tier, kept, name=name, state="active")
            change.tell("user.create", user, after={"email": email, "role": role, "tier": tier})
        return user

    def first(self, email: str, password: str, name: str = "password") -> bool:
        """Make the first superadmin; nothing where there is one. Returns whether one was made.
        Refuse `bad_email`, `email_taken`, `weak_password` of the parameter `name`."""
        email = judged_email(email)
        with self._changes.database.snapshot() as to:
            wanted = select(USERS.c.id).where(USERS.c.role == "superadmin").limit(1)
            if to.execute(wanted).all():
                return False
        kept = self._passwords.hash(judged(password, email, name))
        with self._changes.begin(JOB) as change:
            change.may_be_nothing()  # another process may have been first
            if change.to.execute(wanted).all():
                return False
            if _by_email(change, email) is not None:
                text = f"{email} is a user already: `bursa user role` makes him a superadmin"
                raise Refuse(text, "email_taken", 409)
            # Nobody raises himself, so the first one begins on the highest tier.
            ranked = select(TIERS.c.name).order_by(TIERS.c.rank.desc()).limit(1)
            top = change.to.execute(ranked).scalar_one()
            user = add(change, email, "superadmin", top, kept, name="", state="active")
            change.tell("user.create", user, after={"email": email, "role": "superadmin"})
        return True

    def change(
        self,
        user: str,
        by: Actor,
        reason: str = "",
        *,
        role: str | None = None,
        state: str | None = None,
        tier: str | None = None,
        override: Mapping[str, Any] | None = None,
    ) -> None:
        """Change what is given of a user, all of it or nothing, in this order; each is a record of
        the audit. `state` is active or disabled. Refuse as `set_role`, `enable`, `disable`,
        `set_tier` and `set_override`; 400 `bad_state`."""
        steps: list[ranks.Step] = []
        if role is not None:
            steps.append(ranks.to_role(user, role, by, reason))
        if state is not None:
            steps.append(ranks.to_state(user, state, by, reason))
        if tier is not None:
            steps.append(ranks.to_tier(user, tier, by, reason))
        if override is not None:
            steps.append(ranks.to_override(user, override, by, reason))
        if not steps:
            return
        with self._changes.begin(by) as change:
            for step in steps:
                step(change)

    def set_role(self, user: str, role: str, by: Actor, reason: str = "") -> None:
        """What a user may do with others; his sessions end. Refuse `bad_role`, 403 `not_allowed`,
        `own_role`, 404 `unknown_user`, 409 `last_superadmin`."""
        self.change(user, by, reason, role=role)

    def set_tier(self, user: str, tier: str, by: Actor, reason: str = "") -> None:
        """The tier of a user. Refuse 400 `unknown_tier`, 403 `not_allowed`, `own_rights`, 404
        `unknown_user`."""
        self.change(user, by, reason, tier=tier)

    def set_override(
        self, user: str, override: Mapping[str, Any], by: Actor, reason: str = ""
    ) -> None:
        """Fields of Rights that beat a user's tier, all there are; {}: none. Refuse 400
        `bad_rights`, 403 `not_allowed`, `own_rights`, 404 `unknown_user`."""
        self.change(user, by, reason, override=override)

    def disable(self, user: str, by: Actor, reason: str = "") -> None:
        """Have a user's keys, tokens and sessions open nothing from now on. Refuse 403
        `not_allowed`, `own_rights`, `own_account`, 404 `unknown_user`, 409 `last_superadmin`."""
        self.change(user, by, reason, state="disabled")

    def enable(self, user: str, by: Actor, reason: str = "") -> None:
        """Undo `disable`. Refuse 403 `not_allowed`, `own_rights`, 404 `unknown_user`."""
        self.change(user, by, reason, state="active")

    def set_password(self, user: str, password: str, by: Actor) -> None:
        """Give a user a password; his sessions end. Refuse 403 `not_allowed` to all but a
        superadmin, 404 `unknown_user`, `weak_password`."""
        if by.role != "superadmin":
            raise Refuse("only a superadmin sets somebody's password", "not_allowed", 403)
        kept = self._passwords.hash(judged(password))
        with self._changes.begin(by) as change:
            row = change.user(user)
            judged(password, row.email)
            change.set(USERS, USERS.c.id == user, password=kept)
            ended = sessions.end(change, sessions.of(user))
            void(change, user)
            change.tell("password.set", user, after={"sessions_ended": ended})

    def find(self, email: str) -> str:
        """Id of the user with this address. Refuse 404 `unknown_user`, `bad_email`."""
        wanted = select(USERS.c.id).where(USERS.c.email == judged_email(email))
        with self._changes.database.snapshot() as to:
            found = to.execute(wanted).scalar_one_or_none()
        if found is None:
            raise Refuse(f"there is no user {email[:64]!r}", "unknown_user", 404, "email")
        return str(found)

    def prune(self, now_ns: int) -> int:
        """Delete links that were over long ago; returns how many."""
        old = EMAIL_TOKENS.c.expires_ns < now_ns - LINKS_KEPT_NS
        with self._changes.database.transaction() as to:
            return to.execute(delete(EMAIL_TOKENS).where(old)).rowcount

    def prune_unverified(self, now_ns: int) -> int:
        """Delete users who never followed their link, have none that works and no key; returns how
        many, PRUNED_AT_ONCE at most."""
        wanted = select(USERS.c.id, USERS.c.email).where(_never_came(now_ns)).limit(PRUNED_AT_ONCE)

        def forget(change: Change, rows: Sequence[Row[Any]]) -> None:
            ids = [row.id for row in rows]
            change.to.execute(delete(EMAIL_TOKENS).where(EMAIL_TOKENS.c.user_id.in_(ids)))
            change.to.execute(delete(USERS).where(USERS.c.id.in_(ids)))
            for row in rows:
                change.tell("user.prune", row.id, {"email": row.email, "state": "unverified"})
            change.pruned()

        return self._changes.sweep(wanted, forget)


def _never_came(now_ns: int) -> ColumnElement[bool]:
    """Users who signed up long ago and were never heard of again; nothing else is theirs."""
    mine = [
        exists().where(table.c.user_id == USERS.c.id)
        for table in (KEYS, MACHINES, SESSIONS, SUBSCRIPTIONS, UPGRADE_REQUESTS)
    ]
    link = (EMAIL_TOKENS.c.user_id == USERS.c.id) & (EMAIL_TOKENS.c.expires_ns > now_ns)
    return and_(
        USERS.c.state == "unverified",
        USERS.c.created_ns < now_ns - UNVERIFIED_KEPT_NS,
        ~or_(*mine, exists().where(link)),
    )


def _failed() -> Refuse:
    return Refuse("the e-mail address or the password is wrong", "sign_in_failed", 401)


def _no_password() -> Refuse:
    return Refuse("old: this is not the password", "wrong_password", 403, "old")


def _by_email(change: Change, email: str) -> Row[Any] | None:
    return change.to.execute(select(USERS).where(USERS.c.email == email)).one_or_none()


def add(
    change: Change, email: str, role: Role, tier: str, password: str, *, name: str, state: str
) -> str:
    """Add a user, of values that were judged; `password` as it is kept. Returns his id."""
    user = new_id("usr")
    change.add(
        USERS,
        id=user,
        email=email,
        name=name,
        password=password,
        role=role,
        tier=tier,
        state=state,
        override="{}",
        created_ns=change.now_ns,
        verified_ns=change.now_ns if state == "active" else None,
        seen_ns=None,
    )
    return user
