"""Parts of a vector for the ends of rows and arrays, and runs of floats of any length.

Addresses are plain integers in bytes, as in :mod:`kernels.cpu.simd`.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.cpu.simd import INT32, INT64, VectorType, first_lanes, float32x8, float_pointer

_BYTE = ir.IntType(8)


def _masked_load(builder, place, count, fill, align):
    """The lanes of a vector in memory below `count`; the others from `fill`."""
    pointer = builder.inttoptr(place, fill.type.as_pointer())
    mask = first_lanes(builder, count, fill.type.count)
    kind = ir.FunctionType(fill.type, [pointer.type, INT32, mask.type, fill.type])
    name = f"llvm.masked.load.{_suffix(fill.type)}.p0"
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, [pointer, INT32(align), mask, fill])


def _masked_store(builder, place, vector, count, align):
    """Write the lanes of a vector below `count`."""
    pointer = builder.inttoptr(place, vector.type.as_pointer())
    mask = first_lanes(builder, count, vector.type.count)
    kind = ir.FunctionType(ir.VoidType(), [vector.type, pointer.type, INT32, mask.type])
    name = f"llvm.masked.store.{_suffix(vector.type)}.p0"
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    builder.call(function, [vector, pointer, INT32(align), mask])


def _suffix(vector_type):
    return f"v{vector_type.count}{'i8' if vector_type.element == _BYTE else 'f32'}"


def _is_whole(builder, count, vector_type):
    return builder.icmp_signed(">=", count, INT64(vector_type.count))


def _read(builder, place, count, fill, align):
    """A vector in memory, or its first `count` lanes and those of `fill`."""
    result = cgutils.alloca_once(builder, fill.type)
    with builder.if_else(_is_whole(builder, count, fill.type)) as (whole, part):
        with whole:
            pointer = builder.inttoptr(place, fill.type.as_pointer())
            builder.store(builder.load(pointer, align=align), result)
        with part:
            builder.store(_masked_load(builder, place, count, fill, align), result)
    return builder.load(result)


def _write(builder, place, vector, count, align):
    """Write a vector, or its first `count` lanes."""
    with builder.if_else(_is_whole(builder, count, vector.type)) as (whole, part):
        with whole:
            pointer = builder.inttoptr(place, vector.type.as_pointer())
            builder.store(vector, pointer, align=align)
        with part:
            _masked_store(builder, place, vector, count, align)


def bytes_of(vector: VectorType) -> ir.VectorType:
    """As many bytes as the vector has lanes."""
    return ir.VectorType(_BYTE, vector.lanes)


def reading(vector: VectorType):
    """The function that reads a vector of this type, or a part of one."""

    @intrinsic
    def read(typingctx, place, count):
        """The floats at address `place`, or the first `count` of them and zeros."""

        def codegen(context, builder, signature, args):
            return _read(builder, *args, ir.Constant(vector.llvm, [0.0] * vector.lanes), align=4)

        return vector(types.intp, types.intp), codegen

    return read


def filling(vector: VectorType):
    """The function that reads a vector of this type, or a part of one into another."""

    @intrinsic
    def read_filled(typingctx, place, count, fill):
        """The floats at address `place`, or the first `count` of them and the other lanes of the vector `fill`."""

        def codegen(context, builder, signature, args):
            return _read(builder, *args, align=4)

        return vector(types.intp, types.intp, vector), codegen

    return read_filled


def writing(vector: VectorType):
    """The function that writes a vector of this type, or a part of one."""

    @intrinsic
    def write(typingctx, place, value, count):
        """Write the floats to address `place`, or only the first `count` of them."""

        def codegen(context, builder, signature, args):
            _write(builder, *args, align=4)
            return context.get_dummy_value()

        return types.void(types.intp, vector, types.intp), codegen

    return write


def reading_bytes(vector: VectorType):
    """The function that reads bytes into a vector of this type, or into a part of one."""

    @intrinsic
    def read_bytes(typingctx, place, count):
        """The unsigned bytes at address `place` as floats, or the first `count` of them and zeros."""

        def codegen(context, builder, signature, args):
            lanes = _read(builder, *args, ir.Constant(bytes_of(vector), [0] * vector.lanes), align=1)
            return builder.uitofp(lanes, vector.llvm)

        return vector(types.intp, types.intp), codegen

    return read_bytes


def writing_bytes(vector: VectorType):
    """The function that writes a vector of this type, or a part of one, as bytes."""

    @intrinsic
    def write_bytes(typingctx, place, value, count):
        """Write the lanes, whole numbers from 0 to 255, as unsigned bytes, or only the first `count` of them."""

        def codegen(context, builder, signature, args):
            _write(builder, args[0], builder.fptoui(args[1], bytes_of(vector)), args[2], align=1)
            return context.get_dummy_value()

        return types.void(types.intp, vector, types.intp), codegen

    return write_bytes


read, read_filled, write = reading(float32x8), filling(float32x8), writing(float32x8)
read_bytes, write_bytes = reading_bytes(float32x8), writing_bytes(float32x8)


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
