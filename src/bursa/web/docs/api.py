"""The API pages as Markdown, made from the OpenAPI and AsyncAPI documents of the running program.

One page for each tag of the routes, with every route's parameters, an example, its answers and the
shapes they are made of; and the messages of the streams. Asks the program nothing itself.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from bursa.web.docs.made import cell, code, rows
from bursa.web.docs.text import anchor_of

Schema = Mapping[str, Any]

# The address that examples bear; a page shows the reader's own in its place.
HOST = "127.0.0.1:18090"
# What examples ask for, by parameter; the rest of them are left out where they may be.
EXAMPLES = {
    "ticker": "BBCA",
    "tickers": "BBCA,BMRI",
    "symbol": "BBCA",
    "symbols": "BBCA,BMRI",
    "code": "COMPOSITE",
    "metric": "rsi_14",
    "tf": "5m",
    "limit": "3",
    "resolution": "5",
    "to": "4102444800",
    "countback": "3",
    "interval": "5m",
    "query": "bank",
    "by": "value",
    "group": "IDX",
    "kind": "ticks",
    "file": "2026-11-20.parquet",
}
# The same of fields in bodies.
BODIES = {
    "api_key": "idx_live_...",
    "email": "sari@example.com",
    "machine_id": "DESK-03",
    "plugin_version": "1.4.2",
    "level": "warning",
    "event": "sync.failed",
    "name": "Backtest box",
    "plan": "pro",
}
# How one shows who one is, by the tag of a route.
TOKEN = ' -H "Authorization: Bearer $TOKEN"'
SESSION = '-b "bursa_session=$SESSION" '
CSRF = '-H "X-CSRF-Token: $CSRF" '
OF_TOKENS = frozenset({"plugin"})
OF_SESSIONS = frozenset({"portal", "admin"})
# Where a token is wanted everywhere but in the demo, so that examples of it work there too.
WANTED = f"They want `{TOKEN.strip()}`, the [token of a key](accounts.md#keys-and-tokens)"
HOW = {
    "data": f"{WANTED}; the demo asks for none.",
    "stream": f"{WANTED}; the demo asks for none.",
    "udf": f"{WANTED}, or the key itself as `X-Api-Key`; the demo asks for neither.",
    "plugin": f"{WANTED}, one that was made for a machine.",
    "portal": "They want a [session](accounts.md#signing-up), and its CSRF token for changes.",
    "admin": "They want a session of an admin, and its CSRF token for changes.",
    "auth": "Nothing is to be shown here but what the body bears.",
}
KEY_IN_BODY = frozenset({"/v1/plugin/activate"})
# Pages in this order; a tag that is not here comes last, under its own name.
TITLES = {
    "data": "Data API",
    "stream": "Stream over HTTP",
    "udf": "UDF routes",
    "viewer": "Viewer API routes",
    "auth": "Sign-in and tokens",
    "portal": "Portal routes",
    "plugin": "Plugin routes",
    "admin": "Admin routes",
    "health": "Health",
}
_METHODS = ("get", "post", "put", "patch", "delete")
_JSON = "application/json"


def tags(openapi: Schema) -> list[str]:
    """The tags of the routes, in the order of their pages."""
    found = [tag for _, _, operation in routes(openapi) for tag in _tags(operation)]
    return [tag for tag in dict.fromkeys((*TITLES, *found)) if tag in found]


def routes(openapi: Schema) -> Iterator[tuple[str, str, Schema]]:
    """(method, path, operation) of every route."""
    for path, item in openapi.get("paths", {}).items():
        for method in _METHODS:
            if method in item:
                yield method.upper(), path, item[method]


def _tags(operation: Schema) -> Sequence[str]:
    return operation.get("tags") or ("other",)


def page(openapi: Schema, tag: str) -> str:
    """The page of one tag."""
    shapes = openapi.get("components", {}).get("schemas", {})
    parts, used = [], dict[str, None]()
    for method, path, operation in routes(openapi):
        if tag in _tags(operation):
            parts.append(_route(method, path, operation, used))
    title = TITLES.get(tag, tag.capitalize())
    head = f"# {title}\n\nThe routes of this server under the tag {code(tag)}, as it tells them"
    head += " at `/schema`. What holds for all of them: [using the API](api.md)."
    head += f" {HOW[tag]}" if tag in HOW else ""
    described = _shapes(used, shapes)
    shown = ["## Shapes\n\nWhat the answers are made of.", *described] if described else []
    return "\n\n".join([head, *parts, *shown])


def _route(method: str, path: str, operation: Schema, used: dict[str, None]) -> str:
    parameters = operation.get("parameters") or ()
    parts = [f"## {method} {path}", _sentence(operation.get("description", ""))]
    parts.append(_example(method, path, operation))
    if parameters:
        head = ("parameter", "type", "meaning", "default", "allowed", "in")
        parts.append(rows(head, [_parameter(one) for one in parameters]))
    parts += _bodies(operation)
    parts.append(rows(("status", "answer", "meaning"), _answers(operation, used)))
    return "\n\n".join(part for part in parts if part)


def _sentence(text: str) -> str:
    return " ".join(text.split())


def _example(method: str, path: str, operation: Schema) -> str:
    query = {}
    for one in operation.get("parameters") or ():
        name = one["name"]
        wanted = one.get("required") or name in ("tf", "limit", "interval", "countback", "by")
        if one["in"] == "path":
            path = path.replace(f"{{{name}}}", _value(one))
        elif wanted:
            query[name] = _value(one)
    asked = f"?{urlencode(query, safe=',:')}" if query else ""
    said = "" if method == "GET" else f"-X {method} "
    tag = _tags(operation)[0]
    # A session is shown before the address, a token behind it, where it is not in the way.
    said += SESSION if tag in OF_SESSIONS else ""
    said += CSRF if tag in OF_SESSIONS and method != "GET" else ""
    shown = TOKEN if tag in OF_TOKENS and path not in KEY_IN_BODY else ""
    body = _body_example(operation)
    said += f"--json '{body}' " if body else ""
    return f"```sh\ncurl {said}'http://{HOST}{path}{asked}'{shown}\n```"


def _body_example(operation: Schema) -> str:
    """A body with the fields that must be there; "" where none is read, or it may be empty."""
    content = (operation.get("requestBody") or {}).get("content", {})
    schema = content.get(_JSON, {}).get("schema", {})
    fields, needed = schema.get("properties") or {}, schema.get("required") or ()
    said = {name: _said(name, fields[name]) for name in needed if name in fields}
    return json.dumps(said, ensure_ascii=False) if said else ""


def _said(name: str, schema: Schema) -> Any:
    """What the example says for a field of a body."""
    if name in BODIES:
        return BODIES[name]
    kind = str(getattr(schema.get("type"), "value", schema.get("type")))
    simple = {"boolean": True, "integer": schema.get("minimum", 1), "array": [], "object": {}}
    return simple.get(kind, (schema.get("enum") or ["..."])[0])


def _value(parameter: Schema) -> str:
    """What the example says for a parameter."""
    schema = parameter.get("schema", {})
    words = schema.get("enum")
    given = EXAMPLES.get(parameter["name"])
    if words and given not in [str(word) for word in words]:
        return str(words[0])
    return given or str(schema.get("default", "1"))


def _parameter(one: Schema) -> tuple[str, ...]:
    schema = one.get("schema", {})
    default = "required" if one.get("required") else code(schema.get("default", ""))
    return (
        code(one["name"]),
        kind_of(schema),
        cell(one.get("description", "")),
        default,
        allowed_of(schema),
        one["in"],
    )


def _bodies(operation: Schema) -> Iterator[str]:
    """What the body of a request is made of, where the route takes one."""
    for kind, content in ((operation.get("requestBody") or {}).get("content") or {}).items():
        yield f"The body, {code(kind)}:\n\n{_shape(content.get('schema', {}))}"


def _answers(operation: Schema, used: dict[str, None]) -> Iterator[tuple[str, ...]]:
    for status, answer in operation.get("responses", {}).items():
        for kind, content in (answer.get("content") or {"": {}}).items():
            schema = content.get("schema", {})
            used.update(dict.fromkeys(_refs(schema)))
            shape = kind_of(schema) if kind in (_JSON, "") else f"{kind_of(schema)}, {code(kind)}"
            yield code(status), shape, cell(answer.get("description", ""))


def kind_of(schema: Schema) -> str:
    """A schema's type in words; a shape is a link to its table."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return f"[{name}](#{anchor_of(name)})"
    for word in ("oneOf", "anyOf", "allOf"):
        if word in schema:
            return " or ".join(dict.fromkeys(kind_of(one) for one in schema[word]))
    kind = schema.get("type", "")
    if isinstance(kind, list | tuple):
        return " or ".join(map(str, kind))
    if kind == "array":
        inside = schema.get("prefixItems")
        if inside:
            return f"list of {len(inside)}: " + ", ".join(kind_of(one) for one in inside)
        return f"list of {kind_of(schema.get('items') or {})}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {kind_of(schema['additionalProperties'])}"
    if not kind and "enum" in schema:
        return "string"
    return str(getattr(kind, "value", kind)) or "any"


