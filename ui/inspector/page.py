"""What pages of the inspector share: a title, facts, a form, a fault, and room for more."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QFontMetricsF
from PySide6.QtWidgets import QFormLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from nnvis.errors import NnvisError
from ui.document.analysis import Fault
from ui.document.state import DocumentState
from ui.history import Document
from ui.theme import look

#: Faults that are listed; more would push the rest of a page away.
_MOST_FAULTS = 6


class Page(QWidget):
    """One page, about what is selected. Pages stay while their values change: a widget in use is never taken away."""

    def __init__(self, document: Document):
        super().__init__()
        self.document = document
        self.editors: dict[str, QWidget] = {}
        self.title = QLabel(objectName="heading", wordWrap=True)
        self.facts = QLabel(wordWrap=True, textFormat=Qt.TextFormat.RichText)
        self.facts.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.fault = QLabel(wordWrap=True)
        self.form = QFormLayout()
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.column = QVBoxLayout(self)
        self.column.addWidget(self.title)
        self.column.addWidget(self.facts)
        self.column.addLayout(self.form)
        self.column.addWidget(self.fault)
        for label in (self.facts, self.fault, self.title):
            label.setMinimumWidth(24)

    def refresh(self) -> None:
        """Show what the document holds now."""

    def add_row(self, title: str, widget: QWidget, explanation: str = "") -> None:
        """Add an editor to the form."""
        label = QLabel(title)
        label.setMinimumWidth(label.sizeHint().width())
        label.setToolTip(explanation)
        widget.setAccessibleName(title)
        self.editors[title] = widget
        self.form.addRow(label, widget)

    def add_line(self, title: str, act: Callable[[str], None], explanation: str = "") -> QLineEdit:
        """Add a line of text to the form; `act` is called with what was entered."""
        line = QLineEdit()
        line.setMinimumWidth(24)
        line.editingFinished.connect(lambda: act(line.text().strip()))
        self.add_row(title, line, explanation)
        return line

    def add_problems(self) -> Problems:
        """A list of faults at the end of the page."""
        problems = Problems(self.document)
        self.column.addWidget(problems)
        return problems

    def say(self, sentence: str) -> None:
        """Show a fault, or none."""
        self.fault.setStyleSheet(f"color: {look().theme.bad};")
        self.fault.setText(sentence)

    def attempt(self, label: str, change: Callable[[], DocumentState], merge: str = "") -> bool:
        """Make an edit; where it cannot be, say why and show the old values again."""
        try:
            after = change()
        except (NnvisError, TypeError, ValueError) as error:
            self.refresh()
            self.say(str(error))
            return False
        self.document.apply(label, after, merge)
        return True


class Problems(QWidget):
    """Faults, each to be clicked for the node that it sits on."""

    def __init__(self, document: Document):
        super().__init__()
        self.document = document
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)

    def show_faults(self, faults: Sequence[Fault]) -> None:
        """Show the first of `faults` and no others."""
        while (item := self._column.takeAt(0)) is not None:
            if item.widget():
                item.widget().hide()
                item.widget().deleteLater()
        for fault in faults[:_MOST_FAULTS]:
            where = f"{fault.node}: " if fault.node and fault.node not in fault.message else ""
            text = QFontMetricsF(self.font()).elidedText(where + fault.message, Qt.TextElideMode.ElideRight, 240)
            button = QPushButton(text, toolTip=fault.message)
            button.setStyleSheet("text-align: left;")
            button.clicked.connect(lambda _=False, n=fault.node: self.document.select([n] if n else []))
            self._column.addWidget(button)


def show_text(line: Any, text: str) -> None:
    """Show a text, unless somebody is typing there."""
    if line.text() != text and not (line.hasFocus() and line.isModified()):
        line.setText(text)
