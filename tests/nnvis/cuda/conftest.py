"""These tests run networks on a GPU.

It is simulated where ``NUMBA_ENABLE_CUDASIM=1`` was set when Python began, and a real one where ``NNVIS_TEST_GPU=1`` is
set; without either there is nothing to run them on.
"""

from __future__ import annotations

import os

import pytest

from tests import simulator

if os.environ.get("NUMBA_ENABLE_CUDASIM") == "1":
    simulator.install()
elif os.environ.get("NNVIS_TEST_GPU") != "1":
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of 16 threads, in products too: the simulator needs a third of a millisecond for each."""
    from kernels.cuda import launch, tiles, toolkit

    if not toolkit.SIMULATED:
        return
    monkeypatch.setattr(launch, "THREADS", 16)
    monkeypatch.setattr(tiles, "fitting", lambda sizes: tiles.Tile(16, 4, 4, unrolled=1))
