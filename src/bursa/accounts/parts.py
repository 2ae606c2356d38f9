"""All of accounts in one process: what acts on them, what asks them, and their clockwork.

`Acts` is enough for who changes accounts on the database itself, a verb; `Accounts` is what serves
requests. Its threads: one hears of changes (state/changes.py), one writes usage, one the audit, one
sends letters, and one here does what is to be done every so often.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from sqlalchemy import select

from bursa.accounts import hd
from bursa.accounts.audit import FOLDER, Audit
from bursa.accounts.change import Changes
from bursa.accounts.desk import Desk
from bursa.accounts.imports import Imports
from bursa.accounts.jobs import Job, Jobs
from bursa.accounts.keys import Keys
from bursa.accounts.limits import MEMORY, Limiter
from bursa.accounts.machines import Machines
from bursa.accounts.mail import ConsoleMail, Server, SmtpMail
from bursa.accounts.matrix import Matrix
from bursa.accounts.orders import Orders
from bursa.accounts.outgoing import Outgoing
from bursa.accounts.passwords import Passwords
from bursa.accounts.people import People
from bursa.accounts.secrets import Secrets, has_secrets
from bursa.accounts.sessions import Sessions
from bursa.accounts.standing import Standing
from bursa.accounts.subscriptions import Subscriptions
from bursa.accounts.throttle import TurnedAway
from bursa.accounts.tokens import Tokens
from bursa.accounts.usage import Usage
from bursa.accounts.who import JOB
from bursa.model.errors import Refuse, Retry
from bursa.ops.back_off import BackOff
from bursa.ops.logs import logger
from bursa.ops.telemetry import Telemetry
from bursa.ports import Clock
from bursa.state.account_tables import SETTINGS
from bursa.state.changes import Watch
from bursa.state.database import Database

# Which folder of secrets the accounts are tied to: a setting that nobody sets.
FINGERPRINT = "secrets_fingerprint"
# How long a start waits before it asks a database that is away again, seconds.
WAITS_S = (0.5, 1.0, 2.0, 4.0)


class Acts:
    """What is done to accounts, on one database. Blocks; Retry while it is away.

    factor  of a user's id: what HD is multiplied by for him; nobody asks for it in a verb
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        audit: Audit,
        factor: Callable[[str], float] = lambda user: 1.0,
    ) -> None:
        self.database, self.clock, self.audit = database, clock, audit
        self.standing = Standing(database, factor)
        self.changes = Changes(database, self.standing, audit, clock)
        self.people = People(self.changes, Passwords())
        self.sessions, self.keys = Sessions(self.changes), Keys(self.changes)
        self.machines, self.matrix = Machines(self.changes), Matrix(self.changes)
        self.subscriptions = Subscriptions(self.changes)
        self.desk = Desk(database, self.standing, clock.now_ns)
        self.imports, self.orders = Imports(self.changes), Orders(self.changes)


@dataclass(frozen=True)
class Beside:
    """What a process has beside the database of its accounts.

    data        its data folder: the audit's files lie in it
    secrets     folder of secrets
    limits      where requests are counted: `memory`, or the URL of a server
    server      the mail server; None: letters are shown on standard error
    public_url  what links in letters begin with; "": a name or the address of the server
    demo        is who shows nothing the demo's user?
    """

    data: Path
    secrets: Path
    limits: str = MEMORY
    server: Server | None = None
    public_url: str = ""
    demo: bool = False


