"""What a check found, and how a list of findings is told: one line each, or JSON.

Shared by `bursa doctor` and `bursa smoke`; checks nothing itself.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.markup import escape

OK, WARN, BAD = "ok", "warn", "bad"
_STYLES = {OK: "green", WARN: "yellow", BAD: "bold red"}
_NAME_WIDTH = 15


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact. state: OK, WARN (it works, something is not as it should be) or BAD; remedy: what
    to do about it, "" where there is nothing to do."""

    name: str
    state: str
    fact: str
    remedy: str = ""


def ok(name: str, fact: str) -> Finding:
    """All is well."""
    return Finding(name, OK, fact)


def warn(name: str, fact: str, remedy: str) -> Finding:
    """It works, though not as it should."""
    return Finding(name, WARN, fact, remedy)


def bad(name: str, fact: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(name, BAD, fact, remedy)


def tell(findings: Iterable[Finding], say: Console, as_json: bool) -> int:
    """Print findings as they come. Returns the exit code: 1 if any is bad."""
    told = []
    for finding in findings:
        told.append(finding)
        if not as_json:
            state = f"[{_STYLES[finding.state]}]{finding.state:4}[/]"
            remedy = f" [dim]->[/] {escape(finding.remedy)}" if finding.remedy else ""
            say.print(f"{state}  {finding.name:{_NAME_WIDTH}} {escape(finding.fact)}{remedy}")
    count = {state: sum(f.state == state for f in told) for state in (OK, WARN, BAD)}
    if as_json:
        body = {"ok": not count[BAD], "findings": [asdict(finding) for finding in told]}
        say.file.write(json.dumps(body, indent=1) + "\n")
    else:
        warnings = "1 warning" if count[WARN] == 1 else f"{count[WARN]} warnings"
        say.print(f"{count[OK]} ok, {warnings}, {count[BAD]} bad")
    return 1 if count[BAD] else 0
