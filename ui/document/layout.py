"""Where nodes lie: a tidy layout from left to right, and free places for new ones.

Layers by longest path; edges that span layers get dummy nodes, so that wires have room; a few sweeps put nodes at the
middle of their neighbours (Sugiyama, Tagawa and Toda, 1981). The inside of a block is laid out first, and the block is
then one large node among the others. A long network is broken into lines, as text is, so that the whole of it can be
read at once.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from nnvis.graph import INPUT
from ui.document import edits
from ui.document.blocks import exit_of, in_order, levels, outer_first, parents, shown_alone
from ui.document.state import DocumentState, Point

#: Size of a node, and the gaps between nodes, in canvas units on a grid of 8.
NODE_WIDTH, NODE_HEIGHT = 152.0, 72.0
GAP_X, GAP_Y = 56.0, 40.0
_STEP_X, _STEP_Y = NODE_WIDTH + GAP_X, NODE_HEIGHT + GAP_Y
_SWEEPS = 6
#: What the frame of an open block takes at each side, and above for its name.
FRAME, TITLE = 16.0, 28.0
#: Room between lines for the wires that lead back to the left; width of the whole beside its height; columns that a
#: line may be longer or shorter for the sake of fewer wires across its end.
LINE_GAP, _ASPECT, _SEARCH = 32.0, 2.0, 4
#: Columns that fit a screen in one line.
_SHORT = 6

#: A name, or (source, target, layer) for the place where a long wire crosses a layer.
Item = str | tuple[str, str, int]
Rect = tuple[float, float, float, float]


@dataclass
class _Box:
    """Room for a node or a block: its width, and rows above and below the one in which wires enter and leave it."""

    width: float = NODE_WIDTH
    up: float = 0.0
    down: float = 0.0
    #: Places of the nodes within, from the left end of that row.
    inside: dict[str, Point] = field(default_factory=dict)


@dataclass
class _Net:
    """Items with wires among them, and the room that each takes."""

    boxes: dict[str, _Box]
    wires: list[tuple[str, str]]

    def of(self, item: Item) -> _Box:
        return self.boxes[item] if isinstance(item, str) else _DUMMY


_DUMMY = _Box()


def tidy(state: DocumentState) -> DocumentState:
    """`state` with every node in a tidy place; the input stays at the left."""
    if not state.nodes:
        return edits.move(state, {INPUT: (0.0, 0.0)})
    net = _nets(state)
    columns, rows = _arranged(net)
    places: dict[str, Point] = {}
    top = 0.0
    for start, end in _lines(columns, rows, net):
        highest, lowest = _span(columns[start:end], rows, net)
        line = _places(columns[start:end], rows, net)
        places |= {name: (x, top + y - highest * _STEP_Y) for name, (x, y) in line.items()}
        top += (lowest - highest + 1) * _STEP_Y + LINE_GAP
    shift = places[INPUT][1]
    return edits.move(state, {name: _snapped((x, y - shift)) for name, (x, y) in places.items()})


def tidy_block(state: DocumentState, name: str, place: Point) -> DocumentState:
    """`state` with the nodes of one block in tidy places, the block's left top at `place`."""
    inside = _boxes(state)[name].inside
    left, top = min(x for x, _ in inside.values()), min(y for _, y in inside.values())
    return edits.move(state, {n: _snapped((place[0] + x - left, place[1] + y - top)) for n, (x, y) in inside.items()})


# --- blocks -----------------------------------------------------------------------------------------------


def _nets(state: DocumentState) -> _Net:
    """The outermost nodes and blocks."""
    boxes, around = _boxes(state), parents(state)
    outermost = {name: boxes.get(name) or _Box() for name, parent in around.items() if parent is None}
    return _net(state, state.nodes, {INPUT: _Box(), **outermost}, None, around)


def _boxes(state: DocumentState) -> dict[str, _Box]:
    """Room for every block, laid out from the innermost to the outermost."""
    boxes: dict[str, _Box] = {}
    around, depth = parents(state), levels(state)
    for name, block in reversed(outer_first(state)):
        members = in_order(state, block.members)
        inside = {child: boxes.get(child) or _Box() for child in (_child(m, name, around) for m in members)}
        net = _net(state, members, inside, name, around)
        columns, rows = _arranged(net)
        boxes[name] = _framed(net, columns, rows, _child(exit_of(state, name), name, around), depth[name])
        if block.collapsed:
            boxes[name] = _as_node(boxes[name])
    return boxes


