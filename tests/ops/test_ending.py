"""The end of a process: what it must still do, and what it leaves to the system."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from bursa.ops.ending import run_to_the_end

class Kept:
    def __del__(self):
        print("taken apart")

kept = Kept()

def command():
    import atexit, threading, time
    atexit.register(print, "at exit")
    threading.Thread(target=lambda: (time.sleep(0.2), print("a thread"))).start()
    print("worked")
    {end}

run_to_the_end(command)
"""
KEPT = "worked\na thread\nat exit\n"


def end_of(end: str, to: Path | None = None) -> tuple[int, str, str]:
    """Exit code and what a program says that ends in that way."""
    with open(to or "/dev/null", "w") as file:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM.replace("{end}", end)],
            stdout=subprocess.PIPE if to is None else file,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"},
        )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("end", "code"), [("return None", 0), ("return 3", 3), ("sys.exit(2)", 2), ("sys.exit()", 0)]
)
def test_all_is_done_and_written_but_memory_is_not_taken_apart(end: str, code: int) -> None:
    assert end_of(end) == (code, KEPT, "")


@pytest.mark.parametrize(
    ("end", "words"), [("sys.exit('no such day')", "no such day"), ("1 / 0", "ZeroDivisionError")]
)
def test_an_end_without_a_code_is_the_interpreter_s(end: str, words: str) -> None:
    code, out, error = end_of(end)
    assert code == 1 and out == KEPT + "taken apart\n" and words in error


def test_what_cannot_be_written_is_told_as_ever() -> None:
    code, _, error = end_of("return 0", Path("/dev/full"))
    assert code == 120 and "No space left" in error
