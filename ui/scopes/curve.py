"""Curves of a loss, and an axis for them that one run that diverges does not take for itself."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pyqtgraph as pg

from ui.scopes.runs import Run

#: A run whose loss exceeds this many times the loss at first has diverged; of it, so many times that loss are shown.
_DIVERGED, _SHOWN, _SHOWN_LOG = 10.0, 3.0, 100.0
#: A loss at first counts as this at least: that of a run that goes on is next to nothing, and single batches are not.
_LEAST = 1.0


class Curve(pg.PlotDataItem):
    """A curve whose values above :attr:`ceiling`, and those that are not finite, do not stretch the axis."""

    #: As drawn: a logarithm on a logarithmic axis.
    ceiling = math.inf

    def dataBounds(self, ax, frac=1.0, orthoRange=None):
        if ax != 1:
            return super().dataBounds(ax, frac, orthoRange)
        x, y = self.getData()
        if y is None:
            return None, None
        keep = np.isfinite(y) & (y <= self.ceiling)
        if orthoRange is not None:
            keep &= (x >= orthoRange[0]) & (x <= orthoRange[1])
        return (float(y[keep].min()), float(y[keep].max())) if keep.any() else (None, None)


def ceiling(runs: Iterable[Run], log: bool = False) -> float:
    """The largest loss that an axis for these runs should reach; infinite unless one of them diverges."""
    losses = [loss for run in runs if len(loss := run.loss[np.isfinite(run.loss)])]
    if not losses:
        return math.inf
    first = max(_LEAST, *(float(loss[0]) for loss in losses))
    if max(float(loss.max()) for loss in losses) <= _DIVERGED * first:
        return math.inf
    return math.log10(_SHOWN_LOG * first) if log else _SHOWN * first


def beyond(runs: Iterable[Run], log: bool) -> list[str]:
    """Labels of the runs that leave such an axis."""
    runs = list(runs)
    top = ceiling(runs, log)
    top = 10**top if log and math.isfinite(top) else top
    return [run.label for run in runs if (run.loss[np.isfinite(run.loss)] > top).any()]
