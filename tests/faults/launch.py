"""Run bursa's command line with three places made visible, so that a test can kill it inside them.

    python launch.py FD LINGER_MS HOLD VERB ...

Around each fdatasync of a journal, each insert and each commit of the store a line goes to the pipe
FD, before and after: `fsync`, `fsync end POSITION` (what is durable now), `insert`, `insert end`,
`commit`, `commit end`; inside, before and after the real call, it stays for about LINGER_MS. While
there is a file HOLD that names a place it stays inside that, before the real call; it says `held`,
then. A full pipe is not waited for. The program itself has no such hooks.
"""

import os
import sys
import time
from contextlib import suppress
from typing import Any

import duckdb

PIPE, LINGER_S, HOLD = int(sys.argv[1]), float(sys.argv[2]) / 1000, sys.argv[3]


def tell(line: str) -> None:
    with suppress(BlockingIOError):
        os.write(PIPE, line.encode() + b"\n")


def wanted(name: str) -> bool:
    """Is it to stay there?"""
    try:
        with open(HOLD) as hold:
            return hold.read() == name
    except FileNotFoundError:
        return False


def stay(name: str) -> None:
    if not wanted(name):
        return
    tell("held")
    while wanted(name):
        time.sleep(0.001)


def visible(name: str, call: Any, *given: Any) -> Any:
    tell(name)
    time.sleep(LINGER_S)
    stay(name)
    result = call(*given)
    time.sleep(LINGER_S)
    tell(f"{name} end")
    return result


real_fdatasync = os.fdatasync


def fdatasync(fd: int) -> None:
    """The journal's; its segments are named by the address of their first byte."""
    address = os.path.basename(os.readlink(f"/proc/self/fd/{fd}")).partition(".")[0]
    if not address.isdigit():
        real_fdatasync(fd)  # the mark beside the segments
        return
    tell("fsync")
    time.sleep(LINGER_S)
    stay("fsync")
    durable = int(address) + os.fstat(fd).st_size
    real_fdatasync(fd)
    tell(f"fsync end {durable}")
    time.sleep(LINGER_S)


class Connection:
    """A connection of the engine whose inserts and commits are visible."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def execute(self, text: str, *given: Any) -> Any:
        name = (
            "commit" if text == "commit" else "insert" if text.startswith("insert into idx") else ""
        )
        if not name:
            return self._real.execute(text, *given)
        return visible(name, self._real.execute, text, *given)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def main() -> None:
    os.set_blocking(PIPE, False)
    vars(os)["fdatasync"] = fdatasync
    connect = duckdb.connect
    vars(duckdb)["connect"] = lambda *given, **named: Connection(connect(*given, **named))
    sys.argv = ["bursa", *sys.argv[4:]]
    from bursa.cli import main as bursa

    bursa()


if __name__ == "__main__":
    main()
