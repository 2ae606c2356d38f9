"""What the commands of cli.py and commands.py share: options, configuration, consoles."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from bursa import config
from bursa.config import calendars

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

Data = Annotated[
    Path | None, typer.Option("--data", help="Data folder.", show_default="./data", metavar="DIR")
]
File = Annotated[
    Path | None, typer.Option("--config", help="TOML file with settings.", metavar="FILE")
]
Format = Annotated[str, typer.Option("--format", help="table, json or csv.", metavar="FORMAT")]
Json = Annotated[bool, typer.Option("--json", help="Tell it as JSON.")]
TheOnlyVenue = Annotated[
    str, typer.Option("--venue", help="Whose, e.g. idx.", show_default="the only one")
]
Zone = Annotated[
    str,
    typer.Option(
        "--tz",
        help="Zone of times that name none: UTC, venue, or one such as Asia/Jakarta.",
        metavar="ZONE",
    ),
]


def _apart(named: list[str] | None) -> list[str] | None:
    """`--ticker A,B` is `--ticker A --ticker B`."""
    apart = [name.strip() for several in named or () for name in several.split(",")]
    if not all(apart):
        raise typer.BadParameter("a ticker without a name; allowed: such as BBCA, or BBCA,TLKM")
    return apart or None


Tickers = Annotated[
    list[str] | None,
    typer.Option("--ticker", help="Only this ticker, e.g. BBCA; several times.", callback=_apart),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be written; change nothing.")
]
FirstBar = Annotated[
    str,
    typer.Option("--from", help="First bar: a date, or a time such as 2025-11-21T09:30."),
]
Before = Annotated[str, typer.Option("--to", help="The time, or the date, before which.")]
VenueName = Annotated[str, typer.Option("--venue", help="Whose instruments they are.")]


def load(file: Path | None, data: Path | None, **flags: Any) -> config.Loaded:
    """The configuration of a call: `flags` are dotted paths with `__` for the dot. The calendars
    that it names are taken."""
    given = {name.replace("__", "."): value for name, value in flags.items()}
    given["data"] = None if data is None else str(data)
    loaded = config.load(given, file=None if file is None else str(file))
    calendars.take(loaded.config)
    return loaded


def several(count: int, what: str) -> str:
    """`1 bar`, `2,000 bars`."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
