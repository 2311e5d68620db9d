"""All trainable values of a network in one flat array, and their gradients in another of the same layout.

One flat array lets an optimiser update a whole network in one pass. Weights (matrices and filters) come first and
vectors (biases, scales) after them, so that a penalty can be confined to the weights.
"""

from __future__ import annotations

import numpy as np

from nnvis.graph import Graph
from nnvis.init import stream
from nnvis.memory import aligned_bytes

_FLOATS_PER_LINE = 16
#: Values drawn at a time: they come in float64, twice the size of what they are for.
_PIECE = 1 << 20


class Parameters:
    """Values and gradients by name, as views into flat arrays.

    Parameters
    ----------
    graph : Graph
    dtype : numpy.dtype

    Attributes
    ----------
    values, gradients : dict of str to ndarray
    flat_values, flat_gradients : ndarray, 1-D
        Padded with zeros so that each parameter starts on a cache line.
    weights : slice
        The part of the flat arrays that holds weights; the rest holds vectors.
    version : int
        Grows whenever the values change.
    """

    def __init__(self, graph: Graph, dtype: np.dtype):
        self._graph = graph
        self._specs = graph.parameter_specs()
        ordered = sorted(self._specs, key=lambda name: len(self._specs[name].shape) < 2)
        places, size = {}, 0
        weights_end = 0
        for name in ordered:
            spec = self._specs[name]
            places[name] = slice(size, size + spec.size)
            size += -(-spec.size // _FLOATS_PER_LINE) * _FLOATS_PER_LINE
            if len(spec.shape) > 1:
                weights_end = size
        self.weights = slice(0, weights_end)
        self.flat_values = aligned_bytes(size * dtype.itemsize).view(dtype)
        self.flat_gradients = aligned_bytes(size * dtype.itemsize).view(dtype)
        self.values = self._views(self.flat_values, places)
        self.gradients = self._views(self.flat_gradients, places)
        self.version = 0

    def _views(self, flat: np.ndarray, places: dict[str, slice]) -> dict[str, np.ndarray]:
        return {name: flat[places[name]].reshape(spec.shape) for name, spec in self._specs.items()}

    def views(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        """The parts of an array of the same flat layout, such as an optimiser's momentum, by parameter name."""
        start = self.flat_values.ctypes.data
        item = self.flat_values.itemsize
        made = {}
        for name, value in self.values.items():
            offset = (value.ctypes.data - start) // item
            made[name] = flat[offset : offset + value.size].reshape(value.shape)
        return made

    def initialise(self, seed: int) -> None:
        """Draw new initial values; each parameter's depend on `seed` and its name alone."""
        for name, spec in self._specs.items():
            init = spec.init if spec.chosen or self._graph.init is None else self._graph.init
            flat, random = self.values[name].reshape(-1), stream(seed, name)
            for start in range(0, flat.size, _PIECE):
                piece = flat[start : start + _PIECE]
                piece[...] = init.sample(piece.shape, spec.fan_in, spec.fan_out, random)
        self.version += 1
