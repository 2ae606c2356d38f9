"""Read the tree of settings: flags, environment, file, in this order of strength.

A wrong value, an unknown key and an unknown `BURSA_*` variable stop the start with the dotted path
and what is allowed.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from bursa.config import sources
from bursa.config.sources import DEFAULT, TYPES
from bursa.config.tell import PREFIX, choices, flatten, leaves, variable
from bursa.config.tree import Config, Loaded
from bursa.model.errors import Refuse

# These belong to the test suite; the program ignores them.
FOREIGN = frozenset({"BURSA_SHARED_DATA", "BURSA_REQUIRE_SERVERS"})

# Not a setting: no file has it, and nothing shows it.
PASSWORD = "BURSA_SUPERADMIN_PASSWORD"


def superadmin_password(environment: Mapping[str, str] | None = None) -> str:
    """The password that the first superadmin is made with; "" where none is given."""
    return (os.environ if environment is None else environment).get(PASSWORD, "")


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
    for name, source in _sources(tree):
        _check_source(f"feeds.{name}", source, origins)
    try:
        loaded = Loaded(msgspec.convert(tree, Config, strict=False), origins)
    except msgspec.ValidationError as error:
        raise _refusal(error, origins, Config) from None
    for name, found in loaded.config.feeds.items():
        sources.check(f"feeds.{name}", found, origins)
    _check_journal(loaded.config)
    return loaded


def _check_journal(config: Config) -> None:
    """Refuse a journal's limits that contradict others, and so could not be kept."""
    said, cap = config.journal, config.retention.disk_gb
    least = (2 * said.segment_mb + 2 * config.checkpoint.every_mb) * (1 << 20) / 1e9
    if 0 < said.keep_gb < least:
        what = (
            f"less than the {least:.2f} that a recovery needs: two segments (journal.segment_mb)"
            " and what lies between two checkpoints (checkpoint.every_mb)"
        )
    elif said.keep_gb and 0 < cap < said.keep_gb:
        what = f"more than the {cap:g} of the whole folder (retention.disk_gb)"
    else:
        return
    raise Refuse(f"journal.keep_gb: {said.keep_gb:g}: {what}", "bad_config", 400, "journal.keep_gb")


def file_of(given: str | None) -> str:
    """The file that is read: the one given, else the variable's; "" where there is none."""
    return given or os.environ.get("BURSA_CONFIG", "")


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
    except UnicodeDecodeError as error:
        raise Refuse(f"config: {file} is not TOML: {error}", "bad_config") from None
    try:
        return dict(flatten(tomllib.loads(text)))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Refuse(f"config: {file} is not TOML: {error}", "bad_config") from None


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Lists are written with commas or blanks between."""
    known = {variable(path): path for path, _, _ in leaves() if "NAME" not in path}
    feed_keys = [path.rsplit(".", 1)[1] for path, _, _ in leaves() if "NAME" in path]
    lists = {path for path, default, _ in leaves() if isinstance(default, tuple)}
    out: dict[str, Any] = {}
    for name, text in environment.items():
        if not name.startswith(PREFIX) or name in FOREIGN | {PASSWORD, "BURSA_CONFIG"}:
            continue
        path = known.get(name)
        parts = name.removeprefix(PREFIX).lower().split("_")
        key = "_".join(parts[2:])
        if path is None and parts[0] == "feeds" and key in feed_keys:
            path = f"feeds.{parts[1]}.{key}"
        if path is None:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise Refuse(
                f"{name}: no such variable{hint} (`bursa config show` lists all values)",
                "bad_config",
                parameter=name,
            )
        out[path] = text.replace(",", " ").split() if path in lists else text
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
        if isinstance(kind, type) and issubclass(kind, Struct) and isinstance(value, dict):
            _check_names(value, kind, f"{path}.")


def _sources(tree: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The tables of sources by name; one that names no type is given the default one."""
    feeds = tree.get("feeds")
    found = feeds.items() if isinstance(feeds, dict) else ()
    tables = [(name, table) for name, table in found if isinstance(table, dict)]
    for _, table in tables:
        table.setdefault("type", DEFAULT)
    return tables


def _check_source(path: str, source: Mapping[str, Any], origins: Mapping[str, str]) -> None:
    """Refuse by its own type's table, so that what is said names the key."""
    table = TYPES.get(str(source["type"]))
    if table is None:
        what = f"{path}.type: {source['type']}, allowed: {', '.join(TYPES)}"
        raise Refuse(what, "bad_config", parameter=f"{path}.type")
    _check_names({k: v for k, v in source.items() if k != "type"}, table, f"{path}.")
    try:
        msgspec.convert(source, table, strict=False)
    except msgspec.ValidationError as error:
        raise _refusal(error, origins, table, f"{path}.") from None


def _refusal(
    error: msgspec.ValidationError,
    origins: Mapping[str, str],
    table: type[Struct],
    above: str = "",
) -> Refuse:
    what, _, where = str(error).partition(" - at `")
    where = where.removeprefix("key` in `")  # of a name that may not be one
    key = where.rstrip("`").removeprefix("$").removeprefix(".").replace("[...]", ".NAME")
    path = f"{above}{key}".rstrip(".")
    given = next((o for p, o in origins.items() if p == path), "")
    meaning = next((m for p, _, m in leaves(table) if p == key), "")
    allowed = choices(key, table)
    message = f"{path or 'config'}: {what}"
    message += f", allowed: {', '.join(allowed)}" if allowed else ""
    message += f" ({meaning})" if meaning else ""
    message += f"; given by {given}" if given else ""
    return Refuse(message, "bad_config", parameter=path)
