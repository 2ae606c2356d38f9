"""What the tests of jobs share."""

from tests.pipeline.conftest import _plain_logs

__all__ = ["_plain_logs"]
