"""What leases, dead letters and reports owe their callers: run on the real ones and the fakes."""

import subprocess
import sys
import threading
from dataclasses import replace
from typing import Any

from bursa.ports import DeadLetter, Report
from bursa.state.holder import me

S = 1_000_000_000
DRAIN = "idx/drain"


class LeasesContract:
    """The fixture `leases` is empty."""

    def test_one_holder_at_a_time(self, leases: Any) -> None:
        assert leases.take(DRAIN, "a", 100 * S, 60)
        assert not leases.take(DRAIN, "b", 101 * S, 60)
        assert not leases.take(DRAIN, "a", 101 * S, 60), "not even the same holder twice"
        assert leases.take("binance/drain", "b", 101 * S, 60), "another name is another lease"
        assert leases.holder(DRAIN, 101 * S) == "a"

    def test_released_it_can_be_taken(self, leases: Any) -> None:
        assert leases.holder(DRAIN, 0) == ""
        assert leases.take(DRAIN, "a", 100 * S, 60)
        assert not leases.release(DRAIN, "b", 101 * S, "done", {}), "only its holder gives it back"
        assert leases.release(DRAIN, "a", 102 * S, "done", {"days": 2})
        assert not leases.release(DRAIN, "a", 103 * S, "done", {})
        assert leases.holder(DRAIN, 103 * S) == ""
        assert leases.take(DRAIN, "b", 103 * S, 60)

    def test_expired_it_is_taken_over(self, leases: Any) -> None:
        assert leases.take(DRAIN, "a", 100 * S, 60)
        assert not leases.take(DRAIN, "b", 160 * S - 1, 60)
        assert leases.take(DRAIN, "b", 160 * S, 60)
        assert not leases.renew(DRAIN, "a", 161 * S, 60), "the old holder must stop"
        assert not leases.release(DRAIN, "a", 161 * S, "done", {})
        newest, lost = leases.history(DRAIN, 10)
        assert (newest.holder, newest.outcome, newest.ended_ns) == ("b", "", None)
        assert (lost.holder, lost.outcome, lost.ended_ns) == ("a", "lost", 160 * S)

    def test_renewed_it_lasts_from_then_on(self, leases: Any) -> None:
        assert not leases.renew(DRAIN, "a", 100 * S, 60)
        assert leases.take(DRAIN, "a", 100 * S, 60)
        assert leases.renew(DRAIN, "a", 150 * S, 60)
        assert not leases.take(DRAIN, "b", 209 * S, 60)
        assert leases.renew(DRAIN, "a", 230 * S, 60), "expired, and nobody took it over"
        assert not leases.take(DRAIN, "b", 231 * S, 60)

    def test_of_a_killed_process_it_is_taken_over_at_once(self, leases: Any) -> None:
        code = "import time; from bursa.state.holder import me; print(me(), flush=True);"
        held = [sys.executable, "-c", code + "time.sleep(60)"]
        with subprocess.Popen(held, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout is not None
            holder = other.stdout.readline().strip() + "#3"
            assert leases.take(DRAIN, holder, 100 * S, 3600)
            assert not leases.take(DRAIN, me(), 101 * S, 60), "it lives"
            other.kill()
            other.wait()
        assert leases.holder(DRAIN, 102 * S) == ""
        assert leases.take(DRAIN, me(), 102 * S, 60)
        assert not leases.take(DRAIN, "b", 103 * S, 60), "we live"
        assert [run.outcome for run in leases.history(DRAIN, 10)] == ["", "lost"]

    def test_history_tells_the_newest_runs_first(self, leases: Any) -> None:
        for nth in range(3):
            assert leases.take(DRAIN, "a", nth * 10 * S, 60)
            assert leases.release(DRAIN, "a", (nth * 10 + 4) * S, "done", {"day": f"{nth} é"})
        assert leases.take("idx/repair", "a", 0, 60)
        first, second = leases.history(DRAIN, 2)
        assert (first.name, first.holder, first.outcome) == (DRAIN, "a", "done")
        assert (first.began_ns, first.ended_ns, first.told) == (20 * S, 24 * S, {"day": "2 é"})
        assert second.told == {"day": "1 é"}
        assert not leases.history("idx/none", 5)

    def test_of_many_threads_one_takes_it(self, leases: Any) -> None:
        taken: list[int] = []

        def race(nth: int) -> None:
            if leases.take(DRAIN, f"{me()}#{nth}", 100 * S, 60):
                taken.append(nth)

        threads = [threading.Thread(target=race, args=(nth,)) for nth in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(taken) == 1


def letter(nth: int, **other: Any) -> DeadLetter:
    made = DeadLetter(
        f"key {nth}", "idx", "ticks", 100 + nth, 2**62, "BBCA", "no such number", 5, b"\0row"
    )
    return replace(made, **other)


class LettersContract:
    """The fixture `letters` is empty."""

    def test_kept_letters_come_back_as_they_were(self, letters: Any) -> None:
        assert letters.add([letter(1), letter(2, kind="ohlcv", symbol="", position=2**62)]) == 2
        first, second = letters.ls()
        assert (first.number, second.number) == (1, 2)
        assert replace(first, number=0) == letter(1)
        assert letters.show(2) == second
        assert replace(second, number=0) == letter(2, kind="ohlcv", symbol="", position=2**62)
        assert letters.show(3) is None

    def test_the_same_row_again_adds_none(self, letters: Any) -> None:
        assert letters.add([letter(1), letter(1)]) == 1
        assert letters.add([letter(1, why="another"), letter(2)]) == 1
        assert [one.why for one in letters.ls()] == ["no such number"] * 2
        assert letters.add([]) == 0

    def test_listed_by_venue_and_kind_from_a_number_on(self, letters: Any) -> None:
        kinds = ("ticks", "ohlcv", "ticks", "ticks")
        letters.add([letter(nth, kind=kind) for nth, kind in enumerate(kinds)])
        letters.add([letter(9, venue="binance")])
        assert [one.number for one in letters.ls("idx", "ticks")] == [1, 3, 4]
        assert [one.number for one in letters.ls("idx", after=1, limit=2)] == [2, 3]
        assert [one.number for one in letters.ls(kind="ticks", after=4)] == [5]
        assert letters.counts() == {
            ("binance", "ticks"): 1,
            ("idx", "ohlcv"): 1,
            ("idx", "ticks"): 3,
        }

    def test_dropped_letters_are_gone_and_their_numbers_too(self, letters: Any) -> None:
        letters.add([letter(1), letter(2)])
        assert letters.drop([2, 7]) == 1
        assert [one.number for one in letters.ls()] == [1]
        letters.add([letter(2)])
        assert [one.number for one in letters.ls()] == [1, 3]
        assert letters.drop(list(range(5000))) == 2
        assert not letters.ls() and not letters.counts()

    def test_a_letter_refused_again_says_so(self, letters: Any) -> None:
        letters.add([letter(1), letter(2)])
        letters.refused_again(1, "still not")
        letters.refused_again(7, "nobody")
        assert [(one.why, one.tries) for one in letters.ls()] == [
            ("still not", 2),
            ("no such number", 1),
        ]


class ReportsContract:
    """The fixture `reports` is empty."""

    def test_the_newest_of_a_venue_and_span(self, reports: Any) -> None:
        assert reports.newest("idx", "day") is None
        made = [
            Report("idx", "day", 5, {"tables": [], "note": "é"}),
            Report("idx", "week", 6, {"tables": [{"rows": 2**53}]}),
            Report("binance", "day", 7, {}),
            Report("idx", "day", 4, {"newer": True}),
        ]
        for report in made:
            reports.add(report)
        assert reports.newest("idx", "day") == made[3], "the one that was added last"
        assert reports.newest("idx", "week") == made[1]
        assert reports.newest("binance", "day") == made[2]
        assert reports.newest("binance", "week") is None
