"""Convolution and the batch normalisation behind it in one: at inference both are one linear map.

The factors of the normalisation go into a copy of the weights, and what it adds into one of the bias; the convolution
adds that and activates while its sums are in registers. Folding takes a thread for each weight, once a call: next to
nothing beside the convolution, and no copy can be out of date.
"""

from __future__ import annotations

from typing import Any

from kernels.cuda.conv import Pair, conv2d_forward
from kernels.cuda.norm import fold_batch_norm
from kernels.cuda.scratch import room, zeros


def conv2d_norm_forward(
    x: Any,
    w: Any,
    b: Any,
    gamma: Any,
    beta: Any,
    mean: Any,
    var: Any,
    y: Any,
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
    x : device array (N, H, W, C_in)
    w : device array (KH, KW, C_in / groups, C_out)
    b : device array (C_out,) or None
    gamma, beta, mean, var : device array (C_out,)
        Parameters and running statistics of the batch normalisation.
    y : device array (N, OH, OW, C_out)
        Output.
    stride, padding, dilation : (int, int)
    groups : int
    eps : float
    algorithm : str
        As in :func:`kernels.cuda.conv.conv2d_forward`.
    activation : {"none", "relu", "relu6"}
    """
    channels = gamma.size
    weights = room("folded weights", w.size).reshape(w.shape)
    bias = room("folded bias", channels)
    fold_batch_norm(w, zeros(channels) if b is None else b, gamma, beta, mean, var, eps, weights, bias)
    conv2d_forward(x, weights, bias, y, stride, padding, dilation, groups, algorithm, activation)
