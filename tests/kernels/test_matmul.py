"""The fast matrix products and linear layers against the textbook ones."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import cpu, reference
from tests.kernels.guarded import Guarded, assert_matches
from tests.kernels.helpers import threads

#: (M, K, N): edges of tiles and panels, sums in several parts, one row, one column, and layers of real networks.
SHAPES = [
    (1, 1, 1),
    (1, 300, 40),
    (6, 16, 16),
    (7, 33, 17),
    (64, 784, 10),
    (64, 100, 256),
    (200, 64, 130),
    (5, 1100, 24),
    (300, 1, 8),
    (1030, 20, 33),
    # few rows and whole panels: weights and gradients are used where they lie
    (8, 33, 32),
    (64, 784, 256),
    (128, 513, 64),
    (24, 300, 512),
    (13, 12, 64),
    # several blocks of the weights' rows, a part of a panel at the end
    (13, 1100, 40),
    (64, 2050, 250),
    (301, 29, 96),
    # gradients that are summed in several blocks, over several splits of the rows, the other way round, packed or not
    (700, 130, 300),
    (2100, 24, 7),
    (1100, 128, 96),
    (600, 50, 128),
    # gradients of weights for which both sides are packed: several steps, groups of tiles and of panels, edges of each
    (300, 200, 208),
    (65, 48, 48),
    (530, 54, 235),
    (259, 391, 101),
    # rows that are too few to pack weights for
    (1, 400, 10),
    (3, 37, 130),
    (4, 258, 1000),
]


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def check_product(rows, inner, columns, transpose_a, transpose_b):
    a = Guarded(random(*((inner, rows) if transpose_a else (rows, inner))))
    b = Guarded(random(*((columns, inner) if transpose_b else (inner, columns)), seed=1))
    c, expected = Guarded.unwritten((rows, columns)), np.empty((rows, columns))
    cpu.matmul(a.array, b.array, c.array, transpose_a, transpose_b)
    reference.matmul(a.array, b.array, expected, transpose_a, transpose_b)
    assert_matches(c, expected, terms=inner)


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_product_agrees_with_the_textbook(shape, transpose_a, transpose_b):
    check_product(*shape, transpose_a, transpose_b)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 150), st.integers(1, 150), st.integers(1, 70), st.booleans(), st.booleans())
def test_product_agrees_with_the_textbook_for_any_shape(rows, inner, columns, transpose_a, transpose_b):
    check_product(rows, inner, columns, transpose_a, transpose_b)


def test_product_over_nothing_is_zero():
    c = np.ones((3, 4), np.float32)
    cpu.matmul(random(3, 0), random(0, 4), c, False, False)
    assert not c.any()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("with_bias", [True, False])
def test_linear_layer_agrees_with_the_textbook(shape, with_bias):
    rows, inputs, outputs = shape
    x, w = Guarded(random(rows, inputs)), Guarded(random(inputs, outputs, seed=1))
    b, dy = Guarded(random(outputs, seed=2)), Guarded(random(rows, outputs, seed=3))
    y, expected = Guarded.unwritten((rows, outputs)), np.empty((rows, outputs))
    cpu.linear_forward(x.array, w.array, b.array if with_bias else None, y.array)
    reference.linear_forward(x.array, w.array, b.array if with_bias else None, expected)
    assert_matches(y, expected)

    dx, expected = Guarded.unwritten((rows, inputs)), np.empty((rows, inputs))
    cpu.linear_backward_data(dy.array, w.array, dx.array)
    reference.linear_backward_data(dy.array, w.array, expected)
    assert_matches(dx, expected)

    dw, expected = Guarded.unwritten((inputs, outputs)), np.empty((inputs, outputs))
    db, expected_db = Guarded.unwritten(outputs), np.empty(outputs)
    ours, theirs = (db.array, expected_db) if with_bias else (None, None)
    cpu.linear_backward_weights(x.array, dy.array, dw.array, ours)
    reference.linear_backward_weights(x.array, dy.array, expected, theirs)
    assert_matches(dw, expected)
    if with_bias:
        assert_matches(db, expected_db)


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
def test_product_has_the_same_bits_on_one_thread_and_on_all(transpose_a, transpose_b):
    a, b, c = random(300, 300), random(300, 300, seed=1), np.empty((300, 300), np.float32)
    cpu.matmul(a, b, c, transpose_a, transpose_b)
    together = c.tobytes()
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        cpu.matmul(a, b, c, transpose_a, transpose_b)
    finally:
        numba.set_num_threads(threads)
    assert c.tobytes() == together


@pytest.mark.parametrize("rows", [1, 4])
def test_few_rows_have_the_same_bits_on_one_thread_and_on_all(rows):
    x, w, b = random(rows, 300), random(300, 1000, seed=1), random(1000, seed=2)
    together, alone = np.empty((rows, 1000), np.float32), np.empty((rows, 1000), np.float32)
    cpu.linear_forward(x, w, b, together)
    with threads(1):
        cpu.linear_forward(x, w, b, alone)
    assert together.tobytes() == alone.tobytes()


def test_few_rows_let_nan_and_infinity_through():
    x, w, y = np.zeros((1, 20), np.float32), random(20, 37), np.empty((1, 37), np.float32)
    x[0, 3], w[9, 36] = np.inf, np.nan
    cpu.linear_forward(x, w, None, y)
    np.testing.assert_array_equal(y[0, :36], np.inf * w[3, :36])
    assert np.isnan(y[0, 36])


@pytest.mark.parametrize("activation", ["relu", "relu6"])
@pytest.mark.parametrize("shape", [*SHAPES, (30, 3300, 70)])
def test_an_activation_in_the_same_pass_changes_no_bit(shape, activation):
    rows, inputs, outputs = shape
    x, w, b = random(rows, inputs), random(inputs, outputs, seed=1), random(outputs, seed=2)
    x[-1, 0] = np.nan
    y, expected = Guarded.unwritten((rows, outputs)), np.empty((rows, outputs), np.float32)
    cpu.linear_forward(x, w, b, y.array, activation)
    cpu.linear_forward(x, w, b, expected)
    getattr(cpu, f"{activation}_forward")(expected, expected)
    np.testing.assert_array_equal(y.array, expected)
    assert y.is_intact()


def test_the_textbook_applies_the_activation_to_the_sums():
    x, w = random(5, 7), random(7, 9, seed=1)
    y = np.empty((5, 9))
    reference.linear_forward(x, w, None, y, "relu")
    np.testing.assert_allclose(y, np.maximum(x.astype(np.float64) @ w, 0))


@pytest.mark.parametrize("shape", [(64, 784, 256), (301, 129, 96), (2100, 40, 130), (301, 300, 210)])
def test_a_linear_layer_has_the_same_bits_on_one_thread_and_on_all(shape):
    rows, inputs, outputs = shape
    x, w, dy = random(rows, inputs), random(inputs, outputs, seed=1), random(rows, outputs, seed=2)
    found, threads = [], numba.get_num_threads()
    for count in (1, threads):
        y, dw, db = np.empty_like(dy), np.empty_like(w), np.empty(outputs, np.float32)
        numba.set_num_threads(count)
        cpu.linear_forward(x, w, None, y)
        cpu.linear_backward_weights(x, dy, dw, db)
        found.append((y, dw, db))
    for one, all_ in zip(*found, strict=True):
        np.testing.assert_array_equal(one, all_)
