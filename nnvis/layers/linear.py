"""The fully connected layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from nnvis.errors import ShapeError
from nnvis.init import He
from nnvis.layers.base import Flow, Layer, Parameter, Shape, bias, describe, rows, weight, whole


@dataclass(frozen=True)
class Linear(Layer):
    """Fully connected layer ``y = x W + b`` on the last axis; tokens ``(T, D)`` are mapped one by one.

    Parameters
    ----------
    out_features : int
    bias : bool
    weight_init, bias_init : Initializer or str, optional

    Notes
    -----
    Weight shape ``(in_features, out_features)``. Goodfellow et al., "Deep Learning", section 6.
    """

    family: ClassVar[str] = "linear"
    repeats: ClassVar[bool] = True

    out_features: int
    bias: bool = True
    weight_init: Any = None
    bias_init: Any = None

    def __post_init__(self):
        self._set(out_features=whole(self.out_features, "out_features", 1))

    def output_shape(self, *shapes: Shape) -> Shape:
        if len(shapes[0]) not in (1, 2):
            raise ShapeError(
                f"Linear needs a vector (D,) or tokens (T, D) but gets shape {describe(shapes[0])}; "
                "put a Flatten or GlobalAvgPool2d in front."
            )
        return (*shapes[0][:-1], self.out_features)

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        inputs = shapes[0][-1]
        made = {"weight": weight((inputs, self.out_features), inputs, self.out_features, self.weight_init, He())}
        if self.bias:
            made["bias"] = bias(self.out_features, self.bias_init)
        return made

    def multiply_adds(self, *shapes: Shape) -> int:
        return math.prod(shapes[0]) * self.out_features

    def forward(self, at: Flow) -> None:
        at.kernels.linear_forward(rows(at.x), at.params["weight"], at.params.get("bias"), rows(at.y), at.activation)

    def backward(self, at: Flow) -> None:
        dy = rows(at.dy)
        if at.grads:
            at.kernels.linear_backward_weights(rows(at.x), dy, at.grads["weight"], at.grads.get("bias"))
        if at.dx is not None:
            at.kernels.linear_backward_data(dy, at.params["weight"], rows(at.dx))
