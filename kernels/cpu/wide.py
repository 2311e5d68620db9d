"""A 16-lane vector type: a whole cache line, for kernels that stream through memory.

One register with AVX-512; LLVM makes two or four of it elsewhere. As in :mod:`kernels.cpu.simd`, addresses are integers
in bytes, and nothing checks bounds.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from kernels.cpu.lanes import compiled
from kernels.cpu.simd import INT32, VectorType, loading, splatting, storing
from kernels.cpu.tails import filling, reading, reading_bytes, writing, writing_bytes

LANES = 16
#: Bytes in one vector.
BYTES = 4 * LANES

float32x16 = VectorType(LANES)
load, store, splat = loading(float32x16), storing(float32x16), splatting(float32x16)
read, read_filled, write = reading(float32x16), filling(float32x16), writing(float32x16)
read_bytes, write_bytes = reading_bytes(float32x16), writing_bytes(float32x16)

add = compiled(lambda a, b: a + b, float32x16)
sub = compiled(lambda a, b: a - b, float32x16)
mul = compiled(lambda a, b: a * b, float32x16)
div = compiled(lambda a, b: a / b, float32x16)
fma = compiled(lambda a, b, c: a.times_plus(b, c), float32x16)
#: ``then`` where ``a > best`` or `a` is NaN, else ``otherwise``: one step of a maximum that keeps NaN.
select_better = compiled(lambda a, best, then, otherwise: ((a > best) | a.is_nan()).where(then, otherwise), float32x16)
#: Whole numbers as the bits of int32, to be stored.
to_int_bits = compiled(lambda a: a.int_bits(), float32x16)
#: The larger of each lane; `b` where either is NaN.
larger = compiled(lambda a, b: (a > b).where(a, b), float32x16)


def _reduction(combine, meaning: str):
    """Sixteen lanes become one number: halves are combined, then halves of those."""

    @intrinsic
    def function(typingctx, vector):
        def codegen(context, builder, signature, args):
            total = args[0]
            for half in (8, 4, 2, 1):
                parts = [ir.Constant(ir.VectorType(INT32, half), list(range(i, i + half))) for i in (0, half)]
                nothing = ir.Constant(total.type, ir.Undefined)
                total = combine(builder, *(builder.shuffle_vector(total, nothing, part) for part in parts))
            return builder.extract_element(total, INT32(0))

        return types.float32(float32x16), codegen

    function.__doc__ = meaning
    return function


def _largest(builder, a, b):
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


lane_total = _reduction(lambda builder, a, b: builder.fadd(a, b), "Sum of the lanes.")
lane_max = _reduction(_largest, "Largest of the lanes; NaN lanes may be passed over.")
