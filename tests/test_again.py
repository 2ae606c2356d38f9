"""What failed is tried once more, alone, where few causes made it fail."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
HOUSE = """
import pytest
from tests.causes import Causes

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Causes())

@pytest.fixture(scope="session")
def server():
    raise OSError("it does not come up")
"""
BREAKS = """
def pytest_runtest_logfinish(nodeid):
    if "is_right" in nodeid:
        raise MemoryError("of pytest itself")
"""
NEED_IT = """
import pytest

@pytest.mark.parametrize("n", range(3))
def test_needs_it(server, n):
    pass
"""
WRONG = """
import pytest

@pytest.mark.xdist_group("ours")
def test_is_wrong():
    assert 1 == 2

def test_is_right():
    pass
"""


@pytest.fixture(scope="module")
def made() -> Any:
    spec = importlib.util.spec_from_file_location("again", ROOT / ".ci" / "again.py")
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_one_server_that_did_not_come_up_is_one_cause(made: Any) -> None:
    failed = dict.fromkeys([f"tests/a/test_{n}.py::test_x[{n}]@kafka" for n in range(40)], True)
    told = dict.fromkeys(failed, "tests/servers/broker.py:115")
    assert made.again(failed, told) == [test.removesuffix("@kafka") for test in failed]
    assert not made.again(failed | {"tests/test_b.py::test_y": True}, told), "41 tests"


def test_three_causes_are_the_most(made: Any) -> None:
    failed = ["tests/a.py::x", "tests/a.py::y", "tests/b.py::x@ours", "tests/c.py::x@ours"]
    assert made.again(dict.fromkeys([*failed, "tests/d.py::x[a@b]"]), {}) == [
        "tests/a.py::x", "tests/a.py::y", "tests/b.py::x", "tests/c.py::x", "tests/d.py::x[a@b]",
    ]  # fmt: skip
    assert not made.again(dict.fromkeys([*failed, "tests/d.py::x", "tests/e.py::x"]), {})
    assert not made.again({}, {})


def test_causes_are_written_down_and_what_failed_is_run_again(tmp_path: Path, made: Any) -> None:
    for name, text in {
        "conftest.py": HOUSE, "test_a.py": NEED_IT, "test_b.py": NEED_IT, "test_c.py": WRONG,
        "pytest.ini": "[pytest]\n",
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    code, said = _run(tmp_path, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup")
    assert code == 1 and "1 passed" in said
    told = json.loads((tmp_path / made.CAUSES).read_text())
    assert len(told) == 6 and set(told.values()) == {f"{tmp_path / 'conftest.py'}:11"}
    code, said = _run(tmp_path, str(ROOT / ".ci" / "again.py"))
    assert code == 1 and "1 failed, 6 errors" in said
    (tmp_path / "conftest.py").write_text(HOUSE.replace("raise OSError", "print"))
    (tmp_path / "test_c.py").write_text(WRONG.replace("2", "1"))
    code, said = _run(tmp_path, str(ROOT / ".ci" / "again.py"))
    assert (code, "7 passed" in said) == (0, True), said


def test_nothing_is_tried_again_of_a_run_that_broke_off(tmp_path: Path, made: Any) -> None:
    """Else the rest, which never ran, would pass with the one that failed."""
    for name, text in {
        "conftest.py": HOUSE + BREAKS, "test_a.py": WRONG, "test_b.py": "def test_b(): assert 0",
        "pytest.ini": "[pytest]\n",
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    code, _ = _run(tmp_path, "-m", "pytest", "-q", "-n", "0")
    assert code == pytest.ExitCode.INTERNAL_ERROR
    assert len(json.loads((tmp_path / made.LAST).read_text())) == 1
    (tmp_path / "conftest.py").write_text(HOUSE)
    (tmp_path / "test_a.py").write_text(WRONG.replace("2", "1"))
    code, said = _run(tmp_path, str(ROOT / ".ci" / "again.py"))
    assert code == 1 and "did not all run" in said, said


def _run(folder: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False,
        timeout=240, env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr
