"""`bursa symbols` as a user meets it: where bursa runs, where it ran, where it never did."""

import gzip
import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import pytest

from tests.running import Bursa, environment, wait_for
from tests.verbs import Done, bursa

LIST = """\ufeffKode;Nama Perusahaan;Papan
BBCA;BANK CENTRAL ASIA (VIA LIST) TBK;Utama
BMRI;MVS BANK MANDIRI;Utama
BMRI;BANK MANDIRI ( PERSERO )TBK;Utama
NONE;NOT LISTED HERE TBK;Baru
"""


def imported(data: Path, text: str, *options: str) -> Done:
    file = data.parent / "list.csv"
    file.write_text(text)
    return bursa("symbols", "import", str(file), "--data", str(data), *options)


def test_a_running_bursa_takes_names_and_keeps_them_when_it_stopped(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Bursa(data, "--demo", exchange_tickers="60", exchange_history_days="1") as running:

        def named(ticker: str) -> str:
            return str(running.get(f"/udf/symbols?symbol=IDX:{ticker}").get("description", ""))

        def found(query: str) -> list[str]:
            return [row["symbol"] for row in running.get(f"/udf/search?query={quote(query)}")]

        query = "select count(*) as n from idx_contracts"
        wait_for(lambda: running.sql(query)[0]["n"] == 60, what="the list of instruments")
        assert named("BBCA") == "Bank Central Asia Tbk"

        dry = imported(data, LIST, "--dry-run")
        assert dry.returncode == 0, dry.stderr
        assert "idx: 2 new, 0 changed, 0 unchanged, 1 left out; dry run" in dry.stdout
        assert not (data / "names").exists()

        done = imported(data, LIST)
        assert done.returncode == 0, done.stderr
        assert "idx: 2 new, 0 changed, 0 unchanged, 1 left out; kept in" in done.stdout
        assert "PT Bank Mandiri (Persero) Tbk" in done.stdout and "NONE" in done.stdout

        full = "PT Bank Central Asia (Via List) Tbk"
        wait_for(lambda: named("BBCA") == full, what="the new name")
        assert found("via list") == ["BBCA"] and found("bank central")[0] == "BBCA"
        symbols = {row["ticker"]: row["name"] for row in running.get("/v1/symbols")["data"]}
        assert symbols["BBCA"] == full
        assert symbols["BMRI"] == "PT Bank Mandiri (Persero) Tbk"
        with urlopen(running.url + "/chart?symbol=BBCA", timeout=90) as answer:
            assert full in answer.read().decode()

        (data / "names" / "idx.hand.csv").write_text("BBCA,BCA\n")
        wait_for(lambda: named("BBCA") == "BCA", what="the correction")
        again = imported(data, LIST)
        assert "idx: 0 new, 0 changed, 2 unchanged, 1 left out; nothing to write" in again.stdout
        assert "1 of them are corrected by hand in idx.hand.csv" in again.stdout
        assert running.stop() == 0

    listed = bursa("symbols", "ls", "bank ma", "--data", str(data), "--format", "json")
    assert listed.returncode == 0, listed.stderr
    assert {row["ticker"]: row for row in json.loads(listed.stdout)}["BMRI"] == {
        "ticker": "BMRI",
        "name": "PT Bank Mandiri (Persero) Tbk",
        "from": "list",
    }
    changed = imported(data, "BBCA,Bank Central\nBBRI,Bank Rakyat\n")
    assert "idx: 1 new, 1 changed, 0 unchanged, 0 left out; kept in" in changed.stdout
    everything = bursa("symbols", "ls", "--data", str(data), "--format", "csv").stdout
    assert "BBCA,BCA,hand" in everything and "BBRI,PT Bank Rakyat,list" in everything
    assert "TLKM,Telkom Indonesia (Persero) Tbk,feed" in everything


def test_where_nothing_is_known_yet_all_that_are_well_formed_are_taken(tmp_path: Path) -> None:
    data = tmp_path / "data"
    done = imported(data, LIST)
    assert done.returncode == 0, done.stderr
    assert "no ticker of idx is known here yet" in done.stdout
    assert "idx: 3 new, 0 changed, 0 unchanged, 0 left out" in done.stdout
    assert (data.stat().st_mode & 0o077, len(list((data / "names").iterdir()))) == (0, 1)
    nothing = bursa("symbols", "ls", "--data", str(data))
    assert nothing.returncode == 1 and "nothing of idx is stored" in nothing.stderr


def test_another_venues_names(tmp_path: Path) -> None:
    data = tmp_path / "data"
    trade = b'1723161240000000000 {"e":"trade","E":1723161240000,"s":"ETHUSDT","t":1,"p":"2500.1",'
    trade += b'"q":"1","T":1723161240000,"m":true,"M":true}\n'
    (tmp_path / "trade.gz").write_bytes(gzip.compress(trade))
    replayed = bursa(
        "replay", str(tmp_path / "trade.gz"), "--venue", "binance", "--data", str(data)
    )
    assert replayed.returncode == 0, replayed.stderr
    listed = bursa("symbols", "ls", "--venue", "binance", "--data", str(data))
    assert "Ethereum / TetherUS" in listed.stdout and "package" in listed.stdout
    unlisted = imported(data, "BTCUSDT,bitcoin and tether\n", "--venue", "binance")
    assert unlisted.returncode == 1
    assert "binance: 0 new, 0 changed, 0 unchanged, 1 left out" in unlisted.stdout
    assert "no line of the list is of a ticker that trades" in unlisted.stdout
    done = imported(data, "ETHUSDT,ether and tether\n", "--venue", "binance")
    assert done.returncode == 0 and "ether and tether" in done.stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("BBCA,Bank\nBBRI\n", ["list.csv, line 2", "1 columns; allowed: 2"]),
        ("BBCA,Bank\nB B,Bank\n", ["line 2", "'B B' is no ticker; allowed: ^[A-Z0-9]"]),
        ("", ["line 1", "no row"]),
    ],
)
def test_a_bad_list_changes_nothing(text: str, words: list[str], tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert imported(data, "BBCA,Bank Central Asia\n").returncode == 0
    before = (data / "names" / "idx.csv").read_bytes()
    done = imported(data, text)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert (data / "names" / "idx.csv").read_bytes() == before


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    data = tmp_path / "data"
    absent = bursa("symbols", "import", str(tmp_path / "none.csv"), "--data", str(data))
    assert absent.returncode == 1 and "none.csv: No such file" in absent.stderr
    venue = imported(data, "A,B\n", "--venue", "nyse")
    assert venue.returncode == 2 and "allowed: idx, binance, xnas" in venue.stderr


def test_lists_that_come_at_once_are_all_kept(tmp_path: Path) -> None:
    data = tmp_path / "data"
    lists = []
    for number in range(4):
        file = tmp_path / f"list{number}.csv"
        file.write_text(f"AAA{number},Company {number}\n")
        lists.append(file)
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "bursa", "symbols", "import", str(file), "--data", str(data)],
            stdout=subprocess.DEVNULL,
            env=environment(),
        )
        for file in lists
    ]
    assert [process.wait(240) for process in running] == [0] * 4
    kept = (data / "names" / "idx.csv").read_text()
    assert [f"AAA{number}" in kept for number in range(4)] == [True] * 4


def test_a_terminal_that_knows_ascii_alone_is_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("CAFE,PT Caf\u00e9 Tbk\n", "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "bursa", "symbols", "import", str(file), "--data", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment() | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"},
    )
    assert done.returncode == 0, done.stderr
    assert "Caf\\xe9" in done.stdout
