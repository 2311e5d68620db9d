"""What snapshots are made of, and how often training may be interrupted for them."""

from __future__ import annotations

import time

import numpy as np

from nnvis.data import Dataset, Split
from nnvis.data.loader import normalised
from nnvis.evaluate import decision, predict_normalised
from nnvis.network import Network
from nnvis.options import TrainOptions
from nnvis.probe import Probe
from nnvis.training import Training
from ui.session.messages import Snapshot

#: Share of the time that looking may take; seconds between two looks at the least.
SHARE, SHORTEST = 0.025, 0.25
#: Examples of the probe batch and of the pictures.
PROBE, SHOWN = 32, 8
#: Seconds of a look that the confusion matrix may take in any case, and a third of it where looks take longer;
#: examples that it is made of at first and at the least.
CONFUSION, FIRST, FEWEST = 0.02, 64, 16
_GRID = 64
#: Pictures, or points, of a cell of the confusion matrix; examples that are offered to choose from.
_PICTURES, _POINTS, _OFFERED = 9, 200, 16
Statistics = dict[str, dict[str, tuple[float, float, float, float]]]


class Looker:
    """Makes snapshots of a network, within a budget of time."""

    def __init__(self) -> None:
        self.nodes: frozenset[str] = frozenset()
        self.filters: frozenset[str] = frozenset()
        self.examples: tuple[int, ...] = ()
        #: Snapshots that the app has not shown yet.
        self.unseen = 0
        self._next = 0.0
        self._cost = self._measured = 0.0
        self._cold = False
        self._shown: tuple = ()
        self._probe: Probe | None = None
        self._count = FIRST
        self._of_class: tuple[Dataset | None, tuple[int, ...]] = (None, ())

    @property
    def due(self) -> bool:
        """Whether it is time for another look or something else is asked for, and the app has shown the last one."""
        return (time.perf_counter() >= self._next or self._wanted != self._shown) and self.unseen <= 0

    @property
    def _wanted(self) -> tuple:
        return self.nodes, self.filters, self.examples

    def before_step(self, training: Training) -> None:
        """The next step is the one whose update is measured."""
        start = time.perf_counter()
        self._probe = self._probe_of(training.net, training.options)
        self._probe.before_step()
        self._measured = time.perf_counter() - start

    def after_step(self) -> None:
        """Measure the update."""
        start = time.perf_counter()
        if self._probe is not None:
            with np.errstate(all="ignore"):
                self._probe.after_step()
        self._measured += time.perf_counter() - start

    def _probe_of(self, net: Network, options: TrainOptions) -> Probe:
        if self._probe is None or self._probe.net is not net or self._probe.loss != options.loss:
            self._probe = Probe(net, options.loss)
            self._count, self._cost = FIRST, 0.0  # another network may be a thousand times slower
            self._cold = True
        return self._probe

    # --- a snapshot ---------------------------------------------------------------------------------------

    def look(
        self, net: Network, options: TrainOptions, data: Dataset, run: str, step: int, training: bool = True
    ) -> tuple[Snapshot, Statistics]:
        """A snapshot, and the statistics of all parameters; while nothing is `training`, looks cost nothing."""
        start, self._shown = time.perf_counter(), self._wanted
        with np.errstate(all="ignore"):  # a network that diverges is looked at, too
            made = self._look(net, options, data, run, step), _parameter_statistics(net)
        end = time.perf_counter()
        counts = training and not self._cold  # a first look compiles and lays out memory, which is done once
        self._cost, self._measured, self._cold = (end - start + self._measured) * counts, 0.0, False
        # However large the network: looks of a second are half a minute apart.
        self._next = end + max(self._cost / SHARE, SHORTEST)
        self.unseen += 1
        return made

    def _look(self, net: Network, options: TrainOptions, data: Dataset, run: str, step: int) -> Snapshot:
        held = data.validation or data.test
        chosen = tuple(i for i in self.examples if 0 <= i < len(held)) or tuple(range(min(SHOWN, len(held))))
        shown = held.subset(np.array(chosen, np.int64))
        probe = self._probe_of(net, options)
        batch = held.head(PROBE)
        layers = probe.look(_prepared(batch.images, data, options), batch.labels)
        more = held.head(self._count if step else SHOWN)
        decides = len(net.output_shape) == 1  # while a network is being built, its end may be an image
        confusion, cells, wrong = None, {}, ()
        if decides:
            confusion, cells, wrong = _confusion(self._guesses(net, options, data, more, len(held)), more, data)
        return Snapshot(
            run, step, tuple(layers), shown.images, shown.labels, tuple(data.class_names or ()),
            probe.features(_prepared(shown.images, data, options), self.nodes) if self.nodes else {},
            {n: net.device.memory.read(net.parameters.values[f"{n}.weight"]) for n in self.filters
             if net.parameters.values.get(f"{n}.weight") is not None},
            self._probabilities(net, options, data, shown.images) if decides else None,
            *(self._boundary(net, options, data) if decides else (None, None)),
            confusion, cells, {s.node: s.gradient_mean for s in layers}, chosen, len(held), self._firsts(data, held),
            wrong,
        )  # fmt: skip

    def _guesses(self, net: Network, options: TrainOptions, data: Dataset, part: Split, most: int) -> np.ndarray:
        """Probabilities for the confusion matrix; the next one is made of more or fewer examples, as time allows."""
        start = time.perf_counter()
        found = self._probabilities(net, options, data, part.images)
        took, allowed = time.perf_counter() - start, max(CONFUSION, self._cost / 3)
        if len(part) >= self._count and took < allowed / 3 and self._count < most:
            self._count *= 2
        elif took > 1.5 * allowed:  # not at once above the limit: the matrix is not to jump to and fro
            self._count = max(FEWEST, self._count // 2)
        return found

    def _firsts(self, data: Dataset, held: Split) -> tuple[int, ...]:
        """The first held-out example of each class."""
        if self._of_class[0] is not data:
            found = np.unique(held.labels, return_index=True)[1] if data.class_names else ()
            self._of_class = data, tuple(int(i) for i in found[:_OFFERED])
        return self._of_class[1]

    def predict(self, net: Network, options: TrainOptions, data: Dataset, example: np.ndarray) -> np.ndarray:
        """Probabilities (K,) for one example in data-set units."""
        return self._probabilities(net, options, data, example[None])[0]

    def _probabilities(self, net: Network, options: TrainOptions, data: Dataset, images: np.ndarray) -> np.ndarray:
        mean, std = (data.mean, data.std) if options.augmentation.normalise else (None, None)
        return predict_normalised(net, images, mean, std, 64, decision(net, options.loss))

    def _boundary(self, net: Network, options: TrainOptions, data: Dataset):
        """Probabilities over the plane that the examples lie in, and its corners; (None, None) elsewhere."""
        if data.input_shape != (2,):
            return None, None
        points = data.train.images
        low, high = points.min(axis=0) - 0.25, points.max(axis=0) + 0.25
        x, y = np.meshgrid(np.linspace(low[0], high[0], _GRID), np.linspace(low[1], high[1], _GRID))
        grid = np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float32)
        found = self._probabilities(net, options, data, grid)
        return found.reshape(_GRID, _GRID, -1), (float(low[0]), float(low[1]), float(high[0]), float(high[1]))


