"""The dropout of the GPU against the textbook's, in the simulator: the masks are the same, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import reference
from kernels.cuda import dropout
from tests.kernels.cuda.helpers import Output, assert_agree, changed_on_gpu, on_gpu
from tests.kernels.helpers import normal

# Where a GPU overflows without a word, NumPy warns.
pytestmark = [pytest.mark.usefixtures("small_blocks"), pytest.mark.filterwarnings("ignore::RuntimeWarning")]


@pytest.mark.parametrize("name", ["dropout", "stochastic_depth"])
@pytest.mark.parametrize(("shape", "key", "rate"), [((1,), 0, 0.0), ((9, 3, 3), 2**63 + 12345, 0.4), ((70,), -5, 0.99)])
def test_forward_and_backward_use_the_mask_of_the_textbook(name, shape, key, rate):
    arguments = (normal(0, *shape), Output(*shape), rate, 1 / (1 - rate), key)
    assert_agree(f"{name}_forward", dropout, reference, *arguments, tolerance=1e-6)
    assert_agree(f"{name}_backward", dropout, reference, *arguments, tolerance=1e-6)


@pytest.mark.parametrize("rate", [0.0, 0.999])
def test_not_a_number_is_not_dropped(rate):
    (y,) = on_gpu(dropout.dropout_forward, np.full(13, np.nan, np.float32), Output(13), rate, 1.0, 5)
    assert np.isnan(y).all()


def test_stochastic_depth_keeps_or_drops_whole_examples_also_in_place():
    def in_place(x):
        dropout.stochastic_depth_forward(x, x, 0.5, 2.0, 3)

    (y,) = changed_on_gpu(in_place, np.ones((20, 2, 3), np.float32))
    kept = y[:, 0, 0] > 0
    np.testing.assert_array_equal(y, np.broadcast_to(np.where(kept, 2, 0)[:, None, None], y.shape))
    assert 0 < kept.sum() < 20
