"""The fast deformable convolution against the oracle, which is compared with PyTorch's bilinear sampling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import cpu, reference
from tests.kernels.helpers import FEW, SEEDS, blank, check, normal
from tests.kernels.test_reference_gradients import check_gradient


@dataclass
class Case:
    """One deformable convolution."""

    images: int
    size: tuple[int, int]
    depth: int
    width: int
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    offset_groups: int = 1
    masked: bool = True
    spread: float = 2.0

    @property
    def how(self):
        return self.stride, self.padding, self.dilation, self.groups

    @property
    def output_size(self):
        axes = zip(self.size, self.padding, self.dilation, self.kernel, self.stride, strict=True)
        return tuple((size + 2 * p - d * (k - 1) - 1) // s + 1 for size, p, d, k, s in axes)

    def inputs(self, seed):
        """x, offset, mask, w and dy."""
        pixels, taps = (self.images, *self.output_size), self.offset_groups * self.kernel[0] * self.kernel[1]
        x = normal(seed, self.images, *self.size, self.depth * self.groups * self.offset_groups)
        offset = self.spread * normal(seed + 1, *pixels, 2 * taps)
        mask = normal(seed + 2, *pixels, taps) if self.masked else None
        w = normal(seed + 3, *self.kernel, self.depth * self.offset_groups, self.width * self.groups)
        return x, offset, mask, w, normal(seed + 4, *pixels, self.width * self.groups)


def check_all(case: Case, seed: int):
    x, offset, mask, w, dy = case.inputs(seed)
    b = normal(seed + 5, dy.shape[3])
    check("deform_conv2d_forward", x, offset, mask, w, b, blank(*dy.shape), *case.how, outputs=[5], tolerance=1e-5)
    check("deform_conv2d_forward", x, offset, mask, w, None, blank(*dy.shape), *case.how, outputs=[5], tolerance=1e-5)
    slopes = blank(*x.shape), blank(*offset.shape), None if mask is None else blank(*mask.shape)
    wanted = [5, 6] if mask is None else [5, 6, 7]
    how = {"tolerance": 2e-5, "scale": 1.0}
    check("deform_conv2d_backward_data", x, offset, mask, w, dy, *slopes, *case.how, outputs=wanted, **how)
    slopes = blank(*w.shape), blank(*b.shape)
    check("deform_conv2d_backward_weights", x, offset, mask, dy, *slopes, *case.how, outputs=[4, 5], **how)


PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))
CASES = st.builds(
    Case, st.integers(1, 2), st.tuples(st.integers(5, 9), st.integers(5, 9)), st.sampled_from([1, 2, 5, 8]),
    st.sampled_from([1, 3, 8, 17]), PAIRS, PAIRS, st.tuples(*[st.integers(0, 2)] * 2),
    st.tuples(*[st.integers(1, 2)] * 2),
    st.sampled_from([1, 2, 3]), st.sampled_from([1, 2]), st.booleans(), st.sampled_from([0.3, 2.0, 20.0]),
)  # fmt: skip


@FEW
@given(case=CASES, seed=SEEDS)
def test_random_geometry_agrees_in_all_gradients(case, seed):
    check_all(case, seed)


@pytest.mark.parametrize(
    "case",
    [
        Case(3, (17, 19), 24, 32), Case(2, (14, 14), 130, 20, masked=False), Case(2, (9, 9), 70, 70, groups=2),
        Case(4, (12, 12), 8, 16, groups=2, offset_groups=3), Case(2, (8, 8), 16, 16, spread=0.0),
    ],
    ids=["wide", "two blocks of channels", "two groups", "groups that cut each other", "no offsets"],
)  # fmt: skip
def test_large_images_agree_on_any_number_of_threads(case):
    check_all(case, 0)


def test_without_offsets_it_is_a_convolution():
    case = Case(2, (8, 7), 6, 5, stride=(2, 1), dilation=(1, 2), masked=False, spread=0.0)
    x, offset, _, w, dy = case.inputs(0)
    y, expected = blank(*dy.shape), blank(*dy.shape)
    cpu.deform_conv2d_forward(x, offset, None, w, None, y, *case.how)
    reference.conv2d_forward(x, w, None, expected, *case.how)
    np.testing.assert_allclose(y, expected, atol=1e-4)


@pytest.mark.parametrize("place", [-1e30, -1.0, -0.999, -0.5, 0.0, 2.0, 4.0, 4.5, 4.999, 5.0, np.inf])
def test_the_border_of_the_image_is_where_it_should_be(place):
    x = 1 + np.arange(25, dtype=np.float32).reshape(1, 5, 5, 1)
    offset = np.full((1, 1, 1, 2), 2, np.float32)
    offset[..., 0] = place
    one, y = np.ones((1, 1, 1, 1), np.float32), blank(1, 1, 1, 1)
    how = (9, 9), (0, 0), (1, 1), 1
    with np.errstate(invalid="ignore"):
        check("deform_conv2d_forward", x, offset, None, one, None, y, *how, outputs=[5])
        slopes = blank(*x.shape), blank(*offset.shape)
        check("deform_conv2d_backward_data", x, offset, None, one, one, *slopes, None, *how, outputs=[5, 6])


#: Where taps read an image of 5x5: outside, half outside, and on either side of each kind of border between cells.
PLACES = [-7.0, -1.001, -0.999, -0.5, -0.001, 0.001, 0.5, 0.999, 1.001, 2.5, 3.999, 4.001, 4.5, 4.999, 5.001, 12.0]


def bent_to(places, case, seed):
    """Offsets that move every tap to one of `places`, of both axes independently."""
    random, size, taps = np.random.default_rng(seed), case.output_size, case.kernel[0] * case.kernel[1]
    regular = np.zeros((1, *size, case.offset_groups, taps, 2))
    for (h, w, _, tap), _ in np.ndenumerate(regular[0, ..., 0]):
        for axis, pixel, step in ((0, h, tap // case.kernel[1]), (1, w, tap % case.kernel[1])):
            start = pixel * case.stride[axis] - case.padding[axis]
            regular[0, h, w, :, tap, axis] = start + step * case.dilation[axis]
    return (random.choice(places, regular.shape) - regular).reshape(1, *size, -1)


@pytest.mark.parametrize("masked", [False, True], ids=["version 1", "version 2"])
@pytest.mark.parametrize(("groups", "offset_groups"), [(1, 1), (2, 1), (1, 2)])
def test_gradients_are_derivatives_near_borders_of_cells_and_outside_the_image(masked, groups, offset_groups):
    case = Case(1, (5, 5), 2, 3, groups=groups, offset_groups=offset_groups, masked=masked)
    x, _, mask, w, dy = (each if each is None else each.astype(np.float64) for each in case.inputs(0))
    offset, rng = bent_to(PLACES, case, 1), np.random.default_rng(2)
    arrays = {"x": x, "offset": offset, "w": w} | ({"mask": mask} if masked else {})

    def value_of(name):
        def value(array):
            given, y = {"mask": None, **arrays, name: array}, blank(*dy.shape, dtype=np.float64)
            reference.deform_conv2d_forward(
                given["x"], given["offset"], given["mask"], given["w"], None, y, *case.how
            )  # fmt: skip
            return np.sum(y * dy)

        return value

    slopes = {name: blank(*array.shape, dtype=np.float64) for name, array in arrays.items()}
    wanted = slopes["x"], slopes["offset"], slopes.get("mask")
    reference.deform_conv2d_backward_data(x, offset, mask, w, dy, *wanted, *case.how)
    reference.deform_conv2d_backward_weights(x, offset, mask, dy, slopes["w"], None, *case.how)
    for name, array in arrays.items():
        check_gradient(value_of(name), array, slopes[name], rng)
    # The fast form from the same points, in float32.
    x, offset, mask, w, dy = (each if each is None else each.astype(np.float32) for each in (x, offset, mask, w, dy))
    outputs = blank(*x.shape), blank(*offset.shape), None if mask is None else blank(*mask.shape)
    places = [5, 6, 7] if masked else [5, 6]
    how = {"tolerance": 2e-5, "scale": 1.0}
    check("deform_conv2d_backward_data", x, offset, mask, w, dy, *outputs, *case.how, outputs=places, **how)
    check("deform_conv2d_backward_weights", x, offset, mask, dy, blank(*w.shape), None, *case.how, outputs=[4], **how)


def test_an_offset_that_is_not_a_number_shows():
    x, offset, mask, w, dy = Case(1, (6, 6), 3, 4).inputs(0)
    offset[0, 2, 3, 5] = np.nan
    y = blank(*dy.shape)
    cpu.deform_conv2d_forward(x, offset, mask, w, None, y, *Case(1, (6, 6), 3, 4).how)
    assert np.isnan(y[0, 2, 3]).all() and np.isnan(y).sum() == 4


def test_arrays_that_do_not_fit_are_refused():
    case = Case(1, (6, 6), 3, 4)
    x, offset, mask, w, dy = case.inputs(0)
    with pytest.raises(ValueError, match="do not fit"):
        cpu.deform_conv2d_forward(x, offset[..., 1:].copy(), mask, w, None, dy, *case.how)
    with pytest.raises(ValueError, match="do not fit"):
        cpu.deform_conv2d_forward(x, offset, mask[..., 1:].copy(), w, None, dy, *case.how)
