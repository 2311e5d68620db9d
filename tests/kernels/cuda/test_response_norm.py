"""Local response normalisation of the GPU against the textbook's, in the simulator."""

from __future__ import annotations

import pytest

from kernels import reference
from kernels.cuda import response_norm
from tests.kernels.cuda.helpers import Output, assert_agree, on_gpu
from tests.kernels.helpers import normal

pytestmark = pytest.mark.usefixtures("small_blocks")


@pytest.mark.parametrize(("shape", "size"), [((1, 1), 5), ((7, 5), 1), ((7, 5), 4), ((2, 33), 5), ((3, 5), 12)])
def test_both_ways_agree(shape, size):
    x = 3 * normal(0, *shape)
    forward = x, Output(*shape), Output(*shape), size, 0.3, 0.75, 2.0
    assert_agree("local_response_norm_forward", response_norm, reference, *forward)
    _, scale = on_gpu(response_norm.local_response_norm_forward, *forward)
    backward = x, scale, normal(1, *shape), Output(*shape), size, 0.3, 0.75
    assert_agree("local_response_norm_backward", response_norm, reference, *backward)


def test_arrays_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        arguments = normal(0, 2, 3), Output(2, 3), Output(3, 2), 5, 0.3, 0.75, 2.0
        on_gpu(response_norm.local_response_norm_forward, *arguments)
