"""The audit, which lies in a table a month: here alone what holds them together on PostgreSQL.

The tables of months are made as time goes by (accounts/audit_tables.py), on SQLite one by one.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """One step forward."""
    if op.get_bind().dialect.name != "postgresql":
        return
    op.create_table(
        "audit",
        sa.Column("at_ns", sa.BigInteger, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("actor_role", sa.Text, nullable=False),
        sa.Column("act", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("ok", sa.Boolean, nullable=False),
        postgresql_partition_by="range (at_ns)",
    )
    op.create_index("audit_by_target", "audit", ["target", "at_ns"])
