"""The routes of the pages, the files they load, what they poll, the error page.

Every answer carries the strict Content-Security-Policy; nothing is inline and nothing comes from
another origin. What a chart shows of the market comes from the data API; this room adds only the
day tape (facts.py) and the overview's figures (overview.py). Does not shape the API's errors
(api/): `Pages.error` is for people.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from markupsafe import Markup

from bursa.metrics.catalog import STANDARD, Catalogue
from bursa.metrics.describe import catalogue_data
from bursa.metrics.metric import terms_of
from bursa.model.calendar import HOW_TO_AMEND, MINUTE_NS, SECOND_NS, Calendar
from bursa.model.errors import Refuse
from bursa.model.timeframe import RESOLUTIONS
from bursa.model.venue import Venue
from bursa.web import assets, display, tradingview
from bursa.web.account_pages import AccountPages
from bursa.web.facts import LIST_ROWS, Instrument, PageSource, Tape, away, freshness, session_at
from bursa.web.overview import Overviews
from bursa.web.reader import Locks, PageAccounts, locks, reader

_ROOM = Path(__file__).parent
_MS = 1_000_000
_FOREVER = "public, max-age=31536000, immutable"
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_HOST = re.compile(r"^[A-Za-z0-9.\-\[\]:]{1,255}$")
_LASTING = "private, max-age=31536000, immutable"
_POLICY = "Content-Security-Policy"
_CHART_ENTRY, _OVERVIEW_ENTRY = "js/chart.js", "js/overview.js"
_MAP_ENTRY = "js/continuity.js"
_LICENSED_ENTRY = "js/chart_tradingview.js"
# As static/js/format.js prints them.
CURRENCY_SIGNS = {"IDR": "Rp"}

_BY_NAME = {tf: interval for interval, tf in RESOLUTIONS.items()}

PageRequest = Request[Any, Any, Any]


class Failure(Protocol):
    """What went wrong; the API's own failures are of this form."""

    @property
    def status(self) -> int:
        """HTTP status of the answer."""

    @property
    def code(self) -> str:
        """Stable word."""

    @property
    def message(self) -> str:
        """What and why, for people."""


@dataclass(frozen=True, slots=True)
class Said:
    """A failure that these routes found themselves."""

    status: int
    code: str
    message: str


