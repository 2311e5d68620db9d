"""Every rung of every ladder computes what the formula does, whatever the sizes."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from tests.kernels.helpers import assert_close, blank, normal, run

SHAPES = {
    "matmul": [(1, 1, 1), (3, 5, 7), (65, 131, 129), (200, 300, 37)],
    "conv2d": [(1, 1, 1, 3, 1), (2, 5, 7, 3, 6), (2, 9, 8, 10, 24), (1, 13, 11, 34, 66)],
    "softmax": [(1, 1), (3, 10), (7, 1000)],
    "max_pool2d": [(1, 2, 2, 1), (2, 6, 4, 3), (1, 8, 10, 24)],
}


def arguments(operation, shape):
    """Inputs, and outputs that nobody has written yet."""
    if operation == "matmul":
        m, k, n = shape
        return [normal(0, m, k), normal(1, k, n)], [blank(m, n)]
    if operation == "conv2d":
        *image, channels, outputs = shape
        return [normal(0, *image, channels), normal(1, 3, 3, channels, outputs)], [blank(*image, outputs)]
    if operation == "softmax":
        return [3 * normal(0, *shape)], [blank(*shape)]
    n, height, width, channels = shape
    pooled = (n, height // 2, width // 2, channels)
    return [normal(0, *shape)], [blank(*pooled), blank(*pooled, dtype=np.uint8)]


CASES = [(operation, shape) for operation, shapes in SHAPES.items() for shape in shapes]


@pytest.mark.parametrize(("operation", "shape"), CASES, ids=[f"{o}-{'x'.join(map(str, s))}" for o, s in CASES])
def test_every_rung_computes_what_the_formula_does(operation, shape):
    module = importlib.import_module(f"kernels.ladder.{operation}")
    inputs, outputs = arguments(operation, shape)
    first, *rungs = [getattr(module, f"{operation}_{name}") for name in module.RUNGS]
    expected = run(first, *inputs, *outputs)[len(inputs) :]
    assert len(rungs) >= 2
    for rung in rungs:
        for found, wanted in zip(run(rung, *inputs, *outputs)[len(inputs) :], expected, strict=True):
            assert_close(found, wanted)


@pytest.mark.parametrize("operation", SHAPES)
def test_every_rung_says_in_a_line_what_has_changed(operation):
    module = importlib.import_module(f"kernels.ladder.{operation}")
    lines = [getattr(module, f"{operation}_{name}").__doc__.partition("\n")[0] for name in module.RUNGS]
    assert all(line.endswith(".") and len(line) < 120 for line in lines) and len(set(lines)) == len(lines)


@pytest.mark.parametrize("kernel", [3, 5])
def test_windows_of_other_sizes_fit_all_rungs_but_winograd(kernel):
    module = importlib.import_module("kernels.ladder.conv2d")
    x, w = normal(0, 2, 6, 5, 7), normal(1, kernel, kernel, 7, 9)
    expected = blank(2, 6, 5, 9)
    module.conv2d_textbook(x, w, expected)
    for name in ("loops", "reordered", "tiled", "simd"):
        y = blank(2, 6, 5, 9)
        getattr(module, f"conv2d_{name}")(x, w, y)
        assert_close(y, expected)
