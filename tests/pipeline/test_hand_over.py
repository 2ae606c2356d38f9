"""A bar on its way from the open ones into its ring: no reader finds it in neither."""

from pathlib import Path
from random import Random
from threading import Thread

import numpy as np
import pytest

from bursa.history.candles import Ask, Market, Reader
from bursa.history.offload import Offload
from bursa.model.batch import Batch
from bursa.model.venue import IDX
from tests.pipeline import market, running

SCRIPT = market.channels(minutes=4, share=0.0)
ROUNDS = 4
# A reader that nothing holds up is done by then, and has missed the bar.
LOOK_S = 0.5


def test_a_bar_that_closes_is_never_out_of_sight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for at the worst moment: closed in the line, not in its ring yet."""
    store = running.open_store(tmp_path)
    venue = running.runtime(tmp_path, store, running.knobs())
    rings, offload = venue.parts.rings, Offload(1)
    reader = Reader(
        Market(IDX, venue.words, store, rings, venue.open_bars, lambda: 0, lambda ticker: 0),
        offload,
    )
    found: list[bool] = []
    askers: list[Thread] = []

    def look(ticker: str, ts: int) -> None:
        ask = Ask(ticker, "1m", 1, ts, ts + 1, open=True)
        candles = reader.in_memory(ask) or reader.read(ask)
        found.append(ts in candles.bars.column("ts"))

    feed_bars = rings.feed_bars

    def fed(batch: Batch) -> None:
        if len(askers) < ROUNDS:
            newest = int(np.argmax(batch.column("ts")))
            ticker = batch.text("ticker")[newest]
            askers.append(Thread(target=look, args=(ticker, int(batch.column("ts")[newest]))))
            askers[-1].start()
            askers[-1].join(LOOK_S)
        feed_bars(batch)

    monkeypatch.setattr(rings, "feed_bars", fed)
    feed = running.Script(SCRIPT, Random(1), 40)
    venue.start([feed])
    running.until(feed.told.is_set, "the feed's end")
    for asker in askers:
        asker.join(running.RUN_S)
    assert venue.stop(running.RUN_S)
    offload.close()
    store.close()
    assert found == [True] * ROUNDS
