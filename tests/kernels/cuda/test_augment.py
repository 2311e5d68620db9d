"""Batches of images of the GPU against the textbook's, in the simulator."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import reference
from kernels.cuda import augment
from tests.kernels.cuda.helpers import Output, assert_agree, on_gpu

pytestmark = pytest.mark.usefixtures("small_blocks")


def batch(size, farthest=2, dtype=np.uint8, count=3):
    """Images, index, output, mean, inverse deviation, shift and flip."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, *size)).astype(dtype)
    mean, inv_std = rng.random(size[2], np.float32), 1 + rng.random(size[2], np.float32)
    shift = rng.integers(-farthest, farthest + 1, (count, 2))
    flip = np.arange(count) % 2 == 0
    return [images, rng.integers(0, 4, count), Output(count, *size), mean, inv_std, shift, flip]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize(("size", "farthest"), [((5, 6, 3), 0), ((5, 6, 3), 2), ((4, 3, 1), 6), ((1, 1, 5), 1)])
def test_batches_agree_for_any_crop_and_flip(size, farthest, dtype):
    assert_agree("gather_images", augment, reference, *batch(size, farthest, dtype), tolerance=1e-6)


@pytest.mark.parametrize("index", [-1, 4])
def test_images_that_do_not_exist_are_refused(index):
    arguments = batch((2, 3, 1))
    arguments[1][2] = index
    with pytest.raises(ValueError, match=f"image {index} does not lie in 0 ... 3"):
        on_gpu(augment.gather_images, *arguments)


def test_arrays_that_do_not_fit_are_refused():
    images, index, y, *rest = batch((2, 3, 1))
    with pytest.raises(ValueError, match="do not fit"):
        on_gpu(augment.gather_images, images, index, Output(3, 2, 2, 1), *rest)
    with pytest.raises(ValueError, match="do not fit"):
        on_gpu(augment.gather_images, images, index[:-1].copy(), y, *rest)
    with pytest.raises(ValueError, match="uint8 or float32"):
        on_gpu(augment.gather_images, images.astype(np.int32), index, y, *rest)
