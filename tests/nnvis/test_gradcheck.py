"""The gradient check finds wrong gradients, and passes right ones."""

from __future__ import annotations

import numpy as np
import pytest

import kernels.reference as reference
import nnvis as nv
from nnvis.errors import ConfigError
from tests.nnvis.small import conv_net, mlp


def test_a_network_with_kinks_dropout_and_batch_norm_passes():
    net = conv_net()
    before = net.state_dict()
    report = nv.gradcheck(net)
    assert report.ok and report.worst.difference_error < 1e-6
    assert {row.name for row in report.rows} == {*net.parameters.values, "input"}
    assert all(row.device_error is not None and row.checked for row in report.rows)
    assert all((net.state_dict()[name] == value).all() for name, value in before.items())


def test_a_graph_is_checked_with_initial_weights_and_no_device_if_so_wished():
    seen = []
    report = nv.gradcheck(mlp().graph, device=None, progress=lambda *position: seen.append(position))
    assert report.ok and all(row.device_error is None for row in report.rows)
    assert seen[0][:2] == (0, 5)


def test_a_wrong_backward_pass_is_found(monkeypatch):
    right = reference.tanh_backward

    def wrong(y: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> None:
        right(y, dy, dx)
        dx *= 1.001

    monkeypatch.setattr(reference, "tanh_backward", wrong)
    report = nv.gradcheck(mlp(), device=None)
    rows = {row.name: row for row in report.rows}
    assert not report.ok and not rows["0.weight"].ok
    assert rows["2.weight"].ok  # behind the faulty layer all is well


def test_a_fast_kernel_that_differs_is_found(monkeypatch):
    import kernels.cpu as cpu

    right = cpu.tanh_backward

    def wrong(y: np.ndarray, dy: np.ndarray, dx: np.ndarray) -> None:
        right(y, dy, dx)
        dx *= np.float32(1.01)

    monkeypatch.setattr(cpu, "tanh_backward", wrong)
    rows = {row.name: row for row in nv.gradcheck(mlp()).rows}
    assert rows["0.weight"].device_error == pytest.approx(0.01, rel=0.1) and not rows["0.weight"].ok


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("se_resnet20", {"width": 4}),
        ("nonlocal_resnet20", {"width": 4}),
        ("deform_resnet20", {"width": 4}),
        ("condconv_resnet20", {"width": 4, "experts": 3}),
        ("sk_resnet18", {"width_mult": 0.125}),
        ("googlenet", {"width_mult": 0.125}),
    ],
)
def test_networks_with_thousands_of_kinks_pass(name, options):
    graph = nv.zoo.build(name, num_classes=4, input_shape=(8, 8, 3), **options)
    report = nv.gradcheck(graph, batch=4, samples_per_parameter=1)
    assert [row.name for row in report.rows if not row.ok] == []
    assert sum(row.checked for row in report.rows) > 0.9 * len(report.rows)


def test_a_value_on_a_kink_is_passed_over():
    net = nv.Network(nv.Sequential([nv.Linear(3, bias=True), nv.ReLU()], input_shape=(2,)), device="reference")
    net.parameters.values["0.weight"][...] = 0.0
    report = nv.gradcheck(net, device=None)
    rows = {row.name: row for row in report.rows}
    assert report.ok and rows["0.bias"].skipped == 3 and rows["0.bias"].checked == 0


def test_nothing_to_sample_is_refused():
    with pytest.raises(ConfigError):
        nv.gradcheck(mlp(), batch=0)
