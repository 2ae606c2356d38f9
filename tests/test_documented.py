"""Everything that a user can name is documented, on the pages as they are served.

What exists is taken from the program itself (routes of the running application, fields of the
configuration, commands, columns, counters, frames, metrics); what is documented is read from the
HTML. The last test makes things that nobody documented, and they are found.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer
from litestar import Litestar, WebSocket, get, websocket
from litestar.params import FromPath
from litestar.routes import HTTPRoute, WebSocketRoute
from prometheus_client import CollectorRegistry, Counter

from bursa import cli, config
from bursa.api.stream import orders
from bursa.metrics.catalog import STANDARD
from bursa.metrics.metric import Metric
from bursa.model.schema import MARKET_KINDS, OHLCV, Column, Kind
from bursa.verbs.told import told
from tests.web.handbook import Site, Table

METRICS = STANDARD.kind

API = Path(config.__file__).parents[1] / "api"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(tmp_path_factory.mktemp("store")) as site:
        yield site


# -- what a real description is, and where it is looked for ----------------------------------------


def says_something(text: str, name: str) -> bool:
    """Is it two words or more, of which one is not the thing's own name?"""
    words = re.findall(r"[a-z]{2,}", text.lower())
    own = set(re.findall(r"[a-z]{2,}", name.lower()))
    return len(words) >= 2 and not set(words) <= own


def row_of(tables: Iterable[Table], name: str) -> dict[str, str] | None:
    rows = (table.row(name) for table in tables if "meaning" in table.heads)
    return next((row for row in rows if row is not None), None)


def complaint(tables: Iterable[Table], name: str, what: str) -> Iterator[str]:
    """What is wrong with a name that must stand in a table, if something is."""
    row = row_of(tables, name)
    if row is None:
        yield f"{what} {name}: not there"
    elif not says_something(row["meaning"], name):
        yield f"{what} {name}: no description"


# -- the checks: each yields what is not documented ------------------------------------------------


def settings(site: Site, fields: Iterable[str]) -> Iterator[str]:
    tables = site.page("configuration").tables
    for path in fields:
        yield from complaint(tables, path, "setting")
        row = row_of(tables, path)
        if row is not None and row["variable"] != config.variable(path):
            yield f"setting {path}: its variable is not told"


def routes(site: Site, app: Litestar) -> Iterator[str]:
    """By a section of an API page, or by a row of the table of addresses."""
    pages = [site.page(name) for name in site.names() if name.startswith("api-")]
    addresses = site.page("pages").tables
    channels = site.page("stream").sections
    for what, path in routes_of(app):
        named = (page.section(f"{what} {path}") for page in pages)
        section = next((one for one in named if one is not None), None)
        channel = any(one.title == path and one.text for one in channels)
        if section is None and not channel:
            yield from complaint(addresses, path, what)
        elif section is not None and not says_something(section.text, path):
            yield f"{what} {path}: no description"


def routes_of(app: Litestar) -> Iterator[tuple[str, str]]:
    for route in app.routes:
        path = re.sub(r":[a-z]+\}", "}", route.path)
        if isinstance(route, HTTPRoute):
            yield from ((method, path) for method in sorted(route.methods - {"OPTIONS", "HEAD"}))
        elif isinstance(route, WebSocketRoute):
            yield "WebSocket", path


def answers(site: Site) -> Iterator[str]:
    """Every parameter of a route, and every field of what it answers."""
    for name in site.names():
        if name.startswith("api-"):
            for section in site.page(name).sections:
                for table in section.tables:
                    head = table.heads[0]
                    if head in ("parameter", "field"):
                        for row in table.rows:
                            what = f"{head} of {section.title}"
                            yield from complaint([table], row[head], what)


def columns(site: Site, kinds: Iterable[Kind]) -> Iterator[str]:
    page = site.page("tables")
    for kind in kinds:
        section = page.section(kind.name)
        if section is None or not says_something(section.text, kind.name):
            yield f"table {kind.name}: no description"
            continue
        for column in kind.columns:
            yield from complaint(section.tables, column.name, f"column {kind.name}")


