"""The page about one node: its hyper-parameters, formula, shapes and the statistics of its parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel

from nnvis.layers.base import Layer, describe
from ui.document import edits
from ui.document.arithmetic import parameter_sum, shape_sum
from ui.document.catalog import BY_KEY
from ui.document.fields import Field, fields_of, replace_field
from ui.document.state import DocumentState
from ui.history import Document
from ui.inspector.editors import Editor, editor
from ui.inspector.formulas import formula
from ui.inspector.page import Page, show_text
from ui.theme import SMALL, look

#: What a node at an end of the network is for.
ROLES = (
    Field("is_output", "bool", explanation="Whether this node's output is the network's"),
    Field("auxiliary_loss", "float", 0.0, 100.0,
          "Weight of a second loss, at this node, in training: deep supervision. 0: none"),
)  # fmt: skip


class NodePage(Page):
    """Edits one node; stays as long as the node is of this kind."""

    def __init__(self, document: Document, name: str):
        super().__init__(document)
        self.name = name
        layer = self.layer
        self.fields = fields_of(layer)
        self._line = self.add_line("name", self._rename, "Unique in the network")
        for field in self.fields:
            widget = editor(field)
            widget.entered.connect(lambda value, f=field: self._change(f, value))
            self.add_row(field.name.replace("_", " "), widget, field.explanation)
        self.is_end = _is_end(document, name)
        for field, act in zip(ROLES if self.is_end else (), (self._make_output, self._make_auxiliary), strict=False):
            widget = editor(field)
            widget.entered.connect(act)
            self.add_row(field.name.replace("_", " "), widget, field.explanation)
        self.numbers = QLabel(textFormat=Qt.TextFormat.RichText)
        self.numbers.setFont(look().font(SMALL, numbers=True))
        self.numbers.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.column.addWidget(self.numbers)
        self.column.addStretch(1)
        self.refresh()

    @property
    def layer(self) -> Layer:
        """The layer as it is now."""
        return self.document.state.nodes[self.name].layer

    def fits(self, name: str) -> bool:
        """Whether this page can show the node `name`."""
        node = self.document.state.nodes.get(name)
        if node is None or name != self.name or self.is_end != _is_end(self.document, name):
            return False
        return fields_of(node.layer) == self.fields

    def refresh(self) -> None:
        show_text(self._line, self.name)
        values = [getattr(self.layer, field.name) for field in self.fields]
        if self.is_end:
            state, analysis = self.document.state, self.document.analysis
            values += [analysis.output == self.name, float(state.aux_outputs.get(self.name, 0.0))]
        for value, widget in zip(values, list(self.editors.values())[1:], strict=True):
            assert isinstance(widget, Editor)
            widget.show_value(value)
        self.title.setText(self.layer.kind)
        self.facts.setText("<br>".join(_facts(self.document, self.name)))
        self.say(self.document.analysis.fault_of.get(self.name, ""))

    def show_numbers(self, statistics: Mapping[str, tuple]) -> None:
        """Mean, standard deviation, minimum and maximum of every parameter."""
        muted = look().theme.muted
        head = "".join(f"<td align=right style='color:{muted}'>{word}</td>" for word in ("mean", "std", "min", "max"))
        rows = [f"<tr><td></td>{head}</tr>"]
        for name, values in statistics.items():
            cells = "".join(f"<td align=right>&nbsp;{short(v)}</td>" for v in values)
            rows.append(f"<tr><td style='color:{muted}'>{name.replace('running_', '')}</td>{cells}</tr>")
        self.numbers.setText(f"<table width=100% cellspacing=2>{''.join(rows)}</table>" if statistics else "")

    # --- edits --------------------------------------------------------------------------------------------

    def _change(self, field: Field, value: Any) -> None:
        def changed() -> DocumentState:
            return edits.set_layer(self.document.state, self.name, replace_field(self.layer, field.name, value))

        if self.name in self.document.state.nodes:
            title = field.name.replace("_", " ")
            self.attempt(f"Change {title}", changed, merge=f"{self.name}.{field.name}")

    def _make_output(self, on: bool) -> None:
        chosen = self.name if on else None
        self.attempt("Choose the output", lambda: edits.set_output(self.document.state, chosen))

    def _make_auxiliary(self, weight: float) -> None:
        self.attempt(
            "Change the auxiliary loss",
            lambda: edits.set_aux_output(self.document.state, self.name, weight),
            merge=f"{self.name}.auxiliary",
        )

    def _rename(self, new: str) -> None:
        state = self.document.state
        if self.name in state.nodes and new != self.name and self.attempt(
            "Rename", lambda: edits.rename(state, self.name, new)
        ):  # fmt: skip
            self.document.select([new])


def _is_end(document: Document, name: str) -> bool:
    """Whether nothing reads the node, or it is an output all the same."""
    state = document.state
    return not state.readers(name) or name == state.output or name in state.aux_outputs


def _facts(document: Document, name: str) -> list[str]:
    """What the node is, and what follows from its place in the network."""
    node, analysis = document.state.nodes[name], document.analysis
    entry = BY_KEY.get(node.layer.kind)
    lines = [f"<span style='color:{look().theme.muted}'>{entry.explanation if entry else ''}</span>"]
    if text := formula(node.layer):
        lines += re.split(" {3,}", text.replace("<", "&lt;"))
    inputs = tuple(analysis.shapes.get(i) if i else None for i in node.inputs)
    output = analysis.shapes.get(name)
    if output is None or None in inputs:
        return lines
    shapes: tuple = inputs
    change = f"{' , '.join(describe(s) for s in shapes)} → {describe(output)}"
    how = shape_sum(node.layer, shapes, output)
    lines += [f"<b>{change}</b>", *[how] * (how != change)]
    lines.append(f"parameters: {parameter_sum(node.layer, shapes)}")
    adds = node.layer.multiply_adds(*shapes)
    lines += [f"multiply-adds: {adds:,}"] * bool(adds)
    return lines + document.execution(name)


def short(value: float) -> str:
    """A number in at most seven characters."""
    if value == 0 or value != value:
        return f"{value:g}"
    if 0.001 <= abs(value) < 1000:
        return f"{value:.3f}"[: 6 + (value < 0)].rstrip(".")
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"
