"""The command line. Each verb reads the configuration, and calls its file of verbs/.

Exit codes: 0 done, 1 it did not work out, 2 the command or the configuration is wrong, 130 stopped
by Ctrl-C before it was done.
"""

import inspect
import io
import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from bursa import __version__, config, no_kernels
from bursa.model.errors import BursaError, Refuse
from bursa.verbs.commands import hd_verbs, kinds_verbs, quarantine_verbs
from bursa.verbs.commands_audit import audit_verbs
from bursa.verbs.commands_backfill import backfill_verbs, repair_verbs
from bursa.verbs.commands_backup import backup_verbs
from bursa.verbs.commands_dlq import dlq_verbs
from bursa.verbs.commands_drain import drain_verbs
from bursa.verbs.commands_export import export_verbs
from bursa.verbs.commands_gaps import gaps_verbs
from bursa.verbs.commands_journal import journal_verbs
from bursa.verbs.commands_key import key_verbs, tier_verbs
from bursa.verbs.commands_quality import quality_verbs
from bursa.verbs.commands_user import user_verbs
from bursa.verbs.options import Data, File, Format, Json, TheOnlyVenue, VenueName, err, load, out

app = typer.Typer(
    name="bursa",
    help="A real-time market-data platform: from the exchange's wire to the screen.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config_verbs = typer.Typer(help="The configuration.", no_args_is_help=True)
app.add_typer(config_verbs, name="config")
app.add_typer(kinds_verbs, name="kinds")
app.add_typer(hd_verbs, name="hd")
app.add_typer(backfill_verbs, name="backfill")
app.add_typer(gaps_verbs, name="gaps")
app.add_typer(repair_verbs)
app.add_typer(backup_verbs)
app.add_typer(drain_verbs)
app.add_typer(export_verbs)
app.add_typer(quality_verbs)
app.add_typer(journal_verbs, name="journal")
app.add_typer(quarantine_verbs, name="quarantine")
app.add_typer(dlq_verbs, name="dlq")
app.add_typer(user_verbs, name="user")
app.add_typer(key_verbs, name="key")
app.add_typer(tier_verbs, name="tier")
app.add_typer(audit_verbs, name="audit")
symbols_verbs = typer.Typer(help="What instruments are called.", no_args_is_help=True)
app.add_typer(symbols_verbs, name="symbols")

# What is wrong is what was asked or configured, not what came of it.
MISUSE = ("bad_config", "bad_request", "bad_layout", "bad_calendar")


def whole_sentences(verbs: typer.Typer) -> None:
    """Have the list of verbs say each docstring as one paragraph: it breaks lines itself."""
    for one in verbs.registered_commands:
        one.help = " ".join((one.help or inspect.getdoc(one.callback) or "").split())
    for group in verbs.registered_groups:
        if group.typer_instance is not None:
            whole_sentences(group.typer_instance)


def main() -> None:
    """Entry point: errors that name who must act become one line and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names have letters that ASCII lacks
    try:
        if no_kernels:
            raise Refuse(no_kernels, "bad_config")
        app(standalone_mode=True)
    except Refuse as refused:
        err.print(f"[red]bursa:[/] {escape(str(refused))}")
        sys.exit(2 if refused.code in MISUSE else 1)
    except BursaError as error:
        err.print(f"[red]bursa:[/] {escape(str(error))}")
        sys.exit(1)


@app.command()
def up(
    demo: Annotated[
        bool, typer.Option("--demo", help="Start the demo exchange and take its feed.")
    ] = False,
    data: Data = None,
    port: Annotated[
        int | None,
        typer.Option("--port", help="HTTP port; 0 takes a free one.", show_default="18090"),
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option("--speed", help="Demo: market seconds a second.", show_default="1"),
    ] = None,
    rate: Annotated[
        str | None,
        typer.Option(
            "--rate", help="Demo: messages a second, or max.", show_default="by the clock"
        ),
    ] = None,
    file: File = None,
) -> None:
    """Run bursa: feeds, journal, bars, metrics, store, API and pages in one process."""
    loaded = load(file, data, http__port=port, exchange__speed=speed, exchange__rate=rate)
    from bursa.up import run_up  # the heavy imports, only where they are needed
    from bursa.verbs.told import told

    sys.exit(run_up(loaded.config, demo=demo, say=out, warn=err, told=told(app)))


@app.command()
def replay(
    file: Annotated[
        Path, typer.Argument(help="A recording, plain or .gz; - is standard input.", metavar="FILE")
    ],
    venue: Annotated[str, typer.Option("--venue", help="Whose recording it is, e.g. binance.")],
    day: Annotated[
        str, typer.Option("--date", help="Its day, where neither it nor its name says one (xnas).")
    ] = "",
    data: Data = None,
    settings: File = None,
) -> None:
    """Journal a recording and store what it holds. Done again, it adds nothing."""
    loaded = load(settings, data)
    from bursa.verbs.replay import run_replay

    sys.exit(run_replay(loaded.config, file, venue, day, say=out, warn=err))


@app.command()
def capture(  # noqa: PLR0913 -- a command's options
    file: Annotated[
        Path,
        typer.Argument(help="The recording to write, plain or .gz; .txt is text.", metavar="FILE"),
    ],
    feed: Annotated[
        str, typer.Option("--feed", help="Which source, where several are configured.")
    ] = "",
    demo: Annotated[
        bool, typer.Option("--demo", help="The demo exchange that runs on the data folder.")
    ] = False,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="End after so long.", min=0.001)
    ] = None,
    messages: Annotated[
        int | None, typer.Option("--messages", help="End after so many messages.", min=1)
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Only what comes from now on, not the whole session.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE.")] = False,
    data: Data = None,
    settings: File = None,
) -> None:
    """Record a line for `bursa replay`, until Ctrl-C. A vendor may allow one login at a time."""
    loaded = load(settings, data)
    from bursa.verbs.capture import Wanted, run_capture

    wanted = Wanted(file, feed, demo, seconds, messages, live, force)
    sys.exit(run_capture(loaded.config, wanted, say=out, warn=err))


@app.command()
def sql(
    query: Annotated[
        str, typer.Argument(help="One SELECT, DESCRIBE, SUMMARIZE or SHOW TABLES.", metavar="QUERY")
    ],
    data: Data = None,
    form: Format = "table",
    settings: File = None,
) -> None:
    """Ask the stored tables with one statement that only reads, whether or not bursa is running."""
    loaded = load(settings, data)
    from bursa.verbs.sql import run_sql

    sys.stdout.write(run_sql(loaded.config, query, form))


@app.command()
def doctor(data: Data = None, settings: File = None, as_json: Json = False) -> None:
    """See whether machine, data folder and configuration are fit to run; exit code 1 if not."""
    from bursa.verbs.doctor import run_doctor

    def loaded() -> config.Loaded:
        return load(settings, data)

    file = config.file_of(None if settings is None else str(settings))
    given = None if data is None else str(data)
    sys.exit(run_doctor(loaded, file, given, as_json=as_json, say=out))


@app.command()
def smoke(
    url: Annotated[
        str, typer.Argument(help="Where it answers, e.g. http://127.0.0.1:18090.", metavar="URL")
    ],
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds one answer may take.", min=0.1, max=600)
    ] = 10.0,
    key: Annotated[
        typer.FileText | None,
        typer.Option(
            "--key-file", help="File with an API key, - for standard input; a demo needs none."
        ),
    ] = None,
    ca_file: Annotated[
        str,
        typer.Option(
            "--ca-file",
            help="PEM file of the authority to trust, for certificates of your own.",
            metavar="FILE",
            show_default="the system's",
        ),
    ] = "",
    plain_port: Annotated[
        int | None,
        typer.Option(
            "--plain-port",
            help="Where plain HTTP must lead to HTTPS; 0: do not ask.",
            min=0,
            max=65535,
            show_default="80, where the URL has no port",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask a running server what a deployer would, and one that is reached over TLS or from another
    machine the whole checklist of its deployment; exit code 1 if an answer is bad."""
    from bursa.verbs.smoke import With, run_smoke

    given = With("" if key is None else key.read(1024).strip(), ca_file, plain_port)
    sys.exit(run_smoke(url, timeout, as_json=as_json, say=out, given=given))


@app.command()
def verify(
    day: Annotated[str, typer.Argument(help="The venue's day: 2025-11-21.", metavar="DATE")],
    venue: TheOnlyVenue = "",
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Only this kind, e.g. ohlcv; several times.")
    ] = None,
    data: Data = None,
    as_json: Json = False,
    settings: File = None,
) -> None:
    """Recompute a day from the journal and compare it with the store; exit code 1 if not equal."""
    loaded = load(settings, data)
    from bursa.verbs.verify import run_verify

    kinds = kind or []
    sys.exit(run_verify(loaded.config, day, venue, kinds, as_json=as_json, say=out, warn=err))


