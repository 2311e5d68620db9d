"""Attention: every query takes a mean of the values, weighted by how well their keys match it.

With heads the features are cut into equal parts that attend on their own. Without softmax the weights are the scaled
matches themselves, as in the dot-product form of the non-local block.

Sources: Vaswani et al., "Attention is all you need" (2017), section 3.2; Wang et al., "Non-local neural networks"
(2018), section 3.2.
"""

from __future__ import annotations

import numpy as np

from kernels.reference.activations import softmax_backward, softmax_forward


def _split(x: np.ndarray, heads: int) -> np.ndarray:
    """(N, T, D) -> (N, heads, T, D / heads), in float64."""
    return x.astype(np.float64).reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)


def _join(x: np.ndarray) -> np.ndarray:
    """(N, heads, T, D / heads) -> (N, T, D): the reverse of :func:`_split`."""
    images, heads, tokens, width = x.shape
    return x.swapaxes(1, 2).reshape(images, tokens, heads * width)


def attention_forward(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
    heads: int,
    scale: float,
    softmax: bool,
) -> None:
    """``weights = softmax(scale q k^T)`` and ``y = weights v``, head by head.

    Parameters
    ----------
    q : ndarray (N, T, D)
    k : ndarray (N, S, D)
    v : ndarray (N, S, E)
    y : ndarray (N, T, E)
        Output.
    weights : ndarray (N, heads, T, S)
        Output, kept for the backward pass.
    heads : int
        Divides D and E.
    scale : float
        Usually ``1 / sqrt(D / heads)``.
    softmax : bool
        False leaves it out.
    """
    scores = scale * _split(q, heads) @ _split(k, heads).swapaxes(2, 3)
    if softmax:
        softmax_forward(scores, scores)
    weights[...] = scores
    y[...] = _join(scores @ _split(v, heads))


def attention_backward(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    weights: np.ndarray,
    dy: np.ndarray,
    dq: np.ndarray | None,
    dk: np.ndarray | None,
    dv: np.ndarray | None,
    heads: int,
    scale: float,
    softmax: bool,
) -> None:
    """Gradients of queries, keys and values.

    Parameters
    ----------
    q : ndarray (N, T, D)
    k : ndarray (N, S, D)
    v : ndarray (N, S, E)
    weights : ndarray (N, heads, T, S)
        As the forward pass wrote them.
    dy : ndarray (N, T, E)
    dq, dk, dv : ndarray or None
        Outputs, shaped like q, k and v; None where no gradient is wanted.
    heads, scale, softmax
        As in the forward pass.
    """
    shares, upstream = weights.astype(np.float64), _split(dy, heads)
    slopes = upstream @ _split(v, heads).swapaxes(2, 3)
    if softmax:
        softmax_backward(shares, slopes, slopes)
    slopes = scale * slopes
    if dq is not None:
        dq[...] = _join(slopes @ _split(k, heads))
    if dk is not None:
        dk[...] = _join(slopes.swapaxes(2, 3) @ _split(q, heads))
    if dv is not None:
        dv[...] = _join(shares.swapaxes(2, 3) @ upstream)
