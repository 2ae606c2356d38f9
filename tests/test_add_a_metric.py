"""docs/add-a-metric.md, followed to the letter: its files go into a copy of the project, where the
page says, and nothing else is touched.

The copy then has the metric everywhere: in the schema, `/v1/metrics*`, the chart's menu and the
docs; its values, live and on longer bars, are those of a loop that shares nothing with the kernel;
and the page's own test passes there. The copy takes what is compiled of the original, so that only
the new kernel is compiled.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from bursa import app
from bursa.model.venue import IDX
from tests.browser import installed
from tests.web.handbook import Reading, read

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "add-a-metric.md"
NAME = "streak"
BLOCK = re.compile(r"^`([\w./]+\.py)`:\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^```sh\n\.venv/bin/python (.*?)\n```$", re.MULTILINE)
# The docs and the chart over a venue with four days; it ends with its standard input.
SERVE = """
import sys
from pathlib import Path
from tests.web.handbook import Site
from tests.web.market import some_days
with Site(Path(sys.argv[1])) as site:
    some_days(site.market)
    print(site.url, flush=True)
    sys.stdin.read()
"""

# A browser of its own process: another test may have one open in this one.
LOOK = """
import sys
from playwright.sync_api import sync_playwright
from tests.browser import CHROMIUM, installed
from tests.web.tab import Tab
url, name = sys.argv[1:]
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=installed(), args=CHROMIUM)
    tab = Tab(browser, url)
    page = tab.open("/chart?symbol=BBCA&interval=1&metrics=rsi_14")
    tab.drawn()
    page.keyboard.press("i")
    page.keyboard.type(name)
    print(tab.text("#ind-list .i-name"))
    page.keyboard.press("Enter")
    tab.until(f"[data-metric={name}] .l-values", r"\\d")
    print(tab.text(f"[data-metric={name}] .l-values"))
    print(*tab.said, sep="\\n", end="")
    browser.close()
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with the page's files."""
    folder = tmp_path_factory.mktemp("copy")
    app.warm([IDX])
    for name in ("src", "tests", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "pyproject.toml", folder)
    take_over_kernels(ROOT / "src", folder / "src", folder / "kernels")
    blocks = BLOCK.findall(PAGE.read_text())
    assert [path for path, _ in blocks] == [
        f"src/bursa/metrics/families/{NAME}.py",
        f"tests/metrics/test_{NAME}.py",
    ]
    for path, code in blocks:
        assert not (folder / path).exists()
        (folder / path).write_text(code)
    return folder


def take_over_kernels(old: Path, new: Path, kept: Path) -> None:
    """The compiler keeps kernels by the folder of their sources, and goes by time and size of
    those: both are the same here."""
    for folder in [path for path in old.rglob("*") if path.is_dir()]:
        names = [
            f"{path.name}_{hashlib.sha1(str(path).encode()).hexdigest()}"
            for path in (folder, new / folder.relative_to(old))
        ]
        compiled = Path(os.environ.get("NUMBA_CACHE_DIR", "")) / names[0]
        if compiled.is_dir():
            unfinished = shutil.ignore_patterns("*.tmp.*")  # other tests may be compiling
            shutil.copytree(compiled, kept / names[1], ignore=unfinished)


def inside(copy: Path) -> dict[str, Any]:
    """How a program of the copy is run."""
    env = {
        "PYTHONPATH": os.pathsep.join((str(copy / "src"), str(copy))),
        "NUMBA_CACHE_DIR": str(copy / "kernels"),
    }
    return {"cwd": copy, "env": {**os.environ, **env}, "text": True}


@pytest.fixture(scope="module")
def url(copy: Path) -> Iterator[str]:
    """Where the copy serves."""
    (copy / "store").mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(copy / "store")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        **inside(copy),
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        said = (line.strip() for line in process.stdout)
        line = next((line for line in said if line.startswith("http://")), "")
        assert line, process.wait(60)
        yield line
        process.stdin.close()
        process.wait(90)


def data(url: str, path: str, **query: Any) -> list[dict[str, Any]]:
    with urlopen(f"{url}{path}?{urlencode(query)}", timeout=90) as answer:
        rows: list[dict[str, Any]] = json.load(answer)["data"]
    return rows


def docs(url: str, page: str) -> Reading:
    with urlopen(f"{url}/docs/{page}", timeout=90) as answer:
        return read(answer.read().decode())


def streaks(closes: list[float]) -> list[float | None]:
    """By the definition, bar by bar."""
    found: list[float | None] = [None] if closes else []
    for bar in range(1, len(closes)):
        length = 0
        while length < bar:
            change = closes[bar - length] - closes[bar - length - 1]
            if change * (closes[bar] - closes[bar - 1]) <= 0:
                break
            length += 1
        found.append(length if closes[bar] > closes[bar - 1] else -length)
    return found


def test_the_page_s_own_test_passes(copy: Path) -> None:
    command = COMMAND.search(PAGE.read_text())
    assert command is not None
    words = [*command[1].split(), "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, timeout=300, check=False, **inside(copy)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_it_is_in_the_catalogue_and_in_the_docs(url: str) -> None:
    row = next(one for one in data(url, "/v1/metrics") if one["name"] == NAME)
    assert (row["group"], row["warmup"], row["available"]) == ("momentum", 1, True)
    assert [output["column"] for output in row["outputs"]] == [NAME]
    kind = docs(url, "tables").section("metrics")
    assert kind is not None and kind.tables[0].row(NAME) is not None
    section = docs(url, "metrics").section(NAME)
    assert section is not None and "How many bars in a row" in section.text
    with urlopen(f"{url}/schema", timeout=90) as answer:
        assert f", {NAME}" in answer.read().decode()


@pytest.mark.parametrize("tf", ["1m", "5m", "1h"])
def test_its_values_are_right_live_and_on_request(url: str, tf: str) -> None:
    """1-minute values came through the engine as trades did, and were stored; longer ones are
    computed for the answer."""
    query = {"ticker": "BBCA", "tf": tf, "from": "2025-11-13", "limit": 10_000}
    rows = data(url, "/v1/metrics/history", metric=NAME, **query)
    bars = data(url, "/v1/ohlcv/BBCA", **{k: v for k, v in query.items() if k != "ticker"})
    assert [row["date"] for row in rows] == [bar["date"] for bar in bars] != []
    assert [row[NAME] for row in rows] == streaks([bar["close"] for bar in bars])
    if tf == "1m":
        latest = data(url, "/v1/metrics/latest", metric=NAME, tickers="BBCA")
        assert latest[0][NAME] == rows[-1][NAME]


@pytest.mark.browser
@pytest.mark.skipif(installed() is None, reason="no chromium")
def test_the_chart_shows_it(copy: Path, url: str) -> None:
    """Found in the menu and switched on, its pane has the newest value."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK, url, NAME],
        capture_output=True, timeout=300, check=False, **inside(copy),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found, shown, *console = done.stdout.splitlines()
    newest = data(url, "/v1/metrics/history", metric=NAME, ticker="BBCA", limit=1)[0][NAME]
    assert found == "Streak"
    assert shown.replace("\u2212", "-") == str(newest)
    assert console == []