def _net(
    state: DocumentState, nodes: Iterable[str], boxes: dict[str, _Box], block: str | None, around: dict[str, str | None]
) -> _Net:
    """The wires that lead to `nodes` from others of these items, each once."""
    ends = {
        (_child(source, block, around), _child(target, block, around)): None
        for target in nodes for source in state.nodes[target].inputs if source is not None
    }  # fmt: skip
    return _Net(boxes, [(s, t) for s, t in ends if s != t and s in boxes and t in boxes])


def _child(name: str, block: str | None, around: dict[str, str | None]) -> str:
    """What stands for a node directly within `block`: itself, or a block that it lies in."""
    while around.get(name) is not None and around[name] != block:
        name = around[name]  # type: ignore[assignment]
    return name


def _framed(net: _Net, columns: list[list[Item]], rows: dict[Item, float], last: str, level: int) -> _Box:
    """The room of an open block: wires pass it in the row of its last node."""
    highest, lowest = _span(columns, rows, net)
    inside = {n: (x, y - rows[last] * _STEP_Y) for n, (x, y) in _places(columns, rows, net).items()}
    side, frame = FRAME * max(0, level - 1), TITLE * level / _STEP_Y
    inside = {name: (x + side, y) for name, (x, y) in inside.items()}
    width = _width(columns, net) + 2 * side
    return _Box(width, rows[last] - highest + frame, lowest - rows[last] + frame / 2, inside)


def _as_node(box: _Box) -> _Box:
    """The room of a collapsed block; the nodes within begin where it is drawn."""
    left, top = min(x for x, _ in box.inside.values()), min(y for _, y in box.inside.values())
    return _Box(inside={name: (x - left, y - top) for name, (x, y) in box.inside.items()})


def _arranged(net: _Net) -> tuple[list[list[Item]], dict[Item, float]]:
    columns, neighbours = _columns(net, _layers(net))
    return columns, _rows(columns, neighbours, net)


def _places(columns: list[list[Item]], rows: dict[Item, float], net: _Net) -> dict[str, Point]:
    """Places of all nodes in some columns, also of those within blocks; the first row is number 0."""
    places: dict[str, Point] = {}
    left = 0.0
    for column in columns:
        for name in _names(column):
            box, y = net.boxes[name], rows[name] * _STEP_Y
            places |= {n: (left + dx, y + dy) for n, (dx, dy) in box.inside.items()} or {name: (left, y)}
        left += _width([column], net) + GAP_X
    return places


def _names(column: Iterable[Item]) -> list[str]:
    return [item for item in column if isinstance(item, str)]


def _width(columns: list[list[Item]], net: _Net) -> float:
    return sum(max(net.of(item).width for item in column) + GAP_X for column in columns) - GAP_X


def _span(columns: list[list[Item]], rows: dict[Item, float], net: _Net) -> tuple[float, float]:
    """The highest and the lowest row that nodes take."""
    names = [name for column in columns for name in _names(column)]
    return min(rows[n] - net.boxes[n].up for n in names), max(rows[n] + net.boxes[n].down for n in names)


# --- lines ------------------------------------------------------------------------------------------------


def _lines(columns: list[list[Item]], rows: dict[Item, float], net: _Net) -> list[tuple[int, int]]:
    """First and last + 1 column of each line: about as many lines as make the whole as wide as a screen."""
    spans = [_span([column], rows, net) for column in columns if _names(column)]
    tall = max(lowest - highest for highest, lowest in spans) + 1
    ends = list(itertools.accumulate(_width([column], net) + GAP_X for column in columns))
    wide, high = ends[-1], tall * _STEP_Y + LINE_GAP
    count = max(1, round(math.sqrt(wide / (_ASPECT * high)))) if wide > _SHORT * _STEP_X else 1
    breaks = [0, *(_break(columns, ends, k * wide / count) for k in range(1, count)), len(columns)]
    return [(start, end) for start, end in itertools.pairwise(breaks) if end > start]


def _break(columns: list[list[Item]], ends: list[float], wanted: float) -> int:
    """Near the wanted place, the column before which the fewest wires pass."""
    far = {column: abs(ends[column - 1] - wanted) for column in range(1, len(columns))}
    near = [column for column, way in far.items() if way <= _SEARCH * _STEP_X] or [min(far, key=far.__getitem__)]
    return min(near, key=lambda c: (len(columns[c - 1]) + len(columns[c]), far[c]))


def place_after(state: DocumentState, name: str) -> Point:
    """A free place to the right of a node or a collapsed block."""
    drawn = rects(state)
    x, y = drawn[name][:2] if name in drawn else state.position(name)
    x += _STEP_X
    taken = [rect[:2] for rect in drawn.values()]
    while any(abs(x - a) < NODE_WIDTH and abs(y - b) < NODE_HEIGHT for a, b in taken):
        y += _STEP_Y
    return x, y


