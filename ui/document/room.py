"""Opening and closing blocks: what lies around one makes room for it, or moves together again."""

from __future__ import annotations

from nnvis.graph import INPUT
from ui.document import edits
from ui.document.blocks import parents
from ui.document.layout import GAP_X, GAP_Y, LINE_GAP, Rect, frames, rects
from ui.document.state import DocumentState, Point


def toggle(state: DocumentState, name: str) -> DocumentState:
    """Open a collapsed block, or draw an open one as one node."""
    before = _rects(state)
    after = edits.collapse(state, name, not state.blocks[name].collapsed)
    around = parents(state)
    inner: str | None = name
    while inner is not None:
        old, new = before[inner], _rects(after)[inner]
        beside = [n for n in (*around, INPUT) if around.get(n) == around[inner] and n != inner and n in before]
        after = edits.move(after, _moved(after, {n: before[n] for n in beside}, old, new))
        inner = around[inner]
    return after


def _rects(state: DocumentState) -> dict[str, Rect]:
    """Of all that is drawn, blocks with their frames."""
    return rects(state) | frames(state)


def _moved(state: DocumentState, beside: dict[str, Rect], old: Rect, new: Rect) -> dict[str, Point]:
    """New places of the nodes beside something that grew or shrank."""
    right = [n for n, r in beside.items() if r[0] >= old[2] and r[1] < old[3] and r[3] > old[1]]
    below = [n for n, r in beside.items() if r[1] >= old[3]]
    dx = _shift(new[2] - old[2], [beside[n][0] for n in right], new[2], GAP_X)
    dy = _shift(new[3] - old[3], [beside[n][1] for n in below], new[3], GAP_Y + LINE_GAP)
    shifts = dict.fromkeys(right, (dx, 0.0)) | dict.fromkeys(below, (0.0, dy))
    return {
        node: (state.position(node)[0] + x, state.position(node)[1] + y)
        for name, (x, y) in shifts.items()
        for node in (state.blocks[name].members if name in state.blocks else (name,))
    }


def _shift(growth: float, starts: list[float], end: float, gap: float) -> float:
    """How far what starts behind something moves with its end: as far as that, or not at all if there is room."""
    roomy = growth > 0 and min(starts, default=end) >= end + gap
    return 0.0 if roomy or not starts else growth
