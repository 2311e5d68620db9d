"""What the tests of the fast kernels share: one call runs a kernel beside its oracle, on one thread and on two."""

from __future__ import annotations

import contextlib

import numba
import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from kernels import cpu, reference

FEW = settings(deadline=None, max_examples=20)
SEEDS = st.integers(0, 2**32 - 1)
CHANNELS = st.sampled_from([1, 3, 6, 10, 24, 130])
#: Odd and even images, down to a single pixel; batches of one.
IMAGES = st.tuples(st.integers(1, 3), st.integers(1, 13), st.integers(1, 13), CHANNELS)
#: Large enough for the threads to be used, and not a multiple of anything.
LARGE_IMAGE = (5, 33, 31, 17)


def normal(seed, *shape):
    """Normally distributed float32."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def blank(*shape, dtype=np.float32):
    """An output that no test accepts unless all of it is overwritten."""
    return np.full(shape, np.nan if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max, dtype)


def assert_close(actual, expected, tolerance=1e-4, scale=0.0):
    """Equal in shape, equal where not finite, and close elsewhere.

    Parameters
    ----------
    actual, expected : array_like
    tolerance : float
        Bound on the largest difference over the largest magnitude.
    scale : float
        Magnitude of the terms of which `expected` is a sum, where that may be about 0.
    """
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite])
    assert np.isfinite(actual[finite]).all()
    largest = max(np.abs(expected[finite]).max(initial=0.0), scale)
    difference = np.abs(actual[finite] - expected[finite]).max(initial=0.0)
    assert difference <= tolerance * largest, f"error {difference:.1e}, largest value {largest:.1e}"


@contextlib.contextmanager
def threads(count):
    """Run kernels on `count` threads, or on as many as there are."""
    before = numba.get_num_threads()
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    try:
        yield
    finally:
        numba.set_num_threads(before)


GUARD = 64


def guarded(array):
    """A copy with `GUARD` known bytes before and behind it, and all of these bytes together."""
    room = np.full(array.nbytes + 2 * GUARD, 0xA5, np.uint8)
    copy = room[GUARD : GUARD + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy, room


def run(function, *args):
    """Call `function` on copies of the arrays among `args`; return the copies. Nothing beside them may be written."""
    pairs = [guarded(each) if isinstance(each, np.ndarray) else (each, None) for each in args]
    function(*(copy for copy, _ in pairs))
    for _, room in pairs:
        if room is not None:
            assert (room[:GUARD] == 0xA5).all(), "bytes before an array were overwritten"
            assert (room[-GUARD:] == 0xA5).all(), "bytes behind an array were overwritten"
    return [copy for copy, _ in pairs]


def check(name, *args, outputs, tolerance=1e-4, scale=0.0):
    """Run a kernel on one thread, on two, and in the oracle; compare the arguments numbered `outputs`.

    Returns
    -------
    list of ndarray
        The outputs of the fast kernel.
    """
    with threads(1):
        alone = run(getattr(cpu, name), *args)
    with threads(2):
        shared = run(getattr(cpu, name), *args)
    expected = run(getattr(reference, name), *args)
    for i, each in enumerate(args):
        if isinstance(each, np.ndarray):
            assert alone[i].tobytes() == shared[i].tobytes(), "the bits depend on the number of threads"
            if i not in outputs:
                np.testing.assert_array_equal(alone[i], each, err_msg=f"argument {i} of {name} was changed")
    for i in outputs:
        assert_close(alone[i], expected[i], tolerance, scale)
    return [alone[i] for i in outputs]
