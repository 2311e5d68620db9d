"""Edits: functions from one state to the next. None of them changes its argument, and none draws anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from nnvis.errors import GraphError
from nnvis.graph import INPUT
from nnvis.layers.base import Layer, Shape
from ui.document.state import Block, DocumentState, NodeState, Point, Wire, slots


def add_node(
    state: DocumentState, layer: Layer, position: Point, source: str | None = None, name: str | None = None
) -> tuple[DocumentState, str]:
    """Add a layer, with its first input from `source` if given; returns its name, too."""
    name = state.free_name(name or layer.kind.lower())
    inputs = slots(layer, (source,)) if source is not None else slots(layer)
    return state.with_node(name, NodeState(layer, inputs, position)), name


def why_not(state: DocumentState, source: str, target: str, slot: int) -> str | None:
    """Why a wire cannot be: it would close a cycle, or an end is missing. None if it can."""
    if target == INPUT:
        return "The input takes no wire: it is where the data enter."
    if target not in state.nodes or (source != INPUT and source not in state.nodes):
        return "One end of the wire does not exist."
    if source == target or reaches(state, target, source):
        return f"{source} already depends on {target}: the wire would close a cycle."
    arity = state.nodes[target].layer.arity
    if arity is not None and slot >= arity:
        return f"{target} takes {arity} input{'s' * (arity != 1)}."
    return None


def reaches(state: DocumentState, start: str, goal: str) -> bool:
    """Whether values of `start` flow into `goal`."""
    seen, waiting = set(), [goal]
    while waiting:
        name = waiting.pop()
        if name == start:
            return True
        if name in state.nodes and name not in seen:
            seen.add(name)
            waiting.extend(i for i in state.nodes[name].inputs if i is not None)
    return False


def connect(state: DocumentState, source: str, target: str, slot: int) -> DocumentState:
    """Connect `source` to input number `slot` of `target`, in place of what was there.

    Raises
    ------
    GraphError
        With the reason of :func:`why_not`.
    """
    reason = why_not(state, source, target, slot)
    if reason:
        raise GraphError(reason, target)
    node = state.nodes[target]
    inputs = [*node.inputs, *[None] * (slot + 1 - len(node.inputs))]
    inputs[slot] = source
    return state.with_node(target, replace(node, inputs=tuple(inputs)))


def disconnect(state: DocumentState, wires: Iterable[Wire]) -> DocumentState:
    """Take wires away; a join keeps at least two places."""
    gone = {(target, slot) for _, target, slot in wires}
    nodes = dict(state.nodes)
    for name in {target for target, _ in gone if target in nodes}:
        node = nodes[name]
        inputs = tuple(None if (name, slot) in gone else source for slot, source in enumerate(node.inputs))
        nodes[name] = replace(node, inputs=_compact(node.layer, inputs))
    return state.with_nodes(nodes)


def _compact(layer: Layer, inputs: tuple[str | None, ...]) -> tuple[str | None, ...]:
    """A layer that joins any number of inputs has no empty places beyond its first two."""
    if layer.arity is not None or len(inputs) <= 2:
        return inputs
    return slots(layer, tuple(i for i in inputs if i is not None))


def delete(state: DocumentState, names: Iterable[str], heal: bool = False) -> DocumentState:
    """Delete nodes with their wires.

    Parameters
    ----------
    heal : bool
        Let the readers of a deleted node with one input read that input instead.
    """
    gone = set(names) & set(state.nodes)

    def after(source: str | None) -> str | None:
        while heal and source in gone and len(state.nodes[source].inputs) == 1:
            source = state.nodes[source].inputs[0]
        return None if source in gone else source

    nodes = {
        name: replace(node, inputs=_compact(node.layer, tuple(after(i) for i in node.inputs)))
        if gone.intersection(node.inputs) else node
        for name, node in state.nodes.items() if name not in gone
    }  # fmt: skip
    output = None if state.output in gone else state.output
    aux = {name: weight for name, weight in state.aux_outputs.items() if name not in gone}
    state = state.with_nodes(nodes, output=output, aux_outputs=MappingProxyType(aux))
    return _with_blocks(state, {n: b.members - gone for n, b in state.blocks.items()})


def _with_blocks(state: DocumentState, members: Mapping[str, frozenset[str]]) -> DocumentState:
    kept = {n: replace(state.blocks[n], members=m) for n, m in members.items() if m}
    return replace(state, blocks=MappingProxyType(kept))


def move(state: DocumentState, places: Mapping[str, Point]) -> DocumentState:
    """Put nodes (or "input") elsewhere."""
    nodes = {n: replace(node, position=places[n]) if n in places else node for n, node in state.nodes.items()}
    return state.with_nodes(nodes, input_position=places.get(INPUT, state.input_position))


def set_layer(state: DocumentState, name: str, layer: Layer) -> DocumentState:
    """Give a node other hyper-parameters."""
    node = state.nodes[name]
    return state.with_node(name, replace(node, layer=layer))


def rename(state: DocumentState, old: str, new: str) -> DocumentState:
    """Call a node `new`; GraphError if the name is empty or taken."""
    new = new.strip()
    if new == old:
        return state
    _check_free(state, old, new, "node")

    def called(name: str | None) -> str | None:
        return new if name == old else name

    nodes = {
        called(n): replace(s, inputs=tuple(map(called, s.inputs))) if old in s.inputs else s
        for n, s in state.nodes.items()
    }
    blocks = {n: replace(b, members=frozenset(map(called, b.members))) for n, b in state.blocks.items()}
    aux = MappingProxyType({called(n): weight for n, weight in state.aux_outputs.items()})
    return state.with_nodes(nodes, output=called(state.output), aux_outputs=aux, blocks=MappingProxyType(blocks))


def insert_on_wire(state: DocumentState, wire: Wire, layer: Layer, position: Point) -> tuple[DocumentState, str]:
    """Put a layer into a wire; returns the new node's name, too."""
    source, target, slot = wire
    state, name = add_node(state, layer, position, source)
    return connect(state, name, target, slot), name


