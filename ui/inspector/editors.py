"""A widget for each kind of hyper-parameter. Each says what was entered through one callback."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QHBoxLayout, QLineEdit, QSpinBox, QWidget

from ui.document.fields import Field, initializer_names, initializer_text, read_text

Changed = Callable[[Any], None]
DEFAULT_INIT = "the network's"


def editor(field: Field, value: Any, changed: Changed) -> QWidget:
    """The widget for `field`, showing `value`."""
    make = {"int": _whole, "float": _number, "bool": _flag, "pair": _pair, "initialiser": _init}.get(field.kind, _text)
    widget = make(field, value, changed)
    for each in (widget, *widget.findChildren(QWidget)):
        each.setAccessibleName(field.name.replace("_", " "))
        each.setToolTip(field.explanation)
    return widget


def _spin(field: Field, value: int, changed: Changed) -> QSpinBox:
    box = QSpinBox()
    box.setRange(int(field.low), int(field.high))
    box.setValue(value)
    box.setKeyboardTracking(False)
    box.valueChanged.connect(changed)
    return box


def _whole(field: Field, value: Any, changed: Changed) -> QWidget:
    return _spin(field, value, changed)


def _number(field: Field, value: Any, changed: Changed) -> QWidget:
    box = QDoubleSpinBox()
    box.setDecimals(5)
    box.setRange(field.low, field.high)
    box.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
    box.setKeyboardTracking(False)
    box.setValue(value)
    box.valueChanged.connect(changed)
    return box


def _flag(field: Field, value: Any, changed: Changed) -> QWidget:
    box = QCheckBox("yes")
    box.setChecked(value)
    box.toggled.connect(changed)
    return box


def _pair(field: Field, value: Any, changed: Changed) -> QWidget:
    """Height and width; equal ones stay equal when the height changes."""
    holder = QWidget()
    row = QHBoxLayout(holder)
    row.setContentsMargins(0, 0, 0, 0)
    linked = value[0] == value[1]
    height = _spin(field, value[0], lambda v: changed((v, v if linked else width.value())))
    width = _spin(field, value[1], lambda v: changed((height.value(), v)))
    for box, title in ((height, "height"), (width, "width")):
        box.setSuffix("")
        box.setObjectName(title)
        row.addWidget(box)
    return holder


def _init(field: Field, value: Any, changed: Changed) -> QWidget:
    combo = QComboBox(editable=True)
    combo.addItems([DEFAULT_INIT, *initializer_names()])
    combo.setCurrentText(initializer_text(value) or DEFAULT_INIT)
    combo.setMinimumContentsLength(8)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.textActivated.connect(lambda text: changed(None if text == DEFAULT_INIT else text))
    line = combo.lineEdit()
    assert line is not None
    line.editingFinished.connect(lambda: changed(None if line.text() in ("", DEFAULT_INIT) else line.text()))
    return combo


def _text(field: Field, value: Any, changed: Changed) -> QWidget:
    line = QLineEdit("" if value is None else str(value).strip("()"))
    line.editingFinished.connect(lambda: changed(_read(line.text())))
    return line


def _read(text: str) -> Any:
    try:
        return read_text(text)
    except ValueError:
        return text
