"""Every knob of the program but those of its sources: default, unit, limits and meaning.

One frozen tree of tables. What a source is configured by stands in sources.py.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from bursa.config.form import Port, Table, doc
from bursa.config.sources import FeedName, Source

# How much of a kind the store takes: every row, none, or the last of each key in every N seconds.
Keep = Annotated[str, Meta(pattern=r"^(all|off|[1-9][0-9]{0,3}s)$")]
# Of a server's URL, what follows `://`. A password that is not percent-encoded would be read as
# another host, which is told and logged.
_SERVER = r"([^\s@/?#]*@)?[^\s@/?#]*(/[^\s@?#]*)?(\?[^\s@#]*)?"


class Http(Table, frozen=True):
    """The HTTP and WebSocket door."""

    host: Annotated[
        str,
        doc(
            "address to listen on: 127.0.0.1: this machine alone, 0.0.0.0: all its networks",
            pattern=r"^(localhost|[0-9.]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)$",
        ),
    ] = "127.0.0.1"
    port: Annotated[Port, doc("port; 0 takes a free one")] = 18090
    hosts: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[A-Za-z0-9.\-:]{1,253}$")], ...],
        doc("names it answers to beside loopback's, without ports; needed off loopback"),
    ] = ()
    proxies: Annotated[
        tuple[str, ...],
        doc("addresses or networks of the proxies before it, whose X-Forwarded-For is believed"),
    ] = ()
    public_url: Annotated[
        str,
        doc(
            "how people reach it, such as https://data.example.com: links in mail begin with it",
            pattern=r"^(|https?://[A-Za-z0-9.\-:\[\]]+/?)$",
        ),
    ] = ""
    rate_per_minute: Annotated[
        int,
        doc(
            "requests a minute from one address without a sign-in, and of pages from one session;"
            " 0: no limit",
            ge=0,
        ),
    ] = 6_000


class Viewer(Table, frozen=True):
    """The small public face: `/api/v1`, `/healthz`, `/version`, `/ws`; public venues only."""

    origins: Annotated[
        str,
        doc(
            "origins of other sites whose pages may ask, with blanks between; *: any",
            pattern=r"^(|\*|https?://[A-Za-z0-9.\-\[\]:]+( +https?://[A-Za-z0-9.\-\[\]:]+)*)$",
        ),
    ] = ""
    rate_per_minute: Annotated[
        int, doc("requests a minute from one address; 0: no limit", ge=0)
    ] = 12_000


class Accounts(Table, frozen=True):
    """Who may do what: users, their keys, tiers."""

    database: Annotated[
        str,
        doc(
            "postgresql://user:password@host:port/name, for several servers with the same users;"
            " best set by its variable; @ : / ? # % of a password as %40 %3A %2F %3F %23 %25;"
            " empty: state.db of the data folder",
            pattern=rf"^(|postgres(ql)?://{_SERVER})$",
        ),
    ] = ""
    secrets: Annotated[
        str,
        doc(
            "folder of the secrets that tokens are signed with, alike for all servers of one"
            " database; empty: secrets in the data folder"
        ),
    ] = ""
    superadmin: Annotated[
        str,
        doc(
            "e-mail address of the first superadmin, who is made at a start where"
            " BURSA_SUPERADMIN_PASSWORD is set and there is none",
            min_length=3,
        ),
    ] = "superadmin@localhost"
    limits: Annotated[
        str,
        doc(
            "where requests are counted: memory, or redis://, rediss://, valkey:// or valkeys://"
            " and user:password@host:port/number, for several servers that share each user's rate;"
            " @ : / ? # % of a password as %40 %3A %2F %3F %23 %25",
            pattern=rf"^(memory|(redis|valkey)s?://{_SERVER})$",
        ),
    ] = "memory"


class Mail(Table, frozen=True):
    """The mail server that letters to users go through."""

    host: Annotated[str, doc("name of the mail server; empty: mail is shown on standard error")] = (
        ""
    )
    port: Annotated[Port, doc("its port: mostly 587 with starttls, 465 with tls")] = 587
    security: Annotated[
        Literal["starttls", "tls", "none"],
        doc(
            "how the line to it is encrypted; starttls sends nothing where it is not offered,"
            " none is for a server on this machine"
        ),
    ] = "starttls"
    user: Annotated[str, doc("whom bursa signs in as at the mail server; empty: as nobody")] = ""
    password: Annotated[str, doc("password of that user; best set by its variable")] = ""
    sender: Annotated[
        str,
        doc("whom letters are from: an address, or Name <address>", pattern=r"^[^\r\n]*@[^\r\n]+$"),
    ] = "bursa@localhost"


class Web(Table, frozen=True):
    """The pages."""

    tradingview: Annotated[
        str,
        doc("folder of your licensed TradingView charting library; empty: there is none"),
    ] = ""


class Telemetry(Table, frozen=True):
    """The process's counters for Prometheus, on loopback only."""

    port: Annotated[Port, doc("port of 127.0.0.1/metrics; 0 takes a free one")] = 2112


