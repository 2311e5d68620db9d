"""The Vision Transformer beside the same network written in PyTorch."""

from __future__ import annotations

from collections import OrderedDict

import pytest

import nnvis as nv
from nnvis.errors import ConfigError
from tests.nnvis.torch_twin import assert_twins_agree, torch

nn = torch.nn


class EncoderLayer(nn.Module):
    def __init__(self, heads: int, features: int, hidden: int):
        super().__init__()
        self.ln_1 = nn.LayerNorm(features, eps=1e-6)
        self.self_attention = nn.MultiheadAttention(features, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(features, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(features, hidden), nn.GELU(), nn.Dropout(0), nn.Linear(hidden, features), nn.Dropout(0)
        )

    def forward(self, x):
        y = self.ln_1(x)
        x = x + self.self_attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    def __init__(self, tokens: int, layers: int, heads: int, features: int, hidden: int):
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.empty(1, tokens, features).normal_())
        made = [(f"encoder_layer_{number}", EncoderLayer(heads, features, hidden)) for number in range(layers)]
        self.layers = nn.Sequential(OrderedDict(made))
        self.ln = nn.LayerNorm(features, eps=1e-6)

    def forward(self, x):
        return self.ln(self.layers(x + self.pos_embedding))


class VisionTransformer(nn.Module):
    def __init__(self, patch: int, tokens: int, layers: int, heads: int, features: int, hidden: int):
        super().__init__()
        self.conv_proj = nn.Conv2d(3, features, patch, patch)
        self.class_token = nn.Parameter(torch.empty(1, 1, features).normal_())
        self.encoder = Encoder(tokens + 1, layers, heads, features, hidden)
        self.heads = nn.Sequential(OrderedDict(head=nn.Linear(features, 10)))

    def forward(self, x):
        x = self.conv_proj(x).flatten(2).permute(0, 2, 1)
        x = self.encoder(torch.cat([self.class_token.expand(len(x), -1, -1), x], 1))
        return self.heads(x[:, 0])


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(("size", "patch", "tokens"), [(64, 16, 16), (32, 4, 64)])
def test_logits_and_gradients_agree(size, patch, tokens, training):
    torch.manual_seed(0)
    graph = nv.zoo.vit_b_16(10, (size, size, 3), num_layers=3, num_heads=4, hidden_dim=48, mlp_dim=96)
    assert_twins_agree(VisionTransformer(patch, tokens, 3, 4, 48, 96), graph, training)


def test_patches_are_small_where_images_are_and_divide_them():
    assert nv.zoo.vit_s_16(input_shape=(32, 32, 3)).shapes()["conv_proj"] == (8, 8, 384)
    assert nv.zoo.vit_s_16(input_shape=(32, 32, 3), patch_size=8).shapes()["conv_proj"] == (4, 4, 384)
    with pytest.raises(ConfigError, match="do not divide"):
        nv.zoo.vit_s_16(input_shape=(30, 30, 3))
