"""Text of number boxes begins where that of other fields does; style sheets cannot say so."""

from __future__ import annotations

from PySide6.QtWidgets import QAbstractSpinBox, QWidget

#: Pixels, as the padding of lines of text in the style sheet.
_LEFT = 6


def indent(widget: QWidget) -> None:
    """Indent the text of a number box, and of all within `widget`."""
    boxes = widget.findChildren(QAbstractSpinBox)
    for box in [*boxes, widget] if isinstance(widget, QAbstractSpinBox) else boxes:
        box.lineEdit().setTextMargins(_LEFT, 0, 0, 0)
