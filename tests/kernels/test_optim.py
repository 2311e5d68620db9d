"""The fast parameter updates against the oracle, and the reductions that training needs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import cpu, reference
from tests.kernels.helpers import FEW, SEEDS, check, normal, threads

SIZES = st.sampled_from([1, 7, 8, 9, 1003, 4096, 5000])
PENALTIES = st.sampled_from([(0.0, 0.0, 1.0), (0.01, 0.02, 0.5)])
LARGE = 100_003

#: Name, number of state arrays, and the arguments before the penalties.
UPDATES = {
    "sgd": ("sgd_update", 0, (0.1,)),
    "momentum": ("momentum_update", 1, (0.1, 0.9, False)),
    "nesterov": ("momentum_update", 1, (0.1, 0.9, True)),
    "rmsprop": ("rmsprop_update", 1, (0.01, 0.99, 1e-8)),
    "adam": ("adam_update", 2, (0.001, 0.9, 0.999, 1e-8, 3, 0.0)),
    "adamw": ("adam_update", 2, (0.001, 0.9, 0.999, 1e-8, 1, 0.01)),
}


def check_update(which, size, penalties, seed):
    name, states, options = UPDATES[which]
    arrays = [normal(seed + i, size) for i in range(2 + states)]
    arrays[2:] = [np.abs(state) for state in arrays[2:]]
    check(name, *arrays, *options, *penalties, outputs=[0, *range(2, 2 + states)], tolerance=2e-6)


@pytest.mark.parametrize("which", UPDATES)
@FEW
@given(size=SIZES, penalties=PENALTIES, seed=SEEDS)
def test_one_step_agrees(which, size, penalties, seed):
    check_update(which, size, penalties, seed)


@pytest.mark.parametrize("which", UPDATES)
def test_large_arrays_agree_on_any_number_of_threads(which):
    check_update(which, LARGE, (0.01, 0.02, 0.5), 0)


@pytest.mark.parametrize("which", UPDATES)
def test_a_gradient_that_is_not_a_number_shows_in_its_weight_only(which):
    name, states, options = UPDATES[which]
    w, g, *state = [np.abs(normal(i, 21)) for i in range(2 + states)]
    g[20] = np.nan
    getattr(cpu, name)(w, g, *state, *options, 0.1, 0.1, 1.0)
    for each in (w, *state):
        np.testing.assert_array_equal(np.isnan(each), np.arange(21) == 20)


def test_the_first_steps_of_adam_follow_the_oracle_from_zero_state():
    ours, theirs = ([normal(0, 50), None, np.zeros(50, np.float32), np.zeros(50, np.float32)] for _ in range(2))
    for step in range(1, 6):
        g = normal(step, 50)
        for backend, arrays in ((cpu, ours), (reference, theirs)):
            arrays[1] = g
            backend.adam_update(*arrays, 0.01, 0.9, 0.999, 1e-8, step, 0.0, 0.0, 0.0, 1.0)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [0, 1, 5, 4097, LARGE])
def test_the_sum_of_squares_is_exact_to_double_precision_on_any_number_of_threads(size):
    g = 1e15 * normal(0, size)
    with threads(1):
        alone = cpu.sum_of_squares(g)
    with threads(2):
        assert cpu.sum_of_squares(g) == alone
    assert alone == pytest.approx(reference.sum_of_squares(g), rel=1e-12)


def test_the_sum_of_squares_shows_what_is_not_a_number():
    g = normal(0, 5000)
    g[4999] = np.nan
    assert np.isnan(cpu.sum_of_squares(g))


@FEW
@given(size=SIZES, seed=SEEDS, limit=st.floats(0, 2, width=32))
def test_clipping_agrees_and_keeps_what_is_not_a_number(size, seed, limit):
    g = normal(seed, size)
    g[size // 2] = np.nan
    check("clip_by_value", g, limit, outputs=[0], tolerance=0.0)


@pytest.mark.parametrize("size", [0, 1, 8, 5001, LARGE])
def test_finite_arrays_are_found_finite(size):
    assert cpu.all_finite(np.full(size, 3e38, np.float32)) is True


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 7, 8, 4096, LARGE - 1])
def test_a_single_value_that_is_not_finite_is_found(value, position):
    x = normal(0, LARGE)
    x[position] = value
    assert cpu.all_finite(x) is False


def test_arrays_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match="one size"):
        cpu.sgd_update(normal(0, 8), normal(0, 9), 0.1, 0.0, 0.0, 1.0)
