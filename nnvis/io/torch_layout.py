"""PyTorch's array order, and back.

=========================  ======================  =======================
array                      here                    PyTorch
=========================  ======================  =======================
convolution weight         (KH, KW, C_in/g, C_out)  (C_out, C_in/g, KH, KW)
linear weight              (in, out)               (out, in)
linear after Flatten       in = (H, W, C)          in = (C, H, W)
attention, both maps       (in, out)               (out, in)
filters of E experts       (E, KH, KW, ...)        (E, all in a row), as timm
=========================  ======================  =======================

PyTorch calls an attention's ``out_proj_weight`` and ``out_proj_bias`` ``out_proj.weight`` and ``out_proj.bias``, and
torchvision's class token and position embedding are arrays under the node's own name, without ``.weight``.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from nnvis.graph import INPUT, Graph
from nnvis.layers import ClassToken, CondConv2d, Conv2d, Flatten, Linear, MultiHeadAttention, PositionEmbedding
from nnvis.layers.base import Shape


def from_torch(graph: Graph, state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A PyTorch ``state_dict`` (as NumPy arrays) in nnvis's order, for ``Network.load_state_dict``.

    Entries that no node of `graph` knows keep their name and order; ``num_batches_tracked`` is dropped.
    """
    weights, names = _weights(graph), {theirs: ours for ours, theirs in _names(graph).items()}
    renamed = {names.get(name, name): value for name, value in state.items()}
    return {
        name: np.ascontiguousarray(weights[name](value, False) if name in weights else value)
        for name, value in renamed.items()
        if not name.endswith("num_batches_tracked")
    }


def to_torch(graph: Graph, state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The other way: ``Network.state_dict()`` or ``gradients()`` in PyTorch's order."""
    weights, names = _weights(graph), _names(graph)
    return {
        names.get(name, name): np.ascontiguousarray(weights[name](value, True) if name in weights else value)
        for name, value in state.items()
    }


def torch_shapes(graph: Graph) -> dict[str, Shape]:
    """PyTorch's names of all parameters and buffers of `graph`, and their shapes there."""
    weights, names = _weights(graph), _names(graph)
    shapes = {}
    for name, spec in (graph.parameter_specs() | graph.buffer_specs()).items():
        # A single value in this shape: what is asked for is the way it is turned, not memory.
        turned = np.broadcast_to(np.int8(0), spec.shape)
        turned = weights[name](turned, True) if name in weights else turned
        shapes[names.get(name, name)] = turned.shape
    return shapes


def _weights(graph: Graph) -> dict:
    shapes, made = graph.shapes(), {}
    for node in graph.order():
        if isinstance(node.layer, Conv2d):
            made[f"{node.name}.weight"] = _convolution
        elif isinstance(node.layer, Linear):
            image = _flattened_image(graph, node.inputs[0], shapes)
            made[f"{node.name}.weight"] = partial(_linear, image)
        elif isinstance(node.layer, CondConv2d):
            filters = node.layer.parameters(*(shapes[name] for name in node.inputs))["weight"].shape
            made[f"{node.name}.weight"] = partial(_experts, filters)
        elif isinstance(node.layer, MultiHeadAttention):
            for name in ("in_proj_weight", "out_proj_weight"):
                made[f"{node.name}.{name}"] = partial(_linear, None)
    return made


def _names(graph: Graph) -> dict[str, str]:
    """PyTorch's names of the parameters that have another one there."""
    names: dict[str, str] = {}
    for node in graph.order():
        if isinstance(node.layer, MultiHeadAttention):
            names |= {f"{node.name}.out_proj_{kind}": f"{node.name}.out_proj.{kind}" for kind in ("weight", "bias")}
        elif isinstance(node.layer, ClassToken | PositionEmbedding):
            names[f"{node.name}.weight"] = node.name
    return names


def _convolution(weight: np.ndarray, to_torch: bool) -> np.ndarray:
    return weight.transpose(3, 2, 0, 1) if to_torch else weight.transpose(2, 3, 1, 0)


def _experts(filters: Shape, weight: np.ndarray, to_torch: bool) -> np.ndarray:
    if to_torch:
        return weight.transpose(0, 4, 3, 1, 2).reshape(len(weight), -1)
    experts, height, width, inputs, outputs = filters
    return weight.reshape(experts, outputs, inputs, height, width).transpose(0, 3, 4, 2, 1)


def _linear(image: Shape | None, weight: np.ndarray, to_torch: bool) -> np.ndarray:
    if image is None:
        return weight.T
    height, width, channels = image
    if to_torch:
        return weight.reshape(height, width, channels, -1).transpose(3, 2, 0, 1).reshape(-1, math.prod(image))
    return weight.reshape(-1, channels, height, width).transpose(2, 3, 1, 0).reshape(math.prod(image), -1)


def _flattened_image(graph: Graph, name: str, shapes: dict[str, Shape]) -> Shape | None:
    """Shape of the image that was flattened into node `name`'s output, seen through elementwise layers."""
    while name != INPUT:
        node = graph[name]
        source = node.inputs[0]
        if isinstance(node.layer, Flatten):
            return shapes[source] if len(shapes[source]) == 3 else None
        if len(node.inputs) > 1 or node.layer.parameters(shapes[source]) or shapes[name] != shapes[source]:
            return None
        name = source
    return None
