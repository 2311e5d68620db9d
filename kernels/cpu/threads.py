"""The thread pool: loaded with a short wait.

Between two kernels GNU OpenMP's idle threads spin for milliseconds, unless it is told otherwise when it is loaded.
That is fine as long as every thread has a core of its own. As soon as anything else runs (the loader's thread, a
browser, another training), each kernel waits for a thread that has lost its core to one that merely spins: a training
step then takes ten times as long. A short spin bridges the gap between two kernels and then gives the core away.
"""

from __future__ import annotations

import contextlib
import importlib
import os

#: Turns of the waiting loop, some 10 ns each.
SPIN_TURNS = 5000
_OWN_CHOICE = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def load_thread_pool() -> None:
    """Load Numba's OpenMP pool, unless the user has set a waiting policy of their own.

    The variable is set for the moment of loading only: other OpenMP pools in this process (PyTorch's) keep theirs.
    """
    if any(name in os.environ for name in _OWN_CHOICE):
        return
    os.environ[_OWN_CHOICE[0]] = str(SPIN_TURNS)
    try:
        with contextlib.suppress(ImportError):
            importlib.import_module("numba.np.ufunc.omppool")
    finally:
        del os.environ[_OWN_CHOICE[0]]
