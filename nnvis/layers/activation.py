"""Activations: a non-linear function of each value (softmax: of each vector)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from nnvis.errors import ConfigError, ShapeError
from nnvis.layers.base import Flow, Layer, Shape, fraction, rows, whole

_FROM_OUTPUT = frozenset({"y", "dy"})
_FROM_INPUT = frozenset({"x", "dy"})


@dataclass(frozen=True)
class _Activation(Layer):
    """Elementwise function; the kernels are called ``<function>_forward`` and ``<function>_backward``."""

    family: ClassVar[str] = "activation"
    function: ClassVar[str] = ""
    in_place_backward: ClassVar[bool] = True
    repeats: ClassVar[bool] = True

    def _options(self) -> tuple[float, ...]:
        return ()

    def forward(self, at: Flow) -> None:
        getattr(at.kernels, f"{self.function}_forward")(at.x, at.y, *self._options())

    def backward(self, at: Flow) -> None:
        if at.dx is not None:
            saved = at.y if "y" in self.backward_reads else at.x
            getattr(at.kernels, f"{self.function}_backward")(saved, at.dy, at.dx, *self._options())


@dataclass(frozen=True)
class _FromOutput(_Activation):
    """The derivative can be written in terms of the output, so the input's memory is free again."""

    backward_reads: ClassVar[frozenset[str]] = _FROM_OUTPUT
    in_place_forward: ClassVar[bool] = True


@dataclass(frozen=True)
class ReLU(_FromOutput):
    """Rectified linear unit ``max(0, x)``; derivative 1 for x > 0, else 0."""

    function: ClassVar[str] = "relu"


@dataclass(frozen=True)
class ReLU6(_FromOutput):
    """``min(max(0, x), 6)``; derivative 1 for 0 < x < 6, else 0. Howard et al., "MobileNets", 2017."""

    function: ClassVar[str] = "relu6"


@dataclass(frozen=True)
class Sigmoid(_FromOutput):
    """Logistic function ``1 / (1 + exp(-x))``; derivative ``y (1 - y)``, at most 1/4."""

    function: ClassVar[str] = "sigmoid"


@dataclass(frozen=True)
class Tanh(_FromOutput):
    """Hyperbolic tangent; derivative ``1 - y**2``."""

    function: ClassVar[str] = "tanh"


@dataclass(frozen=True)
class Hardsigmoid(_FromOutput):
    """``min(max(0, x + 3), 6) / 6``: the sigmoid as a ramp. Howard et al., "Searching for MobileNetV3", 2019."""

    function: ClassVar[str] = "hard_sigmoid"


@dataclass(frozen=True)
class LeakyReLU(_Activation):
    """``x`` for x > 0, else ``negative_slope * x``, so that no unit can die. Maas et al., 2013."""

    function: ClassVar[str] = "leaky_relu"
    backward_reads: ClassVar[frozenset[str]] = _FROM_INPUT

    negative_slope: float = 0.01

    def _options(self) -> tuple[float, ...]:
        return (float(self.negative_slope),)


@dataclass(frozen=True)
class GELU(_Activation):
    """``x * Phi(x)`` with the normal distribution function Phi. Hendrycks and Gimpel, 2016."""

    function: ClassVar[str] = "gelu"
    backward_reads: ClassVar[frozenset[str]] = _FROM_INPUT


@dataclass(frozen=True)
class SiLU(_Activation):
    """``x * sigmoid(x)``, also called swish."""

    function: ClassVar[str] = "silu"
    backward_reads: ClassVar[frozenset[str]] = _FROM_INPUT


@dataclass(frozen=True)
class Hardswish(_Activation):
    """``x * min(max(0, x + 3), 6) / 6``. Howard et al., "Searching for MobileNetV3", 2019."""

    function: ClassVar[str] = "hard_swish"
    backward_reads: ClassVar[frozenset[str]] = _FROM_INPUT


@dataclass(frozen=True)
class Softmax(_Activation):
    """``exp(x_i) / sum_j exp(x_j)`` along the last axis: scores become probabilities.

    Train on the scores with the cross-entropy loss, which has its own softmax; this layer is for nets that output
    probabilities or weigh branches.
    """

    function: ClassVar[str] = "softmax"
    backward_reads: ClassVar[frozenset[str]] = _FROM_OUTPUT
    in_place_backward: ClassVar[bool] = False


