"""A 16-lane vector type: a whole cache line, for kernels that stream through memory.

One register with AVX-512; LLVM makes two or four of it elsewhere. As in :mod:`kernels.cpu.simd`, addresses are integers
in bytes, and nothing checks bounds.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from kernels.cpu.lanes import compiled
from kernels.cpu.simd import FLOAT, INT32, broadcast_lane

LANES = 16
#: Bytes in one vector.
BYTES = 4 * LANES
VECTOR = ir.VectorType(FLOAT, LANES)


class WideVectorType(types.Type):
    """Numba's view of sixteen float32 lanes."""

    def __init__(self):
        super().__init__(name="float32x16")


float32x16 = WideVectorType()


@register_model(WideVectorType)
class _WideVectorModel(models.PrimitiveModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, VECTOR)


@intrinsic
def load(typingctx, place):
    """Sixteen floats at address `place`."""

    def codegen(context, builder, signature, args):
        return builder.load(builder.inttoptr(args[0], VECTOR.as_pointer()), align=4)

    return float32x16(types.intp), codegen


@intrinsic
def store(typingctx, place, vector):
    """Write sixteen floats to address `place`."""

    def codegen(context, builder, signature, args):
        builder.store(args[1], builder.inttoptr(args[0], VECTOR.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(types.intp, float32x16), codegen


@intrinsic
def splat(typingctx, value):
    """One float32 in all lanes."""

    def codegen(context, builder, signature, args):
        return broadcast_lane(builder, args[0], VECTOR)

    return float32x16(types.float32), codegen


@intrinsic
def prefetch(typingctx, place):
    """Ask for the cache line at address `place`, which need not exist."""

    def codegen(context, builder, signature, args):
        pointer = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, INT32, INT32, INT32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        read, keep, data = INT32(0), INT32(3), INT32(1)
        builder.call(function, [builder.inttoptr(args[0], pointer), read, keep, data])
        return context.get_dummy_value()

    return types.void(types.intp), codegen


add = compiled(lambda a, b: a + b, float32x16)
sub = compiled(lambda a, b: a - b, float32x16)
fma = compiled(lambda a, b, c: a.times_plus(b, c), float32x16)
