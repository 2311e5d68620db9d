"""ShuffleNet V2 beside the same network written in PyTorch."""

from __future__ import annotations

import pytest

import nnvis as nv
from tests.nnvis.torch_twin import assert_twins_agree, shake_batch_norms, torch, torch_nets


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("size", [64, 32])
def test_logits_and_gradients_agree(size, training):
    torch.manual_seed(0)
    model = torch_nets.shufflenet_v2(10, size == 32, stem=8, stages=(16, 24, 48), last=256)
    shake_batch_norms(model)
    graph = nv.zoo.shufflenet_v2_x0_5(10, (size, size, 3), width_mult=0.25)
    assert_twins_agree(model, graph, training)
