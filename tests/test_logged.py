"""By what one test logs is no matter of the next one's."""

import pytest

from bursa.ops import logs
from tests import logged


@pytest.mark.parametrize("nth", [1, 2])
def test_each_begins_as_a_process_does(nth: int, capsys: pytest.CaptureFixture[str]) -> None:
    logs.logger("tests").info(f"before {nth}")
    assert f"before {nth}" in "".join(capsys.readouterr())
    logs.setup("critical", "json")
    logs.logger("tests").error("behind")
    assert not "".join(capsys.readouterr())


def test_a_logger_goes_by_what_is_set_now(capsys: pytest.CaptureFixture[str]) -> None:
    log = logs.logger("tests")
    with logged.as_before():
        logs.setup("error", "json")
        log.info("not wanted")
        log.error("kept")
    log.info("at last")
    said = "".join(capsys.readouterr())
    assert [word for word in ("kept", "not wanted", "at last") if word in said] == [
        "kept",
        "at last",
    ]
