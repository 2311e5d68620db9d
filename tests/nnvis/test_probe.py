"""Probes and observers show what happens and change nothing."""

from __future__ import annotations

import numpy as np
import pytest

import nnvis as nv
from nnvis.losses import CrossEntropy
from nnvis.options import TrainOptions
from nnvis.probe import Probe, compatible_state, histogram
from nnvis.train import make_training


def _graph():
    g = nv.Graph((8, 8, 2))
    c = g.add(nv.Conv2d(6, 3, padding=1), g.input, name="conv")
    b = g.add(nv.BatchNorm2d(), c, name="bn")
    r = g.add(nv.ReLU(), b, name="relu")
    s = g.add(nv.Add(), [r, c], name="add")
    d = g.add(nv.Dropout(0.3), g.add(nv.GlobalAvgPool2d(), s, name="gap"), name="drop")
    g.output = g.add(nv.Linear(3), d, name="fc")
    return g


def _batches(count=5, size=16):
    random = np.random.default_rng(0)
    return [(random.normal(size=(size, 8, 8, 2)).astype(np.float32), random.integers(0, 3, size)) for _ in range(count)]


def _train(between=lambda net, x, t: None, observer=None):
    net = nv.Network(_graph(), seed=3)
    trainer = nv.Trainer(net, optimizer=nv.SGD(lr=0.1, momentum=0.9), clip_norm=1.0)
    trainer.observer = observer
    for x, t in _batches():
        trainer.step(x, t)
        between(net, x[:7], t[:7])
    return net.state_dict()


def _same(a, b):
    assert a.keys() == b.keys()
    assert all(np.array_equal(a[k], b[k]) for k in a)


def test_a_run_with_probes_gives_the_same_bits_as_one_without():
    def look(net, x, t):
        probe = Probe(net, CrossEntropy())
        probe.look(x, t)
        probe.features(x, ["conv", "add"])

    _same(_train(), _train(look))


def test_a_run_observed_node_by_node_gives_the_same_bits():
    seen = []
    _same(_train(), _train(observer=lambda record: seen.append((record.direction, record.node))))
    step = seen[: len(seen) // 5]
    forward = [n for d, n in step if d == "forward"]
    assert forward == ["conv", "bn", "relu", "add", "gap", "drop", "fc"]
    assert [n for d, n in step if d == "backward"] == forward[::-1]
    assert [d for d, n in step if n is None] == ["loss", "update"]


def test_records_hold_what_the_node_read_and_made():
    seen = {}
    _train(observer=lambda r: seen.setdefault((r.direction, r.node), r))
    conv = seen["forward", "conv"]
    assert conv.inputs[0].shape == (16, 8, 8, 2) and conv.output.shape == (16, 8, 8, 6)
    np.testing.assert_allclose(seen["forward", "relu"].output, np.maximum(seen["forward", "relu"].inputs[0], 0))
    assert seen["backward", "fc"].parameters["weight"].shape == (6, 3)


def test_statistics_are_those_of_the_arrays():
    net = nv.Network(_graph(), seed=3)
    net.parameters.values["bn.bias"][:2] = -100  # two dead channels
    (x, t), *_ = _batches()
    found = {s.node: s for s in Probe(net, CrossEntropy()).look(x, t)}
    assert found["relu"].dead == pytest.approx(2 / 6)
    assert found["conv"].dead is None
    assert found["conv"].weight.counts.sum() == 3 * 3 * 2 * 6
    w = [net.parameters.gradients["fc.weight"], net.parameters.gradients["fc.bias"]]
    assert found["fc"].gradient_norm == pytest.approx(np.sqrt(sum((g**2).sum() for g in w)), rel=1e-5)


def test_the_update_ratio_is_the_change_over_the_size():
    net = nv.Network(_graph(), seed=3)
    trainer, probe = nv.Trainer(net, optimizer=nv.SGD(lr=0.1)), Probe(net, CrossEntropy())
    (x, t), *_ = _batches()
    before = net.parameters.values["conv.weight"].copy(), net.parameters.values["conv.bias"].copy()
    probe.before_step()
    trainer.step(x, t)
    probe.after_step()
    after = net.parameters.values["conv.weight"], net.parameters.values["conv.bias"]
    change = sum(((a - b) ** 2).sum() for a, b in zip(after, before, strict=True))
    size = sum((a**2).sum() for a in after)
    found = {s.node: s for s in probe.look(x, t)}
    assert found["conv"].update_ratio == pytest.approx((change / size) ** 0.5, rel=1e-4)


def test_histograms_bear_constants_and_values_that_are_not_finite():
    assert histogram(np.zeros(5)).counts.sum() == 5
    assert histogram(np.array([np.nan, 1.0, 2.0, np.inf])).counts.sum() == 2
    assert histogram(np.array([np.nan])).counts.sum() == 0


def test_an_edited_network_keeps_the_weights_that_fit():
    old = nv.Network(_graph(), seed=1)
    g = _graph()
    g.nodes["fc"] = nv.Node("fc", nv.Linear(5), g.nodes["fc"].inputs)
    new = nv.Network(g, seed=2)
    kept = compatible_state(old.state_dict(), new)
    assert "conv.weight" in kept and "fc.weight" not in kept
    new.load_state_dict(kept, strict=False)
    np.testing.assert_array_equal(new.state_dict()["conv.weight"], old.state_dict()["conv.weight"])


def test_the_learning_rate_and_momentum_change_between_two_steps():
    data = nv.data.load("moons")
    options = TrainOptions(1, 32, nv.SGD(lr=0.1, momentum=0.9))
    training = make_training(nv.zoo.build("mlp", input_shape=(2,), num_classes=2), data, options)
    rates = []
    for event in training.run():
        if isinstance(event, nv.events.StepDone):
            rates.append(event.lr)
            if len(rates) == 3:
                training.change(lr=0.02, momentum=0.5)
    assert rates[:3] == [0.1] * 3 and set(rates[3:]) == {0.02}
    assert training.options.optimizer.momentum == 0.5


@pytest.mark.parametrize("values", [[1e20] * 10, [-3e38, 3e38], [1e20, 1e20 * (1 + 1e-7)], [0.0], [np.inf, np.nan], []])
def test_a_histogram_of_whatever_a_diverged_network_holds_has_bins(values):
    finite = [v for v in values if np.isfinite(v)]
    with np.errstate(all="ignore"):
        made = histogram(np.array(values, np.float32))
    assert made.high > made.low and made.counts.sum() == len(finite)
