"""The tier matrix: what each tier may have, and what an override changes of it.

The matrix lies in the database (table `tiers`), seeded from here; an override of a key beats the
key's tier, which beats the user's. Pure.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bursa.accounts.who import EVERYTHING, Rights

FREE = Rights("free", 60, frozenset({"1d"}), 90, "none", 0, 1, 1_000)
PRO = Rights("pro", 600, None, 730, "scaled", 50, 2, 10_000)
# What a new database holds.
SEED: Mapping[str, Rights] = {"free": FREE, "pro": PRO, "enterprise": EVERYTHING}
DEFAULT = "free"


def overridden(rights: Rights, override: Mapping[str, Any]) -> Rights:
    """Rights with some fields replaced; `override` was judged when it was saved."""
    return replace(rights, **override) if override else rights
