"""What a node has just computed, in the words of the app."""

from __future__ import annotations

from nnvis.observe import NodeRecord
from ui.session.messages import NodeStep


def node_step(record: NodeRecord) -> NodeStep:
    """The message about a record."""
    shape = () if record.output is None else record.output.shape
    return NodeStep(
        record.direction, record.node, record.inputs, record.output, record.parameters, _note(record), shape
    )


def _note(record: NodeRecord) -> str:
    if record.node is None:
        return f"{record.direction}: loss {record.loss:.4g}"
    arrays = record.inputs if record.direction == "forward" else (record.output,)
    ends = ((record.output,) if record.direction == "forward" else record.inputs) or ()
    left, right = (", ".join("x".join(map(str, a.shape)) for a in side if a is not None) for side in (arrays, ends))
    return f"{record.node} {record.direction}: {left} -> {right}" if right else f"{record.node} {record.direction}"
