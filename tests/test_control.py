"""Verbs that order something of a venue: over the control socket of a bursa, and without one."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bursa import config
from bursa.app import shop, switches
from bursa.config import Config
from bursa.feeds.replay import ReplayFeed
from bursa.model.errors import Refuse
from bursa.model.venue import VENUES
from bursa.ops import logs
from bursa.pipeline import control, retry
from bursa.store import question
from bursa.store.folder import DataFolder
from bursa.verbs import kinds, quarantine
from bursa.verbs.quarantine import Asked
from tests.running import wait_for

BINANCE = VENUES["binance"]
LINES = (
    b'not a frame\n{"e":"trade"}\n'
    b'{"e":"trade","E":1763692200000,"s":"BTCUSDT","t":1,"p":"9.5","q":"1","T":1763692200000,"m":true}\n'
)


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> None:
    logs.setup("error", "json")


def load(data: Path, **flags: Any) -> Config:
    return config.load({"data": str(data), "log.level": "error", **flags}, {}).config


class Running:
    """A venue that runs on a folder with a recording, and answers the verbs."""

    def __init__(self, data: Path, recording: Path | None, **flags: Any) -> None:
        self._stack = ExitStack()
        given = load(data, **flags)
        folder = self._stack.enter_context(DataFolder(data))
        shared = self._stack.enter_context(shop(given, folder, [BINANCE]))
        self.venue = shared.runtime(BINANCE)
        self.venue.start([] if recording is None else [ReplayFeed(recording, BINANCE)])
        defaults = {"binance": switches(Config(), "binance")}
        runtimes = {"binance": self.venue}
        folder.serve(
            {
                **question.handlers(shared.store),
                **control.handlers(runtimes, defaults),
                **retry.handlers(runtimes, shared.store),
            }
        )
        wait_for(lambda: self.venue.ingest is not None and self.venue.ingest.finished.is_set())
        wait_for(lambda: self.venue.committed >= self.venue.journal.position)

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        assert self.venue.stop(20)
        self._stack.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one trade and two refused lines; nobody holds it."""
    data = tmp_path_factory.mktemp("control") / "data"
    recording = data.parent / "lines.jsonl"
    recording.write_bytes(LINES)
    with Running(data, recording):
        pass
    return data


def said(verb: Callable[..., int], *arguments: Any, **options: Any) -> tuple[int, str]:
    """What a verb printed, and its exit code."""
    text = io.StringIO()
    code = verb(*arguments, **options, say=Console(file=text, width=200))
    return code, text.getvalue()


def listed(given: Config, venue: str = "") -> dict[str, tuple[str, str]]:
    rows = json.loads(kinds.run_list(given, venue, "json"))
    return {row["switch"]: (row["value"], row["from"]) for row in rows}


