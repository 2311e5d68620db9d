"""Activation functions of any shape; NaN in gives NaN out. Softmax runs along the last axis."""

from __future__ import annotations

from kernels.cuda.rectifiers import (
    hard_sigmoid_backward,
    hard_sigmoid_forward,
    hard_swish_backward,
    hard_swish_forward,
    leaky_relu_backward,
    leaky_relu_forward,
    relu6_backward,
    relu6_forward,
    relu_backward,
    relu_forward,
)
from kernels.cuda.smooth import (
    gelu_backward,
    gelu_forward,
    sigmoid_backward,
    sigmoid_forward,
    silu_backward,
    silu_forward,
    tanh_backward,
    tanh_forward,
)
from kernels.cuda.softmax import (
    branch_softmax_backward,
    branch_softmax_forward,
    softmax_backward,
    softmax_forward,
)

__all__ = [
    "branch_softmax_backward",
    "branch_softmax_forward",
    "gelu_backward",
    "gelu_forward",
    "hard_sigmoid_backward",
    "hard_sigmoid_forward",
    "hard_swish_backward",
    "hard_swish_forward",
    "leaky_relu_backward",
    "leaky_relu_forward",
    "relu6_backward",
    "relu6_forward",
    "relu_backward",
    "relu_forward",
    "sigmoid_backward",
    "sigmoid_forward",
    "silu_backward",
    "silu_forward",
    "softmax_backward",
    "softmax_forward",
    "tanh_backward",
    "tanh_forward",
]
