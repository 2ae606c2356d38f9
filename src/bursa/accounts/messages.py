"""What people are written: subject and text of each message, with the links in it.

Plain text. A link leads to a page, which acts only on a press of its button: programs that look
through mail open links by themselves. Sends nothing.
"""

from typing import NamedTuple
from urllib.parse import quote


class Message(NamedTuple):
    """A subject and a text."""

    subject: str
    text: str


def _link(url: str, page: str, token: str) -> str:
    return f"{url.rstrip('/')}/{page}?token={quote(token, safe='')}"


def verify(url: str, token: str, hours: int) -> Message:
    """To somebody who signed up: prove that the address is yours. `url` is the server's."""
    text = f"""Somebody, probably you, signed up at {url} with this address.

Open this page and confirm it:

    {_link(url, "verify", token)}

The link works once, within {hours} hours. If it was not you, do nothing: without
this step the account stays shut.
"""
    return Message("Confirm your address", text)


def known(url: str) -> Message:
    """To somebody whose address was used to sign up although it has an account."""
    text = f"""Somebody, probably you, tried to sign up at {url} with this address. It has
an account already, and nothing was changed.

Sign in:            {url.rstrip("/")}/sign-in
Forgot the password: {url.rstrip("/")}/forgot

If it was not you, do nothing.
"""
    return Message("You have an account already", text)


def reset(url: str, token: str, minutes: int) -> Message:
    """To somebody who forgot his password."""
    text = f"""Somebody, probably you, asked for a new password at {url}.

Open this page and choose one:

    {_link(url, "reset", token)}

The link works once, within {minutes} minutes. If it was not you, do nothing: the
password stays as it is.
"""
    return Message("Choose a new password", text)


def changed(url: str) -> Message:
    """To somebody whose password was changed."""
    text = f"""The password of your account at {url} was changed, and whoever was signed in
with it is signed out.

If it was not you, choose a new one at once: {url.rstrip("/")}/forgot
"""
    return Message("Your password was changed", text)
