"""Every action of the menus, by name: one table, from which menus, keys, the command palette and `?` are made."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import QObject
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QMainWindow, QMenu

from ui.theme import look


@dataclass(frozen=True)
class Spec:
    """One action: its menu, name, key, icon, and what it calls: a method of the window, or of a part of it."""

    menu: str
    text: str
    method: str
    key: str = ""
    icon: str = ""
    tip: str = ""
    checkable: bool = False


SPECS = (
    Spec("&File", "&New ...", "show_start_page", "Ctrl+N", "mdi6.file-plus-outline"),
    Spec("&File", "&Open ...", "open_file", "Ctrl+O", "mdi6.folder-open-outline"),
    Spec("&File", "&Save", "save_file", "Ctrl+S", "mdi6.content-save-outline"),
    Spec("&File", "Save &as ...", "save_file_as", "Ctrl+Shift+S"),
    Spec("&File", "Export &Python script ...", "export_script", "", "mdi6.language-python"),
    Spec("&File", "Export &image ...", "export_image", "", "mdi6.image-outline"),
    Spec("&File", "&Quit", "close", "Ctrl+Q"),
    Spec("&Edit", "Cu&t", "canvas.cut", "Ctrl+X"),
    Spec("&Edit", "&Copy", "canvas.copy", "Ctrl+C"),
    Spec("&Edit", "&Paste", "canvas.paste", "Ctrl+V"),
    Spec("&Edit", "&Duplicate", "canvas.duplicate", "Ctrl+D"),
    Spec("&Edit", "De&lete", "canvas.delete_selection", ""),
    Spec("&Edit", "Select &all", "canvas.select_all", "Ctrl+A"),
    Spec("&Edit", "&Rename", "canvas.rename_selected", "F2"),
    Spec("&Edit", "Add la&yer ...", "canvas.request_search", ""),
    Spec("&Edit", "&Group as block", "canvas.group_selection", "Ctrl+G"),
    Spec("&Edit", "&Ungroup", "canvas.ungroup_selection", "Ctrl+Shift+G"),
    Spec("&Edit", "Collapse or open &block", "canvas.toggle_collapse", "Ctrl+E"),
    Spec("&Edit", "Open or collapse all blocks", "canvas.toggle_all", "Ctrl+Shift+E"),
    Spec("&Edit", "Align left", "canvas.align_left"),
    Spec("&Edit", "Align top", "canvas.align_top"),
    Spec("&Edit", "&Find node ...", "find_node", "Ctrl+F", "mdi6.magnify"),
    Spec("&View", "&Fit the network", "canvas.fit", "F", "mdi6.fit-to-page-outline"),
    Spec("&View", "&Tidy the layout", "canvas.tidy", "L", "mdi6.auto-fix"),
    Spec("&View", "Zoom &in", "canvas.zoom_in", "Ctrl++"),
    Spec("&View", "Zoom &out", "canvas.zoom_out", "Ctrl+-"),
    Spec("&View", "Live &feature maps on nodes", "thumbnails", "T", checkable=True),
    Spec("&View", "Tint wires by &gradient", "tint", "G", checkable=True),
    Spec("&View", "&Build layout", "layout_build", "1"),
    Spec("&View", "&Watch layout", "layout_watch", "2"),
    Spec("&View", "&Present layout", "layout_present", "3"),
    Spec("&View", "Theme: follow the system", "theme_system"),
    Spec("&View", "Theme: light", "theme_light"),
    Spec("&View", "Theme: dark", "theme_dark"),
    Spec("&View", "F&ull screen", "full_screen", "F11"),
    Spec("&Run", "&Run or pause", "toggle_run", "Space", "mdi6.play", "Train, or pause (Space)"),
    Spec("&Run", "&Stop", "session.stop", "", "mdi6.stop", "Stop this run"),
    Spec("&Run", "Step one &batch", "step_batch", ".", "mdi6.skip-next", "Learn from one batch (.)"),
    Spec("&Run", "Step one &node", "step_node", ",", "mdi6.debug-step-into", "Compute one node, forward then back (,)"),
    Spec("&Run", "R&eset", "session.reset", "R", "mdi6.restart", "Begin again with the same initial weights (R)"),
    Spec("&Help", "&Commands ...", "show_commands", "Ctrl+K"),
    Spec("&Help", "&Keys", "show_keys", "?"),
)  # fmt: skip

#: Actions outside the menus Edit and Run that need a network.
_NEED_NETWORK = (
    "save_file", "save_file_as", "export_script", "export_image", "canvas.fit", "canvas.tidy", "canvas.zoom_in",
    "canvas.zoom_out", "thumbnails", "tint", "layout_build", "layout_watch", "layout_present",
)  # fmt: skip


class Actions(QObject):
    """The window's actions by method name: ``actions["save_file"]``."""

    def __init__(self, window: QMainWindow):
        super().__init__(window)
        self.window = window
        self.menus: dict[str, QMenu] = {}
        self._made: dict[str, QAction] = {}
        for spec in SPECS:
            self._add(spec)
        look().changed.connect(self._paint)
        self._paint()

    def __getitem__(self, method: str) -> QAction:
        return self._made[method]

    def all(self) -> list[QAction]:
        """Every action, in the order of the menus."""
        return list(self._made.values())

    def enable_editing(self, on: bool) -> None:
        """Offer the actions that need a network on the canvas, or do not."""
        for spec in SPECS:
            if spec.menu in ("&Edit", "&Run") or spec.method in _NEED_NETWORK:
                self._made[spec.method].setEnabled(on)

    def _add(self, spec: Spec) -> None:
        menu = self.menus.get(spec.menu)
        if menu is None:
            menu = self.menus[spec.menu] = self.window.menuBar().addMenu(spec.menu)
        action = QAction(spec.text, self.window, checkable=spec.checkable)
        if spec.key:
            action.setShortcut(QKeySequence(spec.key))
        action.setToolTip(spec.tip or spec.text.replace("&", ""))
        act: Callable[..., object] = operator.attrgetter(spec.method)(self.window)
        if spec.checkable:
            action.toggled.connect(act)
        else:
            action.triggered.connect(lambda: act())
        menu.addAction(action)
        self._made[spec.method] = action

    def _paint(self) -> None:
        for spec in SPECS:
            if spec.icon:
                self._made[spec.method].setIcon(look().icon(spec.icon))
