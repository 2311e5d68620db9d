"""``--threads`` and words about devices."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from nnvis.errors import ConfigError


@contextlib.contextmanager
def using_threads(count: int | None) -> Iterator[None]:
    """Compute on so many CPU threads within this context; None means all."""
    if count is None:
        yield
        return
    import numba

    available = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    if count > available:
        cores = f"{available} CPU core{'s' * (available != 1)}"
        raise ConfigError(f"--threads is {count}, but this machine has {cores}; give {available} or less.")
    before = numba.get_num_threads()
    numba.set_num_threads(count)
    try:
        yield
    finally:
        numba.set_num_threads(before)


def describe_device(name: str) -> str:
    """Such as ``cpu, 2 threads``."""
    if name != "cpu":
        return name
    import numba

    threads = numba.get_num_threads()
    return f"cpu, {threads} thread{'s' * (threads != 1)}"
