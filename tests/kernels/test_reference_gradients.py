"""Every backward pass of the oracle is the derivative of its forward pass (central differences)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kernels import reference

SEEDS = st.integers(0, 2**32 - 1)
CHANNELS = st.sampled_from([1, 3, 6, 10])
PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))
FEW = settings(deadline=None, max_examples=25)
STEP = 1e-5
#: Inputs keep this far from every kink, and from each other where a maximum is taken.
CLEARANCE = 1e-3


def blank(shape):
    """An output that no test accepts unless all of it is overwritten."""
    return np.full(shape, np.nan)


def directions(shape, rng, most=20):
    """One-hot directions (all of them, or `most` drawn at random) and one that moves everything."""
    size = int(np.prod(shape))
    for position in rng.permutation(size)[:most]:
        yield np.eye(1, size, position).reshape(shape)
    yield rng.normal(size=shape)


def check_gradient(value, x, gradient, rng):
    """Compare `gradient` with central differences of the scalar function `value` at `x`."""
    for direction in directions(x.shape, rng):
        rise = value(x + STEP * direction) - value(x - STEP * direction)
        analytic = np.sum(gradient * direction)
        np.testing.assert_allclose(analytic, rise / (2 * STEP), rtol=1e-6, atol=1e-7)


def contract(forward, dy):
    """``sum(y * dy)`` as a function of the input; `forward` is called as ``forward(x, y)``."""

    def value(x):
        y = blank(dy.shape)
        forward(x, y)
        return np.sum(y * dy)

    return value


def distinct(rng, shape):
    """Numbers that differ by far more than the step of the differences."""
    size = int(np.prod(shape))
    return (rng.permutation(size).reshape(shape) - size / 2) * 0.01


def away_from(kinks, x):
    """Push `x` off the points where a function has no derivative."""
    for kink in kinks:
        x = np.where(np.abs(x - kink) < CLEARANCE, kink + 2 * CLEARANCE, x)
    return x


@given(SEEDS, st.integers(1, 4), CHANNELS, CHANNELS)
@FEW
def test_linear_layer(seed, n, n_in, n_out):
    rng = np.random.default_rng(seed)
    x, w, b, dy = (rng.normal(size=s) for s in ((n, n_in), (n_in, n_out), n_out, (n, n_out)))
    dx, dw, db = blank(x.shape), blank(w.shape), blank(b.shape)
    reference.linear_backward_data(dy, w, dx)
    reference.linear_backward_weights(x, dy, dw, db)
    check_gradient(contract(lambda x, y: reference.linear_forward(x, w, b, y), dy), x, dx, rng)
    check_gradient(contract(lambda w, y: reference.linear_forward(x, w, b, y), dy), w, dw, rng)
    check_gradient(contract(lambda b, y: reference.linear_forward(x, w, b, y), dy), b, db, rng)


#: (C_in, C_out, groups), depthwise among them.
GROUPED = [
    (1, 3, 1), (3, 6, 1), (6, 10, 1), (10, 1, 1), (3, 3, 3), (6, 6, 6), (3, 6, 3), (6, 10, 2),
    (10, 10, 10), (10, 6, 2),
]  # fmt: skip


@given(
    SEEDS,
    st.integers(1, 2),
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    st.sampled_from(GROUPED),
    PAIRS,
    PAIRS,
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
)
@FEW
def test_convolution(seed, n, size, channels, kernel, stride, padding, dilation):
    output_size = tuple(
        (h + 2 * p - d * (k - 1) - 1) // s + 1
        for h, p, d, k, s in zip(size, padding, dilation, kernel, stride, strict=True)
    )
    assume(min(output_size) >= 1)
    c_in, c_out, groups = channels
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, *size, c_in))
    w = rng.normal(size=(*kernel, c_in // groups, c_out))
    b = rng.normal(size=c_out)
    dy = rng.normal(size=(n, *output_size, c_out))
    how = (stride, padding, dilation, groups)
    dx, dw, db = blank(x.shape), blank(w.shape), blank(b.shape)
    reference.conv2d_backward_data(dy, w, dx, *how)
    reference.conv2d_backward_weights(x, dy, dw, db, *how)
    forward = reference.conv2d_forward
    check_gradient(contract(lambda x, y: forward(x, w, b, y, *how), dy), x, dx, rng)
    check_gradient(contract(lambda w, y: forward(x, w, b, y, *how), dy), w, dw, rng)
    check_gradient(contract(lambda b, y: forward(x, w, b, y, *how), dy), b, db, rng)


@st.composite
def pools(draw):
    """(seed, input shape, output shape, kernel, stride, padding); windows overlap and overhang."""
    kernel, stride = draw(st.tuples(st.integers(1, 4), st.integers(1, 4))), draw(PAIRS)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    size = tuple(draw(st.integers(max(1, k - 2 * p), 7)) for k, p in zip(kernel, padding, strict=True))
    ceil_mode = draw(st.booleans())
    output_size = []
    for h, k, s, p in zip(size, kernel, stride, padding, strict=True):
        outputs = (h + 2 * p - k) // s + 1
        one_more_starts_inside = ceil_mode and (h + 2 * p - k) % s and outputs * s < h + p
        output_size.append(outputs + bool(one_more_starts_inside))
    n, c = draw(st.integers(1, 2)), draw(CHANNELS)
    return draw(SEEDS), (n, *size, c), (n, *output_size, c), kernel, stride, padding


@given(pools())
@FEW
def test_max_pool(pool):
    seed, shape, output_shape, *how = pool
    rng = np.random.default_rng(seed)
    x, dy, dx = distinct(rng, shape), rng.normal(size=output_shape), blank(shape)
    argmax = np.zeros(output_shape, np.uint8)
    reference.max_pool2d_forward(x, blank(output_shape), argmax, *how)
    reference.max_pool2d_backward(dy, argmax, dx, *how)
    scratch = np.zeros_like(argmax)
    value = contract(lambda x, y: reference.max_pool2d_forward(x, y, scratch, *how), dy)
    check_gradient(value, x, dx, rng)


@given(pools(), st.booleans())
@FEW
def test_average_pool(pool, count_include_pad):
    seed, shape, output_shape, *how = pool
    rng = np.random.default_rng(seed)
    x, dy, dx = rng.normal(size=shape), rng.normal(size=output_shape), blank(shape)
    how = (*how, count_include_pad)
    reference.avg_pool2d_backward(dy, dx, *how)
    value = contract(lambda x, y: reference.avg_pool2d_forward(x, y, *how), dy)
    check_gradient(value, x, dx, rng)


@given(
    SEEDS,
    st.tuples(st.integers(1, 2), st.integers(1, 7), st.integers(1, 7), CHANNELS),
    st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
@FEW
def test_adaptive_pools(seed, shape, output_size):
    rng = np.random.default_rng(seed)
    x, dx = distinct(rng, shape), blank(shape)
    dy = rng.normal(size=(shape[0], *output_size, shape[3]))
    reference.adaptive_avg_pool2d_backward(dy, dx)
    check_gradient(contract(reference.adaptive_avg_pool2d_forward, dy), x, dx, rng)

    argmax, scratch = np.zeros((2, *dy.shape), np.int32)
    reference.adaptive_max_pool2d_forward(x, blank(dy.shape), argmax)
    reference.adaptive_max_pool2d_backward(dy, argmax, dx)
    value = contract(lambda x, y: reference.adaptive_max_pool2d_forward(x, y, scratch), dy)
    check_gradient(value, x, dx, rng)


def normalise_in_training(x, gamma, beta, y):
    """The training forward pass without its by-products; returns mean and 1 / deviation."""
    mean, inv_std, running_mean, running_var = np.zeros((4, len(gamma)))
    reference.batch_norm_forward_train(x, gamma, beta, y, mean, inv_std, running_mean, running_var, 0.1, 1e-3)
    return mean, inv_std


@given(SEEDS, st.integers(2, 12), CHANNELS)
@FEW
def test_batch_norm_in_training(seed, rows, channels):
    rng = np.random.default_rng(seed)
    x, dy = rng.normal(1.0, 2.0, (2, rows, channels))
    gamma, beta = rng.normal(size=(2, channels))
    dx, dgamma, dbeta = blank(x.shape), blank(channels), blank(channels)
    mean, inv_std = normalise_in_training(x, gamma, beta, blank(x.shape))
    reference.batch_norm_backward_train(x, gamma, mean, inv_std, dy, dx, dgamma, dbeta)
    forward = normalise_in_training
    check_gradient(contract(lambda x, y: forward(x, gamma, beta, y), dy), x, dx, rng)
    check_gradient(contract(lambda gamma, y: forward(x, gamma, beta, y), dy), gamma, dgamma, rng)
    check_gradient(contract(lambda beta, y: forward(x, gamma, beta, y), dy), beta, dbeta, rng)


@pytest.mark.parametrize("activation", ["none", "relu", "relu6"])
@pytest.mark.parametrize("shortcut", [False, True])
@given(SEEDS, st.integers(3, 12), CHANNELS)
@FEW
def test_batch_norm_with_a_shortcut_and_an_activation(shortcut, activation, seed, rows, channels):
    rng = np.random.default_rng(seed)
    x, dy, other = rng.normal(1.0, 2.0, (3, rows, channels))
    gamma, beta = 4 * rng.normal(size=(2, channels))
    s = other if shortcut else None
    kept = [blank(channels) for _ in range(3)]

    def forward(x, gamma, beta, s, y, kept=None, activation=activation):
        running = np.zeros(channels), np.ones(channels)
        kept = kept or [blank(channels) for _ in range(3)]
        reference.batch_norm_activation_forward_train(x, gamma, beta, s, y, *kept, *running, 0.1, 1e-3, activation)

    v, y = blank(x.shape), blank(x.shape)
    forward(x, gamma, beta, s, v, activation="none")
    assume(min(np.abs(v).min(), np.abs(v - 6).min()) > CLEARANCE)
    forward(x, gamma, beta, s, y, kept)
    dx, dgamma, dbeta, ds = blank(x.shape), blank(channels), blank(channels), blank(x.shape) if shortcut else None
    reference.batch_norm_activation_backward_train(x, gamma, *kept, y, dy, dx, ds, dgamma, dbeta, activation)
    check_gradient(contract(lambda x, y: forward(x, gamma, beta, s, y), dy), x, dx, rng)
    check_gradient(contract(lambda gamma, y: forward(x, gamma, beta, s, y), dy), gamma, dgamma, rng)
    check_gradient(contract(lambda beta, y: forward(x, gamma, beta, s, y), dy), beta, dbeta, rng)
    if shortcut:
        check_gradient(contract(lambda s, y: forward(x, gamma, beta, s, y), dy), s, ds, rng)


@given(SEEDS, st.integers(1, 12), CHANNELS)
@FEW
def test_batch_norm_at_inference(seed, rows, channels):
    rng = np.random.default_rng(seed)
    x, dy = rng.normal(1.0, 2.0, (2, rows, channels))
    gamma, beta, mean = rng.normal(size=(3, channels))
    var = rng.uniform(0.5, 2.0, channels)
    dx, dgamma, dbeta = blank(x.shape), blank(channels), blank(channels)
    reference.batch_norm_backward_inference(x, gamma, mean, var, dy, dx, dgamma, dbeta, 1e-3)

    def forward(x, gamma, beta, y):
        reference.batch_norm_forward_inference(x, gamma, beta, mean, var, y, 1e-3)

    check_gradient(contract(lambda x, y: forward(x, gamma, beta, y), dy), x, dx, rng)
    check_gradient(contract(lambda gamma, y: forward(x, gamma, beta, y), dy), gamma, dgamma, rng)
    check_gradient(contract(lambda beta, y: forward(x, gamma, beta, y), dy), beta, dbeta, rng)


#: name -> (whether the backward pass reads y, where the function has kinks, further arguments)
ACTIVATIONS = {
    "sigmoid": (True, (), ()),
    "tanh": (True, (), ()),
    "relu": (True, (0,), ()),
    "leaky_relu": (False, (0,), (0.2,)),
    "relu6": (True, (0, 6), ()),
    "gelu": (False, (), ()),
    "silu": (False, (), ()),
    "hard_sigmoid": (True, (-3, 3), ()),
    "hard_swish": (False, (-3, 3), ()),
    "softmax": (True, (), ()),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@given(seed=SEEDS, shape=st.lists(st.sampled_from([1, 3, 10]), min_size=1, max_size=3))
@FEW
def test_activation(name, seed, shape):
    reads_y, kinks, extra = ACTIVATIONS[name]
    rng = np.random.default_rng(seed)
    x, dy = away_from(kinks, rng.normal(0.0, 3.0, shape)), rng.normal(size=shape)
    y, dx = blank(shape), blank(shape)
    forward = getattr(reference, f"{name}_forward")
    forward(x, y, *extra)
    getattr(reference, f"{name}_backward")(y if reads_y else x, dy, dx, *extra)
    check_gradient(contract(lambda x, y: forward(x, y, *extra), dy), x, dx, rng)


@given(SEEDS, st.sampled_from([0.0, 0.3, 0.9]), st.integers(-(2**63), 2**64 - 1))
@FEW
def test_dropout(seed, rate, key):
    rng = np.random.default_rng(seed)
    x, dy = rng.normal(size=(2, 3, 7))
    dx, how = blank(x.shape), (rate, 1 / (1 - rate), key)
    reference.dropout_backward(dy, dx, *how)
    value = contract(lambda x, y: reference.dropout_forward(x, y, *how), dy)
    check_gradient(value, x, dx, rng)


@given(SEEDS, st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=4))
@FEW
def test_sum_and_product_with_broadcasting(seed, repeated):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 5, len(repeated))
    a_shape, b_shape = (
        tuple(1 if each[side] else int(size) for each, size in zip(repeated, sizes, strict=True)) for side in (0, 1)
    )
    a, b = rng.normal(size=a_shape), rng.normal(size=b_shape)
    dy = rng.normal(size=np.broadcast_shapes(a_shape, b_shape))
    for name, saved in (("add", ()), ("multiply", (a, b))):
        da, db = blank(a_shape), blank(b_shape)
        forward = getattr(reference, f"{name}_forward")
        backward = getattr(reference, f"{name}_backward")
        backward(*saved, dy, da, db)
        check_gradient(contract(lambda a, y, f=forward: f(a, b, y), dy), a, da, rng)
        check_gradient(contract(lambda b, y, f=forward: f(a, b, y), dy), b, db, rng)
        alone = blank(b_shape)
        backward(*saved, dy, None, alone)
        np.testing.assert_array_equal(alone, db)


@given(SEEDS, *[st.integers(0, 2)] * 4, CHANNELS)
@FEW
def test_padding_and_scaling(seed, top, bottom, left, right, channels):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, 3, 2, channels))
    dy, dx = rng.normal(size=(2, top + 3 + bottom, left + 2 + right, channels)), blank(x.shape)
    reference.pad2d_backward(dy, dx, top, left)
    value = contract(lambda x, y: reference.pad2d_forward(x, y, top, left), dy)
    check_gradient(value, x, dx, rng)

    reference.scale_forward(x, dx, -1.7)  # here x plays dy: scaling is its own backward pass
    check_gradient(contract(lambda z, y: reference.scale_forward(z, y, -1.7), x), x, dx, rng)


@given(SEEDS, st.integers(1, 4), CHANNELS, st.sampled_from([0.0, 0.1, 0.7]))
@FEW
def test_softmax_cross_entropy(seed, n, classes, smoothing):
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(0.0, 2.0, (n, classes)), rng.integers(0, classes, n)
    probs, dlogits, scale = blank(logits.shape), blank(logits.shape), 1 / n

    def value(logits):
        losses = blank(n)
        reference.softmax_cross_entropy_forward(logits, labels, probs, losses, smoothing)
        return losses.sum() * scale

    value(logits)
    reference.softmax_cross_entropy_backward(probs, labels, dlogits, smoothing, scale)
    check_gradient(value, logits, dlogits, rng)


@pytest.mark.parametrize("name", ["bce_with_logits", "mse"])
@given(seed=SEEDS, n=st.integers(1, 4), features=CHANNELS)
@FEW
def test_loss_that_averages_over_features(name, seed, n, features):
    rng = np.random.default_rng(seed)
    x, targets, gradient = (
        rng.normal(size=(n, features)),
        rng.random((n, features)),
        blank((n, features)),
    )
    getattr(reference, f"{name}_backward")(x, targets, gradient, 1 / x.size)

    def value(x):
        losses = blank(n)
        getattr(reference, f"{name}_forward")(x, targets, losses)
        return losses.mean()

    check_gradient(value, x, gradient, rng)
