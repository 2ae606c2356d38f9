"""Loads that Python has no word for: big-endian integers and the bits of a float.

For kernels only. Nothing is checked: the caller has seen to it that the bytes are there.
(A byte out of an array is unsigned in a kernel, and unsigned with signed makes a float: hence
`byte`.)
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]  # ships no types
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

KERNEL = {"nogil": True, "cache": True, "_nrt": False}
"""How kernels of wire/ are compiled. They allocate nothing, so numba need not count references to
the arrays they are given: counting took five times as long as decoding."""

INLINE = KERNEL | {"forceinline": True}
"""For the parts of a kernel that run once a message or more."""

_I64 = ir.IntType(64)
_F64 = ir.DoubleType()


@intrinsic
def be64(typing_context: Any, frames: Any, at: Any) -> Any:
    """frames uint8 (n,), at -> the eight bytes from `at` on as an int64, big-endian."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        pointer = builder.bitcast(builder.gep(array.data, [args[1]]), _I64.as_pointer())
        return builder.bswap(builder.load(pointer, align=1))

    return types.int64(frames, types.int64), generate


@intrinsic
def bits(typing_context: Any, value: Any) -> Any:
    """The bits of a float64 as an int64: what a float column of a block holds."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], _I64)

    return types.int64(types.float64), generate


@intrinsic
def unbits(typing_context: Any, value: Any) -> Any:
    """The float64 whose bits these are."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], _F64)

    return types.float64(types.int64), generate


@njit(**INLINE)
def byte(frames: NDArray[np.uint8], at: int) -> int:
    """One byte as an int64."""
    return int(np.int64(frames[at]))


@njit(**INLINE)
def be16(frames: NDArray[np.uint8], at: int) -> int:
    """Two bytes from `at` on, unsigned."""
    return (byte(frames, at) << 8) | byte(frames, at + 1)


@intrinsic
def opaque(typing_context: Any, value: Any) -> Any:
    """The same int64, but the optimiser cannot know that: keeps a loop of a few turns from being
    turned into gathers, which cost more than they save there."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.asm(ir.FunctionType(_I64, [_I64]), "", "=r,0", [args[0]], True)

    return types.int64(types.int64), generate