def allowed_of(schema: Schema) -> str:
    """What a value may be beyond its type."""
    for one in (*schema.get("oneOf", ()), *schema.get("anyOf", ()), schema):
        if "enum" in one:
            return " ".join(code(word) for word in one["enum"])
        if "items" in one and "enum" in (one["items"] or {}):
            return " ".join(code(word) for word in one["items"]["enum"])
    bounds = [
        f"{word} {schema[name]}"
        for name, word in (("minimum", "at least"), ("maximum", "at most"), ("pattern", "form"))
        if name in schema
    ]
    return cell("; ".join(bounds))


def _refs(schema: object) -> Iterator[str]:
    """The shapes that a schema names."""
    if isinstance(schema, Mapping):
        if "$ref" in schema:
            yield str(schema["$ref"]).rpartition("/")[2]
        for value in schema.values():
            yield from _refs(value)
    elif isinstance(schema, list | tuple):
        for value in schema:
            yield from _refs(value)


def _shapes(
    used: dict[str, None], shapes: Mapping[str, Schema], titles: Mapping[str, str] | None = None
) -> list[str]:
    """Tables of the shapes in use and of those they are made of, under their titles or names."""
    titles = titles or {}
    parts, waiting = [], list(used)
    seen: set[str] = set()
    while waiting:
        name = waiting.pop(0)
        if name in seen or name not in shapes:
            continue
        seen.add(name)
        waiting += list(dict.fromkeys(_refs(shapes[name])))
        parts.append(f"### {titles.get(name, name)}\n\n{_shape(shapes[name])}")
    return parts


