"""`bursa dlq`: what its verbs take; verbs/dlq.py does it."""

import sys
from typing import Annotated

import typer

from bursa.verbs.options import Data, File, Format, load, out

dlq_verbs = typer.Typer(help="Rows that the store refused: dead letters.", no_args_is_help=True)

Venue = Annotated[
    str, typer.Option("--venue", help="Of this venue only, e.g. idx.", show_default="all")
]
Kind = Annotated[
    str, typer.Option("--kind", help="Of this kind only, e.g. ticks.", show_default="all")
]
Numbers = Annotated[
    list[int] | None, typer.Argument(help="Which, as `ls` lists them.", metavar="[NUMBER]...")
]
Every = Annotated[bool, typer.Option("--all", help="All, or all of --venue and --kind.")]


@dlq_verbs.command("ls")
def dlq_ls(
    venue: Venue = "",
    kind: Kind = "",
    limit: Annotated[int, typer.Option("--limit", help="Letters that are listed.")] = 50,
    data: Data = None,
    form: Format = "table",
    settings: File = None,
) -> None:
    """List rows that the store refused, oldest first, whether or not bursa is running."""
    loaded = load(settings, data)
    from bursa.verbs.dlq import Meant, run_list

    sys.stdout.write(run_list(loaded.config, Meant((), venue, kind), limit, form))


@dlq_verbs.command("show")
def dlq_show(
    number: Annotated[int, typer.Argument(help="Which, as `ls` lists it.", metavar="NUMBER")],
    data: Data = None,
    settings: File = None,
) -> None:
    """Show one of them: what the store said, and each value of the row."""
    loaded = load(settings, data)
    from bursa.verbs.dlq import run_show

    sys.exit(run_show(loaded.config, number, say=out))


@dlq_verbs.command("replay")
def dlq_replay(
    numbers: Numbers = None,
    every: Every = False,
    venue: Venue = "",
    kind: Kind = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be stored; change nothing.")
    ] = False,
    data: Data = None,
    settings: File = None,
) -> None:
    """Try them again: rows that the store takes now are stored where they belong. Exit code 1 where
    one is refused again."""
    loaded = load(settings, data)
    from bursa.verbs.dlq import Meant, run_replay

    meant = Meant(tuple(numbers or ()), venue, kind, every)
    sys.exit(run_replay(loaded.config, meant, dry_run=dry_run, say=out))


@dlq_verbs.command("drop")
def dlq_drop(
    numbers: Numbers = None,
    every: Every = False,
    venue: Venue = "",
    kind: Kind = "",
    data: Data = None,
    settings: File = None,
) -> None:
    """Forget them: the store goes without these rows. A rebuild from the journal may bring them
    again."""
    loaded = load(settings, data)
    from bursa.verbs.dlq import Meant, run_drop

    sys.exit(run_drop(loaded.config, Meant(tuple(numbers or ()), venue, kind, every), say=out))
