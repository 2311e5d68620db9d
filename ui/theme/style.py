"""The style sheet and palette of the whole application, made from the tokens."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication

from ui.theme import look
from ui.theme.tokens import NORMAL, RADIUS, SMALL, Theme

#: Ticks and arrows that a style sheet can show.
_IMAGES = Path(__file__).parent / "images"
_SHEET = """
* {{ font-size: {normal}px; }}
QMainWindow, QDialog {{ background: {panel}; }}
QMainWindow::separator {{ background: {border}; width: 1px; height: 1px; }}
QMainWindow::separator:hover {{ background: {accent}; }}
QToolBar {{ background: {panel}; border: 0; border-bottom: 1px solid {border}; padding: 4px 8px; spacing: 4px; }}
QToolBar::separator {{ background: {border}; width: 1px; margin: 6px 8px; }}
QToolButton {{ border: 1px solid transparent; border-radius: {radius}px; padding: 5px 8px; color: {text}; }}
QToolButton:hover {{ background: {raised}; }}
QToolButton:pressed, QToolButton:checked {{ background: {raised}; border-color: {border}; }}
QToolButton:disabled {{ color: {muted}; }}
QToolButton:focus {{ border-color: {accent}; }}
QToolButton#primary {{ background: {accent}; color: {on_accent}; font-weight: 600; padding: 5px 14px; }}
QToolButton#primary:disabled {{ background: {raised}; color: {muted}; }}
QMenuBar {{ background: {panel}; border-bottom: 1px solid {border}; padding: 2px 4px; }}
QMenuBar::item {{ padding: 4px 8px; border-radius: 4px; background: transparent; }}
QMenuBar::item:selected {{ background: {raised}; }}
QMenu {{ background: {panel}; border: 1px solid {border}; padding: 4px; }}
QMenu::item {{ padding: 5px 28px 5px 24px; border-radius: 4px; }}
QMenu::item:selected {{ background: {raised}; color: {text}; }}
QMenu::item:disabled {{ color: {muted}; }}
QMenu::separator {{ height: 1px; background: {border}; margin: 4px 8px; }}
QDockWidget {{ titlebar-close-icon: none; titlebar-normal-icon: none; }}
QDockWidget::title {{ background: {panel}; padding: 6px 8px; border-bottom: 1px solid {border}; text-align: left; }}
QTabBar {{ background: {panel}; qproperty-drawBase: 0; }}
QCheckBox::indicator {{ width: 14px; height: 14px; border: 1px solid {muted}; border-radius: 3px;
    background: {raised}; }}
QCheckBox::indicator:checked {{ background: {accent}; border-color: {accent}; image: url("{check}"); }}
QCheckBox:focus {{ color: {accent}; }}
QTabBar::tab {{ background: transparent; color: {muted}; padding: 6px 12px; border: 0;
    border-bottom: 2px solid transparent; }}
QTabBar::tab:selected {{ color: {text}; border-bottom-color: {accent}; }}
QTabBar::tab:hover {{ color: {text}; }}
QTabWidget::pane {{ border: 0; border-top: 1px solid {border}; }}
QLineEdit, QPlainTextEdit, QTextEdit, QComboBox, QAbstractSpinBox {{ background: {raised};
    border: 1px solid {border}; border-radius: {radius}px; padding: 3px 6px; color: {text};
    selection-background-color: {accent}; selection-color: {on_accent}; }}
QLineEdit:focus, QPlainTextEdit:focus, QComboBox:focus, QAbstractSpinBox:focus {{ border-color: {accent}; }}
QLineEdit:disabled, QComboBox:disabled, QAbstractSpinBox:disabled {{ color: {muted}; }}
QAbstractSpinBox QLineEdit, QComboBox QLineEdit {{ border: 0; padding: 0; background: transparent; }}
QComboBox::drop-down {{ border: 0; width: 20px; subcontrol-origin: padding; subcontrol-position: center right; }}
QComboBox::down-arrow {{ image: url("{down}"); width: 12px; height: 12px; }}
QAbstractSpinBox {{ padding-right: 18px; }}
QAbstractSpinBox::up-button, QAbstractSpinBox::down-button {{ border: 0; width: 18px; background: transparent;
    subcontrol-origin: border; }}
