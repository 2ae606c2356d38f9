# ruff: noqa: S608 -- names come from the schema and the venues' tables, values are parameters
"""Would the store take these rows, and which of them does it lack: asked in a writer's transaction.

For rows that were refused (pipeline/letters.py). Knows no positions and no locks (duckdb.py).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from bursa.model.batch import Batch, keep_levels
from bursa.model.errors import Reject
from bursa.model.schema import table
from bursa.store.engine import Engine
from bursa.store.tables import KEYED


class _Undone(Exception):
    """The trial is over."""


def refusal(engine: Engine, insert: Callable[[Any], None]) -> str:
    """What the engine says of an insert; "" where it takes it. Nothing of it stays."""
    try:
        with engine.transaction() as writer:
            insert(writer)
            raise _Undone
    except _Undone:
        return ""
    except Reject as refused:
        return refused.detail or refused.reason


def lacking(writer: Any, batch: Batch) -> Batch:
    """The rows that the table has not, alike in all; of a kind of which the newest row of a key
    stays, those of which it has none as new."""
    kind = batch.kind
    same = [f't."{key}" is not distinct from s."{key}"' for key in kind.key]
    if kind.name in KEYED:
        same.append("t.position >= s.position")
    else:
        others = [column.name for column in kind.columns if column.name not in kind.key]
        same += [f't."{name}" is not distinct from s."{name}"' for name in others]
    rows = pa.Table.from_batches([batch.to_arrow()])
    writer.register("asked", rows.append_column("asked_nth", pa.array(np.arange(len(batch)))))
    positions = batch.column("position")
    found = writer.execute(
        f"select asked_nth from asked s where exists (select 1 from"
        f" {table(batch.span.source, kind)} t where t.position between ? and ?"
        f" and {' and '.join(same)})",
        [int(positions.min()), int(positions.max()) if kind.name not in KEYED else 2**63 - 1],
    ).fetchall()
    writer.unregister("asked")
    keep = np.ones(len(batch), np.bool_)
    keep[[nth for (nth,) in found]] = False
    block = np.ascontiguousarray(batch.block[:, keep])
    return Batch(kind, block, batch.words, batch.span, keep_levels(batch, keep))
