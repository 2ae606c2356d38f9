"""Users, keys, machines, sessions; tiers, plans, subscriptions; settings, usage, and their seeds.

The first tiers and plans stand here as values: what a step did never changes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

# The number of the change that everything here was made by.
FIRST = 1


def upgrade() -> None:
    """One step forward."""
    _changes()
    _users()
    _keys()
    _machines()
    _sessions()
    _tiers()
    _subscriptions()
    _settings()
    _usage()


def _changed() -> sa.Column[int]:
    return sa.Column("changed", sa.BigInteger, nullable=False, index=True)


def _of_user() -> sa.Column[str]:
    return sa.Column("user_id", sa.Text, sa.ForeignKey("users.id"), nullable=False, index=True)


def _changes() -> None:
    versions = op.create_table(
        "versions",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("n", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(versions, [{"name": "accounts", "n": FIRST}])


def _users() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("email", sa.Text, nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("password", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("tier", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("override", sa.Text, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("verified_ns", sa.BigInteger),
        sa.Column("seen_ns", sa.BigInteger),
        _changed(),
    )


def _keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text, primary_key=True),
        _of_user(),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False, unique=True),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("last4", sa.Text, nullable=False),
        sa.Column("tier", sa.Text),
        sa.Column("override", sa.Text, nullable=False),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("expires_ns", sa.BigInteger),
        sa.Column("revoked_ns", sa.BigInteger),
        sa.Column("used_ns", sa.BigInteger),
        _changed(),
    )


def _machines() -> None:
    op.create_table(
        "machines",
        sa.Column("id", sa.Text, primary_key=True),
        _of_user(),
        sa.Column("key_id", sa.Text, sa.ForeignKey("api_keys.id"), nullable=False),
        sa.Column("machine", sa.Text, nullable=False),
        sa.Column("plugin_version", sa.Text, nullable=False),
        sa.Column("activated_ns", sa.BigInteger, nullable=False),
        sa.Column("heartbeat_ns", sa.BigInteger, nullable=False),
        sa.Column("released_ns", sa.BigInteger),
        _changed(),
        sa.UniqueConstraint("user_id", "machine"),
    )
    op.create_table(
        "plugin_reports",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("machine_id", sa.Text, sa.ForeignKey("machines.id"), nullable=False),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.Column("level", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("plugin_reports_by_machine", "plugin_reports", ["machine_id", "id"])


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("hash", sa.Text, nullable=False, unique=True),
        _of_user(),
        sa.Column("created_ns", sa.BigInteger, nullable=False),
        sa.Column("expires_ns", sa.BigInteger, nullable=False),
        sa.Column("ended_ns", sa.BigInteger),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        _changed(),
    )
    op.create_table(
        "email_tokens",
        sa.Column("hash", sa.Text, primary_key=True),
        _of_user(),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("expires_ns", sa.BigInteger, nullable=False),
        sa.Column("used_ns", sa.BigInteger),
    )


def _tiers() -> None:
    tiers = op.create_table(
        "tiers",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("rate", sa.Integer),
        sa.Column("timeframes", sa.Text),
        sa.Column("history_days", sa.Integer),
        sa.Column("hd", sa.Text, nullable=False),
        sa.Column("stream_symbols", sa.Integer),
        sa.Column("machines", sa.Integer, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        _changed(),
    )
    names = "name rank rate timeframes history_days hd stream_symbols machines rows".split()
    rows = (
        ("free", 0, 60, "1d", 90, "none", 0, 1, 1_000),
        ("pro", 1, 600, None, 730, "scaled", 50, 2, 10_000),
        ("enterprise", 2, None, None, None, "raw", None, 5, 10_000),
    )
    op.bulk_insert(tiers, [dict(zip(names, row, strict=True)) | {"changed": FIRST} for row in rows])


def _subscriptions() -> None:
    plans = op.create_table(
        "plans",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("tier", sa.Text, sa.ForeignKey("tiers.name"), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("offered", sa.Boolean, nullable=False),
    )
    texts = {
        "free": "Daily bars of the last 90 days",
        "pro": "All timeframes, two years, 50 symbols streamed",
        "enterprise": "Everything, without limits, HD as it is",
    }
    op.bulk_insert(
        plans,
        [{"name": n, "tier": n, "text": text, "offered": True} for n, text in texts.items()],
    )
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Integer, primary_key=True),
        _of_user(),
        sa.Column("plan", sa.Text, sa.ForeignKey("plans.name"), nullable=False),
        sa.Column("began_ns", sa.BigInteger, nullable=False),
        sa.Column("ends_ns", sa.BigInteger),
        sa.Column("closed_ns", sa.BigInteger),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "upgrade_requests",
        sa.Column("id", sa.Integer, primary_key=True),
        _of_user(),
        sa.Column("plan", sa.Text, sa.ForeignKey("plans.name"), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("asked_ns", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("decided_ns", sa.BigInteger),
        sa.Column("decided_by", sa.Text),
        sa.Column("reason", sa.Text),
        sqlite_autoincrement=True,
    )


def _settings() -> None:
    op.create_table(
        "settings",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
        _changed(),
    )
    op.create_table(
        "hd_configs",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("venue", sa.Text, nullable=False),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("before", sa.Text, nullable=False),
        sa.Column("after", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("hd_configs_by_venue", "hd_configs", ["venue", "id"])


def _usage() -> None:
    op.create_table(
        "usage",
        sa.Column("user_id", sa.Text, primary_key=True),
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("hour", sa.Integer, primary_key=True),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("limited", sa.BigInteger, nullable=False),
        sa.Column("refused", sa.BigInteger, nullable=False),
    )
