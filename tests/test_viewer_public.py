"""What the configuration makes of the viewer API, in a running process."""

from pathlib import Path

import httpx

from tests.running import Bursa


def folder(tmp_path: Path) -> Path:
    """A data folder that knows of the venue, and nothing more."""
    (tmp_path / "data" / "journal" / "idx").mkdir(parents=True)
    return tmp_path / "data"


def test_no_venue_is_public_by_itself(tmp_path: Path) -> None:
    with Bursa(folder(tmp_path)) as bursa, httpx.Client(base_url=bursa.url) as client:
        answer = client.get("/api/v1/symbols", headers={"Origin": "https://a.example"})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_public")
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["RateLimit-Policy"] == '"minute";q=12000;w=60'
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/stats").json()["backend_active"] == "duckdb"


def test_settings_make_it_public_open_and_limited(tmp_path: Path) -> None:
    settings = {
        "idx_public": "true",
        "viewer_origins": "https://a.example https://b.example",
        "viewer_rate_per_minute": "2",
    }
    with Bursa(folder(tmp_path), **settings) as bursa, httpx.Client(base_url=bursa.url) as client:
        answer = client.get("/api/v1/symbols", headers={"Origin": "https://b.example"})
        assert (answer.status_code, answer.json()) == (200, {"symbols": []})
        assert answer.headers["access-control-allow-origin"] == "https://b.example"
        assert 429 in [client.get("/healthz").status_code for _ in range(5)]
