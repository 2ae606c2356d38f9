"""`bursa hd`: gates changed while a real bursa runs and while none does, over kills and days."""

import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from bursa import config
from bursa.metrics.engine import compute
from bursa.metrics.metric import Terms
from bursa.model.errors import Refuse, Retry
from bursa.model.venue import IDX
from bursa.ops import logs
from bursa.pipeline import control, gates_file
from bursa.store import question, sql
from bursa.store.folder import STORE_FILE
from bursa.verbs.hd import Wanted, run_set, run_show
from bursa.verbs.verify import run_verify
from tests.metrics.bars import Bar, batch, words
from tests.metrics.hd_plain import ALWAYS, PlainGates, PlainHd
from tests.running import Bursa, environment, wait_for
from tests.scripted import SECOND_NS, Scripted, at

THURSDAY, FRIDAY = date(2025, 11, 20), date(2025, 11, 21)
TICKERS = ("BBCA", "BMRI")
COLUMNS = ("hd", "hd_mapo", "hd_dmapo", "hd_direction")
MINUTE_NS = 60 * SECOND_NS


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> None:
    logs.setup("error", "json")


def load(data: Path) -> config.Config:
    return config.load({"data": str(data), "log.level": "error"}, {}).config


def trades(exchange: Scripted, day: date, first: int, last: int) -> None:
    """Of each minute after nine two trades of each ticker; then so much time that it is over."""
    for minute in range(first, last + 1):
        ts = at(day, "09:00") + minute * MINUTE_NS
        for number, ticker in enumerate(TICKERS):
            price = 5_000 + 25 * ((minute * 37 + number * 3) % 11)
            for part in (5, 35):
                volume = 100 * (1 + (minute * 7 + number + part) % 13)
                exchange.trade(ticker, ts + part * SECOND_NS, price + part, volume)
    exchange.status(at(day, "09:01") + last * MINUTE_NS + 5 * SECOND_NS)


def asked(data: Path, columns: str, kind: str) -> list[list[Any]]:
    """Rows of a table, by ticker, time and revision."""
    text = f"select {columns} from idx_{kind} order by ticker, ts, rev"
    return [list(row) for row in question.query(data, data / STORE_FILE, text, sql.Limits()).rows]


def stored(data: Path) -> dict[tuple[str, int], list[float | None]]:
    """(ticker, ts) -> HD as it is stored; None while there is no table yet."""
    rows = asked(data, f"ticker, ts, {', '.join(COLUMNS)}", "metrics")
    return {(row[0], row[1]): row[2:] for row in rows}


def until(data: Path, rows: int) -> None:
    def reached() -> bool:
        try:
            return len(stored(data)) >= rows
        except Refuse:  # there is no file yet
            return False

    wait_for(reached, what=f"{rows} rows of metrics")


def gates_set(data: Path, effective: str, **times: str) -> str:
    text = io.StringIO()
    wanted = Wanted(effective=effective, **times)
    assert run_set(load(data), "idx", wanted, say=Console(file=text, width=300)) == 0
    return text.getvalue()


def shown(data: Path) -> list[list[str]]:
    """Effective, gates, and whether they hold, of each part of the schedule."""
    rows = json.loads(run_show(load(data), "idx", "json"))
    names = ("effective", "gate_open", "gate_close", "freeze", "holds")
    assert all(row["venue"] == "idx" for row in rows)
    assert [row["from"][:8] for row in rows] == ["venue", *["set at 2"] * (len(rows) - 1)]
    return [[row[name] for name in names] for row in rows]


def recovered(data: Path) -> list[list[str]]:
    """The same, [] while it is not ready."""
    try:
        return shown(data)
    except Retry as retry:
        assert "it recovers" in str(retry)
        return []


def by_definition(data: Path, schedule: list[PlainGates]) -> dict[tuple[str, int], Any]:
    """What the plain HD gives for the bars that are stored."""
    found: dict[tuple[str, int], Any] = {}
    symbols = {ticker: PlainHd(schedule) for ticker in TICKERS}
    for ticker, ts, close, volume in asked(data, "ticker, ts, close, volume", "ohlcv"):
        row = symbols[ticker].push(ts, close, int(volume))
        found[ticker, ts] = list(row or (None,) * len(COLUMNS))
    return found


def verified(data: Path, day: date) -> int:
    quiet = Console(file=io.StringIO())
    return run_verify(
        load(data),
        day.isoformat(),
        "idx",
        ["ohlcv", "metrics"],
        as_json=False,
        say=quiet,
        warn=quiet,
    )


@pytest.fixture
def exchange() -> Iterator[Scripted]:
    with Scripted() as exchange:
        exchange.stay_alive()
        yield exchange


def told_to_admins(url: str) -> list[list[str]]:
    """What the running process tells its first superadmin, as `shown`."""
    with httpx.Client(base_url=url, timeout=90) as client:
        login = {"email": config.Config().accounts.superadmin, "password": PASSWORD}
        assert client.post("/auth/login", json=login).status_code == 200
        [one] = client.get("/admin/api/hd-config").json()["data"]
        history = [(kept["user"], kept["after"]["gate_open"]) for kept in one["history"]]
        assert history == [("cli", "09:02"), ("cli", "09:00")]
        columns = ("effective", "gate_open", "gate_close", "freeze", "holds")
        return [[gates[name] for name in columns] for gates in one["gates"]]


PASSWORD = "kopi susu 7 gelas"
OWN = ["always", "09:05", "14:50", "15:00"]
FIRST = ["2025-11-20T09:12:00+07:00", "09:00", "09:13", "09:15"]
SECOND = ["2025-11-21T09:00:00+07:00", "09:02", "14:50", "15:00"]


