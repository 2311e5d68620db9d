"""What no derivative and no PyTorch can tell: exact definitions, and every function's manners."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import reference

FEW = settings(deadline=None, max_examples=30)


def blank(shape, dtype=np.float64):
    """An output that no test accepts unless it is overwritten."""
    return np.full(shape, np.nan if np.issubdtype(dtype, np.floating) else 99, dtype)


# --- dropout -------------------------------------------------------------------------------------


def mix(x):
    """lowbias32 in Python's own integers."""
    x ^= x >> 16
    x = x * 0x7FEB352D % 2**32
    x ^= x >> 15
    x = x * 0x846CA68B % 2**32
    return x ^ x >> 16


@given(st.integers(-(2**63), 2**64 - 1), st.floats(0, 1, exclude_max=True))
@FEW
def test_dropout_keeps_exactly_the_elements_of_its_definition(key, rate):
    kept, low, high = blank((5, 8)), key % 2**32, (key >> 32) % 2**32
    reference.dropout_forward(np.ones((5, 8)), kept, rate, 2.0, key)
    expected = [2.0 * (mix(mix(i ^ low) ^ high) >= int(rate * 2**32)) for i in range(40)]
    np.testing.assert_array_equal(kept.ravel(), expected)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_dropout_keeps_the_asked_share_and_the_mean(rate):
    y, size = blank(100_000), 100_000
    reference.dropout_forward(np.ones(size), y, rate, 1 / (1 - rate), key=12345)
    deviation = np.sqrt(rate * (1 - rate) / size)
    assert abs(np.mean(y == 0) - rate) <= 4 * deviation
    np.testing.assert_allclose(y.mean(), 1.0, atol=4 * deviation / (1 - rate) + 1e-12)


@pytest.mark.parametrize(("key", "other"), [(1, 2), (0, 1 << 32), (5, 5 + (1 << 40))])
def test_dropout_masks_of_different_keys_are_unrelated(key, other):
    a, b = blank(50_000), blank(50_000)
    reference.dropout_forward(np.ones(50_000), a, 0.5, 1.0, key)
    reference.dropout_forward(np.ones(50_000), b, 0.5, 1.0, other)
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.02


# --- images --------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3]))
@FEW
def test_gathered_pixel_is_that_of_the_shifted_and_mirrored_image(seed, channels):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (4, 5, 3, channels), dtype=np.uint8)
    index, shift = rng.integers(0, 4, 6), rng.integers(-4, 5, (6, 2))
    flip, (mean, inv_std) = rng.random(6) < 0.5, rng.uniform(0.2, 4.0, (2, channels))
    y = blank((6, 5, 3, channels))
    reference.gather_images(images, index, y, mean, inv_std, shift, flip)
    for n, i, j in np.ndindex(6, 5, 3):
        row = i + shift[n, 0]
        column = (2 - j if flip[n] else j) + shift[n, 1]
        inside = 0 <= row < 5 and 0 <= column < 3
        pixel = images[index[n], row, column] / 255 if inside else np.zeros(channels)
        np.testing.assert_allclose(y[n, i, j], (pixel - mean) * inv_std, atol=1e-12)


# --- small things --------------------------------------------------------------------------------


def test_copied_columns_leave_the_others_alone():
    src, dst = np.arange(12.0).reshape(3, 4), np.full((3, 5), -1.0)
    reference.copy_columns(src, dst, 1, 2, 2)
    np.testing.assert_array_equal(dst[:, 2:4], src[:, 1:3])
    assert (dst[:, [0, 1, 4]] == -1).all()


def test_padding_surrounds_the_image_with_zeros():
    x, y = np.ones((2, 3, 2, 3)), blank((2, 6, 7, 3))
    reference.pad2d_forward(x, y, 1, 4)
    assert (y[:, 1:4, 4:6] == 1).all()
    assert y.sum() == x.sum()


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
def test_matrix_product_transposes_what_it_is_told_to(transpose_a, transpose_b):
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(2, 3)), rng.normal(size=(3, 4)), blank((2, 4))
    stored_a, stored_b = (a.T if transpose_a else a), (b.T if transpose_b else b)
    reference.matmul(stored_a.copy(), stored_b.copy(), c, transpose_a, transpose_b)
    np.testing.assert_allclose(c, a @ b, atol=1e-14)


