"""An 8-lane float32 vector type for Numba, and the few operations the kernels are made of.

Addresses are plain integers in bytes, taken once with :func:`address`. LLVM lowers the vectors to whatever the
host has (two SSE or NEON registers, one AVX2 register, half an AVX-512 one). Loads and stores need no alignment.
Nothing here checks bounds: the caller owns the address arithmetic.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LANES = 8
#: Bytes in one vector.
BYTES = 4 * LANES

FLOAT = ir.FloatType()
INT64 = ir.IntType(64)
INT32 = ir.IntType(32)
VECTOR = ir.VectorType(FLOAT, LANES)
INT_VECTOR = ir.VectorType(INT32, LANES)


class VectorType(types.Type):
    """Numba's view of so many float32 lanes."""

    def __init__(self, lanes: int):
        super().__init__(name=f"float32x{lanes}")
        self.lanes = lanes

    @property
    def llvm(self) -> ir.VectorType:
        """The same, as LLVM sees it."""
        return ir.VectorType(FLOAT, self.lanes)


float32x8 = VectorType(LANES)


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, fe_type.llvm)


# --- LLVM building blocks, used here and by the register-tiled micro-kernels ---------------------------------


def float_pointer(builder, address):
    """An integer address as ``float*``."""
    return builder.inttoptr(address, FLOAT.as_pointer())


def load_at(builder, pointer, offset, vector=VECTOR):
    """Vector at ``pointer + offset`` floats."""
    place = builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())
    return builder.load(place, align=4)


def store_at(builder, vector, pointer, offset):
    """Write `vector` to ``pointer + offset`` floats."""
    place = builder.bitcast(builder.gep(pointer, [offset]), vector.type.as_pointer())
    builder.store(vector, place, align=4)


def broadcast_lane(builder, scalar, vector=VECTOR):
    """One scalar in all lanes."""
    undefined = ir.Constant(vector, ir.Undefined)
    single = builder.insert_element(undefined, scalar, INT32(0))
    zeros = ir.Constant(ir.VectorType(INT32, vector.count), [0] * vector.count)
    return builder.shuffle_vector(single, undefined, zeros)


def fused_multiply_add(builder, a, b, c):
    """``a * b + c``: one instruction where the host has it, two where not."""
    kind = ir.FunctionType(a.type, [a.type] * 3)
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fmuladd.v{a.type.count}f32")
    return builder.call(function, [a, b, c])


def first_lanes(builder, count, lanes=LANES):
    """Mask of the lanes below `count`."""
    kind = ir.VectorType(INT32, lanes)
    undefined = ir.Constant(kind, ir.Undefined)
    single = builder.insert_element(undefined, builder.trunc(count, INT32), INT32(0))
    limit = builder.shuffle_vector(single, undefined, ir.Constant(kind, [0] * lanes))
    return builder.icmp_signed("<", ir.Constant(kind, list(range(lanes))), limit)


def masked_load(builder, pointer, offset, mask, vector=VECTOR):
    """The lanes of `mask` of the vector at ``pointer + offset`` floats, zero in the others."""
    place = builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())
    kind = ir.FunctionType(vector, [place.type, INT32, mask.type, vector])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.load.v{vector.count}f32.p0")
    return builder.call(function, [place, INT32(4), mask, ir.Constant(vector, [0.0] * vector.count)])


def masked_store(builder, value, pointer, offset, mask):
    """Write the lanes of `mask` of a vector to ``pointer + offset`` floats."""
    place = builder.bitcast(builder.gep(pointer, [offset]), value.type.as_pointer())
    kind = ir.FunctionType(ir.VoidType(), [value.type, place.type, INT32, mask.type])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.masked.store.v{value.type.count}f32.p0")
    builder.call(function, [value, place, INT32(4), mask])


def _unary_call(builder, name, a):
    kind = ir.FunctionType(VECTOR, [VECTOR])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}f32")
    return builder.call(function, [a])


# --- memory --------------------------------------------------------------------------------------------------


@intrinsic
def address(typingctx, array):
    """Address of the first element.

    ``array.ctypes.data`` would touch the reference count, which makes a hot loop twice as slow.
    """

    def codegen(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, INT64)

    return types.intp(array), codegen


def loading(vector: VectorType):
    """The function that reads a vector of this type."""

    @intrinsic
    def load(typingctx, place):
        """The floats from address `place` on."""

        def codegen(context, builder, signature, args):
            return builder.load(builder.inttoptr(args[0], vector.llvm.as_pointer()), align=4)

        return vector(types.intp), codegen

    return load


def storing(vector: VectorType):
    """The function that writes a vector of this type."""

    @intrinsic
    def store(typingctx, place, value):
        """Write the floats to address `place` and on."""

        def codegen(context, builder, signature, args):
            builder.store(args[1], builder.inttoptr(args[0], vector.llvm.as_pointer()), align=4)
            return context.get_dummy_value()

        return types.void(types.intp, vector), codegen

    return store


load, store = loading(float32x8), storing(float32x8)


@intrinsic
def load_scalar(typingctx, place):
    """The float at address `place`."""

    def codegen(context, builder, signature, args):
        return builder.load(float_pointer(builder, args[0]))

    return types.float32(types.intp), codegen


