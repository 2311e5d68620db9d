"""Convolution with filters of their own for each example: the fast form against the oracle."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import reference
from tests.kernels.helpers import blank, check, normal
from tests.kernels.test_reference_gradients import check_gradient, contract

#: Image, filters of one example, output, stride, padding, dilation, groups.
CASES = {
    "3x3": ((3, 7, 9, 5), (3, 3, 5, 8), (7, 9), (1, 1), (1, 1), (1, 1), 1),
    "groups, stride and dilation": ((2, 9, 8, 6), (3, 2, 3, 4), (3, 5), (2, 2), (0, 2), (2, 2), 2),
    "depthwise": ((4, 6, 6, 16), (3, 3, 1, 16), (6, 6), (1, 1), (1, 1), (1, 1), 16),
}


def arrays_of(image, filters, size):
    """x, w, b and dy."""
    n, outputs = image[0], filters[3]
    return normal(0, *image), normal(1, n, *filters), normal(2, n, outputs), normal(3, n, *size, outputs)


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_the_fast_form_agrees_in_all_gradients(name, with_bias):
    *shapes, stride, padding, dilation, groups = CASES[name]
    x, w, b, dy = arrays_of(*shapes)
    how, bias = (stride, padding, dilation, groups), b if with_bias else None
    check("conv2d_each_forward", x, w, bias, blank(*dy.shape), *how, outputs=[3])
    check("conv2d_each_backward_data", dy, w, blank(*x.shape), *how, outputs=[2])
    db, outputs = (blank(*b.shape), [2, 3]) if with_bias else (None, [2])
    check("conv2d_each_backward_weights", x, dy, blank(*w.shape), db, *how, outputs=outputs)


def test_examples_with_the_same_filters_are_an_ordinary_convolution():
    *shapes, stride, padding, dilation, groups = CASES["3x3"]
    x, w, b, dy = arrays_of(*shapes)
    w[...], b[...], how = w[0], b[0], (stride, padding, dilation, groups)
    y, expected = blank(*dy.shape), blank(*dy.shape)
    reference.conv2d_each_forward(x, w, b, y, *how)
    reference.conv2d_forward(x, w[0], b[0], expected, *how)
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_gradients_are_derivatives():
    *shapes, stride, padding, dilation, groups = CASES["groups, stride and dilation"]
    x, w, b, dy = (each.astype(np.float64) for each in arrays_of(*shapes))
    how, rng, forward = (stride, padding, dilation, groups), np.random.default_rng(0), reference.conv2d_each_forward
    dx, dw, db = (blank(*each.shape, dtype=np.float64) for each in (x, w, b))
    reference.conv2d_each_backward_data(dy, w, dx, *how)
    reference.conv2d_each_backward_weights(x, dy, dw, db, *how)
    check_gradient(contract(lambda x, y: forward(x, w, b, y, *how), dy), x, dx, rng)
    check_gradient(contract(lambda w, y: forward(x, w, b, y, *how), dy), w, dw, rng)
    check_gradient(contract(lambda b, y: forward(x, w, b, y, *how), dy), b, db, rng)