class Pages:
    """The pages over one source of live facts. `routes()` goes into the application as it is."""

    def __init__(
        self,
        source: PageSource,
        library: tradingview.Library | None = None,
        catalogue: Catalogue = STANDARD,
        accounts: PageAccounts | None = None,
    ) -> None:
        self._source, self._library, self._catalogue = source, library, catalogue
        self._accounts = accounts
        self._told: dict[tuple[str, str], Markup] = {}
        self._assets = assets.load(_ROOM / "static")
        self._templates = Environment(
            loader=FileSystemLoader(_ROOM / "templates"),
            autoescape=select_autoescape(),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals["asset"] = self._assets.url
        self._overviews = Overviews(source)

    def routes(self) -> list[HTTPRouteHandler]:
        """`/`, `/chart`, `/continuity`, `/static/...`, `/web/overview` and `/web/tape`; where there
        are accounts, their pages too."""

        @get("/", include_in_schema=False, sync_to_thread=False)
        def home(request: PageRequest) -> Response[bytes]:
            """The overview of `venue`."""
            return self._shown(self._overview, request)

        @get("/web/overview", include_in_schema=False, sync_to_thread=False)
        def overview(request: PageRequest) -> Response[bytes]:
            """The figures of `venue` for the overview; made once a second for all who ask."""
            chosen = self._venue(request.query_params.get("venue", ""))
            return _json(self._overviews.body(chosen))

        @get("/chart", include_in_schema=False, sync_to_thread=False)
        def chart(request: PageRequest) -> Response[bytes]:
            """The chart of `symbol` (a code, or `IDX:BBCA`) at `interval` (1 5 15 ... D W M), or of
            `ticker` at `tf` as the API names them, drawn by `lib` (tradingview: the operator's
            own), where `at` is: a day or a time."""
            return self._shown(self._chart, request)

        @get("/continuity", include_in_schema=False, sync_to_thread=False)
        def continuity(request: PageRequest) -> Response[bytes]:
            """The map of what `venue` received, by ticker and day."""
            return self._shown(self._map, request)

        @get("/static/{version:str}/{name:path}", include_in_schema=False, sync_to_thread=False)
        def static(request: PageRequest) -> Response[bytes]:
            """A file; cached for ever under the present hash, not at all under another."""
            named = request.path_params
            return self._static(request, str(named["version"]), str(named["name"]).lstrip("/"))

        @get("/web/tape", include_in_schema=False, sync_to_thread=False)
        def tape(request: PageRequest) -> Response[bytes]:
            """The day of `venue` for the tape, the clock and the freshness badge."""
            chosen = self._venue(request.query_params.get("venue", ""))
            facts = self._source.tape(chosen.name)
            fields = tape_fields(chosen, facts)
            first = self._source.first_ticker(chosen.name)
            return _json(msgspec.json.encode(fields | {"first": first}))

        @get(f"{tradingview.PREFIX}{{name:path}}", include_in_schema=False, sync_to_thread=True)
        def licensed(request: PageRequest) -> Response[bytes]:
            """A file of the operator's charting library."""
            return self._licensed(request, str(request.path_params["name"]).lstrip("/"))

        own = [home, chart, continuity, static, overview, tape, licensed]
        return own if self._accounts is None else own + AccountPages(self, self._accounts).routes()

    def error(self, request: PageRequest, failure: Failure) -> Response[bytes]:
        """The error page: what happened, in the look of the others; the message as it is."""
        context = {
            "page": "error",
            "venue": self._source.venues()[0],
            "failure": failure,
            "path": request.url.path,
        }
        return self._page("error.html", request, failure.status, context)

    def _shown(
        self, page: Callable[[PageRequest], Response[bytes]], request: PageRequest
    ) -> Response[bytes]:
        """The page, or why there is none."""
        try:
            return page(request)
        except Refuse as refusal:
            return self.error(request, Said(refusal.status, refusal.code, str(refusal)))

    def _overview(self, request: PageRequest) -> Response[bytes]:
        venue = self._venue(request.query_params.get("venue", ""))
        tape = self._source.tape(venue.name)
        figures = msgspec.Raw(self._overviews.body(venue))
        first = {"overview": figures, "tape": tape_fields(venue, tape)}
        context = {
            "page": "overview",
            "venue": venue,
            "facts": chart_facts(venue, None),
            "rows": LIST_ROWS,
            "currency": CURRENCY_SIGNS.get(venue.currency, venue.currency),
            "first": script_data(msgspec.json.encode(first)),
            "feed": tape.feed,
            "modules": self._assets.modules(_OVERVIEW_ENTRY),
        }
        return self._page("overview.html", request, 200, context)

    def _chart(self, request: PageRequest) -> Response[bytes]:
        query = request.query_params
        library = self._drawn_by(query.get("lib", ""))
        venue, ticker = self._symbol(
            query.get("symbol", "") or query.get("ticker", ""), query.get("venue", "")
        )
        locked = locks(request.scope, self._accounts, RESOLUTIONS.values())
        interval, refused = _interval(query.get("interval", "") or query.get("tf", ""), locked)
        instrument = self._source.instrument(venue.name, ticker) if ticker else None
        known_any = self._source.instruments(venue.name) > 0
        state = "ready" if instrument else "unknown" if ticker and known_any else "empty"
        context = {
            "page": "chart",
            "venue": venue,
            "ticker": ticker,
            "instrument": instrument,
            "state": state,
            "interval": interval,
            "place": _place(query.get("at", ""), venue.calendar),
            "intervals": RESOLUTIONS,
            "facts": chart_facts(venue, instrument) | ({"hd": "no"} if locked.hd else {}),
            "locked": locked,
            "refused": refused,
            "catalogue": self._metrics(venue, locked.hd),
            "modules": self._assets.modules(_CHART_ENTRY),
        }
        status = 404 if state == "unknown" else 200
        if library is None:
            return self._page("chart.html", request, status, context)
        context |= {"library": library, "modules": self._assets.modules(_LICENSED_ENTRY)}
        answer = self._page("chart_tradingview.html", request, status, context)
        answer.headers[_POLICY] = tradingview.policy(answer.headers[_POLICY])
        return answer

    def _map(self, request: PageRequest) -> Response[bytes]:
        venue = self._venue(request.query_params.get("venue", ""))
        context = {
            "page": "continuity",
            "venue": venue,
            "ending": venue.calendar.ending(self._source.tape(venue.name).day),
            "amend": HOW_TO_AMEND,
            "facts": chart_facts(venue, None),
            "modules": self._assets.modules(_MAP_ENTRY),
        }
        return self._page("continuity.html", request, 200, context)

    def _metrics(self, venue: Venue, hd_tier: str) -> Markup:
        """The catalogue as the chart's scripts read it, made once; where HD is locked, what tells
        of it names the tier that has it."""
        key = venue.name, hd_tier
        if key not in self._told:
            data = catalogue_data(self._catalogue.metrics.values(), terms_of(venue))
            told = self._catalogue.telling("hd")
            for metric in data["metrics"] if hd_tier else ():
                if any(output["column"] in told for output in metric["outputs"]):
                    metric["locked"] = hd_tier
            self._told[key] = script_data(msgspec.json.encode(data))
        return self._told[key]

    def _drawn_by(self, name: str) -> tradingview.Library | None:
        """The library that a reader wants; None for the built-in one."""
        if name in ("", "lightweight"):
            return None
        if name != "tradingview":
            text = f"There is no chart library {name[:64]!r}: lightweight or tradingview."
            raise Refuse(text, "unknown_library", parameter="lib")
        if self._library is None:
            raise tradingview.missing()
        return self._library

    def _licensed(self, request: PageRequest, name: str) -> Response[bytes]:
        file = self._library.file(name) if self._library is not None else None
        if file is None:
            return self.error(request, Said(404, "not_found", "There is no such file."))
        headers = {
            _POLICY: tradingview.policy(page_headers(request)[_POLICY], framed=True),
            "X-Frame-Options": "SAMEORIGIN",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": _LASTING if file.lasting else "private, no-cache",
            "ETag": file.tag,
        }
        if request.headers.get("if-none-match") == file.tag:
            return Response(b"", status_code=304, headers=headers)
        return Response(file.body, media_type=file.media_type, headers=headers)

    def _symbol(self, symbol: str, venue: str) -> tuple[Venue, str]:
        """The venue and the code that `symbol` names, with its exchange or its venue in front; the
        code is "" while there is nothing."""
        prefix, _, code = symbol.strip().upper().rpartition(":")
        named = {name: v for v in self._source.venues() for name in (v.name.upper(), v.exchange)}
        chosen = named.get(prefix) or self._venue(venue)
        return chosen, code or self._source.first_ticker(chosen.name) or ""

    def _venue(self, name: str) -> Venue:
        venues = self._source.venues()
        if not name:
            return venues[0]
        found = next((v for v in venues if v.name == name), None)
        if found is None:
            known = ", ".join(v.name for v in venues)
            raise Refuse(f"venue={name!r} is none of {known}", "unknown_venue", 404, "venue")
        return found

    def _static(self, request: PageRequest, version: str, name: str) -> Response[bytes]:
        asset = self._assets.files.get(name)
        if asset is None:
            return self.error(request, Said(404, "not_found", "There is no such file."))
        headers = {
            "Cache-Control": _FOREVER if version == self._assets.version else "no-store",
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
        }
        body = asset.body
        if asset.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            body, headers["Content-Encoding"] = asset.packed, "gzip"
        return Response(body, media_type=asset.media_type, headers=headers)

    def render(
        self, template: str, request: PageRequest, status: int, context: Mapping[str, Any]
    ) -> Response[bytes]:
        """A page of others in the look of these, over the default venue."""
        return self._page(template, request, status, {"venue": self._source.venues()[0], **context})

    def modules(self, entry: str) -> list[str]:
        """Addresses of a page's scripts, `entry` first."""
        return self._assets.modules(entry)

    def facts(self) -> dict[str, str]:
        """How the default venue's times and numbers are printed."""
        return chart_facts(self._source.venues()[0], None)

    def _page(
        self, template: str, request: PageRequest, status: int, context: Mapping[str, Any]
    ) -> Response[bytes]:
        settings = display.read(
            request.cookies.get(display.COOKIE),
            request.query_params,
            request.headers.get(display.PREFERS),
        )
        text = self._templates.get_template(template).render(
            context,
            display=settings.attributes(),
            reader=reader(request.scope, self._accounts),
            choices=display.CHOICES,
            venue_is_default=context["venue"] == self._source.venues()[0],
        )
        return Response(
            text.encode(), status_code=status, media_type="text/html", headers=page_headers(request)
        )


def _interval(asked: str, locked: Locks) -> tuple[str, str]:
    """What a chart opens at, and the interval that was asked for but is locked ("" else). Refuse
    `unknown_interval`."""
    interval = _BY_NAME.get(asked, asked)
    if asked and interval not in RESOLUTIONS:
        known = " ".join(RESOLUTIONS)
        text = f"There is no interval {asked!r}. A chart knows {known}."
        raise Refuse(text, "unknown_interval", parameter="interval")
    free = [one for one, tf in RESOLUTIONS.items() if tf not in locked.timeframes]
    if not interval or (free and interval not in free):
        return (free or list(RESOLUTIONS))[0], interval
    return interval, ""


def _place(asked: str, calendar: Calendar) -> tuple[int, int] | None:
    """Where a chart opens, by the venue's clock: UTC seconds of a day's beginning and end, of a
    moment twice the same; None for the newest bars. Refuse `bad_time`."""
    if not asked:
        return None
    try:
        if _DAY.fullmatch(asked):
            day = date.fromisoformat(asked)
            bounds = calendar.midnight_ns(day), calendar.midnight_ns(day + timedelta(days=1))
        else:
            bounds = (calendar.instant_ns(datetime.fromisoformat(asked)),) * 2
    except (ValueError, OverflowError):
        allowed = "a day such as 2026-11-20, or a time such as 2026-11-20T10:15"
        raise Refuse(f"at={asked[:64]!r}; allowed: {allowed}", "bad_time", parameter="at") from None
    return bounds[0] // SECOND_NS, bounds[1] // SECOND_NS


def script_data(body: bytes) -> Markup:
    """JSON as the content of a data block: nothing in it can end the block."""
    return Markup(body.decode().replace("<", "\\u003c"))


def page_headers(request: PageRequest) -> dict[str, str]:
    """What every page says about itself: the policy, and that it depends on the reader."""
    host = request.headers.get("host", "")
    sockets = f" ws://{host} wss://{host}" if _HOST.match(host) else ""
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"font-src 'self'; connect-src 'self'{sockets}; frame-ancestors 'none'; "
        "base-uri 'none'; form-action 'self'"
    )
    return {
        _POLICY: policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "private, no-cache",
        "Accept-CH": display.PREFERS,
        "Critical-CH": display.PREFERS,
        "Vary": f"Cookie, {display.PREFERS}",
    }


