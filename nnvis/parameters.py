"""All trainable values of a network in one flat array, and their gradients in another of the same layout.

One flat array lets an optimiser update a whole network in one pass. Weights (matrices and filters) come first and
vectors (biases, scales) after them, so that a penalty can be confined to the weights.
"""

from __future__ import annotations

from typing import Any

from nnvis.device import Device
from nnvis.graph import Graph
from nnvis.init import stream

_FLOATS_PER_LINE = 16
#: Values drawn at a time: they come in float64, twice the size of what they are for.
_PIECE = 1 << 20


class Parameters:
    """Values and gradients by name, as views into flat arrays.

    Parameters
    ----------
    graph : Graph
    device : Device

    Attributes
    ----------
    values, gradients : dict of str to array of the device
    flat_values, flat_gradients : array of the device, 1-D
        Padded with zeros so that each parameter starts on a cache line.
    weights : slice
        The part of the flat arrays that holds weights; the rest holds vectors.
    version : int
        Grows whenever the values change.
    """

    def __init__(self, graph: Graph, device: Device):
        self._graph, self._memory, dtype = graph, device.memory, device.dtype
        self._specs = graph.parameter_specs()
        ordered = sorted(self._specs, key=lambda name: len(self._specs[name].shape) < 2)
        places: dict[str, slice] = {}
        size = 0
        weights_end = 0
        for name in ordered:
            spec = self._specs[name]
            places[name] = slice(size, size + spec.size)
            size += -(-spec.size // _FLOATS_PER_LINE) * _FLOATS_PER_LINE
            if len(spec.shape) > 1:
                weights_end = size
        self.weights = slice(0, weights_end)
        self._places = places
        self.flat_values = device.memory.zeros(size * dtype.itemsize).view(dtype)
        self.flat_gradients = device.memory.zeros(size * dtype.itemsize).view(dtype)
        self.values = self.views(self.flat_values)
        self.gradients = self.views(self.flat_gradients)
        self.version = 0

    def views(self, flat: Any) -> dict[str, Any]:
        """The parts of an array of the same flat layout, such as an optimiser's momentum, by parameter name."""
        return {name: flat[self._places[name]].reshape(spec.shape) for name, spec in self._specs.items()}

    def initialise(self, seed: int) -> None:
        """Draw new initial values; each parameter's depend on `seed` and its name alone."""
        for name, spec in self._specs.items():
            init = spec.init if spec.chosen or self._graph.init is None else self._graph.init
            flat, random = self.flat_values[self._places[name]], stream(seed, name)
            for start in range(0, spec.size, _PIECE):
                piece = flat[start : start + _PIECE]
                self._memory.write(piece, init.sample(piece.shape, spec.fan_in, spec.fan_out, random))
        self.version += 1
