"""What instruments are called: the rules by which names are read, written and searched.

    issuer     an Indonesian company's name as it is written: `BANK CENTRAL ASIA, TBK.` becomes
               `PT Bank Central Asia Tbk`
    best       of several names that a list has for one ticker
    parse      a list of (ticker, name), comma, semicolon or tab between, with or without a header
    plan       what a list would change of the names that are kept
    rank       how well an instrument answers what somebody types

Pure functions of text; name_book.py has the files, directory.py the instruments.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bursa.model.errors import Refuse
from bursa.model.venue import Venue

NAME_CHARACTERS_MAX = 120
ROWS_MAX = 100_000
TICKER_WORDS = frozenset(
    {"ticker", "code", "symbol", "stock code", "stock_code", "kode", "kode saham", "kode emiten"}
)
NAME_WORDS = frozenset(
    {"name", "issuer", "issuer name", "issuer_name", "company", "company name", "company_name"}
    | {"nama", "nama perusahaan", "nama emiten", "emiten"}
)
# Words that are not written as a title's: what stands here is how they are.
_WRITTEN = {
    word.upper(): word
    for word in (
        "PT Tbk ABM AKR ASABRI ASEAN BCA BFI BJB BNI BPD BPR BRI BSI BTN BTPN CBP CIMB DCI ESSA "
        "ETF FKS GMF GoTo HSBC ICBC II III IMC IT ITSEC IV JHL KB KDB KMI LNG LPG MD MNC NFC NISP "
        "OCBC PAM PP QNB RMK SLJ SMR TBS TV UBC UOB USA VKTR WIR XL XLSMART"
    ).split()
}
_SMALL = frozenset({"AND", "DAN", "DI", "OF", "THE"})
# What is put before an issuer's name to tell a class of its shares.
_CLASSES = frozenset({"MVS", "DR"})
# Capitals up to this length are an abbreviation, where not all is in capitals.
_ABBREVIATION_MAX = 4
_FORMS = frozenset({"PT", "TBK"})
_APOSTROPHES = ("'", "\N{RIGHT SINGLE QUOTATION MARK}")
_COMMA = re.compile(r",(?=[^\W\d])")
_RUN = re.compile(r"[^\W\d_]+")
_PART = re.compile(r"\w[^\s()]*")
_DELIMITERS = ("\t", ";", ",")


# -- how a name is written -------------------------------------------------------------------------


def plain(given: str) -> str:
    """A name with its blanks and parentheses in order, its letters as they are."""
    return _parentheses(unicodedata.normalize("NFC", given))


def issuer(given: str) -> str:
    """A company's name: `PT` in front, once; words as in a title, but abbreviations; `Tbk` without
    comma or point. The same again for its own answer; "" only for a text without words.

    >>> issuer("BANK RAKYAT INDONESIA ( PERSERO )TBK")
    'PT Bank Rakyat Indonesia (Persero) Tbk'
    """
    words = _COMMA.sub(", ", plain(given)).split()
    names = [word for word in words if word.strip(",.").replace(".", "").upper() not in _FORMS]
    name = " ".join(names).strip(" ,;")
    if not name:
        return ""
    loud = _is_loud(name)
    cased = " ".join(_cased(word, loud, first=not at) for at, word in enumerate(name.split()))
    is_listed = any(word.strip(",.").upper() == "TBK" for word in words)
    return f"PT {cased} Tbk" if is_listed else f"PT {cased}"


def best(names: Iterable[str]) -> str:
    """Of several written names for one ticker the shortest that tells no class of shares (`MVS
    ...`, `DR ...`), ties by the alphabet; where all do, the issuer's without the class."""
    name = min(names, key=lambda name: (_class_at(name) is not None, len(name), name))
    at = _class_at(name)
    words = name.split()
    return name if at is None or at == len(words) - 1 else " ".join(words[:at] + words[at + 1 :])


def tidy(venue: Venue) -> Callable[[str], str]:
    """How a venue's names are written: rupiah's are companies, others have no form of their own."""
    return issuer if venue.currency == "IDR" else plain


