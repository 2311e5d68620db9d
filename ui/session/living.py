"""The network through edits: made anew after each, with what its layers have learned."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nnvis.graph import Graph
from nnvis.network import Network
from nnvis.probe import compatible_state
from ui.session.attic import Attic

Weights = dict[str, np.ndarray]


class LivingNetwork:
    """Holds the network, where there is one, and all weights that wait for one.

    Attributes
    ----------
    net : Network or None
    """

    def __init__(self) -> None:
        self.net: Network | None = None
        self._attic = Attic()
        self._births: Mapping[str, int] = {}
        self._orphans: Weights = {}  # weights that wait for a network that works

    def rebuild(self, graph: Graph, device: str, seed: int, births: Mapping[str, int]) -> None:
        """Take over another graph; layers that stay, or come back, keep what they learned.

        `births` tells layers apart, whatever their names: see :class:`~ui.document.state.NodeState`.
        """
        if self.net is not None:
            self._attic.put(self.net, self._births)
        self._make(graph, device, seed, births)

    def begin_anew(self, graph: Graph, device: str, seed: int, births: Mapping[str, int] | None = None) -> None:
        """As :meth:`rebuild`, but every weight is as at the beginning."""
        self._attic.clear()
        self._make(graph, device, seed, self._births if births is None else births)

    def _make(self, graph: Graph, device: str, seed: int, births: Mapping[str, int]) -> None:
        self.net, self._births = Network(graph, device, seed), births
        self._attic.fill(self.net, births)
        self.load(self._orphans)
        self._orphans = {}

    def load(self, weights: Weights) -> None:
        """Take over weights that fit by name and shape, now or once there is a network."""
        if self.net is None:
            self._orphans = weights
        else:
            self.net.load_state_dict(compatible_state(weights, self.net), strict=False)

    def weights(self) -> Weights:
        """Copies of all weights."""
        return self._orphans if self.net is None else self.net.state_dict()

    def forget(self) -> None:
        """Another document comes, which has nothing to do with this one; what was deleted may still come back."""
        self.net, self._orphans = None, {}
