"""A large array of which little changes from one checkpoint to the next.

Stages put one into their state; journal/parts.py stores it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np


class Lasting:
    """A two-dimensional array that is stored in parts.

    It is not copied: whoever saves it reads it while its owner goes on writing. `holds` says
    whether what was read until now is still good for the state that it was taken with.
    """

    def __init__(
        self, array: np.ndarray[Any, Any], holds: Callable[[], bool] = lambda: True
    ) -> None:
        self.array, self.holds = array, holds