def _parentheses(text: str) -> str:
    """Blanks single; each parenthesis closed, not nested, not empty, with blanks only outside."""
    out, is_open = [], False
    for at, sign in enumerate(text):
        if sign == "(":
            opens = not is_open and ")" in text[at:]
            out.append(" (" if opens else " ")
            is_open = is_open or opens
        elif sign == ")":
            out.append(") " if is_open else " ")
            is_open = False
        else:
            out.append(sign)
    joined = " ".join("".join(out).split()).replace("( ", "(").replace(" )", ")")
    return " ".join(joined.replace("()", " ").split())


def _is_loud(name: str) -> bool:
    """Are its letters all capitals, or all small? Then they say nothing about each word."""
    runs = [run for run in _RUN.findall(name) if len(run) > 1 and run.upper() not in _WRITTEN]
    return all(run.isupper() for run in runs) or all(run.islower() for run in runs)


def _cased(word: str, loud: bool, first: bool) -> str:
    if word.upper() in _SMALL and not first:
        return word.lower()

    def run(found: re.Match[str]) -> str:
        return _run(found[0], word[: found.start()], loud)

    return _RUN.sub(run, word)


def _run(letters: str, before: str, loud: bool) -> str:
    """One run of letters in a word; `before` is the word up to it."""
    upper = letters.upper()
    if upper in _WRITTEN:
        return _WRITTEN[upper]
    if len(upper) != len(letters) or len(letters.lower()) != len(letters):
        return letters  # a sign whose capital is two
    if len(letters) == 1:
        return letters.lower() if before[-1:] in _APOSTROPHES else upper
    if before[-1:] in (".", *_APOSTROPHES) or before[-1:].isdigit():
        return letters.lower()
    if loud:
        short = len(letters) <= _ABBREVIATION_MAX and not set(upper) & set("AEIOU")
        return upper if short else _title(letters)
    if letters.islower() or (letters.isupper() and len(letters) > _ABBREVIATION_MAX):
        return _title(letters)
    return letters


def _title(letters: str) -> str:
    return letters[0].upper() + letters[1:].lower()


def _class_at(name: str) -> int | None:
    """Which word of a name tells a class of shares: its first, but for `PT`; None where none."""
    words = name.upper().split()
    at = 1 if words[:1] == ["PT"] else 0
    return at if words[at : at + 1] and words[at] in _CLASSES else None


# -- lists -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a list: its number from 1, the ticker in capitals, the name as it was written."""

    line: int
    ticker: str
    name: str


class BadLine(Refuse):
    """A line of a list that cannot be. `why` says what is allowed."""

    def __init__(self, where: str, line: int, why: str) -> None:
        super().__init__(f"{where}, line {line}: {why}", "bad_names", parameter="file")
        self.line, self.why = line, why


def parse(raw: bytes, venue: Venue, where: str, refused: list[BadLine] | None = None) -> list[Row]:
    """The rows of a list, in its order. UTF-8, with or without a mark in front; comma, semicolon or
    tab, told by the first line; a header names the columns, without one they are ticker and name.
    Empty lines and those that begin with # are passed over. Refuse `bad_names` with `where`, the
    line and what is allowed; a line that is at fault by itself goes to `refused`, where there is
    such a list."""
    text = _decoded(raw, where)
    pattern = re.compile(venue.ticker_pattern)
    places: tuple[int, int, int] | None = None
    rows: list[Row] = []
    for line, cells in _lines(text, where, refused):
        if places is None:
            header = _header(cells, where, line)
            places = header or (0, 1, 2)
            if header is not None:
                continue
        try:
            rows.append(_row(cells, places, pattern, venue, (where, line)))
        except BadLine as bad:
            if refused is None:
                raise
            refused.append(bad)
        if len(rows) > ROWS_MAX:
            raise BadLine(where, line, f"allowed: {ROWS_MAX:,} rows at most")
    if not rows and not refused:
        raise BadLine(where, 1, "no row; allowed: lines of ticker and name")
    return rows


def _row(
    cells: Sequence[str],
    places: tuple[int, int, int],
    pattern: re.Pattern[str],
    venue: Venue,
    at: tuple[str, int],
) -> Row:
    ticker_at, name_at, width = places
    if len(cells) != width:
        what = "ticker and name" if width == 2 else "as the header names them"
        raise BadLine(*at, f"{len(cells)} columns; allowed: {width}, {what}")
    ticker, name = cells[ticker_at].upper(), cells[name_at]
    if not pattern.fullmatch(ticker):
        raise BadLine(*at, f"{ticker[:24]!r} is no ticker; allowed: {pattern.pattern}")
    _check_name(venue, name, *at)
    return Row(at[1], ticker, name)


