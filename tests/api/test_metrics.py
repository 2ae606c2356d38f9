"""Metrics over HTTP: the catalogue as it is in force, and every metric on every timeframe, held to
what its own kernel gives over the same bars."""

from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from bursa.api import shapes
from bursa.history.candles import Ask
from bursa.metrics.catalog import STANDARD
from bursa.metrics.describe import GROUP_TITLES, title
from bursa.metrics.engine import compute
from bursa.metrics.metric import DRAWN, GROUPS
from bursa.model.calendar import MINUTE_NS
from bursa.model.timeframe import TIMEFRAMES, buckets
from tests.api.clients import every_page
from tests.api.floor import Served

EVERY = list(STANDARD.metrics)
LONGER = [tf for tf in TIMEFRAMES if tf != "1m"]
FIRST_DAY = "2026-11-18"


def asked(client: httpx.Client, names: list[str], tf: str, **query: Any) -> list[dict[str, Any]]:
    """Rows of BBCA from the first day on."""
    query = {"from": FIRST_DAY} | query
    return every_page(
        client, "/v1/metrics/history", metric=",".join(names), ticker="BBCA", tf=tf, **query
    )


def column(rows: list[dict[str, Any]], name: str) -> NDArray[np.float64]:
    return np.array([np.nan if row[name] is None else row[name] for row in rows], np.float64)


def columns_of(name: str) -> list[str]:
    return [found.name for found in STANDARD.metrics[name].columns]


# -- the catalogue ---------------------------------------------------------------------------------


def test_the_catalogue_tells_all_that_families_declare(client: httpx.Client) -> None:
    rows = msgspec.json.decode(client.get("/v1/metrics").content, type=shapes.Catalogue).data
    assert [row.name for row in rows] == EVERY
    for row in rows:
        metric = STANDARD.metrics[row.name]
        assert (row.description, row.unit, row.overlay) == (
            metric.description,
            metric.unit,
            metric.overlay,
        )
        assert row.parameters == dict(metric.parameters)
        assert (row.inputs, row.guides) == (list(metric.inputs), list(metric.guides))
        assert [o.column for o in row.outputs] == columns_of(row.name)
        assert {o.draw for o in row.outputs} <= set(DRAWN)
        assert (row.warmup, row.timeframes) == (metric.warmup, list(metric.timeframes))
        assert row.definition == metric.definition.strip() != ""
        assert row.group in GROUP_TITLES and row.title == title(row.name)


def test_each_group_has_a_title() -> None:
    assert tuple(GROUP_TITLES) == GROUPS


def test_a_venue_without_gates_says_that_it_has_no_hd(client: httpx.Client) -> None:
    for venue, available in (("idx", True), ("binance", False)):
        rows = client.get("/v1/metrics", params={"venue": venue}).json()["data"]
        assert {row["name"]: row["available"] for row in rows}["hd"] is available


def test_the_catalogue_comes_in_pages(client: httpx.Client) -> None:
    rows = every_page(client, "/v1/metrics", limit=5)
    assert [row["name"] for row in rows] == EVERY


def test_the_schema_names_the_metrics_that_are_there(client: httpx.Client) -> None:
    paths = client.get("/schema").json()["paths"]
    for path in ("latest", "history"):
        known = paths[f"/v1/metrics/{path}"]["get"]["parameters"]
        about = next(one["description"] for one in known if one["name"] == "metric")
        assert all(name in about for name in EVERY)


# -- values ----------------------------------------------------------------------------------------


def test_stored_values_are_those_of_the_kernels(client: httpx.Client, served: Served) -> None:
    service = served.services.venues["idx"]
    rows = asked(client, EVERY, "1m")
    bars = service.reader.read(Ask("BBCA", "1m", 10_000)).bars
    expected = compute(EVERY, bars, service.venue)
    assert len(rows) == len(bars) > 600
    for name in (column for metric in EVERY for column in columns_of(metric)):
        np.testing.assert_array_equal(column(rows, name), expected.column(name), name)


