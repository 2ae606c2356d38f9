"""Parts: arrays of which little changes between two checkpoints, stored in pieces that they share.

Such an array (model/lasting.py) is cut into blocks of columns; a block is a file named by the
digest of its bytes, so that a block that did not change is there already and is only referred to. A
part goes with the last checkpoint that refers to it. One that is missing or damaged is noticed,
deleted so that the next checkpoint writes it anew, and its array is then lacking, not the
checkpoint.

    parts/DIGEST.part    zstd of the block's bytes, C order; DIGEST: their xxh3-128, 32 digits
"""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray
from xxhash import xxh3_128_digest

from bursa.journal.segment import TEMPORARY, write_whole
from bursa.model.lasting import Lasting
from bursa.ops.room import Room

FOLDER, SUFFIX = "parts", ".part"
ROWS, COLUMNS = 4096, 64
_LINE = 64
# Blocks after which a room is spared what they filled: half a kilobyte of each row.
_SPARED = 32


class Outdated(Exception):
    """What a Lasting array holds is no longer what its state needs; take a new one."""


class Laid:
    """A Lasting array whose parts are on disk: their digests, by rows and then by columns."""

    def __init__(self, dtype: str, shape: tuple[int, ...], digests: list[bytes]) -> None:
        self.dtype, self.shape, self.digests = dtype, shape, digests


def lay(folder: Path, lasting: Lasting) -> Laid:
    """Write those parts of an array that the checkpoints' folder lacks; durable at the return.
    Raises Outdated, OSError."""
    array, digests = lasting.array, list[bytes]()
    for rows, columns in _blocks(array.shape):
        raw = np.ascontiguousarray(array[rows, columns]).data
        digest = xxh3_128_digest(raw)
        digests.append(digest)
        path = _path(folder, digest)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, [zstandard.ZstdCompressor(level=1).compress(raw)])
    if not lasting.holds():
        raise Outdated
    return Laid(array.dtype.str, array.shape, digests)


def laid(folder: Path, state: Any) -> Any:
    """A nested state with each Lasting array laid. Raises as `lay`."""
    if isinstance(state, Lasting):
        return lay(folder, state)
    if isinstance(state, dict):
        return {name: laid(folder, value) for name, value in state.items()}
    return [laid(folder, value) for value in state] if isinstance(state, list) else state


def gather(
    folder: Path,
    laid: Laid,
    missed: Callable[[Path, str], None] = lambda path, why: None,
    rows: NDArray[np.int64] | None = None,
    room: Room | None = None,
) -> np.ndarray[Any, Any] | None:
    """The array, on lines of the cache; None where a part cannot be used, which `missed` is told
    with the reason. Where `rows` (ascending) are given the others are 0, and take no memory. With
    a `room` the array, float64, is a table that it gives."""
    array = _on_lines(laid) if room is None else room.take(*laid.shape)
    whole = True
    for nth, (digest, (lines, columns)) in enumerate(
        zip(laid.digests, _blocks(laid.shape), strict=True)
    ):
        if room is not None and nth % _SPARED == 0:
            room.spare()
        block = array[lines, columns]
        of = slice(None) if rows is None else _within(rows, lines)
        if not block[of].size:
            continue
        path = _path(folder, digest)
        try:
            raw = _read(path, digest, block.nbytes)
            found = np.frombuffer(raw, array.dtype).reshape(block.shape)[of]
            if found.any():  # zeros are there, and take no memory
                block[of] = found
        except FileNotFoundError:
            missed(path, "it is missing")
            whole = False
        except OSError as error:
            missed(path, f"it cannot be read: {error}")
            whole = False
        except ValueError as error:
            missed(path, str(error))
            path.unlink(missing_ok=True)
            whole = False
    return array if whole else None


def _within(rows: NDArray[np.int64], lines: slice) -> NDArray[np.int64]:
    """Those of some ascending rows that lie in a block, counted from its first."""
    first, end = np.searchsorted(rows, [lines.start, lines.stop])
    return rows[first:end] - lines.start


def _on_lines(laid: Laid) -> np.ndarray[Any, Any]:
    dtype = np.dtype(laid.dtype)
    size = int(np.prod(laid.shape)) * dtype.itemsize
    raw = np.zeros(size + _LINE, np.uint8)
    skip = -raw.ctypes.data % _LINE
    return raw[skip : skip + size].view(dtype).reshape(laid.shape)


def _read(path: Path, digest: bytes, size: int) -> bytes:
    """Raises ValueError where it is not what was written."""
    packed = path.read_bytes()
    try:
        raw = zstandard.ZstdDecompressor().decompress(packed, max_output_size=size)
    except zstandard.ZstdError as error:
        raise ValueError(f"damaged: {error}") from None
    if len(raw) != size or xxh3_128_digest(raw) != digest:
        raise ValueError("damaged: bad checksum")
    return raw


def sweep(folder: Path, referred: Collection[bytes]) -> None:
    """Delete the parts that none of these digests names, and what an interrupted save left."""
    kept = {_path(folder, digest).name for digest in referred}
    if (folder / FOLDER).is_dir():
        for path in (folder / FOLDER).iterdir():
            if path.name.endswith((SUFFIX, SUFFIX + TEMPORARY)) and path.name not in kept:
                path.unlink(missing_ok=True)


def _path(folder: Path, digest: bytes) -> Path:
    return folder / FOLDER / f"{digest.hex()}{SUFFIX}"


def _blocks(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    rows, columns = shape
    for row in range(0, rows, ROWS):
        for column in range(0, columns, COLUMNS):
            yield slice(row, row + ROWS), slice(column, column + COLUMNS)