def verbs(site: Site, app: typer.Typer) -> Iterator[str]:
    page = site.page("command-line")
    for path, command in commands(typer.main.get_command(app), "bursa"):
        section = page.section(path)
        if section is None or not says_something(section.text, path):
            yield f"verb {path}: no description"
            continue
        names = {
            row["takes"].split(" ")[0].rstrip(","): row for t in section.tables for row in t.rows
        }
        for one in command.params:
            name = one.opts[0] if one.opts[0].startswith("-") else one.metavar or one.name.upper()
            if not says_something(names.get(name, {}).get("meaning", ""), name):
                yield f"option {path} {name}: no description"


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", {})
    for name, one in below.items():
        yield from commands(one, f"{path} {name}")
    if not below:
        yield path, command


def telemetry(site: Site, registry: CollectorRegistry) -> Iterator[str]:
    html, tables = site.get("/docs/telemetry").text, site.page("telemetry").tables
    known = {row["label"] for table in tables if table.heads[0] == "label" for row in table.rows}
    for family in registry.collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        yield from complaint(tables, name, "telemetry")
        for sample in family.samples:
            suffix = sample.name.removeprefix(family.name)
            if suffix not in ("", "_total") and f"<code>{suffix}</code>" not in html:
                yield f"telemetry {sample.name}: what {suffix} is, is not told"
    for collector in list(registry._collector_to_names):
        for label in getattr(collector, "_labelnames", ()):
            if label not in known:
                yield f"telemetry label {label}: not there"


def frames(site: Site, types: Iterable[str]) -> Iterator[str]:
    page = site.page("stream")
    for name in types:
        section = page.section(name)
        if section is None or not says_something(section.text, name):
            yield f"frame {name}: no description"
            continue
        for table in section.tables:
            for row in table.rows:
                yield from complaint([table], row["field"], f"field of {name}")


def types_in_code() -> set[str]:
    """Every type of frame that the surfaces' code writes, and every action they take."""
    text = "".join(path.read_text() for path in sorted(API.rglob("*.py")))
    said = set(re.findall(r'"type": ?"([a-z_]+)"', text))
    said |= set(re.findall(r'_state\(client, "([a-z_]+)"', text))
    actions = get_args(get_type_hints(orders.Ask)["action"])
    return said | {str(action) for action in actions}


def metrics(site: Site, catalogue: Iterable[Metric]) -> Iterator[str]:
    page = site.page("metrics")
    for metric in catalogue:
        section = page.section(metric.name)
        if section is None or not says_something(section.text, metric.name):
            yield f"metric {metric.name}: no description"
            continue
        about = {row["about"] for table in section.tables[:1] for row in table.rows}
        for what in ("parameters", "reads", "warm-up", "timeframes", "venues"):
            if what not in about:
                yield f"metric {metric.name}: its {what} not told"
        for output in metric.outputs:
            yield from complaint(section.tables[1:], output.name, f"output {metric.name}")


# -- everything is documented ----------------------------------------------------------------------


def test_every_setting(site: Site) -> None:
    paths = [path for path, _, _ in config.leaves()]
    assert len(paths) > 40
    assert not list(settings(site, paths))


def test_every_route(site: Site) -> None:
    found = list(routes_of(site.app))
    assert ("WebSocket", "/v1/stream") in found and ("GET", "/chart") in found
    assert not list(routes(site, site.app))


def test_every_parameter_and_every_field_of_an_answer(site: Site) -> None:
    assert not list(answers(site))


def test_every_column(site: Site) -> None:
    assert not list(columns(site, (*MARKET_KINDS, METRICS)))


def test_every_verb_and_option(site: Site) -> None:
    assert not list(verbs(site, cli.app))


