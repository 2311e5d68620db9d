"""GPU kernels: float32, `numba.cuda`; the same names and arguments as :mod:`kernels.cpu`, on arrays of the device."""

from __future__ import annotations
