"""The pages around accounts: to sign up and in, to confirm an address, to reset a password; the
portal of a user, and the admin's lists of users and keys.

They show nothing by themselves: their scripts ask `/auth`, `/portal/api` and `/admin/api`. Who may
open which of them is judged by the guard before. Checks no password and keeps no session.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from bursa.accounts.passwords import CHARS_MIN
from bursa.accounts.who import ROLES
from bursa.web.reader import PageAccounts, own_path, who

PageRequest = Request[Any, Any, Any]
Answer = Response[bytes] | Redirect

_SIGN_ENTRY, _PORTAL_ENTRY = "js/sign.js", "js/portal.js"
_USERS_ENTRY, _KEYS_ENTRY = "js/admin_users.js", "js/admin_keys.js"

# Where a browser runs no scripts, refusals and good news come by the address.
_REFUSED = {
    "sign_in_failed": "E-mail and password do not fit together.",
    "unverified": "The address is not confirmed yet: follow the link in the letter.",
    "user_disabled": "This account is switched off. Ask whoever runs this instance.",
    "too_many_tries": "Too many tries. Come back in a few minutes.",
    "limits_away": "Nobody can sign in for the moment: what counts the tries is away. Try again.",
    "bad_link": "The link is used, too old, or not whole. Ask for a new one.",
    "sign_up_closed": "This instance lets nobody sign up by himself.",
    "weak_password": f"The password needs {CHARS_MIN} characters at least, and no common ones.",
    "bad_email": "This is no e-mail address.",
}
_DONE = {
    "signed": "Look at your mail: a letter comes. The account works once you followed its link.",
    "sent": "Look at your mail: a letter with a link is on its way, if the address has an account.",
    "verified": "The address is confirmed. Sign in.",
    "reset": "The new password is set. Sign in with it.",
    "out": "You are signed out.",
    "ended": "Your session has ended. Sign in to go on where you were.",
}


class Shell(Protocol):
    """Who puts a template into the look of all pages (pages.Pages)."""

    def render(
        self, template: str, request: PageRequest, status: int, context: Mapping[str, Any]
    ) -> Response[bytes]:
        """The page, in the reader's display settings and under the strict policy."""

    def modules(self, entry: str) -> list[str]:
        """Addresses of the scripts of a page."""

    def facts(self) -> dict[str, str]:
        """How the default venue's times and numbers are printed."""


class AccountPages:
    """The pages over one shell; `accounts` is what they ask of the accounts."""

    def __init__(self, shell: Shell, accounts: PageAccounts) -> None:
        self._shell, self._accounts = shell, accounts

    def routes(self) -> list[HTTPRouteHandler]:
        """`/sign-in`, `/sign-up`, `/verify`, `/forgot`, `/reset`, `/portal`, `/admin` and
        `/admin/keys`."""
        return [*self._at_the_door(), *self._inside()]

    def _at_the_door(self) -> list[HTTPRouteHandler]:
        @get("/sign-in", include_in_schema=False, sync_to_thread=False)
        def sign_in(request: PageRequest) -> Answer:
            """Where a session begins; `next` is the page to go on to."""
            return self._sign(request, "sign_in.html", {"nobody": self._accounts.nobody_yet()})

        @get("/sign-up", include_in_schema=False, sync_to_thread=False)
        def sign_up(request: PageRequest) -> Answer:
            """Where a user makes an account."""
            return self._sign(request, "sign_up.html")

        @get("/forgot", include_in_schema=False, sync_to_thread=False)
        def forgot(request: PageRequest) -> Answer:
            """Where a forgotten password begins to be a new one."""
            return self._sign(request, "forgot.html")

        @get("/verify", include_in_schema=False, sync_to_thread=False)
        def verify(request: PageRequest) -> Answer:
            """Where the `token` of a mail confirms its address."""
            return self._mailed(request, "verify.html")

        @get("/reset", include_in_schema=False, sync_to_thread=False)
        def reset(request: PageRequest) -> Answer:
            """Where the `token` of a mail sets a new password."""
            return self._mailed(request, "reset.html")

        return [sign_in, sign_up, forgot, verify, reset]

    def _inside(self) -> list[HTTPRouteHandler]:
        @get("/portal", include_in_schema=False, sync_to_thread=False)
        def portal(request: PageRequest) -> Answer:
            """The reader's own keys, machines and usage."""
            return self._page(request, "portal.html", "portal", _PORTAL_ENTRY, {})

        @get("/admin", include_in_schema=False, sync_to_thread=False)
        def users(request: PageRequest) -> Answer:
            """All users, and what an admin may change of them."""
            one = who(request.scope)
            facts = {
                "section": "users",
                "tiers": list(self._accounts.tiers()),
                "roles": ROLES,
                "me": one.user,
                "my_role": one.role,
            }
            return self._page(request, "admin_users.html", "admin", _USERS_ENTRY, facts)

        @get("/admin/keys", include_in_schema=False, sync_to_thread=False)
        def keys(request: PageRequest) -> Answer:
            """All keys, by their first characters."""
            facts = {"section": "keys"}
            return self._page(request, "admin_keys.html", "admin", _KEYS_ENTRY, facts)

        return [portal, users, keys]

    def _sign(
        self, request: PageRequest, template: str, facts: Mapping[str, Any] | None = None
    ) -> Answer:
        """A page for who is not signed in; who is, goes on."""
        wanted = own_path(request.query_params.get("next", ""))
        if who(request.scope).via == "session":
            return Redirect(wanted, status_code=303, headers={"Cache-Control": "no-store"})
        return self._page(request, template, "sign", _SIGN_ENTRY, {"next": wanted, **(facts or {})})

    def _mailed(self, request: PageRequest, template: str) -> Answer:
        """A page that a mail leads to. Its address bears a secret: it is kept nowhere, and told to
        no other page. Its origin is told, by which its own form is known."""
        token = request.query_params.get("token", "")[:200]
        answer = self._page(request, template, "sign", _SIGN_ENTRY, {"token": token, "next": "/"})
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["Referrer-Policy"] = "strict-origin"
        return answer

    def _page(
        self,
        request: PageRequest,
        template: str,
        page: str,
        entry: str,
        facts: Mapping[str, Any],
    ) -> Response[bytes]:
        query = request.query_params
        error = query.get("error", "")[:64]
        context = {
            "page": page,
            "signup": self._accounts.signup_open(),
            "password_least": CHARS_MIN,
            "refused": _REFUSED.get(error, f"That was refused: {error}.") if error else "",
            "done": _DONE.get(query.get("done", ""), ""),
            "modules": self._shell.modules(entry),
            "facts": self._shell.facts(),
            "base": f"{request.scope['scheme']}://{request.headers.get('host', '')}",
            **facts,
        }
        return self._shell.render(template, request, 200, context)
