"""The rules of names: how they are written, which of several is taken, what a list may be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursa.history.names import (
    CHANGED,
    NEW,
    SAME,
    UNKNOWN,
    best,
    chosen,
    issuer,
    parse,
    plain,
    plan,
    rank,
    written,
)
from bursa.model.errors import Refuse
from bursa.model.venue import BINANCE, IDX


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("BANK CENTRAL ASIA TBK", "PT Bank Central Asia Tbk"),
        ("PT. BANK CENTRAL ASIA, TBK.", "PT Bank Central Asia Tbk"),
        ("Bank Central Asia Tbk, PT", "PT Bank Central Asia Tbk"),
        ("BANK CENTRAL ASIA,TBK", "PT Bank Central Asia Tbk"),
        ("bank central asia tbk", "PT Bank Central Asia Tbk"),
        ("P.T. Telkom Indonesia (Persero) Tbk", "PT Telkom Indonesia (Persero) Tbk"),
        ("BANK RAKYAT INDONESIA ( PERSERO )TBK", "PT Bank Rakyat Indonesia (Persero) Tbk"),
        ("GARUDA INDONESIA (PERSERO TBK", "PT Garuda Indonesia Persero Tbk"),
        ("GARUDA INDONESIA PERSERO) TBK", "PT Garuda Indonesia Persero Tbk"),
        ("GARUDA () INDONESIA ((PERSERO)) TBK", "PT Garuda Indonesia (Persero) Tbk"),
        ("MNC STUDIOS INTERNATIONAL TBK", "PT MNC Studios International Tbk"),
        ("XL AXIATA TBK", "PT XL Axiata Tbk"),
        ("BCA SYARIAH", "PT BCA Syariah"),
        ("DANAREKSA BRI SEKURITAS", "PT Danareksa BRI Sekuritas"),
        ("BNI LIFE", "PT BNI Life"),
        ("INDOFOOD CBP SUKSES MAKMUR TBK", "PT Indofood CBP Sukses Makmur Tbk"),
        ("BUKALAPAK.COM TBK", "PT Bukalapak.com Tbk"),
        ("INDO-RAMA SYNTHETICS TBK", "PT Indo-Rama Synthetics Tbk"),
        ("H.M. SAMPOERNA TBK", "PT H.M. Sampoerna Tbk"),
        ("M CASH INTEGRASI TBK", "PT M Cash Integrasi Tbk"),
        ("JAWA BARAT DAN BANTEN", "PT Jawa Barat dan Banten"),
        ("GoTo Gojek Tokopedia Tbk", "PT GoTo Gojek Tokopedia Tbk"),
        ("GOTO GOJEK TOKOPEDIA TBK", "PT GoTo Gojek Tokopedia Tbk"),
        ("XLSMART Telecom Sejahtera Tbk", "PT XLSMART Telecom Sejahtera Tbk"),
        ("Pantai Indah Kapuk Dua Tbk", "PT Pantai Indah Kapuk Dua Tbk"),
        ("PANTAI INDAH KAPUK II TBK", "PT Pantai Indah Kapuk II Tbk"),
        ("Bank CENTRAL Asia Tbk", "PT Bank Central Asia Tbk"),
        ("ABCD Nusantara", "PT ABCD Nusantara"),
        ("  Astra\t International   Tbk ", "PT Astra International Tbk"),
        ("", ""),
        ("PT Tbk.", ""),
    ],
)
def test_a_companys_name_is_written_in_one_way(given: str, name: str) -> None:
    assert issuer(given) == name


@given(st.text(max_size=60))
def test_what_is_written_stays_as_it_is(text: str) -> None:
    name = issuer(text)
    assert issuer(name) == name
    assert plain(plain(text)) == plain(text)


@given(st.text("AaBb xX().,'-&1é/", max_size=40))
def test_a_written_name_is_whole(text: str) -> None:
    name = issuer(text)
    letters = [sign for sign in text if sign.isalnum()]
    assert bool(name) == bool(text.strip(" .,;()")) or not letters
    if not name:
        return
    assert issuer(name) == name
    assert name.startswith("PT ") and name == name.strip() and "  " not in name
    assert name.count("(") == name.count(")") and "()" not in name
    assert "( " not in name and " )" not in name
    # No letter is lost or made: only their case, and what stands around them.
    assert sorted(sign.casefold() for sign in name[3:] if sign.isalnum()) == sorted(
        sign.casefold() for sign in letters
    )


@pytest.mark.parametrize(
    ("names", "name"),
    [
        (["PT GoTo Gojek Tokopedia Tbk", "PT MVS GoTo Gojek"], "PT GoTo Gojek Tokopedia Tbk"),
        (["PT DR Bank Jago", "PT Bank Jago Tbk"], "PT Bank Jago Tbk"),
        (["PT Bank Central Asia Tbk", "PT Bank BCA Tbk"], "PT Bank BCA Tbk"),
        (["PT Beta", "PT Alfa"], "PT Alfa"),
        (["PT MVS GoTo Gojek Tokopedia"], "PT GoTo Gojek Tokopedia"),
        (["PT Drama Indonesia", "PT MVS A"], "PT Drama Indonesia"),
        (["MVS"], "MVS"),
    ],
)
def test_of_several_names_the_shortest_that_is_no_class_of_shares(
    names: list[str], name: str
) -> None:
    assert best(names) == best(reversed(names)) == name


ROWS = [("BBCA", "Bank Central Asia, Tbk"), ("GOTO", "GoTo")]


@pytest.mark.parametrize(
    "text",
    [
        'BBCA,"Bank Central Asia, Tbk"\nGOTO,GoTo\n',
        "BBCA;Bank Central Asia, Tbk\nGOTO;GoTo",
        "BBCA\tBank Central Asia, Tbk\r\nGOTO\tGoTo\r\n",
        "\ufeffticker;issuer name\nbbca;Bank Central Asia, Tbk\n\n# more\n goto ; GoTo \n",
        "No;Kode;Nama Perusahaan;Papan\n1;BBCA;Bank Central Asia, Tbk;Utama\n2;GOTO;GoTo;Baru\n",
        'Company Name,Code\n"Bank Central Asia, Tbk",BBCA\nGoTo,GOTO\n',
    ],
)
def test_lists_as_people_have_them(text: str) -> None:
    rows = parse(text.encode(), IDX, "list.csv")
    assert [(row.ticker, row.name) for row in rows] == ROWS


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"BBCA,Bank\nBBRI\n", ["line 2", "1 columns", "2, ticker and name"]),
        (b"BBCA,Bank, Tbk\n", ["line 1", "3 columns"]),
        (b"ticker,name\nBB CA,Bank\n", ["line 2", "'BB CA'", "is no ticker", "[A-Z0-9]"]),
        (b"Stock,Company\nBBCA,Bank\n", ["line 1", "header without", "kode saham"]),
        (b"ticker,name,board\nBBCA,Bank\n", ["line 2", "2 columns", "3, as the header"]),
        (b"BBCA,\n", ["line 1", "no name"]),
        (b"BBCA,PT Tbk\n", ["line 1", "no name"]),
        (b"BBCA," + b"x" * 121, ["line 1", "121", "120"]),
        (b"BBCA,a\x07b\n", ["line 1", "cannot be printed"]),
        (b"BBCA,Bank\n\nBBRI,B\xff\n", ["line 3", "0xff", "UTF-8"]),
        (b'BBCA,"Bank\n', ["line 1", "CSV"]),
        (b"", ["line 1", "no row"]),
        (b"ticker,name\n# none yet\n", ["no row"]),
    ],
)
def test_a_bad_list_is_refused_with_its_line(raw: bytes, words: list[str]) -> None:
    with pytest.raises(Refuse) as refused:
        parse(raw, IDX, "list.csv")
    assert refused.value.code == "bad_names"
    for word in ["list.csv", *words]:
        assert word in str(refused.value)


NAMES = st.text("ABC xyz,;\"'#(.)", min_size=1, max_size=30)


@given(st.dictionaries(st.from_regex(r"[A-Z0-9]{1,6}", fullmatch=True), NAMES, min_size=1))
def test_what_is_kept_is_read_again(names: dict[str, str]) -> None:
    kept = {ticker: issuer(name) for ticker, name in names.items()}
    kept = {ticker: name for ticker, name in kept.items() if any(map(str.isalnum, name[3:]))}
    if kept:
        assert chosen(parse(written(kept).encode(), IDX, "kept"), IDX) == kept


def test_another_venues_names_keep_their_letters() -> None:
    rows = parse(b"BTCUSDT,Bitcoin / TetherUS\n", BINANCE, "list.csv")
    assert chosen(rows, BINANCE) == {"BTCUSDT": "Bitcoin / TetherUS"}


def test_a_list_says_what_it_changes() -> None:
    names = {"BBCA": "PT A", "BBRI": "PT B", "TLKM": "PT C", "NONE": "PT D"}
    kept = {"BBRI": "PT Old", "TLKM": "PT C", "ASII": "PT E"}
    known = frozenset({"BBCA", "BBRI", "TLKM", "ASII"})
    found = {change.ticker: (change.what, change.before) for change in plan(names, kept, known)}
    assert found == {
        "BBCA": (NEW, ""),
        "BBRI": (CHANGED, "PT Old"),
        "TLKM": (SAME, "PT C"),
        "NONE": (UNKNOWN, ""),
    }
    assert {change.what for change in plan(names, {}, None)} == {NEW}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("bbca", 0),
        ("BB", 1),
        ("bank central", 2),
        ("central bank", 2),
        ("perse", 2),
        ("CA", 3),
        ("entral", 4),
        ("", 1),
        ("mandiri", None),
        ("bank mandiri", None),
    ],
)
def test_codes_come_before_names(query: str, found: int | None) -> None:
    assert rank("BBCA", "PT Bank Central Asia (Persero) Tbk", query) == found
