"""What the canvas shows of the scene: all of it, a part, or one node; by hand or by itself."""

from __future__ import annotations

from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QGraphicsView, QWidget

from nnvis.graph import INPUT
from ui.canvas.minimap import Minimap
from ui.canvas.scene import CanvasScene
from ui.theme import look

_CLOSEST, _FARTHEST = 3.0, 0.05
#: Zoom down to which the text of nodes can be read, and the zoom to begin with where not all can be seen at that.
READABLE, BEGINNING = 0.45, 0.8
#: Pixels that stay free beside a node that is brought into view.
_BESIDE = 48


class Camera(QGraphicsView):
    """Zooms, pans and fits.

    Attributes
    ----------
    by_hand : bool
        Whether the user has zoomed or panned since all was shown.
    follows : bool
        Whether the network is fitted again when the size of the view changes, unless the user has chosen a part of it.
    """

    def __init__(self, scene: CanvasScene, parent: QWidget | None = None):
        super().__init__(parent)
        self.graph_scene, self.by_hand, self.follows = scene, False, False
        self.setScene(scene)
        for each in (self.setHorizontalScrollBarPolicy, self.setVerticalScrollBarPolicy):
            each(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.minimap = Minimap(self, scene)
        scene.places_changed.connect(self.minimap.refresh)

    # --- all ----------------------------------------------------------------------------------------------

    def fit(self) -> None:
        """Show the whole network; a small one no larger than the app's text."""
        area = self.graph_scene.content().adjusted(-48, -48, 48, 48)
        self.fitInView(area, Qt.AspectRatioMode.KeepAspectRatio)
        if self.transform().m11() > look().scale:
            self.resetTransform()
            self.scale(look().scale, look().scale)
            self.centerOn(area.center())
        self.by_hand = False
        self._moved()

    def show_start(self) -> None:
        """Show the whole network if it can be read then; else its beginning."""
        self.fit()
        if self.transform().m11() < READABLE:
            area = self.graph_scene.content()
            self.resetTransform()
            self.scale(BEGINNING, BEGINNING)
            first = self.graph_scene.nodes[INPUT].sceneBoundingRect().center()
            room = self.mapToScene(self.viewport().rect()).boundingRect()
            top = area.top() + room.height() / 2 - 48
            in_view = first.y() < area.top() + room.height() - 96  # there is nothing to be seen above the network
            self.centerOn(area.left() + room.width() / 2 - 48, top if in_view else first.y())
            self._moved()

    def resizeEvent(self, event) -> None:
        super().resizeEvent(event)
        if self.follows and not self.by_hand and self.isVisible():
            self.show_start()
        self.minimap.refresh()

    def _moved(self) -> None:
        """Another part of the network is seen, or from another distance."""
        self.graph_scene.set_zoom(self.transform().m11())
        self.minimap.refresh()

    # --- a part -------------------------------------------------------------------------------------------

    def zoom(self, factor: float) -> None:
        """Zoom in (above 1) or out."""
        scale = self.transform().m11() * factor
        if _FARTHEST <= scale <= _CLOSEST:
            self.by_hand = True
            self.scale(factor, factor)
            self._moved()

    def zoom_in(self) -> None:
        """Closer."""
        self.zoom(1.25)

    def zoom_out(self) -> None:
        """Farther."""
        self.zoom(0.8)

    def pan(self, moved: QPoint) -> None:
        """Move what is seen by so many pixels."""
        self.by_hand = True
        for bar, delta in ((self.horizontalScrollBar(), moved.x()), (self.verticalScrollBar(), moved.y())):
            bar.setValue(bar.value() - delta)

    def center_on(self, name: str) -> None:
        """Bring a node to the middle."""
        item = self.graph_scene.nodes.get(self.graph_scene.shown(name))
        if item is not None:
            self.by_hand = True
            self.centerOn(item)
            self.minimap.refresh()

    def reveal(self, name: str) -> None:
        """Bring a node into view, if it is not; the map makes way for it."""
        item = self.graph_scene.nodes.get(self.graph_scene.shown(name))
        if item is not None:
            self.ensureVisible(item.mapRectToScene(item.body()), _BESIDE, _BESIDE)
            self.minimap.refresh()

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        super().scrollContentsBy(dx, dy)
        self.minimap.refresh()

    def wheelEvent(self, event: QWheelEvent) -> None:
        self.zoom(1.0015 ** event.angleDelta().y())
