"""`bursa doctor`: each thing that can be wrong, made wrong for real, is told with its remedy."""

import fcntl
import io
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from bursa import config
from bursa.exchange import launch
from bursa.model.errors import Refuse
from bursa.state.sqlite import STATE_FILE, StateDb
from bursa.store.folder import DataFolder
from bursa.verbs import machine
from bursa.verbs.doctor import accounts, calendars, disk, limits, mail, run_doctor
from bursa.verbs.finding import BAD, OK, WARN, Finding, ok, tell, warn
from tests.running import Bursa, environment, wait_for
from tests.servers.certificates import Certificates
from tests.servers.postgres import PASSWORD, Postgres
from tests.servers.redis import Redis
from tests.servers.smtp import LOGIN, MailServer

Told = dict[str, dict[str, str]]
FREE = {"BURSA_HTTP_PORT": "0", "BURSA_TELEMETRY_PORT": "0"}


def doctor(data: Path, file: str = "", **variables: str) -> tuple[int, Told]:
    """Exit code, and the findings by name."""
    out = io.StringIO()

    def load() -> config.Loaded:
        return config.load({"data": str(data)}, FREE | variables, file or None)

    code = run_doctor(load, file, str(data), as_json=True, say=Console(file=out))
    body = json.loads(out.getvalue())
    assert body["ok"] == (code == 0) == all(f["state"] != BAD for f in body["findings"])
    for finding in body["findings"]:
        assert finding["fact"] and bool(finding["remedy"]) == (finding["state"] != OK)
    return code, {finding["name"]: finding for finding in body["findings"]}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    return folder


def test_a_calendar_past_its_end_is_told() -> None:
    new_year_ns = 1_798_736_400_000_000_000  # of 2027 in Jakarta
    day_ns = 86_400 * 10**9
    found = list(calendars(["binance", "idx", "xnas"], new_year_ns - 61 * day_ns))
    assert [(f.name, f.state) for f in found] == [("calendar of idx", OK), ("calendar of xnas", OK)]
    assert "known from 2015-01-01 to 2026-12-31" in found[0].fact
    assert found[0].fact.endswith(": for 60 days more")
    soon, last = (next(calendars(["idx"], new_year_ns - ago)) for ago in (60 * day_ns, 1))
    assert (soon.state, last.state) == (WARN, WARN) and "calendar.idx" in soon.remedy
    assert soon.fact.endswith(": for 59 days more") and last.fact.endswith(": for 0 days more")
    past = next(calendars(["idx"], new_year_ns))
    assert past.state == WARN
    assert "calendar.idx" in past.remedy


def test_a_healthy_machine_has_nothing_bad(data: Path) -> None:
    code, told = doctor(data)
    assert code == 0
    for name in ("python", "clock", "time zones", "configuration", "data folder", "disk", "lock"):
        assert told[name]["state"] == OK, told[name]
    assert list(data.iterdir()) == [], "it leaves nothing behind"
    assert "none is configured" in told["sources"]["fact"]
    assert {"processors", "memory", "clock sync", "kernels"} <= told.keys()


def test_a_state_database_that_a_start_would_refuse(data: Path) -> None:
    database = StateDb(data / STATE_FILE)
    assert not database.letters.ls()
    database.close()
    _, told = doctor(data)
    assert told["state database"]["state"] == OK and "version" in told["state database"]["fact"]
    with closing(sqlite3.connect(data / STATE_FILE)) as file, file:
        file.execute("update alembic_version set version_num = '9999'")
    code, told = doctor(data)
    assert code == 1 and "version 9999" in told["state database"]["fact"]
    assert told["state database"]["remedy"] == "run the newer bursa"
    (data / STATE_FILE).write_bytes(b"nothing of a database" * 100)
    code, told = doctor(data)
    assert code == 1 and "set it aside" in told["state database"]["remedy"]


def test_a_folder_that_is_not_there_is_made_by_a_start_if_it_can_be(tmp_path: Path) -> None:
    code, told = doctor(tmp_path / "a" / "b")
    assert code == 0 and "not there yet" in told["data folder"]["fact"]
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("x")
    code, told = doctor(tmp_path / "file")
    assert code == 1 and "is no folder" in told["data folder"]["fact"]


