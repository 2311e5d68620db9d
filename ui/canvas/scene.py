"""The scene: one item for each node and wire of the document, kept in step with every change."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QPainter, QPen
from PySide6.QtWidgets import QGraphicsScene

from nnvis.graph import INPUT
from nnvis.layers.base import describe
from ui.canvas.node_item import PLAIN, Face, NodeItem
from ui.canvas.pictures import strip
from ui.canvas.routing import route
from ui.canvas.wire_item import WireItem, tints
from ui.document import blocks, edits, layout
from ui.document.catalog import kind_title
from ui.document.layout import NODE_HEIGHT, NODE_WIDTH, bounds
from ui.document.state import Block, DocumentState, Wire
from ui.history import Document
from ui.theme import look


class CanvasScene(QGraphicsScene):
    """Shows a :class:`Document`; edits go back through it.

    Signals
    -------
    places_changed()
        Nodes were added, removed or moved.
    """

    places_changed = Signal()

    def __init__(self, document: Document):
        super().__init__()
        self.document = document
        self.nodes: dict[str, NodeItem] = {}
        self.wires: dict[Wire, WireItem] = {}
        self.frames: dict[str, QRectF] = {}
        self._titles: dict[str, str] = {}
        self._boxes: list[QRectF] | None = None
        self._busy = False
        self._thumbnails = False
        self._tints: dict[str, float] | None = None
        self._running = ""
        self._content: QRectF | None = None
        self._detailed = True
        document.changed.connect(lambda before, after: self.sync())
        document.selection_changed.connect(self._show_selection)
        self.selectionChanged.connect(self._tell_selection)
        look().changed.connect(self.repaint_all)
        self.sync()

    # --- keeping in step ----------------------------------------------------------------------------------

    def sync(self) -> None:
        """Make the items those of the document's state."""
        state = self.document.state
        self._busy = True
        self.hidden = blocks.hidden(state)
        faces = self._faces(state)
        for name in [n for n in self.nodes if n not in faces]:
            self.removeItem(self.nodes.pop(name))
        for name, (face, place) in faces.items():
            item = self.nodes.get(name)
            if item is None:
                item = self.nodes[name] = NodeItem(name, face)
                self.addItem(item)
                item.show_strip = self._thumbnails
                item.keep_picture(self._detailed)
            item.set_face(face)
            if item.pos() != QPointF(*place):
                item.setPos(*place)
        self._boxes = None
        self.frames, self._titles = self._frames(), blocks.short_names(state)
        self._sync_wires(state)
        self._busy = False
        self._show_selection(self.document.selection)
        self._fit_rect()
        self.places_changed.emit()

    def _faces(self, state: DocumentState) -> dict[str, tuple[Face, tuple[float, float]]]:
        analysis = self.document.analysis
        kind = "examples"
        short = blocks.short_names(state)
        faces = {INPUT: (Face(INPUT, kind, "data", state.input_shape, 0, 0), state.input_position)}
        for name, node in state.nodes.items():
            if name not in self.hidden:
                inputs = len(node.inputs) + (node.layer.arity is None and None not in node.inputs)
                face = Face(
                    short.get(name, name), node.layer.kind, node.layer.family, analysis.shapes.get(name),
                    analysis.parameters.get(name, 0), inputs, analysis.fault_of.get(name, ""),
                    name == analysis.output, is_aux=name in state.aux_outputs,
                )  # fmt: skip
                faces[name] = face, node.position
        for name, block in blocks.shown(state):
            if block.collapsed:
                left, top, *_ = bounds(state, block.members)
                faces[name] = self._block_face(state, name, short.get(name, name), block), (left, top)
        return faces

    def _block_face(self, state: DocumentState, name: str, title: str, block: Block) -> Face:
        analysis, members = self.document.analysis, block.members
        shape = analysis.shapes.get(blocks.exit_of(state, name))
        fault = next((f"{m}: {analysis.fault_of[m]}" for m in members if m in analysis.fault_of), "")
        count = sum(analysis.parameters.get(m, 0) for m in members)
        kind, inputs = kind_title(block.kind), bool(blocks.entries(state, name))
        is_output, is_aux = analysis.output in members, not members.isdisjoint(state.aux_outputs)
        return Face(title, kind, "block", shape, count, inputs, fault, is_output, len(members), is_aux)

    def _sync_wires(self, state: DocumentState) -> None:
        shown = {w for w in state.wires() if self.shown(w[0]) != self.shown(w[1])}
        for wire in [w for w in self.wires if w not in shown]:
            self.removeItem(self.wires.pop(wire))
        shapes = self.document.analysis.shapes
        for wire in shown:
            item = self.wires.get(wire)
            if item is None:
                item = self.wires[wire] = WireItem(wire)
                self.addItem(item)
            shape = shapes.get(wire[0])
            item.label = describe(shape) if shape else "?"
            self._place(item)

    def shown(self, name: str) -> str:
        """The item that stands for a node: itself, or the collapsed block it is in."""
        return self.hidden.get(name, name)

    def _place(self, item: WireItem) -> None:
        source, target, slot = item.wire
        start, end = self.nodes[self.shown(source)], self.nodes[self.shown(target)]
        begin, finish = start.output_port(), end.input_port(slot if target not in self.hidden else 0)
        item.place(route(begin, finish, *self._obstacles(begin, finish)))

    def _obstacles(self, start: QPointF, end: QPointF) -> tuple[list[QRectF], list[QRectF]]:
        """Nodes and frames that may be in the way of a wire; none where it leads to the next column."""
        if 0 < end.x() - start.x() < NODE_WIDTH:
            return [], []
        if self._boxes is None:
            places = (item.pos() for item in self.nodes.values())
            self._boxes = [QRectF(p.x(), p.y(), NODE_WIDTH, NODE_HEIGHT) for p in places]
        return self._boxes, list(self.frames.values())

    def node_moved(self, name: str) -> None:
        """A node is being moved: its wires follow."""
        if self._busy:
            return
        self._content = self._boxes = None
        for wire, item in self.wires.items():
            if name in (self.shown(wire[0]), self.shown(wire[1])):
                self._place(item)

    def commit_moves(self) -> None:
        """One undo step for all nodes that were moved by the mouse."""
        state, places = self.document.state, {}
        for name, item in self.nodes.items():
            place = item.pos().x(), item.pos().y()
            if name in state.blocks:
                left, top, *_ = bounds(state, state.blocks[name].members)
                shift = place[0] - left, place[1] - top
                for member in state.blocks[name].members if shift != (0, 0) else ():
                    x, y = state.nodes[member].position
                    places[member] = x + shift[0], y + shift[1]
            elif place != state.position(name):
                places[name] = place
        if places:
            self.document.apply("Move", edits.move(state, places))

    def _fit_rect(self) -> None:
        self._content = None
        self.setSceneRect(self.content().adjusted(-800, -600, 800, 600))

    @contextlib.contextmanager
    def painted_directly(self) -> Iterator[None]:
        """Paint lines and letters, not kept pictures of them: for files."""
        for item in self.nodes.values():
            item.keep_picture(False)
        yield
        for item in self.nodes.values():
            item.keep_picture(self._detailed)

    def set_zoom(self, zoom: float) -> None:
        """The view looks from another distance."""
        if self._detailed != (zoom >= PLAIN):
            self._detailed = not self._detailed
            for item in self.nodes.values():
                item.keep_picture(self._detailed)

    def content(self) -> QRectF:
        """The area that the nodes cover."""
        if self._content is None:
            self._content = QRectF()
            for item in self.nodes.values():
                self._content |= item.sceneBoundingRect()
        return self._content

    def repaint_all(self) -> None:
        """The theme has changed."""
        for item in self.items():
            item.update()
        self.update()

    # --- selection ----------------------------------------------------------------------------------------

    @property
    def telling(self) -> bool:
        """Whether the selection is being changed here, by the mouse."""
        return self._busy

    def _tell_selection(self) -> None:
        if not self._busy:
            self._busy = True
            self.document.select(tuple(n for n, item in self.nodes.items() if item.isSelected()))
            self._busy = False

    def _show_selection(self, names: tuple[str, ...]) -> None:
        if self._busy:
            return
        self._busy = True
        for name, item in self.nodes.items():
            item.setSelected(name in names)
        self._busy = False

    def selected_wires(self) -> list[Wire]:
        """The wires that are selected."""
        return [wire for wire, item in self.wires.items() if item.isSelected()]

    # --- live ---------------------------------------------------------------------------------------------

    def set_running(self, name: str | None, direction: str) -> None:
        """Light up the node that computes."""
        for old in (self._running, name):
            item = self.nodes.get(self.shown(old)) if old else None
            if item is not None:
                item.running = direction if old == name else ""
                item.update()
        self._running = name or ""

    def set_thumbnails(self, features: Mapping[str, np.ndarray]) -> None:
        """Show feature maps (M, H, W, C) of the first example on their nodes."""
        for name, values in features.items():
            if name in self.nodes and len(values):
                self.nodes[name].set_strip(strip(values[0]), True)

    def show_thumbnails(self, on: bool) -> None:
        """Show or hide the feature maps."""
        self._thumbnails, self._content = on, None
        for item in self.nodes.values():
            item.set_strip(item.strip if on else None, on)

    def forget_pictures(self) -> None:
        """Another network comes, of which nothing is known yet, though nodes may have the same names."""
        for item in self.nodes.values():
            item.set_strip(None, self._thumbnails)
        self.set_gradients(None)

    def set_gradients(self, gradients: Mapping[str, float] | None) -> None:
        """Tint wires by the mean gradient that flows back through them."""
        found = None if gradients is None else tints(dict(gradients))
        for wire, item in self.wires.items():
            item.tint = None if found is None else found.get(wire[0])
            item.update()

    def drawBackground(self, painter: QPainter, rect: QRectF) -> None:
        painter.fillRect(rect, look().color("canvas"))
        for name, area in self.frames.items():
            self._paint_frame(painter, self._titles.get(name, name), area)

    def _paint_frame(self, painter: QPainter, name: str, area: QRectF) -> None:
        painter.setPen(QPen(look().color("border"), 1, Qt.PenStyle.DashLine))
        painter.setBrush(look().color("raised", 90))
        painter.drawRoundedRect(area, 8, 8)
        painter.setPen(look().color("muted"))
        painter.setFont(look().font())
        painter.drawText(area.topLeft() + QPointF(10, 15), name)

    def frame_at(self, at: QPointF) -> str | None:
        """The innermost open block whose title bar is at a point."""
        return next((n for n, a in reversed(self.frames.items()) if _title(a).contains(at)), None)

    def _frames(self) -> dict[str, QRectF]:
        areas = layout.frames(self.document.state)
        return {name: QRectF(QPointF(*area[:2]), QPointF(*area[2:])) for name, area in areas.items()}


def _title(area: QRectF) -> QRectF:
    return QRectF(area.topLeft(), QPointF(area.right(), area.top() + layout.TITLE))
