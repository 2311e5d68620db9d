"""The fast local response normalisation against the oracle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import cpu
from tests.kernels.helpers import CHANNELS, FEW, SEEDS, blank, check, normal


def check_both_ways(rows, channels, size, seed, alpha=0.7, beta=0.75, k=1.0):
    x = normal(seed, rows, channels)
    outputs = blank(*x.shape), blank(*x.shape)
    _, scale = check("local_response_norm_forward", x, *outputs, size, alpha, beta, k, outputs=[1, 2], tolerance=2e-6)
    dy = normal(seed + 1, *x.shape)
    check("local_response_norm_backward", x, scale, dy, blank(*x.shape), size, alpha, beta, outputs=[3], tolerance=4e-6)


@FEW
@given(rows=st.sampled_from([1, 5, 90]), channels=CHANNELS, size=st.integers(1, 9), seed=SEEDS)
def test_it_agrees_both_ways_also_where_the_window_is_wider_than_the_image(rows, channels, size, seed):
    check_both_ways(rows, channels, size, seed)


def test_large_arrays_agree_on_any_number_of_threads():
    check_both_ways(5000, 33, 5, 0, 1e-4, 0.5, 2.0)


def test_a_window_of_no_channels_is_refused():
    with pytest.raises(ValueError, match="a window"):
        cpu.local_response_norm_forward(blank(2, 3), blank(2, 3), blank(2, 3), 0, 1.0, 1.0, 1.0)
