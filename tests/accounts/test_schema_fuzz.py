"""The OpenAPI document held against the running application, by schemathesis: examples, coverage of
each parameter, fuzzing, and sequences of requests. No answer is a crash, and none has a status, a
type or a form that is not documented."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from bursa.accounts import keys
from bursa.accounts.settings import EVERY
from bursa.accounts.who import CLI, Actor
from bursa.api import admission
from tests.accounts.house import PASSWORD, Site
from tests.accounts.whole import open_whole

HERE = Path(__file__).parent
BOSS = "boss@contoh.id"
# What is there, mixed with what is made up.
KNOWN = {
    "ticker": ["BBCA", "GOTO"],
    "symbol": ["BBCA", "IDX:BBCA"],
    "symbols": ["BBCA,GOTO"],
    "tickers": ["BBCA", "BBCA,GOTO"],
    "venue": ["idx", "binance"],
    "metric": ["hd", "sma_20,rsi_14"],
    "kind": ["ticks", "ohlcv"],
    "file": ["2026-11-19.parquet", "2026-11-19.parquet.sha256"],
    "from": ["2026-11-19", "2026-11-19T09:00:00+07:00", "0"],
    "to": ["2026-11-20", "2026-11-20T09:00:00+07:00", "1795132800"],
    "tier": ["free", "pro"],
    "code": ["COMPOSITE"],
    "group": ["IDX"],
}
# Not `positive_data_acceptance`: a document cannot say which page token is ours.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "missing_required_header",
    "negative_data_rejection",
)


def settings(hooks: Path, known: Mapping[str, Sequence[str]], examples: int) -> str:
    """The configuration of a run, as TOML."""
    lines = [
        f"hooks = {json.dumps(str(hooks))}",
        "seed = 7",
        "continue-on-failure = true",
        "request-timeout = 20",
        "max-stream-events = 1",
        "[generation]",
        f"max-examples = {examples}",
        'database = "none"',
        "no-shrink = true",
        "with-security-parameters = false",
        "[checks]",
        "enabled = false",
        *(f"{name}.enabled = true" for name in CHECKS),
        # A form without script is led back to its page.
        'negative_data_rejection.expected-statuses = ["303", "4xx"]',
        "[phases.coverage]",
        "unexpected-methods = []",
        "[phases.examples]",
        "fill-missing = true",
        "[phases.stateful.generation]",
        f"max-examples = {5 * examples}",
        # An event stream is a text; what is in an event is said by AsyncAPI.
        "[[operations]]",
        'include-path = "/v1/live"',
        "checks.response_schema_conformance.enabled = false",
    ]
    for name, values in known.items():
        lines += [f"[dictionaries.{name}]", f"values = {json.dumps(values)}"]
    lines += ["[parameters]"]
    lines += [f"{name} = {{ dictionary = {name!r}, probability = 0.6 }}" for name in known]
    return "\n".join(lines).replace("'", '"') + "\n"


def someone(site: Site) -> dict[str, list[str]]:
    """Somebody with a key, a machine and a request: what paths and queries may name of him."""
    made = site.accounts
    user = site.user("ada@contoh.id", "pro")
    made.people.set_override(user, {"rate": 9}, CLI)
    made_keys = [made.keys.make(user, f"k{at}", None, CLI)[1].id for at in range(2)]
    machine, _ = made.machines.activate(made_keys[0], "desk", "1", CLI)
    by = Actor(user, "user", "127.0.0.1", "web")
    request = made.subscriptions.ask("enterprise", "", by)
    return {
        "user": [user],
        "key": made_keys,
        "whose": [user, *made_keys],
        "machine": [machine],
        "number": [str(request["id"])],
        "name": list(EVERY),
    }


@pytest.mark.timeout(7200)
def test_no_answer_is_a_crash_or_undocumented(
    tmp_path: Path, soak: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One user asks for all of it: he would soon be told the same at whatever he changes.
    monkeypatch.setattr(admission, "CHANGES", 1_000_000)
    monkeypatch.setattr(keys, "MADE_MAX", 1_000_000)
    with open_whole(tmp_path) as (site, _):
        site.user(BOSS, "enterprise", "superadmin")
        with site.session(BOSS) as client:
            document = client.get("/schema/openapi.json").content
        asker = {"url": site.served.url, "email": BOSS, "password": PASSWORD}
        (tmp_path / "asker.json").write_text(json.dumps(asker))
        (tmp_path / "openapi.json").write_bytes(document)
        told = settings(HERE / "fuzz_hooks.py", KNOWN | someone(site), 200 if soak else 2)
        (tmp_path / "schemathesis.toml").write_text(told)
        run: list[str | Path] = [
            Path(sys.executable).with_name("schemathesis"),
            "run",
            "openapi.json",
        ]
        run += ["--url", site.served.url, "--no-color"]
        run += ["--max-time", "3600"] if soak else []
        done = subprocess.run(
            run, cwd=tmp_path, capture_output=True, text=True, timeout=7000 if soak else 240
        )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    for phase in ("Examples", "Coverage", "Fuzzing", "Stateful"):
        assert f"✅ {phase}" in done.stdout, done.stdout
