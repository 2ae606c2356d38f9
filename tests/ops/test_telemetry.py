"""Telemetry is read on this machine, by its own names, and by nobody else's."""

import urllib.error
import urllib.request

import pytest

from bursa.ops.telemetry import Telemetry


def read(port: int, host: str) -> tuple[int, bytes]:
    """Status and body of /metrics, asked for by a Host."""
    asked = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Host": host})
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read()


def test_only_by_names_of_this_machine() -> None:
    telemetry = Telemetry()
    port, stop = telemetry.serve(0)
    try:
        for host in (f"127.0.0.1:{port}", "127.0.0.1", "LOCALHOST:2112"):
            status, body = read(port, host)
            assert status == 200 and b"bursa_http_requests_total" in body, host
        for host in ("data.example.com", "localhost.example.com", "127.0.0.1.example.com:2112"):
            status, body = read(port, host)
            assert status == 421 and b"bursa_" not in body, host
    finally:
        stop()
    with pytest.raises(OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60)
