"""Fixes to click: edits that remove a fault. Each is tried before it is offered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import nnvis as nv
from nnvis.errors import NnvisError
from nnvis.graph import INPUT
from nnvis.layers.base import Layer
from ui.document import edits, layout
from ui.document.analysis import Analysis, analyse
from ui.document.state import DocumentState, NodeState

#: More would bury the good ones.
MOST = 3


@dataclass(frozen=True)
class Fix:
    """What the button says, and the state that it leads to."""

    label: str
    apply: Callable[[], DocumentState]


def fixes(state: DocumentState, analysis: Analysis, node: str | None) -> list[Fix]:
    """Fixes for the fault on `node`, or (None) for that of the whole network; best first."""
    found: list[Fix] = []
    for label, after in _candidates(state, analysis, node):
        if len(found) < MOST and _removes(after, node):
            found.append(Fix(label, lambda after=after: after))
    return found


def _removes(after: DocumentState, node: str | None) -> bool:
    analysis = analyse(after)
    if node is None:
        return analysis.output is not None
    return node not in analysis.fault_of and analysis.shapes.get(node) is not None


def _candidates(state: DocumentState, analysis: Analysis, name: str | None) -> Iterator[tuple[str, DocumentState]]:
    if name is None:
        read = {source for source, _, _ in state.wires()}
        for end in reversed([n for n in state.nodes if n not in read]):
            yield f"Make {end} the output", edits.set_output(state, end)
        return
    node = state.nodes.get(name)
    if node is None:
        return
    yield from _missing_inputs(state, analysis, name, node)
    yield from _inserted(state, name, node)
    yield from _matched(state, analysis, name, node)
    yield from _changed(state, name, node)


def _missing_inputs(state, analysis: Analysis, name: str, node: NodeState) -> Iterator[tuple[str, DocumentState]]:
    """Connect a free input to the nearest node on its left that nothing reads yet."""
    if None not in node.inputs:
        return
    slot, (x, y) = node.inputs.index(None), node.position
    left = [n for n in (*state.nodes, INPUT) if state.position(n)[0] < x and n not in node.inputs]
    ordered = sorted(left, key=lambda n: (bool(state.readers(n)), _distance(state.position(n), (x, y))))
    for source in ordered[:4]:
        if edits.why_not(state, source, name, slot) is None:
            yield f"Connect {source}", edits.connect(state, source, name, slot)


def _distance(a, b) -> float:
    return (a[0] - b[0]) ** 2 + 4 * (a[1] - b[1]) ** 2


def _inserted(state: DocumentState, name: str, node: NodeState) -> Iterator[tuple[str, DocumentState]]:
    """Put a layer before one with a single input."""
    if len(node.inputs) == 1 and node.inputs[0] is not None:
        for layer in (nv.Flatten(), nv.GlobalAvgPool2d()):
            yield f"Insert {layer.kind}", _before(state, name, 0, layer)


def _before(state: DocumentState, name: str, slot: int, layer: Layer) -> DocumentState:
    source = state.nodes[name].inputs[slot]
    assert source is not None
    (x0, y0), (x1, y1) = state.position(source), state.position(name)
    place = 8.0 * round((x0 + x1) / 16), 8.0 * round((y0 + y1) / 16) + (layout.NODE_HEIGHT if slot else 0.0)
    return edits.insert_on_wire(state, (source, name, slot), layer, place)[0]


def _matched(state, analysis: Analysis, name: str, node: NodeState) -> Iterator[tuple[str, DocumentState]]:
    """Bring one input of a join to the shape of another by a 1x1 convolution."""
    shapes = [analysis.shapes.get(i) if i else None for i in node.inputs]
    if len(shapes) < 2 or any(s is None or len(s) != 3 for s in shapes):
        return
    for slot in reversed(range(len(shapes))):
        for other in shapes:
            own = shapes[slot]
            if own != other and own[0] >= other[0]:
                stride = max(1, round(own[0] / other[0]))
                conv = nv.Conv2d(other[2], 1, stride, bias=False)
                yield f"Match {node.inputs[slot]} by a 1x1 convolution", _before(state, name, slot, conv)


def _changed(state: DocumentState, name: str, node: NodeState) -> Iterator[tuple[str, DocumentState]]:
    """Other hyper-parameters: more padding, a smaller window, no groups."""
    layer = node.layer
    kernel = getattr(layer, "kernel_size", None)
    options: list[tuple[str, dict]] = []
    if isinstance(kernel, tuple):
        options.append((f"Use padding {kernel[0] // 2}", {"padding": (kernel[0] // 2, kernel[1] // 2)}))
        options += [(f"Use a {k}x{k} window", {"kernel_size": (k, k)}) for k in (5, 3, 2, 1) if k < min(kernel)]
    if getattr(layer, "groups", 1) > 1:
        options.append(("Use one group", {"groups": 1}))
    for label, change in options:
        try:
            yield label, edits.set_layer(state, name, replace(layer, **change))
        except (NnvisError, TypeError):
            continue
