"""The same number of threads for all sides."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from nnvis.bench.case import torch_module


@contextlib.contextmanager
def equal_threads(count: int) -> Iterator[None]:
    """Numba, PyTorch and BLAS on `count` threads within this context, or on as many as there are."""
    import numba

    before = numba.get_num_threads()
    available = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    numba.set_num_threads(min(count, available))
    torch = torch_module()
    if torch is not None:
        torch.set_num_threads(count)
    try:
        with _blas_threads(count):
            yield
    finally:
        numba.set_num_threads(before)


def _blas_threads(count: int) -> contextlib.AbstractContextManager:
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return contextlib.nullcontext()
    return threadpool_limits(count, user_api="blas")
