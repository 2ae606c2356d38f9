"""One read-only SELECT of a person: what is allowed, how far it may go, how its answer is shown.

A statement is judged by its own syntax tree: exactly one SELECT, over the tables of this store and
the sub-queries it names itself, no function that reaches outside. DESCRIBE and SUMMARIZE are of
such a SELECT or table, SHOW TABLES tells which there are. It then runs in a read-only transaction
under a row limit and a time limit. Imports no engine: the cursor is given, and its own
errors pass through (engine.py names them). Does not know who holds a folder (folder.py).
"""

import csv
import io
import json
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from threading import Timer
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from bursa.model.errors import Refuse

FORMATS = ("table", "json", "csv")
TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest"})
# Nodes of a query that only read; WITH can also hold statements that write.
READING_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
FUNCTIONS_REFUSED = frozenset(
    {"current_setting", "getvariable", "getenv", "write_log", "nextval", "currval"}
)
ALLOWED = "only SELECT, DESCRIBE, SUMMARIZE and SHOW TABLES are allowed"
TEXT_CHARACTERS_MAX = 100_000
_ROWS_A_STEP = 8192
_SHOW_TABLES = ("SHOW_SPECIAL", ['"tables"'])

Views = Callable[[Collection[str], str], Mapping[str, str]]
"""(names of tables, what stands before the name of a store's own) -> name -> a SELECT that stands
for it."""


@dataclass(frozen=True)
class Limits:
    """rows_max, bytes_max: a longer answer is refused, not cut. time_s: for the query and its
    rows."""

    rows_max: int = 1_000_000
    time_s: float = 60.0
    bytes_max: int = 256 << 20


@dataclass(frozen=True)
class Answer:
    """Rows of JSON values: int, float, str, bool, None, lists and objects of these. NaN is None,
    infinities, times and dates are text, bytes are hexadecimal text."""

    columns: tuple[str, ...]
    rows: list[list[Any]]

    def to_json(self) -> dict[str, Any]:
        """For the control socket."""
        return {"columns": list(self.columns), "rows": self.rows}


def from_json(value: dict[str, Any]) -> Answer:
    """The opposite of `Answer.to_json`."""
    return Answer(tuple(value["columns"]), value["rows"])


def select(cursor: Any, text: str, limits: Limits, views: Views | None = None) -> Answer:
    """Judge and run `text` on a cursor that nobody else uses. Refuse: not allowed, or more rows
    than the limit; past the time limit the cursor's own interruption is raised. `views` tells, of
    the tables that it names, what stands for them meanwhile."""
    named = check(cursor, text)
    for name, of in (views(named, _own(cursor)) if views is not None else {}).items():
        cursor.execute(f'create temp view "{name}" as {of}')
    until = time.monotonic() + limits.time_s
    timer = Timer(limits.time_s, cursor.interrupt)
    timer.daemon = True
    cursor.execute("begin transaction read only")
    timer.start()
    try:
        with cursor.sql(text).to_arrow_reader(_ROWS_A_STEP) as reader:
            return _answer(reader, limits, until)
    except (OSError, pa.ArrowException) as error:
        # What fails between the rows comes from the reader, no longer in the engine's own errors.
        if time.monotonic() > until:
            raise _too_slow(limits) from error
        raise Refuse(str(error).splitlines()[0], "bad_query") from error
    finally:
        timer.cancel()
        cursor.execute("rollback")


def _own(cursor: Any) -> str:
    """What stands before the name of a store's own table, whatever has its name beside it."""
    [name] = cursor.execute("select current_database()").fetchone()
    quoted = str(name).replace('"', '""')
    return f'"{quoted}".main.'


def _too_slow(limits: Limits) -> Refuse:
    return Refuse(f"the query took longer than {limits.time_s:g} s: ask for less", "too_slow")


def _answer(reader: pa.RecordBatchReader, limits: Limits, until: float) -> Answer:
    found: list[list[Any]] = []
    size = 0
    for batch in reader:
        if len(found) + batch.num_rows > limits.rows_max:
            raise Refuse(
                f"the answer has more than {limits.rows_max:,} rows: add a limit or a condition",
                "too_many_rows",
            )
        size += batch.nbytes
        if size > limits.bytes_max:
            raise Refuse(
                f"the answer has more than {limits.bytes_max >> 20:,} MB: ask for less", "too_large"
            )
        if time.monotonic() > until:
            raise _too_slow(limits)
        found += [list(row) for row in zip(*map(_json_values, batch.columns), strict=True)]
    return Answer(tuple(_unique(reader.schema.names)), found)