def test_a_folder_open_to_others_is_bad(data: Path) -> None:
    data.chmod(0o755)
    code, told = doctor(data)
    assert code == 1
    assert told["data folder"]["state"] == BAD
    assert "mode 0755" in told["data folder"]["fact"]
    assert told["data folder"]["remedy"] == f"chmod 700 {data}"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_a_folder_or_a_file_of_somebody_else(data: Path) -> None:
    (data / "hot.duckdb").write_bytes(b"")
    os.chown(data / "hot.duckdb", 12345, 12345)
    code, told = doctor(data)
    assert (code, told["data folder"]["state"]) == (0, WARN)
    assert "has files of 12345" in told["data folder"]["fact"]
    os.chown(data, 12345, 12345)
    code, told = doctor(data)
    assert (code, told["data folder"]["state"]) == (1, BAD)
    assert "owned by 12345, you are root" in told["data folder"]["fact"]
    assert f"chown -R root {data}" in told["data folder"]["remedy"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_and_one_that_may_only_be_read(small_disk: Path) -> None:
    code, told = doctor(small_disk)
    assert (code, told["disk"]["state"]) == (1, BAD)
    assert "retention.disk_gb" in told["disk"]["remedy"]
    assert told["data folder"]["state"] == OK
    (small_disk / "full").write_bytes(bytes(os.statvfs(small_disk).f_bavail * 4096))
    code, told = doctor(small_disk)
    assert told["data folder"]["state"] == BAD
    assert "No space left" in told["data folder"]["fact"]
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    code, told = doctor(small_disk)
    assert told["data folder"]["state"] == BAD
    assert "Read-only file system" in told["data folder"]["fact"]


def test_room_is_judged_by_what_the_journal_takes(data: Path) -> None:
    free = os.statvfs(data).f_bavail * os.statvfs(data).f_frsize
    assert disk(data, free // 100, 0.0).state == OK
    assert disk(data, free // 10, 0.0).state == WARN
    assert disk(data, free, 0.0).state == BAD
    assert disk(data, free // 100, 1e9).state == WARN


def test_a_taken_port_and_who_has_it(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1])
        code, told = doctor(data, BURSA_HTTP_PORT=number, BURSA_TELEMETRY_PORT=number)
    assert code == 1
    assert told["http.port"]["state"] == BAD
    assert f"127.0.0.1:{number} is held by process {os.getpid()}" in told["http.port"]["fact"]
    assert "--port N" in told["http.port"]["remedy"]
    assert told["telemetry.port"]["state"] == WARN
    code, told = doctor(data, BURSA_HTTP_PORT=number, BURSA_TELEMETRY_PORT=number)
    assert code == 0 and told["http.port"]["fact"] == f"127.0.0.1:{number} is free"


def test_a_running_bursa_of_the_folder_is_well_and_one_that_hangs_is_not(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Bursa(data, "--demo", exchange_tickers="5", exchange_history_days="0") as running:
        number = running.url.rsplit(":", 1)[1]
        telemetry = running.telemetry.rsplit(":", 1)[1].split("/")[0]
        ports = {"BURSA_HTTP_PORT": number, "BURSA_TELEMETRY_PORT": telemetry}
        code, told = doctor(data, **ports)
        assert code == 0, told
        pid = f"process {running.process.pid}"
        assert f"the bursa of this folder, {pid}" in told["http.port"]["fact"]
        assert f"the bursa of this folder, {pid}" in told["telemetry.port"]["fact"]
        assert pid in told["lock"]["fact"] and "answers" in told["lock"]["fact"]
        wait_for(lambda: doctor(data)[1]["kernels"]["state"] == OK, what="all kernels")

        running.process.send_signal(signal.SIGSTOP)
        code, told = doctor(data, **ports)
        assert (code, told["lock"]["state"]) == (1, BAD)
        assert "did not answer within" in told["lock"]["fact"]
        assert f"end {pid}" in told["lock"]["remedy"]

        running.stop(signal.SIGKILL)
        code, told = doctor(data, **ports)
        assert code == 0, told
        assert "was killed, a start mends that" in told["lock"]["fact"]
    exchange = launch.find(data / "exchange")
    assert exchange is not None, "it outlives a killed bursa"
    launch.end(exchange)


def test_a_lock_held_by_a_process_that_is_no_bursa(data: Path) -> None:
    with open(data / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, told = doctor(data)
    assert (code, told["lock"]["state"]) == (1, BAD)
    assert "fuser" in told["lock"]["remedy"]
    with DataFolder(data):
        code, told = doctor(data)
        assert (code, told["lock"]["state"]) == (0, OK)
        assert f"process {os.getpid()}" in told["lock"]["fact"]


def test_each_source_is_connected_to(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as alive, socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))
        endpoints = [f"127.0.0.1:{one.getsockname()[1]}" for one in (alive, dead)]
        line = {"VENUE": "idx", "IDXDATA": endpoints[0], "ITCHDATA": endpoints[1]}
        code, told = doctor(data, **{f"BURSA_FEEDS_MAIN_{k}": v for k, v in line.items()})
    assert code == 1
    assert told["feeds.main.idxdata"]["state"] == OK
    assert told["feeds.main.itchdata"]["state"] == BAD
    assert endpoints[1] in told["feeds.main.itchdata"]["fact"]
    assert "Connection refused" in told["feeds.main.itchdata"]["fact"]


def test_nobody_connects_to_udp(data: Path) -> None:
    line = {"TYPE": "moldudp64", "VENUE": "xnas", "ITCH_A": "233.54.12.111:26477"}
    line |= {"ITCH_REQUESTS": "127.0.0.1:1"}
    code, told = doctor(data, **{f"BURSA_FEEDS_MAIN_{k}": v for k, v in line.items()})
    for key in ("itch_a", "itch_requests"):
        finding = told[f"feeds.main.{key}"]
        assert (finding["state"], "is UDP" in finding["fact"]) == (OK, True)
    assert code == 0


def test_a_wrong_configuration_is_told_and_the_rest_is_looked_at(
    data: Path, tmp_path: Path
) -> None:
    code, told = doctor(data, BURSA_HTTP_PORT="99999")
    assert (code, told["configuration"]["state"]) == (1, BAD)
    assert "http.port" in told["configuration"]["fact"]
    assert "65535" in told["configuration"]["fact"]
    assert str(data) in told["data folder"]["fact"]
    file = tmp_path / "bursa.toml"
    file.write_text('[feeds.main]\nvenue="idx"\nidxdata="h:1"\nitchdata="h:2"\npassword="x"\n')
    file.chmod(0o644)
    findings = configuration(str(file))
    assert [state for _, state, _ in findings] == [OK, WARN]
    assert f"file {file}: 4 values" in findings[0][2]
    file.chmod(0o600)
    assert [state for _, state, _ in configuration(str(file))] == [OK]


def test_a_metric_that_a_start_would_refuse_is_told(tmp_path: Path) -> None:
    file = tmp_path / "bursa.toml"
    file.write_text('[metrics]\nextra = ["ema_1"]\n')
    ((_, state, fact),) = configuration(str(file))
    assert state == BAD and fact == "metrics.extra: ema_1: length 1; allowed: 2 to 1000"
    file.write_text('[metrics]\nextra = ["ema_9"]\n')
    assert [state for _, state, _ in configuration(str(file))] == [OK]


def configuration(file: str) -> list[tuple[str, str, str]]:
    """What is said of the configuration alone, line by line."""
    out = io.StringIO()
    run_doctor(lambda: config.load({}, FREE, file), file, None, as_json=True, say=Console(file=out))
    found = json.loads(out.getvalue())["findings"]
    return [(f["name"], f["state"], f["fact"]) for f in found if f["name"] == "configuration"]


def test_the_folder_of_the_charting_library(data: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    wanted = {"BURSA_WEB_TRADINGVIEW": str(library)}
    assert "No such file" in doctor(data, **wanted)[1]["tradingview"]["fact"]
    (library / "charting_library").mkdir(parents=True)
    code, told = doctor(data, **wanted)
    assert code == 1 and "charting_library.standalone.js" in told["tradingview"]["fact"]
    (library / "charting_library" / "charting_library.standalone.js").write_text("")
    code, told = doctor(data, **wanted)
    assert code == 0 and told["tradingview"]["state"] == OK


def test_a_clock_that_was_set_back(data: Path) -> None:
    now_ns = time.time_ns()
    newest = data / "segment"
    newest.write_bytes(b"")
    assert machine.clock(now_ns, [newest]).state == OK
    ahead = now_ns + 3600 * 10**9
    os.utime(newest, ns=(ahead, ahead))
    found = machine.clock(now_ns, [newest])
    assert found.state == BAD and "before the newest file of the data folder" in found.fact
    assert "NTP" in found.remedy
    assert "before the program was made" in machine.clock(10**18, []).fact
    code, told = doctor(data)
    assert (code, told["clock"]["state"]) == (1, BAD)


def test_memory_is_held_against_what_the_settings_allow(data: Path) -> None:
    assert machine.memory(0).state == OK
    found = machine.memory(1 << 60)
    assert found.state == WARN and "store.memory_mb" in found.remedy


def test_one_line_each_and_the_exit_code(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    done = subprocess.run(
        [sys.executable, "-m", "bursa", "doctor", "--data", str(data)],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment(http_port="0", telemetry_port="0"),
    )
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert all(line.split()[0] in (OK, WARN, BAD) for line in lines[:-1])
    assert sum(line.startswith("bad") for line in lines) == 1
    assert f"bad   data folder     {data} is open to others (mode 0755) -> chmod 700" in done.stdout
    assert lines[-1].endswith("1 bad")


def test_warnings_alone_are_no_failure() -> None:
    out = io.StringIO()
    assert tell([ok("a", "b"), warn("c", "d [x]", "e")], Console(file=out), as_json=False) == 0
    assert "d [x] -> e" in out.getvalue()


def test_a_refused_file_is_told_too(data: Path, tmp_path: Path) -> None:
    with pytest.raises(Refuse):
        config.load({}, {}, str(tmp_path / "none.toml"))
    code, told = doctor(data, file=str(tmp_path / "none.toml"))
    assert code == 1 and "none.toml cannot be read" in told["configuration"]["fact"]


def test_accounts_on_a_server(postgres: Postgres) -> None:
    def found(url: str) -> Finding:
        loaded = config.load({}, FREE | {"BURSA_ACCOUNTS_DATABASE": url})
        return next(accounts(loaded.config))

    url = postgres.database()
    assert found(url) == ok(
        "accounts", "their database answers, without tables: a start makes them"
    )
    state = StateDb(url)
    state.check()
    assert found(url).fact.startswith("their database answers, version 0")
    with state.database.transaction() as to:
        to.exec_driver_sql("update alembic_version set version_num = '9999'")
    state.close()
    assert (found(url).state, found(url).remedy) == (BAD, "run the newer bursa")
    wrong = found(url.replace(PASSWORD, "wrong-secret"))
    assert wrong.state == BAD and "password authentication failed" in wrong.fact
    assert "wrong-secret" not in wrong.fact and "accounts.database" in wrong.remedy


def test_the_mail_server(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(**settings: object) -> Finding:
        variables = {f"BURSA_MAIL_{name.upper()}": str(value) for name, value in settings.items()}
        (told,) = mail(config.load({}, FREE | variables | site).config)
        assert "hunter2" not in told.fact
        return told

    site = {"BURSA_MAIL_SENDER": "Bursa <no-reply@example.com>"}
    assert found().state == OK and "standard error" in found().fact
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
    there = {"host": "127.0.0.1", "security": "starttls", "user": LOGIN[0], "password": LOGIN[1]}
    with MailServer(certificates, "starttls", login=True) as server:
        there["port"] = str(server.port)
        good = found(**there)
        assert good.state == OK and "takes bursa" in good.fact
        wrong = found(**there | {"password": "hunter2"})
        assert wrong.state == WARN and "refuses the login" in wrong.fact
        site["BURSA_MAIL_SENDER"] = "bursa@localhost"
        mine = found(**there)
        assert mine.state == WARN and "mail.sender" in mine.remedy
    with MailServer() as server:
        clear = found(**there | {"port": str(server.port)})
        assert clear.state == BAD and "STARTTLS" in clear.fact
    assert not server.received
    away = found(**there)
    assert away.state == WARN and "mail.host" in away.remedy
    site["BURSA_HTTP_PUBLIC_URL"] = "https://data.example.com"
    assert found().state == WARN, "whoever reads the log could follow the links"


def test_a_file_with_a_secret_that_others_may_read(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "bursa.toml"
    for body, bears in (
        ('[mail]\npassword = "hunter2"\n', True),
        ('[accounts]\ndatabase = "postgresql://bursa:hunter2@127.0.0.1:1/x"\n', True),
        ('[accounts]\nsecrets = "/srv/secrets"\n', False),
    ):
        file.write_text(body)
        file.chmod(0o644)
        _, told = doctor(data, str(file))
        assert (told["configuration"]["state"] == WARN) == bears, body
        assert "hunter2" not in str(told)
        file.chmod(0o600)
        assert doctor(data, str(file))[1]["configuration"]["state"] == OK


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_the_server_that_counts_requests(kind: str, request: pytest.FixtureRequest) -> None:
    server: Redis = request.getfixturevalue(kind)

    def found(url: str) -> Finding:
        loaded = config.load({}, FREE | {"BURSA_ACCOUNTS_LIMITS": url})
        return next(limits(loaded.config))

    assert not list(limits(config.load({}, FREE).config)), "memory is always there"
    assert found(server.url()) == ok("limits", f"{server.url()[:-2]} answers")
    away = found(f"{kind}://user:hunter2@127.0.0.1:1/0")
    assert away.state == WARN and away.fact.startswith(f"{kind}://127.0.0.1:1 is away: ")
    assert "hunter2" not in away.fact
    for wrong in ("@/0", "@h:port/0", "@h:1/first", "@h:1/0?timeout=1"):
        refused = found(f"{kind}://:hunter2{wrong}")
        assert refused.state == BAD and "hunter2" not in refused.fact, wrong
