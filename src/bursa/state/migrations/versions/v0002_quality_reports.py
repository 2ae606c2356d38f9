"""What `bursa quality` reported."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """One step forward."""
    op.create_table(
        "quality_reports",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("venue", sa.Text, nullable=False),
        sa.Column("span", sa.Text, nullable=False),
        sa.Column("at_ns", sa.BigInteger, nullable=False),
        sa.Column("told", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("quality_reports_by_span", "quality_reports", ["venue", "span", "id"])
