"""What the audit says of one act: a value, and who takes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from bursa.accounts.who import Actor, Role

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Event:
    """Who did what to whom. Never bears a secret.

    at_ns       our clock, ns since 1970 UTC
    actor       id of the user who did it; `cli`, `job`; "" where nobody had signed in
    actor_role  his role then
    act         what was done: `user.tier`, `key.revoke`, `sign_in`
    target      id of what it was done to, or the address that was tried
    before      what was changed, as it was; empty for something new
    after       as it is now
    address     address that it came from; "" on the machine itself
    request_id  id of the request; "" where there was none
    ok          False: it was refused
    """

    at_ns: int
    actor: str
    actor_role: Role
    act: str
    target: str
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    address: str = ""
    request_id: str = ""
    ok: bool = True


def event(
    by: Actor,
    at_ns: int,
    act: str,
    target: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    *,
    ok: bool = True,
) -> Event:
    """What somebody did."""
    return Event(
        at_ns, by.user, by.role, act, target, before or {}, after or {}, by.address, by.request, ok
    )


class Recorder(Protocol):
    """Who keeps events (audit.py)."""

    def within(self, connection: "Connection", event: Event) -> None:
        """Keep it in the transaction that does the act: both are there, or none."""

    def tell(self, event: Event) -> None:
        """Keep what has no transaction: on disk when it returns, or before long, whether or not the
        database is there."""
