"""The GPU kernels that are for reading: against the textbook of the CPU, and against the fast forms."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from kernels import reference
from kernels.cuda import attention, conv, textbook
from tests.kernels.cuda.helpers import Output, in_textbook, on_gpu
from tests.kernels.helpers import normal

#: The package has a function of that name, too.
matmul = importlib.import_module("kernels.cuda.matmul")


@pytest.fixture(autouse=True)
def _small(small_blocks):
    """Blocks of 16 threads."""


def assert_all_close(plain, *others):
    for other in others:
        for ours, theirs in zip(plain, other, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-5 * float(np.abs(theirs).max()))


def test_products_agree_with_the_formula_and_with_the_fast_form():
    a, b, c = normal(0, 5, 7), normal(1, 7, 3), Output(5, 3)
    plain, fast = on_gpu(textbook.matmul_textbook, a, b, c), on_gpu(matmul.matmul, a, b, c, False, False)
    assert_all_close(plain, in_textbook(reference.matmul, a, b, c, False, False), fast)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize(
    ("weights", "out", "geometry"),
    [
        ((3, 3, 4, 3), (2, 5, 4, 3), ((1, 1), (1, 1), (1, 1), 1)),
        ((2, 3, 2, 6), (2, 2, 4, 6), ((2, 1), (0, 2), (1, 2), 2)),
    ],
    ids=["3x3", "stride, dilation and groups"],
)
def test_convolutions_agree_with_the_formula_and_with_the_fast_form(weights, out, geometry, bias):
    arguments = normal(0, 2, 5, 4, 4), normal(1, *weights), normal(2, weights[3]) if bias else None, Output(*out)
    plain = on_gpu(textbook.conv2d_textbook_forward, *arguments, *geometry)
    formula = in_textbook(reference.conv2d_forward, *arguments, *geometry)
    assert_all_close(plain, formula, on_gpu(conv.conv2d_forward, *arguments, *geometry))


@pytest.mark.parametrize("softmax", [True, False], ids=["softmax", "dot"])
def test_attention_agrees_with_the_formula_and_with_the_fast_form(softmax):
    q, k, v = normal(0, 2, 5, 6), normal(1, 2, 3, 6), normal(2, 2, 3, 4)
    arguments = q, k, v, Output(2, 5, 4), Output(2, 2, 5, 3), 2, 0.7, softmax
    plain = on_gpu(textbook.attention_textbook_forward, *arguments)
    formula = in_textbook(reference.attention_forward, *arguments)
    assert_all_close(plain, formula, on_gpu(attention.attention_forward, *arguments))
