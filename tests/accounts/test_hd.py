"""How HD is shown: factors, views of values, and which columns of a catalogue tell of it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bursa.accounts.hd import NONE, RAW, Shown, View, factor, fnv1a, values, view_of
from bursa.accounts.who import DEMO, Principal
from bursa.metrics.catalog import STANDARD, Catalogue
from bursa.metrics.metric import Output
from bursa.model.batch import Batch, Span, Words

SECRET = bytes(range(32))
HALF: View = ("scaled", 0.5)
HD = np.array([np.nan, 0.0, -1500.0, 1500.0, 4.25])

finite = st.floats(-1e15, 1e15, allow_subnormal=False)


def test_the_hash_is_fnv_1a_of_64_bits() -> None:
    """The test vectors of its specification."""
    vectors = {"": 0xCBF29CE484222325, "a": 0xAF63DC4C8601EC8C, "foobar": 0x85944171F73967E8}
    assert {text: fnv1a(text.encode()) for text in vectors} == vectors


@given(st.binary(max_size=40), st.text(max_size=40))
def test_a_factor_lies_from_a_half_to_below_two_and_stays(secret: bytes, user: str) -> None:
    found = factor(secret, user)
    assert 0.5 <= found < 2.0
    assert factor(secret, user) == found


def test_factors_fill_their_range_and_differ_by_user_and_secret() -> None:
    users = [f"usr_{n:032x}" for n in range(2_000)]
    found = np.array([factor(SECRET, user) for user in users])
    assert len(set(found.tolist())) == len(users)
    counts, _ = np.histogram(found, bins=6, range=(0.5, 2.0))
    assert counts.min() > 200, counts
    assert factor(SECRET[::-1], users[0]) != found[0]


@given(arrays(np.float64, st.integers(2, 8), elements=finite), st.floats(0.5, 1.9999))
def test_a_factor_leaves_ratios_and_signs(hd: np.ndarray, times: float) -> None:
    seen = values(("scaled", times), hd)
    assert np.array_equal(np.sign(seen), np.sign(hd))
    big = np.abs(hd) > 1e-300
    np.testing.assert_allclose(seen[big] / hd[big], times, rtol=1e-15)


def test_null_stays_null_and_none_shows_zeros() -> None:
    assert np.array_equal(values(RAW, HD), HD, equal_nan=True)
    assert np.array_equal(values(NONE, HD), [np.nan, 0, 0, 0, 0], equal_nan=True)
    assert np.array_equal(values(HALF, HD), [np.nan, 0, -750, 750, 2.125], equal_nan=True)


def test_readers_with_one_view_share_it() -> None:
    def reader(user: str, hd: str, times: float) -> Principal:
        rights = replace(DEMO.rights, hd=hd)  # type: ignore[arg-type]  # any view by its name
        return replace(DEMO, user=user, rights=rights, factor=times)

    assert view_of(reader("a", "none", 0.7)) == view_of(reader("b", "none", 1.7)) == NONE
    assert view_of(reader("a", "raw", 0.7)) == view_of(DEMO) == RAW
    assert view_of(reader("a", "scaled", 0.7)) == ("scaled", 0.7)


def derived() -> Catalogue:
    """The standard catalogue and a metric of another family that reads one which reads hd."""
    sma, family = STANDARD.metrics["sma_20"], STANDARD.family_of["sma_20"]
    first = replace(sma, name="sma_hd", inputs=("hd_mapo",), outputs=(Output("value", "x"),))
    second = replace(first, name="sma_sma_hd", inputs=("sma_hd",))
    members = [(m, STANDARD.family_of[name]) for name, m in STANDARD.metrics.items()]
    return Catalogue([*members, (first, family), (second, family)])


def test_every_column_that_tells_of_hd_is_known_with_what_becomes_of_it() -> None:
    own = {"hd": "times", "hd_mapo": "times", "hd_dmapo": "times", "hd_direction": "stays"}
    assert Shown(STANDARD).ways == own
    assert Shown(derived()).ways == {**own, "sma_hd": "zero", "sma_sma_hd": "zero"}


def rows(catalogue: Catalogue) -> Batch:
    """Two rows: each float column k has 10 + k, then null."""
    kind = catalogue.kind
    block = np.zeros((len(kind.scalars), 2), np.int64)
    found = Batch(kind, block, Words((), ()), Span("idx", 1, 0, 1))
    for at, column in enumerate(kind.columns):
        if column.dtype == "float":
            found.column(column.name)[:] = (10.0 + at, np.nan)
    return found


@pytest.mark.parametrize("view", [RAW, NONE, HALF])
def test_metric_rows_pass_with_their_hd_as_it_is_shown_and_nothing_else_changed(
    view: View,
) -> None:
    shown, given_rows = Shown(derived()), rows(derived())
    before = given_rows.block.copy()
    seen = shown.rows(view, given_rows)
    assert np.array_equal(given_rows.block, before)
    for column in given_rows.kind.columns:
        if column.dtype != "float":
            continue
        was, now = given_rows.column(column.name), seen.column(column.name)
        way = shown.ways.get(column.name) if view != RAW else None
        if way is None or (way == "stays" and view == HALF):
            assert np.array_equal(now, was, equal_nan=True)
        else:
            wanted = was[0] / 2 if way == "times" and view == HALF else 0.0
            assert np.array_equal(now, [wanted, np.nan], equal_nan=True), column.name
    if view == RAW:
        assert seen is given_rows


def test_metrics_that_only_a_raw_view_shows_are_known_by_name() -> None:
    shown = Shown(derived())
    assert shown.raw_only(["hd", "rsi_14"]) == ()
    assert shown.raw_only(["sma_sma_hd", "rsi_14", "sma_hd"]) == ("sma_sma_hd", "sma_hd")
