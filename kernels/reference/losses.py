"""Losses: one number per example, and the gradient with respect to the network's output.

The mean over the batch is the caller's; `scale` of a backward pass is the derivative of that mean
(for the usual mean over N examples ``1 / N`` for the cross-entropy, and ``1 / (N K)`` for the
losses that also average over K features).

Sources: Goodfellow et al., "Deep Learning" (2016), section 6.2.2; Szegedy et al., "Rethinking the
Inception Architecture" (2016), section 7 (label smoothing).
"""

from __future__ import annotations

import numpy as np

from kernels.reference.activations import sigmoid_forward


def _smooth_targets(labels: np.ndarray, classes: int, smoothing: float) -> np.ndarray:
    """(N, K): ``1 - smoothing`` on the label, plus `smoothing` spread over all K classes."""
    return (1.0 - smoothing) * np.eye(classes)[labels] + smoothing / classes


def softmax_cross_entropy_forward(
    logits: np.ndarray, labels: np.ndarray, probs: np.ndarray, losses: np.ndarray, smoothing: float
) -> None:
    """``losses[n] = -sum_k target[n, k] log softmax(logits)[n, k]``.

    Parameters
    ----------
    logits : ndarray (N, K)
    labels : ndarray (N,), int64
        Classes in 0 ... K - 1.
    probs : ndarray (N, K)
        Output: softmax of the logits.
    losses : ndarray (N,)
        Output, in nats.
    smoothing : float
        The target is ``1 - smoothing`` on the label plus ``smoothing / K`` on every class.
    """
    shifted = logits - logits.astype(np.float64).max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    label_loss = -log_probs[np.arange(len(labels)), labels]
    probs[...] = np.exp(log_probs)
    if smoothing:  # a class of probability zero must not give 0 * infinity where nothing is smoothed
        losses[...] = (1.0 - smoothing) * label_loss - smoothing * log_probs.mean(axis=1)
    else:
        losses[...] = label_loss


def softmax_cross_entropy_backward(
    probs: np.ndarray, labels: np.ndarray, dlogits: np.ndarray, smoothing: float, scale: float
) -> None:
    """``dlogits = (probs - target) scale``.

    Parameters
    ----------
    probs : ndarray (N, K)
        As the forward pass wrote them.
    labels : ndarray (N,), int64
    dlogits : ndarray (N, K)
        Output.
    smoothing : float
        As in the forward pass.
    scale : float
        Derivative of the total with respect to one example's loss.
    """
    targets = _smooth_targets(labels, probs.shape[1], smoothing)
    dlogits[...] = (probs - targets) * scale


def bce_with_logits_forward(logits: np.ndarray, targets: np.ndarray, losses: np.ndarray) -> None:
    """Binary cross-entropy: ``losses[n] = mean_k log(1 + exp(x)) - t x``.

    Parameters
    ----------
    logits, targets : ndarray (N, K)
        Targets in [0, 1].
    losses : ndarray (N,)
        Output, in nats.
    """
    values = logits.astype(np.float64)
    softplus = np.maximum(values, 0.0) + np.log1p(np.exp(-np.abs(values)))  # log(1 + exp(x))
    each = softplus - targets * values
    losses[...] = each.reshape(len(each), -1).mean(axis=1)


def bce_with_logits_backward(logits: np.ndarray, targets: np.ndarray, dlogits: np.ndarray, scale: float) -> None:
    """``dlogits = (sigmoid(logits) - targets) scale``.

    Parameters
    ----------
    logits, targets : ndarray (N, K)
    dlogits : ndarray (N, K)
        Output.
    scale : float
        Derivative of the total with respect to one example's loss, over K.
    """
    probabilities = np.empty(logits.shape)
    sigmoid_forward(logits, probabilities)
    dlogits[...] = (probabilities - targets) * scale


def mse_forward(y: np.ndarray, targets: np.ndarray, losses: np.ndarray) -> None:
    """Mean squared error: ``losses[n] = mean_k (y - t)^2``.

    Parameters
    ----------
    y, targets : ndarray (N, K)
    losses : ndarray (N,)
        Output.
    """
    difference = y.astype(np.float64) - targets
    losses[...] = (difference**2).reshape(len(y), -1).mean(axis=1)


def mse_backward(y: np.ndarray, targets: np.ndarray, dy: np.ndarray, scale: float) -> None:
    """``dy = 2 (y - t) scale``.

    Parameters
    ----------
    y, targets : ndarray (N, K)
    dy : ndarray (N, K)
        Output.
    scale : float
        Derivative of the total with respect to one example's loss, over K.
    """
    dy[...] = 2.0 * (y.astype(np.float64) - targets) * scale
