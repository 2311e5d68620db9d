"""The elementary functions on eight lanes against NumPy, over their whole range."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numba import njit

from kernels.cpu import vmath
from kernels.cpu.lanes import compiled
from kernels.cpu.simd import address, load, store

_erf = np.vectorize(math.erf)


def applied(formula, x):
    """The formula on an array whose size is a multiple of eight."""
    function = compiled(formula)

    @njit
    def loop(x, y):
        for i in range(0, 4 * x.size, 32):
            store(address(y) + i, function(load(address(x) + i)))

    y = np.full_like(x, np.nan)
    loop(x, y)
    return y


def logistic(x):
    return 1.0 / (1.0 + np.exp(-x))


@pytest.mark.parametrize(
    ("formula", "expected", "low", "high"),
    [
        (vmath.exp, np.exp, -86.9, 88.7),
        (vmath.exp_falling, np.exp, -86.9, 0.0),
        (vmath.sigmoid, logistic, -80.0, 80.0),
        (vmath.tanh, np.tanh, -12.0, 12.0),
        (vmath.tanh, np.tanh, -0.01, 0.01),
        (vmath.log, np.log, 1e-3, 1e3),
        (vmath.log, np.log, 0.99, 1.01),
        (vmath.log1p_unit, np.log1p, 0.0, 1.0),
    ],
)
def test_relative_errors_are_a_few_units_in_the_last_place(formula, expected, low, high):
    x = np.linspace(low, high, 1 << 16).astype(np.float32)
    exact = expected(x.astype(np.float64))
    error = np.abs(applied(formula, x) - exact) / np.maximum(np.abs(exact), 1e-30)
    assert error.max() < 4e-7


def test_the_error_function_is_good_to_a_millionth():
    x = np.linspace(-6, 6, 1 << 16).astype(np.float32)
    assert np.abs(applied(vmath.erf, x) - _erf(x.astype(np.float64))).max() < 1e-6


@pytest.mark.parametrize(
    ("formula", "values"),
    [
        (vmath.exp, [math.nan, math.inf, 0.0, 1.0, 1.0, math.inf, 0.0, math.inf]),
        (vmath.sigmoid, [math.nan, 1.0, 0.0, 0.5, 0.5, 1.0, 0.0, 1.0]),
        (vmath.tanh, [math.nan, 1.0, -1.0, 0.0, -0.0, 1.0, -1.0, 1.0]),
        (vmath.erf, [math.nan, 1.0, -1.0, 0.0, -0.0, 1.0, -1.0, 1.0]),
    ],
)
def test_special_values(formula, values):
    x = np.array([math.nan, math.inf, -math.inf, 0.0, -0.0, 200.0, -200.0, 3e38], np.float32)
    np.testing.assert_array_equal(applied(formula, x), np.array(values, np.float32))


def test_special_values_of_the_falling_exponential():
    x = np.array([math.nan, -math.inf, -3e38, -200.0, -88.0, -0.0, 0.0, -1e-30], np.float32)
    np.testing.assert_array_equal(applied(vmath.exp_falling, x), [math.nan, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0])


def test_special_values_of_the_logarithm():
    x = np.array([math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 3e38], np.float32)
    expected = [math.nan, math.inf, math.nan, -math.inf, -math.inf, 0.0, math.nan, math.log(np.float32(3e38))]
    np.testing.assert_allclose(applied(vmath.log, x), expected, rtol=1e-6)
