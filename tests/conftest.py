"""What tests of several rooms share."""

import os
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="the long fault runs (make soak)")


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
