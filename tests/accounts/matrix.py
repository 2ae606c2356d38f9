"""What everybody is told at every door: one table, and the requests by which the doors are tried.

A row is a route or a stream action and what each column's person is answered: a status where he is
let in, else a word of REFUSALS. `-` stands where there is nothing to try: no object in the request.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

COLUMNS = (
    "nobody",
    "free",
    "pro",
    "enterprise",
    "admin",
    "superadmin",
    "revoked",
    "expired",
    "other",
)


class Refusal(NamedTuple):
    """Status and code of an answer; code "": it is no refusal."""

    status: int
    code: str


@dataclass(frozen=True)
class Request:
    """One request. In path and body `<user>`, `<key>`, `<email>` and so on are the asking person's,
    or of whom he asks for."""

    path: str
    body: Any = None


# Where the path alone, as the route has it, is no request.
REQUESTS: dict[str, Request] = {
    "PATCH /portal/api/me": Request("/portal/api/me", {"name": "M"}),
    "POST /portal/api/keys": Request("/portal/api/keys", {"name": "more"}),
    "POST /portal/api/subscription": Request("/portal/api/subscription", {"plan": "gold"}),
    "POST /admin/api/users": Request("/admin/api/users", {"email": "<fresh>"}),
    "GET /admin/api/users/{user}": Request("/admin/api/users/<user>"),
    "PATCH /admin/api/users/{user}": Request("/admin/api/users/<user>", {"tier": "free"}),
    "DELETE /admin/api/keys/{key}": Request("/admin/api/keys/<key>"),
    "GET /admin/api/keys/{key}": Request("/admin/api/keys/<key>"),
    "DELETE /admin/api/machines/{machine}": Request("/admin/api/machines/<machine>"),
    "GET /admin/api/machines/{machine}": Request("/admin/api/machines/<machine>"),
    "GET /admin/api/overrides/{whose}": Request("/admin/api/overrides/<key>"),
    "PUT /admin/api/overrides/{whose}": Request(
        "/admin/api/overrides/<user>", {"override": {"rows": 9}}
    ),
    "GET /admin/api/subscriptions/requests/{number}": Request(
        "/admin/api/subscriptions/requests/<number>"
    ),
    "POST /admin/api/subscriptions/requests/{number}": Request(
        "/admin/api/subscriptions/requests/<number>", {"decision": "decline", "reason": "no"}
    ),
    "GET /admin/api/tiers/{tier}": Request("/admin/api/tiers/free"),
    "PATCH /admin/api/tiers/{tier}": Request("/admin/api/tiers/free", {"rights": {"rows": 1000}}),
    "GET /admin/api/settings/{name}": Request("/admin/api/settings/sign_up"),
    "PUT /admin/api/settings/{name}": Request("/admin/api/settings/sign_up", {"value": "open"}),
    "GET /admin/api/hd-config/{venue}": Request("/admin/api/hd-config/idx"),
    "POST /admin/api/hd-config/{venue}": Request(
        "/admin/api/hd-config/idx", {"effective": "2099-01-05T09:00:00+07:00", "freeze": "15:20"}
    ),
    "POST /admin/api/imports": Request(
        "/admin/api/imports", {"kind": "users", "text": "email\nlist@matrix.id\n"}
    ),
    "GET /v1/snapshot/{ticker}": Request("/v1/snapshot/BBCA"),
    "GET /v1/ohlcv/{ticker}": Request("/v1/ohlcv/BBCA"),
    "GET /v1/metrics/latest": Request("/v1/metrics/latest?metric=sma_20"),
    "GET /v1/metrics/history": Request("/v1/metrics/history?metric=sma_20&ticker=BBCA"),
    "GET /v1/continuity/{ticker}": Request("/v1/continuity/BBCA?from=2026-11-19&to=2026-11-20"),
    "GET /v1/continuity": Request("/v1/continuity?from=2026-11-19&to=2026-11-20"),
    "GET /v1/index/{code}": Request("/v1/index/COMPOSITE"),
    "GET /v1/bulk/{kind}/{file}": Request("/v1/bulk/ticks/2026-11-19.parquet"),
    "GET /v1/orderbook/{ticker}": Request("/v1/orderbook/BBCA"),
    "GET /udf/history": Request("/udf/history?symbol=BBCA&resolution=1&to=1795219200&countback=2"),
    "GET /udf/symbols": Request("/udf/symbols?symbol=BBCA"),
    "GET /udf/search": Request("/udf/search?query=BB"),
    "GET /udf/quotes": Request("/udf/quotes?symbols=BBCA"),
    "GET /udf/marks": Request("/udf/marks?symbol=BBCA&resolution=1&from=0&to=1795219200"),
    "GET /udf/timescale_marks": Request(
        "/udf/timescale_marks?symbol=BBCA&resolution=1&from=0&to=1795219200"
    ),
    "GET /api/v1/symbols/{symbol}/intervals": Request("/api/v1/symbols/BBCA/intervals"),
    "GET /api/v1/intervals": Request("/api/v1/intervals?symbol=BBCA"),
    "GET /api/v1/candles": Request("/api/v1/candles?symbol=BBCA&interval=1m"),
    "GET /v1/live": Request("/v1/live?tickers=BBCA"),
    "POST /v1/auth/token": Request("/v1/auth/token", {"api_key": "<whole>"}),
    "POST /v1/auth/refresh": Request("/v1/auth/refresh", {}),
    "POST /auth/signup": Request(
        "/auth/signup", {"email": "<fresh>", "password": "kopi susu 7 gelas"}
    ),
    "POST /auth/login": Request(
        "/auth/login", {"email": "<email>", "password": "kopi susu 7 gelas"}
    ),
    "POST /auth/logout": Request("/auth/logout", {}),
    "POST /auth/verify": Request("/auth/verify", {"token": "x"}),
    "POST /auth/forgot": Request("/auth/forgot", {"email": "<email>"}),
    "POST /auth/reset": Request("/auth/reset", {"token": "x", "password": "kopi susu 7 gelas"}),
    "DELETE /portal/api/keys/{key}": Request("/portal/api/keys/<key>"),
    "DELETE /portal/api/machines/{machine}": Request("/portal/api/machines/<machine>"),
    "POST /v1/plugin/activate": Request(
        "/v1/plugin/activate", {"api_key": "<whole>", "machine_id": "desk", "plugin_version": "1"}
    ),
    "POST /v1/plugin/deactivate": Request("/v1/plugin/deactivate", {}),
    "POST /v1/plugin/heartbeat": Request("/v1/plugin/heartbeat", {}),
    "POST /v1/plugin/report": Request(
        "/v1/plugin/report", {"level": "info", "event": "start", "message": "m"}
    ),
    "GET /static/{version}/{name}": Request("/static/x/js/portal.js"),
    "GET /tradingview/{name}": Request("/tradingview/charting_library.js"),
    "GET /docs/{name}": Request("/docs/accounts"),
    "GET /schema/{path}": Request("/schema/openapi.yaml"),
}

# What is said beside the action; the answer to `auth` is told by the token.
SAID: dict[str, dict[str, Any]] = {
    "/v1/stream subscribe": {"tickers": ["BBCA"]},
    "/v1/stream unsubscribe": {"tickers": ["BBCA"]},
    "/ws subscribe": {"symbol": "BBCA", "interval": "1m"},
}

REFUSALS = {
    "in": Refusal(401, "sign_in_required"),
    "rev": Refusal(401, "key_revoked"),
    "exp": Refusal(401, "token_expired"),
    "adm": Refusal(403, "admin_only"),
    "not": Refusal(403, "not_allowed"),
    "tf": Refusal(403, "tier_timeframe"),
    "str": Refusal(403, "tier_streaming"),
    "say": Refusal(401, "auth_required"),
    "mach": Refusal(403, "machine_needed"),
    "bad": Refusal(401, "token_invalid"),
    "his": Refusal(403, "other_user"),
    "key": Refusal(401, "unknown_key"),
    "fail": Refusal(401, "sign_in_failed"),
    "body": Refusal(400, "bad_body"),
    "link": Refusal(400, "bad_link"),
    "noky": Refusal(404, "unknown_key"),
    "nomc": Refusal(404, "unknown_machine"),
    "nopl": Refusal(404, "unknown_plan"),
    "noix": Refusal(404, "unknown_index"),
    "none": Refusal(404, "not_found"),
}

TABLE = """
# public                                          nobo free pro  ente admi supe revo expi othe
GET /health                                       200  200  200  200  200  200  200  200  -
GET /ready                                        200  200  200  200  200  200  200  200  -
POST /v1/auth/token                               key  200  200  200  200  200  rev  200  -
POST /v1/auth/refresh                             body 200  200  200  200  200  rev  exp  -
GET /.well-known/jwks.json                        200  200  200  200  200  200  200  200  -
POST /auth/signup                                 202  202  202  202  202  202  202  202  -
POST /auth/login                                  fail 200  200  200  200  200  200  200  -
POST /auth/logout                                 200  200  200  200  200  200  200  200  -
POST /auth/verify                                 link link link link link link link link -
POST /auth/forgot                                 202  202  202  202  202  202  202  202  -
POST /auth/reset                                  link link link link link link link link -
POST /v1/plugin/activate                          key  200  200  200  200  200  rev  200  -
GET /static/{version}/{name}                      200  200  200  200  200  200  200  200  -
GET /web/tape                                     200  200  200  200  200  200  200  200  -
GET /sign-in                                      200  200  200  200  200  200  200  200  -
GET /sign-up                                      200  200  200  200  200  200  200  200  -
GET /forgot                                       200  200  200  200  200  200  200  200  -
GET /verify                                       200  200  200  200  200  200  200  200  -
GET /reset                                        200  200  200  200  200  200  200  200  -
# viewer                                          nobo free pro  ente admi supe revo expi othe
GET /healthz                                      200  200  200  200  200  200  200  200  -
GET /version                                      200  200  200  200  200  200  200  200  -
GET /api/v1/symbols                               200  200  200  200  200  200  200  200  -
GET /api/v1/symbols/{symbol}/intervals            200  200  200  200  200  200  200  200  -
GET /api/v1/intervals                             200  200  200  200  200  200  200  200  -
GET /api/v1/candles                               200  200  200  200  200  200  200  200  -
# stats                                           nobo free pro  ente admi supe revo expi othe
GET /stats                                        200  200  200  200  200  200  200  200  -
# data                                            nobo free pro  ente admi supe revo expi othe
GET /v1/symbols                                   in   200  200  200  200  200  rev  exp  -
GET /v1/snapshot/{ticker}                         in   200  200  200  200  200  rev  exp  -
GET /v1/ohlcv/{ticker}                            in   tf   200  200  200  200  rev  exp  -
GET /v1/metrics                                   in   200  200  200  200  200  rev  exp  -
GET /v1/metrics/latest                            in   tf   200  200  200  200  rev  exp  -
GET /v1/metrics/history                           in   tf   200  200  200  200  rev  exp  -
GET /v1/continuity/{ticker}                       in   200  200  200  200  200  rev  exp  -
GET /v1/continuity                                in   200  200  200  200  200  rev  exp  -
GET /v1/ranking                                   in   200  200  200  200  200  rev  exp  -
GET /v1/index/{code}                              in   tf   noix noix noix noix rev  exp  -
GET /v1/bulk/{kind}/{file}                        in   tf   200  200  200  200  rev  exp  -
GET /v1/orderbook/{ticker}                        in   tf   200  200  200  200  rev  exp  -
GET /v1/live                                      in   str  200  200  200  200  rev  exp  -
GET /asyncapi.json                                in   200  200  200  200  200  rev  exp  -
GET /llms.txt                                     in   200  200  200  200  200  rev  exp  -
GET /schema                                       in   200  200  200  200  200  rev  exp  -
GET /schema/{path}                                in   none none none none none rev  exp  -
GET /schema/openapi.json                          in   200  200  200  200  200  rev  exp  -
# stream                                          nobo free pro  ente admi supe revo expi othe
/v1/stream subscribe                              say  str  200  200  200  200  rev  exp  -
/v1/stream unsubscribe                            say  200  200  200  200  200  rev  exp  -
/v1/stream ping                                   say  200  200  200  200  200  rev  exp  -
/v1/stream auth                                   bad  200  200  200  200  200  rev  exp  his
/ws subscribe                                     200  200  200  200  200  200  200  200  -
/ws unsubscribe                                   200  200  200  200  200  200  200  200  -
/ws ping                                          200  200  200  200  200  200  200  200  -
# udf                                             nobo free pro  ente admi supe revo expi othe
GET /udf/config                                   in   200  200  200  200  200  rev  exp  -
GET /udf/history                                  in   tf   200  200  200  200  rev  exp  -
GET /udf/time                                     in   200  200  200  200  200  rev  exp  -
GET /udf/symbols                                  in   200  200  200  200  200  rev  exp  -
GET /udf/search                                   in   200  200  200  200  200  rev  exp  -
GET /udf/symbol_info                              in   200  200  200  200  200  rev  exp  -
GET /udf/quotes                                   in   200  200  200  200  200  rev  exp  -
GET /udf/marks                                    in   tf   200  200  200  200  rev  exp  -
GET /udf/timescale_marks                          in   tf   200  200  200  200  rev  exp  -
# plugin                                          nobo free pro  ente admi supe revo expi othe
POST /v1/plugin/deactivate                        in   200  200  200  200  200  rev  exp  -
POST /v1/plugin/heartbeat                         in   200  200  200  200  200  rev  exp  -
POST /v1/plugin/report                            in   200  200  200  200  200  rev  exp  -
# self                                            nobo free pro  ente admi supe revo expi othe
GET /portal/api/me                                in   200  200  200  200  200  in   in   -
PATCH /portal/api/me                              in   200  200  200  200  200  in   in   -
GET /portal/api/keys                              in   200  200  200  200  200  in   in   -
POST /portal/api/keys                             in   201  201  201  201  201  in   in   -
GET /portal/api/subscription                      in   200  200  200  200  200  in   in   -
POST /portal/api/subscription                     in   nopl nopl nopl nopl nopl in   in   -
DELETE /portal/api/keys/{key}                     in   200  200  200  200  200  in   in   noky
GET /portal/api/machines                          in   200  200  200  200  200  in   in   -
DELETE /portal/api/machines/{machine}             in   200  200  200  200  200  in   in   nomc
GET /portal/api/usage                             in   200  200  200  200  200  in   in   -
GET /portal                                       in   200  200  200  200  200  in   in   -
# admin                                           nobo free pro  ente admi supe revo expi othe
GET /admin/api/users                              in   adm  adm  adm  200  200  in   in   -
POST /admin/api/users                             in   adm  adm  adm  201  201  in   in   -
GET /admin/api/users/{user}                       in   adm  adm  adm  200  200  in   in   200
PATCH /admin/api/users/{user}                     in   adm  adm  adm  200  200  in   in   not
DELETE /admin/api/keys/{key}                      in   adm  adm  adm  200  200  in   in   not
GET /admin/api/keys/{key}                         in   adm  adm  adm  200  200  in   in   200
DELETE /admin/api/machines/{machine}              in   adm  adm  adm  200  200  in   in   not
GET /admin/api/machines/{machine}                 in   adm  adm  adm  200  200  in   in   200
GET /admin/api/overrides/{whose}                  in   adm  adm  adm  200  200  in   in   200
PUT /admin/api/overrides/{whose}                  in   adm  adm  adm  200  200  in   in   not
GET /admin/api/subscriptions/requests/{number}    in   adm  adm  adm  200  200  in   in   200
POST /admin/api/subscriptions/requests/{number}   in   adm  adm  adm  200  200  in   in   not
GET /admin/api/tiers/{tier}                       in   adm  adm  adm  200  200  in   in   -
PATCH /admin/api/tiers/{tier}                     in   adm  adm  adm  not  200  in   in   -
GET /admin/api/settings/{name}                    in   adm  adm  adm  200  200  in   in   -
PUT /admin/api/settings/{name}                    in   adm  adm  adm  not  200  in   in   -
GET /admin/api/hd-config/{venue}                  in   adm  adm  adm  200  200  in   in   -
POST /admin/api/hd-config/{venue}                 in   adm  adm  adm  not  200  in   in   -
GET /admin/api/imports                            in   adm  adm  adm  200  200  in   in   -
POST /admin/api/imports                           in   adm  adm  adm  200  200  in   in   -
GET /admin/api/keys                               in   adm  adm  adm  200  200  in   in   -
GET /admin/api/machines                           in   adm  adm  adm  200  200  in   in   -
GET /admin/api/overrides                          in   adm  adm  adm  200  200  in   in   -
GET /admin/api/subscriptions                      in   adm  adm  adm  200  200  in   in   -
GET /admin/api/subscriptions/requests             in   adm  adm  adm  200  200  in   in   -
GET /admin/api/tiers                              in   adm  adm  adm  200  200  in   in   -
GET /admin/api/settings                           in   adm  adm  adm  200  200  in   in   -
GET /admin/api/hd-config                          in   adm  adm  adm  200  200  in   in   -
GET /admin/api/audit                              in   adm  adm  adm  200  200  in   in   -
GET /admin                                        in   adm  adm  adm  200  200  in   in   -
GET /admin/keys                                   in   adm  adm  adm  200  200  in   in   -
# page                                            nobo free pro  ente admi supe revo expi othe
GET /                                             in   200  200  200  200  200  rev  exp  -
GET /chart                                        in   200  200  200  200  200  rev  exp  -
GET /continuity                                   in   200  200  200  200  200  rev  exp  -
GET /web/overview                                 in   200  200  200  200  200  rev  exp  -
GET /tradingview/{name}                           in   404  404  404  404  404  rev  exp  -
GET /docs                                         in   200  200  200  200  200  rev  exp  -
GET /docs/index.json                              in   200  200  200  200  200  rev  exp  -
GET /docs/{name}                                  in   200  200  200  200  200  rev  exp  -
"""


def rows(table: str = TABLE) -> dict[str, tuple[Refusal | None, ...]]:
    """What is expected: a route or an action -> an answer a column, None where there is none."""
    found = {}
    for line in table.strip().splitlines():
        if line.startswith("#"):
            continue
        name, cells = line[:50].strip(), line[50:].split()
        assert len(cells) == len(COLUMNS) and name not in found, line
        found[name] = tuple(_answer(cell) for cell in cells)
    return found


def _answer(cell: str) -> Refusal | None:
    if cell == "-":
        return None
    return Refusal(int(cell), "") if cell.isdigit() else REFUSALS[cell]
