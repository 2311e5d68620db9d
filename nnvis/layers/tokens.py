"""Layers that make sequences of tokens ``(T, D)`` and take them apart.

A patch embedding is a Conv2d whose stride is its kernel size, followed by ToTokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nnvis.errors import ConfigError, ShapeError
from nnvis.init import Normal
from nnvis.layers.base import Flow, Layer, Parameter, Shape, describe, image_shape, weight
from nnvis.layers.shape import _View


def token_shape(kind: str, shape: Shape) -> tuple[int, int]:
    """`shape` if it is that of tokens, else ShapeError."""
    if len(shape) != 2:
        raise ShapeError(f"{kind} needs tokens (T, D) but gets shape {describe(shape)}; put a ToTokens in front.")
    return shape  # type: ignore[return-value]


@dataclass(frozen=True)
class ToTokens(_View):
    """Every pixel becomes a token: images ``(H, W, C)`` to tokens ``(H * W, C)``, row by row.

    Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021, section 3.1.
    """

    family: ClassVar[str] = "attention"

    def output_shape(self, *shapes: Shape) -> Shape:
        height, width, channels = image_shape(self.kind, shapes[0])
        return height * width, channels


@dataclass(frozen=True)
class ClassToken(Layer):
    """A learned token in front of all others, whose output stands for the whole sequence.

    Parameters
    ----------
    weight_init : Initializer or str, optional

    Notes
    -----
    Weight shape ``(1, 1, D)``. Devlin et al., "BERT", 2019; Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021,
    section 3.1.
    """

    family: ClassVar[str] = "attention"
    repeats: ClassVar[bool] = True
    backward_reads: ClassVar[frozenset[str]] = frozenset({"dy"})

    weight_init: Any = None

    def output_shape(self, *shapes: Shape) -> Shape:
        tokens, depth = token_shape(self.kind, shapes[0])
        return tokens + 1, depth

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        depth = shapes[0][-1]
        return {"weight": weight((1, 1, depth), 1, depth, self.weight_init, Normal(0.02))}

    def forward(self, at: Flow) -> None:
        at.kernels.prepend_token_forward(at.x, at.params["weight"].reshape(-1), at.y)

    def backward(self, at: Flow) -> None:
        at.kernels.prepend_token_backward(at.dy, at.dx, at.grads["weight"].reshape(-1))


@dataclass(frozen=True)
class PositionEmbedding(Layer):
    """Add a learned vector to each place, since attention alone does not know where its tokens stand.

    Parameters
    ----------
    weight_init : Initializer or str, optional

    Notes
    -----
    Weight shape ``(1, T, D)``. Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021, section 3.1.
    """

    family: ClassVar[str] = "attention"
    repeats: ClassVar[bool] = True
    backward_reads: ClassVar[frozenset[str]] = frozenset({"dy"})
    passes_gradient: ClassVar[bool] = True

    weight_init: Any = None

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        return {"weight": weight((1, *shapes[0]), 1, 1, self.weight_init, Normal(0.02))}

    def forward(self, at: Flow) -> None:
        at.kernels.add_forward(at.x, at.params["weight"], at.y)

    def backward(self, at: Flow) -> None:
        at.kernels.add_backward(at.dy, None, at.grads["weight"])


@dataclass(frozen=True)
class SelectToken(Layer):
    """One token of a sequence: ``(T, D)`` to ``(D,)``.

    Parameters
    ----------
    index : int
        Counted from 0, or from the end if negative; 0 is the class token.
    """

    family: ClassVar[str] = "attention"
    repeats: ClassVar[bool] = True
    backward_reads: ClassVar[frozenset[str]] = frozenset({"dy"})

    index: int = 0

    def __post_init__(self):
        if not isinstance(self.index, int | np.integer) or isinstance(self.index, bool):
            raise ConfigError(f"index must be a whole number, not {self.index!r}.")
        self._set(index=int(self.index))

    def output_shape(self, *shapes: Shape) -> Shape:
        tokens, depth = token_shape(self.kind, shapes[0])
        if not -tokens <= self.index < tokens:
            raise ShapeError(f"SelectToken cannot take token {self.index} of {tokens}; choose one below {tokens}.")
        return (depth,)

    def _start(self, tokens: int, depth: int) -> int:
        return self.index % tokens * depth

    def forward(self, at: Flow) -> None:
        count, tokens, depth = at.x.shape
        at.kernels.copy_columns(at.x.reshape(count, -1), at.y, self._start(tokens, depth), 0, depth)

    def backward(self, at: Flow) -> None:
        if at.dx is not None:
            count, tokens, depth = at.dx.shape
            at.kernels.fill(at.dx, 0.0)
            at.kernels.copy_columns(at.dy, at.dx.reshape(count, -1), 0, self._start(tokens, depth), depth)
