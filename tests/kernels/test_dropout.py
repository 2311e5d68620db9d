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
@given(shape=SHAPES, seed=SEEDS, key=KEYS, rate=st.floats(0, 0.99))
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


@FEW
@given(shape=SHAPES, seed=SEEDS, key=KEYS, rate=st.floats(0, 0.99))
def test_stochastic_depth_drops_the_examples_that_the_oracle_drops(shape, seed, key, rate):
    x, scale = normal(seed, *shape), 1 / (1 - rate)
    check("stochastic_depth_forward", x, blank(*shape), rate, scale, key, outputs=[1], tolerance=1e-6)
    check("stochastic_depth_backward", x, blank(*shape), rate, scale, key, outputs=[1], tolerance=1e-6)


def test_stochastic_depth_keeps_or_drops_whole_examples_also_in_place():
    x, y = np.ones((400, 9, 30), np.float32), blank(400, 9, 30)
    cpu.stochastic_depth_forward(x, y, 0.25, 1 / 0.75, 3)
    kept = y[:, 0, 0] > 0
    np.testing.assert_allclose(y, np.broadcast_to(np.where(kept, 1 / 0.75, 0)[:, None, None], y.shape), rtol=1e-6)
    assert 0.65 < kept.mean() < 0.85
    cpu.stochastic_depth_forward(x, x, 0.25, 1 / 0.75, 3)
    np.testing.assert_array_equal(x, y)
