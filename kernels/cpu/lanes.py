"""Formulas on vectors, written with operators in plain Python and turned into machine code as they stand.

A formula such as ``lambda x: x / (1 + exp(-x))`` is run once, at compile time, on :class:`Lanes` objects that stand
for vectors of eight (or sixteen) floats: every operator appends one instruction.
That compiles several times faster than a chain of Numba functions, and the arithmetic is exactly what is written: a
product and a sum may fuse, nothing else changes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.cpu.simd import INT32, float32x8

_FUSE = ("contract",)


class Mask:
    """Truth values: the result of a comparison, false where a side is NaN."""

    def __init__(self, builder, value):
        self.builder, self.value = builder, value

    def __or__(self, other: Mask) -> Mask:
        return Mask(self.builder, self.builder.or_(self.value, other.value))

    def where(self, then, otherwise) -> Lanes:
        """`then` in the lanes that are true, `otherwise` in the others."""
        # One of the two may be a number, but not both.
        kind = next(each.value.type for each in (then, otherwise) if isinstance(each, Lanes))
        then, otherwise = (_value(each, kind) for each in (then, otherwise))
        return Lanes(self.builder, self.builder.select(self.value, then, otherwise))


class Lanes:
    """The floats of a vector in a formula. Python numbers stand for themselves in all lanes."""

    def __init__(self, builder, value):
        self.builder, self.value = builder, value

    def _binary(self, operation: str, left, right) -> Lanes:
        emit, kind = getattr(self.builder, operation), self.value.type
        return Lanes(self.builder, emit(_value(left, kind), _value(right, kind), flags=_FUSE))

    def __add__(self, other):
        return self._binary("fadd", self, other)

    def __sub__(self, other):
        return self._binary("fsub", self, other)

    def __rsub__(self, other):
        return self._binary("fsub", other, self)

    def __mul__(self, other):
        return self._binary("fmul", self, other)

    def __truediv__(self, other):
        return self._binary("fdiv", self, other)

    def __rtruediv__(self, other):
        return self._binary("fdiv", other, self)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self):
        return Lanes(self.builder, self.builder.fneg(self.value))

    def __abs__(self):
        return self._call("fabs")

    def _compare(self, sign: str, other) -> Mask:
        return Mask(self.builder, self.builder.fcmp_ordered(sign, self.value, _value(other, self.value.type)))

    def __lt__(self, other):
        return self._compare("<", other)

    def __le__(self, other):
        return self._compare("<=", other)

    def __gt__(self, other):
        return self._compare(">", other)

    def __ge__(self, other):
        return self._compare(">=", other)

    def equals(self, other) -> Mask:
        """Where both are the same number."""
        return self._compare("==", other)

    def is_nan(self) -> Mask:
        """Where there is no number."""
        return Mask(self.builder, self.builder.fcmp_unordered("uno", self.value, self.value))

    def _call(self, name: str, *others) -> Lanes:
        vector = self.value.type
        kind = ir.FunctionType(vector, [vector] * (1 + len(others)))
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.{name}.v{vector.count}f32")
        values = [self.value, *(_value(each, vector) for each in others)]
        return Lanes(self.builder, self.builder.call(function, values))

    def times_plus(self, factor, offset) -> Lanes:
        """``self * factor + offset``: one instruction where the host has it, two where not."""
        return self._call("fmuladd", factor, offset)

    def floor(self) -> Lanes:
        """Largest whole number not above."""
        return self._call("floor")

    def sqrt(self) -> Lanes:
        """Square root."""
        return self._call("sqrt")

    def with_sign(self, sign: Lanes) -> Lanes:
        """The absolute value with the sign of `sign`."""
        return self._call("copysign", sign)

    # The bits of a float: one for the sign, eight for the exponent plus 127, 23 for the fraction.

    def power_of_two(self) -> Lanes:
        """``2 ** n`` for whole numbers -127 <= n <= 127, where -127 gives 0."""
        b, vector = self.builder, self.value.type
        biased = b.add(b.fptosi(self.value, _integers_of(vector)), _integers(127, vector))
        return Lanes(b, b.bitcast(b.shl(biased, _integers(23, vector)), vector))

    def int_bits(self) -> Lanes:
        """Whole numbers as the bits of int32, to be stored."""
        b, vector = self.builder, self.value.type
        return Lanes(b, b.bitcast(b.fptosi(self.value, _integers_of(vector)), vector))

    def split(self) -> tuple[Lanes, Lanes]:
        """m and e with ``m * 2 ** e`` the value, 1 <= m < 2, for positive normal numbers."""
        b, vector = self.builder, self.value.type
        bits = b.bitcast(self.value, _integers_of(vector))
        fraction = b.or_(b.and_(bits, _integers(0x7FFFFF, vector)), _integers(127 << 23, vector))
        exponent = b.sub(b.lshr(bits, _integers(23, vector)), _integers(127, vector))
        return Lanes(b, b.bitcast(fraction, vector)), Lanes(b, b.sitofp(exponent, vector))


def _value(operand, vector):
    """The LLVM value of an operand of a formula on vectors of this type."""
    if isinstance(operand, Lanes):
        return operand.value
    return ir.Constant(vector, [float(operand)] * vector.count)


def _integers_of(vector):
    return ir.VectorType(INT32, vector.count)


def _integers(value: int, vector):
    return ir.Constant(_integers_of(vector), [value] * vector.count)


def compiled(formula: Callable, vector=float32x8) -> Callable:
    """A function of vectors, for use in kernels, from a formula.

    Parameters
    ----------
    formula : callable
        Takes :class:`Lanes` and returns one of them.
    vector : Numba type
        Of the arguments and the result.
    """
    count = len(inspect.signature(formula).parameters)
    signature = vector(*[vector] * count)

    def codegen(context, builder, signature, args):
        return formula(*(Lanes(builder, each) for each in args)).value

    # Numba wants to see the parameters by name.
    definitions: dict[int, Callable] = {
        1: lambda typingctx, a: (signature, codegen),
        2: lambda typingctx, a, b: (signature, codegen),
        3: lambda typingctx, a, b, c: (signature, codegen),
        4: lambda typingctx, a, b, c, d: (signature, codegen),
        5: lambda typingctx, a, b, c, d, e: (signature, codegen),
    }
    return intrinsic(definitions[count])
