"""Parts of checkpoints: shared while they do not change, gone with their last referrer, and never
taken where they are not what was written."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bursa.journal import parts
from bursa.journal.checkpoint import delete_after, load_newest, prune, save
from bursa.journal.parts import COLUMNS, Outdated
from bursa.model.lasting import Lasting

DAY = date(2026, 11, 20)
ROWS = 300


def table(columns: int = 4 * COLUMNS + 10) -> NDArray[np.float64]:
    return np.random.default_rng(7).integers(0, 9000, (ROWS, columns)).astype(np.float64)


def put(folder: Path, position: int, array: NDArray[np.float64], day: date = DAY) -> Path:
    state = {"n": position, "engine": {"memory": Lasting(array), "beside": np.arange(3)}}
    return save(folder, position=position, epoch=1, day=day, signature="s", state=state)


def names(folder: Path) -> set[str]:
    return {path.name for path in (folder / "parts").iterdir()}


def check(folder: Path, position: int, array: NDArray[np.float64]) -> None:
    found = load_newest(folder, position, "s")
    assert found is not None and found[0] == position
    memory = found[1]["engine"]["memory"]
    np.testing.assert_array_equal(memory, array)
    assert memory.flags.writeable and memory.flags.c_contiguous
    assert found[1]["engine"]["beside"].tolist() == [0, 1, 2]


def test_what_does_not_change_is_written_once(tmp_path: Path) -> None:
    array = table()
    put(tmp_path, 1, array)
    before, old = names(tmp_path), array.copy()
    assert len(before) == 5
    array[3, COLUMNS + 1] += 1
    second = put(tmp_path, 2, array)
    assert len(names(tmp_path) - before) == 1 and before < names(tmp_path)
    assert second.stat().st_size < 1000
    check(tmp_path, 1, old)
    check(tmp_path, 2, array)


def test_more_rows_and_narrow_arrays_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "ROWS", 128)
    for position, shape in enumerate([(ROWS, 70), (1, 1), (0, 5), (5, 0), (129, 64)], 1):
        array = np.arange(shape[0] * shape[1], dtype=np.float64).reshape(shape)
        put(tmp_path, position, array)
        check(tmp_path, position, array)


def test_parts_go_with_the_last_checkpoint_that_refers_to_them(tmp_path: Path) -> None:
    arrays = []
    array = table()
    for n in range(6):
        array[n, 0] += 1
        array[n, -1] += 1
        arrays.append(array.copy())
        put(tmp_path, n + 1, array, DAY + timedelta(n // 3))
    half = tmp_path / "parts" / f"{'0' * 32}.part.tmp"
    half.write_bytes(b"half")
    mine = tmp_path / "parts" / "note.txt"
    mine.write_text("mine")
    assert len(names(tmp_path)) == 3 + 6 * 2 + 2
    gone = prune(tmp_path, 6)
    assert len(gone) == 2  # the newest two and each day's first stay: 1, 4, 5, 6
    assert len(names(tmp_path)) == 3 + 4 * 2 + 1 and mine.exists()
    for position in (1, 4, 5, 6):
        check(tmp_path, position, arrays[position - 1])
    delete_after(tmp_path, 4)
    prune(tmp_path, 4, days_max=0)
    assert len(names(tmp_path)) == 3 + 2 * 2 + 1


@pytest.mark.parametrize("harm", ["gone", "cut", "flipped", "another's", "unreadable"])
def test_a_part_that_is_torn_or_missing_is_noticed_and_written_anew(
    tmp_path: Path, harm: str
) -> None:
    array = table()
    put(tmp_path, 1, array)
    path = sorted((tmp_path / "parts").iterdir())[2]
    data = path.read_bytes()
    other = sorted((tmp_path / "parts").iterdir())[3].read_bytes()
    if harm == "gone":
        path.unlink()
    elif harm == "unreadable":  # a file that the disk does not give back fails in the same way
        path.unlink()
        path.mkdir()
    else:
        flipped = data[:50] + bytes([data[50] ^ 4]) + data[51:]
        path.write_bytes({"cut": data[:-9], "flipped": flipped, "another's": other}[harm])
    missed: list[Path] = []
    found = load_newest(tmp_path, 1, "s", lambda p, why: missed.append(p))
    assert found is not None and missed == [path]
    assert found[1]["engine"]["memory"] is None
    assert found[1]["engine"]["beside"].tolist() == [0, 1, 2], "the rest of it is good"
    if harm == "unreadable":
        path.rmdir()
    put(tmp_path, 2, array)
    check(tmp_path, 2, array)
    check(tmp_path, 1, array)


def test_an_array_that_went_on_too_far_is_not_taken(tmp_path: Path) -> None:
    with pytest.raises(Outdated):
        parts.lay(tmp_path, Lasting(table(), lambda: False))
    assert load_newest(tmp_path, 1, "s") is None


@pytest.mark.parametrize("rows", [[0], [7, 99], [3, 101], [100, 105], []])
def test_some_rows_are_gathered_alone(
    tmp_path: Path, rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "ROWS", 100)
    array = np.random.default_rng(3).random((109, COLUMNS + 3))
    put(tmp_path, 1, array)
    found = load_newest(tmp_path, 1, "s", gathers=False)
    assert found is not None
    laid = found[1]["engine"]["memory"]
    some = parts.gather(tmp_path, laid, rows=np.array(rows, np.int64))
    assert some is not None and some.shape == array.shape
    np.testing.assert_array_equal(some[rows], array[rows])
    assert not np.delete(some, rows, axis=0).any()
    np.testing.assert_array_equal(parts.gather(tmp_path, laid), array)


def test_a_part_that_is_lost_is_told_to_who_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "ROWS", 100)
    put(tmp_path, 1, np.random.default_rng(3).random((109, 2)))
    found = load_newest(tmp_path, 1, "s", gathers=False)
    assert found is not None
    laid, missed = found[1]["engine"]["memory"], list[str]()
    (tmp_path / "parts" / f"{laid.digests[1].hex()}.part").unlink()
    for row, there in ((104, False), (5, True)):
        some = parts.gather(
            tmp_path, laid, lambda path, why: missed.append(why), np.array([row], np.int64)
        )
        assert (some is not None) == there
    assert missed == ["it is missing"]
