"""The first page: networks to begin with, files used last, and open."""

from __future__ import annotations

import functools
from pathlib import Path

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetrics, QKeySequence, QPainter, QPen, QPixmap, QShortcut
from PySide6.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from ui.document.layout import NODE_HEIGHT, NODE_WIDTH
from ui.document.state import DocumentState
from ui.document.templates import TEMPLATES, Template
from ui.theme import LARGE, RADIUS, SMALL, look

_CARD, _PICTURE = 232, QSize(208, 84)


class StartPage(QScrollArea):
    """Signals: ``template_chosen(Template)``, ``open_requested()``, ``file_chosen(Path)``, ``back_requested()``."""

    template_chosen = Signal(object)
    open_requested = Signal()
    file_chosen = Signal(object)
    back_requested = Signal()

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setAccessibleName("Start page")
        body = QWidget()
        body.setObjectName("start")
        self.setWidget(body)
        self._column = QVBoxLayout(body)
        self._column.setContentsMargins(40, 32, 40, 32)
        self._column.setSpacing(16)
        self._title, self._subtitle = QLabel("nnvis"), QLabel("Build a network, press Run, and watch it learn.")
        self._column.addWidget(self._title)
        self._column.addWidget(self._subtitle)
        self.back = QPushButton()
        self.back.clicked.connect(self.back_requested)
        self._escape = QShortcut(QKeySequence(Qt.Key.Key_Escape), self, activated=self.back_requested.emit)
        self._column.addWidget(self.back, 0, Qt.AlignmentFlag.AlignLeft)
        self._column.addWidget(_heading("Begin with"))
        self.cards = [Card(template) for template in TEMPLATES]
        self._grid = QGridLayout()
        self._grid.setSpacing(16)
        for card in self.cards:
            card.clicked.connect(functools.partial(self.template_chosen.emit, card.template))
        self._column.addLayout(self._grid)
        self._column.addWidget(_heading("Go on with"))
        self._recent = QVBoxLayout()
        self._recent.setSpacing(4)
        self._column.addLayout(self._recent)
        self._column.addStretch(1)
        look().changed.connect(self._paint)
        self._paint()
        self.set_recent([])
        self.set_back("")

    def set_back(self, name: str) -> None:
        """Offer the way back to the document called `name`; "": there is none."""
        self.back.setVisible(bool(name))
        self._escape.setEnabled(bool(name))
        self.back.setText(f"Back to {QFontMetrics(self.font()).elidedText(name, Qt.TextElideMode.ElideMiddle, 400)}")
        self.back.setIcon(look().icon("mdi6.arrow-left"))

    def resizeEvent(self, event) -> None:
        super().resizeEvent(event)
        columns = max(1, (self.viewport().width() - 80) // (_CARD + 16))
        for number, card in enumerate(self.cards):
            self._grid.addWidget(card, number // columns, number % columns, Qt.AlignmentFlag.AlignLeft)
        self._grid.setColumnStretch(columns, 1)

    def set_recent(self, paths: list[Path]) -> None:
        """Show the files used last, newest first."""
        while (item := self._recent.takeAt(0)) is not None:
            if item.widget():
                item.widget().hide()
                item.widget().deleteLater()
        for path in paths:
            button = QPushButton(f"{path.name}    {path.parent}", toolTip=str(path))
            button.setStyleSheet("text-align: left;")
            button.setMaximumWidth(720)
            button.clicked.connect(functools.partial(self.file_chosen.emit, path))
            self._recent.addWidget(button)
        row = QHBoxLayout()
        open_button = QPushButton(look().icon("mdi6.folder-open-outline"), "Open a file ...")
        open_button.clicked.connect(self.open_requested)
        row.addWidget(open_button)
        row.addStretch(1)
        holder = QWidget()
        holder.setLayout(row)
        row.setContentsMargins(0, 4, 0, 0)
        self._recent.addWidget(holder)

    def _paint(self) -> None:
        self._title.setFont(look().font(28, bold=True))
        self._title.setStyleSheet(f"font-size: {round(28 * look().scale)}px; font-weight: 700;")
        self._subtitle.setStyleSheet(f"color: {look().theme.muted}; font-size: {round(LARGE * look().scale)}px;")
        self.widget().setStyleSheet(f"QWidget#start {{ background: {look().theme.canvas}; }}")


def _heading(text: str) -> QLabel:
    label = QLabel(text)
    label.setObjectName("heading")
    return label


class Card(QToolButton):
    """A template: a picture of its network, its name, and one sentence."""

    def __init__(self, template: Template):
        super().__init__()
        self.template = template
        self.setObjectName("card")
        self.setAccessibleName(template.title)
        self.setAccessibleDescription(template.explanation)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 12, 12, 12)
        self._picture, self._title, self._text = QLabel(), QLabel(template.title), QLabel(template.explanation)
        self._text.setWordWrap(True)
        for label in (self._picture, self._title, self._text):
            label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            column.addWidget(label)
        column.addStretch(1)
        look().changed.connect(self._paint)
        self._paint()

    def sizeHint(self) -> QSize:
        return QSize(_CARD, round(120 + 74 * look().scale))

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def _paint(self) -> None:
        theme = look().theme
        self.setStyleSheet(
            f"QToolButton#card {{ background: {theme.panel}; border: 1px solid {theme.border}; "
            f"border-radius: {RADIUS}px; }} QToolButton#card:hover, QToolButton#card:focus "
            f"{{ border-color: {theme.accent}; }}"
        )
        self._title.setStyleSheet("font-weight: 600;")
        self._text.setStyleSheet(f"color: {theme.muted}; font-size: {round(SMALL * look().scale)}px;")
        self._picture.setPixmap(picture(self.template.make(), self.devicePixelRatioF()))


def picture(state: DocumentState, ratio: float = 1.0) -> QPixmap:
    """A small picture of a network: a box for each node in its family's hue, a line for each wire."""
    pixmap = QPixmap(_PICTURE * ratio)
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(look().color("canvas"))
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    if state.nodes:
        _draw(painter, state)
    else:
        painter.setPen(QPen(look().color("muted"), 1, Qt.PenStyle.DashLine))
        painter.drawRoundedRect(84, 26, 40, 32, 4, 4)
        painter.drawText(84, 26, 40, 32, Qt.AlignmentFlag.AlignCenter, "+")
    painter.end()
    return pixmap


def _draw(painter: QPainter, state: DocumentState) -> None:
    places = {name: node.position for name, node in state.nodes.items()} | {"input": state.input_position}
    left, top = (min(p[axis] for p in places.values()) for axis in (0, 1))
    width = max(p[0] for p in places.values()) - left + NODE_WIDTH
    height = max(p[1] for p in places.values()) - top + NODE_HEIGHT
    room_x, room_y = _PICTURE.width() - 16, _PICTURE.height() - 24
    scale_x, scale_y = room_x / width, min(room_y / height, 0.45)
    offset = 8, (_PICTURE.height() - height * scale_y) / 2

    def at(name: str, dx: float = 0.0) -> tuple[float, float]:
        x, y = places[name]
        return offset[0] + (x - left + dx) * scale_x, offset[1] + (y - top + NODE_HEIGHT / 2) * scale_y

    painter.setPen(QPen(look().color("muted"), 1))
    for source, target, _ in state.wires():
        (x0, y0), (x1, y1) = at(source, NODE_WIDTH), at(target)
        painter.drawLine(int(x0), int(y0), int(x1), int(y1))
    for name in places:
        family = "data" if name == "input" else state.nodes[name].layer.family
        x, y = at(name)
        tall = max(10.0, NODE_HEIGHT * scale_y)
        painter.fillRect(int(x), int(y - tall / 2), max(2, int(NODE_WIDTH * scale_x)), int(tall),
                         QColor(look().color(f"family:{family}")))  # fmt: skip
