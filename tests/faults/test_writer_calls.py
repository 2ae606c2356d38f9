"""The store fails at each call of the writer in turn, before and after the effect (P2).

Every write, trial, letter and commit; each as a store that does not answer and as a process that
dies there. Whatever it was, in the end each row is stored or a dead letter, once, and each run's
ledger says so. The long run fails at all pairs of calls.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import duckdb
import pytest
import structlog

from bursa.bus.memory import Entry
from bursa.model.batch import Span, Words
from bursa.model.errors import Retry
from bursa.model.schema import CONTRACTS, OHLCV, TICKS
from bursa.model.venue import IDX
from bursa.ops import logs
from bursa.pipeline import writer as writer_module
from bursa.pipeline.writer import Flush
from bursa.ports import DeadLetters
from bursa.store.duckdb import DuckStore
from tests.fakes.flaky import Dead
from tests.fakes.state import FakeLetters
from tests.fakes.store import FakeStore, Row, batch_of, rows_of
from tests.pipeline.dead import Doors, entry, live
from tests.store.contract import ALL, KINDS, VENUES, bar, tick
from tests.store.test_readmit import contract

HOWS = ("away before", "away after", "dead before", "dead after")
FLUSH = Flush(8, 0.001)
# A transaction for each push.
EACH = Flush(5, 0.001)
# Trades that the store refuses, by their number.
BAD = frozenset({*range(3, 1000, 8), 12})


@pytest.fixture(autouse=True, scope="module")
def plain_logs() -> Iterator[None]:
    """As a process logs: a failure that a test provokes is a line, not a drawing."""
    logs.setup("error", "json")
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "BACK_OFF_S", (0.0,))
    monkeypatch.setattr(writer_module, "OPEN_S", 0.001)
    monkeypatch.setattr(writer_module, "STOP_ASK_S", 0.0)


def entries(pushes: int, words: Words | None = None) -> list[Entry]:
    """Each push has five trades, a bar and a contract."""
    words = words or Words(IDX.boards, [channel.name for channel in IDX.channels])
    found = []
    for nth in range(pushes):
        first, last = nth * 10, nth * 10 + 10
        trades = [
            tick("BBCA", n, aggressor=None if n in BAD else "B", position=first + 1 + n % 5)
            for n in range(nth * 5 + 1, nth * 5 + 6)
        ]
        rows: list[tuple[Any, list[Row]]] = [
            (TICKS, trades),
            (OHLCV, [bar("BBCA", nth, position=last)]),
            (CONTRACTS, [contract(100 + nth, last)]),
        ]
        span = Span("idx", 1, first, last)
        found.append(entry([batch_of(kind, several, words, span) for kind, several in rows]))
    return found


def picky(kind: str, row: Row) -> str:
    return "NOT NULL" if kind == "ticks" and row["aggressor"] is None else ""


def sent(of: Sequence[Entry], kind: str) -> Counter[Any]:
    return Counter(
        row["trade_no"] if kind == "ticks" else row["ts"]
        for one in of
        for b in one.batches
        if b.kind.name == kind
        for row in rows_of(b)
    )


def balanced(store: Any, letters: DeadLetters, of: Sequence[Entry], said: str) -> str:
    """The ledger of a run, its identities checked."""
    trades = sent(of, "ticks")
    stored = Counter(row["trade_no"] for row in rows_of(store.ticks("idx", "BBCA", *ALL)))
    dead = Counter(one.ts for one in letters.ls())
    bars = store.bars("idx", "BBCA", *ALL)
    acknowledged = sum(
        n <= store.positions()["idx.ticks"].position
        for one in of
        for b in one.batches
        if b.kind.name == "ticks"
        for n in b.column("position").tolist()
    )
    doubles = sum(n - 1 for n in (stored + Counter()).values()) + sum(n - 1 for n in dead.values())
    ledger = (
        f"{said}: sent {trades.total()} = acknowledged {acknowledged} + unknown 0 + rejected 0;"
        f" acknowledged <= stored {stored.total()} + dead-lettered {dead.total()};"
        f" duplicates {doubles}"
    )
    assert trades.total() == acknowledged == stored.total() + dead.total(), ledger
    assert doubles == 0 and set(stored) | BAD >= set(trades), ledger
    assert not set(stored) & {n for n in BAD if n in trades}, ledger
    assert len(bars) == len(of), ledger
    assert [row["lot"] for row in rows_of(store.latest("idx", "contracts"))] == [99 + len(of)]
    return ledger


def lives(store: Any, letters: Any, fails: Sequence[tuple[int, str]], of: Sequence[Entry]) -> Doors:
    """Lives of writers until one comes to the end; the calls of all of them."""
    doors = Doors(fails)
    for _ in range(2 + len(fails)):
        failure = live(store, letters, doors, of, FLUSH)
        if failure is None:
            return doors
        assert isinstance(failure, Dead), failure
    raise AssertionError(f"no life came to the end: {doors.hit}")


def calls() -> list[str]:
    """The calls of a life that nothing befalls."""
    store = FakeStore(VENUES, KINDS)
    store.refuse = picky
    return lives(store, FakeLetters(), [], entries(5)).names


def failing(soak: bool) -> Iterator[list[tuple[int, str]]]:
    """All singles; the long run has all pairs besides."""
    names = calls()
    # A commit to the topics is in memory: it never fails alone.
    singles = [
        (at, how)
        for (at, name), how in product(enumerate(names, 1), HOWS)
        if name != "commit" or "dead" in how
    ]
    yield from ([one] for one in singles)
    if soak:
        yield from ([a, b] for a, b in product(singles, repeat=2) if a[0] < b[0])


def test_the_writer_fails_at_every_call(soak: bool) -> None:
    runs, hit = 0, set[str]()
    for fails in failing(soak):
        store, letters, of = FakeStore(VENUES, KINDS), FakeLetters(), entries(5)
        store.refuse = picky
        doors = lives(store, letters, fails, of)
        ledger = balanced(store, letters, of, f"{fails} {doors.hit}")
        runs += 1
        hit |= set(doors.hit)
        if runs % 40 == 1:
            print(ledger)
    assert {name.split()[0] for name in hit} == {"write", "refuses", "add", "commit"}
    print(f"{runs} runs over {len(hit)} kinds of failures")


class Statements:
    """The engine's connection: each statement of a transaction goes through the doors."""

    def __init__(self, real: Any, doors: Callable[[], Doors]) -> None:
        self._real, self._doors = real, doors

    def execute(self, text: str, *given: Any) -> Any:
        name = text.split()[0]
        if name not in ("begin", "insert", "delete", "update", "commit") or "idx" not in text + (
            "idx" if name in ("begin", "commit", "update", "insert") else ""
        ):
            return self._real.execute(text, *given)
        try:
            return self._doors().call(name, self._real.execute, text, *given)
        except Retry as away:
            raise duckdb.IOException(str(away)) from away

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


