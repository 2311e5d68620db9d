"""The look: the current theme, fonts and icons. Widgets ask here and repaint on ``look().changed``."""

from __future__ import annotations

import functools

import qtawesome
from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QGuiApplication, QIcon

from ui.theme.tokens import DARK, FAMILY_ICONS, GRID, LARGE, LIGHT, NORMAL, RADIUS, SMALL, Theme

__all__ = ["DARK", "GRID", "LARGE", "LIGHT", "NORMAL", "RADIUS", "SMALL", "Look", "Theme", "look"]


class Look(QObject):
    """The theme in force and the scale of fonts.

    Signals
    -------
    changed()
        Theme or font scale changed: repaint, and make icons and pens anew.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.choice = "system"
        self.scale = 1.0
        QGuiApplication.styleHints().colorSchemeChanged.connect(self._system_changed)

    @property
    def theme(self) -> Theme:
        """The theme in force."""
        if self.choice == "system":
            return LIGHT if QGuiApplication.styleHints().colorScheme() == Qt.ColorScheme.Light else DARK
        return LIGHT if self.choice == "light" else DARK

    def choose(self, choice: str) -> None:
        """Follow the "system", or be "light" or "dark"."""
        self.choice = choice
        self.changed.emit()

    def set_scale(self, scale: float) -> None:
        """Scale all fonts: 1.4 for a projector."""
        self.scale = scale
        self.changed.emit()

    def _system_changed(self) -> None:
        if self.choice == "system":
            self.changed.emit()

    def color(self, role: str, alpha: int = 255) -> QColor:
        """A colour by role ("accent") or of a layer family ("family:pooling")."""
        return QColor(_color(self.theme.name, role, alpha))

    def font(self, size: int = NORMAL, bold: bool = False, numbers: bool = False) -> QFont:
        """The text font, or the font for shapes and values, whose digits are of one width."""
        if numbers:
            font = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
        else:
            font = QFont(QGuiApplication.font())
        font.setPixelSize(round(size * self.scale))
        font.setBold(bold)
        return font

    def icon(self, name: str, role: str = "text") -> QIcon:
        """A Material Design icon such as "mdi6.play", in the colour of `role`."""
        return qtawesome.icon(name, color=self.color(role), color_disabled=self.color("muted", 110))

    def family_icon(self, family: str) -> QIcon:
        """The icon of a layer family, in its hue."""
        return self.icon(FAMILY_ICONS.get(family, FAMILY_ICONS["other"]), f"family:{family}")


@functools.cache
def _color(name: str, role: str, alpha: int) -> QColor:
    theme = LIGHT if name == "light" else DARK
    kind, _, family = role.partition(":")
    color = QColor(theme.families.get(family, theme.families["other"]) if family else getattr(theme, kind))
    color.setAlpha(alpha)
    return color


@functools.cache
def look() -> Look:
    """The look of this application; needs a QGuiApplication."""
    return Look()
