"""Elementary functions of one float32 number. Constants are float32: with a float64 one all would be float64."""

from __future__ import annotations

import math

import numpy as np

from kernels.cuda.jit import inner

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_ROOT_HALF = np.float32(math.sqrt(0.5))
_PEAK = np.float32(1.0 / math.sqrt(2.0 * math.pi))


@inner
def clamp(x, low, high):
    """`x` limited to [low, high]; not-a-number stays."""
    if x < low:
        return low
    return high if x > high else x


@inner
def sigmoid(x):
    """``1 / (1 + exp(-x))``; the exponential is that of -|x|, which never overflows."""
    e = math.exp(-abs(x))
    y = _ONE / (_ONE + e)
    return y if x >= _ZERO else e * y


@inner
def softplus(x):
    """``log(1 + exp(x))``, of which the exponential never overflows; not-a-number stays."""
    positive = _ZERO if x <= _ZERO else x
    return positive + math.log1p(math.exp(-abs(x)))


@inner
def normal_cdf(x):
    """Normal distribution function, without cancellation where it is small."""
    return _HALF * math.erfc(-x * _ROOT_HALF)


@inner
def normal_density(x):
    """Density of the normal distribution."""
    return _PEAK * math.exp(-_HALF * x * x)


# --- formulas of maps (:mod:`kernels.cuda.maps`) -------------------------------------------------


def add(a, b, parameter):
    """``a + b``."""
    return a + b


def multiply(a, b, parameter):
    """``a b``."""
    return a * b
