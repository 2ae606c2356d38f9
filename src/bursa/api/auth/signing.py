"""Signing up, in and out: `/auth/*`, for programs (JSON) and for forms without script alike.

Whether an address has an account is told by no answer: who signs up with a known one, or forgets
the password of an unknown one, is answered as everybody is, and what is to be said stands in a
letter to that address. Sessions are cookies; the guard has seen to it that nobody else's page sent
the request. Passwords and links are judged by accounts/people.py.
"""

from typing import Any

from litestar import post
from litestar.handlers import BaseRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.response.base import ASGIResponse

from bursa.accounts import csrf, messages, people, settings
from bursa.accounts.links import LINK_NS
from bursa.accounts.sessions import LIFE_NS
from bursa.api import access, params
from bursa.api.auth import forms, shapes
from bursa.api.auth.desk import Desk, actor
from bursa.api.auth.forms import Good, answered
from bursa.api.envelope import responses
from bursa.api.errors import AnyRequest
from bursa.model.errors import Refuse

_S = 1_000_000_000
_AGENT_CHARS_MAX = 1_000
HOME = "/portal"


class Signing:
    """The six routes."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._accounts = desk, desk.accounts

    def routes(self) -> list[BaseRouteHandler]:
        """What the application serves."""
        address = shapes.AddressAnswer
        return [
            post("/auth/signup", **_about(address, shapes.SignUpForm, 202))(self.signup),
            post("/auth/login", **_about(shapes.SignedInAnswer, shapes.SignInForm))(self.login),
            post("/auth/logout", **_about(shapes.DoneAnswer, shapes.NothingForm))(self.logout),
            post("/auth/verify", **_about(address, shapes.SecretForm))(self.verify),
            post("/auth/forgot", **_about(address, shapes.EmailForm, 202))(self.forgot),
            post("/auth/reset", **_about(address, shapes.ResetForm))(self.reset),
        ]

    async def signup(self, request: AnyRequest) -> ASGIResponse:
        """Make an account. It is shut until its address is confirmed by the link that is sent
        there; the answer is the same where the address has an account already."""
        desk, scope = self._desk, request.scope
        _no_query(request)

        async def act(form: shapes.SignUpForm) -> Good:
            if not settings.sign_up_open(self._accounts.standing):
                text = "nobody signs up here by himself: an admin makes accounts"
                raise Refuse(text, "sign_up_closed", 403)
            await desk.tries("sign_up", scope, form.email)
            signup = self._accounts.people.signup
            made = await desk.computed(signup, form.email, form.password, form.name, actor(scope))
            url = desk.url(scope)
            desk.write(made.email, _letter(made, url))
            return Good(shapes.AddressRow(made.email), "/sign-in?done=signed", 202)

        return await answered(request, shapes.SignUpForm, "/sign-up", act)

    async def login(self, request: AnyRequest) -> ASGIResponse:
        """Sign in: begin a session, whose cookie comes with the answer."""
        desk, scope = self._desk, request.scope
        _no_query(request)

        async def act(form: shapes.SignInForm) -> Good:
            await desk.tries("sign_in", scope, form.email)
            agent = request.headers.get("user-agent", "")[:_AGENT_CHARS_MAX]
            login = self._accounts.people.login
            cookie, asks = await desk.computed(
                login, form.email, form.password, actor(scope), agent
            )
            await desk.good("sign_in", scope, form.email)
            token = csrf.token(self._accounts.secrets.pages, asks.session)
            name, value = desk.front.cookie.set(cookie, LIFE_NS[asks.role] // _S)
            return Good(
                shapes.SignedInRow(asks.email, asks.role, token),
                forms.local_path(form.next) or HOME,
                headers=[(name.decode(), value.decode())],
            )

        return await answered(request, shapes.SignInForm, "/sign-in", act)

    async def logout(self, request: AnyRequest) -> ASGIResponse:
        """Sign out: end the session of the cookie, which is taken away. Without one there is
        nothing to end."""
        desk, scope = self._desk, request.scope
        _no_query(request)

        async def act(_: shapes.NothingForm) -> Good:
            asks = access.who(scope)
            if asks.session:
                await desk.run(self._accounts.sessions.logout, asks.session, actor(scope))
            name, value = desk.front.cookie.clear()
            cleared = [(name.decode(), value.decode())]
            return Good(shapes.NothingRow(), "/sign-in?done=out", headers=cleared)

        return await answered(request, shapes.NothingForm, "/sign-in", act)

    async def verify(self, request: AnyRequest) -> ASGIResponse:
        """Confirm an address by the link that was sent there. It works once."""
        desk, scope = self._desk, request.scope
        _no_query(request)

        async def act(form: shapes.SecretForm) -> Good:
            await desk.tries("verify", scope)
            verify = self._accounts.people.verify
            person = await desk.run(verify, form.token, actor(scope))
            return Good(shapes.AddressRow(person.email), "/sign-in?done=verified")

        return await answered(request, shapes.SecretForm, "/verify", act)

    async def forgot(self, request: AnyRequest) -> ASGIResponse:
        """Have a link sent by which a new password is chosen. The answer is the same where nobody
        has the address."""
        desk, scope = self._desk, request.scope
        _no_query(request)

        async def act(form: shapes.EmailForm) -> Good:
            await desk.tries("forgot", scope, form.email)
            token = await desk.run(self._accounts.people.forgot, form.email, actor(scope))
            email = form.email.strip().lower()
            if token:
                desk.write(email, _reset(desk.url(scope), token))
            return Good(shapes.AddressRow(email), "/sign-in?done=sent", 202)

        return await answered(request, shapes.EmailForm, "/forgot", act)

    async def reset(self, request: AnyRequest) -> ASGIResponse:
        """Choose a new password by the link that was sent. All sessions end; API keys stay."""
        desk, scope = self._desk, request.scope
        _no_query(request)

        async def act(form: shapes.ResetForm) -> Good:
            await desk.tries("reset", scope)
            reset = self._accounts.people.reset
            person = await desk.computed(reset, form.token, form.password, actor(scope))
            await desk.good("reset", scope, person.email)
            desk.write(person.email, messages.changed(desk.url(scope)))
            return Good(shapes.AddressRow(person.email), "/sign-in?done=reset")

        return await answered(request, shapes.ResetForm, "/reset", act)


def _letter(made: people.SignedUp, url: str) -> messages.Message:
    """What somebody is written whose address was used to sign up."""
    if not made.token:
        return messages.known(url)
    if made.purpose == "reset":
        return _reset(url, made.token)
    return messages.verify(url, made.token, LINK_NS["verify"] // (3600 * _S))


def _reset(url: str, token: str) -> messages.Message:
    return messages.reset(url, token, LINK_NS["reset"] // (60 * _S))


def _no_query(request: AnyRequest) -> None:
    params.read_query(request.scope["query_string"], ())


def _about(good: type[Any], form: type[Any], made: int = 200) -> dict[str, Any]:
    """How a route is documented."""
    found = responses(good, 400, 401, 403, 413, 415, 429, 503)
    answers = {made if status == 200 else status: told for status, told in found.items()}
    led = "to a form: `Location` leads on, or back to its page with the refusal's code as `error`"
    answers[303] = ResponseSpec(None, generate_examples=False, description=led)
    return {
        "operation_class": forms.documented(form),
        "responses": answers,
        "status_code": made,
        "tags": ["auth"],
    }
