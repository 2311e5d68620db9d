"""One training step: forward, loss, backward, clipping, update."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from nnvis.device import Progress
from nnvis.errors import ConfigError, DivergedError
from nnvis.graph import INPUT
from nnvis.losses import Loss, PlanLoss, describe_loss
from nnvis.losses import loss as find_loss
from nnvis.metrics import count_correct
from nnvis.network import Network
from nnvis.observe import NodeRecord, Observer, backward_record, forward_record, loss_record
from nnvis.optim import SGD, Optimizer
from nnvis.plan import Mode, Plan

_TRAINING = Mode(training=True, backward=True)
_ADVICE = "use a lower learning rate or gradient clipping (clip_norm)"


@dataclass(slots=True)
class StepResult:
    """What one step found.

    Attributes
    ----------
    loss : float
        Mean over the batch.
    examples : int
    correct : int or None
        Examples classified rightly before the update; None where there are no classes.
    gradient_norm : float or None
        Before clipping; None unless clipping by norm asked for it.
    """

    loss: float
    examples: int
    correct: int | None
    gradient_norm: float | None = None

    @property
    def accuracy(self) -> float | None:
        """Share of the batch classified rightly."""
        return None if self.correct is None else self.correct / self.examples


class Trainer:
    """Trains a network step by step.

    Parameters
    ----------
    net : Network
    loss : str or Loss
    optimizer : Optimizer, optional
        ``SGD(lr=0.01)`` without it.
    clip_norm : float, optional
        Gradients are scaled so that the norm of all of them together is at most this. Pascanu et al., "On the
        difficulty of training recurrent neural networks", 2013, algorithm 1.
    clip_value : float, optional
        Every gradient value is cut to ``[-clip_value, clip_value]``, before `clip_norm`.

    Attributes
    ----------
    last : StepResult or None
        What the latest step found.
    updater : Updater
        The optimiser's state; its ``step`` counts the updates.

    Examples
    --------
    >>> trainer = Trainer(net, optimizer=SGD(lr=0.05, momentum=0.9))
    >>> loss = trainer.step(images, labels)
    """

    def __init__(
        self,
        net: Network,
        loss: str | Loss = "cross_entropy",
        optimizer: Optimizer | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ):
        for name, limit in (("clip_norm", clip_norm), ("clip_value", clip_value)):
            if limit is not None and not limit > 0:
                raise ConfigError(f"{name} must be above 0, or None for no clipping, not {limit!r}.")
        self.net, self.loss = net, find_loss(loss)
        self.loss.check_output(net.output_shape)
        self.optimizer = optimizer or SGD()
        self.clip_norm, self.clip_value = clip_norm, clip_value
        self.updater = self.optimizer.bind(net.parameters, net.device)
        self.last: StepResult | None = None
        #: Called after each node of a step, if set; see :mod:`nnvis.observe`.
        self.observer: Observer | None = None
        self._bound: dict[int, PlanLoss] = {}

    def step(self, x: np.ndarray, labels: np.ndarray, lr: float | None = None) -> float:
        """Learn from one batch.

        Parameters
        ----------
        x : ndarray, (N, *input_shape)
        labels : ndarray
            int64 (N,) class numbers, or targets, as the loss needs them.
        lr : float, optional
            Learning rate of this step, instead of the optimiser's own.

        Returns
        -------
        float
            Mean loss of the batch before the update, with those at auxiliary outputs by their weight.

        Raises
        ------
        DivergedError
            The loss, or the gradient norm, is not finite. The parameters have not been changed.
        """
        if self.observer is None:
            return self._step(x, labels, lr)
        with self.net.watching():
            return self._step(x, labels, lr)

    def _step(self, x: np.ndarray, labels: np.ndarray, lr: float | None) -> float:
        net = self.net
        plan = net.start_pass(x, _TRAINING)
        plan.run_forward(self._observing(lambda name: forward_record(plan, name)))
        bound = self._loss_of(plan)
        bound.compute(labels)
        self._observe(lambda: loss_record(plan, bound.value()))
        net.finish_pass(after=self._observing(lambda name: backward_record(plan, name)))
        loss = bound.value()  # only now, so that a device that works on its own has all of it to do
        if not math.isfinite(loss):
            raise self._diverged(f"The loss is {describe_loss(loss)}")
        correct = count_correct(self.loss, net.device.memory.look(plan.output), labels)
        norm, scale = self._clip()
        self.updater.update(lr, scale)
        self.last = StepResult(loss, plan.batch, correct, norm)
        self._observe(lambda: NodeRecord("update", None, loss=loss))
        return loss

    def _observe(self, record: Callable[[], NodeRecord]) -> None:
        if self.observer is not None:
            self.observer(record())

    def _observing(self, record: Callable[[str], NodeRecord]) -> Callable[[str], None] | None:
        """What a pass calls after each node; the observer may leave in the middle of it."""
        return None if self.observer is None else lambda name: self._observe(lambda: record(name))

    def change_optimizer(self, optimizer: Optimizer) -> None:
        """Go on with other settings of the optimiser, or with another one; state that both have is kept."""
        updater = optimizer.bind(self.net.parameters, self.net.device)
        updater.adopt(self.updater)
        self.optimizer, self.updater = optimizer, updater

    def _loss_of(self, plan: Plan) -> PlanLoss:
        """The loss bound to this plan's arrays; made anew when the network has moved them."""
        bound = self._bound.get(plan.batch)
        if bound is None or bound.plan is not plan:
            bound = PlanLoss(self.loss, plan)
            held = {size: each for size, each in self._bound.items() if self.net.holds(each.plan)}
            self._bound = held | {plan.batch: bound}
        return bound

    def _clip(self) -> tuple[float | None, float]:
        """Clip as asked; return the norm before and the factor that is left to apply."""
        norm = self._gradient_norm() if self.clip_norm is not None else None
        if self.clip_value is not None:
            self.net.device.kernels.clip_by_value(self.net.parameters.flat_gradients, self.clip_value)
        if self.clip_norm is None:
            return None, 1.0
        remaining = norm if norm is not None and self.clip_value is None else self._gradient_norm()
        return norm, min(1.0, self.clip_norm / (remaining + 1e-6))

    def _gradient_norm(self) -> float:
        norm = math.sqrt(self.net.device.kernels.sum_of_squares(self.net.parameters.flat_gradients))
        if not math.isfinite(norm):
            raise self._diverged(f"The gradient norm is {describe_loss(norm)}")
        return norm

    # --- when it fails ------------------------------------------------------------------------------------

    def _diverged(self, found: str) -> DivergedError:
        """What to say about a loss or gradient that is not finite: where it began."""
        step = self.updater.step + 1
        where, node = self._origin()
        return DivergedError(f"{found} at step {step}: {where}.", step, node)

    def _origin(self) -> tuple[str, str | None]:
        for name, value in self.net.parameters.values.items():
            if not np.isfinite(self.net.device.memory.look(value)).all():
                node = name.rpartition(".")[0]
                return f"the parameter {name!r} overflowed in an earlier update; {_ADVICE}", node
        with np.errstate(all="ignore"):
            first = self.net.first_non_finite()
        if first == INPUT:
            return "the input batch itself holds values that are not finite; check the data", first
        if first is not None:
            return f"the first value that is not finite is in the output of node {first!r}; {_ADVICE}", first
        last = self.net.graph.output.name
        return f"all activations are finite, it arises behind the output of node {last!r}; {_ADVICE}", last

    # --- compiling ----------------------------------------------------------------------------------------

    def prepare(self, batch_size: int, progress: Progress | None = None) -> int:
        """Compile what a step needs, so that the first one is not slow; nothing is learned.

        Parameters
        ----------
        batch_size : int
        progress : callable, optional
            Called as ``progress(done, total, kernel_name)``.

        Returns
        -------
        int
            How many kernels were not in the disk cache.
        """
        return self.net.device.prepare(lambda: self.rehearse([batch_size]), progress)

    def rehearse(self, training: Iterable[int], inference: Iterable[int] = ()) -> None:
        """Make all kernel calls of steps and evaluations, for :meth:`nnvis.device.Device.prepare` to note them.

        Parameters
        ----------
        training, inference : iterable of int
            Batch sizes.
        """
        step, version = self.updater.step, self.net.parameters.version
        for size in training:
            self._rehearse_step(size)
        for size in inference:
            plan = self.net.plan(size, Mode())
            plan.run_forward()
            self.loss.bind(self.net.device, plan.output)(self._example_targets(plan))
        self.updater.step, self.net.parameters.version = step, version

    def _rehearse_step(self, batch_size: int) -> None:
        plan = self.net.plan(batch_size, _TRAINING)
        plan.run_forward()
        self._loss_of(plan)(self._example_targets(plan))
        plan.run_backward()
        self._clip()
        self.updater.update(0.0)

    def _example_targets(self, plan: Plan) -> np.ndarray:
        shape = tuple(plan.output.shape)
        return np.zeros(shape[0], np.int64) if self.loss.decision == "argmax" else np.zeros(shape)
