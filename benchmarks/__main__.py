"""All benchmarks, or the named ones: `python -m benchmarks [NAME ...] [--quick] [--record NOTE]`.

Each runs as a process of its own and prints its table. With --json the reports of all come as one
JSON array on standard output. With --record the figures are appended to
benchmarks/history.tsv, and the change against the newest record of the same machine is printed.
"""

import argparse
import csv
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
HISTORY = FOLDER / "history.tsv"
NAMES = (
    *("decode", "bars", "metrics", "journal", "store", "backfill"),
    *("http", "guard", "ws", "start", "e2e"),
)
FIELDS = ("day", "commit", "processor", "bench", "name", "peer", "value", "unit", "ratio", "note")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true", help="all reports on standard output")
    parser.add_argument("--record", metavar="NOTE", help="append to benchmarks/history.tsv")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(NAMES)}")
    if options.record is not None and not options.record.strip():
        parser.error('say what is recorded: make bench-record NOTE="..."')
    found = [run(name, options.quick) for name in options.names or NAMES]
    if options.json:
        sys.stdout.write(json.dumps(found) + "\n")
    if options.record is not None:
        record(found, options.record)


def run(name: str, quick: bool) -> dict[str, Any]:
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", *(["--quick"] * quick)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, cwd=FOLDER.parent)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def record(reports: list[dict[str, Any]], note: str) -> None:
    old = list(csv.DictReader(HISTORY.open(), delimiter="\t")) if HISTORY.exists() else []
    last = {(r["processor"], r["bench"], r["name"], r["peer"]): float(r["value"]) for r in old}
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=FOLDER.parent
    ).stdout.strip()
    day = datetime.now(UTC).date().isoformat()
    with HISTORY.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, delimiter="\t", lineterminator="\n")
        if not old:
            writer.writeheader()
        for report in reports:
            for result in report["results"]:
                processor = report["machine"]["processor"]
                row = {"day": day, "commit": commit, "processor": processor, "note": note}
                row |= {"bench": report["bench"]}
                row |= {k: "" if result[k] is None else result[k] for k in FIELDS if k in result}
                writer.writerow(row)
                before = last.get((processor, report["bench"], result["name"], row["peer"]))
                change = "" if not before else f"  {100 * (result['value'] / before - 1):+.1f} %"
                head = f"{report['bench']:8} {result['name']:28} {row['peer']:10}"
                print(f"{head} {result['value']}{change}", file=sys.stderr)


if __name__ == "__main__":
    main()
