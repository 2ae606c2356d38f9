"""A verb in the tests' own process: the command line from its arguments to its exit code, without
the second that a new process takes to import. What a process alone shows is tested by processes."""

import io
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from unittest.mock import patch

from bursa.cli import main
from tests import logged
from tests.running import environment


@dataclass(frozen=True)
class Done:
    """What a verb came to, named as a process's end is."""

    returncode: int
    stdout: str
    stderr: str


def bursa(*arguments: str, **settings: str) -> Done:
    """`bursa ARGUMENTS` with these settings: `http_port="0"` is BURSA_HTTP_PORT."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    code: object = 0
    with (
        logged.as_before(),
        patch.dict(os.environ, environment(**settings), clear=True),
        patch.object(sys, "argv", ["bursa", *arguments]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    said = [_said(stream) for stream in (out, err)]
    return Done(code if isinstance(code, int) else int(code is not None), *said)


def _said(stream: io.TextIOWrapper) -> str:
    """All that was written. The stream stays open: loggers may keep it."""
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()
