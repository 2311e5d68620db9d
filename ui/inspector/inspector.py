"""The inspector: everything about what is selected, to be read and changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QFontMetricsF
from PySide6.QtWidgets import (
    QFormLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from nnvis.errors import NnvisError
from nnvis.graph import INPUT
from nnvis.init import initializer
from nnvis.layers.base import describe
from ui.document import edits
from ui.document.arithmetic import parameter_sum, shape_sum
from ui.document.catalog import BY_KEY
from ui.document.fields import Field, fields_of, read_text, replace_field
from ui.history import Document
from ui.inspector.editors import editor
from ui.inspector.formulas import formula, textbook_source
from ui.session.messages import Snapshot
from ui.theme import SMALL, look


class Inspector(QWidget):
    """Shows the selected node, the input, or the network as a whole."""

    def __init__(self, document: Document, parent: QWidget | None = None):
        super().__init__(parent)
        self.document = document
        self.setAccessibleName("Inspector")
        self.setMinimumWidth(220)
        self._statistics: Mapping[str, Mapping[str, tuple]] = {}
        self._shown: tuple = ()
        self.fault = QLabel(wordWrap=True)
        self.editors: dict[str, QWidget] = {}
        self.tabs, self._area, self._source = QTabWidget(), QScrollArea(widgetResizable=True), QPlainTextEdit()
        self._source.setReadOnly(True)
        self._source.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self._source.setAccessibleName("Textbook source")
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.tabs.addTab(self._area, "Settings")
        self.tabs.addTab(self._source, "Source")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.tabs)
        self._numbers = QLabel()
        document.changed.connect(lambda before, after: self._refresh())
        document.selection_changed.connect(lambda names: self._refresh())
        look().changed.connect(self._repaint)
        self._refresh()

    def _repaint(self) -> None:
        self._refresh(again=True)

    # --- what is shown ------------------------------------------------------------------------------------

    def _refresh(self, again: bool = False) -> None:
        state, chosen = self.document.state, self.document.selection
        name = chosen[0] if len(chosen) == 1 else None
        node = state.nodes.get(name) if name else None
        essence = (chosen, node.layer if node else None, None if node else (state.input_shape, state.name, state.init))
        if essence != self._shown or again:
            self._shown = essence
            self._build(name)
        self._tell(name)

    def _build(self, name: str | None) -> None:
        """Make the form anew: another node, or another layer in it."""
        focused = self.focusWidget().accessibleName() if self.focusWidget() else ""
        body = QWidget()
        column = QVBoxLayout(body)
        self._form = QFormLayout()
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.editors, self.fault = {}, QLabel(wordWrap=True)
        self._facts = QLabel(wordWrap=True, textFormat=Qt.TextFormat.RichText)
        self._facts.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._numbers = QLabel()
        self._numbers.setFont(look().font(SMALL, numbers=True))
        self._numbers.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._title = QLabel(objectName="heading", wordWrap=True)
        for label in (self._facts, self.fault, self._title):
            label.setMinimumWidth(24)
        column.addWidget(self._title)
        column.addWidget(self._facts)
        column.addLayout(self._form)
        column.addWidget(self.fault)
        column.addWidget(self._numbers)
        self._actions = QVBoxLayout()
        column.addLayout(self._actions)
        column.addStretch(1)
        if name in self.document.state.nodes:
            self._node_form(name)
        elif name == INPUT or not self.document.selection:
            self._network_form()
        for editor_widget in self.editors.values():
            # the dock decides how wide things are, not the longest number
            for widget in (editor_widget, *editor_widget.findChildren(QWidget)):
                widget.setMinimumWidth(24)
                widget.setSizePolicy(QSizePolicy.Policy.Ignored, widget.sizePolicy().verticalPolicy())
        self._area.setWidget(body)
        self.tabs.setTabVisible(1, name in self.document.state.nodes)
        self._restore_focus(focused)

    def _restore_focus(self, accessible_name: str) -> None:
        for widget in self._area.findChildren(QWidget):
            if accessible_name and widget.accessibleName() == accessible_name:
                widget.setFocus()
                return

    def _row(self, title: str, widget: QWidget, explanation: str = "") -> None:
        label = QLabel(title)
        label.setMinimumWidth(label.sizeHint().width())
        label.setToolTip(explanation)
        self.editors[title] = widget
        self._form.addRow(label, widget)

    def _node_form(self, name: str) -> None:
        layer = self.document.state.nodes[name].layer
        line = QLineEdit(name)
        line.setAccessibleName("name")
        line.editingFinished.connect(lambda: self._rename(name, line.text()))
        self._row("name", line, "Unique in the network")
        for field in fields_of(layer):
            value = getattr(layer, field.name)
            widget = editor(field, value, lambda v, f=field: self._change(name, f, v))
            self._row(field.name.replace("_", " "), widget, field.explanation)
        self._source.setPlainText(textbook_source(layer))
        self._source.setFont(look().font(SMALL, numbers=True))

    def _network_form(self) -> None:
        state = self.document.state
        line = QLineEdit(state.name)
        line.editingFinished.connect(lambda: self._set_state("Rename network", name=line.text().strip() or state.name))
        self._row("name", line)
        shape = QLineEdit(", ".join(map(str, state.input_shape)))
        shape.editingFinished.connect(lambda: self._set_shape(shape.text()))
        self._row("input shape", shape, "Height, width, channels; or one number for vectors")
        start = editor(Field("init", "initialiser", explanation="How weights start, where a layer does not say"),
                       state.init, self._set_init)  # fmt: skip
        self._row("weights start", start)

    # --- facts --------------------------------------------------------------------------------------------

    def _tell(self, name: str | None) -> None:
        """Refresh the words that depend on the rest of the network."""
        analysis, state = self.document.analysis, self.document.state
        self.fault.setStyleSheet(f"color: {look().theme.bad};")
        self.fault.setText(analysis.fault_of.get(name, "") if name else "")
        if name in state.nodes:
            self._tell_node(name)
        elif name == INPUT:
            self._title.setText("Input")
            self._facts.setText("Where the examples enter.")
        elif self.document.selection:
            self._title.setText(f"{len(self.document.selection)} nodes selected")
            self._facts.setText("Ctrl+G makes a block of them, Ctrl+D copies them, Del deletes them.")
        else:
            self._tell_network()
        self._show_numbers()

    def _tell_node(self, name: str) -> None:
        state, analysis = self.document.state, self.document.analysis
        node, muted = state.nodes[name], look().theme.muted
        entry = BY_KEY.get(node.layer.kind)
        self._title.setText(node.layer.kind)
        lines = [f"<span style='color:{muted}'>{entry.explanation if entry else ''}</span>"]
        if text := formula(node.layer):
            lines.append(text.replace("<", "&lt;"))
        inputs = [analysis.shapes.get(i) if i else None for i in node.inputs]
        output = analysis.shapes.get(name)
        if output is not None and None not in inputs:
            shown = " , ".join(describe(s) for s in inputs)  # type: ignore[arg-type]
            lines.append(f"<b>{shown} → {describe(output)}</b>")
            lines.append(shape_sum(node.layer, tuple(inputs), output))  # type: ignore[arg-type]
            lines.append(f"parameters: {parameter_sum(node.layer, tuple(inputs))}")  # type: ignore[arg-type]
            adds = node.layer.multiply_adds(*inputs)  # type: ignore[arg-type]
            lines += [f"multiply-adds: {adds:,}"] * bool(adds)
        self._facts.setText("<br>".join(lines))

    def _tell_network(self) -> None:
        state, analysis = self.document.state, self.document.analysis
        self._title.setText("The network")
        output = analysis.output or "not clear yet"
        self._facts.setText(f"{len(state.nodes)} nodes, {analysis.total_parameters:,} parameters<br>output: {output}")
        while (item := self._actions.takeAt(0)) is not None:
            if item.widget():
                item.widget().deleteLater()
        for fault in analysis.faults[:6]:
            where = f"{fault.node}: " if fault.node else ""
            button = QPushButton(QFontMetricsF(self.font()).elidedText(
                where + fault.message, Qt.TextElideMode.ElideRight, 240))  # fmt: skip
            button.setToolTip(fault.message)
            button.setStyleSheet("text-align: left;")
            button.clicked.connect(lambda _=False, n=fault.node: self.document.select([n] if n else []))
            self._actions.addWidget(button)

    def set_statistics(self, statistics: Mapping[str, Mapping[str, tuple]]) -> None:
        """Mean, standard deviation, minimum and maximum of every parameter."""
        self._statistics = statistics
        self._show_numbers()

    def set_snapshot(self, snapshot: Snapshot) -> None:
        """The inspector shows parameters alone."""

    def _show_numbers(self) -> None:
        chosen = self.document.selection
        found = self._statistics.get(chosen[0], {}) if len(chosen) == 1 else {}
        if found:
            rows = [f"{'':<7}{'mean':>8}{'std':>8}{'min':>8}{'max':>8}"]
            rows += [f"{name[:6]:<7}" + "".join(f"{v:>8.2g}" for v in values) for name, values in found.items()]
            self._numbers.setText("\n".join(rows))
        else:
            self._numbers.setText("")

    # --- edits --------------------------------------------------------------------------------------------

    def _change(self, name: str, field: Field, value: Any) -> None:
        state = self.document.state
        if name not in state.nodes:
            return
        try:
            layer = replace_field(state.nodes[name].layer, field.name, value)
        except (NnvisError, TypeError, ValueError) as error:
            self.fault.setText(str(error))
            return
        label = f"Change {field.name.replace('_', ' ')}"
        self.document.apply(label, edits.set_layer(state, name, layer), merge=f"{name}.{field.name}")

    def _rename(self, old: str, new: str) -> None:
        if old not in self.document.state.nodes or new.strip() == old:
            return
        try:
            after = edits.rename(self.document.state, old, new)
        except NnvisError as error:
            self.fault.setText(str(error))
            return
        self.document.apply("Rename", after)
        self.document.select([new.strip()])

    def _set_state(self, label: str, **changes: Any) -> None:
        self.document.apply(label, replace(self.document.state, **changes))

    def _set_shape(self, text: str) -> None:
        try:
            value = read_text(text)
            shape = value if isinstance(value, tuple) else (value,)
            if not 1 <= len(shape) <= 3 or not all(isinstance(s, int) and s > 0 for s in shape):
                raise ValueError
        except ValueError:
            self.fault.setText(f"An input shape is one to three whole numbers above 0, not {text!r}.")
            return
        self.document.apply("Change input shape", edits.set_input_shape(self.document.state, shape))

    def _set_init(self, value: Any) -> None:
        try:
            self._set_state("Change initialiser", init=None if value is None else initializer(value))
        except NnvisError as error:
            self.fault.setText(str(error))