def chosen(rows: Iterable[Row], venue: Venue) -> dict[str, str]:
    """Ticker -> its name as the venue's are written; of several the best."""
    written = tidy(venue)
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row.ticker, []).append(written(row.name))
    return {ticker: best(names) for ticker, names in found.items()}


def _decoded(raw: bytes, where: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise BadLine(where, line, f"byte {raw[error.start]:#04x} is not UTF-8") from None


def _lines(text: str, where: str, refused: list[BadLine] | None) -> Iterator[tuple[int, list[str]]]:
    """(number, cells without blanks around) of each line that says something."""
    lines = text.splitlines()
    first = next((line for line in lines if line.strip() and line[0] != "#"), "")
    delimiter = next((sign for sign in _DELIMITERS if sign in first), ",")
    for number, line in enumerate(lines, 1):
        if not line.strip() or line[0] == "#":
            continue
        try:
            (cells,) = csv.reader([line], delimiter=delimiter, strict=True)
        except (csv.Error, ValueError) as error:
            bad = BadLine(where, number, f"no line of a CSV: {error}")
            if refused is None:
                raise bad from None
            refused.append(bad)
            continue
        yield number, [cell.strip() for cell in cells]


def _header(cells: Sequence[str], where: str, line: int) -> tuple[int, int, int] | None:
    """(column of tickers, column of names, columns); None where the line is no header."""
    words = [" ".join(cell.casefold().split()) for cell in cells]
    tickers = [at for at, word in enumerate(words) if word in TICKER_WORDS]
    names = [at for at, word in enumerate(words) if word in NAME_WORDS]
    if names and not tickers:
        what = f"a header without a column of tickers; allowed: {', '.join(sorted(TICKER_WORDS))}"
        raise BadLine(where, line, what)
    return (tickers[0], names[0], len(cells)) if names else None


def _check_name(venue: Venue, name: str, where: str, line: int) -> None:
    if len(name) > NAME_CHARACTERS_MAX:
        raise BadLine(where, line, f"a name of {len(name)} letters; allowed: {NAME_CHARACTERS_MAX}")
    if not name.isprintable():
        raise BadLine(where, line, "a sign in the name that cannot be printed")
    if not any(sign.isalnum() for sign in tidy(venue)(name).removeprefix("PT ")):
        raise BadLine(where, line, "no name; allowed: letters and digits")


def written(names: Mapping[str, str]) -> str:
    """Names as a list that `parse` reads, by ticker."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([("ticker", "name"), *sorted(names.items())])
    return out.getvalue()


# -- what a list would change ----------------------------------------------------------------------

NEW, CHANGED, SAME, UNKNOWN = "new", "changed", "unchanged", "left out"
CHANGES = (NEW, CHANGED, SAME, UNKNOWN)


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one ticker's name: one of CHANGES. `before` is "" where none was kept."""

    ticker: str
    what: str
    name: str
    before: str


def plan(
    names: Mapping[str, str], kept: Mapping[str, str], known: frozenset[str] | None
) -> list[Change]:
    """A list against the names that are kept, by ticker. `known`: tickers of the venue, others are
    left out; None: nobody knows yet, all are taken. What the list does not name stays as it is."""
    found = []
    for ticker, name in sorted(names.items()):
        before = kept.get(ticker, "")
        what = NEW if not before else SAME if before == name else CHANGED
        if known is not None and ticker not in known:
            what = UNKNOWN
        found.append(Change(ticker, what, name, before))
    return found


# -- search ----------------------------------------------------------------------------------------


def rank(ticker: str, name: str, query: str) -> int | None:
    """How well an instrument answers a query, 0 the best: the code itself, a code that begins with
    it, a name with words that begin with all of its words, a code that holds it, a name that holds
    its words. None: not at all. "" is answered by all alike."""
    text = query.strip().upper()
    if ticker == text:
        return 0
    if ticker.startswith(text):
        return 1
    shown = name.upper()
    words = text.split()
    parts = _PART.findall(shown)
    if all(any(part.startswith(word) for part in parts) for word in words):
        return 2
    if text in ticker:
        return 3
    return 4 if all(word in shown for word in words) else None
