"""Normalisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnvis.errors import ConfigError, ShapeError
from nnvis.init import Constant, Zeros
from nnvis.layers.base import Buffer, Cache, Flow, Layer, Parameter, Shape, describe, image_shape, rows, whole


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
    repeats: ClassVar[bool] = True
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


@dataclass(frozen=True)
class _WithinExample(Layer):
    """Statistics of each example of its own, alike in training and inference."""

    family: ClassVar[str] = "normalisation"
    in_place_backward: ClassVar[bool] = True

    def _check(self, eps: float) -> None:
        if not eps > 0:
            raise ConfigError(f"eps must be above 0, not {eps!r}.")

    def _affine(self, shape: Shape) -> dict[str, Parameter]:
        channels = (shape[-1],)
        return {
            "weight": Parameter(channels, Constant(1.0), chosen=True),
            "bias": Parameter(channels, Zeros(), chosen=True),
        }

    @staticmethod
    def _parameters(at: Flow) -> tuple[np.ndarray | None, np.ndarray | None]:
        return at.params.get("weight"), at.params.get("bias")

    @staticmethod
    def _gradients(at: Flow) -> tuple[np.ndarray | None, np.ndarray | None]:
        return at.grads.get("weight"), at.grads.get("bias")


@dataclass(frozen=True)
class LayerNorm(_WithinExample):
    """Normalise the last axis: each token, pixel or vector by the mean and variance of its own features.

    Parameters
    ----------
    eps : float
        Added to the variance.
    affine : bool
        Whether each feature has a learned factor and offset.

    Notes
    -----
    ``y = gamma * (x - mean) / sqrt(var + eps) + beta`` with the biased variance. Training and inference are alike.
    Ba, Kiros and Hinton, "Layer Normalization", 2016.
    """

    repeats: ClassVar[bool] = True

    eps: float = 1e-5
    affine: bool = True

    def __post_init__(self):
        self._check(self.eps)

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        return self._affine(shapes[0]) if self.affine else {}

    def caches(self, *shapes: Shape) -> dict[str, Cache]:
        return {"mean": Cache(shapes[0][:-1]), "inv_std": Cache(shapes[0][:-1])}

    def forward(self, at: Flow) -> None:
        saved = at.caches["mean"].reshape(-1), at.caches["inv_std"].reshape(-1)
        at.kernels.layer_norm_forward(rows(at.x), *self._parameters(at), rows(at.y), *saved, self.eps)

    def backward(self, at: Flow) -> None:
        saved = at.caches["mean"].reshape(-1), at.caches["inv_std"].reshape(-1)
        dx = rows(at.dx if at.dx is not None else at.dy)
        weight = at.params.get("weight")
        at.kernels.layer_norm_backward(rows(at.x), weight, *saved, rows(at.dy), dx, *self._gradients(at))


@dataclass(frozen=True)
class GroupNorm(_WithinExample):
    """Normalise groups of channels over all pixels of one image: independent of the batch.

    Parameters
    ----------
    num_groups : int
        Divides the channels; 1 normalises each image as a whole, C each channel (instance normalisation).
    eps : float
        Added to the variance.
    affine : bool
        Whether each channel has a learned factor and offset.

    Notes
    -----
    ``y = gamma * (x - mean) / sqrt(var + eps) + beta`` with the biased variance. Training and inference are alike.
    Wu and He, "Group Normalization", 2018.
    """

    repeats: ClassVar[bool] = True

    num_groups: int = 1
    eps: float = 1e-5
    affine: bool = True

    def __post_init__(self):
        self._check(self.eps)
        self._set(num_groups=whole(self.num_groups, "num_groups", 1))

    def output_shape(self, *shapes: Shape) -> Shape:
        if shapes[0][-1] % self.num_groups:
            raise ShapeError(
                f"GroupNorm gets {shapes[0][-1]} channels, which {self.num_groups} groups do not divide; "
                f"choose num_groups that divides {shapes[0][-1]}."
            )
        return shapes[0]

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        return self._affine(shapes[0]) if self.affine else {}

    def caches(self, *shapes: Shape) -> dict[str, Cache]:
        return {"mean": Cache((self.num_groups,)), "inv_std": Cache((self.num_groups,))}

    def forward(self, at: Flow) -> None:
        x, y = (each.reshape(len(each), -1, each.shape[-1]) for each in (at.x, at.y))
        saved = at.caches["mean"], at.caches["inv_std"]
        at.kernels.group_norm_forward(x, *self._parameters(at), y, *saved, self.eps)

    def backward(self, at: Flow) -> None:
        arrays = at.x, at.dy, at.dx if at.dx is not None else at.dy
        x, dy, dx = (each.reshape(len(each), -1, each.shape[-1]) for each in arrays)
        saved = at.caches["mean"], at.caches["inv_std"]
        at.kernels.group_norm_backward(x, at.params.get("weight"), *saved, dy, dx, *self._gradients(at))


@dataclass(frozen=True)
class LocalResponseNorm(Layer):
    """Divide each value by a power of the mean square of its neighbours along the channels.

    Parameters
    ----------
    size : int
        Number of neighbouring channels.
    alpha, beta, k : float
        Factor of the mean square, exponent, and what is added.

    Notes
    -----
    ``y = x / (k + alpha * mean(x**2))**beta``, as in PyTorch; channels beyond the ends count as zero. AlexNet has size
    5, beta 0.75, k 2 and a factor of 1e-4 for the sum, which is an alpha of 5e-4 for the mean.
    Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", 2012,
    section 3.3.
    """

    family: ClassVar[str] = "normalisation"
    repeats: ClassVar[bool] = True

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    def __post_init__(self):
        self._set(size=whole(self.size, "size", 1))

    def caches(self, *shapes: Shape) -> dict[str, Cache]:
        return {"scale": Cache(shapes[0])}

    def forward(self, at: Flow) -> None:
        x, y, scale = rows(at.x), rows(at.y), rows(at.caches["scale"])
        at.kernels.local_response_norm_forward(x, y, scale, self.size, self.alpha, self.beta, self.k)

    def backward(self, at: Flow) -> None:
        if at.dx is not None:
            arrays = rows(at.x), rows(at.caches["scale"]), rows(at.dy), rows(at.dx)
            at.kernels.local_response_norm_backward(*arrays, self.size, self.alpha, self.beta)
