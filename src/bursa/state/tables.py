"""The tables of the state database, as its newest migration leaves them (migrations/versions/).

Times are int64 ns since 1970 UTC. Makes no table: migrations do, and a test holds both together.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

METADATA = MetaData()

# Who holds what now; `run` is the row of RUNS under way.
LEASES = Table(
    "leases",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("run", Integer, nullable=False),
    Column("holder", Text, nullable=False),
    Column("expires_ns", BigInteger, nullable=False),
)

# Each time that a lease was held. `told` is JSON.
RUNS = Table(
    "runs",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("holder", Text, nullable=False),
    Column("began_ns", BigInteger, nullable=False),
    Column("ended_ns", BigInteger),
    Column("outcome", Text, nullable=False),
    Column("told", Text, nullable=False),
    Index("runs_by_name", "name", "id"),
    sqlite_autoincrement=True,
)

# Rows that a healthy store refused (ports.DeadLetter).
DEAD_LETTERS = Table(
    "dead_letters",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("venue", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("ts", BigInteger, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("row", LargeBinary, nullable=False),
    Index("dead_letters_by_kind", "venue", "kind", "id"),
    sqlite_autoincrement=True,
)

# What `bursa quality` found (ports.Report). `told` is JSON.
QUALITY_REPORTS = Table(
    "quality_reports",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("venue", Text, nullable=False),
    Column("span", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("told", Text, nullable=False),
    Index("quality_reports_by_span", "venue", "span", "id"),
    sqlite_autoincrement=True,
)
