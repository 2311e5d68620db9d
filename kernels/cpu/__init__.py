"""The fast CPU form of every kernel: Numba, explicit vectors, threads.

Arrays are float32 and C-contiguous. Work is split by the size of the problem, never by the number of threads, so that
results have the same bits on any number of them.
"""

from __future__ import annotations

from kernels.cpu import bounds
from kernels.cpu.activations import (
    branch_softmax_backward,
    branch_softmax_forward,
    gelu_backward,
    gelu_forward,
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
    sigmoid_backward,
    sigmoid_forward,
    silu_backward,
    silu_forward,
    softmax_backward,
    softmax_forward,
    tanh_backward,
    tanh_forward,
)
from kernels.cpu.attention import (
    attention_backward,
    attention_forward,
)
from kernels.cpu.augment import (
    gather_images,
)
from kernels.cpu.channels import (
    channel_shuffle_backward,
    channel_shuffle_forward,
    interleave_backward,
    interleave_forward,
)
from kernels.cpu.conv import (
    conv2d_backward_data,
    conv2d_backward_weights,
    conv2d_forward,
)
from kernels.cpu.conv_each import (
    conv2d_each_backward_data,
    conv2d_each_backward_weights,
    conv2d_each_forward,
)
from kernels.cpu.conv_norm import (
    conv2d_norm_forward,
)
from kernels.cpu.conv_normalised import (
    conv2d_normalised_applies,
    conv2d_normalised_backward_weights,
    conv2d_normalised_forward,
)
from kernels.cpu.conv_pool import (
    conv2d_pool_applies,
    conv2d_pool_backward,
    conv2d_pool_forward,
)
from kernels.cpu.deform_conv import (
    deform_conv2d_backward_data,
    deform_conv2d_backward_weights,
    deform_conv2d_forward,
)
from kernels.cpu.dropout import (
    dropout_backward,
    dropout_forward,
    stochastic_depth_backward,
    stochastic_depth_forward,
)
from kernels.cpu.elementwise import (
    accumulate,
    add_backward,
    add_forward,
    copy_columns,
    fill,
    multiply_backward,
    multiply_forward,
    pad2d_backward,
    pad2d_forward,
    scale_forward,
)
from kernels.cpu.layer_norm import (
    group_norm_backward,
    group_norm_forward,
    layer_norm_backward,
    layer_norm_forward,
)
from kernels.cpu.losses import (
    bce_with_logits_backward,
    bce_with_logits_forward,
    mse_backward,
    mse_forward,
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
)
from kernels.cpu.matmul import (
    linear_backward_data,
    linear_backward_weights,
    linear_forward,
    matmul,
)
from kernels.cpu.norm import (
    batch_norm_activation_backward_train,
    batch_norm_activation_forward_inference,
    batch_norm_activation_forward_train,
    batch_norm_backward_inference,
    batch_norm_backward_train,
    batch_norm_forward_inference,
    batch_norm_forward_train,
    batch_norm_statistics,
    fold_batch_norm,
)
from kernels.cpu.optim import (
    adam_update,
    all_finite,
    clip_by_value,
    momentum_update,
    rmsprop_update,
    sgd_update,
    sum_of_squares,
)
from kernels.cpu.pooling import (
    adaptive_avg_pool2d_backward,
    adaptive_avg_pool2d_forward,
    adaptive_max_pool2d_backward,
    adaptive_max_pool2d_forward,
    avg_pool2d_backward,
    avg_pool2d_forward,
    max_pool2d_backward,
    max_pool2d_forward,
)
from kernels.cpu.resample import (
    upsample2d_backward,
    upsample2d_forward,
)
from kernels.cpu.response_norm import (
    local_response_norm_backward,
    local_response_norm_forward,
)
from kernels.cpu.tokens import (
    prepend_token_backward,
    prepend_token_forward,
)

__all__ = [
    "accumulate",
    "adam_update",
    "adaptive_avg_pool2d_backward",
    "adaptive_avg_pool2d_forward",
    "adaptive_max_pool2d_backward",
    "adaptive_max_pool2d_forward",
    "add_backward",
    "add_forward",
    "all_finite",
    "attention_backward",
    "attention_forward",
    "avg_pool2d_backward",
    "avg_pool2d_forward",
    "batch_norm_activation_backward_train",
    "batch_norm_activation_forward_inference",
    "batch_norm_activation_forward_train",
    "batch_norm_backward_inference",
    "batch_norm_backward_train",
    "batch_norm_forward_inference",
    "batch_norm_forward_train",
    "batch_norm_statistics",
    "bce_with_logits_backward",
    "bce_with_logits_forward",
    "branch_softmax_backward",
    "branch_softmax_forward",
    "channel_shuffle_backward",
    "channel_shuffle_forward",
    "clip_by_value",
    "conv2d_backward_data",
    "conv2d_backward_weights",
    "conv2d_each_backward_data",
    "conv2d_each_backward_weights",
    "conv2d_each_forward",
    "conv2d_forward",
    "conv2d_norm_forward",
    "conv2d_normalised_applies",
    "conv2d_normalised_backward_weights",
    "conv2d_normalised_forward",
    "conv2d_pool_applies",
    "conv2d_pool_backward",
    "conv2d_pool_forward",
    "copy_columns",
    "deform_conv2d_backward_data",
    "deform_conv2d_backward_weights",
    "deform_conv2d_forward",
    "dropout_backward",
    "dropout_forward",
    "fill",
    "fold_batch_norm",
    "gather_images",
    "gelu_backward",
    "gelu_forward",
    "group_norm_backward",
    "group_norm_forward",
    "hard_sigmoid_backward",
    "hard_sigmoid_forward",
    "hard_swish_backward",
    "hard_swish_forward",
    "interleave_backward",
    "interleave_forward",
    "layer_norm_backward",
    "layer_norm_forward",
    "leaky_relu_backward",
    "leaky_relu_forward",
    "linear_backward_data",
    "linear_backward_weights",
    "linear_forward",
    "local_response_norm_backward",
    "local_response_norm_forward",
    "matmul",
    "max_pool2d_backward",
    "max_pool2d_forward",
    "momentum_update",
    "mse_backward",
    "mse_forward",
    "multiply_backward",
    "multiply_forward",
    "pad2d_backward",
    "pad2d_forward",
    "prepend_token_backward",
    "prepend_token_forward",
    "relu6_backward",
    "relu6_forward",
    "relu_backward",
    "relu_forward",
    "rmsprop_update",
    "scale_forward",
    "sgd_update",
    "sigmoid_backward",
    "sigmoid_forward",
    "silu_backward",
    "silu_forward",
    "softmax_backward",
    "softmax_cross_entropy_backward",
    "softmax_cross_entropy_forward",
    "softmax_forward",
    "stochastic_depth_backward",
    "stochastic_depth_forward",
    "sum_of_squares",
    "tanh_backward",
    "tanh_forward",
    "upsample2d_backward",
    "upsample2d_forward",
]

if bounds.asked_for():
    bounds.check(globals(), __all__)
