"""Edits, undo and redo: they never raise, and undoing everything leads back to where one began."""

from __future__ import annotations

import random
import sys
from dataclasses import replace

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import nnvis as nv
from nnvis.errors import GraphError
from nnvis.graph import INPUT
from ui.document import edits
from ui.document.analysis import analyse, working_graph
from ui.document.files import state_from_dict, state_to_dict
from ui.document.script import python_script
from ui.document.state import DocumentState, from_graph
from ui.history import MOST_STEPS, Document

LAYERS = [nv.Conv2d(4, 3), nv.ReLU(), nv.MaxPool2d(2), nv.Flatten(), nv.Linear(5), nv.Add(), nv.Concat()]
names = st.integers(0, 10**6)


class EditMachine(RuleBasedStateMachine):
    """A user who edits at random."""

    def __init__(self):
        super().__init__()
        self.first = DocumentState()
        self.document = Document(self.first)
        self.document.stack.setUndoLimit(0)  # back to the first state, however many edits there were

    def pick(self, number: int) -> str:
        return list(self.document.state.nodes)[number % len(self.document.state.nodes)]

    def has_nodes(self) -> bool:
        return bool(self.document.state.nodes)

    @rule(layer=st.sampled_from(LAYERS), number=names, wired=st.booleans())
    def add(self, layer, number, wired):
        state = self.document.state
        source = (self.pick(number) if state.nodes else INPUT) if wired else None
        self.document.apply("Add", edits.add_node(state, layer, (8.0 * number, 0.0), source)[0])

    @precondition(has_nodes)
    @rule(a=names, b=names, slot=st.integers(0, 3))
    def connect(self, a, b, slot):
        state, source, target = self.document.state, self.pick(a), self.pick(b)
        if edits.why_not(state, source, target, slot) is None:
            self.document.apply("Connect", edits.connect(state, source, target, slot))
        else:
            with pytest.raises(GraphError):
                edits.connect(state, source, target, slot)

    @precondition(has_nodes)
    @rule(number=names, heal=st.booleans())
    def delete(self, number, heal):
        self.document.apply("Delete", edits.delete(self.document.state, [self.pick(number)], heal))

    @precondition(has_nodes)
    @rule(number=names)
    def cut_a_wire(self, number):
        wires = self.document.state.wires()
        if wires:
            self.document.apply("Cut", edits.disconnect(self.document.state, [wires[number % len(wires)]]))

    @precondition(has_nodes)
    @rule(number=names, new=st.text("ab", max_size=3))
    def rename(self, number, new):
        try:
            self.document.apply("Rename", edits.rename(self.document.state, self.pick(number), new))
        except GraphError:
            assert not new or new in {*self.document.state.nodes, *self.document.state.blocks}

    @precondition(has_nodes)
    @rule(a=names, b=names)
    def copy_and_group(self, a, b):
        state = self.document.state
        chosen = {n: state.nodes[n] for n in {self.pick(a), self.pick(b)}}
        state, made = edits.paste(state, chosen)
        state, block = edits.group(state, made)
        self.document.apply("Duplicate", edits.collapse(state, block))

    @precondition(has_nodes)
    @rule(number=names, layer=st.sampled_from(LAYERS))
    def insert(self, number, layer):
        wires = self.document.state.wires()
        if wires:
            wire = wires[number % len(wires)]
            self.document.apply("Insert", edits.insert_on_wire(self.document.state, wire, layer, (0.0, 0.0))[0])

    @rule(count=st.integers(1, 5))
    def undo_and_redo(self, count):
        before = self.document.state
        done = [self.document.stack.undo() for _ in range(count) if self.document.stack.canUndo()]
        for _ in done:
            self.document.stack.redo()
        assert self.document.state == before

    @rule()
    def undo(self):
        self.document.stack.undo()

    @invariant()
    def every_wire_has_two_ends_and_blocks_hold_nodes(self):
        state = self.document.state
        assert all(s == INPUT or s in state.nodes for s, _, _ in state.wires())
        assert all(b.members and b.members <= set(state.nodes) for b in state.blocks.values())

    @invariant()
    def the_analysis_is_that_of_the_state_and_agrees_with_the_engine(self):
        analysis = self.document.analysis
        assert set(analysis.shapes) == {INPUT, *self.document.state.nodes}
        if analysis.works:
            shapes = working_graph(self.document.state).shapes()
            assert all(analysis.shapes[name] == shape for name, shape in shapes.items())

    def teardown(self):
        while self.document.stack.canUndo():
            self.document.stack.undo()
        assert self.document.state == self.first


EditMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=50, deadline=None)
TestRandomEdits = EditMachine.TestCase


