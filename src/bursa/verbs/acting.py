"""Accounts for a verb: those of the folder that nobody serves, or of a server's database.

Nothing of it serves requests: no threads, no secrets but where they are asked for. What is done is
in the audit at once.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bursa.accounts.audit import Audit
from bursa.accounts.clerk import Clerk
from bursa.accounts.parts import Acts
from bursa.accounts.secrets import Secrets
from bursa.accounts.tokens import Tokens
from bursa.app import SystemClock, accounts_database, secrets_of
from bursa.config import Config
from bursa.ops.telemetry import Telemetry
from bursa.store.folder import DataFolder


@contextlib.contextmanager
def acts_of(config: Config) -> Iterator[Acts]:
    """What is done to accounts. Where they lie in the data folder, that is held meanwhile, by who
    calls."""
    clock = SystemClock()
    with accounts_database(config) as database:
        database.check()
        yield Acts(database, clock, Audit(database, clock, Telemetry(), None))


@contextlib.contextmanager
def clerk_of(config: Config) -> Iterator[Clerk]:
    """Who takes orders about accounts where no process that holds the folder does."""
    data = Path(config.data)
    with contextlib.ExitStack() as stack:
        if not config.accounts.database:
            stack.enter_context(DataFolder(data))
        acts = stack.enter_context(acts_of(config))

        def tokens() -> Tokens:
            return Tokens(Secrets(secrets_of(config, data), acts.clock.now_ns()))

        yield Clerk(acts, tokens)
