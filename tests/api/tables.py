"""Answers in CSV, Arrow and Parquet, read back by what others wrote, to be compared with JSON."""

import csv
import io
import json
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq

from bursa.api import text

TYPES = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}


def table(answer: httpx.Response) -> pa.Table:
    """What an answer in Arrow or Parquet holds."""
    assert answer.status_code == 200, answer.text
    if answer.headers["content-type"] == TYPES["parquet"]:
        return pq.read_table(io.BytesIO(answer.content))
    assert answer.headers["content-type"] == TYPES["arrow"]
    with pa.ipc.open_stream(answer.content) as stream:
        return stream.read_all()


def told(found: pa.Table) -> list[dict[str, Any]]:
    """Rows of a table as JSON would tell them."""
    values: list[list[Any]] = []
    for column in found.columns:
        if pa.types.is_timestamp(column.type):
            assert (column.type.unit, column.type.tz) == ("ns", "UTC")
            stamps = column.cast(pa.int64()).to_pylist()
            values.append([None if ns is None else text.instant(ns) for ns in stamps])
        elif pa.types.is_map(column.type):
            values.append([dict(pairs) for pairs in column.to_pylist()])
        else:
            values.append(column.to_pylist())
    return [dict(zip(found.column_names, row, strict=True)) for row in zip(*values, strict=True)]


def read(answer: httpx.Response, like: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of an answer that is not JSON; a cell of CSV is read as the value in its place of
    `like` is."""
    if answer.headers["content-type"] != TYPES["csv"]:
        return told(table(answer))
    assert answer.status_code == 200, answer.text
    body = answer.content.decode()
    assert body.endswith("\r\n")
    head, *lines = csv.reader(io.StringIO(body, newline=""), strict=True)
    assert len(lines) == len(like)
    return [
        {name: _cell(cell, row[name]) for name, cell in zip(head, line, strict=True)}
        for line, row in zip(lines, like, strict=True)
    ]


def _cell(cell: str, like: Any) -> Any:
    if like is None:
        assert cell == ""
        return None
    if isinstance(like, bool):
        return {"true": True, "false": False}[cell]
    if isinstance(like, int | float):
        return float(cell)
    if not isinstance(like, str):
        return json.loads(cell)
    if like.startswith(("=", "+", "-", "@")):
        assert cell[0] == "'", "no formula for a spreadsheet"
        return cell[1:]
    return cell
