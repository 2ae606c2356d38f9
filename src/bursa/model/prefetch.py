"""One word that kernels lack: have memory brought into the cache before it is needed.

Does not know what for: a kernel that goes through rows which lie all over a large table names one
that it will come to some turns later (wire/itch50/fetch.py, metrics/past.py).
"""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]  # ships no types
from numba import types
from numba.extending import intrinsic


@intrinsic
def prefetch(typing_context: Any, block: Any, at: Any) -> Any:
    """Have the processor fetch the word `at` of a block's memory into its cache, meanwhile."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        pointer = builder.gep(array.data, [args[1]])
        bytes_at = builder.bitcast(pointer, ir.IntType(8).as_pointer())
        i32 = ir.IntType(32)
        signature_of = ir.FunctionType(ir.VoidType(), [bytes_at.type, i32, i32, i32])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [bytes_at.type], signature_of)
        builder.call(fetch, [bytes_at, i32(0), i32(3), i32(1)])
        return context.get_dummy_value()

    return types.void(block, types.int64), generate