def set_output(state: DocumentState, name: str | None) -> DocumentState:
    """Make `name` the network's output."""
    return replace(state, output=name)


def set_aux_output(state: DocumentState, name: str, weight: float) -> DocumentState:
    """Train on the output of `name`, too, with this weight in the loss; 0: do not."""
    rest = {n: w for n, w in state.aux_outputs.items() if n != name}
    return replace(state, aux_outputs=MappingProxyType({**rest, name: weight} if weight else rest))


def set_input_shape(state: DocumentState, shape: Shape) -> DocumentState:
    """Change the shape of one example."""
    return replace(state, input_shape=tuple(shape))


def group(state: DocumentState, names: Iterable[str], name: str = "block", kind: str = "") -> tuple[DocumentState, str]:
    """Make a block of nodes, in or around other blocks; those that it would cut lose the nodes."""
    members = frozenset(names) & set(state.nodes)
    whole = {n for n, b in state.blocks.items() if b.members < members or members < b.members}
    rest = {n: b.members if n in whole else b.members - members for n, b in state.blocks.items()}
    state = _with_blocks(state, rest)
    name = state.free_name(name)
    return replace(state, blocks=MappingProxyType({**state.blocks, name: Block(members, kind=kind)})), name


def ungroup(state: DocumentState, name: str) -> DocumentState:
    """Dissolve a block; its nodes stay."""
    return replace(state, blocks=MappingProxyType({n: b for n, b in state.blocks.items() if n != name}))


def rename_block(state: DocumentState, old: str, new: str) -> DocumentState:
    """Call a block `new`; GraphError if the name is empty or taken."""
    new = new.strip()
    if new == old:
        return state
    _check_free(state, old, new, "block")
    return replace(state, blocks=MappingProxyType({new if n == old else n: b for n, b in state.blocks.items()}))


def _check_free(state: DocumentState, old: str, new: str, what: str) -> None:
    if not new or new == INPUT or new in state.nodes or new in state.blocks:
        raise GraphError(f"A {what} cannot be called {new!r}: the name is {'empty' if not new else 'taken'}.", old)


def collapse(state: DocumentState, name: str, collapsed: bool = True) -> DocumentState:
    """Draw a block as one node, or open it."""
    changed = replace(state.blocks[name], collapsed=collapsed)
    return replace(state, blocks=MappingProxyType({**state.blocks, name: changed}))


def paste(
    state: DocumentState,
    nodes: Mapping[str, NodeState],
    offset: Point = (32.0, 32.0),
    blocks: Mapping[str, Block] = MappingProxyType({}),
) -> tuple[DocumentState, list[str]]:
    """Add copies of `nodes` under free names; wires among them are kept, others stay if their source exists.

    So are `blocks`, all of whose members are among the nodes.
    """
    names: dict[str, str] = {}
    grown = dict(state.nodes)
    for name in nodes:
        names[name] = replace(state, nodes=grown).free_name(name)
        grown[names[name]] = nodes[name]
    for name, node in nodes.items():
        inputs = tuple(names.get(i) if i in names else (i if i == INPUT or i in state.nodes else None)
                       for i in node.inputs)  # fmt: skip
        place = node.position[0] + offset[0], node.position[1] + offset[1]
        grown[names[name]] = NodeState(node.layer, inputs, place)
    state = state.with_nodes(grown)
    for name, block in blocks.items():
        copied = replace(block, members=frozenset(names[m] for m in block.members))
        state = replace(state, blocks=MappingProxyType({**state.blocks, state.free_name(name): copied}))
    return state, list(names.values())


def blocks_among(state: DocumentState, names: Iterable[str]) -> dict[str, Block]:
    """The blocks all of whose nodes are among `names`."""
    chosen = set(names)
    return {n: b for n, b in state.blocks.items() if b.members <= chosen}


def feed(state: DocumentState, source: str, places: Iterable[tuple[str, int]]) -> DocumentState:
    """Connect `source` to several inputs, as of a collapsed block; GraphError if one of them cannot be."""
    for target, slot in places:
        state = connect(state, source, target, slot)
    return state
