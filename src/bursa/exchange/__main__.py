"""Start the demo exchange: `python -m bursa.exchange --state DIR`.

Prints `listening 127.0.0.1:P1 127.0.0.1:P2` (trades, market) on standard output once it is ready,
and writes DIR/exchange.json for whoever looks for it: process, ports, seed, when it started. What
must outlive it lies in DIR/state.json. Ends on SIGTERM or SIGINT, or when nobody needs it any
more; exit code 2: it cannot start, and says why.
"""

import argparse
import asyncio
import fcntl
import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from datetime import date
from pathlib import Path

from bursa.exchange import stream
from bursa.exchange.clock import (
    OPENS_BEFORE_NS,
    MarketClock,
    Pace,
    State,
    load,
    new_state,
    save,
)
from bursa.exchange.serve import Exchange, log
from bursa.exchange.tickers import TICKERS_MAX
from bursa.model.calendar import Calendar
from bursa.model.errors import Refuse
from bursa.model.venue import IDX, amend
from bursa.ops.ending import run_to_the_end

USER, PASSWORD = "bursa", "demo"
_SAVE_S = 1.0
_TICKERS, _SEED, _HISTORY_DAYS = 700, 7, 30


def _rate(text: str) -> int | None:
    if text == "max":
        return None
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r}: a number of messages a second, or max")
    return int(text)


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line. Values that a state fixes are None where they are not given."""
    parser = argparse.ArgumentParser("bursa.exchange", description="A demo stock exchange.")
    add = parser.add_argument
    add("--state", type=Path, required=True, metavar="DIR", help="folder of its state")
    add("--port-trades", type=int, default=0, help="port of idxdata; 0: a free one")
    add("--port-market", type=int, default=0, help="port of itchdata; 0: a free one")
    add("--speed", type=float, default=1.0, help="market seconds a second")
    add("--rate", type=_rate, default=0, metavar="N|max", help="messages a second, instead")
    add("--idle-exit-s", type=float, default=600.0, help="end after so long without a client")
    add("--calendar", type=Path, metavar="FILE", help="changes of the trading calendar")
    add("--user", default=USER, help="login, at most 6 characters")
    add("--password", default=PASSWORD, help="password, at most 10 characters")
    fixed = parser.add_argument_group("fixed with the folder's first start")
    fixed.add_argument("--seed", type=int, help=f"default {_SEED}")
    fixed.add_argument("--tickers", type=int, help=f"1 to {TICKERS_MAX}, default {_TICKERS}")
    fixed.add_argument("--history-days", type=int, help=f"default {_HISTORY_DAYS}")
    fixed.add_argument(
        "--books-live", action=argparse.BooleanOptionalAction, help="books on live days"
    )
    fixed.add_argument(
        "--today", type=date.fromisoformat, help="the first live day lies a year before it"
    )
    given = parser.parse_args(argv)
    if given.speed <= 0:
        parser.error("--speed: above 0")
    return given


def _state(calendar: Calendar, given: argparse.Namespace) -> State:
    """The kept state, or a new one; Refuse where the folder holds another market than asked for."""
    kept = load(given.state / "state.json")
    if kept is None:
        tickers = _TICKERS if given.tickers is None else given.tickers
        if not 1 <= tickers <= TICKERS_MAX:
            raise Refuse(f"--tickers: {tickers}; 1 to {TICKERS_MAX}", parameter="tickers")
        return new_state(
            calendar,
            given.today or calendar.day_of(time.time_ns()),
            _SEED if given.seed is None else given.seed,
            tickers,
            given.books_live is not False,
            _HISTORY_DAYS if given.history_days is None else given.history_days,
        )
    if not calendar.is_trading_day(kept.day):  # it was one when the state was kept
        kept.day = calendar.next_day(kept.day)
        kept.now_ns = calendar.day_open_ns(kept.day) - OPENS_BEFORE_NS
    origin = kept.origin
    for name, asked, has in (
        ("seed", given.seed, origin.seed),
        ("tickers", given.tickers, origin.tickers),
        ("books-live", given.books_live, origin.books),
        ("history-days", given.history_days, origin.history_days),
    ):
        if None not in (asked, has) and asked != has:
            raise Refuse(f"--{name} {asked}: {given.state} holds a market with {has}")
    return kept


def _lock(folder: Path) -> int:
    """Hold the folder until the process ends."""
    folder.mkdir(parents=True, exist_ok=True)
    held = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Refuse(f"{folder}: another exchange runs there") from None
    return held


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Refuse(f"--calendar: {file}: {error}", parameter="calendar") from None


def _listen(port: int) -> socket.socket:
    try:
        listener = socket.create_server(("127.0.0.1", port), backlog=16)
    except OSError as error:
        raise Refuse(f"port {port}: {error}") from error
    listener.setblocking(False)
    return listener


def _announce(given: argparse.Namespace, state: State, listeners: list[socket.socket]) -> None:
    ports = [listener.getsockname()[1] for listener in listeners]
    facts = {
        "pid": os.getpid(),
        "port_trades": ports[0],
        "port_market": ports[1],
        "seed": state.origin.seed,
        "tickers": state.origin.tickers,
        "first_day": state.origin.first_day.isoformat(),
        "live_day": state.origin.live_day.isoformat(),
        "user": given.user,
        "started_ns": time.time_ns(),
    }
    path = given.state / "exchange.json"
    new = path.with_suffix(".new")
    new.write_text(json.dumps(facts, indent=1) + "\n")
    os.replace(new, path)
    with suppress(OSError):
        sys.stdout.write(f"listening 127.0.0.1:{ports[0]} 127.0.0.1:{ports[1]}\n")
        sys.stdout.flush()


async def _keep(path: Path, state: State) -> None:
    """Save the state about once a second."""
    kept = None
    while True:
        now = (state.day, state.now_ns)
        if now != kept:
            save(path, state)
            kept = now
        await asyncio.sleep(_SAVE_S)


async def _run(given: argparse.Namespace, state: State, listeners: list[socket.socket]) -> None:
    pace = Pace(given.speed, given.rate or None, unbounded=given.rate is None)
    clock = MarketClock(IDX.calendar, state, pace)
    exchange = Exchange(IDX.calendar, state.origin, clock, given.user, given.password)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, exchange.stop.set)
    path = given.state / "state.json"
    keeping = asyncio.create_task(_keep(path, state))
    _announce(given, state, listeners)
    try:
        await exchange.serve(listeners, given.idle_exit_s)
    finally:
        keeping.cancel()
        save(path, state)


def main(argv: list[str] | None = None) -> int:
    """Run the exchange; the exit code."""
    given = arguments(argv)
    try:
        if given.calendar is not None:
            amend(IDX.name, _text(given.calendar), str(given.calendar))
        held = _lock(given.state)
        state = _state(IDX.calendar, given)
        stream.warm()
        listeners = [_listen(given.port_trades), _listen(given.port_market)]
    except Refuse as refusal:
        log("cannot start", why=str(refusal))
        return 2
    try:
        asyncio.run(_run(given, state, listeners))
    finally:
        for listener in listeners:
            listener.close()
        (given.state / "exchange.json").unlink(missing_ok=True)
        os.close(held)
    log("stopped", day=state.day, now_ns=state.now_ns)
    return 0


if __name__ == "__main__":
    run_to_the_end(main)
