"""Trained values of parameters whose layers were edited away, kept for the undo that brings the layers back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nnvis.network import Network

#: Bytes kept at most; the oldest go first.
LIMIT = 256 * 2**20


class Attic:
    """Arrays by the layer's birth, not its name: a renamed layer keeps what it learned, a new one starts afresh."""

    def __init__(self, limit: int = LIMIT):
        self.limit = limit
        self._kept: dict[tuple, np.ndarray] = {}

    def put(self, net: Network, births: Mapping[str, int]) -> None:
        """Keep what a network has learned."""
        for full, value in net.state_dict().items():
            key = _key(full, births, value.shape)
            self._kept.pop(key, None)
            self._kept[key] = value
        size = sum(value.nbytes for value in self._kept.values())
        for key in list(self._kept):
            if size <= self.limit:
                break
            size -= self._kept.pop(key).nbytes

    def fill(self, net: Network, births: Mapping[str, int]) -> None:
        """Give a network whatever is kept of its layers."""
        own = net.parameters.values | net.buffers
        keys = {full: _key(full, births, value.shape) for full, value in own.items()}
        found = {full: self._kept[key] for full, key in keys.items() if key in self._kept}
        net.load_state_dict(found, strict=False)

    def clear(self) -> None:
        """Keep nothing."""
        self._kept.clear()


def _key(full: str, births: Mapping[str, int], shape: tuple[int, ...]) -> tuple:
    node, _, name = full.rpartition(".")
    return births.get(node, node), name, shape
