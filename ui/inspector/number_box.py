"""Boxes for numbers that take what one types: also as 1e-3, and never another number than the one that was meant."""

from __future__ import annotations

import re

from PySide6.QtCore import QPoint
from PySide6.QtGui import QValidator
from PySide6.QtWidgets import QDoubleSpinBox, QSpinBox, QToolTip

#: A number, or what may become one.
_PARTIAL = re.compile(r"[+-]?\d*\.?\d*([eE][+-]?\d*)?")
#: Digits that are shown, and decimal places that are kept.
_DIGITS, _PLACES = 6, 12
_State = QValidator.State


class _Typed:
    """What is typed: anything that may become a number stays as it is; once entered, it is brought into the range."""

    def validate(self, text: str, position: int) -> tuple:
        if text == self.specialValueText() and text:
            return _State.Acceptable, text, position
        if not _PARTIAL.fullmatch(self._plain(text)):
            return _State.Invalid, text, position
        value = self._number(text)
        within = value is not None and self.minimum() <= value <= self.maximum()
        return _State.Acceptable if within else _State.Intermediate, text, position

    def fixup(self, text: str) -> str:
        """The nearest number within the range, which is said; what is no number becomes the one before."""
        value = self._number(text)
        if value is None:
            return self.textFromValue(self.value())
        nearest = min(max(value, self.minimum()), self.maximum())
        if nearest != value:
            ends = f"{self.textFromValue(self.minimum())} to {self.textFromValue(self.maximum())}"
            QToolTip.showText(self.mapToGlobal(QPoint(0, self.height())), f"From {ends}", self)
        return self.textFromValue(nearest)

    def valueFromText(self, text: str) -> float:
        value = self._number(text)
        return self.minimum() if value is None else value

    def _plain(self, text: str) -> str:
        return text.strip().replace(self.locale().decimalPoint(), ".")

    def _number(self, text: str) -> float | None:
        try:
            return float(self._plain(text))
        except ValueError:
            return None


class NumberBox(_Typed, QDoubleSpinBox):
    """A real number; shows 0.05 rather than 0.05000."""

    def __init__(self, **options):
        super().__init__(**{"decimals": _PLACES, **options})
        self.setStepType(self.StepType.AdaptiveDecimalStepType)

    def textFromValue(self, value: float) -> str:
        return f"{value:.{_DIGITS}g}".replace(".", self.locale().decimalPoint())

    def stepBy(self, steps: int) -> None:
        """From zero by the single step; a tenth of nothing would lead nowhere."""
        if self.value() == 0:
            self.setValue(steps * self.singleStep())
        else:
            super().stepBy(steps)


class WholeBox(_Typed, QSpinBox):
    """A whole number."""

    def textFromValue(self, value: float) -> str:
        return str(int(value))

    def _number(self, text: str) -> int | None:  # type: ignore[override]
        value = super()._number(text)
        return int(value) if value is not None and value.is_integer() else None
