"""Tiles of depthwise convolutions of different widths do the same."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import cpu
from kernels.cpu import depthwise_rows
from tests.kernels.guarded import Guarded


@pytest.fixture
def one_vector(monkeypatch):
    """Call to have all arrays treated like those beyond the caches."""

    def narrow():
        monkeypatch.setattr(depthwise_rows, "ONE_VECTOR_FLOATS", 0)
        depthwise_rows._dot_plan.cache_clear()

    yield narrow
    depthwise_rows._dot_plan.cache_clear()


def _both_ways(x, dy, w, *geometry):
    """Outputs and data gradients, and that nothing else was written."""
    y, dx = Guarded.unwritten(dy.shape), Guarded.unwritten(x.shape)
    cpu.conv2d_forward(x, w, None, y.array, *geometry)
    cpu.conv2d_backward_data(dy, w, dx.array, *geometry)
    assert y.is_intact()
    assert dx.is_intact()
    return y.array, dx.array


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("channels", [8, 10, 16, 24, 26, 58, 130])
def test_tiles_of_one_vector_give_the_same_bits_as_wider_ones(channels, kernel, stride, one_vector):
    random = np.random.default_rng(channels)
    x = random.normal(size=(2, 10, 12, channels)).astype(np.float32)
    dy = random.normal(size=(2, 10 // stride, 12 // stride, channels)).astype(np.float32)
    w = random.normal(size=(kernel, kernel, 1, channels)).astype(np.float32)
    geometry = (stride, stride), (kernel // 2, kernel // 2), (1, 1), channels
    wide = _both_ways(x, dy, w, *geometry)
    one_vector()
    for each, expected in zip(_both_ways(x, dy, w, *geometry), wide, strict=True):
        np.testing.assert_array_equal(each, expected)
