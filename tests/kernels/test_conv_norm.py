"""Convolution with the batch normalisation behind it against the textbook."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import cpu, reference
from tests.kernels.guarded import Guarded, assert_matches
from tests.kernels.helpers import threads
from tests.kernels.test_conv import CASES, THREADED, Case, algorithms, arrays, cases

ACTIVATIONS = ["none", "relu", "relu6"]
EPS = 1e-5


def statistics(channels, seed=0):
    """gamma, beta, mean and variance, such that ReLU6 cuts at both ends."""
    random = np.random.default_rng(seed + 7)
    gamma, beta, mean, spread = random.standard_normal((4, channels)).astype(np.float32)
    return 3 * gamma, 2 + beta, mean, spread**2 + np.float32(0.5)


def check(case: Case, activation: str, with_bias: bool = True, seed: int = 0):
    """Every algorithm agrees with the textbook, and nothing outside of the arrays is used."""
    x, w, b, _ = (Guarded(values) for values in arrays(case, seed))
    norm = [Guarded(values) for values in statistics(case.outputs, seed)]
    bias, expected = b.array if with_bias else None, np.empty(case.y_shape)
    inputs = x.array, w.array, bias, *(each.array for each in norm)
    reference.conv2d_norm_forward(*inputs, expected, *case.geometry, EPS)
    largest = float(np.abs(expected).max())  # of the sums: what the activation cuts off does not make them exacter
    reference.conv2d_norm_forward(*inputs, expected, *case.geometry, EPS, activation=activation)
    for algorithm in algorithms(case, ["forward"]):
        y = Guarded.unwritten(case.y_shape)
        cpu.conv2d_norm_forward(*inputs, y.array, *case.geometry, EPS, algorithm, activation)
        assert_matches(y, expected, 1e-5 * largest / max(float(np.abs(expected).max()), 1e-3))


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_textbook(name):
    check(CASES[name], "relu6")


@settings(deadline=None, max_examples=40)
@given(cases(), st.sampled_from(ACTIVATIONS), st.booleans())
def test_agrees_with_the_textbook_for_any_geometry(case, activation, with_bias):
    check(case, activation, with_bias)


@pytest.mark.parametrize("name", THREADED)
def test_has_the_same_bits_on_one_thread_and_on_all(name):
    case = CASES[name]
    x, w, b, _ = arrays(case)
    norm, together, alone = statistics(case.outputs), *(np.empty(case.y_shape, np.float32) for _ in range(2))
    cpu.conv2d_norm_forward(x, w, b, *norm, together, *case.geometry, EPS, activation="relu")
    with threads(1):
        cpu.conv2d_norm_forward(x, w, b, *norm, alone, *case.geometry, EPS, activation="relu")
    assert together.tobytes() == alone.tobytes()


@pytest.mark.parametrize("name", ["one panel", "many tiles", "stride two", "depthwise, strided", "depthwise 5x5"])
def test_not_a_number_survives_the_activation(name):
    case = CASES[name]
    x, w, b, _ = arrays(case)
    y = np.empty(case.y_shape, np.float32)
    x[1, 4, 4] = np.nan
    cpu.conv2d_norm_forward(x, w, b, *statistics(case.outputs), y, *case.geometry, EPS, activation="relu6")
    assert np.isnan(y[1]).any()
    assert np.isfinite(y[0]).all()
