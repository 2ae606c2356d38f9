"""`bursa sql`: one question to the stored tables, whether or not bursa is running.

Which statements are allowed, and how the answer is written: store/sql.py.
"""

from pathlib import Path

from bursa.config import Config
from bursa.model.errors import Refuse
from bursa.ops import logs
from bursa.store import question, sql
from bursa.store.folder import STORE_FILE


def run_sql(config: Config, text: str, form: str) -> str:
    """Ask the stored tables; returns the answer as text. Refuses before it asks where the form is
    none of those allowed."""
    if form not in sql.FORMATS:
        raise Refuse(f"--format: {form}; allowed: {', '.join(sql.FORMATS)}", parameter="format")
    logs.setup(config.log.level, config.log.format)
    data = Path(config.data)
    limits = sql.Limits(config.sql.rows_max, config.sql.time_s)
    return sql.render(question.query(data, data / STORE_FILE, text, limits), form)
