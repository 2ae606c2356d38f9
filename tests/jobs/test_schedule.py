"""The clock's jobs: once a day is over, once for all that were missed, late and long ones said."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bursa.jobs import schedule
from bursa.jobs.drain import Drain
from bursa.jobs.job import Jobs
from bursa.jobs.makers import LANES, MAKERS
from bursa.jobs.schedule import Limits, Schedule
from bursa.model.errors import Refuse, Retry
from bursa.model.schema import TICKS
from bursa.model.venue import IDX
from tests.fakes.state import FakeLeases
from tests.pipeline.tiered import DAYS, NEXT, Bench, rows_of_day

HALF_PAST_FOUR_S = (16 * 60 + 30) * 60


class Said:
    """A logger that keeps what is more than information."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def warning(self, event: str, **about: Any) -> None:
        self.lines.append({"event": event, **about})

    error = info = warning


class Planned:
    """A bench with a schedule whose clock a test moves."""

    def __init__(self, bench: Bench) -> None:
        self.bench, runtime = bench, bench.runtime
        runtime.parts.state = SimpleNamespace(leases=FakeLeases())
        runtime.journal = SimpleNamespace(position=5, epoch=2)
        runtime.committed = 5
        self.limits = Limits(late_s=300, long_s=900)
        self.again()

    def again(self) -> None:
        """As after a start."""
        jobs = Jobs({"idx": self.bench.runtime}, MAKERS, LANES)
        self.schedule = Schedule({"idx": self.bench.runtime}, jobs, self.limits)
        self.runs_before = len(self.runs())

    def at(
        self, day: Any, seconds: int = HALF_PAST_FOUR_S, ahead_ns: int = 0
    ) -> list[dict[str, Any]]:
        """An event of that time comes, and a look is taken; what was warned of. Our clock is that
        of the event, or ahead of it."""
        now = IDX.calendar.midnight_ns(day) + seconds * 10**9
        runtime = self.bench.runtime
        runtime.newest_ns = now
        runtime.heard_ns = runtime.clock.now = now + ahead_ns
        said = Said()
        self.schedule._log = said
        self.schedule.look()
        return said.lines

    def runs(self) -> list[Any]:
        leases = self.bench.runtime.parts.state.leases
        return list(leases.history("idx.drain", 99))

    def drained(self) -> int:
        """Runs of the drain since the start."""
        return len(self.runs()) - self.runs_before

    def count(self, name: str) -> float:
        counter = getattr(self.bench.telemetry, name)
        return float(counter.labels("idx", "drain")._value.get())


@pytest.fixture
def planned(tmp_path: Path) -> Iterator[Planned]:
    bench = Bench(tmp_path / "data")
    yield Planned(bench)
    bench.close()


def test_a_day_is_drained_once_when_it_is_over(planned: Planned) -> None:
    bench = planned.bench
    bench.fill(DAYS[:1])
    planned.at(DAYS[0], HALF_PAST_FOUR_S - 60)
    assert planned.at(DAYS[0], HALF_PAST_FOUR_S - 1) == []
    assert not bench.files() and planned.drained() == 0
    assert planned.at(DAYS[0]) == [] and planned.drained() == 1
    assert {day for _, day in bench.hashes()} == {DAYS[0]}
    planned.at(DAYS[0], HALF_PAST_FOUR_S + 3600)
    planned.at(DAYS[1], 9 * 3600)
    assert planned.drained() == 1
    bench.put(TICKS, rows_of_day(TICKS, DAYS[1]))
    planned.at(DAYS[1])
    assert planned.drained() == 2
    assert {day for _, day in bench.hashes()} == {DAYS[0], DAYS[1]}
    # Retention ran behind it: a day of ticks stays (tiered.KEEP).
    assert bench.hot_days("ticks") == [DAYS[1]]
    assert planned.count("job_late") == planned.count("job_long") == 0


def test_it_waits_for_live_rows(planned: Planned) -> None:
    planned.at(DAYS[0])
    planned.bench.fill(DAYS[:2])
    planned.bench.runtime.journal.position = 9
    planned.at(DAYS[1])
    assert planned.drained() == 0  # what was journalled by then is not committed yet
    planned.bench.runtime.committed = 9
    planned.bench.runtime.idle = False
    planned.at(DAYS[1])
    assert planned.drained() == 0
    planned.bench.runtime.idle = True
    planned.at(DAYS[1])
    assert planned.drained() == 1 and len(planned.bench.files()) == 14


def test_days_that_were_missed_go_in_one_run_and_are_said(planned: Planned) -> None:
    planned.bench.fill()
    said = planned.at(NEXT, 9 * 3600)
    assert planned.drained() == 1 and {day for _, day in planned.bench.hashes()} == set(DAYS)
    [line] = said
    assert line["event"] == "a scheduled job runs late" and line["days"] == 3
    assert line["late_s"] == 2 * 86_400 + (24 * 3600 - HALF_PAST_FOUR_S) + 9 * 3600
    assert planned.count("job_late") == 1
    planned.again()
    assert planned.at(NEXT, 10 * 3600) == [] and planned.count("job_late") == 1
    assert planned.drained() == 0  # nothing was missed
    gauge = planned.bench.telemetry.cold_days.labels("idx", "ticks")
    assert gauge._value.get() == 3
    # Rows that came late for a day that lies cold alone are looked after at a start.
    planned.bench.put_late(TICKS, rows_of_day(TICKS, DAYS[0], seed=1))
    planned.again()
    assert planned.at(NEXT, 11 * 3600) == [] and planned.drained() == 1
    assert not planned.bench.hot.stray_days("idx", "ticks")
    # Several days that are over at once, as in a recording: one run.
    planned.bench.put_late(TICKS, rows_of_day(TICKS, NEXT))
    planned.at(NEXT)
    assert planned.drained() == 2


