"""Four floats at a time: one instruction of memory instead of four.

Arrays begin at multiples of sixteen bytes, and so must what is read or written here: indices are multiples of four.
"""

from __future__ import annotations

from kernels.cuda.toolkit import SIMULATED

if SIMULATED:

    def load4(array, index):
        """``array[index : index + 4]`` as a tuple."""
        assert index % 4 == 0, "not aligned"
        return array[index], array[index + 1], array[index + 2], array[index + 3]

    def store4(array, index, a, b, c, d):
        """``array[index : index + 4] = a, b, c, d``."""
        assert index % 4 == 0, "not aligned"
        array[index], array[index + 1], array[index + 2], array[index + 3] = a, b, c, d

else:
    from llvmlite import ir
    from numba.core import types
    from numba.core.imputils import impl_ret_untracked
    from numba.cuda.extending import intrinsic

    _FOUR = ir.VectorType(ir.FloatType(), 4)
    _INDEX = ir.IntType(32)
    _ALIGNED = 16

    def _pointer(context, builder, kind, array, index, index_kind):
        """Address of four floats of an array."""
        data = context.make_array(kind)(context, builder, array).data
        index = context.cast(builder, index, index_kind, types.intp)
        return builder.bitcast(builder.gep(data, [index]), _FOUR.as_pointer())

    @intrinsic
    def load4(typingctx, array, index):
        """``array[index : index + 4]`` as a tuple."""
        signature = types.UniTuple(types.float32, 4)(array, index)

        def codegen(context, builder, signature, args):
            array, index = args
            loaded = builder.load(_pointer(context, builder, signature.args[0], array, index, signature.args[1]))
            loaded.align = _ALIGNED
            parts = [builder.extract_element(loaded, _INDEX(i)) for i in range(4)]
            made = context.make_tuple(builder, signature.return_type, parts)
            return impl_ret_untracked(context, builder, signature.return_type, made)

        return signature, codegen

    @intrinsic
    def store4(typingctx, array, index, a, b, c, d):
        """``array[index : index + 4] = a, b, c, d``."""
        signature = types.void(array, index, *[types.float32] * 4)

        def codegen(context, builder, signature, args):
            array, index, *parts = args
            four = ir.Constant(_FOUR, ir.Undefined)
            for i, part in enumerate(parts):
                four = builder.insert_element(four, part, _INDEX(i))
            place = _pointer(context, builder, signature.args[0], array, index, signature.args[1])
            builder.store(four, place).align = _ALIGNED
            return context.get_dummy_value()

        return signature, codegen
