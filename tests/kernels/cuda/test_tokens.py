"""Tokens of the GPU against the textbook's, in the simulator."""

from __future__ import annotations

import pytest

from kernels import reference
from kernels.cuda import tokens
from tests.kernels.cuda.helpers import Output, assert_agree
from tests.kernels.helpers import normal

pytestmark = pytest.mark.usefixtures("small_blocks")


@pytest.mark.parametrize(("n", "t", "d"), [(1, 1, 1), (3, 4, 7)])
def test_a_token_in_front_agrees_both_ways(n, t, d):
    assert_agree("prepend_token_forward", tokens, reference, normal(0, n, t, d), normal(1, d), Output(n, t + 1, d))
    dy = normal(2, n, t + 1, d)
    assert_agree("prepend_token_backward", tokens, reference, dy, Output(n, t, d), Output(d), tolerance=1e-6)
    assert_agree("prepend_token_backward", tokens, reference, dy, None, Output(d), tolerance=1e-6)
    assert_agree("prepend_token_backward", tokens, reference, dy, Output(n, t, d), None, tolerance=0.0)
