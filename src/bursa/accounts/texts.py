"""Texts that people give: names, addresses, what a machine says. Pure."""

import re

from bursa.model.errors import Refuse

EMAIL_MAX, NAME_MAX = 254, 100
# What mail servers take without quoting; nothing that could begin another header.
_EMAIL = re.compile(
    r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII
)


def email(given: str, name: str = "email") -> str:
    """An address as it is kept: lower case. Refuse `bad_email`, of the parameter `name`."""
    folded = given.strip().lower()
    if len(folded) > EMAIL_MAX or not _EMAIL.fullmatch(folded) or ".." in folded:
        text = f"{name}={given[:64]!r} is no e-mail address like name@example.com"
        raise Refuse(text, "bad_email", 400, name)
    return folded


def tried(given: str) -> str:
    """An address that somebody tried, as the audit keeps it: where it is none it may be a password
    that went into the wrong field, and is not told."""
    try:
        return email(given)
    except Refuse:
        return "(no address)"


def label(given: str, name: str = "name", least: int = 1) -> str:
    """A name as it is kept: one line. Refuse `bad_name`, of the parameter `name`."""
    folded = given.strip()
    if not least <= len(folded) <= NAME_MAX or not folded.isprintable():
        text = f"{name}={given[:64]!r}: {least} to {NAME_MAX} characters of one line"
        raise Refuse(text, "bad_name", 400, name)
    return folded


def plain(given: str, most: int) -> str:
    """What a program says of itself, cut to so many characters, without those that steer a
    terminal."""
    return "".join(one if one.isprintable() else " " for one in given[:most]).strip()
