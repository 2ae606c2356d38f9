"""What benchmarks share: arguments, interleaved medians, C peers, and the one form of a report.

A benchmark is a module with `main()`:

    options = report.arguments(__doc__)
    times = report.interleave({"ours": run_ours, "c": run_c}, rounds=3 if options.quick else 9)
    report.emit("decode", report.against("idx1_64", times, "ours", "ns a message"), options)

One that takes minutes says between what it is at: `report.step("books")`.

The JSON object on standard output is `{"bench", "machine", "quick", "results"}`; a result is
`{"name", "value", "unit", "peer", "ratio"}` and stands once for each peer, ratio = value / the
peer's value; peer and ratio are null where there is none. Tables for humans go to standard error.
"""

import argparse
import ctypes
import gc
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

C_FOLDER = Path(__file__).parent / "c"
C_FLAGS = ("-O3", "-march=native", "-shared", "-fPIC", "-Wall")
_BEGAN_S = time.monotonic()


@dataclass(frozen=True)
class Result:
    """One figure, beside one peer's where there is one."""

    name: str
    value: float
    unit: str
    peer: str | None = None
    peer_value: float | None = None

    @property
    def ratio(self) -> float | None:
        return self.value / self.peer_value if self.peer_value else None


def arguments(description: str | None) -> argparse.Namespace:
    """`json` and `quick` from the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument("--quick", action="store_true", help="within 30 s; may use fewer rows")
    return parser.parse_args()


def step(what: str) -> None:
    """Say on standard error what begins now, and how long this process has been at it."""
    sys.stderr.write(f"{time.monotonic() - _BEGAN_S:6.1f} s  {what}\n")
    sys.stderr.flush()


def interleave(runs: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Median of each run's figures. The runs take turns, so that a slow spell of the machine falls
    on all; one turn of each before them does not count; the collector rests meanwhile."""
    found = interleave_each({name: _alone(run) for name, run in runs.items()}, rounds)
    return {name: values[0] for name, values in found.items()}


def interleave_each(
    runs: Mapping[str, Callable[[], Sequence[float]]], rounds: int
) -> dict[str, list[float]]:
    """As `interleave`, for runs that give several figures: the median of each."""
    figures: dict[str, list[Sequence[float]]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, run in runs.items():
                figures[name].append(run())
    finally:
        gc.enable()
    return {
        name: [statistics.median(of_one) for of_one in zip(*values, strict=True)]
        for name, values in figures.items()
    }


def _alone(run: Callable[[], float]) -> Callable[[], Sequence[float]]:
    return lambda: (run(),)


def against(name: str, times: Mapping[str, float], ours: str, unit: str) -> list[Result]:
    """One result for each peer in `times`; one without a peer if `ours` is alone."""
    peers = [peer for peer in times if peer != ours]
    if not peers:
        return [Result(name, times[ours], unit)]
    return [Result(name, times[ours], unit, peer, times[peer]) for peer in peers]


def compile_c(name: str) -> ctypes.CDLL:
    """benchmarks/c/NAME.c, compiled now, by this machine's gcc, for this processor."""
    compiler = shutil.which("gcc")
    if compiler is None:
        sys.exit("the C peers need gcc: install gcc (Debian: apt-get install gcc libc6-dev)")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / f"{name}.so"
        source = C_FOLDER / f"{name}.c"
        subprocess.run([compiler, *C_FLAGS, str(source), "-o", str(library), "-lm"], check=True)
        return ctypes.CDLL(str(library))


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    facts = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_1m": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
    return facts | {name: version(name) for name in ("numpy", "numba")}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def emit(bench: str, results: Sequence[Result], options: argparse.Namespace) -> None:
    """The table to standard error; with --json the object to standard output."""
    title = f"{bench} (quick: fewer rows)" if options.quick else bench
    _table(title, results)
    if options.json:
        rows = [
            {
                "name": result.name,
                "value": _round(result.value),
                "unit": result.unit,
                "peer": result.peer,
                "ratio": None if result.ratio is None else _round(result.ratio),
            }
            for result in results
        ]
        found = {"bench": bench, "machine": machine(), "quick": options.quick, "results": rows}
        sys.stdout.write(json.dumps(found) + "\n")


def _round(value: float) -> float:
    return float(f"{value:.4g}")


def _table(title: str, results: Sequence[Result]) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("result", no_wrap=True)
    for heading in ("value", "unit", "peer", "peer's", "ratio"):
        table.add_column(heading, justify="left" if heading in ("unit", "peer") else "right")
    for result in results:
        peer_value = "" if result.peer_value is None else f"{_round(result.peer_value):,}"
        ratio = "" if result.ratio is None else f"{result.ratio:.2f}"
        value = f"{_round(result.value):,}"
        table.add_row(result.name, value, result.unit, result.peer or "", peer_value, ratio)
    console = Console(stderr=True)
    console.width = max(console.width, 100)
    console.print(table)
