"""Normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from nnvis.errors import ConfigError, ShapeError
from nnvis.init import Constant, Zeros
from nnvis.layers.base import Buffer, Cache, Flow, Layer, Parameter, Shape, describe, image_shape, rows


@dataclass(frozen=True)
class BatchNorm2d(Layer):
    """Batch normalisation of each channel, over all examples and pixels of the batch.

    Training uses the batch's mean and variance and keeps running ones; inference uses the running ones.

    Parameters
    ----------
    eps : float
        Added to the variance.
    momentum : float
        Share of the new batch in the running statistics.

    Notes
    -----
    ``y = gamma * (x - mean) / sqrt(var + eps) + beta``; the running variance is the unbiased one.
    Ioffe and Szegedy, "Batch Normalization", 2015, algorithms 1 and 2.
    """

    family: ClassVar[str] = "normalisation"
    in_place_backward: ClassVar[bool] = True

    eps: float = 1e-5
    momentum: float = 0.1

    def __post_init__(self):
        if not self.eps > 0:
            raise ConfigError(f"eps must be above 0, not {self.eps!r}.")
        if not 0 <= self.momentum <= 1:
            raise ConfigError(f"momentum must be from 0 to 1, not {self.momentum!r}.")

    def output_shape(self, *shapes: Shape) -> Shape:
        return image_shape(self.kind, shapes[0])

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        channels = (shapes[0][-1],)
        return {
            "weight": Parameter(channels, Constant(1.0), chosen=True),
            "bias": Parameter(channels, Zeros(), chosen=True),
        }

    def state(self, *shapes: Shape) -> dict[str, Buffer]:
        channels = (shapes[0][-1],)
        return {"running_mean": Buffer(channels, 0.0), "running_var": Buffer(channels, 1.0)}

    def caches(self, *shapes: Shape) -> dict[str, Cache]:
        channels = (shapes[0][-1],)
        return {"mean": Cache(channels, per_example=False), "inv_std": Cache(channels, per_example=False)}

    def forward(self, at: Flow) -> None:
        x, y, gamma, beta = rows(at.x), rows(at.y), at.params["weight"], at.params["bias"]
        running = at.buffers["running_mean"], at.buffers["running_var"]
        if not at.training:
            at.kernels.batch_norm_forward_inference(x, gamma, beta, *running, y, self.eps)
            return
        momentum = 0.0 if at.replay else self.momentum
        batch = at.caches["mean"], at.caches["inv_std"]
        at.kernels.batch_norm_forward_train(x, gamma, beta, y, *batch, *running, momentum, self.eps)

    def backward(self, at: Flow) -> None:
        if at.dx is None and not at.grads:
            return
        x, dy, gamma = rows(at.x), rows(at.dy), at.params["weight"]
        dx = rows(at.dx if at.dx is not None else at.dy)
        dgamma, dbeta = at.grads["weight"], at.grads["bias"]
        if at.training:
            batch = at.caches["mean"], at.caches["inv_std"]
            at.kernels.batch_norm_backward_train(x, gamma, *batch, dy, dx, dgamma, dbeta)
        else:
            running = at.buffers["running_mean"], at.buffers["running_var"]
            at.kernels.batch_norm_backward_inference(x, gamma, *running, dy, dx, dgamma, dbeta, self.eps)


@dataclass(frozen=True)
class BatchNorm1d(BatchNorm2d):
    """Batch normalisation of vectors ``(D,)`` or tokens ``(T, D)``, feature by feature; see BatchNorm2d."""

    def output_shape(self, *shapes: Shape) -> Shape:
        if len(shapes[0]) not in (1, 2):
            raise ShapeError(
                f"BatchNorm1d needs a vector (D,) or tokens (T, D) but gets shape {describe(shapes[0])}; "
                "use BatchNorm2d for images."
            )
        return shapes[0]
