"""One life of a metric engine as a process of its own, for test_restart.py to kill.

    python engine_life.py FOLDER EXTRA...

FOLDER has `bars.npy` (OHLCV rows of symbols S0 to S{n}, in order of emission). The engine goes on
from the newest checkpoint of FOLDER, brings up what that lacks from the bars before, writes the
rows it gives to `rows` and a checkpoint every few bars. It says `begun POSITION`, and pushes some
bars for each line that it is told, with a dot for an answer.
"""

import sys
from datetime import date
from pathlib import Path

import numpy as np

from bursa.journal import checkpoint
from bursa.metrics.catalog import catalogue
from bursa.metrics.engine import MetricEngine
from bursa.model.batch import Batch, Block, Span
from bursa.model.schema import OHLCV
from bursa.model.venue import IDX
from bursa.pipeline import warmup

SYMBOLS, STEP, SAVE_EVERY = 20, 10, 7


def batch_of(bars: Block) -> Batch:
    words = IDX.words()
    for number in range(SYMBOLS):
        words.symbol_id(f"S{number}")
    return Batch(OHLCV, np.ascontiguousarray(bars), words, Span("idx", 1, 0, bars.shape[1]))


def main(folder: Path, extra: list[str]) -> None:
    bars = batch_of(np.load(folder / "bars.npy"))
    engine = MetricEngine(IDX, bars.words, catalogue(extra))
    at = 0
    found = checkpoint.load_newest(folder, len(bars), "life")
    if found is not None:
        at = found[0]
        lacking = engine.restore(found[1]["engine"])
        if lacking:
            beside = engine.beside(lacking)
            warmup.take(beside, bars.words, [batch_of(bars.block[:, :at])])
            assert engine.join(beside, lacking)
    print(f"begun {at}", flush=True)
    with (folder / "rows").open("wb") as out:
        for number, start in enumerate(range(at, len(bars), STEP), 1):
            sys.stdin.readline()
            rows = engine.push(batch_of(bars.block[:, start : start + STEP]))
            np.ascontiguousarray(rows.block.T).tofile(out)
            out.flush()
            print(".", flush=True)
            end = min(start + STEP, len(bars))
            if number % SAVE_EVERY == 0 or end == len(bars):
                checkpoint.save(
                    folder,
                    position=end,
                    epoch=1,
                    day=date(2026, 11, 20),
                    signature="life",
                    state={"engine": engine.snapshot()},
                )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
