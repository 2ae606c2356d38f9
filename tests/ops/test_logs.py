"""Every line on standard error has one form, whoever writes it."""

import json
import subprocess
import sys

CODE = """
import logging
from bursa.ops import logs
logs.setup("info", "json")
logs.logger("api").info("ours", request_id="r-1")
logging.getLogger("uvicorn.error").warning("Invalid HTTP %s received.\\nsecond line", "request")
logging.getLogger("asyncio").info("too quiet")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("asyncio").exception("a task failed")
logging.getLogger("odd").log(55, "above all levels")
"""


def test_what_libraries_say_is_lines_of_json_too() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    found = [(line["room"], line["level"], line["event"]) for line in lines]
    assert found == [
        ("api", "info", "ours"),
        ("uvicorn", "warning", "Invalid HTTP request received.\nsecond line"),
        ("asyncio", "error", "a task failed"),
        ("odd", "critical", "above all levels"),
    ]
    assert "ZeroDivisionError" in lines[2]["exception"]


ELSEWHERE = """
import io
import sys
from bursa.ops import logs
standard, sys.stderr = sys.stderr, io.StringIO()
logs.setup("info", "json")
log = logs.logger("api")
log.info("into the void")
sys.stderr.close()
sys.stderr = standard
log.info("ours")
"""


def test_a_logger_outlives_what_stood_for_standard_error() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, check=True
    )
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["ours"]
