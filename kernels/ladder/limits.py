"""What no kernel can exceed: how fast the processor multiplies and adds, and how fast memory comes.

Williams, Waterman and Patterson, "Roofline: An Insightful Visual Performance Model for Multicore Architectures", 2009.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.cpu.host import widest_lanes
from kernels.cpu.jit import kernel
from kernels.cpu.simd import FLOAT, INT64, address, float_pointer, fused_multiply_add, load_at, store_at

#: Sums that do not wait for each other: more than latency (4 or 5 cycles) times instructions a cycle (2).
CHAINS = 12
_VECTOR = ir.VectorType(FLOAT, widest_lanes())
#: Floating-point operations of one turn of the loop: each lane of each chain multiplies and adds.
FLOPS_A_TURN = 2 * CHAINS * _VECTOR.count


@intrinsic
def _chains(typingctx, turns, place):
    """``sum += a * b`` in :data:`CHAINS` registers at once; their total goes to address `place`."""

    def codegen(context, builder, signature, args):
        pointer = float_pointer(builder, args[1])
        a = load_at(builder, pointer, INT64(0), _VECTOR)
        b = load_at(builder, pointer, INT64(16), _VECTOR)
        sums = [cgutils.alloca_once_value(builder, a) for _ in range(CHAINS)]
        with cgutils.for_range(builder, args[0]):
            for each in sums:
                builder.store(fused_multiply_add(builder, a, b, builder.load(each)), each)
        total = builder.load(sums[0])
        for each in sums[1:]:
            total = builder.fadd(total, builder.load(each))
        store_at(builder, total, pointer, INT64(32))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), codegen


@kernel("void(i8, f4[:,::1])")
def multiply_add_turns(turns, registers):
    """`turns` of the fastest loop there is, on as many threads as there are rows of `registers` (threads, 64)."""
    for thread in prange(registers.shape[0]):
        _chains(turns, address(registers) + 256 * thread)


@kernel("void(f4[::1], f4[::1], f4[::1], i8)")
def triad(a, b, c, parts):
    """``a = b + 3 c`` in `parts`: two floats read and one written for each, and next to nothing to compute.

    McCalpin, "Memory Bandwidth and Machine Balance in Current High Performance Computers", 1995.
    """
    size, factor = a.size // parts, np.float32(3)
    for part in prange(parts):
        first, last = part * size, (part + 1) * size
        x, y, z = a[first:last], b[first:last], c[first:last]
        for i in range(size):
            x[i] = y[i] + factor * z[i]
