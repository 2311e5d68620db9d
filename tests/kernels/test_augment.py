"""The fast batch of images against the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import cpu
from tests.kernels.helpers import FEW, SEEDS, blank, check

SIZES = st.tuples(st.integers(1, 13), st.integers(1, 13), st.sampled_from([1, 2, 3, 4, 6]))


def batch(seed, size, count=5, farthest=4):
    """Images, index, output, mean, inverse deviation, shift and flip."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (7, *size)).astype(np.uint8)
    mean, inv_std = rng.random(size[2], np.float32), 1 + rng.random(size[2], np.float32)
    shift = rng.integers(-farthest, farthest + 1, (count, 2))
    return [images, rng.integers(0, 7, count), blank(count, *size), mean, inv_std, shift, rng.random(count) < 0.5]


@FEW
@given(size=SIZES, seed=SEEDS, farthest=st.sampled_from([0, 1, 4, 20]))
def test_batches_agree_for_any_crop_and_flip(size, seed, farthest):
    check("gather_images", *batch(seed, size, farthest=farthest), outputs=[2], tolerance=1e-6)


def test_images_may_be_read_only():
    arguments = batch(0, (5, 6, 3))
    arguments[0].flags.writeable = False
    cpu.gather_images(*arguments)
    assert np.isfinite(arguments[2]).all()


@pytest.mark.parametrize("index", [-1, 7])
def test_images_that_do_not_exist_are_refused(index):
    arguments = batch(0, (5, 6, 3))
    arguments[1][3] = index
    with pytest.raises(ValueError, match=f"image {index} does not lie in 0 ... 6"):
        cpu.gather_images(*arguments)


def test_arrays_that_do_not_fit_are_refused():
    images, index, y, *rest = batch(0, (5, 6, 3))
    with pytest.raises(ValueError, match="do not fit"):
        cpu.gather_images(images, index, y[:, :4].copy(), *rest)
    with pytest.raises(ValueError, match="do not fit"):
        cpu.gather_images(images, index[:-1], y, *rest)
