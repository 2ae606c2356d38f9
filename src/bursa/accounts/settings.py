"""Settings that are changed while bursa runs: what there is, what may be, and what holds now.

A setting that nobody changed has its default. A change is read by every process within a second
(standing.py), and is audited with what it was before. The configuration of a process is another
thing (config/tree.py).
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bursa.accounts import tiers
from bursa.model.errors import Refuse


class Kept(Protocol):
    """What knows the settings that somebody changed: the Standing of a process."""

    def setting(self, name: str) -> Any:
        """Its value; None where nobody changed it."""

    def tiers(self) -> Mapping[str, Any]:
        """The tiers that there are, by name."""


@dataclass(frozen=True)
class Setting:
    """One setting. `allowed`: its words, given the tiers that there are."""

    name: str
    default: str
    text: str
    allowed: Callable[[Collection[str]], Collection[str]]


OPEN, CLOSED = "open", "closed"
SIGN_UP = Setting(
    "sign_up",
    OPEN,
    "may people make accounts themselves? closed: users are made by admins alone",
    lambda _: (OPEN, CLOSED),
)
SIGN_UP_TIER = Setting(
    "sign_up_tier",
    tiers.DEFAULT,
    "tier of those who make an account themselves",
    lambda known: known,
)
EVERY: Mapping[str, Setting] = {one.name: one for one in (SIGN_UP, SIGN_UP_TIER)}


def value(kept: Kept, setting: Setting) -> str:
    """What holds now."""
    found = kept.setting(setting.name)
    return setting.default if found is None else str(found)


def sign_up_open(kept: Kept) -> bool:
    """May people make accounts themselves?"""
    return value(kept, SIGN_UP) == OPEN


def sign_up_tier(kept: Kept) -> str:
    """Tier of those who do; the default one where the one that was set is gone."""
    found = value(kept, SIGN_UP_TIER)
    return found if found in kept.tiers() else tiers.DEFAULT


def known(name: str) -> Setting:
    """The setting of that name. Refuse `unknown_setting`."""
    if name not in EVERY:
        text = f"{name[:64]!r} is no setting; there are {', '.join(EVERY)}"
        raise Refuse(text, "unknown_setting", 404, "name")
    return EVERY[name]


def judged(setting: Setting, given: str, known_tiers: Collection[str]) -> str:
    """A value as the database keeps it (JSON). Refuse `bad_setting` says what is allowed."""
    allowed = setting.allowed(known_tiers)
    if given not in allowed:
        text = f"{setting.name}={given[:64]!r}; allowed: {', '.join(allowed)}"
        raise Refuse(text, "bad_setting", parameter="value")
    return json.dumps(given)
