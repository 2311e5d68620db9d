"""The Vision Transformer in PyTorch."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn


class EncoderLayer(nn.Module):
    """Attention and two linear layers, each behind layer normalisation and beside a shortcut."""

    def __init__(self, heads: int, features: int, hidden: int):
        super().__init__()
        self.ln_1 = nn.LayerNorm(features, eps=1e-6)
        self.self_attention = nn.MultiheadAttention(features, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(features, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(features, hidden), nn.GELU(), nn.Dropout(0), nn.Linear(hidden, features), nn.Dropout(0)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.ln_1(x)
        x = x + self.self_attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    """Position embedding and encoder layers."""

    def __init__(self, tokens: int, layers: int, heads: int, features: int, hidden: int):
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.empty(1, tokens, features).normal_())
        made = [(f"encoder_layer_{number}", EncoderLayer(heads, features, hidden)) for number in range(layers)]
        self.layers = nn.Sequential(OrderedDict(made))
        self.ln = nn.LayerNorm(features, eps=1e-6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.ln(self.layers(x + self.pos_embedding))


class VisionTransformer(nn.Module):
    """Twin of ``zoo.vit_ti_16`` for 32x32 images (64 patches of 4x4 pixels), and with other sizes of its kin."""

    def __init__(
        self,
        classes: int = 10,
        patch: int = 4,
        tokens: int = 64,
        layers: int = 12,
        heads: int = 3,
        features: int = 192,
        hidden: int = 768,
    ):
        super().__init__()
        self.conv_proj = nn.Conv2d(3, features, patch, patch)
        self.class_token = nn.Parameter(torch.empty(1, 1, features).normal_())
        self.encoder = Encoder(tokens + 1, layers, heads, features, hidden)
        self.heads = nn.Sequential(OrderedDict(head=nn.Linear(features, classes)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv_proj(x).flatten(2).permute(0, 2, 1)
        x = self.encoder(torch.cat([self.class_token.expand(len(x), -1, -1), x], 1))
        return self.heads(x[:, 0])