def _prepared(images: np.ndarray, data: Dataset, options: TrainOptions) -> np.ndarray:
    mean, std = (data.mean, data.std) if options.augmentation.normalise else (None, None)
    return normalised(images, mean, std)


def _confusion(guessed: np.ndarray, examples: Split, data: Dataset):
    """Counts (K, K) by true and guessed class, some images of each cell, and numbers of wrong ones."""
    classes = len(data.class_names or ())
    if not classes or guessed.shape[-1] != classes or examples.labels.dtype != np.int64:
        return None, {}, ()
    chosen = guessed.argmax(axis=-1)
    codes = examples.labels * classes + chosen
    most = _PICTURES if examples.images.ndim == 4 else _POINTS
    order = np.argsort(codes, kind="stable")
    cells, starts = np.unique(codes[order], return_index=True)
    numbers = {(int(c) // classes, int(c) % classes): part[:most]
               for c, part in zip(cells, np.split(order, starts[1:]), strict=True)}  # fmt: skip
    counts = np.bincount(codes, minlength=classes * classes).reshape(classes, classes)
    wrong = tuple(int(i) for i in np.flatnonzero(chosen != examples.labels)[:_OFFERED])
    return counts, {cell: examples.images[part] for cell, part in numbers.items()}, wrong


def _parameter_statistics(net: Network) -> Statistics:
    """Mean, standard deviation, minimum and maximum of every parameter, by node and name."""
    found: Statistics = {}
    for full, array in net.parameters.values.items():
        node, _, name = full.rpartition(".")
        value = net.device.memory.look(array)
        numbers = float(value.mean()), float(value.std()), float(value.min()), float(value.max())
        found.setdefault(node, {})[name] = numbers
    return found
