"""VGG beside the same network written in PyTorch."""

from __future__ import annotations

import pytest

import nnvis as nv
from tests.nnvis.torch_twin import assert_twins_agree, shake_batch_norms, torch, torch_nets

CASES = {
    "vgg11": (64, (1, 1, 2, 2, 2)),
    "vgg13_bn": (32, (2, 2, 2, 2, 2)),
    "vgg16": (32, (2, 2, 3, 3, 3)),
    "vgg19_bn": (64, (2, 2, 4, 4, 4)),
}


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", list(CASES))
def test_logits_and_gradients_agree(name, training):
    torch.manual_seed(0)
    size, stages = CASES[name]
    model = torch_nets.vgg(stages, size == 32, 10, name.endswith("_bn"), width=0.125, hidden=40, dropout=0)
    shake_batch_norms(model)
    graph = nv.zoo.build(name, num_classes=10, input_shape=(size, size, 3), width_mult=0.125, hidden=40, dropout=0)
    assert_twins_agree(model, graph, training)


def test_batch_norm_is_an_option_of_the_plain_form_too():
    assert nv.zoo.vgg16(batch_norm=True).num_parameters() == nv.zoo.vgg16_bn().num_parameters()


@pytest.mark.parametrize(
    ("size", "dropout", "rates"), [(224, None, [0.5] * 2), (224, 0, []), (32, None, []), (32, 0.3, [0.3])]
)
def test_dropout_unless_given_suits_the_size(size, dropout, rates):
    graph = nv.zoo.vgg11(input_shape=(size, size, 3), dropout=dropout)
    assert [node.layer.rate for node in graph if isinstance(node.layer, nv.Dropout)] == rates
