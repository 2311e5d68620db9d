"""Edits of what is selected on the canvas: order, copies, names, blocks."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QInputDialog

from nnvis.errors import NnvisError
from nnvis.graph import INPUT
from ui.canvas import clipboard
from ui.canvas.camera import Camera
from ui.document import blocks, edits, layout, room
from ui.history import Document


class EditingView(Camera):
    """A view of the scene whose selection can be edited; every edit is one undo step.

    Signals
    -------
    status(str)
        A word for the status bar.
    """

    status = Signal(str)
    document: Document

    def _members(self) -> list[str]:
        """The selected nodes; those of a selected block."""
        state, found = self.document.state, []
        for name in self.document.selection:
            found.extend(sorted(state.blocks[name].members) if name in state.blocks else [name])
        return [name for name in found if name in state.nodes]

    def tidy(self) -> None:
        """Lay the network out anew."""
        self.document.apply("Tidy", layout.tidy(self.document.state))
        self.show_start()

    def align_left(self) -> None:
        """Put the selected nodes below each other."""
        self._align(0, "left")

    def align_top(self) -> None:
        """Put the selected nodes beside each other."""
        self._align(1, "top")

    def _align(self, axis: int, how: str) -> None:
        state, names = self.document.state, self._members()
        if names:
            line = min(state.position(n)[axis] for n in names)
            places = {n: (line, state.position(n)[1]) if axis == 0 else (state.position(n)[0], line) for n in names}
            self.document.apply(f"Align {how}", edits.move(state, places))

    def delete_selection(self, heal: bool = False) -> None:
        """Delete the selected nodes and wires; with `heal` their neighbours are joined."""
        state, names = self.document.state, self._members()
        after = edits.delete(edits.disconnect(state, self.graph_scene.selected_wires()), names, heal)
        self.document.apply("Delete", after)

    def select_all(self) -> None:
        """Select every node."""
        self.document.select(n for n in self.graph_scene.nodes if n != INPUT)

    def copy(self) -> None:
        """Copy the selected nodes."""
        if names := self._members():
            clipboard.put(self.document.state, names)

    def cut(self) -> None:
        """Copy and delete the selected nodes."""
        if self._members():
            self.copy()
            self.delete_selection()

    def paste(self) -> None:
        """Paste nodes, beside where they were copied."""
        self._add_copies("Paste", *clipboard.get())

    def duplicate(self) -> None:
        """Copy the selected nodes in place."""
        state = self.document.state
        nodes = {n: state.nodes[n] for n in self._members()}
        self._add_copies("Duplicate", nodes, edits.blocks_among(state, nodes))

    def _add_copies(self, label: str, nodes, copied) -> None:
        if nodes:
            after, names = edits.paste(self.document.state, nodes, blocks=copied)
            self.document.apply(label, after)
            away = blocks.hidden(after)
            self.document.select(dict.fromkeys(away.get(name, name) for name in names))

    def rename_selected(self) -> None:
        """Ask for another name for the selected node or block."""
        state, names = self.document.state, self.document.selection
        if len(names) == 1 and (names[0] in state.nodes or names[0] in state.blocks):
            new, fine = QInputDialog.getText(self, "Rename", "Name", text=names[0])
            if fine:
                rename = edits.rename_block if names[0] in state.blocks else edits.rename
                try:
                    self.document.apply("Rename", rename(state, names[0], new))
                except NnvisError as error:
                    self.status.emit(str(error))

    def group_selection(self) -> None:
        """Make a block of the selected nodes."""
        if names := self._members():
            after, block = edits.group(self.document.state, names)
            self.document.apply("Group", edits.collapse(after, block))
            self.document.select([block])

    def _selected_blocks(self) -> list[str]:
        state, around = self.document.state, blocks.parents(self.document.state)
        found = (name if name in state.blocks else around.get(name) for name in self.document.selection)
        return list(dict.fromkeys(name for name in found if name is not None))

    def ungroup_selection(self) -> None:
        """Dissolve the selected blocks."""
        state = self.document.state
        for name in self._selected_blocks():
            state = edits.ungroup(state, name)
        self.document.apply("Ungroup", state)

    def toggle_collapse(self) -> None:
        """Draw the selected blocks as one node each, or open them."""
        state, names = self.document.state, self._selected_blocks()
        for name in names:
            state = room.toggle(state, name)
        self.document.apply("Collapse or open", state)
        self.document.select([name for name in names if state.blocks[name].collapsed])

    def toggle_all(self) -> None:
        """Open all blocks that are drawn, or collapse them if none is left to open."""
        state = self.document.state
        shut = [name for name, block in blocks.shown(state) if block.collapsed]
        for name in shut or [name for name, around in blocks.parents(state).items() if around is None]:
            if name in state.blocks:
                state = edits.collapse(state, name, not shut)
        self.document.apply("Open all blocks" if shut else "Collapse all blocks", layout.tidy(state))
        self.show_start()
