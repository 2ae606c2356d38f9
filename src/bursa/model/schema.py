"""Every column of every kind, described once.

DDL, Arrow schemas, JSON fields, blocks of the kernels and the docs derive from this page.
A kind's *block* is an int64 array (columns, rows), C order: each row of it is one contiguous
column, so it becomes an Arrow column without a copy. What the eight bytes mean is the column's
`dtype`:

    time    int64 nanoseconds since 1970 UTC
    int     int64
    float   the bits of a float64; NaN is null
    text    int64 index into a dictionary (`words` says which); -1 is null
    flag    0 or 1
    floats, ints   lists: they live in `Batch.levels`, not in the block

Does not know any store's types (store/) nor which columns metrics bring (metrics/catalog.py).
"""

from dataclasses import dataclass
from functools import cached_property

SCHEMA_VERSION = 3

INT_NULL = -(2**63)

AGGRESSORS = ("B", "S")
SIDES = ("bid", "ask")
STATES = ("P", "1", "B", "2", "C", "X", "E", "H", "gap", "up", "down", "end_of_file")
CAUSES = ("jump", "down", "refused", "unanswered")
SOURCES = ("ticks", "journal", "file", "repair")
FREQS = ("1m", "5m", "15m", "30m", "1h", "4h", "1d", "1w", "1M")


@dataclass(frozen=True)
class Column:
    """One column. `words` names the dictionary of a text column: a tuple of codes, or `symbols`
    (tickers and index codes), `boards`, `channels` (the venue's), `texts` (free text)."""

    name: str
    dtype: str
    unit: str
    nullable: bool = False
    words: tuple[str, ...] | str = ()


