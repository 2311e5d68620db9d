"""A plan in words: what runs for each node, by which algorithm, fused with what, and what stays in memory."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass

from nnvis.fusion import covers, home, main_layer
from nnvis.layers.base import Shape
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
    main : str
        Whose parameters they are, and whose algorithms.
    algorithms : dict of str to str
        Of convolutions: "forward", and in training "data" and "weights".
    shape : tuple of int
        Output of one example.
    kept_bytes : int
        Output and caches that stay until the way back, or until a later node has read them; 0 where nothing is written.
    """

    nodes: tuple[str, ...]
    does: str
    main: str
    algorithms: dict[str, str]
    shape: Shape
    kept_bytes: int


def plan_table(plan: Plan) -> list[PlanRow]:
    """The steps of a plan, in the order of execution."""
    written = plan.written_bytes()
    return [_row(plan, node, written[node.name]) for node in plan.nodes]


def _row(plan: Plan, node: Node, written: int) -> PlanRow:
    nodes = covers(node)
    how = " (a view)" if node.layer.is_view else "" if written else " in place"
    return PlanRow(nodes, _words(node) + how, home(node), _algorithms(plan, node), plan.shapes[node.name], written)


def _words(node: Node) -> str:
    layer = main_layer(node)
    if not isinstance(layer, Conv2d):
        return node.layer.kind
    window = "x".join(map(str, layer.kernel_size))
    words = f"{layer.kind} {window}" + (f", {layer.groups} groups" if layer.groups > 1 else "")
    return node.layer.kind.replace(layer.kind, words)


def _algorithms(plan: Plan, node: Node) -> dict[str, str]:
    """By pass; nothing for layers that have no choice."""
    layer = main_layer(node)
    if not isinstance(layer, Conv2d) or plan.device.name != "cpu":
        return {}
    source, target = plan.shapes[node.inputs[0]], plan.shapes[home(node)]
    passes = ["forward", *["data"] * plan.hands_back(node.name), *["weights"] * plan.mode.backward]
    if layer.groups == source[2] == layer.out_channels:
        return dict.fromkeys(passes, "depthwise")
    if math.prod(layer.kernel_size) == 1 and layer.groups == 1:
        return dict.fromkeys(passes, "matrix product")
    if plan.exact:
        return dict.fromkeys(passes, "direct")
    g = importlib.import_module("kernels.cpu.conv_plan").convolution(
        (plan.batch, *source), (plan.batch, *target), layer.kernel_size, *layer.geometry
    )
    choose = importlib.import_module("kernels.cpu.conv_choice").choose
    return {each: choose(g, each, home(node) in plan.pooled) for each in passes}
