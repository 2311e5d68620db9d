"""Dragging a wire: from an output, or backwards from an input, with the shape that would result at each target."""

from __future__ import annotations

from dataclasses import dataclass, replace

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QPen
from PySide6.QtWidgets import QGraphicsPathItem

from nnvis.layers.base import describe
from ui.canvas.node_item import NodeItem
from ui.canvas.routing import route
from ui.canvas.scene import CanvasScene
from ui.canvas.word import Word
from ui.document import blocks, edits
from ui.document.analysis import analyse, judge
from ui.document.arithmetic import shape_sum
from ui.document.state import DocumentState
from ui.theme import look

#: How near to a port, in pixels on the screen, the pointer must be.
REACH = 24.0


@dataclass(frozen=True)
class Port:
    """An end of a wire: the output of a node (`slot` is None), or one of its inputs."""

    node: str
    slot: int | None


def port_at(scene: CanvasScene, at: QPointF, reach: float) -> Port | None:
    """The nearest port within `reach` of a point; those of a collapsed block are of nodes within it."""
    best, found = reach, None
    for name, item in scene.nodes.items():
        for port, place in _ports(scene, name, item):
            distance = ((place - at).x() ** 2 + (place - at).y() ** 2) ** 0.5
            if distance < best:
                best, found = distance, port
    return found


def _ports(scene: CanvasScene, name: str, item: NodeItem) -> list[tuple[Port, QPointF]]:
    state = scene.document.state
    if item.face.count:
        ends = [(Port(*place), item.input_port(0)) for place in blocks.entries(state, name)[:1]]
        return [(Port(blocks.exit_of(state, name), None), item.output_port()), *ends]
    inputs = [(Port(name, slot), item.input_port(slot)) for slot in range(item.face.inputs)]
    return [(Port(name, None), item.output_port()), *inputs]


class WireDrag:
    """One drag, from press to release."""

    def __init__(self, scene: CanvasScene, start: Port):
        self.scene, self.start = scene, start
        #: Inputs whose wire is being taken elsewhere.
        self.moved_from: list[tuple[str, int]] = []
        state = scene.document.state
        if start.slot is not None and start.node in state.nodes:
            self._take_off(state)
        self.line, self.label = QGraphicsPathItem(), Word()
        self.line.setPen(QPen(look().color("accent"), 2, Qt.PenStyle.DashLine))
        self.line.setZValue(3)
        self.label.setZValue(4)
        self.label.setFont(look().font(numbers=True))
        for item in (self.line, self.label):
            scene.addItem(item)

    def _take_off(self, state) -> None:
        """A wire that ends at this input is taken by its end and can be put elsewhere."""
        assert self.start.slot is not None
        inputs = state.nodes[self.start.node].inputs
        source = inputs[self.start.slot] if self.start.slot < len(inputs) else None
        if source is not None:
            self.moved_from = self._inputs(self.start.node, self.start.slot)
            self.start = Port(source, None)

    def _inputs(self, target: str, slot: int) -> list[tuple[str, int]]:
        """The inputs that one wire leads to: several where a collapsed block reads its input in several places."""
        shown = self.scene.shown(target)
        return [(target, slot)] if shown == target else blocks.entries(self.scene.document.state, shown)

    def ends(self, port: Port | None) -> tuple[str, str, int] | None:
        """The wire that dropping on `port` would make."""
        if port is None or (port.slot is None) == (self.start.slot is None):
            return None
        source, target = (self.start, port) if self.start.slot is None else (port, self.start)
        assert target.slot is not None
        return source.node, target.node, target.slot

    def move(self, at: QPointF, reach: float) -> str:
        """Follow the pointer; returns what to say about the target."""
        port = port_at(self.scene, at, reach)
        wire = self.ends(port)
        end = self._place(port) if wire and port else at
        begin = self._place(self.start)
        self.line.setPath(route(begin, end) if self.start.slot is None else route(end, begin))
        sentence, fine = self.judge(wire) if wire else ("", True)
        self.label.setText(sentence)
        self.label.setBrush(look().color("good" if fine else "bad"))
        self.label.put(at)
        return sentence

    def _place(self, port: Port) -> QPointF:
        item = self.scene.nodes[self.scene.shown(port.node)]
        return item.output_port() if port.slot is None else item.input_port(port.slot)

    def judge(self, wire: tuple[str, str, int]) -> tuple[str, bool]:
        """What a wire would do: the resulting shape with its arithmetic, or the reason why not."""
        state = self._without_moved()
        reason = edits.why_not(state, *wire)
        if reason:
            return reason, False
        source, target, slot = wire
        if self.scene.shown(target) != target:
            return self._judge_block(state, *wire)
        shapes = self.scene.document.analysis.shapes
        node = state.nodes[target]
        inputs = [*node.inputs, *[None] * (slot + 1 - len(node.inputs))]
        inputs[slot] = source
        shape, fault = judge(target, replace(node, inputs=tuple(inputs)), shapes)
        if shape is None:
            return fault or "connects; the shape is not known yet", not fault or None in inputs
        known = tuple(shapes[i] for i in inputs if i is not None)
        return f"{describe(shape)}   {shape_sum(node.layer, known, shape)}", True  # type: ignore[arg-type]

    def _judge_block(self, state: DocumentState, source: str, target: str, slot: int) -> tuple[str, bool]:
        name = self.scene.shown(target)
        analysis = analyse(edits.feed(state, source, self._inputs(target, slot)))
        fault = next((analysis.fault_of[m] for m in state.blocks[name].members if m in analysis.fault_of), "")
        shape = analysis.shapes.get(blocks.exit_of(state, name))
        return fault or (describe(shape) if shape else "connects; the shape is not known yet"), not fault

    def _without_moved(self) -> DocumentState:
        wires = [(self.start.node, target, slot) for target, slot in self.moved_from]
        return edits.disconnect(self.scene.document.state, wires)

    def drop(self, at: QPointF, reach: float) -> bool:
        """Make the wire if it can be; False if nothing was hit."""
        wire = self.ends(port_at(self.scene, at, reach))
        state = self._without_moved()
        if wire is not None and edits.why_not(state, *wire) is None:
            self.scene.document.apply("Connect", edits.feed(state, wire[0], self._inputs(*wire[1:])))
            return True
        if wire is None and self.moved_from:
            self.scene.document.apply("Disconnect", state)
            return True
        return wire is not None

    def end(self) -> None:
        """Take the drawing away."""
        for item in (self.line, self.label):
            self.scene.removeItem(item)
