"""Making kernels ready to run, on all cores.

Numba compiles one function at a time in a process, so processes of their own compile along, into the disk cache; what
they have made is loaded from there. Run as a program this file is such a process: it reads names of kernels from
its standard input, a line each, and writes each one back when it is compiled.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from kernels.cpu.jit import KERNELS, Kernel, compile_only

#: Kernels to be compiled for which a process, which takes most of a second to start, is worth it.
WORTH_A_PROCESS = 3


def compile_kernels(kernels: list[Kernel], progress: Callable[[int, int, str], None] | None = None) -> int:
    """Make all `kernels` ready to run.

    Parameters
    ----------
    kernels : list of Kernel
    progress : callable, optional
        Called as ``progress(done, total, name)`` before each kernel that is not in memory yet, and once at the end.

    Returns
    -------
    int
        How many had to be compiled; the others came from memory or from the disk cache.
    """
    fresh = sum(not each.compiled and not each.is_cached() for each in kernels)
    for step in compiling(kernels):
        if progress:
            progress(*step)
    return fresh


def compiling(kernels: list[Kernel], processes: int | None = None) -> Iterator[tuple[int, int, str]]:
    """:func:`compile_kernels` as a generator of ``(done, total, name)``.

    Parameters
    ----------
    kernels : list of Kernel
    processes : int, optional
        How many compile, this one among them; by default as many as there are cores, if there is enough to do.
    """
    waiting = [each for each in kernels if not each.compiled]
    missing = deque(sorted((each for each in waiting if not each.is_cached()), key=_order))
    helpers = [_Helper(missing) for _ in range(_helpers(len(missing), processes))]
    done = 0
    try:
        for each in _in_turn(waiting, missing, helpers):
            yield done, len(waiting), each.name
            each.compile()
            done += 1
    finally:
        for helper in helpers:
            helper.stop()
    if waiting:
        yield len(waiting), len(waiting), ""


def _order(each: Kernel) -> tuple[bool, int]:
    """First what is needed for all others, then what takes longest: nobody is left alone with it in the end."""
    return not each.exported, -each.length


def _helpers(missing: int, processes: int | None) -> int:
    if processes is None:
        processes = min(cores(), missing // WORTH_A_PROCESS + 1)
    return processes - 1 if Path(sys.executable or "").stem.startswith("python") else 0


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_turn(waiting: list[Kernel], missing: deque[Kernel], helpers: list[_Helper]) -> Iterator[Kernel]:
    """First what this process compiles itself, then what only has to be loaded."""
    mine = set()
    while missing:
        try:
            each = missing.popleft()
        except IndexError:  # a helper was faster
            break
        mine.add(each.name)
        yield each
    for helper in helpers:
        helper.thread.join()
    yield from (each for each in waiting if each.name not in mine)


class _Helper:
    """A process that compiles what it takes from `missing`, as long as there is something."""

    def __init__(self, missing: deque[Kernel]):
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(_search_path())}
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip
        self.thread = threading.Thread(target=self._feed, args=(missing,), name="compiling", daemon=True)
        self.thread.start()

    def _feed(self, missing: deque[Kernel]) -> None:
        while missing:
            try:
                self.compile(missing.popleft().name)
            except (IndexError, OSError, ValueError):  # nothing left, or the process has gone: the caller compiles
                break

    def compile(self, name: str) -> None:
        """Wait until the process has compiled the kernel called `name`; OSError if it has gone."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{name}\n")
        self.process.stdin.flush()
        if not self.process.stdout.readline():
            raise OSError("the compiling process has ended")

    def stop(self) -> None:
        """End the process, even in the middle of a kernel."""
        self.process.kill()
        self.process.wait()
        self.thread.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()


def _search_path() -> list[str]:
    """Where a new process finds this very package."""
    return [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]


def _serve() -> None:
    compile_only()
    for line in sys.stdin:
        KERNELS[line.strip()].compile()
        print(line.strip(), flush=True)


if __name__ == "__main__":
    _serve()