@dataclass(frozen=True)
class BranchSoftmax(Layer):
    """Softmax across branches: for each channel the branches share out a weight of one.

    The input's channels are those of all branches in a row, as a Linear or a Concat makes them; Split hands each branch
    its part of the output.

    Parameters
    ----------
    branches : int
        Divides the channels.

    Notes
    -----
    ``y_b = exp(x_b) / sum_b exp(x_b)``. Li et al., "Selective Kernel Networks", 2019, section 3.1.
    """

    family: ClassVar[str] = "activation"
    backward_reads: ClassVar[frozenset[str]] = _FROM_OUTPUT

    branches: int = 2

    def __post_init__(self):
        self._set(branches=whole(self.branches, "branches", 1))

    def output_shape(self, *shapes: Shape) -> Shape:
        if shapes[0][-1] % self.branches:
            raise ShapeError(
                f"BranchSoftmax gets {shapes[0][-1]} channels, which {self.branches} branches do not divide; "
                f"give each of the {self.branches} branches equally many channels."
            )
        return shapes[0]

    def forward(self, at: Flow) -> None:
        at.kernels.branch_softmax_forward(rows(at.x), rows(at.y), self.branches)

    def backward(self, at: Flow) -> None:
        if at.dx is not None:
            at.kernels.branch_softmax_backward(rows(at.y), rows(at.dy), rows(at.dx), self.branches)


@dataclass(frozen=True)
class Dropout(Layer):
    """Set each value to zero with probability `rate` in training.

    Parameters
    ----------
    rate : float
        Probability of dropping a value.
    inverted : bool
        True: what is kept is scaled by ``1 / (1 - rate)`` in training, and inference changes nothing. False (the
        original form): training only drops, and inference scales everything by the keep probability ``1 - rate``.

    Notes
    -----
    Srivastava et al., "Dropout", 2014, section 4 (original) and section 10 (scaling).
    """

    family: ClassVar[str] = "activation"
    backward_reads: ClassVar[frozenset[str]] = frozenset({"dy"})
    in_place_forward: ClassVar[bool] = True
    in_place_backward: ClassVar[bool] = True
    is_random: ClassVar[bool] = True

    rate: float = 0.5
    inverted: bool = True

    def __post_init__(self):
        if not isinstance(self.rate, int | float) or not 0 <= self.rate < 1:
            raise ConfigError(f"Dropout rate must be from 0 up to, but not including, 1, not {self.rate!r}.")

    @property
    def _training_scale(self) -> float:
        return 1.0 / (1.0 - self.rate) if self.inverted else 1.0

    def _apply(self, at: Flow, source: np.ndarray, target: np.ndarray) -> None:
        if at.training:
            at.kernels.dropout_forward(source, target, self.rate, self._training_scale, at.key)
        else:
            at.kernels.scale_forward(source, target, 1.0 if self.inverted else 1.0 - self.rate)

    def forward(self, at: Flow) -> None:
        self._apply(at, at.x, at.y)

    def backward(self, at: Flow) -> None:
        # The map is linear and the mask a function of the key, so the same call gives the gradient.
        if at.dx is not None:
            self._apply(at, at.dy, at.dx)


@dataclass(frozen=True)
class StochasticDepth(Layer):
    """Drop a residual branch for some examples in training: the network is then less deep for them ("drop path").

    Parameters
    ----------
    rate : float
        Probability of dropping an example; put the layer at the end of the branch, in front of the Add.

    Notes
    -----
    What is kept is scaled by ``1 / (1 - rate)``, and inference changes nothing, as torchvision's ``StochasticDepth`` in
    mode "row". Huang et al., "Deep Networks with Stochastic Depth", 2016, section 3.
    """

    family: ClassVar[str] = "activation"
    backward_reads: ClassVar[frozenset[str]] = frozenset({"dy"})
    in_place_forward: ClassVar[bool] = True
    in_place_backward: ClassVar[bool] = True
    is_random: ClassVar[bool] = True

    rate: float = 0.1

    def __post_init__(self):
        self._set(rate=fraction(self.rate, "rate"))

    def _apply(self, at: Flow, source: np.ndarray, target: np.ndarray) -> None:
        if at.training:
            at.kernels.stochastic_depth_forward(source, target, self.rate, 1.0 / (1.0 - self.rate), at.key)
        else:
            at.kernels.scale_forward(source, target, 1.0)

    def forward(self, at: Flow) -> None:
        self._apply(at, at.x, at.y)

    def backward(self, at: Flow) -> None:
        # The map is linear and the mask a function of the key, so the same call gives the gradient.
        if at.dx is not None:
            self._apply(at, at.dy, at.dx)