def chart_facts(venue: Venue, instrument: Instrument | None) -> dict[str, str]:
    """Attributes that the scripts read: how this venue's times and numbers are printed."""
    calendar = venue.calendar
    decimals = venue.price_decimals if instrument is None else instrument.price_decimals
    volume = venue.volume_decimals if instrument is None else instrument.volume_decimals
    return {
        "venue": venue.name,
        "exchange": venue.exchange,
        "board": venue.bar_board,
        "timezone": calendar.timezone,
        "zone": calendar.zone_word,
        "session": calendar.udf_sessions(),
        "holidays": ",".join(f"{day:%Y%m%d}" for day in sorted(calendar.holidays)),
        "corrections": calendar.udf_corrections(),
        "currency": venue.currency,
        "price-decimals": str(decimals),
        "volume-decimals": str(0 if venue.volume_unit > 1 else volume),
        "volume-unit": str(venue.volume_unit),
        "volume-word": venue.volume_word,
        "hd": "yes" if venue.gates else "no",
    }


def tape_fields(venue: Venue, tape: Tape) -> dict[str, Any]:
    """The JSON of `/web/tape`: times in ms since 1970 UTC, ranges half-open."""
    now = session_at(tape)
    following = next((s for s in tape.sessions if s.trading and s.open_ns > tape.now_ns), None)
    progress = tape.progress
    fresh = freshness(tape, venue.stale_after_s)
    return {
        "venue": venue.name,
        "exchange": venue.exchange,
        "zone": venue.calendar.zone_word,
        "date": tape.day.isoformat(),
        "now": tape.now_ns // _MS,
        "offset_s": _offset_s(venue.calendar, tape.now_ns),
        "session": now.name if now else "closed",
        "opens": following.open_ns // _MS if following and not (now and now.trading) else None,
        "sessions": [
            {
                "name": s.name,
                "from": s.open_ns // _MS,
                "to": s.close_ns // _MS,
                "trading": s.trading,
            }
            for s in tape.sessions
        ],
        "minutes": {
            "from": tape.minutes_ns // _MS,
            "step": MINUTE_NS // _MS,
            "counts": tape.counts,
        },
        "rate": round(tape.rate, 1),
        "fresh": fresh,
        "starting": tape.starting or None,
        "age_ms": tape.age_ms,
        "away": [
            {"channel": c.channel, "since": c.until_ns // _MS or None, "trades": c.trades}
            for c in away(tape, fresh)
        ],
        "holes": [
            {
                "channel": h.channel,
                "from": h.start_ns // _MS,
                "to": -(-h.end_ns // _MS),
                "seq": [h.seq_from, h.seq_to],
            }
            for h in tape.holes
        ],
        "backfilled": [{"from": a // _MS, "to": b // _MS} for a, b in tape.backfilled],
        "progress": progress
        and {"day": progress.day, "days": progress.days, "date": progress.date.isoformat()},
    }


def _json(body: bytes) -> Response[bytes]:
    return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})


def _offset_s(calendar: Calendar, ts_ns: int) -> int:
    return calendar.offset_ns(ts_ns) // 1_000_000_000
