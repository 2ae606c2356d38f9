"""How long a read may take, by its class; slow ones are told of and counted."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from bursa.model.errors import Refuse, Retry
from bursa.model.schema import INDEX, OHLCV, TICKS
from bursa.ops.telemetry import Telemetry
from bursa.store import engine
from bursa.store.duckdb import DuckStore
from bursa.store.engine import POINT, RANGE, WHOLE, Options
from bursa.store.sql import Limits
from bursa.store.tiered import Tiered
from tests.store.contract import ALL, METRICS, OPEN, bar, batch, metric, put, tick
from tests.store.tiers import drain, opened

LONG = "select count(*) from range(1000000) a, range(1000000) b"
READS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "bars": (POINT, lambda store: store.bars("idx", "BBCA", *ALL)),
    "newest": (POINT, lambda store: store.bars("idx", "BBCA", *ALL, newest=600)),
    "metrics": (POINT, lambda store: store.metrics("idx", "BBCA", *ALL)),
    "ticks": (POINT, lambda store: store.ticks("idx", "BBCA", *ALL)),
    "index": (POINT, lambda store: store.index("idx", "COMPOSITE", *ALL)),
    "since": (RANGE, lambda store: store.since("idx", "ohlcv", 0)),
    "revisions": (RANGE, lambda store: store.revisions("idx", "ohlcv", *ALL)),
    "status": (RANGE, lambda store: store.status("idx", *ALL)),
    "minute_back": (RANGE, lambda store: store.minute_back("idx", 1)),
    "days": (RANGE, lambda store: store.days("idx", ["ohlcv"])),
    "latest": (WHOLE, lambda store: store.latest("idx", "contracts")),
    "emitted": (WHOLE, lambda store: list(
        store.emitted("idx", 0, 2**60, start_ns=0, end_ns=2**62)
    )),
}  # fmt: skip


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture(params=["hot", "both", "cold"])
def store(request: pytest.FixtureRequest, tmp_path: Path, telemetry: Telemetry) -> Iterator[Any]:
    options = Options(telemetry=telemetry)
    store: Tiered = opened(tmp_path, options=options)
    index = {"index_code": "COMPOSITE", "ts": OPEN, "value": 1.0, "position": 1}
    put(store, batch(OHLCV, [bar("BBCA", 0), bar("BBCA", 3_000)]))
    put(store, batch(METRICS, [metric("BBCA", 0), metric("BBCA", 3_000)]))
    put(store, batch(TICKS, [tick("BBCA", 1)]), batch(INDEX, [index]))
    if request.param != "hot":
        for kind in ("ohlcv", "metrics", "ticks", "index"):
            drain(store, "idx", kind, store.hot.days("idx", [kind])[:1])
    yield store.cold if request.param == "cold" else store
    store.close()


def counted(telemetry: Telemetry, name: str, limit: str) -> float:
    return telemetry.registry.get_sample_value(f"bursa_store_{name}_total", {"class": limit}) or 0.0


def test_the_limits_are_10_30_and_60_s() -> None:
    assert [Options().seconds(limit) for limit in (POINT, RANGE, WHOLE)] == [10.0, 30.0, 60.0]
    assert engine.SLOW_S == 5.0


@pytest.mark.parametrize("name", READS)
def test_each_read_has_the_limit_of_its_class(
    store: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit, read = READS[name]
    asked: list[str] = []
    plain = engine.Engine.reading

    def reading(self: Any, limit: str = POINT, what: str = "") -> AbstractContextManager[Any]:
        asked.append(limit)
        return plain(self, limit, what)

    monkeypatch.setattr(engine.Engine, "reading", reading)
    read(store)
    assert set(asked) <= {limit}
    assert asked or name in ("days", "latest", "status")  # of those some have nothing to ask


@pytest.mark.parametrize("limit", [POINT, RANGE, WHOLE])
def test_a_read_past_its_limit_is_ended_and_counted(
    tmp_path: Path, telemetry: Telemetry, limit: str
) -> None:
    times: dict[str, Any] = {
        f"{name}_s": 0.05 if name == limit else 60.0 for name in (POINT, RANGE, WHOLE)
    }
    made = engine.Engine(tmp_path / "x", Options(telemetry=telemetry, **times), lambda c: None)
    with pytest.raises(Retry, match="maximum execution time"), made.reading(limit) as cursor:
        cursor.execute(LONG).fetchall()
    assert counted(telemetry, "timeout", limit) == 1
    with made.reading(limit) as cursor:
        assert cursor.execute("select 1").fetchall() == [(1,)]
    made.close()
    assert counted(telemetry, "timeout", limit) == 1


@pytest.mark.parametrize("name", ["bars", "since", "emitted"])
def test_a_slow_read_is_told_and_counted(
    tmp_path: Path,
    telemetry: Telemetry,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    limit, read = READS[name]
    store = opened(tmp_path, options=Options(telemetry=telemetry))
    put(store, batch(OHLCV, [bar("BBCA", 0)]))
    read(store)
    assert counted(telemetry, "slow", limit) == 0
    capsys.readouterr()
    monkeypatch.setattr(engine, "SLOW_S", 0.0)
    read(store)
    told = "".join(capsys.readouterr())
    assert counted(telemetry, "slow", limit) >= 1
    assert "slow read" in told and "idx_ohlcv" in told and limit in told
    store.close()


def test_what_takes_long_by_its_nature_is_not_slow(
    tmp_path: Path, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(tmp_path, options=Options(telemetry=telemetry))
    put(store, batch(OHLCV, [bar("BBCA", 0)]))
    monkeypatch.setattr(engine, "SLOW_S", 0.0)
    drain(store, "idx", "ohlcv", store.hot.days("idx", ["ohlcv"]))
    assert counted(telemetry, "slow", WHOLE) == 0
    store.select("select 1", Limits())
    assert counted(telemetry, "slow", WHOLE) == 1
    store.close()


def test_a_persons_question_has_a_limit_of_its_own(tmp_path: Path, telemetry: Telemetry) -> None:
    store = DuckStore(tmp_path / "hot.duckdb", [], [], Options(telemetry=telemetry))
    with pytest.raises(Refuse) as refused:
        store.select(LONG, Limits(10, 0.1))
    assert refused.value.code == "too_slow"
    assert counted(telemetry, "timeout", WHOLE) == 1
    store.close()
