"""The training settings: data, epochs, optimiser, schedule, penalties, augmentation, device, seed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from PySide6.QtCore import QSignalBlocker, Signal
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import (
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

import nnvis as nv
from nnvis.device import DEVICES, Place
from nnvis.errors import NnvisError
from nnvis.options import TrainOptions
from ui.document.state import Settings
from ui.history import Document
from ui.inspector.indent import indent
from ui.inspector.number_box import NumberBox, WholeBox
from ui.theme import look

OPTIMIZERS = {"SGD": nv.SGD, "Adam": nv.Adam, "AdamW": nv.AdamW, "RMSprop": nv.RMSprop}
SCHEDULES = ("constant", "cosine", "step:10", "warmup:1+cosine", "warmup:1+constant")
AUGMENTATIONS = ("none", "flip", "crop4", "crop4,flip")
LOSSES = {"cross_entropy": "cross-entropy", "bce": "binary cross-entropy", "mse": "mean squared error"}


class TrainingPanel(QScrollArea):
    """Edits :attr:`DocumentState.settings`; every change is an undo step.

    Signals
    -------
    rate_changed(float), momentum_changed(float)
        Also for a training that runs.
    """

    rate_changed = Signal(float)
    momentum_changed = Signal(float)

    def __init__(self, document: Document, parent: QWidget | None = None):
        super().__init__(parent)
        self.document = document
        self.setWidgetResizable(True)
        self.setAccessibleName("Training settings")
        body = QWidget()
        self.setWidget(body)
        column = QVBoxLayout(body)
        self._form = QFormLayout()
        self._form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.DontWrapRows)
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        column.addLayout(self._form)
        self.fault = QLabel()
        self.fault.setWordWrap(True)
        column.addWidget(self.fault)
        column.addStretch(1)
        self._make_rows()
        indent(body)
        document.changed.connect(self._state_changed)
        look().changed.connect(self._show)
        self._show()

    # --- rows ---------------------------------------------------------------------------------------------

    def _make_rows(self) -> None:
        self.data = self._combo([info.name for info in nv.data.available()], self._set_data, editable=True)
        browse = QToolButton(icon=look().icon("mdi6.folder-open-outline"))
        browse.setToolTip("A folder with one sub-folder of images for each class, or a file")
        browse.clicked.connect(self._browse)
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.data, 1)
        row.addWidget(browse)
        holder = QWidget()
        holder.setLayout(row)
        self._add("Data", holder, "A data set by name, a folder of images, or a file")
        self.validation = self._number(0, 0.9, 0.05, lambda v: self._change("Held out", validation=round(v, 2)))
        self._add("Held out", self.validation, "Share of the training examples that are only used to check: validation")
        self.epochs = self._whole(1, 100000, lambda v: self._option("Epochs", epochs=v))
        self._add("Epochs", self.epochs, "How often all training examples are seen")
        self.batch = self._whole(1, 1_000_000, lambda v: self._option("Batch size", batch_size=v))
        self._add("Batch size", self.batch, "Examples per step of gradient descent")
        self.loss = self._combo(list(LOSSES.values()), self._set_loss)
        self._add("Loss", self.loss, "What training makes small")
        self.optimizer = self._combo(list(OPTIMIZERS), self._set_optimizer)
        self._add("Optimiser", self.optimizer, "How gradients change the weights")
        self.rate = self._number(0, 100, 0.01, self._set_rate)
        self._add("Learning rate", self.rate, "Length of a step; may be changed while the network trains")
        self.momentum = self._number(0, 0.999, 0.05, self._set_momentum)
        self._add("Momentum", self.momentum, "Share of the last step that is kept; may be changed while training")
        self.schedule = self._combo(list(SCHEDULES), lambda t: self._option("Schedule", schedule=t), editable=True)
        self._add(
            "Schedule", self.schedule, "How the learning rate changes: constant, cosine, step:30,60, warmup:1+..."
        )
        self.decay = self._number(0, 1, 0.0001, lambda v: self._optimizer_option(weight_decay=v))
        self._add("L2 penalty", self.decay, "Pulls all weights towards zero (weight decay)")
        self.l1 = self._number(0, 1, 0.0001, lambda v: self._optimizer_option(l1=v))
        self._add("L1 penalty", self.l1, "Pulls weights to exactly zero")
        self.clip = self._number(0, 1000, 0.5, lambda v: self._option("Clip gradient norm", clip_norm=v or None))
        self.clip.setSpecialValueText("off")
        self._add("Clip gradient", self.clip, "Longest gradient that is followed; 0: no clipping")
        self.augmentation = self._combo(list(AUGMENTATIONS), self._set_augmentation, editable=True)
        self._add("Augmentation", self.augmentation, "Random shifts and mirror images, so that more is learned")
        self.device = self._combo(list(DEVICES), lambda t: self._change("Device", device=t))
        self._add("Device", self.device, "cpu: fast; cuda: an NVIDIA GPU; reference: textbook float64, slow")
        self.seed = self._whole(0, 2**31 - 1, lambda v: self._option("Seed", seed=v))
        self._add("Seed", self.seed, "Initial weights and the order of examples follow from it")

    def _add(self, label: str, widget: QWidget, explanation: str) -> None:
        widget.setToolTip(explanation)
        for each in (widget, *widget.findChildren(QWidget)):
            each.setAccessibleName(label)
        name = QLabel(label)
        name.setToolTip(explanation)
        self._form.addRow(name, widget)

    def offer_devices(self, places: Iterable[Place]) -> None:
        """Say of each device what it is, and let only those be chosen that this machine has."""
        model = self.device.model()
        assert isinstance(model, QStandardItemModel)
        for place in places:
            item = model.item(self.device.findText(place.name))
            item.setEnabled(place.usable)
            item.setToolTip(place.description)

    def _combo(self, items: list[str], act: Callable[[str], None], editable: bool = False) -> QComboBox:
        combo = QComboBox()
        combo.addItems(items)
        combo.setEditable(editable)
        combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        combo.setMinimumContentsLength(6)
        combo.textActivated.connect(act)
        if editable:
            line = combo.lineEdit()
            assert isinstance(line, QLineEdit)
            line.editingFinished.connect(lambda: act(combo.currentText()))
        return combo

    def _whole(self, low: int, high: int, act: Callable[[int], None]) -> WholeBox:
        box = WholeBox(minimum=low, maximum=high, keyboardTracking=False)
        box.valueChanged.connect(act)
        return box

    def _number(self, low: float, high: float, step: float, act: Callable[[float], None]) -> NumberBox:
        box = NumberBox(minimum=low, maximum=high, singleStep=step, keyboardTracking=False)
        box.valueChanged.connect(act)
        return box

    # --- edits --------------------------------------------------------------------------------------------

    @property
    def _settings(self) -> Settings:
        return self.document.state.settings

    def _change(self, label: str, merge: str = "", **changes: Any) -> None:
        settings = replace(self._settings, **changes)
        if settings != self._settings:
            self.document.apply(f"Change {label.lower()}", replace(self.document.state, settings=settings), merge)

    def _option(self, label: str, **changes: Any) -> None:
        try:
            options = dataclasses.replace(self._settings.options, **changes)
        except NnvisError as error:
            self.fault.setText(str(error))
            return
        self.fault.setText("")
        self._change(label, merge=f"settings.{','.join(changes)}", options=options)

    def _optimizer_option(self, **changes: Any) -> None:
        self._option("Optimiser", optimizer=replace(self._settings.options.optimizer, **changes))

    def _set_data(self, name: str) -> None:
        if name.strip():
            self._change("Data", data=name.strip())

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder with one sub-folder of images for each class")
        if folder:
            self._set_data(folder)

    def _set_loss(self, title: str) -> None:
        name = next(key for key, value in LOSSES.items() if value == title)
        self._option("Loss", loss=name)

    def _set_optimizer(self, name: str) -> None:
        old, kind = self._settings.options.optimizer, OPTIMIZERS[name]
        if isinstance(old, kind) and type(old) is kind:
            return
        known = {f.name for f in dataclasses.fields(kind)}
        shared = {n: getattr(old, n) for n in ("weight_decay", "l1", "decay", "momentum") if n in known}
        kept = {n: v for n, v in shared.items() if v is not None} if kind is nv.SGD else {}
        rate = 0.05 if kind is nv.SGD else 0.001
        self._option("Optimiser", optimizer=kind(lr=rate, **kept))

    def _set_rate(self, value: float) -> None:
        self._optimizer_option(lr=value)
        self.rate_changed.emit(value)

    def _set_momentum(self, value: float) -> None:
        if hasattr(self._settings.options.optimizer, "momentum"):
            self._optimizer_option(momentum=value)
            self.momentum_changed.emit(value)

    def _set_augmentation(self, text: str) -> None:
        self._option("Augmentation", augmentation=text)

    # --- showing ------------------------------------------------------------------------------------------

    def _state_changed(self, before: object, after: object) -> None:
        self._show()

    def _show(self) -> None:
        options, optimizer = self._settings.options, self._settings.options.optimizer
        momentum = getattr(optimizer, "momentum", None)
        widgets = {
            self.data: self._settings.data, self.validation: self._settings.validation, self.epochs: options.epochs,
            self.batch: options.batch_size, self.loss: LOSSES.get(_loss_name(options), ""),
            self.optimizer: type(optimizer).__name__, self.rate: optimizer.lr, self.momentum: momentum or 0.0,
            self.schedule: str(options.schedule), self.decay: optimizer.weight_decay, self.l1: optimizer.l1,
            self.clip: options.clip_norm or 0.0, self.augmentation: str(options.augmentation),
            self.device: self._settings.device, self.seed: options.seed,
        }  # fmt: skip
        for widget, value in widgets.items():
            _put(widget, value)
        self.momentum.setEnabled(momentum is not None)
        self.fault.setStyleSheet(f"color: {look().theme.bad};")


def _loss_name(options: TrainOptions) -> str:
    return str(options.loss.config()["name"])


def _put(widget: QWidget, value: Any) -> None:
    with QSignalBlocker(widget):
        if isinstance(widget, QComboBox):
            widget.setCurrentText(value)
            if widget.currentText() != value and not widget.isEditable():
                widget.setCurrentIndex(widget.findText(value))
        elif getattr(widget, "value")() != value:  # noqa: B009 - spin boxes of both kinds
            widget.setValue(value)  # type: ignore[attr-defined]