def test_gates_change_over_a_kill_and_a_day_and_old_days_keep_theirs(
    tmp_path: Path, exchange: Scripted
) -> None:
    data = tmp_path / "data"
    trades(exchange, THURSDAY, 0, 9)
    with Bursa(data, **exchange.settings()) as bursa:
        until(data, 20)
        assert shown(data) == [[*OWN, "now"]]
        # Market time is 09:10:05: the bar of 09:10 is under way.
        for early in ("2025-11-20T09:09", "2025-11-20T09:10", "2025-11-20T02:10Z", "2025-11-20"):
            with pytest.raises(Refuse, match=r"made already.*from 2025-11-20T09:11:00\+07:00 on"):
                gates_set(data, early, freeze="09:15")
        with pytest.raises(Refuse, match="gate_open <= gate_close <= freeze"):
            gates_set(data, "2025-11-20T09:12", freeze="09:15")
        options = "--gate-open 09:00 --gate-close 09:13:00 --freeze 9:15 --effective".split()
        command = [sys.executable, "-m", "bursa", "hd", "set", *options, "2025-11-20T09:12"]
        done = subprocess.run(
            [*command, "--data", str(data)],
            capture_output=True,
            text=True,
            timeout=240,
            env=environment(),
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == (
            "idx: gates from 2025-11-20T09:12:00+07:00 on are gate_open 09:00, gate_close 09:13,"
            " freeze 09:15\n"
        )
        again = gates_set(data, "2025-11-20T02:12:00Z", freeze="09:15")
        assert "were and stay gate_open 09:00" in again
        assert shown(data) == [[*OWN, "now"], [*FIRST, "later"]]
        trades(exchange, THURSDAY, 10, 16)
        until(data, 34)
        bursa.stop(signal.SIGKILL)
    assert shown(data) == [[*OWN, "over"], [*FIRST, "now"]]
    told = gates_set(
        data, "2025-11-21T09:00", gate_open="09:02", gate_close="14:50", freeze="15:00"
    )
    assert "are gate_open 09:02" in told
    with Bursa(data, superadmin_password=PASSWORD, **exchange.settings()) as bursa:
        wait_for(lambda: len(recovered(data)) == 3, what="the schedule")
        assert shown(data) == [[*OWN, "over"], [*FIRST, "now"], [*SECOND, "later"]]
        assert told_to_admins(bursa.url) == shown(data)
        trades(exchange, THURSDAY, 17, 18)
        trades(exchange, FRIDAY, 0, 6)
        until(data, 52)
    schedule = [
        ALWAYS,
        PlainGates(at(THURSDAY, "09:12"), 9 * 3600, 9 * 3600 + 780, 9 * 3600 + 900),
        PlainGates(at(FRIDAY, "09:00"), 9 * 3600 + 120, ALWAYS.closes, ALWAYS.freezes),
    ]
    changes = json.loads((data / "journal" / "idx" / gates_file.NAME).read_bytes())
    assert [change[3] for change in changes] == [0, *(gates.from_ns for gates in schedule[1:])]
    found = stored(data)
    assert len(found) == 52 and found == by_definition(data, schedule)
    assert found != by_definition(data, schedule[:2]) and found != by_definition(data, [ALWAYS])
    # Recomputed from the journal, and from stored bars by the schedule as it is by now.
    assert [verified(data, day) for day in (THURSDAY, FRIDAY)] == [0, 0]
    rows = asked(data, "ticker, ts, close, volume", "ohlcv")
    bars = [Bar(row[1], row[2], row[3], TICKERS.index(row[0])) for row in rows]
    terms = Terms(IDX, control.gates_standing(IDX, data).schedule)
    computed = compute("hd", batch(bars, words(2)), terms)
    for name, column in zip(COLUMNS, zip(*found.values(), strict=True), strict=True):
        assert [None if v != v else v for v in computed.column(name).tolist()] == list(column)


def test_bad_orders_say_what_is_allowed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    later = "2030-01-07T09:00"
    for venue, wanted, what in (
        ("mars", Wanted(freeze="15:00", effective=later), "no such venue; allowed: idx"),
        ("binance", Wanted(freeze="15:00", effective=later), "has no gates, .*allowed: idx"),
        ("idx", Wanted(effective=later), "nothing to set: --gate-open"),
        ("idx", Wanted(freeze="3pm", effective=later), "--freeze: 3pm; allowed: a time"),
        ("idx", Wanted(gate_open="25:00", effective=later), "--gate-open: 25:00"),
        ("idx", Wanted(gate_close="24:01", effective=later), "--gate-close: 24:01"),
        ("idx", Wanted(freeze="15:00"), "--effective: ; allowed: a time such as"),
        ("idx", Wanted(freeze="15:00", effective="soon"), "--effective: soon"),
        ("idx", Wanted(freeze="15:00", effective="0001-01-01"), "--effective: 0001-.* from 1970"),
        ("idx", Wanted(freeze="15:00", effective="9999-12-31T23:59-14:00"), "from 1970 to 2262-"),
        ("idx", Wanted(freeze="15:00", effective=later), "has no journal of idx yet"),
    ):
        with pytest.raises(Refuse, match=what):
            run_set(load(data), venue, wanted, say=Console(file=io.StringIO()))
    for venue, form, what in (
        ("mars", "table", "no such venue"),
        ("xnas", "table", "has no gates"),
        ("idx", "xml", "--format"),
        ("idx", "table", "no journal of idx yet: the venue's own gates hold"),
        ("", "json", "no journal yet"),
    ):
        with pytest.raises(Refuse, match=what):
            run_show(load(data), venue, form)
    assert not data.exists()
