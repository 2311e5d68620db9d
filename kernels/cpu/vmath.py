"""Elementary functions on eight lanes, made of arithmetic only (no calls into a C library).

Errors are relative, measured over the whole range, unless said otherwise. NaN gives NaN.
"""

from __future__ import annotations

import numpy as np

from kernels.cpu import simd
from kernels.cpu.jit import inner
from kernels.cpu.simd import add, div, fma, mul, select_gt, select_lt, splat, sub

_F = np.float32
_LOG2_E = _F(1.4426950408889634)
# The logarithm of two in two parts: the first has few bits, so that its product with a whole number is exact.
_LN2_HIGH, _LN2_LOW = _F(0.693359375), _F(-2.12194440e-4)
# Below this exp() is under 1.7e-38 and given as 0; above the other it is infinite.
_EXP_LOW, _EXP_HIGH = _F(-87.0), _F(89.0)
_INVERSE_FACTORIALS = tuple(_F(1.0 / f) for f in (1, 2, 6, 24, 120, 720, 5040))
_C1, _C2, _C3, _C4, _C5, _C6, _C7 = _INVERSE_FACTORIALS
_HALF, _ONE, _TWO, _ZERO = _F(0.5), _F(1.0), _F(2.0), _F(0.0)
_SQRT_HALF, _SQRT_TWO = _F(0.7071067811865476), _F(1.4142135623730951)
_INV_SQRT_2PI = _F(0.3989422804014327)


@inner
def clamp(x, low, high):
    """`x` limited to [low, high], two float32 scalars."""
    x = select_lt(x, splat(low), splat(low), x)
    return select_gt(x, splat(high), splat(high), x)


@inner
def _small_expm1(r):
    """``exp(r) - 1`` for |r| <= ln(2) / 2: seven terms of the Taylor series."""
    p = fma(splat(_C7), r, splat(_C6))
    p = fma(p, r, splat(_C5))
    p = fma(p, r, splat(_C4))
    p = fma(p, r, splat(_C3))
    p = fma(p, r, splat(_C2))
    return fma(mul(p, r), r, r)


@inner
def _nearest_power(x):
    """The n for which ``x - n ln 2`` is smallest."""
    return simd.floor(fma(x, splat(_LOG2_E), splat(_HALF)))


@inner
def _remainder(x, n):
    """``x - n ln 2``, exact to the last bits."""
    return fma(n, splat(-_LN2_LOW), fma(n, splat(-_LN2_HIGH), x))


@inner
def exp(x):
    """Exponential, error 1e-7: ``2 ** n * exp(r)`` with ``x = n ln 2 + r``."""
    inside = clamp(x, _EXP_LOW, _EXP_HIGH)
    n = _nearest_power(inside)
    p = add(_small_expm1(_remainder(inside, n)), splat(_ONE))
    # twice half the power: 2 ** 128 alone would not fit the exponent field
    y = mul(add(p, p), simd.exp2_int(sub(n, splat(_ONE))))
    return select_lt(x, splat(_EXP_LOW), splat(_ZERO), y)


@inner
def sigmoid(x):
    """``1 / (1 + exp(-x))``, error 2e-7."""
    return div(splat(_ONE), add(splat(_ONE), exp(sub(splat(_ZERO), x))))


@inner
def tanh(x):
    """Hyperbolic tangent, error 3e-7: ``e / (e + 2)`` with ``e = exp(2 |x|) - 1``."""
    double = clamp(mul(simd.absolute(x), splat(_TWO)), _ZERO, _F(40.0))
    n = _nearest_power(double)
    power = simd.exp2_int(n)
    e = fma(power, _small_expm1(_remainder(double, n)), sub(power, splat(_ONE)))
    return simd.with_sign(div(e, add(e, splat(_TWO))), x)


@inner
def normal_tail(x):
    """``(1 - Phi(|x|), phi(x))``: the upper tail and the density of the normal distribution.

    Absolute error of the tail 1e-7 (Abramowitz and Stegun, "Handbook of Mathematical Functions", 7.1.26, whose
    erfc(|x| / sqrt(2)) is twice the tail).
    """
    size = simd.absolute(x)
    bell = exp(mul(mul(size, size), splat(-_HALF)))
    t = div(splat(_ONE), fma(size, splat(_F(0.3275911 / np.sqrt(2.0))), splat(_ONE)))
    p = fma(splat(_F(1.061405429)), t, splat(_F(-1.453152027)))
    p = fma(p, t, splat(_F(1.421413741)))
    p = fma(p, t, splat(_F(-0.284496736)))
    p = fma(p, t, splat(_F(0.254829592)))
    tail = mul(mul(mul(p, t), bell), splat(_HALF))
    return tail, mul(bell, splat(_INV_SQRT_2PI))


@inner
def normal_cdf(x):
    """``(Phi(x), phi(x))``: distribution function and density of the normal distribution."""
    tail, density = normal_tail(x)
    return select_gt(x, splat(_ZERO), sub(splat(_ONE), tail), tail), density


@inner
def erf(x):
    """Error function, absolute error 2e-7."""
    tail, _ = normal_tail(mul(x, splat(_SQRT_TWO)))
    return simd.with_sign(fma(tail, splat(-_TWO), splat(_ONE)), x)


@inner
def _log_ratio(s):
    """``2 artanh(s) = log((1 + s) / (1 - s))`` for |s| <= 1/3, by its series."""
    s2 = mul(s, s)
    p = fma(splat(_F(2 / 15)), s2, splat(_F(2 / 13)))
    p = fma(p, s2, splat(_F(2 / 11)))
    p = fma(p, s2, splat(_F(2 / 9)))
    p = fma(p, s2, splat(_F(2 / 7)))
    p = fma(p, s2, splat(_F(2 / 5)))
    p = fma(p, s2, splat(_F(2 / 3)))
    return fma(mul(p, s2), s, add(s, s))


@inner
def log1p_unit(u):
    """``log(1 + u)`` for 0 <= u <= 1, error 3e-7."""
    return _log_ratio(div(u, add(u, splat(_TWO))))


@inner
def log(x):
    """Natural logarithm of positive normal numbers and infinity; -infinity at 0, NaN below. Error 2e-7."""
    m = simd.mantissa(x)
    e = simd.exponent(x)
    e = select_gt(m, splat(_SQRT_TWO), add(e, splat(_ONE)), e)
    m = select_gt(m, splat(_SQRT_TWO), mul(m, splat(_HALF)), m)
    y = _log_ratio(div(sub(m, splat(_ONE)), add(m, splat(_ONE))))
    y = fma(e, splat(_LN2_HIGH), fma(e, splat(_LN2_LOW), y))
    infinity = splat(_F(np.inf))
    y = simd.select_eq(x, infinity, infinity, y)
    y = simd.select_eq(x, splat(_ZERO), splat(_F(-np.inf)), y)
    return simd.select_nan(x, x, x, select_lt(x, splat(_ZERO), splat(_F(np.nan)), y))
