"""Losses: how wrong an output is, and the gradient of that.

A loss is immutable data. Bound to the output array of a plan it becomes a :class:`BoundLoss`, which owns the work
arrays and is called once a step.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nnvis.device import Device
from nnvis.errors import ConfigError, DataError, ShapeError, UnknownNameError

if TYPE_CHECKING:
    from nnvis.plan import Plan

LOSSES: dict[str, type[Loss]] = {}
#: Shape of a work array, and its NumPy type; None means that of the outputs.
Work = tuple[tuple[int, ...], str | None]


@dataclass(frozen=True)
class Loss:
    """Base of all losses. What is reported is the mean over the batch, without the optimiser's penalties."""

    name: ClassVar[str] = ""
    #: Where the classes are: "argmax" of the outputs, "threshold" (an output above 0 says yes), or "none".
    decision: ClassVar[str] = "none"
    #: Both passes are kernel calls alone, whose arguments follow from the arrays and not from what these hold.
    repeats: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if cls.name:
            LOSSES[cls.name] = cls

    def check_output(self, shape: tuple[int, ...]) -> None:
        """Raise ShapeError unless a network with this output shape (of one example) can be trained with the loss."""

    def check_targets(self, targets: Any, shape: tuple[int, ...]) -> np.ndarray:
        """`targets` as an array that fits outputs of this `shape` (N, ...); DataError if they cannot.

        Returns
        -------
        ndarray
            int64 (N,) for class numbers, else numbers of the outputs' shape.
        """
        raise NotImplementedError

    def bind(self, device: Device, output: Any, gradient: Any = None) -> BoundLoss:
        """The loss of what will lie in `output` (N, ...); calling it writes into `gradient`, if given."""
        return BoundLoss(self, device, output, gradient)

    def work(self, shape: tuple[int, ...]) -> dict[str, Work]:
        """Work arrays for an output of this `shape` (N, ...)."""
        return {}

    def forward(self, kernels: Any, at: BoundLoss) -> None:
        """Fill ``at.per_example`` with the loss of each output, given the work array "targets"."""
        raise NotImplementedError

    def backward(self, kernels: Any, at: BoundLoss) -> None:
        """Fill ``at.gradient``, the gradient of the mean of them."""
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """As plain JSON values; :func:`loss_from_config` reads them back."""
        return {"name": self.name, **dataclasses.asdict(self)}


class BoundLoss:
    """A loss with its arrays.

    Attributes
    ----------
    output, gradient, per_example : array of the device, (N, ...) and (N,)
    work : dict of str to array of the device
        The targets and what else the loss asks for.
    losses : ndarray, (N,)
        Loss of each example, after a call.
    """

    def __init__(self, loss: Loss, device: Device, output: Any, gradient: Any):
        self.loss, self.output, self.gradient = loss, output, gradient
        self._kernels, self._memory, self._dtype = device.kernels, device.memory, device.dtype
        self._shape = tuple(output.shape)
        self.per_example = self._array((self._shape[0],), None)
        self.work = {name: self._array(*each) for name, each in loss.work(self._shape).items()}
        self._compute = device.repeated(self._passes) if loss.repeats else self._passes

    def _array(self, shape: tuple[int, ...], dtype: str | None) -> Any:
        kind = self._dtype if dtype is None else np.dtype(dtype)
        return self._memory.zeros(math.prod(shape) * kind.itemsize).view(kind).reshape(shape)

    def __call__(self, targets: Any) -> float:
        """Mean loss for these targets (N,) or (N, ...)."""
        self.compute(targets)
        return self.value()

    def compute(self, targets: Any) -> None:
        """Have losses and gradient computed for these targets, without waiting for the device."""
        self._memory.upload(self.work["targets"], self.loss.check_targets(targets, self._shape))
        self._compute()

    def value(self) -> float:
        """Mean of the losses computed last."""
        self.losses = self._memory.look(self.per_example)
        return float(self.losses.sum(dtype=np.float64)) / self.losses.size

    def _passes(self) -> None:
        self.loss.forward(self._kernels, self)
        if self.gradient is not None:
            self.loss.backward(self._kernels, self)


