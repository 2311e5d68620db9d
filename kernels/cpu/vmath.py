"""Elementary functions as formulas on eight lanes (:mod:`kernels.cpu.lanes`), without calls into a C library.

Errors are relative and measured over the whole range, unless said otherwise. NaN gives NaN.
"""

from __future__ import annotations

import math

from kernels.cpu.lanes import Lanes

_LOG2_E = 1.4426950408889634
# The logarithm of two in two parts: the first has few bits, so that its product with a whole number is exact.
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
# Below the first, exp() is under 1.7e-38 and given as 0; above the second it is infinite.
_EXP_LOW, _EXP_HIGH = -87.0, 89.0
# Abramowitz and Stegun, "Handbook of Mathematical Functions" (1964), 7.1.26.
_ERFC_SCALE = 0.3275911
_ERFC = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)


def polynomial(x: Lanes, coefficients: tuple[float, ...]) -> Lanes:
    """``c[0] + c[1] x + c[2] x^2 + ...`` by Horner's rule."""
    total = x * coefficients[-1] + coefficients[-2]
    for each in reversed(coefficients[:-2]):
        total = total * x + each
    return total


def clamp(x: Lanes, low: float, high: float) -> Lanes:
    """`x` limited to [low, high]."""
    x = (x < low).where(low, x)
    return (x > high).where(high, x)


def _reduce(x: Lanes) -> tuple[Lanes, Lanes]:
    """n and ``exp(r) - 1`` with ``x = n ln 2 + r``, n a whole number and |r| <= ln(2) / 2."""
    n = (x * _LOG2_E + 0.5).floor()
    r = x - n * _LN2_HIGH - n * _LN2_LOW
    series = polynomial(r, tuple(1.0 / math.factorial(k) for k in range(2, 8)))
    return n, series * r * r + r


def exp(x: Lanes) -> Lanes:
    """Exponential, error 1e-7: ``2 ** n * exp(r)`` with ``x = n ln 2 + r``."""
    n, e = _reduce(clamp(x, _EXP_LOW, _EXP_HIGH))
    # Twice half the power: 2 ** 128 alone would not fit the exponent.
    y = (e + e + 2.0) * (n - 1.0).power_of_two()
    return (x < _EXP_LOW).where(0.0, y)


def exp_falling(x: Lanes) -> Lanes:
    """Exponential of numbers up to 0, error 1e-7: fewer steps than :func:`exp`."""
    n, e = _reduce((x < _EXP_LOW).where(_EXP_LOW, x))
    return (x < _EXP_LOW).where(0.0, (e + 1.0) * n.power_of_two())


def sigmoid(x: Lanes) -> Lanes:
    """``1 / (1 + exp(-x))``, error 2e-7."""
    return 1.0 / (exp(-x) + 1.0)


def tanh(x: Lanes) -> Lanes:
    """Hyperbolic tangent, error 3e-7: ``e / (e + 2)`` with ``e = exp(2 |x|) - 1``."""
    n, e = _reduce(clamp(abs(x) * 2.0, 0.0, 40.0))
    power = n.power_of_two()
    e = e * power + (power - 1.0)
    return (e / (e + 2.0)).with_sign(x)


def normal_tail(x: Lanes) -> tuple[Lanes, Lanes]:
    """``1 - Phi(|x|)``, absolute error 2e-7, and ``phi(x)``: upper tail and density of the normal distribution."""
    bell = exp_falling(x * x * -0.5)
    t = 1.0 / (abs(x) * (_ERFC_SCALE / math.sqrt(2.0)) + 1.0)
    tail = polynomial(t, _ERFC) * t * bell * 0.5
    return tail, bell * (1.0 / math.sqrt(2.0 * math.pi))


def normal_cdf(x: Lanes) -> tuple[Lanes, Lanes]:
    """``Phi(x)`` and ``phi(x)``: distribution function and density of the normal distribution."""
    tail, density = normal_tail(x)
    return (x > 0.0).where(1.0 - tail, tail), density


def erf(x: Lanes) -> Lanes:
    """Error function, absolute error 5e-7."""
    tail, _ = normal_tail(x * math.sqrt(2.0))
    return (1.0 - tail * 2.0).with_sign(x)


def _log_ratio(s: Lanes) -> Lanes:
    """``2 artanh(s) = log((1 + s) / (1 - s))`` for |s| <= 1/3, by its series."""
    s2 = s * s
    series = polynomial(s2, tuple(2.0 / (2 * k + 1) for k in range(1, 8)))
    return series * s2 * s + (s + s)


def log1p_unit(u: Lanes) -> Lanes:
    """``log(1 + u)`` for 0 <= u <= 1, error 3e-7."""
    return _log_ratio(u / (u + 2.0))


def log(x: Lanes) -> Lanes:
    """Natural logarithm of normal numbers, error 2e-7: ``e ln 2 + log(m)`` with ``x = m * 2 ** e``."""
    m, e = x.split()
    large = m > math.sqrt(2.0)
    e, m = large.where(e + 1.0, e), large.where(m * 0.5, m)
    y = _log_ratio((m - 1.0) / (m + 1.0)) + e * _LN2_LOW + e * _LN2_HIGH
    y = x.equals(math.inf).where(x, y)
    y = x.equals(0.0).where(-math.inf, y)
    y = (x < 0.0).where(math.nan, y)
    return x.is_nan().where(x, y)
