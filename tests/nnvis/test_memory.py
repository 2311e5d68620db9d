from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nnvis.memory import ALIGNMENT, Storage, place

lifetimes = st.lists(st.tuples(st.integers(1, 500), st.integers(0, 30), st.integers(0, 10)), min_size=1, max_size=40)


@given(lifetimes)
@settings(deadline=None)
def test_arrays_that_live_at_the_same_time_never_overlap(items):
    storages = [Storage(nbytes, first, first + length) for nbytes, first, length in items]
    total = place(storages)
    for a in storages:
        assert a.offset % ALIGNMENT == 0
        assert a.offset + a.nbytes <= total
        for b in storages:
            together = a is not b and a.first <= b.last and b.first <= a.last
            assert not together or a.offset + a.nbytes <= b.offset or b.offset + b.nbytes <= a.offset


def test_arrays_that_never_meet_share_memory():
    storages = [Storage(640, step, step) for step in range(10)]
    assert place(storages) == 640
