"""GoogLeNet, with and without auxiliary classifiers, beside the same network written in PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import nnvis as nv
from tests.nnvis.torch_twin import assert_twins_agree, shake_batch_norms, torch, torch_nets


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(("size", "aux"), [(64, True), (64, False), (32, True)])
def test_logits_and_gradients_agree(size, aux, training):
    torch.manual_seed(0)
    model = torch_nets.GoogLeNet(10, size == 32, aux, 0.125, dropout=0, aux_dropout=0)
    shake_batch_norms(model)
    options = {"aux": aux, "dropout": 0, "aux_dropout": 0, "width_mult": 0.125}
    assert_twins_agree(model, nv.zoo.googlenet(10, (size, size, 3), **options), training)


def test_auxiliary_classifiers_are_there_unless_asked_not_to_and_cost_inference_nothing():
    for size in (224, 32):
        with_heads, without = nv.zoo.googlenet(10, (size, size, 3)), nv.zoo.googlenet(10, (size, size, 3), aux=False)
        assert with_heads.aux_outputs == {"aux1.fc2": 0.3, "aux2.fc2": 0.3} and not without.aux_outputs
        assert with_heads.shapes()["aux1.pool"] == with_heads.shapes()["aux2.pool"][:2] + (512,) == (4, 4, 512)
        assert with_heads.num_parameters() > without.num_parameters()
        assert with_heads.multiply_adds() == without.multiply_adds()
        assert with_heads.activation_bytes() == without.activation_bytes()


def test_weights_with_auxiliary_classifiers_predict_in_a_network_without():
    options = {"num_classes": 4, "input_shape": (32, 32, 3), "width_mult": 0.125}
    net = nv.Network(nv.zoo.googlenet(**options), seed=3)
    bare = nv.Network(nv.zoo.googlenet(**options, aux=False))
    bare.load_state_dict(net.state_dict(), strict=False)
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3))
    np.testing.assert_array_equal(bare.forward(x), net.forward(x))


def test_it_learns_with_auxiliary_classifiers_and_predicts_without_them():
    net = nv.Network(nv.zoo.googlenet(4, (32, 32, 3), dropout=0, aux_dropout=0, width_mult=0.125))
    trainer = nv.Trainer(net, optimizer=nv.SGD(lr=0.05, momentum=0.9))
    random = np.random.default_rng(0)
    x, labels = random.normal(size=(16, 32, 32, 3)).astype(np.float32), np.arange(16) % 4
    losses = [trainer.step(x, labels) for _ in range(10)]
    assert losses[0] > 1.5 * np.log(4)
    assert losses[-1] < 0.7 * losses[0]
    assert net.forward(x).shape == (16, 4)
