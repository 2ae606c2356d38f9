"""House rules that no linter knows. Reads the tree as text and syntax; imports nothing of it."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
PACKAGE = TOP / "src" / "bursa"
TOUR = TOP / "docs" / "life-of-a-tick.md"
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60
# Longer ones that are right as they are. A number may shrink, never grow; no new entry.
LONG_FUNCTIONS: dict[str, int] = {}
# Words that name a machine, a package registry's host, or what a change leaves for later.
UNWANTED = re.compile(
    r"/(?:home|root|work)/|\b\w*(?:pypi|npmjs|pythonhosted)\.(?:org|com)\b|\b(?:TODO|FIXME|XXX)\b"
)
VENDORED = "src/bursa/web/static/vendor/"


def modules() -> Iterator[tuple[Path, ast.Module, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text()
        yield path, ast.parse(text), text


def test_files_and_functions_fit_on_a_screen() -> None:
    found = []
    for path, tree, text in modules():
        name = str(path.relative_to(PACKAGE))
        if text.count("\n") > FILE_LINES_MAX:
            found.append(f"{name}: {text.count(chr(10))} lines; split it by what changes together")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > LONG_FUNCTIONS.get(f"{name}:{node.name}", FUNCTION_LINES_MAX):
                    found.append(f"{name}:{node.name}: {lines} lines")
    assert not found


def test_every_module_opens_by_saying_what_it_is() -> None:
    assert not [str(path) for path, tree, _ in modules() if not ast.get_docstring(tree)]


def test_every_module_is_on_the_tour() -> None:
    tour = TOUR.read_text()
    names = [str(path.relative_to(PACKAGE)) for path, _, _ in modules()]
    # Families of metrics are found where they lie: adding one touches nothing else.
    names = [n for n in names if not n.startswith("metrics/families/")]
    missing = [n for n in names if not n.endswith("__init__.py") and f"`{n}`" not in tour]
    assert not missing, f"not on {TOUR.name}: {missing}"


def test_the_tour_names_no_module_that_is_gone() -> None:
    named = re.findall(r"`([a-z0-9_]+(?:/[a-z0-9_]+)*\.py)`", TOUR.read_text())
    assert named
    assert not [name for name in named if not (PACKAGE / name).exists()]


def test_nothing_names_a_machine_or_leaves_work_behind() -> None:
    try:
        listed = subprocess.run(
            ["git", "ls-files"], cwd=TOP, capture_output=True, text=True, check=True
        ).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    found = []
    for name in listed:
        if name.startswith(VENDORED) or name == "tests/test_tidy.py":
            continue
        try:
            text = (TOP / name).read_text("utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        found += [f"{name}: {match.group()}" for match in UNWANTED.finditer(text)]
    assert not found
