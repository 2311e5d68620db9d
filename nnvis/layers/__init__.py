"""Layers, one family a file. A layer in a file of this folder is known without further ado, also as ``nnvis.<Layer>``.

The imports below tell type checkers and readers what there is; whatever else the folder holds is found as well.
"""

import importlib
import pkgutil

from nnvis.layers.activation import (
    GELU,
    BranchSoftmax,
    Dropout,
    Hardsigmoid,
    Hardswish,
    LeakyReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    StochasticDepth,
    Tanh,
)
from nnvis.layers.attention import Attention, MultiHeadAttention
from nnvis.layers.base import LAYERS, Flow, Layer
from nnvis.layers.channels import ChannelShuffle
from nnvis.layers.conv import Conv2d
from nnvis.layers.deform import DeformConv2d
from nnvis.layers.experts import CondConv2d
from nnvis.layers.linear import Linear
from nnvis.layers.merge import Add, Concat, Multiply, Split
from nnvis.layers.norm import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm, LocalResponseNorm
from nnvis.layers.pooling import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AvgPool2d,
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    MaxPool2d,
)
from nnvis.layers.resample import Upsample
from nnvis.layers.shape import Flatten, Identity, PadChannels, Reshape, ZeroPad2d
from nnvis.layers.tokens import ClassToken, PositionEmbedding, SelectToken, ToTokens

__all__ = [
    "GELU", "LAYERS", "AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "Add", "Attention", "AvgPool2d", "BatchNorm1d",
    "BatchNorm2d", "BranchSoftmax", "ChannelShuffle", "ClassToken", "Concat", "CondConv2d", "Conv2d",
    "DeformConv2d", "Dropout", "Flatten", "Flow", "GlobalAvgPool2d", "GlobalMaxPool2d", "GroupNorm", "Hardsigmoid",
    "Hardswish", "Identity", "Layer", "LayerNorm", "LeakyReLU", "Linear", "LocalResponseNorm", "MaxPool2d",
    "MultiHeadAttention", "Multiply", "PadChannels", "PositionEmbedding", "ReLU", "ReLU6", "Reshape", "SelectToken",
    "SiLU", "Sigmoid", "Softmax", "Split", "StochasticDepth", "Tanh", "ToTokens", "Upsample", "ZeroPad2d",
]  # fmt: skip

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
globals().update({_name: _kind for _name, _kind in LAYERS.items() if _name not in __all__})
__all__ += [_name for _name in LAYERS if _name not in __all__]
