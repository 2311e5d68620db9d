"""The formula of each layer, as a line of text; and the textbook code behind it."""

from __future__ import annotations

import importlib
import inspect

from nnvis.layers.base import Layer

FORMULAS = {
    "Conv2d": "y[i,j,o] = b[o] + Σ x[i·s+u-p, j·s+v-p, c] · w[u,v,c,o]",
    "DeformConv2d": "y[i,j,o] = b[o] + Σ x(i·s+u-p + Δu, j·s+v-p + Δv, c) · m · w[u,v,c,o]",
    "CondConv2d": "y = x * Σ rₑ · wₑ",
    "Linear": "y = x·W + b",
    "ReLU": "y = max(0, x)      y' = 1 if x > 0 else 0",
    "ReLU6": "y = min(max(0, x), 6)",
    "LeakyReLU": "y = x if x > 0 else slope·x",
    "Sigmoid": "y = 1 / (1 + e⁻ˣ)      y' = y·(1 - y)",
    "Tanh": "y = tanh x      y' = 1 - y²",
    "GELU": "y = x·Φ(x)",
    "SiLU": "y = x·σ(x)",
    "Hardswish": "y = x·min(max(0, x + 3), 6) / 6",
    "Hardsigmoid": "y = min(max(0, x + 3), 6) / 6",
    "Softmax": "yₖ = eˣᵏ / Σ eˣʲ",
    "BranchSoftmax": "yᵦ = eˣᵇ / Σ eˣᵇ over the branches b, for each channel",
    "Dropout": "training: y = x·mask / (1 - p)      else y = x",
    "StochasticDepth": "training: y = x·mask / (1 - p), one mask bit for each example      else y = x",
    "BatchNorm2d": "y = γ·(x - mean) / √(var + ε) + β, per channel",
    "BatchNorm1d": "y = γ·(x - mean) / √(var + ε) + β, per feature",
    "LayerNorm": "y = γ·(x - mean) / √(var + ε) + β, over the features of each token",
    "GroupNorm": "y = γ·(x - mean) / √(var + ε) + β, over a group of channels of each image",
    "LocalResponseNorm": "y = x / (k + α/n · Σ x²)^β, over n neighbouring channels",
    "MaxPool2d": "y[i,j,c] = max of the window",
    "AvgPool2d": "y[i,j,c] = mean of the window",
    "GlobalAvgPool2d": "y[c] = mean of channel c",
    "GlobalMaxPool2d": "y[c] = max of channel c",
    "Add": "y = x₁ + x₂ + …",
    "Multiply": "y = x₁ · x₂",
    "Concat": "y = [x₁, x₂, …] along the channels",
    "ChannelShuffle": "y[j·g + i] = x[i·C/g + j]",
    "Upsample": "y[i,j] = Σ a[i,u] · b[j,v] · x[u,v], a and b by distance",
    "ToTokens": "y[i·W + j, c] = x[i,j,c]",
    "ClassToken": "y = [w, x₁, x₂, …]",
    "PositionEmbedding": "y = x + w",
    "SelectToken": "y = x[index]",
    "MultiHeadAttention": "[q, k, v] = x·W + b,  a = softmax(q·kᵀ / √d) for each head,  y = (a·v)·W' + b'",
    "Attention": "y = softmax(scale · q·kᵀ) · v",
    "Flatten": "y = all values of x in a row",
}
#: Stem of the textbook functions, where it is not the kind in lower case.
_STEMS = {
    "Conv2d": "conv2d", "BatchNorm2d": "batch_norm", "BatchNorm1d": "batch_norm", "MaxPool2d": "max_pool",
    "AvgPool2d": "avg_pool", "GlobalAvgPool2d": "global_avg_pool", "GlobalMaxPool2d": "global_max_pool",
    "AdaptiveAvgPool2d": "adaptive_avg_pool", "AdaptiveMaxPool2d": "adaptive_max_pool", "LeakyReLU": "leaky_relu",
    "Concat": "copy_columns", "Split": "copy_columns", "ZeroPad2d": "zero_pad", "PadChannels": "copy_columns",
    "ClassToken": "prepend_token", "PositionEmbedding": "add", "SelectToken": "copy_columns",
    "CondConv2d": "conv2d_each", "DeformConv2d": "deform_conv2d", "BranchSoftmax": "branch_softmax",
    "MultiHeadAttention": "attention", "Attention": "attention",
    "ChannelShuffle": "channel_shuffle", "LayerNorm": "layer_norm", "GroupNorm": "group_norm",
    "StochasticDepth": "stochastic_depth", "Hardsigmoid": "hard_sigmoid", "Upsample": "upsample2d",
    "LocalResponseNorm": "local_response_norm",
}  # fmt: skip


def formula(layer: Layer) -> str:
    """The layer as one line of mathematics; empty where its name says it all."""
    return FORMULAS.get(layer.kind, "")


def textbook_source(layer: Layer) -> str:
    """Source of the textbook forward and backward of a layer."""
    reference = importlib.import_module("kernels.reference")
    stem = _STEMS.get(layer.kind, layer.kind.lower())
    found = [
        inspect.getsource(function)
        for name, function in vars(reference).items()
        if inspect.isfunction(function) and (name == stem or name.startswith(f"{stem}_"))
    ]
    return "\n\n".join(found) or inspect.getsource(type(layer))