def test_an_option_left_out_is_allowed_and_help_breaks_lines_itself() -> None:
    for path, command in commands(typer.main.get_command(cli.app), "bursa"):
        context = command.context_class(command, info_name=path)
        for one in command.params:
            value = None if one.required else one.get_default(context)
            if value is not None and not isinstance(value, list | tuple):
                one.process_value(context, value)
        assert command.help and "\n" not in command.help, path


def test_every_telemetry_name_and_label(site: Site) -> None:
    assert not list(telemetry(site, site.market.services.telemetry.registry))


def test_every_frame_and_action(site: Site) -> None:
    types = types_in_code()
    assert {"bar", "gap", "subscribed", "subscribe", "ping"} <= types
    assert not list(frames(site, types))


def test_every_metric_and_output(site: Site) -> None:
    assert not list(metrics(site, STANDARD.metrics.values()))


# -- and what is not documented is found -----------------------------------------------------------


@get("/v1/unheard")
async def unheard() -> None: ...


@get("/quiet/{what:str}", include_in_schema=False)
async def quiet(what: FromPath[str]) -> None: ...


@websocket("/whisper")
async def whisper(socket: WebSocket[Any, Any, Any]) -> None: ...


@pytest.fixture(scope="module")
def careless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A program to which somebody added things and said nothing of them."""
    line = typer.Typer()

    @line.command()
    def hush(loud: bool = False) -> None: ...

    line.command("version")(cli.version)
    say = told(line)
    secret = {"path": "http.secret", "variable": "BURSA_HTTP_SECRET", "meaning": ""}
    say = replace(say, settings=[*say.settings, {**say.settings[0], **secret}])
    with Site(tmp_path_factory.mktemp("store"), say, [unheard, quiet, whisper]) as site:
        about: Any = site.market.services.telemetry
        about.mute = Counter("bursa_mute", "", ["shade"], registry=about.registry)
        yield site


def test_what_nobody_documented_is_found(careless: Site) -> None:
    line = typer.Typer()

    @line.command()
    def hush(loud: bool = False) -> None: ...

    @line.command()
    def absent() -> None:
        """A verb of which the docs were never told."""

    wide = replace(OHLCV, columns=(*OHLCV.columns, Column("oddness", "float", "how odd it is")))
    strange = replace(STANDARD.metrics["hd"], name="strange")
    more = replace(
        STANDARD.metrics["hd"], outputs=(*STANDARD.metrics["hd"].outputs, type_of_output("twist"))
    )
    assert set(routes(careless, careless.app)) == {
        "GET /v1/unheard: no description",
        "GET /quiet/{what}: not there",
        "WebSocket /whisper: not there",
    }
    assert set(settings(careless, ["http.port", "http.secret", "http.absent"])) == {
        "setting http.secret: no description",
        "setting http.absent: not there",
    }
    assert list(columns(careless, [wide])) == ["column ohlcv oddness: not there"]
    assert set(verbs(careless, line)) == {
        "verb bursa hush: no description",
        "verb bursa absent: no description",
    }
    assert set(telemetry(careless, careless.market.services.telemetry.registry)) == {
        "telemetry bursa_mute_total: no description",
        "telemetry label shade: not there",
    }
    assert list(frames(careless, ["bar", "rumour"])) == ["frame rumour: no description"]
    assert list(metrics(careless, [strange, more])) == [
        "metric strange: no description",
        "output hd twist: not there",
    ]


def type_of_output(name: str) -> Any:
    return replace(STANDARD.metrics["hd"].outputs[0], name=name)


@pytest.mark.parametrize(
    ("text", "name", "good"),
    [
        ("", "http.port", False),
        ("http port", "http.port", False),
        ("rsi 14", "rsi_14", False),
        ("port; 0 takes a free one", "http.port", True),
        ("number of trades", "trades", True),
    ],
)
def test_a_description_says_more_than_the_name(text: str, name: str, good: bool) -> None:
    assert says_something(text, name) is good
