"""Memory of the GPU, as a network needs it: to reserve it, to fill it, to send numbers there and to look at them.

Kernels and copies follow each other on one stream, so whoever reads sees what was asked for before. The batches of
training go there by way of :class:`Uploads`: the next one is on its way while the GPU computes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.cuda import toolkit
from kernels.cuda.elementwise import fill
from kernels.cuda.toolkit import SIMULATED, explained
from kernels.cuda.uploads import Uploads

_uploads = Uploads()


def zeros(nbytes: int) -> Any:
    """An array of so many zero bytes.

    Raises
    ------
    CudaError
        There is not so much memory.
    """
    numbers = toolkit.empty(max(1, -(-nbytes // 4)), np.float32)
    fill(numbers, 0.0)
    return numbers.view(np.uint8)[:nbytes]


def write(target: Any, values: Any) -> None:
    """Give `target` these numbers of the host; a single one counts for all."""
    if np.ndim(values) == 0 and target.dtype == np.float32:
        fill(target, float(values))
        return
    sent = np.empty(target.shape, target.dtype)
    np.copyto(sent, values, casting="unsafe")
    with explained("take an array"):
        target.copy_to_device(sent, stream=toolkit.stream())
        toolkit.wait()


def upload(target: Any, values: Any) -> None:
    """:func:`write` for a whole batch, which does not wait for the GPU to have done what it was asked for before."""
    if SIMULATED:
        write(target, values)
    else:
        _uploads.send(target, values)


def copy(target: Any, source: Any) -> None:
    """Copy between two arrays of the GPU, without waiting for it."""
    with explained("copy an array"):
        target.copy_to_device(source, stream=toolkit.stream())


#: The numbers of an array, on the host; waits for the kernels that write them.
read = toolkit.to_host
#: What the host can look at, which here is a copy.
look = read
