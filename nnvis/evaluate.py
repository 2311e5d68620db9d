"""What a network can do: metrics on a data set, and predictions."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nnvis.data import Augmentation, Dataset, Loader, Split, normalised
from nnvis.errors import ConfigError, DataError, ShapeError
from nnvis.layers import Sigmoid, Softmax
from nnvis.layers.base import describe
from nnvis.losses import Loss, probabilities
from nnvis.losses import loss as find_loss
from nnvis.metrics import Accumulator
from nnvis.network import Network
from nnvis.plan import Mode

#: ``progress(done, total)``, in examples.
Progress = Callable[[int, int], None]
Examples = Dataset | Split | tuple[Any, Any]

#: Batch size where only the forward pass runs; a multiple of what kernels like.
BATCH = 256


def evaluate(
    net: Network,
    data: Examples,
    loss: str | Loss = "cross_entropy",
    batch_size: int = BATCH,
    *,
    part: str = "test",
    normalise: bool = True,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure a network on labelled examples.

    Parameters
    ----------
    net : Network
    data : Dataset, Split or (x, y)
        Of a data set the split called `part` is used, normalised with the data set's mean and standard deviation.
        Plain arrays (N, ...) and (N,), and the examples of a Split, are taken as they are (bytes as 0 to 1).
    loss : str or Loss
    batch_size : int
        Has no influence on the result, up to rounding.
    part : str
        "train", "validation" or "test".
    normalise : bool
    progress : callable, optional
        Called as ``progress(done, total)`` after each batch.

    Returns
    -------
    dict
        ``loss`` and ``count``; with classes also ``accuracy``, ``confusion`` (int64 (K, K), rows are the true classes)
        and, with more than five of them, ``top5``.

    Raises
    ------
    ShapeError, DataError
        The examples or labels do not fit the network and the loss.
    """
    chosen, source = find_loss(loss), _source(data, part, batch_size, normalise)
    _check_examples(net, source.shape)
    chosen.check_output(net.output_shape)
    total, bound = Accumulator(chosen, math.prod(net.output_shape)), None
    with contextlib.closing(source.batches()) as batches:
        for x, targets in batches:
            output = net.start_pass(x, Mode()).run_forward()
            if bound is None or bound.output is not output:
                bound = chosen.bind(net.device, output)
            bound(targets)
            total.update(net.device.memory.look(output), np.asarray(targets), bound.losses)
            if progress:
                progress(total.count, source.count)
    return total.result()


def predict(
    net: Network,
    x: Any,
    data: Dataset | None = None,
    batch_size: int = BATCH,
    *,
    loss: str | Loss | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Probabilities that a network gives to each class.

    Parameters
    ----------
    net : Network
    x : array_like, (N, *input_shape)
        Bytes count as 0 to 1.
    data : Dataset, optional
        The data that the network was trained on: `x` is normalised with its mean and standard deviation.
    batch_size : int
    loss : str or Loss, optional
        What the network was trained with, which decides between softmax ("cross_entropy"), the logistic function
        ("bce") and the bare output ("mse"). Without it: softmax, or the logistic function for a single output,
        unless the network ends in such a layer itself.
    progress : callable, optional
        Called as ``progress(done, total)`` after each batch.

    Returns
    -------
    ndarray, (N, *output_shape)
    """
    x = as_batch(net, x)
    mean, std = (None, None) if data is None else (data.mean, data.std)
    return predict_normalised(net, x, mean, std, batch_size, decision(net, loss), progress)


def predict_normalised(
    net: Network,
    x: np.ndarray,
    mean: np.ndarray | None,
    std: np.ndarray | None,
    batch_size: int,
    decide: str,
    progress: Progress | None = None,
) -> np.ndarray:
    """:func:`predict` with all of its choices made."""
    found = np.empty((len(x), *net.output_shape), net.device.dtype)
    for start in range(0, len(x), batch_size):
        batch = x[start : start + batch_size]
        if batch.dtype == np.uint8 or mean is not None:
            batch = normalised(batch, mean, std)
        output = net.start_pass(batch, Mode()).run_forward()
        found[start : start + batch_size] = probabilities(net.device.memory.look(output), decide)
        if progress:
            progress(min(len(x), start + batch_size), len(x))
    return found


def decision(net: Network, loss: str | Loss | None = None) -> str:
    """How outputs become probabilities: "argmax" (softmax), "threshold" (logistic) or "none"."""
    if isinstance(net.graph.output.layer, Softmax | Sigmoid):
        return "none"
    if loss is not None:
        return find_loss(loss).decision
    return "threshold" if math.prod(net.output_shape) == 1 else "argmax"


class _Source:
    """Where batches come from."""

    def __init__(self, shape: tuple[int, ...], count: int, batches: Callable[[], Any]):
        self.shape, self.count, self.batches = shape, count, batches


def _source(data: Examples, part: str, batch_size: int, normalise: bool) -> _Source:
    if isinstance(data, Dataset):
        splits = data.splits()
        if part not in splits:
            raise ConfigError(f"Data set '{data.name}' has no split {part!r}; it has {', '.join(splits)}.")
        loader = Loader.of(data, part, batch_size, augmentation=Augmentation(normalise=normalise))
    elif isinstance(data, Split) or _holds_bytes(data):
        loader = Loader(data if isinstance(data, Split) else Split(*data), batch_size)
    else:
        return _array_source(data, batch_size)
    return _Source(loader.split.images.shape[1:], len(loader.split), loader.batches)


def _holds_bytes(data: tuple[Any, Any]) -> bool:
    x = np.asarray(data[0])
    return x.dtype == np.uint8 and x.ndim == 4


def _array_source(data: tuple[Any, Any], batch_size: int) -> _Source:
    x, y = np.asarray(data[0]), np.asarray(data[1])
    if len(x) != len(y):
        raise DataError(f"There are {len(x)} examples but {len(y)} labels: each needs one.")
    starts = range(0, len(x), batch_size)
    return _Source(x.shape[1:], len(x), lambda: ((x[s : s + batch_size], y[s : s + batch_size]) for s in starts))


def _check_examples(net: Network, shape: tuple[int, ...]) -> None:
    if shape != net.input_shape:
        raise ShapeError(
            f"{net.graph.name} takes examples of shape {describe(net.input_shape)}, but these have {describe(shape)}."
        )


def as_batch(net: Network, x: Any) -> np.ndarray:
    """`x` as an array, if the network takes it: ShapeError or DataError otherwise."""
    x = np.asarray(x)
    _check_examples(net, x.shape[1:])
    if x.dtype.kind not in "biuf":
        raise DataError(f"Examples must be numbers, not values of type {x.dtype}.")
    return x if x.dtype == np.uint8 and x.ndim == 4 else x.astype(np.float32, copy=False)
