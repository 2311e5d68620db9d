"""Auxiliary outputs: deep supervision in training, nothing of it in inference."""

from __future__ import annotations

import numpy as np
import pytest

import nnvis as nv
from nnvis.errors import ConfigError, GraphError, NnvisError, ShapeError
from nnvis.evaluate import evaluate
from nnvis.folding import fold_batch_norm
from nnvis.gradcheck import gradcheck
from nnvis.losses import CrossEntropy
from tests.nnvis import small


def supervised(weight: float = 0.3, classes: int = 3) -> nv.Graph:
    """Two hidden stages; a head looks at the first one, behind a batch norm of its own."""
    g = nv.Graph((8, 8, 1), name="supervised")
    y = g.add(nv.Tanh(), g.add(nv.Conv2d(4, 3, padding=1), g.input, name="conv1"), name="tanh1")
    head = g.add(nv.BatchNorm2d(), y, name="head.bn")
    head = g.add(nv.Dropout(0.2), g.add(nv.GlobalAvgPool2d(), head), name="head.dropout")
    g.add_aux_output(g.add(nv.Linear(classes), head, name="head.fc"), weight)
    y = g.add(nv.Tanh(), g.add(nv.Conv2d(5, 3, stride=2), y, name="conv2"), name="tanh2")
    g.output = g.add(nv.Linear(classes), g.add(nv.GlobalAvgPool2d(), y), name="fc")
    return g


def batch(count: int = 6, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(size=(count, 8, 8, 1)).astype(np.float32), random.integers(0, classes, count)


def test_gradients_of_all_outputs_together_are_right():
    report = gradcheck(supervised(), batch=3)
    assert report.ok
    assert {"head.fc.weight", "head.bn.bias", "conv1.weight"} <= {row.name for row in report.rows if row.checked}


def test_an_output_may_lie_on_the_way_to_another():
    g = nv.Graph((4,))
    first = g.add(nv.Linear(3), g.input, name="first")
    g.add_aux_output(first, 0.5)
    g.output = g.add(nv.Linear(3), g.add(nv.Tanh(), first), name="second")
    assert gradcheck(g).ok
    assert [node.name for node in g.order(aux=False)] == [node.name for node in g.order()]


def test_the_loss_of_a_step_is_the_weighted_sum():
    net, (x, labels) = nv.Network(supervised(), device="reference"), batch()
    net.watch("*")
    trainer = nv.Trainer(net, optimizer=nv.SGD(lr=0.0))
    found = trainer.step(x, labels)
    main, aux = net.activation("fc"), net.activation("head.fc")
    losses = [CrossEntropy().bind(net.device, scores)(labels) for scores in (main, aux)]
    assert found == pytest.approx(losses[0] + 0.3 * losses[1], rel=1e-9)
    gradient = np.exp(aux) / np.exp(aux).sum(1, keepdims=True)
    gradient[np.arange(len(labels)), labels] -= 1
    np.testing.assert_allclose(net.activation_gradient("head.fc"), 0.3 * gradient / len(labels), atol=1e-9)


def test_the_head_moves_what_lies_before_it_and_itself():
    x, labels = batch()
    states = []
    for weight in (0.3, 1e-9):
        net = nv.Network(supervised(weight), seed=1)
        nv.Trainer(net, optimizer=nv.SGD(lr=0.1)).step(x, labels)
        states.append(net.state_dict())
    moved = {name for name, value in states[0].items() if np.abs(value - states[1][name]).max() > 1e-6}
    assert {"conv1.weight", "head.fc.weight"} <= moved
    assert not any(name.startswith(("conv2", "fc")) for name in moved)


def test_inference_leaves_the_head_out():
    graph, (x, _) = supervised(), batch()
    net = nv.Network(graph)
    scores = net.forward(x)
    assert [n.name for n in graph.order(aux=False)] == ["conv1", "tanh1", "conv2", "tanh2", "globalavgpool2d_2", "fc"]
    with pytest.raises(NnvisError, match="took no part"):
        net.activation("head.fc")
    plain = supervised()
    plain.aux_outputs.clear()
    own = nv.Network(plain)
    own.load_state_dict(net.state_dict(), strict=False)
    np.testing.assert_array_equal(own.forward(x), scores)


def test_a_pass_in_inference_mode_gives_the_head_no_gradient():
    net, (x, _) = nv.Network(supervised()), batch()
    net.forward(x, training=True)
    net.backward(np.ones((6, 3)), aux={"head.fc": np.ones((6, 3))})
    assert np.abs(net.gradients()["head.fc.weight"]).max() > 0
    net.backward(np.ones((6, 3)))
    assert not net.gradients()["head.fc.weight"].any()
    net.forward(x)
    net.backward(np.ones((6, 3)))
    assert not net.gradients()["head.fc.weight"].any()


def test_it_trains_evaluates_folds_and_survives_json():
    graph, data = supervised(), small.images()
    assert nv.Graph.from_json(graph.to_json()).to_json() == graph.to_json()
    assert graph.fingerprint() != supervised(0.5).fingerprint()
    net = nv.Network(graph, seed=2)
    run = nv.fit(net, data, epochs=2, batch_size=16, optimizer=nv.SGD(lr=0.1), seed=0)
    assert run.history["loss"][-1] < run.history["loss"][0]
    assert "accuracy" in evaluate(net, data.test)
    x, _ = batch()
    folded = fold_batch_norm(net)
    assert not folded.graph.aux_outputs
    np.testing.assert_allclose(folded.forward(x), net.forward(x), atol=1e-5)


def test_what_cannot_be_an_auxiliary_output_is_refused():
    g = supervised()
    with pytest.raises(GraphError, match="not a node"):
        g.add_aux_output("nowhere", 1.0)
    with pytest.raises(ConfigError, match="above 0"):
        g.add_aux_output("fc", 0.0)
    g.add_aux_output("conv2", 0.5)
    with pytest.raises(ShapeError, match="Auxiliary output 'conv2'"):
        g.validate()
    assert [fault.node for fault in g.faults()] == ["conv2"]
    del g.nodes["conv2"]
    with pytest.raises(GraphError, match="'conv2'"):
        g.order()
