"""Watching one training step node by node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from nnvis.plan import Plan


@dataclass(frozen=True)
class NodeRecord:
    """What one node has just done; all arrays are copies.

    Attributes
    ----------
    direction : str
        "forward", "loss", "backward" or "update".
    node : str or None
        None for the loss and the update, which belong to the whole network.
    inputs : tuple of ndarray
        Forward: what the node read. Backward: the gradients that it handed on, where somebody needs them.
    output : ndarray or None
        Forward: what it made. Backward: the gradient that came in. Loss: the gradient that it starts.
    parameters : mapping of str to ndarray
        Forward: the node's parameters. Backward: their gradients.
    loss : float or None
    """

    direction: str
    node: str | None
    inputs: tuple[np.ndarray, ...] = ()
    output: np.ndarray | None = None
    parameters: Mapping[str, np.ndarray] = field(default_factory=dict)
    loss: float | None = None


#: Called after each node of a step; the step goes on when it returns.
Observer = Callable[[NodeRecord], None]


def forward_record(plan: Plan, node: str) -> NodeRecord:
    """What `node` did on the way forward."""
    flow = plan.flows[node]
    return NodeRecord("forward", node, tuple(x.copy() for x in flow.xs), flow.y.copy(), _copies(flow.params))


def backward_record(plan: Plan, node: str) -> NodeRecord:
    """What `node` did on the way back."""
    flow = plan.flows[node]
    handed_on = tuple(dx.copy() for dx in flow.dxs if dx is not None)
    return NodeRecord("backward", node, handed_on, flow.dy.copy(), _copies(flow.grads))


def _copies(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: array.copy() for name, array in arrays.items()}