@pytest.mark.parametrize("tf", LONGER)
def test_every_metric_on_longer_bars(client: httpx.Client, served: Served, tf: str) -> None:
    """What the kernel takes is what it gives over those bars, from the first one on; of others a
    bar has the row of its last minute."""
    service = served.services.venues["idx"]
    rows = asked(client, EVERY, tf)
    bars = service.reader.read(Ask("BBCA", tf, 10_000)).bars
    assert [row["freq"] for row in rows] == [tf] * len(bars)
    own = [name for name in EVERY if tf in STANDARD.metrics[name].timeframes]
    expected = compute(own, bars, service.venue) if len(bars) else None
    minutes = asked(client, EVERY, "1m")
    ts = np.array([np.datetime64(row["date"][:-1], "ns") for row in minutes]).astype(np.int64)
    inside = buckets(ts, tf, service.venue.calendar)
    for metric in EVERY:
        for name in columns_of(metric):
            found = column(rows, name)
            if expected is not None and metric in own:
                np.testing.assert_array_equal(found, expected.column(name), name)
            else:
                by_bar = dict(zip(inside.tolist(), column(minutes, name).tolist(), strict=True))
                last = [by_bar[opening] for opening in bars.column("ts").tolist()]
                np.testing.assert_array_equal(found, np.array(last, np.float64), name)


@pytest.mark.parametrize("name", EVERY)
def test_one_alone_is_the_same_as_among_others(client: httpx.Client, name: str) -> None:
    among = asked(client, EVERY, "15m")
    alone = asked(client, [name], "15m")
    assert list(alone[0]) == ["ticker", "date", "bar_time", "freq", "rev", *columns_of(name)]
    for column_name in columns_of(name):
        np.testing.assert_array_equal(column(alone, column_name), column(among, column_name))


def test_pieces_change_nothing(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer bars are read in pieces; however short those are, they are the same bars."""
    whole = asked(client, EVERY, "5m")
    monkeypatch.setattr("bursa.history.candles._PIECE_NS", 40 * MINUTE_NS)
    assert asked(client, EVERY, "5m") == whole


def test_as_of_and_pages(client: httpx.Client) -> None:
    """What was known at noon of the second day; back in time, page by page."""
    noon = "2026-11-19T12:00:30+07:00"
    known = asked(client, ["ema_20", "hd"], "1h", as_of=noon)
    assert known[-1]["bar_time"] == "2026-11-19T10:00:00+07:00"
    assert known == asked(client, ["ema_20", "hd"], "1h", to="2026-11-19T11:00:00+07:00")
    newest = client.get("/v1/metrics/history?metric=ema_20,hd&ticker=BBCA&tf=5m&limit=7").json()
    assert newest["data"] == asked(client, ["ema_20", "hd"], "5m")[-7:]
    assert newest["meta"]["next_page"] is not None


def test_the_latest_of_several(client: httpx.Client) -> None:
    found = client.get("/v1/metrics/latest?metric=hd,rsi_14&tickers=BBCA").json()["data"]
    assert list(found[0])[5:] == [*columns_of("hd"), "rsi_14"]
    assert found[0]["rsi_14"] == asked(client, ["rsi_14"], "1m")[-1]["rsi_14"]


@pytest.mark.parametrize(
    ("metric", "code"),
    [
        ("ema_20,nix", "unknown_metric"),
        ("", "unknown_metric"),
        ("ema_20,", "unknown_metric"),
        (",".join(f"ema_{n}" for n in range(65)), "too_many_metrics"),
    ],
)
def test_a_list_with_an_error_is_refused(client: httpx.Client, metric: str, code: str) -> None:
    for path in ("history", "latest"):
        query = {"metric": metric} | ({"ticker": "BBCA"} if path == "history" else {})
        answer = client.get(f"/v1/metrics/{path}", params=query)
        assert answer.status_code == 400
        assert (answer.json()["code"], answer.json()["meta"]["parameter"]) == (code, "metric")