def _shape(shape: Schema) -> str:
    about = _sentence(shape.get("description") or "")
    fields = shape.get("properties") or {}
    needed = shape.get("required") or ()
    body = [
        (
            code(name),
            kind_of(field),
            cell(field.get("description", "")),
            allowed_of(field),
            "" if name in needed else "may be absent",
        )
        for name, field in fields.items()
    ]
    table = rows(("field", "type", "meaning", "allowed", "presence"), body) if body else ""
    return "\n\n".join(part for part in (about, table) if part) or "No fields of its own."


def streams(asyncapi: Schema | None) -> str:
    """Every address that pushes, and every message on it."""
    if not asyncapi:
        return ""
    parts = []
    messages = asyncapi["components"]["messages"]
    schemas = asyncapi["components"]["schemas"]
    used = dict[str, None]()
    for name, channel in asyncapi["channels"].items():
        body = []
        for operation in asyncapi["operations"].values():
            if operation["channel"]["$ref"].endswith(f"/{name}"):
                for one in operation["messages"]:
                    kind = one["$ref"].rpartition("/")[2]
                    used[kind] = None
                    who = "the server" if operation["action"] == "send" else "the client"
                    message = messages[kind]
                    link = f"[{message['name']}](#{anchor_of(message['title'])})"
                    body.append((link, who, cell(message["summary"])))
        table = rows(("message", "said by", "meaning"), body)
        parts.append(f"### {channel['address']}\n\n{channel['description']}\n\n{table}")
    parts.append("## Messages\n\nEvery field of every message.")
    worded = {name: _worded(schema, messages.get(name)) for name, schema in schemas.items()}
    parts += _shapes(used, worded, {kind: one["title"] for kind, one in messages.items()})
    return "\n\n".join(parts)


def _worded(schema: Schema, message: Schema | None) -> Schema:
    """A message's schema whose telling field says what it is for."""
    fields = dict(schema.get("properties") or {})
    for name in ("type", "action"):
        if message is not None and name in fields and "description" not in fields[name]:
            fields[name] = {**fields[name], "description": "which message this is"}
    return {**schema, "properties": fields}
