"""What the command does not load, though Arrow would wherever it finds it."""

import subprocess
import sys

CODE = """
import sys
from bursa.__main__ import _command
sys.argv = ["bursa", "--version"]
try:
    _command()
except SystemExit:
    pass
import pyarrow as pa
assert pa.scalar(1).as_py() == 1
assert "pandas" not in sys.modules
try:
    import pandas
except ModuleNotFoundError as error:
    assert "not used here" in str(error)
else:
    raise AssertionError("it was found")
"""


def test_the_command_goes_without_pandas() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
