"""What tests of several rooms share."""

import asyncio
import gc
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests import logged
from tests.browser import browser
from tests.causes import Causes
from tests.servers.fixtures import certificates, kafka, postgres, rabbitmq, redis, valkey

__all__ = ["browser", "certificates", "kafka", "postgres", "rabbitmq", "redis", "valkey"]

# Python looks for garbage after each 700 new objects, and through all of them each time they have
# grown by a quarter. What is imported and collected here is none, and stays: to look for it takes
# each worker as long as to collect the tests, and then some seconds more.
gc.set_threshold(20_000, 10, 10)


# How long an example takes, or is drawn, is the machine's affair: a busy one would fail tests that
# hold.
settings.register_profile(
    "house", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")

_forgetful = patch.object(structlog, "configure", logged.forgetful)


def pytest_configure(config: pytest.Config) -> None:
    _forgetful.start()
    if not hasattr(config, "workerinput"):  # a worker's tests are told of to the one behind it
        config.pluginmanager.register(Causes())


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()  # else libraries find their own objects left over and print them
    _forgetful.stop()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="the long fault runs (make soak)")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Tests that share what their module sets up run on one worker, else each worker would set it
    up anew; so do those that a mark `xdist_group` keeps together, for a broker say. pytest-xdist
    writes the group into `_nodeid`, which pytest since 9.2 does not read."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None and _shares(item):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))
    yield
    for item in items:
        told = getattr(item, "_nodeid", item.nodeid)
        if told != item.nodeid and hasattr(item, "_id"):
            item._id = type(item._id).parse(told)


def _shares(item: pytest.Item) -> bool:
    """Does it need a fixture of its module's?"""
    info = getattr(item, "_fixtureinfo", None)
    found = {} if info is None else info.name2fixturedefs
    return any(made.scope == "module" for fixtures in found.values() for made in fixtures)


@pytest.fixture(scope="session")
def soak(request: pytest.FixtureRequest) -> bool:
    """Is this a long run?"""
    return bool(request.config.getoption("--soak"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recordings made by others (BURSA_SHARED_DATA); absent, the test is skipped."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("BURSA_SHARED_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}: set BURSA_SHARED_DATA")
    return folder


@pytest.fixture(autouse=True)
def _own_logs() -> Iterator[None]:
    with logged.as_before():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    try:
        with _without_a_browsers_loop(item):
            return (yield)
    finally:
        if nextitem is None or nextitem.path != item.path:
            logged.as_at_first()


@contextmanager
def _without_a_browsers_loop(item: pytest.Item) -> Iterator[None]:
    """A browser's driver keeps its loop on this thread from one call to the next. A test that is no
    browser's and comes behind one may run a loop all the same, and so may all it is set up by."""
    theirs = None if "browser" in vars(item)["fixturenames"] else asyncio._get_running_loop()
    if theirs is None:
        yield
        return
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(None if theirs.is_closed() else theirs)
