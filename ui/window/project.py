"""Which file is open: new, open, save, recent files, export. Errors end up in the banner, work is never lost."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QMimeData, QObject, QSettings, Signal
from PySide6.QtWidgets import QFileDialog, QWidget

from nnvis.errors import NnvisError
from nnvis.runs import PausedRun, RunFolder
from nnvis.runs.files import write_bytes
from ui.document import files
from ui.document.script import python_script
from ui.document.state import DocumentState
from ui.history import Document
from ui.session.messages import Phase, Progress
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
        self.is_open = False  # whether there is a document that one can go back to
        self._step = 0  # of the training, in the file
        self._behind = False  # whether messages are still about the document before
        document.stack.cleanChanged.connect(self._clean_changed)

    @property
    def name(self) -> str:
        """What the title bar shows."""
        return self.path.name if self.path else "Untitled"

    @property
    def dirty(self) -> bool:
        """Whether there is something to save: an edit, or training since the last save."""
        return not self.document.stack.isClean() or self.trained

    def note_training(self, progress: Progress) -> None:
        """The weights have changed, unless the training is at the very step that is in the file."""
        if progress.phase is Phase.IDLE:
            self._behind = False
        if self._behind or self.trained or progress.step in (0, self._step):
            return
        self.trained = True
        self.title_changed.emit()

    def _clean_changed(self, clean: bool) -> None:
        self.title_changed.emit()

    # --- opening ------------------------------------------------------------------------------------------

    def new(self, state: DocumentState) -> None:
        """Begin with this state, in no file yet."""
        self._show(files.Content(state), None)

    def choose_and_open(self) -> None:
        """Ask for a file and open it."""
        name, _ = QFileDialog.getOpenFileName(self.window, "Open", str(self._folder()), _FILTER)
        if name:
            self.open(Path(name))

    def open(self, path: Path) -> bool:
        """Open a project or graph; what was shown stays if it cannot be read."""
        found = self._read(path)
        if found is None:
            return False
        self._show(found, path)
        self._remember(path)
        return True

    def _read(self, path: Path) -> files.Content | None:
        try:
            return files.read(path)
        except NnvisError as error:
            self.failed.emit(str(error))
            return None

    def recover(self, copy: Path) -> files.Origin | None:
        """Open a copy of unsaved work, with the newest weights that there are, as work that is yet to be saved.

        Returns
        -------
        Origin or None
            What the work belongs to; None if the copy cannot be read.
        """
        found = self._read(copy)
        if found is None:
            return None
        origin = found.origin
        run = run_of(origin)
        weights = found.weights or _weights_of(origin.file)
        self._show(replace(found, weights=weights, run=run), origin.file, origin.run)
        self.trained = True  # it is nowhere else
        self.title_changed.emit()
        return origin

    def _show(self, found: files.Content, path: Path | None, folder: Path | None = None) -> None:
        self.path, self.trained, self.is_open = path, False, True
        self._step, self._behind = 0 if found.run is None else found.run.step, True
        self.session.forget()
        self.document.load(found.state)
        self.title_changed.emit()  # a run that goes on is called after it
        if found.run is not None:
            self.session.resume(found.run, folder)
        elif found.weights:
            self.session.load_weights(found.weights)
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
            contents = self.session.contents()
            files.save(path, self.document.state, contents.weights, contents.run)
        except NnvisError as error:
            self.failed.emit(str(error))
            return False
        self.path, self.trained, self._step = path, False, contents.step
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


def dropped_file(data: QMimeData) -> Path | None:
    """The project or graph that is being dropped on the window."""
    paths = [Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()]
    return next((p for p in paths if p.suffix in (".nnvis", ".json")), None)


def run_of(origin: files.Origin) -> PausedRun | None:
    """The run that a copy of unsaved work belongs to, if its checkpoint can be read."""
    if origin.run is not None:
        with contextlib.suppress(NnvisError, OSError):
            return RunFolder(origin.run).paused()
    return None


def _weights_of(file: Path | None) -> files.Weights:
    """What the project's own file has, if it is still there."""
    if file is not None:
        with contextlib.suppress(NnvisError, OSError):
            return files.load(file)[1]
    return {}
