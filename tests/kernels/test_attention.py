"""The fast attention, and what else works on tokens, against the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import cpu, reference
from tests.kernels.helpers import FEW, SEEDS, assert_close, blank, check, normal, threads


def check_both_ways(images, queries, keys, heads, depth, width, softmax, seed):
    q, k, v = (normal(seed + i, images, *shape) for i, shape in enumerate(
        [(queries, heads * depth), (keys, heads * depth), (keys, heads * width)]
    ))  # fmt: skip
    dy, how = normal(seed + 3, images, queries, heads * width), (heads, depth**-0.5, softmax)
    weights = blank(images, heads, queries, keys)
    _, weights = check("attention_forward", q, k, v, blank(*dy.shape), weights, *how, outputs=[3, 4], tolerance=1e-5)
    gradients = [blank(*each.shape) for each in (q, k, v)]
    # Of one key the weight is 1, whatever the query: the gradient of the softmax is nothing but rounding.
    check("attention_backward", q, k, v, weights, dy, *gradients, *how, outputs=[5, 6, 7], tolerance=2e-5, scale=1.0)


@FEW
@given(
    images=st.integers(1, 2), queries=st.sampled_from([1, 5, 6, 16, 49, 100]), keys=st.sampled_from([1, 7, 16, 33, 50]),
    heads=st.integers(1, 3), depth=st.sampled_from([1, 6, 16, 33]), width=st.sampled_from([1, 8, 16, 20]),
    softmax=st.booleans(), seed=SEEDS,
)  # fmt: skip
def test_attention_agrees_both_ways(images, queries, keys, heads, depth, width, softmax, seed):
    check_both_ways(images, queries, keys, heads, depth, width, softmax, seed)


@pytest.mark.parametrize("softmax", [True, False])
def test_large_attention_agrees_on_any_number_of_threads(softmax):
    check_both_ways(2, 197, 211, 3, 64, 48, softmax, 0)


@pytest.mark.parametrize("count", [1, 2])
def test_queries_keys_and_values_may_lie_in_one_array(count):
    joint, dy = normal(0, 2, 30, 3 * 24), normal(1, 2, 30, 24)
    expected_y, expected_weights, expected = blank(2, 30, 24), blank(2, 4, 30, 30), blank(2, 30, 72)
    y, weights, gradient = blank(2, 30, 24), blank(2, 4, 30, 30), blank(2, 30, 72)
    for kernels, out, shares, slopes in (
        (reference, expected_y, expected_weights, expected), (cpu, y, weights, gradient),
    ):  # fmt: skip
        with threads(count):
            kernels.attention_forward(*np.split(joint, 3, axis=2), out, shares, 4, 0.4, True)
            parts = np.split(slopes, 3, axis=2)
            kernels.attention_backward(*np.split(joint, 3, axis=2), shares, dy, *parts, 4, 0.4, True)
    for ours, theirs in ((y, expected_y), (weights, expected_weights), (gradient, expected)):
        assert_close(ours, theirs, 1e-5)


def test_a_gradient_that_nobody_wants_is_not_computed():
    q, k, v, dy = normal(0, 2, 7, 6), normal(1, 2, 9, 6), normal(2, 2, 9, 4), normal(3, 2, 7, 4)
    weights = np.full((2, 1, 7, 9), 1 / 9, np.float32)
    for place, shape in enumerate((q.shape, k.shape, v.shape)):
        gradients = [None] * 3
        gradients[place] = blank(*shape)
        check("attention_backward", q, k, v, weights, dy, *gradients, 1, 1.0, True, outputs=[5 + place])


def test_not_a_number_stays_in_its_example():
    x, y = normal(0, 3, 10, 16), blank(3, 10, 16)
    x[1, 4, 2] = np.nan
    cpu.attention_forward(x, x, x, y, blank(3, 2, 10, 10), 2, 1.0, True)
    assert np.isnan(y[1]).any() and np.isfinite(y[::2]).all()


def test_shapes_that_do_not_fit_are_refused():
    x, weights = normal(0, 1, 4, 6), blank(1, 4, 4, 4)
    with pytest.raises(ValueError, match="4 heads"):
        cpu.attention_forward(x, x, x, x, weights, 4, 1.0, True)
    with pytest.raises(ValueError, match="side by side"):
        wide = normal(0, 1, 4, 12)[:, :, ::2]
        cpu.attention_forward(wide, x, x, x.copy(), blank(1, 1, 4, 4), 1, 1.0, True)


@FEW
@given(images=st.integers(1, 4), tokens=st.sampled_from([1, 5, 200]), depth=st.sampled_from([1, 7, 130]), seed=SEEDS)
def test_a_token_is_put_in_front_and_taken_off(images, tokens, depth, seed):
    x, token = normal(seed, images, tokens, depth), normal(seed + 1, depth)
    (y,) = check("prepend_token_forward", x, token, blank(images, tokens + 1, depth), outputs=[2], tolerance=0.0)
    outputs = blank(*x.shape), blank(depth)
    check("prepend_token_backward", y, *outputs, outputs=[1, 2], tolerance=1e-6)
    check("prepend_token_backward", y, None, outputs[1], outputs=[2], tolerance=1e-6)