def _unique(names: Sequence[str]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for name in names:
        nth = seen[name] = seen.get(name, -1) + 1
        yield f"{name}_{nth}" if nth else name


def check(cursor: Any, text: str) -> frozenset[str]:
    """Refuse what is not one SELECT over this store's own tables; returns those it names."""
    if len(text) > TEXT_CHARACTERS_MAX:
        raise Refuse(f"a query has at most {TEXT_CHARACTERS_MAX:,} characters", "bad_query")
    statements = cursor.extract_statements(text)
    if len(statements) != 1:
        raise Refuse(
            f"exactly one statement is allowed, not {len(statements)}: {ALLOWED}", "not_select"
        )
    kind = statements[0].type.name
    if kind != "SELECT":
        raise Refuse(f"{ALLOWED}, not {kind}", "not_select")
    written = cursor.execute("select json_serialize_sql(?::varchar)", [text]).fetchone()[0]
    try:
        return _judge(cursor, json.loads(written))
    except RecursionError:
        raise Refuse("the query is nested too deeply", "bad_query") from None


def _judge(cursor: Any, tree: dict[str, Any]) -> frozenset[str]:
    if tree["error"]:
        raise Refuse(f"{ALLOWED}: {tree.get('error_message', '')}", "not_select")
    own = cursor.execute(
        "select table_name from duckdb_tables() where not internal"
        " union all select view_name from duckdb_views() where not internal"
    ).fetchall()
    judge = _Judge(frozenset(name.lower() for (name,) in own))
    judge.node(tree["statements"], frozenset())
    return frozenset(judge.found)


class _Judge:
    """Walks a syntax tree and refuses what reaches outside the store."""

    def __init__(self, own: frozenset[str]) -> None:
        self._own = own
        self.found: set[str] = set()

    def node(self, node: Any, named: frozenset[str]) -> None:
        """`named`: the sub-queries that WITH names at this place."""
        if isinstance(node, list):
            for item in node:
                self.node(item, named)
        elif isinstance(node, dict):
            ctes = node.get("cte_map")
            if isinstance(ctes, dict):
                named |= {str(entry["key"]).lower() for entry in ctes["map"]}
            self._one(node, named)
            for item in node.values():
                self.node(item, named)

    def _one(self, node: dict[str, Any], named: frozenset[str]) -> None:
        kind = str(node.get("type"))
        if kind == "BASE_TABLE":
            self._table(node, named)
        elif kind.endswith("_NODE") and kind not in READING_NODES:
            raise Refuse(f"{ALLOWED}, and in WITH only SELECT", "not_select")
        elif kind == "TABLE_FUNCTION":
            name = node["function"]["function_name"].lower()
            if name not in TABLE_FUNCTIONS:
                raise Refuse(f"the table function {name}() is not allowed", "not_allowed")
        elif kind == "FUNCTION" and str(node.get("function_name")).lower() in FUNCTIONS_REFUSED:
            raise Refuse(f"the function {node['function_name']}() is not allowed", "not_allowed")
        elif kind == "SHOW_REF":
            self._show(node)

    def _show(self, node: dict[str, Any]) -> None:
        """DESCRIBE and SUMMARIZE have a query, which is judged as any other; SHOW has a name, of a
        table or of a setting of the engine's."""
        path = [str(part).lower() for part in node["qualified_name"]["path"]]
        if node["query"] is not None or (node["show_type"], path) == _SHOW_TABLES:
            return
        if node["show_type"] != "SHOW":
            raise Refuse(ALLOWED, "not_select")
        self._table(node, frozenset())

    def _table(self, node: dict[str, Any], named: frozenset[str]) -> None:
        path = [str(part).lower() for part in node["qualified_name"]["path"]]
        if len(path) == 1 and path[0] in named:
            # Within a sub-query of a table's name, that name may be the table.
            self.found |= {path[0]} & self._own
            return
        if path[-1] in self._own and path[:-1] in ([], ["main"]):
            self.found.add(path[-1])
            return
        shown = ", ".join(sorted(self._own))
        raise Refuse(f"there is no table {'.'.join(path)}; there are: {shown}", "unknown_table")


def _json_values(column: pa.Array) -> list[Any]:
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        naive = pc.cast(pc.cast(column, pa.timestamp(kind.unit)), pa.string())
        return [None if text is None else text + "Z" for text in naive.to_pylist()]
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        column = pc.cast(column, pa.string())
    return [_json_value(value) for value in column.to_pylist()]


def _json_value(value: Any) -> Any:
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _not_finite(value)
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): _json_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    return str(value)


def _not_finite(value: float) -> str | None:
    if math.isnan(value):
        return None
    return "Infinity" if value > 0 else "-Infinity"


def render(answer: Answer, form: str) -> str:
    """The answer as text that ends with a newline. form: one of FORMATS, else Refuse. Floats are
    written in the shortest form that reads back the same."""
    if form == "json":
        return _json(answer)
    if form == "csv":
        return _csv(answer)
    if form == "table":
        return _table(answer)
    raise Refuse(
        f"format {form!r} is none of {', '.join(FORMATS)}", "bad_request", parameter="format"
    )


def _json(answer: Answer) -> str:
    objects = [
        json.dumps(dict(zip(answer.columns, row, strict=True)), ensure_ascii=False)
        for row in answer.rows
    ]
    return "[" + ",\n ".join(objects) + "]\n"


def _csv(answer: Answer) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(answer.columns)
    writer.writerows([_cell(value, "") for value in row] for row in answer.rows)
    return text.getvalue()


def _table(answer: Answer) -> str:
    cells = [[_seen(_cell(value, "null")) for value in row] for row in answer.rows]
    widths = [
        max([len(name), *(len(row[at]) for row in cells)]) for at, name in enumerate(answer.columns)
    ]
    number = [
        any(isinstance(row[at], int | float) for row in answer.rows) for at in range(len(widths))
    ]
    lines = [answer.columns, tuple("-" * width for width in widths), *cells]
    shown = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, number, strict=True)
        ).rstrip()
        for line in lines
    ]
    count = len(answer.rows)
    return "\n".join([*shown, f"({count:,} {'row' if count == 1 else 'rows'})"]) + "\n"


def _seen(text: str) -> str:
    """What a terminal shows and does not obey: stored texts may be a stranger's."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one == "\n" else one.encode("unicode_escape").decode()
        for one in text
    )


def _cell(value: Any, null: str) -> str:
    if value is None:
        return null
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
