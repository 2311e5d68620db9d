"""Adding what the palette offers, in one undo step."""

from __future__ import annotations

from nnvis.graph import INPUT
from ui.document import blocks, edits
from ui.document.catalog import BY_KEY
from ui.document.state import Point, Wire
from ui.history import Document


def add_entry(
    document: Document,
    key: str,
    position: Point,
    source: str | None = None,
    wire: Wire | None = None,
    target: tuple[str, int] | None = None,
) -> list[str]:
    """Add a layer or block.

    Parameters
    ----------
    document : Document
    key : str
        Of the catalogue's entry.
    position : Point
    source : str, optional
        Node to read from. Without it: the selected node, if nothing reads it yet.
    wire : Wire, optional
        Put it into this wire instead.
    target : (str, int), optional
        Input that is to read from it.

    Returns
    -------
    list of str
        The new nodes.
    """
    state, entry = document.state, BY_KEY[key]
    if wire is not None:
        source, target = wire[0], (wire[1], wire[2])
    elif source is None and target is None:
        source = _waiting(document)
    after, names = entry.insert(state, position, source)
    if target is not None and edits.why_not(after, names[-1], *target) is None:
        after = edits.connect(after, names[-1], *target)
    document.apply(f"Add {entry.title}", after)
    return names


def _waiting(document: Document) -> str | None:
    """The selected node, or the input of an empty canvas, if nothing reads it yet."""
    state = document.state
    chosen = [blocks.exit_of(state, n) if n in state.blocks else n for n in document.selection]
    if len(chosen) == 1 and (chosen[0] in state.nodes or chosen[0] == INPUT) and not state.readers(chosen[0]):
        return chosen[0]
    return INPUT if not state.nodes else None


def select_end(document: Document, names: list[str]) -> None:
    """Select the last of some nodes that were added, or the collapsed block that stands for it."""
    away = blocks.hidden(document.state)
    document.select(away.get(name, name) for name in names[-1:])
