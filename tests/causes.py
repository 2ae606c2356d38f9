"""Of each test that failed while it was set up: where. A server that does not come up fails all
that need it, and is one cause. And how the run ended. .ci/again.py reads it from pytest's cache."""

import pytest

KEPT, ENDED = "bursa/causes", "bursa/ended"


class Causes:
    """By a test's id `file:line` of the failure. A plugin of the process that is told of all."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        crash = getattr(report.longrepr, "reprcrash", None)
        if report.failed and report.when == "setup" and crash is not None:
            self.found[report.nodeid] = f"{crash.path}:{crash.lineno}"

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        cache = getattr(session.config, "cache", None)
        if cache is not None:
            cache.set(KEPT, self.found)
            cache.set(ENDED, int(exitstatus))
