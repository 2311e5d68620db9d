"""A widget for each kind of hyper-parameter: shows a value, and says what was entered through one signal."""

from __future__ import annotations

import dataclasses
from typing import Any

from PySide6.QtCore import QSignalBlocker, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QSizePolicy,
    QWidget,
)

from nnvis.init import Initializer, initializer
from ui.document.fields import Field, initializer_names, read_text
from ui.inspector.number_box import NumberBox, WholeBox

#: Words that an initialiser's options may be.
_CHOICES = {"distribution": ("normal", "uniform"), "mode": ("fan_in", "fan_out")}


class Editor(QWidget):
    """Base of all editors.

    Signals
    -------
    entered(value)
        The user has entered a value; the document decides whether it holds.
    """

    entered = Signal(object)

    def __init__(self, field: Field):
        super().__init__()
        self.field = field
        self.row = QHBoxLayout(self)
        self.row.setContentsMargins(0, 0, 0, 0)
        self.row.setSpacing(4)

    def show_value(self, value: Any) -> None:
        """Show what the document holds, without saying that it was entered."""
        raise NotImplementedError

    def _place(self, *widgets: QWidget) -> None:
        for widget in widgets:
            _describe(widget, self.field)
            self.row.addWidget(widget)
        self.setFocusProxy(widgets[0])


def _describe(widget: QWidget, field: Field) -> None:
    """Name it, and let the dock decide how wide it is, not its longest value."""
    widget.setAccessibleName(field.name.replace("_", " "))
    widget.setToolTip(field.explanation)
    widget.setMinimumWidth(24)
    widget.setSizePolicy(QSizePolicy.Policy.Ignored, widget.sizePolicy().verticalPolicy())


def _show(widget: Any, value: Any) -> None:
    with QSignalBlocker(widget):
        if widget.value() != value:
            widget.setValue(value)


def _whole_box(field: Field) -> WholeBox:
    return WholeBox(minimum=int(field.low), maximum=int(field.high), keyboardTracking=False)


def _number_box(low: float, high: float) -> NumberBox:
    return NumberBox(minimum=low, maximum=high, singleStep=0.01, keyboardTracking=False)


class WholeEditor(Editor):
    """A whole number."""

    def __init__(self, field: Field):
        super().__init__(field)
        self.box = _whole_box(field)
        self.box.valueChanged.connect(lambda value: self.entered.emit(value))
        self._place(self.box)

    def show_value(self, value: int) -> None:
        _show(self.box, value)


class NumberEditor(Editor):
    """A real number."""

    def __init__(self, field: Field):
        super().__init__(field)
        self.box = _number_box(field.low, field.high)
        self.box.valueChanged.connect(lambda value: self.entered.emit(value))
        self._place(self.box)

    def show_value(self, value: float) -> None:
        _show(self.box, value)


class FlagEditor(Editor):
    """Yes or no."""

    def __init__(self, field: Field):
        super().__init__(field)
        self.box = QCheckBox("yes")
        self.box.toggled.connect(lambda value: self.entered.emit(value))
        self._place(self.box)

    def show_value(self, value: bool) -> None:
        with QSignalBlocker(self.box):
            self.box.setChecked(value)


class PairEditor(Editor):
    """Height and width; equal ones stay equal when the height changes."""

    def __init__(self, field: Field):
        super().__init__(field)
        self.height_box, self.width_box = _whole_box(field), _whole_box(field)
        self._linked = True
        self.height_box.valueChanged.connect(self._height_entered)
        self.width_box.valueChanged.connect(lambda v: self.entered.emit((self.height_box.value(), v)))
        self._place(self.height_box, self.width_box)
        for box, title in ((self.height_box, "height"), (self.width_box, "width")):
            box.setAccessibleName(f"{field.name.replace('_', ' ')}, {title}")
            box.setToolTip(f"{field.explanation}\n{title.capitalize()}".strip())

    def _height_entered(self, height: int) -> None:
        self.entered.emit((height, height if self._linked else self.width_box.value()))

    def show_value(self, value: tuple[int, int]) -> None:
        self._linked = value[0] == value[1]
        _show(self.height_box, value[0])
        _show(self.width_box, value[1])


class TextEditor(Editor):
    """Numbers, or words, as text."""

    def __init__(self, field: Field):
        super().__init__(field)
        self.line = QLineEdit()
        self.line.editingFinished.connect(self._finished)
        self._place(self.line)
        self._shown = ""

    def _finished(self) -> None:
        if self.line.text() != self._shown:
            self.entered.emit(_read(self.line.text()))

    def show_value(self, value: Any) -> None:
        self._shown = "" if value is None else str(value).strip("()")
        self.line.setText(self._shown)


class InitEditor(Editor):
    """An initialiser and its options."""

    def __init__(self, field: Field):
        super().__init__(field)
        self.combo = QComboBox()
        self.combo.addItems([field.unset, *initializer_names()])
        self.combo.textActivated.connect(self._chosen)
        self.grid = QGridLayout()
        self.grid.setContentsMargins(0, 0, 0, 0)
        self.grid.addWidget(self.combo, 0, 0, 1, 2)
        self.row.addLayout(self.grid)
        _describe(self.combo, field)
        self.setFocusProxy(self.combo)
        self._value: Initializer | None = None
        self.options: dict[str, QWidget] = {}

    def _chosen(self, name: str) -> None:
        self.entered.emit(None if name == self.field.unset else {"name": name})

    def show_value(self, value: Initializer | str | None) -> None:
        value = None if value is None else initializer(value)
        self.combo.setCurrentText(self.field.unset if value is None else value.name)
        if type(value) is not type(self._value):
            self._make_options(value)
        self._value = value
        for name, widget in self.options.items():
            shown = getattr(value, name)
            if isinstance(widget, QComboBox):
                widget.setCurrentText(shown)
            else:
                _show(widget, shown)

    def _make_options(self, value: Initializer | None) -> None:
        for widget in self.options.values():
            widget.hide()
            widget.deleteLater()  # it may be what has just been used
        self.options = {}
        for place, field in enumerate(dataclasses.fields(value) if value is not None else ()):
            widget = self._option(field.name)
            self.options[field.name] = widget
            self.grid.addWidget(widget, 1, place)

    def _option(self, name: str) -> QWidget:
        described = Field(name, "", explanation=f"{name} of the initialiser")
        if name in _CHOICES:
            combo = QComboBox()
            combo.addItems(_CHOICES[name])
            combo.textActivated.connect(lambda text: self._option_entered(name, text))
            _describe(combo, described)
            return combo
        box = _number_box(-100.0 if name == "value" else 0.0, 100.0)
        box.setPrefix(f"{name} ")
        box.valueChanged.connect(lambda number: self._option_entered(name, number))
        _describe(box, described)
        return box

    def _option_entered(self, name: str, value: Any) -> None:
        if self._value is not None:
            self.entered.emit({**self._value.config(), name: value})


_EDITORS: dict[str, type[Editor]] = {
    "int": WholeEditor, "float": NumberEditor, "bool": FlagEditor, "pair": PairEditor, "initialiser": InitEditor,
}  # fmt: skip


def editor(field: Field) -> Editor:
    """The editor for `field`."""
    return _EDITORS.get(field.kind, TextEditor)(field)


def _read(text: str) -> Any:
    try:
        return read_text(text)
    except ValueError:
        return text