class Accounts(Acts):
    """All of it, for a process that serves. Making it reads the accounts once: Retry while the
    database is away, Refuse `bad_secrets`, `secrets_differ` where the folder of secrets is not the
    one that these accounts were made with."""

    def __init__(
        self, database: Database, clock: Clock, telemetry: Telemetry, beside: Beside
    ) -> None:
        audit = Audit(database, clock, telemetry, beside.data / FOLDER)
        super().__init__(database, clock, audit, self._factor)
        self.standing.refresh()
        self.secrets = self._secrets(beside.secrets)
        self.tokens = Tokens(self.secrets)
        self.limiter = Limiter(clock, telemetry, beside.limits, self.secrets.pages)
        self.turned_away = TurnedAway(self.changes)
        self.usage = Usage(database, clock, telemetry)
        sends = ConsoleMail() if beside.server is None else SmtpMail(beside.server, clock)
        self.mail = Outgoing(sends, telemetry, Random())
        self.public_url, self.demo = beside.public_url, beside.demo
        self.watch = Watch(database, self.standing.refresh, telemetry=telemetry)
        self._jobs = Jobs(self._due(), telemetry)

    def start(self) -> None:
        """Hear of changes, write, send, and do what is to be done every so often."""
        self.audit.start()
        self.watch.start()
        self.usage.start()
        self.mail.start()
        self._jobs.start()

    def stop(self) -> None:
        """Write what is left and end; accounts are not to be asked any more."""
        self._jobs.stop()
        self.mail.stop()
        self.usage.stop()
        self.watch.stop()
        self.turned_away.flush(last=True)
        self.audit.stop()

    def first_superadmin(self, email: str, password: str, name: str = "password") -> None:
        """Make the first superadmin; nothing where there is one. Refuse `weak_password` of the
        parameter `name`, `bad_email`, `email_taken`."""
        if self.people.first(email, password, name):
            logger("accounts").info("the first superadmin is made", email=email)

    def _factor(self, user: str) -> float:
        return hd.factor(self.secrets.hd, user)

    def _secrets(self, folder: Path) -> Secrets:
        """The secrets, which these accounts are tied to from the first start on. Refuse
        `secrets_differ`."""
        known = self.standing.setting(FINGERPRINT)
        if known is not None and not has_secrets(folder):
            raise _differ(folder)
        found = Secrets(folder, self.clock.now_ns())
        if known is None:
            known = self._tied(found.fingerprint)
        if known != found.fingerprint:
            raise _differ(folder)
        return found

    def _tied(self, fingerprint: str) -> str:
        """Tie the accounts to a folder of secrets, if no other process did; returns to which."""
        with self.changes.begin(JOB) as change:
            mine = select(SETTINGS.c.value).where(SETTINGS.c.name == FINGERPRINT)
            known = change.to.execute(mine).scalar_one_or_none()
            if known is not None:
                change.may_be_nothing()
                return str(json.loads(known))
            change.add(SETTINGS, name=FINGERPRINT, value=json.dumps(fingerprint))
            change.tell("secrets.made", FINGERPRINT, after={"fingerprint": fingerprint})
        return fingerprint

    def _due(self) -> Sequence[Job]:
        now_ns = self.clock.now_ns
        unconfirmed = self.people.prune_unverified
        return (
            Job("last uses of keys", 1, self.keys.flush),
            Job("signing keys of others", 1, lambda: self.secrets.reread(now_ns())),
            Job("tries that were too many", 1, self.turned_away.flush),
            Job("silent machines", 6, lambda: self.machines.release_silent(now_ns())),
            Job("expired keys", 360, lambda: self.keys.expire(now_ns())),
            Job("lapsed subscriptions", 360, self.subscriptions.lapse),
            Job("old keys", 360, lambda: self.keys.prune(now_ns())),
            Job(
                "accounts that nobody confirmed",
                360,
                lambda: unconfirmed(now_ns()),
            ),
            Job("old sessions", 360, lambda: self.sessions.prune(now_ns())),
            Job("old links", 360, lambda: self.people.prune(now_ns())),
            Job("old signing keys", 360, lambda: len(self.tokens.retire(now_ns()))),
        )


def begun(make: Callable[[], Accounts]) -> Accounts:
    """Accounts that are begun, made as soon as their database answers; waits for it."""
    waits = BackOff(Random(), WAITS_S)
    while True:
        try:
            accounts = make()
        except Retry as away:
            logger("accounts").warning("waiting for the database of accounts", why=str(away))
            time.sleep(waits.next_s())
            continue
        accounts.start()
        return accounts


def _differ(folder: Path) -> Refuse:
    text = (
        f"the accounts of this database were made with other secrets than those of {folder}: have"
        " accounts.secrets name the folder that was used, or bring it back from a backup"
    )
    return Refuse(text, "secrets_differ", 503, "accounts.secrets")
