"""The name book over real files: which name wins, what is read again, what a bad file does."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bursa.history import name_book, names
from bursa.history.name_book import CODE, FEED, HAND, LIST, PACKAGE, NameBook
from bursa.model.errors import Refuse
from bursa.model.venue import BINANCE, IDX, VENUES, Venue


def by_hand(data: Path, text: str) -> None:
    folder = data / "names"
    folder.mkdir(exist_ok=True)
    (folder / "idx.hand.csv").write_text(text)


def test_the_strongest_name_is_shown(tmp_path: Path) -> None:
    book = NameBook(IDX, tmp_path)
    assert book.look("BBCA") == ("PT Bank Central Asia Tbk", PACKAGE)
    assert book.look("BBCA", "Bank Central Asia") == ("Bank Central Asia", FEED)
    assert book.look("BBCA", "BBCA") == ("PT Bank Central Asia Tbk", PACKAGE)
    assert book.look("ZZZZ") == book.look("ZZZZ", "ZZZZ") == ("ZZZZ", CODE)
    name_book.keep(tmp_path, IDX, {"BBCA": "PT BCA Tbk", "ZZZZ": "PT Zet Tbk"})
    assert book.look("BBCA", "Bank") == ("Bank", FEED)  # nobody looked yet
    assert book.refresh() and not book.refresh()
    assert book.look("BBCA", "Bank") == ("PT BCA Tbk", LIST)
    assert book.look("ZZZZ") == ("PT Zet Tbk", LIST)
    by_hand(tmp_path, "BBCA;bca, as  we say\n")
    assert book.refresh()
    assert book.look("BBCA", "Bank") == ("bca, as we say", HAND)
    (tmp_path / "names" / "idx.hand.csv").unlink()
    assert book.refresh()
    assert book.look("BBCA", "Bank") == ("PT BCA Tbk", LIST)


def test_a_list_that_is_spoilt_leaves_the_names_as_they_were(tmp_path: Path) -> None:
    book = NameBook(IDX, tmp_path)
    by_hand(tmp_path, "BBCA,BCA\n")
    assert book.refresh()
    by_hand(tmp_path, "BBCA,BCA\nno comma\n")
    assert not book.refresh()
    assert book.look("BBCA") == ("BCA", HAND)
    with pytest.raises(Refuse, match=r"idx\.hand\.csv, line 2"):
        name_book.by_hand(tmp_path, IDX)
    by_hand(tmp_path, "")
    assert book.refresh()
    assert book.look("BBCA")[1] == PACKAGE


def test_a_list_is_the_old_one_or_the_new_one_whole(tmp_path: Path) -> None:
    """One writes again and again, another reads: never a part, and nothing is left over."""
    lists = [{f"A{n:03}": f"PT {letter} {n}" for n in range(500)} for letter in "AB"]
    name_book.keep(tmp_path, IDX, lists[0])
    ended = threading.Event()

    def write() -> None:
        for turn in range(100):
            name_book.keep(tmp_path, IDX, lists[turn % 2])
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not ended.is_set():
        assert name_book.imported(tmp_path, IDX) in lists
    writer.join()
    assert [path.name for path in (tmp_path / "names").iterdir()] == ["idx.csv"]
    assert os.stat(tmp_path / "names" / "idx.csv").st_mode & 0o077 == 0


def test_a_list_is_kept_whatever_the_locale(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys; from bursa.history import name_book;"
        "from bursa.model.venue import IDX;"
        "name_book.keep(pathlib.Path(sys.argv[1]), IDX, {'BBCA': 'PT Caf\\u00e9 Tbk'})"
    )
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, env=os.environ | plain, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert name_book.imported(tmp_path, IDX) == {"BBCA": "PT Café Tbk"}


@pytest.mark.parametrize("venue", VENUES.values(), ids=VENUES)
def test_what_comes_with_the_package_is_written_as_lists_are(venue: Venue) -> None:
    raw = (Path(name_book.__file__).with_name("known") / f"{venue.name}.csv").read_bytes()
    rows = names.parse(raw, venue, "known")
    known = names.chosen(rows, venue)
    assert len(known) == len(rows) >= 100
    assert known == {row.ticker: row.name for row in rows}
    assert names.written(known).encode() == raw


def test_pairs_have_names_too() -> None:
    assert NameBook(BINANCE).look("BTCUSDT") == ("Bitcoin / TetherUS", PACKAGE)
