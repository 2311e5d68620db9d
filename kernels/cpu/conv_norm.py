"""Convolution and the batch normalisation behind it in one: at inference both are one linear map.

The factors of the normalisation go into the weights while these are brought into the layout that the engines want, and
what it adds into the bias. Nothing is kept from call to call, so nothing can be out of date.
"""

from __future__ import annotations

import numpy as np

from kernels.cpu import conv_choice, conv_data, conv_planes, conv_tables, depthwise, scratch, winograd
from kernels.cpu.conv_plan import Pair, convolution
from kernels.cpu.jit import for_good, kernel
from kernels.cpu.lanes import compiled
from kernels.cpu.simd import LANES, address, mul, splat
from kernels.cpu.tails import read, write

_factor = compiled(lambda gamma, var, eps: gamma / (var + eps).sqrt())
_shift = compiled(lambda beta, mean, bias, factor: beta - (mean - bias) * factor)
_NONE = np.zeros(0, np.float32)


@kernel("void(f4[::1], f4[::1], f4[::1], f4[::1], f4[::1], f4, f4[::1], f4[::1], f4[::1])", parallel=False)
def fold_kernel(bias, gamma, beta, mean, var, eps, affine, w, scaled):
    """What is added to each channel and, behind these, the factor of each; and the rows of `w` times the factors.

    `bias` and `w` may be empty.
    """
    channels, margin = gamma.size, splat(eps)
    for c in range(0, channels, LANES):
        count, at = channels - c, 4 * c
        factor = _factor(read(address(gamma) + at, count), read(address(var) + at, count), margin)
        center, first = read(address(mean) + at, count), splat(np.float32(0))
        if bias.size:
            first = read(address(bias) + at, count)
        write(address(affine) + at, _shift(read(address(beta) + at, count), center, first, factor), count)
        write(address(affine) + 4 * channels + at, factor, count)
        for row in range(0, w.size, channels):
            write(address(scaled) + 4 * row + at, mul(read(address(w) + 4 * row + at, count), factor), count)


def conv2d_norm_forward(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None,
    gamma: np.ndarray,
    beta: np.ndarray,
    mean: np.ndarray,
    var: np.ndarray,
    y: np.ndarray,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    eps: float,
    algorithm: str = "auto",
    activation: str = "none",
) -> None:
    """Convolution, then normalisation with the running statistics, then an activation.

    Parameters
    ----------
    x : ndarray (N, H, W, C_in)
    w : ndarray (KH, KW, C_in / groups, C_out)
    b : ndarray (C_out,) or None
    gamma, beta, mean, var : ndarray (C_out,)
        Parameters and running statistics of the batch normalisation.
    y : ndarray (N, OH, OW, C_out)
        Output.
    stride, padding, dilation : (int, int)
    groups : int
    eps : float
    algorithm : str
        As in :func:`kernels.cpu.conv.conv2d_forward`.
    activation : {"none", "relu", "relu6"}
    """
    g = convolution(x.shape, y.shape, w.shape[:2], stride, padding, dilation, groups)
    channels = gamma.size
    affine = scratch.kept("folded batch norm", 2 * channels)[: 2 * channels]
    norm = _NONE if b is None else b, gamma, beta, mean, var, eps, affine
    chosen = conv_choice.resolve(g, "forward", algorithm)
    if chosen == "planes" or depthwise.handles(g):
        scaled = scratch.kept("folded weights", w.size)
        with for_good():
            fold_kernel(*norm, w.reshape(-1), scaled)
        engine = conv_planes if chosen == "planes" else depthwise
        engine.run(g, False, x, scaled, affine[:channels], y, activation)
        return
    with for_good():
        fold_kernel(*norm, _NONE, _NONE)
    if outputs := conv_choice.OUTPUTS[chosen]:
        winograd.run(g, outputs, False, x, w, affine, y, activation, scaled=True)
    else:
        conv_data.run(conv_tables.forward_plan(g, activation, scaled=True), x, w, affine, y)
