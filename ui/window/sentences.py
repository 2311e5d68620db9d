"""What the banner says, and until when: faults with what helps, failures of the engine, files that cannot be read."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from ui.document.analysis import Fault
from ui.document.data_fit import data_fixes, misfit
from ui.document.fixes import fixes
from ui.session.messages import Notice, Phase

if TYPE_CHECKING:
    from ui.window.main_window import MainWindow


class Sentences(QObject):
    """Speaks in the banner of a window."""

    def __init__(self, window: MainWindow):
        super().__init__(window)
        self.window, self.document, self.session = window, window.document, window.session
        self._file_fails = False
        window.project.failed.connect(self.say_file_error)
        window.project.opened.connect(self.file_works)
        window.project.saved.connect(lambda _: self.file_works())
        window.session.failed.connect(self.say_failure)
        window.session.notice.connect(self.say_notice)
        window.status.asked.connect(self.works)
        window.canvas.fault_clicked.connect(lambda name, _: self.offer_fixes(name))

    def offer_fixes(self, name: str) -> None:
        """The fault on a node, or in a collapsed block, and what helps."""
        block = self.document.state.blocks.get(name)
        for fault in self.document.analysis.faults:
            if fault.node == name or (block and fault.node in block.members):
                self.say_fault(fault)
                return

    def say_fault(self, fault: Fault) -> None:
        """What is wrong, and what helps; until it has been put right."""
        found = fixes(self.document.state, self.document.analysis, fault.node)
        acts = {f.label: functools.partial(self._apply, f) for f in found}
        where = f"{fault.node}: " if fault.node and fault.node not in fault.message else ""
        self.window.banner.say(
            where + fault.message, "warn", acts, settled=lambda: fault not in self.document.analysis.faults
        )

    def _say_misfit(self, sentence: str) -> None:
        """That the data do not fit, and what helps."""
        found = data_fixes(self.document.state, self.document.analysis)
        acts = {fix.label: functools.partial(self._apply, fix) for fix in found}

        def settled() -> bool:
            return misfit(self.document.state, self.document.analysis) != sentence

        self.window.banner.say(sentence, "warn", acts, settled)

    def say_failure(self, sentence: str) -> None:
        """What kept the engine from going on; until other settings, or another run, let it."""
        self.window.banner.say(sentence, settled=lambda: self.session.phase is not Phase.FAILED)

    def say_notice(self, notice: Notice) -> None:
        """A word of the engine."""
        if notice.role == "status":
            self.window.status.hint(notice.sentence)
        else:
            self.window.banner.say(notice.sentence, notice.role)

    def say_file_error(self, sentence: str) -> None:
        """What is wrong with a file; until one has been read or written."""
        self._file_fails = True
        self.window.banner.say(sentence, settled=lambda: not self._file_fails)

    def file_works(self) -> None:
        """A file has been read or written."""
        self._file_fails = False
        self.window.banner.check()

    def _apply(self, fix) -> None:
        self.document.apply(fix.label, fix.apply())

    def works(self) -> bool:
        """Whether the network can run on its data; else its first fault is said, with what helps."""
        faults, sentence = self.document.analysis.faults, misfit(self.document.state, self.document.analysis)
        if faults:
            self.say_fault(faults[0])
        elif sentence:
            self._say_misfit(sentence)
        else:
            self.window.banner.hide()
        return not faults and not sentence
