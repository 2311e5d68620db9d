"""Convolutions that adapt to their input: deformable ones, and mixtures of experts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import nnvis as nv
from nnvis.errors import ConfigError, ShapeError
from nnvis.io.torch_layout import from_torch, to_torch
from tests.nnvis.check_layer import check_layer

few = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
batches = st.sampled_from([1, 2, 3])


@given(
    groups=st.integers(1, 2), moving=st.integers(1, 2), depth=st.sampled_from([1, 3, 8]),
    out=st.sampled_from([1, 8, 11]), kernel=pairs, stride=pairs, padding=pairs,
    dilation=st.tuples(*[st.integers(1, 2)] * 2), bias=st.booleans(),
    masked=st.booleans(), n=batches,
)  # fmt: skip
@few
def test_deformable_convolution_is_right_on_random_geometry(
    groups, moving, depth, out, kernel, stride, padding, dilation, bias, masked, n
):
    layer = nv.DeformConv2d(out * groups, kernel, stride, padding, dilation, groups, bias)
    image = (6, 7, depth * groups * moving)
    height, width, _ = layer.output_shape(image)
    taps = moving * kernel[0] * kernel[1]
    moved = [(height, width, 2 * taps), (height, width, taps)]
    check_layer(layer, image, *moved[: 1 + masked], batch=n)


def deformable(masked: bool = True) -> nv.Graph:
    """Offsets and factors made by convolutions, as in the papers."""
    g = nv.Graph((7, 7, 3))
    x = g.add(nv.Conv2d(6, 3, padding=1), g.input)
    inputs = [x, g.add(nv.Conv2d(18, 3, padding=1), x)]
    if masked:
        inputs.append(g.add(nv.Sigmoid(), g.add(nv.Conv2d(9, 3, padding=1), x)))
    y = g.add(nv.DeformConv2d(5, 3, padding=1), inputs, name="deform")
    g.output = g.add(nv.BatchNorm2d(), y, name="bn")
    return g


@pytest.mark.parametrize("masked", [False, True])
def test_gradients_reach_the_layers_that_make_the_offsets(masked):
    graph = deformable(masked)
    assert nv.Graph.from_json(graph.to_json()).to_json() == graph.to_json()
    report = nv.gradcheck(graph)
    # In front of batch normalisation a bias has no gradient.
    assert all(row.ok for row in report.rows if row.name != "deform.bias")


def test_offsets_of_zero_give_an_ordinary_convolution():
    g = nv.Graph((6, 5, 4))
    still = g.add(nv.Conv2d(18, 3, padding=1, weight_init="zeros"), g.input)
    g.output = g.add(nv.DeformConv2d(8, 3, padding=1), [g.input, still], name="conv")
    plain = nv.Network(nv.Sequential([nv.Conv2d(8, 3, padding=1)], input_shape=(6, 5, 4)))
    net = nv.Network(g)
    plain.load_state_dict({f"0.{n}": net.state_dict()[f"conv.{n}"] for n in ("weight", "bias")})
    x = np.random.default_rng(0).normal(size=(2, 6, 5, 4)).astype(np.float32)
    np.testing.assert_allclose(net.forward(x), plain.forward(x), atol=1e-5)


def test_batch_norm_folds_into_a_deformable_convolution():
    net = nv.Network(deformable(), seed=1)
    x = np.random.default_rng(0).normal(size=(4, 7, 7, 3)).astype(np.float32)
    net.forward(x, training=True)
    folded = nv.fold_batch_norm(net)
    assert "bn" not in [node.name for node in folded.graph]
    np.testing.assert_allclose(folded.forward(x), net.forward(x), atol=1e-5)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ([(6, 6, 4), (6, 6, 17)], "offsets of shape 6x6x18"),
        ([(6, 6, 4), (5, 6, 18)], "offsets of shape 6x6x18"),
        ([(6, 6, 4), (6, 6, 54)], "offsets of shape 6x6x18"),
        ([(6, 6, 4), (6, 6, 36), (6, 6, 9)], "factors of shape 6x6x18"),
        ([(6, 6, 4), (6, 6, 18), (6, 6, 9), (6, 6, 9)], "not 4 inputs"),
    ],
)
def test_shapes_that_do_not_fit_are_explained(shapes, words):
    with pytest.raises(ShapeError, match=words):
        nv.DeformConv2d(8, 3, padding=1).output_shape(*shapes)


@given(
    groups=st.sampled_from([1, 2, 3]), depth=st.sampled_from([1, 3, 8]), out=st.sampled_from([1, 8, 11]),
    experts=st.integers(1, 5), kernel=pairs, stride=pairs, padding=pairs, bias=st.booleans(), n=batches,
)  # fmt: skip
@few
def test_experts_are_mixed_right_on_random_geometry(groups, depth, out, experts, kernel, stride, padding, bias, n):
    layer = nv.CondConv2d(out * groups, experts, kernel, stride, padding, 1, groups, bias)
    check_layer(layer, (5, 6, depth * groups), (experts,), batch=n)


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_mixing_filters_is_mixing_outputs(device):
    random = np.random.default_rng(0)
    g = nv.Graph((7, 6, 4))
    routing = g.add(nv.Sigmoid(), g.add(nv.Linear(3), g.add(nv.GlobalAvgPool2d(), g.input)), name="routing")
    g.output = g.add(nv.CondConv2d(5, 3, 3, 2, 1), [g.input, routing], name="mixed")
    net = nv.Network(g, device=device, seed=2)
    net.load_state_dict(net.state_dict() | {"mixed.bias": random.normal(size=(3, 5))})
    x = random.normal(size=(4, 7, 6, 4))
    y, shares, state = net.forward(x), net.activation("routing"), net.state_dict()
    expected = np.zeros_like(y)
    for e in range(3):
        expert = nv.Network(nv.Sequential([nv.Conv2d(5, 3, 2, 1)], input_shape=(7, 6, 4)), device=device)
        expert.load_state_dict({"0.weight": state["mixed.weight"][e], "0.bias": state["mixed.bias"][e]})
        expected += shares[:, e, None, None, None] * expert.forward(x)
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_gradients_reach_the_layers_that_choose_the_experts():
    g = nv.Graph((5, 5, 4))
    x = g.add(nv.Conv2d(6, 3, padding=1), g.input)
    routing = g.add(nv.Softmax(), g.add(nv.Linear(3), g.add(nv.GlobalAvgPool2d(), x)))
    g.output = g.add(nv.CondConv2d(6, 3, 3, padding=1, groups=6), [x, routing])
    assert nv.Graph.from_json(g.to_json()).to_json() == g.to_json()
    assert nv.gradcheck(g).ok


def test_filters_of_experts_are_converted_to_pytorch_and_back():
    g = nv.Graph((5, 5, 4))
    routing = g.add(nv.Linear(3), g.add(nv.GlobalAvgPool2d(), g.input), name="routing_fn")
    g.output = g.add(nv.CondConv2d(6, 3, 3, groups=2), [g.input, routing], name="conv")
    state = nv.Network(g).state_dict()
    theirs = to_torch(g, state)
    assert theirs["conv.weight"].shape == (3, 6 * 2 * 9)
    expected = state["conv.weight"][1].transpose(3, 2, 0, 1)  # (C_out, C_in / groups, KH, KW)
    np.testing.assert_array_equal(theirs["conv.weight"][1].reshape(6, 2, 3, 3), expected)
    for name, value in from_torch(g, theirs).items():
        np.testing.assert_array_equal(value, state[name])


def test_impossible_mixtures_are_explained():
    with pytest.raises(ConfigError, match="num_experts"):
        nv.CondConv2d(8, 0)
    with pytest.raises(ShapeError, match="3 experts"):
        nv.CondConv2d(8, 3).output_shape((5, 5, 4), (4,))
    with pytest.raises(ShapeError, match="groups do not divide"):
        nv.CondConv2d(8, 3, groups=2).output_shape((5, 5, 3), (3,))
