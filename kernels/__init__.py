"""Numerical kernels of nnvis: arrays in, arrays out.

Three rooms hold the same functions under the same names with the same argument order:
:mod:`kernels.reference` (plain float64 NumPy, written like the formula in a book),
:mod:`kernels.cpu` (Numba, SIMD and threads) and, for a GPU, ``kernels.cuda``.
"""

#: Tells nnvis that it found its own package and not another distribution called ``kernels``.
OWNER = "nnvis"
