"""Ctrl-C and SIGTERM: the first asks training to stop after the current step, the second ends it at once."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from nnvis.cli.exits import Interrupted, signal_code

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopOnSignal:
    """Context in which signals stop a run in good order; call it to learn whether one came.

    Attributes
    ----------
    signum : int or None
        The first signal that came.
    training : bool
        Set it once there is a step to finish. Before, even the first signal ends the program at once.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self.training = False
        self._before: dict[int, object] = {}

    def __call__(self) -> bool:
        return self.signum is not None

    @property
    def exit_code(self) -> int:
        """130 for Ctrl-C, 143 for SIGTERM."""
        return signal_code(Interrupted(self.signum or signal.SIGINT))

    def __enter__(self) -> StopOnSignal:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._receive) for number in _SIGNALS}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _receive(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None or not self.training:
            raise Interrupted(signum)
        self.signum = signum
