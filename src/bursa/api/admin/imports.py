"""Admins and lists: users, and what instruments are called, out of a CSV.

A dry run says what would become of each line, every bad one with its cause; the import takes the
list as a whole, or refuses it. What was imported before is read off the audit.
"""

from collections import Counter
from collections.abc import Sequence

from litestar import get, post
from litestar.handlers import BaseRouteHandler
from litestar.response.base import ASGIResponse
from litestar.types import Scope

from bursa.accounts import imports
from bursa.accounts.audit import Chosen
from bursa.accounts.who import Actor
from bursa.api import bodies, params
from bursa.api.admin import forms, shapes
from bursa.api.admin.audit import NOT_COUNTED, page_of_records
from bursa.api.admin.office import PAGED, Office, about, listed, question_of
from bursa.api.auth.desk import actor
from bursa.api.envelope import told
from bursa.api.errors import AnyRequest
from bursa.api.services import VenueService
from bursa.history import name_book, names
from bursa.model.errors import Refuse

BODY_BYTES_MAX = 6 << 20
# What names.py calls them, and what they are called here.
_WHAT = {names.NEW: "new", names.CHANGED: "changed", names.SAME: "same", names.UNKNOWN: "unknown"}
_LIST = "the list"


class Lists:
    """The routes."""

    def __init__(self, office: Office) -> None:
        self._office, self._accounts = office, office.accounts

    def routes(self) -> list[BaseRouteHandler]:
        """What the application serves."""
        path = "/admin/api/imports"
        took = about(shapes.AdminImportAnswer, (), forms.ImportForm, 404)
        return [
            get(path, **about(shapes.AdminRecordsAnswer, PAGED))(self.ls),
            post(path, **took)(self.take),
        ]

    async def ls(self, scope: Scope) -> ASGIResponse:
        """What was imported, as the audit has it, the newest first."""
        values = params.read_query(scope["query_string"], PAGED)
        question = question_of("imports", values)
        rows, more = await page_of_records(
            self._office, Chosen(act="import.", ok=True), values, question
        )
        return listed(scope, rows, NOT_COUNTED, more)

    async def take(self, request: AnyRequest) -> ASGIResponse:
        """Take a list of users or of names, or say what that would do."""
        scope = request.scope
        params.read_query(scope["query_string"], ())
        form = await bodies.read_body(request, forms.ImportForm, BODY_BYTES_MAX)
        by = actor(scope)

        def taken() -> list[shapes.LineTold]:
            if form.kind == "users":
                return self._users(form, by)
            return self._symbols(form, by)

        lines = await self._office.act(scope, f"import.{form.kind}", form.kind, taken)
        counts = dict(Counter(line.what for line in lines))
        shown = [line for line in lines if line.what != imports.SAME]
        return told(scope, shapes.ImportTold(form.kind, form.dry_run, counts, shown))

    def _users(self, form: forms.ImportForm, by: Actor) -> list[shapes.LineTold]:
        if form.venue:
            raise Refuse("venue: users have none", "bad_body", 400, "venue")
        took = self._accounts.imports.users
        found = took(form.text, by, dry_run=form.dry_run, reason=form.reason)
        return [shapes.LineTold(one.line, one.what, one.email, one.why) for one in found]

    # -- names of instruments ----------------------------------------------------------------------

    def _symbols(self, form: forms.ImportForm, by: Actor) -> list[shapes.LineTold]:
        service = self._office.services.venue(form.venue or None)
        venue, data = service.venue, service.names.data
        if data is None:
            raise Refuse("names are not kept here", "no_data_folder", 404)
        bad: list[names.BadLine] = []
        rows = names.parse(form.text.encode(), venue, _LIST, bad)
        if bad and not form.dry_run:
            more = f", and {len(bad) - 1:,} more" if len(bad) > 1 else ""
            raise Refuse(f"{bad[0]}{more}; nothing was changed", "bad_list", parameter="text")
        given = names.chosen(rows, venue)
        known = [symbol.ticker for symbol in service.directory.listed()] or None
        if form.dry_run:
            self._only_superadmin(by)
            changes, _ = name_book.take(data, venue, given, known, dry_run=True)
        else:
            changes = self._taken(service, given, known, by, form.reason)
        return _lines(rows, changes, bad)

    def _taken(
        self,
        service: VenueService,
        given: dict[str, str],
        known: Sequence[str] | None,
        by: Actor,
        reason: str,
    ) -> Sequence[names.Change]:
        """Take the names, and keep in the audit what became of them."""
        assert service.names.data is not None, "asked before"
        data, found = service.names.data, list[names.Change]()

        def do() -> tuple[dict[str, str], dict[str, int]]:
            changes, _ = name_book.take(data, service.venue, given, known, dry_run=False)
            found.extend(changes)
            return {}, dict(Counter(_WHAT[change.what] for change in changes))

        self._accounts.orders.keeper(by, reason)("import.symbols", service.venue.name, do)
        return found

    def _only_superadmin(self, by: Actor) -> None:
        if by.role != "superadmin":
            message = "only a superadmin changes what instruments are called"
            raise Refuse(message, "not_allowed", 403)


def _lines(
    rows: Sequence[names.Row], changes: Sequence[names.Change], bad: Sequence[names.BadLine]
) -> list[shapes.LineTold]:
    """What becomes of each line; of several for one ticker the same."""
    by_ticker = {change.ticker: change for change in changes}
    found = [shapes.LineTold(one.line, imports.REFUSED, "", one.why) for one in bad]
    for row in rows:
        change = by_ticker[row.ticker]
        why = f"{change.before!r} to {change.name!r}" if change.what == names.CHANGED else ""
        if change.what == names.NEW:
            why = change.name
        found.append(shapes.LineTold(row.line, _WHAT[change.what], row.ticker, why))
    return sorted(found, key=lambda line: line.line)
