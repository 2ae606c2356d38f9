"""The end of a process whose exit code is known, without taking its memory apart.

When Python ends it frees each object on its own, which takes a process that has the compiler and
the engine loaded 0.3 to 0.5 s of a core, for what the system takes back at once.
"""

import atexit
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn


def run_to_the_end(command: Callable[[], int | None]) -> NoReturn:
    """Run a program's command and end the process with the code it returns or exits with, None
    being 0. Threads are waited for and what modules imported from now on have to do at exit is
    done first, so import them in the command. Any other error ends the process as it always does.
    """
    codes: list[int] = []
    atexit.register(_leave, codes)  # the first in is the last out
    try:
        sys.exit(command())
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            codes.append(end.code or 0)
        raise


def _leave(codes: list[int]) -> None:
    """End here, if all that was written can be; else the interpreter says so by its own code."""
    if not codes:
        return
    logging.shutdown()
    with suppress(AttributeError, OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(codes[0] & 0xFF)
