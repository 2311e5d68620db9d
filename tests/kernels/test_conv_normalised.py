"""Convolutions that normalise what they read: the same bits as normalisation and convolution one after the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from kernels import cpu, reference
from kernels.cpu import conv_tables, depthwise_rows
from kernels.cpu.conv_plan import product
from tests.kernels.guarded import Guarded
from tests.kernels.helpers import assert_close, threads


@dataclass(frozen=True)
class Case:
    images: int
    size: tuple[int, int]
    inputs: int
    #: 0 for a depthwise convolution.
    outputs: int = 0
    kernel: int = 1
    stride: int = 1
    activation: str = "relu6"

    @property
    def geometry(self):
        padding = self.kernel // 2
        return (self.stride,) * 2, (padding,) * 2, (1, 1), 1 if self.outputs else self.inputs


CASES = {
    "depthwise": Case(3, (9, 12), 24, kernel=3),
    "depthwise, part of a vector": Case(2, (8, 8), 10, kernel=3, activation="relu"),
    "depthwise, no activation": Case(2, (8, 10), 58, kernel=3, activation="none"),
    "depthwise, stride two": Case(4, (8, 12), 26, kernel=3, stride=2),
    "depthwise, wide window": Case(2, (10, 10), 16, kernel=5, activation="relu"),
    "depthwise, wide window, stride two": Case(2, (12, 14), 40, kernel=5, stride=2),
    "depthwise, several blocks of rows": Case(2, (40, 20), 130, kernel=3),
    "depthwise, several blocks of rows, stride two": Case(2, (42, 24), 130, kernel=3, stride=2),
    "depthwise, one row": Case(2, (1, 9), 16, kernel=3),
    "product": Case(6, (16, 20), 24, 40),
    "product, part of a vector": Case(3, (16, 16), 3, 5, activation="relu"),
    "product, no activation": Case(2, (52, 50), 58, 58, activation="none"),
    "product, many inputs": Case(5, (32, 32), 330, 20),
    "product, many outputs": Case(5, (32, 32), 20, 330),
    "product, blocks both ways": Case(5, (32, 32), 300, 430),
    "product, one input": Case(2, (16, 16), 1, 17),
}  # fmt: skip


@dataclass
class Arrays:
    """What a case needs; statistics are those of `x`."""

    x: np.ndarray
    gamma: np.ndarray
    w: np.ndarray
    b: np.ndarray
    dy: np.ndarray
    batch: tuple[np.ndarray, ...]
    normalised: np.ndarray

    @classmethod
    def of(cls, case: Case) -> Arrays:
        random = np.random.default_rng(0)

        def values(*shape: int) -> np.ndarray:
            return random.standard_normal(shape).astype(np.float32)

        channels, outputs = case.inputs, case.outputs or case.inputs
        x = values(case.images, *case.size, channels) * 3 + 1
        size = ((length - 1) // case.stride + 1 for length in case.size)
        filters = case.kernel, case.kernel, channels if case.outputs else 1, outputs
        gamma, beta, statistics, running = values(channels), values(channels), values(3, channels), values(2, channels)
        normalised = np.empty_like(x)
        cpu.batch_norm_activation_forward_train(
            x.reshape(-1, channels), gamma, beta, None, normalised.reshape(-1, channels), *statistics, *running, 0.1,
            1e-5, case.activation,
        )  # fmt: skip
        dy = values(case.images, *size, outputs)
        return cls(x, gamma, values(*filters), values(outputs), dy, tuple(statistics), normalised)


def forward(kernels, case: Case, with_bias: bool = True, dtype=np.float32) -> np.ndarray:
    at = Arrays.of(case)
    y = Guarded.unwritten(at.dy.shape) if dtype == np.float32 else None
    target = np.full(at.dy.shape, np.nan, dtype) if y is None else y.array
    bias = at.b if with_bias else None
    kernels.conv2d_normalised_forward(
        at.x, at.gamma, *at.batch, at.w, bias, target, *case.geometry, case.activation
    )  # fmt: skip
    assert y is None or y.is_intact()
    return target


def gradients(kernels, case: Case, with_bias: bool = True, dtype=np.float32) -> list[np.ndarray]:
    at = Arrays.of(case)
    dw, db = np.full(at.w.shape, np.nan, dtype), np.full(at.b.shape, np.nan, dtype)
    kernels.conv2d_normalised_backward_weights(
        at.x, at.gamma, *at.batch, at.dy, dw, db if with_bias else None, *case.geometry, case.activation
    )
    return [dw, db] if with_bias else [dw]


@pytest.mark.parametrize("with_bias", [False, True], ids=["without bias", "with bias"])
@pytest.mark.parametrize("name", CASES)
def test_the_same_bits_as_one_after_the_other(name, with_bias):
    case, at = CASES[name], Arrays.of(CASES[name])
    y, dw, db = np.empty_like(at.dy), np.empty_like(at.w), np.empty_like(at.b)
    cpu.conv2d_forward(at.normalised, at.w, at.b if with_bias else None, y, *case.geometry, "direct")
    cpu.conv2d_backward_weights(at.normalised, at.dy, dw, db if with_bias else None, *case.geometry, "direct")
    np.testing.assert_array_equal(forward(cpu, case, with_bias), y)
    for ours, theirs in zip(gradients(cpu, case, with_bias), [dw, db], strict=False):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", CASES)
def test_agree_with_the_textbook(name):
    case = CASES[name]
    assert_close(forward(cpu, case), forward(reference, case, dtype=np.float64))
    for ours, theirs in zip(gradients(cpu, case), gradients(reference, case, dtype=np.float64), strict=True):
        assert_close(ours, theirs)


@pytest.mark.parametrize("name", ["depthwise, several blocks of rows", "product", "product, blocks both ways"])
def test_the_same_bits_on_one_thread_and_on_all(name):
    together = [forward(cpu, CASES[name]), *gradients(cpu, CASES[name])]
    with threads(1):
        alone = [forward(cpu, CASES[name]), *gradients(cpu, CASES[name])]
    assert [each.tobytes() for each in together] == [each.tobytes() for each in alone]


def test_the_cases_are_cut_into_blocks():
    sizes = CASES["depthwise, several blocks of rows"]
    w = np.zeros((3, 3, 1, sizes.inputs), np.float32)
    assert cpu.conv2d_normalised_applies((16, *sizes.size, sizes.inputs), w.shape, *sizes.geometry)
    assert sizes.size[0] * sizes.size[1] * sizes.inputs > depthwise_rows.NORMALISED_FLOATS
    assert conv_tables.forward_plan(product(1920, 24, 40), normalised=True)[conv_tables.IMAGE_GROUPS] > 1


def test_statistics_are_those_of_the_normalisation():
    random = np.random.default_rng(1)
    x = random.standard_normal((300, 21)).astype(np.float32) + 5
    gamma, beta = random.standard_normal((2, 21)).astype(np.float32)
    found = []
    for apply in (True, False):
        batch, running = np.full((3, 21), np.nan, np.float32), np.ones((2, 21), np.float32)
        if apply:
            y = np.empty_like(x)
            cpu.batch_norm_activation_forward_train(
                x, gamma, beta, None, y, *batch, *running, 0.1, 1e-5, "relu"
            )  # fmt: skip
        else:
            cpu.batch_norm_statistics(x, gamma, beta, *batch, *running, 0.1, 1e-5)
        found.append([*batch, *running])
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize(
    ("shape", "filters", "geometry"),
    [
        ((8, 32, 32, 24), (3, 3, 24, 24), ((1, 1), (1, 1), (1, 1), 1)),
        ((8, 32, 32, 24), (3, 3, 1, 24), ((1, 1), (0, 0), (1, 1), 24)),
        ((8, 32, 32, 24), (1, 1, 12, 24), ((1, 1), (0, 0), (1, 1), 2)),
        ((8, 32, 32, 24), (1, 1, 24, 24), ((2, 2), (0, 0), (1, 1), 1)),
    ],
    ids=["3x3", "depthwise without padding", "groups", "stride"],
)
def test_other_convolutions_are_refused_and_do_not_ask_for_it(shape, filters, geometry):
    assert not cpu.conv2d_normalised_applies(shape, filters, *geometry)
    x, w, channels = np.zeros(shape, np.float32), np.zeros(filters, np.float32), np.ones((4, 24), np.float32)
    size = ((shape[i] + 2 * geometry[1][0] - filters[0]) // geometry[0][0] + 1 for i in (1, 2))
    y = np.zeros((8, *size, 24), np.float32)
    with pytest.raises(ValueError, match="no kernel normalises the input"):
        cpu.conv2d_normalised_forward(x, *channels, w, None, y, *geometry)
    with pytest.raises(ValueError, match="no kernel normalises the input"):
        cpu.conv2d_normalised_backward_weights(x, *channels, y, w, None, *geometry)


def test_small_arrays_stay_apart():
    geometry = (1, 1), (0, 0), (1, 1), 1
    assert cpu.conv2d_normalised_applies((64, 16, 16, 24), (1, 1, 24, 40), *geometry)
    assert not cpu.conv2d_normalised_applies((2, 16, 16, 24), (1, 1, 24, 40), *geometry)


def test_not_a_number_stays_in_its_pixel():
    at, case = Arrays.of(CASES["product"]), CASES["product"]
    at.x[1, 3, 4, 5] = np.nan
    y = np.empty_like(at.dy)
    cpu.conv2d_normalised_forward(at.x, at.gamma, *at.batch, at.w, None, y, *case.geometry, case.activation)
    assert np.isnan(y[1, 3, 4]).all()
    assert np.isnan(y).sum() == y.shape[-1]
