"""Who is let in by which door: what is shown, what the door asks for, how often one may ask.

In this order: credentials, an admin's door, the rate, a machine's door, CSRF for whatever a session
changes. What is refused here raises; the guard makes it an answer, in the form of its path. Bad
credentials are refused at every door that asks for some, also where none would have done.
"""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from litestar.types import Receive

from bursa.accounts import csrf
from bursa.accounts.limits import Limiter, Taken
from bursa.accounts.who import DEMO, NOBODY, Actor, Principal
from bursa.api.address import Client, is_own
from bursa.api.credentials import KEY_START, UNHEARD_HERE, Credentials, Judge, bearer
from bursa.api.doors import Door
from bursa.api.errors import TooMany, routed
from bursa.api.services import Services
from bursa.model.errors import Refuse

# Headers that are looked at here, lower case.
READ = frozenset(
    {
        b"authorization",
        b"x-api-key",
        b"cookie",
        b"x-csrf-token",
        b"content-type",
        b"sec-fetch-site",
    }
)
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
FORM = b"application/x-www-form-urlencoded"
FORM_BYTES_MAX = 65_536
# What a sign-in changes it changes for whoever signs in, not for whose session the browser has.
SIGNING_IN = frozenset(
    {"/auth/login", "/auth/signup", "/auth/verify", "/auth/forgot", "/auth/reset"}
)
# Nobody who polls these is looked up.
_PLAIN = frozenset({"/health", "/ready", "/web/tape", "/.well-known/jwks.json"})
# Doors behind which an answer counts towards the limit and the usage of the user.
COUNTED = frozenset({Door.DATA, Door.UDF, Door.PLUGIN})
_OF_SESSIONS = frozenset({Door.SELF, Door.ADMIN})
_OF_DEMO = frozenset({Door.DATA, Door.UDF, Door.PAGE})
# Characters of a path that the audit keeps.
_TARGET_MAX = 200
# What one user changes of his own in a minute, or tries as an admin who is none: each is a
# transaction and a record of the audit, which keeps it for half a year.
CHANGES = 120
# Where the front has no limit for addresses, admins still have one: that the counters answer.
_ADMIN_PER_MINUTE = 6_000

Given = Mapping[bytes, bytes]


