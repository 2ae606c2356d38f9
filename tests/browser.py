"""Debian's Chromium, one for all browser tests of a worker: its driver keeps a loop on the thread,
beside which no second one may be started."""

import asyncio
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

CHROMIUM = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()

LAUNCH_MS = 150_000


def installed() -> str | None:
    """Where Chromium is. The one without windows is the same in half the time."""
    return shutil.which("chromium-headless-shell") or shutil.which("chromium")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The browser; absent, the test is skipped, or fails where servers are required."""
    found = installed()
    if found is None:
        why = "no chromium: apt-get install chromium-headless-shell"
        if os.environ.get("BURSA_REQUIRE_SERVERS"):
            pytest.fail(why)
        pytest.skip(why)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=found, args=CHROMIUM, timeout=LAUNCH_MS
        )
        loop = asyncio._get_running_loop()
        yield chromium
        asyncio._set_running_loop(loop)  # the test that was last may be no browser's
        chromium.close()
