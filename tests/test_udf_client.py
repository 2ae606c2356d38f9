"""TradingView's client, as it is documented, against a running bursa: a chart over a Friday's lunch
and a weekend, a demo at speed, and a client that cannot read /config. The client (udf_client/) is
JavaScript under Node and shares nothing with us; what it judges is its exit code.

One server for most of it: its market's time goes on from test to test, in the order of this file.
"""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.running import Bursa, wait_for
from tests.scripted import SECOND_NS, Scripted, at

CLIENT = Path(__file__).with_name("udf_client") / "main.mjs"
FRIDAY, MONDAY = date(2025, 11, 14), date(2025, 11, 17)
SOME = "1,5,60,240,1D,1W,1M"
# The demo, at so many market seconds a second; the client polls every 10 of them.
SPEED = 120
PATIENCE_S = 120
# Where the server's clock is at a time, so are the trades before it.
REST_BEHIND_NS = 5 * SECOND_NS


@pytest.fixture(scope="module")
def node() -> str:
    """Node; absent, the test is skipped, or fails where servers are required."""
    found = shutil.which("node")
    if found is None:
        why = "no node: scripts/browser installs it, or apt-get install nodejs"
        if os.environ.get("BURSA_REQUIRE_SERVERS"):
            pytest.fail(why)
        pytest.skip(why)
    return found


