"""Parts of a vector for the ends of rows and arrays, and runs of floats of any length.

Addresses are plain integers in bytes, as in :mod:`kernels.cpu.simd`.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.cpu.simd import (
    BYTE_VECTOR,
    INT32,
    INT64,
    INT_VECTOR,
    LANES,
    VECTOR,
    float32x8,
    float_pointer,
)


def _first_lanes(builder, count):
    """Mask of the lanes below `count`."""
    lanes = ir.Constant(INT_VECTOR, list(range(LANES)))
    undefined = ir.Constant(INT_VECTOR, ir.Undefined)
    single = builder.insert_element(undefined, builder.trunc(count, INT32), INT32(0))
    limit = builder.shuffle_vector(single, undefined, ir.Constant(INT_VECTOR, [0] * LANES))
    return builder.icmp_signed("<", lanes, limit)


def _masked_load(builder, place, count, fill, align):
    """The lanes of a vector in memory below `count`; the others from `fill`."""
    pointer = builder.inttoptr(place, fill.type.as_pointer())
    mask = _first_lanes(builder, count)
    kind = ir.FunctionType(fill.type, [pointer.type, INT32, mask.type, fill.type])
    name = f"llvm.masked.load.{_suffix(fill.type)}.p0"
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, [pointer, INT32(align), mask, fill])


def _masked_store(builder, place, vector, count, align):
    """Write the lanes of a vector below `count`."""
    pointer = builder.inttoptr(place, vector.type.as_pointer())
    mask = _first_lanes(builder, count)
    kind = ir.FunctionType(ir.VoidType(), [vector.type, pointer.type, INT32, mask.type])
    name = f"llvm.masked.store.{_suffix(vector.type)}.p0"
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    builder.call(function, [vector, pointer, INT32(align), mask])


def _suffix(vector_type):
    return f"v{LANES}f32" if vector_type == VECTOR else f"v{LANES}i8"


def _is_whole(builder, count):
    return builder.icmp_signed(">=", count, INT64(LANES))


def _read(builder, place, count, fill, align):
    """A vector in memory, or its first `count` lanes and those of `fill`."""
    result = cgutils.alloca_once(builder, fill.type)
    with builder.if_else(_is_whole(builder, count)) as (whole, part):
        with whole:
            pointer = builder.inttoptr(place, fill.type.as_pointer())
            builder.store(builder.load(pointer, align=align), result)
        with part:
            builder.store(_masked_load(builder, place, count, fill, align), result)
    return builder.load(result)


def _write(builder, place, vector, count, align):
    """Write a vector, or its first `count` lanes."""
    with builder.if_else(_is_whole(builder, count)) as (whole, part):
        with whole:
            pointer = builder.inttoptr(place, vector.type.as_pointer())
            builder.store(vector, pointer, align=align)
        with part:
            _masked_store(builder, place, vector, count, align)


@intrinsic
def read(typingctx, place, count):
    """Eight floats at address `place`, or the first `count` of them and zeros."""

    def codegen(context, builder, signature, args):
        return _read(builder, *args, ir.Constant(VECTOR, [0.0] * LANES), align=4)

    return float32x8(types.intp, types.intp), codegen


@intrinsic
def read_filled(typingctx, place, count, fill):
    """Eight floats at address `place`, or the first `count` of them and the other lanes of the vector `fill`."""

    def codegen(context, builder, signature, args):
        return _read(builder, *args, align=4)

    return float32x8(types.intp, types.intp, float32x8), codegen


@intrinsic
def write(typingctx, place, vector, count):
    """Write eight floats to address `place`, or only the first `count` of them."""

    def codegen(context, builder, signature, args):
        _write(builder, *args, align=4)
        return context.get_dummy_value()

    return types.void(types.intp, float32x8, types.intp), codegen


@intrinsic
def read_bytes(typingctx, place, count):
    """Eight unsigned bytes at address `place` as floats, or the first `count` of them and zeros."""

    def codegen(context, builder, signature, args):
        lanes = _read(builder, *args, ir.Constant(BYTE_VECTOR, [0] * LANES), align=1)
        return builder.uitofp(lanes, VECTOR)

    return float32x8(types.intp, types.intp), codegen


@intrinsic
def write_bytes(typingctx, place, vector, count):
    """Write eight lanes, whole numbers from 0 to 255, as unsigned bytes, or only the first `count` of them."""

    def codegen(context, builder, signature, args):
        _write(builder, args[0], builder.fptoui(args[1], BYTE_VECTOR), args[2], align=1)
        return context.get_dummy_value()

    return types.void(types.intp, float32x8, types.intp), codegen


@intrinsic
def copy_floats(typingctx, source, target, count):
    """Copy `count` floats between addresses that do not overlap."""

    def codegen(context, builder, signature, args):
        source, target = (float_pointer(builder, place) for place in args[:2])
        cgutils.raw_memcpy(builder, target, source, args[2], 4, align=4)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), codegen


@intrinsic
def zero_floats(typingctx, place, count):
    """Write `count` zeros to address `place`."""

    def codegen(context, builder, signature, args):
        size = builder.mul(args[1], INT64(4))
        cgutils.memset(builder, float_pointer(builder, args[0]), size, 0)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), codegen
