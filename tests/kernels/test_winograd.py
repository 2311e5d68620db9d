"""Winograd convolution: the textbook form, which algorithm is chosen, and how exact it is."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from kernels import cpu, reference
from kernels.cpu import winograd_plan
from kernels.cpu.conv_choice import choose
from kernels.cpu.conv_plan import convolution
from kernels.reference import winograd
from tests.kernels.test_conv import CASES, Case, arrays, check_algorithm, gradients_and_output

#: What "auto" may lose, as a part of the largest value of a result, and the margin that the tests demand.
LIMIT, MARGIN = 5e-5, 4

#: 3x3 convolutions of networks of the zoo: vgg11, resnet20, resnet18 and googlenet, with fewer images.
ZOO = {
    "vgg11 conv2": Case(4, (16, 16, 64), 128),
    "vgg11 conv4": Case(4, (8, 8, 256), 256),
    "vgg11 conv6": Case(16, (4, 4, 512), 512),
    "vgg11 conv8": Case(16, (2, 2, 512), 512),
    "resnet20 first stage": Case(64, (32, 32, 16), 16),
    "resnet20 second stage": Case(64, (16, 16, 32), 32),
    "resnet20 third stage": Case(64, (8, 8, 64), 64),
    "resnet18 layer1": Case(8, (56, 56, 64), 64),
    "resnet18 layer2": Case(2, (28, 28, 128), 128),
    "resnet18 layer3": Case(2, (14, 14, 256), 256),
    "resnet18 layer4": Case(2, (7, 7, 512), 512),
    "vgg16 conv2": Case(1, (224, 224, 64), 64),
    "googlenet conv3": Case(2, (32, 32, 64), 192),
    "googlenet 3b": Case(4, (16, 16, 128), 192),
    "googlenet 4d": Case(8, (8, 8, 144), 288),
    "googlenet 5b": Case(8, (4, 4, 192), 384),
}


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize(("image", "padding"), [((7, 9), (1, 1)), ((4, 3), (0, 0)), ((5, 1), (2, 1)), ((8, 8), (0, 2))])
def test_the_textbook_form_equals_the_sum_over_the_taps(size, image, padding):
    random, outputs = np.random.default_rng(0), [n + 2 * p - 2 for n, p in zip(image, padding, strict=True)]
    x, w, dy = (random.standard_normal(s) for s in ((2, *image, 3), (3, 3, 3, 4), (2, *outputs, 4)))
    how = (1, 1), padding, (1, 1), 1
    found, expected = np.empty_like(dy), np.empty_like(dy)
    winograd.winograd_forward(x, w, found, padding, size)
    reference.conv2d_forward(x, w, None, expected, *how)
    np.testing.assert_allclose(found, expected, atol=1e-11)

    found, expected = np.empty_like(x), np.empty_like(x)
    winograd.winograd_backward_data(dy, w, found, padding, size)
    reference.conv2d_backward_data(dy, w, expected, *how)
    np.testing.assert_allclose(found, expected, atol=1e-11)

    found, expected = np.empty_like(w), np.empty_like(w)
    winograd.winograd_backward_weights(x, dy, found, padding, size)
    reference.conv2d_backward_weights(x, dy, expected, None, *how)
    np.testing.assert_allclose(found, expected, atol=1e-11)


def test_the_matrices_of_two_outputs_are_those_of_the_book():
    bt, g, at = winograd.winograd_matrices(2)
    signs = np.array([-1, 1, 1, 1])  # the book's first row is turned in both factors, and two more for A
    np.testing.assert_allclose(bt[0] * signs[0], [1, 0, -1, 0])
    np.testing.assert_allclose(g[0] * signs[0], [1, 0, 0])
    np.testing.assert_allclose(g[1:], [[0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    np.testing.assert_allclose(bt[1:], [[0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]])
    np.testing.assert_allclose(at, [[1, 1, 1, 0], [0, 1, -1, 1]])


def losses(case: Case, algorithms):
    """Largest error of forward, data and weight gradient, as parts of the largest value."""
    x, w, b, dy = arrays(case)
    y, dx, dw = (np.empty_like(each) for each in (dy, x, w))
    cpu.conv2d_forward(x, w, b, y, *case.geometry, algorithms[0])
    cpu.conv2d_backward_data(dy, w, dx, *case.geometry, algorithms[1])
    cpu.conv2d_backward_weights(x, dy, dw, None, *case.geometry, algorithms[2])
    expected = [np.empty(each.shape) for each in (y, dx, dw)]
    reference.conv2d_forward(x, w, b, expected[0], *case.geometry)
    reference.conv2d_backward_data(dy, w, expected[1], *case.geometry)
    reference.conv2d_backward_weights(x, dy, expected[2], None, *case.geometry)
    return [np.abs(f - e).max() / np.abs(e).max() for f, e in zip((y, dx, dw), expected, strict=True)]


@pytest.mark.parametrize("name", ZOO)
def test_tiles_of_four_outputs_lose_less_than_auto_may_lose(name):
    assert max(losses(ZOO[name], ["winograd4"] * 3)) < LIMIT / MARGIN


@pytest.mark.parametrize("name", ["resnet20 third stage", "vgg11 conv4", "googlenet 5b"])
def test_tiles_of_two_outputs_lose_little_more_than_sums_over_the_taps(name):
    direct, tiles = (losses(ZOO[name], [a] * 3) for a in ("direct", "winograd2"))
    assert max(tiles) < 2 * max(direct)


#: Sizes at which the work is cut in other ways: one change for every way, made so small that little work takes it.
CUTS = {
    "small blocks": {"MOST_BLOCK": 12},
    "weights transformed by every job": {"LARGE_WEIGHTS": 0},
    "weights transformed by every job, blocks one by one": {"LARGE_WEIGHTS": 0, "SOURCE_FLOATS": 1, "DEPTH": 16},
    "no private sums": {"PRIVATE_SUMS": 0},
    "no private sums, blocks one by one": {"PRIVATE_SUMS": 0, "GROUP_FLOATS": 1},
    "no private sums, spans of one": {"PRIVATE_SUMS": 0, "GROUP_FLOATS": 1, "MOST_BLOCK": 12, "SPAN_TILES": 1},
    "no private sums, spans of two": {"PRIVATE_SUMS": 0, "GROUP_FLOATS": 1, "MOST_BLOCK": 12, "SPAN_TILES": 24},
    "no private sums, groups of blocks": {"PRIVATE_SUMS": 0, "GROUP_FLOATS": 1_500_000},
    "one owner for two panels": {"PRIVATE_SUMS": 0, "FEWEST_OWNERS": 1},
    "private sums of many weights": {"PRIVATE_SUMS": 1 << 24},
}


@pytest.fixture
def cut(request, monkeypatch):
    """The plans are made with other sizes, and forgotten afterwards."""
    plans = winograd_plan.pass_work, winograd_plan.weight_work
    for name, value in CUTS[request.param].items():
        monkeypatch.setattr(winograd_plan, name, value)
    for plan in plans:
        plan.cache_clear()
    yield
    for plan in plans:
        plan.cache_clear()


@pytest.mark.parametrize("algorithm", ["winograd2", "winograd4"])
@pytest.mark.parametrize("cut", CUTS, indirect=True)
def test_every_way_to_cut_the_work_agrees_with_the_textbook_on_any_threads(cut, algorithm):
    case = Case(5, (23, 18, 70), 97)
    check_algorithm(case, algorithm, with_bias=True, seed=0)
    together, threads = gradients_and_output(case, algorithm), numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        assert gradients_and_output(case, algorithm) == together
    finally:
        numba.set_num_threads(threads)


@pytest.mark.parametrize("algorithm", ["winograd2", "winograd4"])
@pytest.mark.parametrize("cut", ["small blocks", "weights transformed by every job, blocks one by one"], indirect=True)
@pytest.mark.parametrize("tiles", [1, 2, 3, 5, 6, 11, 13, 23, 41])
def test_any_number_of_tiles_fills_the_last_register_tile(cut, tiles, algorithm):
    size = int(algorithm[-1])
    check_algorithm(Case(tiles, (size, size, 40), 50), algorithm, with_bias=True, seed=tiles)


def test_an_empty_batch_gives_zero_weight_gradients():
    case = Case(0, (8, 8, 16), 16)
    x, w, b, dy = arrays(case)
    dw, db = np.ones_like(w), np.ones_like(b)
    cpu.conv2d_forward(x, w, b, np.empty_like(dy), *case.geometry, "winograd4")
    cpu.conv2d_backward_data(dy, w, np.empty_like(x), *case.geometry, "winograd4")
    cpu.conv2d_backward_weights(x, dy, dw, db, *case.geometry, "winograd4")
    assert not dw.any()
    assert not db.any()


def geometry_of(case: Case):
    return convolution(case.x_shape, case.y_shape, case.kernel, *case.geometry)


@pytest.mark.parametrize("which", ["forward", "data", "weights"])
@pytest.mark.parametrize("name", CASES)
def test_auto_chooses_what_can_do_the_convolution(name, which):
    case = CASES[name]
    algorithm = choose(geometry_of(case), which)
    results = {
        "forward": lambda how: cpu.conv2d_forward(x, w, b, y, *case.geometry, how),
        "data": lambda how: cpu.conv2d_backward_data(dy, w, dx, *case.geometry, how),
        "weights": lambda how: cpu.conv2d_backward_weights(x, dy, dw, None, *case.geometry, how),
    }
    x, w, b, dy = arrays(case)
    y, dx, dw = (np.empty_like(each) for each in (dy, x, w))
    output = {"forward": y, "data": dx, "weights": dw}[which]
    results[which]("auto")
    chosen = output.tobytes()
    results[which](algorithm)
    assert output.tobytes() == chosen


def test_auto_chooses_winograd_for_many_channels_and_direct_for_few():
    assert choose(geometry_of(ZOO["vgg11 conv4"]), "forward") == "winograd4"
    assert choose(geometry_of(CASES["first layer"]), "forward") == "direct"
    assert choose(geometry_of(CASES["stride two"]), "weights") == "direct"


@pytest.mark.parametrize("name", ["stride two", "dilated", "grouped", "pointwise", "padding beyond the kernel"])
def test_what_tiles_cannot_do_is_refused_in_one_sentence(name):
    case = CASES[name]
    x, w, b, dy = arrays(case)
    with pytest.raises(ValueError, match=r"^winograd4 is for 3x3 convolutions with stride 1.*\.$"):
        cpu.conv2d_forward(x, w, b, dy, *case.geometry, "winograd4")


def test_an_unknown_algorithm_is_refused():
    case = CASES["one panel"]
    x, w, b, dy = arrays(case)
    with pytest.raises(ValueError, match="'fft' is no algorithm"):
        cpu.conv2d_forward(x, w, b, dy, *case.geometry, "fft")
