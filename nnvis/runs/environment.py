"""What a run was computed with: versions and machine."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import sys
import time
from typing import Any


def environment(device: str) -> dict[str, Any]:
    """Versions, CPU and threads as plain JSON values.

    Parameters
    ----------
    device : str
        Name of the device that computes.
    """
    from nnvis import __version__

    found: dict[str, Any] = {
        "nnvis": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": device,
        "command": sys.argv,
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": {name: _version(name) for name in ("numpy", "numba", "llvmlite", "safetensors")},
    }
    if device == "cpu":
        import numba

        from nnvis.device import cpu_description

        found |= {"cpu": cpu_description(), "threads": numba.get_num_threads()}
        with contextlib.suppress(ValueError):  # no parallel code has run yet
            found["threading_layer"] = numba.threading_layer()
    return found


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
