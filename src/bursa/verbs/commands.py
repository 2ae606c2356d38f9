"""The verbs in groups of their own: what they take, and which module of verbs/ does it.

Each function reads the configuration, calls its module, and says what came of it; cli.py hangs the
groups up.
"""

import sys
from typing import Annotated

import typer

from bursa.verbs.options import Data, File, Format, load, out

kinds_verbs = typer.Typer(help="What is published and stored of each kind.", no_args_is_help=True)
quarantine_verbs = typer.Typer(help="Messages that were refused.", no_args_is_help=True)
hd_verbs = typer.Typer(help="HD's gates: the hours by which it counts.", no_args_is_help=True)

AnyVenue = Annotated[
    str, typer.Option("--venue", help="Of this venue only, e.g. idx.", show_default="all")
]


@kinds_verbs.command("ls")
def kinds_ls(
    venue: AnyVenue = "", data: Data = None, form: Format = "table", settings: File = None
) -> None:
    """List the switches of each kind, and where each value comes from."""
    loaded = load(settings, data)
    from bursa.verbs.kinds import run_list

    sys.stdout.write(run_list(loaded.config, venue, form))


@kinds_verbs.command("set")
def kinds_set(
    kind: Annotated[str, typer.Argument(help="Which, e.g. idx.orderbook.", metavar="VENUE.KIND")],
    store: Annotated[
        str | None,
        typer.Option(
            "--store", help="Rows that are stored: all, off, or Ns: the last in N seconds."
        ),
    ] = None,
    publish: Annotated[
        str | None, typer.Option("--publish", help="Whether live readers get them: on or off.")
    ] = None,
    data: Data = None,
    settings: File = None,
) -> None:
    """Change what is published or stored of a kind, also while bursa runs. It holds until the
    configuration changes that key, or this does."""
    loaded = load(settings, data)
    from bursa.verbs.kinds import run_set

    sys.exit(run_set(loaded.config, kind, store, publish, say=out))


@hd_verbs.command("show")
def hd_show(
    venue: AnyVenue = "", data: Data = None, form: Format = "table", settings: File = None
) -> None:
    """List HD's gates, with the bar times from which they hold."""
    loaded = load(settings, data)
    from bursa.verbs.hd import run_show

    sys.stdout.write(run_show(loaded.config, venue, form))


@hd_verbs.command("set")
def hd_set(
    effective: Annotated[
        str,
        typer.Option(
            "--effective",
            help="Opening of the first bar that goes by them (ISO); the venue's time.",
            metavar="T",
        ),
    ],
    gate_open: Annotated[
        str,
        typer.Option(
            "--gate-open",
            help="Time of day from which bars count, e.g. 09:05.",
            show_default="as it is",
        ),
    ] = "",
    gate_close: Annotated[
        str,
        typer.Option(
            "--gate-close", help="From which their volume counts 0.", show_default="as it is"
        ),
    ] = "",
    freeze: Annotated[
        str,
        typer.Option(
            "--freeze", help="From which mapo and dmapo stand still.", show_default="as it is"
        ),
    ] = "",
    venue: Annotated[str, typer.Option("--venue", help="Whose gates they are.")] = "idx",
    data: Data = None,
    settings: File = None,
) -> None:
    """Change HD's gates from a bar on that is yet to come, also while bursa runs. What was computed
    before stays as it is."""
    loaded = load(settings, data)
    from bursa.verbs.hd import Wanted, run_set

    wanted = Wanted(gate_open, gate_close, freeze, effective)
    sys.exit(run_set(loaded.config, venue, wanted, say=out))


Channel = Annotated[str, typer.Option("--channel", help="Of this channel only, e.g. idxdata.")]
Reason = Annotated[str, typer.Option("--reason", help="Of this reason only, e.g. bad_board.")]
Since = Annotated[
    str,
    typer.Option("--since", help="Since a day or an instant (ISO); the venue's time.", metavar="T"),
]


@quarantine_verbs.command("ls")
def quarantine_ls(
    venue: AnyVenue = "",
    channel: Channel = "",
    reason: Reason = "",
    since: Since = "",
    limit: Annotated[int, typer.Option("--limit", help="Rows that are listed, newest first.")] = 50,
    data: Data = None,
    form: Format = "table",
    settings: File = None,
) -> None:
    """Count refused messages by reason and list the newest, whether or not bursa is running."""
    loaded = load(settings, data)
    from bursa.verbs.quarantine import Asked, run_list

    asked = Asked(venue, channel, reason, since)
    sys.stdout.write(run_list(loaded.config, asked, limit, form))


@quarantine_verbs.command("show")
def quarantine_show(
    message: Annotated[
        str, typer.Argument(help="Which, as `ls` lists it.", metavar="POSITION[:NTH]")
    ],
    venue: AnyVenue = "",
    data: Data = None,
    settings: File = None,
) -> None:
    """Show a refused message: why, when, all of its bytes, and what each field says."""
    loaded = load(settings, data)
    from bursa.verbs.quarantine import run_show

    sys.exit(run_show(loaded.config, message, venue, say=out))


@quarantine_verbs.command("retry")
def quarantine_retry(  # noqa: PLR0913 -- a command's options
    message: Annotated[
        str, typer.Argument(help="Which, as `ls` lists it.", metavar="POSITION[:NTH]")
    ] = "",
    reason: Reason = "",
    every: Annotated[bool, typer.Option("--all", help="All that no retry took yet.")] = False,
    venue: AnyVenue = "",
    channel: Channel = "",
    since: Since = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be taken; change nothing.")
    ] = False,
    data: Data = None,
    settings: File = None,
) -> None:
    """Try refused messages again with the present decoder; what it takes fills its gap. Exit code 1
    where something is refused again."""
    loaded = load(settings, data)
    from bursa.verbs.quarantine import Asked, run_retry

    asked = Asked(venue, channel, reason, since)
    code = run_retry(loaded.config, message, asked, every=every, dry_run=dry_run, say=out)
    sys.exit(code)