@symbols_verbs.command("import")
def symbols_import(
    file: Annotated[Path, typer.Argument(help="CSV of ticker and issuer's name.", metavar="FILE")],
    venue: VenueName = "idx",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change; change nothing.")
    ] = False,
    data: Data = None,
    settings: File = None,
) -> None:
    """Take issuers' names from a list; a running bursa shows them within seconds."""
    loaded = load(settings, data)
    from bursa.verbs.symbols import run_import

    sys.exit(run_import(loaded.config, file, venue, dry_run=dry_run, say=out))


@symbols_verbs.command("ls")
def symbols_ls(
    query: Annotated[
        str, typer.Argument(help="Part of a code or of a name.", metavar="QUERY")
    ] = "",
    venue: VenueName = "idx",
    data: Data = None,
    form: Format = "table",
    settings: File = None,
) -> None:
    """List instruments with their names, and where each name comes from."""
    loaded = load(settings, data)
    from bursa.verbs.symbols import run_list

    sys.stdout.write(run_list(loaded.config, query, venue, form))


@config_verbs.command("show")
def config_show(
    data: Data = None,
    file: File = None,
    form: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
) -> None:
    """Print every setting, and where its value came from; secrets are masked."""
    loaded = load(file, data)
    found = config.rows(loaded)
    if form == "json":
        rows = [{"path": p, "value": v, "origin": o} for p, v, o in found]
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
        return
    if form != "table":
        raise Refuse(f"--format: {form}; allowed: table, json", parameter="format")
    meanings = {path: meaning for path, _, meaning in config.leaves()}
    table = Table("setting", "value", "from", "meaning", box=None, pad_edge=False)
    for path, value, origin in found:
        shown = escape(str(value))
        shown = f"[bold]{shown}[/]" if origin != "default" else shown
        table.add_row(path, shown, escape(origin), f"[dim]{escape(meanings.get(path, ''))}[/]")
    out.print(table)


@app.command()
def version() -> None:
    """Print the version."""
    sys.stdout.write(f"bursa {__version__}\n")


whole_sentences(app)
