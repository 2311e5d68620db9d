"""How much of the time the live views may draw: while a network trains, every core is the training's."""

from __future__ import annotations

import time

#: Share of one core's time that may go into drawing while a network trains, and the longest wait in seconds.
SHARE, LONGEST = 0.02, 2.0


class DrawingBudget:
    """Time spent on drawing puts the next drawing off, so that it stays a fixed share of the whole."""

    def __init__(self) -> None:
        #: Whether a network trains; else everything is drawn as soon as may be.
        self.training = False
        self._free = 0.0

    def spend(self, seconds: float) -> None:
        """So much time has gone into computing or painting a view."""
        now = time.perf_counter()
        self._free = min(max(now, self._free) + seconds / SHARE, now + LONGEST)

    @property
    def wait(self) -> float:
        """Seconds until the next drawing."""
        return max(0.0, self._free - time.perf_counter()) if self.training else 0.0


#: All views share the one thread that draws.
BUDGET = DrawingBudget()
