"""The inspector: everything about what is selected, to be read and changed."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QScrollArea, QTabWidget, QVBoxLayout, QWidget

from nnvis.graph import INPUT
from ui.history import Document
from ui.inspector.formulas import textbook_source
from ui.inspector.network_page import NetworkPage, SelectionPage
from ui.inspector.node_page import NodePage
from ui.inspector.page import Page
from ui.inspector.source import SourceView
from ui.theme import look


class Inspector(QWidget):
    """Shows the selected node, the input, or the network as a whole."""

    def __init__(self, document: Document, parent: QWidget | None = None):
        super().__init__(parent)
        self.document = document
        self.setAccessibleName("Inspector")
        self.setMinimumWidth(220)
        self._statistics: Mapping[str, Mapping[str, tuple]] = {}
        self.tabs, self.source = QTabWidget(), SourceView()
        self._area = QScrollArea(widgetResizable=True)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.tabs.addTab(self._area, "Settings")
        self.tabs.addTab(self.source, "Source")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.tabs)
        self.page: Page = self._turn_to(self._page_for(document.selection))
        document.changed.connect(lambda before, after: self._refresh())
        document.selection_changed.connect(lambda names: self._refresh())
        look().changed.connect(self._repaint)

    @property
    def editors(self) -> dict[str, QWidget]:
        """The editors of the page, by title."""
        return self.page.editors

    @property
    def fault(self) -> QLabel:
        """What is wrong with what is selected, or with what was entered last."""
        return self.page.fault

    def set_statistics(self, statistics: Mapping[str, Mapping[str, tuple]]) -> None:
        """Mean, standard deviation, minimum and maximum of every parameter, by node."""
        self._statistics = statistics
        self._show_numbers()

    # --- pages --------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        if self._fits(self.document.selection):
            self.page.refresh()
        else:
            self.page = self._turn_to(self._page_for(self.document.selection))
        self._show_numbers()

    def _repaint(self) -> None:
        self.page = self._turn_to(self._page_for(self.document.selection))
        self._show_numbers()

    def _fits(self, chosen: tuple[str, ...]) -> bool:
        if isinstance(self.page, NodePage):
            return len(chosen) == 1 and self.page.fits(chosen[0])
        return type(self.page) is _kind_of_page(self.document, chosen)

    def _page_for(self, chosen: tuple[str, ...]) -> Page:
        kind = _kind_of_page(self.document, chosen)
        return NodePage(self.document, chosen[0]) if kind is NodePage else kind(self.document)  # type: ignore[call-arg]

    def _turn_to(self, page: Page) -> Page:
        """Show another page; the old one goes when its events have been handled, for it may be the cause of this."""
        old = self._area.takeWidget()
        in_use = old.focusWidget() if old is not None else None
        focused = in_use.accessibleName() if in_use is not None else ""
        if old is not None:
            old.hide()
            old.setParent(self)
            old.deleteLater()
        self._area.setWidget(page)
        self._restore_focus(page, focused)
        is_node = isinstance(page, NodePage)
        self.tabs.setTabVisible(1, is_node)
        self.tabs.tabBar().setVisible(is_node)
        if isinstance(page, NodePage):
            self.source.show_source(textbook_source(page.layer))
        return page

    def _restore_focus(self, page: Page, accessible_name: str) -> None:
        """The same field of the next node keeps the keyboard."""
        for widget in page.findChildren(QWidget) if accessible_name else ():
            if widget.accessibleName() == accessible_name and widget.focusPolicy() != Qt.FocusPolicy.NoFocus:
                widget.setFocus()
                return

    def _show_numbers(self) -> None:
        if isinstance(self.page, NodePage):
            self.page.show_numbers(self._statistics.get(self.page.name, {}))


def _kind_of_page(document: Document, chosen: tuple[str, ...]) -> type[Page]:
    if len(chosen) == 1 and chosen[0] in document.state.nodes:
        return NodePage
    if not chosen or chosen == (INPUT,):
        return NetworkPage
    return SelectionPage
