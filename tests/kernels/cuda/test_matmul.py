"""Matrix products and linear layers of the GPU against the textbook."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from kernels import reference
from kernels.cuda import tiles
from tests.kernels.cuda.helpers import Output, assert_agree, in_textbook, on_gpu

#: The module: the package gives this name to its function.
matmul = importlib.import_module("kernels.cuda.matmul")


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.fixture(params=["small tiles", "large tiles"])
def tile(request, monkeypatch):
    """Both kernels: the problems of a test would all get small tiles."""
    chosen = tiles.LARGE if request.param == "large tiles" else tiles.SMALL
    monkeypatch.setattr(tiles, "fitting", lambda sizes: chosen)


@pytest.mark.parametrize("transposed", [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize(("m", "k", "n"), [(5, 7, 3), (66, 20, 12), (1, 33, 1)])
def test_products(tile, transposed, m, k, n):
    a, b = values(k, m) if transposed[0] else values(m, k), values(n, k) if transposed[1] else values(k, n)
    assert_agree("matmul", matmul, reference, a, b, Output(m, n), *transposed)


def test_splits_of_the_inner_size_are_added_in_order(monkeypatch):
    monkeypatch.setattr(matmul, "SPLIT_DEPTH", 16)
    assert matmul.splits_of(6, 5, 70) == 4
    a, b = values(70, 6), values(70, 5)
    assert_agree("matmul", matmul, reference, a, b, Output(6, 5), True, False)


def test_whole_tiles_and_what_is_left():
    a, b = values(130, 24), values(24, 66)
    assert_agree("matmul", matmul, reference, a, b, Output(130, 66), False, False)


@pytest.mark.parametrize("activation", ["none", "relu", "relu6"])
@pytest.mark.parametrize("with_bias", [True, False])
def test_linear_forward(with_bias, activation):
    x, w, b = values(9, 10), 5 * values(10, 6), values(6) if with_bias else None
    arguments = x, w, b, Output(9, 6), activation
    (ours,), (theirs,) = on_gpu(matmul.linear_forward, *arguments), in_textbook(reference.linear_forward, *arguments)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_linear_backward():
    assert_agree("linear_backward_data", matmul, reference, values(9, 6), values(10, 6), Output(9, 10))
    weights = values(9, 10), values(9, 6), Output(10, 6)
    assert_agree("linear_backward_weights", matmul, reference, *weights, Output(6))
    assert_agree("linear_backward_weights", matmul, reference, *weights, None)


def test_not_a_number_stays_in_its_row_and_is_not_activated_away():
    x, w = values(6, 8), values(8, 5)
    x[2, 3] = np.nan
    (y,) = on_gpu(matmul.linear_forward, x, w, None, Output(6, 5), "relu6")
    assert np.isnan(y[2]).all()
    assert np.isfinite(np.delete(y, 2, axis=0)).all()


def test_nothing_to_multiply_gives_zeros():
    (c,) = on_gpu(matmul.matmul, values(3, 0), values(0, 4), Output(3, 4), False, False)
    assert (c == 0).all()


@pytest.mark.parametrize(("rows", "columns", "large"), [(4096, 4096, True), (10**6, 64, False), (200, 200, False)])
def test_tiles_are_large_where_they_are_filled_and_many(rows, columns, large):
    assert tiles.fitting(tiles.Sizes(rows, columns, 64, columns)) is (tiles.LARGE if large else tiles.SMALL)
