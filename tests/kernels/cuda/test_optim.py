"""Parameter updates and reductions of the GPU against the textbook's, in the simulator."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import reference
from kernels.cuda import optim, toolkit
from tests.kernels.cuda.helpers import changed_on_gpu, on_gpu
from tests.kernels.helpers import normal

# Where a GPU overflows without a word, NumPy warns.
pytestmark = [pytest.mark.usefixtures("small_blocks"), pytest.mark.filterwarnings("ignore::RuntimeWarning")]

PENALTIES = [(0.0, 0.0, 1.0), (0.01, 0.02, 0.5)]
#: Name, number of state arrays, and the arguments before the penalties.
UPDATES = {
    "sgd": ("sgd_update", 0, (0.1,)),
    "momentum": ("momentum_update", 1, (0.1, 0.9, False)),
    "nesterov": ("momentum_update", 1, (0.1, 0.9, True)),
    "rmsprop": ("rmsprop_update", 1, (0.01, 0.99, 1e-8)),
    "adam": ("adam_update", 2, (0.001, 0.9, 0.999, 1e-8, 3, 0.0)),
    "adamw": ("adam_update", 2, (0.001, 0.9, 0.999, 1e-8, 1, 0.01)),
}


@pytest.mark.parametrize("which", UPDATES)
@pytest.mark.parametrize("size", [1, 45])
@pytest.mark.parametrize("penalties", PENALTIES)
def test_one_step_agrees(which, size, penalties):
    name, states, options = UPDATES[which]
    arrays = [normal(i, size) for i in range(2)] + [np.abs(normal(2 + i, size)) for i in range(states)]
    arrays[0][size // 2] = 0.0  # which has no sign
    found = changed_on_gpu(getattr(optim, name), *arrays, *options, *penalties)
    expected = [each.astype(np.float64) for each in arrays]
    getattr(reference, name)(*expected, *options, *penalties)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6 * np.abs(theirs).max())


@pytest.mark.parametrize("which", UPDATES)
def test_a_gradient_that_is_not_a_number_shows_in_its_weight_only(which):
    name, states, options = UPDATES[which]
    arrays = [np.abs(normal(i, 21)) for i in range(2 + states)]
    arrays[1][20] = np.nan
    w, _, *state = changed_on_gpu(getattr(optim, name), *arrays, *options, 0.1, 0.1, 1.0)
    for each in (w, *state):
        np.testing.assert_array_equal(np.isnan(each), np.arange(21) == 20)


@pytest.mark.parametrize("size", [0, 1, 5, 300])
def test_the_sum_of_squares_is_exact_to_double_precision(size):
    g = 1e25 * normal(0, size)
    found = optim.sum_of_squares(toolkit.to_device(g))
    assert isinstance(found, float)
    assert found == pytest.approx(reference.sum_of_squares(g), rel=1e-12)


def test_the_sum_of_squares_shows_what_is_not_a_number():
    g = normal(0, 300)
    g[299] = np.nan
    assert np.isnan(optim.sum_of_squares(toolkit.to_device(g)))


@pytest.mark.parametrize("size", [1, 7, 133])
@pytest.mark.parametrize("limit", [0.0, 0.3])
def test_clipping_agrees_and_keeps_what_is_not_a_number(size, limit):
    g = normal(0, size)
    g[size // 2] = np.nan
    (found,) = changed_on_gpu(optim.clip_by_value, g, limit)
    np.testing.assert_array_equal(found, np.clip(g, -np.float32(limit), np.float32(limit)))


@pytest.mark.parametrize("size", [0, 1, 301])
def test_finite_arrays_are_found_finite(size):
    assert optim.all_finite(toolkit.to_device(np.full(size, 3e38, np.float32))) is True


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 299])
def test_a_single_value_that_is_not_finite_is_found(value, position):
    x = normal(0, 300)
    x[position] = value
    assert optim.all_finite(toolkit.to_device(x)) is False


def test_arrays_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="one size"):
        on_gpu(optim.sgd_update, normal(0, 8), normal(0, 9), 0.1, 0.0, 0.0, 1.0)
