"""Bytes that a node of a plan cannot help moving: each array that it needs, once."""

from __future__ import annotations

from nnvis.graph import Node
from nnvis.layers.base import Flow


def forward_bytes(node: Node, flow: Flow) -> int:
    """Inputs and parameters, which are read, and the output, which is written; 0 for views."""
    if node.layer.is_view:
        return 0
    return sum(x.nbytes for x in flow.xs) + flow.y.nbytes + _total(flow.params)


def backward_bytes(node: Node, flow: Flow) -> int:
    """What the layer says that it reads on the way back, the gradients that it writes, and parameters in between."""
    written = [dx for dx in flow.dxs if dx is not None]
    if node.layer.is_view or not (written or flow.grads):
        return 0
    reads = node.layer.backward_reads
    read = sum(x.nbytes for number, x in enumerate(flow.xs) if "x" in reads and node.layer.reads_back(number))
    read += flow.y.nbytes * len(reads & {"y", "dy"})
    return read + sum(dx.nbytes for dx in written) + _total(flow.grads) + (_total(flow.params) if written else 0)


def _total(arrays: dict) -> int:
    return sum(array.nbytes for array in arrays.values())
