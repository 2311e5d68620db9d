"""The document as the app shares it: the current state, its analysis, the selection, undo and redo."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QUndoCommand, QUndoStack

from nnvis.graph import INPUT
from ui.document.analysis import Analysis, analyse
from ui.document.execution import executions
from ui.document.state import DocumentState

#: Undo steps kept: more than anyone takes back, and few enough for a day of edits in a large network.
MOST_STEPS = 1000


class _Replace(QUndoCommand):
    """Replaces the whole state: immutable values share what did not change, so this costs little."""

    def __init__(self, document: Document, label: str, before: DocumentState, after: DocumentState, merge: str):
        super().__init__(label)
        self.document, self.before, self.after, self.merge = document, before, after, merge

    def id(self) -> int:
        return 1 if self.merge else -1

    def mergeWith(self, other: QUndoCommand) -> bool:
        if not isinstance(other, _Replace) or other.merge != self.merge:
            return False
        self.after = other.after
        return True

    def redo(self) -> None:
        self._show(self.after)

    def undo(self) -> None:
        self._show(self.before)

    def _show(self, state: DocumentState) -> None:
        """Show a state; an error in a view goes where errors of slots go, since Qt does not survive it here."""
        try:
            self.document._show(state)
        except Exception:
            sys.excepthook(*sys.exc_info())


class Document(QObject):
    """The network being edited.

    Signals
    -------
    changed(before, after)
        Two :class:`DocumentState`; :attr:`analysis` is already that of `after`.
    selection_changed(names)
        A tuple of node names.
    """

    changed = Signal(object, object)
    selection_changed = Signal(object)

    def __init__(self, state: DocumentState | None = None, parent: QObject | None = None):
        super().__init__(parent)
        self.stack = QUndoStack(self, undoLimit=MOST_STEPS)
        self.state = state or DocumentState()
        self.analysis: Analysis = analyse(self.state)
        self._executions: dict[str, list[str]] | None = None
        self.selection: tuple[str, ...] = ()

    def execution(self, name: str) -> list[str]:
        """Sentences on how the engine runs a node in training; nothing where the network does not work."""
        if self._executions is None:  # made when asked for: it takes longer than all other analysis
            self._executions = executions(self.state) if self.analysis.works else {}
        return self._executions.get(name, [])

    def apply(self, label: str, after: DocumentState, merge: str = "") -> None:
        """Make one undo step that leads to `after`.

        Parameters
        ----------
        label : str
            What the user did, for the menu: "Add Conv2d".
        after : DocumentState
        merge : str
            Steps that follow each other with the same key become one, as while a number is dragged.
        """
        if after != self.state:
            self.stack.push(_Replace(self, label, self.state, after, merge))

    def load(self, state: DocumentState) -> None:
        """Show another document; there is nothing to undo in it."""
        self.stack.clear()
        self.select(())
        self._show(state)

    def select(self, names: Iterable[str]) -> None:
        """Select these nodes alone."""
        chosen = tuple(names)
        if chosen != self.selection:
            self.selection = chosen
            self.selection_changed.emit(chosen)

    def _show(self, state: DocumentState) -> None:
        before, self.state = self.state, state
        self.analysis, self._executions = analyse(state), None
        chosen, self.selection = self.selection, _followed(self.selection, before, state)
        kept = self.selection
        self.changed.emit(before, state)
        if kept != chosen and self.selection == kept:
            self.selection_changed.emit(kept)


def _followed(names: tuple[str, ...], before: DocumentState, after: DocumentState) -> tuple[str, ...]:
    """What of a selection is still there; a layer or block that is called otherwise stays selected."""
    layers = {node.born: name for name, node in after.nodes.items() if name not in before.nodes}
    blocks = {block.members: name for name, block in after.blocks.items() if name not in before.blocks}

    def called(name: str) -> str | None:
        if name == INPUT or name in after.nodes or name in after.blocks:
            return name
        if name in before.blocks:
            return blocks.get(before.blocks[name].members)
        return layers.get(before.nodes[name].born) if name in before.nodes else None

    return tuple(new for name in names if (new := called(name)) is not None)