class Log(Table, frozen=True):
    """Logs on standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], doc("least severe level that is written")
    ] = "info"
    format: Annotated[
        Literal["auto", "json", "pretty"], doc("auto: pretty on a terminal, else JSON lines")
    ] = "auto"


class Journal(Table, frozen=True):
    """The journal: the truth from which all else can be rebuilt."""

    sync_gap_ms: Annotated[
        float, doc("least time between two syncs; what a power loss may cost", ge=0, le=1000)
    ] = 5.0
    sync_kb: Annotated[int, doc("unsynced kilobytes that call for a sync at once", ge=4)] = 1024
    segment_mb: Annotated[int, doc("size at which a segment is closed", ge=1, le=4096)] = 256
    compress: Annotated[bool, doc("compress closed segments with zstd")] = True
    keep_days: Annotated[
        int, doc("days that a closed segment is kept, if no recovery needs it; 0: for ever", ge=0)
    ] = 0
    keep_gb: Annotated[
        float, doc("gigabytes on disk past which the oldest closed segments go; 0: none go", ge=0)
    ] = 0.0


class Checkpoint(Table, frozen=True):
    """Saved stage state, from which a start resumes."""

    every_s: Annotated[float, doc("seconds between checkpoints", ge=0.05)] = 30.0
    every_mb: Annotated[int, doc("megabytes of journal between checkpoints", ge=1)] = 256


class Store(Table, frozen=True):
    """The writer of the hot store."""

    flush_rows: Annotated[int, doc("rows that call for a flush", ge=1)] = 10_000
    flush_ms: Annotated[int, doc("longest wait before a flush", ge=1, le=60_000)] = 500
    buffer_rows: Annotated[
        int,
        doc("rows of a table that may wait for the store; reading pauses at 80 % of it", ge=100),
    ] = 50_000
    buffer_mb: Annotated[
        int, doc("megabytes that may wait for the store; reading pauses at 80 % of it", ge=1)
    ] = 64
    threads: Annotated[int, doc("threads of the database engine", ge=1, le=64)] = 2
    memory_mb: Annotated[int, doc("memory of the database engine", ge=64)] = 2048


class Metrics(Table, frozen=True):
    """The metrics of every venue."""

    extra: Annotated[
        tuple[str, ...],
        doc(
            'metrics beside the standard ones, by name, e.g. ["ema_9", "rsi_7"]; added ones are'
            " computed over the stored bars at the next start"
        ),
    ] = ()


class Topics(Table, frozen=True):
    """Limits of the in-memory topics; a durable reader past them goes on from the journal."""

    rows_max: Annotated[int, doc("rows all topics of a venue keep for their readers", ge=1000)] = (
        2_000_000
    )
    mb_max: Annotated[int, doc("megabytes all topics of a venue keep", ge=1)] = 512


CalendarFile = Annotated[
    str, doc("TOML file with holidays and hours that change the venue's; empty: as bursa has them")
]


class Calendars(Table, frozen=True):
    """What an operator knows better of a venue's trading days and hours."""

    idx: CalendarFile = ""
    xnas: CalendarFile = ""


class Rings(Table, frozen=True):
    """The newest bars and metrics of each ticker, in memory."""

    depth: Annotated[int, doc("newest 1-minute bars kept of each ticker", ge=60, le=100_000)] = 1500
    mb: Annotated[int, doc("megabytes for all rings of a venue", ge=1)] = 640


class Stream(Table, frozen=True):
    """The WebSocket stream."""

    throttle_ms: Annotated[int, doc("least time between two partial bars", ge=0, le=60_000)] = 250
    outbox_messages: Annotated[int, doc("frames that may wait for one client", ge=1)] = 500
    outbox_mb: Annotated[int, doc("megabytes that may wait for one client", ge=1)] = 15
    stall_s: Annotated[float, doc("seconds a full outbox is borne", gt=0)] = 20.0
    retain: Annotated[int, doc("frames kept for clients that resume", ge=0)] = 100_000


class Retention(Table, frozen=True):
    """How long rows stay in the hot store (days of the venue's calendar, the newest one included);
    older ones lie in cold files, as available as before. 0: they stay hot for ever."""

    ticks_days: Annotated[int, doc("days that ticks stay hot; 0: for ever", ge=0)] = 3
    quotes_days: Annotated[int, doc("days that quotes stay hot; 0: for ever", ge=0)] = 3
    snapshot_days: Annotated[int, doc("days that snapshots stay hot; 0: for ever", ge=0)] = 3
    orderbook_days: Annotated[int, doc("days that order books stay hot; 0: for ever", ge=0)] = 3
    ohlcv_days: Annotated[int, doc("days that bars stay hot; 0: for ever", ge=0)] = 14
    metrics_days: Annotated[int, doc("days that metrics stay hot; 0: for ever", ge=0)] = 14
    index_days: Annotated[int, doc("days that indices stay hot; 0: for ever", ge=0)] = 14
    disk_gb: Annotated[
        float,
        doc("cap of the data folder: journal segments, then the oldest days go; 0: none", ge=0),
    ] = 0.0


