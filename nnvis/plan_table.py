"""A plan in words: what runs for each node, by which algorithm, fused with what, and what stays in memory."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass

from nnvis.fusion import FusedNode
from nnvis.layers.base import Layer, Shape
from nnvis.layers.conv import Conv2d
from nnvis.node import Node
from nnvis.plan import Plan


@dataclass(frozen=True)
class PlanRow:
    """One step of a plan.

    Attributes
    ----------
    nodes : tuple of str
        Those of the graph that it computes.
    does : str
    algorithms : dict of str to str
        Of convolutions: "forward", and in training "data" and "weights".
    shape : tuple of int
        Output of one example.
    kept_bytes : int
        Output and caches that stay until the way back, or until a later node has read them; 0 where nothing is written.
    """

    nodes: tuple[str, ...]
    does: str
    algorithms: dict[str, str]
    shape: Shape
    kept_bytes: int


def plan_table(plan: Plan) -> list[PlanRow]:
    """The steps of a plan, in the order of execution."""
    rows, writes = [], {step.node.name: step.writes for step in plan._backward}
    seen = {plan._values["input"]}
    for node in plan.nodes:
        storage = plan._values[node.name]
        written = 0 if storage in seen else storage.nbytes
        seen.add(storage)
        caches = sum(cache.nbytes for (name, _), cache in plan._caches.items() if name == node.name)
        nodes = node.covers if isinstance(node, FusedNode) else (node.name,)
        shapes = [plan.shapes[name] for name in node.inputs]
        passes = ["forward"]
        if plan.mode.backward:
            passes += ["data"] * any(writes.get(node.name, [])) + ["weights"]
        algorithms = _algorithms(plan, node.layer, shapes[0], plan.shapes[node.name], passes)
        in_place = " in place" if not written and not node.layer.is_view else ""
        does = _words(node) + in_place + (" (a view)" if node.layer.is_view else "")
        rows.append(PlanRow(nodes, does, algorithms, plan.shapes[node.name], written + caches))
    return rows


def _words(node: Node) -> str:
    layer = node.layer
    if isinstance(node, FusedNode) and len(node.covers) == 3:
        return layer.kind.replace(" + ", " + Add + ")
    if not isinstance(layer, Conv2d):
        return layer.kind
    window = "x".join(map(str, layer.kernel_size))
    return f"Conv2d {window}" + (f", {layer.groups} groups" if layer.groups > 1 else "")


def _algorithms(plan: Plan, layer: Layer, source: Shape, target: Shape, passes: list[str]) -> dict[str, str]:
    """By pass; nothing for layers that have no choice."""
    if not isinstance(layer, Conv2d) or plan.device.name != "cpu":
        return {}
    if layer.groups == source[2] == layer.out_channels:
        return dict.fromkeys(passes, "depthwise")
    if math.prod(layer.kernel_size) == 1 and layer.groups == 1:
        return dict.fromkeys(passes, "matrix product")
    if plan.exact:
        return dict.fromkeys(passes, "direct")
    made = importlib.import_module("kernels.cpu.conv_plan").convolution(
        (plan.batch, *source), (plan.batch, *target), layer.kernel_size, *layer._geometry
    )
    choose = importlib.import_module("kernels.cpu.conv_choice").choose
    return {each: choose(made, each) for each in passes}