QAbstractSpinBox::up-button {{ subcontrol-position: top right; margin-top: 2px; }}
QAbstractSpinBox::down-button {{ subcontrol-position: bottom right; margin-bottom: 2px; }}
QAbstractSpinBox::up-arrow {{ image: url("{up}"); width: 10px; height: 10px; }}
QAbstractSpinBox::down-arrow {{ image: url("{down}"); width: 10px; height: 10px; }}
QComboBox QAbstractItemView {{ background: {panel}; border: 1px solid {border}; selection-background-color: {raised};
    selection-color: {text}; }}
QPushButton {{ background: {raised}; border: 1px solid {border}; border-radius: {radius}px; padding: 5px 12px; }}
QPushButton:hover {{ border-color: {muted}; }}
QPushButton:focus {{ border-color: {accent}; }}
QPushButton:disabled {{ color: {muted}; }}
QPushButton[primary="true"] {{ background: {accent}; border-color: {accent}; color: {on_accent}; font-weight: 600; }}
QStatusBar {{ background: {panel}; border-top: 1px solid {border}; color: {muted}; }}
QStatusBar::item {{ border: 0; }}
QToolTip {{ background: {raised}; color: {text}; border: 1px solid {border}; padding: 4px 6px; }}
QScrollArea, QTreeView, QListView, QTableView, QTreeWidget, QListWidget, QTableWidget
    {{ background: {panel}; border: 0; }}
QTreeView::item:selected, QListView::item:selected, QTreeWidget::item:selected, QListWidget::item:selected,
QTableView::item:selected {{ background: {raised}; color: {text}; }}
QHeaderView::section {{ background: {panel}; color: {muted}; border: 0; border-bottom: 1px solid {border};
    padding: 4px 6px; }}
QScrollBar:vertical {{ width: 10px; background: transparent; }}
QScrollBar:horizontal {{ height: 10px; background: transparent; }}
QScrollBar::handle {{ background: {border}; border-radius: 4px; margin: 2px; min-height: 24px; min-width: 24px; }}
QScrollBar::handle:hover {{ background: {muted}; }}
QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
QScrollBar::add-page, QScrollBar::sub-page {{ background: transparent; }}
QProgressBar {{ background: {raised}; border: 0; border-radius: 3px; max-height: 6px; }}
QProgressBar::chunk {{ background: {accent}; border-radius: 3px; }}
QFrame#card {{ background: {panel}; border: 1px solid {border}; border-radius: {radius}px; }}
QLabel#muted {{ color: {muted}; font-size: {small}px; }}
QLabel#heading {{ font-weight: 600; }}
"""


def on_accent(theme: Theme) -> str:
    """The text colour upon the accent colour."""
    return "#0B1220" if theme.name == "dark" else "#FFFFFF"


def style_sheet() -> str:
    """The style sheet of the theme in force."""
    theme, scale = look().theme, look().scale
    return _SHEET.format(
        **{n: getattr(theme, n) for n in ("panel", "raised", "border", "text", "muted", "accent")},
        **{n: (_IMAGES / f"{n}-{theme.name}.svg").as_posix() for n in ("check", "up", "down")},
        on_accent=on_accent(theme), radius=RADIUS, normal=round(NORMAL * scale), small=round(SMALL * scale),
    )  # fmt: skip


def apply_look(app: QApplication) -> None:
    """Give the application the theme in force; call again when it changes."""
    if app.style().name() != "fusion" and not app.styleSheet():  # which wraps the style
        app.setStyle("Fusion")
    app.setPalette(_palette(look().theme))
    app.setStyleSheet(style_sheet())


def _palette(theme: Theme) -> QPalette:
    roles = QPalette.ColorRole
    palette = QPalette()
    for role, color in (
        (roles.Window, theme.panel), (roles.Base, theme.raised), (roles.AlternateBase, theme.raised),
        (roles.Button, theme.raised), (roles.WindowText, theme.text), (roles.Text, theme.text),
        (roles.ButtonText, theme.text), (roles.ToolTipBase, theme.raised), (roles.ToolTipText, theme.text),
        (roles.PlaceholderText, theme.muted), (roles.Highlight, theme.accent),
        (roles.HighlightedText, on_accent(theme)), (roles.Link, theme.accent), (roles.Mid, theme.border),
    ):  # fmt: skip
        palette.setColor(role, QColor(color))
    for role in (roles.WindowText, roles.Text, roles.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, QColor(theme.muted))
    return palette
