"""Run the tests that failed last once more, alone, if few causes made them fail; exit as pytest
does.

A cause is the place where what a test is set up by failed, one for all tests that needed it: a
broker or a browser that did not come up in time. Where a test failed by itself it is its group, or
its file. tests/causes.py writes them down. Nothing is tried again of a run that did not come to its
end: tests that never ran would pass with it.

pytest-xdist writes a test's group behind its id, `@group`, which pytest does not know again: so its
own --last-failed finds none of them.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

# More causes, or more tests, are not put down to a busy machine.
CAUSES_MAX, TESTS_MAX = 3, 40
CACHE = Path(".pytest_cache/v")
LAST, CAUSES = CACHE / "cache" / "lastfailed", CACHE / "bursa" / "causes"
ENDED = CACHE / "bursa" / "ended"


def main() -> int:
    """The exit code."""
    if _load(ENDED) != pytest.ExitCode.TESTS_FAILED:
        sys.stdout.write("nothing is tried again: the tests did not all run\n")
        return 1
    failed, told = _read(LAST), _read(CAUSES)
    tests = again(failed, told)
    causes = sorted({cause(test, told) for test in failed})
    what = f"{len(failed)} tests failed, of causes: {', '.join(causes[: CAUSES_MAX + 1])}"
    if not tests:
        sys.stdout.write(f"nothing is tried again: {what}{' ...' * (len(causes) > CAUSES_MAX)}\n")
        return 1
    sys.stdout.write(f"{what}\nonce more, alone; what passes now is unsteady:\n  ")
    sys.stdout.write("\n  ".join(tests) + "\n")
    sys.stdout.flush()
    return int(pytest.main(["-n", "0", "-v", *tests]))


def again(failed: Mapping[str, object], told: Mapping[str, object]) -> list[str]:
    """The ids of what is tried again, of ids that failed; none, if they are too many or of too many
    causes. told: what was found out of causes, by id."""
    few = len({cause(test, told) for test in failed}) <= CAUSES_MAX and len(failed) <= TESTS_MAX
    return [alone(test) for test in failed] if few else []


def cause(test: str, told: Mapping[str, object]) -> str:
    """What made it fail, as far as it is known."""
    return str(told.get(test) or test.removeprefix(alone(test))[1:] or test.partition("::")[0])


def alone(test: str) -> str:
    """Its id without its group; an `@` within brackets is a parameter's."""
    head, _, group = test.rpartition("@")
    return test if not head or "]" in group else head


def _read(path: Path) -> dict[str, object]:
    found = _load(path)
    return dict(found) if isinstance(found, dict) else {}


def _load(path: Path) -> object:
    return json.loads(path.read_text()) if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
