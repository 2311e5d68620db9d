"""The main window: puts the parts together and gives each action of the menus its meaning."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QEvent, QTimer
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QFileDialog, QMainWindow, QStackedWidget, QVBoxLayout, QWidget

from nnvis.errors import NnvisError
from nnvis.graph import INPUT
from ui.canvas.export import write_picture
from ui.canvas.view import CanvasView
from ui.document.blocks import shown_alone
from ui.document.data_fit import misfit
from ui.document.layout import place_after
from ui.document.state import DocumentState
from ui.history import Document
from ui.inspector import Inspector
from ui.palette.actions import add_entry, select_end
from ui.palette.palette import Palette
from ui.palette.search import SearchPopup
from ui.scopes.budget import BUDGET
from ui.session.messages import Phase, Progress, Snapshot
from ui.session.session import Session
from ui.theme import look
from ui.window.actions import Actions
from ui.window.banner import Banner
from ui.window.closing import Closing
from ui.window.commands import CommandPalette, NodeFinder
from ui.window.docks import Docks, size_within
from ui.window.project import Project, dropped_file
from ui.window.recovery import Recovery
from ui.window.scope_wiring import ScopeWiring
from ui.window.sentences import Sentences
from ui.window.shortcuts import Shortcuts
from ui.window.start_page import StartPage
from ui.window.status import Status
from ui.window.stepping import Stepping
from ui.window.training_panel import TrainingPanel
from ui.window.transport import Transport


class MainWindow(QMainWindow):
    """The window of the app.

    Parameters
    ----------
    document : Document
    session : Session
    folder : Path, optional
        Where copies of unsaved work, and runs with their checkpoints, are kept; none without it.
    """

    def __init__(self, document: Document, session: Session, folder: Path | None = None):
        super().__init__()
        self.document, self.session = document, session
        self.setMinimumSize(1000, 640)
        self.resize(size_within(self.screen().availableGeometry().size()))
        self.setAcceptDrops(True)
        self.canvas = CanvasView(document)
        self.palette_panel, self.inspector = Palette(), Inspector(document)
        self.training_panel = TrainingPanel(document)
        self.search = SearchPopup(self)
        self.project = Project(document, session, self)
        self.recovery = Recovery(self.project, folder) if folder else None
        self.closing = Closing(self)
        self.actions_table = Actions(self)
        self._make_frame()
        self.docks = Docks(self, self.palette_panel, self.inspector, self.training_panel)
        self.scope_wiring = ScopeWiring(document, session, self.docks.scopes)
        self.sentences, self.stepping = Sentences(self), Stepping(self)
        self._finish_menus()
        self._connect_document()
        self._connect_session()
        self.show_start_page()

    # --- putting together ---------------------------------------------------------------------------------

    def _make_frame(self) -> None:
        self.banner, self.start_page, self.pages = Banner(), StartPage(), QStackedWidget()
        self.pages.addWidget(self.start_page)
        self.pages.addWidget(self.canvas)
        centre = QWidget()
        column = QVBoxLayout(centre)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.banner)
        column.addWidget(self.pages, 1)
        self.setCentralWidget(centre)
        self.transport = Transport(self.actions_table)
        self.addToolBar(self.transport)
        self.status = Status()
        self.setStatusBar(self.status)
        self.commands, self.finder = CommandPalette(self), NodeFinder(self, self.canvas)

    def _finish_menus(self) -> None:
        edit, view = self.actions_table.menus["&Edit"], self.actions_table.menus["&View"]
        undo = self.document.stack.createUndoAction(self, "&Undo")
        redo = self.document.stack.createRedoAction(self, "&Redo")
        undo.setProperty("name", "Undo")
        redo.setProperty("name", "Redo")
        undo.setShortcut("Ctrl+Z")
        redo.setShortcut("Ctrl+Shift+Z")
        first = edit.actions()[0]
        edit.insertActions(first, [undo, redo])
        edit.insertSeparator(first)
        self.transport.connect_undo(undo, redo)
        self._undo_actions = [undo, redo]
        panels = view.addMenu("&Panels")
        panels.addActions([dock.toggleViewAction() for dock in self.docks.all])

    def _connect_document(self) -> None:
        self.document.changed.connect(self._document_changed)
        self.canvas.search_requested.connect(self._search)
        self.canvas.status.connect(self.status.hint)
        self.palette_panel.chosen.connect(self._add_from_palette)
        self.start_page.template_chosen.connect(self._begin)
        self.start_page.open_requested.connect(self.open_file)
        self.start_page.file_chosen.connect(self._open)
        self.start_page.back_requested.connect(self._show_canvas)
        self.project.title_changed.connect(self._show_title)
        self.project.opened.connect(self._show_canvas)
        self.project.arrived.connect(self.docks.loss.begin_anew)
        self.project.arrived.connect(self.canvas.graph_scene.forget_pictures)
        self.project.saved.connect(self._after_saving)
        for scope in self.docks.scopes:
            scope.failed.connect(self.sentences.say_file_error)
        self.training_panel.rate_changed.connect(self.session.set_learning_rate)
        self.training_panel.momentum_changed.connect(self.session.set_momentum)
        look().changed.connect(self._show_title)

    def _connect_session(self) -> None:
        session = self.session
        session.progress.connect(self._show_progress)
        session.snapshot.connect(self._show_snapshot)
        session.statistics.connect(self.inspector.set_statistics)

    # --- what happens -------------------------------------------------------------------------------------

    def _document_changed(self, before: DocumentState, after: DocumentState) -> None:
        self.session.set_document(after)
        self.banner.check()
        self.status.hint("")  # what it says is about what was before
        self.status.show_analysis(self.document.analysis, misfit(after, self.document.analysis))
        self.transport.show_settings(after.settings)

    def event(self, event: QEvent) -> bool:
        if event.type() != QEvent.Type.UpdateRequest:
            return super().event(event)
        begin = time.thread_time()
        handled = super().event(event)  # which paints all that has changed
        BUDGET.spend(time.thread_time() - begin)
        return handled

    def _show_progress(self, progress: Progress) -> None:
        BUDGET.training = progress.phase is Phase.RUNNING
        self.banner.check()
        self.status.show_progress(progress)
        if progress.phase is not self.transport.phase:
            self.transport.show_phase(progress.phase)
        self.project.note_training(progress)

    def _show_snapshot(self, snapshot: Snapshot) -> None:
        if self.actions_table["thumbnails"].isChecked():
            self.canvas.set_thumbnails(snapshot.features)
        if self.actions_table["tint"].isChecked():
            self.canvas.set_gradient_tint(snapshot.gradients)

    def _show_title(self) -> None:
        mark = "*" if self.project.dirty else ""
        self.setWindowTitle(f"{mark}{self.project.name} - nnvis")

    def _show_canvas(self) -> None:
        self.pages.setCurrentWidget(self.canvas)
        self._set_editing(True)
        self.canvas.setFocus()
        QTimer.singleShot(0, self.canvas.show_start)

    def _after_saving(self, path: Path) -> None:
        self.status.hint(f"Saved {path.name}.")
        if self.recovery:
            self.recovery.clear()

    def _begin(self, template) -> None:
        if self.closing.may_discard():
            self.project.new(template.make())

    def _add_from_palette(self, key: str) -> None:
        chosen = self.document.selection[0] if len(self.document.selection) == 1 else None
        state = self.document.state
        last = next(reversed(shown_alone(state)), INPUT)
        known = chosen in state.nodes or chosen in state.blocks
        select_end(self.document, add_entry(self.document, key, place_after(state, chosen if known else last)))

    def _search(self, request) -> None:
        self.search.open(self.document, request.position, request.global_pos, request.source, request.target)

    # --- File ---------------------------------------------------------------------------------------------

    def show_start_page(self) -> None:
        self.start_page.set_back(self.project.name if self.project.is_open else "")
        self.start_page.set_recent(self.project.recent())
        self.pages.setCurrentWidget(self.start_page)
        self._set_editing(False)

    def _set_editing(self, on: bool) -> None:
        """The start page has nothing to edit or run, so what does that is not offered there."""
        self._set_docks_visible(on)
        self.transport.setVisible(on)
        self.actions_table.enable_editing(on)
        for action in self._undo_actions:
            action.setVisible(on)
        if on:
            self.transport.show_phase(self.transport.phase)

    def _set_docks_visible(self, visible: bool) -> None:
        """The start page stands alone; panels come back as they were."""
        if visible and not self._docks_hidden:
            return
        if not visible:
            self._docks_hidden = [d for d in self.docks.all if d.isVisibleTo(self)] or self._docks_hidden
        for dock in self._docks_hidden:
            dock.setVisible(visible)
        if visible:
            self._docks_hidden = []

    _docks_hidden: list = []  # noqa: RUF012 - replaced, never changed

    def open_file(self) -> None:
        if self.closing.may_discard():
            self.project.choose_and_open()

    def _open(self, path: Path) -> None:
        if self.closing.may_discard():
            self.project.open(path)

    def save_file(self) -> bool:
        return self.project.save()

    def save_file_as(self) -> bool:
        return self.project.choose_and_save()

    def export_script(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Export", f"{self.document.state.name}.py", "Python (*.py)")
        if name and self.project.export_script(Path(name)):
            self.status.hint(f"Exported {Path(name).name}.")

    def export_image(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Export", f"{self.document.state.name}.png", "Images (*.png *.svg)")
        if name:
            try:
                write_picture(Path(name), self.canvas.graph_scene)
            except NnvisError as error:
                self.sentences.say_file_error(str(error))

    # --- Edit ---------------------------------------------------------------------------------------------

    def find_node(self) -> None:
        self.finder.open()

    # --- View ---------------------------------------------------------------------------------------------

    def thumbnails(self, on: bool) -> None:
        self.canvas.show_thumbnails(on)
        self.scope_wiring.want_all_nodes(on)

    def tint(self, on: bool) -> None:
        if not on:
            self.canvas.set_gradient_tint(None)

    def layout_build(self) -> None:
        self._arrange(self.docks.build, follows=False)

    def layout_watch(self) -> None:
        self._arrange(self.docks.watch, follows=True)

    def layout_present(self) -> None:
        self._arrange(self.docks.present, follows=True)

    def _arrange(self, layout: Callable[[], None], follows: bool) -> None:
        """Where one looks rather than builds, the network is fitted again whenever the canvas changes its size."""
        layout()
        self.canvas.follows = follows
        QTimer.singleShot(50, self.canvas, self.canvas.show_start)

    def theme_system(self) -> None:
        look().choose("system")

    def theme_light(self) -> None:
        look().choose("light")

    def theme_dark(self) -> None:
        look().choose("dark")

    def full_screen(self) -> None:
        self.showNormal() if self.isFullScreen() else self.showFullScreen()

    # --- Run ----------------------------------------------------------------------------------------------

    def toggle_run(self) -> None:
        if self.sentences.works():
            self.session.toggle()

    def step_batch(self) -> None:
        if self.sentences.works():
            self.session.step_batch()

    def step_node(self) -> None:
        if self.sentences.works():
            self.session.step_node()

    # --- Help ---------------------------------------------------------------------------------------------

    def _listed_actions(self) -> list:
        return [*self._undo_actions, *self.actions_table.all()]

    def show_commands(self) -> None:
        self.commands.open(self._listed_actions())

    def show_keys(self) -> None:
        Shortcuts(self._listed_actions(), self).exec()

    # --- files dropped on the window -----------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if dropped_file(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        path = dropped_file(event.mimeData())
        if path:
            self._open(path)

    # --- closing ------------------------------------------------------------------------------------------

    def closeEvent(self, event: QCloseEvent) -> None:
        if not self.closing.may_close():
            event.ignore()
            return
        self._set_docks_visible(True)
        self.docks.remember()
        BUDGET.training = False
        self.session.close()
        if self.recovery:
            self.recovery.close()
        super().closeEvent(event)
