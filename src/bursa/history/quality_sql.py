# ruff: noqa: S608 -- names come from the schema and the venues' tables, values are numbers
"""The statements of a quality report, in the stores' SQL, over the tables of one venue and day.

Bars and metric rows count once, as their newest revision is. Holds no store; quality.py asks.
"""

from bursa.model.calendar import MINUTE_NS
from bursa.model.schema import OHLCV, Kind
from bursa.model.validate import Life, reason_sql
from bursa.model.venue import Venue

# Bars of one day that are listed.
LISTED_MAX = 50_000
# Venues that take trades back: their rows stay, so a bar may have fewer trades than are stored.
_TAKES_BACK = ("xnas",)
# Of sums of floats in another order.
_NEAR = 1e-9
# All trades of the bar were taken back: it is none.
_VOID = "coalesce(trades = 0 and volume = 0, false)"

Within = tuple[int, int]


def counts(venue: Venue, kind: Kind, of: Life, within: Within) -> str:
    """(reason, rows): how many rows break which rule first; null: none."""
    rows = f"select {_reason(kind, of)} as reason from {_rows(venue, kind, within)}"
    return f"select reason, count(*) from ({rows}) group by reason"


def broken(venue: Venue, of: Life, within: Within) -> str:
    """(ticker, ts, reason) of the bars that break a rule."""
    rows = f"select ticker, ts, {_reason(OHLCV, of)} as reason from {_rows(venue, OHLCV, within)}"
    return f"select * from ({rows}) where reason is not null limit {LISTED_MAX + 1}"


def _reason(kind: Kind, of: Life) -> str:
    found = reason_sql(kind, of)
    return f"case when {_VOID} then null else {found} end" if kind.name == "ohlcv" else found


def _rows(venue: Venue, kind: Kind, within: Within) -> str:
    """A kind's rows of a stretch of time."""
    start, end = within
    chosen = f"{venue.name}_{kind.name} where ts >= {start} and ts < {end}"
    if "rev" not in kind.index:
        return chosen
    bars = newest(f"{chosen} and freq = '1m'")
    return f"{bars} where newest_first = 1"


def newest(chosen: str) -> str:
    """Rows with `newest_first`: 1 is the newest revision of its bar."""
    order = "partition by ticker, ts order by rev desc"
    return f"(select *, row_number() over ({order}) as newest_first from {chosen})"


def differing(venue: Venue, start_ns: int, until_ns: int) -> str:
    """(ticker, ts, absent): closed minutes of which the stored bar is not what the stored trades of
    its board make, and those that have trades and no bar. A file may not tell how many trades."""
    fewer = " and b.trades >= t.trades" if venue.name in _TAKES_BACK else ""
    chosen = f"ts >= {start_ns} and ts < {until_ns}"
    bars = newest(f"{venue.name}_ohlcv where {chosen} and freq = '1m'")
    return f"""
        with t as (
            select ticker, ts // {MINUTE_NS} * {MINUTE_NS} as ts,
                arg_min(price, ts::hugeint * 1000000000000000 + seq) as open, max(price) as high,
                min(price) as low, arg_max(price, ts::hugeint * 1000000000000000 + seq) as close,
                sum(volume) as volume, count(*) as trades
            from {venue.name}_ticks
            where {chosen} and board = {_quoted(venue.bar_board)} group by all),
        b as (select * from {bars} where newest_first = 1)
        select t.ticker, t.ts, b.ticker is null as absent from t
        left join b on t.ticker = b.ticker and t.ts = b.ts
        where b.ticker is null or (not coalesce(b.open = t.open and b.high = t.high
            and b.low = t.low and b.close = t.close
            and (b.trades = t.trades or b.trades = 0 and b.source = 'file')
            and abs(b.volume - t.volume) <= {_NEAR} * greatest(abs(t.volume), 1), false){fewer})
        limit {LISTED_MAX + 1}"""


def metrics_apart(venue: Venue, within: Within) -> str:
    """(bars, bars without a metric row, metric rows without a bar)."""
    start, end = within
    chosen = f"freq = '1m' and ts >= {start} and ts < {end}"
    bars = newest(f"{venue.name}_ohlcv where {chosen}")
    return f"""
        with b as (select ticker, ts from {bars} where newest_first = 1 and not {_VOID}),
        known as (select distinct ticker, ts from {venue.name}_ohlcv where {chosen}),
        m as (select distinct ticker, ts from {venue.name}_metrics where {chosen})
        select (select count(*) from b),
            (select count(*) from b anti join m on b.ticker = m.ticker and b.ts = m.ts),
            (select count(*) from m anti join known k on m.ticker = k.ticker and m.ts = k.ts)"""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
