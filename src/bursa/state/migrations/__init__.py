"""How an older state database is brought forward, one file a step; run by Alembic (database.py)."""
