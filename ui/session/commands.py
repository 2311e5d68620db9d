"""A thread that does what is in its queue, and works on its own between two commands."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

import numpy as np

from nnvis.errors import NnvisError

Command = Callable[[], None]
#: Seconds without a command after which a restless thread rests.
IDLE = 1.0
_log = logging.getLogger("nnvis.session")


class _Stop(Exception):  # noqa: N818 - no error
    """The thread is to end."""


class CommandThread(threading.Thread):
    """Base of the compute thread.

    Attributes
    ----------
    commands : SimpleQueue
        Functions without arguments, from other threads.
    deferred : list
        Commands that were taken from the queue too early: what is obeyed next.
    """

    def __init__(self, name: str):
        super().__init__(name=name)
        self.commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        self.deferred: list[Command] = []

    # --- what subclasses say ------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether there is work without commands: :meth:`advance`."""
        return False

    @property
    def restless(self) -> bool:
        """Whether there is something to do, by :meth:`rest`, once no command has come for a while."""
        return False

    def advance(self) -> None:
        """A small piece of work."""

    def rest(self) -> None:
        """What waits for a quiet moment."""

    def failed(self, sentence: str) -> None:
        """A command or a piece of work could not be done."""

    def leave(self) -> None:
        """The thread ends."""

    # --- the loop -----------------------------------------------------------------------------------------

    def run(self) -> None:
        # What NumPy would warn of here are the values of a network that diverges: they are shown, not printed.
        np.seterr(all="ignore")
        try:
            while True:
                self._obey(block=not self.busy)
                if self.busy:
                    self.guarded(self.advance)
        except _Stop:
            self.leave()

    def end(self) -> None:
        """Command: leave the thread."""
        raise _Stop

    def _obey(self, block: bool) -> None:
        """Do what is in the queue; wait for something if there is nothing else to do."""
        while (command := self._next(block)) is not None:
            self.guarded(command)
            block = False

    def _next(self, block: bool) -> Command | None:
        if self.deferred:
            return self.deferred.pop()
        try:
            return self.commands.get(block=block, timeout=IDLE if self.restless else None)
        except queue.Empty:
            return self.rest if block else None

    def guarded(self, work: Command) -> None:
        """Do it; whatever goes wrong becomes a sentence."""
        try:
            work()
        except _Stop:
            raise
        except NnvisError as error:
            self.failed(str(error))
        except MemoryError:
            self.failed("There is not enough memory; use a smaller batch, smaller images or fewer channels.")
        except Exception as error:
            _log.exception("the compute thread failed")
            self.failed(f"The computation failed: {error} ({type(error).__name__}).")
