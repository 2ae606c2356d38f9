"""What a test logs by is its own: it begins with what its module set, and a module as a process
does in which nothing is set. So whether a line is written is no matter of what came before."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from bursa.ops import logs

_configure = structlog.configure

# What a process logs by in which nothing is set draws tracebacks with all that stood around them:
# nobody looks at those of tests that pass, and they take long.
for _each in structlog.get_config()["processors"]:
    if isinstance(_each, structlog.dev.ConsoleRenderer):
        _each.exception_formatter = structlog.dev.plain_traceback


def forgetful(**given: Any) -> None:
    """structlog.configure for tests: a logger that kept what it first logged by would go by it for
    all tests behind."""
    _configure(**{**given, "cache_logger_on_first_use": False})


@contextmanager
def as_before() -> Iterator[None]:
    """Whatever is set within, what held before holds again behind it."""
    config, ours = structlog.get_config(), _ours()
    try:
        yield
    finally:
        _configure(**config)
        _of_root(ours)


def as_at_first() -> None:
    """Nothing is set."""
    structlog.reset_defaults()
    _of_root([])


def _ours() -> list[logging.Handler]:
    return [each for each in logging.getLogger().handlers if isinstance(each, logs.Libraries)]


def _of_root(ours: list[logging.Handler]) -> None:
    """Of the root's handlers these alone are ours; pytest has others."""
    root = logging.getLogger()
    root.handlers = [each for each in root.handlers if not isinstance(each, logs.Libraries)] + ours