# Past midnight of the day itself, up to the next evening.
DrainTime = Annotated[str, Meta(pattern=r"^([0-3][0-9]|4[0-7]):[0-5][0-9]$")]


class Drain(Table, frozen=True):
    """When a day goes to cold files: at a time of the venue's day, past 24:00 the next morning."""

    idx_at: Annotated[DrainTime, doc("time of idx from which a day is drained")] = "16:30"
    xnas_at: Annotated[DrainTime, doc("time of Nasdaq from which a day is drained")] = "20:30"
    binance_at: Annotated[DrainTime, doc("time of Binance from which a day is drained")] = "24:10"
    late_s: Annotated[
        float, doc("seconds past its time from which a scheduled job is called late", gt=0)
    ] = 300.0
    long_s: Annotated[float, doc("seconds from which a scheduled job is called long", gt=0)] = 900.0


class Sql(Table, frozen=True):
    """Limits of `bursa sql`."""

    rows_max: Annotated[int, doc("rows of one answer", ge=1)] = 1_000_000
    time_s: Annotated[float, doc("seconds one query may take", gt=0)] = 60.0


class Exchange(Table, frozen=True):
    """The demo exchange (`--demo`)."""

    seed: Annotated[int, doc("seed of its market", ge=0)] = 7
    speed: Annotated[float, doc("market seconds a second", gt=0, le=10_000)] = 1.0
    rate: Annotated[
        str, doc("messages a second, `max`, or empty: by the clock", pattern=r"^(|max|[0-9]+)$")
    ] = ""
    tickers: Annotated[int, doc("number of instruments it lists", ge=1, le=5000)] = 700
    history_days: Annotated[int, doc("trading days sent before the live one", ge=0, le=260)] = 30


Publish = Annotated[
    bool, doc("live readers get its rows: pages, answers about the present, streams")
]


class Switch(Table, frozen=True):
    """What is published, and what the store takes, of one kind."""

    publish: Publish = True
    store: Annotated[
        Keep, doc("rows that are stored: all, off, or Ns: the last of each key in N seconds")
    ] = "all"


class WholeSwitch(Table, frozen=True):
    """The same of a kind that is not thinned."""

    publish: Publish = True
    store: Annotated[Literal["all", "off"], doc("rows that are stored: all, or off")] = "all"


Public = Annotated[bool, doc("anyone may ask for it by the viewer API; the demo always is")]


class IdxKinds(Table, frozen=True):
    """Kinds of the Indonesia Stock Exchange. Bars are made of all trades, whatever `ticks` says."""

    public: Public = False
    layout: Annotated[
        str,
        doc("how its messages are packed: idx-1, idx-2, or a TOML file with a table", min_length=1),
    ] = "idx-1"
    ticks: WholeSwitch = WholeSwitch()
    quotes: Switch = Switch()
    snapshot: Switch = Switch()
    orderbook: Switch = Switch(store="1s")
    index: Switch = Switch()
    contracts: WholeSwitch = WholeSwitch()


class BinanceKinds(Table, frozen=True):
    """Kinds of Binance. Bars are made of all trades, whatever `ticks` says."""

    public: Public = False
    ticks: WholeSwitch = WholeSwitch()
    quotes: Switch = Switch()
    snapshot: Switch = Switch()
    orderbook: Switch = Switch()
    contracts: WholeSwitch = WholeSwitch()


class XnasKinds(Table, frozen=True):
    """Kinds of Nasdaq. Bars are made of all trades, whatever `ticks` says."""

    public: Public = False
    ticks: WholeSwitch = WholeSwitch()
    quotes: Switch = Switch()
    snapshot: Switch = Switch()
    orderbook: Switch = Switch()
    contracts: WholeSwitch = WholeSwitch()


class Config(Table, frozen=True):
    """The whole configuration."""

    data: Annotated[str, doc("the data folder", min_length=1)] = "data"
    http: Http = Http()
    viewer: Viewer = Viewer()
    accounts: Accounts = Accounts()
    mail: Mail = Mail()
    web: Web = Web()
    telemetry: Telemetry = Telemetry()
    log: Log = Log()
    journal: Journal = Journal()
    checkpoint: Checkpoint = Checkpoint()
    store: Store = Store()
    metrics: Metrics = Metrics()
    topics: Topics = Topics()
    calendar: Calendars = Calendars()
    rings: Rings = Rings()
    stream: Stream = Stream()
    retention: Retention = Retention()
    drain: Drain = Drain()
    sql: Sql = Sql()
    exchange: Exchange = Exchange()
    idx: IdxKinds = IdxKinds()
    binance: BinanceKinds = BinanceKinds()
    xnas: XnasKinds = XnasKinds()
    feeds: Annotated[
        dict[FeedName, Source], doc("sources by name, e.g. [feeds.main]: letters and digits")
    ] = {}


class Loaded(Struct, frozen=True):
    """A configuration and where each value that is not a default came from (path -> origin)."""

    config: Config
    origins: dict[str, str]
