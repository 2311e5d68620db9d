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

#: Share of the time that looking may take; seconds between two looks at the least and at the most.
SHARE, SHORTEST, LONGEST = 0.05, 0.25, 5.0
#: Examples of the probe batch, of the pictures, and of the confusion matrix.
PROBE, SHOWN, CONFUSION = 32, 8, 512
_GRID = 64
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
        self._probe: Probe | None = None

    @property
    def due(self) -> bool:
        """Whether it is time for another look, and the app has shown the last one."""
        return time.perf_counter() >= self._next and self.unseen <= 0

    def before_step(self, training: Training) -> None:
        """The next step is the one whose update is measured."""
        self._probe = self._probe_of(training.net, training.options)
        self._probe.before_step()

    def after_step(self) -> None:
        """Measure the update."""
        if self._probe is not None:
            with np.errstate(all="ignore"):
                self._probe.after_step()

    def _probe_of(self, net: Network, options: TrainOptions) -> Probe:
        if self._probe is None or self._probe.net is not net or self._probe.loss != options.loss:
            self._probe = Probe(net, options.loss)
        return self._probe

    # --- a snapshot ---------------------------------------------------------------------------------------

    def look(
        self, net: Network, options: TrainOptions, data: Dataset, run: str, step: int
    ) -> tuple[Snapshot, Statistics]:
        """A snapshot, and the statistics of all parameters."""
        start = time.perf_counter()
        with np.errstate(all="ignore"):  # a network that diverges is looked at, too
            made = self._look(net, options, data, run, step), _parameter_statistics(net)
        cost = time.perf_counter() - start
        self._next = start + cost + min(max(cost / SHARE, SHORTEST), LONGEST)
        self.unseen += 1
        return made

    def _look(self, net: Network, options: TrainOptions, data: Dataset, run: str, step: int) -> Snapshot:
        held = data.validation or data.test
        shown = held.subset([i for i in self.examples if i < len(held)] or np.arange(min(SHOWN, len(held))))
        probe = self._probe_of(net, options)
        batch = held.head(PROBE)
        layers = probe.look(_prepared(batch.images, data, options), batch.labels)
        more = held.head(CONFUSION if len(held) and step else SHOWN)
        decides = len(net.output_shape) == 1  # while a network is being built, its end may be an image
        confusion, cells = self._confusion(net, options, data, more) if decides else (None, {})
        return Snapshot(
            run, step, tuple(layers), shown.images, shown.labels, tuple(data.class_names or ()),
            probe.features(_prepared(shown.images, data, options), self.nodes) if self.nodes else {},
            {n: net.parameters.values[f"{n}.weight"].copy() for n in self.filters
             if net.parameters.values.get(f"{n}.weight") is not None},
            self._probabilities(net, options, data, shown.images) if decides else None,
            *(self._boundary(net, options, data) if decides else (None, None)),
            confusion, cells, {s.node: s.gradient_mean for s in layers},
        )  # fmt: skip

    def predict(self, net: Network, options: TrainOptions, data: Dataset, example: np.ndarray) -> np.ndarray:
        """Probabilities (K,) for one example in data-set units."""
        return self._probabilities(net, options, data, example[None])[0]

    def _probabilities(self, net: Network, options: TrainOptions, data: Dataset, images: np.ndarray) -> np.ndarray:
        mean, std = (data.mean, data.std) if options.augmentation.normalise else (None, None)
        return predict_normalised(net, images, mean, std, 64, decision(net, options.loss))

    def _confusion(self, net: Network, options: TrainOptions, data: Dataset, examples: Split):
        return _confusion(self._probabilities(net, options, data, examples.images), examples, data)

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
    """Counts (K, K) by true and guessed class, and up to nine images of each cell."""
    classes = len(data.class_names or ())
    if not classes or guessed.shape[-1] != classes or examples.labels.dtype != np.int64:
        return None, {}
    chosen = guessed.argmax(axis=-1)
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (examples.labels, chosen), 1)
    cells: dict[tuple[int, int], list[int]] = {}
    for number, cell in enumerate(zip(examples.labels.tolist(), chosen.tolist(), strict=True)):
        if len(cells.setdefault(cell, [])) < 9:
            cells[cell].append(number)
    return counts, {cell: examples.images[numbers] for cell, numbers in cells.items()}


def _parameter_statistics(net: Network) -> Statistics:
    """Mean, standard deviation, minimum and maximum of every parameter, by node and name."""
    found: Statistics = {}
    for full, value in net.parameters.values.items():
        node, _, name = full.rpartition(".")
        numbers = float(value.mean()), float(value.std()), float(value.min()), float(value.max())
        found.setdefault(node, {})[name] = numbers
    return found
