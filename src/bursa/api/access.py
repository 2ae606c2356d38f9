"""What routes ask of whoever came in: who it is, and what he may have.

The guard has found the principal and left it in the scope; here are his rights, as refusals that
name the tier which has what he lacks.
"""

from collections.abc import Mapping
from typing import Any

from bursa.accounts.who import Principal


def who(scope: Mapping[str, Any]) -> Principal:
    """Who asks. Behind a public door it may be nobody (who.NOBODY)."""
    found: Principal = scope["state"]["who"]
    return found


def count_rows(scope: Mapping[str, Any], rows: int) -> None:
    """Say how many rows an answer has, for the usage of whoever asked."""
    scope["state"]["rows"] = rows


def address(scope: Mapping[str, Any]) -> str:
    """Where a request comes from: the client's address, as trusted proxies tell it."""
    found: str = scope["state"]["address"]
    return found