@dataclass(frozen=True)
class Kind:
    """A kind of row: its table is `{venue}_{name}`, its topic `{venue}.{name}`.

    columns  in block order; list columns come last and are not in the block
    key      the columns that make a row unique
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    @cached_property
    def index(self) -> dict[str, int]:
        """Column name -> row of the block (list columns: past its end)."""
        return {column.name: at for at, column in enumerate(self.columns)}

    @cached_property
    def scalars(self) -> tuple[Column, ...]:
        """The columns that live in the block."""
        return tuple(c for c in self.columns if c.dtype not in ("floats", "ints"))

    @cached_property
    def lists(self) -> tuple[Column, ...]:
        """The columns that live in `Batch.levels`, in its row order."""
        return tuple(c for c in self.columns if c.dtype in ("floats", "ints"))


def _text(name: str, words: tuple[str, ...] | str, unit: str, nullable: bool = False) -> Column:
    return Column(name, "text", unit, nullable, words)


_TICKER = _text("ticker", "symbols", "instrument's code on its venue")
_BOARD = _text("board", "boards", "market board, e.g. RG regular, NG negotiated, TN cash")
_TS = Column("ts", "time", "event time, ns UTC, the venue's clock")
_RECV = Column("ts_recv", "time", "receive time of the frame, ns UTC, our clock")
_POSITION = Column("position", "int", "journal byte address of the end of the causing record")
_KNOWN = Column("known_at", "time", "receive time of the frame that caused this revision, ns UTC")
_FREQ = _text("freq", FREQS, "timeframe of the bar")
_REV = Column("rev", "int", "revision, from 0, +1 whenever the content differs")
_SOURCE = _text("source", SOURCES, "null: live; else of what it was entered afterwards", True)


def _price(name: str, unit: str, nullable: bool = True) -> Column:
    return Column(name, "float", unit, nullable)


TICKS = Kind(
    "ticks",
    (
        _TICKER,
        _TS,
        Column("trade_no", "int", "the venue's trade number or id"),
        _BOARD,
        _price("price", "price of the trade, quote currency", nullable=False),
        Column("volume", "float", "traded volume, shares or base units"),
        _text("aggressor", AGGRESSORS, "side that crossed the spread: B or S", nullable=True),
        Column("seq", "int", "sequence number on the channel"),
        _RECV,
        _POSITION,
    ),
    ("ticker", "ts", "trade_no"),
)

QUOTES = Kind(
    "quotes",
    (
        _TICKER,
        _TS,
        Column("seq", "int", "sequence number or update id"),
        _price("bid", "best bid, quote currency"),
        Column("bid_volume", "float", "volume at the best bid, shares or base units", True),
        _price("ask", "best ask, quote currency"),
        Column("ask_volume", "float", "volume at the best ask, shares or base units", True),
        _RECV,
        _POSITION,
    ),
    ("ticker", "ts", "seq"),
)

OHLCV = Kind(
    "ohlcv",
    (
        _TICKER,
        _FREQ,
        Column("ts", "time", "bar's opening, ns UTC, the venue's clock"),
        _REV,
        _price("open", "price of the first trade, quote currency", nullable=False),
        _price("high", "highest price, quote currency", nullable=False),
        _price("low", "lowest price, quote currency", nullable=False),
        _price("close", "price of the last trade, quote currency", nullable=False),
        Column("volume", "float", "traded volume, shares or base units"),
        Column("value", "float", "traded value, quote currency; each trade rounded once"),
        Column("trades", "int", "number of trades in the bar"),
        _price("vwap", "value / volume of the bar, quote currency"),
        Column("delta", "float", "aggressors' buys less their sells, shares or base units", True),
        Column("ruled", "float", "volume signed by the tick rule, shares or base units", True),
        Column("bid_volume", "float", "best 5 bids at the close, shares or base units", True),
        Column("ask_volume", "float", "best 5 asks at the close, shares or base units", True),
        Column("final", "flag", "1 when the watermark closed it, 0 when a file's end did"),
        _KNOWN,
        Column("ts_recv", "time", "receive time of the bar's newest trade, ns UTC, our clock"),
        _POSITION,
        Column("nth", "int", "order of emission: second of the watermark * 2**30 + place", True),
        _SOURCE,
    ),
    ("ticker", "freq", "ts", "rev"),
)

SNAPSHOT = Kind(
    "snapshot",
    (
        _TICKER,
        _BOARD,
        _TS,
        _price("prev", "previous close, quote currency"),
        _price("open", "day's open, quote currency"),
        _price("high", "day's high, quote currency"),
        _price("low", "day's low, quote currency"),
        _price("last", "last price, quote currency"),
        Column("volume", "float", "day's volume, shares or base units"),
        Column("value", "float", "day's value, quote currency"),
        Column("trades", "int", "day's number of trades"),
        _price("bid", "best bid, quote currency"),
        Column("bid_volume", "float", "volume at the best bid, shares or base units", True),
        _price("ask", "best ask, quote currency"),
        Column("ask_volume", "float", "volume at the best ask, shares or base units", True),
        _RECV,
        _POSITION,
    ),
    ("ticker", "board", "ts"),
)

ORDERBOOK = Kind(
    "orderbook",
    (
        _TICKER,
        _BOARD,
        _TS,
        _text("side", SIDES, "bid or ask"),
        Column("depth", "int", "levels in the lists; 0 is an empty side"),
        Column("seq", "int", "sequence number or update id"),
        _RECV,
        _POSITION,
        Column("prices", "floats", "price of each level, quote currency, best first"),
        Column("volumes", "floats", "volume of each level, shares or base units, best first"),
        Column("orders", "ints", "orders at each level, best first; -1: the venue tells none"),
    ),
    ("ticker", "board", "ts", "side"),
)

INDEX = Kind(
    "index",
    (
        _text("index_code", "symbols", "code of the index"),
        _TS,
        Column("value", "float", "the index, index points"),
        Column("prev", "float", "previous close, index points", True),
        Column("value_traded", "float", "value traded so far that day, quote currency"),
        _RECV,
        _POSITION,
    ),
    ("index_code", "ts"),
)

CONTRACTS = Kind(
    "contracts",
    (
        _TICKER,
        _BOARD,
        _TS,
        _text("name", "texts", "issuer's or pair's name", nullable=True),
        _text("isin", "texts", "international securities number", nullable=True),
        Column("lot", "int", "units a lot"),
        _text("currency", "texts", "quote currency, a code such as IDR", nullable=True),
        _price("prev_close", "previous close, quote currency"),
        Column("price_decimals", "int", "decimals a price is shown with"),
        Column("volume_decimals", "int", "decimals of one unit of volume"),
        _RECV,
        _POSITION,
    ),
    ("ticker", "board"),
)

STATUS = Kind(
    "status",
    (
        _text("channel", "channels", "channel of the venue's feed"),
        Column("ts", "time", "watermark of the channel when this became known, ns UTC"),
        _text("state", STATES, "session state of the venue, `gap`, `up`, `down`, `end_of_file`"),
        Column("seq_from", "int", "gap: first missing sequence number", True),
        Column("seq_to", "int", "gap: last missing sequence number", True),
        Column("ts_from", "time", "gap: event time of the last message before it", True),
        _text("cause", CAUSES, "gap: why messages are missing", nullable=True),
        Column("next_seq", "int", "sequence number that the next message will bear"),
        _RECV,
        _POSITION,
    ),
    ("channel", "ts", "state", "seq_from"),
)

QUARANTINE = Kind(
    "quarantine",
    (
        _text("channel", "channels", "channel that brought it"),
        _text("reason", "texts", "stable word for what was wrong"),
        Column("length", "int", "bytes of the refused record"),
        _text("payload", "texts", "its bytes in hexadecimal, the first 4,096 of them"),
        Column("nth", "int", "its place among the refused of one journal record, from 0"),
        _RECV,
        _POSITION,
    ),
    ("channel", "position", "nth"),
)


def metrics_kind(outputs: tuple[Column, ...]) -> Kind:
    """The metrics kind for a catalogue: `outputs` are its float columns, all nullable."""
    head = (_TICKER, _FREQ, Column("ts", "time", "bar's opening, ns UTC"), _REV)
    return Kind(
        "metrics",
        (*head, *outputs, _KNOWN, _RECV, _POSITION, _SOURCE),
        ("ticker", "freq", "ts", "rev"),
    )


MARKET_KINDS = (TICKS, QUOTES, OHLCV, SNAPSHOT, ORDERBOOK, INDEX, CONTRACTS, STATUS, QUARANTINE)


def table(venue: str, kind: Kind) -> str:
    """The table of a kind: `idx_ohlcv`."""
    return f"{venue}_{kind.name}"


def topic(venue: str, kind: Kind) -> str:
    """The topic of a kind: `idx.ohlcv`."""
    return f"{venue}.{kind.name}"
