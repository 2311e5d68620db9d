"""Several views in one scope: side by side where there is room, one above the other, or some of them, by chips."""

from __future__ import annotations

from dataclasses import dataclass, field

from PySide6.QtCore import QEvent, QObject, QRect, QSize, QTimer
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QToolButton, QWidget

from ui.theme import SMALL, look

#: Pixels between panes, between controls, and between rows of controls; height of controls at font scale 1.
_GAP, _CONTROL_GAP, _ROW_GAP, _TALL = 12, 6, 4, 26
#: Width that the reading line needs beside the controls; below them where there is less.
_LINE = 260


@dataclass(eq=False)
class Pane:
    """One view.

    Attributes
    ----------
    name : str
        Of its chip.
    widget : QWidget
    width, height : int
        What it needs, at font scale 1.
    share : float
        Of the room that is left.
    """

    name: str
    widget: QWidget
    width: int = 200
    height: int = 110
    share: float = 1.0
    available: bool = True
    wanted: bool = True
    #: Grows with every choice: where there is not room for all, the panes chosen last are shown.
    turn: int = 0
    chip: QToolButton = field(init=False)


class Panes(QWidget):
    """Shows the panes that are available, wanted and fit; one at least.

    Parameters
    ----------
    panes : Pane
        The first is the most important.
    """

    def __init__(self, *panes: Pane):
        super().__init__()
        self.panes, self.shown = panes, ()
        self._turn = 0
        self._vertical = False
        for place, pane in enumerate(panes):
            pane.turn = -place
            pane.widget.setParent(self)
            pane.chip = self._make_chip(pane)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        look().changed.connect(self.arrange)
        self.arrange()

    def _make_chip(self, pane: Pane) -> QToolButton:
        chip = QToolButton(text=pane.name, checkable=True)
        chip.setAccessibleName(f"Show {pane.name}")
        chip.setToolTip(f"Show or hide {pane.name}; in a small panel those chosen last are shown")
        chip.clicked.connect(lambda: self.toggle(pane))
        return chip

    def __getitem__(self, name: str) -> Pane:
        return next(pane for pane in self.panes if pane.name == name)

    def toggle(self, pane: Pane) -> None:
        """Show a pane that is not seen, or hide one that is; the last one stays."""
        if pane in self.shown:
            pane.wanted = len(self.shown) == 1
        else:
            self._turn += 1
            pane.wanted, pane.turn = True, self._turn
        self.arrange()

    def bring(self, *panes: Pane) -> None:
        """Make sure that panes are seen, where there is room for them."""
        for pane in panes:
            self._turn += 1
            pane.wanted, pane.turn = True, self._turn
        self.arrange()

    def set_available(self, **by_name: bool) -> None:
        """Which panes have something to show."""
        changed = False
        for name, available in by_name.items():
            pane = self[name.replace("_", " ")]
            changed |= pane.available != available
            pane.available = available
        if changed:
            self.arrange()

    def minimumSizeHint(self) -> QSize:
        return QSize(120, 60)

    def sizeHint(self) -> QSize:
        return QSize(400, 120)

    def resizeEvent(self, event: QResizeEvent) -> None:
        self.arrange()

    # --- arranging ----------------------------------------------------------------------------------------

    def arrange(self) -> None:
        """Choose what is shown, and place it."""
        across, along = self._fitting(self.width(), "width"), self._fitting(self.height(), "height")
        # A tall narrow scope has its views one above the other, if that shows more of what matters.
        ranked = sorted(self.panes, key=lambda p: -p.turn)
        self._vertical = [p in along for p in ranked] > [p in across for p in ranked]
        self.shown = tuple(along if self._vertical else across)
        for pane in self.panes:
            pane.widget.setVisible(pane in self.shown)
            pane.chip.setChecked(pane in self.shown)
            pane.chip.setVisible(pane.available and sum(p.available for p in self.panes) > 1)
        self._place()

    def _fitting(self, room: int, side: str) -> list[Pane]:
        wanted = [p for p in self.panes if p.available and p.wanted] or [p for p in self.panes if p.available][:1]
        found, used = [], 0
        for pane in sorted(wanted, key=lambda p: -p.turn):
            need = self._need(pane, side) + _GAP * bool(found)
            if not found or used + need <= room:
                found.append(pane)
                used += need
        return [p for p in self.panes if p in found]

    def _need(self, pane: Pane, side: str) -> int:
        return round(getattr(pane, side) * look().scale)

    def _place(self) -> None:
        side = "height" if self._vertical else "width"
        room = getattr(self, side)() - _GAP * (len(self.shown) - 1)
        needs = [self._need(p, side) for p in self.shown]
        spare, shares = max(0, room - sum(needs)), sum(p.share for p in self.shown) or 1.0
        at = 0.0
        for pane, need in zip(self.shown, needs, strict=True):
            size = min(need, room) + spare * pane.share / shares
            area = QRect(0, round(at), self.width(), round(size))
            if not self._vertical:
                area = QRect(round(at), 0, round(size), self.height())
            pane.widget.setGeometry(area)
            at += size + _GAP


class Bar(QWidget):
    """Controls in rows, as many as the width needs, and the reading line in what is left of the last one.

    Parameters
    ----------
    line : QWidget
    """

    def __init__(self, line: QWidget) -> None:
        super().__init__()
        self.line, self.controls = line, []
        line.setParent(self)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        look().changed.connect(self.dress)
        self.dress()

    def add(self, *widgets: QWidget) -> None:
        """Append controls."""
        for widget in widgets:
            widget.setParent(self)
            widget.installEventFilter(self)
            self.controls.append(widget)
        self.arrange()

    def dress(self) -> None:
        """Small controls of one height."""
        self.setStyleSheet(f"* {{ font-size: {round(SMALL * look().scale)}px; }} QToolButton {{ padding: 2px 8px; }}")
        QTimer.singleShot(0, self, self.arrange)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Arrange anew when a control comes, goes, or wants another size."""
        kinds = QEvent.Type
        if event.type() in (kinds.ShowToParent, kinds.HideToParent, kinds.LayoutRequest, kinds.StyleChange):
            QTimer.singleShot(0, self, self.arrange)
        return False

    def _places(self, width: int) -> tuple[list[tuple[QWidget, QRect]], QRect]:
        """Where controls and the line lie in a bar of some width."""
        tall, x, y, found = round(_TALL * look().scale), 0, 0, []
        for widget in self.controls:
            if not widget.isHidden():
                need = min(width, max(widget.minimumWidth(), min(widget.maximumWidth(), widget.sizeHint().width())))
                if x and x + need > width:
                    x, y = 0, y + tall + _ROW_GAP
                found.append((widget, QRect(x, y, need, tall)))
                x += need + _CONTROL_GAP
        if x and x + _LINE * look().scale > width:
            return found, QRect(0, y + tall + _ROW_GAP // 2, width, self.line.sizeHint().height())
        x += _CONTROL_GAP if x else 0
        return found, QRect(x, y, width - x, tall)

    def arrange(self) -> None:
        """Place controls and line."""
        found, line = self._places(self.width())
        for widget, area in found:
            widget.setGeometry(area)
        self.line.setGeometry(line)
        # Not by Qt's height for width, which is remembered while controls come and go.
        if self.height() != line.bottom() + 1:
            self.setFixedHeight(line.bottom() + 1)

    def resizeEvent(self, event: QResizeEvent) -> None:
        self.arrange()

    def minimumSizeHint(self) -> QSize:
        return QSize(120, 0)
