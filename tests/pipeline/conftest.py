"""What the tests of the pipeline share."""

from collections.abc import Iterator

import pytest
import structlog

from bursa.ops import logs


@pytest.fixture(autouse=True, scope="module")
def _plain_logs() -> Iterator[None]:
    """As a process logs: a failure that a test provokes is a line, not a drawing."""
    logs.setup("error", "json")
    yield
    structlog.reset_defaults()
