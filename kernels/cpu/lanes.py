"""Formulas on eight lanes, written with operators in plain Python and turned into machine code as they stand.

A formula such as ``lambda x: x / (1 + exp(-x))`` is run once, at compile time, on :class:`Lanes` objects that stand
for vectors of eight floats: every operator appends one instruction. That compiles several times faster than a chain of
Numba functions, and the arithmetic is exactly what is written: a product and a sum may fuse, nothing else changes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.cpu.simd import INT_VECTOR, LANES, VECTOR, float32x8

_FUSE = ("contract",)


class Mask:
    """Eight truth values: the result of a comparison, false where a side is NaN."""

    def __init__(self, builder, value):
        self.builder, self.value = builder, value

    def __or__(self, other: Mask) -> Mask:
        return Mask(self.builder, self.builder.or_(self.value, other.value))

    def where(self, then, otherwise) -> Lanes:
        """`then` in the lanes that are true, `otherwise` in the others."""
        then, otherwise = (_value(each) for each in (then, otherwise))
        return Lanes(self.builder, self.builder.select(self.value, then, otherwise))


class Lanes:
    """Eight floats in a formula. Python numbers stand for themselves in all lanes."""

    def __init__(self, builder, value):
        self.builder, self.value = builder, value

    def _binary(self, operation: str, left, right) -> Lanes:
        emit = getattr(self.builder, operation)
        return Lanes(self.builder, emit(_value(left), _value(right), flags=_FUSE))

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
        return Mask(self.builder, self.builder.fcmp_ordered(sign, self.value, _value(other)))

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
        kind = ir.FunctionType(VECTOR, [VECTOR] * (1 + len(others)))
        name = f"llvm.{name}.v{LANES}f32"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        values = [self.value, *(_value(each) for each in others)]
        return Lanes(self.builder, self.builder.call(function, values))

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
        b = self.builder
        biased = b.add(b.fptosi(self.value, INT_VECTOR), _integers(127))
        return Lanes(b, b.bitcast(b.shl(biased, _integers(23)), VECTOR))

    def split(self) -> tuple[Lanes, Lanes]:
        """m and e with ``m * 2 ** e`` the value, 1 <= m < 2, for positive normal numbers."""
        b = self.builder
        bits = b.bitcast(self.value, INT_VECTOR)
        fraction = b.or_(b.and_(bits, _integers(0x7FFFFF)), _integers(127 << 23))
        exponent = b.sub(b.lshr(bits, _integers(23)), _integers(127))
        return Lanes(b, b.bitcast(fraction, VECTOR)), Lanes(b, b.sitofp(exponent, VECTOR))


def _value(operand):
    """The LLVM value of an operand of a formula."""
    if isinstance(operand, Lanes):
        return operand.value
    return ir.Constant(VECTOR, [float(operand)] * LANES)


def _integers(value: int):
    return ir.Constant(INT_VECTOR, [value] * LANES)


def compiled(formula: Callable) -> Callable:
    """A function of vectors, for use in kernels, from a formula.

    Parameters
    ----------
    formula : callable
        Takes :class:`Lanes` and returns one of them.
    """
    count = len(inspect.signature(formula).parameters)
    signature = float32x8(*[float32x8] * count)

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
