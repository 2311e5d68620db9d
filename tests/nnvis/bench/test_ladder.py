"""The ladders as the benchmark climbs them."""

from __future__ import annotations

import numpy as np
import pytest

from nnvis.bench import ladder
from nnvis.bench.ladder import LADDERS, Ladder, climb
from nnvis.bench.peak import Peak
from nnvis.cli.bench_ladder import _OPERATIONS


def small() -> Ladder:
    return Ladder("matmul", "4x4", lambda: tuple(np.ones((4, 4), np.float32) for _ in range(3)), 128.0)


@pytest.fixture(autouse=True)
def _known_machine(monkeypatch):
    monkeypatch.setattr(ladder, "measured_peak", lambda threads: Peak(threads, 100.0 * threads, 50.0))


def test_rungs_come_in_order_and_the_last_one_again_on_all_threads():
    rungs = list(climb(small(), threads=2))
    assert [rung.name for rung in rungs] == ["textbook", "loops", "reordered", "tiled", "simd", "threads"]
    assert [rung.threads for rung in rungs] == [1, 1, 1, 1, 1, 2]
    assert all(rung.change and rung.seconds > 0 for rung in rungs)


def test_the_bound_follows_from_bytes_and_operations():
    rung = next(climb(small()))
    assert rung.intensity == 128 / (3 * 64)
    assert rung.bound == pytest.approx(50 * rung.intensity)
    assert rung.share == pytest.approx(128 / rung.seconds / 1e9 / rung.bound)


def test_every_operation_of_the_command_has_a_ladder_whose_arguments_its_rungs_take():
    assert set(_OPERATIONS) == set(LADDERS)
    assert all(len(each.rungs()) >= 3 and each.flops > 0 for each in LADDERS.values())
