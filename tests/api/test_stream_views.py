"""What frames of the stream become for a client by its view of HD."""

import json
from typing import Any

import pytest

from bursa.accounts.hd import NONE, RAW, Shown, View
from bursa.api.stream.frames import payload, said
from bursa.api.stream.views import Views
from bursa.metrics.catalog import STANDARD
from tests.accounts.test_hd import derived

HALF: View = ("scaled", 0.5)


def seen(view: View, fields: dict[str, Any], shown: Shown | None = None) -> dict[str, Any]:
    form = Views(shown or Shown(STANDARD)).form(view)
    made = said(fields)
    found: dict[str, Any] = json.loads(payload(made if form is None else form(made)))
    return found


VALUES = {"sma_20": 7, "hd_direction": -1, "hd_mapo": -4.5, "hd": 1500, "hd_dmapo": None, "z": 1}


@pytest.mark.parametrize(
    ("view", "hd"),
    [(RAW, VALUES), (NONE, {"hd_direction": 0, "hd_mapo": 0, "hd": 0}),
     (HALF, {"hd_mapo": -2.25, "hd": 750})],
)  # fmt: skip
def test_each_value_of_hd_is_shown_by_the_view_and_nothing_else_changes(
    view: View, hd: dict[str, Any]
) -> None:
    frame = {"type": "metrics", "values": VALUES, "rev": 0, "cursor": "00-1"}
    assert seen(view, frame) == {**frame, "values": VALUES | hd}


@pytest.mark.parametrize("hd", [None, 3, -2.5, 1e21])
def test_a_bars_hd_is_shown_by_the_view(hd: float | None) -> None:
    bar = {"type": "bar", "ticker": "BBCA", "volume": 5, "hd": hd, "final": True}
    assert seen(RAW, bar) == bar
    assert seen(HALF, bar) == {**bar, "hd": hd and hd / 2}
    assert seen(NONE, bar) == {**bar, "hd": None if hd is None else 0}


def test_metrics_of_others_that_read_hd_are_zero_under_a_factor_too() -> None:
    frame = {"type": "metrics", "values": {"sma_hd": 8, "sma_sma_hd": 9, "hd": 2}}
    assert seen(HALF, frame, Shown(derived()))["values"] == {"sma_hd": 0, "sma_sma_hd": 0, "hd": 1}


def test_texts_that_look_like_hd_stay() -> None:
    error = {"type": "error", "error": 'there is no "hd":5 here', "code": '"hd":7'}
    assert seen(NONE, error) == error


def test_frames_grow_past_the_sizes_at_which_their_heads_change() -> None:
    """A longer number may need a longer length."""
    form = Views(Shown(STANDARD)).form(("scaled", 0.7))
    assert form is not None
    for size in (*range(100, 130), *range(65_500, 65_540)):
        fields = {"type": "bar", "hd": 1, "ticker": "B" * (size - 40)}
        assert json.loads(payload(form(said(fields)))) == fields | {"hd": 0.7}


def test_who_sees_zeros_shares_one_form_and_a_reader_keeps_his() -> None:
    views = Views(Shown(STANDARD))
    assert views.form(NONE) is views.form(NONE)
    assert views.form(HALF) is views.form(("scaled", 0.5))
    assert views.form(HALF) is not views.form(("scaled", 0.6))
