"""Every knob: its default, unit, limits and meaning. One frozen tree, read once at the start.

Strength: flags beat `BURSA_*` environment variables beat the TOML file beat the defaults. The name
of a variable is the dotted path in capitals: `http.port` is `BURSA_HTTP_PORT`. A wrong value, an
unknown key and an unknown `BURSA_*` variable stop the start with the dotted path and what is
allowed. Only cli.py and app.py read this module; parts receive the few values they use.
"""

import difflib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from bursa.model.errors import Refuse

# These belong to the test suite; the program ignores them.
FOREIGN = frozenset({"BURSA_SHARED_DATA", "BURSA_REQUIRE_SERVERS"})
SECRETS = ("password", "secret", "token")
PREFIX = "BURSA_"

Port = Annotated[int, Meta(ge=0, le=65535)]
Endpoint = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.\-]+:[0-9]{1,5}$")]
# How much of a kind the store takes: every row, none, or the last of each key in every N seconds.
Keep = Annotated[str, Meta(pattern=r"^(all|off|[1-9][0-9]{0,3}s)$")]


class _Table(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file; unknown keys are refused."""


def _doc(text: str, **limits: Any) -> Any:
    return Meta(description=text, **limits)


class Http(_Table, frozen=True):
    """The HTTP and WebSocket door."""

    host: Annotated[
        Literal["127.0.0.1", "::1", "localhost"],
        _doc("address to listen on; loopback only, because there are no accounts yet"),
    ] = "127.0.0.1"
    port: Annotated[Port, _doc("port; 0 takes a free one")] = 18090


class Viewer(_Table, frozen=True):
    """The small public face: `/api/v1`, `/healthz`, `/version`, `/ws`; public venues only."""

    origins: Annotated[
        str,
        _doc(
            "origins of other sites whose pages may ask, with blanks between; *: any",
            pattern=r"^(|\*|https?://[A-Za-z0-9.\-\[\]:]+( +https?://[A-Za-z0-9.\-\[\]:]+)*)$",
        ),
    ] = ""
    rate_per_minute: Annotated[
        int, _doc("requests a minute from one address; 0: no limit", ge=0)
    ] = 12_000


class Web(_Table, frozen=True):
    """The pages."""

    tradingview: Annotated[
        str,
        _doc("folder of your licensed TradingView charting library; empty: there is none"),
    ] = ""


class Telemetry(_Table, frozen=True):
    """The process's counters for Prometheus, on loopback only."""

    port: Annotated[Port, _doc("port of 127.0.0.1/metrics; 0 takes a free one")] = 2112


class Log(_Table, frozen=True):
    """Logs on standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], _doc("least severe level that is written")
    ] = "info"
    format: Annotated[
        Literal["auto", "json", "pretty"], _doc("auto: pretty on a terminal, else JSON lines")
    ] = "auto"


class Journal(_Table, frozen=True):
    """The journal: the truth from which all else can be rebuilt."""

    sync_gap_ms: Annotated[
        float, _doc("least time between two syncs; what a power loss may cost", ge=0, le=1000)
    ] = 5.0
    sync_kb: Annotated[int, _doc("unsynced kilobytes that call for a sync at once", ge=4)] = 1024
    segment_mb: Annotated[int, _doc("size at which a segment is closed", ge=1, le=4096)] = 256
    compress: Annotated[bool, _doc("compress closed segments with zstd")] = True


class Checkpoint(_Table, frozen=True):
    """Saved stage state, from which a start resumes."""

    every_s: Annotated[float, _doc("seconds between checkpoints", ge=0.05)] = 30.0
    every_mb: Annotated[int, _doc("megabytes of journal between checkpoints", ge=1)] = 256


class Store(_Table, frozen=True):
    """The writer of the hot store."""

    flush_rows: Annotated[int, _doc("rows that call for a flush", ge=1)] = 10_000
    flush_ms: Annotated[int, _doc("longest wait before a flush", ge=1, le=60_000)] = 500
    threads: Annotated[int, _doc("threads of the database engine", ge=1, le=64)] = 2
    memory_mb: Annotated[int, _doc("memory of the database engine", ge=64)] = 2048


class Topics(_Table, frozen=True):
    """Limits of the in-memory topics; a durable reader past them goes on from the journal."""

    rows_max: Annotated[int, _doc("rows all topics of a venue keep for their readers", ge=1000)] = (
        2_000_000
    )
    mb_max: Annotated[int, _doc("megabytes all topics of a venue keep", ge=1)] = 512


class Rings(_Table, frozen=True):
    """The newest bars and metrics of each ticker, in memory."""

    depth: Annotated[int, _doc("newest 1-minute bars kept of each ticker", ge=60, le=100_000)] = (
        1500
    )
    mb: Annotated[int, _doc("megabytes for all rings of a venue", ge=1)] = 384


class Stream(_Table, frozen=True):
    """The WebSocket stream."""

    throttle_ms: Annotated[int, _doc("least time between two partial bars", ge=0, le=60_000)] = 250
    outbox_messages: Annotated[int, _doc("frames that may wait for one client", ge=1)] = 500
    outbox_mb: Annotated[int, _doc("megabytes that may wait for one client", ge=1)] = 15
    stall_s: Annotated[float, _doc("seconds a full outbox is borne", gt=0)] = 20.0
    retain: Annotated[int, _doc("frames kept for clients that resume", ge=0)] = 100_000


class Retention(_Table, frozen=True):
    """How long the hot store keeps rows (days of the venue's calendar); 0 keeps them for ever."""

    ticks_days: Annotated[int, _doc("days that ticks are kept; 0: for ever", ge=0)] = 3
    quotes_days: Annotated[int, _doc("days that quotes are kept; 0: for ever", ge=0)] = 3
    snapshot_days: Annotated[int, _doc("days that snapshots are kept; 0: for ever", ge=0)] = 3
    orderbook_days: Annotated[int, _doc("days that order books are kept; 0: for ever", ge=0)] = 3
    disk_gb: Annotated[
        float, _doc("cap of the data folder: oldest partitions, segments go first; 0: none", ge=0)
    ] = 0.0


class Sql(_Table, frozen=True):
    """Limits of `bursa sql`."""

    rows_max: Annotated[int, _doc("rows of one answer", ge=1)] = 1_000_000
    time_s: Annotated[float, _doc("seconds one query may take", gt=0)] = 60.0


class Exchange(_Table, frozen=True):
    """The demo exchange (`--demo`)."""

    seed: Annotated[int, _doc("seed of its market", ge=0)] = 7
    speed: Annotated[float, _doc("market seconds a second", gt=0, le=10_000)] = 1.0
    rate: Annotated[
        str, _doc("messages a second, `max`, or empty: by the clock", pattern=r"^(|max|[0-9]+)$")
    ] = ""
    tickers: Annotated[int, _doc("number of instruments it lists", ge=1, le=5000)] = 700
    history_days: Annotated[int, _doc("trading days sent before the live one", ge=0, le=260)] = 30


class KindStore(_Table, frozen=True):
    """What the store takes of one kind."""

    store: Annotated[
        Keep, _doc("rows that are stored: all, off, or Ns: the last of each key in N seconds")
    ] = "all"


Public = Annotated[bool, _doc("anyone may ask for it by the viewer API; the demo always is")]


class IdxKinds(_Table, frozen=True):
    """Kinds of the Indonesia Stock Exchange."""

    public: Public = False
    quotes: KindStore = KindStore()
    snapshot: KindStore = KindStore()
    orderbook: KindStore = KindStore(store="1s")


class BinanceKinds(_Table, frozen=True):
    """Kinds of Binance."""

    public: Public = False
    quotes: KindStore = KindStore()
    snapshot: KindStore = KindStore()
    orderbook: KindStore = KindStore()


class SoupBin(_Table, frozen=True):
    """A SoupBinTCP line: one endpoint a channel."""

    venue: Annotated[Literal["idx"], _doc("venue whose wire it speaks")]
    idxdata: Annotated[Endpoint, _doc("host:port of the trades channel")]
    itchdata: Annotated[Endpoint, _doc("host:port of the market-data channel")]
    user: Annotated[str, _doc("login name of the line", max_length=6)] = ""
    password: Annotated[
        str, _doc("password of the line; best set by its variable", max_length=10)
    ] = ""


# The settings of a source that are endpoints.
ENDPOINTS = ("idxdata", "itchdata")

FeedName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9]{0,31}$")]


class Config(_Table, frozen=True):
    """The whole configuration."""

    data: Annotated[str, _doc("the data folder", min_length=1)] = "data"
    http: Http = Http()
    viewer: Viewer = Viewer()
    web: Web = Web()
    telemetry: Telemetry = Telemetry()
    log: Log = Log()
    journal: Journal = Journal()
    checkpoint: Checkpoint = Checkpoint()
    store: Store = Store()
    topics: Topics = Topics()
    rings: Rings = Rings()
    stream: Stream = Stream()
    retention: Retention = Retention()
    sql: Sql = Sql()
    exchange: Exchange = Exchange()
    idx: IdxKinds = IdxKinds()
    binance: BinanceKinds = BinanceKinds()
    feeds: Annotated[
        dict[FeedName, SoupBin], _doc("sources by name, e.g. [feeds.main]: letters and digits")
    ] = {}


class Setting(Struct, frozen=True):
    """One setting as people are told of it.

    allowed  words, bounds or form of the value; empty: whatever is of the type
    """

    path: str
    variable: str
    type: str
    default: str
    allowed: str
    meaning: str


class Loaded(Struct, frozen=True):
    """A configuration and where each value that is not a default came from (path -> origin)."""

    config: Config
    origins: dict[str, str]


def load(
    flags: Mapping[str, Any], environment: Mapping[str, str] | None = None, file: str | None = None
) -> Loaded:
    """Read the tree. `flags` maps dotted paths to values (None: not given); `environment` is the
    process's by default; `file` is a TOML path, else the variable `BURSA_CONFIG` names one.

    Raises Refuse with code `bad_config`, its `parameter` the dotted path.
    """
    environment = dict(os.environ if environment is None else environment)
    file = file or environment.get("BURSA_CONFIG")
    layers = [
        (_from_file(file), f"file {file}"),
        (_from_environment(environment), "environment {variable}"),
        ({path: value for path, value in flags.items() if value is not None}, "flag"),
    ]
    origins: dict[str, str] = {}
    tree: dict[str, Any] = {}
    for values, origin in layers:
        for path, value in values.items():
            _put(tree, path, value)
            origins[path] = origin.format(variable=variable(path))
    _check_names(tree, Config, "")
    try:
        loaded = Loaded(msgspec.convert(tree, Config, strict=False), origins)
    except msgspec.ValidationError as error:
        raise _refusal(error, origins, _bad_feed(tree)) from None
    _check_ports(loaded)
    return loaded


def file_of(given: str | None) -> str:
    """The file that is read: the one given, else the variable's; "" where there is none."""
    return given or os.environ.get("BURSA_CONFIG", "")


def variable(path: str) -> str:
    """The environment variable of a dotted path."""
    return PREFIX + path.upper().replace(".", "_")


def leaves(table: type[Struct] = Config, above: str = "") -> Iterator[tuple[str, Any, str]]:
    """(dotted path, default, meaning) of every value; sources stand once, as `feeds.NAME.*`."""
    for path, field in _fields(table, above):
        default = None if field.default is msgspec.NODEFAULT else field.default
        yield path, default, _meaning(field.type)


def settings(table: type[Struct] = Config) -> Iterator[Setting]:
    """Every value as people are told of it, in the order of `leaves`."""
    in_force = dict(_flatten(msgspec.to_builtins(table())))
    for path, field in _fields(table):
        default = in_force.get(path, field.default)
        kind, notes = field.type, []
        while hasattr(kind, "__metadata__"):
            notes += [note for note in kind.__metadata__ if isinstance(note, Meta)]
            kind = get_args(kind)[0]
        bounds = (
            f"{word} {value}"
            for note in notes
            for limit, word in _LIMITS.items()
            if (value := getattr(note, limit)) is not None
        )
        yield Setting(
            path,
            variable(path),
            _TYPES.get(kind, "string"),
            "" if default is msgspec.NODEFAULT else json.dumps(default),
            ", ".join(_words(field.type)) or "; ".join(bounds),
            _meaning(field.type),
        )


_TYPES = {int: "integer", float: "number", bool: "true or false"}
_LIMITS = {
    "ge": "at least",
    "gt": "more than",
    "le": "at most",
    "max_length": "longest",
    "pattern": "form",
}


def _fields(table: type[Struct], above: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, field) of every value."""
    for field in msgspec.structs.fields(table):
        path = f"{above}{field.name}"
        if isinstance(field.type, type) and issubclass(field.type, Struct):
            yield from _fields(field.type, f"{path}.")
        elif path == "feeds":
            yield from _fields(SoupBin, "feeds.NAME.")
        else:
            yield path, field


def rows(loaded: Loaded) -> list[tuple[str, Any, str]]:
    """(dotted path, value, origin) of every value in force, secrets masked, for `config show`."""
    out: list[tuple[str, Any, str]] = []
    for path, value in _flatten(msgspec.to_builtins(loaded.config)):
        if any(word in path for word in SECRETS) and value:
            value = "********"
        out.append((path, value, loaded.origins.get(path, "default")))
    return out


def _flatten(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _put(tree: dict[str, Any], path: str, value: Any) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise Refuse(f"{path}: {parent} is a value, not a table", "bad_config", parameter=path)
    tree[name] = value


def _from_file(file: str | None) -> dict[str, Any]:
    if not file:
        return {}
    try:
        text = Path(file).read_text("utf-8")
    except OSError as error:
        raise Refuse(f"config: {file} cannot be read: {error.strerror}", "bad_config") from None
    try:
        return dict(_flatten(tomllib.loads(text)))
    except tomllib.TOMLDecodeError as error:
        raise Refuse(f"config: {file} is not TOML: {error}", "bad_config") from None


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    known = {variable(path): path for path, _, _ in leaves() if "NAME" not in path}
    feed_keys = [path.rsplit(".", 1)[1] for path, _, _ in leaves() if "NAME" in path]
    out: dict[str, str] = {}
    for name, text in environment.items():
        if not name.startswith(PREFIX) or name in FOREIGN or name == "BURSA_CONFIG":
            continue
        path = known.get(name)
        parts = name.removeprefix(PREFIX).lower().split("_")
        if path is None and len(parts) == 3 and parts[0] == "feeds" and parts[2] in feed_keys:
            path = ".".join(parts)
        if path is None:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise Refuse(
                f"{name}: no such variable{hint} (`bursa config show` lists all values)",
                "bad_config",
                parameter=name,
            )
        out[path] = text
    return out


def _check_names(tree: Mapping[str, Any], table: type[Struct], above: str) -> None:
    fields = {field.name: field.type for field in msgspec.structs.fields(table)}
    for name, value in tree.items():
        path = f"{above}{name}"
        if name not in fields:
            near = difflib.get_close_matches(name, fields, 1)
            hint = f"did you mean {above}{near[0]}?" if near else f"allowed: {', '.join(fields)}"
            raise Refuse(f"{path}: no such setting; {hint}", "bad_config", parameter=path)
        kind = fields[name]
        if path == "feeds" and isinstance(value, dict):
            for feed, source in value.items():
                if isinstance(source, dict):
                    _check_names(source, SoupBin, f"feeds.{feed}.")
        elif isinstance(kind, type) and issubclass(kind, Struct) and isinstance(value, dict):
            _check_names(value, kind, f"{path}.")


def _check_ports(loaded: Loaded) -> None:
    """Endpoints are text: their ports are numbers that a pattern would describe badly."""
    for name, source in loaded.config.feeds.items():
        for key in ENDPOINTS:
            path, endpoint = f"feeds.{name}.{key}", getattr(source, key)
            port = int(endpoint.rpartition(":")[2])
            if not 1 <= port <= 65_535:
                raise Refuse(
                    f"{path}: port {port} of {endpoint!r}, allowed: 1 to 65535"
                    f"; given by {loaded.origins.get(path, 'default')}",
                    "bad_config",
                    parameter=path,
                )


def _bad_feed(tree: Mapping[str, Any]) -> str:
    """Name of the first source that cannot be read: a validation error does not tell it."""
    sources = tree.get("feeds")
    for name, source in sources.items() if isinstance(sources, dict) else ():
        try:
            msgspec.convert(source, SoupBin, strict=False)
        except msgspec.ValidationError:
            return str(name)
    return "NAME"


def _refusal(error: msgspec.ValidationError, origins: Mapping[str, str], bad_feed: str) -> Refuse:
    what, _, where = str(error).partition(" - at `")
    where = where.removeprefix("key` in `")  # of a name that may not be one
    general = where.rstrip("`").removeprefix("$").removeprefix(".").replace("[...]", ".NAME")
    path = general.replace("feeds.NAME", f"feeds.{bad_feed}")
    given = next((o for p, o in origins.items() if p == path), "")
    meaning = next((m for p, _, m in leaves() if p == general), "")
    allowed = _choices(general)
    message = f"{path or 'config'}: {what}"
    message += f", allowed: {', '.join(allowed)}" if allowed else ""
    message += f" ({meaning})" if meaning else ""
    message += f"; given by {given}" if given else ""
    return Refuse(message, "bad_config", parameter=path)


def _choices(path: str) -> tuple[str, ...]:
    """The words a value may be, where it is one of a few."""
    return next((_words(field.type) for found, field in _fields(Config) if found == path), ())


def _words(kind: Any) -> tuple[str, ...]:
    inner = get_args(kind)[0] if get_args(kind) else kind
    return tuple(str(word) for word in get_args(inner)) if get_origin(inner) is Literal else ()


def _meaning(kind: Any) -> str:
    notes = [n for n in getattr(kind, "__metadata__", ()) if isinstance(n, Meta) and n.description]
    return notes[-1].description or "" if notes else ""
