"""The operator's files of trading calendars, taken by the venues before anything asks them.

What is in a file: model/calendar_file.py. Reads files alone.
"""

from pathlib import Path

import msgspec

from bursa.config.tree import Calendars, Config
from bursa.model import venue
from bursa.model.errors import Refuse


def take(config: Config) -> None:
    """Have every venue's calendar say what the configured files say; where none is configured, what
    comes with bursa. Raises Refuse `bad_calendar`, naming the file and its key."""
    for field in msgspec.structs.fields(Calendars):
        file = getattr(config.calendar, field.name)
        venue.amend(field.name, _text(f"calendar.{field.name}", file), file)


def _text(path: str, file: str) -> str:
    if not file:
        return ""
    try:
        return Path(file).read_text("utf-8")
    except UnicodeDecodeError:
        why = "no UTF-8"
    except OSError as error:
        why = str(error.strerror)
    raise Refuse(f"{path}: {file}: {why}", "bad_calendar", parameter=path)
