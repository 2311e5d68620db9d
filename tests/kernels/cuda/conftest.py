"""These tests run kernels of the GPU in Python: only where ``NUMBA_ENABLE_CUDASIM=1`` was set when Python began."""

from __future__ import annotations

import os

if os.environ.get("NUMBA_ENABLE_CUDASIM") != "1":
    collect_ignore_glob = ["test_*.py"]
