"""The fast activations against the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import cpu
from tests.kernels.helpers import FEW, LARGE_IMAGE, SEEDS, blank, check, normal

#: Name, and the argument (0 the input, 1 the output) that the backward pass reads.
ACTIVATIONS = {
    "sigmoid": 1,
    "tanh": 1,
    "relu": 1,
    "leaky_relu": 0,
    "relu6": 1,
    "gelu": 0,
    "silu": 0,
    "hard_sigmoid": 1,
    "hard_swish": 0,
    "softmax": 1,
}
SHAPES = st.lists(st.sampled_from([1, 2, 3, 6, 7, 8, 9, 10, 24, 130]), min_size=1, max_size=3).map(tuple)
#: Of values about 1 or larger.
CLOSE = {"tolerance": 2e-6, "scale": 1.0}


def extra(name):
    return (0.1,) if name == "leaky_relu" else ()


@pytest.mark.parametrize("name", ACTIVATIONS)
@FEW
@given(shape=SHAPES, seed=SEEDS, spread=st.sampled_from([0.1, 1.0, 4.0, 30.0]))
def test_forward_and_backward_agree_with_the_oracle(name, shape, seed, spread):
    x = spread * normal(seed, *shape)
    (y,) = check(f"{name}_forward", x, blank(*shape), *extra(name), outputs=[1], **CLOSE)
    dy, saved = normal(seed + 1, *shape), (x, y)[ACTIVATIONS[name]]
    check(f"{name}_backward", saved, dy, blank(*shape), *extra(name), outputs=[2], **CLOSE)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_large_arrays_agree_on_any_number_of_threads(name):
    x = normal(0, *LARGE_IMAGE)
    (y,) = check(f"{name}_forward", x, blank(*x.shape), *extra(name), outputs=[1], **CLOSE)
    saved = (x, y)[ACTIVATIONS[name]]
    check(f"{name}_backward", saved, x[::-1].copy(), blank(*x.shape), *extra(name), outputs=[2], **CLOSE)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_not_a_number_comes_out_where_it_went_in(name):
    x = normal(1, 3, 21)
    x[1, 4] = x[2, 20] = np.nan
    y = blank(3, 21)
    getattr(cpu, f"{name}_forward")(x, y, *extra(name))
    expected = np.isnan(x) if name != "softmax" else np.isnan(x).any(axis=1, keepdims=True) & np.full(x.shape, True)
    np.testing.assert_array_equal(np.isnan(y), expected)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradients_that_are_not_a_number_stay_so(name):
    y, dy, dx = np.full((2, 19), 0.5, np.float32), normal(2, 2, 19), blank(2, 19)
    dy[0, 3] = np.nan
    getattr(cpu, f"{name}_backward")(y, dy, dx, *extra(name))
    assert np.isnan(dx[0, 3])
    assert np.isfinite(dx[1]).all()


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "softmax"])
def test_huge_inputs_saturate_without_overflow(name):
    x = np.array([-1e30, -200.0, -90.0, -0.0, 0.0, 90.0, 200.0, 1e30], np.float32)
    check(f"{name}_forward", x, blank(8), *extra(name), outputs=[1])


def test_softmax_survives_logits_beyond_the_range_of_the_exponential():
    x = np.array([[1000.0, 999.0, -1000.0], [-1e4, -1e4 + 1, -np.inf]], np.float32)
    check("softmax_forward", x, blank(2, 3), outputs=[1], **CLOSE)


def test_arrays_may_be_updated_in_place():
    x = normal(3, 1003)
    expected = np.maximum(x, 0)
    cpu.relu_forward(x, x)
    np.testing.assert_array_equal(x, expected)


def test_arrays_that_a_flat_view_would_copy_are_refused():
    x = normal(4, 6, 8)
    with pytest.raises(ValueError, match="C-contiguous"):
        cpu.relu_forward(x.T, blank(8, 6))
    with pytest.raises(ValueError, match="C-contiguous"):
        cpu.softmax_forward(x, blank(8, 6).T)


@FEW
@given(rows=st.sampled_from([1, 7, 900]), branches=st.integers(1, 4), width=st.sampled_from([1, 3, 8, 21]), seed=SEEDS)
def test_softmax_across_branches_agrees_both_ways(rows, branches, width, seed):
    x = 4 * normal(seed, rows, branches * width)
    (y,) = check("branch_softmax_forward", x, blank(*x.shape), branches, outputs=[1], **CLOSE)
    check("branch_softmax_backward", y, normal(seed + 1, *x.shape), blank(*x.shape), branches, outputs=[2], **CLOSE)


def test_softmax_across_branches_keeps_what_is_not_a_number_in_its_channel():
    x, y = normal(0, 2, 12), blank(2, 12)
    x[1, 5] = np.nan
    cpu.branch_softmax_forward(x, y, 3)
    expected = np.zeros((2, 12), bool)
    expected[1, 1::4] = True
    np.testing.assert_array_equal(np.isnan(y), expected)
    with pytest.raises(ValueError, match="5 branches"):
        cpu.branch_softmax_forward(x, y, 5)
