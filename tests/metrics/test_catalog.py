"""The catalogue's promises, whatever metrics there are."""

import numpy as np
import pytest

from bursa.metrics.catalog import FAMILIES, STANDARD, Catalogue, catalogue
from bursa.metrics.engine import compute
from bursa.metrics.metric import BAR_INPUTS, DRAWN, GROUPS, Family, Metric, Output
from bursa.model.errors import Refuse
from bursa.model.venue import IDX
from tests.metrics.bars import MINUTE, OPENING, Bar, batch, words
from tests.metrics.harness import computed, walk
from tests.metrics.plain import OUTPUTS, from_scratch

NAMES = list(STANDARD.metrics)


def test_columns_are_those_of_the_catalogue_in_its_order() -> None:
    columns = [c.name for m in STANDARD.metrics.values() for c in m.columns]
    names = [column.name for column in STANDARD.kind.columns]
    assert names == [
        "ticker",
        "freq",
        "ts",
        "rev",
        *columns,
        "known_at",
        "ts_recv",
        "position",
        "source",
    ]
    assert all(STANDARD.kind.columns[STANDARD.kind.index[name]].nullable for name in columns)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_says_what_it_is(name: str) -> None:
    metric = STANDARD.find(name)
    assert metric.name == name
    assert metric.description and metric.unit and metric.definition
    assert metric.outputs and metric.inputs and metric.group in GROUPS
    assert all(output.unit and output.draw in DRAWN for output in metric.outputs)
    assert set(metric.inputs) <= {*BAR_INPUTS, *STANDARD.owner}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_said_before_the_declared_warm_up(name: str) -> None:
    metric = STANDARD.find(name)
    found = computed(name, walk(max(400, metric.warmup + 20)))
    for column in metric.columns:
        assert np.isnan(found[column.name][: metric.warmup]).all()


def test_every_metric_stands_behind_what_it_reads() -> None:
    order = [metric.name for metric in STANDARD.ordered()]
    assert sorted(order) == sorted(NAMES)
    for metric in STANDARD.metrics.values():
        for name in metric.inputs:
            if name in STANDARD.owner:
                assert order.index(STANDARD.owner[name].name) < order.index(metric.name)


def test_what_tells_of_a_family_is_its_columns_and_who_reads_them() -> None:
    own = {column.name for column in STANDARD.find("hd").columns}
    assert own == {"hd", "hd_mapo", "hd_dmapo", "hd_direction"}
    assert STANDARD.telling("hd") == own
    assert STANDARD.telling("nope") == frozenset()

    def metric(name: str, reads: str) -> Metric:
        return Metric(
            name, "d", "u", (reads,), (Output("value", "u"),), 0, (), lambda terms: (), "d"
        )

    plain, hd = Family("x", None, ()), STANDARD.family_of["hd"]
    reading, further = metric("of_hd", "hd_mapo"), metric("of_that", "of_hd")
    members = [(further, plain), (STANDARD.find("hd"), hd), (reading, plain)]
    other = [(metric("other", "close"), plain)]
    assert Catalogue(members + other).telling("hd") == own | {"of_hd", "of_that"}


def test_metrics_that_read_each_other_or_nothing_are_bugs() -> None:
    def metric(name: str, reads: str) -> Metric:
        return Metric(
            name, "d", "u", (reads,), (Output("value", "u"),), 0, (), lambda terms: (), "d"
        )

    one, other, lost = metric("one", "other"), metric("other", "one"), metric("lost", "nowhere")
    family = Family("x", None, (one, other))
    with pytest.raises(ValueError, match="one <- other <- one"):
        Catalogue([(one, family), (other, family)]).ordered()
    with pytest.raises(ValueError, match="lost reads nowhere"):
        Catalogue([(lost, family)]).ordered()


