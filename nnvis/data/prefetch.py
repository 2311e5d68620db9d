"""Run a generator some items ahead, in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any, TypeVar

T = TypeVar("T")
_END = object()


def prefetched(source: Iterator[T], depth: int) -> Iterator[T]:
    """Yield what `source` yields, prepared up to `depth` items ahead.

    An exception in `source` is raised here, after the items before it. When this generator is closed or
    dropped, the thread ends after the item that it is at; closing waits for that.

    Parameters
    ----------
    source : iterator
        Advanced only by the thread.
    depth : int
        0 runs without a thread.
    """
    if depth < 1:
        yield from source
        return
    worker = _Worker(source, depth)
    worker.start()
    try:
        while (item := worker.next()) is not _END:
            yield item
    finally:
        worker.stop()


class _Worker(threading.Thread):
    def __init__(self, source: Iterator[Any], depth: int):
        super().__init__(name="nnvis-loader", daemon=True)
        self.source = source
        self.ready: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(depth)
        self.stopping = threading.Event()

    def run(self) -> None:
        try:
            for item in self.source:
                self.ready.put((item, None))
                if self.stopping.is_set():
                    return
            self.ready.put((_END, None))
        except BaseException as error:
            self.ready.put((_END, error))

    def next(self) -> Any:
        item, error = self.ready.get()
        if error is not None:
            raise error
        return item

    def stop(self) -> None:
        """Ask the thread to end and wait for it."""
        self.stopping.set()
        while True:  # room for the one item that the thread may be about to hand over
            try:
                self.ready.get_nowait()
            except queue.Empty:
                break
        if threading.current_thread() is not self:
            self.join()
