"""Checkpoints: the state of all stages at a position of the journal, one file each.

A checkpoint is a cache: the journal from an older one gives the same state again, so one that is
damaged, or was made by other code (its `signature` says which), is passed over. A file is named by
its position and the day it was made for, so that pruning opens none:

    magic 8, version 8, xxh3-64 of the rest 8, then zstd of one msgpack map
    {position, epoch, signature, state}; arrays are in NumPy's own file form
"""

import io
import re
import struct
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import zstandard
from xxhash import xxh3_64_intdigest

from bursa.journal.segment import TEMPORARY, sync_folder, write_whole

DAYS_MAX = 30
NEWEST = 2
_HEAD = struct.Struct("<8sQQ")
_MAGIC, _VERSION = b"bursaCP\0", 1
_ARRAY = 1
_NAME = re.compile(r"(\d{20})-(\d{8})\.checkpoint")


class Checkpoint(NamedTuple):
    """One file, by its name. `day` is the venue's day that its maker gave."""

    position: int
    day: date
    path: Path


class _Body(msgspec.Struct):
    position: int
    epoch: int
    signature: str
    state: dict[str, Any]


def save(
    folder: Path, *, position: int, epoch: int, day: date, signature: str, state: dict[str, Any]
) -> Path:
    """Write a checkpoint: there whole and durable, or not at all. `position` must be synced.

    state    dicts (string keys) and lists of ndarray, int, float, str, bytes, bool and None,
             nested; NumPy scalars become Python's, tuples lists
    returns  its file. Raises OSError, TypeError for a state of another kind.
    """
    body = _encoder.encode(_Body(position, epoch, signature, state))
    packed = zstandard.ZstdCompressor(level=1).compress(body)
    head = _HEAD.pack(_MAGIC, _VERSION, xxh3_64_intdigest(packed))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{position:020d}-{day:%Y%m%d}.checkpoint"
    write_whole(path, [head, packed])
    return path


def load_newest(
    folder: Path,
    at_or_before: int,
    signature: str,
    passed_over: Callable[[Path, str], None] = lambda path, why: None,
) -> tuple[int, dict[str, Any]] | None:
    """(position, state) of the newest checkpoint at or before a position; None: start from nothing.

    signature    of the code that will restore it; others are passed over
    passed_over  called with file and reason for each that was
    Arrays come back read-write, each with memory of its own.
    """
    for found in reversed(listing(folder)):
        if found.position > at_or_before:
            continue
        try:
            body = _load(found.path)
        except ValueError as error:
            passed_over(found.path, str(error))
            continue
        if body.signature != signature or body.position != found.position:
            passed_over(found.path, "made by other code")
            continue
        return body.position, body.state
    return None


def _load(path: Path) -> _Body:
    """Raises ValueError where the file is not what was written."""
    data = path.read_bytes()
    if len(data) < _HEAD.size:
        raise ValueError("cut short")
    magic, version, checksum = _HEAD.unpack_from(data)
    if magic != _MAGIC or version != _VERSION:
        raise ValueError("not a checkpoint of this version")
    packed = memoryview(data)[_HEAD.size :]
    if xxh3_64_intdigest(packed) != checksum:
        raise ValueError("bad checksum")
    return _decoder.decode(zstandard.ZstdDecompressor().decompress(packed))


def listing(folder: Path) -> list[Checkpoint]:
    """All checkpoints by their names, ascending by position."""
    if not folder.is_dir():
        return []
    names = [(path, _NAME.fullmatch(path.name)) for path in folder.iterdir()]
    return sorted(
        Checkpoint(int(name[1]), date.fromisoformat(name[2]), path) for path, name in names if name
    )


def delete_after(folder: Path, position: int) -> list[Path]:
    """Delete the checkpoints past the journal's end, and what an interrupted save left; returns
    what went."""
    gone = [found.path for found in listing(folder) if found.position > position]
    return _delete(folder, gone + sorted(folder.glob(f"*.checkpoint{TEMPORARY}")))


def needed_from(folder: Path, committed: int) -> int:
    """The position from which the journal must be kept: that of the second newest checkpoint at or
    before the smallest committed position; 0 where there are fewer."""
    usable = [found.position for found in listing(folder) if found.position <= committed]
    return usable[-NEWEST] if len(usable) >= NEWEST else 0


def prune(
    folder: Path,
    committed: int,
    *,
    folded: int | None = None,
    journal_first: int = 0,
    days_max: int = DAYS_MAX,
) -> list[Path]:
    """Delete what recovery and backfills do not need; returns what went.

    Kept are all after `committed` (the smallest committed position), the newest two at or before
    it, the newest two at or before `folded` (where a store would fall back to if its log were
    ruined), and of each of the newest `days_max` days the first, unless its journal is gone
    (`journal_first` is where that begins).
    """
    found = listing(folder)
    usable = [c for c in found if c.position <= committed]
    kept = {c.path for c in found if c.position > committed} | {c.path for c in usable[-NEWEST:]}
    if folded is not None:
        kept |= {c.path for c in [c for c in usable if c.position <= folded][-NEWEST:]}
    firsts = {c.day: c.path for c in reversed(usable) if c.position >= journal_first}
    kept |= {firsts[day] for day in sorted(firsts)[-days_max:]}
    return _delete(folder, [c.path for c in found if c.path not in kept])


def _delete(folder: Path, paths: list[Path]) -> list[Path]:
    for path in paths:
        path.unlink()
    if paths:
        sync_folder(folder)
    return paths


def _to_wire(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        out = io.BytesIO()
        np.lib.format.write_array(out, np.ascontiguousarray(value), allow_pickle=False)
        return msgspec.msgpack.Ext(_ARRAY, out.getvalue())
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a checkpoint cannot hold {type(value).__name__}")


def _from_wire(code: int, data: memoryview) -> Any:
    assert code == _ARRAY, "the checksum says that we wrote it"
    return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


_encoder = msgspec.msgpack.Encoder(enc_hook=_to_wire)
_decoder = msgspec.msgpack.Decoder(_Body, ext_hook=_from_wire)
