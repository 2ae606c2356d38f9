"""What the docs are told of the command line and the settings, as plain data.

Walks the commands as they are registered and the tree of settings, so that nothing is said twice.
Runs no verb and reads no value.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
import typer

from bursa import config
from bursa.web.docs.made import Knob, Told, Verb


def told(app: typer.Typer) -> Told:
    """Verbs and settings; what a run adds, it adds itself."""
    settings = [msgspec.to_builtins(setting) for setting in config.settings()]
    return Told(settings, described(app))


def described(app: typer.Typer) -> list[Verb]:
    """The verbs of a command line, in the order in which they are listed."""
    return list(_verbs(typer.main.get_command(app), "bursa"))


def _verbs(command: Any, path: str) -> Iterator[Verb]:
    below = getattr(command, "commands", {})
    for name, one in below.items():
        yield from _verbs(one, f"{path} {name}")
    if not below:
        yield Verb(path, " ".join((command.help or "").split()), tuple(_knobs(command)))


def _knobs(command: Any) -> Iterator[Knob]:
    for one in command.params:
        option = one.opts[0].startswith("-")
        names = ", ".join((*one.opts, *one.secondary_opts)) if option else ""
        value = "" if getattr(one, "is_flag", False) else one.metavar or one.name.upper()
        shown = one.show_default
        if not isinstance(shown, str):
            plain = one.default is None or isinstance(one.default, bool)
            shown = "" if plain else str(one.default)
        yield Knob(f"{names} {value}".strip(), one.help or "", shown, one.required)
