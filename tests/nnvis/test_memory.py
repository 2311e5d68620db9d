from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnvis as nv
from nnvis import memory
from nnvis.errors import OutOfMemoryError
from nnvis.memory import ALIGNMENT, Storage, place
from nnvis.plan import Mode, Plan
from nnvis.plan_table import plan_table

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


def test_arrays_of_whole_pages_begin_at_different_places_of_a_page():
    storages = [Storage(pages * 4096, 0, 1) for pages in (16, 16, 8, 4, 1)]
    total = place(storages)
    assert len({storage.offset % 4096 for storage in storages}) == 5
    assert total < 46 * 4096


def test_scratch_of_the_way_back_takes_memory_only_there():
    g = nv.Sequential([nv.MultiHeadAttention(2)] * 6, input_shape=(64, 32))
    plan = Plan(g, 4, Mode(training=True, backward=True), nv.Network(g).device)
    tokens, weights = 4 * 64 * 32 * 4, 4 * 2 * 64 * 64 * 4  # bytes
    kept = [row.kept_bytes for row in plan_table(plan)]
    assert kept == [5 * tokens + weights] * 6  # output, queries, keys, values, heads, and what attention weighs with
    assert plan.nbytes < sum(kept) + 2 * 4 * tokens  # the four gradients once, not six times


def test_a_network_that_cannot_be_held_is_refused_in_one_sentence(monkeypatch):
    g = nv.Sequential([nv.Flatten(), nv.Linear(10)], input_shape=(100_000, 100_000, 3))
    with pytest.raises(OutOfMemoryError, match=r"arrays need [\d,.]+ GB of memory.*smaller batch"):
        nv.Network(g)
    monkeypatch.setattr(memory, "available_bytes", lambda: 1e8)  # what the system would promise, and then not have
    with pytest.raises(OutOfMemoryError, match=r"need 0\.2 GB of memory, but 0\.1 GB are free"):
        memory.aligned_bytes(200_000_000)
