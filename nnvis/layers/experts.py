"""Convolution whose filters are mixed for each example."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nnvis.errors import ShapeError
from nnvis.init import He, initializer
from nnvis.layers.base import (
    Cache,
    Flow,
    Layer,
    PairLike,
    Parameter,
    Shape,
    describe,
    weight,
    whole,
)
from nnvis.layers.conv import Conv2d


@dataclass(frozen=True)
class CondConv2d(Layer):
    """Conditionally parameterised convolution: each example has filters of its own, mixed from those of experts.

    Inputs are an image (H, W, C) and the weight of each expert (E,), usually a sigmoid or softmax of a Linear of the
    pooled image.

    Parameters
    ----------
    out_channels : int
        Number of filters.
    num_experts : int
        Number of sets of filters.
    kernel_size, stride, dilation : int or (int, int)
        Window (height, width), its step, and the spacing of its taps.
    padding : int or (int, int) or "same"
        Zeros around the image; "same" keeps height and width at stride 1 (odd kernels).
    groups : int
        The channels are cut into this many groups that do not see each other.
    bias : bool
    weight_init, bias_init : Initializer or str, optional

    Notes
    -----
    ``y = x * sum_e r_e W_e``: the same as mixing the outputs of all experts, for the price of one convolution. Weight
    shape ``(E, KH, KW, C_in / groups, C_out)``. Yang et al., "CondConv", 2019, section 3.
    """

    family: ClassVar[str] = "convolution"
    arity: ClassVar[int | None] = 2

    out_channels: int
    num_experts: int = 4
    kernel_size: PairLike = 3
    stride: PairLike = 1
    padding: PairLike = 0
    dilation: PairLike = 1
    groups: int = 1
    bias: bool = True
    weight_init: Any = None
    bias_init: Any = None

    def __post_init__(self):
        conv = self._one()
        self._set(
            out_channels=conv.out_channels, num_experts=whole(self.num_experts, "num_experts", 1),
            kernel_size=conv.kernel_size, stride=conv.stride, padding=conv.padding, dilation=conv.dilation,
            groups=conv.groups,
        )  # fmt: skip

    def _one(self) -> Conv2d:
        """The convolution of one expert."""
        geometry = self.kernel_size, self.stride, self.padding, self.dilation, self.groups
        return Conv2d(self.out_channels, *geometry, bias=self.bias)

    def output_shape(self, *shapes: Shape) -> Shape:
        if shapes[1] != (self.num_experts,):
            raise ShapeError(
                f"CondConv2d needs the weights of {self.num_experts} experts, ({self.num_experts},), but gets shape "
                f"{describe(shapes[1])}; make them by a Linear({self.num_experts}) of the pooled image."
            )
        return self._one().output_shape(shapes[0])

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        one, experts = self._one().parameters(shapes[0]), self.num_experts
        filters = one["weight"]
        shape, fans = (experts, *filters.shape), (filters.fan_in, filters.fan_out)
        made = {"weight": weight(shape, *fans, self.weight_init, He())}
        if self.bias:
            init = one["bias"].init if self.bias_init is None else initializer(self.bias_init)
            made["bias"] = Parameter((experts, self.out_channels), init, chosen=True)
        return made

    def caches(self, *shapes: Shape) -> dict[str, Cache]:
        made: dict[str, Cache] = {}
        for name, one in self._one().parameters(shapes[0]).items():
            made |= {name: Cache(one.shape), f"{name}_gradient": Cache(one.shape, only_back=True)}
        return made | {"routing": Cache(shapes[1])}

    def multiply_adds(self, *shapes: Shape) -> int:
        mixing = self.num_experts * self._one().parameters(shapes[0])["weight"].size
        return self._one().multiply_adds(shapes[0]) + mixing

    def forward(self, at: Flow) -> None:
        x, routing = at.xs
        for name, value in at.params.items():
            at.kernels.matmul(routing, _flat(value), _flat(at.caches[name]), False, False)
        bias = at.caches["bias"] if self.bias else None
        at.kernels.conv2d_each_forward(x, at.caches["weight"], bias, at.y, *self._one().how(at))

    def backward(self, at: Flow) -> None:
        (x, routing), geometry = at.xs, self._one().how(at)
        bias = at.caches["bias_gradient"] if self.bias else None
        at.kernels.conv2d_each_backward_weights(x, at.dy, at.caches["weight_gradient"], bias, *geometry)
        if at.dxs[0] is not None:
            at.kernels.conv2d_each_backward_data(at.dy, at.caches["weight"], at.dxs[0], *geometry)
        for name, gradient in at.grads.items():
            mixed = _flat(at.caches[f"{name}_gradient"])
            at.kernels.matmul(routing, mixed, _flat(gradient), True, False)
        if at.dxs[1] is not None:
            self._route(at, at.dxs[1])

    def _route(self, at: Flow, drouting: np.ndarray) -> None:
        """The gradient of an expert's weight: how far its parameters point along those of the mixed ones."""
        at.kernels.matmul(_flat(at.caches["weight_gradient"]), _flat(at.params["weight"]), drouting, False, True)
        if self.bias:
            part = at.caches["routing"]
            at.kernels.matmul(at.caches["bias_gradient"], at.params["bias"], part, False, True)
            at.kernels.accumulate(drouting, part)


def _flat(array: np.ndarray) -> np.ndarray:
    """A view of one row for each example or expert."""
    return array.reshape(len(array), -1)
