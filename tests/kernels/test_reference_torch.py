"""The oracle agrees with PyTorch in float64: values, gradients, tie rules, running statistics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kernels import reference

torch = pytest.importorskip("torch", reason="compares the oracle with PyTorch")
F = torch.nn.functional

SEEDS = st.integers(0, 2**32 - 1)
PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))
FEW = settings(deadline=None, max_examples=30)
#: (C_in, C_out, groups)
CHANNELS = [(1, 3, 1), (3, 1, 1), (6, 10, 1), (10, 2, 1), (3, 6, 3), (6, 6, 6), (10, 6, 2)]


def channels_first(array):
    """(N, H, W, C) array as an (N, C, H, W) tensor that records gradients."""
    return torch.tensor(np.moveaxis(array, -1, 1).copy(), requires_grad=True)


def channels_last(tensor):
    """(N, C, H, W) tensor as an (N, H, W, C) array."""
    return np.moveaxis(tensor.detach().numpy(), 1, -1)


def blank(shape, dtype=np.float64):
    """An output that no test accepts unless it is overwritten."""
    return np.full(shape, np.nan if np.issubdtype(dtype, np.floating) else 99, dtype)


def assert_same(ours, theirs, tolerance=1e-10):
    theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else theirs
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@given(SEEDS, *[st.integers(1, 6)] * 3, st.booleans())
@FEW
def test_linear_layer_agrees(seed, n, n_in, n_out, with_bias):
    rng = np.random.default_rng(seed)
    x, w, dy = (rng.normal(size=s) for s in ((n, n_in), (n_in, n_out), (n, n_out)))
    b = rng.normal(size=n_out) if with_bias else None
    inputs = [torch.tensor(a, requires_grad=True) for a in (x, w) + ((b,) if with_bias else ())]
    theirs = F.linear(inputs[0], inputs[1].T, inputs[2] if with_bias else None)
    theirs.backward(torch.tensor(dy))

    y, dx, dw = blank(dy.shape), blank(x.shape), blank(w.shape)
    db = blank(n_out) if with_bias else None
    reference.linear_forward(x, w, b, y)
    reference.linear_backward_data(dy, w, dx)
    reference.linear_backward_weights(x, dy, dw, db)
    assert_same(y, theirs)
    assert_same(dx, inputs[0].grad)
    assert_same(dw, inputs[1].grad)
    if with_bias:
        assert_same(db, inputs[2].grad)


@given(
    SEEDS,
    st.integers(1, 2),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from(CHANNELS),
    PAIRS,
    PAIRS,
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.tuples(st.integers(1, 2), st.integers(1, 2)),
    st.booleans(),
)
@FEW
def test_convolution_agrees(seed, n, size, channels, kernel, stride, padding, dilation, with_bias):
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    assume(all(s + 2 * p >= r for s, p, r in zip(size, padding, reach, strict=True)))
    c_in, c_out, groups = channels
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, *size, c_in))
    w = rng.normal(size=(*kernel, c_in // groups, c_out))
    b = rng.normal(size=c_out) if with_bias else None
    tx, tw = channels_first(x), torch.tensor(w.transpose(3, 2, 0, 1).copy(), requires_grad=True)
    tb = torch.tensor(b, requires_grad=True) if with_bias else None
    theirs = F.conv2d(tx, tw, tb, stride, padding, dilation, groups)
    dy = rng.normal(size=channels_last(theirs).shape)
    theirs.backward(torch.tensor(np.moveaxis(dy, -1, 1).copy()))

    y, dx, dw = blank(dy.shape), blank(x.shape), blank(w.shape)
    db = blank(c_out) if with_bias else None
    how = (stride, padding, dilation, groups)
    reference.conv2d_forward(x, w, b, y, *how)
    reference.conv2d_backward_data(dy, w, dx, *how)
    reference.conv2d_backward_weights(x, dy, dw, db, *how)
    assert_same(y, channels_last(theirs))
    assert_same(dx, channels_last(tx.grad))
    assert_same(dw, tw.grad.numpy().transpose(2, 3, 1, 0))
    if with_bias:
        assert_same(db, tb.grad)


@st.composite
def pools(draw):
    """(seed, input shape, kernel, stride, padding, ceil_mode) that PyTorch accepts."""
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    size = tuple(draw(st.integers(max(1, k - 2 * p), 9)) for k, p in zip(kernel, padding, strict=True))
    shape = (draw(st.integers(1, 2)), *size, draw(st.sampled_from([1, 3, 6, 10])))
    return draw(SEEDS), shape, kernel, draw(PAIRS), padding, draw(st.booleans())


@given(pools(), st.booleans())
@FEW
def test_average_pool_agrees_also_in_its_divisors(pool, count_include_pad):
    seed, shape, kernel, stride, padding, ceil_mode = pool
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    tx = channels_first(x)
    theirs = F.avg_pool2d(tx, kernel, stride, padding, ceil_mode, count_include_pad)
    dy = rng.normal(size=channels_last(theirs).shape)
    theirs.backward(torch.tensor(np.moveaxis(dy, -1, 1).copy()))

    y, dx = blank(dy.shape), blank(shape)
    reference.avg_pool2d_forward(x, y, kernel, stride, padding, count_include_pad)
    reference.avg_pool2d_backward(dy, dx, kernel, stride, padding, count_include_pad)
    assert_same(y, channels_last(theirs))
    assert_same(dx, channels_last(tx.grad))


def image_index(argmax, width, kernel, stride, padding):
    """Winners counted within their windows, as flat indices into the image."""
    _, row, column, _ = np.indices(argmax.shape)
    kh, kw = np.divmod(argmax, kernel[1])
    h = row * stride[0] - padding[0] + kh
    w = column * stride[1] - padding[1] + kw
    return h * width + w


@given(pools(), st.sampled_from(["distinct", "ties", "minus infinity", "NaN"]))
@FEW
def test_max_pool_agrees_also_on_ties_and_not_a_number(pool, kind):
    seed, shape, kernel, stride, padding, ceil_mode = pool
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    if kind == "ties":
        x = rng.integers(-2, 2, shape).astype(np.float64)
    if kind in ("minus infinity", "NaN"):
        x[rng.random(shape) < 0.4] = -np.inf if kind == "minus infinity" else np.nan
    tx = channels_first(x)
    theirs, index = F.max_pool2d(tx, kernel, stride, padding, 1, ceil_mode, True)
    dy = rng.normal(size=channels_last(theirs).shape)
    theirs.backward(torch.tensor(np.moveaxis(dy, -1, 1).copy()))

    y, dx, argmax = blank(dy.shape), blank(shape), blank(dy.shape, np.uint8)
    reference.max_pool2d_forward(x, y, argmax, kernel, stride, padding)
    reference.max_pool2d_backward(dy, argmax, dx, kernel, stride, padding)
    assert_same(y, channels_last(theirs))
    ours = image_index(argmax.astype(np.int64), shape[2], kernel, stride, padding)
    np.testing.assert_array_equal(ours, channels_last(index))
    assert_same(dx, channels_last(tx.grad))


@given(
    SEEDS,
    st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 6])),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.booleans(),
)
@FEW
def test_adaptive_pools_agree(seed, shape, output_size, ties):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 3, shape).astype(float) if ties else rng.normal(size=shape)
    dy = rng.normal(size=(shape[0], *output_size, shape[3]))
    tdy = torch.tensor(np.moveaxis(dy, -1, 1).copy())
    y, dx = blank(dy.shape), blank(shape)

    tx = channels_first(x)
    theirs = F.adaptive_avg_pool2d(tx, output_size)
    theirs.backward(tdy)
    reference.adaptive_avg_pool2d_forward(x, y)
    reference.adaptive_avg_pool2d_backward(dy, dx)
    assert_same(y, channels_last(theirs))
    assert_same(dx, channels_last(tx.grad))

    tx = channels_first(x)
    theirs, index = F.adaptive_max_pool2d(tx, output_size, return_indices=True)
    theirs.backward(tdy)
    argmax = blank(dy.shape, np.int32)
    reference.adaptive_max_pool2d_forward(x, y, argmax)
    reference.adaptive_max_pool2d_backward(dy, argmax, dx)
    assert_same(y, channels_last(theirs))
    np.testing.assert_array_equal(argmax, channels_last(index))
    assert_same(dx, channels_last(tx.grad))


def batch_norm_arrays(seed, shape):
    """x, gamma, beta, running mean, running variance, dy."""
    rng = np.random.default_rng(seed)
    x, dy = rng.normal(3.0, 2.0, shape), rng.normal(size=shape)
    gamma, beta, mean = rng.normal(size=(3, shape[1]))
    return x, gamma, beta, mean, rng.uniform(0.5, 2.0, shape[1]), dy


def torch_batch_norm(x, gamma, beta, mean, var, dy, training, momentum, eps):
    """Output, the three gradients, and the running statistics afterwards."""
    inputs = [torch.tensor(a, requires_grad=True) for a in (x, gamma, beta)]
    running = [torch.tensor(a) for a in (mean, var)]
    y = F.batch_norm(inputs[0], *running, *inputs[1:], training, momentum, eps)
    y.backward(torch.tensor(dy))
    return [y, *(a.grad for a in inputs), *running]


@given(
    SEEDS,
    st.tuples(st.integers(2, 20), st.sampled_from([1, 3, 6, 10])),
    st.sampled_from([0.0, 0.1, 1.0]),
)
@FEW
def test_batch_norm_in_training_agrees_also_in_its_running_statistics(seed, shape, momentum):
    x, gamma, beta, running_mean, running_var, dy = batch_norm_arrays(seed, shape)
    theirs = torch_batch_norm(x, gamma, beta, running_mean, running_var, dy, True, momentum, 1e-5)
    y, dx = blank(shape), blank(shape)
    mean, inv_std, dgamma, dbeta = (blank(shape[1]) for _ in range(4))
    reference.batch_norm_forward_train(x, gamma, beta, y, mean, inv_std, running_mean, running_var, momentum, 1e-5)
    reference.batch_norm_backward_train(x, gamma, mean, inv_std, dy, dx, dgamma, dbeta)
    ours = (y, dx, dgamma, dbeta, running_mean, running_var)
    for our, their in zip(ours, theirs, strict=True):
        assert_same(our, their)


@given(SEEDS, st.tuples(st.integers(1, 20), st.sampled_from([1, 3, 6, 10])))
@FEW
def test_batch_norm_at_inference_agrees(seed, shape):
    x, gamma, beta, mean, var, dy = batch_norm_arrays(seed, shape)
    theirs = torch_batch_norm(x, gamma, beta, mean, var, dy, False, 0.1, 1e-3)
    y, dx, dgamma, dbeta = blank(shape), blank(shape), blank(shape[1]), blank(shape[1])
    reference.batch_norm_forward_inference(x, gamma, beta, mean, var, y, 1e-3)
    reference.batch_norm_backward_inference(x, gamma, mean, var, dy, dx, dgamma, dbeta, 1e-3)
    for our, their in zip((y, dx, dgamma, dbeta), theirs[:4], strict=True):
        assert_same(our, their)


#: name -> (PyTorch's function, whether the backward pass reads y, further arguments)
ACTIVATIONS = {
    "sigmoid": (torch.sigmoid, True, ()),
    "tanh": (torch.tanh, True, ()),
    "relu": (torch.relu, True, ()),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.2), False, (0.2,)),
    "relu6": (F.relu6, True, ()),
    "gelu": (F.gelu, False, ()),
    "silu": (F.silu, False, ()),
    "hard_sigmoid": (lambda x: F.relu6(x + 3) / 6, True, ()),  # F.hardsigmoid rounds its 1 / 6 to float32
    "hard_swish": (F.hardswish, False, ()),
    "softmax": (lambda x: torch.softmax(x, -1), True, ()),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("kind", ["random", "kinks", "far out", "NaN"])
def test_activation_agrees(name, kind):
    function, reads_y, extra = ACTIVATIONS[name]
    rng = np.random.default_rng(7)
    x = rng.normal(0.0, 3.0, (3, 2, 10))
    if kind == "kinks":
        x[:] = rng.choice([-3.0, 0.0, 3.0, 6.0], x.shape)
    if kind == "far out":
        x *= 300.0
    if kind == "NaN":
        x[rng.random(x.shape) < 0.2] = np.nan
    dy = rng.normal(size=x.shape)
    tx = torch.tensor(x, requires_grad=True)
    theirs = function(tx)
    theirs.backward(torch.tensor(dy))

    y, dx = blank(x.shape), blank(x.shape)
    getattr(reference, f"{name}_forward")(x, y, *extra)
    getattr(reference, f"{name}_backward")(y if reads_y else x, dy, dx, *extra)
    assert_same(y, theirs)
    known = ~np.isnan(x)  # PyTorch itself is of two minds about the gradient at NaN
    assert_same(dx[known], tx.grad.numpy()[known])


@given(SEEDS, st.integers(1, 5), st.integers(1, 10), st.sampled_from([0.0, 0.1, 0.5]))
@FEW
def test_cross_entropy_agrees_also_with_label_smoothing(seed, n, classes, smoothing):
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(0.0, 5.0, (n, classes)), rng.integers(0, classes, n)
    tx = torch.tensor(logits, requires_grad=True)
    theirs = F.cross_entropy(tx, torch.tensor(labels), reduction="none", label_smoothing=smoothing)
    theirs.mean().backward()

    probs, losses, dlogits = blank(logits.shape), blank(n), blank(logits.shape)
    reference.softmax_cross_entropy_forward(logits, labels, probs, losses, smoothing)
    reference.softmax_cross_entropy_backward(probs, labels, dlogits, smoothing, 1.0 / n)
    assert_same(losses, theirs)
    assert_same(probs, torch.softmax(tx, -1))
    assert_same(dlogits, tx.grad)


@given(SEEDS, st.integers(1, 5), st.integers(1, 10), st.sampled_from([1.0, 100.0]))
@FEW
def test_binary_cross_entropy_and_squared_error_agree(seed, n, features, spread):
    rng = np.random.default_rng(seed)
    y, targets = rng.normal(0.0, spread, (n, features)), rng.random((n, features))
    losses, gradient = blank(n), blank(y.shape)
    for ours, theirs in (
        ("bce_with_logits", F.binary_cross_entropy_with_logits),
        ("mse", F.mse_loss),
    ):
        ty = torch.tensor(y, requires_grad=True)
        each = theirs(ty, torch.tensor(targets), reduction="none")
        each.mean().backward()
        getattr(reference, f"{ours}_forward")(y, targets, losses)
        getattr(reference, f"{ours}_backward")(y, targets, gradient, 1.0 / y.size)
        assert_same(losses, each.mean(dim=1))
        assert_same(gradient, ty.grad)


@given(SEEDS, st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=4))
@FEW
def test_broadcast_sum_and_product_agree(seed, repeated):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 5, len(repeated))
    a_shape, b_shape = (
        tuple(1 if each[side] else size for each, size in zip(repeated, sizes, strict=True)) for side in (0, 1)
    )
    a, b = rng.normal(size=a_shape), rng.normal(size=b_shape)
    dy = rng.normal(size=np.broadcast_shapes(a_shape, b_shape))
    for name, function in (("add", torch.add), ("multiply", torch.mul)):
        ta, tb = (torch.tensor(array, requires_grad=True) for array in (a, b))
        theirs = function(ta, tb)
        theirs.backward(torch.tensor(dy))
        y, da, db = blank(dy.shape), blank(a_shape), blank(b_shape)
        getattr(reference, f"{name}_forward")(a, b, y)
        saved = (a, b) if name == "multiply" else ()
        getattr(reference, f"{name}_backward")(*saved, dy, da, db)
        assert_same(y, theirs)
        assert_same(da, ta.grad)
        assert_same(db, tb.grad)
