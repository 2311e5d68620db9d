"""Python's garbage is collected by the GUI thread between two events, never in the middle of one.

Left to itself, the collector runs wherever the next object is made. Widgets in a cycle of references would then be
destroyed by the compute thread, or while Qt goes through its list of all widgets and calls Python for one of them, and
goes on with memory that is freed; or while Qt holds a lock that the widget's end needs.
"""

from __future__ import annotations

import gc

from PySide6.QtCore import QObject, QTimer

#: Milliseconds between two looks, and how many of them until the older objects are gone through as well.
INTERVAL, FULL = 1000, 10


class Collector(QObject):
    """Collects from a timer, and keeps Python from doing so at any other time, until the process ends.

    Parameters
    ----------
    parent : QObject
        Of the GUI thread; what is in memory already counts as needed for good.
    """

    def __init__(self, parent: QObject):
        super().__init__(parent)
        self._looks = 0
        gc.collect()
        gc.freeze()
        gc.disable()
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.look)
        self._timer.start(INTERVAL)

    def look(self) -> None:
        """Collect young objects if there are many, and all of them now and then."""
        self._looks += 1
        if self._looks % FULL == 0:
            gc.collect()
        elif gc.get_count()[0] > gc.get_threshold()[0]:
            gc.collect(1)
