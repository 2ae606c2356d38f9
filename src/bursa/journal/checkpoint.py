"""Checkpoints: the state of all stages at a position of the journal, one file each.

A checkpoint is a cache: the journal from an older one gives the same state again, so one that is
damaged, or was made by other code (its `signature` says which), is passed over. A file is named by
its position and the day it was made for, and begins with the parts that it refers to (parts.py), so
that pruning reads no state:

    magic 8, version 8, xxh3-64 of the rest 8, number of parts 8, their digests 16 each, then zstd
    of: length 8, one msgpack map {position, epoch, signature, state}, the bytes of its arrays one
    after another, in the order in which the map names them by dtype and shape

Large arrays pass through in pieces: neither saving nor loading holds a state twice.
"""

import os
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import zstandard
from xxhash import xxh3_64

from bursa.journal import parts
from bursa.journal.parts import Laid
from bursa.journal.segment import TEMPORARY, sync_folder
from bursa.model.lasting import Lasting

DAYS_MAX = 30
NEWEST = 2
_HEAD = struct.Struct("<8sQQQ")
_MAGIC, _VERSION = b"bursaCP\0", 2
_CHECKED_FROM = 24  # what the checksum covers: the number of parts, and all behind it
_LENGTH = struct.Struct("<Q")
_ARRAY, _LASTING = 1, 2
_PIECE = 1 << 20
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
    folder: Path,
    *,
    position: int,
    epoch: int,
    day: date,
    signature: str,
    state: Mapping[str, Any],
) -> Path:
    """Write a checkpoint: there whole and durable, or not at all. `position` must be synced.

    state    dicts (string keys) and lists of ndarray, int, float, str, bytes, bool and None,
             nested; NumPy scalars become Python's, tuples lists; a Lasting or Laid array is
             stored in parts
    returns  its file. Raises OSError, TypeError for a state of another kind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    arrays: list[np.ndarray[Any, Any]] = []
    laid: list[Laid] = []

    def to_wire(value: Any) -> Any:
        if isinstance(value, Lasting):
            value = parts.lay(folder, value)
        if isinstance(value, Laid):
            laid.append(value)
            said = msgspec.msgpack.encode([value.dtype, value.shape, value.digests])
            return msgspec.msgpack.Ext(_LASTING, said)
        if isinstance(value, np.ndarray):
            arrays.append(value)
            said = msgspec.msgpack.encode([np.lib.format.dtype_to_descr(value.dtype), value.shape])
            return msgspec.msgpack.Ext(_ARRAY, said)
        if isinstance(value, np.generic):
            return value.item()
        raise TypeError(f"a checkpoint cannot hold {type(value).__name__}")

    encoder = msgspec.msgpack.Encoder(enc_hook=to_wire)
    body = encoder.encode(_Body(position, epoch, signature, dict(state)))
    path = folder / f"{position:020d}-{day:%Y%m%d}.checkpoint"
    digests = [digest for one in laid for digest in one.digests]
    _write(path, digests, _pieces(body, arrays))
    return path


def _pieces(body: bytes, arrays: list[np.ndarray[Any, Any]]) -> Iterator[bytes | memoryview]:
    yield _LENGTH.pack(len(body))
    yield body
    for array in arrays:
        raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        for at in range(0, len(raw), _PIECE):
            yield raw[at : at + _PIECE]


def _write(path: Path, digests: list[bytes], pieces: Iterator[bytes | memoryview]) -> None:
    """A file that is there whole and durable, or not at all. Its checksum is known at its end."""
    temporary = path.with_name(path.name + TEMPORARY)
    checked = xxh3_64(_LENGTH.pack(len(digests)) + b"".join(digests))
    try:
        with temporary.open("wb") as file:
            file.write(_HEAD.pack(_MAGIC, _VERSION, 0, len(digests)) + b"".join(digests))
            packer = zstandard.ZstdCompressor(level=1).compressobj()
            for piece in pieces:
                packed = packer.compress(piece)
                checked.update(packed)
                file.write(packed)
            packed = packer.flush()
            checked.update(packed)
            file.write(packed)
            file.seek(0)
            file.write(_HEAD.pack(_MAGIC, _VERSION, checked.intdigest(), len(digests)))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def load_newest(
    folder: Path,
    at_or_before: int,
    signature: str,
    passed_over: Callable[[Path, str], None] = lambda path, why: None,
    *,
    gathers: bool = True,
) -> tuple[int, dict[str, Any]] | None:
    """(position, state) of the newest checkpoint at or before a position; None: start from nothing.

    signature    of the code that will restore it; others are passed over
    passed_over  called with file and reason for each that was, and for each part that is missing
                 or damaged: the array that it belongs to is then None
    gathers      False: arrays that are stored in parts come as what is Laid (parts.gather)
    Arrays come back read-write, each with memory of its own.
    """
    for found in reversed(listing(folder)):
        if found.position > at_or_before:
            continue
        try:
            body = _load(found.path, passed_over, gathers)
        except (ValueError, OSError) as error:  # the disk cannot read it, or it was pruned by now
            passed_over(found.path, str(error))
            continue
        if body.signature != signature or body.position != found.position:
            passed_over(found.path, "made by other code")
            continue
        return body.position, body.state
    return None


def _load(path: Path, passed_over: Callable[[Path, str], None], gathers: bool) -> _Body:
    """Raises ValueError where the file is not what was written."""
    data = path.read_bytes()
    if len(data) < _HEAD.size:
        raise ValueError("cut short")
    magic, version, checksum, count = _HEAD.unpack_from(data)
    if magic != _MAGIC or version != _VERSION:
        raise ValueError("not a checkpoint of this version")
    if xxh3_64(memoryview(data)[_CHECKED_FROM:]).intdigest() != checksum:
        raise ValueError("bad checksum")
    arrays: list[np.ndarray[Any, Any]] = []

    def from_wire(code: int, said: memoryview) -> Any:
        if code == _LASTING:
            dtype, shape, digests = msgspec.msgpack.decode(said)
            laid = Laid(dtype, tuple(shape), digests)
            return parts.gather(path.parent, laid, passed_over) if gathers else laid
        assert code == _ARRAY, "the checksum says that we wrote it"
        descr, shape = msgspec.msgpack.decode(said)
        arrays.append(np.empty(tuple(shape), np.lib.format.descr_to_dtype(_descr(descr))))
        return arrays[-1]

    packed = memoryview(data)[_HEAD.size + 16 * count :]
    reader = zstandard.ZstdDecompressor().stream_reader(packed)
    (length,) = _LENGTH.unpack(reader.read(_LENGTH.size))
    decoder = msgspec.msgpack.Decoder(_Body, ext_hook=from_wire)
    body = decoder.decode(reader.read(length))
    for array in arrays:
        raw = array.reshape(-1).view(np.uint8).data
        while len(raw):
            raw = raw[reader.readinto(raw) :]
    return body


def _descr(said: Any) -> Any:
    """What NumPy calls a dtype, after msgpack, which knows no tuples."""
    return said if isinstance(said, str) else [tuple(field) for field in said]


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
    """Delete what recovery and backfills do not need, and the parts that nothing refers to any
    more; returns the checkpoints that went.

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
    gone = _delete(folder, [c.path for c in found if c.path not in kept])
    parts.sweep(folder, {digest for path in kept for digest in _referred(path)})
    return gone


def _referred(path: Path) -> list[bytes]:
    """The digests of the parts that a checkpoint refers to; of one that is cut short, those that
    can be read."""
    with path.open("rb") as file:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return []
        magic, version, _, count = _HEAD.unpack(head)
        if magic != _MAGIC or version != _VERSION:
            return []
        said = file.read(min(16 * count, path.stat().st_size))
    return [said[at : at + 16] for at in range(0, len(said) - 15, 16)]


def _delete(folder: Path, paths: list[Path]) -> list[Path]:
    for path in paths:
        path.unlink()
    if paths:
        sync_folder(folder)
    return paths