def _snapped(place: Point) -> Point:
    return 8.0 * round(place[0] / 8), 8.0 * round(place[1] / 8)


# --- columns and rows -------------------------------------------------------------------------------------


def _layers(net: _Net) -> dict[str, int]:
    """The longest way to each item; those on a cycle come last."""
    sources: dict[str, list[str]] = {name: [] for name in net.boxes}
    for source, target in net.wires:
        sources[target].append(source)
    layers = {INPUT: 0} if INPUT in net.boxes else {}
    first = len(layers)
    waiting = [name for name in net.boxes if name not in layers]
    while waiting:
        ready = [n for n in waiting if all(i in layers for i in sources[n])] or waiting
        for name in ready:
            layers[name] = max([first, *(1 + layers[i] for i in sources[name] if i in layers)])
        done = set(ready)
        waiting = [name for name in waiting if name not in done]
    return layers


def _columns(net: _Net, layers: dict[str, int]) -> tuple[list[list[Item]], dict[Item, list[Item]]]:
    columns: list[list[Item]] = [[] for _ in range(max(layers.values()) + 1)]
    neighbours: dict[Item, list[Item]] = defaultdict(list)
    for name, layer in layers.items():
        columns[layer].append(name)
    for source, target in net.wires:
        last: Item = source
        for layer in range(layers[source] + 1, layers[target]):
            dummy: Item = (source, target, layer)
            columns[layer].append(dummy)
            _link(neighbours, last, dummy)
            last = dummy
        _link(neighbours, last, target)
    return columns, neighbours


def _link(neighbours: dict[Item, list[Item]], left: Item, right: Item) -> None:
    neighbours[left].append(right)
    neighbours[right].append(left)


def _rows(columns: list[list[Item]], neighbours: dict[Item, list[Item]], net: _Net) -> dict[Item, float]:
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
            _place(columns[number], wanted, rows, net)
    return rows


def _middle(item: Item, side: list[Item], rows: dict[Item, float]) -> float:
    """Where an item wants to be: a node beside its neighbours that are nodes, so that passing wires do not bend it."""
    counted = [n for n in side if isinstance(n, str)] if isinstance(item, str) else side
    counted = counted or side
    return sum(rows[n] for n in counted) / len(counted) if counted else rows[item]


def _place(column: list[Item], wanted: dict[Item, float], rows: dict[Item, float], net: _Net) -> None:
    """Order a column as wanted and spread it around the wanted middle; a lone item gets just what it wants."""
    # Of two that want the same place the node stays on the main line and the passing wire gives way.
    ordered = sorted(column, key=lambda item: (wanted[item], not isinstance(item, str), str(item)))
    column[:] = ordered
    places: list[float] = []
    for number, item in enumerate(ordered):
        least = places[-1] + net.of(ordered[number - 1]).down + 1 + net.of(item).up if places else wanted[item]
        places.append(max(wanted[item], least))
    names = [i for i, item in enumerate(ordered) if isinstance(item, str)] or list(range(len(ordered)))
    shift = sum(wanted[ordered[i]] - places[i] for i in names) / len(names)
    rows.update({item: place + shift for item, place in zip(ordered, places, strict=True)})


def bounds(state: DocumentState, names: Iterable[str]) -> Rect:
    """Left, top, right and bottom of some nodes."""
    places = [state.position(name) for name in names]
    left, top = min(x for x, _ in places), min(y for _, y in places)
    return left, top, max(x for x, _ in places) + NODE_WIDTH, max(y for _, y in places) + NODE_HEIGHT


def rects(state: DocumentState) -> dict[str, Rect]:
    """Left, top, right and bottom of the input and of all that is drawn as one node."""
    found = {}
    for name, nodes in {INPUT: [INPUT], **shown_alone(state)}.items():
        left, top, *_ = bounds(state, nodes)
        found[name] = left, top, left + NODE_WIDTH, top + NODE_HEIGHT
    return found


def union(rects: Iterable[Rect]) -> Rect:
    """The smallest rectangle around some."""
    lefts, tops, rights, bottoms = zip(*rects, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def frames(state: DocumentState) -> dict[str, Rect]:
    """The frame around every open block that is drawn, outer ones first."""
    drawn, depth, away = rects(state), levels(state), shown_alone(state)
    stands = {node: name for name, nodes in away.items() for node in nodes}
    found = {}
    for name, block in outer_first(state):
        if depth[name]:
            left, top, right, bottom = union(drawn[stands[node]] for node in block.members)
            side = FRAME * depth[name]
            found[name] = left - side, top - TITLE * depth[name], right + side, bottom + side
    return found
