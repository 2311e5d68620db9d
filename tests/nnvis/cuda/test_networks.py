"""Networks on the (simulated) GPU against the textbook device: the same passes, steps, probes and states."""

from __future__ import annotations

import numpy as np
import pytest

import nnvis as nv
from kernels.cuda import toolkit
from nnvis.losses import loss as find_loss
from nnvis.probe import Probe
from tests.nnvis.test_network import tangled

RNG = np.random.default_rng


def batch_of(graph: nv.Graph, count: int = 2) -> tuple[np.ndarray, np.ndarray]:
    x = RNG(1).normal(size=(count, *graph.input_shape)).astype(np.float32)
    return x, np.arange(count) % graph.shapes()[graph.output.name][0]


def assert_same(found: dict, expected: dict, tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        bound = tolerance * max(1e-6, float(np.abs(value).max()))
        np.testing.assert_allclose(found[name], value, rtol=0, atol=bound, err_msg=name)


def trained(graph: nv.Graph, device: str, steps: int, optimizer: nv.SGD | None = None) -> tuple:
    """Losses, gradients of the last step, and what became of the network."""
    net = nv.Network(graph, device=device, seed=3)
    trainer = nv.Trainer(net, optimizer=optimizer or nv.SGD(lr=0.05, momentum=0.9, weight_decay=1e-3))
    x, labels = batch_of(graph)
    losses = [trainer.step(x, labels) for _ in range(steps)]
    return losses, net.gradients(), net.state_dict(), trainer.last.correct


def assert_trains_as_the_textbook(graph: nv.Graph, steps: int = 2, tolerance: float = 1e-4) -> None:
    ours, expected = trained(graph, "cuda", steps), trained(graph, "reference", steps)
    np.testing.assert_allclose(ours[0], expected[0], rtol=tolerance)
    assert_same(ours[1], expected[1], 10 * tolerance)  # gradients of the last step: errors of the steps before add up
    assert_same(ours[2], expected[2], tolerance)
    assert ours[3] == expected[3]


def test_lenet5_trains():
    assert_trains_as_the_textbook(nv.zoo.lenet5(input_shape=(28, 28, 1)))


def test_resnet20_trains():
    assert_trains_as_the_textbook(nv.zoo.resnet20_cifar(input_shape=(8, 8, 3)))


def test_a_small_vision_transformer_trains():
    assert_trains_as_the_textbook(small_vit())


def small_vit() -> nv.Graph:
    """Two encoder blocks of two heads, on four patches of 4 x 4 pixels."""
    sizes = {"num_layers": 2, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 12}
    return nv.zoo.vit_ti_16(num_classes=10, input_shape=(8, 8, 3), patch_size=4, **sizes)


def test_a_pass_there_and_back_gives_what_the_textbook_does():
    graph = tangled()
    nets = [nv.Network(graph, device=device, seed=3) for device in ("cuda", "reference")]
    x, _ = batch_of(graph, 3)
    dy = RNG(2).normal(size=(3, 5))
    ys, dxs = [net.forward(x, training=True) for net in nets], [net.backward(dy) for net in nets]
    assert_same({"y": ys[0], "dx": dxs[0]}, {"y": ys[1], "dx": dxs[1]}, 1e-4)
    assert_same(nets[0].gradients(), nets[1].gradients(), 1e-4)
    for node in ("relu", "gated", "drop"):
        found, expected = ({"y": n.activation(node), "dy": n.activation_gradient(node)} for n in nets)
        assert_same(found, expected, 1e-4)


def test_states_go_from_the_gpu_to_the_cpu_and_back():
    graph = tangled()
    there, here = nv.Network(graph, device="cuda", seed=3), nv.Network(graph, seed=4)
    here.load_state_dict(there.state_dict())
    x, _ = batch_of(graph)
    assert_same({"y": there.forward(x)}, {"y": here.forward(x)}, 1e-4)
    there.load_state_dict(nv.Network(graph, seed=5).state_dict())
    assert_same(there.state_dict(), nv.Network(graph, seed=5).state_dict(), 0.0)


def test_the_optimiser_is_resumed_from_its_saved_state():
    graph, adam = small(), nv.Adam(lr=0.01)
    x, labels = batch_of(graph)
    first, second = (nv.Trainer(nv.Network(graph, device="cuda", seed=s), optimizer=adam) for s in (0, 1))
    first.step(x, labels)
    second.net.load_state_dict(first.net.state_dict())
    second.updater.load_state_dict(first.updater.state_dict())
    first.step(x, labels), second.step(x, labels)
    assert_same(first.net.state_dict(), second.net.state_dict(), 0.0)


def small() -> nv.Graph:
    return nv.Sequential([nv.Flatten(), nv.Linear(6), nv.ReLU(), nv.Linear(3)], input_shape=(3, 3, 1))


def test_clipping_by_norm_and_by_value_is_that_of_the_textbook():
    graph = small()
    x, labels = batch_of(graph)
    states = []
    for device in ("cuda", "reference"):
        net = nv.Network(graph, device=device, seed=0)
        nv.Trainer(net, clip_norm=0.1, clip_value=0.05).step(x, labels)
        states.append(net.state_dict())
    assert_same(*states, 1e-5)


def test_losses_at_auxiliary_outputs_are_weighted():
    graph = nv.Graph((3, 3, 1))
    hidden = graph.add(nv.ReLU(), graph.add(nv.Linear(6), graph.add(nv.Flatten(), graph.input)))
    graph.output = graph.add(nv.Linear(3), hidden)
    graph.add_aux_output(graph.add(nv.Linear(3), hidden), 0.3)
    assert_trains_as_the_textbook(graph, steps=1)


def test_a_loss_that_is_not_a_number_is_traced_to_its_node():
    net = nv.Network(small(), device="cuda")
    x, labels = batch_of(net.graph)
    x[0] = np.nan
    with pytest.raises(nv.errors.DivergedError, match="input batch itself"):
        nv.Trainer(net).step(x, labels)


@pytest.mark.parametrize("name", ["cross_entropy", "bce", "mse"])
def test_every_loss_is_evaluated(name):
    net = nv.Network(small(), device="cuda", seed=0)
    twin = nv.Network(small(), device="reference", seed=0)
    x, labels = batch_of(net.graph, 5)
    targets = labels if name == "cross_entropy" else RNG(4).uniform(size=(5, 3))
    found, expected = (nv.evaluate(each, (x, targets), loss=name, batch_size=3) for each in (net, twin))
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    np.testing.assert_allclose(nv.predict(net, x), nv.predict(twin, x), atol=1e-5)


def test_a_probe_sees_what_the_textbook_computes():
    x, labels = batch_of(small())
    looks = []
    for device in ("cuda", "reference"):
        probe = Probe(nv.Network(small(), device=device, seed=0), find_loss("cross_entropy"))
        looks.append(probe.look(x, labels))
    for mine, expected in zip(*looks, strict=True):
        assert (mine.node, mine.dead) == (expected.node, expected.dead)
        for number in ("gradient_norm", "weight_norm", "gradient_mean"):
            ours, textbook = getattr(mine, number), getattr(expected, number)
            assert ours == (textbook if textbook is None else pytest.approx(textbook, rel=1e-4))


def test_kernels_are_compiled_in_advance_and_nothing_is_learned():
    net = nv.Network(small(), device="cuda", seed=0)
    before, seen = net.state_dict(), []
    nv.Trainer(net).prepare(2, lambda done, total, name: seen.append((done, total, name)))
    assert_same(net.state_dict(), before, 0.0)
    assert all(done <= total for done, total, _ in seen)


def copies_of_a_step(layers: int, monkeypatch) -> int:
    """How often arrays go to the GPU or come back in one training step."""
    middle = [layer for _ in range(layers) for layer in (nv.Linear(4), nv.BatchNorm1d(), nv.Sigmoid(), nv.Dropout(0.2))]
    graph = nv.Sequential([*middle, nv.Linear(3)], input_shape=(4,))
    trainer = nv.Trainer(nv.Network(graph, device="cuda"))
    trainer.step(*batch_of(graph))
    count = 0

    def counted(copy):
        def call(*arguments, **options):
            nonlocal count
            count += 1
            return copy(*arguments, **options)

        return call

    array = type(trainer.net.parameters.flat_values)
    with monkeypatch.context() as patched:
        for name in ("copy_to_host", "copy_to_device"):
            patched.setattr(array, name, counted(getattr(array, name)))
        trainer.step(*batch_of(graph))
    return count


def test_a_step_copies_the_batch_and_what_the_loss_is_asked_for_whatever_the_number_of_layers(monkeypatch):
    # There: images and labels, by way of a waiting room if the GPU is a real one. Back: losses and scores. Between two
    # places of the GPU: where the gradient starts, for those who will look at the pass.
    assert copies_of_a_step(1, monkeypatch) == copies_of_a_step(3, monkeypatch) == (5 if toolkit.SIMULATED else 7)


def test_memory_is_planned_once(monkeypatch):
    graph, made = small(), []
    trainer = nv.Trainer(nv.Network(graph, device="cuda"))
    for _ in range(2):  # batches take turns on their way
        trainer.step(*batch_of(graph))
    monkeypatch.setattr(toolkit, "empty", lambda *arguments: made.append(arguments))
    trainer.step(*batch_of(graph))
    assert not made


def test_a_full_memory_is_said_in_one_sentence(monkeypatch):
    def empty(count, dtype=np.float32):
        raise toolkit.CudaError("make room for an array", "its memory is full", full=True)

    net = nv.Network(small(), device="cuda")
    monkeypatch.setattr(toolkit, "empty", empty)
    with pytest.raises(
        nv.errors.OutOfMemoryError, match=r"^The GPU could not make room for an array: its memory is full\.$"
    ):
        net.forward(batch_of(net.graph)[0])
    assert net.state_dict()