@intrinsic
def store_scalar(typingctx, place, value):
    """Write one float to address `place`."""

    def codegen(context, builder, signature, args):
        builder.store(args[1], float_pointer(builder, args[0]))
        return context.get_dummy_value()

    return types.void(types.intp, types.float32), codegen


# --- arithmetic ----------------------------------------------------------------------------------------------


def splatting(vector: VectorType):
    """The function that makes a vector of this type of one float."""

    @intrinsic
    def splat(typingctx, value):
        """One float32 in all lanes."""

        def codegen(context, builder, signature, args):
            return broadcast_lane(builder, args[0], vector.llvm)

        return vector(types.float32), codegen

    return splat


splat = splatting(float32x8)


@intrinsic
def fma(typingctx, a, b, c):
    """``a * b + c``."""

    def codegen(context, builder, signature, args):
        return fused_multiply_add(builder, *args)

    return float32x8(float32x8, float32x8, float32x8), codegen


def _binary(operation: str, meaning: str):
    @intrinsic
    def function(typingctx, a, b):
        def codegen(context, builder, signature, args):
            return getattr(builder, operation)(args[0], args[1])

        return float32x8(float32x8, float32x8), codegen

    function.__doc__ = meaning
    return function


add = _binary("fadd", "``a + b``.")
sub = _binary("fsub", "``a - b``.")
mul = _binary("fmul", "``a * b``.")
div = _binary("fdiv", "``a / b``.")


def _rounding(name: str, meaning: str):
    @intrinsic
    def function(typingctx, a):
        def codegen(context, builder, signature, args):
            return _unary_call(builder, name, args[0])

        return float32x8(float32x8), codegen

    function.__doc__ = meaning
    return function


floor = _rounding("floor", "Largest whole number not above each lane.")
absolute = _rounding("fabs", "Absolute value of each lane.")
square_root = _rounding("sqrt", "Square root of each lane.")


def _selection(comparison: str, meaning: str):
    @intrinsic
    def function(typingctx, a, b, then, otherwise):
        def codegen(context, builder, signature, args):
            condition = builder.fcmp_ordered(comparison, args[0], args[1])
            return builder.select(condition, args[2], args[3])

        return float32x8(*[float32x8] * 4), codegen

    function.__doc__ = meaning
    return function


select_gt = _selection(">", "``then`` where ``a > b``, else ``otherwise`` (also where either is NaN).")
select_lt = _selection("<", "``then`` where ``a < b``, else ``otherwise`` (also where either is NaN).")


@intrinsic
def lane_sum(typingctx, vector):
    """Sum of the eight lanes."""

    def codegen(context, builder, signature, args):
        total = builder.extract_element(args[0], INT32(0))
        for lane in range(1, LANES):
            total = builder.fadd(total, builder.extract_element(args[0], INT32(lane)))
        return total

    return types.float32(float32x8), codegen


# --- bits of floats, integers, reductions --------------------------------------------------------------------


@intrinsic
def select_better(typingctx, a, best, then, otherwise):
    """``then`` where ``a > best`` or `a` is NaN, else ``otherwise``: one step of a maximum that keeps NaN."""

    def codegen(context, builder, signature, args):
        greater = builder.fcmp_ordered(">", args[0], args[1])
        nan = builder.fcmp_unordered("uno", args[0], args[0])
        return builder.select(builder.or_(greater, nan), args[2], args[3])

    return float32x8(*[float32x8] * 4), codegen


def _halved(builder, vector, count):
    """The lower and the upper half of the first `count` lanes."""
    undefined = ir.Constant(VECTOR, ir.Undefined)
    indices = [lane % LANES for lane in range(count // 2, count // 2 + LANES)]
    return vector, builder.shuffle_vector(vector, undefined, ir.Constant(INT_VECTOR, indices))


@intrinsic
def lane_total(typingctx, vector):
    """Sum of the eight lanes by halves: faster than :func:`lane_sum`, in another order."""

    def codegen(context, builder, signature, args):
        total = args[0]
        for count in (8, 4, 2):
            total = builder.fadd(*_halved(builder, total, count))
        return builder.extract_element(total, INT32(0))

    return types.float32(float32x8), codegen


# --- two vectors as one table -------------------------------------------------------------------------------------


def _arrangement(lanes: list[int], meaning: str):
    """Eight of the sixteen lanes of two vectors."""

    @intrinsic
    def function(typingctx, a, b):
        def codegen(context, builder, signature, args):
            return builder.shuffle_vector(args[0], args[1], ir.Constant(INT_VECTOR, lanes))

        return float32x8(float32x8, float32x8), codegen

    function.__doc__ = meaning
    return function


interleave_low = _arrangement([0, 8, 1, 9, 2, 10, 3, 11], "The first halves, lane by lane in turn: a0 b0 a1 b1 ...")
interleave_high = _arrangement([4, 12, 5, 13, 6, 14, 7, 15], "The second halves, lane by lane in turn.")
even_lanes = _arrangement(list(range(0, 16, 2)), "Every second lane of both, from the first.")
odd_lanes = _arrangement(list(range(1, 16, 2)), "Every second lane of both, from the second.")
