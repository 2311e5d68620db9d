"""The docks around the canvas and their arrangements: Build, Watch, Present. The user's own is remembered."""

from __future__ import annotations

from PySide6.QtCore import QSettings, QSize, Qt, QTimer
from PySide6.QtWidgets import QDockWidget, QMainWindow, QTabBar, QTabWidget, QWidget

from ui.scopes import ALL_SCOPES
from ui.scopes.base import Scope
from ui.theme import look

_AREA = Qt.DockWidgetArea
_STATE, _GEOMETRY = "window state", "window geometry"
#: Grows when docks are added, so that an old arrangement is not applied to new docks.
_VERSION = 1
#: The usual size of the window, and pixels that its title bar takes at most.
_USUAL, _FRAME = QSize(1440, 900), 40


def size_within(room: QSize) -> QSize:
    """The usual size, or what the screen has beside the frame of a window."""
    return _USUAL.boundedTo(room - QSize(0, _FRAME))


class Docks:
    """Makes the docks of a window and arranges them."""

    def __init__(self, window: QMainWindow, palette: QWidget, inspector: QWidget, training: QWidget):
        self.window = window
        options = QMainWindow.DockOption
        window.setDockOptions(options.AllowNestedDocks | options.AllowTabbedDocks | options.GroupedDragging)
        window.setCorner(Qt.Corner.BottomRightCorner, _AREA.RightDockWidgetArea)
        window.setCorner(Qt.Corner.BottomLeftCorner, _AREA.BottomDockWidgetArea)
        window.setTabPosition(_AREA.AllDockWidgetAreas, QTabWidget.TabPosition.North)
        self._titles = QTimer(window, singleShot=True, interval=0)
        self._titles.timeout.connect(self._show_titles)
        self.palette = self._dock("Layers", "palette", palette, _AREA.LeftDockWidgetArea)
        self.inspector = self._dock("Inspector", "inspector", inspector, _AREA.RightDockWidgetArea)
        self.training = self._dock("Training", "training", training, _AREA.RightDockWidgetArea)
        self.scopes: list[Scope] = [kind() for kind in ALL_SCOPES]
        self.scope_docks = [self._dock(s.title, s.name, s, _AREA.BottomDockWidgetArea) for s in self.scopes]
        self.build()

    @property
    def all(self) -> list[QDockWidget]:
        """Every dock."""
        return [self.palette, self.inspector, self.training, *self.scope_docks]

    def _dock(self, title: str, name: str, content: QWidget, area: Qt.DockWidgetArea) -> QDockWidget:
        dock = QDockWidget(title, self.window)
        dock.setObjectName(name)
        dock.setAccessibleName(title)
        dock.setWidget(content)
        self.window.addDockWidget(area, dock)
        for signal in (dock.topLevelChanged, dock.dockLocationChanged, dock.visibilityChanged):
            signal.connect(lambda _: self._titles.start())
        return dock

    def _show_titles(self) -> None:
        """A dock among tabs needs no title of its own: its tab says it, and is dragged to take the dock out."""
        for dock in self.all:
            tabbed = not dock.isFloating() and any(d.isVisible() for d in self.window.tabifiedDockWidgets(dock))
            if tabbed and dock.titleBarWidget() is None:
                dock.setTitleBarWidget(QWidget(dock))
            elif not tabbed and dock.titleBarWidget() is not None:
                bar = dock.titleBarWidget()
                dock.setTitleBarWidget(None)
                bar.deleteLater()

    # --- arrangements -------------------------------------------------------------------------------------

    def build(self) -> None:
        """A large canvas between palette and inspector; the scopes as one row of tabs below."""
        self._home()
        self._sizes(300 if self.window.height() > 800 else 210)
        look().set_scale(1.0)

    def watch(self) -> None:
        """Large scopes, side by side; the canvas stays above."""
        self._home()
        for dock in (self.palette, self.inspector, self.training):
            dock.hide()
        first, second, third, *_ = self.scope_docks
        for dock in self.scope_docks:  # out of their common tabs, which splitting would keep
            self.window.removeDockWidget(dock)
        self.window.addDockWidget(_AREA.BottomDockWidgetArea, first)
        self.window.splitDockWidget(first, second, Qt.Orientation.Horizontal)
        self.window.splitDockWidget(second, third, Qt.Orientation.Horizontal)
        for dock in self.scope_docks[3:]:
            self.window.tabifyDockWidget(third, dock)
        for dock in self.scope_docks:
            dock.show()
        third.raise_()
        self._sizes(round(self.window.height() * 0.52))
        self.window.resizeDocks([first, second, third], [3, 3, 4], Qt.Orientation.Horizontal)
        look().set_scale(1.0)

    def present(self) -> None:
        """For a projector: large text, no panels."""
        self._home()
        for dock in (self.palette, self.inspector, self.training):
            dock.hide()
        self._sizes(round(self.window.height() * 0.42))
        look().set_scale(1.4)

    def _home(self) -> None:
        places = [(self.palette, _AREA.LeftDockWidgetArea), (self.inspector, _AREA.RightDockWidgetArea),
                  (self.training, _AREA.RightDockWidgetArea)]  # fmt: skip
        places += [(dock, _AREA.BottomDockWidgetArea) for dock in self.scope_docks]
        for dock in self.all:
            dock.setFloating(False)
            self.window.removeDockWidget(dock)
        for dock, area in places:
            self.window.addDockWidget(area, dock)
            dock.show()
        self.window.tabifyDockWidget(self.inspector, self.training)
        for dock in self.scope_docks[1:]:
            self.window.tabifyDockWidget(self.scope_docks[0], dock)
        self.inspector.raise_()
        self.scope_docks[0].raise_()

    def _sizes(self, scopes: int) -> None:
        self.window.resizeDocks([self.palette, self.inspector], [232, 296], Qt.Orientation.Horizontal)
        self.window.resizeDocks([self.scope_docks[0]], [scopes], Qt.Orientation.Vertical)
        QTimer.singleShot(0, self.window, self._hide_stale_tabs)

    def _hide_stale_tabs(self) -> None:
        """Qt keeps the tab bars of groups that are no more, and paints them over other panels."""
        groups = {
            frozenset(d.windowTitle() for d in (dock, *self.window.tabifiedDockWidgets(dock))) for dock in self.all
        }
        seen: set[frozenset[str]] = set()
        for bar in reversed(self.window.findChildren(QTabBar, options=Qt.FindChildOption.FindDirectChildrenOnly)):
            titles = frozenset(bar.tabText(i) for i in range(bar.count()))
            bar.setVisible(titles in groups and titles not in seen)
            seen.add(titles)

    # --- memory -------------------------------------------------------------------------------------------

    def remember(self) -> None:
        """Keep the arrangement for the next start."""
        settings = QSettings()
        settings.setValue(_GEOMETRY, self.window.saveGeometry())
        settings.setValue(_STATE, self.window.saveState(_VERSION))

    def restore(self) -> bool:
        """Arrange as at the last time; False if there was none."""
        settings = QSettings()
        geometry, state = settings.value(_GEOMETRY), settings.value(_STATE)
        if geometry is None or state is None:
            return False
        self.window.restoreGeometry(geometry)
        return self.window.restoreState(state, _VERSION)
