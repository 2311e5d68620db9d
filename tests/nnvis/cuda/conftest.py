"""These tests run networks on a simulated GPU: only where ``NUMBA_ENABLE_CUDASIM=1`` was set when Python began."""

from __future__ import annotations

import os

import pytest

if os.environ.get("NUMBA_ENABLE_CUDASIM") != "1":
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of 16 threads, in products too: the simulator needs a third of a millisecond for each."""
    from kernels.cuda import launch, tiles

    monkeypatch.setattr(launch, "THREADS", 16)
    monkeypatch.setattr(tiles, "fitting", lambda sizes: tiles.Tile(16, 4, 4))
