"""The profile of a training step names every node and leaves nothing out."""

from __future__ import annotations

import pytest

import nnvis as nv
from nnvis.bench.profile import EXTRAS, profile
from nnvis.fusion import covers
from nnvis.graph import Node
from nnvis.plan import Mode


def planned(graph: nv.Graph, batch: int) -> list[Node]:
    """The nodes that run in a training step."""
    return nv.Network(graph).plan(batch, Mode(training=True, backward=True)).nodes


@pytest.fixture(scope="module")
def lenet():
    return profile(nv.zoo.lenet5(), 8, steps=3)


def test_every_node_and_what_belongs_to_none_is_there(lenet):
    order = [node.name for node in planned(nv.zoo.lenet5(), 8)]  # some under the names of pools and activations
    assert [node.name for node in lenet.nodes] == order + list(EXTRAS)
    assert all(node.seconds >= 0 for node in lenet.nodes)
    assert {node.name for node in lenet.nodes if node.forward > 0} >= {"pool1", "pool2", "act3", "loss", "update"}


def test_kinds_add_up_to_the_total(lenet):
    assert sum(kind.seconds for kind in lenet.by_kind()) == pytest.approx(lenet.total)
    assert [node.seconds for node in lenet.longest(3)] == sorted((n.seconds for n in lenet.nodes), reverse=True)[:3]


def test_work_is_that_of_the_formula_and_the_first_layer_has_no_input_gradient(lenet):
    runs_in = {name: node.name for node in planned(nv.zoo.lenet5(), 8) for name in covers(node)}
    conv1, conv2 = (next(n for n in lenet.nodes if n.name == runs_in[name]) for name in ("conv1", "conv2"))
    assert conv1.flops == 2 * 8 * 28 * 28 * 6 * 25 and conv1.backward_flops == conv1.flops
    assert conv2.flops == 2 * 8 * 10 * 10 * 16 * 25 * 6 and conv2.backward_flops == 2 * conv2.flops


def test_the_roof_is_what_arithmetic_or_memory_allows(lenet):
    peak, act3 = lenet.peak, next(n for n in lenet.nodes if n.name == "act3")  # fc1 and the activation behind it
    x, y, weights = 4 * 8 * 400, 4 * 8 * 120, 4 * (400 * 120 + 120)
    ways = (act3.flops, x + y + weights), (act3.backward_flops, 2 * x + 2 * y + 2 * weights)
    assert act3.roof == pytest.approx(sum(max(f / peak.gflops, b / peak.gigabytes) / 1e9 for f, b in ways))
    assert all(node.roof >= 0 for node in lenet.nodes)
    assert next(n for n in lenet.nodes if n.kind == "Flatten").roof == 0
    update = next(n for n in lenet.nodes if n.name == "update")
    assert update.roof == pytest.approx(5 * 4 * 61_706 / peak.gigabytes / 1e9)
