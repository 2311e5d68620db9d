"""The fast convolutions against the textbook ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import cpu, reference
from kernels.cpu import conv_folded, conv_sparse, conv_sparse_data, conv_tables, plane_plan
from kernels.cpu.conv_choice import choose
from kernels.cpu.conv_plan import convolution, forward_classes
from tests.kernels.guarded import Guarded, assert_matches
from tests.kernels.helpers import threads


@dataclass(frozen=True)
class Case:
    """One convolution: images, input (H, W, C), outputs, and the geometry."""

    images: int
    input: tuple[int, int, int]
    outputs: int
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def geometry(self):
        return self.stride, self.padding, self.dilation, self.groups

    @property
    def x_shape(self):
        return (self.images, *self.input)

    @property
    def w_shape(self):
        return (*self.kernel, self.input[2] // self.groups, self.outputs)

    @property
    def y_shape(self):
        sizes = [
            (size + 2 * p - d * (k - 1) - 1) // s + 1
            for size, k, s, p, d in zip(
                self.input[:2], self.kernel, self.stride, self.padding, self.dilation, strict=True
            )
        ]
        return (self.images, *sizes, self.outputs)


#: Every way through the kernels: whole and partial tiles, wide and narrow panels, parts of long sums, many images in
#: a job and one image in many jobs, phases of strides, both ways to sum weight gradients, and layers of real networks.
CASES = {
    "one panel": Case(5, (8, 8, 16), 16),
    "batch of one": Case(1, (17, 23, 24), 40),
    "one pixel": Case(3, (1, 1, 16), 16),
    "first layer": Case(3, (32, 32, 3), 16),
    "lenet first": Case(9, (28, 28, 1), 6, (5, 5), padding=(2, 2)),
    "lenet second": Case(9, (14, 14, 6), 16, (5, 5), padding=(0, 0)),
    "stem 7x7": Case(2, (61, 60, 3), 64, (7, 7), (2, 2), (3, 3)),
    "stride two": Case(9, (16, 16, 16), 32, stride=(2, 2)),
    "pointwise": Case(4, (9, 9, 64), 130, (1, 1), padding=(0, 0)),
    "pointwise, strided": Case(4, (9, 9, 32), 64, (1, 1), (2, 2), (0, 0)),
    "pointwise, padded": Case(2, (5, 5, 10), 10, (1, 1), padding=(1, 1)),
    "long sums": Case(13, (4, 4, 256), 130),
    "large weights, tiny images": Case(70, (2, 2, 200), 256),
    "large image": Case(1, (90, 110, 16), 24),
    "many tiles": Case(8, (56, 56, 64), 65),
    "no padding": Case(2, (11, 12, 33), 16, padding=(0, 0)),
    "padding of a full convolution": Case(2, (6, 9, 10), 70, padding=(2, 2)),
    "unequal padding": Case(2, (6, 9, 130), 130, padding=(2, 0)),
    "few channels": Case(5, (20, 37, 3), 8),
    "few channels, rows of half a vector": Case(3, (9, 13, 8), 5, (2, 3)),
    "few channels, narrow": Case(3, (9, 4, 2), 7),
    "few channels, dilated": Case(2, (14, 23, 3), 4, (3, 2), padding=(3, 1), dilation=(2, 3)),
    "few channels, several bands": Case(2, (60, 90, 4), 6, (5, 3), padding=(2, 1)),
    "one channel": Case(4, (11, 18, 1), 1, (3, 3)),
    "padding beyond the kernel": Case(2, (5, 6, 10), 8, padding=(4, 5)),
    "padding only, for whole rows": Case(2, (3, 3, 64), 40, padding=(5, 5)),
    "window as large as the image": Case(6, (5, 5, 16), 120, (5, 5), padding=(0, 0)),
    "stride beyond the kernel": Case(2, (13, 11, 6), 10, (2, 2), (3, 4), (0, 1)),
    "dilated": Case(2, (14, 13, 17), 33, padding=(2, 3), dilation=(2, 3)),
    "dilated and strided": Case(2, (14, 13, 8), 16, stride=(2, 3), padding=(2, 3), dilation=(3, 2)),
    "grouped": Case(3, (9, 7, 32), 64, groups=4),
    "many small groups": Case(2, (8, 8, 24), 24, groups=8),
    "groups of one input": Case(2, (8, 8, 6), 12, groups=6),
    "depthwise": Case(3, (9, 9, 32), 32, groups=32),
    "depthwise, strided": Case(3, (12, 9, 24), 24, stride=(2, 2), groups=24),
    "depthwise, odd channels": Case(2, (7, 6, 130), 130, groups=130),
    "depthwise, one vector": Case(5, (8, 8, 16), 16, groups=16),
    "depthwise, part of a vector": Case(3, (6, 4, 11), 11, groups=11),
    "depthwise, even sides": Case(3, (10, 12, 58), 58, stride=(2, 2), groups=58),
    "depthwise, many images": Case(40, (4, 4, 24), 24, groups=24),
    "depthwise, rows alone": Case(2, (1, 9, 17), 17, groups=17),
    "depthwise, larger than the caches": Case(11, (32, 32, 96), 96, groups=96),
    "depthwise 5x5, square": Case(3, (13, 14, 35), 35, (5, 5), padding=(2, 2), groups=35),
    "depthwise 5x5, strided": Case(3, (14, 14, 24), 24, (5, 5), (2, 2), (2, 2), groups=24),
    "depthwise, few channels": Case(2, (7, 6, 3), 3, groups=3),
    "depthwise 5x5": Case(2, (9, 11, 40), 40, (5, 5), (1, 2), (2, 2), groups=40),
    "depthwise, dilated": Case(1, (9, 11, 10), 10, padding=(2, 2), dilation=(2, 2), groups=10),
    "depthwise, large": Case(1, (70, 80, 16), 16, groups=16),
}


def arrays(case: Case, seed: int = 0):
    """x, w, b and dy of the case."""
    random = np.random.default_rng(seed)
    shapes = case.x_shape, case.w_shape, (case.outputs,), case.y_shape
    return [random.standard_normal(shape).astype(np.float32) for shape in shapes]


#: The ways to compute a convolution, without the choice between them.
ALGORITHMS = "direct", "winograd2", "winograd4", "planes"
PASSES = "forward", "data", "weights"


def suits_winograd(case: Case) -> bool:
    usual = case.kernel == (3, 3) and case.stride == (1, 1) and case.dilation == (1, 1)
    return usual and case.groups == 1 and max(case.padding) <= 2


def geometry_of(case: Case):
    return convolution(case.x_shape, case.y_shape, case.kernel, *case.geometry)


def algorithms(case: Case, passes=PASSES):
    """All that can do the case, at least one of the passes of it."""
    planes = any(plane_plan.handles(geometry_of(case), each) for each in passes)
    return [*(ALGORITHMS[:3] if suits_winograd(case) else ALGORITHMS[:1]), *ALGORITHMS[3:] * planes]


def by_pass(case: Case, algorithm: str) -> list[str]:
    """`algorithm` for each pass; direct sums for those that planes cannot do."""
    g = geometry_of(case)
    return [algorithm if algorithm != "planes" or plane_plan.handles(g, each) else "direct" for each in PASSES]


def check(case: Case, with_bias: bool = True, seed: int = 0):
    """Every algorithm agrees with the textbook."""
    for algorithm in algorithms(case):
        check_algorithm(case, algorithm, with_bias, seed)


def check_algorithm(case: Case, algorithm: str, with_bias: bool, seed: int):
    """Forward and both gradients agree with the textbook, and nothing outside of the arrays is used."""
    x, w, b, dy = (Guarded(values) for values in arrays(case, seed))
    bias = b.array if with_bias else None
    forward, data, weights = by_pass(case, algorithm)
    y, expected = Guarded.unwritten(case.y_shape), np.empty(case.y_shape)
    cpu.conv2d_forward(x.array, w.array, bias, y.array, *case.geometry, forward)
    reference.conv2d_forward(x.array, w.array, bias, expected, *case.geometry)
    assert_matches(y, expected)

    dx, expected = Guarded.unwritten(case.x_shape), np.empty(case.x_shape)
    cpu.conv2d_backward_data(dy.array, w.array, dx.array, *case.geometry, data)
    reference.conv2d_backward_data(dy.array, w.array, expected, *case.geometry)
    assert_matches(dx, expected)

    dw, expected = Guarded.unwritten(case.w_shape), np.empty(case.w_shape)
    db, expected_db = Guarded.unwritten(case.outputs), np.empty(case.outputs)
    ours, theirs = (db.array, expected_db) if with_bias else (None, None)
    cpu.conv2d_backward_weights(x.array, dy.array, dw.array, ours, *case.geometry, weights)
    reference.conv2d_backward_weights(x.array, dy.array, expected, theirs, *case.geometry)
    assert_matches(dw, expected)
    if with_bias:
        assert_matches(db, expected_db, terms=math.prod(case.y_shape[:3]))


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_textbook(name):
    check(CASES[name])


@pytest.mark.parametrize("name", ["one panel", "large weights, tiny images", "depthwise", "grouped"])
def test_works_without_bias(name):
    check(CASES[name], with_bias=False)


def pairs(*values):
    return st.tuples(st.sampled_from(values), st.sampled_from(values))


@st.composite
def cases(draw):
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    inputs = groups * draw(st.sampled_from([1, 3, 6, 10, 24, 65]))
    outputs = groups * draw(st.sampled_from([1, 6, 8, 10, 17, 24, 40]))
    if draw(st.integers(0, 3)) == 0:
        groups = inputs = outputs = draw(st.sampled_from([3, 8, 10, 24, 35, 130]))
    kernel, dilation = draw(pairs(1, 2, 3, 3, 4, 5)), draw(pairs(1, 1, 2, 3))
    padding = draw(pairs(0, 1, 1, 2, 3, 5))
    smallest = [max(1, d * (k - 1) + 1 - 2 * p) for k, d, p in zip(kernel, dilation, padding, strict=True)]
    size = [least + draw(st.integers(0, 9)) for least in smallest]
    images, stride = draw(st.sampled_from([1, 2, 3, 9])), draw(pairs(1, 1, 2, 3))
    return Case(images, (*size, inputs), outputs, kernel, stride, padding, dilation, groups)


@settings(deadline=None, max_examples=60)
@given(cases(), st.booleans())
def test_agrees_with_the_textbook_for_any_geometry(case, with_bias):
    check(case, with_bias)


def gradients_and_output(case: Case, algorithm: str = "auto"):
    """Every result of a case, as bytes."""
    x, w, b, dy = arrays(case)
    y, dx, dw, db = (np.empty_like(each) for each in (dy, x, w, b))
    forward, data, weights = by_pass(case, algorithm)
    cpu.conv2d_forward(x, w, b, y, *case.geometry, forward)
    cpu.conv2d_backward_data(dy, w, dx, *case.geometry, data)
    cpu.conv2d_backward_weights(x, dy, dw, db, *case.geometry, weights)
    return [each.tobytes() for each in (y, dx, dw, db)]


THREADED = (
    "first layer", "stride two", "long sums", "many tiles", "large image", "grouped", "depthwise, large",
    "depthwise, larger than the caches", "lenet first", "few channels, several bands",
)  # fmt: skip


@pytest.mark.parametrize(("name", "algorithm"), [(n, a) for n in THREADED for a in algorithms(CASES[n])])
def test_has_the_same_bits_on_one_thread_and_on_all(name, algorithm):
    together = gradients_and_output(CASES[name], algorithm)
    with threads(1):
        assert gradients_and_output(CASES[name], algorithm) == together


def test_an_empty_batch_gives_zero_weight_gradients():
    case = Case(0, (8, 8, 16), 16)
    x, _, b, dy = arrays(case)
    dw, db = np.ones(case.w_shape, np.float32), np.ones_like(b)
    cpu.conv2d_forward(x, dw, b, np.empty_like(dy), *case.geometry)
    cpu.conv2d_backward_weights(x, dy, dw, db, *case.geometry)
    assert not dw.any()
    assert not db.any()


@pytest.mark.parametrize("algorithm", ALGORITHMS[:3])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_a_number_and_infinity_survive(value, algorithm):
    case = CASES["one panel"]
    x, w, b, dy = arrays(case)
    y, dw = np.empty(case.y_shape, np.float32), np.empty_like(w)
    x[1, 3, 4, 5] = value
    cpu.conv2d_forward(x, w, b, y, *case.geometry, algorithm)
    assert not np.isfinite(y[1, 2:5, 3:6]).any()
    assert np.isfinite(y[0]).all()
    cpu.conv2d_backward_weights(x, dy, dw, None, *case.geometry, algorithm)
    assert not np.isfinite(dw[:, :, 5]).any()
    assert np.isfinite(dw[:, :, 6]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_planes_keep_what_is_no_number_where_it_belongs(value):
    case = CASES["few channels"]
    x, w, b, dy = arrays(case)
    y, dw = np.empty(case.y_shape, np.float32), np.empty_like(w)
    x[1, 3, 36, 2] = value
    cpu.conv2d_forward(x, w, b, y, *case.geometry, "planes")
    touched = np.zeros(case.y_shape, bool)
    touched[1, 2:5, 35:37] = True
    np.testing.assert_array_equal(np.isfinite(y), ~touched)
    cpu.conv2d_backward_weights(x, dy, dw, None, *case.geometry, "planes")
    touched = np.zeros(w.shape, bool)
    touched[:, 1:, 2] = True  # a tap to the left never meets the last column
    np.testing.assert_array_equal(np.isfinite(dw), ~touched)


def test_auto_chooses_planes_for_few_channels_and_says_what_they_cannot_do():
    assert {choose(geometry_of(CASES["lenet first"]), each) for each in ("forward", "weights")} == {"planes"}
    assert choose(geometry_of(CASES["first layer"]), "forward") == "direct"
    case = CASES["stride two"]
    x, w, b, dy = arrays(case)
    with pytest.raises(ValueError, match=r"^planes are for convolutions with stride 1.*\.$"):
        cpu.conv2d_forward(x, w, b, dy, *case.geometry, "planes")


# --- gradients that come from a maximum over 2x2 tiles ---------------------------------------------------------------

POOLED = {
    name: CASES[name]
    for name in ("one panel", "lenet first", "lenet second", "stem 7x7", "stride two", "no padding",
                 "few channels, several bands", "one channel", "large image", "stride beyond the kernel")
}  # fmt: skip


def pooled_gradient(case: Case) -> np.ndarray:
    """What a pool hands back whose windows all have a maximum, but for some."""
    random = np.random.default_rng(1)
    images, height, width, channels = case.y_shape
    slopes = random.standard_normal((images, height // 2, width // 2, channels)).astype(np.float32)
    places = random.integers(0, 5, slopes.shape).astype(np.uint8)
    dy = np.empty(case.y_shape, np.float32)
    cpu.max_pool2d_backward(slopes, places, dy, (2, 2), (2, 2), (0, 0))
    return dy


def sparse_gradients(case: Case, algorithm: str) -> list[Guarded]:
    x, dw, db = Guarded(arrays(case)[0]), Guarded.unwritten(case.w_shape), Guarded.unwritten(case.outputs)
    dy = Guarded(pooled_gradient(case))
    cpu.conv2d_backward_weights(x.array, dy.array, dw.array, db.array, *case.geometry, algorithm, True)
    return [dw, db]


def sparse_data_gradient(case: Case, algorithm: str = "sparse") -> Guarded:
    w, dy, dx = Guarded(arrays(case)[1]), Guarded(pooled_gradient(case)), Guarded.unwritten(case.x_shape)
    cpu.conv2d_backward_data(dy.array, w.array, dx.array, *case.geometry, algorithm, True)
    return dx


def check_sparse_data(case: Case) -> None:
    expected = np.empty(case.x_shape)
    reference.conv2d_backward_data(pooled_gradient(case), arrays(case)[1], expected, *case.geometry, "sparse", True)
    assert_matches(sparse_data_gradient(case), expected, terms=case.outputs * math.prod(case.w_shape[:2]))


def check_sparse(case: Case) -> None:
    dw, db = np.empty(case.w_shape), np.empty(case.outputs)
    reference.conv2d_backward_weights(arrays(case)[0], pooled_gradient(case), dw, db, *case.geometry, "sparse", True)
    for ours, theirs in zip(sparse_gradients(case, "sparse"), (dw, db), strict=True):
        assert_matches(ours, theirs, terms=math.prod(case.y_shape[:3]))


@pytest.mark.parametrize("name", POOLED)
def test_sparse_sums_agree_with_the_textbook(name):
    check_sparse(POOLED[name])


@pytest.mark.parametrize("name", POOLED)
def test_sparse_data_gradients_agree_with_the_textbook(name):
    if conv_sparse_data.applies(geometry_of(POOLED[name])):
        check_sparse_data(POOLED[name])


@settings(deadline=None, max_examples=40)
@given(cases())
def test_sparse_sums_agree_with_the_textbook_for_any_geometry(case):
    if conv_sparse.applies(geometry_of(case)):
        check_sparse(case)
    if conv_sparse_data.applies(geometry_of(case)):
        check_sparse_data(case)


@pytest.mark.parametrize("channels", [1, 3, 6, 10, 24, 130])
@pytest.mark.parametrize("kernel", [2, 3, 5])
def test_sparse_data_gradients_are_right_for_every_number_of_channels(channels, kernel):
    for outputs in (1, 3, 6, 10, 24):
        case = Case(2, (9, 8, channels), outputs, (kernel, kernel), padding=(1, 0))
        if conv_sparse_data.applies(geometry_of(case)):
            check_sparse_data(case)


@pytest.mark.parametrize("name", ["lenet first", "lenet second", "few channels, several bands"])
def test_sparse_sums_have_the_same_bits_on_one_thread_and_on_all(name):
    def found():
        case = POOLED[name]
        data = [sparse_data_gradient(case)] if conv_sparse_data.applies(geometry_of(case)) else []
        return [each.array.tobytes() for each in [*sparse_gradients(case, "sparse"), *data]]

    together = found()
    with threads(1):
        assert found() == together


def test_sparse_sums_keep_a_gradient_that_is_no_number():
    case = CASES["lenet second"]
    x, dy = arrays(case)[0], pooled_gradient(case)
    dy[3, 4:6, 2:4, 7] = np.nan, 0
    dw, db = np.empty(case.w_shape, np.float32), np.empty(case.outputs, np.float32)
    cpu.conv2d_backward_weights(x, dy, dw, db, *case.geometry, "sparse", True)
    np.testing.assert_array_equal(np.isnan(db), np.arange(case.outputs) == 7)
    assert np.isnan(dw[..., 7]).all()
    assert np.isfinite(dw[..., :7]).all()


def test_auto_sums_over_few_pixels_behind_a_pool_and_says_what_cannot_be():
    g = geometry_of(CASES["lenet second"])
    assert choose(g, "weights", pooled=True) == "sparse"
    assert choose(g, "weights") != "sparse"
    assert choose(g, "data", pooled=True) in ("sparse", "folded")  # by how long the vectors are
    assert choose(g, "data") != "sparse"
    case = CASES["grouped"]
    x, w, _, dy = arrays(case)
    with pytest.raises(ValueError, match=r"^sparse sums are for gradients behind a pool.*\.$"):
        cpu.conv2d_backward_weights(x, dy, w, None, *case.geometry, "sparse", True)


# --- folded data gradients -------------------------------------------------------------------------------------------

FOLDED = {
    name: CASES[name]
    for name in (
        "first layer",
        "lenet second",
        "few channels",
        "few channels, rows of half a vector",
        "few channels, several bands",
    )
}


def check_folded(case: Case) -> None:
    _, w, _, dy = (Guarded(values) for values in arrays(case))
    dx, expected = Guarded.unwritten(case.x_shape), np.empty(case.x_shape)
    cpu.conv2d_backward_data(dy.array, w.array, dx.array, *case.geometry, "folded")
    reference.conv2d_backward_data(dy.array, w.array, expected, *case.geometry)
    assert_matches(dx, expected)


@pytest.mark.parametrize("name", FOLDED)
def test_folded_sums_agree_with_the_textbook(name):
    case = FOLDED[name]
    if conv_folded.handles(geometry_of(case)):
        check_folded(case)


@settings(deadline=None, max_examples=60)
@given(cases())
def test_folded_sums_agree_with_the_textbook_for_any_geometry(case):
    if conv_folded.handles(geometry_of(case)):
        check_folded(case)


def test_folded_sums_go_block_by_block_and_have_the_same_bits_on_any_threads(monkeypatch):
    case = CASES["lenet second"]
    _, w, _, dy = arrays(case)
    found = [np.empty(case.x_shape, np.float32) for _ in range(3)]
    cpu.conv2d_backward_data(dy, w, found[0], *case.geometry, "folded")
    with threads(1):
        cpu.conv2d_backward_data(dy, w, found[1], *case.geometry, "folded")
    monkeypatch.setattr(conv_folded, "MOST_FLOATS", 15_000)
    cpu.conv2d_backward_data(dy, w, found[2], *case.geometry, "folded")
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_allclose(found[0], found[2], rtol=1e-5, atol=1e-5)


def test_folded_sums_keep_what_is_no_number_where_it_belongs():
    case = CASES["lenet second"]
    _, w, _, dy = arrays(case)
    dx = np.empty(case.x_shape, np.float32)
    dy[2, 3, 4, 5] = np.nan
    cpu.conv2d_backward_data(dy, w, dx, *case.geometry, "folded")
    touched = np.zeros(case.x_shape, bool)
    touched[2, 3:8, 4:9] = True
    np.testing.assert_array_equal(np.isnan(dx), touched)


def test_auto_folds_few_channels_under_many_taps_and_says_what_cannot_be():
    assert choose(geometry_of(CASES["lenet second"]), "data") == "folded"
    case = CASES["stride two"]
    x, w, _, dy = arrays(case)
    with pytest.raises(ValueError, match=r"^folded sums are for data gradients with stride 1.*\.$"):
        cpu.conv2d_backward_data(dy, w, x, *case.geometry, "folded")


@settings(deadline=None, max_examples=40)
@given(cases())
def test_pixel_classes_hold_every_output_pixel_once(case):
    shapes = case.x_shape, case.y_shape, case.kernel
    geometry = convolution(*shapes, case.stride, case.padding, case.dilation, case.groups)
    pixels = geometry.output[0] * geometry.output[1]
    found = np.concatenate([each.targets for each in forward_classes(geometry)])
    np.testing.assert_array_equal(np.sort(found), np.arange(pixels))


@pytest.mark.parametrize("activation", ["relu", "relu6"])
@pytest.mark.parametrize(
    "name", ["first layer", "long sums", "lenet second", "padding only, for whole rows", "depthwise"]
)
def test_an_activation_in_the_same_pass_changes_no_bit(name, activation):
    case = CASES[name]
    x, w, b, _ = arrays(case)
    x[0, 1, 1] = np.nan
    for algorithm in algorithms(case, ["forward"]):
        y, expected = Guarded.unwritten(case.y_shape), np.empty(case.y_shape, np.float32)
        cpu.conv2d_forward(x, 2 * w, b, y.array, *case.geometry, algorithm, activation)
        cpu.conv2d_forward(x, 2 * w, b, expected, *case.geometry, algorithm)
        getattr(cpu, f"{activation}_forward")(expected, expected)
        np.testing.assert_array_equal(y.array, expected)
        assert y.is_intact()
        assert np.isnan(expected).any()
        assert (expected == 0).any()


@pytest.mark.parametrize("activation", ["relu", "relu6"])
def test_the_textbook_applies_the_activation_to_the_sums(activation):
    case = CASES["grouped"]
    x, w, b, _ = arrays(case)
    y, expected = np.empty(case.y_shape), np.empty(case.y_shape)
    reference.conv2d_forward(x, w, b, y, *case.geometry, "auto", activation)
    reference.conv2d_forward(x, w, b, expected, *case.geometry)
    np.testing.assert_array_equal(y, np.clip(expected, 0, 6 if activation == "relu6" else None))


@pytest.mark.parametrize("images", [2, 40, 64, 100, 1000])
def test_few_jobs_of_one_panel_can_be_shared_evenly(images):
    case = Case(images, (14, 14, 6), 16, (5, 5), padding=(0, 0))
    jobs = int(conv_tables.forward_plan(geometry_of(case))[conv_tables.IMAGE_GROUPS])
    assert jobs >= 16 or jobs & (jobs - 1) == 0
