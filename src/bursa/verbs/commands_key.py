"""`bursa key` and `bursa tier`: what their verbs take; verbs/accounts.py does it."""

import sys
from typing import Annotated

import typer

from bursa.verbs.commands_user import Clear, Fields, Limit, Who, Why
from bursa.verbs.options import Data, File, Format, err, load, out

key_verbs = typer.Typer(help="API keys, and the key that signs tokens.", no_args_is_help=True)
tier_verbs = typer.Typer(help="The tier matrix: what each tier may have.", no_args_is_help=True)

Key = Annotated[str, typer.Argument(help="Id, as `ls` lists it; or the whole key.", metavar="KEY")]


@key_verbs.command("make")
def key_make(
    user: Who,
    name: Annotated[str, typer.Option("--name", help="What it is for.")] = "made by bursa key",
    expires: Annotated[
        str,
        typer.Option(
            "--expires", help="When it ends: so many days (90d), a date or a time.", metavar="T"
        ),
    ] = "",
    data: Data = None,
    settings: File = None,
) -> None:
    """Make an API key. It is printed, alone on standard output, and never shown again."""
    loaded = load(settings, data)
    from bursa.verbs import accounts

    ends = accounts.expiry(expires)
    given = {"user": user, "name": name, "expires_ns": ends}
    found = accounts.order(loaded.config, "key.make", given)
    row = found["row"]
    err.print(f"{row['id']}  {accounts.key_text(row)}; keep it: it is not shown again")
    sys.stdout.write(f"{found['key']}\n")


@key_verbs.command("ls")
def key_ls(
    query: Annotated[
        str,
        typer.Argument(help="Part of an address or a name, or a key's beginning.", metavar="QUERY"),
    ] = "",
    user: Annotated[
        str, typer.Option("--user", help="Of this user only: e-mail address, or id.")
    ] = "",
    state: Annotated[
        str, typer.Option("--state", help="Only those active, expired or revoked.")
    ] = "",
    limit: Limit = 100,
    data: Data = None,
    form: Format = "table",
    settings: File = None,
) -> None:
    """List API keys by prefix and last four signs, the newest first."""
    loaded = load(settings, data)
    from bursa.verbs import accounts

    given = accounts.listing(query, limit, user=user, state=state)
    rows = map(accounts.key_row, accounts.order(loaded.config, "key.ls", given)["rows"])
    sys.stdout.write(accounts.rendered(accounts.KEY_COLUMNS, rows, form))


@key_verbs.command("revoke")
def key_revoke(key: Key, reason: Why = "", data: Data = None, settings: File = None) -> None:
    """Have a key, and tokens made with it, open nothing from now on, in every process."""
    loaded = load(settings, data)
    from bursa.verbs import accounts

    row = accounts.order(loaded.config, "key.revoke", {"key": key, "reason": reason})["row"]
    out.print(f"{row['id']}  {accounts.key_text(row)}", markup=False)


@key_verbs.command("override")
def key_override(
    key: Key,
    fields: Fields = None,
    tier: Annotated[
        str, typer.Option("--tier", help="A tier of its own, in place of its user's.")
    ] = "",
    clear: Clear = False,
    reason: Why = "",
    data: Data = None,
    settings: File = None,
) -> None:
    """Let a key have other than its user has; `none` is no limit."""
    loaded = load(settings, data)
    from bursa.verbs import accounts

    given = accounts.overriding(fields, clear, reason, tier)
    row = accounts.order(loaded.config, "key.override", {"key": key, **given})["row"]
    out.print(f"{row['id']}  {accounts.key_text(row)}", markup=False)


@key_verbs.command("rotate")
def key_rotate(data: Data = None, settings: File = None) -> None:
    """Sign tokens with a new key from now on. Those signed with the one before are good until they
    end."""
    loaded = load(settings, data)
    from bursa.verbs import accounts

    found = accounts.order(loaded.config, "key.rotate", {})
    out.print(f"tokens are signed with key {found['kid']} from now on", markup=False)


@tier_verbs.command("ls")
def tier_ls(data: Data = None, form: Format = "table", settings: File = None) -> None:
    """List the tiers with what each may have; null is no limit."""
    loaded = load(settings, data)
    from bursa.verbs import accounts

    rows = accounts.order(loaded.config, "tier.ls", {})["rows"]
    sys.stdout.write(accounts.rendered(accounts.TIER_COLUMNS, rows, form))


@tier_verbs.command("set")
def tier_set(
    tier: Annotated[str, typer.Argument(help="Tier, e.g. pro.", metavar="TIER")],
    fields: Annotated[
        list[str],
        typer.Argument(
            help="What it may have, e.g. rate=900 timeframes=1d,1h hd=raw; none is no limit.",
            metavar="FIELD=VALUE...",
        ),
    ],
    reason: Why = "",
    data: Data = None,
    settings: File = None,
) -> None:
    """Change what a tier may have; every process goes by it within a second."""
    loaded = load(settings, data)
    from bursa.verbs import accounts

    given = {"tier": tier, "fields": accounts.fields_of(fields), "reason": reason}
    rows = accounts.order(loaded.config, "tier.set", given)["rows"]
    sys.stdout.write(accounts.rendered(accounts.TIER_COLUMNS, rows, "table"))
