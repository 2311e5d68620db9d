"""Attention: tokens look at each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from nnvis.errors import ConfigError, ShapeError
from nnvis.init import Xavier
from nnvis.layers.base import Cache, Flow, Layer, Parameter, Shape, bias, describe, rows, weight, whole
from nnvis.layers.tokens import token_shape


@dataclass(frozen=True)
class MultiHeadAttention(Layer):
    """Self-attention: every token takes a mean of what all tokens offer, weighted by how well they match.

    Parameters
    ----------
    num_heads : int
        The features are cut into this many parts that attend on their own; divides D.
    bias : bool
        Whether the two linear maps add a vector.
    weight_init, bias_init : Initializer or str, optional

    Notes
    -----
    ``[q, k, v] = x W_in + b_in``, for each head ``softmax(q k^T / sqrt(D / heads)) v``, and a linear map of all heads.
    As PyTorch's ``MultiheadAttention`` with ``batch_first=True``; weight shapes ``(D, 3 D)`` and ``(D, D)``. The
    weights of the mean are the cache ``attention``, (heads, T, T). Vaswani et al., "Attention Is All You Need", 2017,
    section 3.2.
    """

    family: ClassVar[str] = "attention"
    repeats: ClassVar[bool] = True

    num_heads: int = 1
    bias: bool = True
    weight_init: Any = None
    bias_init: Any = None

    def __post_init__(self):
        self._set(num_heads=whole(self.num_heads, "num_heads", 1))

    def output_shape(self, *shapes: Shape) -> Shape:
        tokens, depth = token_shape(self.kind, shapes[0])
        _check_heads(self.kind, depth, self.num_heads)
        return tokens, depth

    def parameters(self, *shapes: Shape) -> dict[str, Parameter]:
        depth, init = shapes[0][-1], Xavier("uniform")
        made = {
            "in_proj_weight": weight((depth, 3 * depth), depth, 3 * depth, self.weight_init, init),
            "out_proj_weight": weight((depth, depth), depth, depth, self.weight_init, init),
        }
        if self.bias:
            made |= {"in_proj_bias": bias(3 * depth, self.bias_init), "out_proj_bias": bias(depth, self.bias_init)}
        return made

    def caches(self, *shapes: Shape) -> dict[str, Cache]:
        tokens, depth = shapes[0]
        joint, single = (tokens, 3 * depth), (tokens, depth)
        made = {"qkv": Cache(joint), "attention": Cache((self.num_heads, tokens, tokens)), "heads": Cache(single)}
        slopes = {"qkv_gradient": Cache(joint, only_back=True), "heads_gradient": Cache(single, only_back=True)}
        return made | slopes

    def multiply_adds(self, *shapes: Shape) -> int:
        tokens, depth = shapes[0]
        return tokens * depth * 4 * depth + 2 * tokens * tokens * depth

    def _options(self, depth: int) -> tuple[int, float, bool]:
        return self.num_heads, 1.0 / math.sqrt(depth / self.num_heads), True

    def forward(self, at: Flow) -> None:
        qkv, heads, params = at.caches["qkv"], at.caches["heads"], at.params
        at.kernels.linear_forward(rows(at.x), params["in_proj_weight"], params.get("in_proj_bias"), rows(qkv))
        attention, options = at.caches["attention"], self._options(heads.shape[-1])
        at.kernels.attention_forward(*_thirds(qkv), heads, attention, *options)
        at.kernels.linear_forward(rows(heads), params["out_proj_weight"], params.get("out_proj_bias"), rows(at.y))

    def backward(self, at: Flow) -> None:
        caches, grads, dy = at.caches, at.grads, rows(at.dy)
        heads, dheads, dqkv = caches["heads"], caches["heads_gradient"], caches["qkv_gradient"]
        weights = grads["out_proj_weight"], grads.get("out_proj_bias")
        at.kernels.linear_backward_weights(rows(heads), dy, *weights)
        at.kernels.linear_backward_data(dy, at.params["out_proj_weight"], rows(dheads))
        parts, slopes = _thirds(caches["qkv"]), _thirds(dqkv)
        options = self._options(heads.shape[-1])
        at.kernels.attention_backward(*parts, caches["attention"], dheads, *slopes, *options)
        weights = grads["in_proj_weight"], grads.get("in_proj_bias")
        at.kernels.linear_backward_weights(rows(at.x), rows(dqkv), *weights)
        if at.dx is not None:
            at.kernels.linear_backward_data(rows(dqkv), at.params["in_proj_weight"], rows(at.dx))


def _thirds(joint: np.ndarray) -> list[np.ndarray]:
    """Queries, keys and values (N, T, D), as views of what the first map made of the tokens (N, T, 3 D)."""
    depth = joint.shape[-1] // 3
    return [joint[:, :, start : start + depth] for start in (0, depth, 2 * depth)]


def _check_heads(kind: str, depth: int, heads: int) -> None:
    if depth % heads:
        raise ShapeError(
            f"{kind} gets {depth} features, which {heads} heads do not divide; choose num_heads that divides {depth}."
        )


@dataclass(frozen=True)
class Attention(Layer):
    """Queries take a mean of the values, weighted by how well the keys match: the heart of a non-local block.

    Inputs are queries (T, D), keys (S, D) and values (S, E), or images whose pixels are the tokens; the output has the
    queries' places and the values' features.

    Parameters
    ----------
    num_heads : int
        The features are cut into this many parts that attend on their own; divides D and E.
    scale : float, optional
        Factor of the products of queries and keys; ``1 / sqrt(D / num_heads)`` unless given.
    mode : {"softmax", "dot"}
        What makes weights of the products: their softmax, or division by the number of keys.

    Notes
    -----
    Non-local networks call queries, keys and values theta, phi and g. Their "embedded Gaussian" form has a scale of 1;
    the "Gaussian" form also takes the block's input as theta and phi; the "dot product" form has mode "dot", scale 1.
    Vaswani et al., "Attention Is All You Need", 2017, section 3.2.1; Wang et al., "Non-local Neural Networks", 2018,
    section 3.2.
    """

    family: ClassVar[str] = "attention"
    repeats: ClassVar[bool] = True
    arity: ClassVar[int | None] = 3

    num_heads: int = 1
    scale: float | None = None
    mode: str = "softmax"

    def __post_init__(self):
        self._set(num_heads=whole(self.num_heads, "num_heads", 1))
        if self.scale is not None and not (isinstance(self.scale, int | float) and self.scale > 0):
            raise ConfigError(f"scale must be a number above 0, or None, not {self.scale!r}.")
        if self.mode not in ("softmax", "dot"):
            raise ConfigError(f"mode must be 'softmax' or 'dot', not {self.mode!r}.")

    def output_shape(self, *shapes: Shape) -> Shape:
        query, key, value = shapes
        if min(map(len, shapes)) < 2 or query[-1] != key[-1] or key[:-1] != value[:-1]:
            found = ", ".join(map(describe, shapes))
            raise ShapeError(
                f"Attention needs queries (T, D), keys (S, D) and values (S, E), or images, but gets {found}; "
                "match the features with a Linear or a 1x1 Conv2d."
            )
        _check_heads(self.kind, query[-1], self.num_heads)
        _check_heads(self.kind, value[-1], self.num_heads)
        return (*query[:-1], value[-1])

    def caches(self, *shapes: Shape) -> dict[str, Cache]:
        queries, keys = (math.prod(shape[:-1]) for shape in shapes[:2])
        return {"attention": Cache((self.num_heads, queries, keys))}

    def multiply_adds(self, *shapes: Shape) -> int:
        queries, keys = (math.prod(shape[:-1]) for shape in shapes[:2])
        return queries * keys * (shapes[0][-1] + shapes[2][-1])

    def _options(self, at: Flow) -> tuple[int, float, bool]:
        query, key = at.xs[0], at.xs[1]
        scale = 1.0 / math.sqrt(query.shape[-1] / self.num_heads) if self.scale is None else float(self.scale)
        if self.mode == "dot":
            scale /= math.prod(key.shape[1:-1])
        return self.num_heads, scale, self.mode == "softmax"

    def forward(self, at: Flow) -> None:
        arrays = (_tokens(each) for each in (*at.xs, at.y))
        at.kernels.attention_forward(*arrays, at.caches["attention"], *self._options(at))

    def backward(self, at: Flow) -> None:
        if any(dx is not None for dx in at.dxs):
            inputs, gradients = map(_tokens, at.xs), [None if dx is None else _tokens(dx) for dx in at.dxs]
            arrays = *inputs, at.caches["attention"], _tokens(at.dy), *gradients
            at.kernels.attention_backward(*arrays, *self._options(at))


def _tokens(array: np.ndarray) -> np.ndarray:
    """A view ``(N, T, D)`` of tokens or of an image's pixels."""
    return array.reshape(len(array), -1, array.shape[-1])
