"""Sessions of people who signed in: made, ended, and forgotten when they are over.

A cookie is 256 random bits, of which the database keeps the SHA-256. Whether one holds is asked of
Standing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, delete, select

from bursa.accounts.change import Change, Changes, may_touch
from bursa.accounts.ids import digest, new_id, new_secret
from bursa.accounts.texts import plain
from bursa.accounts.who import Actor, Role
from bursa.model.errors import Refuse
from bursa.state.account_tables import SESSIONS, USERS

HOUR_NS = 3_600_000_000_000
# How long a session lasts, whatever is done in it.
LIFE_NS: dict[Role, int] = {
    "user": 7 * 24 * HOUR_NS,
    "admin": 12 * HOUR_NS,
    "superadmin": 12 * HOUR_NS,
}
# Sessions that one user may have at once; the oldest is ended by one more.
LIVE_MAX = 20
AGENT_MAX = 200
# Rows of sessions that are over are kept so long.
KEPT_NS = 30 * 24 * HOUR_NS


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A session as it is shown to its user. Times are ns since 1970 UTC."""

    id: str
    created_ns: int
    expires_ns: int
    address: str
    agent: str


class Sessions:
    """The sessions of one database. Blocks; Retry while it is away."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def logout(self, session: str, by: Actor) -> None:
        """End a session; one that is over stays so. Refuse 404 `unknown_session`, 403
        `not_allowed`."""
        with self._changes.begin(by) as change:
            row = change.to.execute(
                select(SESSIONS.c.user_id, USERS.c.role)
                .join(USERS, USERS.c.id == SESSIONS.c.user_id)
                .where(SESSIONS.c.id == session)
            ).one_or_none()
            if row is None:
                text = f"there is no session {session[:64]!r}"
                raise Refuse(text, "unknown_session", 404, "session")
            may_touch(by, row.user_id, row.role)
            end(change, SESSIONS.c.id == session)
            change.tell("sign_out", row.user_id, after={"session": session})

    def list(self, user: str, now_ns: int) -> Sequence[SessionRow]:
        """A user's sessions that are not over, newest first."""
        wanted = select(SESSIONS).where(
            SESSIONS.c.user_id == user,
            SESSIONS.c.ended_ns.is_(None),
            SESSIONS.c.expires_ns > now_ns,
        )
        with self._changes.database.snapshot() as to:
            rows = to.execute(wanted.order_by(SESSIONS.c.created_ns.desc())).all()
        return [SessionRow(r.id, r.created_ns, r.expires_ns, r.address, r.agent) for r in rows]

    def prune(self, now_ns: int) -> int:
        """Delete rows of sessions that were over long ago; returns how many."""
        with self._changes.database.transaction() as to:
            gone = to.execute(delete(SESSIONS).where(SESSIONS.c.expires_ns < now_ns - KEPT_NS))
        self._changes.standing.prune(now_ns)
        return gone.rowcount


def begin(change: Change, user: str, role: Role, agent: str) -> str:
    """Begin a session of a user; returns its cookie."""
    cookie = new_secret()
    alive = select(SESSIONS.c.id).where(SESSIONS.c.user_id == user, SESSIONS.c.ended_ns.is_(None))
    newest = SESSIONS.c.created_ns.desc()
    many = change.to.execute(alive.order_by(newest, SESSIONS.c.id).offset(LIVE_MAX - 1)).scalars()
    end(change, SESSIONS.c.id.in_(many.all()))
    change.add(
        SESSIONS,
        id=new_id("ses"),
        hash=digest(cookie),
        user_id=user,
        created_ns=change.now_ns,
        expires_ns=change.now_ns + LIFE_NS[role],
        ended_ns=None,
        address=change.by.address,
        agent=plain(agent, AGENT_MAX),
    )
    return cookie


def end(change: Change, which: ColumnElement[bool]) -> int:
    """End sessions for which `which` holds, if they are not over; returns how many."""
    alive = SESSIONS.c.ended_ns.is_(None)
    return change.set(SESSIONS, which & alive, ended_ns=change.now_ns)


def of(user: str, but: str = "") -> ColumnElement[bool]:
    """The sessions of a user, all but one."""
    return (SESSIONS.c.user_id == user) & (SESSIONS.c.id != but)
