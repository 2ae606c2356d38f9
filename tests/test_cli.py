"""The command line as a user meets it: exit codes, and messages that say what is allowed."""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bursa as bursa_package
from bursa import cli, config
from bursa.model.errors import Refuse
from bursa.model.venue import VENUES
from bursa.sources import recording
from tests.recording import BARS
from tests.running import Bursa, environment, select
from tests.verbs import bursa

TABLES = ("ticks", "quotes", "ohlcv", "orderbook", "contracts", "status", "metrics", "quarantine")


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bursa", *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment(),
    )


def test_version_is_one_line() -> None:
    done = process("version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("bursa ") and done.stdout.count("\n") == 1


def test_a_user_without_a_place_for_kernels_is_told_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(sys, "prefix", "/proc/none")
    monkeypatch.setenv("HOME", "/proc/nobody")
    why = bursa_package._keep_kernels_by_source()
    assert "/proc/none/var/bursa nor /proc/nobody/.cache/bursa" in why
    monkeypatch.setattr(cli, "no_kernels", why)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2 and "NUMBA_CACHE_DIR" in capsys.readouterr().err


def test_config_show_tells_value_and_origin_and_masks_secrets() -> None:
    settings = {
        "feeds_main_venue": "idx",
        "feeds_main_idxdata": "h:1",
        "feeds_main_itchdata": "h:2",
    }
    done = bursa("config", "show", "--format", "json", feeds_main_password="hunter2", **settings)
    assert done.returncode == 0
    rows = {row["path"]: row for row in json.loads(done.stdout)}
    assert rows["http.port"] == {"path": "http.port", "value": 18090, "origin": "default"}
    assert rows["feeds.main.venue"]["origin"] == "environment BURSA_FEEDS_MAIN_VENUE"
    assert "hunter2" not in done.stdout
    table = bursa("config", "show", feeds_main_password="hunter2", **settings)
    assert "http.port" in table.stdout and "hunter2" not in table.stdout


@pytest.mark.parametrize(
    ("arguments", "settings", "words"),
    [
        (["up", "--port", "99999"], {}, ["http.port", "65535"]),
        (["up"], {"http_host": "0.0.0.0"}, ["http.host", "http.hosts"]),
        (["up", "--demo"], {"http_host": "0.0.0.0"}, ["http.host", "127.0.0.1"]),
        (["up"], {"htp_port": "1"}, ["BURSA_HTP_PORT", "did you mean BURSA_HTTP_PORT"]),
        (["config", "show"], {"idx_orderbook_store": "often"}, ["idx.orderbook.store", "Ns"]),
        (["config", "show", "--config", "none.toml"], {}, ["none.toml", "cannot be read"]),
        (["config", "show", "--format", "xml"], {}, ["xml", "table, json"]),
        (["replay", "x", "--venue", "nyse"], {}, ["nyse", "idx, binance, xnas"]),
        (["sql", "select 1", "--format", "xml"], {}, ["xml", "table, json, csv"]),
    ],
)
def test_what_is_wrong_stops_with_its_path_and_what_is_allowed(
    arguments: list[str], settings: dict[str, str], words: list[str], tmp_path: Path
) -> None:
    done = bursa(*arguments, **settings | {"data": str(tmp_path / "data")})
    assert done.returncode == 2, done.stderr
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["replay", "none.gz", "--venue", "binance"], "none.gz"),
        (["sql", "select 1"], "nothing was stored here yet"),
        (["up"], "nothing to run"),
        (["backup", "none"], "there is no data folder"),
        (["restore-backup", "none"], "has no finished backup"),
        (["backfill", "restore", "none.csv", "--venue", "idx"], "there is no such file"),
    ],
)
def test_what_cannot_be_done_says_why(arguments: list[str], words: str, tmp_path: Path) -> None:
    done = bursa(*arguments, "--data", str(tmp_path / "data"))
    assert done.returncode == 1, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_recording_is_stored_once(shared_data: Path, tmp_path: Path) -> None:
    recording = shared_data / "binance-spot-btcusdt-20240808.gz"
    if not recording.exists():
        pytest.skip(f"no {recording.name} among the recordings")
    data = str(tmp_path / "data")

    def asked(query: str) -> list[dict[str, float]]:
        return select(Path(data), query)

    def counts() -> list[float]:
        each = " union all ".join(
            f"select {at} as place, count(*) as n from binance_{table}"
            for at, table in enumerate(TABLES)
        )
        return [row["n"] for row in asked(f"{each} order by place")]

    done = bursa("replay", str(recording), "--venue", "binance", "--data", data)
    assert done.returncode == 0, done.stderr
    assert "ticks 9,757, quotes 28,040" in done.stdout
    first = counts()
    assert first[0] == 9757
    bars = asked("select *, ts // 1000000 as ms from binance_ohlcv order by ts")
    fields = ("open", "high", "low", "close", "volume", "trades")
    assert {bar["ms"]: tuple(bar[name] for name in fields) for bar in bars} == BARS
    ids = asked("select count(distinct trade_no) as n, min(trade_no) as a, max(trade_no) as b"
                " from binance_ticks")  # fmt: skip
    assert ids == [{"n": 9757, "a": 3735683259, "b": 3735693015}]

    again = bursa("replay", str(recording), "--venue", "binance", "--data", data)
    assert again.returncode == 0, again.stderr
    assert counts() == first

    own = bursa("replay", f"{data}/journal/binance", "--venue", "binance", "--data", data)
    assert own.returncode == 0, own.stderr
    assert counts() == first


