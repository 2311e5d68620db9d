"""The canvas: looks at the scene, and turns mouse and keyboard into edits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QPoint, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter
from PySide6.QtWidgets import QGraphicsView, QWidget

from nnvis.graph import INPUT
from ui.canvas.editing import EditingView
from ui.canvas.node_item import NodeItem
from ui.canvas.scene import CanvasScene
from ui.canvas.step_card import StepCard
from ui.canvas.wire_drag import REACH, Port, WireDrag, port_at
from ui.canvas.wire_item import WireItem
from ui.document import blocks, edits, layout, room
from ui.document.catalog import LAYER_MIME
from ui.history import Document
from ui.palette.actions import add_entry, select_end
from ui.session.messages import NodeStep
from ui.theme import GRID, LARGE, look


@dataclass(frozen=True)
class SearchRequest:
    """Somebody wants to add a layer here."""

    position: tuple[float, float]
    global_pos: QPoint
    source: str | None = None
    target: tuple[str, int] | None = None


class CanvasView(EditingView):
    """The network, to be looked at and edited.

    Signals
    -------
    search_requested(SearchRequest)
        A layer is to be chosen: double-click, Tab, or a wire dropped on empty canvas.
    fault_clicked(str, QPoint)
    """

    search_requested = Signal(object)
    fault_clicked = Signal(str, object)

    def __init__(self, document: Document, parent: QWidget | None = None):
        super().__init__(CanvasScene(document), parent)
        self.document = document
        self.setAccessibleName("Canvas: the network")
        self.setFrameShape(QGraphicsView.Shape.NoFrame)
        self.setViewportUpdateMode(QGraphicsView.ViewportUpdateMode.MinimalViewportUpdate)
        self.setDragMode(QGraphicsView.DragMode.RubberBandDrag)
        self.setTransformationAnchor(QGraphicsView.ViewportAnchor.AnchorUnderMouse)
        self.setAcceptDrops(True)
        self.setMouseTracking(True)
        self.step_card = StepCard(self)
        self._drag: WireDrag | None = None
        self._pan: QPoint | None = None
        document.selection_changed.connect(self._show_selected)
        document.changed.connect(self._show_hint_anew)

    # --- the view -----------------------------------------------------------------------------------------

    def resizeEvent(self, event) -> None:
        super().resizeEvent(event)
        self.step_card.place()

    def _show_selected(self, names: tuple[str, ...]) -> None:
        """What was selected elsewhere, or has just been added, is brought into view."""
        if len(names) == 1 and not self.graph_scene.telling:
            self.reveal(names[0])
        self.minimap.refresh()

    def _show_hint_anew(self, before, after) -> None:
        if bool(before.nodes) != bool(after.nodes):
            self.viewport().update()  # the words in the foreground are no item that repaints itself

    def drawForeground(self, painter: QPainter, rect: QRectF) -> None:
        if self.document.state.nodes:
            return
        painter.resetTransform()
        painter.setPen(look().color("muted"))
        painter.setFont(look().font(LARGE))
        room = self.viewport().rect().adjusted(0, 160, 0, 0)
        painter.drawText(room, Qt.AlignmentFlag.AlignHCenter, "Drag a layer here, or press Tab to search for one.")

    # --- adding ---------------------------------------------------------------------------------------------

    def request_search(self) -> None:
        """Ask for a layer to add, behind the selected node if there is one."""
        state, names = self.document.state, self.document.selection
        names = names or (() if state.nodes else (INPUT,))
        chosen = names[0] if len(names) == 1 else None
        source = blocks.exit_of(state, chosen) if chosen in state.blocks else chosen
        at = layout.place_after(state, chosen) if chosen else _pair(self.mapToScene(self.rect().center()))
        view_at = self.mapFromScene(QPointF(*at))
        inside = self.rect().contains(view_at)
        self.search_requested.emit(
            SearchRequest(at, self.mapToGlobal(view_at if inside else self.rect().center()), source)
        )

    # --- mouse --------------------------------------------------------------------------------------------

    def _reach(self) -> float:
        return min(REACH, REACH / 2 / self.transform().m11())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        at = self.mapToScene(event.position().toPoint())
        if event.button() == Qt.MouseButton.MiddleButton:
            self._pan = event.position().toPoint()
            self.viewport().setCursor(Qt.CursorShape.ClosedHandCursor)
            return
        if event.button() == Qt.MouseButton.LeftButton:
            for name, item in self.graph_scene.nodes.items():
                if item.face.fault and item.badge().contains(at):
                    self.fault_clicked.emit(name, event.globalPosition().toPoint())
                    return
            port = port_at(self.graph_scene, at, self._reach())
            if port is not None:
                self._drag = WireDrag(self.graph_scene, port)
                return
        super().mousePressEvent(_extending(event))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        place = event.position().toPoint()
        if self._pan is not None:
            self.pan(place - self._pan)
            self._pan = place
            return
        if self._drag is not None:
            self.status.emit(self._drag.move(self.mapToScene(place), 2 * self._reach()))
            return
        near = port_at(self.graph_scene, self.mapToScene(place), self._reach())
        self.viewport().setCursor(Qt.CursorShape.CrossCursor if near else Qt.CursorShape.ArrowCursor)
        super().mouseMoveEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if self._pan is not None:
            self._pan = None
            self.viewport().setCursor(Qt.CursorShape.ArrowCursor)
            return
        if self._drag is not None:
            self._end_drag(event)
            return
        super().mouseReleaseEvent(_extending(event))
        self.graph_scene.commit_moves()

    def _end_drag(self, event: QMouseEvent) -> None:
        drag, self._drag = self._drag, None
        assert drag is not None
        at = self.mapToScene(event.position().toPoint())
        hit = drag.drop(at, 2 * self._reach())
        drag.end()
        self.status.emit("")
        if not hit and self.graph_scene.nodes and not self._over_node(at):
            self._ask_for_layer(drag.start, at, event.globalPosition().toPoint())

    def _over_node(self, at: QPointF) -> bool:
        return any(isinstance(item, NodeItem) for item in self.graph_scene.items(at))

    def _ask_for_layer(self, start: Port, at: QPointF, where: QPoint) -> None:
        source = start.node if start.slot is None else None
        target = None if start.slot is None else (start.node, start.slot)
        place = at - QPointF(0 if source else layout.NODE_WIDTH, layout.NODE_HEIGHT / 2)
        self.search_requested.emit(SearchRequest(_pair(place), where, source, target))

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        at = self.mapToScene(event.position().toPoint())
        found = next((i for i in self.graph_scene.items(at) if isinstance(i, NodeItem)), None)
        frame = self.graph_scene.frame_at(at)
        if found is None and frame is not None:
            self.document.apply("Collapse", room.toggle(self.document.state, frame))
        elif found is None:
            self.search_requested.emit(SearchRequest(_pair(at), event.globalPosition().toPoint()))
        elif found.face.count:
            self.document.select([found.name])
            self.toggle_collapse()

    # --- keyboard -----------------------------------------------------------------------------------------

    def focusNextPrevChild(self, forward: bool) -> bool:
        return False  # Tab adds a layer here

    def keyPressEvent(self, event: QKeyEvent) -> None:
        keys = Qt.Key
        steps = {keys.Key_Left: (-1, 0), keys.Key_Right: (1, 0), keys.Key_Up: (0, -1), keys.Key_Down: (0, 1)}
        if event.key() in (keys.Key_Delete, keys.Key_Backspace):
            self.delete_selection(heal=bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier))
        elif event.key() == keys.Key_Tab:
            self.request_search()
        elif event.key() in steps:
            self._nudge(*steps[keys(event.key())])
        elif event.key() == keys.Key_Escape:
            self.document.select(())
        else:
            super().keyPressEvent(event)

    def _nudge(self, dx: int, dy: int) -> None:
        state, names = self.document.state, self._members()
        places = {n: (state.position(n)[0] + GRID * dx, state.position(n)[1] + GRID * dy) for n in names}
        if places:
            self.document.apply("Move", edits.move(state, places), merge=f"nudge {names}")

    # --- drops from the palette ---------------------------------------------------------------------------

    def dragEnterEvent(self, event) -> None:
        # anything else, such as a file, is the window's business
        event.setAccepted(event.mimeData().hasFormat(LAYER_MIME))

    def dragMoveEvent(self, event) -> None:
        event.setAccepted(event.mimeData().hasFormat(LAYER_MIME))

    def dropEvent(self, event) -> None:
        try:
            key = json.loads(bytes(event.mimeData().data(LAYER_MIME).data()))["entry"]
        except (ValueError, KeyError, TypeError):
            return
        at = self.mapToScene(event.position().toPoint())
        wire = next((i.wire for i in self.graph_scene.items(at) if isinstance(i, WireItem)), None)
        place = at - QPointF(layout.NODE_WIDTH / 2, layout.NODE_HEIGHT / 2)
        names = add_entry(self.document, key, _pair(place), wire=wire)
        select_end(self.document, names)
        event.acceptProposedAction()
        self.setFocus()

    # --- live ---------------------------------------------------------------------------------------------

    def set_running_node(self, name: str | None, direction: str = "forward") -> None:
        """Light up the node that computes, and bring it into view."""
        self.graph_scene.set_running(name, direction)
        item = self.graph_scene.nodes.get(self.graph_scene.shown(name)) if name else None
        if item is not None:
            self.ensureVisible(item, 80, 24)
            self.minimap.refresh()

    def show_step(self, step: NodeStep | None) -> None:
        """Show the tensors of a node that has just computed; None: stepping has ended."""
        self.set_running_node(step.node if step else None, step.direction if step else "")
        self.step_card.show_step(step)
        item = self.graph_scene.nodes.get(self.graph_scene.shown(step.node)) if step and step.node else None
        area = item and self.mapFromScene(item.sceneBoundingRect()).boundingRect()
        self.step_card.place(area)

    def set_thumbnails(self, features: Mapping[str, np.ndarray]) -> None:
        """Show feature maps (M, H, W, C) on their nodes."""
        self.graph_scene.set_thumbnails(features)

    def show_thumbnails(self, on: bool) -> None:
        """Make room on the nodes for feature maps, or take it away."""
        self.graph_scene.show_thumbnails(on)

    def set_gradient_tint(self, gradients: Mapping[str, float] | None) -> None:
        """Tint wires by gradient; None: plain wires."""
        self.graph_scene.set_gradients(gradients)


def _extending(event: QMouseEvent) -> QMouseEvent:
    """The event, with Shift doing what Ctrl does: extend the selection."""
    keys = Qt.KeyboardModifier
    if not event.modifiers() & keys.ShiftModifier:
        return event
    held = (event.modifiers() & ~keys.ShiftModifier) | keys.ControlModifier
    places = event.position(), event.scenePosition(), event.globalPosition()
    return QMouseEvent(event.type(), *places, event.button(), event.buttons(), held, event.pointingDevice())


def _pair(point: QPointF) -> tuple[float, float]:
    """A point on the grid."""
    return GRID * round(point.x() / GRID) * 1.0, GRID * round(point.y() / GRID) * 1.0
