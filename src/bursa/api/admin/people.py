"""Admins and people: users with what they may have, keys, machines, rights of one's own.

An admin minds users; a superadmin minds admins too, and alone says who is one (accounts/change.py).
"""

from typing import Any

from litestar import delete, get, patch, post, put
from litestar.handlers import BaseRouteHandler
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from litestar.types import Scope
from msgspec import UNSET

from bursa.accounts import desk
from bursa.accounts.audit import Chosen
from bursa.accounts.who import ROLES
from bursa.api import bodies, params
from bursa.api.admin import forms, shapes
from bursa.api.admin.audit import record_of
from bursa.api.admin.office import (
    PAGED,
    USER,
    WHY,
    Office,
    Q,
    about,
    asked,
    question_of,
    stretch,
    text,
    words,
)
from bursa.api.auth.desk import actor
from bursa.api.auth.times import instant, maybe
from bursa.api.envelope import told
from bursa.api.errors import AnyRequest
from bursa.model.errors import Refuse

RECENT = 20
_TIER = params.Param("tier", text("tier"), "of this tier only", "")
_USERS = (
    Q,
    _TIER,
    words("state", desk.USER_STATES, "of this state only"),
    words("role", ROLES, "of this role only"),
    *PAGED,
)
_KEYS = (Q, USER, words("state", desk.KEY_STATES, "of this state only"), *PAGED)
_MACHINES = (Q, USER, words("state", desk.MACHINE_STATES, "of this state only"), *PAGED)
_OVERRIDES = (Q, *PAGED)
Row = dict[str, Any]


