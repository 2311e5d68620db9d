"""Folding batch normalisation into the layer before it: at inference both are one linear map."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np

from nnvis.graph import INPUT, Graph
from nnvis.layers import BatchNorm2d, Conv2d, Linear
from nnvis.network import Network


def fold_batch_norm(net: Network) -> Network:
    """A network for inference without the batch norms that can be folded.

    A batch norm that directly follows a convolution or linear layer, and is the only reader of it, vanishes into that
    layer's weights and bias. With ``scale = gamma / sqrt(running_var + eps)``: ``w' = w scale`` and
    ``b' = (b - running_mean) scale + beta``.

    Parameters
    ----------
    net : Network
        Stays as it is.

    Returns
    -------
    Network
        New, on the same device. At inference its outputs equal those of `net` up to rounding. Other batch norms stay.

    Notes
    -----
    Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018,
    section 3.2.
    """
    folds = _foldable(net.graph)
    folded = Network(_without(net.graph, folds), device=net.device.name, seed=net.seed)
    state = net.state_dict()
    own = {name: state[name] for name in folded.state_dict() if name in state}
    for norm, layer in folds.items():
        own |= _merged(net, state, layer, norm)
    folded.load_state_dict(own)
    return folded


def _foldable(graph: Graph) -> dict[str, str]:
    """Batch norms that can go, each with the layer that takes it in."""
    ordered = graph.order(aux=False)
    readers = Counter(name for node in ordered for name in node.inputs)
    found = {}
    for node in ordered:
        source = node.inputs[0]
        if not isinstance(node.layer, BatchNorm2d) or source == INPUT:
            continue
        if isinstance(graph[source].layer, Conv2d | Linear) and readers[source] == 1:
            found[node.name] = source
    return found


def _without(graph: Graph, folds: dict[str, str]) -> Graph:
    made = Graph(graph.input_shape, graph.init, graph.name)
    for node in graph.order(aux=False):
        if node.name in folds:
            continue
        layer = node.layer
        if node.name in folds.values():
            layer = dataclasses.replace(layer, bias=True)  # type: ignore[call-arg]
        made.add(layer, [folds.get(name, name) for name in node.inputs], name=node.name)
    output = graph.output.name
    made.output = made[folds.get(output, output)]
    for name, block in graph.blocks.items():
        if left := [n for n in block.nodes if n in made.nodes]:
            made.group(name, left, block.kind)
    return made


def _merged(net: Network, state: dict[str, np.ndarray], layer: str, norm: str) -> dict[str, np.ndarray]:
    """Weight and bias of `layer` with `norm` in them."""
    batch_norm = net.graph[norm].layer
    assert isinstance(batch_norm, BatchNorm2d)
    weight, gamma, beta = state[f"{layer}.weight"], state[f"{norm}.weight"], state[f"{norm}.bias"]
    bias = state.get(f"{layer}.bias", np.zeros_like(beta))
    mean, var = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
    made = np.empty_like(weight), np.empty_like(bias)
    net.device.kernels.fold_batch_norm(weight, bias, gamma, beta, mean, var, batch_norm.eps, *made)
    return {f"{layer}.weight": made[0], f"{layer}.bias": made[1]}
