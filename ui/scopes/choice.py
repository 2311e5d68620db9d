"""A scope about one node: that of the selection, or a chosen one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from PySide6.QtWidgets import QComboBox, QWidget

from ui.scopes.base import Scope, Wants

_FOLLOW = "the selected node"


class NodeScope(Scope):
    """Adds a box to choose a node; :meth:`node` is the choice in force."""

    def __init__(self, fits: Callable[[str], bool], filters: bool = False, parent: QWidget | None = None):
        super().__init__(parent)
        self._fits, self._filters = fits, filters
        self.choice = QComboBox()
        self.choice.setAccessibleName("Node")
        self.choice.setToolTip("Which node is shown")
        self.choice.setMinimumContentsLength(14)
        self.choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.choice.addItem(_FOLLOW)
        self.choice.textActivated.connect(lambda _: self._ask())
        self.bar.add(self.choice)
        self._asked: Wants | None = None

    def node(self) -> str | None:
        """The node to show: the chosen one, the selected one, or the first that fits."""
        fitting = [n for n in self.names if self._fits(self.kinds.get(n, ""))]
        chosen = self.choice.currentText()
        if chosen in fitting:
            return chosen
        selected = [n for n in self.selection if n in fitting]
        return (selected or fitting or [None])[0]

    def choose(self, name: str) -> None:
        """Show a node, whatever is selected."""
        if self.choice.findText(name) >= 0:
            self.choice.setCurrentText(name)
            self._ask()

    def set_nodes(self, names: tuple[str, ...], kinds: Mapping[str, str], families: Mapping[str, str]) -> None:
        chosen = self.choice.currentText()
        super().set_nodes(names, kinds, families)
        self.choice.blockSignals(True)
        self.choice.clear()
        self.choice.addItems([_FOLLOW, *(n for n in names if self._fits(kinds[n]))])
        self.choice.setCurrentText(chosen)
        self.choice.blockSignals(False)
        self._ask()

    def set_selection(self, names: tuple[str, ...]) -> None:
        super().set_selection(names)
        self._ask()

    def showEvent(self, event) -> None:
        super().showEvent(event)
        self._ask()

    def hideEvent(self, event) -> None:
        super().hideEvent(event)
        self._ask()

    def _ask(self) -> None:
        """Ask for the node's arrays while they can be seen."""
        node = self.node() if self.isVisible() else None
        names = frozenset([node]) if node else frozenset()
        wants = Wants(filters=names) if self._filters else Wants(nodes=names)
        if wants != self._asked:
            self._asked = wants
            self.wants.emit(wants)
        self.redraw()
