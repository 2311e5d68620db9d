"""Where nodes lie: a tidy layout from left to right, and free places for new ones.

Layers by longest path; edges that span layers get dummy nodes, so that wires have room; a few sweeps put nodes at the
middle of their neighbours (Sugiyama, Tagawa and Toda, 1981). A long network is then broken into lines, as text is, so
that the whole of it can be read at once.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable

from nnvis.graph import INPUT
from ui.document import edits
from ui.document.state import DocumentState, Point

#: Size of a node, and the gaps between nodes, in canvas units on a grid of 8.
NODE_WIDTH, NODE_HEIGHT = 152.0, 72.0
GAP_X, GAP_Y = 56.0, 40.0
_STEP_X, _STEP_Y = NODE_WIDTH + GAP_X, NODE_HEIGHT + GAP_Y
_SWEEPS = 6
#: Room between lines for the wires that lead back to the left; width of the whole beside its height; columns that a
#: line may be longer or shorter for the sake of fewer wires across its end.
_LINE_GAP, _ASPECT, _SEARCH = 32.0, 2.0, 4
#: Columns that fit a screen in one line.
_SHORT = 6


def tidy(state: DocumentState) -> DocumentState:
    """`state` with every node in a tidy place; the input stays at the left."""
    if not state.nodes:
        return edits.move(state, {INPUT: (0.0, 0.0)})
    layers = _layers(state)
    columns, neighbours = _columns(state, layers)
    rows = _rows(columns, neighbours)
    places: dict[str, Point] = {}
    top = 0.0
    for start, end in _lines(columns, rows):
        inside = [(c, n) for c in range(start, end) for n in columns[c] if isinstance(n, str)]
        highest, lowest = min(rows[n] for _, n in inside), max(rows[n] for _, n in inside)
        places |= {n: ((c - start) * _STEP_X, top + (rows[n] - highest) * _STEP_Y) for c, n in inside}
        top += (lowest - highest + 1) * _STEP_Y + _LINE_GAP
    shift = places[INPUT][1]
    return edits.move(state, {name: _snapped((x, y - shift)) for name, (x, y) in places.items()})


def _lines(columns: list[list[Item]], rows: dict[Item, float]) -> list[tuple[int, int]]:
    """First and last + 1 column of each line: about as many lines as make the whole as wide as a screen."""
    names = [[rows[n] for n in column if isinstance(n, str)] for column in columns]
    tall = max(max(c) - min(c) for c in names) + 1
    wide, high = len(columns) * _STEP_X, tall * _STEP_Y + _LINE_GAP
    count = max(1, round(math.sqrt(wide / (_ASPECT * high)))) if len(columns) > _SHORT else 1
    breaks = [0, *(_break(columns, round(k * len(columns) / count)) for k in range(1, count)), len(columns)]
    return [(start, end) for start, end in itertools.pairwise(breaks) if end > start]


def _break(columns: list[list[Item]], wanted: int) -> int:
    """Near the wanted column, the one before which the fewest wires pass."""
    near = range(max(1, wanted - _SEARCH), min(len(columns), wanted + _SEARCH + 1))
    return min(near, key=lambda c: (len(columns[c - 1]) + len(columns[c]), abs(c - wanted)))


def place_after(state: DocumentState, name: str) -> Point:
    """A free place to the right of a node."""
    x, y = state.position(name)
    x += _STEP_X
    taken = [node.position for node in state.nodes.values()]
    while any(abs(x - a) < NODE_WIDTH and abs(y - b) < NODE_HEIGHT for a, b in taken):
        y += _STEP_Y
    return x, y


def _snapped(place: Point) -> Point:
    return 8.0 * round(place[0] / 8), 8.0 * round(place[1] / 8)


def _layers(state: DocumentState) -> dict[str, int]:
    """The longest way from the input to each node; nodes on a cycle come last."""
    layers = {INPUT: 0}
    waiting = list(state.nodes)
    while waiting:
        ready = [n for n in waiting if all(i in layers or i is None for i in state.nodes[n].inputs)] or waiting
        for name in ready:
            layers[name] = 1 + max([layers.get(i, 0) for i in state.nodes[name].inputs if i is not None], default=0)
        done = set(ready)
        waiting = [name for name in waiting if name not in done]
    return layers


#: A node's name, or (source, target, layer) for the place where a long wire crosses a layer.
Item = str | tuple[str, str, int]


def _columns(state: DocumentState, layers: dict[str, int]) -> tuple[list[list[Item]], dict[Item, list[Item]]]:
    columns: list[list[Item]] = [[] for _ in range(max(layers.values()) + 1)]
    neighbours: dict[Item, list[Item]] = defaultdict(list)
    for name, layer in layers.items():
        columns[layer].append(name)
    for source, target, _ in state.wires():
        last: Item = source
        for layer in range(layers[source] + 1, layers[target]):
            dummy: Item = (source, target, layer)
            if dummy not in neighbours:
                columns[layer].append(dummy)
            _link(neighbours, last, dummy)
            last = dummy
        _link(neighbours, last, target)
    return columns, neighbours


def _link(neighbours: dict[Item, list[Item]], left: Item, right: Item) -> None:
    neighbours[left].append(right)
    neighbours[right].append(left)


def _rows(columns: list[list[Item]], neighbours: dict[Item, list[Item]]) -> dict[Item, float]:
    """A row for each item: near the middle of its neighbours, at least one row apart within a column."""
    rows: dict[Item, float] = {}
    for column in columns:
        rows.update({item: float(place) for place, item in enumerate(column)})
    where = {item: number for number, column in enumerate(columns) for item in column}
    for sweep in range(_SWEEPS):
        forward = sweep % 2 == 0
        for number in range(len(columns)) if forward else reversed(range(len(columns))):
            wanted = {}
            for item in columns[number]:
                side = [n for n in neighbours[item] if (where[n] < number) == forward]
                wanted[item] = _middle(item, side, rows)
            _place(columns[number], wanted, rows)
    return rows


def _middle(item: Item, side: list[Item], rows: dict[Item, float]) -> float:
    """Where an item wants to be: a node beside its neighbours that are nodes, so that passing wires do not bend it."""
    counted = [n for n in side if isinstance(n, str)] if isinstance(item, str) else side
    counted = counted or side
    return sum(rows[n] for n in counted) / len(counted) if counted else rows[item]


def _place(column: list[Item], wanted: dict[Item, float], rows: dict[Item, float]) -> None:
    """Order a column as wanted and spread it around the wanted middle; a lone item gets just what it wants."""
    # Of two that want the same place the node stays on the main line and the passing wire gives way.
    ordered = sorted(column, key=lambda item: (wanted[item], not isinstance(item, str), str(item)))
    column[:] = ordered
    places: list[float] = []
    for item in ordered:
        places.append(max(wanted[item], places[-1] + 1) if places else wanted[item])
    names = [i for i, item in enumerate(ordered) if isinstance(item, str)] or list(range(len(ordered)))
    shift = sum(wanted[ordered[i]] - places[i] for i in names) / len(names)
    rows.update({item: place + shift for item, place in zip(ordered, places, strict=True)})


def bounds(state: DocumentState, names: Iterable[str]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of some nodes."""
    places = [state.position(name) for name in names]
    left, top = min(x for x, _ in places), min(y for _, y in places)
    return left, top, max(x for x, _ in places) + NODE_WIDTH, max(y for _, y in places) + NODE_HEIGHT
