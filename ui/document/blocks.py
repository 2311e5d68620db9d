"""Blocks on the canvas: which lies in which, what a collapsed one hides, and where wires enter and leave it."""

from __future__ import annotations

from collections.abc import Iterable

from ui.document.state import Block, DocumentState


def outer_first(state: DocumentState) -> list[tuple[str, Block]]:
    """All blocks, each in front of those that lie in it."""
    return sorted(state.blocks.items(), key=lambda pair: -len(pair[1].members))


def parents(state: DocumentState) -> dict[str, str | None]:
    """The innermost block around each node and around each block; None for those in no block."""
    found: dict[str, str | None] = dict.fromkeys(state.nodes)
    for name, block in outer_first(state):
        found[name] = found.get(next(iter(block.members)))
        found |= dict.fromkeys(block.members, name)
    return found


def hidden(state: DocumentState) -> dict[str, str]:
    """For every node that a collapsed block hides, the outermost such block."""
    found: dict[str, str] = {}
    for name, block in outer_first(state):
        if block.collapsed and found.keys().isdisjoint(block.members):
            found |= dict.fromkeys(block.members, name)
    return found


def shown(state: DocumentState) -> list[tuple[str, Block]]:
    """The blocks that no collapsed block hides, outer ones first."""
    found: dict[str, Block] = {}
    around = parents(state)
    for name, block in outer_first(state):
        holder = around[name]
        if holder is None or (holder in found and not found[holder].collapsed):
            found[name] = block
    return list(found.items())


def shown_alone(state: DocumentState) -> dict[str, list[str]]:
    """Every node or collapsed block that is drawn, with the nodes it stands for."""
    away = hidden(state)
    boxes = {name: [name] for name in state.nodes if name not in away}
    for node, block in away.items():
        boxes.setdefault(block, []).append(node)
    return boxes


def levels(state: DocumentState) -> dict[str, int]:
    """How many frames are drawn around each other within an open block, its own among them; 0 for a collapsed one."""
    found, above = dict.fromkeys(state.blocks, 0), parents(state)
    for name, block in reversed(shown(state)):
        found[name] = 0 if block.collapsed else found[name] + 1
        if (parent := above[name]) is not None:
            found[parent] = max(found[parent], found[name])
    return found


def nested(blocks: Iterable[Block]) -> bool:
    """Whether of any two blocks one holds the other or none of its nodes."""
    ordered = sorted(blocks, key=lambda block: -len(block.members))
    around: dict[str, Block] = {}
    for block in ordered:
        holders = {id(around.get(name)) for name in block.members}
        if len(holders) > 1:
            return False
        around |= dict.fromkeys(block.members, block)
    return True


def in_order(state: DocumentState, members: Iterable[str]) -> list[str]:
    """Nodes as they were made, without a walk through all others."""
    return sorted(members, key=lambda name: state.nodes[name].born)


def entries(state: DocumentState, name: str) -> list[tuple[str, int]]:
    """(node, number of its input) wherever one wire to a block should lead: all that wait, or else read one source."""
    members = state.blocks[name].members
    outside = [
        (source, (node, slot))
        for node in in_order(state, members)
        for slot, source in enumerate(state.nodes[node].inputs)
        if source is None or source not in members
    ]  # fmt: skip
    wanted = None if any(source is None for source, _ in outside) else next((s for s, _ in outside), None)
    return [place for source, place in outside if source == wanted]


def exit_of(state: DocumentState, name: str) -> str:
    """The node whose output is the block's: the last one that something outside reads, or that nothing reads."""
    members = state.blocks[name].members
    ordered = in_order(state, members)
    inside = {source for node in ordered for source in state.nodes[node].inputs}
    ends = [node for node in ordered if node not in inside]
    if len(ends) != 1:
        read = {s for s, target, _ in state.wires() if s in members and target not in members}
        ends = [node for node in ordered if node in read] or ends
    return ends[-1] if ends else ordered[-1]


def short_names(state: DocumentState) -> dict[str, str]:
    """What nodes and blocks within a block are called there: ``conv1`` for ``layer1.0.conv1`` within ``layer1.0``."""
    return {
        name: name.removeprefix(f"{around}.") for name, around in parents(state).items() if around is not None
    }  # fmt: skip
