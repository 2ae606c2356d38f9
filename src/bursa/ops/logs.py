"""Logs: JSON lines on standard error, pretty on a terminal. Each bears the position or the request
id it is about, given by who logs. Does not decide what is worth a line."""

import logging
import sys
from typing import Any, TextIO, cast

import structlog


def setup(level: str, form: str) -> None:
    """Configure logging of the whole process. form: auto, json or pretty."""
    pretty = form == "pretty" or (form == "auto" and sys.stderr.isatty())
    renderer: Any = (
        structlog.dev.ConsoleRenderer()
        if pretty
        else structlog.processors.JSONRenderer(sort_keys=True)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, StandardError())),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [each for each in root.handlers if not isinstance(each, Libraries)]
    root.addHandler(Libraries(logging.WARNING))


class StandardError:
    """Standard error as it is when a line is written: loggers outlive one that was put in its place
    for a while and closed."""

    def write(self, text: str) -> int:
        """Write to whatever stands there now."""
        return sys.stderr.write(text)

    def flush(self) -> None:
        """Bring it out."""
        sys.stderr.flush()


class Libraries(logging.Handler):
    """What libraries have to say, as lines of ours; the room is the library."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            room = record.name.partition(".")[0]
            level = max(record.levelno // 10 * 10, logging.DEBUG)
            event, fault = record.getMessage().rstrip(), record.exc_info
            logger(room).log(min(level, logging.CRITICAL), event, exc_info=fault)
        except Exception:  # noqa: BLE001 -- as every handler: a line that fails stops nobody
            self.handleError(record)


def logger(room: str) -> Any:
    """A logger that says which room speaks."""
    return structlog.get_logger(room=room)