class Admission:
    """Lets in or refuses, by some services. Without accounts everybody is the demo's user."""

    def __init__(self, services: Services) -> None:
        accounts = services.accounts
        self._accounts, self._front, self._clock = accounts, services.front, services.clock
        # Addresses and pages are counted by each process alone: a page's many small files would
        # each ask the server that counts for users.
        self._local = Limiter(services.clock, services.telemetry)
        if accounts is not None:
            self._credentials = Credentials(accounts, services.desk.run)
            self._limiter, self._pages_key = accounts.limiter, accounts.secrets.pages
        self._cookie = services.front.cookie

    async def admit(
        self, scope: Any, receive: Receive, given: Given, client: Client, door: Door
    ) -> Receive:
        """Leave in the scope who asks, and in `marks` the headers of the limit; answers with what
        is to be read from. Refuse 401, 403, 429, 503; Retry."""
        state = scope["state"]
        if self._accounts is None:
            state["who"] = DEMO
            if door is Door.STATS and not client.local:
                raise Refuse("/stats is for this machine alone", "loopback_only", 403)
            return receive
        if door in COUNTED or door is Door.PAGE:
            who = await self._known(state, given, client, door)
        elif door is Door.PUBLIC:
            who = await self._anybody(scope, given, client)
        elif door in _OF_SESSIONS:
            who = await self._session(state, given, client)
        elif door is Door.STATS:
            who = await self._watcher(state, given, client)
        else:
            who = NOBODY
        state["who"] = who
        changes = scope.get("method", "GET") not in SAFE
        if door is Door.ADMIN and not who.is_admin:
            self._not_for(scope, who, client, changes)
        # Before what else may be refused, so that this counts and says what is left too.
        await self._limit(state, door, who, client)
        if door is Door.PLUGIN and not who.machine:
            message = "this takes a machine's token: POST /v1/plugin/activate gives one"
            raise Refuse(message, "machine_needed", 403)
        if not changes:
            return receive
        receive = await self._meant(scope, receive, given, who)
        self._count_change(state, door, who)
        return receive

    def misled(self, state: Any, client: Client) -> None:
        """Count against an address a request that is refused before any door. Refuse 429."""
        if self._accounts is not None:
            self._strange(state, client)

    def bucket(self, address: str) -> str:
        """What is counted against whoever asks from an address."""
        return self._local.of_address(address)

    async def by_token(self, token: str, address: str) -> Principal:
        """Who shows a token within a stream; counted as a request. Refuse 401, 429; Retry."""
        if self._accounts is None:
            return DEMO
        state: dict[str, Any] = {}
        client = Client(address, False)
        who = await self._asked(state, self._credentials.of_token, token, client)
        await self._limit(state, Door.DATA, who, client)
        return who

    def again(self, who: Principal, cookie: str) -> Callable[[int], Principal] | None:
        """Asks later who somebody is who was let in, `cookie` his session's, by the same
        credentials; None: he showed none."""
        if self._accounts is None or who.via in ("nobody", "demo"):
            return None
        return self._credentials.again(who, cookie)

    # -- who it is ---------------------------------------------------------------------------------

    async def _known(self, state: Any, given: Given, client: Client, door: Door) -> Principal:
        """Somebody with a token or a session; under /udf with a key too."""
        header = given.get(b"authorization")
        credentials = self._credentials
        if header is not None:
            try:
                shown = bearer(header, door is Door.UDF)
            except Refuse:
                self._strange(state, client)
                raise
            judge = credentials.of_key if shown.startswith(KEY_START) else credentials.of_token
            return await self._asked(state, judge, shown, client)
        if door is Door.UDF and (key := given.get(b"x-api-key")) is not None:
            return await self._asked(state, credentials.of_key, key.decode("latin-1"), client)
        demo = self._front.demo and client.local and door in _OF_DEMO
        if cookie := self._cookie.read(given.get(b"cookie", b"")):
            try:
                return await self._by_cookie(state, cookie, client)
            except Refuse:
                # Browsers send the cookies of all that ever listened on this machine.
                if not demo:
                    raise
        if demo:
            return DEMO
        if state.get("later"):
            return NOBODY
        self._strange(state, client)
        message = "sign in, or send `Authorization: Bearer` and a token"
        if door is Door.UDF:
            message += ", or an API key as `X-Api-Key`"
        raise Refuse(message, "sign_in_required", 401)

    async def _session(self, state: Any, given: Given, client: Client) -> Principal:
        """Somebody with a session; no token leads to what only its owner may do."""
        cookie = self._cookie.read(given.get(b"cookie", b""))
        if not cookie:
            self._strange(state, client)
            raise Refuse("sign in: this is for sessions alone", "sign_in_required", 401)
        return await self._by_cookie(state, cookie, client)

    async def _anybody(self, scope: Any, given: Given, client: Client) -> Principal:
        """Nobody, or whose session it is: a dead one, and a token, are not looked at here."""
        path = routed(scope["path"])
        if path in _PLAIN or path.startswith(("/static/", "/v1/")):
            return NOBODY
        cookie = self._cookie.read(given.get(b"cookie", b""))
        if not cookie:
            return NOBODY
        try:
            return await self._by_cookie(scope["state"], cookie, client)
        except Refuse as dead:
            if dead.status != 401:
                raise
            return NOBODY

    async def _watcher(self, state: Any, given: Given, client: Client) -> Principal:
        """Somebody on this machine, or an admin."""
        if client.local:
            return NOBODY
        who = await self._known(state, given, client, Door.STATS)
        if not who.is_admin:
            raise Refuse("/stats is for admins, and for this machine itself", "admin_only", 403)
        return who

    async def _by_cookie(self, state: Any, cookie: str, client: Client) -> Principal:
        state["cookie"] = cookie
        return await self._asked(state, self._credentials.of_cookie, cookie, client)

    async def _asked(self, state: Any, judge: Judge, shown: str, client: Client) -> Principal:
        now_ns = self._clock.now_ns()
        try:
            return judge(shown, now_ns)
        except Refuse as refusal:
            # Before the database: guesses of one address must not keep it busy.
            self._strange(state, client)
            if refusal.code not in UNHEARD_HERE:
                raise
        await self._credentials.renew()
        return judge(shown, now_ns)

    def _strange(self, state: Any, client: Client) -> None:
        """Count against an address somebody who is not known."""
        self._take_local(state, self._local.of_address(client.address))

    # -- what he means and may ---------------------------------------------------------------------

    async def _meant(self, scope: Any, receive: Receive, given: Given, who: Principal) -> Receive:
        """Was it a page of ours that sent what changes something? Refuse `bad_csrf`,
        `foreign_origin`."""
        path = routed(scope["path"])
        if path in SIGNING_IN or (path.startswith("/auth/") and who is NOBODY):
            _check_origin(given)
            return receive
        if who.via != "session":
            return receive
        said = given.get(b"x-csrf-token", b"")
        if not said and given.get(b"content-type", b"").startswith(FORM):
            said, receive = await _form_field(receive)
        if not csrf.matches(self._pages_key, who.session, said.decode("latin-1")):
            message = "the page's CSRF token is missing or another session's: load the page anew"
            raise Refuse(message, "bad_csrf", 403, "csrf")
        return receive

    def _not_for(self, scope: Any, who: Principal, client: Client, changes: bool) -> None:
        """Refuse `admin_only`; what was to be changed is audited, so often as a user may change."""
        self._take_local(scope["state"], f"pages/{who.user}")
        if changes:
            self._count_change(scope["state"], Door.SELF, who)
        refusal = Refuse("this is for admins", "admin_only", 403)
        if changes and self._accounts is not None:
            request = scope["state"]["request_id"]
            by = Actor(who.user, who.role, client.address, "web", request)
            target = f"{scope['method']} {scope['path']}"[:_TARGET_MAX]
            self._accounts.changes.refused(by, "admin.enter", target, refusal)
        raise refusal

    # -- how often ---------------------------------------------------------------------------------

    async def _limit(self, state: Any, door: Door, who: Principal, client: Client) -> None:
        if door in COUNTED and who is not NOBODY:
            rate = who.rights.rate
            if rate is None:
                return
            rate = max(rate, 1)
            taken = self._limiter.take_now(who.user, rate)
            if taken is None:
                taken = await self._limiter.take(who.user, rate)
            self._told(state, taken, rate, f"your tier, {who.rights.tier}, has")
        elif door is Door.ADMIN:
            rate = self._front.rate_per_minute or _ADMIN_PER_MINUTE
            taken = await self._limiter.take(f"pages/{who.user}", rate)
            if taken.local:
                state["marks"] = taken.headers[:2]
                message = "the limits' counters are away; what admins do waits for them"
                raise Refuse(message, "limits_away", 503)
            self._told(state, taken, rate, "pages have")
        elif who.session:
            self._take_local(state, f"pages/{who.user}")
        elif door is not Door.STATS:
            self._take_local(state, self._local.of_address(client.address))

    def _take_local(self, state: Any, bucket: str) -> None:
        rate = self._front.rate_per_minute
        taken = self._local.take_now(bucket, rate)
        if taken is not None:
            self._told(state, taken, rate, "an address has")

    def _count_change(self, state: Any, door: Door, who: Principal) -> None:
        """Count a change of one's own; only of one too many the answer tells this limit. Admins
        have none for others': a list of them is changed one by one."""
        if door is not Door.SELF:
            return
        taken = self._local.take_now(f"changes/{who.user}", CHANGES)
        if taken is not None and not taken.allowed:
            self._told(state, taken, CHANGES, "for changes an account has")

    def _told(self, state: Any, taken: Taken, rate: int, whose: str) -> None:
        state["marks"] = taken.headers[:2]
        if not taken.allowed:
            message = f"{whose} {rate} requests a minute; wait {taken.wait_s} s"
            raise TooMany(message, taken.wait_s)


def _check_origin(given: Given) -> None:
    """Refuse `foreign_origin` where another site's page sends a form. What is no browser says
    neither header."""
    site, origin = given.get(b"sec-fetch-site", b""), given.get(b"origin", b"")
    foreign = site not in (b"", b"same-origin", b"none")
    if foreign or (origin and not is_own(origin, given.get(b"host", b""))):
        raise Refuse("that was sent by a page of another site", "foreign_origin", 403)


async def _form_field(receive: Receive) -> tuple[bytes, Receive]:
    """The field `csrf` of a form, and what gives the form's body once more."""
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message: Any = await receive()
        if message["type"] != "http.request":
            break
        parts.append(message.get("body", b""))
        size, more = size + len(parts[-1]), message.get("more_body", False)
        if size > FORM_BYTES_MAX:
            raise Refuse(f"a form has at most {FORM_BYTES_MAX} bytes", "body_too_large", 413)
    body = b"".join(parts)
    try:
        found = parse_qs(body.decode(), max_num_fields=100).get("csrf", [""])
    except ValueError:
        found = [""]
    kept: list[Any] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Any:
        return kept.pop() if kept else await receive()

    return found[0].encode() if len(found) == 1 else b"", again
