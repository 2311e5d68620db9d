"""Convolutions that are pooled before they are written: the same bits as one after the other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from kernels import cpu, reference
from kernels.cpu import conv_planes
from tests.kernels.guarded import Guarded
from tests.kernels.helpers import assert_close, blank, threads
from tests.kernels.test_conv import CASES, Case, arrays, cases, geometry_of

TILES = (2, 2), (2, 2), (0, 0)
POOLED = {
    name: CASES[name]
    for name in ("one panel", "lenet first", "lenet second", "first layer", "few channels", "no padding", "stride two",
                 "few channels, rows of half a vector", "few channels, narrow", "few channels, several bands",
                 "few channels, dilated", "one channel", "grouped", "large image", "many tiles")
}  # fmt: skip


def pooled_shape(case: Case) -> tuple[int, int, int, int]:
    images, height, width, channels = case.y_shape
    return images, height // 2, width // 2, channels


def forward(kernels, case: Case, rectified: bool, dtype=np.float32) -> tuple[np.ndarray, np.ndarray]:
    x, w, b, _ = arrays(case)
    y, winners = np.full(pooled_shape(case), np.nan, dtype), blank(*pooled_shape(case), dtype=np.uint8)
    kernels.conv2d_pool_forward(x, w, b, y, winners, *case.geometry, rectified)
    return y, winners


def apart(case: Case, rectified: bool) -> tuple[np.ndarray, np.ndarray]:
    x, w, b, sums = arrays(case)
    y, winners = blank(*pooled_shape(case)), blank(*pooled_shape(case), dtype=np.uint8)
    cpu.conv2d_forward(x, w, b, sums, *case.geometry)
    cpu.max_pool2d_forward(sums, y, winners, *TILES, rectified)
    return y, winners


def slopes(case: Case) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    dy = random.standard_normal(pooled_shape(case)).astype(np.float32)
    return dy, random.integers(0, 5, dy.shape).astype(np.uint8)


def backward(kernels, case: Case, dtype=np.float32) -> list[np.ndarray]:
    x, w, b, _ = arrays(case)
    dw, db, dx = (np.full(each.shape, np.nan, dtype) for each in (w, b, x))
    kernels.conv2d_pool_backward(x, w, *slopes(case), dw, db, dx, *case.geometry)
    return [dw, db, dx]


def backward_apart(case: Case) -> list[np.ndarray]:
    x, w, b, dy = arrays(case)
    dw, db, dx = (np.full_like(each, np.nan) for each in (w, b, x))
    cpu.max_pool2d_backward(*slopes(case), dy, *TILES)
    cpu.conv2d_backward_weights(x, dy, dw, db, *case.geometry, "auto", True)
    cpu.conv2d_backward_data(dy, w, dx, *case.geometry, "auto", True)
    return [dw, db, dx]


def check(case: Case) -> None:
    for rectified in (False, True):
        for ours, theirs in zip(forward(cpu, case, rectified), apart(case, rectified), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(backward(cpu, case), backward_apart(case), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", POOLED)
def test_the_same_bits_as_one_after_the_other(name):
    check(POOLED[name])


@settings(deadline=None, max_examples=40)
@given(cases())
def test_the_same_bits_as_one_after_the_other_for_any_geometry(case):
    if min(case.y_shape[1:3]) > 1:
        check(case)


@pytest.mark.parametrize("channels", [1, 3, 6, 10, 24, 130])
def test_the_same_bits_for_every_number_of_channels(channels):
    for outputs in (1, 3, 6, 8, 10, 24):
        check(Case(2, (9, 20, channels), outputs, (3, 3), padding=(1, 0)))


@pytest.mark.parametrize("name", ["lenet first", "lenet second", "few channels, several bands"])
def test_agree_with_the_textbook(name):
    case = POOLED[name]
    for ours, theirs in zip(backward(cpu, case), backward(reference, case, np.float64), strict=True):
        assert_close(ours, theirs)
    assert_close(forward(cpu, case, True)[0], forward(reference, case, True, np.float64)[0])


@pytest.mark.parametrize("name", ["lenet first", "lenet second", "few channels, several bands", "many tiles"])
def test_the_same_bits_on_one_thread_and_on_all(name):
    together = [*forward(cpu, POOLED[name], True), *backward(cpu, POOLED[name])]
    with threads(1):
        alone = [*forward(cpu, POOLED[name], True), *backward(cpu, POOLED[name])]
    assert [each.tobytes() for each in together] == [each.tobytes() for each in alone]


@pytest.mark.parametrize("name", ["lenet first", "few channels", "few channels, narrow", "few channels, several bands"])
def test_planes_write_nothing_beside_their_maxima(name):
    case = POOLED[name]
    x, w, b, _ = arrays(case)
    y, winners = Guarded.unwritten(pooled_shape(case)), np.full((3, *pooled_shape(case)), 9, np.uint8)
    conv_planes.run(geometry_of(case), False, x, w, b, y.array, "relu", winners[1])
    assert y.is_intact()
    assert (winners[::2] == 9).all()
    assert (winners[1] <= 4).all()
    assert np.isfinite(y.array).all()


def test_not_a_number_wins():
    case = POOLED["lenet first"]
    x, w, b, _ = arrays(case)
    x[2, 10, 10] = np.nan
    y, winners = blank(*pooled_shape(case)), blank(*pooled_shape(case), dtype=np.uint8)
    cpu.conv2d_pool_forward(x, w, b, y, winners, *case.geometry, True)
    assert np.isnan(y[2, 4:7, 4:7]).all()
    assert np.isfinite(y[3]).all()
