"""Wires find their way around nodes, text can be read at every zoom, and a node step shows its tensors."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPointF

import nnvis as nv
from ui.canvas.export import picture_file
from ui.canvas.routing import route
from ui.canvas.step_card import StepCard, tensor_picture, tensors
from ui.canvas.view import CanvasView
from ui.document.layout import tidy
from ui.document.state import from_graph
from ui.history import Document
from ui.session.messages import NodeStep


@pytest.fixture
def canvas(qtbot):
    view = CanvasView(Document(tidy(from_graph(nv.zoo.build("resnet20")))))
    qtbot.addWidget(view)
    view.resize(900, 600)
    return view


def _covers(item, path):
    return any(item.sceneBoundingRect().adjusted(12, 12, -14, -14).contains(path.pointAtPercent(k / 50))
               for k in range(51))  # fmt: skip


def test_no_shortcut_is_hidden_behind_the_nodes_that_it_passes(canvas):
    scene = canvas.graph_scene
    wires = [w for (s, t, _), w in scene.wires.items() if s.endswith("relu2") and t.endswith("add")]
    assert len(wires) >= 5
    for wire in wires:
        others = [n for name, n in scene.nodes.items() if name not in wire.wire[:2]]
        assert not any(_covers(item, wire.path()) for item in others), wire.wire


def test_a_wire_to_the_left_leads_between_the_lines():
    path = route(QPointF(1000, 40), QPointF(0, 200))
    heights = {round(path.pointAtPercent(k / 100).y()) for k in range(30, 70)}
    assert heights == {120}
    assert path.pointAtPercent(1) == QPointF(0, 200)


def test_a_step_shows_its_tensors_by_their_names_and_hides_with_the_stepping(qtbot, canvas):
    x, y, w = np.ones((2, 8, 8, 3)), np.zeros((2, 8, 8, 4)), np.ones((3, 3, 3, 4))
    forward = NodeStep("forward", "conv1", (x,), y, {"weight": w}, "conv1 forward", y.shape)
    assert [name for name, _ in tensors(forward)] == ["x", "weight", "y"]
    back = NodeStep("backward", "conv1", (x,), y, {"weight": w}, "conv1 backward", y.shape)
    assert [name for name, _ in tensors(back)] == ["dy", "dweight", "dx"]
    canvas.show()
    canvas.show_step(back)
    card = canvas.findChild(StepCard)
    assert card.isVisible() and "dweight 3x3x3x4, 1 to 1" in card.rows
    assert canvas.graph_scene.nodes["conv1"].running == "backward"
    canvas.show_step(None)
    assert not card.isVisible() and not canvas.graph_scene.nodes["conv1"].running


@pytest.mark.parametrize("shape", [(4, 8, 8, 3), (4, 10), (7,), (), (1, 1, 512, 1000), (3, 3, 64, 128), (2, 50, 32)])
def test_every_tensor_has_a_small_picture(qtbot, shape):
    shown = tensor_picture(np.random.default_rng(0).normal(size=shape))
    assert 1 <= shown.width() <= 1100 and 1 <= shown.height() <= 1100


def test_a_step_out_of_view_is_brought_into_view(canvas):
    canvas.show()
    canvas.resetTransform()
    canvas.center_on("conv1")
    canvas.show_step(NodeStep("forward", "fc", (), np.zeros((2, 10)), {}, "fc forward"))
    seen = canvas.mapToScene(canvas.viewport().rect()).boundingRect()
    assert seen.contains(canvas.graph_scene.nodes["fc"].sceneBoundingRect())


@pytest.mark.parametrize("at", ["conv1", "layer1.2.relu2", "fc", "layer3.2.conv1"])
def test_the_card_of_a_step_does_not_hide_its_node(canvas, at):
    canvas.show()
    canvas.fit()
    canvas.show_step(NodeStep("forward", at, (), np.zeros((2, 8, 8, 4)), {}, "forward"))
    node = canvas.mapFromScene(canvas.graph_scene.nodes[at].sceneBoundingRect()).boundingRect()
    assert not canvas.findChild(StepCard).geometry().intersects(node)


def test_the_network_is_a_picture_file_in_both_kinds(canvas):
    assert picture_file(canvas.graph_scene, "png").startswith(b"\x89PNG")
    svg = picture_file(canvas.graph_scene, "svg").decode()
    assert svg.rstrip().endswith("</svg>") and ">conv1</text>" in svg.replace(" ", "")