def test_extra_metrics_stand_with_their_family_once() -> None:
    found = catalogue(["ema_9", "rsi_7", "ema_9", "ema_20"])
    names = list(found.metrics)
    assert names.count("ema_9") == 1 and names.count("ema_20") == 1
    assert len(names) == len(NAMES) + 2
    assert [n for n in names if n.startswith("ema")] == ["ema_20", "ema_50", "ema_200", "ema_9"]
    assert found.find("rsi_7").parameters == (("length", 7),)
    assert catalogue().signature == STANDARD.signature != found.signature


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ema_1", "length 1; allowed: 2 to 1000"),
        ("ema_1001", "length 1001; allowed: 2 to 1000"),
        ("ema_10000000", "length 10000000; allowed: 2 to 1000"),
        ("ema_" + "9" * 5000, "ema_LENGTH"),
        ("ema_09", "allowed: "),
        ("ema", "ema_LENGTH"),
        ("ema_9_9", "ema_LENGTH"),
        ("ema_-9", "ema_LENGTH"),
        ("ema_٩", "ema_LENGTH"),
        ("nothing_9", "ema_LENGTH"),
        ("", "ema_LENGTH"),
    ],
)
def test_a_metric_that_no_family_makes_is_refused(name: str, says: str) -> None:
    with pytest.raises(Refuse, match="metrics.extra: ") as refused:
        catalogue([name])
    assert refused.value.code == "bad_metric" and says in str(refused.value)


def test_too_many_extra_metrics_are_refused() -> None:
    with pytest.raises(Refuse, match="at most 64"):
        catalogue([f"ema_{n}" for n in range(300, 365)])


def test_every_family_makes_its_own_metrics() -> None:
    for family in FAMILIES:
        for metric in family.metrics:
            if family.make is not None:
                again = family.make(*(int(number) for _, number in metric.parameters))
                assert again.name == metric.name and again.state == metric.state
                assert [p.name for p in family.parameters] == [n for n, _ in metric.parameters]


def test_plain_definitions_agree() -> None:
    closes = walk(1500, seed=9)
    bars = [
        Bar(OPENING + n // 400 * 86_400 * 10**9 + n % 400 * MINUTE, close, 100.0 * (n % 7))
        for n, close in enumerate(closes.tolist())
    ]
    plain = from_scratch(bars)
    for name in OUTPUTS:
        theirs = np.array([np.nan if row[name] is None else row[name] for row in plain], float)
        metric = STANDARD.owner[name].name
        ours = compute(metric, batch(bars, words()), IDX).column(name)
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, err_msg=name)


def test_longer_timeframes_by_the_same_kernel_where_the_metric_allows_it() -> None:
    closes = walk(100)
    one, five = computed("rsi_14", closes), computed("rsi_14", closes, freq="5m")
    np.testing.assert_array_equal(one["rsi_14"], five["rsi_14"])
    with pytest.raises(Refuse) as refused:
        computed("hd", closes, freq="5m")
    assert refused.value.code == "timeframe_not_allowed"
    with pytest.raises(Refuse) as refused:
        STANDARD.find("macd")
    assert refused.value.code == "unknown_metric"


def test_compute_of_no_bars_and_of_several_symbols() -> None:
    vocabulary = words()
    assert len(compute("ema_20", batch([], vocabulary), IDX)) == 0
    one, two = walk(50, seed=1).tolist(), walk(50, seed=2).tolist()
    bars = [
        bar
        for n in range(50)
        for bar in (
            Bar(OPENING + n * MINUTE, one[n], symbol=6),
            Bar(OPENING + n * MINUTE, two[n], symbol=1),
        )
    ]
    found = compute("ema_20", batch(bars, vocabulary), IDX)
    assert found.column("ticker").tolist() == [6, 1] * 50
    for place, closes in enumerate((one, two)):
        alone = computed("ema_20", np.array(closes))["ema_20"]
        np.testing.assert_array_equal(found.column("ema_20")[place::2], alone)
    assert np.isnan(found.column("rsi_14")).all()