CONNECT = duckdb.connect


def picky_file(folder: Path) -> Path:
    """An empty store that takes no trade without an aggressor."""
    file = folder / "picky.duckdb"
    if not file.exists():
        DuckStore(file, [IDX], KINDS).close()
        with CONNECT(str(file)) as connection:
            connection.execute("alter table idx_ticks alter aggressor set not null")
    return file


def engine_lives(
    file: Path, fails: Sequence[tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> tuple[Doors, str]:
    """The same on the real store, statement by statement; each life opens its file anew."""
    of = entries(2)
    shutil.copy(picky_file(file.parent), file)
    doors, letters, asked = Doors(fails), FakeLetters(), Doors()
    quiet = True

    def opened(*given: Any, **named: Any) -> Any:
        return Statements(CONNECT(*given, **named), lambda: Doors() if quiet else doors)

    monkeypatch.setattr(duckdb, "connect", opened)
    failure: BaseException | None = Dead("not begun")
    while failure is not None:
        assert isinstance(failure, Dead), failure
        store = DuckStore(file, [IDX], KINDS)
        quiet = False
        failure = live(store, letters, asked, of, EACH)
        quiet = True
        store.close()
    store = DuckStore(file, [IDX], KINDS)
    ledger = balanced(store, letters, of, f"{fails} {doors.hit}")
    store.close()
    return doors, ledger


def test_the_engine_fails_at_every_statement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soak: bool
) -> None:
    doors, ledger = engine_lives(tmp_path / "0.duckdb", [], monkeypatch)
    print(len(doors.names), ledger)
    hit = set[str]()
    for nth, (at, how) in enumerate(product(range(1, len(doors.names) + 1), HOWS), 1):
        # Each statement fails in one way; which, goes round. The long run has all of them.
        if not soak and (at + HOWS.index(how)) % len(HOWS):
            continue
        failed, ledger = engine_lives(tmp_path / f"{nth}.duckdb", [(at, how)], monkeypatch)
        hit |= set(failed.hit)
        print(ledger)
    assert {name.split()[0] for name in hit} >= {"begin", "insert", "update", "commit"}


def test_a_commit_without_an_answer_is_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was one: what is committed is read again before anything is written."""
    doors, _ = engine_lives(tmp_path / "0.duckdb", [], monkeypatch)
    for at, name in enumerate(doors.names, 1):
        if name == "commit":
            failed, ledger = engine_lives(
                tmp_path / f"{at}.duckdb", [(at, "away after")], monkeypatch
            )
            assert failed.hit == ["commit away after"]
            print(ledger)
