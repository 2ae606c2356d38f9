"""Quality reports in the state database: the newest ones of each venue and span."""

import json

from sqlalchemy import delete, insert, select

from bursa.ports import Report
from bursa.state.database import Database
from bursa.state.tables import QUALITY_REPORTS as REPORTS

# Reports of one venue and span that are kept.
REPORTS_KEPT = 500


class SqlReports:
    """ports.Reports."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, report: Report) -> None:
        """As ports.Reports."""
        of = (REPORTS.c.venue == report.venue) & (REPORTS.c.span == report.span)
        with self._database.transaction() as to:
            to.execute(
                insert(REPORTS).values(
                    venue=report.venue,
                    span=report.span,
                    at_ns=report.at_ns,
                    told=json.dumps(report.told),
                )
            )
            ids = select(REPORTS.c.id).where(of).order_by(REPORTS.c.id.desc())
            oldest = to.execute(ids.limit(1).offset(REPORTS_KEPT)).scalar()
            if oldest is not None:
                to.execute(delete(REPORTS).where(of, REPORTS.c.id <= oldest))

    def newest(self, venue: str, span: str) -> Report | None:
        """As ports.Reports."""
        of = (REPORTS.c.venue == venue) & (REPORTS.c.span == span)
        with self._database.transaction() as to:
            row = to.execute(
                select(REPORTS).where(of).order_by(REPORTS.c.id.desc()).limit(1)
            ).one_or_none()
        return None if row is None else Report(venue, span, row.at_ns, json.loads(row.told))
