"""What a browser's driver keeps on a worker's thread is not in the way of those behind it."""

import asyncio
from typing import Any

import pytest

pytestmark = pytest.mark.xdist_group("behind a browser")


async def _one() -> int:
    await asyncio.sleep(0)
    return 1


@pytest.fixture(scope="session")
def set_up_by_a_loop() -> int:
    """As a broker is, that is asked for itself until it answers."""
    return asyncio.run(_one())


@pytest.mark.browser
def test_the_browser_keeps_a_loop(browser: Any) -> None:
    page = browser.new_page()
    page.set_content("<title>here</title>")
    assert page.title() == "here"
    page.close()
    assert asyncio._get_running_loop() is not None


def test_a_loop_is_run_behind_it_and_by_what_was_set_up(set_up_by_a_loop: int) -> None:
    assert set_up_by_a_loop == asyncio.run(_one()) == 1


@pytest.mark.browser
def test_the_browser_goes_on_behind_that(browser: Any) -> None:
    test_the_browser_keeps_a_loop(browser)
