"""Checkpoints: whole or not at all, passed over if damaged or foreign, pruned to what is needed."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from bursa.journal.checkpoint import (
    delete_after,
    listing,
    load_newest,
    needed_from,
    prune,
    save,
)

DAY = date(2026, 11, 20)


def put(folder: Path, position: int, day: date = DAY, signature: str = "a") -> Path:
    state = {"position": position, "bars": np.arange(position % 100)}
    return save(folder, position=position, epoch=1, day=day, signature=signature, state=state)


def positions(folder: Path) -> list[int]:
    return [c.position for c in listing(folder)]


ARRAYS = npst.arrays(
    st.sampled_from([np.int64, np.float64, np.uint8, np.bool_]),
    npst.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5),
)
STATES = st.recursive(
    st.one_of(
        ARRAYS,
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False),
        st.text(),
        st.binary(),
        st.booleans(),
        st.none(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)


def same(left: Any, right: Any) -> bool:
    if isinstance(left, np.ndarray):
        equal_nan = left.dtype.kind == "f"
        return bool(
            left.dtype == right.dtype
            and left.shape == right.shape
            and np.array_equal(left, right, equal_nan=equal_nan)
            and right.flags.writeable
            and right.flags.c_contiguous
        )
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and bool(left == right)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(), STATES, max_size=5))
def test_any_state_comes_back(
    tmp_path_factory: pytest.TempPathFactory, state: dict[str, Any]
) -> None:
    folder = tmp_path_factory.mktemp("checkpoints")
    save(folder, position=7, epoch=2, day=DAY, signature="s", state=state)
    found = load_newest(folder, 7, "s")
    assert found is not None and found[0] == 7
    assert same(state, found[1])


def test_numpy_scalars_tuples_and_views_come_back_plain(tmp_path: Path) -> None:
    table = np.arange(12, dtype=np.int64).reshape(3, 4)
    kinds = np.array([(1, 2.0)], dtype=[("a", "<i8"), ("b", "<f8")])
    state = {
        "n": np.int64(5),
        "x": np.float64(0.5),
        "pair": (1, "a"),
        "view": table[:, 1:3],
        "turned": np.asfortranarray(table),
        "kinds": kinds,
        "none": np.array(3),
    }
    save(tmp_path, position=1, epoch=1, day=DAY, signature="s", state=state)
    found = load_newest(tmp_path, 1, "s")
    assert found is not None
    back = found[1]
    assert (back["n"], back["x"], back["pair"]) == (5, 0.5, [1, "a"])
    np.testing.assert_array_equal(back["view"], table[:, 1:3])
    np.testing.assert_array_equal(back["turned"], table)
    assert back["kinds"].dtype == kinds.dtype and back["kinds"][0] == kinds[0]
    assert back["turned"].flags.c_contiguous
    back["view"][:] = 0
    with pytest.raises(TypeError):
        save(tmp_path, position=2, epoch=1, day=DAY, signature="s", state={"no": object()})
    assert positions(tmp_path) == [1]


def test_the_newest_usable_one_is_loaded(tmp_path: Path) -> None:
    assert load_newest(tmp_path / "absent", 10, "a") is None
    for position in (100, 200, 300):
        put(tmp_path, position)
    foreign = put(tmp_path, 400, signature="b")
    over: list[tuple[Path, str]] = []

    def loaded(at_or_before: int) -> int | None:
        found = load_newest(tmp_path, at_or_before, "a", lambda p, why: over.append((p, why)))
        return found[0] if found else None

    assert [loaded(p) for p in (99, 100, 299, 300, 399)] == [None, 100, 200, 300, 300]
    assert not over
    assert loaded(400) == 300
    assert over == [(foreign, "made by other code")]


def test_no_damage_is_loaded(tmp_path: Path) -> None:
    put(tmp_path, 100)
    path = put(tmp_path, 200)
    data = path.read_bytes()
    for at in range(len(data)):
        for image in (data[:at], data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :]):
            path.write_bytes(image)
            over: list[str] = []
            found = load_newest(tmp_path, 300, "a", lambda p, why: over.append(why))  # noqa: B023 - called at once
            assert found is not None
            assert (found[0], len(over)) == (100, 1)
    renamed = path.with_name(path.name.replace("200", "250"))
    path.write_bytes(data)
    path.rename(renamed)
    found = load_newest(tmp_path, 300, "a")
    assert found is not None and found[0] == 100


def test_one_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    put(tmp_path, 100)
    path = put(tmp_path, 200)
    path.unlink()
    path.mkdir()  # a file that the disk does not give back fails in the same way
    over: list[Path] = []
    found = load_newest(tmp_path, 300, "a", lambda p, why: over.append(p))
    assert found is not None and (found[0], over) == (100, [path])


def test_what_lies_past_the_journals_end_goes(tmp_path: Path) -> None:
    paths = [put(tmp_path, p) for p in (100, 200, 300)]
    half = tmp_path / "00000000000000000150-20261120.checkpoint.tmp"
    half.write_bytes(b"half")
    (tmp_path / "note.txt").write_text("mine")
    assert delete_after(tmp_path, 200) == [paths[2], half]
    assert positions(tmp_path) == [100, 200]
    assert (tmp_path / "note.txt").exists()
    assert delete_after(tmp_path / "absent", 0) == []


def test_pruning_keeps_the_newest_two_committed_the_open_ones_and_one_a_day(tmp_path: Path) -> None:
    days = [DAY + timedelta(n) for n in range(4)]
    for at in range(20):
        put(tmp_path, at * 100 + 100, days[at // 5])
    gone = prune(tmp_path, committed=1750)
    assert positions(tmp_path) == [100, 600, 1100, 1600, 1700, 1800, 1900, 2000]
    assert len(gone) == 12
    assert needed_from(tmp_path, 1750) == 1600
    assert needed_from(tmp_path, 100) == needed_from(tmp_path, 0) == 0
    assert prune(tmp_path, committed=1750) == []
    prune(tmp_path, committed=1950, journal_first=700, days_max=1)
    assert positions(tmp_path) == [1600, 1800, 1900, 2000]
    for position in positions(tmp_path):
        assert load_newest(tmp_path, position, "a") is not None


def test_pruning_keeps_two_where_a_ruined_store_would_fall_back_to(tmp_path: Path) -> None:
    for at in range(20):
        put(tmp_path, at * 100 + 100)
    prune(tmp_path, committed=1950, folded=850)
    assert positions(tmp_path) == [100, 700, 800, 1800, 1900, 2000]
