"""The directory: names by the book; search by code and name, of equals the best known first."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from bursa.history import name_book
from bursa.history.directory import Directory, Sources
from bursa.history.name_book import NameBook
from bursa.model.schema import CONTRACTS, SNAPSHOT
from bursa.model.venue import IDX
from tests.history.told import FRI, Told, at, contract, figures

LISTED = {
    "BBCA": "Bank Central Asia Tbk",
    "BMRI": "Bank Mandiri (Persero) Tbk",
    "AWIM": "Arta Wisata Mandiri Tbk",
    "BANK": "Bank Aladin Syariah Tbk",
    "ZBCA": "Zamrud Raya Tbk",
}
VALUES = {"BBCA": 900.0, "BMRI": 500.0, "AWIM": 1.0, "BANK": 2.0}


@pytest.fixture
def told() -> Iterator[Told]:
    found = Told()
    for ticker, name in LISTED.items():
        found.tell(CONTRACTS, contract(ticker, 100.0) | {"name": name})
    for ticker, value in VALUES.items():
        found.tell(SNAPSHOT, figures(ticker, at(FRI, 10, 0), value=value))
    yield found
    found.offload.close()


def directory(told: Told, data: Path) -> Directory:
    book = NameBook(IDX, data)
    found = Directory(
        Sources(IDX, told.words, told.store, told.rings, told.facts, book), told.offload
    )
    asyncio.run(found.renew())
    return found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("bbca", ["BBCA"]),
        ("bank central", ["BBCA"]),
        ("mandiri", ["BMRI", "AWIM"]),
        ("persero", ["BMRI"]),
        ("bank", ["BANK", "BBCA", "BMRI"]),
        ("b", ["BBCA", "BMRI", "BANK", "ZBCA", "AWIM"]),
        ("bca", ["BBCA", "ZBCA"]),
        ("", ["BBCA", "BMRI", "BANK", "AWIM", "ZBCA"]),
        ("telkom", []),
    ],
)
def test_codes_come_before_names_and_of_equals_the_one_traded_most(
    query: str, found: list[str], told: Told, tmp_path: Path
) -> None:
    assert [symbol.ticker for symbol in directory(told, tmp_path).search(query, 10)] == found


def test_a_new_list_is_shown_at_the_next_renewal(told: Told, tmp_path: Path) -> None:
    known = directory(told, tmp_path)
    name_book.keep(tmp_path, IDX, {"BBCA": "PT Bank Tengah Tbk"})
    assert [symbol.name for symbol in known.search("bbca", 1)] == ["Bank Central Asia Tbk"]
    asyncio.run(known.renew())
    symbol = known.find("BBCA")
    assert symbol is not None and symbol.name == "PT Bank Tengah Tbk"
    assert [symbol.ticker for symbol in known.search("tengah", 10)] == ["BBCA"]
    assert known.search("central", 10) == []
