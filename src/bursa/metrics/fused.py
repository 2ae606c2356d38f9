"""a * b + c with one rounding, for kernels. TA-Lib's MACD and ATR are built with it: where their
terms cancel, a product that is rounded first differs in more digits than may be."""

from typing import Any

from numba import types
from numba.extending import intrinsic


@intrinsic
def fused(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """a, b, c float64 -> a * b + c, rounded once, on any processor."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fma(*args)

    return types.float64(types.float64, types.float64, types.float64), generate
