"""The fast dropout against the oracle: the masks are the same, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import cpu
from tests.kernels.helpers import FEW, SEEDS, blank, check, normal

SHAPES = st.lists(st.integers(1, 40), min_size=1, max_size=3).map(tuple)
KEYS = st.integers(-(2**63), 2**64 - 1)


@FEW
@given(
    shape=st.lists(st.integers(1, 40), min_size=1, max_size=3).map(tuple), seed=SEEDS, key=KEYS, rate=st.floats(0, 0.99)
)
def test_forward_and_backward_use_the_mask_of_the_oracle(shape, seed, key, rate):
    x, scale = normal(seed, *shape), 1 / (1 - rate)
    check("dropout_forward", x, blank(*shape), rate, scale, key, outputs=[1], tolerance=1e-6)
    check("dropout_backward", x, blank(*shape), rate, scale, key, outputs=[1], tolerance=1e-6)


def test_large_arrays_agree_on_any_number_of_threads():
    check("dropout_forward", normal(0, 100_003), blank(100_003), 0.4, 1 / 0.6, 2**63 + 12345, outputs=[1])


def test_the_share_of_zeros_is_the_rate_and_keys_give_different_masks():
    ones, masks = np.ones(200_000, np.float32), [blank(200_000) for _ in range(2)]
    for key, mask in enumerate(masks):
        cpu.dropout_forward(ones, mask, 0.3, 1.0, key)
        assert abs((mask == 0).mean() - 0.3) < 0.005
    assert abs((masks[0] == masks[1]).mean() - (0.3**2 + 0.7**2)) < 0.005


@pytest.mark.parametrize("rate", [0.0, 0.999])
def test_not_a_number_is_not_dropped(rate):
    y = blank(40)
    cpu.dropout_forward(np.full(40, np.nan, np.float32), y, rate, 1.0, 5)
    assert np.isnan(y).all()
