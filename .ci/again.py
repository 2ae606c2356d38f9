"""Run the tests that failed last once more, alone, if they are few; exit as pytest does.

pytest-xdist writes a test's group behind its id, `@group`, which pytest does not know again: so its
own --last-failed finds none of them.
"""

import json
import sys
from pathlib import Path

import pytest

# More than so many are not put down to a busy machine.
MOST = 3
LAST = Path(".pytest_cache/v/cache/lastfailed")


def main() -> int:
    """The exit code."""
    failed = [alone(test) for test in json.loads(LAST.read_text())] if LAST.exists() else []
    if not 0 < len(failed) <= MOST:
        return 1
    sys.stdout.write("once more, alone; what passes now is unsteady:\n  ")
    sys.stdout.write("\n  ".join(failed) + "\n")
    sys.stdout.flush()
    return int(pytest.main(["-n", "0", "-v", *failed]))


def alone(test: str) -> str:
    """Its id without its group; an `@` within brackets is a parameter's."""
    head, _, group = test.rpartition("@")
    return test if not head or "]" in group else head


if __name__ == "__main__":
    sys.exit(main())
