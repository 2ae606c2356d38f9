"""`bursa user`: what its verbs take; verbs/accounts.py does it."""

import sys
from typing import Annotated

import typer

from bursa.verbs.options import Data, File, Format, load, out

user_verbs = typer.Typer(help="People: who they are, and what they may.", no_args_is_help=True)

Who = Annotated[str, typer.Argument(help="E-mail address, or id.", metavar="USER")]
Why = Annotated[str, typer.Option("--reason", help="Kept in the audit.")]
FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]
Limit = Annotated[int, typer.Option("--limit", help="Rows that are listed.")]
Fields = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="A field of the tier that is another one here, e.g. rate=1200; several times.",
        metavar="FIELD=VALUE",
    ),
]
Clear = Annotated[bool, typer.Option("--clear", help="Forget what was set before.")]


@user_verbs.command("create")
def user_create(
    email: Annotated[str, typer.Argument(help="E-mail address.", metavar="EMAIL")],
    role: Annotated[str, typer.Option("--role", help="user, admin or superadmin.")] = "user",
    tier: Annotated[str, typer.Option("--tier", help="Tier, e.g. pro.")] = "free",
    name: Annotated[str, typer.Option("--name", help="What the person is called.")] = "",
    from_stdin: FromStdin = False,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="Without one: it is set by a letter's link.")
    ] = False,
    data: Data = None,
    settings: File = None,
) -> None:
    """Make a user, whose address counts as verified; asks for a password. The first superadmin is
    made so."""
    loaded = load(settings, data)
    from bursa.verbs import accounts

    given: dict[str, str | None] = {"email": email, "role": role, "tier": tier, "name": name}
    accounts.judge(email, role, name)
    given["password"] = accounts.password(not no_password, from_stdin, typer.prompt)
    accounts.tell_user(accounts.order(loaded.config, "user.create", given)["user"], out)


@user_verbs.command("ls")
def user_ls(
    query: Annotated[
        str, typer.Argument(help="Part of an address or a name.", metavar="QUERY")
    ] = "",
    tier: Annotated[str, typer.Option("--tier", help="Of this tier only.")] = "",
    role: Annotated[str, typer.Option("--role", help="Of this role only.")] = "",
    state: Annotated[
        str, typer.Option("--state", help="Only the unverified, active or disabled.")
    ] = "",
    limit: Limit = 100,
    data: Data = None,
    form: Format = "table",
    settings: File = None,
) -> None:
    """List people, the newest first, whether or not bursa is running."""
    loaded = load(settings, data)
    from bursa.verbs import accounts

    given = accounts.listing(query, limit, tier=tier, role=role, state=state)
    rows = accounts.order(loaded.config, "user.ls", given)["rows"]
    sys.stdout.write(accounts.rendered(accounts.USER_COLUMNS, rows, form))


@user_verbs.command("show")
def user_show(user: Who, data: Data = None, settings: File = None) -> None:
    """Show one: what he may have, his keys and his machines."""
    loaded = load(settings, data)
    from bursa.verbs import accounts

    accounts.tell_whole(accounts.order(loaded.config, "user.show", {"user": user}), out)


@user_verbs.command("role")
def user_role(
    user: Who,
    role: Annotated[str, typer.Argument(help="user, admin or superadmin.", metavar="ROLE")],
    reason: Why = "",
    data: Data = None,
    settings: File = None,
) -> None:
    """Say what somebody may do with others; his sessions end. The last superadmin stays one."""
    loaded = load(settings, data)
    from bursa.verbs import accounts

    given = {"user": user, "role": role, "reason": reason}
    accounts.tell_user(accounts.order(loaded.config, "user.role", given)["user"], out)


@user_verbs.command("tier")
def user_tier(
    user: Who,
    tier: Annotated[str, typer.Argument(help="Tier, e.g. pro.", metavar="TIER")],
    reason: Why = "",
    data: Data = None,
    settings: File = None,
) -> None:
    """Put somebody on a tier; every process goes by it within a second."""
    loaded = load(settings, data)
    from bursa.verbs import accounts

    given = {"user": user, "tier": tier, "reason": reason}
    accounts.tell_user(accounts.order(loaded.config, "user.tier", given)["user"], out)


@user_verbs.command("disable")
def user_disable(user: Who, reason: Why = "", data: Data = None, settings: File = None) -> None:
    """Have somebody's keys, tokens and sessions open nothing from now on."""
    loaded = load(settings, data)
    from bursa.verbs import accounts

    given = {"user": user, "reason": reason}
    accounts.tell_user(accounts.order(loaded.config, "user.disable", given)["user"], out)


@user_verbs.command("enable")
def user_enable(user: Who, reason: Why = "", data: Data = None, settings: File = None) -> None:
    """Undo `disable`: his keys open again what they did."""
    loaded = load(settings, data)
    from bursa.verbs import accounts

    given = {"user": user, "reason": reason}
    accounts.tell_user(accounts.order(loaded.config, "user.enable", given)["user"], out)


@user_verbs.command("password")
def user_password(
    user: Who, from_stdin: FromStdin = False, data: Data = None, settings: File = None
) -> None:
    """Give somebody a password, which is asked for; his sessions end."""
    loaded = load(settings, data)
    from bursa.verbs import accounts

    given = {"user": user, "password": accounts.password(True, from_stdin, typer.prompt)}
    accounts.tell_user(accounts.order(loaded.config, "user.password", given)["user"], out)


@user_verbs.command("override")
def user_override(
    user: Who,
    fields: Fields = None,
    clear: Clear = False,
    reason: Why = "",
    data: Data = None,
    settings: File = None,
) -> None:
    """Let somebody have other than his tier gives; `none` is no limit. Of a key: `bursa key
    override`."""
    loaded = load(settings, data)
    from bursa.verbs import accounts

    given = accounts.overriding(fields, clear, reason)
    found = accounts.order(loaded.config, "user.override", {"user": user, **given})
    accounts.tell_user(found["user"], out)
