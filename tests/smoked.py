"""`bursa smoke` as tests read it."""

import io
import json

from rich.console import Console

from bursa.verbs.smoke import With, run_smoke

Told = dict[str, dict[str, str]]
# Of one answer, where all is well: some are made when they are first asked for, and the machine may
# have much else to do.
PATIENT_S = 60.0


def smoke(url: str, timeout_s: float = PATIENT_S, given: With | None = None) -> tuple[int, Told]:
    """Exit code, and the findings by name."""
    out = io.StringIO()
    code = run_smoke(url, timeout_s, as_json=True, say=Console(file=out), given=given)
    body = json.loads(out.getvalue())
    assert body["ok"] == (code == 0)
    return code, {finding["name"]: finding for finding in body["findings"]}


def names(told: Told, state: str) -> set[str]:
    """What was found to be in a state."""
    return {name for name, finding in told.items() if finding["state"] == state}