def test_ten_thousand_random_edits_end_where_they_began():
    chance, machine = random.Random(1), EditMachine()
    for _ in range(10_000):
        act = chance.choice(["add", "connect", "delete", "delete", "cut", "group", "undo", "redo"])
        number, other = chance.randrange(10**6), chance.randrange(10**6)
        if act == "add":
            _add(machine, chance.choice(LAYERS), number)
        elif act == "undo":
            machine.document.stack.undo()
        elif act == "redo":
            machine.document.stack.redo()
        elif machine.has_nodes():
            _edit(machine, act, number, other)
        if len(machine.document.state.nodes) > 30:
            machine.document.apply("Delete all", edits.delete(machine.document.state, machine.document.state.nodes))
    machine.teardown()


def _add(machine: EditMachine, layer, number: int) -> None:
    state = machine.document.state
    source = machine.pick(number) if state.nodes else INPUT
    machine.document.apply("Add", edits.add_node(state, layer, (0.0, 0.0), source)[0])


def _edit(machine: EditMachine, act: str, number: int, other: int) -> None:
    state = machine.document.state
    a, b = machine.pick(number), machine.pick(other)
    if act == "connect" and edits.why_not(state, a, b, 0) is None:
        machine.document.apply("Connect", edits.connect(state, a, b, 0))
    elif act == "delete":
        machine.document.apply("Delete", edits.delete(state, [a], heal=number % 2 == 0))
    elif act == "cut" and state.wires():
        machine.document.apply("Cut", edits.disconnect(state, [state.wires()[number % len(state.wires())]]))
    elif act == "group":
        machine.document.apply("Group", edits.group(state, [a, b])[0])


@pytest.mark.parametrize("name", ["lenet5", "resnet20", "mlp"])
def test_a_zoo_network_goes_through_the_document_unchanged(name):
    graph = nv.zoo.build(name)
    state = from_graph(graph)
    assert analyse(state).works
    assert analyse(state).total_parameters == graph.num_parameters()
    assert working_graph(state).to_json() == graph.to_json()


def test_auxiliary_outputs_follow_their_nodes():
    graph = nv.zoo.build("googlenet", aux=True, num_classes=10, input_shape=(32, 32, 3))
    state = from_graph(graph)
    assert analyse(state).works
    assert working_graph(state).to_json() == graph.to_json()
    assert state_from_dict(state_to_dict(state)).aux_outputs == graph.aux_outputs
    renamed = edits.rename(state, "aux1.fc2", "first")
    assert renamed.aux_outputs == {"first": 0.3, "aux2.fc2": 0.3}
    assert working_graph(edits.delete(renamed, ["first"])).aux_outputs == {"aux2.fc2": 0.3}
    assert "g.add_aux_output(first, 0.3)" in python_script(renamed)


def test_changes_with_one_key_become_one_undo_step():
    document = Document(from_graph(nv.zoo.build("lenet5")))
    first = document.state
    for channels in (7, 8, 9):
        layer = nv.Conv2d(channels, 5)
        document.apply("Change", edits.set_layer(document.state, "conv1", layer), merge="conv1.out_channels")
    document.stack.undo()
    assert document.state == first


def test_faults_sit_on_their_nodes_and_the_rest_is_still_judged():
    state = from_graph(nv.zoo.build("lenet5"))
    analysis = analyse(edits.delete(state, ["conv2"]))
    assert not analysis.works
    assert "Connect" in next(iter(analysis.fault_of.values()))
    assert analysis.shapes["conv1"] == (28, 28, 6)


def test_deleting_with_healing_joins_the_neighbours():
    state = from_graph(nv.zoo.build("lenet5"))
    (reader, slot), before = state.readers("conv2")[0], state.nodes["conv2"].inputs[0]
    assert edits.delete(state, ["conv2"], heal=True).nodes[reader].inputs[slot] == before


def test_undo_goes_back_a_thousand_steps_and_no_further():
    document = Document(from_graph(nv.zoo.build("lenet5")))
    for x in range(1, MOST_STEPS + 501):
        document.apply("Move", edits.move(document.state, {"conv1": (float(x), 0.0)}))
    assert document.stack.count() == MOST_STEPS and not document.stack.isClean()
    while document.stack.canUndo():
        document.stack.undo()
    assert document.state.nodes["conv1"].position[0] == 500


def test_an_error_in_a_view_does_not_end_the_process_and_the_edit_holds(qapp, monkeypatch):
    document, said = Document(), []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: said.append(str(error)))

    def fail(before, after):
        raise ValueError("a view is broken")

    monkeypatch.setattr(document, "_show", lambda state: fail(document.state, state))
    document.apply("Rename", replace(document.state, name="other"))
    assert said == ["a view is broken"] and document.stack.count() == 1