def test_a_day_that_ended_while_bursa_did_not_run_is_late(planned: Planned) -> None:
    bench = planned.bench
    bench.put(TICKS, rows_of_day(TICKS, DAYS[0]))
    assert planned.at(DAYS[0], 15 * 3600) == []
    [line] = planned.at(DAYS[1], 9 * 3600)
    assert line["event"] == "a scheduled job runs late"
    assert line["late_s"] == 24 * 3600 - HALF_PAST_FOUR_S + 9 * 3600
    # The next one came in this run, as days of the past do in a recording: it was over just now.
    bench.put(TICKS, rows_of_day(TICKS, DAYS[1]))
    assert planned.at(DAYS[2], 9 * 3600) == [] and planned.drained() == 2


def _over_ns(day: Any) -> int:
    return IDX.calendar.midnight_ns(day) + HALF_PAST_FOUR_S * 10**9


def test_the_past_that_a_new_folder_is_given_is_not_late(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, now = planned.bench, 1000.0
    monkeypatch.setattr("bursa.jobs.schedule.monotonic", lambda: now)
    bench.runtime.has_feed, bench.runtime.journal.epoch = True, 1
    since = IDX.calendar.midnight_ns(NEXT) + 9 * 3600 * 10**9  # as it is begun
    bench.runtime.idle = False
    for day in DAYS:
        bench.put(TICKS, rows_of_day(TICKS, day))
        told = planned.at(day, ahead_ns=since - _over_ns(day))
        assert told == [] and planned.drained() == 0
        now += 400
    bench.runtime.idle = True
    assert planned.at(DAYS[-1], ahead_ns=since - _over_ns(DAYS[-1])) == []
    assert planned.drained() == 1 and planned.count("job_late") == 0
    # A day that ends while it runs is as late as any.
    bench.put(TICKS, rows_of_day(TICKS, NEXT))
    bench.runtime.idle = False
    planned.at(NEXT)
    now += 400
    bench.runtime.idle = True
    assert [line["event"] for line in planned.at(NEXT)] == ["a scheduled job runs late"]


def test_one_that_takes_long_is_said(planned: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    planned.bench.fill(DAYS[:1])
    times = iter(range(0, 10**9, 1000))
    monkeypatch.setattr("bursa.jobs.schedule.monotonic", lambda: next(times))
    said = planned.at(DAYS[0])
    long = [line["job"] for line in said if line["event"] == "a scheduled job ran long"]
    assert long == ["drain", "retention"]
    assert planned.count("job_long") == 1


def test_one_that_fails_is_tried_again_later(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned.bench.fill(DAYS[:1])
    now = 1000.0
    monkeypatch.setattr("bursa.jobs.schedule.monotonic", lambda: now)

    def away(self: Any) -> Iterator[None]:
        raise Retry("store: no space left")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(Drain, "run", away)
        [said] = planned.at(DAYS[0])
        assert said["why"] == "store: no space left" and 48 <= said["wait_s"] <= 72
        planned.at(DAYS[0])
        assert planned.drained() == 1
        now += 80
        assert [line["event"][:22] for line in planned.at(DAYS[0])] == ["a scheduled job failed"]
        assert planned.drained() == 2 and planned.runs()[0].outcome == "failed"
    now += 400
    assert [line["event"] for line in planned.at(DAYS[0])] == ["a scheduled job runs late"]
    assert planned.drained() == 3 and len(planned.bench.files()) == 7


def test_an_operators_run_is_waited_for(planned: Planned) -> None:
    planned.bench.fill(DAYS[:1])
    leases = planned.bench.runtime.parts.state.leases
    assert leases.take("idx.drain", "somebody else", 0, 1e10)
    [said] = planned.at(DAYS[0])
    assert said["event"] == "a scheduled job waits for another", "it did not fail"
    assert "a job is under way" in said["why"] and not planned.bench.files()


def test_one_that_waits_is_called_late_once(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned.bench.fill(DAYS[:1])
    now = 1000.0
    monkeypatch.setattr("bursa.jobs.schedule.monotonic", lambda: now)
    leases = planned.bench.runtime.parts.state.leases
    assert leases.take("idx.drain", "somebody else", 0, 1e10)
    said = planned.at(DAYS[0])
    for _ in range(3):
        now += 400
        said += planned.at(DAYS[0])
    events = [line["event"] for line in said]
    assert events.count("a scheduled job runs late") == planned.count("job_late") == 1
    assert events.count("a scheduled job waits for another") == 4


def test_days_that_were_not_drained_are_tried_again(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned.bench.put(TICKS, rows_of_day(TICKS, DAYS[0]))
    with monkeypatch.context() as patch:
        patch.setattr(type(planned.bench.cold), "adopt", _differs)
        said = planned.at(DAYS[0])
        assert said[-1]["why"] == "1 days of a kind were not drained"
    monkeypatch.setattr("bursa.jobs.schedule.monotonic", lambda: 1e9)
    planned.at(DAYS[0])
    assert len(planned.bench.files()) == 1


def _differs(self: Any, *given: Any) -> None:
    raise Refuse("it is not what was written", "cold_differs")


def test_it_looks_on_a_thread_until_it_is_stopped(
    planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "LOOK_S", 0.001)
    planned.bench.fill(DAYS[:1])
    planned.schedule.start()
    assert planned.schedule.stop(30.0)
    assert Schedule({}, Jobs({}, {}, {}), planned.limits).stop(1.0)
