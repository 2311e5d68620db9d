"""Which file is open: new, open, save, recent files, export. Errors end up in the banner, work is never lost."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QObject, QSettings, Signal
from PySide6.QtWidgets import QFileDialog, QWidget

from nnvis.errors import NnvisError
from nnvis.runs.files import write_bytes
from ui.document import files
from ui.document.script import python_script
from ui.document.state import DocumentState
from ui.history import Document
from ui.session.session import Session

_FILTER = "nnvis projects and graphs (*.nnvis *.json)"
_RECENT = "recent files"
MOST_RECENT = 8


class Project(QObject):
    """The document's file.

    Signals
    -------
    title_changed()
    failed(str)
        One sentence.
    opened()
        Another document is shown.
    saved(Path)
    """

    title_changed = Signal()
    failed = Signal(str)
    opened = Signal()
    saved = Signal(object)

    def __init__(self, document: Document, session: Session, window: QWidget):
        super().__init__(window)
        self.document, self.session, self.window = document, session, window
        self.path: Path | None = None
        self.trained = False
        document.stack.cleanChanged.connect(lambda _: self.title_changed.emit())

    @property
    def name(self) -> str:
        """What the title bar shows."""
        return self.path.name if self.path else "Untitled"

    @property
    def dirty(self) -> bool:
        """Whether there is something to save: an edit, or training since the last save."""
        return not self.document.stack.isClean() or self.trained

    def note_training(self) -> None:
        """The weights have changed."""
        if not self.trained:
            self.trained = True
            self.title_changed.emit()

    # --- opening ------------------------------------------------------------------------------------------

    def new(self, state: DocumentState) -> None:
        """Begin with this state, in no file yet."""
        self._show(state, {}, None)

    def choose_and_open(self) -> None:
        """Ask for a file and open it."""
        name, _ = QFileDialog.getOpenFileName(self.window, "Open", str(self._folder()), _FILTER)
        if name:
            self.open(Path(name))

    def open(self, path: Path) -> bool:
        """Open a project or graph; what was shown stays if it cannot be read."""
        try:
            state, weights = files.load(path)
        except NnvisError as error:
            self.failed.emit(str(error))
            return False
        self._show(state, weights, path)
        self._remember(path)
        return True

    def recover(self, copy: Path) -> bool:
        """Open a copy of unsaved work, as work that still has no file."""
        try:
            state, weights = files.load(copy)
        except NnvisError as error:
            self.failed.emit(str(error))
            return False
        self._show(state, weights, None)
        self.trained = True  # it is nowhere else
        self.title_changed.emit()
        return True

    def _show(self, state: DocumentState, weights: files.Weights, path: Path | None) -> None:
        self.path, self.trained = path, False
        self.session.stop()
        self.document.load(state)
        if weights:
            self.session.load_weights(weights)
        self.title_changed.emit()
        self.opened.emit()

    # --- saving -------------------------------------------------------------------------------------------

    def save(self) -> bool:
        """Save to the document's file; ask for one if it has none."""
        return self.save_to(self.path) if self.path else self.choose_and_save()

    def choose_and_save(self) -> bool:
        """Ask for a file and save there."""
        proposed = self._folder() / f"{self.document.state.name}{files.PROJECT}"
        name, _ = QFileDialog.getSaveFileName(self.window, "Save", str(proposed), _FILTER)
        if not name:
            return False
        path = Path(name)
        return self.save_to(path if path.suffix else path.with_suffix(files.PROJECT))

    def save_to(self, path: Path) -> bool:
        """Save there; True if it is on disk."""
        try:
            files.save(path, self.document.state, self.session.net_state())
        except NnvisError as error:
            self.failed.emit(str(error))
            return False
        self.path, self.trained = path, False
        self.document.stack.setClean()
        self._remember(path)
        self.title_changed.emit()
        self.saved.emit(path)
        return True

    def export_script(self, path: Path) -> bool:
        """Write the Python script of the network."""
        return self._export(lambda: write_bytes(path, python_script(self.document.state).encode()))

    def _export(self, write) -> bool:
        try:
            write()
        except (NnvisError, OSError) as error:
            self.failed.emit(str(error))
            return False
        return True

    # --- recent files -------------------------------------------------------------------------------------

    def recent(self) -> list[Path]:
        """Files used last that still exist, newest first."""
        names = QSettings().value(_RECENT, [], list) or []
        return [Path(n) for n in names if Path(n).exists()][:MOST_RECENT]

    def _remember(self, path: Path) -> None:
        path = path.resolve()
        others = [p for p in self.recent() if p != path]
        QSettings().setValue(_RECENT, [str(p) for p in [path, *others][:MOST_RECENT]])

    def _folder(self) -> Path:
        return self.path.parent if self.path else Path.home()
