"""`bursa up` with its accounts on a PostgreSQL server that is away at the start, and later."""

from pathlib import Path
from typing import Any

import httpx

from tests.running import Bursa, wait_for
from tests.servers.postgres import PASSWORD, Postgres


def test_a_start_waits_for_its_accounts_and_then_serves_without_their_database(
    tmp_path: Path, postgres: Postgres
) -> None:
    data, url = tmp_path / "data", postgres.database()
    (data / "journal" / "idx").mkdir(parents=True)
    postgres.kill()
    bursa = Bursa(data, accounts_database=url)

    def ready() -> dict[str, Any]:
        told: dict[str, Any] = httpx.get(bursa.url + "/ready", timeout=90).json()
        return told

    try:
        wait_for(lambda: "waiting for the database of accounts" in bursa.log(), what="a word")
        assert PASSWORD not in bursa.log()
        postgres.start()
        with bursa:
            wait_for(lambda: bursa.get("/health"))
            wait_for(lambda: bursa.count("bursa_accounts_watched") == 1)
            wait_for(lambda: ready()["ok"] and ready()["dependencies"]["accounts"]["ok"])
            postgres.kill()
            wait_for(lambda: "accounts" in ready()["degraded"])
            told = ready()
            assert told["ok"], "what is known by heart serves"
            assert "not seen since" in told["dependencies"]["accounts"]["error"]
            sign_in = {"email": "a@x.test", "password": "kopi susu 7 gelas"}
            refused = httpx.post(bursa.url + "/auth/login", json=sign_in, timeout=90)
            assert refused.status_code == 503 and refused.json()["code"] == "unavailable"
            assert "database of accounts" in refused.json()["error"]
            assert "127.0.0.1" not in refused.text + str(told)
            assert bursa.count("bursa_accounts_watched") == 0
            postgres.start()
            wait_for(lambda: "accounts" not in ready()["degraded"])
            assert bursa.count("bursa_accounts_lost_total") >= 1
            assert bursa.stop() == 0
    finally:
        bursa.__exit__()
        if not postgres.answers():
            postgres.start()
    assert PASSWORD not in bursa.log()
