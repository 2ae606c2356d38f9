"""`calendar.idx = FILE`: it is taken at the load, everywhere, and a bad one stops it."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bursa import config
from bursa.cli import app
from bursa.config import calendars
from bursa.exchange import launch
from bursa.model import venue
from bursa.model.errors import Refuse
from bursa.model.venue import IDX, VENUES, XNAS
from bursa.sources import demo_exchange
from bursa.verbs.options import load

FILE = """
[[closed]]
source = "a storm"
days = { 2025-11-21 = "closed", 2025-11-19 = "closed" }
"""


@pytest.fixture(autouse=True)
def built_in() -> Iterator[None]:
    yield
    for name in ("idx", "xnas"):
        venue.amend(name, "", "")


def settings(folder: Path, text: str, venue: str = "idx") -> Path:
    (folder / "own.toml").write_text(text)
    path = folder / "bursa.toml"
    path.write_text(f'[calendar]\n{venue} = "{folder}/own.toml"\n')
    return path


def test_a_verbs_configuration_brings_its_calendars(tmp_path: Path) -> None:
    load(settings(tmp_path, FILE), None)
    assert VENUES["idx"].calendar is IDX.calendar
    assert IDX.calendar.previous_day(date(2025, 11, 24)) == date(2025, 11, 20)
    assert XNAS.calendar.is_trading_day(date(2025, 11, 21))
    load(None, tmp_path)
    assert IDX.calendar.is_trading_day(date(2025, 11, 21)), "without the setting it is bursa's own"


def test_a_file_that_cannot_be_read_or_is_wrong_stops_it(tmp_path: Path) -> None:
    def refused(values: dict[str, str]) -> Refuse:
        with pytest.raises(Refuse) as error:
            calendars.take(config.load(values).config)
        assert error.value.code == "bad_calendar"
        return error.value

    missing = str(tmp_path / "none.toml")
    assert str(refused({"calendar.idx": missing})).startswith(f"calendar.idx: {missing}: No such")
    bad = tmp_path / "bad.toml"
    bad.write_bytes(b"\xff")
    assert "no UTF-8" in str(refused({"calendar.xnas": str(bad)}))
    bad.write_text("closed = 1")
    assert str(refused({"calendar.idx": str(bad)})).startswith(f"{bad}: closed is no list")
    answer = CliRunner().invoke(
        app, ["sql", "select 1", "--config", str(settings(tmp_path, "a=1"))]
    )
    assert isinstance(answer.exception, Refuse)
    assert answer.exception.parameter == "a"


def test_the_demo_exchange_keeps_an_operators_holidays(tmp_path: Path) -> None:
    settings(tmp_path, FILE)
    own, folder = ["--calendar", str(tmp_path / "own.toml")], tmp_path / "exchange"
    market = ["--tickers", "5", "--history-days", "1", "--today", "2026-11-21", *own]
    process = launch.begin(folder, market)
    running = launch.ready(folder, process, lambda: False)
    assert running is not None
    try:
        assert (running.first_day, running.live_day) == (date(2025, 11, 20), date(2025, 11, 24))
    finally:
        launch.end(running)
        process.wait(90)


def test_bursa_tells_its_demo_exchange(tmp_path: Path) -> None:
    own = settings(tmp_path, FILE)
    exchange = demo_exchange(load(own, None).config, tmp_path)
    assert exchange.options[-2:] == ["--calendar", str(tmp_path / "own.toml")]
