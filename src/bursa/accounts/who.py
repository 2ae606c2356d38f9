"""Who asks, and what he may: values that every surface reads and none makes.

The guard (api/guard.py) finds the principal of a request and leaves it in the scope; routes read
its rights. Nothing here reads a clock, a database or a secret.
"""

from dataclasses import dataclass, field
from typing import Literal

Role = Literal["user", "admin", "superadmin"]
# How somebody showed who he is.
Via = Literal["nobody", "demo", "token", "key", "session"]
# What is shown of HD: zeros, values multiplied by a factor of the reader's own, values as they are.
HdView = Literal["none", "scaled", "raw"]

ROLES: tuple[Role, ...] = ("user", "admin", "superadmin")
VIEWS: tuple[HdView, ...] = ("none", "scaled", "raw")


@dataclass(frozen=True, slots=True)
class Rights:
    """What one reader may have: a tier's row, with what was overridden for him.

    tier            name of the tier
    rate            requests a minute, all of a user's keys together; None: no limit
    timeframes      names of timeframes he may ask for; None: all, and trades and books too
    history_days    days back from now that he may ask for; None: all
    hd              what he sees of HD
    stream_symbols  instruments he may stream at once; 0: none; None: no limit
    machines        machines that may be activated at once
    rows            rows of one answer at most
    """

    tier: str
    rate: int | None
    timeframes: frozenset[str] | None
    history_days: int | None
    hd: HdView
    stream_symbols: int | None
    machines: int
    rows: int


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks.

    user       id of the user; "" for nobody
    email      as it is shown to himself and to admins
    role       what he may do with others
    via        how he showed it
    rights     what he may have
    factor     what HD is multiplied by where rights.hd is `scaled`, in [0.5, 2); 1.0 else
    key        id of the API key; "" where none took part
    machine    id of the machine that the token was made for; "" for none
    session    id of the session; "" where none took part
    expires_s  when the token ends, seconds since 1970 by our clock; 0.0: no token
    """

    user: str
    email: str
    role: Role
    via: Via
    rights: Rights
    factor: float = 1.0
    key: str = ""
    machine: str = ""
    session: str = ""
    expires_s: float = field(default=0.0, compare=False)

    @property
    def view(self) -> tuple[HdView, float]:
        """What caches vary by: how HD is shown to him, and times what."""
        return self.rights.hd, self.factor

    @property
    def is_admin(self) -> bool:
        """May he see others?"""
        return self.role != "user"


EVERYTHING = Rights("enterprise", None, None, None, "raw", None, 5, 10_000)
NOTHING = Rights("none", 0, frozenset(), 0, "none", 0, 0, 0)
# Who asks without credentials: of a demo, and anywhere else.
DEMO = Principal("demo", "demo", "user", "demo", EVERYTHING)
NOBODY = Principal("", "", "user", "nobody", NOTHING)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something to an account, and from where: what the audit says of it.

    user     id of the user; "" for somebody who has not signed in; `cli` for who runs a verb on the
             machine, who may do all
    role     what he may do with others
    address  address that he came from; "" for a verb
    via      how: `web`, `api`, `cli`, `job`
    request  id of the request; "" where there is none
    """

    user: str
    role: Role
    address: str = ""
    via: str = "web"
    request: str = ""


# Who runs a verb owns the machine; what is done at its time, nobody does.
CLI = Actor("cli", "superadmin", via="cli")
JOB = Actor("job", "superadmin", via="job")
