"""Jobs of several processes on one state database: never two at once, none waits for a dead one.

In the program one process holds a folder; the lease is what stays true where that is not so.
"""

import multiprocessing
from pathlib import Path

from bursa.jobs.job import lease_of
from bursa.state.holder import me
from bursa.state.sqlite import STATE_FILE, StateDb
from tests.faults import job_life

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.faults.drain_life", "tests.faults.job_life"])
LIFE_S = 180.0
LEASE = lease_of("idx", "placed")


def test_a_job_that_was_killed_is_begun_again_at_once(tmp_path: Path) -> None:
    state = StateDb(tmp_path / STATE_FILE)
    for nth in range(1, 3):
        process = CONTEXT.Process(target=job_life.life, args=(str(tmp_path), 1, True))
        process.start()
        process.join(LIFE_S)
        assert process.exitcode == -9
        newest = state.leases.history(LEASE, 1)[0]
        assert newest.outcome == "" and not newest.holder.startswith(me())
        # It would hold for minutes more; but its process is gone.
        assert job_life.jobs_of(tmp_path, state).run("idx", "placed", {"dies": False}) == {"at": 3}
        outcomes = [run.outcome for run in state.leases.history(LEASE, 10)]
        assert outcomes == ["done", "lost"] * nth
    state.close()


def test_two_of_a_name_are_never_under_way_at_once(tmp_path: Path, soak: bool) -> None:
    state, times = StateDb(tmp_path / STATE_FILE), 100 if soak else 5
    assert state.leases.holder(LEASE, 0) == ""  # the file is there
    lives = [
        CONTEXT.Process(target=job_life.life, args=(str(tmp_path), times, False)) for _ in range(3)
    ]
    for process in lives:
        process.start()
    for process in lives:
        process.join(LIFE_S)
    # A second one would have found the place taken, and ended with an error.
    assert [process.exitcode for process in lives] == [0, 0, 0]
    assert (tmp_path / "done").read_text() == "." * 3 * times
    assert [run.outcome for run in state.leases.history(LEASE, 999)] == ["done"] * 3 * times
    state.close()
