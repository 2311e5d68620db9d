"""Metrics: top-1 and top-k accuracy and the confusion matrix, added up over batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnvis.losses import Loss


def top_k(scores: np.ndarray, labels: np.ndarray, k: int = 5) -> np.ndarray:
    """Whether each example's label is among its `k` highest scores.

    Of equal scores the one of the lower class counts as higher, as in :func:`numpy.argmax`; a NaN is never right.

    Parameters
    ----------
    scores : ndarray, (N, K)
    labels : ndarray, (N,), integers
    k : int

    Returns
    -------
    ndarray, (N,), bool
    """
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    rank = ((scores > own) | ((scores == own) & earlier)).sum(axis=1)
    return (rank < k) & ~np.isnan(scores).any(axis=1)


def accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """Share of the examples whose highest score (one column: whose score above 0) is that of their label.

    Parameters
    ----------
    scores : ndarray, (N, K) or (N, 1)
    labels : ndarray, (N,), integers
    """
    if scores.shape[1] == 1:
        return float(((scores[:, 0] > 0) == (labels > 0.5)).mean())
    return float(top_k(scores, labels, 1).mean())


def confusion_matrix(predicted: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """How often each class (row) was taken for each (column); int64 (classes, classes)."""
    counts = np.bincount(labels.astype(np.int64) * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes)


def count_correct(loss: Loss, output: np.ndarray, targets: Any) -> int | None:
    """How many examples of a batch are classified rightly; None if the loss knows no classes.

    With the binary cross-entropy over several outputs, all outputs of an example must be right.
    """
    if loss.decision == "argmax":
        return int(np.count_nonzero(output.argmax(axis=1) == targets))
    if loss.decision == "threshold":
        right = (output > 0) == (np.asarray(targets).reshape(output.shape) > 0.5)
        return int(np.count_nonzero(right.reshape(len(right), -1).all(axis=1)))
    return None


class Accumulator:
    """Metrics of a data set, added up batch by batch.

    Parameters
    ----------
    loss : Loss
    classes : int
        Number of outputs.
    """

    def __init__(self, loss: Loss, classes: int):
        self.loss, self.classes = loss, classes
        self.count, self.loss_sum, self.correct, self.among_five = 0, 0.0, 0, 0
        # One output of the binary cross-entropy decides between two classes.
        sides = classes if loss.decision == "argmax" else 2 if (loss.decision, classes) == ("threshold", 1) else 0
        self.confusion = np.zeros((sides, sides), np.int64)

    def update(self, output: np.ndarray, targets: np.ndarray, losses: np.ndarray) -> None:
        """Add a batch.

        Parameters
        ----------
        output : ndarray, (N, ...)
        targets : ndarray, (N,) or (N, ...)
        losses : ndarray, (N,)
        """
        self.count += len(output)
        self.loss_sum += float(losses.sum(dtype=np.float64))
        if self.loss.decision == "none":
            return
        if self.loss.decision == "argmax":
            self._update_classes(output, targets)
            return
        self.correct += count_correct(self.loss, output, targets) or 0
        if len(self.confusion):
            labels = np.asarray(targets).reshape(-1) > 0.5
            self.confusion += confusion_matrix(output.reshape(-1) > 0, labels, 2)

    def _update_classes(self, output: np.ndarray, labels: np.ndarray) -> None:
        self.correct += int(np.count_nonzero(top_k(output, labels, 1)))
        if self.classes > 5:
            self.among_five += int(np.count_nonzero(top_k(output, labels, 5)))
        self.confusion += confusion_matrix(output.argmax(axis=1), labels, self.classes)

    def result(self) -> dict[str, Any]:
        """What was measured.

        Returns
        -------
        dict
            ``loss`` and ``count``; with classes also ``accuracy``, ``top5`` (more than five classes) and
            ``confusion`` (int64 (K, K), rows are the true classes).
        """
        count = max(1, self.count)
        found: dict[str, Any] = {"loss": self.loss_sum / count, "count": self.count}
        if self.loss.decision != "none":
            found["accuracy"] = self.correct / count
        if self.loss.decision == "argmax" and self.classes > 5:
            found["top5"] = self.among_five / count
        if len(self.confusion):
            found["confusion"] = self.confusion.copy()
        return found


def format_confusion(matrix: np.ndarray, class_names: Sequence[str] | None = None, width: int = 10) -> str:
    """A confusion matrix as text: true classes down, predicted classes across.

    Parameters
    ----------
    matrix : ndarray, (K, K), integers
    class_names : sequence of str, optional
    width : int
        Names are cut to so many characters.
    """
    names = [str(name) for name in (class_names or range(len(matrix)))]
    short = [name if len(name) <= width else name[: width - 1] + "…" for name in names]
    cell = max([len(str(int(matrix.max(initial=0)))), *map(len, short)])
    left = max(len("true"), *map(len, short))
    lines = [f"{'true':<{left}}  " + " ".join(f"{name:>{cell}}" for name in short) + "  <- predicted"]
    for name, row in zip(short, matrix, strict=True):
        cells = " ".join(f"{int(value) or '.':>{cell}}" for value in row)
        lines.append(f"{name:<{left}}  {cells}  {_recall(row, len(lines) - 1)}")
    return "\n".join(lines)


def _recall(row: np.ndarray, position: int) -> str:
    total = int(row.sum())
    return f"{row[position] / total:6.1%}" if total else ""