@pytest.fixture(params=["running", "offline"])
def folder(filled: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """The folder with a bursa on it, and without."""
    if request.param == "offline":
        yield filled
        return
    with Running(filled, None):
        yield filled


def test_switches_are_shown_and_turned(folder: Path) -> None:
    given = load(folder)
    assert listed(given)["binance.snapshot.store"] == ("all", "default")
    code, text = said(kinds.run_set, given, "binance.orderbook", "2s", "off")
    assert code == 0 and "binance.orderbook.store is 2s" in text
    value, origin = listed(given, "binance")["binance.orderbook.store"]
    assert value == "2s" and origin.startswith("set at 20") and origin.endswith("Z")
    assert listed(given)["binance.orderbook.publish"][0] == "off"
    _, text = said(kinds.run_set, given, "binance.orderbook", "2s", None)
    assert text == "binance.orderbook.store was and stays 2s\n"
    said(kinds.run_set, given, "binance.orderbook", "all", "on")
    assert listed(given)["binance.orderbook.store"][0] == "all"


def test_the_next_start_goes_by_a_configuration_that_changed(filled: Path) -> None:
    said(kinds.run_set, load(filled), "binance.quotes", "7s", None)
    assert listed(load(filled))["binance.quotes.store"][0] == "7s"
    flags = {"binance.quotes.store": "off"}
    assert listed(load(filled, **flags))["binance.quotes.store"] == ("off", "config")
    with Running(filled, None, **flags) as running:
        assert listed(load(filled))["binance.quotes.store"] == ("off", "config")
        assert running.venue.line.switches.held["quotes.store"].by == "start"
    with Running(filled, None, **flags) as running:
        end = running.venue.journal.position
        assert not running.venue.line.switches.due(switches(load(filled, **flags), "binance"))
        assert end == running.venue.journal.position
    said(kinds.run_set, load(filled), "binance.quotes", "all", None)


@pytest.mark.parametrize(
    ("kind", "store", "publish", "what"),
    [
        ("mars.quotes", "all", None, "no such venue"),
        ("binance.index", "all", None, "no such kind here"),
        ("binance.weather", "all", None, "no such switch"),
        ("binance.quotes", "sometimes", None, "all, off, Ns"),
        ("binance.quotes", None, "yes", "on, off"),
        ("binance.ticks", "1s", None, "all, off"),
        ("binance.quotes", None, None, "nothing to set"),
    ],
)
def test_bad_orders_say_what_is_allowed(
    folder: Path, kind: str, store: str | None, publish: str | None, what: str
) -> None:
    with pytest.raises(Refuse, match=what):
        said(kinds.run_set, load(folder), kind, store, publish)


def test_refused_messages_are_listed_shown_and_tried_again(folder: Path) -> None:
    given = load(folder)
    found = json.loads(quarantine.run_list(given, Asked(), 10, "json"))
    counts = {(r["reason"], r["count"], r["retried"]) for r in found["reasons"]}
    assert counts == {("bad_json", 1, 0), ("bad_type", 1, 0)}
    assert [row["time"] for row in found["rows"]] == ["", ""], "the recording says no times"
    names = {row["begins"]: row["message"] for row in found["rows"]}
    name = names["not a frame"]
    table = quarantine.run_list(given, Asked(venue="binance"), 1, "table")
    assert "(1 row)" in table and "bad_json" in table
    rows = list(csv.DictReader(io.StringIO(quarantine.run_list(given, Asked(), 10, "csv"))))
    assert len(rows) == 2 and rows[0]["venue"] == "binance"
    code, text = said(quarantine.run_show, given, name, "")
    assert code == 0 and "6e 6f 74 20 61" in text and "not a frame" in text
    position = name.split(":")[0]
    _, text = said(quarantine.run_show, given, position, "binance")
    assert text.count("bytes\n") == 2, "all of the record"
    options = {"every": False, "dry_run": False}
    code, text = said(quarantine.run_retry, given, name, Asked(), **options)
    assert code == 1 and "refused: bad_json" in text
    code, text = said(quarantine.run_retry, given, "", Asked(), every=True, dry_run=True)
    assert code == 1 and "2 refused; dry run" in text
    code, text = said(quarantine.run_retry, given, "", Asked(reason="bad_ts"), **options)
    assert (code, text) == (0, "nothing to retry\n")


def test_what_is_not_there_is_refused(folder: Path) -> None:
    given = load(folder)
    options = {"every": False, "dry_run": False}
    for call, what in (
        (lambda: said(quarantine.run_show, given, "77:1", ""), "nothing was refused there"),
        (lambda: said(quarantine.run_show, given, "soon", ""), "POSITION:NTH"),
        (
            lambda: said(quarantine.run_retry, given, "77", Asked(), **options),
            "nothing was refused",
        ),
        (lambda: said(quarantine.run_retry, given, "", Asked(), **options), "which?"),
        (lambda: quarantine.run_list(given, Asked(venue="mars"), 10, "json"), "--venue"),
        (lambda: quarantine.run_list(given, Asked(venue="idx"), 10, "json"), "no journal of idx"),
        (lambda: quarantine.run_list(given, Asked(since="soon"), 10, "json"), "--since"),
        (lambda: quarantine.run_list(given, Asked(reason="';"), 10, "json"), "no reason"),
        (lambda: quarantine.run_list(given, Asked("binance", "x"), 10, "json"), "--channel"),
        (lambda: quarantine.run_list(given, Asked(), 0, "json"), "--limit"),
        (lambda: quarantine.run_list(given, Asked(), 10, "xml"), "--format"),
    ):
        with pytest.raises(Refuse, match=what):
            call()
    later = quarantine.run_list(given, Asked(since="2100-01-01"), 10, "json")
    assert json.loads(later) == {"reasons": [], "rows": []}


def test_without_a_journal_there_is_nothing_to_turn(tmp_path: Path) -> None:
    given = load(tmp_path / "none")
    for call in (
        lambda: kinds.run_list(given, "", "table"),
        lambda: said(kinds.run_set, given, "idx.quotes", "off", None),
        lambda: quarantine.run_list(given, Asked(), 10, "json"),
    ):
        with pytest.raises(Refuse) as refused:
            call()
        assert refused.value.code == "no_data"
    assert not (tmp_path / "none").exists()
