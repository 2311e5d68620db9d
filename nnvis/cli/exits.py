"""Exit codes, and how an exception becomes one sentence on standard error."""

from __future__ import annotations

import os
import signal
import sys
import traceback

from nnvis.errors import DivergedError, NnvisError

OK = 0
CRASH = 1
BAD_INPUT = 2
DIVERGED = 3
BROKEN_PIPE = 141


class Interrupted(KeyboardInterrupt):
    """A signal asked the program to end at once.

    Parameters
    ----------
    signum : int
    """

    def __init__(self, signum: int):
        super().__init__()
        self.signum = signum


def report(error: BaseException, debug: bool) -> int:
    """Tell the user about `error` and return the exit code that fits.

    Parameters
    ----------
    error : BaseException
    debug : bool
        Show the traceback too.
    """
    if isinstance(error, BrokenPipeError):
        return _broken_pipe()
    if debug and not isinstance(error, KeyboardInterrupt):
        traceback.print_exception(error)
    code, sentence = _describe(error)
    complain(sentence)
    return code


def complain(sentence: str) -> None:
    """Print one line on standard error."""
    sys.stdout.flush()
    print(f"nnvis: {' '.join(sentence.split())}", file=sys.stderr, flush=True)


def _describe(error: BaseException) -> tuple[int, str]:
    if isinstance(error, KeyboardInterrupt):
        return signal_code(error), "interrupted."
    if isinstance(error, DivergedError):
        return DIVERGED, str(error)
    if isinstance(error, NnvisError):
        return BAD_INPUT, str(error)
    if isinstance(error, MemoryError):
        return BAD_INPUT, "There is not enough memory for this; try a smaller batch or data set."
    name = type(error).__name__
    return CRASH, f"This is a bug in nnvis ({name}: {error}); run again with --debug and report the traceback."


def signal_code(interrupt: KeyboardInterrupt) -> int:
    """130 for Ctrl-C, 143 for SIGTERM: 128 plus the signal's number."""
    return 128 + getattr(interrupt, "signum", signal.SIGINT)


def _broken_pipe() -> int:
    """The reader went away (``nnvis zoo | head -1``): nobody is left to tell, so end quietly."""
    # The interpreter flushes standard output once more at exit; give it somewhere to go.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE
