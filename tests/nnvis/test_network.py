from __future__ import annotations

import numpy as np
import pytest

import nnvis as nv
from kernels.cuda import toolkit
from nnvis.errors import CheckpointError, DeviceError, NnvisError, ShapeError
from nnvis.init import stream
from nnvis.plan import Mode


def tangled() -> nv.Graph:
    """Fan-out, fan-in, views, in-place layers, duplicates: all that memory reuse could get wrong."""
    g = nv.Graph((8, 8, 3), name="tangled")
    c = g.add(nv.Conv2d(6, 3, padding=1), g.input, name="conv")
    r = g.add(nv.ReLU(), g.add(nv.BatchNorm2d(), c, name="bn"), name="relu")
    s = g.add(nv.Add(), [r, c, r], name="sum")
    t = g.add(nv.Tanh(), s, name="tanh")
    k = g.add(nv.Concat(), [g.add(nv.MaxPool2d(2), t), g.add(nv.Conv2d(4, 1, stride=2), s, name="side")])
    a, b = g.add(nv.Split(2, 0), k), g.add(nv.Split(2, 1), k)
    m = g.add(nv.Multiply(), [a, b], name="product")
    gate = g.add(nv.Sigmoid(), g.add(nv.AdaptiveAvgPool2d(1), m), name="gate")
    u = g.add(nv.Add(), [g.add(nv.Multiply(), [m, gate]), m, gate], name="gated")
    f = g.add(nv.Flatten(), g.add(nv.Dropout(0.3), u, name="drop"), name="flat")
    g.output = g.add(nv.Linear(5), g.add(nv.Add(), [f, g.add(nv.Identity(), f)]), name="fc")
    return g


@pytest.fixture
def batch():
    return np.random.default_rng(0).normal(size=(3, 8, 8, 3))


def run(net: nv.Network, x: np.ndarray):
    out = net.forward(x, training=True)
    dx = net.backward(np.cos(np.arange(out.size)).reshape(out.shape))
    return out, dx, net.gradients()


def test_reused_memory_changes_no_bit_of_a_training_pass(batch):
    lean, kept = nv.Network(tangled(), seed=1), nv.Network(tangled(), seed=1)
    kept.watch("*")
    for a, b in zip(run(lean, batch), run(kept, batch), strict=True):
        for name in a if isinstance(a, dict) else [...]:
            np.testing.assert_array_equal(a[name], b[name])


def test_fast_and_textbook_networks_agree_through_a_tangled_graph(batch):
    fast, slow = nv.Network(tangled(), seed=1), nv.Network(tangled(), device="reference", seed=1)
    slow.load_state_dict(fast.state_dict())
    (y, dx, g), (y2, dx2, g2) = run(fast, batch), run(slow, batch)
    for a, b in [(y, y2), (dx, dx2), *((g[k], g2[k]) for k in g)]:
        assert np.abs(a - b).max() <= 1e-4 * np.abs(b).max()


def test_gradients_through_a_tangled_graph_agree_with_finite_differences(batch):
    net = nv.Network(tangled(), device="reference", seed=1)
    _, dx, gradients = run(net, batch)
    weights = np.cos(np.arange(15)).reshape(3, 5)

    def loss() -> float:
        net.training_passes = 0
        return float((net.forward(batch, training=True) * weights).sum())

    random = np.random.default_rng(1)
    for array, gradient in [(batch, dx), *((net.parameters.values[k], g) for k, g in gradients.items())]:
        at = tuple(random.integers(size) for size in array.shape)
        middle = array[at]
        array[at] = middle + 1e-6
        high = loss()
        array[at] = middle - 1e-6
        low = loss()
        array[at] = middle
        assert (high - low) / 2e-6 == pytest.approx(gradient[at], rel=1e-4, abs=1e-5 * np.abs(gradient).max())


def test_memory_is_reused_within_a_pass():
    graph = nv.zoo.vgg11(10, (32, 32, 3))
    net = nv.Network(graph)
    lean = net.plan(8, Mode(training=True, backward=True)).nbytes
    kept = net.plan(8, Mode(training=True, backward=True), frozenset(n.name for n in graph)).nbytes
    inference = net.plan(8, Mode()).nbytes
    assert lean < 0.7 * kept
    assert inference < 0.9 * lean


def test_any_activation_and_gradient_can_be_asked_for_after_a_pass(batch):
    kept, lean = nv.Network(tangled(), seed=1), nv.Network(tangled(), seed=1)
    kept.watch("*")
    run(kept, batch)
    run(lean, batch)
    state = lean.state_dict()
    for node in tangled():
        np.testing.assert_array_equal(lean.activation(node.name), kept.activation(node.name))
        np.testing.assert_array_equal(lean.activation_gradient(node.name), kept.activation_gradient(node.name))
    for name, value in lean.state_dict().items():
        np.testing.assert_array_equal(value, state[name], err_msg=f"looking changed {name}")


def test_looking_after_the_weights_changed_says_what_to_do(batch):
    net = nv.Network(tangled())
    run(net, batch)
    net.load_state_dict(net.state_dict())
    with pytest.raises(NnvisError, match="call watch"):
        net.activation("conv")


def test_a_gradient_in_inference_mode_uses_running_statistics(batch):
    net = nv.Network(tangled(), device="reference", seed=1)
    net.forward(batch, training=True)
    y = net.forward(batch)
    dx = net.backward(np.ones_like(y))
    batch[0, 0, 0, 0] += 1e-6
    change = (net.forward(batch) - y).sum() / 1e-6
    assert change == pytest.approx(dx[0, 0, 0, 0], rel=1e-4)


def test_initial_weights_depend_on_seed_and_name_alone():
    big, small = nv.Network(tangled(), seed=3), nv.Network(nv.zoo.lenet5(), seed=3)
    assert not np.array_equal(
        small.state_dict()["conv1.weight"], nv.Network(nv.zoo.lenet5(), seed=4).state_dict()["conv1.weight"]
    )
    g = nv.Graph((8, 8, 3))
    g.add(nv.Conv2d(6, 3, padding=1), g.input, name="conv")
    np.testing.assert_array_equal(nv.Network(g, seed=3).state_dict()["conv.weight"], big.state_dict()["conv.weight"])


def test_a_graph_wide_initialiser_yields_to_a_layer_that_chose_its_own():
    g = nv.Graph((50,), init="constant:2")
    g.add(nv.Linear(40, weight_init="zeros"), g.add(nv.Linear(60), g.input, name="a"), name="b")
    state = nv.Network(g).state_dict()
    assert (state["a.weight"] == 2).all()
    assert (state["b.weight"] == 0).all()
    assert (state["a.bias"] == 0).all()


@pytest.mark.parametrize(
    ("name", "std"),
    [
        ("he", (2 / 300) ** 0.5),
        ("xavier", (2 / 500) ** 0.5),
        ("xavier:uniform", (2 / 500) ** 0.5),
        ("normal:0.3", 0.3),
        ("uniform:0.3", 0.3 / 3**0.5),
    ],
)
def test_initialisers_have_the_variance_of_their_formula(name, std):
    values = nv.init.initializer(name).sample((300, 200), 300, 200, stream(0, "w"))
    assert values.std() == pytest.approx(std, rel=0.02)
    assert abs(values.mean()) < 0.02 * std * 5


def test_state_of_another_network_is_refused_and_nothing_changes():
    net = nv.Network(nv.zoo.lenet5())
    before = net.state_dict()
    with pytest.raises(CheckpointError, match="another network"):
        net.load_state_dict({"x": np.zeros(3)})
    wrong = before | {"conv1.weight": np.zeros((3, 3, 1, 6))}
    with pytest.raises(CheckpointError, match="conv1.weight has shape 3x3x1x6 but the network's has 5x5x1x6"):
        net.load_state_dict(wrong)
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_a_batch_of_the_wrong_shape_is_refused_in_one_sentence():
    net = nv.Network(nv.zoo.lenet5())
    for bad in (np.zeros((2, 1, 28, 28)), np.zeros((28, 28, 1)), np.zeros((0, 28, 28, 1))):
        with pytest.raises(ShapeError, match=r"takes a batch of shape \(N, 28, 28, 1\)"):
            net.forward(bad)


def test_a_missing_or_unknown_device_is_refused_in_one_sentence(monkeypatch):
    def require():
        raise toolkit.CudaError("be used", "there is no NVIDIA GPU in this machine")

    monkeypatch.setattr(toolkit, "require", require)
    with pytest.raises(DeviceError, match="known are cpu"):
        nv.Network(nv.zoo.lenet5(), device="tpu")
    with pytest.raises(DeviceError, match=r"^Device 'cuda' cannot be used: there is no .*; use device 'cpu'\.$"):
        nv.Network(nv.zoo.lenet5(), device="cuda")


def test_asking_before_any_pass_says_what_to_do():
    with pytest.raises(NnvisError, match="call forward"):
        nv.Network(nv.zoo.lenet5()).backward(np.zeros((1, 10)))


def test_the_first_node_with_a_non_finite_value_is_found(batch):
    net = nv.Network(tangled(), seed=1)
    net.parameters.values["side.weight"][0, 0, 0, 0] = np.nan
    net.forward(batch, training=True)
    assert net.first_non_finite() == "side"
    net.parameters.values["side.weight"][0, 0, 0, 0] = 0
    net.forward(batch, training=True)
    assert net.first_non_finite() is None


def test_stochastic_depth_drops_other_examples_each_step_and_none_at_inference():
    net = nv.Network(nv.Sequential([nv.StochasticDepth(0.5)], input_shape=(3, 3, 2)), seed=0)
    x = np.ones((64, 3, 3, 2), np.float32)
    first, second = net.forward(x, training=True), net.forward(x, training=True)
    assert set(np.unique(first)) == {0.0, 2.0}
    assert (first != second).any()
    np.testing.assert_array_equal(net.backward(x), second)
    np.testing.assert_array_equal(net.forward(x), x)


def test_large_weights_are_drawn_in_pieces_and_are_the_same_as_in_one():
    graph = nv.Sequential([nv.Linear(1100)], input_shape=(1000,))
    spec = graph.parameter_specs()["0.weight"]
    whole = spec.init.sample(spec.shape, spec.fan_in, spec.fan_out, stream(3, "0.weight"))
    np.testing.assert_array_equal(nv.Network(graph, seed=3).state_dict()["0.weight"], whole.astype(np.float32))
