"""How long a start takes: imports and kernels with an empty compile cache (cold) and a full one.

Each run is a process of its own that imports the program and compiles or loads every kernel; cold
runs have a cache folder of their own that is empty. Seconds, the process's start included.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks import report

WARM = "from bursa.app import warm; warm()"


def seconds(cache: str) -> float:
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", WARM], check=True, env={**os.environ, "NUMBA_CACHE_DIR": cache}
    )
    return time.perf_counter() - began


def main() -> None:
    options = report.arguments(__doc__)
    rounds = 1 if options.quick else 3
    with tempfile.TemporaryDirectory() as kept:
        cold = []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as empty:
                cold.append(seconds(empty))
        seconds(kept)
        warm = [seconds(kept) for _ in range(rounds)]
    results = [
        report.Result("start_cold_s", statistics.median(cold), "s"),
        report.Result("start_warm_s", statistics.median(warm), "s"),
    ]
    report.emit("start", results, options)


if __name__ == "__main__":
    main()
