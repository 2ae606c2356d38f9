"""The tables of accounts, as their newest migration leaves them (migrations/versions/).

Times are int64 ns since 1970 UTC, ids are texts of 128 random bits with a prefix that tells what
they name (`usr_`, `key_`, `ses_`, `mch_`). Secrets are kept as SHA-256, passwords as argon2id.
`changed` is the number of the change that wrote a row (VERSIONS): whoever knows up to n reads what
is newer. Nothing is deleted that the audit may name.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
)

from bursa.state.tables import METADATA

# One row, `accounts`: bumped, and locked, by each transaction that changes who may what.
VERSIONS = Table(
    "versions",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("n", BigInteger, nullable=False),
)

USERS = Table(
    "users",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("email", Text, nullable=False, unique=True),  # lower case
    Column("name", Text, nullable=False),
    Column("password", Text, nullable=False),  # argon2id; "" cannot sign in by password
    Column("role", Text, nullable=False),  # user, admin, superadmin
    Column("tier", Text, nullable=False),
    Column("state", Text, nullable=False),  # unverified, active, disabled
    Column("override", Text, nullable=False),  # JSON, fields of Rights; "{}" for none
    Column("created_ns", BigInteger, nullable=False),
    Column("verified_ns", BigInteger),
    Column("seen_ns", BigInteger),  # last sign-in
    Column("changed", BigInteger, nullable=False, index=True),
)

KEYS = Table(
    "api_keys",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("users.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("hash", Text, nullable=False, unique=True),  # SHA-256 of the whole key, hex
    Column("prefix", Text, nullable=False),  # idx_live_c3a8
    Column("last4", Text, nullable=False),
    Column("tier", Text),  # beats the user's; null: the user's
    Column("override", Text, nullable=False),  # JSON, beats the tier
    Column("created_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger),
    Column("revoked_ns", BigInteger),
    Column("used_ns", BigInteger),
    Column("changed", BigInteger, nullable=False, index=True),
)

MACHINES = Table(
    "machines",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("users.id"), nullable=False, index=True),
    Column("key_id", Text, ForeignKey("api_keys.id"), nullable=False),
    Column("machine", Text, nullable=False),  # what the machine calls itself
    Column("plugin_version", Text, nullable=False),
    Column("activated_ns", BigInteger, nullable=False),
    Column("heartbeat_ns", BigInteger, nullable=False),
    Column("released_ns", BigInteger),
    Column("changed", BigInteger, nullable=False, index=True),
    UniqueConstraint("user_id", "machine"),
)

PLUGIN_REPORTS = Table(
    "plugin_reports",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("machine_id", Text, ForeignKey("machines.id"), nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("level", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("message", Text, nullable=False),
    Index("plugin_reports_by_machine", "machine_id", "id"),
    sqlite_autoincrement=True,
)

SESSIONS = Table(
    "sessions",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("hash", Text, nullable=False, unique=True),  # SHA-256 of the cookie, hex
    Column("user_id", Text, ForeignKey("users.id"), nullable=False, index=True),
    Column("created_ns", BigInteger, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
    Column("ended_ns", BigInteger),
    Column("address", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("changed", BigInteger, nullable=False, index=True),
)

# Single use: of e-mail verification and password reset.
EMAIL_TOKENS = Table(
    "email_tokens",
    METADATA,
    Column("hash", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("users.id"), nullable=False, index=True),
    Column("purpose", Text, nullable=False),  # verify, reset
    Column("expires_ns", BigInteger, nullable=False),
    Column("used_ns", BigInteger),
)

TIERS = Table(
    "tiers",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("rank", Integer, nullable=False),  # order in the matrix, lowest first
    Column("rate", Integer),
    Column("timeframes", Text),  # names with commas between; null: all
    Column("history_days", Integer),
    Column("hd", Text, nullable=False),
    Column("stream_symbols", Integer),
    Column("machines", Integer, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("changed", BigInteger, nullable=False, index=True),
)

PLANS = Table(
    "plans",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("tier", Text, ForeignKey("tiers.name"), nullable=False),
    Column("text", Text, nullable=False),
    Column("offered", Boolean, nullable=False),
)

# The one that is not closed is the present one.
SUBSCRIPTIONS = Table(
    "subscriptions",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("user_id", Text, ForeignKey("users.id"), nullable=False, index=True),
    Column("plan", Text, ForeignKey("plans.name"), nullable=False),
    Column("began_ns", BigInteger, nullable=False),
    Column("ends_ns", BigInteger),  # when it is to end; null: not by itself
    Column("closed_ns", BigInteger),
    sqlite_autoincrement=True,
)

UPGRADE_REQUESTS = Table(
    "upgrade_requests",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("user_id", Text, ForeignKey("users.id"), nullable=False, index=True),
    Column("plan", Text, ForeignKey("plans.name"), nullable=False),
    Column("note", Text, nullable=False),
    Column("asked_ns", BigInteger, nullable=False),
    Column("state", Text, nullable=False),  # waiting, approved, declined, withdrawn
    Column("decided_ns", BigInteger),
    Column("decided_by", Text),
    Column("reason", Text),
    sqlite_autoincrement=True,
)

# Settings that are changed while it runs; those not here have their defaults.
SETTINGS = Table(
    "settings",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),  # JSON
    Column("changed", BigInteger, nullable=False, index=True),
)

# Each change of the gates of HD. `before` and `after` are JSON.
HD_CONFIGS = Table(
    "hd_configs",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("venue", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Index("hd_configs_by_venue", "venue", "id"),
    sqlite_autoincrement=True,
)

# Added up by the process that answered; `key_id` "" is the pages' (a session).
USAGE = Table(
    "usage",
    METADATA,
    Column("user_id", Text, primary_key=True),
    Column("key_id", Text, primary_key=True),
    Column("day", Date, primary_key=True),  # UTC
    Column("hour", Integer, primary_key=True),  # UTC, 0 to 23
    Column("requests", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("limited", BigInteger, nullable=False),  # answered 429
    Column("refused", BigInteger, nullable=False),  # answered 4xx else
)
