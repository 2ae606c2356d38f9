"""`bursa symbols`: import a list of issuers' names into a data folder, and list what is called how.

Which tickers trade is asked of the process that runs on the folder, or else of its store. A running
bursa sees the new list by itself within seconds. The rules of names are history/names.py, the files
history/name_book.py.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bursa.config import Config
from bursa.history import name_book, names
from bursa.history.name_book import NameBook
from bursa.history.names import CHANGED, CHANGES, NEW, SAME, UNKNOWN, Change
from bursa.model.errors import Refuse
from bursa.model.venue import VENUES, Venue
from bursa.ops import logs
from bursa.store import question, sql
from bursa.store.folder import STORE_FILE

# Lines of what changes that are shown.
LINES_MAX = 20
_STYLES = {NEW: "green", CHANGED: "yellow", UNKNOWN: "red"}


def run_import(config: Config, file: Path, venue: str, *, dry_run: bool, say: Console) -> int:
    """Take a list's names. Returns 1 where no line of it is of a ticker that trades. Refuse where
    the list is bad, with its line; nothing is changed then."""
    logs.setup(config.log.level, config.log.format)
    chosen, data = _venue(venue), Path(config.data)
    given = names.chosen(names.parse(name_book.load(file), chosen, str(file)), chosen)
    told = _told(config, chosen)
    changes, path = name_book.take(data, chosen, given, told, dry_run=dry_run)
    where = "nothing to write" if path is None else f"kept in {path}"
    where = "dry run, nothing is written" if dry_run else where
    _show(changes, say)
    if not told:
        say.print(
            f"no ticker of {chosen.name} is known here yet: all that are well formed are taken"
        )
    if both := len(name_book.by_hand(data, chosen).keys() & given.keys()):
        say.print(f"{both:,} of them are corrected by hand in {chosen.name}.hand.csv, which wins")
    count = Counter(change.what for change in changes)
    counts = ", ".join(f"{count[what]:,} {what}" for what in CHANGES)
    say.print(f"{chosen.name}: {counts}; {where}", markup=False)
    if count[UNKNOWN]:
        say.print(f"left out: {chosen.name} lists no such ticker, and no row of it is stored")
    if count[UNKNOWN] < len(changes):
        return 0
    say.print("no line of the list is of a ticker that trades: is it another venue's list?")
    return 1


def run_list(config: Config, query: str, venue: str, form: str) -> str:
    """Instruments whose code or name answers the query, the best first: code, name, where the name
    comes from (name_book.py). As `bursa sql` shows rows."""
    if form not in sql.FORMATS:
        raise Refuse(f"--format: {form}; allowed: {', '.join(sql.FORMATS)}", parameter="format")
    logs.setup(config.log.level, config.log.format)
    chosen = _venue(venue)
    told = _told(config, chosen)
    if told is None:
        raise Refuse(f"nothing of {chosen.name} is stored in {config.data} yet", "no_data", 404)
    book = NameBook(chosen, Path(config.data))
    book.refresh()
    found = []
    for ticker, said in told.items():
        name, origin = book.look(ticker, said)
        place = names.rank(ticker, name, query)
        if place is not None:
            found.append((place, [ticker, name, origin]))
    found.sort()
    return sql.render(sql.Answer(("ticker", "name", "from"), [row for _, row in found]), form)


def _venue(name: str) -> Venue:
    if name not in VENUES:
        raise Refuse(f"--venue: {name}; allowed: {', '.join(VENUES)}", parameter="venue")
    return VENUES[name]


def _told(config: Config, venue: Venue) -> dict[str, str] | None:
    """Tickers that the venue described or that have bars -> what the venue calls them; None where
    nothing of it is stored."""
    data = Path(config.data)
    text = (
        f"select ticker, max(name) as name from (select ticker, name from {venue.name}_contracts"  # noqa: S608 -- our own table's name
        f" union all select distinct ticker, '' from {venue.name}_ohlcv) group by ticker"
    )
    limits = sql.Limits(config.sql.rows_max, config.sql.time_s)
    try:
        rows = question.query(data, data / STORE_FILE, text, limits).rows
    except Refuse as refused:
        if refused.code in ("no_data", "unknown_table"):
            return None
        raise
    return {ticker: name or "" for ticker, name in rows} or None


def _show(changes: Sequence[Change], say: Console) -> None:
    """What is new, changed or left out, the first lines of it."""
    shown = [change for change in changes if change.what != SAME]
    if not shown:
        return
    table = Table("ticker", "", "name", "before", box=None, pad_edge=False)
    for change in shown[:LINES_MAX]:
        what = f"[{_STYLES[change.what]}]{change.what}[/]"
        table.add_row(change.ticker, what, escape(change.name), escape(change.before))
    say.print(table)
    if len(shown) > LINES_MAX:
        say.print(f"... and {len(shown) - LINES_MAX:,} more")
