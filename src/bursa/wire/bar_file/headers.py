"""Whose column is which: the headers of a file of bars, matched to the columns of ohlcv.

What a person says by hand counts first, then our own names, then names that are in use elsewhere
(vendors' flat files, spreadsheets, MetaTrader, brokers in Jakarta). A header that means nothing to
us is left out, and said so. Reads no values (values.py).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bursa.model.errors import Refuse

# Beside columns of ohlcv: a bar's opening may come in two columns.
DATE, TIME = "date", "time"
PRICES = ("open", "high", "low", "close")
NEEDED = (*PRICES, "volume")
OPTIONAL = ("value", "trades", "vwap", "delta", "ruled", "bid_volume", "ask_volume")
TARGETS = ("ticker", "freq", "rev", "ts", DATE, TIME, *NEEDED, *OPTIONAL)

# Spelt in lower case, letters and digits alone; the first that a file has counts.
_WORDS: dict[str, tuple[str, ...]] = {
    "ticker": (
        "ticker",
        "symbol",
        "sym",
        "code",
        "stockcode",
        "instrument",
        "stock",
        "kode",
        "kodesaham",
        "s",
    ),
    "freq": ("freq", "timeframe", "interval", "per", "period"),
    "rev": ("rev",),
    "ts": (
        "ts",
        "timestamp",
        "datetime",
        "opentime",
        "windowstart",
        "tsevent",
        "bartime",
        "starttime",
        "dateandtime",
        "t",
    ),
    DATE: ("date", "dtyyyymmdd", "tradedate", "tradingdate", "day", "tanggal"),
    TIME: ("time", "tradetime", "hour", "jam"),
    "open": ("open", "openprice", "first", "pembukaan", "o"),
    "high": ("high", "highprice", "max", "tertinggi", "h"),
    "low": ("low", "lowprice", "min", "terendah", "l"),
    "close": ("close", "closeprice", "last", "lastprice", "penutupan", "c"),
    "volume": ("volume", "vol", "basevolume", "qty", "quantity", "v"),
    "value": ("value", "turnover", "amount", "notional", "quotevolume", "quoteassetvolume"),
    "trades": ("trades", "transactions", "numberoftrades", "tradecount", "frequency", "count", "n"),
    "vwap": ("vwap", "wap", "averageprice", "average", "vw"),
    "delta": ("delta",),
    "ruled": ("ruled",),
    "bid_volume": ("bidvolume",),
    "ask_volume": ("askvolume",),
}


@dataclass(frozen=True)
class Headers:
    """taken: our column -> their header; left: their headers that are not read."""

    taken: Mapping[str, str]
    left: tuple[str, ...]


def match(theirs: Sequence[str], said: Mapping[str, str], has_ticker: bool) -> Headers:
    """Match a file's headers. `said`: their header -> our column, or "" for none; `has_ticker`:
    the ticker is given, the file needs none (and none of it is read). Refuse `bad_columns` where a
    header is there twice, is not there, or a column that is needed is not."""
    twice = sorted({name for name in theirs if theirs.count(name) > 1})
    if twice:
        raise _refused(f"the header {twice[0]!r} is there twice")
    taken = _said(theirs, said)
    open_ones = [name for name in theirs if name not in said and name not in taken.values()]
    plain = {_plain(name): name for name in reversed(open_ones)}
    for ours, words in _WORDS.items():
        found = [plain[word] for word in words if word in plain]
        if ours not in taken and found:
            taken[ours] = found[0]
    if has_ticker:
        taken.pop("ticker", None)
    _settle_times(taken)
    missing = [name for name in NEEDED if name not in taken]
    if "ticker" not in taken and not has_ticker:
        missing.insert(0, "ticker")
    if "ts" not in taken and DATE not in taken:
        missing.append("ts")
    if missing:
        what = f"no column for {', '.join(missing)} among {', '.join(theirs) or 'no headers'}"
        advice = "--map THEIRS=OURS says which one it is"
        if missing == ["ticker"]:
            advice += ", --ticker whose bars they are where the file does not"
        raise _refused(f"{what}; {advice}")
    used = set(taken.values())
    return Headers(taken, tuple(name for name in theirs if name not in used))


def _said(theirs: Sequence[str], said: Mapping[str, str]) -> dict[str, str]:
    taken: dict[str, str] = {}
    for header, ours in said.items():
        if header not in theirs:
            raise _refused(f"--map {header}={ours}: the file has {', '.join(theirs)}")
        if not ours:
            continue
        if ours not in TARGETS:
            raise _refused(f"--map {header}={ours}: allowed: {', '.join(TARGETS)}")
        if ours in taken:
            raise _refused(f"--map: {ours} is said of {taken[ours]} and of {header}")
        taken[ours] = header
    return taken


def _settle_times(taken: dict[str, str]) -> None:
    """One column that has date and time, whatever it is called, or two."""
    if "ts" in taken:
        taken.pop(DATE, None)
        taken.pop(TIME, None)
    elif DATE in taken and TIME not in taken:
        taken["ts"] = taken.pop(DATE)
    elif TIME in taken and DATE not in taken:
        taken["ts"] = taken.pop(TIME)


def _plain(header: str) -> str:
    return re.sub(r"[^a-z0-9]", "", header.lower())


def _refused(what: str) -> Refuse:
    return Refuse(what, "bad_columns", parameter="map")
