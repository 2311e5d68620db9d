"""The attention of the GPU against the textbook's, in the simulator."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import reference
from kernels.cuda import attention, reduce, tiles, toolkit
from tests.kernels.cuda.helpers import Output, in_textbook, on_gpu
from tests.kernels.helpers import normal


@pytest.fixture(autouse=True)
def small_rows(small_blocks, monkeypatch):
    """Rows of the softmax get 2 to 16 threads here, instead of 32 to 256."""
    monkeypatch.setattr(reduce, "_LANES", 2)


#: Images, queries, keys, heads, depth and width of a head.
CASES = {
    "heads": (2, 5, 7, 2, 4, 8),
    "odd sizes": (1, 3, 6, 2, 3, 5),
    "one token": (2, 1, 1, 1, 1, 1),
    "many queries": (1, 66, 3, 1, 4, 4),
    "many keys": (1, 3, 66, 1, 4, 4),
}


def assert_agree(name, *arguments):
    """Up to float32's rounding of the largest value, or of 1: of one key the gradient of the softmax is 0."""
    ours, theirs = on_gpu(getattr(attention, name), *arguments), in_textbook(getattr(reference, name), *arguments)
    for mine, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=0, atol=2e-5 * max(1.0, float(np.abs(expected).max())))


def inputs(images, queries, keys, heads, depth, width):
    shapes = (queries, heads * depth), (keys, heads * depth), (keys, heads * width), (queries, heads * width)
    return [normal(seed, images, *shape) for seed, shape in enumerate(shapes)]


def weights_of(q, k, heads, scale, softmax):
    """What the forward pass would leave."""
    shape = len(q), heads, q.shape[1], k.shape[1]
    _, found = in_textbook(
        reference.attention_forward, q, k, k, Output(*q.shape), Output(*shape), heads, scale, softmax
    )
    return found.astype(np.float32)


def assert_both_ways(name, softmax=True):
    images, queries, keys, heads, *_ = CASES[name]
    q, k, v, dy = inputs(*CASES[name])
    how = heads, 0.5, softmax
    assert_agree("attention_forward", q, k, v, Output(*dy.shape), Output(images, heads, queries, keys), *how)
    gradients = (Output(*each.shape) for each in (q, k, v))
    assert_agree("attention_backward", q, k, v, weights_of(q, k, *how), dy, *gradients, *how)


@pytest.mark.parametrize("name", ["heads", "odd sizes", "one token"])
def test_heads_agree_both_ways(name):
    assert_both_ways(name)


def test_products_without_softmax_agree_both_ways():
    assert_both_ways("odd sizes", softmax=False)


@pytest.mark.parametrize("name", ["many queries", "many keys"])
def test_more_tokens_than_a_tile_has_agree_both_ways(name):
    assert_both_ways(name)


def test_large_tiles_agree_both_ways(monkeypatch):
    monkeypatch.setattr(tiles, "fitting", lambda sizes: tiles.LARGE)
    assert_both_ways("odd sizes")


@pytest.mark.parametrize("wanted", range(3), ids=["queries", "keys", "values"])
def test_a_gradient_that_nobody_wants_is_not_computed(wanted):
    q, k, v, dy = inputs(*CASES["odd sizes"])
    gradients = [Output(*each.shape) if place == wanted else None for place, each in enumerate((q, k, v))]
    assert_agree("attention_backward", q, k, v, weights_of(q, k, 2, 1.0, True), dy, *gradients, 2, 1.0, True)


def parts(joint, begin, width):
    """Three neighbours among the features of an array, from `begin` on."""
    return [joint[:, :, begin + i * width : begin + (i + 1) * width] for i in range(3)]


@pytest.mark.parametrize(("begin", "depth"), [(4, 8), (1, 6)])
def test_queries_keys_and_values_may_lie_anywhere_in_one_array(begin, depth):
    joint, dy = normal(0, 2, 5, 28), normal(1, 2, 5, depth)
    y, shares = Output(2, 5, depth), Output(2, 2, 5, 5)
    expected = np.full(joint.shape, 7.0)  # and nothing else is written
    theirs = in_textbook(reference.attention_forward, *parts(joint, begin, depth), y, shares, 2, 0.4, True)
    weights = theirs[1].astype(np.float32)
    slopes = parts(expected, begin, depth)
    reference.attention_backward(*parts(joint, begin, depth), weights, dy, *slopes, 2, 0.4, True)

    there, gradient = toolkit.to_device(joint), toolkit.to_device(np.full(joint.shape, 7, np.float32))
    ours = on_gpu(attention.attention_forward, *parts(there, begin, depth), y, shares, 2, 0.4, True)
    for mine, right in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, right, atol=2e-5)
    arguments = toolkit.to_device(weights), toolkit.to_device(dy), *parts(gradient, begin, depth)
    attention.attention_backward(*parts(there, begin, depth), *arguments, 2, 0.4, True)
    np.testing.assert_allclose(gradient.copy_to_host(), expected, atol=2e-5 * float(np.abs(expected).max()))


@pytest.mark.parametrize(
    ("features", "begin", "width", "aligned"),
    [(24, 0, 8, True), (24, 8, 8, True), (24, 1, 8, False), (24, 0, 12, False), (26, 0, 8, False)],
    ids=["first", "later", "begins anywhere", "odd heads", "odd rows"],
)
def test_four_floats_are_read_at_once_only_where_all_rows_of_all_heads_are_aligned(features, begin, width, aligned):
    array = toolkit.to_device(normal(0, 1, 3, features))
    matrices = attention._features(array[:, :, begin : begin + width], 2)
    assert matrices.numbers() == (3 * features, width // 2, features, aligned)


def test_not_a_number_stays_in_its_image():
    x = normal(0, 2, 3, 4)
    x[1, 2, 3] = np.nan
    y, _ = on_gpu(attention.attention_forward, x, x, x, Output(2, 3, 4), Output(2, 1, 3, 3), 1, 1.0, True)
    assert np.isnan(y[1]).all()
    assert np.isfinite(y[0]).all()


def test_nothing_is_done_to_nothing():
    x = normal(0, 0, 4, 6)
    y, weights = on_gpu(attention.attention_forward, x, x, x, Output(0, 4, 6), Output(0, 2, 4, 4), 2, 1.0, True)
    assert y.size == weights.size == 0
    gradients = [Output(0, 4, 6)] * 3
    assert len(on_gpu(attention.attention_backward, x, x, x, weights, x, *gradients, 2, 1.0, True)) == 3


def test_shapes_that_do_not_fit_are_refused():
    x = normal(0, 1, 4, 6)
    for heads, weights in ((4, (1, 4, 4, 4)), (2, (1, 2, 4, 5))):
        with pytest.raises(ValueError, match=f"{heads} heads"):
            on_gpu(attention.attention_forward, x, x, x, Output(1, 4, 6), Output(*weights), heads, 1.0, True)
    there, weights = toolkit.to_device(normal(0, 1, 4, 12)), toolkit.to_device(normal(0, 1, 1, 4, 4))
    with pytest.raises(ValueError, match="side by side"):
        attention.attention_forward(*[there[:, :, ::2]] * 4, weights, 1, 1.0, True)


def test_the_memory_of_a_view_reaches_from_its_first_number_to_its_last():
    array = toolkit.to_device(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    memory = toolkit.line(array[:, 1:, 1:3])
    np.testing.assert_array_equal(memory.copy_to_host(), np.arange(5, 23))
    memory[0] = -1
    assert array.copy_to_host()[0, 1, 1] == -1
    assert toolkit.line(array[:0]).size == 0
