"""The page about the input, the network as a whole, or several nodes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nnvis.errors import ConfigError
from nnvis.graph import INPUT
from nnvis.init import initializer
from ui.document import edits
from ui.document.catalog import kind_title
from ui.document.fields import Field, read_text
from ui.document.state import Block, DocumentState
from ui.history import Document
from ui.inspector.editors import Editor, editor
from ui.inspector.page import Page, show_text


class NetworkPage(Page):
    """Name, input shape and initialiser; and what is wrong."""

    def __init__(self, document: Document):
        super().__init__(document)
        self._name = self.add_line("name", self._rename)
        self._shape = self.add_line("input shape", self._reshape, "Height, width, channels; one number for vectors")
        self._init: Editor = editor(Field("init", "initialiser", unset="each layer's default"))
        self._init.entered.connect(self._change_init)
        self.add_row("weights start", self._init, "How weights start, where a layer does not say")
        self._problems = self.add_problems()
        self.column.addStretch(1)
        self.refresh()

    def refresh(self) -> None:
        state, analysis = self.document.state, self.document.analysis
        show_text(self._name, state.name)
        show_text(self._shape, ", ".join(map(str, state.input_shape)))
        self._init.show_value(state.init)
        self.say("")
        if INPUT in self.document.selection:
            self.title.setText("Input")
            self.facts.setText("Where the examples enter.")
        else:
            self.title.setText("The network")
            output = analysis.output or "not clear yet"
            self.facts.setText(
                f"{len(state.nodes)} nodes, {analysis.total_parameters:,} parameters<br>output: {output}"
            )
        self._problems.show_faults(analysis.faults)

    # --- edits --------------------------------------------------------------------------------------------

    def _rename(self, name: str) -> None:
        if name:
            self.attempt("Rename network", lambda: replace(self.document.state, name=name))

    def _reshape(self, text: str) -> None:
        self.attempt("Change input shape", lambda: edits.set_input_shape(self.document.state, read_shape(text)))

    def _change_init(self, value: Any) -> None:
        def changed() -> DocumentState:
            return replace(self.document.state, init=None if value is None else initializer(value))

        self.attempt("Change initialiser", changed, merge="init")


class SelectionPage(Page):
    """Several nodes, or a collapsed block; and what is wrong with them."""

    def __init__(self, document: Document):
        super().__init__(document)
        self._problems = self.add_problems()
        self.column.addStretch(1)
        self.refresh()

    def refresh(self) -> None:
        chosen, state = self.document.selection, self.document.state
        within = {m for name in chosen for m in (state.blocks[name].members if name in state.blocks else (name,))}
        if len(chosen) == 1 and chosen[0] in state.blocks:
            self._say_block(chosen[0], state.blocks[chosen[0]])
        else:
            self.title.setText(f"{len(chosen)} node{'s' * (len(chosen) != 1)} selected")
            self.facts.setText("Ctrl+G makes a block of them, Ctrl+D copies them, Del deletes them.")
        self._problems.show_faults([f for f in self.document.analysis.faults if f.node in within])

    def _say_block(self, name: str, block: Block) -> None:
        count = sum(self.document.analysis.parameters.get(node, 0) for node in block.members)
        kind = f"{kind_title(block.kind)}: " if block.kind else ""
        self.title.setText(name)
        self.facts.setText(
            f"{kind}{len(block.members)} nodes, {count:,} parameters.<br>"
            "A double-click or Ctrl+E opens it, F2 renames it, Ctrl+Shift+G dissolves it."
        )


def read_shape(text: str) -> tuple[int, ...]:
    """An input shape as typed: one to three whole numbers."""
    try:
        value = read_text(text)
    except ValueError:
        value = None
    shape = value if isinstance(value, tuple) else (value,)
    if not 1 <= len(shape) <= 3 or not all(isinstance(s, int) and s > 0 for s in shape):
        raise ConfigError(f"An input shape is one to three whole numbers above 0, not {text!r}.")
    return shape
