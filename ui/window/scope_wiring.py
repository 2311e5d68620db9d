"""Between session, document and scopes: who gets which message, and which feature maps are asked for."""

from __future__ import annotations

from PySide6.QtCore import QObject

from nnvis.graph import INPUT
from ui.document.state import DocumentState
from ui.history import Document
from ui.scopes.base import Scope
from ui.session.session import Session


class ScopeWiring(QObject):
    """Connects the scopes of a window."""

    def __init__(self, document: Document, session: Session, scopes: list[Scope]):
        super().__init__()
        self.document, self.session, self.scopes = document, session, scopes
        self._wants: dict[str, object] = {}
        self._all_nodes = False
        for scope in scopes:
            session.curves.connect(scope.add_curves)
            session.snapshot.connect(scope.show_snapshot)
            session.prediction.connect(scope.show_prediction)
            scope.predict.connect(session.predict)
            scope.wants.connect(lambda wants, name=scope.name: self._wanted(name, wants))
            document.selection_changed.connect(scope.set_selection)
        document.changed.connect(self._document_changed)

    def want_all_nodes(self, on: bool) -> None:
        """Ask for the feature maps of every node, for the pictures on the canvas."""
        self._all_nodes = on
        self._ask()

    def _wanted(self, scope: str, wants) -> None:
        if wants.examples is not None:
            self.session.choose_examples(wants.examples)
            for other in self.scopes:
                if other.name != scope:
                    other.follow_examples(wants.way, wants.examples)
            return
        self._wants[scope] = wants
        self._ask()

    def _ask(self) -> None:
        nodes = frozenset().union(*(w.nodes for w in self._wants.values()))
        filters = frozenset().union(*(w.filters for w in self._wants.values()))
        everything = frozenset(self.document.state.nodes) | {INPUT} if self._all_nodes else frozenset()
        self.session.look_at(nodes | everything, filters)

    def _document_changed(self, before: DocumentState, after: DocumentState) -> None:
        if before.nodes is after.nodes and self.scopes:
            return
        order = tuple(n for n in self.document.analysis.shapes if n in after.nodes)
        kinds = {n: after.nodes[n].layer.kind for n in order}
        families = {n: after.nodes[n].layer.family for n in order}
        for scope in self.scopes:
            scope.set_nodes(order, kinds, families)
        if self._all_nodes:
            self._ask()
