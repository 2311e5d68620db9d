"""The Vision Transformer beside the same network written in PyTorch."""

from __future__ import annotations

import pytest

import nnvis as nv
from nnvis.errors import ConfigError
from tests.nnvis.torch_twin import assert_twins_agree, torch, torch_nets


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(("size", "patch", "tokens"), [(64, 16, 16), (32, 4, 64)])
def test_logits_and_gradients_agree(size, patch, tokens, training):
    torch.manual_seed(0)
    graph = nv.zoo.vit_b_16(10, (size, size, 3), num_layers=3, num_heads=4, hidden_dim=48, mlp_dim=96)
    assert_twins_agree(torch_nets.VisionTransformer(10, patch, tokens, 3, 4, 48, 96), graph, training)


def test_patches_are_small_where_images_are_and_divide_them():
    assert nv.zoo.vit_s_16(input_shape=(32, 32, 3)).shapes()["conv_proj"] == (8, 8, 384)
    assert nv.zoo.vit_s_16(input_shape=(32, 32, 3), patch_size=8).shapes()["conv_proj"] == (4, 4, 384)
    with pytest.raises(ConfigError, match="do not divide"):
        nv.zoo.vit_s_16(input_shape=(30, 30, 3))
