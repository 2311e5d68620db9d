"""Batch norm folded into the layer before it."""

from __future__ import annotations

import numpy as np
import pytest

import nnvis as nv


def graph() -> nv.Graph:
    """A branch, a batch norm that cannot be folded (two readers), one behind a linear layer at the end."""
    g = nv.Graph((6, 6, 2))
    a = g.add(nv.Conv2d(4, 3, padding=1, bias=False), g.input, name="conv1")
    b = g.add(nv.ReLU(), g.add(nv.BatchNorm2d(), a, name="bn1"))
    c = g.add(nv.Conv2d(4, 3, padding=1, groups=2), b, name="conv2")
    d = g.add(nv.Add(), [g.add(nv.BatchNorm2d(), c, name="bn2"), c])
    e = g.add(nv.BatchNorm2d(), d, name="bn3")
    f = g.add(nv.Linear(5, bias=False), g.add(nv.Flatten(), e), name="fc")
    g.output = g.add(nv.BatchNorm1d(), f, name="bn4")
    return g


@pytest.mark.parametrize("device", ["reference", "cpu"])
def test_outputs_are_the_same_and_only_foldable_batch_norms_vanish(device):
    net, random = nv.Network(graph(), device=device), np.random.default_rng(0)
    for name, value in (net.parameters.values | net.buffers).items():
        value[...] = random.uniform(0.5, 2, value.shape) if "var" in name else random.normal(size=value.shape)
    folded = nv.fold_batch_norm(net)
    x = random.normal(size=(3, 6, 6, 2))
    expected = net.forward(x)
    np.testing.assert_allclose(folded.forward(x), expected, atol=1e-5 * np.abs(expected).max())
    assert set(net.graph.nodes) - set(folded.graph.nodes) == {"bn1", "bn4"}
    assert folded.graph.output.name == "fc"
    assert net.graph.output.name == "bn4" and "bn1.weight" in net.state_dict()


def test_a_network_without_batch_norm_is_copied():
    net = nv.Network(nv.Sequential([nv.Linear(3)], input_shape=(2,)), device="reference")
    x = np.ones((1, 2))
    np.testing.assert_array_equal(nv.fold_batch_norm(net).forward(x), net.forward(x))
