"""Jobs: driven by questions or at once, one of a name at a time by a lease, ended anyhow."""

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bursa.jobs import job
from bursa.jobs.job import BEGIN, END, GO_ON, Jobs
from bursa.model.errors import Refuse, Retry
from bursa.ops.telemetry import Telemetry
from bursa.state.holder import me
from tests.fakes.state import FakeLeases
from tests.pipeline import running


class Counting:
    """A job of some steps; `fails_at` raises in one, `closed` counts its ends."""

    name = "count"

    def __init__(self, steps: int, fails_at: int = -1) -> None:
        self.steps, self.fails_at, self.at, self.closed = steps, fails_at, 0, 0

    def run(self) -> Iterator[None]:
        for _ in range(self.steps):
            if self.at == self.fails_at:
                raise Retry("the store is away")
            self.at += 1
            yield

    @property
    def progress(self) -> tuple[int, int]:
        return self.at, self.steps

    def report(self) -> dict[str, Any]:
        return {"counted": self.at}

    def close(self) -> None:
        self.closed += 1


class Clock:
    def now_ns(self) -> int:
        return 1_000


class Bench:
    """Jobs of one venue that does nothing else."""

    def __init__(self) -> None:
        self.leases, self.telemetry, self.made = FakeLeases(), Telemetry(), list[Counting]()
        self.runtime = SimpleNamespace(
            ingest=object(),
            idle=True,
            clock=Clock(),
            telemetry=self.telemetry,
            parts=SimpleNamespace(state=SimpleNamespace(leases=self.leases)),
        )
        self.jobs = Jobs(
            cast(Any, {"idx": self.runtime}),
            {"count": self._make, "add": self._make},
            {"add": "count"},
        )

    def _make(self, runtime: Any, order: dict[str, Any]) -> Counting:
        if order["steps"] < 0:
            raise Refuse("steps: at least 0")
        self.made.append(Counting(**order))
        return self.made[-1]

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        return self.jobs.answer({"do": do, "venue": "idx", "name": "count", **more})

    def begin(self, **order: Any) -> int:
        return int(self.ask(BEGIN, order=order)["job"])

    def outcomes(self) -> list[str]:
        """Of its runs, newest first."""
        return [run.outcome for run in self.leases.history("idx.count", 10)]

    def runs(self, outcome: str) -> float:
        return self.telemetry.job_runs.labels("idx", "count", outcome)._value.get()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_it_is_done_by_questions(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    number = bench.begin(steps=3)
    assert bench.leases.holder("idx.count", 0).startswith(me())
    monkeypatch.setattr(job, "STEP_S", 0.0)
    assert bench.ask(GO_ON, job=number) == {"at": 0, "total": 3, "report": None}
    monkeypatch.setattr(job, "STEP_S", 1.0)
    assert bench.ask(GO_ON, job=number) == {"at": 3, "total": 3, "report": {"counted": 3}}
    assert bench.leases.holder("idx.count", 0) == "" and bench.made[0].closed == 1
    [run] = bench.leases.history("idx.count", 10)
    assert (run.outcome, run.told) == ("done", {"job": "count", "report": {"counted": 3}})
    assert bench.runs("done") == 1
    with pytest.raises(Refuse, match="not under way any more"):
        bench.ask(GO_ON, job=number)


def test_live_work_goes_first(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "STEP_S", 0.05)
    bench.runtime.idle = False
    number = bench.begin(steps=3)
    assert bench.ask(GO_ON, job=number)["at"] == 0
    bench.runtime.idle = True
    assert bench.ask(GO_ON, job=number)["at"] == 3


def test_one_of_a_name_at_a_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first = bench.begin(steps=3)
    with pytest.raises(Refuse, match=r"idx: a job is under way \(count\)"):
        bench.begin(steps=3)
    with pytest.raises(Refuse, match=r"is under way \(count"):
        bench.jobs.run("idx", "count", {"steps": 1})
    with pytest.raises(Refuse, match=r"is under way \(count"):
        bench.jobs.run("idx", "add", {"steps": 1})  # of the same lane
    # Nobody asked for it for long: given up, the next one begins.
    monkeypatch.setattr(job, "FORGOTTEN_S", 0.0)
    second = bench.begin(steps=3)
    assert bench.outcomes() == ["", "given up"] and bench.made[0].closed == 1
    with pytest.raises(Refuse, match="not under way any more"):
        bench.ask(GO_ON, job=first)
    assert bench.ask(END, job=second)["report"] == {"counted": 0}
    assert bench.outcomes() == ["given up", "given up"]


def test_one_that_was_long_in_making_is_not_forgotten_by_then(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    make = bench.jobs._makers["count"]

    def slowly(runtime: Any, order: dict[str, Any]) -> Any:
        now_s[0] += job.FORGOTTEN_S + 1
        return make(runtime, order)

    monkeypatch.setattr(bench.jobs, "_makers", {"count": slowly})
    # Another client begins before the first one can ask for what it was just given.
    bench.jobs._begin("idx", "count", {"steps": 3})
    with pytest.raises(Refuse, match=r"is under way \(count"):
        bench.jobs._begin("idx", "count", {"steps": 3})
    assert len(bench.made) == 1 and not bench.made[0].closed


def test_one_whose_client_was_killed_ends_by_itself(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "ABANDONED_S", 1.5)  # longer than a busy machine takes to the lock
    monkeypatch.setattr(job, "STEP_S", 0.0)
    asked = bench.begin(steps=3)
    [under_way] = bench.jobs._under_way.values()
    with under_way.lock:  # an answer that takes its time
        assert not under_way.over.wait(2.0)
        under_way.asked_s = time.monotonic()
    assert under_way.over.wait(60)
    running.until(lambda: bench.outcomes() == ["given up"], "its end")
    with pytest.raises(Refuse, match="not under way any more"):
        bench.ask(GO_ON, job=asked)
    assert [one.closed for one in bench.made] == [1]
    assert bench.telemetry.job_running.labels("idx", "count")._value.get() == 0


def test_a_forgotten_one_that_is_asked_for_again_is_not_said_to_be_done(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client wakes up just when another one begins."""
    first = bench.begin(steps=3)
    monkeypatch.setattr(job, "FORGOTTEN_S", 0.0)
    [under_way] = bench.jobs._under_way.values()

    class Taken:
        """A lock before which the other client comes."""

        def acquire(self, blocking: bool) -> bool:
            return True

        def release(self) -> None:
            pass

        def __enter__(self) -> None:
            bench.begin(steps=3)

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(under_way, "lock", Taken())
    with pytest.raises(Refuse, match="not under way any more"):
        bench.ask(GO_ON, job=first)
    assert bench.outcomes() == ["", "given up"]


def test_a_lease_of_another_process_is_respected_and_one_of_a_dead_one_taken(bench: Bench) -> None:
    host, boot, _, _ = me().split("/")
    assert bench.leases.take("idx.count", f"{me()}#other", 0, 60.0)
    with pytest.raises(Refuse, match=r"is under way \(count"):
        bench.begin(steps=1)
    assert not bench.made
    bench.leases.release("idx.count", f"{me()}#other", 0, "done", {})
    assert bench.leases.take("idx.count", f"{host}/{boot}/4194304/1#1", 0, 60.0)
    assert bench.jobs.run("idx", "count", {"steps": 2}) == {"counted": 2}
    assert bench.outcomes() == ["done", "lost", "done"]


def test_one_that_lost_its_lease_stops(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "LEASE_S", 0.0)
    number = bench.begin(steps=3)
    assert bench.leases.take("idx.count", "another", 2_000, 60.0)
    with pytest.raises(Refuse, match="its lease was taken over"):
        bench.ask(GO_ON, job=number)
    assert bench.made[0].at == 0 and bench.made[0].closed == 1
    assert bench.leases.holder("idx.count", 2_000) == "another"


def test_a_step_that_fails_ends_it(bench: Bench) -> None:
    with pytest.raises(Retry, match="the store is away"):
        bench.jobs.run("idx", "count", {"steps": 3, "fails_at": 1})
    assert bench.outcomes() == ["failed"] and bench.runs("failed") == 1
    number = bench.begin(steps=3, fails_at=1)
    with pytest.raises(Retry):
        bench.ask(GO_ON, job=number)
    assert bench.made[1].closed == 1 and bench.outcomes() == ["failed", "failed"]
    assert bench.jobs.run("idx", "count", {"steps": 3}) == {"counted": 3}


def test_it_is_told_how_far_it_is_and_stops_when_told_to(bench: Bench) -> None:
    seen: list[tuple[int, int]] = []
    report = bench.jobs.run("idx", "count", {"steps": 2}, lambda *at: seen.append(at))
    assert report == {"counted": 2} and seen[-1] == (2, 2)
    assert bench.jobs.run("idx", "count", {"steps": 2}, stopped=lambda: True) == {"counted": 0}
    assert bench.outcomes()[0] == "given up"


def test_what_makes_no_sense_is_refused_and_holds_nothing(bench: Bench) -> None:
    with pytest.raises(Refuse, match="steps: at least 0"):
        bench.begin(steps=-1)
    assert bench.outcomes() == ["refused"] and not bench.leases.holder("idx.count", 0)
    with pytest.raises(Refuse, match="there is no job mow; there is count, add"):
        bench.jobs.run("idx", "mow", {})
    with pytest.raises(Refuse, match="xnas does not run here; there is idx"):
        bench.jobs.run("xnas", "count", {})
    bench.runtime.ingest = None
    with pytest.raises(Retry, match="it recovers"):
        bench.jobs.run("idx", "count", {"steps": 1})
