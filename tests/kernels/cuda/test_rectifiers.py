"""The piecewise linear activations of the GPU against the textbook's, in the simulator."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import reference
from kernels.cuda import rectifiers
from tests.kernels.cuda.helpers import Output, assert_agree, changed_on_gpu, on_gpu
from tests.kernels.helpers import normal

pytestmark = pytest.mark.usefixtures("small_blocks")

#: Name, and the argument (0 the input, 1 the output) that the backward pass reads.
ACTIVATIONS = {"relu": 1, "leaky_relu": 0, "relu6": 1, "hard_sigmoid": 1, "hard_swish": 0}
#: A single float; a few; fewer than a thread's four at the end of two blocks.
SHAPES = [(1,), (3, 2), (2, 5, 19)]


def extra(name):
    return (0.1,) if name == "leaky_relu" else ()


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_forward_and_backward_agree_with_the_textbook(name, shape):
    x, dy = 4 * normal(0, *shape), normal(1, *shape)
    assert_agree(f"{name}_forward", rectifiers, reference, x, Output(*shape), *extra(name), tolerance=1e-6)
    (y,) = on_gpu(getattr(rectifiers, f"{name}_forward"), x, Output(*shape), *extra(name))
    arguments = ((x, y)[ACTIVATIONS[name]], dy, Output(*shape), *extra(name))
    assert_agree(f"{name}_backward", rectifiers, reference, *arguments, tolerance=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_not_a_number_comes_out_where_it_went_in(name):
    x, dy = normal(1, 3, 7), normal(2, 3, 7)
    x[1, 4] = x[2, 6] = dy[0, 3] = np.nan
    (y,) = on_gpu(getattr(rectifiers, f"{name}_forward"), x, Output(3, 7), *extra(name))
    np.testing.assert_array_equal(np.isnan(y), np.isnan(x))
    half = np.full((3, 7), 0.5, np.float32)
    (dx,) = on_gpu(getattr(rectifiers, f"{name}_backward"), half, dy, Output(3, 7), *extra(name))
    np.testing.assert_array_equal(np.isnan(dx), np.isnan(dy))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_huge_inputs_saturate(name):
    x = np.array([-1e30, -200.0, -3.0, -0.0, 0.0, 3.0, 6.0, 1e30], np.float32)
    assert_agree(f"{name}_forward", rectifiers, reference, x, Output(8), *extra(name), tolerance=1e-6)


def test_an_array_may_be_updated_in_place():
    x = normal(3, 13)

    def twice(array):
        rectifiers.activate(array, "none")
        rectifiers.activate(array, "relu")

    (y,) = changed_on_gpu(twice, x)
    np.testing.assert_array_equal(y, np.maximum(x, 0))


def test_empty_arrays_and_arrays_of_different_sizes():
    assert on_gpu(rectifiers.relu_forward, np.zeros((0, 3), np.float32), Output(0, 3))[0].shape == (0, 3)
    with pytest.raises(ValueError, match=r"one size, got \(4,\), \(5,\)"):
        on_gpu(rectifiers.relu_forward, normal(0, 4), Output(5))
