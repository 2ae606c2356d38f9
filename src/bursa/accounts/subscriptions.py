"""Plans, who is on which, and requests for another one.

    ask        by the user himself: one request waits at a time
    decide     by those who may change his tier: approved, his tier is the plan's from then on, and
               the subscription he had ends; declined, it says why
    lapse      a subscription past its end: its tier falls to the default one

Each is one audited transaction (change.py).
"""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, insert, select, update

from bursa.accounts import tiers
from bursa.accounts.change import Change, Changes, may_raise
from bursa.accounts.desk import Asked, Listed
from bursa.accounts.who import JOB, Actor
from bursa.model.errors import Refuse, Retry
from bursa.state.account_tables import PLANS, SUBSCRIPTIONS, UPGRADE_REQUESTS, USERS

WAITING, APPROVED, DECLINED, WITHDRAWN = "waiting", "approved", "declined", "withdrawn"
ACTIVE, ENDED = "active", "ended"
STATES = (WAITING, APPROVED, DECLINED, WITHDRAWN)
NOTE_MAX = 1_000

Found = dict[str, Any]


class Subscriptions:
    """All of it over one database. Blocks; Retry where the database is away."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    # -- what there is -----------------------------------------------------------------------------

    def plans(self) -> list[Found]:
        """The plans that are offered: `name`, `tier`, `text`; the lowest tier first."""
        with self._changes.database.snapshot() as to:
            rows = to.execute(select(PLANS).where(PLANS.c.offered)).all()
        order = list(self._changes.standing.tiers())
        found = [{"name": row.name, "tier": row.tier, "text": row.text} for row in rows]
        return sorted(found, key=lambda plan: order.index(plan["tier"]))

    def of(self, user: str) -> Found:
        """A user's: `subscription`, the present one as `ls` tells it (None), and `request`, his
        newest one as `requests` tells it (None)."""
        query = _requests().where(UPGRADE_REQUESTS.c.user_id == user)
        query = query.order_by(UPGRADE_REQUESTS.c.id.desc()).limit(1)
        with self._changes.database.snapshot() as to:
            held = _subscriptions(SUBSCRIPTIONS.c.user_id == user, _IS_PRESENT)
            subscription = to.execute(held).mappings().first()
            request = to.execute(query).mappings().first()
        return {
            "subscription": None if subscription is None else dict(subscription),
            "request": None if request is None else dict(request),
        }

    def ls(self, asked: Asked) -> Listed:
        """Subscriptions, present and past (`closed_ns`), the newest first; `state`: active or
        ended."""
        where: list[ColumnElement[bool]] = []
        where += [SUBSCRIPTIONS.c.user_id == asked.user] if asked.user else []
        where += [_IS_PRESENT if asked.state == ACTIVE else ~_IS_PRESENT] if asked.state else []
        where += [_email(asked.text)] if asked.text else []
        return self._listed(_subscriptions(*where).order_by(SUBSCRIPTIONS.c.id.desc()), asked)

    def requests(self, asked: Asked) -> Listed:
        """Requests for a plan; those that wait oldest first, others newest first."""
        order = UPGRADE_REQUESTS.c.id
        where: list[ColumnElement[bool]] = []
        where += [UPGRADE_REQUESTS.c.user_id == asked.user] if asked.user else []
        where += [UPGRADE_REQUESTS.c.state == asked.state] if asked.state else []
        where += [_email(asked.text)] if asked.text else []
        order_by = order if asked.state == WAITING else order.desc()
        return self._listed(_requests().where(*where).order_by(order_by), asked)

    def request(self, number: int) -> Found:
        """One request. Refuse `unknown_request`."""
        with self._changes.database.snapshot() as to:
            query = _requests().where(UPGRADE_REQUESTS.c.id == number)
            row = to.execute(query).mappings().one_or_none()
        if row is None:
            raise _unknown(number)
        return dict(row)

    def waiting(self) -> int:
        """How many requests wait."""
        query = select(func.count()).where(UPGRADE_REQUESTS.c.state == WAITING)
        with self._changes.database.snapshot() as to:
            return to.execute(query).scalar_one()

    def _listed(self, query: Select[Any], asked: Asked) -> Listed:
        counted = select(func.count()).select_from(query.order_by(None).subquery())
        with self._changes.database.snapshot() as to:
            rows = to.execute(query.offset(asked.first).limit(asked.limit)).mappings()
            return Listed([dict(row) for row in rows], to.execute(counted).scalar_one())

    # -- what a user does --------------------------------------------------------------------------

    def ask(self, plan: str, note: str, by: Actor) -> Found:
        """Ask for a plan; the request. Refuse `unknown_plan`, `plan_held` and `request_waits`
        (409)."""
        with self._changes.begin(by) as change:
            user = change.user(by.user)
            wanted = _plan(change.to, plan)
            if not wanted.offered:
                raise Refuse(f"{plan} is not offered", "unknown_plan", 404, "plan")
            if wanted.tier == user.tier:
                raise Refuse(f"your tier is {user.tier} already", "plan_held", 409, "plan")
            mine = and_(UPGRADE_REQUESTS.c.user_id == by.user, UPGRADE_REQUESTS.c.state == WAITING)
            if change.to.execute(select(UPGRADE_REQUESTS.c.id).where(mine)).first() is not None:
                text = "a request of yours waits for an answer; withdraw it to ask for another"
                raise Refuse(text, "request_waits", 409, "plan")
            row = {"user_id": by.user, "plan": plan, "note": note, "state": WAITING}
            to = insert(UPGRADE_REQUESTS).values(**row, asked_ns=change.now_ns)
            number = int(change.to.execute(to.returning(UPGRADE_REQUESTS.c.id)).scalar_one())
            change.tell("subscription.ask", by.user, {"tier": user.tier}, {"plan": plan})
        return self.request(number)

    def withdraw(self, number: int, by: Actor) -> None:
        """Take a request back that waits. Refuse `unknown_request`, `request_decided` (409)."""
        with self._changes.begin(by) as change:
            row = _waiting(change.to, number)
            if row.user_id != by.user:
                raise _unknown(number)
            _close(change, number, WITHDRAWN, "")
            change.tell("subscription.withdraw", by.user, {"plan": row.plan}, {})

    # -- what those who mind it do -----------------------------------------------------------------

    def decide(
        self, number: int, approve: bool, reason: str, by: Actor, ends_ns: int | None = None
    ) -> None:
        """Approve a request, up to an instant or without end, or decline it with a reason. Refuse
        `unknown_request`, `request_decided` (409), `reason_missing`, `own_rights`,
        `not_allowed`."""
        if not approve and not reason.strip():
            text = "a request is declined with a reason, which its user reads"
            raise Refuse(text, "reason_missing", parameter="reason")
        with self._changes.begin(by) as change:
            row = _waiting(change.to, number)
            user = change.user(row.user_id)
            may_raise(by, user.id, user.role)
            _close(change, number, APPROVED if approve else DECLINED, reason)
            before = {"plan": row.plan, "tier": user.tier}
            if approve:
                tier = _begin(change, user.id, row.plan, ends_ns)
                after = {"plan": row.plan, "tier": tier, "ends_ns": ends_ns, "reason": reason}
                change.tell("subscription.approve", user.id, before, after)
            else:
                change.tell("subscription.decline", user.id, before, {"reason": reason})

    def lapse(self) -> int:
        """Close what is past its end: who is on its tier still falls to the default one. Returns
        how many were closed."""
        now_ns = self._changes.clock.now_ns()
        over = and_(_IS_PRESENT, SUBSCRIPTIONS.c.ends_ns <= now_ns)
        columns = SUBSCRIPTIONS.c.id, SUBSCRIPTIONS.c.plan, PLANS.c.tier, USERS.c.id, USERS.c.tier
        query = select(*columns).select_from(_SUBSCRIBED).where(over).order_by(SUBSCRIPTIONS.c.id)
        with self._changes.database.snapshot() as to:
            if to.execute(query.limit(1)).first() is None:
                return 0
        with self._changes.begin(JOB) as change:
            rows = change.to.execute(query).all()
            for number, plan, of_plan, user, tier in rows:
                to_tier = tiers.DEFAULT if tier == of_plan else tier
                _end(change, SUBSCRIPTIONS.c.id == number)
                change.set(USERS, USERS.c.id == user, tier=to_tier)
                before = {"plan": plan, "tier": tier}
                change.tell("subscription.lapse", user, before, {"tier": to_tier})
            if not rows:  # another process was first
                raise Retry("closed by somebody else")
        return len(rows)


_SUBSCRIBED = SUBSCRIPTIONS.join(USERS, USERS.c.id == SUBSCRIPTIONS.c.user_id).join(
    PLANS, PLANS.c.name == SUBSCRIPTIONS.c.plan
)
_IS_PRESENT = SUBSCRIPTIONS.c.closed_ns.is_(None)


def _subscriptions(*where: ColumnElement[bool]) -> Select[Any]:
    query = select(SUBSCRIPTIONS, USERS.c.email, PLANS.c.tier).select_from(_SUBSCRIBED)
    return query.where(*where)


def _requests() -> Select[Any]:
    asked = UPGRADE_REQUESTS.join(USERS, USERS.c.id == UPGRADE_REQUESTS.c.user_id)
    return select(UPGRADE_REQUESTS, USERS.c.email, USERS.c.tier).select_from(asked)


def _email(text: str) -> ColumnElement[bool]:
    return USERS.c.email.contains(text.lower(), autoescape=True)


def _waiting(to: Connection, number: int) -> Row[Any]:
    """A request that waits. Refuse `unknown_request`, `request_decided`."""
    found = to.execute(select(UPGRADE_REQUESTS).where(UPGRADE_REQUESTS.c.id == number)).first()
    if found is None:
        raise _unknown(number)
    if found.state != WAITING:
        text = f"request {number} was {found.state} already"
        raise Refuse(text, "request_decided", 409, "request")
    return found


def _close(change: Change, number: int, state: str, reason: str) -> None:
    """Say what became of a request."""
    values = {"state": state, "decided_ns": change.now_ns, "decided_by": change.by.user}
    to = update(UPGRADE_REQUESTS).where(UPGRADE_REQUESTS.c.id == number)
    change.to.execute(to.values(**values, reason=reason))


def _begin(change: Change, user: str, plan: str, ends_ns: int | None) -> str:
    """Put a user on a plan in place of the one he had; the tier that he has by it."""
    if ends_ns is not None and ends_ns <= change.now_ns:
        raise Refuse("it would end in the past", "bad_time", parameter="ends")
    wanted = _plan(change.to, plan)
    _end(change, and_(SUBSCRIPTIONS.c.user_id == user, _IS_PRESENT))
    row = {"user_id": user, "plan": plan, "began_ns": change.now_ns, "ends_ns": ends_ns}
    change.to.execute(insert(SUBSCRIPTIONS).values(**row))
    change.set(USERS, USERS.c.id == user, tier=wanted.tier)
    return str(wanted.tier)


def _end(change: Change, which: ColumnElement[bool]) -> None:
    change.to.execute(update(SUBSCRIPTIONS).where(which).values(closed_ns=change.now_ns))


def _plan(to: Connection, name: str) -> Row[Any]:
    """The plan of that name. Refuse 404 `unknown_plan`."""
    rows = {row.name: row for row in to.execute(select(PLANS)).all()}
    if name not in rows:
        offered = ", ".join(row.name for row in rows.values() if row.offered)
        text = f"{name[:64]!r} is no plan; there are {offered}"
        raise Refuse(text, "unknown_plan", 404, "plan")
    return rows[name]


def _unknown(number: int) -> Refuse:
    return Refuse(f"there is no request {number}", "unknown_request", 404, "request")