def test_a_torn_recording_is_not_called_stored(tmp_path: Path) -> None:
    torn = tmp_path / "torn.gz"
    torn.write_bytes(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03not a stream")
    done = bursa("replay", str(torn), "--venue", "binance", "--data", str(tmp_path / "data"))
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("head", "packer"),
    [(b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh9", "bzip2")],
)
@pytest.mark.parametrize("venue", VENUES)
def test_a_packed_recording_is_refused_with_what_unpacks_it(
    head: bytes, packer: str, venue: str, tmp_path: Path
) -> None:
    packed = tmp_path / "day"
    packed.write_bytes(head + bytes(100))
    with pytest.raises(Refuse, match=f"{packer}: unpack it first, as in `{packer} -dc"):
        recording(config.load({}, {}).config, packed, VENUES[venue], "")


def test_a_recording_of_which_nothing_can_be_read_is_not_called_done(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("not a frame\nnor this\n")
    done = bursa("replay", str(other), "--venue", "binance", "--data", str(tmp_path / "data"))
    assert done.returncode == 1
    assert "2 messages were refused: binance_quarantine" in done.stderr


def test_a_source_that_cannot_be_reached_is_told_once(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # and listens not
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        source = {"feeds_main_idxdata": address, "feeds_main_itchdata": address}
        with Bursa(tmp_path / "data", feeds_main_venue="idx", **source) as running:
            while running.count("bursa_feed_retries_total") < 6:
                time.sleep(0.05)
            ready = running.get("/ready")
            said = running.events()
    # Nobody is known yet: it says how the first one is made, as bursa was called.
    first = "bursa user create EMAIL --role superadmin --tier enterprise"
    assert running.said["accounts"].endswith(f"{first} --data {tmp_path / 'data'}")
    told = [(one["channel"], one["why"]) for one in said if "come up" in one["event"]]
    assert sorted(channel for channel, _ in told) == ["idxdata", "itchdata"]
    assert ready["ok"] and ready["degraded"][:1] == ["feed of idx"]
    assert ready["dependencies"]["feed of idx"]["error"] == "idxdata, itchdata away"
    assert all(why.startswith(f"{address} cannot be reached") for _, why in told)


def assert_backed_up_and_restored(tmp_path: Path) -> None:
    """Both while bursa runs on the folder `data`."""
    data, target, file = ("--data", str(tmp_path / "data")), tmp_path / "backup", tmp_path / "a.csv"
    file.write_text(
        "Ticker,Date,Time,Open,High,Low,Close,Vol\n"
        "ZZZZ,2020-01-06,09:00,100,101,99,100,5\n"
        "ZZZZ,2020-01-06,09:01,100,99,99,100,5\n"
    )
    restored = bursa("backfill", "restore", str(file), "--tz", "venue", "--json", *data)
    assert restored.returncode == 1, restored.stderr
    report = json.loads(restored.stdout)
    assert (report["written"], report["metric_rows"], report["reasons"]) == (1, 1, {"high": 1})
    copied = bursa("backup", str(target), "--json", *data)
    assert copied.returncode == 0, copied.stderr
    assert json.loads(copied.stdout)["running"] is True
    back = bursa("restore-backup", str(target), "--data", str(tmp_path / "again"))
    assert back.returncode == 0, back.stderr
    query = "select ticker, close, source from idx_ohlcv where ticker = 'ZZZZ'"
    asked = bursa("sql", query, "--format", "csv", "--data", str(tmp_path / "again"))
    assert "ZZZZ,100.0,file" in asked.stdout, asked.stderr


def test_a_held_folder_a_taken_port_and_a_question_to_the_holder(tmp_path: Path) -> None:
    small = {"exchange_tickers": "5", "exchange_history_days": "0"}
    with Bursa(tmp_path / "data", "--demo", **small) as running:
        second = bursa("up", "--demo", "--port", "0", "--data", str(tmp_path / "data"))
        assert second.returncode == 1
        assert str(running.process.pid) in second.stderr and "is held by" in second.stderr
        port = running.url.rsplit(":", 1)[1]
        taken = bursa("up", "--demo", "--port", port, "--data", str(tmp_path / "other"), **small)
        assert taken.returncode == 1
        assert port in taken.stderr and "--port 0" in taken.stderr
        assert running.sql("select count(*) as n from idx_ticks")[0]["n"] >= 0
        refused = bursa("sql", "drop table idx_ticks", "--data", str(tmp_path / "data"))
        assert refused.returncode == 1 and "SELECT" in refused.stderr
        assert_backed_up_and_restored(tmp_path)
        assert running.stop() == 0
        said = [line for line in running.log().splitlines()[1:] if not line.startswith("{")]
        assert said == [], "a stop says nothing but log lines"
    socket.create_server(("127.0.0.1", int(port))).close()  # nobody listens there any more
