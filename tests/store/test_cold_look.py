"""Cold files are looked at when they are read first: what fell over on the disk is told once."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from threading import Event, Thread

import pyarrow.parquet as pq
import pytest
from structlog.testing import capture_logs

from bursa.model.calendar import DAY_NS
from bursa.model.errors import Retry
from bursa.model.schema import OHLCV
from bursa.model.venue import IDX
from bursa.ops.telemetry import Telemetry
from bursa.store import cold_days, cold_look, parquet
from bursa.store.cold_days import Sealed
from bursa.store.cold_look import Looks
from bursa.store.engine import Options
from bursa.store.parquet import ColdStore
from tests.fakes.store import Row, rows_of
from tests.store.cold import freeze
from tests.store.contract import ALL, KINDS, MINUTE, OPEN, VENUES, bar, batch

DAY = IDX.calendar.day_of(OPEN)
LONG_S = 60.0


@pytest.fixture
def days(tmp_path: Path) -> Path:
    """A folder with two cold days of bars."""
    bars = [bar("BBCA", 0), bar("BBCA", DAY_NS // MINUTE)]
    freeze(tmp_path, [batch(OHLCV, bars)]).close()
    return tmp_path / "cold"


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
def opened(days: Path, telemetry: Telemetry) -> Iterator[Callable[[], ColdStore]]:
    """Opens it as the server does."""
    every: list[ColdStore] = []

    def open_() -> ColdStore:
        options = Options(telemetry=telemetry)
        every.append(ColdStore(days, VENUES, KINDS, options, looks=True))
        return every[-1]

    yield open_
    for cold in every:
        cold.close()


def bars_of(cold: ColdStore) -> list[Row]:
    return rows_of(cold.bars("idx", "BBCA", *ALL))


def settled(cold: ColdStore) -> bool:
    assert cold._looks is not None
    return cold._looks.settled(LONG_S)


def rot(days: Path) -> Sealed:
    """Have one bit of a file fall over so that readers hand out another number."""
    cold = ColdStore(days, VENUES, KINDS)
    sealed = cold.sealed("idx", "ohlcv", DAY)
    cold.close()
    assert sealed is not None
    data, good = sealed.path.read_bytes(), pq.ParquetFile(sealed.path).read()
    for at in range(4, len(data)):
        rotten = data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]
        with suppress(Exception):  # of most bits it is told
            found = pq.ParquetFile(BytesIO(rotten)).read()
            if found.schema == good.schema and len(found) == len(good) and found != good:
                sealed.path.write_bytes(rotten)
                return sealed
    raise AssertionError("no bit falls over unseen")


def test_a_bit_that_the_engine_does_not_miss_is_told_behind_the_first_read(
    days: Path, opened: Callable[[], ColdStore], telemetry: Telemetry
) -> None:
    sealed = rot(days)
    cold = opened()
    with capture_logs() as said:
        assert len(bars_of(cold)) in (1, 2)  # it may have been told by then
        assert settled(cold)
    assert [one["event"] for one in said] == ["cold file is damaged: set aside"]
    assert [row["ts"] for row in bars_of(cold)] == [OPEN + DAY_NS]
    assert cold.sealed("idx", "ohlcv", DAY) is None
    assert not sealed.path.exists()
    assert len(cold.set_aside) == 1
    assert telemetry.store_set_aside._value.get() == 1


def test_each_file_that_is_read_is_looked_at_once(
    opened: Callable[[], ColdStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Path] = []
    hashed = cold_days.sha256

    def counted(path: Path) -> str:
        looked.append(path)
        return hashed(path)

    monkeypatch.setattr(cold_days, "sha256", counted)
    monkeypatch.setattr(cold_look, "_STRETCHES", 1)
    cold = opened()
    assert settled(cold)
    assert looked == []
    rows_of(cold.bars("idx", "BBCA", OPEN, OPEN + 1))
    assert settled(cold)
    assert [path.parent.name for path in looked] == [f"date={DAY}"]
    for _ in range(3):
        bars_of(cold)
        rows_of(cold.bars("idx", "BBCA", OPEN, OPEN + 1))
        assert settled(cold)
    assert len(looked) == len(set(looked)) == 2


def test_a_disk_that_cannot_be_read_now_is_told_and_the_file_stays(
    opened: Callable[[], ColdStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(path: Path) -> str:
        raise OSError(5, "Input/output error")

    cold = opened()
    monkeypatch.setattr(cold_days, "sha256", away)
    with capture_logs() as said:
        bars_of(cold)
        assert settled(cold)
    assert {one["event"] for one in said} == {"cold file cannot be looked at now"}
    assert len(bars_of(cold)) == 2


def ruin(sealed: Sealed) -> None:
    data = sealed.path.read_bytes()
    sealed.path.write_bytes(data[:4] + b"\xff" * (len(data) - 8) + data[-4:])


def test_files_that_are_damaged_together_are_all_set_aside(
    opened: Callable[[], ColdStore], telemetry: Telemetry
) -> None:
    """What bars there are is found anew behind the first, from files of which another is bad."""
    cold = opened()
    every = cold.all("idx", "ohlcv")
    for sealed in every:
        ruin(sealed)
    with suppress(Exception):  # what the engine says of it is named by tiered.py
        bars_of(cold)
    assert settled(cold)
    assert cold.all("idx", "ohlcv") == []
    assert not any(sealed.path.exists() for sealed in every)
    assert telemetry.store_set_aside._value.get() == 2


def test_an_engine_that_is_away_makes_no_file_bad(
    days: Path, opened: Callable[[], ColdStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    (days / "idx_ohlcv" / "index.json").unlink()
    cold = opened()
    monkeypatch.setattr(cold._engine, "_ready", False)
    [first, second] = cold.all("idx", "ohlcv")
    found = [why for turn in range(parquet.SCRUB_TURNS) for why in cold.scrub("idx", turn)]
    assert len(found) == 2 and all("not open" in why for why in found)
    cold._looked_at(first)
    with pytest.raises(Retry, match="not open"):
        cold.damage(second)
    assert cold.all("idx", "ohlcv") == [first, second]


def test_who_comes_later_to_set_one_aside_finds_it_done(
    days: Path, opened: Callable[[], ColdStore]
) -> None:
    sealed, cold = rot(days), opened()
    new = cold.set_apart(sealed)
    assert cold.set_apart(sealed) == new and new.exists()
    assert "No such file" in cold.damage(sealed)
    assert cold.set_aside == [new]


def test_who_closes_waits_for_one_look_and_not_for_the_rest() -> None:
    begun, go_on = Event(), Event()
    looked: list[int] = []

    def look(sealed: Sealed) -> None:
        begun.set()
        assert go_on.wait(LONG_S)
        looked.append(sealed.generation)

    looks = Looks(look)
    every = [Sealed("idx", "ohlcv", DAY, nth, 0, "", 0, Path(f"{nth}")) for nth in range(3)]
    looks.ask(every)
    assert begun.wait(LONG_S)
    assert not looks.settled(0.0)
    closing = Thread(target=looks.close)
    closing.start()
    while looks._waiting:
        time.sleep(0.001)
    go_on.set()
    closing.join(LONG_S)
    looks.ask([Sealed("idx", "ohlcv", DAY, 9, 0, "", 0, Path("9"))])
    assert looked == [2]
    assert looks.settled(0.0)
