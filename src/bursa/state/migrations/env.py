"""What Alembic runs for a migration: on the connection it was handed, in the transaction it is in.

Forward alone. A kill on the way leaves the database as it was: DDL is transactional, on both
engines.
"""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"], transactional_ddl=True, target_metadata=None
)
with context.begin_transaction():
    context.run_migrations()
