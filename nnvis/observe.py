"""Watching one training step node by node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

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
    flow, read = plan.flows[node], plan.device.memory.read
    return NodeRecord("forward", node, tuple(map(read, flow.xs)), read(flow.y), _copies(plan, flow.params))


def loss_record(plan: Plan, loss: float) -> NodeRecord:
    """The loss, and the gradient that it starts."""
    return NodeRecord("loss", None, output=plan.device.memory.read(plan.output_gradient), loss=loss)


def backward_record(plan: Plan, node: str) -> NodeRecord:
    """What `node` did on the way back."""
    flow, read = plan.flows[node], plan.device.memory.read
    handed_on = tuple(read(dx) for dx in flow.dxs if dx is not None)
    return NodeRecord("backward", node, handed_on, read(flow.dy), _copies(plan, flow.grads))


def _copies(plan: Plan, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: plan.device.memory.read(array) for name, array in arrays.items()}