class PlanLoss:
    """A loss bound to all outputs of a plan: that at the network's own plus weighted ones at auxiliary outputs.

    Attributes
    ----------
    plan : Plan
    """

    def __init__(self, loss: Loss, plan: Plan):
        self.plan = plan
        self._scale = plan.device.kernels.scale_forward
        gradients = plan.output_gradients
        self._parts = [
            (weight, loss.bind(plan.device, plan.outputs[name], gradients[name]))
            for name, weight in plan.weights.items()
        ]

    def __call__(self, targets: Any) -> float:
        """The sum, for these targets (N,) or (N, ...); writes the output gradients."""
        self.compute(targets)
        return self.value()

    def compute(self, targets: Any) -> None:
        """Have the losses and the output gradients computed, without waiting for the device."""
        for weight, bound in self._parts:
            bound.compute(targets)
            if weight != 1 and bound.gradient is not None:
                self._scale(bound.gradient, bound.gradient, weight)

    def value(self) -> float:
        """The sum of those computed last."""
        return sum(weight * bound.value() for weight, bound in self._parts)


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """Softmax cross-entropy between scores (N, K) and class numbers (N,): ``-log softmax(scores)[label]``.

    Parameters
    ----------
    label_smoothing : float
        The target is ``1 - label_smoothing`` on the label plus ``label_smoothing / K`` on every class.

    Notes
    -----
    Goodfellow et al., "Deep Learning", section 6.2.2.3; smoothing: Szegedy et al., "Rethinking the Inception
    Architecture", 2016, section 7.
    """

    name: ClassVar[str] = "cross_entropy"
    decision: ClassVar[str] = "argmax"
    repeats: ClassVar[bool] = True

    label_smoothing: float = 0.0

    def __post_init__(self):
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(
                f"label_smoothing must be from 0 up to, but not including, 1, not {self.label_smoothing!r}."
            )

    def check_output(self, shape: tuple[int, ...]) -> None:
        if len(shape) != 1:
            raise ShapeError(
                f"The cross-entropy needs one score per class, but the network's output has shape {shape}; "
                "end it with Flatten or GlobalAvgPool2d and Linear."
            )
        if shape == (1,):
            raise ShapeError(
                "The cross-entropy needs at least 2 outputs, but the network has 1; use the loss 'bce' for a yes or no."
            )

    def check_targets(self, targets: Any, shape: tuple[int, ...]) -> np.ndarray:
        labels, (count, classes) = np.asarray(targets), shape
        if labels.shape != (count,) or labels.dtype.kind not in "iu":
            raise DataError(
                f"The cross-entropy needs {count} class numbers (whole numbers, one per example), but the labels "
                f"have shape {labels.shape} and type {labels.dtype}."
            )
        labels = np.ascontiguousarray(labels, np.int64)
        if labels.view(np.uint64).max() >= classes:  # as unsigned, a negative number is a huge one
            at = int(np.flatnonzero((labels < 0) | (labels >= classes))[0])
            raise DataError(
                f"The label at position {at} of the batch is {labels[at]}, but {classes} classes are numbered "
                f"0 to {classes - 1}."
            )
        return labels

    def work(self, shape: tuple[int, ...]) -> dict[str, Work]:
        return {"probs": (shape, None), "targets": (shape[:1], "int64")}

    def forward(self, kernels: Any, at: BoundLoss) -> None:
        targets, probs = at.work["targets"], at.work["probs"]
        kernels.softmax_cross_entropy_forward(at.output, targets, probs, at.per_example, self.label_smoothing)

    def backward(self, kernels: Any, at: BoundLoss) -> None:
        targets, scale = at.work["targets"], 1.0 / at.per_example.size
        kernels.softmax_cross_entropy_backward(at.work["probs"], targets, at.gradient, self.label_smoothing, scale)