class Client:
    """The client as a process that is told when to poll."""

    def __init__(self, node: str, url: str, *options: str) -> None:
        self.process = subprocess.Popen(
            [node, str(CLIENT), "--url", f"{url}/udf", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._timer = self._ends_it()

    def _ends_it(self) -> threading.Timer:
        timer = threading.Timer(PATIENCE_S, self.process.kill)
        timer.start()
        return timer

    def hear(self, word: str) -> None:
        """Wait for a line that begins with a word; each may take its time."""
        assert self.process.stdout is not None
        self.end_timer()
        self._timer = self._ends_it()
        line = self.process.stdout.readline()
        if not line.startswith(word):
            _, errors = self.process.communicate()
            self.end_timer()
            pytest.fail(f"no {word!r}, it ended with {self.process.returncode}: {line}{errors}")

    def beat(self, ts: int) -> None:
        """Let it poll, once the server's clock is at `ts`."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"beat {ts // SECOND_NS}\n")
        self.process.stdin.flush()
        self.hear("done")

    def end_timer(self) -> None:
        self._timer.cancel()

    def end(self) -> dict[str, Any]:
        """What it found at last; fails with its finding."""
        out, errors = self.process.communicate()
        self.end_timer()
        assert self.process.returncode == 0, errors
        summary: dict[str, Any] = json.loads(out.splitlines()[-1])
        print(f"{summary['requests']} requests, {summary['beats']} beats, {summary['marks']} marks")
        return summary


Event = tuple[int, Callable[[Scripted], None]]


def trades(day: date, start: str, end: str, dice: Random) -> Iterator[Event]:
    """BBCA three times a minute, TLKM now and then, in [start, end)."""
    for minute in range(at(day, start), at(day, end), 60 * SECOND_NS):
        for second in (5, 25, 50):
            yield _trade("BBCA", minute + second * SECOND_NS, 8_600 + 25 * dice.randrange(-8, 9))
        if minute // (60 * SECOND_NS) % 7 == 0:
            yield _trade("TLKM", minute + 31 * SECOND_NS, 3_000 + 10 * dice.randrange(-5, 6))


def _trade(ticker: str, ts: int, price: float, said: int | None = None) -> Event:
    """A trade of `ts`; `said` later where it comes late."""
    return (said or ts, lambda exchange: exchange.trade(ticker, ts, price))


def _state(day: date, clock: str, state: str) -> Event:
    ts = at(day, clock)
    return (ts, lambda exchange: exchange.status(ts, state))


def whole_day(day: date, dice: Random) -> Iterator[Event]:
    """States and trades from pre-open to the end."""
    noon, after = ("11:30", "14:00") if day.weekday() == 4 else ("12:00", "13:30")
    for clock, state in (
        ("08:45", "P"), ("09:00", "1"), (noon, "B"), (after, "2"), ("15:50", "C"), ("16:01", "X"),
        ("16:16", "E"),
    ):  # fmt: skip
        yield _state(day, clock, state)
    yield _trade("BBCA", at(day, "08:58:10"), 8_600)  # of the opening auction
    yield from trades(day, "09:00", noon, dice)
    yield from trades(day, after, "15:50", dice)
    yield _trade("BBCA", at(day, "16:00:20"), 8_625)  # of the closing one
    yield _trade("BBCA", at(day, "16:05:10"), 8_625)


def past(exchange: Scripted, dice: Random) -> None:
    """Two months of a few trades a day, two days whole; ends before Friday's opening."""
    for ticker, name in (("BBCA", "Bank Central Asia"), ("TLKM", "Telkom Indonesia")):
        exchange.contract(ticker, name, at(date(2025, 9, 15), "08:00"), 8_600)
    day = date(2025, 9, 15)
    while day < FRIDAY:
        if day.weekday() < 5:
            few = trades(day, "10:00", "10:07", dice)
            events = whole_day(day, dice) if day >= date(2025, 11, 12) else few
            for _, happen in sorted(events, key=lambda event: event[0]):
                happen(exchange)
        day += timedelta(days=1)


# Seconds at which trades are late: each said after its minute had closed.
LATE = [
    (at(FRIDAY, "11:27:40"), at(FRIDAY, "11:29:10")),
    (at(FRIDAY, "11:29:58"), at(FRIDAY, "11:31:20")),  # in the lunch break
    (at(FRIDAY, "14:03:11"), at(FRIDAY, "14:09:30")),
    (at(MONDAY, "09:01:02"), at(MONDAY, "09:04:45")),
]


def beats(often: int) -> Iterator[int]:
    """When the chart polls: every `often` seconds while there is trade, seldom where time just goes
    by."""
    for day, start, end, step in (
        (FRIDAY, "11:22", "11:33", often),
        (FRIDAY, "11:35", "13:59", 600),
        (FRIDAY, "14:00", "14:12", often),
        (FRIDAY, "15:44", "15:52", often),
        (FRIDAY, "15:59", "16:18", 30),
        (FRIDAY, "17:00", "23:59", 7200),
        (date(2025, 11, 15), "00:00", "23:59", 7200),
        (date(2025, 11, 16), "00:00", "23:59", 7200),
        (MONDAY, "00:00", "08:30", 7200),
        (MONDAY, "08:45", "08:59", 60),
        (MONDAY, "09:00", "09:09", often),
    ):
        yield from range(at(day, start), at(day, end), step * SECOND_NS)


def live(dice: Random) -> list[Event]:
    """Friday and Monday morning. Nothing trades where the chart polls seldom."""
    events = [*whole_day(FRIDAY, dice), *whole_day(MONDAY, dice)]
    quiet = [(at(FRIDAY, "14:11"), at(FRIDAY, "15:45"))]
    kept = [event for event in events if not any(a <= event[0] < b for a, b in quiet)]
    kept += [_trade("BBCA", ts, 8_900, said) for ts, said in LATE]
    return sorted(kept, key=lambda event: event[0])


def advance(exchange: Scripted, events: list[Event], ts: int) -> None:
    """Let the market's time be `ts`."""
    while events and events[0][0] <= ts:
        events.pop(0)[1](exchange)
    exchange.status(ts)


class Stage:
    """A server with two months behind it and a Friday before it."""

    def __init__(self, exchange: Scripted, bursa: Bursa, dice: Random) -> None:
        self.exchange, self.bursa = exchange, bursa
        past(exchange, dice)
        self._events = live(dice)
        self._now = at(FRIDAY, "00:00")

    def at(self, ts: int) -> None:
        """Let the market's time be `ts`, which is not before now."""
        assert ts >= self._now, "the tests of this file go on in its order"
        advance(self.exchange, self._events, ts)
        self._now = ts

    def heard(self, ts: int) -> None:
        """The same, and wait until the server heard of it."""
        self.at(ts)
        heard(self.bursa, ts)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    data = tmp_path_factory.mktemp("stage") / "data"
    with Scripted(REST_BEHIND_NS) as exchange, Bursa(data, **exchange.settings()) as bursa:
        yield Stage(exchange, bursa, Random(3))


def heard(bursa: Bursa, ts: int) -> None:
    """Wait until the server heard of `ts`, and of the names, which come by the other channel.
    Before the first event its clock is ours, which is later than any of these times."""
    wait_for(lambda: 0 <= _clock(bursa) - ts // SECOND_NS < 3600, what="the market's time")
    path = "/udf/search?query=TELKOM&limit=1&type=&exchange="
    wait_for(lambda: bursa.get(path), what="the names")


def _is_live(tape: dict[str, Any]) -> bool:
    """Does the demo trade live? Past days have a session 1 too while they stream in."""
    return tape["session"] == "session 1" and tape["progress"] is None


def _clock(bursa: Bursa) -> int:
    return int(bursa.get("/udf/time"))


def shown(bursa: Bursa) -> tuple[str, str]:
    """What the client shows: a key."""
    return "--key", bursa.guest.key


def _opening(bursa: Bursa) -> int:
    """Monday's first minute, into which the auction went."""
    start, end = at(MONDAY, "00:00") // SECOND_NS, at(MONDAY, "09:02") // SECOND_NS
    query = f"symbol=IDX:BBCA&resolution=1&from={start}&to={end}"
    found = bursa.get(f"/udf/history?{query}")
    assert found["v"][0] == 400
    return int(found["t"][0])


Answer = tuple[int, bytes]


def no_config(path: str, answer: Answer) -> Answer:
    """/udf/config fails as a broken proxy's answers do."""
    return (500, b"<html>Bad gateway</html>") if path.startswith("/udf/config") else answer


class Between(BaseHTTPRequestHandler):
    """Asks `upstream` and passes its answers through `spoil`."""

    upstream = ""
    spoil: Callable[[str, Answer], Answer]

    def do_GET(self) -> None:
        try:
            shown = {"X-Api-Key": self.headers.get("X-Api-Key", "")}
            with urlopen(Request(self.upstream + self.path, headers=shown), timeout=90) as answer:
                found = answer.status, answer.read()
        except HTTPError as error:
            found = error.code, error.read()
        status, body = type(self).spoil(self.path, found)
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Be silent."""


@contextmanager
def between(url: str, spoil: Callable[[str, Answer], Answer]) -> Iterator[str]:
    """The address of a proxy before a server."""
    handler = type("Spoiled", (Between,), {"upstream": url, "spoil": staticmethod(spoil)})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{proxy.server_address[1]}"
        proxy.shutdown()


def history_with(change: Callable[[dict[str, Any]], None]) -> Callable[[str, Answer], Answer]:
    """Answers of /udf/history that hold bars, changed."""

    def spoil(path: str, answer: Answer) -> Answer:
        body = json.loads(answer[1]) if path.startswith("/udf/history") else {}
        if body.get("s") != "ok":
            return answer
        change(body)
        return 200, json.dumps(body).encode()

    return spoil


def twice(body: dict[str, Any]) -> None:
    for name in "tohlcv":
        body[name] = [*body[name][1:], body[name][-1]]


def backwards(body: dict[str, Any]) -> None:
    for name in "tohlcv":
        body[name].reverse()


def shifted(body: dict[str, Any]) -> None:
    body["t"] = [t - 7 * 3600 for t in body["t"]]


def without_volume(body: dict[str, Any]) -> None:
    body["v"][0] = None


def wrong_low(body: dict[str, Any]) -> None:
    body["l"][0] = body["h"][0] + 25


def refused(path: str, answer: Answer) -> Answer:
    said = b'{"s":"error","errmsg":"no"}'
    return (200, said) if path.startswith("/udf/history") else answer


def not_json(path: str, answer: Answer) -> Answer:
    return (200, b"<html>") if path.startswith("/udf/symbols") else answer


def test_a_chart_that_opens_in_the_second_of_the_opening(stage: Stage, node: str) -> None:
    """The day's first bar is the newest, and opens in this very second: what the chart opens with
    has it, so has the first poll."""
    ts, bursa = at(FRIDAY, "09:00"), stage.bursa
    stage.heard(ts)
    stage.exchange.stay_alive()  # the clock does not run on beyond the second
    client = Client(node, bursa.url, *shown(bursa), "--symbols", "IDX:BBCA", "--beats", "0")
    client.hear("subscribed")
    series = client.end()["series"]["IDX:BBCA 1"]
    assert series["last"] == ts // SECOND_NS
    assert series["added"] == 0


def test_the_client_finds_what_is_wrong(stage: Stage, node: str) -> None:
    """A judge that passes everything is none."""
    spoilers = {
        "after": history_with(backwards),
        "2025-11-14T04:17:00.000Z after 2025-11-14T04:17:00.000Z": history_with(twice),
        "outside the session": history_with(shifted),
        "volume is null": history_with(without_volume),
        "do not fit together": history_with(wrong_low),
        "history of IDX:BBCA 1: no": refused,
        "is not valid JSON": not_json,
    }
    stage.heard(at(FRIDAY, "11:18"))
    shows = ("--symbols", "IDX:BBCA", "--beats", "0")
    for finding, spoil in spoilers.items():
        with between(stage.bursa.url, spoil) as url:
            client = Client(node, url, *shown(stage.bursa), *shows)
            _, errors = client.process.communicate(timeout=PATIENCE_S)
            client.end_timer()
        assert client.process.returncode == 1
        assert finding in errors


def test_symbols_come_by_group_where_config_fails(stage: Stage, node: str) -> None:
    start = at(FRIDAY, "11:18")
    stage.heard(start)
    with between(stage.bursa.url, no_config) as url:
        options = ("--symbols", "BBCA,IDX:TLKM", "--resolutions", "1,15,1D", "--expect-groups")
        client = Client(node, url, *shown(stage.bursa), "--lockstep", *options)
        client.hear("subscribed")
        for ts in range(start, at(FRIDAY, "11:21"), 10 * SECOND_NS):
            stage.at(ts)
            client.beat(ts)
        found = client.end()
    assert found["grouped"]
    assert found["series"]["IDX:BBCA 1"]["added"] == 3


@pytest.mark.timeout(900)  # hundreds of turns of two processes
def test_a_chart_over_fridays_lunch_and_the_weekend(stage: Stage, node: str, soak: bool) -> None:
    bursa, times = stage.bursa, list(beats(10 if soak else 20))
    stage.heard(times[0] - 5 * SECOND_NS)
    late = ",".join(str(ts // SECOND_NS) for ts, _ in LATE)
    options = ("--symbols", "IDX:BBCA,IDX:TLKM", "--resolutions", SOME, "--find", "central")
    client = Client(node, bursa.url, *shown(bursa), "--lockstep", "--late", late, *options)
    client.hear("subscribed")
    day = FRIDAY
    for ts in times:
        if ts > at(FRIDAY, "17:30") and day == FRIDAY:
            stage.exchange.end_day()
            day = MONDAY
        stage.at(ts)
        client.beat(ts)
    found = client.end()
    minutes = found["series"]["IDX:BBCA 1"]
    # 11:22 to 11:30, 14:00 to 14:11, 15:45 to 15:50, 16:00, 16:05, and Monday to 09:09.
    assert minutes["added"] == 8 + 11 + 5 + 2 + 9
    assert 0 < minutes["differing"] <= len(LATE)
    assert found["series"]["IDX:BBCA 1D"]["added"] == 1
    assert found["series"]["IDX:BBCA 1M"]["bars"] == 3
    assert _opening(bursa) == at(MONDAY, "09:00") // SECOND_NS


def test_every_ten_seconds_of_the_lunch_break(tmp_path: Path, node: str, soak: bool) -> None:
    if not soak:
        pytest.skip("the chart over Friday's lunch polls it too, less often: --soak")
    dice = Random(5)
    times = range(at(FRIDAY, "11:25"), at(FRIDAY, "14:05"), 10 * SECOND_NS)
    with (
        Scripted(REST_BEHIND_NS) as exchange,
        Bursa(tmp_path / "data", **exchange.settings()) as bursa,
    ):
        past(exchange, dice)
        events = live(dice)
        advance(exchange, events, times[0] - 5 * SECOND_NS)
        heard(bursa, times[0] - 5 * SECOND_NS)
        late = ",".join(str(ts // SECOND_NS) for ts, _ in LATE)
        options = ("--symbols", "IDX:BBCA", "--resolutions", "1")
        client = Client(node, bursa.url, *shown(bursa), "--lockstep", "--late", late, *options)
        client.hear("subscribed")
        for ts in times:
            advance(exchange, events, ts)
            client.beat(ts)
        found = client.end()
    assert found["beats"] == len(times) == 960
    assert found["series"]["IDX:BBCA 1"]["added"] == 5 + 5


def test_a_chart_of_the_demo_at_speed(tmp_path: Path, node: str, soak: bool) -> None:
    if not soak:
        pytest.skip("the chart over Friday's lunch has scripted times: --soak")
    small = {"exchange_tickers": "30", "exchange_history_days": "2"}
    with Bursa(tmp_path / "data", "--demo", "--speed", str(SPEED), **small) as bursa:
        wait_for(lambda: _is_live(bursa.get("/web/tape")), 90, "the live session")
        wait_for(lambda: bursa.get("/v1/snapshot/BBCA")["data"]["trade"], what="a trade")
        poll_ms = str(10_000 // SPEED)
        options = ("--poll-ms", poll_ms, "--beats", "40", "--resolutions", "1,5,60,1D")
        found = Client(node, bursa.url, "--symbols", "IDX:BBCA", *options)
        found.hear("subscribed")
        series = found.end()["series"]
        assert series["IDX:BBCA 1"]["added"] > 2
        assert series["IDX:BBCA 5"]["updates"] > 10