@pytest.mark.parametrize("groups", [1, 3])
def test_folded_convolution_does_what_convolution_and_batch_norm_did(groups):
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=(2, 5, 4, 6)), rng.normal(size=(3, 2, 6 // groups, 3))
    b, gamma, beta, mean = rng.normal(size=(4, 3))
    var, how = rng.uniform(0.1, 2.0, 3), ((2, 1), (1, 0), (1, 2), groups)
    y, expected, folded = blank((3, 2, 3, 2, 3))
    reference.conv2d_forward(x, w, b, y, *how)
    flat = (-1, 3)
    reference.batch_norm_forward_inference(y.reshape(flat), gamma, beta, mean, var, expected.reshape(flat), 1e-3)
    w_folded, b_folded = blank(w.shape), blank(3)
    reference.fold_batch_norm(w, b, gamma, beta, mean, var, 1e-3, w_folded, b_folded)
    reference.conv2d_forward(x, w_folded, b_folded, folded, *how)
    np.testing.assert_allclose(folded, expected, atol=1e-12)


def test_batch_norm_of_one_row_keeps_the_biased_variance():
    x, running_mean, running_var = np.full((1, 3), 5.0), np.zeros(3), np.ones(3)
    y, mean, inv_std = blank((1, 3)), blank(3), blank(3)
    reference.batch_norm_forward_train(
        x, np.ones(3), np.zeros(3), y, mean, inv_std, running_mean, running_var, 0.1, 1e-5
    )
    np.testing.assert_array_equal(y, 0)
    np.testing.assert_allclose(running_mean, 0.5)
    np.testing.assert_allclose(running_var, 0.9)


def test_loss_of_an_impossible_other_class_is_finite():
    losses = blank(1)
    logits = np.array([[0.0, -np.inf, 0.0]])
    reference.softmax_cross_entropy_forward(logits, np.array([0]), blank((1, 3)), losses, 0.0)
    np.testing.assert_allclose(losses, np.log(2))


def test_clipping_and_finiteness_do_not_hide_not_a_number():
    g = np.array([-3.0, -0.5, np.nan, 2.0])
    assert not reference.all_finite(g)
    reference.clip_by_value(g, 1.0)
    np.testing.assert_array_equal(g, [-1.0, -0.5, np.nan, 1.0])
    assert not reference.all_finite(np.array([1.0, np.inf]))
    assert reference.all_finite(g[:2])
    assert reference.sum_of_squares(np.array([3.0, 4.0])) == 25.0


# --- manners -------------------------------------------------------------------------------------


class Output:
    """An array that a function must assign entirely."""

    def __init__(self, *shape, dtype=np.float64):
        self.shape, self.dtype = shape, dtype


class InPlace:
    """An array that a function changes."""

    def __init__(self, *shape):
        self.shape = shape


class Input:
    """An array of random numbers in (0.1, 1) that a function must leave alone."""

    def __init__(self, *shape):
        self.shape = shape


FLAT, IMAGE, POOLED, ROWS, C = (12,), (2, 5, 5, 6), (2, 2, 2, 6), (4, 6), (6,)
POOL, CONV = ((3, 3), (2, 2), (0, 0)), ((1, 1), (1, 1), (1, 1), 2)
LABELS = np.array([0, 5, 2, 2])
WINNERS = np.arange(48, dtype=np.uint8).reshape(POOLED) % 9
CALLS = {
    "matmul": (Input(4, 3), Input(3, 6), Output(*ROWS), False, False),
    "linear_forward": (Input(4, 3), Input(3, 6), Input(*C), Output(*ROWS)),
    "linear_backward_data": (Input(*ROWS), Input(3, 6), Output(4, 3)),
    "linear_backward_weights": (Input(4, 3), Input(*ROWS), Output(3, 6), Output(*C)),
    "conv2d_forward": (Input(*IMAGE), Input(3, 3, 3, 4), Input(4), Output(2, 5, 5, 4), *CONV),
    "conv2d_norm_forward": (
        Input(*IMAGE), Input(3, 3, 3, 4), Input(4), *[Input(4)] * 4, Output(2, 5, 5, 4), *CONV, 1e-5,
    ),
    "conv2d_backward_data": (Input(2, 5, 5, 4), Input(3, 3, 3, 4), Output(*IMAGE), *CONV),
    "conv2d_backward_weights": (
        Input(*IMAGE), Input(2, 5, 5, 4), Output(3, 3, 3, 4), Output(4), *CONV,
    ),
    "conv2d_each_forward": (
        Input(*IMAGE), Input(2, 3, 3, 3, 4), Input(2, 4), Output(2, 5, 5, 4), *CONV,
    ),
    "conv2d_each_backward_data": (Input(2, 5, 5, 4), Input(2, 3, 3, 3, 4), Output(*IMAGE), *CONV),
    "conv2d_each_backward_weights": (
        Input(*IMAGE), Input(2, 5, 5, 4), Output(2, 3, 3, 3, 4), Output(2, 4), *CONV,
    ),
    "conv2d_normalised_applies": (IMAGE, (3, 3, 3, 4), *CONV),
    "conv2d_normalised_forward": (
        Input(*IMAGE), *[Input(*C)] * 4, Input(3, 3, 3, 4), Input(4), Output(2, 5, 5, 4), *CONV, "relu6",
    ),
    "conv2d_normalised_backward_weights": (
        Input(*IMAGE), *[Input(*C)] * 4, Input(2, 5, 5, 4), Output(3, 3, 3, 4), Output(4), *CONV, "relu",
    ),
    "conv2d_pool_applies": (IMAGE, (3, 3, 3, 4), *CONV),
    "conv2d_pool_forward": (
        Input(*IMAGE), Input(3, 3, 3, 4), Input(4), Output(2, 2, 2, 4), Output(2, 2, 2, 4, dtype=np.uint8), *CONV,
    ),
    "conv2d_pool_backward": (
        Input(*IMAGE), Input(3, 3, 3, 4), Input(2, 2, 2, 4), np.full((2, 2, 2, 4), 3, np.uint8),
        Output(3, 3, 3, 4), Output(4), Output(*IMAGE), *CONV,
    ),
    "max_pool2d_forward": (Input(*IMAGE), Output(*POOLED), Output(*POOLED, dtype=np.uint8), *POOL),
    "max_pool2d_backward": (Input(*POOLED), WINNERS, Output(*IMAGE), *POOL),
    "avg_pool2d_forward": (Input(*IMAGE), Output(*POOLED), *POOL, True),
    "avg_pool2d_backward": (Input(*POOLED), Output(*IMAGE), *POOL, True),
    "adaptive_avg_pool2d_forward": (Input(*IMAGE), Output(*POOLED)),
    "adaptive_avg_pool2d_backward": (Input(*POOLED), Output(*IMAGE)),
    "adaptive_max_pool2d_forward": (
        Input(*IMAGE), Output(*POOLED), Output(*POOLED, dtype=np.int32),
    ),
    "adaptive_max_pool2d_backward": (Input(*POOLED), WINNERS.astype(np.int32), Output(*IMAGE)),
    "batch_norm_forward_train": (
        Input(*ROWS), Input(*C), Input(*C), Output(*ROWS), Output(*C), Output(*C),
        InPlace(*C), InPlace(*C), 0.1, 1e-5,
    ),
    "batch_norm_statistics": (
        Input(*ROWS), Input(*C), Input(*C), Output(*C), Output(*C), Output(*C), InPlace(*C), InPlace(*C), 0.1, 1e-5,
    ),
    "batch_norm_forward_inference": (
        Input(*ROWS), Input(*C), Input(*C), Input(*C), Input(*C), Output(*ROWS), 1e-5,
    ),
    "batch_norm_backward_train": (
        Input(*ROWS), Input(*C), Input(*C), Input(*C), Input(*ROWS),
        Output(*ROWS), Output(*C), Output(*C),
    ),
    "batch_norm_backward_inference": (
        Input(*ROWS), Input(*C), Input(*C), Input(*C), Input(*ROWS),
        Output(*ROWS), Output(*C), Output(*C), 1e-5,
    ),
    "batch_norm_activation_forward_train": (
        Input(*ROWS), Input(*C), Input(*C), Input(*ROWS), Output(*ROWS), Output(*C), Output(*C), Output(*C),
        InPlace(*C), InPlace(*C), 0.1, 1e-5, "relu6",
    ),
    "batch_norm_activation_forward_inference": (
        Input(*ROWS), Input(*C), Input(*C), Input(*C), Input(*C), Input(*ROWS), Output(*ROWS), 1e-5, "relu",
    ),
    "batch_norm_activation_backward_train": (
        Input(*ROWS), Input(*C), Input(*C), Input(*C), Input(*C), Input(*ROWS), Input(*ROWS),
        Output(*ROWS), Output(*ROWS), Output(*C), Output(*C), "relu",
    ),
    "fold_batch_norm": (
        Input(3, 6), Input(*C), Input(*C), Input(*C), Input(*C), Input(*C), 1e-5,
        Output(3, 6), Output(*C),
    ),
    "branch_softmax_forward": (Input(*ROWS), Output(*ROWS), 3),
    "branch_softmax_backward": (Input(*ROWS), Input(*ROWS), Output(*ROWS), 3),
    "leaky_relu_forward": (Input(*ROWS), Output(*ROWS), 0.1),
    "leaky_relu_backward": (Input(*ROWS), Input(*ROWS), Output(*ROWS), 0.1),
    "dropout_forward": (Input(*ROWS), Output(*ROWS), 0.5, 2.0, 77),
    "dropout_backward": (Input(*ROWS), Output(*ROWS), 0.5, 2.0, 77),
    "stochastic_depth_forward": (Input(*ROWS), Output(*ROWS), 0.5, 2.0, 77),
    "stochastic_depth_backward": (Input(*ROWS), Output(*ROWS), 0.5, 2.0, 77),
    "add_forward": (Input(4, 1), Input(1, 6), Output(*ROWS)),
    "add_backward": (Input(*ROWS), Output(4, 1), Output(1, 6)),
    "multiply_forward": (Input(4, 1), Input(1, 6), Output(*ROWS)),
    "multiply_backward": (Input(4, 1), Input(1, 6), Input(*ROWS), Output(4, 1), Output(1, 6)),
    "accumulate": (InPlace(*ROWS), Input(*ROWS)),
    "scale_forward": (Input(*ROWS), Output(*ROWS), 3.0),
    "fill": (Output(*ROWS), 0.5),
    "copy_columns": (Input(*ROWS), Output(4, 2), 3, 0, 2),
    "pad2d_forward": (Input(*IMAGE), Output(2, 7, 8, 6), 1, 2),
    "pad2d_backward": (Input(2, 7, 8, 6), Output(*IMAGE), 1, 2),
    "softmax_cross_entropy_forward": (Input(*ROWS), LABELS, Output(*ROWS), Output(4), 0.1),
    "softmax_cross_entropy_backward": (Input(*ROWS), LABELS, Output(*ROWS), 0.1, 0.25),
    "bce_with_logits_forward": (Input(*ROWS), Input(*ROWS), Output(4)),
    "bce_with_logits_backward": (Input(*ROWS), Input(*ROWS), Output(*ROWS), 0.25),
    "mse_forward": (Input(*ROWS), Input(*ROWS), Output(4)),
    "mse_backward": (Input(*ROWS), Input(*ROWS), Output(*ROWS), 0.25),
    "sgd_update": (InPlace(*FLAT), Input(*FLAT), 0.1, 0.01, 0.02, 0.5),
    "momentum_update": (
        InPlace(*FLAT), Input(*FLAT), InPlace(*FLAT), 0.1, 0.9, True, 0.01, 0.02, 0.5,
    ),
    "rmsprop_update": (
        InPlace(*FLAT), Input(*FLAT), InPlace(*FLAT), 0.1, 0.9, 1e-6, 0.01, 0.02, 0.5,
    ),
    "adam_update": (
        InPlace(*FLAT), Input(*FLAT), InPlace(*FLAT), InPlace(*FLAT),
        0.1, 0.9, 0.99, 1e-6, 3, 0.1, 0.01, 0.02, 0.5,
    ),
    "sum_of_squares": (Input(*FLAT),),
    "clip_by_value": (InPlace(*FLAT), 0.5),
    "all_finite": (Input(*FLAT),),
    "channel_shuffle_forward": (Input(*ROWS), Output(*ROWS), 2),
    "channel_shuffle_backward": (Input(*ROWS), Output(*ROWS), 2),
    "interleave_forward": (Input(*ROWS), Input(4, 7), Output(4, 8), 1),
    "interleave_backward": (Input(4, 12), Output(*ROWS), Output(*ROWS), 0),
    "layer_norm_forward": (Input(*ROWS), Input(*C), Input(*C), Output(*ROWS), Output(4), Output(4), 1e-5),
    "layer_norm_backward": (
        Input(*ROWS), Input(*C), Input(4), Input(4), Input(*ROWS), Output(*ROWS), Output(*C), Output(*C),
    ),
    "group_norm_forward": (
        Input(2, 5, 6), Input(*C), Input(*C), Output(2, 5, 6), Output(2, 3), Output(2, 3), 1e-5,
    ),
    "group_norm_backward": (
        Input(2, 5, 6), Input(*C), Input(2, 3), Input(2, 3), Input(2, 5, 6), Output(2, 5, 6), Output(*C), Output(*C),
    ),
    "local_response_norm_forward": (Input(*ROWS), Output(*ROWS), Output(*ROWS), 3, 0.5, 0.75, 1.0),
    "local_response_norm_backward": (Input(*ROWS), Input(*ROWS), Input(*ROWS), Output(*ROWS), 3, 0.5, 0.75),
    "upsample2d_forward": (Input(*IMAGE), Output(2, 10, 15, 6), True),
    "upsample2d_backward": (Input(2, 10, 15, 6), Output(*IMAGE), True),
    "prepend_token_forward": (Input(2, 5, 6), Input(*C), Output(2, 6, 6)),
    "prepend_token_backward": (Input(2, 6, 6), Output(2, 5, 6), Output(*C)),
    "attention_forward": (
        Input(2, 5, 6), Input(2, 4, 6), Input(2, 4, 2), Output(2, 5, 2), Output(2, 2, 5, 4), 2, 0.5, True,
    ),
    "attention_backward": (
        Input(2, 5, 6), Input(2, 4, 6), Input(2, 4, 2), Input(2, 2, 5, 4), Input(2, 5, 2),
        Output(2, 5, 6), Output(2, 4, 6), Output(2, 4, 2), 2, 0.5, True,
    ),
    "deform_conv2d_forward": (
        Input(*IMAGE), Input(2, 5, 5, 36), Input(2, 5, 5, 18), Input(3, 3, 3, 4), Input(4), Output(2, 5, 5, 4), *CONV,
    ),
    "deform_conv2d_backward_data": (
        Input(*IMAGE), Input(2, 5, 5, 36), Input(2, 5, 5, 18), Input(3, 3, 3, 4), Input(2, 5, 5, 4),
        Output(*IMAGE), Output(2, 5, 5, 36), Output(2, 5, 5, 18), *CONV,
    ),
    "deform_conv2d_backward_weights": (
        Input(*IMAGE), Input(2, 5, 5, 36), Input(2, 5, 5, 18), Input(2, 5, 5, 4), Output(3, 3, 3, 4), Output(4), *CONV,
    ),
    "gather_images": (
        np.arange(72, dtype=np.uint8).reshape(2, 4, 3, 3), np.array([1, 0]), Output(2, 4, 3, 3),
        Input(3), Input(3), np.array([[1, -1], [0, 2]]), np.array([True, False]),
    ),
}  # fmt: skip
for _name in ("sigmoid", "tanh", "relu", "relu6", "gelu", "silu", "hard_sigmoid", "hard_swish", "softmax"):
    CALLS[f"{_name}_forward"] = (Input(*ROWS), Output(*ROWS))
    CALLS[f"{_name}_backward"] = (Input(*ROWS), Input(*ROWS), Output(*ROWS))


#: Outputs that hold what rounding took from others, so that they follow the type of the arrays.
TAKES_ROUNDING_IN = {("batch_norm_activation_forward_train", 7), ("batch_norm_statistics", 5)}


def make_argument(kind, dtype, rng):
    """The value that stands for one entry of CALLS."""
    if isinstance(kind, Output):
        return blank(kind.shape, dtype if kind.dtype == np.float64 else kind.dtype)
    if isinstance(kind, Input | InPlace):
        return rng.uniform(0.1, 1.0, kind.shape).astype(np.float32).astype(dtype)
    return kind.copy() if isinstance(kind, np.ndarray) else kind


def call(name, dtype):
    """Call a function; returns its arguments before and after, and what it returned."""
    rng = np.random.default_rng(5)
    arguments = [make_argument(kind, dtype, rng) for kind in CALLS[name]]
    before = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
    return before, arguments, getattr(reference, name)(*arguments)


def test_the_manners_of_every_function_are_tested():
    assert set(CALLS) == set(reference.__all__)


@pytest.mark.parametrize("name", sorted(CALLS))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_function_leaves_its_inputs_alone_and_assigns_its_outputs_entirely(name, dtype):
    before, after, _ = call(name, dtype)
    for kind, old, new in zip(CALLS[name], before, after, strict=True):
        if isinstance(kind, Output):
            assert not (np.isnan(new) if new.dtype.kind == "f" else new == 99).any()
        elif isinstance(kind, InPlace):
            assert not np.array_equal(old, new)
        elif isinstance(kind, Input | np.ndarray):
            np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_function_computes_in_double_precision_whatever_the_arrays_hold(name):
    _, double, returned = call(name, np.float64)
    _, single, returned_single = call(name, np.float32)
    assert returned == returned_single
    for i, (wide, narrow) in enumerate(zip(double, single, strict=True)):
        if isinstance(wide, np.ndarray) and (name, i) not in TAKES_ROUNDING_IN:
            np.testing.assert_array_equal(wide.astype(narrow.dtype), narrow)