@dataclass(frozen=True)
class _Elementwise(Loss):
    """Base of the losses that compare each output with a target of its own and average over them."""

    #: What the kernels are called: ``<function>_forward`` and ``<function>_backward``.
    function: ClassVar[str] = ""

    def check_targets(self, targets: Any, shape: tuple[int, ...]) -> np.ndarray:
        array = np.asarray(targets)
        if array.dtype.kind not in "biuf":
            raise DataError(f"The loss {self.name!r} needs numbers as targets, not values of type {array.dtype}.")
        one_each = shape[1:] == (1,) and array.shape == shape[:1]
        if array.shape != shape and not one_each:
            hint = "; for class numbers use the loss 'cross_entropy'" if array.shape == shape[:1] else ""
            raise DataError(
                f"The loss {self.name!r} needs a target for each output, of shape {shape}, but the targets have shape "
                f"{array.shape}{hint}."
            )
        return array.reshape(shape)

    def work(self, shape: tuple[int, ...]) -> dict[str, Work]:
        return {"targets": (shape, None)}

    def forward(self, kernels: Any, at: BoundLoss) -> None:
        getattr(kernels, f"{self.function}_forward")(_rows(at.output), _rows(at.work["targets"]), at.per_example)

    def backward(self, kernels: Any, at: BoundLoss) -> None:
        arrays = _rows(at.output), _rows(at.work["targets"]), _rows(at.gradient)
        getattr(kernels, f"{self.function}_backward")(*arrays, 1.0 / at.output.size)


@dataclass(frozen=True)
class BCEWithLogits(_Elementwise):
    """Binary cross-entropy between scores and yes-or-no targets: ``log(1 + exp(x)) - t x``, mean over the outputs.

    Scores are (N, K) with targets (N, K) in [0, 1], or (N, 1) with targets (N,). Goodfellow et al., "Deep Learning",
    section 6.2.2.2.
    """

    name: ClassVar[str] = "bce"
    decision: ClassVar[str] = "threshold"
    function: ClassVar[str] = "bce_with_logits"

    def check_targets(self, targets: Any, shape: tuple[int, ...]) -> np.ndarray:
        array = super().check_targets(targets, shape)
        low, high = array.min(), array.max()
        if not (low >= 0 and high <= 1):
            wrong = high if low >= 0 else low
            raise DataError(f"The loss 'bce' needs targets from 0 to 1, but finds {wrong}.")
        return array


@dataclass(frozen=True)
class MSE(_Elementwise):
    """Mean squared error ``(y - t)**2`` between outputs and targets of the same shape, or (N, 1) and (N,)."""

    name: ClassVar[str] = "mse"
    function: ClassVar[str] = "mse"


def _rows(array: Any) -> Any:
    return array if array.ndim == 2 else array.reshape(len(array), -1)


# --- by name ------------------------------------------------------------------------------------------------


def loss(name: str | Loss, **options: Any) -> Loss:
    """The loss called `name` ("cross_entropy", "bce", "mse"); a Loss is returned as it is.

    Parameters
    ----------
    name : str or Loss
    **options
        Its fields, such as ``label_smoothing=0.1``.
    """
    if isinstance(name, Loss):
        return name
    return loss_from_config({"name": name, **options})


def loss_from_config(config: dict[str, Any]) -> Loss:
    """The loss whose :meth:`Loss.config` this is."""
    options = dict(config)
    name = options.pop("name", None)
    known = list(LOSSES)
    if name not in known:
        close = difflib.get_close_matches(str(name), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}."
        raise UnknownNameError(f"There is no loss {name!r}; {hint}")
    try:
        return LOSSES[name](**options)
    except TypeError:
        raise ConfigError(f"The loss {name!r} has no option {next(iter(options))!r}.") from None


def probabilities(output: np.ndarray, decision: str) -> np.ndarray:
    """Outputs as probabilities: softmax for "argmax", the logistic function for "threshold", unchanged for "none".

    Parameters
    ----------
    output : ndarray, (N, ...)
    decision : str
        As in :attr:`Loss.decision`.
    """
    if decision == "none":
        return output
    values = output.astype(np.float64)
    if decision == "threshold":
        return (0.5 * (1.0 + np.tanh(0.5 * values))).astype(output.dtype)
    exponentials = np.exp(values - values.max(axis=-1, keepdims=True))
    return (exponentials / exponentials.sum(axis=-1, keepdims=True)).astype(output.dtype)


def describe_loss(value: float) -> str:
    """A loss as text: ``nan``, ``infinite`` or the number."""
    return "NaN" if math.isnan(value) else "infinite" if math.isinf(value) else f"{value:.4g}"
