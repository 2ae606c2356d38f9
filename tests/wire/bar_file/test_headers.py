"""Headers in use elsewhere find their columns; what is said by hand counts first."""

import pytest

from bursa.model.errors import Refuse
from bursa.wire.bar_file.headers import TARGETS, match

OURS = ["ticker", "ts", "open", "high", "low", "close", "volume"]


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        (OURS, {name: name for name in OURS}),
        # A vendor's flat files.
        (
            ["ticker", "volume", "open", "close", "high", "low", "window_start", "transactions"],
            {"ts": "window_start", "trades": "transactions"},
        ),
        # A spreadsheet.
        (
            ["Date", "Time", "Stock Code", "Open Price", "High", "Low", "Close", "Volume", "Value"],
            {"date": "Date", "time": "Time", "ticker": "Stock Code", "open": "Open Price"},
        ),
        (
            ["TICKER", "PER", "DATE", "TIME", "OPEN", "HIGH", "LOW", "CLOSE", "VOL", "OPENINT"],
            {"freq": "PER", "date": "DATE", "volume": "VOL"},
        ),
        # Dumps of exchanges' candles.
        (
            ["s", "t", "o", "h", "l", "c", "v", "n", "vw"],
            {"ticker": "s", "ts": "t", "trades": "n", "vwap": "vw"},
        ),
        (
            ["symbol", "open_time", "open", "high", "low", "close", "volume", "close_time"],
            {"ts": "open_time", "close": "close"},
        ),
        # Jakarta counts trades as frequency.
        (["Kode", "Tanggal", *OURS[2:], "Frequency"], {"trades": "Frequency", "ts": "Tanggal"}),
        (["time", "ticker", *OURS[2:]], {"ts": "time"}),
        # Where one column has both, a second with the date adds nothing.
        (["date", "datetime", "ticker", *OURS[2:]], {"ts": "datetime"}),
    ],
)
def test_headers_find_their_columns(theirs: list[str], expected: dict[str, str]) -> None:
    found = match(theirs, {}, has_ticker=False)
    assert expected.items() <= found.taken.items()
    assert set(found.taken) <= set(TARGETS)
    assert set(found.left) == set(theirs) - set(found.taken.values())


def test_what_is_said_counts_first() -> None:
    theirs = ["adj", *OURS]
    found = match(theirs, {"adj": "close"}, has_ticker=False)
    assert found.taken["close"] == "adj"
    assert found.left == ("close",)
    ignored = match([*OURS, "value"], {"value": ""}, has_ticker=False)
    assert "value" not in ignored.taken
    assert ignored.left == ("value",)


def test_a_given_ticker_needs_no_column() -> None:
    assert "ticker" not in match(OURS[1:], {}, has_ticker=True).taken
    assert match(OURS, {}, has_ticker=True).left == ("ticker",)


@pytest.mark.parametrize(
    ("theirs", "said", "what"),
    [
        (OURS[1:], {}, "no column for ticker .*--ticker"),
        (OURS[:-1], {}, "no column for volume"),
        (["ticker", *OURS[2:]], {}, "no column for ts"),
        (["ticker", "time", *OURS[2:]], {"time": ""}, "no column for ts"),
        ([*OURS, "close"], {}, "'close' is there twice"),
        (OURS, {"last": "close"}, "--map last=close: the file has ticker"),
        (OURS, {"close": "price"}, "--map close=price: allowed: ticker"),
        (OURS, {"close": "open", "open": "open"}, "said of close and of open"),
    ],
)
def test_what_cannot_be_is_refused(theirs: list[str], said: dict[str, str], what: str) -> None:
    with pytest.raises(Refuse, match=what) as refused:
        match(theirs, said, has_ticker=False)
    assert refused.value.code == "bad_columns"


def test_a_list_of_the_exchange_in_its_own_language() -> None:
    theirs = "Kode Saham,Tanggal,Jam,Pembukaan,Tertinggi,Terendah,Penutupan,Volume".split(",")
    found = match(theirs, {}, has_ticker=False)
    assert list(found.taken.values()) == theirs and found.left == ()