class People:
    """The routes."""

    def __init__(self, office: Office) -> None:
        self._office, self._accounts = office, office.accounts

    def routes(self) -> list[BaseRouteHandler]:
        """What the application serves."""
        users, keys = "/admin/api/users", "/admin/api/keys"
        machines, rights = "/admin/api/machines", "/admin/api/overrides"
        user, key, machine = f"{users}/{{user:str}}", f"{keys}/{{key:str}}", "{machine:str}"
        made = about(shapes.AdminUserAnswer, (), forms.NewUserForm, 404, 409, status=201)
        changed = about(shapes.AdminUserAnswer, (), forms.UserForm, 404, 409)
        one = about(shapes.AdminOverrideAnswer, (), None, 404)
        put_one = about(shapes.AdminOverrideAnswer, (), forms.OverrideForm, 404)
        whose = f"{rights}/{{whose:str}}"
        return [
            get(users, **about(shapes.AdminUsersAnswer, _USERS))(self.users),
            post(users, **made)(self.create),
            get(user, **about(shapes.AdminUserAnswer, (), None, 404))(self.user),
            patch(user, **changed)(self.change),
            get(keys, **about(shapes.AdminKeysAnswer, _KEYS))(self.keys),
            get(key, **about(shapes.AdminKeyAnswer, (), None, 404))(self.key),
            delete(key, **about(shapes.AdminKeyAnswer, (WHY,), None, 404))(self.revoke),
            get(machines, **about(shapes.AdminMachinesAnswer, _MACHINES))(self.machines),
            get(f"{machines}/{machine}", **about(shapes.AdminMachineAnswer, (), None, 404))(
                self.machine
            ),
            delete(f"{machines}/{machine}", **about(shapes.AdminMachineAnswer, (WHY,), None, 404))(
                self.release
            ),
            get(rights, **about(shapes.AdminOverridesAnswer, _OVERRIDES))(self.overrides),
            get(whose, **one)(self.override),
            put(whose, **put_one)(self.set_override),
        ]

    # -- users -------------------------------------------------------------------------------------

    async def users(self, scope: Scope) -> ASGIResponse:
        """People, the newest first."""
        values = params.read_query(scope["query_string"], _USERS)
        question = question_of("users", values)
        wanted = asked(values, question)
        office = self._office
        found = await office.run(self._accounts.desk.users, wanted)
        people = await office.run(self._accounts.desk.people)
        facts = {f"{name}s": people[name] for name in ("tier", "state", "role")}
        waiting = await office.run(self._accounts.subscriptions.waiting)
        rows = [shapes.UserTold(**_user(row)) for row in found.rows]
        return stretch(scope, rows, found, wanted, question, **facts, waiting=waiting)

    async def create(self, request: AnyRequest) -> ASGIResponse:
        """Make a user, whose address counts as verified. Only a superadmin makes admins."""
        scope = request.scope
        params.read_query(scope["query_string"], ())
        form = await bodies.read_body(request, forms.NewUserForm)
        by = actor(scope)

        def created() -> str:
            given = form.email, form.role, form.tier, form.password, by, form.name
            return self._accounts.people.create(*given)

        user = await self._office.act(scope, "user.create", form.email, created)
        return await self._whole(scope, user, 201)

    async def user(self, scope: Scope, user: FromPath[str]) -> ASGIResponse:
        """One user by his id, and what was done to his account lately."""
        params.read_query(scope["query_string"], ())
        return await self._whole(scope, user)

    async def change(self, request: AnyRequest, user: FromPath[str]) -> ASGIResponse:
        """Change a user's role, state, tier, or his own rights: all that is sent or, where any of
        it is refused, nothing. Each is a record of the audit."""
        scope = request.scope
        params.read_query(scope["query_string"], ())
        form = await bodies.read_body(request, forms.UserForm)
        by, names = actor(scope), ("role", "state", "tier")
        given: dict[str, Any] = {
            name: value for name in names if (value := getattr(form, name)) is not UNSET
        }
        if form.override is not UNSET:
            given["override"] = form.override.given()

        def changed() -> None:
            self._accounts.people.change(user, by, form.reason, **given)

        await self._office.act(scope, "user.change", user, changed)
        return await self._whole(scope, user)

    async def _whole(self, scope: Scope, user: str, status: int = 200) -> ASGIResponse:
        row = await self._office.run(self._accounts.desk.user, user)
        chosen = Chosen(target=row["id"])
        records = await self._office.run(self._accounts.audit.read, chosen, None, RECENT)
        recent = [record_of(record, self._office.name) for record in records]
        return told(scope, shapes.UserWhole(**_user(row), recent=recent), status)

    # -- keys --------------------------------------------------------------------------------------

    async def keys(self, scope: Scope) -> ASGIResponse:
        """Keys of everybody, by prefix and last four characters, the newest first."""
        values = params.read_query(scope["query_string"], _KEYS)
        question = question_of("keys", values)
        wanted = asked(values, question)
        found = await self._office.run(self._accounts.desk.keys, wanted)
        rows = [shapes.KeyTold(**_key(row)) for row in found.rows]
        return stretch(scope, rows, found, wanted, question)

    async def key(self, scope: Scope, key: FromPath[str]) -> ASGIResponse:
        """One key by its id."""
        params.read_query(scope["query_string"], ())
        row = await self._office.run(self._accounts.desk.key, key)
        return told(scope, shapes.KeyTold(**_key(row)))

    async def revoke(self, scope: Scope, key: FromPath[str]) -> ASGIResponse:
        """Revoke a key, for good. Tokens made of it, and streams opened with them, end at once."""
        why, by = params.read_query(scope["query_string"], (WHY,))["reason"], actor(scope)
        keys = self._accounts.keys
        await self._office.act(scope, "key.revoke", key, lambda: keys.revoke(key, by, why))
        row = await self._office.run(self._accounts.desk.key, key)
        return told(scope, shapes.KeyTold(**_key(row)))

    # -- machines ----------------------------------------------------------------------------------

    async def machines(self, scope: Scope) -> ASGIResponse:
        """Machines on which the plugin runs, the one heard of last first."""
        values = params.read_query(scope["query_string"], _MACHINES)
        question = question_of("machines", values)
        wanted = asked(values, question)
        found = await self._office.run(self._accounts.desk.machines, wanted)
        rows = [shapes.MachineTold(**_machine(row)) for row in found.rows]
        return stretch(scope, rows, found, wanted, question)

    async def machine(self, scope: Scope, machine: FromPath[str]) -> ASGIResponse:
        """One machine, and what its plugin reported."""
        params.read_query(scope["query_string"], ())
        return await self._machine(scope, machine)

    async def release(self, scope: Scope, machine: FromPath[str]) -> ASGIResponse:
        """Take a machine's place from it. Its token ends at once; it may be activated again."""
        why, by = params.read_query(scope["query_string"], (WHY,))["reason"], actor(scope)
        machines = self._accounts.machines

        def released() -> None:
            machines.release(machine, by, why)

        await self._office.act(scope, "machine.release", machine, released)
        return await self._machine(scope, machine)

    async def _machine(self, scope: Scope, machine: str) -> ASGIResponse:
        row = await self._office.run(self._accounts.desk.machine, machine)
        reports = [
            shapes.ReportTold(instant(one["at_ns"]), one["level"], one["event"], one["message"])
            for one in row["reports"]
        ]
        return told(scope, shapes.MachineWhole(**_machine(row), reports=reports))

    # -- rights of one's own -----------------------------------------------------------------------

    async def overrides(self, scope: Scope) -> ASGIResponse:
        """Users with other rights than their tier's; keys with rights or a tier of their own."""
        values = params.read_query(scope["query_string"], _OVERRIDES)
        question = question_of("overrides", values)
        wanted = asked(values, question)
        found = await self._office.run(self._accounts.desk.overrides, wanted)
        rows = [_override(row, row["user_id"]) for row in found.rows]
        return stretch(scope, rows, found, wanted, question)

    async def override(self, scope: Scope, whose: FromPath[str]) -> ASGIResponse:
        """A user's or a key's, by its id."""
        params.read_query(scope["query_string"], ())
        return await self._override(scope, whose)

    async def set_override(self, request: AnyRequest, whose: FromPath[str]) -> ASGIResponse:
        """Give a user or a key rights of its own, in place of those it had; none: as the tier."""
        scope = request.scope
        params.read_query(scope["query_string"], ())
        form = await bodies.read_body(request, forms.OverrideForm)
        by, given = actor(scope), form.override.given()

        def changed() -> None:
            accounts, why = self._accounts, form.reason
            if whose.startswith("key_"):
                accounts.keys.set_rights(whose, by, tier=form.tier, override=given, reason=why)
            elif form.tier is not None:
                message = "tier: of a user it is changed at /admin/api/users"
                raise Refuse(message, "bad_body", 400, "tier")
            else:
                accounts.people.set_override(whose, given, by, why)

        await self._office.act(scope, "override", whose, changed)
        return await self._override(scope, whose)

    async def _override(self, scope: Scope, whose: str) -> ASGIResponse:
        found = self._accounts.desk
        if whose.startswith("key_"):
            row = await self._office.run(found.key, whose)
            return told(scope, _override(row, row["user_id"]))
        row = await self._office.run(found.user, whose)
        return told(scope, _override(row, row["id"]))


def _user(row: Row) -> Row:
    times = {name: maybe(row[f"{name}_ns"]) for name in ("created", "verified", "seen")}
    same = {name: row[name] for name in shapes.UserTold.__struct_fields__ if name in row}
    return {**same, **times, "rights": shapes.RightsTold(**row["rights"])}


def _key(row: Row) -> Row:
    times = {name: maybe(row[f"{name}_ns"]) for name in ("created", "expires", "used")}
    same = {name: row[name] for name in shapes.KeyTold.__struct_fields__ if name in row}
    revoked = maybe(row["revoked_ns"]) if row["state"] == "revoked" else None
    return {**same, **times, "user": row["user_id"], "revoked": revoked}


def _machine(row: Row) -> Row:
    times = {name: maybe(row[f"{name}_ns"]) for name in ("activated", "heartbeat", "released")}
    same = {name: row[name] for name in shapes.MachineTold.__struct_fields__ if name in row}
    return {**same, **times, "user": row["user_id"], "key": row["key_id"]}


def _override(row: Row, user: str) -> shapes.OverrideTold:
    return shapes.OverrideTold(row["id"], user, row["email"], row["tier"], row["override"])
