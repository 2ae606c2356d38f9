"""What the state database needs of an engine, and which of its errors have a name. Knows no engine.

`on_sqlite.py` is a file of the data folder, `on_postgres.py` a server that many share.
"""

from typing import TYPE_CHECKING, Any, Protocol

from bursa.model.errors import Refuse

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

# The execution option of a connection that only reads.
SNAPSHOT = "bursa_snapshot"
# The number of the newest change of who may what, and the channel that tells of one.
COUNTED = "select n from versions where name = 'accounts'"
CHANNEL = "bursa_accounts"


class Conflict(Refuse):
    """What may be there once is there already: an address, a name, a key."""

    def __init__(self, said: str) -> None:
        super().__init__(f"that is there already ({said})", "conflict", 409)


class Look(Protocol):
    """A connection of its own that sees changes of others. Errors are the driver's."""

    def number(self) -> int:
        """The number of the newest change that is committed."""
        ...

    def wait(self, woken: int, for_s: float) -> None:
        """Return when somebody says that there may be a change, when the descriptor `woken` can be
        read, or after so long."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Adapter(Protocol):
    """One engine.

    dialect  sqlite or postgresql
    place    where the database lies, as people are told; bears no password
    """

    dialect: str
    place: str

    def version(self) -> str | None:
        """The version of the tables as they lie there, whatever it is; None where there are none.
        Retry where it is away, Refuse `state_damaged`."""
        ...

    def engine(self) -> "Engine":
        """Connections that each begin, commit and fail as transaction() owes it."""
        ...

    def snapshot_options(self) -> dict[str, Any]:
        """Execution options of a connection that sees all as of one moment and writes nothing."""
        ...

    def alone(self, connection: "Connection", name: str) -> None:
        """Until the transaction ends no other one is alone under that name; waits for it."""
        ...

    def look(self) -> Look:
        """A connection to see changes by. Raises errors of the driver."""
        ...

    def named(self, error: BaseException) -> Exception:
        """An error of the driver by who must act: Retry, Refuse, or the error itself: a bug."""
        ...
