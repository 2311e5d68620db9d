"""The smooth activations of the GPU against the textbook's, in the simulator."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import reference
from kernels.cuda import smooth
from tests.kernels.cuda.helpers import Output, assert_agree, on_gpu
from tests.kernels.helpers import normal

# Where a GPU overflows without a word, NumPy warns.
pytestmark = [pytest.mark.usefixtures("small_blocks"), pytest.mark.filterwarnings("ignore::RuntimeWarning")]

#: Name, and the argument (0 the input, 1 the output) that the backward pass reads.
ACTIVATIONS = {"sigmoid": 1, "tanh": 1, "gelu": 0, "silu": 0}


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize(("shape", "spread"), [((1,), 1.0), ((3, 3), 30.0), ((2, 5, 19), 3.0)])
def test_forward_and_backward_agree_with_the_textbook(name, shape, spread):
    x, dy = spread * normal(0, *shape), normal(1, *shape)
    assert_agree(f"{name}_forward", smooth, reference, x, Output(*shape), tolerance=1e-6)
    (y,) = on_gpu(getattr(smooth, f"{name}_forward"), x, Output(*shape))
    arguments = ((x, y)[ACTIVATIONS[name]], dy, Output(*shape))
    assert_agree(f"{name}_backward", smooth, reference, *arguments)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_not_a_number_comes_out_where_it_went_in(name):
    x, dy = normal(1, 3, 7), normal(2, 3, 7)
    x[1, 4] = x[2, 6] = dy[0, 3] = np.nan
    (y,) = on_gpu(getattr(smooth, f"{name}_forward"), x, Output(3, 7))
    np.testing.assert_array_equal(np.isnan(y), np.isnan(x))
    half = np.full((3, 7), 0.5, np.float32)
    (dx,) = on_gpu(getattr(smooth, f"{name}_backward"), half, dy, Output(3, 7))
    np.testing.assert_array_equal(np.isnan(dx), np.isnan(dy))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_huge_inputs_saturate_without_overflow(name):
    x = np.array([-1e30, -200.0, -90.0, -0.0, 0.0, 90.0, 200.0, 1e30], np.float32)
    assert_agree(f"{name}_forward", smooth, reference, x, Output(8), tolerance=1e-6)
    saved = np.clip(x, 0, 1) if ACTIVATIONS[name] else x
    assert_agree(f"{name}_backward", smooth, reference, saved, normal(0, 8), Output(8))


def test_the_lower_tail_of_gelu_keeps_its_digits():
    x, expected = np.array([-3.0, -5.0, -8.0], np.float32), np.empty(3)
    (y,) = on_gpu(smooth.gelu_forward, x, Output(3))
    reference.gelu_forward(x, expected)
    np.testing.assert_allclose(y[:2], expected[:2], rtol=1e-5)
    assert y[2] < 0
